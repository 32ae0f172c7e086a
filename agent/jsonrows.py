"""The rows of a table as JSON and back: one function a direction and kind of row.

A `Field` gives its value; `bits` an object of their own, or spread into the body where they say something about the rows
beside them; `flags` a list of names; a list its items; a group an object. Bits without a name stand under `reserved`.
"""

from collections.abc import Callable
from typing import Any

from agent.core.errors import LocalProtocolError
from agent.core.field import Blob, Field, Layout, Text, Time
from agent.core.parameters import ALARM_CONTROL, Codes, Control, PackCodes, Parameters
from agent.jsonvalues import (
    bytes_of,
    did_you_mean,
    hex_of,
    is_negative,
    raw_of,
    text_of,
    time_bytes_of,
    time_of,
    value_of,
)

# --- values to JSON ---------------------------------------------------------------------------------------------------


def layout_to_json(layout: Layout, values: dict[str, Any]) -> dict[str, Any]:
    """The values of one body, group or data unit as a JSON object in the order of its rows."""
    out: dict[str, Any] = {}
    reserved: dict[str, int] = {}
    for row in layout.rows:
        if isinstance(row, Field) and (row.bits or row.flags):
            _bits_to_json(layout, row, values[row.name], out, reserved)
        elif isinstance(row, Field) and row.sign:
            status, mask = row.sign
            out[row.name] = _signed(value_of(row, values[row.name]), bool(values[status] & mask))
        elif isinstance(row, Codes):
            out["code_length"] = value_of(row.length, values["code_length"])
            out["codes"] = [text_of(code, b"\0") for code in values["codes"]]
        elif isinstance(row, PackCodes):
            out["packs"] = [value_of(row.packs, count) for count in values["packs"]]
            out["codes"] = [text_of(code, b"\0") for code in values["codes"]]
        elif isinstance(row, Control):
            out.update(_control_to_json(row, values))
        else:
            out[row.name] = _row_to_json(row, values[row.name])
    if reserved:
        out["reserved"] = reserved
    return out


def named_bits(layout: Layout, row: Field) -> list[tuple[str, int, int, dict[int, str] | None, bool]]:
    """The bits of `row` without those that are the signs of other rows."""
    signs = {
        other.sign[1] for other in layout.rows if isinstance(other, Field) and other.sign and other.sign[0] == row.name
    }
    return [bit for bit in row.bits or () if 1 << bit[1] not in signs]


def reserved_mask(row: Field) -> int:
    """The bits of `row` that have no meaning."""
    used = 0
    for _, shift, width, _, _ in row.bits or ():
        used |= ((1 << width) - 1) << shift
    return row.top & ~(used | ((1 << len(row.flags or ())) - 1))


def _spread_bits(layout: Layout, row: Field) -> bool:
    """True where the bits say something about the rows beside them, not about one thing of their own."""
    return len(named_bits(layout, row)) < len(row.bits or ())


def _bits_to_json(layout: Layout, row: Field, raw: int, out: dict[str, Any], reserved: dict[str, int]) -> None:
    if row.flags:
        out[row.name] = [name for bit, name in enumerate(row.flags) if raw >> bit & 1]
    else:
        target = out if _spread_bits(layout, row) else out.setdefault(row.name, {})
        for name, shift, width, words, inverted in named_bits(layout, row):
            part = raw >> shift & ((1 << width) - 1)
            if words is None:
                target[name] = bool(part) != inverted
            else:
                target[name] = words.get(part, {"raw": part})
    if raw & reserved_mask(row):
        reserved[row.name] = raw & reserved_mask(row)


def _signed(value: Any, negative: bool) -> Any:
    if not negative:
        return value
    return {"raw": -value["raw"]} if isinstance(value, dict) else -value


def _row_to_json(row: Any, value: Any) -> Any:
    if isinstance(row, Field):
        return value_of(row, value)
    if isinstance(row, Text):
        return text_of(value, row.pad)
    if isinstance(row, Time):
        return time_of(value)
    if isinstance(row, Blob):
        return value.hex()
    if isinstance(value, int):
        return value_of(row.count, value)
    if isinstance(row, Parameters):
        return [{"id": number, "value": _parameter_to_json(row.table[number], content)} for number, content in value]
    if isinstance(row.item, Layout):
        return [layout_to_json(row.item, group) for group in value]
    return [value_of(row.item, raw) for raw in value]


def _parameter_to_json(row: Any, content: Any) -> Any:
    return text_of(content) if isinstance(row, int) else _row_to_json(row, content)


def _control_to_json(row: Control, values: dict[str, Any]) -> dict[str, Any]:
    out = {"control": value_of(row.command, values["control"])}
    if "level" in values:
        return out | {"level": value_of(row.level, values["level"]), "text": text_of(values["text"])}
    return out | {"arguments": text_of(values["arguments"])}


