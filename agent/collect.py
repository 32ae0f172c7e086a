"""One sample a second, on the wall second's boundary; what is due becomes rows of the outbox. Knows no platform."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import msgspec

from agent.beijing import BEIJING
from agent.clock import Clock
from agent.core.edition import Edition
from agent.core.packet import has_time_bytes
from agent.core.report import Schedule, encode_report
from agent.core.sampler import Sampler
from agent.core.signals import LatestFrames
from agent.outbox import NewRow
from agent.outbox_seconds import STEP_S

log = logging.getLogger(__name__)


class Store(Protocol):
    """What collecting needs of the outbox."""

    async def append(self, rows: list[NewRow], sampled: int, not_due: int) -> list[int]: ...
    def count(self, reason: str, n: int = 1) -> None: ...


class CollectCounters(msgspec.Struct):
    """Seconds since the start of the process: `sampled` = `reported` + `not_due` + `clock`."""

    sampled: int = 0
    reported: int = 0
    not_due: int = 0
    clock: int = 0
    missed: int = 0


class Collector:
    """Samples `latest` once a second and appends what is due; `appended` hears of each commit."""

    def __init__(
        self,
        *,
        edition: Edition,
        vin: str,
        sampler: Sampler,
        latest: LatestFrames,
        schedule: Schedule,
        outbox: Store,
        clock: Clock,
        appended: Callable[[list[int], list[NewRow]], None],
    ) -> None:
        self.counters = CollectCounters()
        self._edition = edition
        self._vin = vin
        self._sampler = sampler
        self._latest = latest
        self._schedule = schedule
        self._outbox = outbox
        self._clock = clock
        self._appended = appended
        self._last_s: int | None = None
        self._alarms_stale = False
        self._clock_fault = ""
        self._sampled = 0  # since the last append
        self._not_due = 0

    async def run(self) -> None:
        """Sample for ever."""
        while True:
            await self._clock.sleep_until(self._clock.next_second())
            await self.sample()

    async def sample(self) -> None:
        """Take the sample of this second; append it if it is due."""
        stamp = self._clock.stamp()
        now = self._clock.at(stamp)
        second = self._clock.wall_ms() // 1000
        self.counters.sampled += 1
        if self._wrong_clock(second):
            self.counters.clock += 1
            self._sampled += 1
            self._outbox.count("clock")
            return
        if self._last_s is not None and second > self._last_s + 1:
            self.counters.missed += second - self._last_s - 1
            log.warning("seconds not sampled count=%d", second - self._last_s - 1)
        self._last_s = second
        self._sampled += 1
        stale = self._sampler.stale_alarms
        bodies = self._sampler.sample(self._latest, stamp)
        self._watch_alarms(self._sampler.stale_alarms != stale)
        if not self._schedule.due(second * 1000):
            self.counters.not_due += 1
            self._not_due += 1
            return
        self.counters.reported += 1
        rows = [
            NewRow(
                monotonic_ms=now,
                collected_at=second,
                edition=self._edition.name,
                vin=self._vin,
                part=part,
                bodies=encoded,
            )
            for part, encoded in enumerate(encode_report(self._edition, bodies), start=1)
        ]
        sampled, not_due = self._sampled, self._not_due
        self._sampled = self._not_due = 0
        size = sum(len(row.bodies) for row in rows)
        log.info("report of=%s parts=%d bytes=%d", datetime.fromtimestamp(second, BEIJING), len(rows), size)
        ids = await self._outbox.append(rows, sampled, not_due)
        if len(ids) == len(rows):  # the outbox itself drops a second that the process before this one has had
            self._appended(ids, rows)

    def _wrong_clock(self, second: int) -> bool:
        """True when a sample of this second must not be kept; says it when that begins and when it ends."""
        fault = ""
        if not has_time_bytes(second):
            fault = "is outside the years 2000 to 2099 that a packet can hold"
        elif self._last_s is not None and second <= self._last_s:
            # By a little it jitters: collected_at strictly increases. By more it was set, and a new clock epoch begins.
            if second >= self._last_s - STEP_S:
                fault = f"went back, the last sample is of second {self._last_s}"
            else:
                self._last_s = None
                self._schedule.restart()
        if fault != self._clock_fault:
            if fault:
                log.warning("samples are dropped: the wall clock %s, now second %d", fault, second)
            else:
                log.warning("samples are kept again: the wall clock is good, second %d", second)
            self._clock_fault = fault
        return fault != ""

    def _watch_alarms(self, stale: bool) -> None:
        """Say it when alarm sources fall silent and when they are back: meanwhile flags are 0 and the level is invalid."""
        if stale != self._alarms_stale:
            self._alarms_stale = stale
            if stale:
                log.warning("an alarm source is stale: its flags are sent as 0 and the highest level as invalid")
            else:
                log.info("all alarm sources are back")

    async def flush(self) -> None:
        """Give the outbox the counts that no row has carried yet; at a clean stop."""
        sampled, not_due = self._sampled, self._not_due
        self._sampled = self._not_due = 0
        await self._outbox.append([], sampled, not_due)
