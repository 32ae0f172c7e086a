"""The file of received packets."""

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from agent.core.packet import COMMAND, build_packet
from bench.arrival import Arrival, inspect
from bench.received import SCHEMA_VERSION, Received, ReceivedError, connect


def heartbeat(link: int = 1) -> Arrival:
    raw = build_packet(b"##", 7, COMMAND, b"LGBTEST0000000017", 1, b"")
    return inspect(raw, link, received_ms=1_700_000_000_123, monotonic_ns=456)


def rows(path: Path) -> list[tuple[object, ...]]:
    db = connect(path)
    try:
        return db.execute("SELECT link, received_ms, monotonic_ns, command, bcc, answer, raw FROM packets").fetchall()
    finally:
        db.close()


def test_packets_are_kept_as_they_came_and_a_restart_appends(tmp_path: Path) -> None:
    path = tmp_path / "received.sqlite"
    arrival = heartbeat(1)
    for flag in (1, None):
        received = Received(path)
        received.add([(heartbeat(received.last_link + 1), flag)])
        received.close()
    raw = arrival.packet.raw
    assert rows(path) == [
        (1, 1_700_000_000_123, 456, "heartbeat", raw[-1], 1, raw),
        (2, 1_700_000_000_123, 456, "heartbeat", raw[-1], None, raw),
    ]


DYING = """
import os, signal, sys
from agent.core.packet import build_packet
from bench.arrival import inspect
from bench.received import Received
received = Received(sys.argv[1])
for number in range(5):
    received.add([(inspect(build_packet(b"##", 7, 0xFE, bytes(17), 1, b""), number, 0, 0), 1)])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_added_survives_the_death_of_the_process(tmp_path: Path) -> None:
    path = tmp_path / "received.sqlite"
    root = Path(__file__).parents[2]
    died = subprocess.run([sys.executable, "-c", DYING, str(path)], cwd=root, check=False)
    assert died.returncode == -signal.SIGKILL
    assert [row[0] for row in rows(path)] == list(range(5))


def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database, and long enough to be one" * 100)
    other = tmp_path / "other.sqlite"
    db = sqlite3.connect(other)
    db.execute("CREATE TABLE mine (x)")
    db.commit()
    db.close()
    for path in (text, other):
        before = path.read_bytes()
        with pytest.raises(ReceivedError, match=path.name):
            Received(path)
        assert path.read_bytes() == before


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReceivedError, match=r"absent\.sqlite: no such file"):
        connect(tmp_path / "absent.sqlite")


def test_a_failing_disk_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "received.sqlite"
    received = Received(path)
    received.add([(heartbeat(), 1)])
    thief = sqlite3.connect(path)
    thief.execute("DROP TABLE packets")
    thief.commit()
    thief.close()
    with pytest.raises(ReceivedError, match=r"received\.sqlite"):
        received.add([(heartbeat(), 1)])
    received.close()


def test_a_file_of_the_first_schema_is_brought_up_and_its_packets_stay(tmp_path: Path) -> None:
    path = tmp_path / "received.sqlite"
    received = Received(path)
    received.add([(heartbeat(), 1)])
    received.close()
    old = sqlite3.connect(path)
    for kind, name in old.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite%'").fetchall():
        if name != "packets":
            old.execute(f"DROP {kind} {name}")
    for column in ("content", "refusal", "opened"):
        old.execute(f"ALTER TABLE packets DROP COLUMN {column}")
    old.execute("PRAGMA user_version = 1")
    old.commit()
    old.close()
    before = rows(path)
    received = Received(path)
    received.add([(heartbeat(2), None)])
    assert received.last_id == 2
    assert received.read("SELECT count(*) FROM orders") == [(0,)]
    received.close()
    assert rows(path)[:1] == before


def test_a_file_of_a_later_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "received.sqlite"
    Received(path).close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    with pytest.raises(ReceivedError, match=f"schema {SCHEMA_VERSION + 1}, needed 1 to {SCHEMA_VERSION}"):
        Received(path)