# --- JSON to values ---------------------------------------------------------------------------------------------------


class Faults:
    """Everything that is wrong in one JSON object, each with its place."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, path: str, reason: object) -> None:
        """Note `reason` for the value at `path`."""
        self.lines.append(f"{path}: {reason}")

    def take(self, path: str, convert: Callable[..., Any], *arguments: Any) -> Any:
        """What `convert` makes of its arguments; its complaint is noted, and the result is then of no use."""
        try:
            return convert(*arguments)
        except LocalProtocolError as error:
            self.add(path, error)
            return None

    def check_keys(self, path: str, given: dict[str, Any], needed: list[str], known: list[str]) -> None:
        """Note keys that are missing and keys that nobody knows."""
        for key in needed:
            if key not in given:
                self.add(f"{path}{key}", "missing")
        for key in given:
            if key not in needed and key not in known:
                self.add(f"{path}{key}", "unknown" + did_you_mean(key, [*needed, *known]))


def layout_from_json(
    layout: Layout, given: Any, path: str, faults: Faults, known: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Values for `Layout.encode(values, strict=False)`; of use only when `faults` stayed empty.

    `path` ends in a dot or is empty; `known` names keys that the caller reads.
    """
    if not isinstance(given, dict):
        faults.add(path.rstrip("."), f"{given!r}: an object is needed")
        return {}
    needed = [key for row in layout.rows for key in _keys(layout, row, given)]
    faults.check_keys(path, given, needed, [*known, "reserved"])
    values: dict[str, Any] = {}
    for row in layout.rows:
        if any(key not in given for key in _keys(layout, row, given)):
            continue
        if isinstance(row, Field) and (row.bits or row.flags):
            values[row.name] = _bits_from_json(layout, row, given, path, faults)
        elif isinstance(row, Field) and row.sign:
            magnitude, negative = _unsigned(given[row.name])
            values[row.name] = faults.take(path + row.name, raw_of, row, magnitude, "either sign, ")
            if negative and row.sign[0] in values:
                values[row.sign[0]] |= row.sign[1]
        elif isinstance(row, Codes):
            values.update(_codes_from_json(row, given, path, faults))
        elif isinstance(row, PackCodes):
            values.update(_pack_codes_from_json(row, given, path, faults))
        elif isinstance(row, Control):
            values.update(_control_from_json(row, given, path, faults))
        else:
            values[row.name] = _row_from_json(row, given[row.name], path + row.name, faults)
    _add_reserved(layout, given.get("reserved", {}), values, path, faults)
    return values


def _keys(layout: Layout, row: Any, given: dict[str, Any]) -> list[str]:
    """The keys under which `row` stands in JSON."""
    if isinstance(row, Field) and row.bits and _spread_bits(layout, row):
        return [name for name, *_ in named_bits(layout, row)]
    if isinstance(row, Codes):
        return ["code_length", "codes"]
    if isinstance(row, PackCodes):
        return ["packs", "codes"]
    if isinstance(row, Control):
        return ["control", "level", "text"] if "level" in given else ["control", "arguments"]
    return [row.name]


def _unsigned(value: Any) -> tuple[Any, bool]:
    if isinstance(value, dict) and isinstance(value.get("raw"), int) and value["raw"] < 0:
        return value | {"raw": -value["raw"]}, True
    return (-value, True) if is_negative(value) else (value, False)


def _bits_from_json(layout: Layout, row: Field, given: dict[str, Any], path: str, faults: Faults) -> int:
    if row.flags:
        return _flags_from_json(row, given[row.name], path + row.name, faults)
    bits = named_bits(layout, row)
    if not _spread_bits(layout, row):
        own, path = given[row.name], f"{path}{row.name}."
        if not isinstance(own, dict):
            faults.add(path.rstrip("."), f"{own!r}: an object is needed")
            return 0
        faults.check_keys(path, own, [bit[0] for bit in bits], [])
        given = own
    raw = 0
    for name, shift, width, words, inverted in bits:
        if name not in given:
            continue
        value = given[name]
        if words is not None:
            part = Field(name, 1, hi=(1 << width) - 1, words=words, sentinel=False)
            raw |= ((faults.take(path + name, raw_of, part, value) or 0) & part.hi) << shift
        elif isinstance(value, bool):
            raw |= (value != inverted) << shift
        else:
            faults.add(path + name, f"{value!r}: allowed: true, false")
    return raw


def _flags_from_json(row: Field, given: Any, path: str, faults: Faults) -> int:
    raw = 0
    names = row.flags or ()
    for name in _list(given, path, faults):
        if name in names:
            raw |= 1 << names.index(name)
        else:
            faults.add(path, f"no flag {name!r}{did_you_mean(name, names)}; allowed: {', '.join(names)}")
    return raw


def _list(given: Any, path: str, faults: Faults) -> list[Any]:
    if isinstance(given, list):
        return given
    faults.add(path, f"{given!r}: a list is needed")
    return []


