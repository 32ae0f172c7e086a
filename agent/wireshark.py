"""A Wireshark dissector for both editions, made from the tables: they are written out as Lua, an engine in Lua reads by them.

The names of its fields are `gbt32960.TABLE.FIELD` (raw counts) and `gbt32960.TABLE.FIELD.value` (in the unit of the field).
"""

from importlib.resources import files
from typing import Any

from agent import labels
from agent.core.edition import Command, Edition
from agent.core.editions import EDITIONS
from agent.core.field import Blob, Field, Items, Layout, Text, Time
from agent.core.packet import HEADER_SIZE, MAX_DATA_UNIT
from agent.core.parameters import ALARM_CONTROL, Codes, Control, PackCodes, Parameters
from agent.jsonrows import reserved_mask

_PARTS = ("start", "command", "response", "vin", "encryption", "length", "time", "body_type", "data_unit", "rest",
          "not_decoded", "bcc", "reserved")  # fmt: skip
_WORDS = ("right", "wrong", "abnormal", "invalid", "illegal", "impossible", "yes", "no")


def dissector(lang: str) -> str:
    """The text of a Lua script for Wireshark and tshark; `lang` ("zh", "en") is the language of names and words."""
    tables = {
        "editions": {edition.start.decode(): _edition(edition, lang) for edition in EDITIONS.values()},
        "names": {part: labels.label(part, lang) for part in _PARTS},
        "words": {text: labels.word(text, lang) for text in _WORDS},
        "id": _number("id", Field("id", 1, lo=0, hi=0xFF, sentinel=False), lang),
        "header_size": HEADER_SIZE,
        "max_unit": MAX_DATA_UNIT,
    }
    engine = files("agent").joinpath("wireshark.lua").read_text(encoding="utf-8")
    return f"local TABLES = {lua(tables)}\n\n{engine}"


