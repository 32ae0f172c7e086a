"""CAN in through python-can: a receive thread over any of its interfaces.

python-can is imported when a bus is opened, in its thread: that takes 0.1 s. Its exceptions end here, as BusError.
Its Notifier is not used: with asyncio it loses bus errors.
"""

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from agent.blocking import in_thread
from agent.canbus.arguments import WHAT_IT_NEEDS, BusSettings, make_bus
from agent.canbus.feed import Feed
from agent.core.frames import EXTENDED
from agent.errors import BusError, ConfigError

if TYPE_CHECKING:
    from agent.canlibrary import can

POLL_S = 0.25  # how long a stop may go unnoticed by a silent bus
MULTICAST_ALL = {socket.AF_INET: (0, 49), socket.AF_INET6: (41, 29)}  # level, option: linux/in.h, linux/in6.h

# What the interfaces raise when a driver, a device or a package is missing, beside can.CanError: seen, not documented.
OPENING_FAILS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,  # NotImplementedError is one
    TypeError,
    ValueError,
)

# What they raise for bytes that are no frame, as line noise on a serial adapter or a stranger's datagram: seen as well.
UNREADABLE = (AttributeError, LookupError, TypeError, ValueError)
UNREADABLE_IN_A_ROW = 100  # without a frame between: the adapter is out of step, it is opened again

log = logging.getLogger(__name__)


def interface_fault(interface: str) -> str | None:
    """What is wrong with an interface name, with the nearest known one; None when it is known."""
    from agent.canlibrary import can

    known = sorted({*can.VALID_INTERFACES, "log"})
    if interface in known:
        return None
    near = get_close_matches(interface, known, 1)
    meant = f", did you mean {near[0]!r}?" if near else ""
    return f"interface {interface!r} is not known{meant} (known: {', '.join(known)})"


def open_bus(settings: BusSettings, wanted: Sequence[tuple[int, int]] = ()) -> "can.BusABC":
    """Open a python-can bus; `wanted` are (can_id, mask) pairs, used where the kernel filters.

    Raises ConfigError for an entry that will never open, BusError for one that does not open now.
    """
    from agent.canlibrary import can

    if fault := interface_fault(settings.interface):
        raise ConfigError(f"[[can]] {settings.name}", [fault])
    interface = settings.interface
    try:
        bus = make_bus(settings, wanted)
        return _keep_to_its_group(bus) if interface == "udp_multicast" else bus
    except (can.CanError, *OPENING_FAILS) as error:
        if isinstance(error.__cause__, BusError):  # of our own part of an interface, which knows why
            raise error.__cause__ from None
        reason = str(error) or type(error).__name__
        if interface in WHAT_IT_NEEDS:
            reason += f" ({WHAT_IT_NEEDS[interface]})"
        raise BusError(interface, str(settings.channel), reason) from error


def _keep_to_its_group(bus: "can.BusABC") -> "can.BusABC":
    """Linux gives a socket the datagrams of every group that some program on the machine has joined, unless told otherwise."""
    with contextlib.suppress(OSError), socket.socket(fileno=socket.dup(bus.fileno())) as same:
        same.setsockopt(*MULTICAST_ALL[same.family], 0)
    return bus


class PythonCanPath:
    """Frames of one bus by a thread that keeps the newest; nothing is held back, so there is nothing to refresh."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._unreadable_since = (0, 0)  # `frames` and `unreadable` before those in a row

    async def run(self, opened: Callable[[], None]) -> None:
        """Open and receive until cancelled, which ends the thread within a second."""
        loop = asyncio.get_running_loop()

        def body(stopping: threading.Event) -> None:
            bus = open_bus(self._feed.settings, self._feed.latest.wanted(self._feed.index))
            try:
                loop.call_soon_threadsafe(opened)
                self.receive(bus, stopping.is_set)
            finally:
                _shut_down(bus)

        await in_thread(f"can-{self._feed.settings.name}", body)

    def refresh(self) -> None:
        """Nothing: the thread has kept what has come."""

    def receive(self, bus: "can.BusABC", stopped: Callable[[], bool]) -> None:
        """Keep frames until `stopped()`; the body of the receive thread. Raises BusError when the bus fails."""
        from agent.canlibrary import can

        feed = self._feed
        latest, stamp = feed.latest, feed.clock.stamp
        recv = _checked(bus) if feed.settings.interface == "udp_multicast" else bus.recv
        plain, keep = latest.plain(feed.index), latest.keeper(feed.index)
        frames, stamps, counts = latest.frames, latest.stamps, latest.by_bus[feed.index]
        self._unreadable_since = (feed.frames, feed.unreadable)
        while not stopped():
            try:
                message = recv(POLL_S)
            except (can.CanError, OSError, *UNREADABLE) as error:
                self._note_unreadable(error)
                continue
            if message is None:
                continue
            if message.is_error_frame:
                feed.trouble.error_frame(message.arbitration_id, message.data)
                continue
            if message.is_remote_frame:
                feed.remote_frames += 1
                continue
            feed.frames += 1
            can_id = message.arbitration_id
            if message.is_extended_id:
                can_id |= EXTENDED
            place = plain.get(can_id)  # not by KeyError: most identifiers of a real bus are not wanted
            if place is None:
                keep(can_id, message.data, stamp())
                continue
            slot, length = place
            data = message.data
            if len(data) < length:
                counts.short += 1
            frames[slot] = data  # before its stamp: a reader takes them the other way round
            stamps[slot] = stamp()
            latest.kept += 1

    def _note_unreadable(self, error: Exception) -> None:
        """Count what was no frame; BusError when the bus itself has failed, or gives nothing else any more."""
        feed = self._feed
        # udp_multicast and slcan wrap what their parsers raise.
        reason = error if isinstance(error, UNREADABLE) else error.__cause__
        if isinstance(error, OSError) or not isinstance(reason, UNREADABLE) or isinstance(reason, OSError):
            raise feed.failed(str(error)) from error
        if self._unreadable_since[0] != feed.frames:
            self._unreadable_since = (feed.frames, feed.unreadable)
        feed.unreadable += 1
        if feed.unreadable - self._unreadable_since[1] > UNREADABLE_IN_A_ROW:
            raise feed.failed(f"{UNREADABLE_IN_A_ROW} times in a row what came was no frame, last: {reason}") from error
        feed.say(logging.WARNING, "what came is no frame, it is left out bus=%s reason=%s", feed.settings.name, reason)


def _checked(bus: "can.BusABC") -> "Callable[[float], can.Message | None]":
    """The bus's recv for an interface whose identifiers are whatever a stranger's datagram says."""

    def recv(timeout_s: float) -> "can.Message | None":
        message = bus.recv(timeout_s)
        if message is not None and type(message.arbitration_id) is not int:
            raise TypeError(f"identifier {message.arbitration_id!r} is no number")
        return message

    return recv


def _shut_down(bus: "can.BusABC") -> None:
    from agent.canlibrary import can

    try:
        bus.shutdown()
    except (can.CanError, OSError) as error:
        # An adapter that was pulled out cannot be told goodbye; the failure that led here is reported already.
        log.debug("shutdown failed reason=%s", error)
