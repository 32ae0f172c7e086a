"""A packet as one JSON object and back without loss; contract: `encode(decode(packet)) == packet`.

The shape of bodies and units follows the rows of the tables (`agent/jsonrows.py`). What has no table, is encrypted or breaks
its table is hexadecimal under `data_unit`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent.core.dataunit import DataUnit, decode_data_unit, encode_data_unit
from agent.core.edition import OWN_TYPES, SIGNATURE, Command, Edition
from agent.core.editions import EDITIONS
from agent.core.errors import LocalProtocolError, RemoteProtocolError
from agent.core.packet import COMMAND, HEADER_SIZE, PLAIN, STARTS, VIN_SIZE, Packet, build_packet
from agent.jsonrows import Faults, layout_from_json, layout_to_json
from agent.jsonvalues import bytes_of, did_you_mean, hex_of, time_bytes_of, time_of

if TYPE_CHECKING:
    from agent.core.dataunit import Bodies

_EDITION_OF = {start: name for name, start in STARTS.items()}
_HEADER_KEYS = ("edition", "command", "response", "vin", "encryption", "collected_at")
_REMARKS = ("bcc_ok", "bcc", "error")  # what decoding adds beside the content


# --- bytes to JSON ----------------------------------------------------------------------------------------------------


def packet_to_json(packet: Packet, editions: Mapping[str, Edition] = EDITIONS) -> dict[str, Any]:
    """`packet` as a JSON object; a unit that breaks its table is kept in `data_unit`, with the reason under `error`.

    `editions` by name: those that declare bodies of the maker's own show their fields.
    """
    edition = editions[_EDITION_OF[packet.start]]
    command = edition.commands.get(packet.command)
    out: dict[str, Any] = {
        "edition": edition.name,
        "command": command.name if command is not None else packet.command,
        "response": packet.response,
        "vin": _vin_to_json(packet.vin),
        "encryption": packet.encryption,
        "bcc_ok": packet.bcc_ok,
    }
    if not packet.bcc_ok:
        out["bcc"] = packet.bcc
    out["collected_at"] = None
    if command is None or packet.encryption != PLAIN:
        out["data_unit"] = packet.unit.hex()
        return out
    try:
        unit = decode_data_unit(edition, packet.command, packet.unit, packet.response)
    except RemoteProtocolError as error:
        out["error"] = error_to_json(error, HEADER_SIZE)
        out["data_unit"] = packet.unit.hex()
        return out
    if unit.time:
        out["collected_at"] = time_of(unit.time)
    layout = command.rows(packet.response)
    if unit.values is not None and layout is not None:
        out.update(layout_to_json(layout, unit.values))
    if unit.bodies is not None:
        out["bodies"] = bodies_to_json(edition, unit.bodies)
    if unit.rest:
        decoded = unit.time or unit.values is not None or unit.bodies is not None
        out["rest" if decoded else "data_unit"] = unit.rest.hex()
    return out


def error_to_json(error: RemoteProtocolError, offset: int = 0) -> dict[str, Any]:
    """What, clause and offset; `offset` is where in the packet the decoded bytes began."""
    return {"what": error.reason, "clause": error.clause, "offset": offset + error.offset}


def bodies_to_json(edition: Edition, bodies: Bodies) -> list[dict[str, Any]]:
    """Bodies in their order on the wire."""
    out = []
    for type_id, values in bodies:
        layout = edition.body(type_id)
        if layout is None:
            raise LocalProtocolError(f"body type {type_id:02X} has no layout in edition {edition.name}")
        own = type_id in OWN_TYPES
        head = {"body": edition.user_body.name, "type": type_id} if own else {"body": layout.name}
        out.append(head | layout_to_json(layout, values))
    return out


def _vin_to_json(vin: bytes) -> Any:
    return vin.decode("ascii") if vin.isascii() and vin.decode("ascii").isprintable() else {"hex": vin.hex()}


# --- JSON to bytes ----------------------------------------------------------------------------------------------------


def packet_from_json(given: Any, editions: Mapping[str, Edition] = EDITIONS) -> bytes:
    """The packet that `given` describes; LocalProtocolError with every fault, one a line. `editions` as in `packet_to_json`."""
    faults = Faults()
    if not isinstance(given, dict):
        raise LocalProtocolError(f"{given!r}: an object is needed")
    if list(given) == ["error"]:
        raise LocalProtocolError("describes no packet: it is the report of one that could not be decoded")
    edition = editions.get(str(given.get("edition")))
    if edition is None:
        said = repr(given["edition"]) if "edition" in given else "missing"
        raise LocalProtocolError(f"edition: {said}; allowed: {', '.join(map(repr, editions))}")
    command = _command(edition, given.get("command", 0), faults)
    response = _byte(given, "response", faults)
    encryption = _byte(given, "encryption", faults)
    vin = faults.take("vin", _vin, given.get("vin", "?" * VIN_SIZE))
    row = edition.commands.get(command)
    if "data_unit" in given or row is None or encryption != PLAIN:
        faults.check_keys("", given, [*_HEADER_KEYS, "data_unit"], [*_REMARKS])
        if given.get("collected_at") is not None:
            faults.add("collected_at", "is a part of data_unit here; allowed: null")
        unit = faults.take("data_unit", hex_of, given.get("data_unit", ""))
    else:
        parts = _unit(edition, row, response, given, faults)
        if not faults.lines:
            unit = faults.take("data unit", encode_data_unit, edition, command, parts, response, False)
    if "bcc" in given and given.get("bcc_ok") is not False:
        faults.add("bcc", "is computed; it may be given beside bcc_ok false only")
    check = _byte(given, "bcc", faults) if "bcc" in given else None
    if faults.lines:
        raise LocalProtocolError("\n".join(faults.lines))
    packet = build_packet(edition.start, command, response, vin, encryption, unit)
    return packet if check is None else packet[:-1] + bytes((check,))


def bodies_from_json(edition: Edition, given: Any, faults: Faults) -> Bodies:
    """The inverse of `bodies_to_json`; of use only when `faults` stayed empty."""
    if not isinstance(given, list):
        faults.add("bodies", f"{given!r}: a list is needed")
        return []
    types = dict(edition.body_types)
    if edition.signature is not None:
        types[edition.signature.name] = SIGNATURE
    bodies = []
    for position, body in enumerate(given):
        path = f"bodies[{position}]."
        name = body.get("body") if isinstance(body, dict) else None
        known: tuple[str, ...] = ("body",)
        if name == edition.user_body.name:
            type_id = body.get("type")
            if type(type_id) is not int or type_id not in OWN_TYPES:
                faults.add(path + "type", f"{type_id!r}; allowed: {OWN_TYPES[0]} to {OWN_TYPES[-1]}")
                continue
            known = ("body", "type")
        elif isinstance(name, str) and name in types:
            type_id = types[name]
        else:
            names = [*types, edition.user_body.name]
            faults.add(path + "body", f"{name!r}{did_you_mean(name, names)}; allowed: {', '.join(names)}")
            continue
        layout = edition.body(type_id)
        if layout is not None:  # never None: all of these types have one
            bodies.append((type_id, layout_from_json(layout, body, path, faults, known)))
    return bodies


def _command(edition: Edition, given: Any, faults: Faults) -> int:
    if type(given) is int and 0 <= given <= 255:
        return given
    names = edition.command_ids
    if isinstance(given, str) and given in names:
        return names[given]
    faults.add("command", f"{given!r}{did_you_mean(given, names)}; allowed: {', '.join([*names, '0 to 255'])}")
    return 0


def _byte(given: dict[str, Any], key: str, faults: Faults) -> int:
    value = given.get(key, PLAIN)
    if type(value) is int and 0 <= value <= 255:
        return value
    faults.add(key, f"{value!r}; allowed: 0 to 255")
    return PLAIN


def _vin(given: Any) -> bytes:
    vin = bytes_of(given)
    if len(vin) != VIN_SIZE:
        raise LocalProtocolError(f"{given!r} has {len(vin)} characters; {VIN_SIZE} are needed")
    return vin


def _unit(edition: Edition, row: Command, response: int, given: dict[str, Any], faults: Faults) -> DataUnit:
    """Time, then rows or bodies; an answer may hold nothing or the time alone."""
    layout = row.rows(response)
    header = (*_HEADER_KEYS, *_REMARKS, "rest")
    content = [key for key in given if key not in header]
    unit = DataUnit()
    if response != COMMAND and not content:
        faults.check_keys("", given, [*_HEADER_KEYS], [*_REMARKS, "rest"])
    elif row.reports:
        faults.check_keys("", given, [*_HEADER_KEYS, "bodies"], [*_REMARKS, "rest"])
        unit.bodies = bodies_from_json(edition, given.get("bodies", []), faults)
    elif layout is not None:
        faults.check_keys("", given, [*_HEADER_KEYS], list(given))
        unit.values = layout_from_json(layout, given, "", faults, header)
    else:
        faults.check_keys("", given, [*_HEADER_KEYS], [*_REMARKS, "rest"])
    time = given.get("collected_at")
    if time is not None:
        unit.time = faults.take("collected_at", time_bytes_of, time) or b""
    if response == COMMAND or content:
        if row.timed and time is None and "collected_at" in given:
            faults.add("collected_at", f"{row.name} needs a time")
        if not row.timed and time is not None:
            faults.add("collected_at", f"{row.name} has no time; allowed: null")
    unit.rest = faults.take("rest", hex_of, given.get("rest", "")) or b""
    return unit
