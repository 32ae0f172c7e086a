"""One message as a mapping uses it: its options, its signals' places, the rows that choose its pages."""

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from agent.core.frames import EXTENDED
from agent.core.j1939 import ANY_PRIORITY, FIRST_TO_ALL, PGN_MASK, PGN_TO_ONE_MASK
from agent.mapping.dbcfile import Dbc

if TYPE_CHECKING:
    from cantools.database.can import Message, Signal

Row = list[Any]

MIN_TIMEOUT_MS, MAX_TIMEOUT_MS = 1000, 30000
CYCLES_TO_TIMEOUT = 10
UNKNOWN_CYCLE_TIMEOUT_MS = 5000
_NOBODY = 0xFE  # source address in a DBC whose messages come from whoever sends them


def nearest(name: str, known: Iterable[str]) -> str:
    """' (did you mean X?)' where something known is close enough, else a few of the known names."""
    names = sorted({str(item) for item in known})
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
        for signal in self.message.signals:
            if signal.name == name:
                return signal
        known = [signal.name for signal in self.message.signals]
        raise LookupError(f"{self.label} has no signal {name}{nearest(name, known)}")


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


def bits_of(signal: "Signal") -> list[int]:
    if signal.byte_order == "little_endian":
        return [signal.start + signal.length - 1 - index for index in range(signal.length)]
    bits = []
    position = signal.start
    for _ in range(signal.length):
        bits.append(position)
        # Down within a byte, then to the top bit of the next byte.
        position = position - 1 if position % 8 else position + 15
    return bits


def chain_of(frame: Frame, signal: "Signal") -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The multiplexers above a signal, outermost first, each with the values that make way for it."""
    chain: list[tuple[str, tuple[int, ...]]] = []
    while signal.multiplexer_signal is not None:
        chain.insert(0, (signal.multiplexer_signal, tuple(signal.multiplexer_ids or ())))
        signal = frame.signal(signal.multiplexer_signal)
    return tuple(chain)


def _known_values(message: "Message", multiplexer: "Signal") -> list[int]:
    """Every value of a multiplexer that the DBC describes; files also name values that its bits cannot hold."""
    values = {
        value
        for signal in message.signals
        if signal.multiplexer_signal == multiplexer.name
        for value in signal.multiplexer_ids or ()
    }
    return sorted(value for value in values if value < 1 << multiplexer.length)


def masked(bits: list[int]) -> list[int]:
    """[byte, mask, needed bytes] that pick the bits; byte -1: they lie in several, the mask is of the whole word."""
    mask = sum(1 << bit for bit in bits)
    first, last = min(bits) // 8, max(bits) // 8
    return [first, mask >> 8 * first, last + 1] if first == last else [-1, mask, last + 1]


def selectors_of(message: "Message", slots: dict[tuple[Any, ...], int]) -> list[Row]:
    """One row per multiplexer that stands first in a chain; inner multiplexers hang below their page."""
    rows: list[Row] = []
    for name in sorted({chain[0][0] for chain in slots if chain}):
        signal = next(signal for signal in message.signals if signal.name == name)
        bits = bits_of(signal)
        byte, mask, needed = masked(bits)
        down = 8 * byte if byte >= 0 else 0
        cases = []
        for value in _known_values(message, signal):
            inside = {
                chain: slot for chain, slot in slots.items() if chain and chain[0][0] == name and value in chain[0][1]
            }
            spread = sum((value >> (len(bits) - 1 - index) & 1) << bit for index, bit in enumerate(bits))
            here = [slot for chain, slot in inside.items() if len(chain) == 1]
            inner = selectors_of(message, {chain[1:]: slot for chain, slot in inside.items() if len(chain) > 1})
            cases.append([spread >> down, here, inner])
        rows.append([byte, mask, needed, cases])
    return rows


def timeout_ms_of(frame: Frame, chain: tuple[Any, ...]) -> int:
    """Ten cycles, of all pages when multiplexed; what the mapping says goes first."""
    if frame.timeout_ms is not None:
        return frame.timeout_ms
    cycle_ms = frame.message.cycle_time
    if not cycle_ms:
        return UNKNOWN_CYCLE_TIMEOUT_MS
    pages = math.prod(len(_known_values(frame.message, frame.signal(name))) for name, _ in chain)
    return min(max(CYCLES_TO_TIMEOUT * int(cycle_ms) * pages, MIN_TIMEOUT_MS), MAX_TIMEOUT_MS)
