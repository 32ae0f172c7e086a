"""Whether a hole between two reports is a vehicle at rest: then nothing was due in it.

Where an edition reports for some time after switch-off (2016), those reports say that the vehicle is off. Where it falls silent
at once (2025), the last report still says "started", and what remains is the terminal itself: it sends heartbeats, or logs out,
only when there is nothing to report. A stop that is shorter than the heartbeat's period cannot be told from a loss then.
"""

import sqlite3

from agent.core.dataunit import decode_data_unit
from agent.core.edition import Edition
from agent.core.editions import BY_START
from agent.core.occasion import AWAKE, View
from agent.core.packet import COMMAND, Packet

_IDLE = """
SELECT 1 FROM packets WHERE vin = ? AND response = ? AND command IN ('heartbeat', 'vehicle_logout')
AND fault IS NULL AND received_ms BETWEEN ? AND ? LIMIT 1
"""
_BEFORE = """
SELECT collected_at, raw, opened FROM packets WHERE vin = ? AND response = ? AND fault IS NULL
AND command IN ('realtime', 'reissue') AND part = 1 AND collected_at BETWEEN ? AND ? ORDER BY collected_at DESC, id
"""


def rested(db: sqlite3.Connection, vin: str, before: int, after: int, period_s: int) -> bool:
    """Whether `vin` was at rest between its neighbouring reports of `before` and `after` (Unix seconds)."""
    row = db.execute(_BEFORE, (vin, COMMAND, before, before)).fetchone()
    edition = BY_START[bytes(row[1][:2])] if row is not None else None
    if edition is None:
        return False
    if edition.rules.after_off_s:
        # Off at some moment of the period before the first report that says so.
        told_s = edition.rules.after_off_s - 2 * period_s
        return _off_for(db, vin, edition, before, told_s) >= told_s
    return db.execute(_IDLE, (vin, COMMAND, before * 1000, after * 1000)).fetchone() is not None


def _off_for(db: sqlite3.Connection, vin: str, edition: Edition, before: int, told_s: int) -> int:
    """For how many seconds up to `before` all reports say that the vehicle is not awake; -1: the last one does not."""
    view, since = View(edition), before + 1
    for second, raw, opened in db.execute(_BEFORE, (vin, COMMAND, before - 2 * told_s, before)):
        packet = Packet(bytes(raw))
        unit = decode_data_unit(edition, packet.command, bytes(opened) if opened is not None else packet.unit)
        _, states = view.read(unit.bodies or [])
        if not states or any(states.get(name) == word for name, word in AWAKE):
            break
        since = second
    return before - since
