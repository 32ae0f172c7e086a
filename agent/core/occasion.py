"""When a sample is a report: the grid, every second around a grave alarm, the time after switch-off.

All numbers are those of an edition's `ReportRules`; nothing here knows an edition, a clock or an outbox.

* Awake is a vehicle that is started or charging. A state that nobody knows stays what it was; a bus that was silent and
  speaks again without telling wakes the vehicle, because a report too many is better than a drive without any.
* Silence of the buses is switch-off too, at the moment of the last frame.
* A terminal that starts beside a vehicle that is off cannot know since when: it takes its start for the switch-off.
* A level that is invalid neither starts nor holds a burst; a level that is high again after it is a new fault.
"""

from collections import deque

from agent.core.report import Schedule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.core.dataunit import Bodies
    from agent.core.edition import Edition, ReportRules
    from agent.core.field import Layout

    States = dict[str, str | None]

SAMPLE_MS = 1000
AWAKE = (
    ("vehicle_state", "started"),
    ("charging_state", "parked_charging"),
    ("charging_state", "driving_charging"),
)
OFF = (("vehicle_state", "off"), ("vehicle_state", "other"))


class ReportSettings:
    """Parameters 02, 03 and 01 in ms. Replaced as a whole, never changed.

    The period of reports, that of the seconds after a grave alarm, and that of local storage, which counts where it is
    shorter than the first. Nothing is sampled more often than once a second: less than 1000 counts as 1000.
    """

    def __init__(self, period_ms: int = 10000, alarm_period_ms: int = 1000, storage_ms: int = 10000) -> None:
        self.period_ms = period_ms
        self.alarm_period_ms = alarm_period_ms
        self.storage_ms = storage_ms


class Decision:
    """What becomes of one sample.

    `due`: it is reported. `burst`: a grave alarm asks for every second. `since`: samples from that moment (ms) on that were
    not reported are to be, because of a fault; None: no fault. `keep`: it is to be stored, though it may never be sent.
    `active`: False when nothing is left to report until the vehicle wakes. `only`: names of the bodies to send, None for all;
    `without`: names of those left out.
    """

    def __init__(
        self,
        due: bool,
        burst: bool,
        since: "int | None",
        keep: bool,
        active: bool,
        only: "tuple[str, ...] | None",
        without: "tuple[str, ...]",
    ) -> None:
        self.due = due
        self.burst = burst
        self.since = since
        self.keep = keep
        self.active = active
        self.only = only
        self.without = without


