"""CAN in through a raw socket of the kernel that lets through exactly what is mapped; a thread of its own keeps the newest.

The thread waits for a frame, takes all that are there, and then rests for a moment: one wake-up serves many frames, and
the kernel's time stamps keep their ages true. A sample does not wait for the rest to end: `refresh` takes what is there.
"""

import asyncio
import select
import socket
import struct
import threading
from collections.abc import Callable, Sequence

from agent.blocking import in_thread
from agent.canbus.feed import Feed
from agent.canbus.kernel import (
    CAN_MTU,
    CANFD_MTU,
    DATA_AT,
    ERROR_FRAME,
    FRAME_HEAD,
    REMOTE_FRAME,
    KernelSocket,
    failure,
)

POLL_MS = 250  # how long a stop may go unnoticed by a silent bus
REST_S = 0.01
KERNEL_FILTERS = 512  # CAN_RAW_FILTER_MAX
CAN_RAW_ERR_FILTER, CAN_RAW_FD_FRAMES = 2, 5
EVERY_ERROR = 0x1FFFFFFF
_FILTER = struct.Struct("=II")


def raw_filters(wanted: Sequence[tuple[int, int]]) -> bytes:
    """CAN_RAW_FILTER for pairs of `Latest.wanted`: data frames only. More than the kernel takes: every data frame."""
    if len(wanted) > KERNEL_FILTERS:
        return _FILTER.pack(0, REMOTE_FRAME)
    return b"".join(_FILTER.pack(can_id, mask & 0xFFFFFFFF | REMOTE_FRAME) for can_id, mask in wanted)


class RawSocket:
    """Takes the frames of some wanted pairs, and all error frames, from one interface."""

    def __init__(self, feed: Feed, wanted: Sequence[tuple[int, int]]) -> None:
        self._feed = feed
        self._plain, self._keep = feed.latest.plain(feed.index), feed.latest.keeper(feed.index)
        self._since = feed.clock.stamp()
        self._kernel = KernelSocket(feed, socket.SOCK_RAW, socket.CAN_RAW, CANFD_MTU if feed.settings.fd else CAN_MTU)
        self.socket = self._kernel.socket
        if feed.settings.fd:
            self.socket.setsockopt(socket.SOL_CAN_RAW, CAN_RAW_FD_FRAMES, 1)
        self.socket.setsockopt(socket.SOL_CAN_RAW, CAN_RAW_ERR_FILTER, EVERY_ERROR)
        self.socket.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FILTER, raw_filters(wanted))

    def take(self) -> None:
        """Keep what has come. OSError when the interface is down or away."""
        feed, keep, plain, head = self._feed, self._keep, self._plain, FRAME_HEAD.unpack_from
        latest = feed.latest
        frames, stamps, counts = latest.frames, latest.stamps, latest.by_bus[feed.index]
        begun = feed.clock.stamp()
        for message, stamp in self._kernel.messages(self._since):
            can_id, size = head(message)
            data = message[DATA_AT : DATA_AT + size]
            place = plain.get(can_id)
            if place is not None:
                slot, length = place
                if size < length:
                    counts.short += 1
                frames[slot] = data  # before its stamp: a reader takes them the other way round
                stamps[slot] = stamp
                latest.kept += 1
            elif can_id & ERROR_FRAME:
                feed.trouble.error_frame(can_id, data)
                continue
            else:
                keep(can_id, data, stamp)
            feed.frames += 1
        self._since = begun

    def close(self) -> None:
        self._kernel.close()


class RawPath:
    """The receive thread of a bus that the Broadcast Manager cannot or shall not serve."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._lock = threading.Lock()  # the thread and the sample take turns at the socket
        self._raw: RawSocket | None = None
        self._failure: OSError | None = None

    async def run(self, opened: Callable[[], None]) -> None:
        """Receive until cancelled; BusError when the interface is away."""
        loop = asyncio.get_running_loop()
        await in_thread(
            f"can-{self._feed.settings.name}",
            lambda stopping: self._receive(lambda: loop.call_soon_threadsafe(opened), stopping),
        )

    def refresh(self) -> None:
        """Take what is there without waiting for the thread."""
        with self._lock:
            self._take()

    def _receive(self, opened: Callable[[], object], stopping: threading.Event) -> None:
        feed = self._feed
        raw = RawSocket(feed, feed.latest.wanted(feed.index))
        poll = select.poll()
        poll.register(raw.socket, select.POLLIN)
        self._raw = raw
        opened()
        try:
            while not stopping.is_set():
                if poll.poll(POLL_MS):
                    with self._lock:
                        self._take()
                    if self._failure is not None:
                        raise failure(feed, self._failure) from self._failure
                    stopping.wait(REST_S)
        finally:
            with self._lock:
                self._raw = None
                raw.close()

    def _take(self) -> None:
        """The error of a socket is told once, to whoever asks first: it is kept for the thread."""
        if self._raw is not None and self._failure is None:
            try:
                self._raw.take()
            except OSError as error:
                self._failure = error
