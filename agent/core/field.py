"""Rows of the standard's tables: one row drives encoding, decoding, range check, explanation, mapping check and test data.

Values are wire counts: ``raw = physical * per_unit / step + offset``. All integers of the standard are unsigned, and all are
big-endian (6.1); bodies of the maker's own have signed ones too.
A list whose count byte says abnormal or invalid is that integer itself in place of the list.

Kinds of row, each with `encode(value, strict) -> bytes` and `decode(data, offset) -> (value, offset)`:

* `Field`  one integer
* `Items`  a count, then that many integers or groups
* `Text`   fixed-width ASCII
* `Time`   six time bytes
* `Blob`   a length, then bytes
* `Layout` rows in order, a body or a group; kinds with ``spread = True`` read and write several names of their layout
* `Sized`  a `Layout` with its length in front: a body of the maker's own
"""

from struct import pack, unpack_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

from agent.core.errors import FieldError, LocalProtocolError, RemoteProtocolError

U8 = 1
U16 = 2
U32 = 4

_CODE = {U8: "B", U16: "H", U32: "I"}


def _ends(row: str, clause: str, offset: int, data: bytes) -> RemoteProtocolError:
    return RemoteProtocolError("data end inside %s" % row, clause, offset, data)


class Field:
    """One integer of `size` bytes.

    `lo`..`hi` is the valid raw range. `words` names the values of an enumeration. `sentinel`: all-FE means abnormal and
    all-FF invalid. `absent` is what is sent when nothing is known (invalid, where the standard has it). `bits` splits a
    byte: (name, shift, width, words or None, inverted). `flags` names single bits from bit 0. `sign` = (status field,
    mask): the bit that makes this magnitude negative. `annex_b`: the item stands in the terminal annex only.
    `hexadecimal`: a code, not a quantity; people write it in hexadecimal. `step`: units of `per_unit` counts, for a count
    that is no whole part of the unit (0.4 A: 5 counts are 2 A). `signed`: two's complement.
    """

    spread = False

    def __init__(
        self,
        name: str,
        size: int,
        unit: str = "",
        per_unit: int = 1,
        offset: int = 0,
        lo: int = 0,
        hi: int = 0,
        words: dict[int, str] | None = None,
        sentinel: bool = True,
        absent: int | None = None,
        bits: tuple[tuple[str, int, int, dict[int, str] | None, bool], ...] | None = None,
        flags: tuple[str, ...] | None = None,
        sign: tuple[str, int] | None = None,
        annex_b: bool = False,
        hexadecimal: bool = False,
        step: int = 1,
        signed: bool = False,
    ) -> None:
        self.name = name
        self.size = size
        self.unit = unit
        self.per_unit = per_unit
        self.offset = offset
        self.lo = lo
        self.hi = hi
        self.words = words
        self.bottom = -(1 << (8 * size - 1)) if signed else 0
        self.top = self.bottom + (1 << (8 * size)) - 1
        self.invalid = self.top if sentinel else None
        self.abnormal = self.top - 1 if sentinel else None
        self.absent = absent if absent is not None else self.invalid
        self.bits = bits
        self.flags = flags
        self.sign = sign
        self.annex_b = annex_b
        self.hexadecimal = hexadecimal
        self.step = step
        self.code = _CODE[size].lower() if signed else _CODE[size]

    def check(self, raw: int, strict: bool) -> None:
        """Raise FieldError unless `raw` may be sent; not strict: unless it fits the width (a bench sends illegal values too)."""
        if self.lo <= raw <= self.hi or raw == self.absent or raw == self.invalid or raw == self.abnormal:
            return
        if strict:
            raise FieldError(self.name, raw, self.lo, self.hi)
        if not self.bottom <= raw <= self.top:
            raise FieldError(self.name, raw, self.bottom, self.top)

    def encode(self, value: int, strict: bool) -> bytes:
        self.check(value, strict)
        return pack(">" + self.code, value)

    def decode(self, data: bytes, offset: int) -> "tuple[int, int]":
        end = offset + self.size
        if end > len(data):
            raise _ends(self.name, "7.2", offset, data)
        return unpack_from(">" + self.code, data, offset)[0], end


