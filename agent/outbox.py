"""The outbox: every report is a row here before it is sent, until the platform has it and some days longer.

One thread owns an `Outbox` (`outbox_thread.py` gives it an asyncio face). A report costs one fdatasync: what was
accepted since the last append is committed with the next one. A row is `pending` until `accept` (then `live` or `reissued`) or
`refuse`; there is no "sending" state to repair after a crash. When the disk refuses, appends are kept in memory, bounded, and
written back in order as soon as it takes them; callers do not see it. No clock is read here: wall time comes from `wall_s`,
monotonic time as the argument `now` (ms).
"""

import contextlib
import json
import logging
import os
import sqlite3
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from agent import outbox_file, outbox_ledger, outbox_space
from agent.errors import OutboxError
from agent.outbox_file import Stored
from agent.outbox_memory import Append, NewRow, Row, Verdict, Waiting, numbered, record
from agent.outbox_seconds import CLOCK_HIGH, Seconds

__all__ = ["Fate", "NewRow", "Outbox", "Row"]

log = logging.getLogger(__name__)

Fate = Literal["live", "reissued"]

DAY_S = 86_400
APPENDS = 64  # written back from memory in one transaction
FEW = 4  # this many buffered verdicts wait for the next append; more are a drain, committed in groups
GROUP = 256  # verdicts of one transaction
GROUP_AGE_MS = 1_000  # oldest verdict of a group that is still waiting
CHECKPOINT_ROWS = 250  # changed rows between checkpoints: about 2 MB of write-ahead log
OVERDUE_ROWS = 2_000  # so many when there is no idle moment, as in a drain
COMPLAINT_S = 60  # between two complaints about the disk

_PENDING = """SELECT id, boot, monotonic_ms, collected_at, edition, vin, part, bodies FROM rows
    WHERE state = 'pending' AND proven_at IS NULL AND id > ? ORDER BY id"""
