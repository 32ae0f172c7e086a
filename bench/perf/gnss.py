"""Row `gnss`: a drive of 62 s with a receiver on CAN, recorded as MF4, replayed into packets: the positions are cantools' decode.

The peer reads the same drive from its candump log with python-can, so that no line of ours stands on both sides.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.perf import rig

DRIVE, CHANNEL, BUS = "css/gnss_62s_3BA199E2", "can2", "2"
DBC, MESSAGE = "css/canmod-gnss.dbc", "GnssPosition"
LEAST = 60  # seconds with a position in a drive of 62
TIMEOUT_S = 60
CONFIG = """\
[vehicle]
vin = "{vin}"
mapping = "shipped:gnss_on_can.toml"
[[can]]
name = "gps"
interface = "virtual"
channel = "{bus}"
[platform]
host = "127.0.0.1"
[report]
interval_s = 1
"""
Position = tuple[bool, int, int]  # valid; latitude and longitude in millionths of a degree, north and east positive


def measure() -> list[dict[str, Any]]:
    """One row: how many positions differ."""
    if not (data := os.environ.get("TBOX_DATA")):
        raise rig.RigError("TBOX_DATA does not name the folder with the recordings")
    ours = _replayed(Path(data, f"{DRIVE}.MF4"))
    pairs = paired(ours, _decoded(Path(data)))
    wrong = sum(mine != other for mine, other in pairs)
    return [
        rig.figure(
            "gnss",
            wrong,
            "positions that differ",
            f"0 of {LEAST} or more",
            wrong == 0 and len(pairs) >= LEAST,
            peer="cantools decode",
            note=f"{len(pairs)} positions compared, {len(ours)} packets",
        )
    ]


def paired(ours: list[Position | None], newest: dict[int, Position]) -> list[tuple[Position | None, Position]]:
    """Each packet's position and the newest before its sample; `newest` by the second in which it came, from the first on.

    Packet n is sampled at the end of second n of the recording, the last one at its end.
    """
    pairs: list[tuple[Position | None, Position]] = []
    known: Position | None = None
    for number, position in enumerate(ours):
        known = newest.get(number, known)
        if known is not None:
            pairs.append((position, known))
    return pairs


def _replayed(recording: Path) -> list[Position | None]:
    """The position in each packet of `tbox replay`."""
    with rig.scratch() as folder:
        config = Path(folder, "tbox.toml")
        config.write_text(CONFIG.format(vin=rig.VIN, bus=BUS))
        command = [sys.executable, "-m", "agent.cli", "replay", str(recording), "-c", str(config), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode:
        raise rig.RigError(f"tbox replay ended with {done.returncode}: {done.stderr.strip()[-rig.LAST_WORDS :]}")
    return [_position(json.loads(line)) for line in done.stdout.splitlines()]


def _position(packet: dict[str, Any]) -> Position | None:
    for body in packet["bodies"]:
        if body["body"] == "position" and body["latitude"] is not None:
            return body["valid"], _millionths(body["latitude"]), _millionths(body["longitude"])
    return None


def _decoded(data: Path) -> dict[int, Position]:
    """The last position of each second, counted from the recording's first."""
    import can
    import cantools

    database: Any = cantools.database.load_file(data / DBC)
    message = database.get_message_by_name(MESSAGE)
    found: dict[int, Position] = {}
    first = -1
    for frame in can.CanutilsLogReader(data / f"{DRIVE}.log"):
        second = round(frame.timestamp * 1e6) // 1_000_000
        first = second if first < 0 else first
        if frame.channel == CHANNEL and frame.arbitration_id == message.frame_id:
            said = message.decode(frame.data, decode_choices=False)
            latitude, longitude = _millionths(said["Latitude"]), _millionths(said["Longitude"])
            found[second - first] = bool(said["PositionValid"]), latitude, longitude
    return found


def _millionths(degrees: float) -> int:
    return round(degrees * 1e6)
