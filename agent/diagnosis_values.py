"""Numbers that are illegal, or legal and absurd, and the mistake that makes such numbers.

Legal numbers are doubted only where no vehicle can mean them: a diagnosis that cries wolf is worse than none.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from agent.core.editions import EDITIONS
from agent.core.field import Field
from agent.diagnosis_reading import Leaf, Part
from agent.jsonvalues import physical

CERTAIN, LIKELY, POSSIBLE = "certain", "likely", "possible"
_CURRENTS = ("total_current", "current", "controller_current")
_SPEED_ZERO = {
    name: row.offset
    for name, edition in EDITIONS.items()
    for row in edition.bodies[edition.body_types["drive_motors"]].rows[0].item.rows
    if row.name == "speed"
}  # count of a motor at rest, by edition
_HIGHEST_VOLTAGE = 1500  # V; direct current in a road vehicle ends there
_HIGHEST_CELL = 15  # V; a module at most


@dataclass(slots=True)
class Finding:
    """One thing that is wrong. `fault` and `mistake` ("" unknown) are keys of the texts, `values` fills them.

    `offset` counts from the first byte of the packet; `sure`: certain (the bytes break the standard), likely (legal, but
    absurd), possible (worth a look).
    """

    offset: int
    clause: str
    fault: str
    mistake: str = ""
    sure: str = CERTAIN
    values: dict[str, Any] = field(default_factory=dict)


def check_values(parts: list[Part], edition: str) -> Iterator[Finding]:
    """Findings in the numbers of `parts`."""
    speeds = [
        leaf.raws[0] for part in parts for leaf in part.leaves if leaf.table == "vehicle" and leaf.row.name == "speed"
    ]
    standing = speeds == [0]
    for part in parts:
        # A body that was read by a mistaken table is no witness for the numbers in it.
        if part.layout is None or part.mistake:
            continue
        for leaf in part.leaves:
            illegal = leaf.illegal()
            for at in illegal[:1]:
                yield _illegal(leaf, at, part, len(illegal))
            if not illegal:
                yield from _absurd(leaf, edition, standing)
        if part.layout.name == "position":
            yield from _position(part)
        if part.layout.name in ("extremes", "supercapacitor_extremes"):
            yield from _extremes(part)


def _say(leaf: Leaf, at: int, **more: Any) -> dict[str, Any]:
    row = leaf.row
    size = 2 * row.size
    return {
        "field": row.name,
        "table": leaf.table,
        "raw": f"{leaf.raws[at] & (1 << 8 * row.size) - 1:0{size}X}",
        "value": f"{physical(row, leaf.raws[at])} {row.unit}".strip(),
        "lo": row.lo,
        "hi": row.hi,
        "number": leaf.raws[at],
    } | more


def _at(leaf: Leaf, at: int) -> int:
    return leaf.offset + at * leaf.row.size


def _illegal(leaf: Leaf, at: int, part: Part, count: int) -> Finding:
    row, raw = leaf.row, leaf.raws[at]
    mistake = _why(row, raw, part)
    sure = CERTAIN
    if row.flags or row.bits:
        # Reserved bits are set by makers for their own ends.
        sure = LIKELY if mistake else POSSIBLE
    fault = "reserved_bits" if row.flags or row.bits else "range"
    return Finding(_at(leaf, at), leaf.clause, fault, mistake, sure, _say(leaf, at, count=count))


def _why(row: Field, raw: int, part: Part) -> str:
    size = row.size
    if row.bottom:
        return ""  # signed, a number of the maker's own
    swapped = int.from_bytes(raw.to_bytes(size, "big"), "little")
    if row.flags or row.name == "status":
        mirrored = int(f"{raw:0{8 * size}b}"[::-1], 2)
        return "bits_reversed" if row.lo <= mirrored <= row.hi else ""
    if row.name == "serial":
        return "serial_range"
    if row.name == "latitude" and raw <= 180_000_000 and _value(part, "longitude") <= 90_000_000:
        return "latitude_first"
    if row.name in ("latitude", "longitude") and raw >= 1 << 31:
        return "signed"
    if row.name in _CURRENTS and row.offset == 10000 and abs(raw - 30000) <= 10000:
        return "current_offset"
    if size > 1 and set(raw.to_bytes(size, "big")) in ({0xFE}, {0xFE, 0xFD}):
        return "sentinel_width"
    if row.name in ("speed", "torque") and row.offset and raw > row.hi and swapped > row.hi:
        return ""
    if row.unit and row.per_unit >= 10 and not row.offset and row.lo <= raw // 10 <= row.hi:
        return "ten_times"
    if size > 1 and row.lo <= swapped <= row.hi:
        return "little_endian"
    return ""


def _value(part: Part, name: str) -> int:
    return next((leaf.raws[0] for leaf in part.leaves if leaf.row.name == name), 0)


def _absurd(leaf: Leaf, edition: str, standing: bool) -> Iterator[Finding]:
    row = leaf.row
    for at, raw in enumerate(leaf.raws[:2000]):
        if raw in (row.invalid, row.abnormal) or (raw == row.absent and not row.lo <= raw <= row.hi):
            continue
        mistake, sure = "", LIKELY
        if row.name in _CURRENTS and row.offset:
            mistake = _current(row, raw)
        elif row.unit == "V":
            mistake = _voltage(row, raw)
        elif leaf.table == "motor" and row.name in ("speed", "torque"):
            mistake, sure = _motor(row, raw, edition, standing)
        elif row.unit == "degC" and row.size == 1 and raw in (0xFE - 40, 0xFF - 40):
            mistake, sure = "sentinel_40", LIKELY if _of_battery(leaf) else POSSIBLE
        if mistake:
            yield Finding(_at(leaf, at), leaf.clause, "absurd", mistake, sure, _say(leaf, at))
            return


def _of_battery(leaf: Leaf) -> bool:
    """Cells burn long before 174 degrees; a motor does not."""
    return leaf.row.name in ("probe", "max_temperature", "min_temperature") and leaf.table != "fuel_cell"


def _current(row: Field, raw: int) -> str:
    if row.offset == 30000 and 7000 <= raw <= 13000:
        return "current_offset"
    return "offset_forgotten" if raw <= row.offset // 5 else ""


def _voltage(row: Field, raw: int) -> str:
    highest = _HIGHEST_CELL if row.per_unit == 1000 else _HIGHEST_VOLTAGE
    return "ten_times" if physical(row, raw) > highest else ""


def _motor(row: Field, raw: int, edition: str, standing: bool) -> tuple[str, str]:
    sure = LIKELY if standing else POSSIBLE
    if row.name == "speed":
        theirs = next(zero for name, zero in _SPEED_ZERO.items() if name != edition)
        if abs(raw - theirs) <= 100:
            return "speed_offset", sure
        return ("offset_forgotten", LIKELY) if raw <= 500 else ("", sure)
    if row.size == 4:
        return ("torque_offset", LIKELY) if raw < 100_000 else ("", sure)
    if abs(raw - 200_000 % 65536) <= 50:  # zero with an offset of 20000 N.m, cut to a WORD
        return "torque_offset", sure
    return ("offset_forgotten", sure) if raw <= 100 else ("", sure)


def _position(part: Part) -> Iterator[Finding]:
    leaves = {leaf.row.name: leaf for leaf in part.leaves}
    status, longitude, latitude = (leaves[name].raws[0] for name in ("status", "longitude", "latitude"))
    clause = leaves["status"].clause
    if not status & 1 and not longitude and not latitude:
        yield Finding(leaves["status"].offset, clause, "nowhere", "valid_is_1", LIKELY)
    elif status & 1 and longitude and latitude:
        yield Finding(leaves["status"].offset, clause, "position_invalid", "valid_is_1", POSSIBLE)
    if 73_000_000 <= latitude <= 90_000_000 and 3_000_000 <= longitude <= 54_000_000:
        values = _say(leaves["latitude"], 0)
        yield Finding(leaves["longitude"].offset, clause, "arctic", "latitude_first", LIKELY, values)


def _extremes(part: Part) -> Iterator[Finding]:
    for leaf in part.leaves:
        row = leaf.row
        if row.name not in ("max_cell_voltage", "max_temperature"):
            continue
        lowest = _value(part, row.name.replace("max", "min", 1))
        if row.lo <= leaf.raws[0] < lowest <= row.hi:
            yield Finding(leaf.offset, leaf.clause, "below_lowest", "extremes_swapped", LIKELY, _say(leaf, 0))
