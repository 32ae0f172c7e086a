"""From names in a mapping to places on a bus: buses, messages, signals, the sources they are kept in, the rows that read them."""

import difflib
import itertools
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from agent.core.j1939 import ANY_PRIORITY, FIRST_TO_ALL, LAST_SOURCE, LONGEST, PGN_MASK, PGN_TO_ONE_MASK
from agent.core.signals import COUNT, FLOAT_COUNT, FLOAT_OPERAND, OPERAND
from agent.mapping.dbcfile import EXTENDED, Dbc, cycle_ms_of
from agent.mapping.multiplexers import bits_of, chain_of, known_values, masked, selectors

if TYPE_CHECKING:
    from cantools.database.can import Message, Signal

__all__ = ["ONLY_29_BIT", "UNREAD", "Frame", "Place", "Sources", "nearest"]

Row = list[Any]

MIN_TIMEOUT_MS, MAX_TIMEOUT_MS = 1000, 30000
CYCLES_TO_TIMEOUT = 10
UNKNOWN_CYCLE_TIMEOUT_MS = 5000
ONLY_29_BIT = "is an 11-bit message; only 29-bit identifiers carry a J1939 source address"
UNREAD = "not all of its DBC files could be read"
LONGEST_FRAME = 64  # bytes, CAN FD
_LONGEST_NAME = 128  # characters; DBC names have 32, long symbols 128
_NOBODY = 0xFE  # source address in a DBC whose messages come from whoever sends them


def nearest(name: str, known: Iterable[str]) -> str:
    """' (did you mean X?)' where something known is close enough, else a few of the known names."""
    names = sorted({str(item) for item in known if len(str(item)) <= _LONGEST_NAME})
    if len(name) > _LONGEST_NAME:
        return ""  # comparing takes the product of two lengths
    folded = {item.lower(): item for item in reversed(names)}
    if close := difflib.get_close_matches(name.lower(), folded, 1, 0.6):
        return f" (did you mean {folded[close[0]]}?)"
    if not names:
        return ""
    return f" (known: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''})"


@dataclass
class Frame:
    """A message that the mapping uses, with its options."""

    bus: int
    dbc: Dbc
    message: "Message"
    label: str
    timeout_ms: int | None = None
    alive_counter: str | None = None
    checksum: Row | None = None
    j1939: bool | None = None
    source: int | None = None  # J1939 address of the only sender that counts
    slots: dict[tuple[Any, ...], int] = field(default_factory=dict)  # chain of multiplexers -> source
    _signals: "dict[str, Signal]" = field(default_factory=dict, init=False, repr=False)
    _page_counts: dict[str, int] = field(default_factory=dict, init=False, repr=False)  # by multiplexer

    def __post_init__(self) -> None:
        for signal in self.message.signals:
            self._signals.setdefault(signal.name, signal)

    @property
    def can_id(self) -> int:
        return self.message.frame_id | (EXTENDED if self.message.is_extended_frame else 0)

    @property
    def identity(self) -> tuple[int, int]:
        """Identifier and mask of its frames on the bus; mask -1: all of the identifier counts."""
        can_id = self.can_id
        pgn = PGN_MASK if can_id >> 16 & 0xFF >= FIRST_TO_ALL else PGN_TO_ONE_MASK
        if self.source is not None:
            return can_id & ~0xFF | self.source, pgn | 0xFF
        if self.j1939 is None and self.dbc.is_j1939(self.message):
            return can_id, pgn if can_id & 0xFF == _NOBODY else ANY_PRIORITY
        return can_id, pgn if self.j1939 else -1

    def signal(self, name: str) -> "Signal":
        """LookupError with a suggestion when the message has no such signal."""
        if name in self._signals:
            if min(bits_of(self._signals[name])) < 0:
                raise LookupError(f"{self.label}.{name} begins in front of its message")
            return self._signals[name]
        raise LookupError(f"{self.label} has no signal {name}{nearest(name, self._signals)}")

    def page_count(self, multiplexer: str) -> int:
        if multiplexer not in self._page_counts:
            self._page_counts[multiplexer] = len(known_values(self.message, self.signal(multiplexer)))
        return self._page_counts[multiplexer]


