"""A whole mapping document to a compiled mapping: buses and their DBC files, message options, bodies, all faults together."""

from typing import Any

from agent.core.dataunit import TIME_SIZE
from agent.core.edition import Edition
from agent.core.editions import EDITIONS
from agent.core.field import Field, Items, Layout
from agent.core.frames import LatestFrames
from agent.core.j1939 import LAST_SOURCE
from agent.core.packet import MAX_DATA_UNIT
from agent.core.report import encode_report
from agent.core.sampler import Sampler
from agent.errors import ConfigError
from agent.mapping.dbcfile import Dbc, load_dbc
from agent.mapping.declared import declarations, sources_of
from agent.mapping.frame import Frame, nearest
from agent.mapping.plan import CompiledMapping, DbcSource, with_declared
from agent.mapping.rules import compile_bodies
from agent.mapping.sources import ONLY_29_BIT, UNREAD, Sources
from agent.mapping.values import Values

__all__ = ["compile_mapping"]

_HEAD = ("format", "name", "edition", "dbc", "messages", "user")
_MESSAGE_KEYS = ("timeout_ms", "alive_counter", "checksum", "j1939", "source")
_CHECKSUMS = ("crc8", "sum8", "xor8")
MAX_TIMEOUT_MS = 3_600_000


def compile_mapping(
    path: str, document: dict[str, Any], edition: Edition | None, sources: list[DbcSource], faults: list[str]
) -> CompiledMapping:
    """`faults`: those found so far; ConfigError with them and all others of the document."""
    tables = document.get("dbc")
    buses: dict[str, list[Dbc]] = {bus: [] for bus in tables} if isinstance(tables, dict) else {}
    warnings: list[str] = []
    broken = {source.bus for source in sources} ^ set(buses)  # a bus without a readable file: do not blame its signals
    for source in sources:
        try:
            dbc = load_dbc(source.written, source.data, source.lenient)
        except ConfigError as error:
            faults += [f"dbc.{source.bus}.files: {source.written}: {fault}" for fault in error.faults]
            broken.add(source.bus)
            continue
        buses[source.bus].append(dbc)
        warnings += [f"{source.written}: {repair}" for repair in dbc.repairs]
    values = Values(Sources(buses, broken))
    values.faults += faults
    values.warnings += warnings
    if edition is None:
        raise ConfigError(path, values.faults)
    sections = _sections(document, edition, values)
    _messages(document.get("messages", {}), values)
    before = len(values.faults)
    declared = declarations(document, values.fault)
    if len(values.faults) == before:
        edition = with_declared(edition, declared)
    for type_id in edition.declared:
        sections[f"user.0x{type_id:X}"] = sources_of(document, type_id)
    bodies = compile_bodies(edition, values, sections)
    if not bodies.nodes and not values.faults:
        values.fault("no item", f"write at least one section (uncomment it): {', '.join(edition.body_types)}")
    values.faults += values.sources.overlaps()
    if values.faults:
        raise ConfigError(path, _told_once(values.faults))
    plan: dict[str, Any] = {
        "buses": list(buses),
        **values.sources.plan(),
        "defaults": values.defaults,
        "operands": values.sources.operand_count,
        "truths": values.truths,
        "expressions": values.expressions,
        "steps": bodies.steps,
        "bodies": bodies.nodes,
    }
    size = _unit_size(edition, plan)
    if size > MAX_DATA_UNIT:
        raise ConfigError(
            path,
            [f"a report has a data unit of {size} bytes, a packet holds {MAX_DATA_UNIT}; leave out items or lists"],
        )
    name = document["name"]
    readings = values.sources.readings
    return CompiledMapping(name, edition.name, declared, plan, list(buses), bodies.items, values.warnings, readings)


def _unit_size(edition: Edition, plan: dict[str, Any]) -> int:
    """Bytes of the longest data unit; what is sampled has one size whatever the values are."""
    nothing = Sampler(plan).sample(LatestFrames(plan), 0)
    return TIME_SIZE + max([len(part) for part in encode_report(edition, nothing)], default=0)


def _told_once(faults: list[str]) -> list[str]:
    """Without signals that could not be looked up because their DBC file is the fault: it is named."""
    return [fault for fault in faults if not fault.endswith(UNREAD)]


def _sections(document: dict[str, Any], edition: Edition, values: Values) -> dict[str, Any]:
    """The bodies of this edition; what only another edition the mapping was written for has is passed over."""
    written = document.get("edition")
    names = [written] if isinstance(written, str) else written if isinstance(written, list) else []
    others: dict[str, set[str]] = {}
    for name, other in EDITIONS.items():
        for layout in other.bodies.values() if name in names else ():
            others.setdefault(layout.name, set()).update(_names(layout))
    known = [*_HEAD, *edition.body_types]
    sections = {}
    for key, section in document.items():
        if key in edition.body_types:
            own = _names(edition.bodies[edition.body_types[key]])
            sections[key] = _without(section, others.get(key, set()) - own)
        elif key not in _HEAD and key not in others:
            values.fault(key, f"unknown section{nearest(key, known)}")
    return sections


