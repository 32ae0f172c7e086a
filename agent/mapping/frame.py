"""One message as a mapping uses it: its options, its signals' places, how long it may stay away."""

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from agent.core.frames import EXTENDED
from agent.core.j1939 import ANY_PRIORITY, FIRST_TO_ALL, PGN_MASK, PGN_TO_ONE_MASK
from agent.mapping.dbcfile import Dbc, cycle_ms_of
from agent.mapping.multiplexers import bits_of, known_values

if TYPE_CHECKING:
    from cantools.database.can import Message, Signal

Row = list[Any]

MIN_TIMEOUT_MS, MAX_TIMEOUT_MS = 1000, 30000
CYCLES_TO_TIMEOUT = 10
UNKNOWN_CYCLE_TIMEOUT_MS = 5000
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
        """How many values of a multiplexer the DBC describes."""
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


def timeout_ms_of(frame: Frame, chain: tuple[Any, ...]) -> int:
    """Ten cycles, of all pages when multiplexed; what the mapping says goes first."""
    if frame.timeout_ms is not None:
        return frame.timeout_ms
    cycle_ms = cycle_ms_of(frame.message)
    if cycle_ms is None:
        return UNKNOWN_CYCLE_TIMEOUT_MS
    pages = math.prod(frame.page_count(name) for name, _ in chain)
    return min(max(CYCLES_TO_TIMEOUT * cycle_ms * pages, MIN_TIMEOUT_MS), MAX_TIMEOUT_MS)
