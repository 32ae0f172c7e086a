"""The outbox's file: its lock, its schema, and how it is opened.

The SQLite database stands beside `PATH.lock`, whose flock says which process owns the rows. Reading the ledger and
releasing refused rows (`outbox_ledger.py`) need no lock: SQLite's own transactions are enough for them.

    rows     one packet to be each (contract: rows and delivery); `flag` is the response flag of a refusal; rows in the state
             `kept` are local storage (parameter 01): seconds not due, never sent, dropped like rows proven when collected
    boots    one entry per process start that sampled, with the fate of its seconds
    counts   per boot: seconds `lost` and rows `pruned`, by reason
    meta     small values that outlive the process, such as login serials

Triggers move the seconds of `boots` whenever a row changes its state, so that the ledger and the rows cannot disagree.
Only part 1 of a split row is a second.
"""

import contextlib
import errno
import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from agent.errors import OutboxError

log = logging.getLogger(__name__)

SCHEMA_VERSION = 2
APPLICATION_ID = 0x54424F58  # "TBOX": the file is ours
BUSY_TIMEOUT_S = 5.0  # how long a writer waits for another process's short transaction
# A report rewrites four or five pages whatever their size: small pages spare the flash. Three usual rows fit into one.
PAGE_BYTES = 2048
WAL_BYTES = 1_500_000  # usual length of the write-ahead log, between two checkpoints
WAL_LIMIT_BYTES = 4_000_000  # it is cut back to this after a checkpoint

# errno and SQLite result codes of a disk that is full, read-only or failing; BUSY is another process's long lock.
_DISK_ERRNOS = {errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT, errno.EFBIG}
_DISK_CODES = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY,
}

FATES = ("pending", "live", "reissued", "refused", "expired")

_ROW_ADDED = """CREATE TRIGGER row_added AFTER INSERT ON rows WHEN new.part = 1 AND new.state = 'pending' BEGIN
    UPDATE boots SET pending = pending + 1 WHERE id = new.boot; END"""
