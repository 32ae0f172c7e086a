"""The reference car's frames and reports without a bus and without waiting: the same car, stepped as fast as it goes."""

from collections.abc import Iterator
from pathlib import Path

import can

from agent.clock import Clock
from agent.config import dbc_folder
from agent.core.editions import EDITIONS
from agent.core.frames import EXTENDED, LatestFrames
from agent.core.report import encode_report
from agent.core.sampler import Sampler
from agent.signalmap import CompiledMapping, load_mapping
from bench.cycles import URBAN
from bench.frames import load_frames, reference_dbc
from bench.physics import Car
from bench.vehicle import Vehicle

EDITION = "2016"
CELLS = 200
PROBES = 64


class _Recorder:
    """Takes what the vehicle sends."""

    def __init__(self) -> None:
        self.frames: list[can.Message] = []

    def send(self, message: can.Message) -> None:
        self.frames.append(message)


def mapping() -> CompiledMapping:
    """The reference car's compiled mapping."""
    return load_mapping(dbc_folder() / "reference_ev.toml", EDITION)


def frames(seconds: int) -> Iterator[tuple[int, can.Message]]:
    """Every frame of the car's first seconds: (ms since its start, frame)."""
    recorder = _Recorder()
    car = Car("ev", URBAN, 1)
    vehicle = Vehicle(bus=recorder, clock=Clock(), car=car, frames=load_frames(reference_dbc()))  # type: ignore[arg-type]
    now = 0
    while now < seconds * 1000:
        due = vehicle.poll(now)
        for frame in recorder.frames:
            yield now, frame
        recorder.frames.clear()
        now = due


def write_candump(path: Path, seconds: int) -> int:
    """Record the car as `candump -L` would; returns the number of frames."""
    count = 0
    with path.open("w", encoding="ascii") as file:
        for ms, frame in frames(seconds):
            digits = 8 if frame.is_extended_id else 3
            stamp = f"{1_700_000_000 + ms // 1000}.{ms % 1000:03d}000"
            file.write(f"({stamp}) can0 {frame.arbitration_id:0{digits}X}#{frame.data.hex().upper()}\n")
            count += 1
    return count


def large_report() -> bytes:
    """The bodies of a report of about 600 bytes, as they stand in an outbox row: the car under way, its pack with the
    200 cells that fit one packet and 64 probes."""
    plan = mapping().plan
    latest = LatestFrames(plan)
    keep = latest.keeper(0)
    now = 0
    for now, frame in frames(20):
        can_id = frame.arbitration_id
        keep(can_id | EXTENDED if frame.is_extended_id else can_id, frame.data, now)
    bodies = Sampler(plan).sample(latest, now)
    for _, values in bodies:
        for pack in values.get("subsystems", ()):
            if "cells" in pack:
                pack["cells"] = (3 * pack["cells"])[:CELLS]
                pack["total_cells"] = CELLS
            else:
                pack["probes"] = (2 * pack["probes"])[:PROBES]
    return encode_report(EDITIONS[EDITION], bodies)[0]
