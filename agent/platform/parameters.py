"""The parameters of the terminal (annex B, 80 and 81): defaults, the configuration over them, what the platform set over both.

What the platform set is on the disk before its answer leaves, outlives the process, and holds until control 04. A new address of
the platform is on trial until a login there has succeeded: until then the way back is kept beside it.
"""

import logging
from typing import TYPE_CHECKING, Protocol

import msgspec

from agent import __version__
from agent.core.editions import EDITIONS
from agent.core.field import Field
from agent.core.hostname import is_host_name
from agent.core.occasion import ReportSettings
from agent.core.session import SessionSettings
from agent.core.terminal import FIRMWARE_VERSION, HARDWARE_VERSION, PLATFORM, PUBLIC_PLATFORM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.config import Config
    from agent.core.edition import Edition

    Value = int | bytes

log = logging.getLogger(__name__)

KEY = "parameters"  # of the outbox's small values
MS = {"ms": 1, "s": 1000, "min": 60_000}
PERIODS_MS = {0x01: 10_000, 0x02: 10_000, 0x03: 1_000, 0x09: 60_000, 0x0A: 60_000, 0x0B: 60_000, 0x0C: 1_800_000}
NO_PORT = 0xFFFF
SAMPLING_MONITORING = 0x10
MONITORED, NOT_MONITORED = 1, 2
HOST, PORT = PLATFORM[1:]
PUBLIC_HOST, PUBLIC_PORT = PUBLIC_PLATFORM[1:]


class SmallValues(Protocol):
    """The small values that the outbox keeps beside its rows; `meta_set` says whether the value is on the disk."""

    async def meta_get(self, key: str) -> str | None: ...
    async def meta_set(self, key: str, value: str) -> bool: ...


class Endpoint(msgspec.Struct, frozen=True):
    """Where a platform listens; `trial`: no login has succeeded there since the platform named it."""

    host: str
    port: int
    trial: bool = False


class _Kept(msgspec.Struct):
    """What lies on the disk: values by id in hexadecimal; `previous`: those of the address before the one on trial."""

    edition: str
    values: dict[str, int | str]
    previous: dict[str, int | str] | None = None


