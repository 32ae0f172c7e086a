"""Row `grid`: is there a report each period, and how far is it from its second?

Delays of an operating system and of a disk do not scale with the clock, so jitter is counted in real milliseconds, where
one ms is 60 ms of the scaled hour: a sample that is 17 ms late would miss its second. The row is the stricter of two
readings, the arrival at the platform, which has sampling, encoding, fdatasync, sending and receiving in it: how far each
interval between two reports is from the period. The note has the moment of sampling alone, in both clocks.
"""

from itertools import pairwise
from typing import Any

from bench.perf import rig
from bench.perf.hour import PERIOD_S, SPEED, hour

MOST_MS = 50.0


def measure(quick: bool = False) -> list[dict[str, Any]]:
    """One row of real milliseconds, the 99th percentile; met when no period is missing either."""
    run = hour(quick)
    seconds = [second for second, _, _ in run.reports]
    due = run.samples // PERIOD_S
    missing = sum((later - earlier) // PERIOD_S - 1 for earlier, later in pairwise(seconds))
    odd = sum((later - earlier) % PERIOD_S != 0 for earlier, later in pairwise(seconds))
    short = max(0, due + 1 - len(seconds) - missing)
    sampled = _p99([at for _, at, _ in run.reports])
    arrived = _p99([at for _, _, at in run.reports])
    notes = [
        f"{len(seconds)} reports, {missing + short} missing, {odd} a scaled second late",
        f"{SPEED} x: {arrived:.0f} scaled ms",
        f"moment of sampling p99 {sampled / SPEED:.2f} ms, {sampled:.0f} scaled",
    ]
    return [
        rig.figure(
            "grid",
            round(arrived / SPEED, 2),
            "ms p99",
            f"<= {MOST_MS:g} and no period missing",
            arrived / SPEED <= MOST_MS and not missing + short,
            note="; ".join(notes),
        )
    ]


def _p99(times: list[float]) -> float:
    """How far the intervals are from the period, in ms of the scaled clock."""
    away = sorted(abs(later - earlier - 1000 * PERIOD_S) for earlier, later in pairwise(times))
    return away[min(len(away) - 1, int(0.99 * len(away)))]
