"""The configuration file: TOML into frozen settings, every fault of the file in one go.

[vehicle]   vin, iccid, edition, mapping, codes, packs, hardware_version, firmware_version
[[can]]     name, interface, channel, bitrate, data_bitrate, fd, listen_only, loop, bcm, options
[platform]  host, port, policy, settle_s, drain_per_s, ...
[report]    interval_s, alarm_interval_ms, storage_interval_ms, silence_s
[outbox]    path, keep_days, max_mb, reissue_days
[log]       level
[control]   what the platform may set and order, and the programs that do it: agent/control.py
[gnss]      device or gpsd, baud, name: a receiver beside the buses: agent/attached/devices.py
[modem]     port or manager, baud: whom to ask for the ICCID: agent/attached/devices.py
[security]  encryption, sign, private_key, ...: agent/security.py
"""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from agent.attached.devices import Gnss, Modem, device_faults
from agent.config_values import convert, shown
from agent.control import Control, control_faults
from agent.core.editions import DEFAULT_EDITION, EDITIONS
from agent.core.hostname import is_host_name
from agent.core.packet import VIN_SIZE
from agent.core.parameters import Codes, PackCodes
from agent.core.session import LOGIN
from agent.errors import ConfigError
from agent.security import Security, security_faults
from agent.shipped import dbc_folder as dbc_folder
from agent.tomlfile import home, parse_toml, read_regular

VIN_LETTERS = "0123456789ABCDEFGHJKLMNPRSTUVWXYZ"  # GB 16735: no I, O, Q
_VIN_VALUES = dict(zip("0123456789ABCDEFGHJKLMNPRSTUVWXYZ", map(int, "012345678912345678123457923456789"), strict=True))
_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)

_CODES, _PACK_CODES = Codes(), PackCodes()  # rows of the login, 2016 and 2025
MOST_CODE_SIZE, MOST_CODES = _CODES.length.hi, _CODES.count.hi
PACK_CODE_SIZE, MOST_SYSTEMS, MOST_PACKS = _PACK_CODES.size, _PACK_CODES.count.hi, _PACK_CODES.packs.hi

LAST_PORT = 65535
Port = Annotated[int, Meta(ge=1, le=LAST_PORT)]
Positive = Annotated[int, Meta(ge=1)]
# `description`: what faults say in place of the pattern.
Version = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{0,5}$", description="at most 5 of A-Z a-z 0-9 . _ -")]
Place = Annotated[str, Meta(pattern=r"^[^:\s]+:[1-9][0-9]{0,4}$", description='"host:port"')]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="letters, digits and _, no digit first")]


NO_ICCID = "0" * 20


class Vehicle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who this terminal reports for.

    `codes` of the login (7.1): 2016 one a storage subsystem, all of one length; 2025 one a battery pack, 24 characters,
    and `packs` says how many packs each battery management system has. The versions, five
    characters at most, answer parameters 07 and 08; firmware by default with this program's own.
    """

    vin: str
    mapping: str
    iccid: str = NO_ICCID
    edition: str = DEFAULT_EDITION
    codes: list[str] = []
    packs: list[int] = []
    hardware_version: Version = ""
    firmware_version: Version = ""


class Can(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One bus: `interface` is python-can's name for it, or `log` to play the recording named by `channel`.

    `bcm` false: do without the kernel's Broadcast Manager where SocketCAN has it.
    """

    name: Name
    interface: str
    channel: str = ""
    bitrate: Positive | None = None
    data_bitrate: Positive | None = None
    fd: bool = False
    listen_only: bool = True
    loop: bool = False
    bcm: bool = True
    options: dict[str, Any] = {}


