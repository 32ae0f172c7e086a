"""Rows `agent` and `alarm`: the whole agent on three full buses, with TLS to a platform, in a kernel with CAN.

What a system call costs in User Mode Linux is not what it costs elsewhere, and a kernel that takes 12,000 frames a second works
whoever listens. So the agent is stopped for a while: what the guest spends then is the buses, the platform and the
kernel's receiving for the agent; what it spends more while the agent works is the agent's. User code runs as fast as outside.
"""

import math
from typing import Any

from bench.perf import rig
from bench.perf.busload import rate
from bench.perf.fullcarwork import INTERVAL_S, SIGNALS
from bench.perf.guest import BUSES, Told, watch

AGENT_TARGET = 3.0  # percent of a core
ALARM_TARGET_S = 1.3
QUANTILE = 0.99
TIMEOUT_S = 200
Row = dict[str, Any]


def measure(quick: bool = False) -> list[Row]:
    """Two rows: percent of a core, and seconds from a bit on the bus to its packet."""
    return rows_of(watch("bench.perf.fullcarwork", "quick" if quick else "full", timeout_s=TIMEOUT_S))


def rows_of(told: Told) -> list[Row]:
    """The rows of what the guest told."""
    (agent,), (alarm,) = told.results["agent"], told.results["alarm"]
    percent, account = _cost(told, agent)
    load = f"{agent['frames_per_s']:.0f} frames/s of {len(BUSES) * rate():.0f} planned"
    late_s = [late / 1000 for late in alarm["latencies_ms"]]
    worst_s = quantile(late_s, QUANTILE)
    return [
        rig.figure(
            "agent",
            round(percent, 2),
            "% of a core, three full buses",
            f"<= {AGENT_TARGET:g}",
            percent <= AGENT_TARGET and agent["reports"] >= int(agent["seconds"] / INTERVAL_S),
            note=f"{SIGNALS} signals, {load}, {agent['reports']} reports in {agent['seconds']:.0f} s by TLS; {account}",
        ),
        rig.figure(
            "alarm",
            round(worst_s, 3) if math.isfinite(worst_s) else None,
            "s p99, bit on CAN to platform",
            f"<= {ALARM_TARGET_S}",
            worst_s <= ALARM_TARGET_S,
            note=f"{len(late_s)} alarms on the same buses; median {quantile(late_s, 0.5):.2f} s, longest {max(late_s):.2f} s; "
            "sampling alone takes 0 to 1 s",
        ),
    ]


def _cost(told: Told, agent: Row) -> tuple[float, str]:
    """Percent of a core, and what is in it."""
    if told.spent is None:
        return 100 * agent["process"], "this machine's own kernel"
    held, work = told.spent["held"], told.spent["agent"]
    user, kernel = work.user_percent - held.user_percent, work.kernel_percent - held.kernel_percent
    return user + kernel, (
        f"user code {user:.2f} %, system calls {kernel:.2f} % in User Mode Linux, where they cost many times as much; "
        f"its ticks of 10 ms say {100 * agent['process']:.1f} %; aside: the kernel sends and receives, {held.percent:.2f} %"
    )


def quantile(values: list[float], share: float) -> float:
    """The smallest value that so many are not above."""
    return sorted(values)[math.ceil(share * len(values)) - 1]
