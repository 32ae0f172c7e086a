"""What every byte of a packet means: rows that lie side by side from the start bytes to the check code.

A damaged packet is explained as far as it goes; the bytes that could not be decoded are one row, and `Explanation.fault` says
why. The walk follows the rows of the same tables as the codec.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from agent import labels
from agent.core.dataunit import TIME_SIZE
from agent.core.edition import Command, Edition
from agent.core.editions import EDITIONS
from agent.core.errors import RemoteProtocolError
from agent.core.field import U8, U16, Blob, Field, Items, Layout, Sized, Text
from agent.core.packet import COMMAND, HEADER_SIZE, MAX_DATA_UNIT, PLAIN, STARTS, bcc
from agent.core.parameters import ALARM_CONTROL, Codes, Control, Parameters
from agent.explain_rows import Row, Rows
from agent.jsonrows import named_bits, reserved_mask
from agent.labels import flag, label, language, word
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
_VIN = Text("vin", 17)
_ENCRYPTION = Field("encryption", U8, hi=255, sentinel=False)
_LENGTH = Field("length", U16, "byte", hi=MAX_DATA_UNIT, sentinel=False)
_BODY_TYPE = Field("body_type", U8, hi=255, sentinel=False)
_PARAMETER_ID = Field("id", U8, hi=255, sentinel=False)


@dataclass(slots=True)
class Explanation:
    """Rows that tile the bytes given; `fault` is the first thing that is wrong with them."""

    rows: list[Row] = field(default_factory=list)
    fault: RemoteProtocolError | None = None


def explain(raw: bytes, lang: str, editions: dict[str, Edition] = EDITIONS) -> Explanation:
    """Explain the bytes of one packet, whole or not; `lang` ("zh", "en") is the language of the meanings."""
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
    edition: Edition | None
    command: Command | None
    response: int
    encryption: int
    size: int


def _header(rows: Rows, editions: dict[str, Edition]) -> _Header:
    raw = rows.data
    if len(raw) > 1 and raw[:2] not in STARTS.values():
        raise RemoteProtocolError("no start mark ## or $$", "6.2", 0, raw)
    edition = next((one for one in editions.values() if one.start == raw[:2]), None)
    rows.text(_START, "", "6.2", "edition", edition.name if edition is not None else "")
    command = edition.commands.get(raw[2]) if edition is not None and len(raw) > 2 else None
    rows.number(
        _COMMAND, "", "6.3.1", "command", labels.command(command.name, rows.lang) if command is not None else ""
    )
    responses = edition.responses if edition is not None else {}
    response = rows.number(_RESPONSE, "", "6.3.2", "response", words=responses)
    rows.text(_VIN, "", "6.2", "vin")
    encryptions = edition.encryptions if edition is not None else {}
    encryption = rows.number(_ENCRYPTION, "", "6.2", "encryption", words=encryptions)
    size = rows.number(_LENGTH, "", "6.2", "length")
    if size > MAX_DATA_UNIT:
        raise RemoteProtocolError(f"data unit length {size} above {MAX_DATA_UNIT}", "6.2", HEADER_SIZE - 2, raw)
    return _Header(edition, command, response, encryption, size)


def _unit(rows: Rows, header: _Header, whole: bool) -> None:
    """The data unit; an answer may hold nothing, the time alone, the whole unit, or something of its own."""
    edition, command = header.edition, header.command
    size = len(rows.data) - rows.offset
    if edition is None or command is None or header.encryption != PLAIN:
        rows.bytes("data_unit", len(rows.data), "6.2")
    elif header.response == COMMAND or not whole:
        _content(rows, edition, command, header.response)
    elif size == TIME_SIZE:
        rows.time()
    elif size:
        kept = len(rows.rows)
        try:
            _content(rows, edition, command, header.response)
        except RemoteProtocolError:
            del rows.rows[kept:]
            rows.offset = HEADER_SIZE
            rows.bytes("data_unit", len(rows.data), "6.2")


def _content(rows: Rows, edition: Edition, command: Command, response: int) -> None:
    if command.timed:
        rows.time()
    layout = command.rows(response)
    if command.reports:
        _bodies(rows, edition)
    elif layout is not None:
        _layout(rows, layout, layout.clause, "")
    rows.bytes("rest", len(rows.data), command.clause)


def _bodies(rows: Rows, edition: Edition) -> None:
    position = 0
    while rows.offset < len(rows.data):
        layout = edition.body(rows.data[rows.offset])
        if layout is None:
            return  # its length is unknown, so is everything behind it
        path = f"bodies[{position}]."
        rows.number(_BODY_TYPE, "", layout.clause, path + "body", labels.body(layout.name, rows.lang))
        if isinstance(layout, Sized):
            layout.decode(rows.data, rows.offset)  # of another length: what it holds is not what was declared
            rows.number(layout.length, layout.name, layout.clause, path + "length")
        _layout(rows, layout, layout.clause, path)
        position += 1


def _layout(rows: Rows, layout: Layout, clause: str, path: str) -> None:
    raws: dict[str, int] = {}
    for row in layout.rows:
        place = path + row.name
        if isinstance(row, Field):
            status, mask = row.sign or ("", 0)
            negative = bool(raws.get(status, 0) & mask)
            meaning = _bits(rows, layout, row) if row.bits or row.flags else ""
            raws[row.name] = rows.number(row, layout.name, clause, place, meaning, negative=negative)
        elif isinstance(row, Items):
            _items(rows, layout, row, clause, place)
        elif isinstance(row, Text):
            rows.text(row, layout.name, clause, place)
        elif isinstance(row, Blob):
            size = rows.number(row.count, layout.name, clause, place + "_length")
            rows.bytes(row.name, rows.offset + size, clause, layout.name, place, strict=True)
        elif isinstance(row, Codes):
            _codes(rows, row, layout.name, clause)
        elif isinstance(row, Parameters):
            _parameters(rows, row, layout.name, clause)
        elif isinstance(row, Control):
            _control(rows, row, layout.name, clause)


def _items(rows: Rows, layout: Layout, row: Items, clause: str, path: str) -> None:
    count = rows.number(row.count, layout.name, clause, path + "_count")
    if count in (row.count.invalid, row.count.abnormal):
        return
    for position in range(count):
        place = f"{path}[{position}]"
        if isinstance(row.item, Layout):
            _layout(rows, row.item, row.item.clause or clause, place + ".")
        else:
            rows.number(row.item, layout.name, clause, place, listed=True)


def _codes(rows: Rows, row: Codes, table: str, clause: str) -> None:
    count = rows.number(row.count, table, clause, "codes_count")
    length = rows.number(row.length, table, clause, "code_length")
    for position in range(count if length else 0):
        rows.text(Text("codes", length), table, clause, f"codes[{position}]")


def _parameters(rows: Rows, row: Parameters, table: str, clause: str) -> None:
    count = rows.number(row.count, table, clause, "parameters_count")
    lengths: dict[int, int] = {}
    for position in range(0 if count in (row.count.invalid, row.count.abnormal) else count):
        path = f"parameters[{position}]"
        number = rows.number(_PARAMETER_ID, table, clause, path + ".id")
        item = row.table.get(number)
        if item is None:
            raise RemoteProtocolError(f"parameter {number:02X} has no known layout", clause, rows.offset - 1, rows.data)
        if isinstance(item, int):
            if item not in lengths:
                reason = f"no parameter {item:02X} before {number:02X} gives its length"
                raise RemoteProtocolError(reason, clause, rows.offset - 1, rows.data)
            name = row.table[item].name.removesuffix("_length")
            rows.text(Text(name, lengths[item]), table, clause, path + ".value")
        elif isinstance(item, Text):
            rows.text(item, table, clause, path + ".value")
        else:
            lengths[number] = rows.number(item, table, clause, path + ".value")


def _control(rows: Rows, row: Control, table: str, clause: str) -> None:
    names = labels.CONTROLS.get(rows.data[rows.offset], ("", "")) if rows.offset < len(rows.data) else ("", "")
    control = rows.number(row.command, table, clause, "control", names[rows.lang == "zh"])
    left = len(rows.data) - rows.offset
    if control == ALARM_CONTROL and left:
        rows.number(row.level, table, clause, "level")
        rows.text(Text("text", left - 1), table, clause, "text")
    else:
        rows.text(Text("arguments", left), table, clause, "arguments")


def _bits(rows: Rows, layout: Layout, row: Field) -> str:
    """What the bits of the next field say; nothing when the data end before it."""
    if rows.offset + row.size > len(rows.data):
        return ""
    raw, _ = row.decode(rows.data, rows.offset)
    said = [flag(name, rows.lang) for bit, name in enumerate(row.flags or ()) if raw >> bit & 1]
    signs = {bit[0] for bit in row.bits or ()} - {bit[0] for bit in named_bits(layout, row)}
    for name, shift, width, words, inverted in row.bits or ():
        part = raw >> shift & ((1 << width) - 1)
        if words is not None:
            said.append(word(words.get(part, part), rows.lang))
        elif bool(part) != inverted:
            said.append(label(name, rows.lang))
        elif inverted and name not in signs:
            said.append(word("invalid", rows.lang))
    if raw & reserved_mask(row):
        said.append(f"{word('reserved', rows.lang)} {raw & reserved_mask(row):#x}")
    return ", ".join(said)


def print_explanation(
    raw: bytes, lang: str | None = None, everything: bool = False, editions: dict[str, Edition] = EDITIONS
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
