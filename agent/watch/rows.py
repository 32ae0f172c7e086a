"""What `tbox watch` shows of the items: one row each, out of the newest frames by the sampler that reports go through."""

from collections.abc import Container
from typing import Any

import msgspec

from agent.core.frames import LatestFrames
from agent.core.sampler import Sampler
from agent.mapping.plan import CompiledMapping, Item
from agent.packetjson import bodies_to_json
from agent.watch.places import Place, places
from agent.watch.signals import (
    ABNORMAL,
    GRADES,
    NO_FIX,
    NOT_AVAILABLE,
    NOT_MAPPED,
    OUT_OF_RANGE,
    VALID,
    Number,
    Reading,
    Signal,
    Signals,
)


class Row(msgspec.Struct):
    """One item now, or (`parts`) one of a list's values, of the flags, or of an expression's signals.

    `raw`, `physical`, `unit` (that of the DBC) of the signal; `count` and `value` (a word, a number in `value_unit`, None for
    invalid) as the platform sees them: lists of them where the item is a list. `age_ms`: of the oldest signal.
    `good` of `of`: how many of a list, or how many flags, are valid.
    """

    item: str
    body: str
    kind: str
    source: str
    validity: str
    raw: int | None = None
    physical: Number | None = None
    unit: str = ""
    count: Any = None
    value: Any = None
    value_unit: str = ""
    age_ms: int | None = None
    good: int = 0
    of: int = 0
    parts: list["Row"] = []


class Rows:
    """Makes the rows of a mapping; `table` and `name` of each item are what `agent/labels.py` asks for."""

    def __init__(self, mapping: CompiledMapping, ticks_per_ms: int = 1) -> None:
        self._mapping = mapping
        self._edition = mapping.edition
        self._sampler = Sampler(mapping.plan, ticks_per_ms)
        self._ticks_per_ms = ticks_per_ms
        self._signals = Signals(mapping)
        self._places = places(mapping)

    def place(self, item: str) -> Place | None:
        """Where an item stands, by its path."""
        return self._places.get(item)

    def rows(self, latest: LatestFrames, now: int, away: Container[int] = ()) -> list[Row]:
        """One row for each item of the mapping at `now` (ticks), in its order; `away`: numbers of the buses that are not open."""
        values = self._sampler.values(latest, now)
        sample = self._sampler.assemble(values)
        bodies: list[Any] = [body for _, body in sample]
        shown: list[Any] = bodies_to_json(self._edition, sample)
        moment = _Moment(latest, now, self._ticks_per_ms, away, values, bodies, shown)
        return [self._row(item, moment) for item in self._mapping.items]

    def _row(self, item: Item, moment: "_Moment") -> Row:
        row = Row(item.path, item.body, item.kind, item.source, NOT_MAPPED)
        place = self._places.get(item.path)
        if place is None:
            return row
        row.count, row.value = _at(moment.bodies, place.keys), _at(moment.shown, place.shown)
        if place.bits is not None and isinstance(row.count, int):
            row.count = row.count >> place.bits[0] & ((1 << place.bits[1]) - 1)
        row.value_unit = place.field.unit if place.field is not None else ""
        if item.kind == "absent":
            return row
        if place.folded:
            self._fold(row, place, moment)
            return row
        behind = self._signals.behind(place.outs[0]) if place.outs and place.outs[0] >= 0 else []
        self._fill(row, behind, moment)
        if not behind:
            row.validity = VALID if item.kind == "constant" else _by_value(row.value)
        elif self._signals.worked_out(place.outs[0]):
            row.validity = self._result(place.outs[0], row, moment)
        if place.coordinate and row.validity == VALID and not _at(moment.shown, [*place.shown[:-1], "valid"]):
            row.validity = NO_FIX
        return row

    def _fill(self, row: Row, behind: list[Signal], moment: "_Moment") -> None:
        """What the signals behind one value say: of one its numbers, of several the parts."""
        readings = [signal.read(moment.latest, moment.now, moment.ticks_per_ms, moment.away) for signal in behind]
        if not readings:
            return
        row.age_ms = _oldest([reading.age_ms for reading in readings])
        row.validity = worst([reading.validity for reading in readings])
        if len(readings) == 1:
            row.raw, row.physical, row.unit = readings[0].raw, readings[0].physical, readings[0].unit
        if len(readings) > 1 or row.kind == "expression":
            row.parts = [_part(reading, row.body) for reading in readings]

    def _result(self, out: int, row: Row, moment: "_Moment") -> str:
        """Of an expression: its own result counts, whatever its signals are."""
        if moment.values[out] != self._mapping.plan["defaults"][out]:
            return VALID
        return OUT_OF_RANGE if row.validity == VALID else row.validity

    def _fold(self, row: Row, place: Place, moment: "_Moment") -> None:
        """A list, or the flags: a row a value, and how many of them are good."""
        for position, out in enumerate(place.outs):
            name = place.names[position] if place.names else f"{row.item}[{position + 1}]"
            behind = self._signals.behind(out)
            kind = "expression" if len(behind) > 1 else "signal" if behind else "constant"
            part = Row(name, row.body, kind, ", ".join(signal.source for signal in behind), VALID)
            self._fill(part, behind, moment)
            if self._signals.worked_out(out):
                part.validity = self._result(out, part, moment)
            if place.names:
                part.count = moment.values[out] if part.validity == VALID else None
                part.value = bool(part.count) if part.count is not None else None
            elif isinstance(row.count, list) and len(row.count) == len(place.outs):
                part.count, part.value, part.value_unit = row.count[position], row.value[position], row.value_unit
            row.parts.append(part)
        row.of = len(row.parts)
        row.good = sum(part.validity == VALID for part in row.parts)
        row.age_ms = _oldest([part.age_ms for part in row.parts])
        row.validity = worst([part.validity for part in row.parts])


class _Moment(msgspec.Struct):
    """What all rows of one moment are made of."""

    latest: LatestFrames
    now: int
    ticks_per_ms: int
    away: Any
    values: list[Any]
    bodies: list[Any]
    shown: list[Any]


def worst(grades: list[str]) -> str:
    """The validity of several values together; of none it is good."""
    return max(grades, key=GRADES.index, default=VALID)


def _part(reading: Reading, body: str) -> Row:
    """A signal of an expression: it has no count of its own."""
    return Row(
        reading.source,
        body,
        "operand",
        reading.source,
        reading.validity,
        raw=reading.raw,
        physical=reading.physical,
        unit=reading.unit,
        age_ms=reading.age_ms,
    )


def _by_value(value: Any) -> str:
    """Of what is worked out of other items."""
    return NOT_AVAILABLE if value is None else ABNORMAL if value == "abnormal" else VALID


def _oldest(ages: list[int | None]) -> int | None:
    return max((age for age in ages if age is not None), default=None)


def _at(tree: Any, keys: list[Any]) -> Any:
    """What `keys` lead to; None where the way ends before."""
    for key in keys:
        if isinstance(key, str) and not isinstance(tree, dict):
            return None
        tree = tree.get(key) if isinstance(key, str) else tree[key]
    return tree
