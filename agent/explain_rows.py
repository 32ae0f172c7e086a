"""The rows of an explanation: some bytes, their names, value and meaning."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agent.beijing import BEIJING
from agent.core.errors import RemoteProtocolError
from agent.core.field import Field, Text, Time
from agent.core.packet import epoch_of
from agent.jsonvalues import physical, text_of
from agent.labels import chinese, english, word


@dataclass(frozen=True, slots=True)
class Row:
    """Some bytes and their meaning. `path`: their place in the JSON form of the packet; `listed`: one of a list of numbers."""

    offset: int
    data: bytes
    path: str
    english: str
    chinese: str
    raw: int | None
    value: Any
    unit: str
    meaning: str
    clause: str
    listed: bool = False

    def as_json(self) -> dict[str, Any]:
        """For scripts; `bytes` in hexadecimal."""
        names = ("path", "english", "chinese", "raw", "value", "unit", "meaning", "clause")
        return {"offset": self.offset, "bytes": self.data.hex()} | {name: getattr(self, name) for name in names}


class Rows:
    """Appends a row for the next bytes; RemoteProtocolError when `data` end before it."""

    def __init__(self, rows: list[Row], data: bytes, lang: str) -> None:
        self.rows = rows
        self.data = data
        self.lang = lang
        self.offset = 0

    def _add(self, end: int, name: str, table: str, path: str, clause: str, **more: Any) -> None:
        filled = {"raw": None, "value": None, "unit": "", "meaning": ""} | more
        number = f" {int(path[path.rindex('[') + 1 : -1]) + 1}" if path.endswith("]") else ""
        names = english(name) + number, (chinese(name, table) or "") + number
        self.rows.append(Row(self.offset, self.data[self.offset : end], path, *names, clause=clause, **filled))
        self.offset = end

    def number(
        self,
        row: Field,
        table: str,
        clause: str,
        path: str,
        meaning: str = "",
        words: dict[int, str] | None = None,
        negative: bool = False,
        listed: bool = False,
    ) -> int:
        """One integer; `words` for a row that has none of its own, `meaning` where the caller says it all. Returns the raw."""
        raw, end = row.decode(self.data, self.offset)
        value: Any = None
        words = row.words or words or {}
        if meaning or row.bits or row.flags:
            pass  # the caller has said it all
        elif raw in words:
            meaning = word(words[raw], self.lang, table)
        elif row.lo <= raw <= row.hi and not row.words:
            value = f"{raw:0{2 * row.size}x}" if row.hexadecimal else physical(row, raw)
            value = -value if negative else value
        elif raw in (row.invalid, row.absent):
            meaning = word("invalid", self.lang)
        elif raw == row.abnormal:
            meaning = word("abnormal", self.lang)
        else:
            meaning = f"{word('illegal', self.lang)} {row.lo}..{row.hi}"
        unit = row.unit if value is not None else ""
        self._add(end, row.name, table, path, clause, raw=raw, value=value, unit=unit, meaning=meaning, listed=listed)
        return raw

    def peek(self, row: Field) -> int | None:
        """The next integer, which stays the next; None when the data end before it."""
        return row.decode(self.data, self.offset)[0] if self.offset + row.size <= len(self.data) else None

    def text(self, row: Text, table: str, clause: str, path: str, meaning: str = "") -> None:
        """Text of a fixed size; none at all when the size is 0."""
        data, end = row.decode(self.data, self.offset)
        if data:
            shown = text_of(data, row.pad)
            value = shown if isinstance(shown, str) else None
            self._add(end, row.name, table, path, clause, value=value, meaning=meaning)

    def bytes(self, name: str, end: int, clause: str, table: str = "", path: str = "", strict: bool = False) -> None:
        """Bytes without further meaning up to `end`; `strict`: they must all be there."""
        if strict and end > len(self.data):
            raise RemoteProtocolError(f"data end inside {name}", clause, self.offset, self.data)
        if end > self.offset:
            self._add(end, name, table, path or name, clause)

    def time(self, row: Time, table: str, clause: str, path: str) -> None:
        """Six time bytes."""
        _, end = row.decode(self.data, self.offset)
        try:
            moment = datetime.fromtimestamp(epoch_of(self.data, self.offset), BEIJING)
            value, meaning = f"{moment:%Y-%m-%d %H:%M:%S}", "UTC+8"
        except RemoteProtocolError:
            value, meaning = None, word("impossible", self.lang)
        self._add(end, row.name, table, path, clause, value=value, meaning=meaning)
