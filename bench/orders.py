"""Commands that the platform sends down, when, and how often (annex B). No I/O, no clock: `now` is monotonic ms.

A line of the script names a command in the form that `tbox encode` reads; every vehicle it is meant for gets it once. One
command is under way to a vehicle at a time; the next waits for its answer, or until it is given up.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from agent.core.editions import BY_START, EDITIONS
from agent.core.errors import LocalProtocolError
from agent.core.packet import COMMAND, PLAIN, VIN_SIZE, Packet
from agent.core.terminal import CONTROL
from agent.errors import ConfigError
from agent.packetjson import packet_from_json

LOGIN, REPORT = "login", "report"
RESENDS = 3  # a command that nobody answers goes out so often again; annex B
CONTROL_RETRY_MS = 60_000  # a control command waits so long for its answer; annex B
ANSWER_TIMEOUT_MS = 60_000  # the others: parameter 0B of a terminal left at its defaults
_HEADER = {"response": COMMAND, "encryption": PLAIN}


class Plan(Protocol):
    """A command to be sent: for whom (None: everybody), and when: so long after the vehicle's login or report, `on`."""

    @property
    def vin(self) -> bytes | None: ...
    @property
    def on(self) -> str: ...
    @property
    def after_ms(self) -> int: ...

    def packet(self, vin: bytes, start: bytes, wall_s: int) -> bytes:
        """The packet to one vehicle whose edition has start mark `start`; LocalProtocolError when there is none."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a script: the packet as JSON, without what is known only when it is sent."""

    given: dict[str, Any]
    vin: bytes | None = None
    on: str = LOGIN
    after_ms: int = 0

    def packet(self, vin: bytes, start: bytes, wall_s: int) -> bytes:
        """In the edition the vehicle speaks where the line names none."""
        edition = BY_START[start]
        named = self.given.get("edition", edition.name)
        command = self.given.get("command")
        tables = EDITIONS.get(named, edition)
        row = tables.commands.get(command if isinstance(command, int) else tables.command_ids.get(str(command), 0))
        timed = row is not None and row.timed and "data_unit" not in self.given
        time = datetime.fromtimestamp(wall_s, UTC).isoformat() if timed else None
        header = {**_HEADER, "edition": named, "vin": vin.decode("latin-1"), "collected_at": time}
        return packet_from_json(header | self.given)


@dataclass(slots=True)
class Order:
    """A command to one vehicle; `sends` counts how often it went out, the last time at `sent_at`."""

    vin: bytes
    packet: bytes
    sends: int = 0
    sent_at: int = 0
    row: int = 0  # in the file of received packets
    answer_ms: int | None = None
    flag: int | None = None

    @property
    def command(self) -> int:
        """Command id."""
        return self.packet[2]


@dataclass(slots=True)
class _Vehicle:
    start: bytes = b""
    present: bool = False
    scheduled: set[int] = field(default_factory=set)  # lines
    waiting: list[tuple[int, int]] = field(default_factory=list)  # due, line; in order
    flying: Order | None = None


class OrderBook:
    """Which command goes to which vehicle when.

    `take` gives what is due and counts it as sent; `lapsed` holds orders that were given up, `refused` what could not be
    made for a vehicle, each until somebody takes them from the list.
    """

    def __init__(self, lines: Iterable[Plan], answer_timeout_ms: int = ANSWER_TIMEOUT_MS) -> None:
        self.lapsed: list[Order] = []
        self.refused: list[tuple[bytes, Plan, str]] = []
        self._lines = list(lines)
        self._timeout_ms = answer_timeout_ms
        self._vehicles: dict[bytes, _Vehicle] = {}

    def add(self, line: Plan, now: int) -> None:
        """One more line, for vehicles that are here now and those that come later."""
        self._lines.append(line)
        for vin, vehicle in self._vehicles.items():
            if vehicle.present and line.on == LOGIN:
                self._schedule(vin, vehicle, LOGIN, now)

    def logged_in(self, vin: bytes, start: bytes, now: int) -> None:
        """A vehicle is here, and speaks the edition with start mark `start`."""
        vehicle = self._vehicles.setdefault(vin, _Vehicle())
        vehicle.start, vehicle.present = start, True
        self._schedule(vin, vehicle, LOGIN, now)

    def reported(self, vin: bytes, now: int) -> None:
        """A good report of a vehicle came."""
        vehicle = self._vehicles.get(vin)
        if vehicle is not None:
            self._schedule(vin, vehicle, REPORT, now)

    def left(self, vin: bytes) -> None:
        """Its link is gone; what waits goes on waiting."""
        if vin in self._vehicles:
            self._vehicles[vin].present = False

    def take(self, now: int, wall_s: int) -> list[Order]:
        """What has to go out now."""
        due = []
        for vin, vehicle in self._vehicles.items():
            order = vehicle.flying
            if not vehicle.present:
                continue
            if order is not None and now < order.sent_at + self._patience(order):
                continue
            if order is not None and order.sends > RESENDS:
                self.lapsed.append(order)
                order = vehicle.flying = None
            if order is None:
                order = vehicle.flying = self._next(vin, vehicle, now, wall_s)
            if order is not None:
                order.sends += 1
                order.sent_at = now
                due.append(order)
        return due

    def answered(self, packet: Packet, now: int) -> Order | None:
        """The order that an answer belongs to, no longer under way; None when nobody waits for it."""
        vehicle = self._vehicles.get(packet.vin)
        order = vehicle.flying if vehicle is not None else None
        if vehicle is None or order is None or order.command != packet.command or order.packet[:2] != packet.start:
            return None
        vehicle.flying = None
        order.answer_ms, order.flag = now - order.sent_at, packet.response
        return order

    def deadline(self) -> int | None:
        """When `take` has something to do again; None: never, as things stand."""
        due = []
        for vehicle in self._vehicles.values():
            if vehicle.present and vehicle.flying is not None:
                due.append(vehicle.flying.sent_at + self._patience(vehicle.flying))
            elif vehicle.present and vehicle.waiting:
                due.append(vehicle.waiting[0][0])
        return min(due, default=None)

    def _patience(self, order: Order) -> int:
        return CONTROL_RETRY_MS if order.command == CONTROL else self._timeout_ms

    def _schedule(self, vin: bytes, vehicle: _Vehicle, on: str, now: int) -> None:
        for number, line in enumerate(self._lines):
            if line.on == on and line.vin in (None, vin) and number not in vehicle.scheduled:
                vehicle.scheduled.add(number)
                vehicle.waiting.append((now + line.after_ms, number))
        vehicle.waiting.sort()

    def _next(self, vin: bytes, vehicle: _Vehicle, now: int, wall_s: int) -> Order | None:
        while vehicle.waiting and vehicle.waiting[0][0] <= now:
            line = self._lines[vehicle.waiting.pop(0)[1]]
            try:
                return Order(vin, line.packet(vin, vehicle.start, wall_s))
            except LocalProtocolError as error:
                self.refused.append((vin, line, str(error)))
        return None


