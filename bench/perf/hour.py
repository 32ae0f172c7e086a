"""An hour of a real agent in a minute: what rows `memory` and `grid` read off, in one run.

`tbox run` on UDP multicast at 60 times real time, the reference car sending (`bench/perf/car.py`), a platform of annex B
receiving: 3,600 samples and 361 reports, the first and one each ten seconds after it. Where there is no multicast
the agent plays a recording of the car, and python-can is not loaded.
"""

import contextlib
import functools
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from bench.perf import reference, rig

SPEED = 60
PERIOD_S = 10
SAMPLES = 3_600
QUICK_SAMPLES = 600
SETTLED = 0.25  # of the samples: memory is full grown then, and what comes on top is a leak
LEAD_S = 15.0  # real seconds until the first report is there
KB = 1_024
MB = 1_000_000


@dataclass(frozen=True)
class Hour:
    """`samples` taken; resident memory in MB after a quarter of them, at the end, and at most; `reports` in order:
    (collected_at in Unix seconds, sampled at and arrived at, both in scaled ms since the first of them was due)."""

    bus: str
    samples: int
    settled_mb: float
    end_mb: float
    peak_mb: float
    reports: list[tuple[int, float, float]]


@functools.cache
def hour(quick: bool) -> Hour:
    """Run it, once per process."""
    samples = QUICK_SAMPLES if quick else SAMPLES
    with rig.scratch() as name:
        folder = Path(name)
        interface, channel = rig.choose_bus()
        epoch = repr(time.time())
        scale = ("--speed", str(SPEED), "--epoch", epoch)
        with contextlib.ExitStack() as stack:
            port = stack.enter_context(rig.platform(folder, "annex-b", *scale))
            if interface == "udp_multicast":
                stack.enter_context(
                    rig.process(folder, "car", "-m", "bench.perf.car", interface, channel, scale[1], epoch)
                )
            else:
                interface, channel = "log", str(folder / "car.log")
                reference.write_candump(Path(channel), 60)
            config = rig.write_config(folder, port, bus=(interface, channel), interval_s=PERIOD_S)
            agent = stack.enter_context(rig.agent(folder, config, *scale))
            db = stack.enter_context(contextlib.closing(rig.received(folder)))
            rig.wait_for(lambda: _last(db) is not None, LEAD_S, "the first report arrived", agent)
            started = time.monotonic()
            memory: list[int] = []
            while (done := (time.monotonic() - started) * SPEED) < samples or (_last(db) or 0) < samples:
                memory.append(rig.rss_kb(agent.pid))
                if done > 1.2 * samples:
                    break  # reports are missing: the row says so
                time.sleep(0.25)
            end_kb = rig.rss_kb(agent.pid)
        reports = _reports(folder)
    settled = memory[int(len(memory) * SETTLED)]
    to_mb = KB / MB
    return Hour(interface, samples, settled * to_mb, end_kb * to_mb, max(*memory, end_kb) * to_mb, reports)


def _last(db: sqlite3.Connection) -> int | None:
    """Scaled seconds from the first report to the newest."""
    span = "SELECT max(collected_at) - min(collected_at) FROM packets WHERE command IN ('realtime', 'reissue')"
    value: int | None = db.execute(span).fetchone()[0]
    return value


def _reports(folder: Path) -> list[tuple[int, float, float]]:
    with contextlib.closing(rig.received(folder)) as db:
        arrivals = dict(
            db.execute(
                "SELECT collected_at, min(received_ms) FROM packets WHERE command IN ('realtime', 'reissue') GROUP BY 1"
            ).fetchall()
        )
    path = folder / "tbox.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT collected_at, monotonic_ms FROM rows WHERE part = 1 ORDER BY id").fetchall()
    first, begun = rows[0]
    return [
        (second, sampled - begun, arrivals[second] - 1000 * first) for second, sampled in rows if second in arrivals
    ]
