"""Data units: time, then rows or information bodies, by the tables of an edition (chapter 7)."""

from agent.core.errors import LocalProtocolError, RemoteProtocolError
from agent.core.packet import COMMAND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.core.edition import Command, Edition

    Bodies = list[tuple[int, dict[str, Any]]]

TIME_SIZE = 6


class DataUnit:
    """A decoded data unit.

    `time`: six bytes, or b"" where the unit has none. `values`: rows by name, or None. `bodies`: list of (type id, values),
    or None. `rest`: bytes whose layout is unknown (everything behind an unknown body, or the whole of an answer that
    follows no layout).
    """

    def __init__(
        self,
        time: bytes = b"",
        values: "dict[str, Any] | None" = None,
        bodies: "Bodies | None" = None,
        rest: bytes = b"",
    ) -> None:
        self.time = time
        self.values = values
        self.bodies = bodies
        self.rest = rest


def encode_bodies(edition: "Edition", bodies: "Bodies", strict: bool = True) -> bytes:
    """Type byte and body, one after the other; FieldError when a value is outside its row."""
    out = []
    for type_id, values in bodies:
        layout = edition.body(type_id)
        if layout is None:
            raise LocalProtocolError("body type %02X has no layout in edition %s" % (type_id, edition.name))
        out.append(bytes((type_id,)))
        out.append(layout.encode(values, strict))
    return b"".join(out)


def decode_bodies(edition: "Edition", data: bytes, offset: int = 0) -> "tuple[Bodies, bytes]":
    """Bodies from `offset` to the end, and what stands behind a body of unknown type (its type byte first)."""
    bodies: "Bodies" = []
    end = len(data)
    while offset < end:
        type_id = data[offset]
        layout = edition.body(type_id)
        if layout is None:
            return bodies, bytes(data[offset:])
        values, offset = layout.decode(data, offset + 1)
        bodies.append((type_id, values))
    return bodies, b""


def encode_data_unit(
    edition: "Edition", command: int, unit: DataUnit, response: int = COMMAND, strict: bool = True
) -> bytes:
    """The bytes of `unit` under `command`; the inverse of `decode_data_unit`."""
    row = edition.commands.get(command)
    out = unit.time
    if unit.bodies is not None:
        out += encode_bodies(edition, unit.bodies, strict)
    if unit.values is not None:
        layout = row.rows(response) if row is not None else None
        if layout is None:
            raise LocalProtocolError("command %02X takes no fields in edition %s" % (command, edition.name))
        out += layout.encode(unit.values, strict)
    return out + unit.rest


def decode_data_unit(edition: "Edition", command: int, data: bytes, response: int = COMMAND) -> DataUnit:
    """Split a plain data unit.

    An answer may hold nothing, the time alone, or the whole unit of the command: all three are in the field. One that
    fits none of them is kept whole in `rest`. RemoteProtocolError for a command that breaks its layout.
    """
    row = edition.commands.get(command)
    if row is None:
        return DataUnit(rest=bytes(data))
    if response == COMMAND:
        return _decode(edition, row, response, data)
    if not data:
        return DataUnit()
    if len(data) == TIME_SIZE:
        return DataUnit(time=bytes(data))
    try:
        return _decode(edition, row, response, data)
    except RemoteProtocolError:
        return DataUnit(rest=bytes(data))


def _decode(edition: "Edition", row: "Command", response: int, data: bytes) -> DataUnit:
    offset = TIME_SIZE if row.timed else 0
    if len(data) < offset:
        raise RemoteProtocolError("data end inside the time", "6.4", 0, data)
    time = bytes(data[:offset])
    if row.reports:
        bodies, rest = decode_bodies(edition, data, offset)
        return DataUnit(time, None, bodies, rest)
    layout = row.rows(response)
    if layout is None:
        return DataUnit(time, rest=bytes(data[offset:]))
    values, offset = layout.decode(data, offset)
    return DataUnit(time, values, None, bytes(data[offset:]))