def _names(layout: Layout) -> set[str]:
    """What a section of this body may name: its rows, those of its groups, its flags."""
    names = set()
    for row in layout.rows:
        names.add(row.name)
        if isinstance(row, Items) and isinstance(row.item, Layout):
            names |= _names(row.item)
        elif isinstance(row, Field) and row.flags:
            names |= set(row.flags)
    return names


def _without(section: Any, strangers: set[str]) -> Any:
    """A section, its lists of groups and its tables of flags without the keys that another edition has."""
    if isinstance(section, list):
        return [_without(one, strangers) for one in section]
    if not isinstance(section, dict) or {"signal", "constant", "expression"} & set(section):
        return section
    return {key: _without(value, strangers) for key, value in section.items() if key not in strangers}


def _messages(tables: Any, values: Values) -> None:
    if not isinstance(tables, dict):
        values.fault("messages", 'must be tables, [messages."bus.message"]')
        return
    for name, table in tables.items():
        path = f'messages."{name}"'
        bus, _, message = name.partition(".")
        if not isinstance(table, dict) or not message:
            values.fault(path, 'must be a table named [messages."bus.message"]')
            continue
        values.unknown_keys(path, table, _MESSAGE_KEYS)
        try:
            frame = values.sources.frame(bus, message)
        except LookupError as error:
            values.fault(path, str(error.args[0]))
            continue
        _options(path, table, frame, values)


def _options(path: str, table: dict[str, Any], frame: Frame, values: Values) -> None:
    timeout_ms = table.get("timeout_ms", 1000)
    if isinstance(timeout_ms, bool) or not isinstance(timeout_ms, int) or not 1 <= timeout_ms <= MAX_TIMEOUT_MS:
        values.fault(f"{path}.timeout_ms", f"is {timeout_ms}; allowed are 1..{MAX_TIMEOUT_MS}")
    frame.timeout_ms = table.get("timeout_ms")
    j1939 = table.get("j1939")
    if "j1939" in table and (not isinstance(j1939, bool) or (j1939 and not frame.message.is_extended_frame)):
        values.fault(f"{path}.j1939", "must be true or false, and true only for a 29-bit identifier")
    frame.j1939 = j1939
    if frame.source is not None and j1939 is False:
        values.fault(f"{path}.j1939", "is false, and the name says a J1939 source address")
    if "source" in table:
        _source(f"{path}.source", table, frame, values)
    try:
        if "alive_counter" in table:
            signal = frame.signal(str(table["alive_counter"]))
            if signal.multiplexer_signal is not None:
                raise LookupError(f"{signal.name} is on one page only; a counter must be in every frame")
            frame.alive_counter = signal.name
    except LookupError as error:
        values.fault(f"{path}.alive_counter", str(error.args[0]))
    if "checksum" in table:
        _checksum(f"{path}.checksum", table["checksum"], frame, values)


def _source(path: str, table: dict[str, Any], frame: Frame, values: Values) -> None:
    """The only J1939 address that a message is taken from."""
    source = table["source"]
    if not frame.message.is_extended_frame:
        values.fault(path, f"{frame.label} {ONLY_29_BIT}")
    elif isinstance(source, bool) or not isinstance(source, int) or not 0 <= source <= LAST_SOURCE:
        values.fault(path, f"is {source}; allowed are the addresses 0x00..0x{LAST_SOURCE:X}")
    elif frame.source is not None:
        values.fault(path, f"the name says 0x{frame.source:02X} already; leave one of them out")
    elif table.get("j1939") is False:
        values.fault(path, "goes with J1939 only; leave j1939 = false out")
    else:
        frame.source = source


def _checksum(path: str, table: Any, frame: Frame, values: Values) -> None:
    if not isinstance(table, dict) or table.get("kind") not in _CHECKSUMS:
        values.fault(path, f'must be {{ signal = "...", kind = ... }}, kind one of {", ".join(_CHECKSUMS)}')
        return
    numbers = ("polynomial", "initial", "xor_out") if table["kind"] == "crc8" else ("initial", "xor_out")
    values.unknown_keys(path, table, ("signal", "kind", *numbers))
    row: list[Any] = [0, table["kind"]]
    for key in ("polynomial", "initial", "xor_out"):
        number = table.get(key, 0x1D if key == "polynomial" else 0)
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= 0xFF:
            values.fault(f"{path}.{key}", f"is {number}; allowed are 0..255")
        row.append(number)
    try:
        signal = frame.signal(str(table.get("signal", "")))
    except LookupError as error:
        values.fault(f"{path}.signal", str(error.args[0]))
        return
    first_bit = signal.start % 8 if signal.byte_order == "little_endian" else 7 - signal.start % 8
    if signal.length != 8 or first_bit or signal.multiplexer_signal is not None:
        values.fault(
            f"{path}.signal",
            f"{signal.name} must be one whole byte of every frame (start {signal.start}, {signal.length} bits)",
        )
    row[0] = signal.start // 8
    frame.checksum = row