@dataclass
class Place:
    """One signal of one message, and how its raw integer is found."""

    frame: Frame
    signal: "Signal"
    factor: Fraction
    offset: Fraction

    @property
    def label(self) -> str:
        return f"{self.frame.label}.{self.signal.name}"

    @property
    def raw_range(self) -> tuple[int, int]:
        bits = self.signal.length
        return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if self.signal.is_signed else (0, (1 << bits) - 1)

    @property
    def is_float(self) -> bool:
        return self.signal.conversion.is_float

    def bits(self) -> list[int]:
        """Bit numbers of the little-endian word, most significant bit of the signal first."""
        return bits_of(self.signal)


class _Messages:
    """The messages of one bus, by name and by identifier: a bus may have thousands, and each signal asks."""

    def __init__(self, dbcs: list[Dbc]) -> None:
        self._by_name: dict[str, list[tuple[Dbc, Message]]] = {}
        self._by_id: dict[tuple[int, bool], list[tuple[Dbc, Message]]] = {}
        for dbc in dbcs:
            for message in dbc.messages:
                self._by_name.setdefault(message.name, []).append((dbc, message))
                self._by_id.setdefault((message.frame_id, message.is_extended_frame), []).append((dbc, message))

    def find(self, bus: str, name: str) -> "list[tuple[Dbc, Message]]":
        if match := re.fullmatch(r"0[xX]([0-9A-Fa-f]+)(x?)", name):
            if found := self._by_id.get((int(match[1], 16), bool(match[2]))):
                return found
            hint = "" if match[2] else " (29-bit identifiers end in x)"
            raise LookupError(f"bus {bus} has no message {name}{hint}")
        if found := self._by_name.get(name):
            return found
        raise LookupError(f"bus {bus} has no message {name}{nearest(name, self._by_name)}")


