"""What the platform received: a SQLite file of packets."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from agent.errors import AgentError
from bench.arrival import Arrival

SCHEMA_VERSION = 1
_SCHEMA = f"""
CREATE TABLE packets (
    id INTEGER PRIMARY KEY,
    received_ms INTEGER NOT NULL,   -- wall time, Unix milliseconds
    monotonic_ns INTEGER NOT NULL,  -- real monotonic time
    link INTEGER NOT NULL,          -- number of the connection, over all runs on this file
    vin TEXT NOT NULL,
    command TEXT NOT NULL,
    response INTEGER NOT NULL,
    collected_at INTEGER,           -- Unix seconds; NULL where the data unit has no time that can be read
    part INTEGER NOT NULL,          -- first cell of a spread storage body, else 1
    next_part INTEGER NOT NULL,     -- first cell of the part that must follow, else 0
    body_types TEXT NOT NULL,       -- type ids in order, hex
    bcc INTEGER NOT NULL,
    fault TEXT,                     -- what breaks the tables
    answer INTEGER,                 -- response flag of the answer; NULL when there was none
    raw BLOB NOT NULL
);
PRAGMA user_version = {SCHEMA_VERSION};
"""
_INSERT = """
INSERT INTO packets (received_ms, monotonic_ns, link, vin, command, response, collected_at, part, next_part, body_types, bcc,
                     fault, answer, raw) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


class ReceivedError(AgentError):
    """The file of received packets cannot be opened, read or written."""

    def __init__(self, path: str | Path, reason: object) -> None:
        super().__init__(f"received packets {path}: {reason}")
        self.path = path


class Received:
    """The file of received packets; opens or creates it, appends to what is there.

    One transaction for each `add`, handed to the operating system before it returns: killing this process loses nothing
    that was added (losing the machine may).
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self._db = connect(path, create=True)
        self.last_link = int(self._db.execute("SELECT coalesce(max(link), 0) FROM packets").fetchone()[0])

    def add(self, answered: "Iterable[tuple[Arrival, int | None]]") -> None:
        """Keep packets, each with the response flag of its answer (None: not answered); ReceivedError when it fails."""
        rows = [
            (
                arrival.received_ms,
                arrival.monotonic_ns,
                arrival.link,
                arrival.vin,
                arrival.command,
                arrival.packet.response,
                arrival.collected_at,
                arrival.part,
                arrival.next_part,
                arrival.body_types,
                arrival.packet.bcc,
                arrival.fault,
                flag,
                arrival.packet.raw,
            )
            for arrival, flag in answered
        ]
        try:
            with self._db:
                self._db.executemany(_INSERT, rows)
        except sqlite3.Error as error:
            raise ReceivedError(self.path, error) from error

    def close(self) -> None:
        """Close the file; nothing can be added afterwards."""
        self._db.close()


def connect(path: str | Path, *, create: bool = False) -> sqlite3.Connection:
    """Open a file of received packets; ReceivedError when it is none, or is missing and `create` is not set."""
    if not create and not Path(path).is_file():
        raise ReceivedError(path, "no such file")
    try:
        db = sqlite3.connect(path)
        try:
            _prepare(db, path)
        except BaseException:
            db.close()
            raise
    except sqlite3.Error as error:
        raise ReceivedError(path, error) from error
    return db


def _prepare(db: sqlite3.Connection, path: str | Path) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    empty = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if not empty and version != SCHEMA_VERSION:
        raise ReceivedError(path, f"not a file of this version (schema {version}, needed {SCHEMA_VERSION})")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = OFF")
    if empty:
        db.executescript(_SCHEMA)
