"""From the newest frames to the bodies of one sample, as a compiled plan says.

A plan (made by `agent/mapping/bodies.py`) holds integer rows only; what differs between editions is in its rows.
Steps, worked out after all signals and expressions:

    ["bits", out, [[part out, shift, inverted], ...]]   a byte of small items; stays as it is unless the first part is known
    ["extremes", [group, item, value of the highest; the same of the lowest], lists, highest valid count, highest numbers]
              lists [[number out, first out, length], ...]; an out of -1 is not to be filled
    ["position", status out, invalid bit, valid out or -1, [[signed out, out, sign bit], ...]]
    ["alarms", level out, level is mapped, invalid level, flags out, [[flag out, bit, level], ...], list out or -1]
"""

from agent.core.expression import evaluate
from agent.core.signals import UNKNOWN, Decoder, rounded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.core.frames import LatestFrames


class Sampler:
    """Makes samples; keeps the last valid position. `stale_alarms` counts samples with an alarm source that was not known."""

    def __init__(self, plan: "dict[str, Any]", ticks_per_ms: int = 1) -> None:
        self._decoder = Decoder(plan, ticks_per_ms)
        self._defaults = plan["defaults"]
        self._operands = plan["operands"]
        self._truths = plan["truths"]
        self._expressions = plan["expressions"]
        self._steps = plan["steps"]
        self._bodies = plan["bodies"]
        self._last_position: "dict[int, Any]" = {}  # by status out: (sign bits, magnitudes)
        self.stale_alarms = 0

    def sample(self, latest: "LatestFrames", now: int) -> "list[tuple[int, dict[str, Any]]]":
        """Return (type, values) of every body of the mapping at `now` (ticks), in order of type."""
        return self.assemble(self.values(latest, now))

    def values(self, latest: "LatestFrames", now: int) -> "list[Any]":
        """Return the counts of every out of the plan at `now` (ticks)."""
        values: "list[Any]" = self._defaults[:]
        operands: "list[Any]" = [None] * self._operands
        self._decoder.decode(latest, now, values, operands)
        for out, tree in self._truths:
            truth = evaluate(tree, operands, values)
            if truth is not None:
                values[out] = 1 if truth[0] else 0
        for out, tree, per_unit, offset, lo, hi, only in self._expressions:
            result = evaluate(tree, operands, values)
            if result is None:
                continue
            count = rounded(result[0] * per_unit + offset * result[1], result[1])
            # An enumeration takes whole numbers only: 1.5 is not a word.
            if (only is None and lo <= count <= hi) or (
                only is not None and count in only and result[0] % result[1] == 0
            ):
                values[out] = count
        for step in self._steps:
            kind = step[0]
            if kind == "extremes":
                _extremes(values, step[1], step[2], step[3], step[4])
            elif kind == "bits":
                _bits(values, step[1], step[2])
            elif kind == "position":
                self._position(values, step[1], step[2], step[3], step[4])
            else:
                self._alarms(values, step)
        return values

    def assemble(self, values: "list[Any]") -> "list[tuple[int, dict[str, Any]]]":
        """Return the bodies that hold these `values`."""
        return [(type_id, _assemble(node, values)) for type_id, node in self._bodies]

    def _position(
        self, values: "list[Any]", status: int, invalid: int, valid: int, coordinates: "list[list[int]]"
    ) -> None:
        known = valid < 0 or values[valid] == 1
        for signed, _, _ in coordinates:
            if values[signed] == UNKNOWN:
                known = False
        if known:
            signs = 0
            magnitudes = []
            for signed, _, sign in coordinates:
                if values[signed] < 0:
                    signs |= sign
                magnitudes.append(abs(values[signed]))
            self._last_position[status] = (signs, magnitudes)
        elif status in self._last_position:
            signs, magnitudes = self._last_position[status]
        else:
            signs, magnitudes = 0, [0] * len(coordinates)
        values[status] = signs if known else signs | invalid
        for (_, out, _), magnitude in zip(coordinates, magnitudes):
            values[out] = magnitude

    def _alarms(self, values: "list[Any]", step: "list[Any]") -> None:
        _, level_out, mapped, invalid, flags_out, parts, list_out = step
        flags = 0
        level = 0
        unknown = False
        general = []
        for out, bit, flag_level in parts:
            if values[out] == UNKNOWN:
                unknown = True
            elif values[out]:
                flags |= 1 << bit
                level = max(level, flag_level)
                general.append({"bit": bit, "level": flag_level})
        values[flags_out] = flags
        if list_out >= 0:
            values[list_out] = general
        if unknown:
            # A source that is silent says nothing about the level, neither "none" nor the one it had.
            values[level_out] = invalid
        elif parts and not mapped:
            values[level_out] = level
        if unknown or (mapped and values[level_out] == invalid):
            self.stale_alarms += 1


def _bits(values: "list[Any]", out: int, parts: "list[list[int]]") -> None:
    if values[parts[0][0]] == UNKNOWN:
        return
    byte = 0
    for part, shift, inverted in parts:
        value = values[part]
        if value != UNKNOWN:
            byte |= (value ^ 1 if inverted else value) << shift
    values[out] = byte


def _extremes(
    values: "list[Any]", targets: "list[int]", lists: "list[list[int]]", valid: int, limits: "list[int]"
) -> None:
    """Highest and lowest of all lists with their numbers; equal values: the lowest number, first list first."""
    highest: "tuple[int, int, int] | None" = None  # group, item, value
    lowest: "tuple[int, int, int] | None" = None
    for number, first, length in lists:
        items = values[first : first + length]
        known = [item for item in items if item <= valid]
        if not known:
            continue
        value = max(known)
        if highest is None or value > highest[2]:
            highest = (values[number], items.index(value) + 1, value)
        value = min(known)
        if lowest is None or value < lowest[2]:
            lowest = (values[number], items.index(value) + 1, value)
    if highest is None or lowest is None:
        return
    for out, value, limit in zip(targets, highest + lowest, limits + limits):
        # A number that does not fit its byte stays invalid while the value is sent.
        if out >= 0 and value <= limit:
            values[out] = value


def _assemble(node: "dict[str, Any]", values: "list[Any]") -> "dict[str, Any]":
    body = {name: values[out] for name, out in node["fields"]}
    for name, first, length in node["lists"]:
        body[name] = values[first : first + length]
    for name, first, length, invalid in node["codes"]:
        codes = values[first : first + length]
        body[name] = invalid if UNKNOWN in codes else [code for code in codes if code]
    for name, value in node["fixed"]:
        body[name] = value
    for name, groups in node["groups"]:
        body[name] = [_assemble(group, values) for group in groups]
    return body
