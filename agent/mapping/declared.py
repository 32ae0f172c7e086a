"""Bodies of the maker's own (types 80 to FE) as a mapping declares them, with or without a DBC file at hand.

[[user.0x83.fields]]
name = "coolant_temperature"
type = "i16"                 # u8 u16 u32 i8 i16 i32, big-endian
unit = "degC"
factor = 0.1                 # physical = raw * factor + offset
lo = -40                     # physical; without lo and hi all that the type holds
hi = 150
invalid = -32768             # raw; without it FF, FFFF, FFFFFFFF, for signed types the lowest
source = "pt.BMS.Coolant"    # any value that other items take
"""

import math
import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from agent.core.dataunit import TIME_SIZE
from agent.core.edition import OWN_TYPES, Edition
from agent.core.editions import EDITIONS
from agent.core.packet import MAX_DATA_UNIT
from agent.errors import ConfigError
from agent.mapping.plan import with_declared
from agent.mapping.units import exact
from agent.tomlfile import parse_toml, read_regular

__all__ = ["declarations", "declared_editions", "sources_of"]

Fault = Callable[[str, str], None]

TYPES = {f"{letter}{8 * size}": (size, letter == "i") for letter in "ui" for size in (1, 2, 4)}
MOST_COUNTS = 1 << 32  # more, and a float could not tell two counts apart
MOST_BYTES = MAX_DATA_UNIT - TIME_SIZE - 3  # behind type and length
MOST_UNIT = 32  # characters of the name of a unit
_KEYS = ("name", "type", "unit", "factor", "offset", "lo", "hi", "invalid", "source")
_TAKEN = ("body", "type", "reserved", "hex")  # keys that a body has in JSON


