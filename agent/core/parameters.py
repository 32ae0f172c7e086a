"""Rows whose layout depends on what they hold: login codes, parameters (80, 81) and control (82) of annex B."""

from agent.core.errors import FieldError, LocalProtocolError, RemoteProtocolError
from agent.core.field import U8, Field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ALARM_CONTROL = 6


class Codes:
    """Codes of the rechargeable storage subsystems in a 2016 login (7.1): count n, length m, n strings of m bytes.

    Values: `codes`, a list of bytes, and `code_length` m.
    """

    spread = True
    name = "codes"

    def __init__(self) -> None:
        self.count = Field("code_count", U8, lo=0, hi=250, sentinel=False)
        self.length = Field("code_length", U8, lo=0, hi=50, sentinel=False)

    def encode(self, values: "dict[str, Any]", strict: bool) -> bytes:
        codes = values["codes"]
        length = values["code_length"]
        for code in codes:
            if len(code) != length:
                raise FieldError("codes (length)", len(code), length, length)
        return self.count.encode(len(codes), strict) + self.length.encode(length, strict) + b"".join(codes)

    def decode(self, data: bytes, offset: int) -> "tuple[dict[str, Any], int]":
        count, offset = self.count.decode(data, offset)
        length, offset = self.length.decode(data, offset)
        end = offset + count * length
        if end > len(data):
            raise RemoteProtocolError("data end inside codes", "7.1", offset, data)
        codes = [bytes(data[offset + n * length : offset + (n + 1) * length]) for n in range(count)]
        return {"codes": codes, "code_length": length}, end


class PackCodes:
    """Packs and their codes in a 2025 login (7.1): count of management systems, packs of each, a code of 24 bytes a pack.

    Values: `packs`, a list of counts; `codes`, a list of bytes, in the order of the management systems.
    """

    spread = True
    name = "codes"
    size = 24

    def __init__(self) -> None:
        self.count = Field("management_systems", U8, lo=0, hi=20, sentinel=False)
        self.packs = Field("packs", U8, lo=0, hi=50, sentinel=False)

    def encode(self, values: "dict[str, Any]", strict: bool) -> bytes:
        packs = values["packs"]
        codes = values["codes"]
        if len(codes) != sum(packs):
            raise FieldError("codes (number)", len(codes), sum(packs), sum(packs))
        for code in codes:
            if len(code) != self.size:
                raise FieldError("codes (length)", len(code), self.size, self.size)
        counts = [self.packs.encode(count, strict) for count in packs]
        return self.count.encode(len(packs), strict) + b"".join(counts) + b"".join(codes)

    def decode(self, data: bytes, offset: int) -> "tuple[dict[str, Any], int]":
        count, offset = self.count.decode(data, offset)
        packs = []
        for _ in range(count):
            number, offset = self.packs.decode(data, offset)
            packs.append(number)
        end = offset + sum(packs) * self.size
        if end > len(data):
            raise RemoteProtocolError("data end inside codes", "7.1", offset, data)
        codes = [bytes(data[at : at + self.size]) for at in range(offset, end, self.size)]
        return {"packs": packs, "codes": codes}, end


class UnknownParameterError(RemoteProtocolError):
    """A parameter id without a row: the list is well-formed as far as anybody can say, but cannot be read on."""


class Parameters:
    """A count, then that many parameters: id, value (annex B). Value: a list of (id, int or bytes).

    `table` gives a row per id, or the id of the earlier parameter that holds the length of this one.
    """

    spread = False

    def __init__(self, name: str, table: "dict[int, Any]") -> None:
        self.name = name
        self.table = table
        self.count = Field("count", U8, lo=0, hi=252)

    def encode(self, value: "list[tuple[int, Any]] | int", strict: bool) -> bytes:
        if isinstance(value, int):
            return self.count.encode(value, strict)
        out = [self.count.encode(len(value), strict)]
        lengths: "dict[int, Any]" = {}
        for number, content in value:
            row = self.table.get(number)
            if row is None:
                raise LocalProtocolError("parameter %02X has no layout in this edition" % number)
            out.append(bytes((number,)))
            if isinstance(row, int):
                if lengths.get(row) != len(content):
                    raise LocalProtocolError(
                        "parameter %02X: parameter %02X before it must hold its length %d" % (number, row, len(content))
                    )
                out.append(bytes(content))
            else:
                lengths[number] = content
                out.append(row.encode(content, strict))
        return b"".join(out)

    def decode(self, data: bytes, offset: int) -> "tuple[list[tuple[int, Any]] | int, int]":
        count, offset = self.count.decode(data, offset)
        if count >= self.count.top - 1:
            return count, offset
        found = []
        lengths: "dict[int, Any]" = {}
        for _ in range(count):
            if offset >= len(data):
                raise RemoteProtocolError("data end inside parameters", "B.4", offset, data)
            number = data[offset]
            row = self.table.get(number)
            if row is None:
                raise UnknownParameterError("parameter %02X has no known layout" % number, "B.4", offset, data)
            offset += 1
            if isinstance(row, int):
                if row not in lengths:
                    raise RemoteProtocolError(
                        "no parameter %02X before %02X gives its length" % (row, number), "B.4", offset, data
                    )
                end = offset + lengths[row]
                if end > len(data):
                    raise RemoteProtocolError("data end inside parameter %02X" % number, "B.4", offset, data)
                content = bytes(data[offset:end])
                offset = end
            else:
                content, offset = row.decode(data, offset)
                lengths[number] = content
            found.append((number, content))
        return found, offset


class Control:
    """Control command (82): its id; for 06 alarm a level and an optional text; otherwise arguments to the end.

    Values: `control`, then `level` and `text` (bytes) or `arguments` (bytes).
    """

    spread = True
    name = "control"

    def __init__(self, highest_level: int) -> None:
        self.command = Field("control", U8, lo=1, hi=0xFE, sentinel=False)
        self.level = Field("level", U8, lo=0, hi=highest_level)

    def encode(self, values: "dict[str, Any]", strict: bool) -> bytes:
        head = self.command.encode(values["control"], strict)
        if "level" in values:
            return head + self.level.encode(values["level"], strict) + bytes(values["text"])
        return head + bytes(values["arguments"])

    def decode(self, data: bytes, offset: int) -> "tuple[dict[str, Any], int]":
        command, offset = self.command.decode(data, offset)
        if command == ALARM_CONTROL and offset < len(data):
            level, offset = self.level.decode(data, offset)
            return {"control": command, "level": level, "text": bytes(data[offset:])}, len(data)
        return {"control": command, "arguments": bytes(data[offset:])}, len(data)
