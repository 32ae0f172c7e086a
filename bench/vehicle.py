"""The simulated vehicle: the reference car's frames on a CAN bus at their cycle times, and its controls."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from agent.canlibrary import can
from agent.clock import Clock
from agent.errors import BusError
from bench.alarms import alarms_of
from bench.frames import Frame
from bench.physics import CHARGE_PLUGS, STEP_MS, Car
from bench.readings import Reading, readings_of

__all__ = ["BITRATE", "ControlError", "Vehicle", "can_be_scaled", "open_bus"]

log = logging.getLogger(__name__)

BITRATE = 500_000
MAX_CATCH_UP = 2  # frames of one message sent at once after a delay; older ones are skipped, never sent in a heap
PHASE_MS = 7  # messages begin one after another, as control units that woke up at different times

HINTS = {
    "socketcan": "bring it up first: ip link set {channel} up type can bitrate 500000, or for a virtual one: "
    "ip link add dev {channel} type vcan && ip link set {channel} up",
    "udp_multicast": "it needs a network interface with multicast (not only lo) and the package msgpack, "
    "which the extra [bench] installs",
}
CONTROLS = "alarm NAME on|off, charge ac|dc|off, ignition on|off, drop MESSAGE [on|off], silence on|off"


class ControlError(Exception):
    """A control line that cannot be followed; the text says what is allowed."""


def can_be_scaled(interface: str, channel: str) -> bool:
    """Whether scaled time makes sense there: only where no real control unit listens."""
    return interface in ("virtual", "udp_multicast") or (interface == "socketcan" and channel.startswith("vcan"))


def open_bus(interface: str, channel: str) -> can.BusABC:
    """Open a CAN bus for sending at 500 kbit/s. Raises BusError, with what to do about it."""
    if interface not in can.VALID_INTERFACES:
        raise BusError(interface, channel, f"no such interface; there are: {', '.join(sorted(can.VALID_INTERFACES))}")
    try:
        return can.Bus(channel, interface, ignore_config=True, bitrate=BITRATE)
    except (can.CanError, OSError, ValueError, ImportError, NotImplementedError) as error:
        hint = HINTS.get(interface, "see python-can's documentation of this interface for its driver and channel names")
        raise BusError(interface, channel, f"cannot be opened: {error}; {hint.format(channel=channel)}") from error


@dataclass
class _Slot:
    """One message of the schedule; `due` in scaled monotonic ms."""

    frame: Frame
    read: Reading
    due: int = 0
    page: int = 0


@dataclass
class Counters:
    """Frames since the start: sent, skipped because the process was late, refused by the bus."""

    sent: int = 0
    skipped: int = 0
    refused: int = 0


class Vehicle:
    """Steps the car and sends its frames. `poll` does what is due and never waits; `run` polls until stopped.

    One thread only. `clock` scales time for physics and cycle times alike.
    """

    def __init__(self, *, bus: can.BusABC, clock: Clock, car: Car, frames: Mapping[str, Frame]) -> None:
        self.car = car
        self.counters = Counters()
        self._bus = bus
        self._clock = clock
        self._slots = [_Slot(frames[name], read) for name, read in readings_of(car).items()]
        self._names = {slot.frame.name for slot in self._slots}
        self._dropped: set[str] = set()
        self._silent = False
        self._start: int | None = None
        self._stopped = False
        self._refusing = False

    # sending

    async def run(self, seconds: float | None = None) -> None:
        """Send until `stop`, or for `seconds` of scaled time."""
        now = self._clock.now()
        end = None if seconds is None else now + round(seconds * 1000)
        while not self._stopped and (end is None or now < end):
            due = self.poll(now)
            await self._clock.sleep_until(due if end is None else min(due, end))
            now = self._clock.now()

    def stop(self) -> None:
        """Let `run` return at its next turn."""
        self._stopped = True

    def poll(self, now: int) -> int:
        """Move the car to `now` (scaled monotonic ms), send what is due; returns when something is due next."""
        if self._start is None:
            self._start = now - self.car.steps * STEP_MS
            for index, slot in enumerate(self._slots):
                slot.due = now + index * PHASE_MS % slot.frame.cycle_ms
        for _ in range((now - self._start) // STEP_MS - self.car.steps):
            self.car.step()
        for slot in self._slots:
            cycle = slot.frame.cycle_ms
            for _ in range(MAX_CATCH_UP):
                if slot.due > now:
                    break
                self._send(slot)
                slot.due += cycle
            if slot.due <= now:
                late = (now - slot.due) // cycle + 1
                slot.due += late * cycle
                self.counters.skipped += late
        return min(slot.due for slot in self._slots)

    def _send(self, slot: _Slot) -> None:
        frame = slot.frame
        if self._silent or frame.name in self._dropped:
            return
        data = frame.encode(slot.read(slot.page), slot.page)
        slot.page = (slot.page + 1) % frame.pages
        message = can.Message(arbitration_id=frame.can_id, is_extended_id=frame.extended, data=data)
        try:
            self._bus.send(message)
        except can.CanOperationError as error:
            self.counters.refused += 1
            if not self._refusing:
                log.warning("the bus refuses frames, going on: %s", error)
            self._refusing = True
            return
        if self._refusing:
            log.warning("the bus takes frames again refused=%d", self.counters.refused)
        self._refusing = False
        self.counters.sent += 1

    # looking

    def truth(self) -> dict[str, float]:
        """Physical values of this instant by "Message.Signal", every page; units are the DBC's."""
        return {
            f"{slot.frame.name}.{name}": value
            for slot in self._slots
            for page in range(slot.frame.pages)
            for name, value in slot.read(page).items()
        }

    # controls

    def alarm(self, name: str, on: bool) -> None:
        """Raise or clear one general alarm, with its trouble code."""
        known = alarms_of(self.car.variant)
        if name not in known:
            raise ControlError(f"alarm {name!r} does not exist; there are: {', '.join(known)}")
        (self.car.controls.alarms.add if on else self.car.controls.alarms.discard)(name)

    def charge(self, plug: str) -> None:
        """Charge at "ac" or "dc": the car stops first and plugs in. "off" unplugs and drives on."""
        if plug not in CHARGE_PLUGS:
            raise ControlError(f"charge {plug!r} is not one of {', '.join(CHARGE_PLUGS)}")
        self.car.controls.charge = plug

    def ignition(self, on: bool) -> None:
        """Switch the ignition; a moving car stops first. The control units keep sending."""
        self.car.controls.ignition = on

    def drop(self, message: str, on: bool = True) -> None:
        """Stop sending one message, or send it again."""
        if message not in self._names:
            raise ControlError(f"message {message!r} is not sent; sent are: {', '.join(sorted(self._names))}")
        (self._dropped.add if on else self._dropped.discard)(message)

    def silence(self, on: bool) -> None:
        """Stop sending anything, or send again; the car itself goes on."""
        self._silent = on

    def command(self, line: str) -> None:
        """Follow one line of text, for example "alarm soc_low on". Raises ControlError."""
        words = line.split()
        if not words:
            return
        verb, *rest = words
        if verb == "charge" and len(rest) == 1:
            self.charge(rest[0])
            return
        switches: dict[tuple[str, int], Callable[[bool], None]] = {
            ("ignition", 1): self.ignition,
            ("silence", 1): self.silence,
            ("alarm", 2): partial(self.alarm, rest[0] if rest else ""),
            ("drop", 2): partial(self.drop, rest[0] if rest else ""),
        }
        if verb == "drop" and len(rest) == 1:
            rest.append("on")
        switch = switches.get((verb, len(rest)))
        if switch is None or rest[-1] not in ("on", "off"):
            raise ControlError(f"{line.strip()!r} is not a control; there are: {CONTROLS}")
        switch(rest[-1] == "on")
