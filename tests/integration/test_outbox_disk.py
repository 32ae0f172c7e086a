"""A real file system that is full or read-only while the outbox is in use, or before it is opened."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from outbox_rows import ids_of, new_row, open_outbox

from agent.errors import OutboxError
from agent.outbox import Outbox


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if (
        os.geteuid()
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", folder], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("mounting a small file system needs root and the right to mount")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> Path:
    """Use up the disk to the last byte."""
    ballast = folder / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (65_536, 4_096, 512, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return ballast


def append(outbox: Outbox, n: int) -> list[int]:
    ids: list[int] = []
    for _ in range(n):
        ids += outbox.append([new_row(outbox._next_id, bodies=bytes(1000))], 1, 0)
    return ids


def settle(outbox: Outbox) -> None:
    while outbox.maintain():
        pass


def test_nothing_is_lost_while_the_disk_is_full(small_disk: Path) -> None:
    path = small_disk / "outbox.db"
    with closing(open_outbox(path)) as outbox:
        ids = append(outbox, 50)
        for _ in range(5):
            ballast = fill(small_disk)
            while not outbox.stats()["disk_refuses"]:  # until its log has no room left
                ids += append(outbox, 10)
                settle(outbox)
            ids += append(outbox, 100)
            assert ids_of(outbox, 10_000) == ids
            ballast.unlink()
            ids += append(outbox, 1)
            settle(outbox)
            stats = outbox.stats()
            assert not stats["disk_refuses"]
            assert stats["in_memory"]["rows"] == 0
            assert stats["total"]["unaccounted"] == 0
            outbox.accept(ids, "reissued")
            while outbox.stats()["buffered_verdicts"]:
                outbox.append([], 0, 0)
            assert ids_of(outbox) == []
            ids = []
        assert outbox.stats()["total"]["lost"] == {}
    with closing(open_outbox(path)) as outbox:
        assert outbox.stats()["total"]["reissued"] == outbox._next_id - 1


def test_an_agent_that_starts_on_a_full_disk_keeps_rows_until_there_is_room(small_disk: Path) -> None:
    path = small_disk / "outbox.db"
    with closing(open_outbox(path)) as outbox:
        ids = append(outbox, 20)
        outbox.meta_set("login", "41:7")
    ballast = fill(small_disk)
    with closing(open_outbox(path)) as outbox:
        assert outbox.meta_get("login") == "41:7"
        later = append(outbox, 5)
        assert later[0] > ids[-1]
        assert ids_of(outbox)[-5:] == later
        ballast.unlink()
        later += append(outbox, 1)
        settle(outbox)
        assert ids_of(outbox) == ids + later
        assert outbox.stats()["total"]["unaccounted"] == 0
    with closing(open_outbox(path)) as outbox:
        assert ids_of(outbox) == ids + later


def test_a_disk_that_turns_read_only_is_survived(small_disk: Path) -> None:
    path = small_disk / "outbox.db"
    with closing(open_outbox(path)) as outbox:
        ids = append(outbox, 20)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with closing(open_outbox(path)) as outbox:
        ids += append(outbox, 5)
        assert outbox.stats()["disk_refuses"]
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
        ids += append(outbox, 1)
        settle(outbox)
        assert ids_of(outbox) == ids


def test_an_outbox_cannot_be_made_on_a_full_or_read_only_disk(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(OutboxError, match="free space, or set another"):
        open_outbox(small_disk / "outbox.db")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(OutboxError, match="set another"):
        open_outbox(small_disk / "other.db")
