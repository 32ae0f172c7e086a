"""A Wireshark dissector for both editions, made from the tables: they are written out as Lua, an engine in Lua reads by them.

The names of its fields are `gbt32960.TABLE.FIELD` (raw counts) and `gbt32960.TABLE.FIELD.value` (in the unit of the field).
"""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from agent import labels
from agent.core.edition import SIGNATURE, Command, Edition
from agent.core.editions import EDITIONS
from agent.core.field import Blob, Field, Items, Layout, Sized, Text, Time
from agent.core.packet import HEADER_SIZE, MAX_DATA_UNIT
from agent.core.parameters import ALARM_CONTROL, Codes, Control, PackCodes, Parameters
from agent.jsonrows import reserved_mask

_PARTS = ("start", "command", "response", "vin", "encryption", "length", "time", "body_type", "data_unit", "rest",
          "not_decoded", "bcc", "reserved")  # fmt: skip
_WORDS = ("right", "wrong", "abnormal", "invalid", "illegal", "impossible", "yes", "no")


def dissector(lang: str, editions: Mapping[str, Edition] = EDITIONS) -> str:
    """The text of a Lua script for Wireshark and tshark; `lang` ("zh", "en") is the language of names and words.

    `editions` by name: those that declare bodies of the maker's own show their fields.
    """
    identifier = Field("id", 1, lo=0, hi=0xFF, sentinel=False)
    tables = {
        "editions": {
            edition.start.decode(): _Tables(lang, name).edition(edition) for name, edition in editions.items()
        },
        "names": {part: labels.label(part, lang) for part in _PARTS},
        "words": {text: labels.word(text, lang) for text in _WORDS},
        "id": _Tables(lang, "").number("id", identifier),
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


class _Tables:
    """The tables of one edition for the engine; names and words in one language."""

    def __init__(self, lang: str, edition: str) -> None:
        self.lang = lang
        self.name = edition

    def edition(self, edition: Edition) -> dict[str, Any]:
        bodies: dict[int, Any] = {
            type_id: self._layout(layout, labels.body(layout.name, self.lang))
            for type_id, layout in edition.bodies.items()
        }
        if edition.signature is not None:
            bodies[SIGNATURE] = self._layout(edition.signature, labels.body(edition.signature.name, self.lang))
        for type_id, layout in edition.declared.items():
            bodies[type_id] = self._layout(layout, labels.body(layout.name, self.lang))
        return {
            "name": edition.name,
            "commands": {number: self._command(row) for number, row in edition.commands.items()},
            "responses": self._words(edition.responses),
            "encryptions": self._words(edition.encryptions),
            "bodies": bodies,
            "user": self._layout(edition.user_body, labels.body(edition.user_body.name, self.lang)),
        }

    def _words(self, words: "dict[int, Any]", table: str = "") -> dict[int, str]:
        return {raw: labels.word(text, self.lang, table) for raw, text in words.items()}

    def _command(self, row: Command) -> dict[str, Any]:
        name = labels.command(row.name, self.lang)
        return {
            "name": name,
            "timed": row.timed,
            "reports": row.reports,
            "layout": self._layout(row.layout, name) if row.layout is not None else None,
            "answer": self._layout(row.answer, name) if row.answer is not None else None,
        }

    def _layout(self, layout: Layout, name: str) -> dict[str, Any]:
        out: dict[str, Any] = {"name": name, "rows": [self._row(layout, row) for row in layout.rows]}
        if isinstance(layout, Sized):
            out |= {"length": self.number(layout.name, layout.length), "size": layout.size}
        return out

    def _row(self, layout: Layout, row: Any) -> dict[str, Any]:
        table = layout.name
        if isinstance(row, Field):
            return self.number(table, row)
        common = {"field": f"{table}.{row.name}", "name": labels.label(row.name, self.lang, table)}
        if isinstance(row, Items):
            inner = row.item
            group = self._layout(inner, labels.label(inner.name, self.lang)) if isinstance(inner, Layout) else None
            return common | {
                "kind": "list",
                "count": self.number(table, row.count),
                "item": self.number(table, inner) if isinstance(inner, Field) else None,
                "group": group,
            }
        if isinstance(row, Text | Time):
            return common | {"kind": "time" if isinstance(row, Time) else "text", "size": row.size, "pad": _pad(row)}
        if isinstance(row, Blob):
            return common | {"kind": "blob", "count": self.number(table, row.count)}
        if isinstance(row, Codes):
            return common | {"kind": "codes"} | self._numbers(table, count=row.count, length=row.length)
        if isinstance(row, PackCodes):
            return (
                common
                | {"kind": "pack_codes", "size": row.size}
                | self._numbers(table, count=row.count, packs=row.packs)
            )
        if isinstance(row, Parameters):
            items = {
                number: {"kind": "parameter", "of": item, "field": f"{table}.{_parameter_name(row, item)}",
                         "name": labels.label(_parameter_name(row, item), self.lang, table)}
                if isinstance(item, int) else self._row(layout, item)
                for number, item in row.table.items()
            }  # fmt: skip
            return common | {"kind": "parameters", "items": items} | self._numbers(table, count=row.count)
        if isinstance(row, Control):
            names = {number: pair[self.lang == "zh"] for number, pair in labels.CONTROLS.items()}
            numbers = self._numbers(table, command=row.command, level=row.level)
            numbers["command"]["words"] = names
            numbers["command"]["open"] = True
            texts = {text: self._text(table, text) for text in ("arguments", "text")}
            return common | {"kind": "control", "alarm": ALARM_CONTROL} | numbers | texts
        raise TypeError(f"{table}: a row of kind {type(row).__name__}")

    def _numbers(self, table: str, **fields: Field) -> dict[str, Any]:
        return {key: self.number(table, field) for key, field in fields.items()}

    def _text(self, table: str, name: str) -> dict[str, str]:
        return {"kind": "text", "field": f"{table}.{name}", "name": labels.label(name, self.lang, table)}

    def _meanings(self, place: str) -> dict[int, str] | None:
        return self._words(labels.MEANINGS[place]) if place in labels.MEANINGS else None

    def number(self, table: str, row: Field) -> dict[str, Any]:
        place = f"{table}.{row.name}"
        bits: list[dict[str, Any]] = [
            {"field": f"{place}.{name}", "name": labels.label(name, self.lang), "shift": shift, "width": width,
             "inverted": inverted, "words": self._words(words) if words is not None else None}
            for name, shift, width, words, inverted in row.bits or ()
        ]  # fmt: skip
        bits += [
            {
                "field": f"{place}.{name}",
                "name": labels.flag(name, self.lang, self.name),
                "shift": bit,
                "width": 1,
                "inverted": False,
            }
            for bit, name in enumerate(row.flags or ())
        ]
        return {
            "kind": "number",
            "key": row.name,
            "field": place,
            "name": labels.label(row.name, self.lang, table),
            "size": row.size,
            "unit": row.unit or None,
            "per_unit": row.per_unit,
            "offset": row.offset,
            "lo": row.lo,
            "hi": row.hi,
            "invalid": row.invalid,
            "abnormal": row.abnormal,
            "absent": row.absent,
            "words": self._words(row.words, table) if row.words is not None else self._meanings(place),
            "open": None if row.words is not None else True,
            "step": row.step if row.step != 1 else None,
            "signed": row.bottom < 0 or None,
            "hexadecimal": row.hexadecimal or None,
            "bits": bits or None,
            "reserved": reserved_mask(row) if bits else None,
            "sign": {"key": row.sign[0], "mask": row.sign[1]} if row.sign is not None else None,
        }


def _pad(row: Text | Time) -> str | None:
    """What stands behind a short text besides zeros."""
    return row.pad.decode() if isinstance(row, Text) and row.pad != b"\x00" else None


def _parameter_name(row: Parameters, length_id: int) -> str:
    name: str = row.table[length_id].name
    return name.removesuffix("_length")
