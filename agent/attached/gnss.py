"""GNSS in: the fixes of a receiver, or of gpsd, as frames of the message `Fix` of dbc/gnss.dbc on a bus of their own.

So a mapping reads a receiver as it reads a bus: staleness, validity, the last valid position need nothing of their own.
A receiver that goes away, says nothing or says nonsense never ends anything: after 1 s, doubling to 30 s, it is tried again.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from struct import pack
from typing import Protocol

from agent.attached.devices import Gnss
from agent.attached.gnss_gpsd import GpsdSource
from agent.attached.gnss_serial import SerialSource
from agent.backoff import Backoff, SparingLog
from agent.clock import Clock
from agent.core.nmea import Fix
from agent.errors import DeviceError

__all__ = ["FIX_ID", "GnssReceiver", "pack_fix"]

FIX_ID = 1
# This program is younger: dates before are of a receiver's clock that was reset, or of a GPS week that rolled over.
FLOOR_MS = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp() * 1000)

_I32_NONE, _U32_NONE, _U16_NONE, _U8_NONE = -(1 << 31), 0xFFFFFFFF, 0xFFFF, 0xFF
_HIGHEST_CM, _LOWEST_CM = 100_000_000, -1_000_000

log = logging.getLogger(__name__)


class Latest(Protocol):
    """The part of LatestFrames that a receiver feeds."""

    def keeper(self, bus: int) -> Callable[[int, bytes, int], None]: ...


class Source(Protocol):
    """Where fixes come from: `receive` gives them out until it is cancelled; DeviceError when it cannot."""

    def counts(self) -> dict[str, int]: ...
    async def receive(self, give: Callable[[Fix], None], note_open: Callable[[str], None]) -> None: ...


class GnssReceiver:
    """Feeds `latest` with the fixes of one receiver until cancelled; `index` is its bus's number in the compiled plan.

    Counters: `fixes` (valid ones), `void` (those without a place), `reopened`. `problem` is why there is nothing to hear, None
    while there is. `fix` is the newest one, with its `utc_ms`.
    """

    def __init__(self, settings: Gnss, index: int, latest: Latest, clock: Clock, rng: Random) -> None:
        self.settings = settings
        self.fixes = 0
        self.void = 0
        self.reopened = 0
        self.problem: str | None = "not opened yet"
        self.fix: Fix | None = None
        self._keep = latest.keeper(index)
        self._clock = clock
        self._backoff = Backoff(rng)
        self._log = SparingLog(log, clock)
        self._opened = False
        self._source: Source = make_source(settings, clock)

    async def run(self) -> None:
        """Receive for ever."""
        while True:
            given = self.fixes + self.void
            try:
                await self._source.receive(self._give, self._note_open)
            except DeviceError as error:
                self.problem = error.reason
            if self.fixes + self.void > given:
                self._backoff.reset()
            self._log.say(logging.WARNING, "GNSS away device=%s reason=%s", self.settings.place, self.problem)
            await self._clock.sleep_until(self._clock.now() + self._backoff.next_ms())

    def counts(self) -> dict[str, int]:
        """Counters of what went wrong, by name."""
        return {"void": self.void, "reopened": self.reopened, **self._source.counts()}

    def _note_open(self, how: str) -> None:
        self.problem = None
        self.reopened += self._opened
        self._opened = True
        self._log.say(logging.INFO, "GNSS open device=%s %s", self.settings.place, how)

    def _give(self, fix: Fix) -> None:
        """A thread calls this where the source has one: as with a bus, one writer for each."""
        if fix.valid:
            self.fixes += 1
        else:
            self.void += 1
        self.fix = fix
        self._keep(FIX_ID, pack_fix(fix), self._clock.stamp())


def make_source(settings: Gnss, clock: Clock) -> Source:
    """The source that the settings name."""
    if settings.device is not None:
        return SerialSource(settings.device, settings.baud, clock, FLOOR_MS)
    return GpsdSource(settings.gpsd or "", FLOOR_MS)


def pack_fix(fix: Fix) -> bytes:
    """The 32 bytes of the message `Fix` of dbc/gnss.dbc, little-endian; what is not known, or has no room, as "not available"."""
    flags = fix.valid | (fix.utc_ms is not None) << 1 | (fix.quality & 0xF) << 4
    return pack(
        "<BBHiiiIHHQ",
        flags,
        _within(fix.satellites, 0, _U8_NONE - 1, _U8_NONE),
        _within(fix.hdop, 0, _U16_NONE - 1, _U16_NONE),
        _I32_NONE if fix.latitude is None else fix.latitude,
        _I32_NONE if fix.longitude is None else fix.longitude,
        _within(fix.altitude, _LOWEST_CM, _HIGHEST_CM, _I32_NONE),
        _within(fix.speed, 0, 10_000_000, _U32_NONE),
        _within(fix.course, 0, 36_000, _U16_NONE),
        0,
        fix.utc_ms or 0,
    )


def _within(value: int | None, lo: int, hi: int, otherwise: int) -> int:
    return value if value is not None and lo <= value <= hi else otherwise