class Parameters:
    """All parameters of one terminal; `load` it from the outbox. Never raises for what is stored."""

    def __init__(
        self, config: "Config", edition: "Edition", store: SmallValues | None, stored: str | None = None
    ) -> None:
        self.edition = edition
        self.file = _file_values(config, edition)
        self.defaults = _defaults(edition)
        self._config = config
        self._store = store
        self._text = stored
        self._set: dict[int, Value] = {}
        self._previous: dict[int, Value] | None = None
        if stored is not None:
            self._restore(stored)

    @classmethod
    async def load(cls, config: "Config", edition: "Edition", store: SmallValues) -> "Parameters":
        """What is in force after a start: a damaged stored set is said and ignored."""
        return cls(config, edition, store, await store.meta_get(KEY))

    # -- reading -------------------------------------------------------------------------------------------------------

    @property
    def values(self) -> "dict[int, Value]":
        """Every parameter in force by id, as counts and bytes of the wire."""
        return self._with_lengths({**self.file, **self._set})

    @property
    def configured(self) -> "dict[int, Value]":
        """What would be in force if the platform had set nothing."""
        return self._with_lengths(self.file)

    @property
    def from_platform(self) -> "dict[int, Value]":
        """What the platform set, lengths included."""
        return self._with_lengths(self._set)

    def get(self, number: int) -> "Value | None":
        """One parameter in force."""
        return self.values.get(number)

    def session_settings(self) -> SessionSettings:
        """Heartbeat (09), answer timeout (0B), wait after three failed logins (0C), the edition's time to the next login."""
        platform = self._config.platform
        retry_s = platform.login_retry_s or self.edition.login_retry_s
        return SessionSettings(self._ms(0x09), retry_s * 1000, self._ms(0x0C), self._ms(0x0B))

    def report_settings(self) -> ReportSettings:
        """When to report, and when to store."""
        return ReportSettings(self._ms(0x02), self._ms(0x03), self._ms(0x01))

    def endpoint(self) -> Endpoint:
        """Where to log in now."""
        host, port = self._place(self._set)
        return Endpoint(host, port, self._previous is not None)

    def previous(self) -> Endpoint | None:
        """Where the last login succeeded while another address is on trial; else None."""
        return None if self._previous is None else Endpoint(*self._place(self._previous))

    def monitored(self) -> Endpoint | None:
        """Where a second link has to stand while the terminal is in sampling monitoring (10); None: nowhere."""
        return self.public_endpoint() if self.get(SAMPLING_MONITORING) == MONITORED else None

    def public_endpoint(self) -> Endpoint | None:
        """The public platform (0E, 0F), if one is known."""
        values = self.values
        host, port = bytes(values[PUBLIC_HOST]).decode(), int(values[PUBLIC_PORT])
        return Endpoint(host, port) if host and 0 < port < NO_PORT else None

    # -- changing ------------------------------------------------------------------------------------------------------

    async def set(self, changes: "Mapping[int, Value]") -> bool:
        """Take over what `core.terminal` has judged good. On the disk when this returns True; else nothing has changed."""
        new = {**self._set, **{number: value for number, value in changes.items() if not self._is_length(number)}}
        proven = self._set if self._previous is None else self._previous
        moved = self._place(new) != self._place(proven)
        return await self._keep(new, {n: v for n, v in proven.items() if n in PLATFORM} if moved else None)

    async def factory_settings(self) -> bool:
        """Forget what the platform set (control 04). On the disk when this returns True; else nothing has changed."""
        return await self._keep({}, None)

    async def confirm(self) -> None:
        """A login succeeded: an address on trial is taken over."""
        if self._previous is not None:
            await self._keep(self._set, None, insist=True)

    async def restore(self) -> bool:
        """A login at an address on trial failed: go back. True when there was a way back."""
        if self._previous is None:
            return False
        kept = {number: value for number, value in self._set.items() if number not in PLATFORM}
        await self._keep({**kept, **self._previous}, None, insist=True)
        return True

    async def _keep(
        self, values: "dict[int, Value]", previous: "dict[int, Value] | None", *, insist: bool = False
    ) -> bool:
        """Write, then take over. `insist`: also when the disk refuses; the outbox writes it as soon as it can."""
        if self._store is None:
            raise RuntimeError("these parameters were made for reading")
        text = self._encoded(values, previous)
        if not await self._store.meta_set(KEY, text) and not insist:
            # It waits in memory and would reach the disk later, although the platform hears that nothing was changed.
            await self._store.meta_set(KEY, self._text or self._encoded({}, None))
            return False
        self._text, self._set, self._previous = text, values, previous
        return True

    def _encoded(self, values: "dict[int, Value]", previous: "dict[int, Value] | None") -> str:
        before = None if previous is None else _written(previous)
        return msgspec.json.encode(_Kept(self.edition.name, _written(values), before)).decode()

    # -- what is stored ------------------------------------------------------------------------------------------------

    def _restore(self, text: str) -> None:
        try:
            kept = msgspec.json.decode(text, type=_Kept)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            log.warning("parameters that the platform set are damaged and ignored: %s", error)
            return
        dropped: list[str] = []
        self._set = self._sound(kept.values, kept.edition, dropped)
        if kept.previous is not None:
            before = self._sound(kept.previous, kept.edition, dropped)
            self._previous = {number: value for number, value in before.items() if number in PLATFORM}
        if dropped:
            log.warning(
                "parameters that the platform set under edition %r and edition %s cannot take, ignored: %s",
                kept.edition[:16],
                self.edition.name,
                ", ".join(dropped[:20]),
            )

    def _sound(self, values: dict[str, int | str], edition: str, dropped: list[str]) -> "dict[int, Value]":
        """Those that stand in the tables of this edition with the meaning they were set with."""
        before = EDITIONS.get(edition)
        sound: dict[int, Value] = {}
        for name, value in values.items():
            number = int(name, 16) if len(name) == 2 and set(name) <= set("0123456789ABCDEF") else -1
            row = self.edition.parameters.get(number)
            other = None if before is None else before.parameters.get(number)
            if isinstance(row, Field) and isinstance(other, Field) and isinstance(value, int):
                if not self._is_length(number) and row.lo <= value <= row.hi and row.unit == other.unit:
                    sound[number] = value
                    continue
            elif isinstance(row, int) and isinstance(value, str) and is_host_name(value.encode("utf-8", "replace")):
                sound[number] = value.encode()
                continue
            dropped.append(f"{name[:8]!r} = {str(value)[:64]!r}")
        return sound

    # -- small ---------------------------------------------------------------------------------------------------------

    def _ms(self, number: int) -> int:
        return int(self.values[number]) * MS[self.edition.parameters[number].unit]

    def _place(self, chosen: "Mapping[int, Value]") -> tuple[str, int]:
        platform = self._config.platform
        host = chosen.get(HOST)
        return (platform.host if host is None else bytes(host).decode()), int(chosen.get(PORT, platform.port))

    def _is_length(self, number: int) -> bool:
        return number in self.edition.parameters.values()

    def _with_lengths(self, values: "Mapping[int, Value]") -> "dict[int, Value]":
        lengths = {
            row: len(bytes(values[number]))
            for number, row in self.edition.parameters.items()
            if isinstance(row, int) and number in values
        }
        return dict(sorted({**values, **lengths}.items()))