class Occasion:
    """The machine. `settings` may be replaced at any time; `silence_ms` 0: silence of the buses is never switch-off."""

    def __init__(self, rules: "ReportRules", settings: ReportSettings, silence_ms: int) -> None:
        self.settings = settings
        self._rules = rules
        self._silence_ms = silence_ms
        self._grid = Schedule(settings.period_ms)
        self._dense = Schedule(SAMPLE_MS)
        self._storage = Schedule(settings.storage_ms)
        self._awake = True
        self._silent = False
        self._off_at = 0
        self._watching = False
        self._watch_said = False  # something of the watch was reported
        self._alarmed = False
        self._burst = False
        self._burst_until = -1
        self._held = False  # the burst lasts until the level clears

    def restart_grid(self) -> None:
        """The wall clock was set back: the next sample begins the grid anew."""
        self._grid.restart()
        self._storage.restart()

    def decide(self, grid: int, now: int, level: "int | None", states: "States", quiet_ms: int) -> Decision:
        """Judge the sample of the second `grid` (wall ms); once a second, in order.

        `now`: the same in ms that no step of the wall clock disturbs. `level`: raw alarm level. `states`: words of the
        vehicle body's state fields, None where unknown. `quiet_ms`: how long ago the last wanted frame came.
        """
        rules = self._rules
        self._switch(now, states, quiet_ms)
        since = self._alarm(now, level)
        off_ms = now - self._off_at
        closing = not self._awake and rules.after_off_s > 0 and off_ms <= rules.after_off_s * 1000
        watching = self._watching
        window = watching and self._watch(off_ms)
        self._grid.period_ms = self.settings.period_ms
        self._storage.period_ms = max(SAMPLE_MS, self.settings.storage_ms)
        on_grid = self._grid.due(grid) and (self._awake or closing)
        keep = self._storage.due(grid) and (self._awake or closing)
        dense = self._burst and self._dense.due(now)
        return Decision(
            on_grid or dense or window,
            self._burst,
            since,
            keep and self.settings.storage_ms < self.settings.period_ms,
            self._awake or closing or watching or self._burst,
            None if on_grid or self._burst or not window else rules.watch_bodies,
            tuple([body for body, state, word in rules.left_out if states.get(state) == word]),
        )

    def _switch(self, now: int, states: "States", quiet_ms: int) -> None:
        """Note whether the vehicle is awake, and since when it is off."""
        woken = self._silent
        self._silent = 0 < self._silence_ms <= quiet_ms
        if self._silent:
            awake = False
        elif _any(states, AWAKE):
            awake = True
        elif _any(states, OFF):
            awake = False
        else:
            awake = self._awake or woken
        if self._awake and not awake:
            self._off_at = now - (quiet_ms // SAMPLE_MS * SAMPLE_MS if self._silent else 0)
            self._watching = self._rules.watch_s > 0
            self._watch_said = False
        elif awake:
            self._watching = False
        self._awake = awake

    def _alarm(self, now: int, level: "int | None") -> "int | None":
        """Begin, hold or end the burst; at a fault, from when on samples are wanted (None: from now)."""
        before_s, after_s, until_clear = self._rules.burst if self._awake else self._rules.parked_burst
        alarmed = level in self._rules.burst_levels
        fault = alarmed and not self._alarmed
        self._alarmed = alarmed
        if fault:
            self._burst_until = max(self._burst_until, now + after_s * 1000)
            self._held = until_clear
        elif alarmed and until_clear:
            self._held = True  # it woke with the alarm
        elif not alarmed:
            self._held = False
        burst = self._held or now <= self._burst_until
        if fault or (burst and not self._burst):
            self._dense.restart()  # the fault itself is reported
        self._dense.period_ms = max(SAMPLE_MS, self.settings.alarm_period_ms)
        self._burst = burst
        return now - before_s * 1000 if fault and before_s else None

    def _watch(self, off_ms: int) -> bool:
        """Whether this second of the battery watch is reported.

        Silent buses have no news: then only the one message goes that is asked for at least, at the end.
        """
        rules = self._rules
        over = off_ms >= rules.watch_s * 1000
        inside = (rules.watch_s - rules.watch_report_s) * 1000 <= off_ms <= rules.watch_s * 1000
        report = (inside and not self._silent) or (over and not self._watch_said)
        self._watch_said = self._watch_said or report
        self._watching = not over
        return report


class Steady:
    """Milliseconds that pass with the sampled seconds, but not with a step of the wall clock.

    `step_ms`: by how much wall and monotonic time must disagree between two samples to be a step; samples that are taken a
    little late are none.
    """

    def __init__(self, step_ms: int) -> None:
        self._step_ms = step_ms
        self._second: int | None = None
        self._now = 0
        self._ms = 0

    def advance(self, second: int, now: int) -> int:
        """The moment of the sample of wall second `second`, taken at `now` (monotonic ms); it grows by whole seconds."""
        if self._second is not None:
            wall = (second - self._second) * 1000
            passed = now - self._now
            stepped = wall <= 0 or not -self._step_ms <= wall - passed <= self._step_ms
            self._ms += max(SAMPLE_MS, (passed + SAMPLE_MS // 2) // SAMPLE_MS * SAMPLE_MS) if stepped else wall
        self._second = second
        self._now = now
        return self._ms


class Ring:
    """The newest samples that were not reported, at most `size` of them, each with the moment (ms) it was taken at.

    What leaves it without being reported is handed back, so that it can be stored all the same.
    """

    def __init__(self, size: int) -> None:
        self._samples: "deque[tuple[int, Any]]" = deque((), size + 1)  # noqa: RUF037 - so that MicroPython takes it
        self._size = size

    def put(self, now: int, sample: "Any") -> "Any | None":
        """Remember a sample; returns the oldest where it has to make room."""
        self._samples.append((now, sample))
        return self._samples.popleft()[1] if len(self._samples) > self._size else None

    def take(self, since: int) -> "tuple[list[Any], list[Any]]":
        """The samples from `since` on, and those before it, oldest first; the ring is empty then."""
        young: "list[Any]" = []
        old: "list[Any]" = []
        while self._samples:
            at, sample = self._samples.popleft()
            (young if at >= since else old).append(sample)
        return young, old

    def empty(self) -> "list[Any]":
        """All samples, oldest first; the ring is empty then."""
        return [self._samples.popleft()[1] for _ in range(len(self._samples))]


class View:
    """Finds in the bodies of a sample what `Occasion` has to know, and picks the bodies that it wants sent."""

    def __init__(self, edition: "Edition") -> None:
        self._types = edition.body_types
        self._vehicle = edition.body_types["vehicle"]
        self._alarms = edition.body_types["alarms"]
        names = {state for state, _ in AWAKE + OFF}
        names.update([state for _, state, _ in edition.rules.left_out])
        self._words = _words(edition.bodies[self._vehicle], names)

    def read(self, bodies: "Bodies") -> "tuple[int | None, States]":
        """(raw alarm level, words of the states); None for what is not there or not known."""
        level = None
        states: "States" = {}
        for type_id, values in bodies:
            if type_id == self._vehicle:
                states = {name: words.get(values[name]) for name, words in self._words}
            elif type_id == self._alarms:
                level = values["level"]
        return level, states

    def pick(self, bodies: "Bodies", decision: Decision) -> "Bodies":
        """The bodies of a sample that are sent."""
        if decision.only is not None:
            only = [self._types.get(name) for name in decision.only]
            bodies = [body for body in bodies if body[0] in only]
        if decision.without:
            without = [self._types.get(name) for name in decision.without]
            bodies = [body for body in bodies if body[0] not in without]
        return bodies


def _any(states: "States", conditions: "tuple[tuple[str, str], ...]") -> bool:
    for state, word in conditions:
        if states.get(state) == word:
            return True
    return False


def _words(vehicle: "Layout", names: "set[str]") -> "list[tuple[str, dict[int, str]]]":
    return [(row.name, row.words or {}) for row in vehicle.rows if row.name in names]
