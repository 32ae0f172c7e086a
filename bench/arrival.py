"""A packet that reached the platform: what it says, and what is wrong with it by the tables."""

from dataclasses import dataclass
from typing import Any

from agent.core.dataunit import TIME_SIZE, decode_data_unit, encode_bodies
from agent.core.edition import Command, Edition
from agent.core.editions import BY_START
from agent.core.errors import ProtocolError, RemoteProtocolError
from agent.core.packet import COMMAND, PLAIN, Packet, epoch_of

LATEST_CELL = 65531  # higher totals mean abnormal or invalid


@dataclass(slots=True)
class Arrival:
    """One packet as received.

    `received_ms` is wall time, `monotonic_ns` real monotonic time; `link` numbers the connections of a store. `command` is
    the name in the edition's table, or two hex digits. `part` is the first cell of a split storage body, 1 otherwise;
    `next_part` the first cell of the part that must follow, 0 when none. `body_types` are the type ids in order, in hex.
    `fault` says what breaks the tables, None when nothing does; answers are not examined.
    """

    packet: Packet
    link: int
    received_ms: int
    monotonic_ns: int
    command: str
    collected_at: int | None = None
    part: int = 1
    next_part: int = 0
    body_types: str = ""
    bodies: tuple[str, ...] = ()
    fault: str | None = None

    @property
    def vin(self) -> str:
        """The unique id as text; anything but printable ASCII, and the backslash itself, escaped."""
        return "".join(
            chr(byte) if 0x20 < byte < 0x7F and byte != 0x5C else f"\\x{byte:02x}" for byte in self.packet.vin
        )

    @property
    def late_ms(self) -> int | None:
        """How long after its collection time the packet arrived; None without that time."""
        return None if self.collected_at is None else self.received_ms - self.collected_at * 1000


def inspect(raw: bytes, link: int, received_ms: int, monotonic_ns: int) -> Arrival:
    """Split and decode one whole packet; what cannot be decoded, or is outside its range, becomes `fault`."""
    packet = Packet(raw)
    edition = BY_START.get(packet.start)
    row = edition.commands.get(packet.command) if edition is not None else None
    arrival = Arrival(packet, link, received_ms, monotonic_ns, row.name if row is not None else f"{packet.command:02X}")
    if packet.response == COMMAND:
        try:
            _examine(arrival, edition, row)
        except ProtocolError as error:
            arrival.fault = str(error)
    return arrival


def _examine(arrival: Arrival, edition: Edition | None, row: Command | None) -> None:
    packet = arrival.packet
    if edition is None:
        raise RemoteProtocolError("start mark of an edition not known here", "6.2", 0, packet.raw)
    if row is None:
        raise RemoteProtocolError(f"no such command in edition {edition.name}", "6.3.1", 2, packet.raw)
    if packet.encryption != PLAIN:
        raise RemoteProtocolError("data unit is encrypted and no key is known", "6.2", 21, packet.raw)
    if row.timed:
        arrival.collected_at = epoch_of(packet.unit)
    unit = decode_data_unit(edition, packet.command, packet.unit)
    if unit.bodies is not None:
        arrival.body_types = "".join([f"{type_id:02x}" for type_id, _ in unit.bodies])
        arrival.bodies = tuple([_body_name(edition, type_id) for type_id, _ in unit.bodies])
        _place(arrival, edition, unit.bodies)
        encode_bodies(edition, unit.bodies)  # refuses what is outside its row
    elif unit.values is not None and row.layout is not None:
        row.layout.encode(unit.values)
    if unit.rest:
        offset = len(packet.unit) - len(unit.rest)
        raise RemoteProtocolError("bytes that follow no layout", "7.2", offset, packet.unit)
    if row.reports and len(packet.unit) == TIME_SIZE:
        raise RemoteProtocolError("report without a body", "7.2", TIME_SIZE, packet.unit)


def _body_name(edition: Edition, type_id: int) -> str:
    layout = edition.bodies.get(type_id)
    return layout.name if layout is not None else f"user {type_id:02x}"


def _place(arrival: Arrival, edition: Edition, bodies: list[tuple[int, dict[str, Any]]]) -> None:
    """Find which part of a spread storage body this is, and whether another must follow."""
    if edition.split is None:
        return
    ends: dict[int, tuple[int, int]] = {}  # subsystem: first cell that has not come yet, cells in all
    starts = []
    for type_id, values in bodies:
        if type_id != edition.split[0] or not isinstance(values["subsystems"], list):
            continue
        for group in values["subsystems"]:
            starts.append(group["start_cell"])
            after = group["start_cell"] + len(group["cells"])
            known = ends.get(group["number"], (0, 0))
            ends[group["number"]] = (max(after, known[0]), group["total_cells"])
    if starts:
        arrival.part = min(starts)
        arrival.next_part = max([after if after <= total <= LATEST_CELL else 0 for after, total in ends.values()])
