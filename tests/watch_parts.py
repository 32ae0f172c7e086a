"""The reference car as a recording, and a configuration that plays it: for tests of the live view."""

import re
from pathlib import Path

import can
import cantools

from agent.clock import Clock
from bench.cycles import URBAN
from bench.frames import load_frames, reference_dbc
from bench.physics import Car
from bench.vehicle import Vehicle

DBC = Path(__file__).parents[1] / "dbc"

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


def lasting_mapping(folder: Path) -> None:
    """The reference car's mapping with signals that stay valid for ten minutes."""
    text = (DBC / "reference_ev.toml").read_text(encoding="utf-8")
    text = text.replace("reference_ev.dbc", str(DBC / "reference_ev.dbc"))
    named = re.findall(r'\[messages\."pt\.(\w+)"\]', text)
    text = re.sub(r'(\[messages\."pt\.\w+"\])', "\\1\ntimeout_ms = 600000", text)
    for message in cantools.database.load_file(DBC / "reference_ev.dbc").messages:
        if message.name not in named:
            text += f'\n[messages."pt.{message.name}"]\ntimeout_ms = 600000\n'
    (folder / "lasting.toml").write_text(text, encoding="utf-8")


def configure(
    folder: Path, *, seconds: int = 4, loop: bool = True, port: int = 9, edition: str = "2025", lasting: bool = False
) -> Path:
    """A configuration whose bus is a recording of the reference car, in a folder of its own."""
    write_log(folder / "car.log", seconds)
    if lasting:
        lasting_mapping(folder)
    config = folder / "tbox.toml"
    config.write_text(
        f"""[vehicle]
vin = "{VIN}"
edition = "{edition}"
mapping = "{"lasting.toml" if lasting else "shipped:reference_ev.toml"}"
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