class Sources:
    """All sources of a plan, made as signals ask for them."""

    def __init__(self, buses: dict[str, list[Dbc]], broken: set[str]) -> None:
        self._buses = list(buses)
        self._broken = broken  # buses with a file that could not be read: what they lack is not the mapping's fault
        self._dbcs = buses
        self._known = {bus: _Messages(dbcs) for bus, dbcs in buses.items()}
        self._frames: dict[tuple[int, int, int | None], Frame] = {}
        self._rows: list[Row] = []  # per source: length, timeout, little, big, careful little, careful big
        self._operands: dict[tuple[Any, ...], int] = {}

    @property
    def operand_count(self) -> int:
        return len(self._operands)

    def frame(self, bus: str, name: str) -> Frame:
        """Find a message by name or 0x identifier (29-bit: trailing x); LookupError with the reason.

        NAME@SOURCE is the same message from one J1939 source address, apart from the other addresses.
        """
        if bus not in self._dbcs:
            raise LookupError(f"no bus {bus}{nearest(bus, self._dbcs)}")
        if bus in self._broken:
            raise LookupError(f"bus {bus}: {UNREAD}")
        name, source = _sender(name)
        found = self._known[bus].find(bus, name)
        dbc, message = found[0]
        if ids := {_id_text(other): None for _, other in found if _id_text(other) != _id_text(message)}:
            raise LookupError(
                f"bus {bus} has several messages {name}: use the identifier ({_id_text(message)}, {', '.join(ids)})"
            )
        if len(found) > 1 and any(_layout(other) != _layout(message) for _, other in found):
            names = " and ".join(sorted({f"{other.name} {_id_text(other)}" for _, other in found}))
            raise LookupError(f"bus {bus}: its DBC files disagree about {names}; leave one of the files out")
        if source is not None and not message.is_extended_frame:
            raise LookupError(f"{bus}.{message.name}@0x{source:02X}: {ONLY_29_BIT}")
        key = (self._buses.index(bus), message.frame_id | (EXTENDED if message.is_extended_frame else 0), source)
        label = f"{bus}.{message.name}" + ("" if source is None else f"@0x{source:02X}")
        if key not in self._frames:
            self._frames[key] = Frame(key[0], dbc, message, label, source=source)
        frame = self._frames[key]
        if frame.message is not message:
            raise LookupError(f"bus {bus}: {frame.message.name} and {message.name} have the same {_id_text(message)}")
        return frame

    def place(self, reference: str) -> Place:
        """Find bus.message.signal; LookupError with the reason."""
        parts = reference.split(".")
        if len(parts) != 3:
            raise LookupError(f'"{reference}" is not bus.message.signal')
        frame = self.frame(parts[0], parts[1])
        signal = frame.signal(parts[2])
        try:
            place = Place(frame, signal, *frame.dbc.scaling(frame.message, signal))
        except ValueError as error:
            raise LookupError(f"{frame.label}.{signal.name}: factor or offset in the DBC: {error}") from None
        if place.factor == 0:
            raise LookupError(f"{place.label} has factor 0 in the DBC")
        if place.is_float and signal.length not in (16, 32, 64):
            raise LookupError(f"{place.label} is a float of {signal.length} bits; 16, 32 and 64 are known")
        try:
            chain = chain_of(signal, frame.signal)
        except LookupError as error:
            raise LookupError(f"{place.label}: {error.args[0]}") from None
        for name, ids in chain:
            multiplexer = frame.signal(name)
            if not any(value < 1 << multiplexer.length for value in ids):
                page = (
                    f"page {ids[0]}, which {multiplexer.length} bits of {name} cannot name"
                    if ids
                    else f"no page of {name}"
                )
                raise LookupError(f"{place.label} is on {page}")
        longest = LONGEST_FRAME if frame.identity[1] == -1 else LONGEST
        if frame.message.length > longest:
            hint = "" if longest == LONGEST else " (j1939 = true takes it as a message of several packets)"
            raise LookupError(f"{frame.label} has {frame.message.length} bytes, at most {longest} can come{hint}")
        if max(place.bits()) >= 8 * frame.message.length:
            raise LookupError(f"{place.label} does not fit in its message of {frame.message.length} bytes")
        return place

    def add_count(
        self, place: Place, scale: tuple[Fraction, Fraction], lo: int, hi: int, out: int, special: Row
    ) -> int:
        """Read `place` into values[out] = raw * scale[0] + scale[1]; return how many raw values lie in lo..hi.

        `special`: [raw, value] pairs that go first; hi < lo: only those.
        """
        factor, offset = scale
        if place.is_float:
            den = math.lcm(factor.denominator, offset.denominator)
            row = [lo, hi, int(factor * den), int(offset * den), den, out]
            self._add_row(place, row, FLOAT_COUNT, special)
            return hi - lo + 1
        first, last = _raw_range(factor, offset, lo, hi) if lo <= hi else (1, 0)
        first, last = max(first, place.raw_range[0]), min(last, place.raw_range[1])
        den = 2 * math.lcm(factor.denominator, offset.denominator)
        row = [first, last, int(factor * den), int(offset * den) + den // 2, den, out]
        self._add_row(place, row, COUNT if special or last < first else None, special)
        return last - first + 1

    def add_operand(self, place: Place, scale: tuple[Fraction, Fraction], special: Row, listed: bool) -> int:
        """Read `place` as an exact physical value; return its operand index (shared by equal requests).

        `listed`: only the raw values of `special` are known.
        """
        frame = place.frame
        key = (frame.bus, frame.can_id, frame.source, place.signal.name, scale, repr(special), listed)
        if key not in self._operands:
            index = self._operands[key] = len(self._operands)
            factor, offset = scale
            den = math.lcm(factor.denominator, offset.denominator)
            first, last = (1, 0) if listed else place.raw_range
            row = [first, last, int(factor * den), int(offset * den), den, index]
            self._add_row(place, row, FLOAT_OPERAND if place.is_float else OPERAND, special)
        return self._operands[key]

    def _add_row(self, place: Place, row: Row, kind: int | None, special: Row) -> None:
        """`kind` None: a plain row."""
        signal = place.signal
        source = self._rows[self._slot(place)]
        little = signal.byte_order == "little_endian"
        shift = signal.start
        if not little:
            first = 8 * (signal.start // 8) + 7 - signal.start % 8
            shift = 8 * place.frame.message.length - first - signal.length
        mask = (1 << signal.length) - 1
        sign = 1 << (signal.length - 1) if signal.is_signed and not place.is_float else 0
        head = [shift, mask, sign, *row]
        if kind is None:
            source[2 if little else 3].append(head)
        else:
            source[4 if little else 5].append([*head, kind, special])

    def _slot(self, place: Place) -> int:
        """The source in which a signal is found: one per message and chain of multiplexer values."""
        frame = place.frame
        key = chain_of(place.signal, frame.signal)
        if key not in frame.slots:
            frame.slots[key] = len(self._rows)
            self._rows.append([frame.message.length, _timeout_ms(frame, key), [], [], [], []])
        return frame.slots[key]

    def overlaps(self) -> list[str]:
        """Pairs of mapped messages that would take the same frames, where each frame can only go to one."""
        used = [frame for frame in self._frames.values() if frame.slots]
        return [
            f"{one.label} and {other.label} would take the same frames; name the source of each "
            f"(source = 0x00, or {other.label.partition('@')[0]}@0x00.SIGNAL)"
            for one, other in itertools.combinations(used, 2)
            if one.bus == other.bus and _meet(one.identity, other.identity)
        ]

    def plan(self) -> dict[str, list[Row]]:
        """`messages` and `sources` of the plan, as `agent/core/frames.py` and `agent/core/signals.py` describe them."""
        messages = []
        for frame in self._frames.values():
            if not frame.slots:
                continue
            can_id, mask = frame.identity
            alive = None
            if frame.alive_counter:
                alive = masked(bits_of(frame.signal(frame.alive_counter)))
            pages = selectors(frame.message, frame.slots)
            slot = frame.slots.get((), -1)
            messages.append([frame.bus, can_id, mask, frame.message.length, slot, pages, alive, frame.checksum])
        return {"messages": messages, "sources": self._rows}


def _sender(name: str) -> tuple[str, int | None]:
    """EEC1@0x31 -> EEC1, 0x31."""
    message, at, text = name.partition("@")
    if not at:
        return name, None
    if not re.fullmatch(r"0[xX][0-9A-Fa-f]+|0|[1-9][0-9]*", text) or int(text, 0) > LAST_SOURCE:
        raise LookupError(f"{name}: behind @ stands a J1939 source address, 0x00..0x{LAST_SOURCE:X}")
    return message, int(text, 0)


def _meet(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Is there an identifier that both take?"""
    return (one[0] ^ other[0]) & one[1] & other[1] == 0


def _layout(message: "Message") -> tuple[Any, ...]:
    """What makes two descriptions of a message the same one."""
    keys = (
        "name",
        "start",
        "length",
        "byte_order",
        "is_signed",
        "scale",
        "offset",
        "multiplexer_signal",
        "multiplexer_ids",
    )
    return message.name, message.length, *([getattr(signal, key) for key in keys] for signal in message.signals)


def _id_text(message: "Message") -> str:
    return f"0x{message.frame_id:X}{'x' if message.is_extended_frame else ''}"


def _timeout_ms(frame: Frame, chain: tuple[Any, ...]) -> int:
    """Ten cycles, of all pages when multiplexed; what the mapping says goes first."""
    if frame.timeout_ms is not None:
        return frame.timeout_ms
    cycle_ms = cycle_ms_of(frame.message)
    if cycle_ms is None:
        return UNKNOWN_CYCLE_TIMEOUT_MS
    pages = math.prod(frame.page_count(name) for name, _ in chain)
    return min(max(CYCLES_TO_TIMEOUT * cycle_ms * pages, MIN_TIMEOUT_MS), MAX_TIMEOUT_MS)


def _raw_range(factor: Fraction, offset: Fraction, lo: int, hi: int) -> tuple[int, int]:
    """First and last raw whose count raw * factor + offset rounds (ties away from zero) into lo..hi; 0 <= lo <= hi."""
    half = Fraction(1, 2)
    # lo - 1/2 itself rounds to lo, except -1/2, which rounds to -1.
    low = (lo - half - offset) / factor
    high = (hi + half - offset) / factor
    if factor > 0:
        return (math.floor(low) + 1 if lo == 0 else math.ceil(low)), math.ceil(high) - 1
    return math.floor(high) + 1, (math.ceil(low) - 1 if lo == 0 else math.floor(low))