_SCHEMA = (
    """CREATE TABLE rows (
        id INTEGER PRIMARY KEY, boot INTEGER NOT NULL, monotonic_ms INTEGER NOT NULL, collected_at INTEGER,
        edition TEXT NOT NULL, vin TEXT NOT NULL, part INTEGER NOT NULL, state TEXT NOT NULL DEFAULT 'pending',
        flag INTEGER, proven_at INTEGER, bodies BLOB NOT NULL) STRICT""",
    # Newest 'live' and oldest 'pending' are neighbours in this index: in the steady state one page holds both.
    "CREATE INDEX rows_by_state ON rows (state, proven_at)",
    """CREATE TABLE boots (
        id INTEGER PRIMARY KEY, kernel_boot TEXT NOT NULL, started INTEGER NOT NULL,
        sampled INTEGER NOT NULL DEFAULT 0, not_due INTEGER NOT NULL DEFAULT 0, pending INTEGER NOT NULL DEFAULT 0,
        live INTEGER NOT NULL DEFAULT 0, reissued INTEGER NOT NULL DEFAULT 0, refused INTEGER NOT NULL DEFAULT 0,
        expired INTEGER NOT NULL DEFAULT 0) STRICT""",
    """CREATE TABLE counts (
        boot INTEGER NOT NULL, kind TEXT NOT NULL, reason TEXT NOT NULL, n INTEGER NOT NULL,
        PRIMARY KEY (boot, kind, reason)) STRICT, WITHOUT ROWID""",
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    _ROW_ADDED,
    """CREATE TRIGGER row_moved AFTER UPDATE OF state ON rows WHEN new.part = 1 BEGIN UPDATE boots SET
        pending = pending - (old.state = 'pending') + (new.state = 'pending'),
        live = live - (old.state = 'live') + (new.state = 'live'),
        reissued = reissued - (old.state = 'reissued') + (new.state = 'reissued'),
        refused = refused - (old.state = 'refused') + (new.state = 'refused'),
        expired = expired - (old.state = 'expired') + (new.state = 'expired')
        WHERE id = new.boot; END""",
    """CREATE TRIGGER row_dropped AFTER DELETE ON rows WHEN old.part = 1 AND old.state IN ('pending', 'refused') BEGIN
        UPDATE boots SET pending = pending - (old.state = 'pending'), refused = refused - (old.state = 'refused')
        WHERE id = old.boot; END""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
# Version 1 knew no rows that are kept and never sent.
_FROM_1 = ("DROP TRIGGER row_added", _ROW_ADDED, f"PRAGMA user_version = {SCHEMA_VERSION}")


class Stored(NamedTuple):
    """What an opened file tells: where its rows end, and its small values."""

    last_id: int
    last_boot: int
    last_kernel_boot: str
    last_second: int | None
    meta: dict[str, str]


def is_disk_fault(error: sqlite3.Error | OSError) -> bool:
    """Say whether the disk is full, read-only, failing or held by another writer: a state that may pass."""
    if isinstance(error, OSError):
        return error.errno in _DISK_ERRNOS
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in _DISK_CODES


def kernel_boot_id() -> str:
    """Give the kernel's id of this boot, "" where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def lock(path: Path) -> int | None:
    """Take `PATH.lock` and give its descriptor, None on a read-only disk without one, where nobody can write rows.

    Makes the directory when it is missing. The kernel drops the lock with the process, however that ends.
    """
    lock_path = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _open_lock(lock_path)
        if descriptor is None:
            return None
    except OSError as error:
        raise OutboxError(str(path), _why(error, path)) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        if not isinstance(error, BlockingIOError):
            raise OutboxError(str(path), f"cannot be locked: {error.strerror}") from error
        raise OutboxError(str(path), f"in use by process {owner or 'unknown'}; stop it first") from None
    with contextlib.suppress(OSError):  # the lock holds without its text, which a full or read-only disk refuses
        os.pwrite(descriptor, b"%-10d\n" % os.getpid(), 0)
    return descriptor


def _open_lock(lock_path: Path) -> int | None:
    try:
        return os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
    try:
        return os.open(lock_path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def _why(error: OSError, path: Path) -> str:
    directory = path.parent
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"permission denied: let user {os.getuid()} write to {directory}, or set another [outbox] path"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"{directory} is not a directory: set another [outbox] path"
    if error.errno == errno.EISDIR:
        return "is a directory: give the name of a file in [outbox] path"
    if error.errno == errno.ENOSPC:
        return f"no space on the disk of {directory}: free some, or set another [outbox] path"
    return f"cannot be opened: {error.strerror}: set another [outbox] path"


def connect(path: Path) -> sqlite3.Connection:
    """Open the database for its owner, mode 0600, with the schema in place.

    OutboxError as `Outbox.open` says; OSError or sqlite3.Error of a disk fault is left to the caller.
    """
    _make_private(path)
    _lay_out_wal(path)
    with _owned(path, sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as db:
        check_schema(db, path)
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if not version:
            db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA wal_autocheckpoint = 0")  # the owner checkpoints when it is idle
        db.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
        if version < SCHEMA_VERSION:
            with transaction(db):
                for statement in _FROM_1 if version else _SCHEMA:
                    db.execute(statement)
    return db


def _translated(error: OSError, path: Path) -> OSError | OutboxError:
    return error if is_disk_fault(error) else OutboxError(str(path), _why(error, path))


def _make_private(path: Path) -> None:
    """Create the file when it is missing; SQLite gives its side files the mode of the file.

    An existing file is not opened here: closing any descriptor of it would drop the locks of SQLite's connections.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a directory", str(path))
        if not path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        elif path.stat().st_mode & 0o777 != 0o600:
            path.chmod(0o600)
    except OSError as error:
        raise _translated(error, path) from error


def _lay_out_wal(path: Path) -> None:
    """Make a write-ahead log of zeros, which SQLite takes for an empty one, when there is none.

    A commit that makes the log longer has the file system write its own journal too: that costs more than the report.
    SQLite deletes the log at a clean end; one that is there may hold rows and is not touched.
    """
    wal = path.with_name(path.name + "-wal")
    try:
        descriptor = os.open(wal, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    except OSError as error:
        raise _translated(error, path) from error
    try:
        os.write(descriptor, bytes(WAL_BYTES))
        os.fdatasync(descriptor)
    except OSError:  # a full disk: a shorter log does as well
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Commit what the block does, all or nothing; takes SQLite's write lock first, so that it cannot fail half-way."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # SQLite itself rolls back on some disk faults
            db.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def _owned(path: Path, db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Close `db` when its set-up fails, and name a file that is not a sound database."""
    try:
        yield db
    except sqlite3.DatabaseError as error:
        db.close()
        if is_disk_fault(error):
            raise
        raise OutboxError(str(path), damaged(error)) from error
    except BaseException:
        db.close()
        raise


def damaged(error: sqlite3.Error) -> str:
    """Say what to do about a file that SQLite cannot read."""
    return (
        f"{error}: the file is damaged or not an outbox; move it aside (with its -wal and -shm files) and start again"
    )


def check_schema(db: sqlite3.Connection, path: Path) -> None:
    """Refuse a file of a newer program and a database that is not an outbox; an empty file passes."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    ours = db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    if not ours and (version or db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]):
        raise OutboxError(str(path), "is a database of another program: set another [outbox] path")
    if version > SCHEMA_VERSION:
        raise OutboxError(
            str(path),
            f"has schema version {version}, this program knows up to {SCHEMA_VERSION}: "
            "update the program, or move the file aside",
        )


def _peek(path: Path) -> sqlite3.Connection:
    """Open the bare file for reading, without its write-ahead log: all that a read-only or full disk allows."""
    with _owned(path, sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as db:
        check_schema(db, path)
    return db


def open_stored(path: Path) -> tuple[sqlite3.Connection | None, Stored]:
    """Open the database and tell what it holds; None in its place when the disk is full, read-only or failing.

    OutboxError as `Outbox.open` says.
    """
    try:
        db = connect(path)
    except (sqlite3.Error, OSError) as error:
        return None, _stored_without_writing(path, error)
    try:
        return db, _stored(db)
    except sqlite3.Error as error:
        db.close()
        raise OutboxError(str(path), damaged(error)) from error


def _stored_without_writing(path: Path, error: sqlite3.Error | OSError) -> Stored:
    """Learn where the rows of the file end when the disk does not even allow to open it as a database."""
    if not path.exists() or not path.stat().st_size:
        raise OutboxError(str(path), f"cannot be created: {error}: free space, or set another [outbox] path") from error
    log.error("outbox cannot be opened for writing, rows are kept in memory: path=%s error=%s", path, error)
    try:
        with contextlib.closing(_peek(path)) as db:
            stored = _stored(db)
    except sqlite3.Error as unreadable:
        raise OutboxError(str(path), f"cannot be read: {unreadable}: check the disk") from unreadable
    wal = path.with_name(path.name + "-wal")
    if wal.exists() and wal.stat().st_size:
        # Rows of the write-ahead log are not visible here: leave room for more than it can hold.
        stored = stored._replace(last_id=stored.last_id + 1_000_000, last_boot=stored.last_boot + 1_000)
    return stored


def _stored(db: sqlite3.Connection) -> Stored:
    last_id = db.execute("SELECT max(id) FROM rows").fetchone()[0] or 0
    newest = db.execute(
        """SELECT kernel_boot, collected_at FROM rows JOIN boots ON boots.id = boot WHERE state <> 'kept'
        ORDER BY rows.id DESC LIMIT 1"""
    ).fetchone() or ("", None)
    last_boot = db.execute("SELECT max(id) FROM boots").fetchone()[0] or 0
    return Stored(last_id, last_boot, newest[0], newest[1], dict(db.execute("SELECT key, value FROM meta").fetchall()))
