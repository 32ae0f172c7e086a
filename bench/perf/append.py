"""What storing a report costs: one awaited append, beside a bare INSERT and COMMIT with the same pragmas.

Both files lie in one folder and take turns, so that a disk that is slow for a while is slow for both. The peer is the
least a program could do: one table, one row, no index, no ledger, no thread.
"""

import asyncio
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from agent.outbox import NewRow
from agent.outbox_file import PAGE_BYTES
from agent.outbox_thread import IDLE_S, OutboxThread

__all__ = ["measure"]

FOLDER = "/var/tmp"  # noqa: S108 - on a disk, where /tmp may be memory
BODIES_BYTES = 600
ROUNDS = 400
PAUSE = 25  # rounds between two idle moments, of which a vehicle has one a report
WARM_UP = 20  # rounds left out: first pages, first plans
TARGET = 1.5


def measure() -> list[dict[str, Any]]:
    """Give one row: median ms of an append, and that of the peer."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        ours, bare = asyncio.run(_measure(Path(folder)))
    value, peer = statistics.median(ours) * 1e3, statistics.median(bare) * 1e3
    return [
        {
            "name": "append",
            "value": round(value, 3),
            "unit": "ms",
            "peer": "bare INSERT and COMMIT",
            "peer_value": round(peer, 3),
            "ratio": round(value / peer, 2),
            "target": f"<= {TARGET} of the peer",
            "met": value / peer <= TARGET,
        }
    ]


async def _measure(folder: Path) -> tuple[list[float], list[float]]:
    ours, bare = [], []
    outbox = await OutboxThread.open(
        folder / "outbox.db", wall_s=lambda: int(time.time()), now_ms=lambda: time.monotonic_ns() // 1_000_000
    )
    try:
        with closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as db:
            insert = _bare(db)
            proven: list[int] = []
            for number in range(WARM_UP + ROUNDS):
                row = _row(number)
                began = time.perf_counter()
                ids = await outbox.append([row], 10, 9)
                ours.append(time.perf_counter() - began)
                outbox.accept(proven, "live")
                proven = ids
                if number % PAUSE == 0:  # what the outbox does in idle moments must not fall into the peer's time
                    await asyncio.sleep(10 * IDLE_S)
                began = time.perf_counter()
                insert(row)
                bare.append(time.perf_counter() - began)
    finally:
        await outbox.close()
    return ours[WARM_UP:], bare[WARM_UP:]


def _row(number: int) -> NewRow:
    second = 1_700_000_000 + 10 * number
    return NewRow(10_000 * number, second, "2016", "LGBTEST0000000017", 1, os.urandom(BODIES_BYTES))


def _bare(db: sqlite3.Connection) -> Callable[[NewRow], None]:
    db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, monotonic_ms, collected_at, edition, vin, part, bodies)")

    def insert(row: NewRow) -> None:
        db.execute("BEGIN IMMEDIATE")
        db.execute(
            "INSERT INTO rows (monotonic_ms, collected_at, edition, vin, part, bodies) VALUES (?, ?, ?, ?, ?, ?)",
            (row.monotonic_ms, row.collected_at, row.edition, row.vin, row.part, row.bodies),
        )
        db.execute("COMMIT")

    return insert