def _written(values: "dict[int, Value]") -> dict[str, int | str]:
    return {f"{number:02X}": value.decode() if isinstance(value, bytes) else value for number, value in values.items()}


def _defaults(edition: "Edition") -> "dict[int, Value]":
    """Periods by the standard's usual values, in the unit of the edition's row."""
    return {
        **{number: _in_row(edition, number, ms) for number, ms in PERIODS_MS.items()},
        FIRMWARE_VERSION: _version(__version__),
        SAMPLING_MONITORING: NOT_MONITORED,
    }


def _file_values(config: "Config", edition: "Edition") -> "dict[int, Value]":
    platform, vehicle = config.platform, config.vehicle
    top = edition.parameters[PORT].hi
    return {
        **_defaults(edition),
        0x01: _in_row(edition, 0x01, config.report.storage_interval_ms),
        0x02: _in_row(edition, 0x02, config.report.interval_s * 1000),
        0x03: _in_row(edition, 0x03, config.report.alarm_interval_ms),
        HOST: platform.host.encode()[:255],
        PORT: platform.port if platform.port <= top else NO_PORT,
        HARDWARE_VERSION: _version(vehicle.hardware_version),
        FIRMWARE_VERSION: _version(vehicle.firmware_version or __version__),
        0x09: _in_row(edition, 0x09, platform.heartbeat_s * 1000),
        0x0B: _in_row(edition, 0x0B, platform.answer_timeout_s * 1000),
        0x0C: _in_row(edition, 0x0C, platform.login_wait_min * 60_000),
        PUBLIC_HOST: platform.public_host.encode()[:255],
        PUBLIC_PORT: platform.public_port if platform.public_host and platform.public_port <= top else NO_PORT,
    }


def _in_row(edition: "Edition", number: int, ms: int) -> int:
    """A time as a count of its row, which the configuration may exceed where an edition is narrower (said by its check)."""
    row = edition.parameters[number]
    return int(min(max(ms // MS[row.unit], row.lo), row.hi))


def _version(text: str) -> bytes:
    return text.encode("ascii", "replace")[:5].ljust(5, b"\0")