def _row_from_json(row: Any, given: Any, path: str, faults: Faults) -> Any:
    if isinstance(row, Field):
        return faults.take(path, raw_of, row, given)
    if isinstance(row, Text):
        return faults.take(path, bytes_of, given, row.size, row.pad)
    if isinstance(row, Time):
        return faults.take(path, time_bytes_of, given)
    if isinstance(row, Blob):
        return faults.take(path, hex_of, given)
    if given in (None, "abnormal") and row.count.invalid is not None:
        return raw_of(row.count, given)
    items = _list(given, path, faults)
    if len(items) > row.count.top - (2 if row.count.invalid is not None else 0):
        faults.add(path, f"{len(items)} items; at most {row.count.hi} are allowed")
    places = [f"{path}[{position}]" for position in range(len(items))]
    if isinstance(row, Parameters):
        return [_parameter_from_json(row, item, place, faults) for item, place in zip(items, places, strict=True)]
    if isinstance(row.item, Layout):
        return [
            layout_from_json(row.item, item, place + ".", faults) for item, place in zip(items, places, strict=True)
        ]
    return [faults.take(place, raw_of, row.item, item) for item, place in zip(items, places, strict=True)]


def _parameter_from_json(parameters: Parameters, given: Any, path: str, faults: Faults) -> tuple[int, Any]:
    if not isinstance(given, dict) or sorted(given) != ["id", "value"]:
        faults.add(path, f'{given!r}: {{"id": n, "value": ...}} is needed')
        return 0, None
    number = given["id"]
    row = parameters.table.get(number) if type(number) is int else None
    if row is None:
        faults.add(f"{path}.id", f"{number!r} has no layout; allowed: {', '.join(map(str, parameters.table))}")
        return 0, None
    if isinstance(row, int):
        return number, faults.take(f"{path}.value", bytes_of, given["value"])
    return number, _row_from_json(row, given["value"], f"{path}.value", faults)


def _codes_from_json(row: Codes, given: dict[str, Any], path: str, faults: Faults) -> dict[str, Any]:
    length = faults.take(path + "code_length", raw_of, row.length, given["code_length"])
    codes = _list(given["codes"], path + "codes", faults)
    if len(codes) > row.count.top:
        faults.add(path + "codes", f"{len(codes)} codes; at most {row.count.hi} are allowed")
    return {
        "code_length": length,
        "codes": [faults.take(f"{path}codes[{n}]", bytes_of, code, length) for n, code in enumerate(codes)],
    }


def _pack_codes_from_json(row: PackCodes, given: dict[str, Any], path: str, faults: Faults) -> dict[str, Any]:
    packs = _list(given["packs"], path + "packs", faults)
    codes = _list(given["codes"], path + "codes", faults)
    if len(packs) > row.count.top:
        faults.add(path + "packs", f"{len(packs)} management systems; at most {row.count.hi} are allowed")
    counts = [faults.take(f"{path}packs[{n}]", raw_of, row.packs, count) for n, count in enumerate(packs)]
    if None not in counts and len(codes) != sum(counts):
        faults.add(path + "codes", f"{len(codes)} codes; {sum(counts)} are needed, one for each of the packs")
    return {
        "packs": counts,
        "codes": [faults.take(f"{path}codes[{n}]", bytes_of, code, row.size) for n, code in enumerate(codes)],
    }


def _control_from_json(row: Control, given: dict[str, Any], path: str, faults: Faults) -> dict[str, Any]:
    control = faults.take(path + "control", raw_of, row.command, given["control"])
    if "level" not in given:
        return {"control": control, "arguments": faults.take(path + "arguments", bytes_of, given["arguments"])}
    if control != ALARM_CONTROL:
        faults.add(path + "level", f"only control {ALARM_CONTROL} has a level; others have arguments")
    return {
        "control": control,
        "level": faults.take(path + "level", raw_of, row.level, given["level"]),
        "text": faults.take(path + "text", bytes_of, given["text"]),
    }


def _add_reserved(layout: Layout, given: Any, values: dict[str, Any], path: str, faults: Faults) -> None:
    masks = {row.name: reserved_mask(row) for row in layout.rows if isinstance(row, Field) and (row.bits or row.flags)}
    if not isinstance(given, dict):
        faults.add(path + "reserved", f"{given!r}: an object is needed")
        return
    for name, raw in given.items():
        if name not in masks:
            faults.add(f"{path}reserved.{name}", f"has no reserved bits; allowed: {', '.join(masks) or 'nothing'}")
        elif isinstance(raw, bool) or not isinstance(raw, int) or raw & ~masks[name]:
            faults.add(f"{path}reserved.{name}", f"{raw!r}; allowed: bits of {masks[name]:#x}")
        elif name in values:
            values[name] |= raw
