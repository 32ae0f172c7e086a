"""Who may come in: vehicles that are registered, client platforms that know the password (chapters 6 and 7, annex B)."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from agent.core.packet import ERROR, VIN_SIZE
from agent.errors import ConfigError
from bench.answers import LOGIN, PLATFORM_LOGIN, PLATFORM_LOGOUT, REPORTS
from bench.arrival import VIN_DUPLICATE, VIN_UNKNOWN, Arrival
from bench.registry import Registry


@dataclass(slots=True)
class Guest:
    """Who speaks on one link: the vehicles that logged in on it, and the client platform that did, by its unique id."""

    vins: set[bytes] = field(default_factory=set)
    client: bytes | None = None
    serial: int = 0  # of the client platform's login


class Access:
    """`refusal` says by which response flag a packet is turned down that is good in itself.

    `vins`: the registered vehicles, None for all. `login`: user and password that a client platform has to give before
    packets of several vehicles may come on its link; None asks nobody. `registry`: what the maker registered; a vehicle of
    another ICCID is a duplicate. `refuse_duplicates`: a vehicle that is logged in on an open link may not come a second
    time, instead of taking the old link's place.
    """

    def __init__(
        self,
        vins: Collection[bytes] | None = None,
        login: tuple[bytes, bytes] | None = None,
        registry: Registry | None = None,
        refuse_duplicates: bool = False,
    ) -> None:
        self._vins = None if vins is None else frozenset(vins)
        self._login = login
        self._registry = registry
        self._refuse_duplicates = refuse_duplicates

    def refusal(self, arrival: Arrival, guest: Guest, elsewhere: bool) -> int:
        """The response flag, 0 for welcome; `elsewhere`: the vehicle is logged in on another link that is open."""
        command, vin = arrival.command, arrival.packet.vin
        if command == PLATFORM_LOGIN:
            return 0 if self._login in (None, _credentials(arrival)) else ERROR
        if command == PLATFORM_LOGOUT:
            good = guest.client == vin and guest.serial == arrival.values.get("serial")
            return 0 if good else ERROR
        if self._login is not None and guest.client is None and guest.vins and vin not in guest.vins:
            return ERROR  # several vehicles on one link, and nobody said who collects them
        if command not in (LOGIN, *REPORTS):
            return 0
        if self._vins is not None and vin not in self._vins:
            return VIN_UNKNOWN
        if command == LOGIN and self._duplicate(arrival, elsewhere):
            return VIN_DUPLICATE
        return 0

    def _duplicate(self, arrival: Arrival, elsewhere: bool) -> bool:
        if elsewhere and self._refuse_duplicates:
            return True
        entry = self._registry.by_vin.get(arrival.packet.vin) if self._registry is not None else None
        iccid = bytes(arrival.values.get("iccid", b"")).rstrip(b"\0")
        return entry is not None and bool(entry.iccid) and entry.iccid != iccid


def _credentials(arrival: Arrival) -> tuple[bytes, bytes]:
    """User and password as they were meant: short ones are filled with zero bytes."""
    return tuple(bytes(arrival.values.get(name, b"")).rstrip(b"\0") for name in ("user", "password"))  # type: ignore[return-value]


def read_vins(path: str | Path) -> frozenset[bytes]:
    """Registered vehicles, a VIN a line, from a file; ConfigError with everything that is none."""
    try:
        lines = Path(path).read_text(encoding="ascii").split("\n")
    except (OSError, ValueError) as error:
        raise ConfigError(str(path), [f"cannot be read: {error}"]) from error
    vins = {number: line.strip() for number, line in enumerate(lines, 1) if line.strip()}
    faults = [
        f"line {number}: {vin!r} has {len(vin)} characters; {VIN_SIZE} are needed"
        for number, vin in vins.items()
        if len(vin) != VIN_SIZE
    ]
    if faults:
        raise ConfigError(str(path), faults)
    return frozenset(vin.encode() for vin in vins.values())


def read_login(text: str) -> tuple[bytes, bytes]:
    """User and password of USER:PASSWORD; ValueError when they do not fit their fields (12 and 20 bytes, 7.4)."""
    user, colon, password = text.partition(":")
    if not colon or not text.isascii() or not 1 <= len(user) <= 12 or not 1 <= len(password) <= 20:
        raise ValueError("USER:PASSWORD is needed, at most 12 and 20 ASCII characters")
    return user.encode(), password.encode()
