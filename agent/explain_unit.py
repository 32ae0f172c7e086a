"""The data unit of an explanation: a walk along the rows of an edition's tables."""

from agent import labels
from agent.core.edition import OWN_TYPES, Command, Edition
from agent.core.errors import RemoteProtocolError
from agent.core.field import U8, Blob, Field, Items, Layout, Sized, Text, Time
from agent.core.packet import HEADER_SIZE
from agent.core.parameters import ALARM_CONTROL, Codes, Control, PackCodes, Parameters
from agent.explain_rows import Rows
from agent.jsonrows import named_bits, reserved_mask
from agent.labels import flag, label, word

TIME = Time("time")
_BODY_TYPE = Field("body_type", U8, hi=255, sentinel=False)
_PARAMETER_ID = Field("id", U8, hi=255, sentinel=False)
_SIGNS = {"en": "signs offsets {first} to {last}", "zh": "签名范围:偏移{first}至{last}"}


class UnitWalk:
    """Adds the rows of one data unit to `rows`; RemoteProtocolError where it breaks the tables of `edition`."""

    def __init__(self, rows: Rows, edition: Edition) -> None:
        self._rows = rows
        self._edition = edition

    def unit(self, command: Command, response: int) -> None:
        """Time, then bodies or rows, then what nobody knows."""
        rows = self._rows
        if command.timed:
            rows.time(TIME, "", "6.4", "collected_at")
        layout = command.rows(response)
        if command.reports:
            self._bodies()
        elif layout is not None:
            self._layout(layout, layout.clause, "")
        rows.bytes("rest", len(rows.data), command.clause)

    def _bodies(self) -> None:
        rows = self._rows
        position = 0
        while rows.offset < len(rows.data):
            type_id = rows.data[rows.offset]
            layout = self._edition.body(type_id)
            if layout is None:
                return  # its length is unknown, so is everything behind it
            path = f"bodies[{position}]."
            name = self._edition.user_body.name if type_id in OWN_TYPES else layout.name
            rows.number(_BODY_TYPE, "", layout.clause, path + "body", labels.body(name, rows.lang))
            if isinstance(layout, Sized):
                size = rows.number(layout.length, layout.name, layout.clause, path + "length")
                layout.check_length(size, rows.data, rows.offset - layout.length.size)
            self._layout(layout, layout.clause, path)
            position += 1

    def _layout(self, layout: Layout, clause: str, path: str) -> None:
        rows = self._rows
        raws: dict[str, int] = {}
        for row in layout.rows:
            place = path + row.name
            if isinstance(row, Field):
                status, mask = row.sign or ("", 0)
                negative = bool(raws.get(status, 0) & mask)
                meaning = self._meaning(layout, row)
                raws[row.name] = rows.number(row, layout.name, clause, place, meaning, negative=negative)
            elif isinstance(row, Items):
                self._items(layout, row, clause, place)
            elif isinstance(row, Text):
                rows.text(row, layout.name, clause, place)
            elif isinstance(row, Time):
                rows.time(row, layout.name, clause, place)
            elif isinstance(row, Blob):
                size = rows.number(row.count, layout.name, clause, place + "_length")
                rows.bytes(row.name, rows.offset + size, clause, layout.name, place, strict=True)
            elif isinstance(row, Codes):
                self._codes(row, layout.name, clause)
            elif isinstance(row, PackCodes):
                self._pack_codes(row, layout.name, clause)
            elif isinstance(row, Parameters):
                self._parameters(row, layout.name, clause)
            elif isinstance(row, Control):
                self._control(row, layout.name, clause)

    def _items(self, layout: Layout, row: Items, clause: str, path: str) -> None:
        rows = self._rows
        count = rows.number(row.count, layout.name, clause, path + "_count")
        if count in (row.count.invalid, row.count.abnormal):
            return
        for position in range(count):
            place = f"{path}[{position}]"
            if isinstance(row.item, Layout):
                self._layout(row.item, row.item.clause or clause, place + ".")
            else:
                meaning = self._meaning(layout, row.item)
                rows.number(row.item, layout.name, clause, place, meaning, listed=True)

    def _codes(self, row: Codes, table: str, clause: str) -> None:
        rows = self._rows
        count = rows.number(row.count, table, clause, "codes_count")
        length = rows.number(row.length, table, clause, "code_length")
        for position in range(count if length else 0):
            rows.text(Text("codes", length), table, clause, f"codes[{position}]")

    def _pack_codes(self, row: PackCodes, table: str, clause: str) -> None:
        rows = self._rows
        systems = rows.number(row.count, table, clause, "packs_count")
        packs = [rows.number(row.packs, table, clause, f"packs[{position}]") for position in range(systems)]
        for position in range(sum(packs)):
            rows.text(Text("pack_code", row.size), table, clause, f"codes[{position}]")

    def _parameters(self, row: Parameters, table: str, clause: str) -> None:
        rows = self._rows
        count = rows.number(row.count, table, clause, "parameters_count")
        lengths: dict[int, int] = {}
        for position in range(0 if count in (row.count.invalid, row.count.abnormal) else count):
            path = f"parameters[{position}]"
            meaning = label(self._parameter(rows.peek(_PARAMETER_ID) or 0), rows.lang)
            number = rows.number(_PARAMETER_ID, table, clause, path + ".id", meaning)
            item = row.table.get(number)
            if item is None:
                reason = f"parameter {number:02X} has no known layout"
                raise RemoteProtocolError(reason, clause, rows.offset - 1, rows.data)
            if isinstance(item, int):
                if item not in lengths:
                    reason = f"no parameter {item:02X} before {number:02X} gives its length"
                    raise RemoteProtocolError(reason, clause, rows.offset - 1, rows.data)
                rows.text(Text(self._parameter(number), lengths[item]), table, clause, path + ".value")
            elif isinstance(item, Text):
                rows.text(item, table, clause, path + ".value")
            else:
                lengths[number] = rows.number(item, table, clause, path + ".value")

    def _control(self, row: Control, table: str, clause: str) -> None:
        rows = self._rows
        names = labels.CONTROLS.get(rows.peek(row.command) or 0, ("", ""))
        control = rows.number(row.command, table, clause, "control", names[rows.lang == "zh"])
        left = len(rows.data) - rows.offset
        if control == ALARM_CONTROL and left:
            rows.number(row.level, table, clause, "level")
            rows.text(Text("text", left - 1), table, clause, "text")
        else:
            rows.text(Text("arguments", left), table, clause, "arguments")

    def _meaning(self, layout: Layout, row: Field) -> str:
        """What the next integer says beyond its value; nothing when the data end before it."""
        rows = self._rows
        raw = rows.peek(row)
        if raw is None:
            return ""
        if row.bits or row.flags:
            return self._bits(layout, row, raw)
        if row.name == "algorithm":
            return f"{word((row.words or {}).get(raw, raw), rows.lang)}, {self._signed(layout)}"
        if row.name in ("key_type", "encryption_rule"):
            return word(self._edition.encryptions[raw], rows.lang) if row.lo <= raw <= row.hi else ""
        if row.name == "id":
            return label(self._parameter(raw), rows.lang)
        if layout.name == "general_level" and row.name == "bit":
            flags = self._flags()
            return flag(flags[raw], rows.lang, self._edition.name) if raw < len(flags) else ""
        return word(labels.MEANINGS.get(f"{layout.name}.{row.name}", {}).get(raw, ""), rows.lang, layout.name)

    def _signed(self, layout: Layout) -> str:
        """Which bytes the signature that begins here stands for: from the time to the byte before it (7.2.2, B.3.5)."""
        marker = 1 if layout is self._edition.signature else 0  # a report has one before the signature
        return _SIGNS[self._rows.lang].format(first=HEADER_SIZE, last=self._rows.offset - marker - 1)

    def _parameter(self, number: int) -> str:
        """The name of a parameter; nothing for one that the edition does not know."""
        row = self._edition.parameters.get(number)
        if isinstance(row, int):
            return str(self._edition.parameters[row].name).removesuffix("_length")
        return "" if row is None else str(row.name)

    def _flags(self) -> tuple[str, ...]:
        """The alarm flags by bit."""
        alarms = self._edition.bodies[self._edition.body_types["alarms"]]
        return next(row.flags for row in alarms.rows if getattr(row, "flags", None))

    def _bits(self, layout: Layout, row: Field, raw: int) -> str:
        """What the bits of a field say."""
        lang = self._rows.lang
        names = enumerate(row.flags or ())
        said = [flag(name, lang, self._edition.name) for bit, name in names if raw >> bit & 1]
        signs = {bit[0] for bit in row.bits or ()} - {bit[0] for bit in named_bits(layout, row)}
        for name, shift, width, words, inverted in row.bits or ():
            part = raw >> shift & ((1 << width) - 1)
            if words is not None:
                said.append(word(words.get(part, part), lang))
            elif name == "invalid" and part:
                said = [word("invalid", lang)]  # then the bits before it mean nothing
            elif bool(part) != inverted:
                said.append(label(name, lang))
            elif inverted and name not in signs:
                said.append(word("invalid", lang))
        if raw & reserved_mask(row):
            said.append(f"{word('reserved', lang)} {raw & reserved_mask(row):#x}")
        return ", ".join(said)
