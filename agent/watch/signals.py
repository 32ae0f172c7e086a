"""The signals of a compiled mapping in the newest frames: raw, physical, age, and whether the value counts.

Read with the same rows of the plan that the sample is made with (`agent/core/signals.py`), so that what is shown is what is sent.
"""

from collections.abc import Container
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec

from agent.core.frames import NEVER, LatestFrames
from agent.core.needs import slots_of
from agent.core.signals import FLOAT_COUNT, FLOAT_OPERAND, OPERAND, UNKNOWN, float_ratio, rounded
from agent.mapping.plan import CompiledMapping

# Validity, the best first.
VALID = "valid"
ABNORMAL = "abnormal"
NOT_AVAILABLE = "not available"  # a code of the signal's sender
OUT_OF_RANGE = "out of range"
NO_FIX = "no fix"
SHORT = "short frame"
STALE = "stale"
NEVER_SEEN = "never seen"
BUS_AWAY = "bus away"
NOT_MAPPED = "not mapped"
GRADES = (VALID, NOT_MAPPED, ABNORMAL, NOT_AVAILABLE, NO_FIX, OUT_OF_RANGE, SHORT, STALE, NEVER_SEEN, BUS_AWAY)

Number = int | float


class Reading(msgspec.Struct):
    """One signal now: `raw` and `physical` (in the DBC's `unit`) also of a stale frame, None without one."""

    source: str
    unit: str
    raw: int | None
    physical: Number | None
    age_ms: int | None
    validity: str


class Signal(NamedTuple):
    """Where a signal stands: a row of a source of the plan, and what the DBC says of it."""

    source: str
    unit: str
    factor: Fraction
    offset: Fraction
    slot: int
    length: int
    timeout_ms: int
    big: bool
    row: list[Any]
    default: Any  # what stands in the sample while nothing is known; None for an operand
    bus: int

    def read(self, latest: LatestFrames, now: int, ticks_per_ms: int, away: Container[int] = ()) -> Reading:
        """The signal at `now` (ticks); `away`: the buses that are not open."""
        stamp = latest.stamps[self.slot]  # before the frame: as `LatestFrames` says
        data = latest.frames[self.slot]
        if stamp == NEVER:
            return Reading(self.source, self.unit, None, None, None, BUS_AWAY if self.bus in away else NEVER_SEEN)
        age_ms = max(0, (now - stamp) // ticks_per_ms)
        bits = self._bits(data)
        if bits is None:
            return Reading(self.source, self.unit, None, None, age_ms, SHORT)
        raw, physical, validity = self._judge(bits)
        if now - stamp > self.timeout_ms * ticks_per_ms:
            validity = STALE
        return Reading(self.source, self.unit, raw, physical, age_ms, validity)

    def _bits(self, data: bytes | bytearray) -> int | None:
        """As `Decoder.decode` cuts it out; None where the frame ends before the signal."""
        shift, mask = self.row[:2]
        missing = 8 * (self.length - len(data))
        word = int.from_bytes(data, "big" if self.big else "little")
        if self.big:
            if missing > 0 and shift < missing:
                return None
            word = word << missing if missing >= 0 else word >> -missing
        elif missing > 0 and (mask << shift) >> 8 * len(data):
            return None
        return int(word >> shift & mask)

    def _judge(self, bits: int) -> tuple[int, Number | None, str]:
        _, mask, sign, lo, hi, num, add, den = self.row[:8]
        kind, special = self.row[9:11] if len(self.row) > 9 else (None, [])
        if kind in (FLOAT_COUNT, FLOAT_OPERAND):
            return bits, *self._judge_float(bits, mask, lo, hi, (num, add, den), kind == FLOAT_COUNT)
        raw = bits - mask - 1 if bits & sign else bits
        physical = number(raw * self.factor + self.offset)
        for code, value in special:
            if code == raw:
                return raw, physical, NOT_AVAILABLE if self._means_nothing(value, kind == OPERAND) else VALID
        return raw, physical, VALID if lo <= raw <= hi else OUT_OF_RANGE

    def _judge_float(
        self, bits: int, mask: int, lo: int, hi: int, scale: tuple[int, int, int], limited: bool
    ) -> tuple[Number | None, str]:
        ratio = float_ratio(bits, mask)
        if ratio is None:
            return None, OUT_OF_RANGE  # not a number
        num, add, den = scale
        count = rounded(ratio[0] * num + add * ratio[1], ratio[1] * den)
        physical = number(Fraction(*ratio) * self.factor + self.offset)
        return physical, VALID if not limited or lo <= count <= hi else OUT_OF_RANGE

    def _means_nothing(self, value: Any, operand: bool) -> bool:
        return value is None if operand else value in (self.default, UNKNOWN)


def number(value: Fraction) -> Number:
    """An exact value as people read it."""
    return int(value) if value.denominator == 1 else float(value)


class Signals:
    """All signals of a mapping, by the out or the operand that they fill."""

    def __init__(self, mapping: CompiledMapping) -> None:
        self.outs: dict[int, Signal] = {}
        self.operands: dict[int, Signal] = {}
        plan = mapping.plan
        buses = {slot: message[0] for message in plan["messages"] for slot in slots_of(message[4], message[5])}
        said = {(bool(operand), index): rest for operand, index, *rest in mapping.readings}
        for slot, (length, timeout_ms, little, big, careful_little, careful_big) in enumerate(plan["sources"]):
            for order, rows in enumerate(([*little, *careful_little], [*big, *careful_big])):
                for row in rows:
                    operand = len(row) > 9 and row[9] in (OPERAND, FLOAT_OPERAND)
                    label, unit, *scale = said[operand, row[8]]
                    default = None if operand else plan["defaults"][row[8]]
                    place = (slot, length, timeout_ms, order == 1, row, default, buses[slot])
                    signal = Signal(label, unit, Fraction(*scale[:2]), Fraction(*scale[2:]), *place)
                    (self.operands if operand else self.outs)[row[8]] = signal
        self._trees: dict[int, list[Any]] = {out: tree for out, tree, *_ in plan["truths"] + plan["expressions"]}

    def worked_out(self, out: int) -> bool:
        """Does an expression fill this out?"""
        return out in self._trees

    def behind(self, out: int) -> list[Signal]:
        """The signals that an out depends on, in the order of its expression, each once."""
        if out in self.outs:
            return [self.outs[out]]
        if out not in self._trees:
            return []
        found: dict[str, Signal] = {}
        todo: list[Any] = [self._trees[out]]
        while todo:
            tree = todo.pop(0)
            if tree[0] == "signal":
                signal = self.operands[tree[1]]
                found.setdefault(signal.source, signal)
            elif tree[0] == "item":
                for signal in self.behind(tree[1]):
                    found.setdefault(signal.source, signal)
            else:
                todo = [branch for branch in tree[1:] if isinstance(branch, list)] + todo
        return list(found.values())
