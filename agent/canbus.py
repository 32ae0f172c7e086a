"""CAN in: one receive thread per bus that keeps the newest frames, over any python-can interface or from a recording.

Nothing is ever sent from here. Listen-only, the default, goes further where python-can offers it: the controller does
not even acknowledge frames. On SocketCAN that is a property of the network interface (``ip link set can0 type can
listen-only on``), not of the socket.

python-can is imported when a bus is opened, in its thread: that takes 0.1 s. Its exceptions end here, as BusError.
Its Notifier is not used: with asyncio it loses bus errors.
"""

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from random import Random
from typing import TYPE_CHECKING, Protocol

from agent.canbus_arguments import ACKNOWLEDGES, EXTENDED, WHAT_IT_NEEDS, BusSettings, make_bus
from agent.canlog import read_log
from agent.clock import Clock
from agent.errors import BusError, ConfigError

if TYPE_CHECKING:
    import can

Keep = Callable[[int, bytes | bytearray, int], None]

POLL_S = 0.25  # how long a stop may go unnoticed by a silent bus
STOP_S = 1.0
FIRST_DELAY_S = 1
LAST_DELAY_S = 30
JITTER = 0.2
SAY_AGAIN_MS = 60_000
MULTICAST_ALL = {socket.AF_INET: (0, 49), socket.AF_INET6: (41, 29)}  # level, option: linux/in.h, linux/in6.h
BURST = 256  # frames of a recording played in one go before other tasks get their turn
LATE_MS = 2  # real ms by which a recording's frames may come late, for fewer wake-ups

# What the interfaces raise when a driver, a device or a package is missing, beside can.CanError: seen, not documented.
OPENING_FAILS = (OSError, ImportError, NotImplementedError, ValueError, TypeError, LookupError, NameError)

# What they raise for bytes that are no frame, as line noise on a serial adapter or a stranger's datagram: seen as well.
UNREADABLE = (AttributeError, LookupError, TypeError, ValueError)
UNREADABLE_IN_A_ROW = 100  # without a frame between: the adapter is out of step, it is opened again

log = logging.getLogger(__name__)


class Latest(Protocol):
    """The part of LatestFrames that a bus feeds.

    `plain` gives (slot, length) by can_id of the messages that are kept as they come, with nothing to check or choose
    by their data: for them the receive loop does itself what `keeper` would, without a call.
    """

    kept: int
    short: int

    @property
    def frames(self) -> list[bytes | bytearray]: ...
    @property
    def stamps(self) -> list[int]: ...
    def keeper(self, bus: int) -> Keep: ...
    def plain(self, bus: int) -> Mapping[int, tuple[int, int]]: ...
    def wanted(self, bus: int) -> list[tuple[int, int]]: ...


def interface_fault(interface: str) -> str | None:
    """What is wrong with an interface name, with the nearest known one; None when it is known."""
    import can

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
    import can

    if fault := interface_fault(settings.interface):
        raise ConfigError(f"[[can]] {settings.name}", [fault])
    interface = settings.interface
    try:
        bus = make_bus(settings, wanted)
        return _keep_to_its_group(bus) if interface == "udp_multicast" else bus
    except (can.CanError, *OPENING_FAILS) as error:
        reason = str(error) or type(error).__name__
        if interface in WHAT_IT_NEEDS:
            reason += f" ({WHAT_IT_NEEDS[interface]})"
        raise BusError(interface, str(settings.channel), reason) from error


def _keep_to_its_group(bus: "can.BusABC") -> "can.BusABC":
    """Linux gives a socket the datagrams of every group that some program on the machine has joined, unless told otherwise."""
    with contextlib.suppress(OSError), socket.socket(fileno=socket.dup(bus.fileno())) as same:
        same.setsockopt(*MULTICAST_ALL[same.family], 0)
    return bus


