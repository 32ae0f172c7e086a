"""What became of every second sampled, and what another process may do to an outbox while its agent runs."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.errors import OutboxError
from agent.outbox_file import BUSY_TIMEOUT_S, FATES, check_schema, damaged, is_disk_fault
from agent.outbox_space import used_bytes

RETRY_SLICE = 500  # rows per transaction: another writer waits some milliseconds at most

_RETRY = """UPDATE rows SET state = 'pending', flag = NULL
    WHERE id IN (SELECT id FROM rows WHERE state = 'refused' AND proven_at IS NULL LIMIT ?)"""
_BOOTS = """SELECT id, kernel_boot, started, sampled, not_due, pending, live, reissued, refused, expired,
    (SELECT json_group_object(reason, n) FROM counts WHERE boot = boots.id AND kind = 'lost') FROM boots ORDER BY id"""


@contextlib.contextmanager
def visit(path: Path, *, write: bool = False) -> Iterator[sqlite3.Connection]:
    """Open an existing outbox from beside its owner, for reading, or for short writes; errors become OutboxError."""
    mode = "rw" if write else "ro"
    if not path.is_file():
        raise OutboxError(str(path), "there is no such file; the agent makes it at its first start")
    try:
        with contextlib.closing(
            sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None
            )
        ) as db:
            check_schema(db, path)
            if not db.execute("PRAGMA user_version").fetchone()[0]:
                raise OutboxError(str(path), "is empty: the agent has not written to it yet")
            yield db
    except sqlite3.DatabaseError as error:
        why = str(error) if is_disk_fault(error) else damaged(error)
        raise OutboxError(str(path), why) from error


def read_meta(db: sqlite3.Connection, key: str) -> str | None:
    """Give a small value of the agent, None when there is none."""
    found = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if found is None else found[0]


def retry_refused(db: sqlite3.Connection) -> int:
    """Make every refused row pending again, in short transactions; give their number."""
    moved = 0
    while True:
        changed = db.execute(_RETRY, (RETRY_SLICE,)).rowcount
        moved += changed
        if changed < RETRY_SLICE:
            return moved


def read_stats(db: sqlite3.Connection) -> dict[str, Any]:
    """Read the ledger as one consistent picture.

    `boots` lists each process start, `total` adds them up; `unaccounted` is `sampled` less all fates and must be 0.
    `refused_by_flag` counts rows by the platform's response flag; `kept_rows` are
    stored and never sent; `oldest_pending` is the Unix time of the next row.
    """
    db.execute("BEGIN")
    try:
        boots = [_boot_stats(record) for record in db.execute(_BOOTS)]
        oldest = db.execute(
            "SELECT collected_at FROM rows WHERE state = 'pending' AND proven_at IS NULL ORDER BY id LIMIT 1"
        ).fetchone()
        return {
            "boots": boots,
            "total": _total(boots),
            "pruned": dict(
                db.execute("SELECT reason, sum(n) FROM counts WHERE kind = 'pruned' GROUP BY reason").fetchall()
            ),
            "refused_by_flag": dict(
                db.execute("SELECT flag, count(*) FROM rows WHERE state = 'refused' GROUP BY flag").fetchall()
            ),
            "kept_rows": db.execute("SELECT count(*) FROM rows WHERE state = 'kept'").fetchone()[0],
            "oldest_pending": oldest[0] if oldest else None,
            "used_bytes": used_bytes(db),
        }
    finally:
        db.execute("ROLLBACK")


def _boot_stats(record: tuple[Any, ...]) -> dict[str, Any]:
    names = ("boot", "kernel_boot", "started", "sampled", "not_due", *FATES)
    boot: dict[str, Any] = dict(zip(names, record, strict=False))
    boot["lost"] = json.loads(record[-1])
    boot["unaccounted"] = _unaccounted(boot)
    return boot


def _unaccounted(ledger: dict[str, Any]) -> int:
    known: int = ledger["not_due"] + sum(ledger[fate] for fate in FATES) + sum(ledger["lost"].values())
    sampled: int = ledger["sampled"]
    return sampled - known


def _total(boots: list[dict[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {name: sum(boot[name] for boot in boots) for name in ("sampled", "not_due", *FATES)}
    lost: dict[str, int] = {}
    for boot in boots:
        for reason, n in boot["lost"].items():
            lost[reason] = lost.get(reason, 0) + n
    total["lost"] = lost
    total["unaccounted"] = _unaccounted(total)
    return total


def seconds_from(db: sqlite3.Connection, second: int) -> set[int | None]:
    """Collection times of all rows to be sent from `second` on; reads the whole table."""
    return {
        at
        for (at,) in db.execute("SELECT collected_at FROM rows WHERE collected_at >= ? AND state <> 'kept'", (second,))
    }
