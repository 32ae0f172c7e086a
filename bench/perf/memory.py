"""Row `memory`: resident memory of a real agent after an hour in scaled time, and what it grew by in the last three quarters."""

from typing import Any

from bench.perf import rig
from bench.perf.hour import SAMPLES, SPEED, hour

MOST_MB = 40.0
GROWTH_MB = 1.0


def measure(quick: bool = False) -> list[dict[str, Any]]:
    """Two rows of MB (1,000,000 bytes); a quick run has too few samples for the second."""
    run = hour(quick)
    growth = run.end_mb - run.settled_mb
    what = f"{run.samples} samples at {SPEED} x on {run.bus}"
    rows = [
        rig.figure(
            "memory",
            round(run.end_mb, 2),
            "MB RSS",
            f"<= {MOST_MB:g}",
            run.peak_mb <= MOST_MB,
            note=f"{what}; at most {run.peak_mb:.2f} MB",
        )
    ]
    if not quick:
        last = f"over the last {SAMPLES * 3 // 4} samples"
        rows.append(
            rig.figure("memory, growth", round(growth, 3), "MB", f"<= {GROWTH_MB:g} {last}", growth <= GROWTH_MB)
        )
    return rows