def lua(value: Any, indent: str = "") -> str:
    """`value` as a Lua literal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, int):
        return "nil" if value is None else str(value)
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    inner = indent + " "
    if isinstance(value, dict):
        parts = [f"[{lua(key)}] = {lua(part, inner)}" for key, part in value.items() if part is not None]
    else:
        parts = [lua(part, inner) for part in value]
    whole = "{" + ", ".join(parts) + "}"
    return whole if len(whole) < 100 and "\n" not in whole else "{\n" + "".join(
        f"{inner}{part},\n" for part in parts) + indent + "}"  # fmt: skip


def _edition(edition: Edition, lang: str) -> dict[str, Any]:
    bodies: dict[int, Any] = {
        type_id: _layout(layout, labels.body(layout.name, lang), lang) for type_id, layout in edition.bodies.items()
    }
    if edition.signature is not None:
        bodies[0xFF] = _layout(edition.signature, labels.body(edition.signature.name, lang), lang)
    return {
        "name": edition.name,
        "commands": {number: _command(row, lang) for number, row in edition.commands.items()},
        "responses": _words(edition.responses, lang),
        "encryptions": _words(edition.encryptions, lang),
        "bodies": bodies,
        "user": _layout(edition.user_body, labels.body(edition.user_body.name, lang), lang),
    }


def _words(words: "dict[int, Any]", lang: str, table: str = "") -> dict[int, str]:
    return {raw: labels.word(text, lang, table) for raw, text in words.items()}


def _command(row: Command, lang: str) -> dict[str, Any]:
    name = labels.command(row.name, lang)
    return {
        "name": name,
        "timed": row.timed,
        "reports": row.reports,
        "layout": _layout(row.layout, name, lang) if row.layout is not None else None,
        "answer": _layout(row.answer, name, lang) if row.answer is not None else None,
    }


def _layout(layout: Layout, name: str, lang: str) -> dict[str, Any]:
    return {"name": name, "rows": [_row(layout, row, lang) for row in layout.rows]}


def _row(layout: Layout, row: Any, lang: str) -> dict[str, Any]:
    table = layout.name
    if isinstance(row, Field):
        return _number(table, row, lang)
    common = {"field": f"{table}.{row.name}", "name": labels.label(row.name, lang, table)}
    if isinstance(row, Items):
        inner = row.item
        group = _layout(inner, labels.label(inner.name, lang), lang) if isinstance(inner, Layout) else None
        return common | {
            "kind": "list",
            "count": _number(table, row.count, lang),
            "item": _number(table, inner, lang) if isinstance(inner, Field) else None,
            "group": group,
        }
    if isinstance(row, Text | Time):
        return common | {"kind": "time" if isinstance(row, Time) else "text", "size": row.size}
    if isinstance(row, Blob):
        return common | {"kind": "blob", "count": _number(table, row.count, lang)}
    if isinstance(row, Codes):
        return common | {"kind": "codes"} | _numbers(table, lang, count=row.count, length=row.length)
    if isinstance(row, PackCodes):
        return (
            common | {"kind": "pack_codes", "size": row.size} | _numbers(table, lang, count=row.count, packs=row.packs)
        )
    if isinstance(row, Parameters):
        items = {
            number: {"kind": "parameter", "of": item, "field": f"{table}.{_parameter_name(row, item)}",
                     "name": labels.label(_parameter_name(row, item), lang, table)}
            if isinstance(item, int) else _row(layout, item, lang)
            for number, item in row.table.items()
        }  # fmt: skip
        return common | {"kind": "parameters", "items": items} | _numbers(table, lang, count=row.count)
    if isinstance(row, Control):
        names = {number: pair[lang == "zh"] for number, pair in labels.CONTROLS.items()}
        numbers = _numbers(table, lang, command=row.command, level=row.level)
        numbers["command"]["words"] = names
        numbers["command"]["open"] = True
        texts = {text: _text(table, text, lang) for text in ("arguments", "text")}
        return common | {"kind": "control", "alarm": ALARM_CONTROL} | numbers | texts
    raise TypeError(f"{table}: a row of kind {type(row).__name__}")


def _parameter_name(row: Parameters, length_id: int) -> str:
    name: str = row.table[length_id].name
    return name.removesuffix("_length")


def _numbers(table: str, lang: str, **fields: Field) -> dict[str, Any]:
    return {key: _number(table, field, lang) for key, field in fields.items()}


def _text(table: str, name: str, lang: str) -> dict[str, str]:
    return {"kind": "text", "field": f"{table}.{name}", "name": labels.label(name, lang, table)}


def _number(table: str, row: Field, lang: str) -> dict[str, Any]:
    place = f"{table}.{row.name}"
    bits: list[dict[str, Any]] = [
        {"field": f"{place}.{name}", "name": labels.label(name, lang), "shift": shift, "width": width,
         "inverted": inverted, "words": _words(words, lang) if words is not None else None}
        for name, shift, width, words, inverted in row.bits or ()
    ]  # fmt: skip
    bits += [
        {"field": f"{place}.{name}", "name": labels.flag(name, lang), "shift": bit, "width": 1, "inverted": False}
        for bit, name in enumerate(row.flags or ())
    ]
    return {
        "kind": "number",
        "key": row.name,
        "field": place,
        "name": labels.label(row.name, lang, table),
        "size": row.size,
        "unit": row.unit or None,
        "per_unit": row.per_unit,
        "offset": row.offset,
        "lo": row.lo,
        "hi": row.hi,
        "invalid": row.invalid,
        "abnormal": row.abnormal,
        "absent": row.absent,
        "words": _words(row.words, lang, table) if row.words is not None else None,
        "hexadecimal": row.hexadecimal or None,
        "bits": bits or None,
        "reserved": reserved_mask(row) if bits else None,
        "sign": {"key": row.sign[0], "mask": row.sign[1]} if row.sign is not None else None,
    }
