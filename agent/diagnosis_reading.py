"""Readings of a data unit by tables that may be the wrong ones: the cheapest of them says which mistake was made.

A reading costs what it has to excuse: an illegal value, a table that is not the edition's, bytes that nobody can read. The
right tables read a good unit for nothing, so that no other table is ever preferred for it.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from struct import unpack_from
from typing import Any

from agent.core.edition import SIGNATURE
from agent.core.errors import RemoteProtocolError
from agent.core.field import Blob, Field, Items, Layout, Sized, Text, Time
from agent.core.parameters import ALARM_CONTROL, Codes, Control, PackCodes, Parameters

ILLEGAL = 3  # costs: a value outside its row,
MOST_ILLEGAL = 15  # all of them in one body,
VARIANT = 4  # a table with a known mistake,
TO_THE_END = 7  # the same where the body swallows everything behind it,
KEPT = 6  # a body of a type that may be sent but has no layout,
UNREAD = 30  # bytes that fit nothing
_NEAR = 2048  # bytes in which the end of a body without length is looked for
_IDENTIFIER = Field("id", 1, lo=1, hi=0xFE, sentinel=False)


class BudgetError(Exception):
    """The bytes can be read in too many ways."""


class BrokenError(Exception):
    """A table does not fit the bytes; `what` is a key of the texts."""

    def __init__(self, offset: int, clause: str, what: str, name: str) -> None:
        super().__init__(what)
        self.offset = offset
        self.clause = clause
        self.what = what
        self.name = name


@dataclass(slots=True)
class Leaf:
    """Numbers of one row side by side (one, or a list of them), where they begin."""

    row: Field
    table: str
    clause: str
    offset: int
    raws: tuple[int, ...]

    def illegal(self) -> list[int]:
        """Positions of numbers outside their row."""
        row = self.row
        if row.lo <= min(self.raws) and max(self.raws) <= row.hi:
            return []
        special = (row.invalid, row.abnormal, row.absent)
        return [at for at, raw in enumerate(self.raws) if not row.lo <= raw <= row.hi and raw not in special]


@dataclass(slots=True)
class Part:
    """A body, the rows of a command, or (without a layout) bytes that nothing fits; offsets count from the data given."""

    offset: int
    end: int
    type_id: int
    layout: Layout | None
    mistake: str = ""
    leaves: list[Leaf] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    fault: BrokenError | None = None

    def cost(self) -> int:
        """What its illegal values cost."""
        return min(ILLEGAL * sum(len(leaf.illegal()) for leaf in self.leaves), MOST_ILLEGAL)


class Reader:
    """Reads rows at an offset of `data`; `order` is "big" as the standard has it, or "little"."""

    def __init__(self, data: bytes, budget: int, order: str = "big") -> None:
        self.data = data
        self.order = order
        self.budget = budget  # numbers
        self._mark = ">" if order == "big" else "<"

    def part(self, type_id: int, layout: Layout, offset: int, begin: int, mistake: str = "") -> Part:
        """The rows of `layout` at `begin`; BrokenError where they do not fit."""
        part = Part(offset, begin, type_id, layout, mistake)
        if isinstance(layout, Sized) and self._number(part, layout.length, layout.name, layout.clause) != layout.size:
            raise BrokenError(begin, layout.clause, "not_declared", layout.name)
        self._layout(part, layout, layout.clause)
        return part

    def spend(self, numbers: int) -> None:
        """Count work; BudgetError when there was too much of it."""
        self.budget -= numbers
        if self.budget < 0:
            raise BudgetError

    def _number(self, part: Part, row: Field, table: str, clause: str) -> int:
        return self._numbers(part, row, table, clause, 1)[0]

    def _numbers(self, part: Part, row: Field, table: str, clause: str, count: int) -> tuple[int, ...]:
        end = part.end + count * row.size
        if end > len(self.data):
            raise BrokenError(part.end, clause, "ends", row.name)
        self.spend(2 + count // 8)
        raws = unpack_from(f"{self._mark}{count}{row.code}", self.data, part.end)
        part.leaves.append(Leaf(row, table, clause, part.end, raws))
        part.end = end
        return raws

    def _skip(self, part: Part, size: int, name: str, clause: str) -> None:
        if part.end + size > len(self.data):
            raise BrokenError(part.end, clause, "ends", name)
        self.spend(1)
        part.end += size

    def _layout(self, part: Part, layout: Layout, clause: str) -> None:
        for row in layout.rows:
            if isinstance(row, Field):
                self._number(part, row, layout.name, clause)
            else:
                _KINDS[type(row)](self, part, row, layout.name, clause)

    def _items(self, part: Part, row: Items, table: str, clause: str) -> None:
        count = self._number(part, row.count, table, clause)
        if row.count.invalid is not None and count >= row.count.top - 1:
            return
        if not isinstance(row.item, Layout):
            if count:
                self._numbers(part, row.item, table, clause, count)
            return
        for _ in range(count):
            self._layout(part, row.item, row.item.clause or clause)

    def _blob(self, part: Part, row: Blob, table: str, clause: str) -> None:
        self._skip(part, self._number(part, row.count, table, clause), row.name, clause)

    def _text(self, part: Part, row: Text, _table: str, clause: str) -> None:
        self._skip(part, row.size, row.name, clause)

    def _time(self, part: Part, row: Time, _table: str, clause: str) -> None:
        part.times.append(part.end)
        self._skip(part, row.size, row.name, clause)

    def _codes(self, part: Part, row: Codes, table: str, clause: str) -> None:
        count = self._number(part, row.count, table, clause)
        self._skip(part, count * self._number(part, row.length, table, clause), row.name, clause)

    def _pack_codes(self, part: Part, row: PackCodes, table: str, clause: str) -> None:
        count = self._number(part, row.count, table, clause)
        packs = self._numbers(part, row.packs, table, clause, count) if count else ()
        self._skip(part, sum(packs) * row.size, row.name, clause)

    def _parameters(self, part: Part, row: Parameters, table: str, clause: str) -> None:
        count = self._number(part, row.count, table, clause)
        lengths: dict[int, int] = {}
        for _ in range(0 if count >= row.count.top - 1 else count):
            number = self._number(part, _IDENTIFIER, table, clause)
            item = row.table.get(number)
            if item is None:
                raise BrokenError(part.end - 1, clause, "unknown_parameter", f"{number:02X}")
            if isinstance(item, int):
                if item not in lengths:
                    raise BrokenError(part.end - 1, clause, "no_length_before", f"{number:02X}")
                self._skip(part, lengths[item], f"{number:02X}", clause)
            elif isinstance(item, Text):
                self._skip(part, item.size, item.name, clause)
            else:
                lengths[number] = self._number(part, item, table, clause)

    def _control(self, part: Part, row: Control, table: str, clause: str) -> None:
        if self._number(part, row.command, table, clause) == ALARM_CONTROL and part.end < len(self.data):
            self._number(part, row.level, table, clause)
        part.end = len(self.data)


_KINDS: dict[type, Callable[[Reader, Part, Any, str, str], None]] = {
    Items: Reader._items,
    Blob: Reader._blob,
    Text: Reader._text,
    Time: Reader._time,
    Codes: Reader._codes,
    PackCodes: Reader._pack_codes,
    Parameters: Reader._parameters,
    Control: Reader._control,
}


@dataclass(slots=True)
class Choice:
    """A table that may be meant by a body type, and the mistake that this would be ("" for the right one)."""

    layout: Layout
    mistake: str = ""


@dataclass(slots=True)
class Reading:
    """Parts side by side from where the bodies begin to the end, and what they cost."""

    parts: list[Part]
    cost: int

    def broken(self) -> bool:
        """Whether some bytes fit nothing."""
        return any(part.fault is not None for part in self.parts)


def read_bodies(reader: Reader, begin: int, choices: Callable[[int], list[Choice]], kept: range) -> Reading:
    """The cheapest way from `begin` to the end; `kept`: types that may be sent though their layout is not known.

    A shortest path: the places where a body may begin are its nodes.
    """
    end = len(reader.data)
    known = frozenset(number for number in range(256) if choices(number))
    best: dict[int, tuple[int, Part | None]] = {begin: (0, None)}
    due = [(0, begin)]
    while due:
        cost, offset = heapq.heappop(due)
        if offset >= end:
            break
        if cost > best[offset][0]:
            continue
        for extra, part in _ways(reader, offset, choices, kept, known):
            total = cost + extra
            if part.end not in best or total < best[part.end][0]:
                best[part.end] = (total, part)
                heapq.heappush(due, (total, part.end))
    parts: list[Part] = []
    at = end
    while (part_before := best[at][1]) is not None:
        parts.append(part_before)
        at = part_before.offset
    return Reading(parts[::-1], best[end][0])


def _is_declared(choices: list[Choice]) -> bool:
    """Whether somebody said how long the body is."""
    return bool(choices) and isinstance(choices[0].layout, Sized)


def _ways(
    reader: Reader, offset: int, choices: Callable[[int], list[Choice]], kept: range, known: frozenset[int]
) -> list[tuple[int, Part]]:
    data = reader.data
    type_id, end = data[offset], len(data)
    ways = []
    fault: BrokenError | None = None
    for choice in choices(type_id):
        try:
            part = reader.part(type_id, choice.layout, offset, offset + 1, choice.mistake)
        except BrokenError as error:
            fault = fault or (None if choice.mistake else error)
            continue
        ways.append((part.cost() + (VARIANT if choice.mistake else 0), part))
    if type_id >= 0x80 and type_id != SIGNATURE and not _is_declared(choices(type_id)):
        stop = min(end, offset + _NEAR)
        places = [at for at in range(offset + 2, stop) if data[at] in known]
        reader.spend(_NEAR // 16 + len(places))
        ways += [(VARIANT + 1, Part(offset, at, type_id, None, "no_length")) for at in places]
        ways.append((TO_THE_END, Part(offset, end, type_id, None, "no_length")))
    if fault is None and not ways:
        fault = BrokenError(offset, "7.2.2", "kept_type" if type_id in kept else "unknown_type", f"{type_id:02X}")
    if fault is not None:
        cost = KEPT if type_id in kept else UNREAD
        ways.append((cost, Part(offset, end, type_id, None, fault=fault)))
    return ways


def read_rows(reader: Reader, begin: int, choices: list[Choice]) -> Reading:
    """The cheapest of `choices` for the rows of a command; bytes behind them cost as what nobody can read."""
    found: list[Reading] = []
    fault: BrokenError | None = None
    for choice in choices:
        try:
            part = reader.part(0, choice.layout, begin, begin, choice.mistake)
        except BrokenError as error:
            fault = fault or error
            continue
        cost = part.cost() + (VARIANT if choice.mistake else 0)
        parts = [part]
        if part.end < len(reader.data):
            behind = BrokenError(part.end, choice.layout.clause, "behind_rows", choice.layout.name)
            parts.append(Part(part.end, len(reader.data), 0, None, fault=behind))
            cost += UNREAD
        found.append(Reading(parts, cost))
    if fault is not None:
        found.append(Reading([Part(begin, len(reader.data), 0, None, fault=fault)], UNREAD + 1))
    return min(found, key=lambda reading: reading.cost)


def possible_time(data: bytes, offset: int, read: Callable[[bytes, int], int]) -> bool:
    """Whether `read` (epoch_of) takes the six bytes at `offset`."""
    try:
        read(data, offset)
    except RemoteProtocolError:
        return False
    return True
