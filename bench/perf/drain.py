"""Row `drain`: a week of stored reports to the platform, while the car goes on reporting.

A real agent (`tbox run`) with an outbox of 60,480 rows of about 600 bytes, no drain limit, and a report each second beside
the backlog; a real platform (`tbox-bench platform`) that examines and keeps every packet, in a process of its own; TCP on
loopback. One run with policy `each` and a platform that answers each report, one with policy `none` and a platform of annex B,
which is silent after the login. Time counts from the first stored report at the platform to the last.
What silence has to prove goes out in bursts: at most 20,000 rows are in flight, and each settles for ten seconds.

A live report is late by its arrival at the platform minus the second it was sampled at; the worst one counts, under whichever
command it came, and a second without a report counts as a miss.

The peer is the loop one would write: the same rows of the same file in order of id, to the same platform on a plain
socket, each waiting for its answer where there is one; no proof is written back, and nothing is live.
"""

import contextlib
import shutil
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any

from agent.core.dataunit import DataUnit, encode_data_unit
from agent.core.editions import EDITIONS
from agent.core.packet import COMMAND, PLAIN, PacketReader, build_packet, time_bytes
from agent.core.session import LOGIN, REISSUE
from agent.outbox import NewRow, Outbox
from bench.perf import reference, rig

ROWS = 60_480  # a week of one report each 10 s
QUICK_ROWS = 6_000
PEER_ROWS = 6_000
TARGET_S = 30.0
TARGET_PER_S = 1_000.0
LATE_MS = 1_000
TIMEOUT_S = 150.0
FLEETWISE_PER_S = 100  # what a known cloud agent drains at, whatever the link takes
EDITION = EDITIONS[reference.EDITION]


def measure(quick: bool = False) -> list[dict[str, Any]]:
    """Two rows: seconds with a platform that answers each report, and reports a second with a silent one."""
    count = QUICK_ROWS if quick else ROWS
    with rig.scratch() as name:
        folder = Path(name)
        stored = folder / "stored.db"
        size = _fill(stored, count)
        answered = _drain(folder / "each", stored, count, "each", "each")
        peer_each = _peer(folder / "peer-each", stored, min(count, PEER_ROWS), "each")
        silent = _drain(folder / "silent", stored, count, "none", "annex-b")
        peer_silent = _peer(folder / "peer-silent", stored, min(count, PEER_ROWS), "annex-b")
    bound_s = TARGET_S * count / ROWS
    what = f"{count} rows of {size} bytes"
    fleetwise = f"a fixed {FLEETWISE_PER_S}/s would take {count // FLEETWISE_PER_S} s"
    return [
        rig.figure(
            "drain, each answered",
            round(answered.took_s, 2),
            "s",
            f"<= {bound_s:.3g} s for {count} reports, live <= {LATE_MS} ms late",
            answered.took_s <= bound_s and answered.live_in_time,
            peer="send and wait, one by one",
            peer_value=round(count / peer_each, 2),
            note=f"{what}; {answered.live}; {fleetwise}",
        ),
        rig.figure(
            "drain, silent platform",
            round(count / silent.took_s),
            "reports/s",
            f">= {TARGET_PER_S:g}/s, live <= {LATE_MS} ms late",
            count / silent.took_s >= TARGET_PER_S and silent.live_in_time,
            peer="SQLite rows to sendall",
            peer_value=round(peer_silent),
            note=f"{what}; {silent.live}",
        ),
    ]


class _Drained:
    """One drain as the platform saw it; times in real ms."""

    def __init__(self, db: sqlite3.Connection, first_live: int) -> None:
        begin, end = db.execute(
            "SELECT min(monotonic_ns), max(monotonic_ns) FROM packets WHERE collected_at < ? AND command = 'reissue'",
            (first_live,),
        ).fetchone()
        self.took_s = (end - begin) / 1e9
        lateness = dict(
            db.execute(
                """SELECT collected_at, min(received_ms) - 1000 * collected_at FROM packets
                WHERE collected_at >= ? AND command IN ('realtime', 'reissue') AND monotonic_ns BETWEEN ? AND ?
                GROUP BY collected_at""",
                (first_live, begin, end),
            ).fetchall()
        )
        self.late_ms = max(lateness.values(), default=0)
        seconds = sorted(lateness)
        self.missing = seconds[-1] - seconds[0] + 1 - len(seconds) if seconds else 0
        # The drain's first and last second may lie on either side of its ends.
        self.live_in_time = self.late_ms <= LATE_MS and not self.missing and len(seconds) >= int(self.took_s) - 1
        self.live = f"{len(seconds)} live meanwhile, latest {self.late_ms} ms, {self.missing} missing"


