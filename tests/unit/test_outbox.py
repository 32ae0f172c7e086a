"""The outbox: rows, verdicts, ledger, opening."""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from outbox_rows import START, ids_of, new_row, open_outbox, total

from agent.errors import OutboxError
from agent.outbox import Outbox


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    with closing(open_outbox(path)) as opened:
        yield opened


def test_rows_come_back_as_they_were_given_oldest_first(outbox: Outbox) -> None:
    bodies = bytes(range(256))
    assert outbox.append([new_row(0), new_row(10, bodies=bodies)], sampled=11, not_due=9) == [1, 2]
    first, second = outbox.batch(10)
    assert (first.id, first.boot, first.state) == (1, 1, "pending")
    assert (second.monotonic_ms, second.collected_at, second.edition) == (10_000, START + 10, "2016")
    assert (second.vin, second.part, second.bodies) == ("LGBTEST0000000017", 1, bodies)


def test_batch_honours_limit_position_and_rows_in_flight(outbox: Outbox) -> None:
    outbox.append([new_row(second) for second in range(10)], 10, 0)
    assert ids_of(outbox, 3) == [1, 2, 3]
    assert ids_of(outbox, 3, after_id=4) == [5, 6, 7]
    assert ids_of(outbox, 3, skip={1, 3}) == [2, 4, 5]
    assert ids_of(outbox, 0) == []


def test_a_batch_costs_the_same_however_much_was_proven_or_waits(outbox: Outbox) -> None:
    def steps() -> int:
        done = 0

        def count() -> None:
            nonlocal done
            done += 1

        assert outbox._db is not None
        outbox._db.set_progress_handler(count, 10)
        assert len(outbox.batch(10)) == 10
        outbox._db.set_progress_handler(None, 0)
        return done

    outbox.append([new_row(second) for second in range(30)], 30, 0)
    few = steps()
    ids = outbox.append([new_row(second) for second in range(30, 6_000)], 5_970, 0)
    outbox.accept(ids[:3_000], "live")
    while outbox.stats()["buffered_verdicts"]:
        outbox.append([], 0, 0)
    assert steps() <= 2 * few


def test_buffered_verdicts_are_never_read_again(outbox: Outbox) -> None:
    outbox.append([new_row(second) for second in range(4)], 4, 0)
    outbox.accept([1], "live")
    outbox.refuse([3], flag=2)
    assert ids_of(outbox) == [2, 4]
    assert total(outbox)["pending"] == 4  # nothing of it is in the file yet


def test_verdicts_are_committed_with_the_next_append(outbox: Outbox, path: Path) -> None:
    outbox.append([new_row(0), new_row(1), new_row(2)], 3, 0)
    outbox.accept([1], "live")
    outbox.accept([2], "reissued")
    outbox.refuse([3], flag=2)
    outbox.append([new_row(10)], 8, 7)
    with closing(sqlite3.connect(path)) as other:
        states = other.execute("SELECT state, flag, proven_at FROM rows ORDER BY id").fetchall()
    assert states == [("live", None, START), ("reissued", None, START), ("refused", 2, None), ("pending", None, None)]


def test_few_verdicts_wait_for_the_append_and_a_drain_commits_within_a_second(outbox: Outbox) -> None:
    outbox.append([new_row(second) for second in range(100)], 100, 0)
    outbox.accept([1, 2], "live")
    assert outbox.tick(0) is None
    outbox.accept(range(3, 21), "reissued")
    assert outbox.tick(5_000) == 6_000
    assert outbox.tick(5_999) == 6_000
    assert total(outbox)["pending"] == 100
    assert outbox.tick(6_000) is None
    assert total(outbox)["reissued"] == 18


def test_a_large_group_is_committed_at_once(outbox: Outbox) -> None:
    outbox.append([new_row(second) for second in range(300)], 300, 0)
    outbox.accept(range(1, 301), "reissued")
    assert outbox.tick(0) == 1_000
    assert total(outbox)["reissued"] == 256


def test_a_proof_that_comes_twice_or_for_no_row_is_counted_only(outbox: Outbox) -> None:
    outbox.append([new_row(0)], 1, 0)
    outbox.accept([1], "live")
    outbox.accept([1, 99, 0, -5], "reissued")
    outbox.append([], 0, 0)
    outbox.accept([1], "reissued")
    outbox.append([], 0, 0)
    assert outbox.ignored_accepts == 5
    assert total(outbox) == {"sampled": 1, "live": 1}


