"""A packet that reached the platform: what it says, and what is wrong with it by the tables."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol

from agent.core.dataunit import TIME_SIZE, DataUnit, decode_data_unit, encode_bodies
from agent.core.edition import SIGNATURE, Command, Edition
from agent.core.editions import BY_START
from agent.core.errors import FieldError, ProtocolError, RemoteProtocolError
from agent.core.packet import COMMAND, ERROR, PLAIN, Packet, epoch_of

LATEST_CELL = 65531  # higher totals mean abnormal or invalid

# Response flags behind the plain error; an edition that does not know one of them says 02 (6.3.2).
VIN_DUPLICATE = 0x03
VIN_UNKNOWN = 0x04
SIGNATURE_ERROR = 0x05
STRUCTURE_ERROR = 0x06
DECRYPTION_ERROR = 0x07


class Opener(Protocol):
    """Opens data units that came encrypted."""

    def open(self, vin: bytes, encryption: int, unit: bytes) -> bytes:
        """The plain data unit; RemoteProtocolError when it cannot be opened, with this key or at all."""


class Checker(Protocol):
    """Checks signatures with the public keys of the vehicles."""

    def verify(self, vin: bytes, unit: bytes, signed: int, signature: dict[str, Any] | None) -> str:
        """What is wrong with the `signature` over the first `signed` bytes of `unit`; "" when it is good or none is due.

        `signature`: the rows algorithm, r and s; None when the unit has none.
        """


@dataclass(slots=True)
class Arrival:
    """One packet as received.

    `received_ms` is wall time, `monotonic_ns` real monotonic time; `link` numbers the connections of a store. `command` is
    the name in the edition's table, or two hex digits. `part` is the first cell of a split storage body, 1 otherwise;
    `next_part` the first cell of the part that must follow, 0 when none. `body_types` are the type ids in order, in hex,
    without the signature. `plain` is the data unit as it could be opened, `unit` what it says; both are empty where it is
    encrypted and stays so. `content` tells two reports apart whatever seals them. `fault` says what breaks the tables, None
    when nothing does, and `flag` is the response flag for it; answers are not examined. `refusal` is the flag by which the
    platform turned down a packet that is good in itself, answered or not.
    """

    packet: Packet
    link: int
    received_ms: int
    monotonic_ns: int
    command: str
    edition: Edition | None = None
    collected_at: int | None = None
    part: int = 1
    next_part: int = 0
    body_types: str = ""
    bodies: tuple[str, ...] = ()
    signed: bool = False
    plain: bytes = b""
    unit: DataUnit | None = None
    content: bytes | None = None
    fault: str | None = None
    flag: int = 0
    refusal: int = 0

    @property
    def vin(self) -> str:
        """The unique id as text; anything but printable ASCII, and the backslash itself, escaped."""
        return vin_text(self.packet.vin)

    @property
    def late_ms(self) -> int | None:
        """How long after its collection time the packet arrived; None without that time."""
        return None if self.collected_at is None else self.received_ms - self.collected_at * 1000

    @property
    def values(self) -> dict[str, Any]:
        """The rows of the data unit; empty for a report, and for what could not be read."""
        return self.unit.values or {} if self.unit is not None else {}


class _SignatureError(ProtocolError):
    """The signature is wrong, or missing where one is due."""


class _SealedError(ProtocolError):
    """The data unit cannot be opened."""


def vin_text(vin: bytes) -> str:
    """A unique id as text; anything but printable ASCII, and the backslash itself, escaped."""
    return "".join(chr(byte) if 0x20 < byte < 0x7F and byte != 0x5C else f"\\x{byte:02x}" for byte in vin)


def content_of(unit: bytes) -> bytes:
    """A digest of a plain data unit without its signature: equal for equal reports."""
    return blake2b(unit, digest_size=16).digest()


def known_flag(edition: Edition | None, flag: int) -> int:
    """`flag` where the edition has it, else the plain error."""
    return flag if edition is not None and flag in edition.responses else ERROR


def inspect(
    raw: bytes,
    link: int,
    received_ms: int,
    monotonic_ns: int,
    opener: Opener | None = None,
    checker: Checker | None = None,
) -> Arrival:
    """Split and decode one whole packet; what cannot be decoded, or is outside its range, becomes `fault`."""
    packet = Packet(raw)
    edition = BY_START.get(packet.start)
    row = edition.commands.get(packet.command) if edition is not None else None
    name = row.name if row is not None else f"{packet.command:02X}"
    arrival = Arrival(packet, link, received_ms, monotonic_ns, name, edition)
    try:
        _open(arrival, opener)
        if packet.response == COMMAND:
            _examine(arrival, edition, row, checker)
    except ProtocolError as error:
        arrival.fault = str(error) if packet.response == COMMAND else None
        arrival.flag = known_flag(edition, _flag(error))
    return arrival


def _flag(error: ProtocolError) -> int:
    if isinstance(error, _SealedError):
        return DECRYPTION_ERROR
    if isinstance(error, _SignatureError):
        return SIGNATURE_ERROR
    # A value outside its row can be read: the structure holds.
    return ERROR if isinstance(error, FieldError) else STRUCTURE_ERROR


def _open(arrival: Arrival, opener: Opener | None) -> None:
    packet = arrival.packet
    if packet.encryption == PLAIN or not packet.unit:
        arrival.plain = packet.unit
    elif opener is None:
        raise _SealedError("data unit is encrypted and no key is known at offset 21 (6.2)")
    else:
        try:
            arrival.plain = opener.open(packet.vin, packet.encryption, packet.unit)
        except ProtocolError as error:
            raise _SealedError(str(error)) from error


def _examine(arrival: Arrival, edition: Edition | None, row: Command | None, checker: Checker | None) -> None:
    packet, plain = arrival.packet, arrival.plain
    if edition is None:
        raise RemoteProtocolError("start mark of an edition not known here", "6.2", 0, packet.raw)
    if row is None:
        raise RemoteProtocolError(f"no such command in edition {edition.name}", "6.3.1", 2, packet.raw)
    if row.timed:
        arrival.collected_at = epoch_of(plain)
    unit = decode_data_unit(edition, packet.command, plain)
    arrival.unit = unit
    if unit.bodies is not None:
        _examine_report(arrival, edition, unit, checker)
    elif unit.values is not None and row.layout is not None:
        row.layout.encode(unit.values)
    if unit.rest:
        raise RemoteProtocolError("bytes that follow no layout", "7.2", len(plain) - len(unit.rest), plain)
    if row.reports and not arrival.bodies:
        raise RemoteProtocolError("report without a body", "7.2", TIME_SIZE, plain)


def _examine_report(arrival: Arrival, edition: Edition, unit: DataUnit, checker: Checker | None) -> None:
    found = unit.bodies or []
    signatures = [values for type_id, values in found if type_id == SIGNATURE]
    bodies = [(type_id, values) for type_id, values in found if type_id != SIGNATURE]
    arrival.body_types = "".join([f"{type_id:02x}" for type_id, _ in bodies])
    arrival.bodies = tuple([_body_name(edition, type_id) for type_id, _ in bodies])
    arrival.signed = bool(signatures)
    _place(arrival, edition, bodies)
    encode_bodies(edition, found)  # refuses what is outside its row
    signed = len(arrival.plain)
    if signatures:
        if found[-1][0] != SIGNATURE or len(signatures) > 1:
            raise RemoteProtocolError("signature that is not the last block", "7.2.4", signed, arrival.plain)
        signed -= len(encode_bodies(edition, found[-1:], strict=False))
    arrival.content = content_of(arrival.plain[:signed])
    _check_numbers(edition, bodies)
    if checker is not None and edition.signature is not None and not unit.rest:
        problem = checker.verify(arrival.packet.vin, arrival.plain, signed, signatures[0] if signatures else None)
        if problem:
            raise _SignatureError(problem)


def _check_numbers(edition: Edition, bodies: list[tuple[int, dict[str, Any]]]) -> None:
    """Where a body is never spread, a pack comes once in it: two with one number cannot be told apart."""
    if edition.split is not None:
        return
    for type_id, values in bodies:
        packs = values.get("packs")
        numbers = [pack["number"] for pack in packs] if isinstance(packs, list) else []
        if len(set(numbers)) != len(numbers):
            raise RemoteProtocolError(f"{_body_name(edition, type_id)} with a pack number more than once", "7.2", 0)


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
