"""SocketCAN's sockets as both kernel paths use them: never blocking, each message with the kernel's time stamp, losses counted.

Numbers are those of linux/can.h, linux/can/raw.h and asm-generic/socket.h.
"""

import os
import socket
import struct

from agent.canbus.arguments import WHAT_IT_NEEDS
from agent.canbus.batch import SO_RXQ_OVFL, SO_TIMESTAMPNS, Batch
from agent.canbus.feed import Feed
from agent.errors import BusError

SO_RCVBUFFORCE = 33
CAN_MTU, CANFD_MTU = 16, 72
DATA_AT = 8  # data bytes of can_frame and canfd_frame, behind identifier, length and flags
ERROR_FRAME = 0x20000000  # CAN_ERR_FLAG
REMOTE_FRAME = 0x40000000  # CAN_RTR_FLAG
FRAME_HEAD = struct.Struct("=IB")  # identifier, length
# A frame takes some 800 bytes of it: 5,000 of them. Without CAP_NET_ADMIN the kernel gives less (net.core.rmem_max).
BUFFER_BYTES = 4 << 20


class KernelSocket:
    """One socket on one interface; `messages` empties it. OSError when the interface is down or away.

    Stamps are the kernel's (CLOCK_REALTIME) brought to ours. The wall clock may be set between a frame and its fetching:
    a stamp is therefore never newer than the fetching, nor older than the `since` of which the caller knows that the frame
    came later.
    """

    def __init__(self, feed: Feed, kind: int, protocol: int, message_bytes: int) -> None:
        self._feed = feed
        self._lost = 0
        try:
            self.socket = socket.socket(socket.AF_CAN, kind, protocol)
        except OSError as error:
            raise feed.failed(f"{error.strerror} ({WHAT_IT_NEEDS['socketcan']})") from error
        try:
            self._prepare(protocol)
        except (OSError, ValueError) as error:  # ValueError: a name that none can be
            self.socket.close()
            reason = getattr(error, "strerror", None) or error
            raise feed.failed(f"{reason} ({WHAT_IT_NEEDS['socketcan']})") from error
        self._batch = Batch(self.socket, message_bytes)

    def _prepare(self, protocol: int) -> None:
        own, channel = self.socket, str(self._feed.settings.channel)
        own.setblocking(False)
        own.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        own.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
        try:
            own.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        except PermissionError:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        if not channel:
            raise OSError(0, "channel is missing")  # the kernel would take it for "all interfaces"
        if protocol == socket.CAN_BCM:
            own.connect((channel,))
        else:
            # Before binding: nothing that is not wanted may come in between.
            own.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FILTER, b"")
            own.bind((channel,))
        # An interface that is down takes a socket, and leaves its complaint in it.
        if problem := own.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(problem, os.strerror(problem))

    def messages(self, since: int) -> list[tuple[bytes, int]]:
        """(message, stamp) of all that has come; `since` is a stamp: see above."""
        clock = self._feed.clock
        ahead = clock.ahead_ns()
        found = [(data, since if at is None else max(since, at - ahead)) for data, at in self._batch.take()]
        newest = max((stamp for _, stamp in found), default=since)
        lost = self._batch.lost
        if lost != self._lost:
            self._feed.lost((lost - self._lost) & 0xFFFFFFFF)
            self._lost = lost
        now = clock.stamp()
        return found if newest <= now else [(data, min(stamp, now)) for data, stamp in found]

    def close(self) -> None:
        self.socket.close()


def failure(feed: Feed, error: OSError) -> BusError:
    """What a socket's error means for its bus."""
    return feed.failed(error.strerror or str(error))
