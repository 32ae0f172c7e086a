"""Which rows the outbox drops, by age and by space: small slices, each one transaction that keeps the ledger.

Order when `max_mb` is reached: oldest of those never to be sent, oldest proven, then refused, then oldest pending.
"""

import json
import logging
import sqlite3
from collections.abc import Container

from agent.outbox_file import transaction

log = logging.getLogger(__name__)

SLICE = 64  # rows of one transaction: a few milliseconds

# Seconds grow with the ids but for a wrong clock: looking at the oldest rows by id needs no index of its own.
_TOO_OLD = """SELECT id FROM
    (SELECT id, collected_at FROM rows WHERE state = ? AND proven_at IS NULL ORDER BY id LIMIT ?)
    WHERE collected_at < ?"""
# All arms come from the index in order, so that a million proven rows cost no sort.
_PROVEN = """SELECT id FROM (
    SELECT * FROM (SELECT id, proven_at FROM rows WHERE state = 'live' AND proven_at < ? ORDER BY proven_at LIMIT ?)
    UNION ALL SELECT * FROM
        (SELECT id, proven_at FROM rows WHERE state = 'reissued' AND proven_at < ? ORDER BY proven_at LIMIT ?)
    UNION ALL SELECT * FROM
        (SELECT id, proven_at FROM rows WHERE state = 'kept' AND proven_at < ? ORDER BY proven_at LIMIT ?)
    ) ORDER BY proven_at, id LIMIT ?"""
_UNPROVEN = "SELECT id FROM rows WHERE state = ? AND proven_at IS NULL ORDER BY id LIMIT ?"
_KEPT = "SELECT id FROM rows WHERE state = 'kept' ORDER BY proven_at LIMIT ?"
_EVER = 1 << 62  # later than any wall time

_COUNT = """INSERT INTO counts (boot, kind, reason, n)
    SELECT boot, ?, ?, count(*) FROM rows WHERE part = 1 AND id IN (SELECT value FROM json_each(?)) GROUP BY boot
    ON CONFLICT (boot, kind, reason) DO UPDATE SET n = n + excluded.n"""


def expire(db: sqlite3.Connection, collected_before: float, keep: Container[int], at_least: int = 1) -> int:
    """Drop a slice of unproven rows collected before that second, none if fewer than `at_least`; give the number."""
    for state in ("pending", "refused"):
        ids = _choose(db, _TOO_OLD, (state, SLICE, collected_before), keep)
        if len(ids) >= at_least:
            with transaction(db):
                chosen = json.dumps(ids)
                db.execute("UPDATE rows SET state = 'expired' WHERE id IN (SELECT value FROM json_each(?))", (chosen,))
                _delete(db, chosen)
            return len(ids)
    return 0


def prune(
    db: sqlite3.Connection, proven_before: float, max_bytes: float, keep: Container[int], at_least: int = 1
) -> int:
    """Drop a slice of rows proven before that second, or, above `max_bytes`, of the least needed; give the number."""
    ids = _choose(db, _PROVEN, (*(proven_before, SLICE) * 3, SLICE), keep)
    if len(ids) >= at_least:
        return _drop(db, ids, "pruned", "age")
    if used_bytes(db) <= max_bytes:
        return 0
    for query, arguments in ((_KEPT, (SLICE,)), (_PROVEN, (*(_EVER, SLICE) * 3, SLICE))):
        if ids := _choose(db, query, arguments, keep):
            return _drop(db, ids, "pruned", "full")
    for state, reason in (("refused", "full_refused"), ("pending", "full")):
        if ids := _choose(db, _UNPROVEN, (state, SLICE), keep):
            log.warning("outbox is full: rows dropped=%d state=%s", len(ids), state)
            return _drop(db, ids, "lost", reason)
    return 0


def used_bytes(db: sqlite3.Connection) -> int:
    """Give the bytes of the file that hold something; the rest is used again before the file grows."""
    page, pages, free = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count", "freelist_count")
    )
    return int(page * (pages - free))


def _choose(db: sqlite3.Connection, query: str, arguments: tuple[object, ...], keep: Container[int]) -> list[int]:
    return [row_id for (row_id,) in db.execute(query, arguments).fetchall() if row_id not in keep]


def _drop(db: sqlite3.Connection, ids: list[int], kind: str, reason: str) -> int:
    chosen = json.dumps(ids)
    with transaction(db):
        db.execute(_COUNT, (kind, reason, chosen))
        _delete(db, chosen)
    return len(ids)


def _delete(db: sqlite3.Connection, chosen: str) -> None:
    db.execute("DELETE FROM rows WHERE id IN (SELECT value FROM json_each(?))", (chosen,))
