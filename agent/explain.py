"""What every byte of a packet means: rows that lie side by side from the start bytes to the check code.

A damaged packet is explained as far as it goes; the bytes that could not be decoded are one row, and `Explanation.fault` says
why. The walk follows the rows of the same tables as the codec.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent import labels
from agent.core.dataunit import TIME_SIZE
from agent.core.edition import Command, Edition
from agent.core.editions import EDITIONS
from agent.core.errors import RemoteProtocolError
from agent.core.field import U8, U16, Field, Text
from agent.core.packet import COMMAND, HEADER_SIZE, MAX_DATA_UNIT, PLAIN, STARTS, VIN_SIZE, bcc
from agent.explain_rows import Row, Rows
from agent.explain_unit import TIME, UnitWalk
from agent.labels import language, word
from agent.texttable import print_table

_SHOWN_ITEMS = 4  # of a list of numbers
_SHOWN_BYTES = 16  # of a row
_HEADINGS = {
    "en": ("offset", "bytes", "field", "Chinese", "raw", "value", "unit", "meaning", "clause"),
    "zh": ("偏移", "字节", "英文名称", "名称", "原始值", "物理值", "单位", "含义", "条款"),
}
_MORE = {"en": "{count} more to offset {last} (--all)", "zh": "还有{count}项,至偏移{last} (--all)"}
_START = Text("start", 2)
_COMMAND = Field("command", U8, hi=255, sentinel=False)
_RESPONSE = Field("response", U8, hi=255, sentinel=False)
_VIN = Text("vin", VIN_SIZE)
_ENCRYPTION = Field("encryption", U8, hi=255, sentinel=False)
_LENGTH = Field("length", U16, "byte", hi=MAX_DATA_UNIT, sentinel=False)
_EDITION_OF = {start: name for name, start in STARTS.items()}


@dataclass(slots=True)
class Explanation:
    """Rows that tile the bytes given; `fault` is the first thing that is wrong with them."""

    rows: list[Row] = field(default_factory=list)
    fault: RemoteProtocolError | None = None


def explain(raw: bytes, lang: str, editions: Mapping[str, Edition] = EDITIONS) -> Explanation:
    """Explain the bytes of one packet, whole or not; `lang` ("zh", "en") is the language of the meanings.

    `editions` by name: those that declare bodies of the maker's own show their fields.
    """
    out = Explanation()
    rows = Rows(out.rows, raw, lang)
    end = len(raw)  # of the data unit
    try:
        header = _header(rows, editions)
        end = HEADER_SIZE + header.size
        if len(raw) <= end:
            out.fault = RemoteProtocolError(f"the packet has {end + 1} bytes, these end", "6.2", len(raw), raw)
        rows.data = raw[:end]
        _unit(rows, header, whole=len(raw) > end)
    except RemoteProtocolError as error:
        out.fault = out.fault or error
    rows.bytes("not_decoded", len(rows.data), "6.2")
    rows.data = raw
    if len(raw) > end:
        right = bcc(raw[2:end])
        meaning = word("right", lang) if raw[end] == right else f"{word('wrong', lang)}: {right:02X}"
        rows.number(Field("bcc", U8, hi=255, sentinel=False), "", "6.2", "bcc", meaning)
        if raw[end] != right:
            wrong = RemoteProtocolError(f"check code {raw[end]:02X} is wrong, {right:02X} is right", "6.2", end, raw)
            out.fault = out.fault or wrong
    if len(raw) > end + 1:
        behind = RemoteProtocolError(f"{len(raw) - end - 1} bytes behind the packet", "6.2", end + 1, raw)
        out.fault = out.fault or behind
    rows.bytes("behind_the_packet", len(raw), "6.2")
    return out


@dataclass(slots=True)
class _Header:
    edition: Edition
    command: Command | None
    response: int
    encryption: int
    size: int


def _header(rows: Rows, editions: Mapping[str, Edition]) -> _Header:
    raw = rows.data
    if len(raw) > 1 and raw[:2] not in _EDITION_OF:
        raise RemoteProtocolError("no start mark ## or $$", "6.2", 0, raw)
    name = _EDITION_OF.get(raw[:2], "")
    rows.text(_START, "", "6.2", "edition", name)
    edition = editions[name]  # a start mark is there, else its row has complained
    command = edition.commands.get(raw[2]) if len(raw) > 2 else None
    rows.number(
        _COMMAND, "", "6.3.1", "command", labels.command(command.name, rows.lang) if command is not None else ""
    )
    response = rows.number(_RESPONSE, "", "6.3.2", "response", words=edition.responses)
    rows.text(_VIN, "", "6.2", "vin")
    encryption = rows.number(_ENCRYPTION, "", "6.2", "encryption", words=edition.encryptions)
    size = rows.number(_LENGTH, "", "6.2", "length")
    if size > MAX_DATA_UNIT:
        raise RemoteProtocolError(f"data unit length {size} above {MAX_DATA_UNIT}", "6.2", HEADER_SIZE - 2, raw)
    return _Header(edition, command, response, encryption, size)


def _unit(rows: Rows, header: _Header, whole: bool) -> None:
    """The data unit; an answer may hold nothing, the time alone, the whole unit, or something of its own."""
    command = header.command
    size = len(rows.data) - rows.offset
    if command is None or header.encryption != PLAIN:
        rows.bytes("data_unit", len(rows.data), "6.2")
    elif header.response == COMMAND or not whole:
        UnitWalk(rows, header.edition).unit(command, header.response)
    elif size == TIME_SIZE:
        rows.time(TIME, "", "6.4", "collected_at")
    elif size:
        kept = len(rows.rows)
        try:
            UnitWalk(rows, header.edition).unit(command, header.response)
        except RemoteProtocolError:
            del rows.rows[kept:]
            rows.offset = HEADER_SIZE
            rows.bytes("data_unit", len(rows.data), "6.2")


def print_explanation(
    raw: bytes, lang: str | None = None, everything: bool = False, editions: Mapping[str, Edition] = EDITIONS
) -> RemoteProtocolError | None:
    """Print the explanation of `raw` as a table; lists and contents are cut short unless `everything`. Returns the fault."""
    lang = language(lang)
    explanation = explain(raw, lang, editions)
    print_table(_HEADINGS[lang], "rlllrrlll", _lines(explanation.rows, lang, everything))
    return explanation.fault


def _lines(rows: list[Row], lang: str, everything: bool) -> Iterator[tuple[str, ...]]:
    run: list[Row] = []
    for row in [*rows, None]:
        if row is not None and row.listed and (not run or _list_of(run[0]) == _list_of(row)):
            run.append(row)
            continue
        shown = len(run) if everything or len(run) <= _SHOWN_ITEMS + 1 else _SHOWN_ITEMS
        yield from (_cells(item, everything) for item in run[:shown])
        if run[shown:]:
            text = _MORE[lang].format(count=len(run) - shown, last=run[-1].offset)
            yield (str(run[shown].offset), "…", text, "", "", "", "", "", run[-1].clause)
        run = [row] if row is not None and row.listed else []
        if row is not None and not row.listed:
            yield _cells(row, everything)


def _list_of(row: Row) -> str:
    return row.path[: row.path.rindex("[")]


def _cells(row: Row, everything: bool) -> tuple[str, ...]:
    data = row.data.hex().upper()
    if len(row.data) > _SHOWN_BYTES + 1 and not everything:
        data = f"{data[: 2 * _SHOWN_BYTES]}… ({len(row.data)})"
    return (
        str(row.offset),
        data,
        row.english,
        row.chinese,
        _text(row.raw),
        _text(row.value),
        row.unit,
        row.meaning,
        row.clause,
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value)
