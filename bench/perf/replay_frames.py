"""The first half of row `replay`: a recording becomes newest frames; python-can's reader feeds the same in turn.

`newest_frames` is what `tbox replay` does with a recording before it samples.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import can

from agent.canlog.reader import MaskedIds, read_log
from agent.core.frames import LatestFrames
from bench.perf.traffic import compiled_plan, message

FRAMES = 60_000
ROUNDS = 5
FRAME_US = 250  # a full bus of 500 kbit/s
TARGET_PER_S = 333_000  # 3 us a frame: less than half of what the whole replay may take


def measure() -> list[dict[str, Any]]:
    """Frames a second from a candump file to LatestFrames."""
    plan = compiled_plan()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bench.log")
        with can.CanutilsLogWriter(path) as writer:
            for number in range(FRAMES):
                frame = message(number)
                frame.timestamp = number * FRAME_US / 1e6
                writer(frame)
        ours, peer = [], []
        for _ in range(ROUNDS):
            ours.append(_per_s(lambda latest: newest_frames(path, latest), plan))
            peer.append(_per_s(lambda latest: _newest_frames_of_python_can(path, latest), plan))
    value, other = statistics.median(ours), statistics.median(peer)
    return [
        {
            "name": "replay, recording to newest frames",
            "value": round(value),
            "unit": "frames/s",
            "peer": "python-can CanutilsLogReader",
            "peer_value": round(other),
            "ratio": round(value / other, 2),
            "target": f">= {TARGET_PER_S}",
            "met": value >= TARGET_PER_S,
        }
    ]


def newest_frames(path: Path, latest: LatestFrames) -> None:
    """Keep every wanted frame of a recording."""
    keep = latest.keeper(0)
    for t_us, _, can_id, data in read_log(path, wanted=MaskedIds(latest.wanted(0))):
        keep(can_id, data, t_us)


def _newest_frames_of_python_can(path: Path, latest: LatestFrames) -> None:
    keep = latest.keeper(0)
    for frame in can.CanutilsLogReader(path):
        keep(frame.arbitration_id, frame.data, int(frame.timestamp * 1e6))


def _per_s(run: Callable[[LatestFrames], None], plan: dict[str, Any]) -> float:
    latest = LatestFrames(plan)
    started = time.process_time()
    run(latest)
    took_s = time.process_time() - started
    if latest.kept != FRAMES:
        raise RuntimeError(f"kept {latest.kept} of {FRAMES} frames")
    return FRAMES / took_s