# -- what a person writes ----------------------------------------------------------------------------------------------


def read_lines(name: str, texts: Iterable[str]) -> list[Line]:
    """Lines of a script; ConfigError with every fault. `name` is what the errors call the script."""
    lines, faults = [], []
    for number, text in enumerate(texts, 1):
        if not text.strip():
            continue
        try:
            lines.append(_line(json.loads(text)))
        except (ValueError, RecursionError) as error:
            faults.append(f"line {number}: not JSON: {error}; one command a line is needed")
        except LocalProtocolError as error:
            faults += [f"line {number}: {fault}" for fault in str(error).splitlines()]
    if faults:
        raise ConfigError(name, faults)
    return lines


def _line(given: Any) -> Line:
    if not isinstance(given, dict):
        raise LocalProtocolError(f"{given!r}: an object is needed")
    given = dict(given)
    after_s, on, vin = given.pop("after_s", 0), given.pop("on", LOGIN), given.pop("vin", None)
    if isinstance(after_s, bool) or not isinstance(after_s, int | float) or not 0 <= after_s < 1e9:
        raise LocalProtocolError(f"after_s: {after_s!r}; allowed: seconds from 0 up")
    if on not in (LOGIN, REPORT):
        raise LocalProtocolError(f"on: {on!r}; allowed: {LOGIN!r}, {REPORT!r}")
    if vin is not None and (not isinstance(vin, str) or len(vin) != VIN_SIZE or not vin.isascii()):
        raise LocalProtocolError(f"vin: {vin!r}; {VIN_SIZE} characters are needed, or no vin for every vehicle")
    line = Line(given, vin.encode() if vin else None, on, round(after_s * 1000))
    check(line)
    return line


def check(line: Line) -> None:
    """LocalProtocolError when the line makes no packet in any edition."""
    problem = None
    for start in BY_START:
        try:
            line.packet(b"0" * VIN_SIZE, start, 1_000_000_000)
        except LocalProtocolError as error:
            problem = problem or error
        else:
            return
    if problem is not None:
        raise problem


# parameters that hold a text, and the one in front of each that gives its length
_LENGTHS = {5: 4, 14: 13}


def read_question(text: str) -> Line:
    """`query ID...`, `set ID=VALUE...` or `control ID [TEXT]` as a line; ConfigError that says what is allowed.

    Ids are decimal, or hexadecimal with 0x. The length of a domain name is put in front of it. `control 6 LEVEL [TEXT]`.
    """
    verb, *words = text.split() or [""]
    try:
        if verb == "query" and words:
            given: dict[str, Any] = {"command": "parameter_query", "ids": [_id(word) for word in words]}
        elif verb == "set" and words:
            given = {"command": "parameter_set", "parameters": [part for word in words for part in _parameters(word)]}
        elif verb == "control" and words:
            given = {"command": "control", **_control(_id(words[0]), words[1:])}
        else:
            raise ValueError("query ID..., set ID=VALUE... or control ID [TEXT] is needed")
        line = Line(given)
        check(line)
    except (ValueError, LocalProtocolError) as error:
        raise ConfigError(f"--ask {text!r}", str(error).splitlines()) from error
    return line


def _id(word: str) -> int:
    try:
        return int(word, 0)
    except ValueError:
        raise ValueError(f"{word[:20]!r}: a number is needed, 10 or 0x0A") from None


def _parameters(word: str) -> list[dict[str, Any]]:
    number, equals, value = word.partition("=")
    if not equals:
        raise ValueError(f"{word!r}: ID=VALUE is needed")
    own = _id(number)
    if own in _LENGTHS:
        return [{"id": _LENGTHS[own], "value": len(value)}, {"id": own, "value": value}]
    return [{"id": own, "value": _id(value) if value.isdigit() or value.startswith("0x") else value}]


def _control(number: int, words: list[str]) -> dict[str, Any]:
    if number == 6 and words:  # alarm: a level, then text
        return {"control": number, "level": _id(words[0]), "text": " ".join(words[1:])}
    return {"control": number, "arguments": " ".join(words)}
