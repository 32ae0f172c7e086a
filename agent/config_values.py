"""Tables of TOML into frozen settings, with every fault in words of the file."""

import difflib
import re
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from agent.security import KEY_FILES

MOST_SHOWN = 100  # characters of a wrong value in an error
_SECRET = ["security.", *[f"security.{option}" for option in KEY_FILES]]
_TYPES = {
    "str": 'a text in "quotes"',
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list [...]",
    "object": "a table",
}

S = TypeVar("S", bound=msgspec.Struct)


def convert(table: Any, kind: type[S], where: str, faults: list[str]) -> dict[str, Any]:
    """Values of `kind`'s fields found in `table`; faults are collected, not raised. Missing defaults are left out."""
    if not isinstance(table, dict):
        faults.append(f"{where.rstrip('.')}: a table [{where.rstrip('.')}] is needed here, not {shown(where, table)}")
        return {}
    hints = get_type_hints(kind, include_extras=True)
    values: dict[str, Any] = {}
    for key in table:
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1)
            hint = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(sorted(hints))}"
            faults.append(f"{where}{key}: unknown key; {hint}")
    for field in msgspec.structs.fields(kind):
        name = field.name
        if name not in table:
            if field.required:
                faults.append(f"{where}{name}: is missing")
            continue
        values[name] = _value(table[name], hints[name], f"{where}{name}", faults)
    return values


def _value(value: Any, hint: Any, where: str, faults: list[str]) -> Any:
    inner = get_args(hint)
    if get_origin(hint) is list and isinstance(inner[0], type) and issubclass(inner[0], msgspec.Struct):
        if not isinstance(value, list):
            faults.append(f"{where}: write it as [[{where}]], once for each")
            return []
        return [_struct(entry, inner[0], f"{where}[{n}].", faults) for n, entry in enumerate(value)]
    for kind in (hint, *inner):  # a table, or one that may be left out
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return _struct(value, kind, f"{where}.", faults)
    if isinstance(value, str) and "\0" in value:
        faults.append(f"{where} = {shown(where, value)}: a text has no NUL characters")
        return None
    try:
        return msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        faults.append(f"{where} = {shown(where, value)}: {short(_reason(str(error), hint))}")
        return None


def _reason(said: str, hint: Any) -> str:
    """msgspec's reason in words of TOML, a pattern as its description."""
    if "matching regex" in said:
        return f"allowed: {_description(hint)}"
    words = re.sub(r"`([a-z]+)(?: \| null)?`", lambda found: _TYPES.get(found[1], found[0]), said)
    return words.replace("Expected", "expected").replace(" - at `$[", " - at [").replace("]`", "]")


def _description(hint: Any) -> str:
    """What a type, or the entries of a list of it, may look like."""
    known = [extra.description for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Meta)]
    return known[0] or "" if known else next(map(_description, get_args(hint)), "")


def shown(where: str, value: Any) -> str:
    """A value as it may stand in an error: no key that was written where the name of its file belongs, and not endless."""
    if where in _SECRET:
        return "(not shown)"
    return short(repr(value))


def short(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}... ({len(text)} characters)"


def _struct(value: Any, kind: type[S], where: str, faults: list[str]) -> S | None:
    before = len(faults)
    values = convert(value, kind, where, faults)
    return kind(**values) if len(faults) == before else None
