"""CAN in through the kernel's Broadcast Manager: it keeps the newest frames, and hands over what a sample needs.

One receive operation per identifier, of one of three kinds (Linux, net/can/bcm.c):

newest  A message that is kept as it comes. The kernel hands over one frame and holds back those after it for `THROTTLE_US`,
        keeping the newest. Setting the operation's timers anew makes it give out what it holds, and begin again: done right
        before a sample this yields the newest frame, with its own time stamp. Two frames and one system call per identifier
        and sample, whatever the load of the bus.
pages   A multiplexed message: the kernel compares the mapped bits of each page and hands over what differs from the last
        frame of that page, at once. Setting the operation anew makes it forget what it has seen: each page is handed over again
        when it next comes. Done at each sample (more often for short timeouts), it tells a page that stands still from one
        that has stopped.
every   A message with an alive counter or a checksum, or with several multiplexers: each frame is handed over. Of frames
        that were left out nobody could say whether the counter stood still between them (16 steps later it is the same
        again), nor whether the one before a damaged one was good.

Of a message that stays away for longer than its timeout the kernel tells once (RX_TIMEOUT): that is counted and logged. What is
stale is decided by the stamps all the same, as on the other paths.

A raw socket beside it takes error frames, and what comes under many identifiers (J1939). No thread: sockets are emptied before
each sample, and meanwhile often enough that they cannot fill up. Nothing here makes the kernel send: there is no TX_SETUP.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from agent.canbus.feed import Feed, masked
from agent.canbus.kernel import CAN_MTU, CANFD_MTU, DATA_AT, FRAME_HEAD, KernelSocket, failure
from agent.canbus.raw import RawSocket
from agent.core.frames import EXTENDED

if TYPE_CHECKING:
    from agent.core.needs import Need

# linux/can/bcm.h
RX_SETUP, RX_TIMEOUT = 5, 11
SETTIMER, RX_FILTER_ID, RX_CHECK_DLC, CAN_FD_FRAME = 0x01, 0x20, 0x40, 0x800
MAX_PAGES = 256  # MAX_NFRAMES
# bcm_msg_head: opcode, flags, count, ival1 (s, us), ival2 (s, us), can_id, nframes; frames follow, aligned to 8 bytes
HEAD = struct.Struct("@IIIllllII0q")

NEWEST, PAGES, EVERY = "newest", "pages", "every"

THROTTLE_US = 10_000_000  # longer than any time between two samples
# Between two takings a bus at full load (8,000 frames/s on 1 Mbit/s) must not fill a queue of the kernel's default size (550).
TAKE_S = 0.025
WATCH_S = 1.0  # where everything waits for the sample: an interface that is gone has to be noticed
ROOM = 100  # operations between two takings: each may put two messages into the queue
AGAIN_S = 1.0  # how long a page that stands still may go unheard, at most,
TIMEOUT_SHARE = 4  # and as a share of its timeout
PAGED_BYTES = 8  # the kernel looks for the multiplexer in the first eight bytes, in FD frames as well
US_PER_S = 1_000_000
NS_PER_S = 1_000_000_000


class Operation(NamedTuple):
    """One receive operation: its identifier, its kind, and the message that sets it up, which is also the one to repeat."""

    can_id: int
    kind: str
    setup: bytes


def kind_of(need: "Need") -> str:
    """How the kernel serves a message."""
    _, length, _, every, pages = need
    if every:
        return EVERY
    if pages is None:
        return NEWEST
    byte, _, used = pages
    return PAGES if byte < min(length, PAGED_BYTES) and len(used) <= MAX_PAGES else EVERY


def operations(needs: "Sequence[Need]", fd: bool) -> list[Operation]:
    """The operations for a bus; with `fd` two of each, since the kernel takes the two sorts of frames apart.

    A DBC file does not say in which sort a message of up to 8 bytes comes, and some buses have both.
    """
    sorts = (False, True) if fd else (False,)
    return [Operation(need[0], kind_of(need), _setup(need, kind_of(need), sort)) for need in needs for sort in sorts]


def _setup(need: "Need", kind: str, fd: bool) -> bytes:
    can_id, _, timeout_ms, _, pages = need
    flags = SETTIMER | (CAN_FD_FRAME if fd else 0)
    frames: list[bytes] = []
    if kind == PAGES and pages is not None:
        flags |= RX_CHECK_DLC  # a page that is cut short is another one than the whole
        frames = _page_masks(can_id, pages, fd)
    else:
        flags |= RX_FILTER_ID
    times = (*divmod(1000 * timeout_ms, US_PER_S), *divmod(THROTTLE_US if kind == NEWEST else 0, US_PER_S))
    return HEAD.pack(RX_SETUP, flags, 0, *times, can_id, len(frames)) + b"".join(frames)


def _page_masks(can_id: int, pages: tuple[int, int, list[tuple[int, int]]], fd: bool) -> list[bytes]:
    """The first frame has the multiplexer's bits; each other one a page's value there, and ones where it is compared."""
    byte, mask, used = pages
    size = (CANFD_MTU if fd else CAN_MTU) - DATA_AT
    chooser = mask << (8 * byte)
    words = [chooser, *(bits & ~chooser | value << (8 * byte) for value, bits in used)]
    room = (1 << (8 * size)) - 1  # a signal beyond a classic frame's bytes comes in FD frames only
    head = FRAME_HEAD.pack(can_id, size).ljust(DATA_AT, b"\0")
    return [head + (word & room).to_bytes(size, "little") for word in words]


class BcmPath:
    """Everything of one SocketCAN bus, without a thread."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._fd = feed.settings.fd
        self._keep = feed.latest.keeper(feed.index)
        needs = feed.latest.needs(feed.index)
        found = operations(needs, self._fd)
        self._both = feed.latest.plain(feed.index) if self._fd else {}
        self._newest = [each.setup for each in found if each.kind == NEWEST]
        self._pages = [each.setup for each in found if each.kind == PAGES]
        self._every = [each.setup for each in found if each.kind == EVERY]
        timeouts = [need[2] for need in needs if kind_of(need) == PAGES]
        self._again_ns = int(min([AGAIN_S, *(each / 1000 / TIMEOUT_SHARE for each in timeouts)]) * NS_PER_S)
        self._masked = masked(feed.latest.wanted(feed.index))
        self._bcm: KernelSocket | None = None
        self._raw: RawSocket | None = None
        self._asked = self._begun = 0  # stamps: when the newest were last asked for, and pages last begun anew
        self._failed: asyncio.Future[OSError] | None = None

    async def run(self, opened: Callable[[], None]) -> None:
        """Open and listen until cancelled; BusError when the interface is away."""
        self._failed = asyncio.get_running_loop().create_future()
        pause_s = TAKE_S if self._pages or self._every or self._masked else WATCH_S
        try:
            self._open()
            opened()
            while True:
                await asyncio.wait({self._failed}, timeout=pause_s)
                if self._failed.done():
                    raise self._failed.result()
                self._take()
                if self._feed.clock.stamp() - self._begun >= self._again_ns:
                    self._begin_pages()
        except OSError as error:
            raise failure(self._feed, error) from error
        finally:
            self._close()

    def refresh(self) -> None:
        """Have the kernel give out what it holds, and keep it."""
        if self._bcm is None or self._failed is None or self._failed.done():
            return
        begun = self._feed.clock.stamp()
        try:
            for number, setup in enumerate(self._newest, start=1):
                self._bcm.socket.send(setup)
                if number % ROOM == 0:
                    self._take()
            self._take()
            self._asked = begun
            self._begin_pages()
        except OSError as error:  # told once by the socket: kept for `run`
            self._failed.set_result(error)

    def _open(self) -> None:
        feed = self._feed
        self._asked = feed.clock.stamp()
        self._raw = RawSocket(feed, self._masked)  # first: it is the one that complains about an interface that is down
        longest = HEAD.size + (CANFD_MTU if self._fd else CAN_MTU)
        self._bcm = KernelSocket(feed, socket.SOCK_DGRAM, socket.CAN_BCM, longest)
        for setup in self._newest + self._every:
            self._bcm.socket.send(setup)
        self._begin_pages()

    def _begin_pages(self) -> None:
        if self._bcm is not None and self._pages:
            self._begun = self._feed.clock.stamp()
            for setup in self._pages:
                self._bcm.socket.send(setup)

    def _take(self) -> None:
        """Keep what has been handed over."""
        if self._bcm is None or self._raw is None:
            return
        feed, keep, stamps = self._feed, self._keep, self._feed.latest.stamps
        messages = self._bcm.messages(self._asked)
        if self._fd:
            messages.sort(key=_stamp)  # both sorts of one identifier: the newer one has to come last
        stopped = []
        for message, stamp in messages:
            if len(message) == HEAD.size:
                opcode, _, _, _, _, _, _, can_id, _ = HEAD.unpack(message)
                stopped += [can_id] if opcode == RX_TIMEOUT else []
                continue
            can_id, size = FRAME_HEAD.unpack_from(message, HEAD.size)
            if can_id in self._both and stamp < stamps[self._both[can_id][0]]:
                continue  # the other sort's operation has given out a newer one meanwhile
            keep(can_id, message[HEAD.size + DATA_AT : HEAD.size + DATA_AT + size], stamp)
            feed.frames += 1
        if stopped:
            self._note_stopped(stopped)
        self._raw.take()

    def _note_stopped(self, can_ids: list[int]) -> None:
        for _ in can_ids:
            self._feed.trouble.timed_out()
        names = ", ".join(f"0x{each & ~EXTENDED:X}" + ("x" if each & EXTENDED else "") for each in sorted(can_ids))
        self._feed.say(logging.WARNING, "messages do not come any more bus=%s: %s", self._feed.settings.name, names)

    def _close(self) -> None:
        for each in (self._bcm, self._raw):
            if each is not None:
                each.close()
        self._bcm = self._raw = None


def _stamp(message: tuple[bytes, int]) -> int:
    return message[1]