def test_a_proof_outranks_a_refusal_whatever_the_order(outbox: Outbox) -> None:
    outbox.append([new_row(0), new_row(1), new_row(2)], 3, 0)
    outbox.refuse([1], flag=2)
    outbox.accept([1, 2], "live")
    outbox.refuse([2], flag=2)
    outbox.refuse([3], flag=2)
    outbox.append([], 0, 0)
    outbox.accept([3], "reissued")  # a good answer after the row was put aside
    outbox.refuse([1], flag=2)
    outbox.append([], 0, 0)
    assert total(outbox) == {"sampled": 3, "live": 2, "reissued": 1}


def test_refused_rows_are_sent_again_only_when_asked(outbox: Outbox) -> None:
    outbox.append([new_row(0), new_row(1)], 2, 0)
    outbox.refuse([1], flag=2)
    assert ids_of(outbox) == [2]
    assert outbox.retry_refused() == 1
    assert ids_of(outbox) == [1, 2]
    assert outbox.stats()["refused_by_flag"] == {}


def test_the_parts_of_a_split_row_are_one_second(outbox: Outbox) -> None:
    outbox.append([new_row(0, 1), new_row(0, 2), new_row(1, 1), new_row(1, 2)], 2, 0)
    assert ids_of(outbox) == [1, 2, 3, 4]
    outbox.accept([1, 2], "live")
    outbox.append([], 0, 0)
    assert total(outbox) == {"sampled": 2, "live": 1, "pending": 1}


def test_a_second_not_later_than_the_last_is_not_stored_and_counted(outbox: Outbox) -> None:
    outbox.append([new_row(5, 1), new_row(5, 2)], 1, 0)
    assert outbox.append([new_row(5, 1), new_row(5, 2), new_row(3), new_row(6)], 3, 0) == [3]
    assert total(outbox) == {"sampled": 4, "pending": 2, "lost": {"clock": 2}}
    assert outbox.stats()["total"]["unaccounted"] == 0


def test_a_clock_set_back_begins_an_epoch_that_repeats_no_stored_second(path: Path) -> None:
    with closing(open_outbox(path)) as outbox:
        outbox.append([new_row(1000), new_row(1010), new_row(1020)], 3, 0)
        assert outbox.append([new_row(1009), new_row(1010), new_row(1011)], 3, 0) == [4, 5]
        assert total(outbox)["lost"] == {"clock": 1}
    with closing(open_outbox(path)) as outbox:  # and no later process does
        assert outbox.append([new_row(1019), new_row(1020), new_row(1021)], 3, 0) == [6, 7]
        assert outbox.stats()["total"]["unaccounted"] == 0


def test_seconds_from_before_a_fault_stand_in_front_of_it_and_are_no_clock_set_back(outbox: Outbox) -> None:
    outbox.append([new_row(100)], 101, 100)
    outbox.append([new_row(110)], 10, 9)
    held = [new_row(second, part) for second in range(101, 110) for part in (1, 2)]
    assert outbox.append([new_row(111)], 1, -9, held) == [21]
    assert [row.collected_at - START for row in outbox.batch(1000)] == [
        100, 110, *(second for second in range(101, 110) for _ in (1, 2)), 111
    ]  # fmt: skip
    assert outbox.meta_get("clock_high") is None
    assert total(outbox) == {"sampled": 112, "not_due": 100, "pending": 12}


def test_a_second_from_before_a_fault_that_is_stored_already_is_not_stored_again(path: Path) -> None:
    with closing(open_outbox(path)) as outbox:
        outbox.append([new_row(100), new_row(105)], 2, 0)
        assert outbox.append([new_row(106)], 4, 0, [new_row(103), new_row(104), new_row(105)]) == [5]
    with closing(open_outbox(path)) as outbox:  # where it cannot be known any more it is not risked
        assert outbox.append([new_row(108)], 4, 0, [new_row(102), new_row(106), new_row(107)]) == [7]
        assert [row.collected_at - START for row in outbox.batch(1000)] == [100, 105, 103, 104, 106, 107, 108]
        assert outbox.stats()["total"]["unaccounted"] == 0


def test_a_restart_in_the_same_boot_of_the_machine_repeats_no_second(path: Path) -> None:
    with closing(open_outbox(path)) as outbox:
        outbox.append([new_row(7)], 1, 0)
    with closing(open_outbox(path)) as outbox:
        assert outbox.append([new_row(7), new_row(8)], 2, 0) == [2]
        assert outbox.boot == 2
    with closing(open_outbox(path, kernel_boot="boot-b")) as outbox:
        assert outbox.append([new_row(3)], 1, 0) == [3]