def _fill(path: Path, count: int) -> int:
    """An outbox with rows of the past, ten seconds apart; returns the size of one packet."""
    bodies = reference.large_report()
    now = int(time.time())
    outbox = Outbox.open(path, wall_s=lambda: now)
    first = now - 10 * (count + 1)
    outbox.append(
        [NewRow(10_000 * n, first + 10 * n, reference.EDITION, rig.VIN, 1, bodies) for n in range(count)], count, 0
    )
    outbox.close()
    return len(_packet(first, rig.VIN, bodies))


def _drain(folder: Path, stored: Path, count: int, policy: str, answers: str) -> _Drained:
    folder.mkdir()
    shutil.copy(stored, folder / "tbox.db")
    recording = folder / "car.log"
    reference.write_candump(recording, 20)
    first_live = int(time.time())
    with rig.platform(folder, answers) as port, contextlib.closing(rig.received(folder)) as db:
        config = rig.write_config(folder, port, bus=("log", str(recording)), policy=policy, drain=0, interval_s=1)
        with rig.agent(folder, config) as process:

            def drained() -> bool:
                (found,) = db.execute("SELECT count(*) FROM packets WHERE collected_at < ?", (first_live,)).fetchone()
                return bool(found >= count)

            def nearly() -> bool:
                return bool((db.execute("SELECT max(id) FROM packets").fetchone()[0] or 0) >= count)

            rig.wait_for(lambda: nearly() and drained(), TIMEOUT_S, f"{count} reports arrived", process)
        distinct = "SELECT count(DISTINCT collected_at) FROM packets WHERE collected_at < ? AND command = 'reissue'"
        if (found := db.execute(distinct, (first_live,)).fetchone()[0]) != count:
            raise rig.RigError(f"{found} different reports arrived of {count}")
        return _Drained(db, first_live)


def _peer(folder: Path, stored: Path, count: int, answers: str) -> float:
    """Reports a second of the naive loop, up to the last one's arrival."""
    folder.mkdir()
    with (
        rig.platform(folder, answers) as port,
        contextlib.closing(sqlite3.connect(stored)) as rows,
        socket.create_connection(("127.0.0.1", port)) as link,
        contextlib.closing(rig.received(folder)) as db,
    ):
        reader = PacketReader()
        link.sendall(_login())
        _answer(link, reader)
        query = "SELECT collected_at, vin, bodies FROM rows WHERE state = 'pending' ORDER BY id LIMIT ?"
        for collected_at, vin, bodies in rows.execute(query, (count,)):
            link.sendall(_packet(collected_at, vin, bodies))
            if answers == "each":
                _answer(link, reader)
        total = "SELECT count(*) FROM packets WHERE command = 'reissue'"
        rig.wait_for(lambda: db.execute(total).fetchone()[0] == count, TIMEOUT_S, "the peer's reports arrived")
        span = "SELECT max(monotonic_ns) - min(monotonic_ns) FROM packets WHERE command = 'reissue'"
        return float(count / (db.execute(span).fetchone()[0] / 1e9))


def _packet(collected_at: int, vin: str, bodies: bytes) -> bytes:
    return build_packet(EDITION.start, REISSUE, COMMAND, vin.encode(), PLAIN, time_bytes(collected_at) + bodies)


def _login() -> bytes:
    values = {"serial": 1, "iccid": b"0" * 20, "codes": [], "code_length": 0}
    unit = encode_data_unit(EDITION, LOGIN, DataUnit(time_bytes(int(time.time())), values))
    return build_packet(EDITION.start, LOGIN, COMMAND, rig.VIN.encode(), PLAIN, unit)


def _answer(link: socket.socket, reader: PacketReader) -> None:
    while not reader.feed(link.recv(65536)):
        pass
