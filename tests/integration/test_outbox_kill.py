"""A writer is killed at random instants, again and again on one file: nothing it was told is stored is ever missing."""

import os
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from outbox_rows import open_outbox

from agent.errors import OutboxError

KILLS = 25
WRITER = Path(__file__).with_name("outbox_writer.py")


def start(path: Path, root: Path, seed: int = 0, max_mb: float = 512) -> "subprocess.Popen[str]":
    writer = subprocess.Popen(
        [sys.executable, WRITER, path, str(seed), str(max_mb)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "started\n"
    return writer


def kill_after(writer: "subprocess.Popen[str]", lines: int, instant: float) -> list[str]:
    """Read so many lines, let at most `instant` seconds pass, kill; give all complete lines."""
    assert writer.stdout is not None
    told = [writer.stdout.readline() for _ in range(lines)]
    try:
        writer.wait(instant)
    except subprocess.TimeoutExpired:
        writer.kill()
    told += writer.communicate()[0].splitlines(keepends=True)
    assert writer.returncode == -9
    return [line.strip() for line in told if line.endswith("\n")]


@pytest.mark.parametrize("max_mb", [512, 0.5])
def test_no_committed_row_is_lost_and_the_ledger_adds_up(tmp_path: Path, root: Path, max_mb: float) -> None:
    path = tmp_path / "outbox.db"
    chance = random.Random(32960)
    stored: dict[int, str] = {}
    for seed in range(KILLS):
        writer = start(path, root, seed, max_mb)
        told = kill_after(writer, chance.randint(0, 60), chance.random() * 0.02)
        committed = {int(line[1:]) for line in told if line[0] == "+"}
        judged = {int(line[1:]) for line in told if line[0] == "?"}
        before = stored
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            stored = dict(db.execute("SELECT id, state FROM rows").fetchall())
        with closing(open_outbox(path)) as outbox:
            stats = outbox.stats()
        assert {boot["unaccounted"] for boot in stats["boots"]} <= {0}
        missing = (committed | set(before)) - set(stored)
        if max_mb == 512:  # else the oldest make room; the ledger has counted them
            assert not missing
        # What was not judged in this life has the state it had, or waits.
        for row_id in committed - missing - judged:
            assert stored[row_id] == "pending"
        for row_id in set(before) - missing - judged:
            assert stored[row_id] in (before[row_id], "pending")
    assert len(stored) > 100
    assert (sum(stats["pruned"].values()) > 0) == (max_mb < 512)


def test_the_lock_ends_with_the_process_that_held_it(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "outbox.db"
    writer = start(path, root)
    try:
        with pytest.raises(OutboxError, match=f"in use by process {writer.pid};"):
            open_outbox(path)
    finally:
        kill_after(writer, 0, 0)
    open_outbox(path).close()
