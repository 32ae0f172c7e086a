"""What signals do in a recording: seen at all, constant, stuck at the code of "not available", the range they move in.

A snapshot of all of them is taken every so many frames, which holds for recordings whose clock is broken too. Signals that may
hold a text are never asked for: the caller names the ones to look at.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from agent.canlog.reader import LogReader, MaskedIds
from agent.core.frames import LatestFrames
from agent.core.signals import Decoder
from agent.suggest.candidates import Candidate

__all__ = ["Behaviour", "Recording", "observe"]

FRAMES_APART = 8  # between two snapshots, at first
MOST_SNAPSHOTS = 4096  # then every other one is dropped and they are taken half as often
EXACT = -1
_FOREVER_MS = 1 << 40
LEAST_US = 1_000_000


@dataclass
class Behaviour:
    """`series`: physical values in the DBC's unit at each snapshot, None before the first frame."""

    series: list[float | None] = field(default_factory=list)
    frames: int = 0
    cycle_ms: float | None = None

    @property
    def known(self) -> list[float]:
        return [value for value in self.series if value is not None]


@dataclass
class Recording:
    """`by`: behaviour by reference; `times_us`: of the snapshots, [] where the recording has no clock to trust or is short."""

    by: dict[str, Behaviour]
    times_us: list[int]
    frames: int
    matched: int
    clock: str = ""  # what is wrong with it

    def known(self, candidate: Candidate, not_available: Iterable[int] = ()) -> list[float]:
        """Values of a signal without those of the codes that mean "not available"."""
        behaviour = self.by.get(candidate.reference)
        if behaviour is None:
            return []
        return _without(
            behaviour.known, candidate, {*not_available, candidate.all_ones} if candidate.length > 2 else set()
        )


def _without(values: list[float], candidate: Candidate, raws: set[int]) -> list[float]:
    slack = float(candidate.factor) / 4
    slope = float(candidate.factor)
    codes = [candidate.top - (candidate.all_ones - raw) * slope for raw in raws] if not candidate.is_float else []
    return [value for value in values if not any(abs(value - code) <= slack for code in codes)]


def observe(
    log: LogReader,
    plan: dict[str, Any],
    asked: list[tuple[Candidate, int]],
    bus_of: Callable[[str], int],
    tick: Callable[[], None],
) -> Recording:
    """One pass over a recording. `asked`: signals with their operands of the plan; `bus_of`: channel to bus number, -1 none."""
    latest = LatestFrames(plan)
    decoder = Decoder(_without_timeouts(plan), 1)
    by = {candidate.reference: Behaviour() for candidate, _ in asked}
    counts: dict[tuple[int, int], int] = {}
    times: list[int] = []
    apart, until = FRAMES_APART, FRAMES_APART
    for t_us, channel, can_id, data in log:
        bus = bus_of(channel)
        if bus < 0:
            continue
        latest.keep(bus, can_id, data, 0)
        counts[bus, can_id] = counts.get((bus, can_id), 0) + 1
        until -= 1
        if until:
            continue
        _snapshot(decoder, latest, plan["operands"], asked, by)
        times.append(t_us)
        until = apart
        if len(times) >= MOST_SNAPSHOTS:
            apart *= 2
            times = times[::2]
            for behaviour in by.values():
                behaviour.series = behaviour.series[::2]
        tick()
    _snapshot(decoder, latest, plan["operands"], asked, by)
    times.append(log.end_us)
    counted = [note for note in log.clock_notes if note.startswith("stamps are")]
    clock = not counted and not log.restarts and times[-1] - times[0] >= LEAST_US
    recording = Recording(by, times if clock else [], log.frames, sum(counts.values()), *counted[:1])
    _count(recording, plan, counts, times[-1] - log.start_us if clock else 0, asked)
    return recording


def _snapshot(
    decoder: Decoder,
    latest: LatestFrames,
    size: int,
    asked: list[tuple[Candidate, int]],
    by: dict[str, Behaviour],
) -> None:
    found: list[Any] = [None] * size
    decoder.decode(latest, 0, [], found)
    for candidate, operand in asked:
        ratio = found[operand]
        value = None if ratio is None else ratio[0] / ratio[1]
        by[candidate.reference].series.append(value if value is None or math.isfinite(value) else None)


def _without_timeouts(plan: dict[str, Any]) -> dict[str, Any]:
    """What was seen once stays: staleness is not the question here."""
    return {**plan, "sources": [[source[0], _FOREVER_MS, *source[2:]] for source in plan["sources"]]}


def _count(
    recording: Recording,
    plan: dict[str, Any],
    counts: dict[tuple[int, int], int],
    span_us: int,
    asked: list[tuple[Candidate, int]],
) -> None:
    """Frames and cycle time of the message of each signal; identifiers with a mask (J1939) count together."""
    masks = {(row[0], row[1]): row[2] for row in plan["messages"]}
    for candidate, _ in asked:
        bus = plan["buses"].index(candidate.bus)
        mask = masks.get((bus, candidate.can_id), EXACT)
        alike = [number for (on, one), number in counts.items() if on == bus and one & mask == candidate.can_id & mask]
        behaviour = recording.by[candidate.reference]
        behaviour.frames = sum(alike)
        if span_us and behaviour.frames > 1:
            behaviour.cycle_ms = span_us / 1000 / (behaviour.frames - 1)


def wanted(plan: dict[str, Any]) -> MaskedIds | set[int]:
    """The identifiers a plan reads."""
    if any(row[2] != EXACT for row in plan["messages"]):
        latest = LatestFrames(plan)
        return MaskedIds([pair for bus in range(len(plan["buses"])) for pair in latest.wanted(bus)])
    return {row[1] for row in plan["messages"]}