class Text:
    """`size` ASCII bytes; the value is bytes of exactly that size (shorter ones are padded, with zeros as a rule, when sent)."""

    spread = False

    def __init__(self, name: str, size: int, pad: bytes = b"\x00") -> None:
        self.name = name
        self.size = size
        self.pad = pad

    def encode(self, value: bytes, _strict: bool) -> bytes:
        if len(value) > self.size:
            raise FieldError(self.name + " (length)", len(value), 0, self.size)
        return bytes(value) + self.pad * (self.size - len(value))

    def decode(self, data: bytes, offset: int) -> "tuple[bytes, int]":
        end = offset + self.size
        if end > len(data):
            raise _ends(self.name, "7.1", offset, data)
        return bytes(data[offset:end]), end


class Time:
    """Six time bytes (6.4) among the rows; the value is those bytes, whether or not they are a time that exists."""

    spread = False
    size = 6

    def __init__(self, name: str) -> None:
        self.name = name

    def encode(self, value: bytes, _strict: bool) -> bytes:
        if len(value) != self.size:
            raise FieldError(self.name + " (length)", len(value), self.size, self.size)
        return bytes(value)

    def decode(self, data: bytes, offset: int) -> "tuple[bytes, int]":
        end = offset + self.size
        if end > len(data):
            raise _ends(self.name, "6.4", offset, data)
        return bytes(data[offset:end]), end


class Blob:
    """A length of `count_size` bytes, then as many bytes."""

    spread = False

    def __init__(self, name: str, count_size: int, lo: int, hi: int) -> None:
        self.name = name
        self.count = Field(name + "_length", count_size, lo=lo, hi=hi, sentinel=False)

    def encode(self, value: bytes, strict: bool) -> bytes:
        return self.count.encode(len(value), strict) + bytes(value)

    def decode(self, data: bytes, offset: int) -> "tuple[bytes, int]":
        size, offset = self.count.decode(data, offset)
        end = offset + size
        if end > len(data):
            raise _ends(self.name, "7.2", offset, data)
        return bytes(data[offset:end]), end


class Items:
    """A count, then that many items: integers of one `Field` or groups of one `Layout`.

    Value: a list; or, with `sentinel`, the count FE/FF (FFFE/FFFF) itself when no list follows.
    """

    spread = False

    def __init__(
        self,
        name: str,
        count_size: int,
        item: "Field | Layout",
        lo: int,
        hi: int,
        sentinel: bool = True,
    ) -> None:
        self.name = name
        self.item = item
        self.count = Field(name + "_count", count_size, lo=lo, hi=hi, sentinel=sentinel)

    def encode(self, value: "list[Any] | int", strict: bool) -> bytes:
        count = self.count
        if isinstance(value, int):
            if count.invalid is None or value not in (count.invalid, count.abnormal):
                raise FieldError(count.name, value, count.lo, count.hi)
            return pack(">" + count.code, value)
        size = len(value)
        if count.invalid is not None and size >= count.top - 1:
            raise FieldError(count.name, size, count.lo, count.hi)
        head = count.encode(size, strict)
        item = self.item
        if isinstance(item, Layout):
            return head + b"".join([item.encode(group, strict) for group in value])
        if size and (max(value) > item.hi or min(value) < item.lo):
            for raw in value:
                item.check(raw, strict)
        return head + pack(">%d%s" % (size, item.code), *value)

    def decode(self, data: bytes, offset: int) -> "tuple[list[Any] | int, int]":
        size, offset = self.count.decode(data, offset)
        if self.count.invalid is not None and size >= self.count.top - 1:
            return size, offset
        item = self.item
        if isinstance(item, Layout):
            groups = []
            for _ in range(size):
                group, offset = item.decode(data, offset)
                groups.append(group)
            return groups, offset
        end = offset + size * item.size
        if end > len(data):
            raise _ends(self.name, "7.2", offset, data)
        return list(unpack_from(">%d%s" % (size, item.code), data, offset)), end