class CanBus:
    """Feeds `latest` from one bus until cancelled; `index` is the bus's number in the compiled plan.

    Counters: `frames` (data frames received; SocketCAN's kernel filter lets only wanted ones through), `error_frames`,
    `remote_frames`, `unreadable` (what was no frame), `reopened`. `problem` is why the bus is away, None while it is open,
    which `is_open` tells too. `rng` spreads the attempts to reopen.
    """

    def __init__(self, settings: BusSettings, index: int, latest: Latest, clock: Clock, rng: Random) -> None:
        self.settings = settings
        self.frames = 0
        self.error_frames = 0
        self.remote_frames = 0
        self.unreadable = 0
        self.reopened = 0
        self.problem: str | None = "not opened yet"
        self.is_open = asyncio.Event()
        self._index = index
        self._latest = latest
        self._clock = clock
        self._rng = rng
        self._unreadable_since = (0, 0)  # `frames` and `unreadable` before those in a row
        self._opened = False
        self._stopping = False
        self._said_ms: dict[str, int] = {}

    async def run(self) -> None:
        """Receive for ever: a bus that fails is opened again after 1 s, doubling to 30 s while no frame comes.

        A recording ends (returns) unless it loops. Cancelling ends the thread within a second. Raises ConfigError for
        an unknown interface or an unreadable recording.
        """
        if self.settings.interface == "log":
            await self._play()
            return
        if self.settings.listen_only and self.settings.interface in ACKNOWLEDGES:
            log.warning(
                "bus=%s: python-can cannot make %s listen only, it acknowledges frames",
                self.settings.name,
                self.settings.interface,
            )
        delay_s = FIRST_DELAY_S
        while True:
            frames = self.frames
            try:
                await self._receive_in_thread()
            except BusError as error:
                self._note_closed(str(error))
            if self.frames > frames:
                delay_s = FIRST_DELAY_S
            self._say(logging.WARNING, "CAN bus away bus=%s reason=%s", self.settings.name, self.problem)
            delay_ms = int(delay_s * 1000 * self._rng.uniform(1 - JITTER, 1 + JITTER))
            await self._clock.sleep_until(self._clock.now() + delay_ms)
            delay_s = min(2 * delay_s, LAST_DELAY_S)

    def receive(self, bus: "can.BusABC") -> None:
        """Keep frames until stopped; the body of the receive thread. Raises BusError when the bus fails."""
        import can

        latest, stamp = self._latest, self._clock.stamp
        recv = _checked(bus) if self.settings.interface == "udp_multicast" else bus.recv
        plain, keep = latest.plain(self._index), latest.keeper(self._index)
        frames, stamps = latest.frames, latest.stamps
        self._unreadable_since = (self.frames, self.unreadable)
        while not self._stopping:
            try:
                message = recv(POLL_S)
            except (can.CanError, OSError, *UNREADABLE) as error:
                self._note_unreadable(error)
                continue
            if message is None:
                continue
            if message.is_error_frame:
                self.error_frames += 1
                continue
            if message.is_remote_frame:
                self.remote_frames += 1
                continue
            self.frames += 1
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
                latest.short += 1
            frames[slot] = data  # before its stamp: a reader takes them the other way round
            stamps[slot] = stamp()
            latest.kept += 1

    def _note_unreadable(self, error: Exception) -> None:
        """Count what was no frame; BusError when the bus itself has failed, or gives nothing else any more."""
        # udp_multicast and slcan wrap what their parsers raise.
        reason = error if isinstance(error, UNREADABLE) else error.__cause__
        if isinstance(error, OSError) or not isinstance(reason, UNREADABLE) or isinstance(reason, OSError):
            raise BusError(self.settings.interface, str(self.settings.channel), str(error)) from error
        if self._unreadable_since[0] != self.frames:
            self._unreadable_since = (self.frames, self.unreadable)
        self.unreadable += 1
        if self.unreadable - self._unreadable_since[1] > UNREADABLE_IN_A_ROW:
            text = f"{UNREADABLE_IN_A_ROW} times in a row what came was no frame, last: {reason}"
            raise BusError(self.settings.interface, str(self.settings.channel), text) from error
        self._say(logging.WARNING, "what came is no frame, it is left out bus=%s reason=%s", self.settings.name, reason)

    async def _receive_in_thread(self) -> None:
        """Open the bus and receive; raises what the thread raised."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[BaseException | None] = loop.create_future()
        name = f"can-{self.settings.name}"
        # A daemon: a driver that never comes back from a call must not keep the process alive.
        thread = threading.Thread(target=self._thread, args=(loop, ended), name=name, daemon=True)
        thread.start()
        try:
            await asyncio.wait({ended})
        finally:
            if not ended.done():
                self._stopping = True
                await asyncio.wait({ended}, timeout=STOP_S)
            if ended.done():
                thread.join()  # it tells its end as its last act
            else:
                log.warning("driver does not let go bus=%s interface=%s", self.settings.name, self.settings.interface)
        if error := ended.result():
            raise error

    def _thread(self, loop: asyncio.AbstractEventLoop, ended: "asyncio.Future[BaseException | None]") -> None:
        error: BaseException | None = None
        try:
            bus = open_bus(self.settings, self._latest.wanted(self._index))
            try:
                loop.call_soon_threadsafe(self._note_open)
                self.receive(bus)
            finally:
                _shut_down(bus)
        except BaseException as caught:  # noqa: BLE001 - handed over: it is raised in run()
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop is closed already: nobody is left to tell
            loop.call_soon_threadsafe(ended.set_result, error)

    def _note_closed(self, problem: str) -> None:
        self.problem = problem
        self.is_open.clear()

    def _note_open(self) -> None:
        self.problem = None
        self.is_open.set()
        self.reopened += self._opened
        self._opened = True
        interface, channel = self.settings.interface, self.settings.channel
        self._say(logging.INFO, "CAN bus open bus=%s interface=%s channel=%s", self.settings.name, interface, channel)

    def _say(self, level: int, text: str, *values: object) -> None:
        """Log, but the same thing at most once a minute: a loose plug would fill the disk."""
        now = self._clock.now()
        if text not in self._said_ms or now - self._said_ms[text] >= SAY_AGAIN_MS:
            self._said_ms[text] = now
            log.log(level, text, *values)

    async def _play(self) -> None:
        """Play a recording through the same path, at its own pace on the clock, which may be scaled."""
        options = dict(self.settings.options)
        only, frame_ms = options.pop("log_channel", None), options.pop("frame_ms", None)
        if options:
            faults = [f"option {key!r} is not known for a recording (known: frame_ms, log_channel)" for key in options]
            raise ConfigError(f"[[can]] {self.settings.name}", faults)
        reader = read_log(str(self.settings.channel), frame_ms=frame_ms)
        keep, clock = self._latest.keeper(self._index), self._clock
        late_ms = int(LATE_MS * clock.speed)
        self._note_open()
        again = True
        while again:
            start_ms = now = clock.now()
            stamp, burst = clock.stamp(), 0
            for t_us, channel, can_id, data in reader:
                due_ms = start_ms + (t_us - reader.start_us) // 1000
                burst += 1
                if due_ms > now or burst > BURST:
                    await clock.sleep_until(due_ms + late_ms if due_ms > now else now)
                    stamp, burst = clock.stamp(), 0
                    now = clock.at(stamp)
                if only is None or channel == only:
                    self.frames += 1
                    keep(can_id, data, stamp)
            if notes := "; ".join(reader.clock_notes):
                self._say(logging.WARNING, "clock of the recording bus=%s: %s", self.settings.name, notes)
            end_ms = start_ms + (reader.end_us - reader.start_us) // 1000
            await clock.sleep_until(max(end_ms, clock.now() + 1))
            again = self.settings.loop
        self._note_closed("the recording has ended")
        log.warning(
            "the recording has ended, its signals become invalid bus=%s (loop = true plays on)", self.settings.name
        )


def _checked(bus: "can.BusABC") -> "Callable[[float], can.Message | None]":
    """The bus's recv for an interface whose identifiers are whatever a stranger's datagram says."""

    def recv(timeout_s: float) -> "can.Message | None":
        message = bus.recv(timeout_s)
        if message is not None and type(message.arbitration_id) is not int:
            raise TypeError(f"identifier {message.arbitration_id!r} is no number")
        return message

    return recv


def _shut_down(bus: "can.BusABC") -> None:
    import can

    try:
        bus.shutdown()
    except (can.CanError, OSError) as error:
        # An adapter that was pulled out cannot be told goodbye; the failure that led here is reported already.
        log.debug("shutdown failed reason=%s", error)