class Platform(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where reports go. `policy`: which proof a row needs, `none` (silence) or `each` (an answer to every report).

    `tls`: the platform has to prove who it is, by a certificate for `host` of the system's authorities or those of `tls_ca`.
    `allowed_platforms`: "host:port" of each platform to which this one may move the terminal. `public_host`, `public_port`: the
    public platform (parameters 0E, 0F).
    """

    host: str
    port: Port = 32960
    tls: bool = False
    tls_ca: str = ""
    policy: Literal["none", "each"] = "none"
    settle_s: Annotated[float, Meta(ge=0, le=600)] = 10
    drain_per_s: Annotated[int, Meta(ge=0, le=100_000)] = 20
    answer_timeout_s: Annotated[int, Meta(ge=1, le=600)] = 60
    connect_timeout_s: Annotated[int, Meta(ge=1, le=600)] = 10
    heartbeat_s: Annotated[int, Meta(ge=1, le=240)] = 60
    login_retry_s: Annotated[int, Meta(ge=1, le=600)] | None = None
    login_wait_min: Annotated[int, Meta(ge=1, le=240)] = 30
    time_sync: bool = False
    allowed_platforms: list[Place] = []
    public_host: str = ""
    public_port: Port = 32960


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When to report; the 2016 edition asks for at most 30 s between reports.

    `alarm_interval_ms`: between reports around a grave alarm. `storage_interval_ms`: where it is shorter than `interval_s`,
    samples in between are stored and never sent. In both, less than 1000 counts as 1000, the period of sampling.
    `silence_s`: buses silent for so long are a vehicle switched off; 0: never.
    """

    interval_s: Annotated[int, Meta(ge=1, le=600)] = 10
    alarm_interval_ms: Annotated[int, Meta(ge=0, le=60_000)] = 1000
    storage_interval_ms: Annotated[int, Meta(ge=0, le=60_000)] = 10_000
    silence_s: Annotated[int, Meta(ge=0, le=86_400)] = 60


class Outbox(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where rows are kept, how long after their proof, and how much disk they may take."""

    path: str = "tbox.db"
    keep_days: Annotated[int, Meta(ge=0, le=3650)] = 7
    max_mb: Annotated[int, Meta(ge=1, le=1_000_000)] = 512
    reissue_days: Annotated[int, Meta(ge=1, le=3650)] = 7


class Log(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much the log says."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole configuration; `folder` is where its file lies, relative paths start there."""

    vehicle: Vehicle
    platform: Platform
    can: list[Can]
    report: Report = Report()
    outbox: Outbox = Outbox()
    log: Log = Log()
    control: Control = Control()
    security: Security = Security()
    gnss: Gnss | None = None
    modem: Modem | None = None
    folder: str = "."

    def path(self, name: str) -> Path:
        """A path of the file, seen from the folder of the file."""
        return Path(self.folder) / home(name)

    def mapping_path(self) -> Path:
        """The mapping file; `shipped:NAME` is one of those that come with the program."""
        kind, _, name = self.vehicle.mapping.partition(":")
        return dbc_folder() / name if kind == "shipped" else self.path(self.vehicle.mapping)


def load_config(path: str | Path) -> Config:
    """Read and check a configuration; ConfigError with every fault of it."""
    path = Path(path)
    try:
        text = read_regular(path).decode()
    except FileNotFoundError:
        raise ConfigError(str(path), ["there is no such file; `tbox init` writes one to start from"]) from None
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), [f"cannot be read: {error}"]) from error
    table = parse_toml(str(path), text)
    faults: list[str] = []
    if "folder" in table:
        faults.append("folder: unknown key")
        del table["folder"]
    config = convert(table, Config, "", faults)
    if isinstance(table.get("vehicle"), dict):
        _check_vehicle(table["vehicle"], faults)
        faults += security_faults(table.get("security"), table["vehicle"].get("edition", DEFAULT_EDITION))
    _check_buses(table.get("can"), faults)
    _check_interval(table, faults)
    _check_hosts(table.get("platform"), faults)
    _check_gpsd(table.get("gnss"), faults)
    faults += control_faults(table.get("control"), table.get("vehicle")) + device_faults(table)
    if faults:
        raise ConfigError(str(path), faults)
    return msgspec.structs.replace(Config(**config), folder=str(path.parent))