class Layout:
    """Rows in order: a body, a group inside a list, or the data unit of a command. Value: dict of name to value.

    `clause` of GB/T 32960.3; `annex_b`: the body stands in the terminal annex only; `spare`: items that the platform
    table lists as reserved where the annex has its own (they count as items there).
    """

    def __init__(
        self,
        name: str,
        rows: "tuple[Any, ...]",
        clause: str = "",
        annex_b: bool = False,
        spare: int = 0,
    ) -> None:
        self.name = name
        self.rows = rows
        self.clause = clause
        self.annex_b = annex_b
        self.spare = spare
        self._segments = _segments(rows)

    def encode(self, values: "dict[str, Any]", strict: bool = True) -> bytes:
        """Return the bytes; LocalProtocolError when a field is missing, FieldError when one is out of its range."""
        out = []
        try:
            for fields, _, form, _, row in self._segments:
                if row is not None:
                    out.append(row.encode(values if row.spread else values[row.name], strict))
                    continue
                raws = []
                for field in fields:
                    raw = values[field.name]
                    if not field.lo <= raw <= field.hi:
                        field.check(raw, strict)
                    raws.append(raw)
                out.append(pack(form, *raws))
        except KeyError as error:
            raise LocalProtocolError("%s: field %s is missing" % (self.name, error.args[0]))
        return b"".join(out)

    def decode(self, data: bytes, offset: int = 0) -> "tuple[dict[str, Any], int]":
        """Return values and the offset behind them; RemoteProtocolError where the data end too early."""
        values: "dict[str, Any]" = {}
        for _, names, form, size, row in self._segments:
            if row is None:
                if offset + size > len(data):
                    raise _ends(self.name, self.clause, offset, data)
                values.update(zip(names, unpack_from(form, data, offset)))
                offset += size
            elif row.spread:
                part, offset = row.decode(data, offset)
                values.update(part)
            else:
                values[row.name], offset = row.decode(data, offset)
        return values, offset


class Sized(Layout):
    """A length WORD, then rows of fixed size that fill it: a body of the maker's own (types 80 to FE)."""

    def __init__(self, name: str, rows: "tuple[Field, ...]", clause: str = "") -> None:
        Layout.__init__(self, name, rows, clause)
        self.size = sum([row.size for row in rows])
        self.length = Field(name + "_length", U16, lo=1, hi=65531, sentinel=False)

    def encode(self, values: "dict[str, Any]", strict: bool = True) -> bytes:
        return self.length.encode(self.size, True) + Layout.encode(self, values, strict)

    def decode(self, data: bytes, offset: int = 0) -> "tuple[dict[str, Any], int]":
        """As `Layout.decode`; RemoteProtocolError also where the length is not that of the rows: they are others then."""
        size, start = self.length.decode(data, offset)
        self.check_length(size, data, offset)
        return Layout.decode(self, data, start)

    def check_length(self, size: int, data: bytes, offset: int) -> None:
        """Raise RemoteProtocolError unless `size`, read at `offset`, is that of the rows."""
        if size != self.size:
            reason = "body %s has %d bytes, %d are declared" % (self.name, size, self.size)
            raise RemoteProtocolError(reason, self.clause, offset, data)


def _segments(rows: "tuple[Any, ...]") -> "list[Any]":
    """Group neighbouring `Field` rows, so that one pack or unpack serves them all: (fields, names, form, size, row)."""
    segments: "list[Any]" = []
    run: "list[Field]" = []
    for row in rows + (None,):
        if isinstance(row, Field):
            run.append(row)
            continue
        if run:
            form = ">" + "".join([field.code for field in run])
            segments.append((run, [field.name for field in run], form, sum([field.size for field in run]), None))
            run = []
        if row is not None:
            segments.append((None, None, None, 0, row))
    return segments
