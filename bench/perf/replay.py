"""Row `replay`: a recorded log to the packets that would be sent, as fast as one process goes.

Two logs: the BMW i3 at a fast charger (a real recording, 23,637 frames, repeated to 300,000; our mapping of it
reads one message), and the reference car with all its items mapped, where nine frames of ten are wanted and most carry
a checksum. From the file to the last packet, sampling every second and reporting every ten, as `tbox replay` does.

The peer is python-can's LogReader with cantools: each frame of a mapped message is decoded into a dict of newest values,
and no packet is made of them. Both count CPU time: neither waits for anything, and other work of the machine does not count.
"""

import os
import statistics
import time
from pathlib import Path
from typing import Any

import can
import cantools.database
from cantools.database.can import Database

from agent.canlog.reader import read_log
from agent.config import dbc_folder
from agent.core.editions import EDITIONS
from agent.core.frames import EXTENDED
from agent.replay import Replay, wanted_ids
from agent.signalmap import CompiledMapping, load_mapping
from bench.frames import reference_dbc
from bench.perf import reference, rig

FRAMES = 300_000
QUICK_FRAMES = 70_000
CAR_S = 60  # of the reference car, then repeated
ROUNDS = 3
TARGET_PER_S = 150_000
I3_LOG = "bmw_i3/ionity_dc_charge_15s.log"
I3_DBC = "bmw_i3/i3_LIM_dbc1.dbc"
S_TO_US = 1_000_000
START_S = 1_577_808_000  # 2020-01-01 in Beijing: where a log without absolute time begins


def measure(quick: bool = False) -> list[dict[str, Any]]:
    """Two rows of frames a second; without the recording the reference car alone."""
    frames = QUICK_FRAMES if quick else FRAMES
    rows = []
    with rig.scratch() as name:
        log = Path(name, "car.log")
        if recording := _recording():
            _repeat(recording / I3_LOG, log, frames)
            mapping = load_mapping(dbc_folder() / "bmw_i3.toml", reference.EDITION)
            database = cantools.database.load_file(recording / I3_DBC, strict=False)
            rows.append(_row("replay", "BMW i3, one message mapped", log, mapping, database))
        car = Path(name, "minute.log")
        reference.write_candump(car, CAR_S)
        _repeat(car, log, frames)
        title = "replay, every item" if rows else "replay"
        database = cantools.database.load_file(reference_dbc())
        rows.append(_row(title, "reference car, all its items mapped", log, reference.mapping(), database))
    return rows


def _row(name: str, note: str, log: Path, mapping: CompiledMapping, database: Any) -> dict[str, Any]:
    ours, peer = [], []
    for _ in range(ROUNDS):
        ours.append(_replay(log, mapping))
        peer.append(_peer(log, mapping, database))
    value = statistics.median(rate for rate, _ in ours)
    return rig.figure(
        name,
        round(value),
        "frames/s (CPU)",
        f">= {TARGET_PER_S}",
        value >= TARGET_PER_S,
        peer="python-can LogReader + cantools",
        peer_value=round(statistics.median(peer)),
        note=f"{note}: {ours[0][1]}",
    )


def _replay(log: Path, mapping: CompiledMapping) -> tuple[float, str]:
    """Frames a second, and what was done."""
    started = time.process_time()
    replay = Replay(
        edition=EDITIONS[reference.EDITION],
        vin=rig.VIN.encode(),
        plan=mapping.plan,
        logs=[read_log(log, wanted=wanted_ids(mapping.plan))],
        buses=[(bus, "") for bus in mapping.buses],
        interval_s=10,
        start_s=START_S,
    )
    packets = sum(1 for _ in replay)
    took_s = time.process_time() - started
    counters, kept = replay.counters, replay.latest.kept
    if packets < counters.seconds // 10 or not kept:
        raise rig.RigError(f"replay made {packets} packets of {counters.seconds} s, kept {kept} frames")
    return counters.frames / took_s, f"{counters.frames} frames, {kept} wanted, {packets} packets"


def _peer(log: Path, mapping: CompiledMapping, database: Database) -> float:
    wanted = wanted_ids(mapping.plan)
    newest: dict[int, Any] = {}
    frames = 0
    started = time.process_time()
    for message in can.LogReader(log):
        frames += 1
        can_id = message.arbitration_id
        if (can_id | EXTENDED if message.is_extended_id else can_id) in wanted:
            newest[can_id] = database.decode_message(can_id, bytes(message.data), decode_choices=False)
    return frames / (time.process_time() - started)


def _recording() -> Path | None:
    """The folder of recorded data; `data:` of a mapping looks there too."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.setdefault("TBOX_DATA", str(beside)))
    return folder if (folder / I3_LOG).is_file() else None


def _repeat(source: Path, target: Path, frames: int) -> None:
    """The same drive again and again, with the clock going on."""
    lines = source.read_text(encoding="ascii").splitlines()
    parts = [line.split(maxsplit=1) for line in lines if line.strip()]
    stamps = [round(float(stamp.strip("()")) * S_TO_US) for stamp, _ in parts]
    span = stamps[-1] - stamps[0] + 1_000
    with target.open("w", encoding="ascii") as file:
        for turn in range(-(-frames // len(parts))):
            for stamp, (_, rest) in zip(stamps, parts, strict=True):
                t_us = stamp + turn * span
                file.write(f"({t_us // S_TO_US}.{t_us % S_TO_US:06d}) {rest}\n")
