"""How often a report makes the disk flush: counted by strace in a child that appends and accepts like an agent.

Opening, closing and checkpoints count too: everything the child does is divided by its reports.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from agent.outbox import NewRow
from agent.outbox_thread import IDLE_S, OutboxThread

__all__ = ["measure"]

FOLDER = "/var/tmp"  # noqa: S108 - on a disk, where /tmp may be memory
REPORTS = 600  # more than two checkpoints
TARGET = 1.1


def measure() -> list[dict[str, Any]]:
    """Give one row: fsync and fdatasync calls per report; without strace no value and a note."""
    flushes, note = _count()
    value = None if flushes is None else round(flushes / REPORTS, 3)
    row: dict[str, Any] = {
        "name": "fsync",
        "value": value,
        "unit": "per report",
        "peer": None,
        "peer_value": None,
        "ratio": None,
        "target": f"<= {TARGET}",
        "met": value is not None and value <= TARGET,
    }
    return [row | {"note": note} if note else row]


def _count() -> tuple[int | None, str]:
    strace = shutil.which("strace")
    if strace is None:
        return None, "strace is not installed"
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        counts = Path(folder) / "counts"
        child = subprocess.run(
            [strace, "-f", "-c", "-o", counts, "-e", "trace=fsync,fdatasync", sys.executable, "-m", __name__, folder],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        if child.returncode:
            last = (child.stderr.strip() or "no message").splitlines()[-1]
            return None, f"strace or its child ended with {child.returncode}: {last}"
        # % time, seconds, usecs/call, calls, (errors), system call
        lines = [line.split() for line in counts.read_text().splitlines()]
        return sum(int(words[3]) for words in lines if words and words[-1] in ("fsync", "fdatasync")), ""


async def _report(path: Path) -> None:
    """Append reports as an agent does, each accepted about one report later."""
    outbox = await OutboxThread.open(
        path, wall_s=lambda: int(time.time()), now_ms=lambda: time.monotonic_ns() // 1_000_000
    )
    proven: list[int] = []
    for number in range(REPORTS):
        second = 1_700_000_000 + 10 * number
        row = NewRow(10_000 * number, second, "2016", "LGBTEST0000000017", 1, os.urandom(600))
        ids = await outbox.append([row], 10, 9)
        outbox.accept(proven, "live")
        proven = ids
        await asyncio.sleep(2 * IDLE_S)  # idle moments are where checkpoints happen
    await outbox.close()


if __name__ == "__main__":
    asyncio.run(_report(Path(sys.argv[1]) / "outbox.db"))
