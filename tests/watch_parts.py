"""The reference car as a recording, and a configuration that plays it: for tests of the live view."""

from pathlib import Path

import can

from agent.clock import Clock
from bench.cycles import URBAN
from bench.frames import load_frames, reference_dbc
from bench.physics import Car
from bench.vehicle import Vehicle

START_S = 1_700_000_000
VIN = "LGBTEST0000000017"


def car_frames(seconds: int, seed: int = 1) -> list[tuple[int, int, bytes]]:
    """What the reference car sends in its first seconds: (ms, identifier, data)."""
    name = f"watched-{seconds}-{seed}"
    frames = []
    with can.Bus(name, "virtual") as sender, can.Bus(name, "virtual") as receiver:
        car = Vehicle(bus=sender, clock=Clock(), car=Car("ev", URBAN, seed), frames=load_frames(reference_dbc()))
        now = 0
        while now < 1000 * seconds:
            now = max(now + 1, car.poll(now))
            while (message := receiver.recv(0)) is not None:
                frames.append((now, message.arbitration_id, bytes(message.data)))
    return frames


def write_log(path: Path, seconds: int) -> None:
    """The same as a candump recording."""
    lines = [
        f"({START_S + ms / 1000:.6f}) can0 {can_id:03X}#{data.hex().upper()}\n"
        for ms, can_id, data in car_frames(seconds)
    ]
    path.write_text("".join(lines))


def configure(folder: Path, *, seconds: int = 4, loop: bool = True, port: int = 9, edition: str = "2025") -> Path:
    """A configuration whose bus is a recording of the reference car, in a folder of its own."""
    write_log(folder / "car.log", seconds)
    config = folder / "tbox.toml"
    config.write_text(
        f"""[vehicle]
vin = "{VIN}"
edition = "{edition}"
mapping = "shipped:reference_ev.toml"
codes = ["012345678901234567890123"]
packs = [1]
[[can]]
name = "pt"
interface = "log"
channel = "car.log"
loop = {str(loop).lower()}
[platform]
host = "127.0.0.1"
port = {port}
[outbox]
path = "tbox.db"
""",
        encoding="utf-8",
    )
    return config