_INSERT = """INSERT INTO rows (id, boot, monotonic_ms, collected_at, edition, vin, part, bodies, state, proven_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_SECONDS = """UPDATE boots SET sampled = sampled + ?, not_due = not_due + ?, live = live + ?, reissued = reissued + ?
    WHERE id = ?"""
_LOST = """INSERT INTO counts (boot, kind, reason, n) VALUES (?, 'lost', ?, ?)
    ON CONFLICT (boot, kind, reason) DO UPDATE SET n = n + excluded.n"""
# A proof also counts for a row that was refused before; a refusal never undoes a proof.
_VERDICT = """UPDATE rows SET state = :state, flag = :flag, proven_at = :at WHERE id IN (SELECT value FROM json_each(:ids))
    AND (state = 'pending' OR state = 'refused' AND :state <> 'refused')"""
_META = "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"


class _Limits(NamedTuple):
    keep_s: float
    reissue_s: float
    max_bytes: int


class Outbox:
    """The store; every method is for the thread that called `open`."""

    def __init__(
        self,
        path: Path,
        lock: int | None,
        db: sqlite3.Connection | None,
        stored: Stored,
        limits: _Limits,
        wall_s: Callable[[], int],
        kernel_boot: str,
    ) -> None:
        self.path = path
        self.boot = stored.last_boot + 1
        self.ignored_accepts = 0  # a second proof of a row, or proof of a row that is not there
        self._lock = lock
        self._db = db  # None: there was a disk fault when the file was to be opened
        self._limits = limits
        self._wall_s = wall_s
        self._kernel_boot = kernel_boot
        self._started = wall_s()
        self._boot_stored = False
        self._next_id = stored.last_id + 1
        self._stored_id = stored.last_id
        self._meta = stored.meta
        self._meta_changed: set[str] = set()
        self._waiting = Waiting()
        # Within a boot of the machine no second may come twice, also not from the process before this one.
        same_boot = kernel_boot != "" and stored.last_kernel_boot == kernel_boot
        self._seconds = Seconds(stored.last_second if same_boot else None, self._meta, self._stored_from)
        self._lost: dict[str, int] = {}
        self._group_since: int | None = None
        self._changed_rows = 0
        self._expired = 0  # in the idle work under way
        self._idle_work = True  # something changed since `maintain` found nothing to do
        self._failing = db is None
        self._reconnect = False
        self._complained_s: int | None = None

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        keep_days: float = 7,
        max_mb: float = 512,
        reissue_days: float = 7,
        wall_s: Callable[[], int],
        kernel_boot: str | None = None,
    ) -> "Outbox":
        """Take the lock and open or create the file.

        `max_mb` bounds the file itself; its write-ahead log adds up to 4 MB. `kernel_boot` is the kernel's own by
        default. A full or read-only disk that holds an outbox is no error: new rows wait in memory.
        OutboxError: in use by another process, no permission, no directory, damaged, of a newer program.
        """
        path = Path(path)
        lock = outbox_file.lock(path)
        try:
            db, stored = outbox_file.open_stored(path)
        except BaseException:
            if lock is not None:
                os.close(lock)
            raise
        kernel_boot = outbox_file.kernel_boot_id() if kernel_boot is None else kernel_boot
        limits = _Limits(keep_days * DAY_S, reissue_days * DAY_S, int(max_mb * 1_000_000))
        return cls(path, lock, db, stored, limits, wall_s, kernel_boot)

    def append(
        self,
        rows: Iterable[NewRow],
        sampled: int,
        not_due: int,
        held: Iterable[NewRow] = (),
        kept: Iterable[NewRow] = (),
    ) -> list[int]:
        """Store the rows and what was counted since the last append in one transaction; give the ids of `rows`.

        `sampled` seconds passed since the last append, those of `rows` included; `not_due` of them gave no row. `held`,
        oldest first, are seconds from before `rows` that are wanted only now: as they were counted as not due, `not_due` is
        less by them, and may be negative. `kept` are stored, never sent, and not due. A second that may not be stored
        (`Seconds`) is counted as lost, reason `clock`, and has no id. The parts of one second belong into one call.
        """
        filled, new, dropped = self._seconds.sift(held, rows)
        if dropped:
            self.count("clock", dropped)
        stored = numbered(self._next_id, self.boot, kept, filled + new)
        self._next_id += len(stored)
        self._waiting.appends.append(Append(stored, sampled, not_due, self._lost))
        self._lost = {}
        self._write()
        return [row.id for row in stored[len(stored) - len(new) :]]

    def _stored_from(self, second: int) -> set[int]:
        """Collection times from `second` on; reads all rows, for the rare moment when a clock was set back."""
        self._meta_changed.add(CLOCK_HIGH)
        seconds = {row.collected_at for row in self._waiting.pending()}
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):  # a disk that refuses is the append's own business
                seconds |= outbox_ledger.seconds_from(self._db, second)
        return {at for at in seconds if at is not None and at >= second}

    def batch(self, limit: int, after_id: int = 0, skip: Container[int] = ()) -> list[Row]:
        """Give up to `limit` pending rows with an id above `after_id`, oldest first, without those in `skip`."""
        found: list[Row] = []
        if self._db is not None:
            try:
                # Filtered while reading: a limit in the query would count the rows in flight.
                with contextlib.closing(self._db.execute(_PENDING, (after_id,))) as records:
                    while len(found) < limit and (record := records.fetchone()):
                        if record[0] not in self._waiting.verdicts and record[0] not in skip:
                            found.append(Row(*record))
            except sqlite3.Error as error:
                self._disk_refused(error)
        for row in self._waiting.pending():
            if len(found) == limit:
                break
            if row.id > after_id and row.id not in self._waiting.verdicts and row.id not in skip:
                found.append(row)
        return found

    def accept(self, ids: Iterable[int], fate: Fate) -> None:
        """Note proof of delivery; committed with the next append, or by `tick` during a drain."""
        verdicts = self._waiting.verdicts
        for row_id in ids:
            if not 0 < row_id < self._next_id or (row_id in verdicts and verdicts[row_id].state != "refused"):
                self.ignored_accepts += 1
            else:
                verdicts[row_id] = Verdict(fate)

    def refuse(self, ids: Iterable[int], flag: int) -> None:
        """Note that the platform refused the rows for good with this response flag; committed as `accept` is."""
        for row_id in (number for number in ids if 0 < number < self._next_id):
            self._waiting.verdicts.setdefault(row_id, Verdict("refused", flag))

    def retry_refused(self) -> int:
        """Make every refused row pending again; give their number."""
        self._flush()
        if self._db is None or self._failing:
            return 0
        try:
            return outbox_ledger.retry_refused(self._db)
        except sqlite3.Error as error:
            self._disk_refused(error)
            return 0

    def tick(self, now: int) -> int | None:
        """Commit verdicts as a group if they are many or old; the `now` at which to call again, if any."""
        verdicts = self._waiting.verdicts
        if len(verdicts) <= FEW or self._failing:
            self._group_since = None
            return None
        if self._group_since is None:
            self._group_since = now
        if len(verdicts) >= GROUP or now - self._group_since >= GROUP_AGE_MS:
            self._write()
            self._group_since = now if len(verdicts) > FEW else None
        return None if self._group_since is None else self._group_since + GROUP_AGE_MS

    def count(self, reason: str, n: int = 1) -> None:
        """Count sampled seconds that were lost before they became rows; stored with the next append."""
        self._lost[reason] = self._lost.get(reason, 0) + n

    def meta_get(self, key: str) -> str | None:
        """Give the value last set, None when there is none."""
        return self._meta.get(key)

    def meta_set(self, key: str, value: str, *, durable: bool = True) -> bool:
        """Keep a small value: on the disk when this returns True; else with the next write that the disk takes."""
        self._meta[key] = value
        self._meta_changed.add(key)
        return durable and self._write()

    def stats(self) -> dict[str, Any]:
        """Give the ledger of the file (see `outbox_ledger`) and what is still on its way there."""
        waiting, _ = self._waiting.take(self._next_id, len(self._waiting.appends), 0)
        ledger: dict[str, Any] = {}
        if self._db is not None:
            try:
                ledger = outbox_ledger.read_stats(self._db)
            except sqlite3.Error as error:
                self._disk_refused(error)
        return {
            **ledger,
            "max_bytes": self._limits.max_bytes,
            "in_memory": {"rows": len(waiting.rows), "sampled": waiting.sampled, "not_due": waiting.not_due},
            "buffered_verdicts": len(self._waiting.verdicts),
            "ignored_accepts": self.ignored_accepts,
            "disk_refuses": self._failing,
        }

    @property
    def overdue(self) -> bool:
        """Say that `maintain` must not wait for an idle moment any longer: the write-ahead log grows."""
        return self._changed_rows >= OVERDUE_ROWS and not self._failing

    def maintain(self) -> bool:
        """Do one slice (some milliseconds) of what can wait for an idle moment; True when there may be more.

        Writes memory back, checkpoints, drops rows by age and space. By age it drops whole slices only, so that this
        adds next to no fdatasync to a report.
        """
        if self._failing or self._db is None or not self._idle_work:
            return False
        if self._waiting.appends:
            return self._write()
        try:
            if self._changed_rows >= CHECKPOINT_ROWS:
                self._changed_rows = 0
                self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            expired = self._expire(self._db, outbox_space.SLICE)
            dropped = expired or self._prune(self._db, outbox_space.SLICE)
        except sqlite3.Error as error:
            self._disk_refused(error)
            return False
        self._expired += expired
        if self._expired and not expired:
            log.warning("rows were too old to be sent: expired=%d path=%s", self._expired, self.path)
            self._expired = 0
        self._changed_rows += dropped
        self._idle_work = dropped > 0
        return self._idle_work

    def expire(self) -> int:
        """Drop all unproven rows older than `reissue_days`; give their number."""
        return self._all_slices(self._expire)

    def prune(self) -> int:
        """Drop all rows proven more than `keep_days` ago, and what `max_mb` leaves no room for; give their number."""
        return self._all_slices(self._prune)

    def _expire(self, db: sqlite3.Connection, at_least: int) -> int:
        return outbox_space.expire(db, self._wall_s() - self._limits.reissue_s, self._waiting.verdicts, at_least)

    def _prune(self, db: sqlite3.Connection, at_least: int) -> int:
        proven_before = self._wall_s() - self._limits.keep_s
        return outbox_space.prune(db, proven_before, self._limits.max_bytes, self._waiting.verdicts, at_least)

    def _all_slices(self, drop: Callable[[sqlite3.Connection, int], int]) -> int:
        self._flush()
        dropped = 0
        try:
            while self._db is not None and not self._failing and (n := drop(self._db, 1)):
                dropped += n
        except sqlite3.Error as error:
            self._disk_refused(error)
        return dropped

    def close(self) -> None:
        """Write everything, close the file, give the lock free."""
        try:
            self._flush()
            if self._waiting.appends:
                rows = sum(1 for _ in self._waiting.rows())
                log.error("outbox closed while the disk refuses: rows lost=%d path=%s", rows, self.path)
        finally:
            if self._db is not None:
                self._db.close()
                self._db = None
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def _flush(self) -> None:
        while (self._waiting or self._meta_changed) and self._write():
            pass

    def _write(self) -> bool:
        """Commit the oldest waiting appends and what is buffered; False when the disk refuses."""
        append, verdicts = self._waiting.take(self._stored_id, APPENDS, GROUP)
        try:
            db = self._database()
            with outbox_file.transaction(db):
                self._put(db, append, verdicts)
        except (sqlite3.Error, OSError) as error:
            self._disk_refused(error)
            return False
        self._boot_stored = self._boot_stored or bool(append)
        self._idle_work = True
        if append.rows:
            self._stored_id = append.rows[-1].id
        self._changed_rows += len(append.rows) + len(verdicts)
        self._waiting.remove(APPENDS, verdicts)
        self._meta_changed.clear()
        if self._failing:
            log.warning("outbox writes again: path=%s", self.path)
            self._failing = False
            self._complained_s = None
        return True

    def _put(self, db: sqlite3.Connection, append: Append, verdicts: dict[int, Verdict]) -> None:
        if append and not self._boot_stored:
            entry = (self.boot, self._kernel_boot, self._started)
            db.execute("INSERT INTO boots (id, kernel_boot, started) VALUES (?, ?, ?)", entry)
        db.executemany(_INSERT, map(record, append.rows))
        seconds = (append.sampled, append.not_due, append.proven.get("live", 0), append.proven.get("reissued", 0))
        if any(seconds):
            db.execute(_SECONDS, (*seconds, self.boot))
        for reason, n in append.lost.items():
            db.execute(_LOST, (self.boot, reason, n))
        groups: dict[Verdict, list[int]] = {}
        for row_id, verdict in verdicts.items():
            groups.setdefault(verdict, []).append(row_id)
        for verdict, ids in groups.items():
            proven_at = None if verdict.state == "refused" else self._wall_s()
            values = {**verdict._asdict(), "at": proven_at, "ids": json.dumps(ids)}
            changed = db.execute(_VERDICT, values).rowcount
            if proven_at is not None:
                self.ignored_accepts += len(ids) - changed
        for key in self._meta_changed:
            db.execute(_META, (key, self._meta[key]))

    def _database(self) -> sqlite3.Connection:
        """Give the connection, a new one after a fault that the old one may not survive."""
        if self._db is None or self._reconnect:
            fresh = outbox_file.connect(self.path)
            if self._db is not None:
                self._db.close()
            self._db = fresh
            self._reconnect = False
        return self._db

    def _disk_refused(self, error: sqlite3.Error | OSError) -> None:
        """Go on in memory after a fault of the disk, and say so; OutboxError for any other fault."""
        lost = self._waiting.bound()
        if not outbox_file.is_disk_fault(error):
            reason = outbox_file.damaged(error) if isinstance(error, sqlite3.DatabaseError) else str(error)
            raise OutboxError(str(self.path), reason) from error
        self._failing = True
        # A full disk or a long lock of another process leaves the connection sound.
        self._reconnect = getattr(error, "sqlite_errorname", "") not in ("SQLITE_FULL", "SQLITE_BUSY")
        now_s = self._wall_s()
        if self._complained_s is None or abs(now_s - self._complained_s) >= COMPLAINT_S:
            self._complained_s = now_s
            rows = sum(1 for _ in self._waiting.rows())
            log.error("outbox cannot write: path=%s error=%s rows_in_memory=%d lost=%d", self.path, error, rows, lost)
