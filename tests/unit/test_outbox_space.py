"""What the outbox drops, by age and by space, and what it does while the disk refuses."""

import logging
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from outbox_rows import START, Wall, ids_of, new_row, open_outbox, total

from agent import outbox_memory
from agent.outbox import Outbox

DAY_S = 86_400


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def wall() -> Wall:
    return Wall()


@contextmanager
def disk_full(path: Path) -> Iterator[None]:
    """Let no file of this process grow beyond what the outbox and its log have now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = max(file.stat().st_size for file in path.parent.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def fill_log(outbox: Outbox, path: Path) -> None:
    """Append until the write-ahead log has outgrown the length it was laid out with."""
    wal = path.with_name(path.name + "-wal")
    laid_out = wal.stat().st_size
    while wal.stat().st_size <= laid_out:
        append(outbox, 20)


def append(outbox: Outbox, n: int, size: int = 600) -> list[int]:
    """Append `n` reports, one second each, later than all before."""
    ids: list[int] = []
    for _ in range(n):
        ids += outbox.append([new_row(outbox._next_id, bodies=b"b" * size)], 1, 0)
    return ids


def test_rows_proven_longer_ago_than_keep_days_are_dropped_and_stay_in_the_ledger(path: Path, wall: Wall) -> None:
    with closing(open_outbox(path, wall_s=wall, keep_days=7)) as outbox:
        ids = append(outbox, 200)
        outbox.accept(ids[:100], "live")
        outbox.append([], 0, 0)
        wall.s += 7 * DAY_S
        assert outbox.prune() == 0
        outbox.accept(ids[100:150], "reissued")
        wall.s += 1
        assert outbox.prune() == 100
        stats = outbox.stats()
        assert stats["pruned"] == {"age": 100}
        assert total(outbox) == {"sampled": 200, "live": 100, "reissued": 50, "pending": 50}
        assert stats["total"]["unaccounted"] == 0


def test_unproven_rows_older_than_reissue_days_expire(path: Path, wall: Wall) -> None:
    with closing(open_outbox(path, wall_s=wall, reissue_days=3)) as outbox:
        ids = append(outbox, 150)
        outbox.accept(ids[:10], "live")
        outbox.refuse(ids[10:20], flag=2)
        wall.s = START + 3 * DAY_S + 101  # the first hundred seconds are too old now
        assert outbox.expire() == 90
        assert ids_of(outbox) == ids[100:]
        assert total(outbox) == {"sampled": 150, "live": 10, "expired": 90, "pending": 50}


def test_a_buffered_proof_saves_a_row_from_expiring(path: Path, wall: Wall) -> None:
    with closing(open_outbox(path, wall_s=wall, reissue_days=1)) as outbox:
        ids = append(outbox, 100)
        wall.s += 2 * DAY_S
        outbox.accept(ids, "reissued")
        while outbox.maintain():
            pass
        outbox.append([], 0, 0)
        assert total(outbox) == {"sampled": 100, "reissued": 100}


def test_idle_work_drops_whole_slices_only(path: Path, wall: Wall) -> None:
    with closing(open_outbox(path, wall_s=wall, keep_days=1)) as outbox:
        outbox.accept(append(outbox, 100), "live")
        outbox.append([], 0, 0)
        wall.s += 2 * DAY_S
        while outbox.maintain():
            pass
        assert outbox.stats()["pruned"] == {"age": 64}


def test_a_full_outbox_drops_proven_then_refused_then_oldest_rows(path: Path, wall: Wall) -> None:
    with closing(open_outbox(path, wall_s=wall, max_mb=0.3)) as outbox:
        ids = append(outbox, 300)
        outbox.accept(ids[50:150], "live")
        outbox.refuse(ids[150:200], flag=2)
        outbox.append([], 0, 0)
        assert outbox.prune() == 0
        gone: list[str] = []
        while "full" not in outbox.stats()["total"]["lost"]:
            append(outbox, 10)
            outbox.prune()
            stats = outbox.stats()
            assert stats["used_bytes"] <= 300_000
            assert stats["total"]["unaccounted"] == 0
            states = {"live": stats["pruned"], "refused": stats["total"]["lost"], "pending": stats["total"]["lost"]}
            reasons = {"live": "full", "refused": "full_refused", "pending": "full"}
            gone += [state for state in states if reasons[state] in states[state] and state not in gone]
        assert gone == ["live", "refused", "pending"]
        assert stats["pruned"]["full"] == 100  # every one of a kind went before the first of the next
        assert stats["total"]["lost"]["full_refused"] == 50
        assert ids_of(outbox, 1)[0] > 1  # of the pending ones the oldest


def test_rows_that_are_only_kept_go_by_age_and_before_all_others_by_space(path: Path, wall: Wall) -> None:
    kept = [new_row(second, bodies=b"b" * 600) for second in range(150)]
    with closing(open_outbox(path, wall_s=wall, keep_days=1, max_mb=0.3)) as outbox:
        outbox.append([], 150, 150, [], kept)
        ids = append(outbox, 150)
        outbox.accept(ids[:100], "live")
        outbox.append([], 0, 0)
        assert outbox.prune() == 0
        append(outbox, 160)
        assert 0 < outbox.prune() < 150
        assert total(outbox) == {"sampled": 460, "not_due": 150, "live": 100, "pending": 210}
        assert len(ids_of(outbox)) == 210
        left = outbox.stats()["kept_rows"]
        wall.s = START + DAY_S + 150  # a day after the last of them was collected; the proofs are younger
        outbox.accept(ids[100:101], "live")
        outbox.append([], 0, 0)
        assert outbox.prune() == left + 100
        assert (outbox.stats()["kept_rows"], outbox.stats()["total"]["unaccounted"]) == (0, 0)


def test_the_file_stays_within_max_mb_whatever_comes(path: Path, wall: Wall) -> None:
    with closing(open_outbox(path, wall_s=wall, max_mb=0.3)) as outbox:
        for _ in range(1500):
            append(outbox, 1)
            outbox.maintain()
        stats = outbox.stats()
        assert path.stat().st_size <= 310_000
        assert path.with_name("outbox.db-wal").stat().st_size <= 4_000_000
        assert stats["total"]["unaccounted"] == 0
        assert stats["total"]["lost"]["full"] + stats["total"]["pending"] == 1500
        assert ids_of(outbox, 2000)[-1] == 1500  # the newest are kept


def test_rows_wait_in_memory_while_the_disk_is_full_and_are_written_back_in_order(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(open_outbox(path)) as outbox:
        fill_log(outbox, path)
        before = ids_of(outbox, 10_000)
        with disk_full(path):
            later = append(outbox, 150)
            outbox.accept(later[:1], "live")
            outbox.accept(before[:1], "reissued")
            assert outbox.stats()["disk_refuses"]
            assert ids_of(outbox, 10_000) == before[1:] + later[1:]
            assert ids_of(outbox, 5, after_id=before[-1]) == later[1:6]
        assert sum("outbox cannot write" in record.message for record in caplog.records) == 1
        append(outbox, 1)
        while outbox.maintain():
            pass
        stats = outbox.stats()
        assert stats["in_memory"]["rows"] == 0
        assert not stats["disk_refuses"]
        assert "outbox writes again" in caplog.text
        assert stats["total"]["unaccounted"] == 0
        assert (stats["total"]["live"], stats["total"]["reissued"], stats["total"]["lost"]) == (1, 1, {})
    with closing(sqlite3.connect(path)) as other:
        stored = [row_id for (row_id,) in other.execute("SELECT id FROM rows ORDER BY monotonic_ms")]
        assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert stored == list(range(1, later[-1] + 2))


def test_the_disk_fault_is_said_once_a_minute(path: Path, wall: Wall, caplog: pytest.LogCaptureFixture) -> None:
    with closing(open_outbox(path, wall_s=wall)) as outbox:
        fill_log(outbox, path)
        with disk_full(path), caplog.at_level(logging.ERROR):
            append(outbox, 1)
            caplog.clear()
            for _ in range(121):
                wall.s += 1
                append(outbox, 1)
        assert len(caplog.records) == 2


def test_memory_is_bounded_and_what_it_drops_is_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_memory, "MEMORY_ROWS", 50)
    with closing(open_outbox(path)) as outbox:
        fill_log(outbox, path)
        with disk_full(path):
            ids = append(outbox, 20)
            outbox.accept(ids[:5], "live")
            later = append(outbox, 60)
            assert outbox.stats()["in_memory"] == {"rows": 50, "sampled": 80, "not_due": 0}
        outbox.append([], 0, 0)
        assert ids_of(outbox, 10_000)[-50:] == later[10:]
        stats = outbox.stats()["total"]
        assert stats["lost"] == {"ram_full": 25}
        assert (stats["live"], stats["unaccounted"]) == (5, 0)


def test_memory_is_bounded_in_bytes_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_memory, "MEMORY_BYTES", 10_000)
    with closing(open_outbox(path)) as outbox:
        fill_log(outbox, path)
        with disk_full(path):
            append(outbox, 30, size=1_000)
            assert outbox.stats()["in_memory"]["rows"] == 10


def test_rows_still_in_memory_at_the_end_are_named(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outbox = open_outbox(path)
    fill_log(outbox, path)
    with disk_full(path):
        append(outbox, 3)
        outbox.close()
    assert "rows lost=3" in caplog.text


def test_another_process_that_holds_the_file_delays_nothing_for_good(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.outbox_file.BUSY_TIMEOUT_S", 0.01)
    with closing(open_outbox(path)) as outbox:
        ids = append(outbox, 2)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            ids += append(outbox, 3)
            assert ids_of(outbox) == ids
            other.execute("ROLLBACK")
        ids += append(outbox, 1)
        assert outbox.stats()["in_memory"]["rows"] == 0
        assert ids_of(outbox) == ids