def test_everything_is_there_after_closing_and_opening(path: Path) -> None:
    with closing(open_outbox(path)) as outbox:
        outbox.append([new_row(0), new_row(1)], 10, 8)
        outbox.accept([1], "live")
        outbox.meta_set("login", "41:7", durable=False)
    with closing(open_outbox(path)) as outbox:
        assert ids_of(outbox) == [2]
        assert total(outbox) == {"sampled": 10, "not_due": 8, "live": 1, "pending": 1}
        assert outbox.meta_get("login") == "41:7"
        assert outbox.meta_get("nothing") is None
        assert outbox.append([new_row(2)], 1, 0) == [3]


def test_a_durable_value_is_on_the_disk_at_once(outbox: Outbox, path: Path) -> None:
    outbox.meta_set("login", "41:8")
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT value FROM meta WHERE key = 'login'").fetchall() == [("41:8",)]


def test_seconds_lost_by_the_caller_are_in_the_ledger(outbox: Outbox) -> None:
    outbox.count("overload", 3)
    outbox.append([new_row(10)], 10, 6)
    assert total(outbox) == {"sampled": 10, "not_due": 6, "pending": 1, "lost": {"overload": 3}}
    assert outbox.stats()["total"]["unaccounted"] == 0


def test_seconds_the_caller_forgot_show_as_unaccounted(outbox: Outbox) -> None:
    outbox.append([new_row(10)], 10, 8)
    assert outbox.stats()["boots"][0]["unaccounted"] == 1


def test_a_start_that_sampled_nothing_leaves_no_entry(path: Path) -> None:
    for _ in range(3):
        with closing(open_outbox(path)) as outbox:
            outbox.meta_set("login", "41:7")
    with closing(open_outbox(path)) as outbox:
        assert outbox.stats()["boots"] == []


def test_the_files_are_private(outbox: Outbox, path: Path) -> None:
    outbox.append([new_row(0)], 1, 0)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert set(modes.values()) == {0o600}
    assert set(modes) == {"outbox.db", "outbox.db-wal", "outbox.db-shm", "outbox.db.lock"}


def test_a_file_open_to_others_is_made_private(path: Path) -> None:
    path.touch(mode=0o644)
    with closing(open_outbox(path)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_missing_directory_is_made(tmp_path: Path) -> None:
    path = tmp_path / "var" / "lib" / "outbox.db"
    open_outbox(path).close()
    assert path.is_file()


def test_a_second_opener_is_told_the_pid(outbox: Outbox, path: Path) -> None:
    with pytest.raises(OutboxError, match=f"in use by process {os.getpid()};"):
        open_outbox(path)


def test_a_file_of_the_first_version_is_brought_up_and_keeps_its_rows(path: Path) -> None:
    with closing(open_outbox(path)) as outbox:
        outbox.append([new_row(0)], 1, 0)
    with closing(sqlite3.connect(path)) as other:
        other.executescript("""DROP TRIGGER row_added; CREATE TRIGGER row_added AFTER INSERT ON rows WHEN new.part = 1
            BEGIN UPDATE boots SET pending = pending + 1 WHERE id = new.boot; END; PRAGMA user_version = 1""")
    with closing(open_outbox(path)) as outbox:
        outbox.append([new_row(2)], 2, 1, [], [new_row(1)])
        assert ids_of(outbox) == [1, 3]
        assert total(outbox) == {"sampled": 3, "not_due": 1, "pending": 2}
        assert outbox.stats()["kept_rows"] == 1


def test_a_file_of_a_newer_program_is_refused_and_left_alone(path: Path) -> None:
    open_outbox(path).close()
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 7")
    before = path.read_bytes()
    with pytest.raises(OutboxError, match="schema version 7, this program knows up to 2: update"):
        open_outbox(path)
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE photos (id)")
    with pytest.raises(OutboxError, match="another program"):
        open_outbox(path)


@pytest.mark.parametrize("content", [b"no database " * 500, b"SQLite format 3\0" + b"\xff" * 4000])
def test_a_damaged_file_is_refused_with_advice(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(OutboxError, match="move it aside"):
        open_outbox(path)
    assert path.read_bytes() == content


def test_a_path_below_a_file_and_a_directory_are_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutboxError, match="is not a directory: set another"):
        open_outbox(tmp_path / "file" / "outbox.db")
    with pytest.raises(OutboxError, match="is a directory: give the name of a file"):
        open_outbox(tmp_path)


def test_a_refused_opening_leaves_the_lock_free(path: Path) -> None:
    path.write_bytes(b"no database " * 500)
    for _ in range(2):
        with pytest.raises(OutboxError, match="move it aside"):
            open_outbox(path)
    path.unlink()
    open_outbox(path).close()
