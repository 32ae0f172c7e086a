"""MF4 recordings with changed bytes: read, or refused in one line, whatever asammdf's C part makes of them."""

import gzip
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.canlog import mf4, mf4_child
from agent.canlog.reader import LogReader, read_log
from agent.errors import ConfigError

pytest.importorskip("asammdf", reason="the extra mf4 is not installed")
pytestmark = pytest.mark.slow

NAMES = ["gnss_62s_3BA199E2", "j1939_FCBF0606", "kona_uds_17BD1DB7"]
ENDING = [1114, 1135, 1144, 1153, 1204, 1598]  # seeds with which asammdf 8.8 ended by SIGSEGV or SIGABRT
BUDGET_S = 20


@pytest.fixture(scope="module")
def originals(tbox_data: Path) -> list[bytes]:
    return [(tbox_data / f"css/{name}.MF4").read_bytes() for name in NAMES]


def changed(originals: list[bytes], seed: int) -> bytes:
    """Single bytes, and whole words where the file keeps its links, sizes and counts."""
    rng = random.Random(seed)
    content = bytearray(rng.choice(originals))
    top = rng.choice([400, 2000, 10000, len(content)])
    for _ in range(rng.choice([1, 1, 3, 10])):
        place = rng.randrange(min(top, len(content)))
        if rng.random() < 0.5:
            content[place] = rng.choice([0, 255, 1, 128, rng.randrange(256)])
        else:
            place &= ~7
            content[place : place + 8] = rng.choice(
                [
                    b"\xff" * 8,
                    bytes(8),
                    rng.randbytes(8),
                    (rng.randrange(len(content)) & ~7).to_bytes(8, "little"),
                    (2 ** rng.randrange(63)).to_bytes(8, "little"),
                ]
            )
    return bytes(content)


def outcome(path: Path) -> "tuple[LogReader | None, str]":
    try:
        reader = read_log(path)
        rows = list(reader)
    except ConfigError as error:
        (fault,) = error.faults
        assert "\n" not in fault
        return None, fault
    assert reader.frames == len(rows)
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert all(len(row[3]) <= 64 for row in rows)
    return reader, ""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.mf4"


def test_many_changed_recordings(originals: list[bytes], path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many seeds as the time allows, different ones each day; every child that was started is gone at the end."""
    monkeypatch.setattr(mf4, "STALL_S", 5)
    end = time.monotonic() + BUDGET_S
    for seed in [*ENDING, *range(2000, 3000)]:
        path.write_bytes(changed(originals, seed))
        outcome(path)
        if time.monotonic() > end:
            break
    assert len(mf4._idle) <= 1


def test_one_that_takes_too_long_is_given_up(
    originals: list[bytes], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mf4._end_idle()
    monkeypatch.setattr(mf4, "STALL_S", 0.02)  # too short for a good one: it has asammdf to load
    path.write_bytes(originals[0])
    assert outcome(path)[1] == "MF4 cannot be read: asammdf takes longer than 0.02 s over one part of it"


def test_one_that_asks_for_all_memory_is_refused(
    originals: list[bytes], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bomb: much nothing in little gzip."""
    monkeypatch.setattr(mf4, "MEMORY", 400 << 20)
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(originals[0])
        for _ in range(400):
            file.write(bytes(1 << 20))
    reader, fault = outcome(path)
    assert reader is None
    assert fault.startswith("MF4 cannot be read: it takes more than ")


def test_a_reader_that_was_killed_meanwhile_is_replaced(originals: list[bytes], path: Path) -> None:
    path.write_bytes(originals[0])
    reader = read_log(path)
    (idle,) = mf4._idle
    os.kill(idle._process.pid, signal.SIGKILL)
    assert len(list(reader)) == 7601
    assert reader.bad_lines == 0


def test_a_reader_that_ends_half_way_is_damage(originals: list[bytes], path: Path) -> None:
    path.write_bytes(originals[0])
    reader = read_log(path)
    child = mf4._idle[0]
    rows = iter(reader)
    next(rows)
    child._answers.close()  # what it would still say is lost
    child._answers = open(os.devnull, "rb")  # noqa: SIM115
    os.kill(child._process.pid, signal.SIGSEGV)
    assert 0 < len(list(rows)) < 7601
    assert (reader.bad_lines, reader.truncated) == (1, True)


def test_two_recordings_at_a_time(originals: list[bytes], tmp_path: Path) -> None:
    paths = [tmp_path / name for name in NAMES]
    for place, content in zip(paths, originals, strict=True):
        place.write_bytes(content)
    pairs = list(zip(read_log(paths[1]), read_log(paths[2]), strict=False))
    assert len(pairs) == 1815
    assert pairs == list(zip(list(read_log(paths[1])), list(read_log(paths[2])), strict=False))


def test_the_child_ends_with_its_input() -> None:
    """However its parent ends."""
    command = [sys.executable, "-m", mf4_child.__name__]
    assert subprocess.run(command, stdin=subprocess.DEVNULL, timeout=60, check=False).returncode == 0
