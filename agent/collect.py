"""One sample a second, on the wall second's boundary; what is due becomes rows of the outbox. Knows no platform."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from agent.beijing import BEIJING
from agent.clock import Clock
from agent.core.edition import Edition
from agent.core.frames import LatestFrames
from agent.core.occasion import Occasion, ReportSettings, Ring, Steady, View
from agent.core.packet import has_time_bytes
from agent.core.report import encode_report
from agent.core.sampler import Sampler
from agent.outbox import NewRow
from agent.outbox_seconds import STEP_S

if TYPE_CHECKING:
    from agent.core.dataunit import Bodies

log = logging.getLogger(__name__)


class Store(Protocol):
    """What collecting needs of the outbox."""

    async def append(
        self, rows: list[NewRow], sampled: int, not_due: int, held: list[NewRow], kept: list[NewRow]
    ) -> list[int]: ...
    def count(self, reason: str, n: int = 1) -> None: ...


class Sample(NamedTuple):
    """A sample that was not reported; `keep`: local storage wants it."""

    rows: list[NewRow]
    keep: bool


class CollectCounters(msgspec.Struct):
    """Seconds since the start of the process: `sampled` = `reported` + `not_due` + `clock`.

    `held`: of those reported, the ones from before a fault.
    """

    sampled: int = 0
    reported: int = 0
    held: int = 0
    not_due: int = 0
    clock: int = 0
    missed: int = 0


class Collector:
    """Samples `latest` once a second and appends what is due.

    `appended` hears of each commit: ids and rows of the sample just taken, and the number of rows from before a fault that
    went with it. `on_phase` hears False when nothing is left to report until the vehicle wakes, and True when it
    does. `refresh` brings the newest frames into `latest`, right before a sample. `settings` may be replaced at any time;
    the next sample follows them. `silence_s`: buses silent for so long are a vehicle switched off; 0: never.
    `awake`: the sources that fall silent with the vehicle; none: all of them.
    """

    def __init__(
        self,
        *,
        edition: Edition,
        vin: str,
        sampler: Sampler,
        latest: LatestFrames,
        settings: ReportSettings,
        silence_s: int,
        outbox: Store,
        clock: Clock,
        appended: Callable[[list[int], list[NewRow], int], None],
        on_phase: Callable[[bool], None],
        refresh: Callable[[], None],
        awake: Sequence[int] = (),
    ) -> None:
        self.counters = CollectCounters()
        self._edition = edition
        self._vin = vin
        self._sampler = sampler
        self._latest = latest
        self._occasion = Occasion(edition.rules, settings, silence_s * 1000)
        self._view = View(edition)
        self._ring: Ring = Ring(max(edition.rules.burst[0], edition.rules.parked_burst[0]))
        self._outbox = outbox
        self._clock = clock
        self._appended = appended
        self._on_phase = on_phase
        self._refresh = refresh
        self._awake = awake
        self._active = True
        self._burst = False
        self._started = clock.stamp()
        self._steady = Steady(STEP_S * 1000 * max(1, int(clock.speed)))
        self._last_s: int | None = None
        self._alarms_stale = False
        self._clock_fault = ""
        self._sampled = 0  # since the last append
        self._not_due = 0
        self._kept: list[NewRow] = []  # for local storage, with the next append

    @property
    def settings(self) -> ReportSettings:
        """How often to report."""
        return self._occasion.settings

    @settings.setter
    def settings(self, settings: ReportSettings) -> None:
        self._occasion.settings = settings

    async def run(self) -> None:
        """Sample for ever."""
        while True:
            await self._clock.sleep_until(self._clock.next_second())
            await self.sample()

    async def sample(self) -> None:
        """Take the sample of this second; append it if it is due."""
        self._refresh()
        stamp = self._clock.stamp()  # no frame is newer than this
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
        steady_ms = self._steady.advance(second, now)
        level, states = self._view.read(bodies)
        heard = self._latest.heard(list(self._awake) or list(range(len(self._latest.stamps))))
        quiet_ms = now - self._clock.at(max(heard, self._started))
        decision = self._occasion.decide(second * 1000, steady_ms, level, states, quiet_ms)
        self._say_burst(decision.burst)
        rows = self._rows(second, now, self._view.pick(bodies, decision))
        if decision.due and rows:
            held: list[Sample] = []
            if decision.since is not None:
                held, old = self._ring.take(decision.since)
                self._let_go(old)
            await self._append(second, rows, held)
        else:
            self.counters.not_due += 1
            self._not_due += 1
            gone = self._ring.put(steady_ms, Sample(rows, decision.keep))
            self._let_go([gone] if gone else [])
        if decision.active != self._active:
            self._active = decision.active
            log.info("vehicle awake" if self._active else "vehicle off: no more reports until it wakes")
            self._on_phase(self._active)

    def _rows(self, second: int, now: int, bodies: "Bodies") -> list[NewRow]:
        return [
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

    async def _append(self, second: int, rows: list[NewRow], held: list[Sample]) -> None:
        """Commit a sample, and in the same transaction the `held` samples of the seconds before a fault."""
        self.counters.reported += 1 + len(held)
        self.counters.held += len(held)
        self.counters.not_due -= len(held)  # they were counted when they were sampled
        sampled, not_due = self._sampled, self._not_due - len(held)
        self._sampled = self._not_due = 0
        size = sum(len(row.bodies) for row in rows)
        log.info("report of=%s parts=%d bytes=%d", datetime.fromtimestamp(second, BEIJING), len(rows), size)
        earlier = [row for sample in held for row in sample.rows]
        kept, self._kept = self._kept, []
        ids = await self._outbox.append(rows, sampled, not_due, earlier, kept)
        if len(ids) == len(rows):  # the outbox itself drops a second that the process before this one has had
            self._appended(ids, rows, len(earlier))

    def _let_go(self, samples: list[Sample]) -> None:
        """Samples that no fault can call for any more: local storage takes its share with the next append."""
        self._kept += [row for sample in samples if sample.keep for row in sample.rows]

    def _say_burst(self, burst: bool) -> None:
        if burst != self._burst:
            self._burst = burst
            if burst:
                log.warning("grave alarm: every second is reported, those before it as well")
            else:
                log.info("reports are back on their grid: the grave alarm is over")

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
                self._occasion.restart_grid()
                self._let_go(self._ring.empty())  # seconds that are still to come, or were reported
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
        self._let_go(self._ring.empty())
        kept, self._kept = self._kept, []
        await self._outbox.append([], sampled, not_due, [], kept)