def _check_vehicle(table: Any, faults: list[str]) -> None:
    """What types cannot say: VIN, ICCID, codes, edition. Whatever has the wrong type was named before."""
    vin, iccid, edition = (table.get(key) for key in ("vin", "iccid", "edition"))
    if isinstance(vin, str):
        if len(vin) != VIN_SIZE:
            faults.append(f"vehicle.vin = {shown('', vin)}: has {len(vin)} characters, a VIN has {VIN_SIZE}")
        wrong = sorted(set(vin) - set(VIN_LETTERS))
        if wrong:
            faults.append(f"vehicle.vin = {vin!r}: {' '.join(wrong)} cannot stand in a VIN (0-9, A-Z without I, O, Q)")
    if isinstance(edition, str) and edition not in EDITIONS:
        faults.append(f"vehicle.edition = {shown('', edition)}: allowed: {', '.join(EDITIONS)}")
    if isinstance(iccid, str) and not (iccid.isascii() and len(iccid) == 20):
        faults.append(
            f"vehicle.iccid = {shown('', iccid)}: has {len(iccid)} characters, 20 ASCII characters are needed"
        )
    codes, packs = table.get("codes", []), table.get("packs", [])
    if isinstance(codes, list) and all(isinstance(code, str) for code in codes):
        counted = isinstance(packs, list) and all(type(count) is int for count in packs)
        if counts_packs(edition) and "packs" not in table:
            faults.append(
                f"vehicle.packs: is missing; edition {edition} needs it: packs = [1, 2] for two battery management systems "
                "with one pack and two, packs = [] for a vehicle without a traction battery"
            )
            counted = False
        faults.extend(_check_codes(edition, codes, packs if counted else None))


def _check_codes(edition: Any, codes: list[str], packs: list[int] | None) -> list[str]:
    """Faults of the storage codes of the login (7.1); `packs` None: it was named before."""
    faults = []
    strange = [code for code in codes if not code.isascii() or not code.isprintable()]
    if strange:
        faults.append(f"vehicle.codes: {strange[0]!r} is not plain ASCII")
    if counts_packs(edition):
        wrong = [code for code in codes if len(code) != PACK_CODE_SIZE]
        if wrong:
            faults.append(
                f"vehicle.codes: {wrong[0]!r} has {len(wrong[0])} characters; a pack code (GB/T 34014) has {PACK_CODE_SIZE}"
            )
        if packs is not None:
            faults.extend(_check_packs(codes, packs))
        return faults
    if packs and (edition is None or edition in EDITIONS):
        faults.append(
            f"vehicle.packs: edition {edition or DEFAULT_EDITION} has no packs; leave it out, or change the edition"
        )
    lengths = {len(code) for code in codes}
    if len(codes) > MOST_CODES:
        faults.append(f"vehicle.codes: {len(codes)} codes; at most {MOST_CODES} are allowed")
    if len(lengths) > 1 or max(lengths, default=0) > MOST_CODE_SIZE:
        said = f"at most {MOST_CODE_SIZE} characters, all of one length"
        faults.append(f"vehicle.codes = {shown('', codes)}: codes are ASCII, {said}")
    return faults


def counts_packs(edition: Any) -> bool:
    """Whether a login of the edition counts packs and gives each its code."""
    known = isinstance(edition, str) and edition in EDITIONS
    layout = EDITIONS[edition].commands[LOGIN].layout if known else None
    return layout is not None and any(isinstance(row, PackCodes) for row in layout.rows)


def _check_packs(codes: list[str], packs: list[int]) -> list[str]:
    faults = []
    if len(packs) > MOST_SYSTEMS:
        faults.append(f"vehicle.packs: {len(packs)} battery management systems; at most {MOST_SYSTEMS} are allowed")
    faults += [
        f"vehicle.packs = {packs!r}: {count} packs of one battery management system; allowed: 0 to {MOST_PACKS}"
        for count in sorted(set(packs))
        if not 0 <= count <= MOST_PACKS
    ]
    if len(codes) != sum(packs):
        faults.append(
            f"vehicle.codes: {len(codes)} codes for {sum(packs)} packs; one for each pack is needed "
            "(packs = [1, 2]: two battery management systems with one pack and two)"
        )
    return faults