def declared_editions(mapping: str | Path | None) -> dict[str, Edition]:
    """Every edition by name, with the bodies that the mapping file declares; ConfigError with the faults of declarations.

    Nothing but the declarations is looked at: the mapping's DBC files need not be there. None: no file, plain editions.
    """
    if mapping is None:
        return EDITIONS
    try:
        text = read_regular(Path(mapping)).decode()
    except OSError as error:
        raise ConfigError(str(mapping), [f"cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(mapping), [f"is not UTF-8 (byte {error.start})"]) from error
    document = parse_toml(str(mapping), text, Decimal)
    faults: list[str] = []
    rows = declarations(document, lambda path, text: faults.append(f"{path}: {text}"))
    if faults:
        raise ConfigError(str(mapping), faults)
    return {name: with_declared(edition, rows) for name, edition in EDITIONS.items()}


def declarations(document: dict[str, Any], fault: Fault) -> list[list[Any]]:
    """The declared bodies as JSON, [type, [arguments of `Field`, ...]] in order of type; what is wrong goes to `fault`."""
    rows = []
    seen: dict[int, str] = {}
    for key, table in _bodies(document, fault):
        type_id = _type_of(key)
        if type_id is None:
            fault(
                f"user.{key}", f"is no type of a user-defined body; allowed are 0x{OWN_TYPES[0]:X}..0x{OWN_TYPES[-1]:X}"
            )
            continue
        if type_id in seen:
            fault(f"user.{key}", f"is the same type as user.{seen[type_id]}")
        seen[type_id] = key
        path = f"user.0x{type_id:X}"
        if not isinstance(table, dict) or not _tables(table.get("fields")) or not table["fields"]:
            fault(path, f"needs its fields, [[{path}.fields]] once for each")
            continue
        for other in set(table) - {"fields"}:
            fault(f"{path}.{other}", f"unknown key; write fields as [[{path}.fields]]")
        fields = [_field(f"{path}.fields[{n}]", one, fault) for n, one in enumerate(table["fields"], 1)]
        names = [one["name"] for one in fields]
        for name in sorted({name for name in names if names.count(name) > 1}):
            fault(path, f"two fields are named {name!r}")
        size = sum(one.get("size", 0) for one in fields)
        if size > MOST_BYTES:
            fault(path, f"its fields have {size} bytes in all; at most {MOST_BYTES} fit a packet beside the time")
        rows.append([type_id, fields])
    return sorted(rows, key=lambda row: int(row[0]))


def sources_of(document: dict[str, Any], type_id: int) -> dict[str, Any]:
    """Field name -> what fills it, of a body whose declaration has no fault."""
    table = next(table for key, table in document["user"].items() if _type_of(key) == type_id)
    return {field["name"]: field["source"] for field in table["fields"] if "source" in field}


def _bodies(document: dict[str, Any], fault: Fault) -> list[tuple[str, Any]]:
    tables = document.get("user", {})
    if not isinstance(tables, dict):
        fault("user", "must be tables, [[user.0x83.fields]]")
        return []
    return list(tables.items())


def _tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def _type_of(key: str) -> int | None:
    try:
        type_id = int(key, 0)
    except ValueError:
        return None
    return type_id if type_id in OWN_TYPES else None


def _field(path: str, table: dict[str, Any], fault: Fault) -> dict[str, Any]:
    """Arguments of `Field`; of use only when nothing was wrong."""
    for key in table:
        if key not in _KEYS:
            fault(f"{path}.{key}", f"unknown key; known are {', '.join(_KEYS)}")
    name = table.get("name")
    if not isinstance(name, str) or not re.fullmatch("[a-z][a-z0-9_]*", name) or name in _TAKEN:
        said = "is missing" if name is None else f"is {name!r}"
        fault(f"{path}.name", f"{said}; lower-case letters, digits and _ are allowed, and not {', '.join(_TAKEN)}")
    unit = table.get("unit", "")
    if not isinstance(unit, str) or not unit.isprintable() or len(unit) > MOST_UNIT:
        fault(f"{path}.unit", f"is {repr(unit)[:40]}; a text of at most {MOST_UNIT} printable characters is needed")
    kind = table.get("type")
    if not isinstance(kind, str) or kind not in TYPES:
        fault(f"{path}.type", f"is {'missing' if kind is None else repr(kind)}; allowed are {', '.join(TYPES)}")
        return {"name": str(name)}
    size, signed = TYPES[kind]
    factor = _number(path, table, "factor", Fraction(1), fault)
    shift = _number(path, table, "offset", Fraction(0), fault)
    if factor <= 0:
        fault(f"{path}.factor", f"is {table['factor']}; a number above 0 is needed")
        return {"name": str(name)}
    counts = -shift / factor
    if counts.denominator != 1:
        fault(f"{path}.offset", f"is {table['offset']}; it must be a whole multiple of the factor, {_text(factor)}")
    elif abs(counts) > MOST_COUNTS:
        fault(f"{path}.offset", f"is {table['offset']}; it is more than {MOST_COUNTS} times the factor")
    offset = counts.numerator
    lo, hi, absent = _range(path, table, (size, signed), (factor, offset), fault)
    return {
        "name": name,
        "size": size,
        "unit": unit,
        "per_unit": factor.denominator,
        "offset": offset,
        "lo": lo,
        "hi": hi,
        "sentinel": False,
        "absent": absent,
        "step": factor.numerator,
        "signed": signed,
    }


def _range(
    path: str, table: dict[str, Any], kind: tuple[int, bool], scale: tuple[Fraction, int], fault: Fault
) -> tuple[int, int, int]:
    """Lowest and highest valid raw value, and the one that says invalid."""
    size, signed = kind
    factor, offset = scale
    bottom = -(1 << (8 * size - 1)) if signed else 0
    top = bottom + (1 << (8 * size)) - 1
    absent = table.get("invalid", bottom if signed else top)
    if isinstance(absent, bool) or not isinstance(absent, int) or not bottom <= absent <= top:
        fault(f"{path}.invalid", f"is {absent}; allowed are the raw values {bottom}..{top}")
        absent = bottom
    lo = bottom + 1 if absent == bottom else bottom
    hi = top - 1 if absent == top else top
    if "lo" in table:
        lo = math.ceil(_number(path, table, "lo", Fraction(0), fault) / factor + offset)
    if "hi" in table:
        hi = math.floor(_number(path, table, "hi", Fraction(0), fault) / factor + offset)
    holds = f"{_text((bottom - offset) * factor)}..{_text((top - offset) * factor)}"
    for key, raw in (("lo", lo), ("hi", hi)):
        if not bottom <= raw <= top:
            fault(f"{path}.{key}", f"is {table[key]}; the type holds {holds}")
    if lo > hi:
        fault(path, "no raw value lies between lo and hi")
    elif lo <= absent <= hi:
        fault(
            path, f"raw {absent} says invalid and lies between lo and hi; give others, or invalid = another raw value"
        )
    return lo, hi, absent


def _number(path: str, table: dict[str, Any], key: str, default: Fraction, fault: Fault) -> Fraction:
    value = table.get(key)
    if value is None:
        return default
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        try:
            return exact(value)
        except ValueError as error:
            fault(f"{path}.{key}", str(error))
            return default
    fault(f"{path}.{key}", f"is {value!r}; a number is needed")
    return default


def _text(value: Fraction) -> str:
    return format(float(value), ".10g")
