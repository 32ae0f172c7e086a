"""What the platform received and commanded: a SQLite file.

Schema 2 added the content of a report, orders, activations and the ledger of forwarding; a file of schema 1 is brought up to it
when it is opened, its packets stay as they are.
"""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from agent.core.packet import PLAIN
from agent.errors import AgentError
from bench.arrival import Arrival

SCHEMA_VERSION = 2
_PACKETS = """
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
    body_types TEXT NOT NULL,       -- type ids in order, hex, without the signature
    bcc INTEGER NOT NULL,
    fault TEXT,                     -- what breaks the tables
    answer INTEGER,                 -- response flag of the answer; NULL when there was none
    raw BLOB NOT NULL
);
"""
_UPGRADE = """
BEGIN;
ALTER TABLE packets ADD COLUMN content BLOB;  -- digest of a report's plain unit without signature; NULL: take it from raw
ALTER TABLE packets ADD COLUMN refusal INTEGER;  -- flag by which a good packet was turned down, answered or not; else NULL
ALTER TABLE packets ADD COLUMN opened BLOB;  -- the plain data unit of a packet that came encrypted; else NULL
CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    vin TEXT NOT NULL,
    command INTEGER NOT NULL,
    packet BLOB NOT NULL,
    sends INTEGER NOT NULL,         -- how often it went out
    sent_ms INTEGER NOT NULL,       -- wall time of the first send
    answer_ms INTEGER,              -- from the last send to the answer; NULL: not answered
    flag INTEGER,                   -- response flag of the answer
    answer BLOB                     -- the whole answer packet
);
CREATE TABLE activations (
    chip_id TEXT PRIMARY KEY,
    vin TEXT NOT NULL,
    public_key BLOB NOT NULL,
    activated_ms INTEGER NOT NULL
);
CREATE TABLE forwarded (            -- proven or given up beyond the cursor
    packet INTEGER PRIMARY KEY
);
CREATE TABLE forward_refused (      -- given up: the platform above refused them
    packet INTEGER PRIMARY KEY,
    flag INTEGER NOT NULL
);
CREATE TABLE forward_state (        -- cursor: every packet up to this id is dealt with; serial, serial_day: the last login
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
);
CREATE VIEW forwardable AS          -- what goes up; a packet that was answered with an error comes again by itself
    SELECT id, raw, opened, received_ms FROM packets
    WHERE command IN ('vehicle_login', 'realtime', 'reissue', 'vehicle_logout')
        AND response = 254 AND fault IS NULL AND refusal IS NULL AND (answer IS NULL OR answer = 1);
CREATE VIEW unforwarded AS SELECT * FROM forwardable WHERE id NOT IN (SELECT packet FROM forwarded);
PRAGMA user_version = 2;
COMMIT;
"""
_INSERT = """
INSERT INTO packets (received_ms, monotonic_ns, link, vin, command, response, collected_at, part, next_part, body_types, bcc,
                     fault, answer, raw, content, refusal, opened) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


class ReceivedError(AgentError):
    """The file of received packets cannot be opened, read or written."""

    def __init__(self, path: str | Path, reason: object) -> None:
        super().__init__(f"received packets {path}: {reason}")
        self.path = path


class Received:
    """The file of received packets; opens or creates it, appends to what is there.

    One transaction for each `add`, handed to the operating system before it returns: killing this process loses nothing
    that was added (losing the machine may). `last_id` is the id of the newest packet: ids count on by one.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self._db = connect(path, create=True)
        last = "SELECT coalesce(max(link), 0), coalesce(max(id), 0) FROM packets"
        self.last_link, self.last_id = map(int, self._db.execute(last).fetchone())

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
                arrival.content,
                arrival.refusal or None,
                arrival.plain if arrival.plain and arrival.packet.encryption != PLAIN else None,
            )
            for arrival, flag in answered
        ]
        try:
            with self._db:
                self._db.executemany(_INSERT, rows)
        except sqlite3.Error as error:
            raise ReceivedError(self.path, error) from error
        self.last_id += len(rows)

    def write(self, statement: str, rows: "Iterable[tuple[object, ...]]") -> None:
        """Run one statement for each of `rows`, all or none; ReceivedError when it fails."""
        try:
            with self._db:
                self._db.executemany(statement, rows)
        except sqlite3.Error as error:
            raise ReceivedError(self.path, error) from error

    def read(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows of a query; ReceivedError when it fails."""
        try:
            return self._db.execute(query, values).fetchall()
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
    if not empty and version not in (1, SCHEMA_VERSION):
        raise ReceivedError(path, f"not a file of this version (schema {version}, needed 1 to {SCHEMA_VERSION})")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = OFF")
    if empty:
        db.executescript(_PACKETS)
    if version != SCHEMA_VERSION:
        db.executescript(_UPGRADE)