def login_values(vehicle: Vehicle) -> dict[str, Any]:
    """Values of the vehicle login but for its serial, the ICCID as configured; each edition's rows take those they know (7.1)."""
    codes = [code.encode() for code in vehicle.codes]
    return {
        "iccid": vehicle.iccid.encode(),
        "codes": codes,
        "code_length": len(codes[0]) if codes else 0,
        "packs": list(vehicle.packs),
    }


def _check_buses(tables: Any, faults: list[str]) -> None:
    if not isinstance(tables, list):
        return
    if not tables:
        faults.append("can: no bus; write at least one [[can]]")
    names = [table.get("name") for table in tables if isinstance(table, dict)]
    twice = sorted({name for name in names if isinstance(name, str) and names.count(name) > 1})
    faults.extend(f"can: two buses are named {name!r}" for name in twice)


def _check_interval(table: dict[str, Any], faults: list[str]) -> None:
    """An edition's rows of parameters 02 and 03 may be narrower than what another allows."""
    vehicle, report = table.get("vehicle"), table.get("report")
    edition = EDITIONS.get(str(vehicle.get("edition", DEFAULT_EDITION))) if isinstance(vehicle, dict) else None
    if edition is None or not isinstance(report, dict):
        return
    for name, number, ms in (("interval_s", 0x02, 1000), ("alarm_interval_ms", 0x03, 1)):
        row, value = edition.parameters[number], report.get(name)
        lo, hi = (count * (1000 if row.unit == "s" else 1) // ms for count in (row.lo, row.hi))
        said = any(fault.startswith(f"report.{name} =") for fault in faults)
        if type(value) is int and not lo <= value <= hi and not said:
            faults.append(
                f"report.{name} = {value}: edition {edition.name} allows {lo} to {hi} (parameter {number:02X})"
            )


def _check_hosts(table: Any, faults: list[str]) -> None:
    """Hosts go into a resolver, which has no error for some of what is no name."""
    if not isinstance(table, dict):
        return
    for key in ("host", "public_host"):
        host = table.get(key)
        if isinstance(host, str) and not (_is_host(host) or (key == "public_host" and not host)):
            faults.append(
                f"platform.{key} = {shown('', host)}: is neither a host name nor an address; allowed are names of "
                "letters, digits, '.', '-' and '_' (others in their form xn--...) and IPv4 and IPv6 addresses, without a port"
            )


def _check_gpsd(table: Any, faults: list[str]) -> None:
    place = table.get("gpsd") if isinstance(table, dict) else None
    if not isinstance(place, str) or not re.fullmatch(r"\S+:[1-9][0-9]{0,4}", place):
        return  # its type says that
    host, _, port = place.rpartition(":")
    if not _is_host(host.removeprefix("[").removesuffix("]")) or int(port) > LAST_PORT:
        faults.append(
            f'gnss.gpsd = {shown("", place)}: must be "host:port", such as "localhost:2947": a host name or an address, '
            f"an IPv6 one in [], and a port up to {LAST_PORT}"
        )


def _is_host(text: str) -> bool:
    if is_host_name(text.removesuffix(".").replace("_", "a").encode()):
        return True
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def vin_warning(vin: str) -> str | None:
    """What is odd about a well-formed VIN: its check digit (GB 16735; cars sold outside China often have none)."""
    total = sum(_VIN_VALUES[letter] * weight for letter, weight in zip(vin, _VIN_WEIGHTS, strict=True))
    digit = "0123456789X"[total % 11]
    if vin[8] == digit:
        return None
    return f"vehicle.vin: check digit (9th character) is {vin[8]!r}, by GB 16735 it would be {digit!r}"
