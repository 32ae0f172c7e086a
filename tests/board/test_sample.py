"""A mapping with every kind of row gives the same samples under MicroPython and CPython."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

from agent.signalmap import load_mapping

SCRIPT = Path(__file__).parent / "sampling" / "sample.py"
BYTES = 16

DBC = f"""VERSION ""
BU_: A
BO_ 256 Plain: {BYTES} A
 SG_ Little : 3|13@1- (0.25,-7) [0|0] "V" A
 SG_ Big : 23|16@0+ (0.1,0) [0|0] "V" A
 SG_ Half : 32|16@1- (1,0) [0|0] "A" A
 SG_ Double : 71|64@0- (1,0) [0|0] "degC" A
 SG_ Code : 48|3@1+ (1,0) [0|0] "" A
 SG_ Flag : 51|1@1+ (1,0) [0|0] "" A
BO_ 257 Checked: 4 A
 SG_ Count : 0|4@1+ (1,0) [0|0] "" A
 SG_ Torque : 8|16@1- (0.1,0) [0|0] "Nm" A
 SG_ Crc : 24|8@1+ (1,0) [0|0] "" A
BO_ 258 Pages: 8 A
 SG_ Page M : 7|4@0+ (1,0) [0|0] "" A
 SG_ Cell1 m0 : 8|16@1+ (0.001,0) [0|0] "V" A
 SG_ Cell2 m1 : 8|16@1+ (0.001,0) [0|0] "V" A
 SG_ Cell3 m1 : 39|16@0+ (0.001,0) [0|0] "V" A
BO_ 2147484160 Where: 8 A
 SG_ Longitude : 0|32@1- (0.0000001,0) [0|0] "deg" A
 SG_ Latitude : 32|32@1- (0.0000001,0) [0|0] "deg" A
SIG_VALTYPE_ 256 Half : 1;
SIG_VALTYPE_ 256 Double : 2;
"""
MAPPING = """
format = 1
name = "everything"
edition = "2016"
[dbc.b]
files = ["all.dbc"]
[messages."b.Checked"]
alive_counter = "Count"
checksum = { signal = "Crc", kind = "crc8", polynomial = 0x1D, initial = 0xFF, xor_out = 0xFF }
[vehicle]
vehicle_state = { signal = "b.Plain.Code", values = { 0 = "off", 1 = "started" }, abnormal_raw = [7] }
speed = { expression = "abs(b.Plain.Little) / 3 + (0.1 if b.Plain.Flag and not b.Plain.Code > 3 else 1e-3)" }
total_voltage = "b.Plain.Big"
total_current = { signal = "b.Plain.Half", sign = -1 }
gear = { gear = { signal = "b.Plain.Code", values = { 0 = "P", 1 = "D", 2 = "R" } }, braking_force = "b.Plain.Flag" }
[drive_motors]
torque = "b.Checked.Torque"
speed = { signal = "b.Plain.Little", unit = "r/min" }
temperature = "b.Plain.Double"
[position]
longitude = "b.Where.Longitude"
latitude = "b.Where.Latitude"
[extremes]
[storage_voltages]
cells = { signal = "b.Pages.Cell{n}", count = 3 }
[alarms]
flags = { soc_low = "b.Plain.Flag", insulation = { expression = "b.Checked.Torque > 100" } }
levels = { insulation = 3 }
storage_faults = [{ signal = "b.Plain.Code" }]
"""


def crc8(data: bytes) -> int:
    value = 0xFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ 0x1D if value & 0x80 else value << 1) & 0xFF
    return value ^ 0xFF


def a_second(random_: random.Random, now: int) -> list[list[object]]:
    """Frames of one second: some missing, some short, some damaged, some of unknown pages and identifiers."""
    counted = bytes([random_.randrange(4), random_.randrange(256), random_.randrange(256)])
    half = random_.choice([0x4248, 0xC900, 0x0001, 0x7C00, 0x7E00, 0x5640])
    plain = bytearray(random_.randbytes(BYTES))
    plain[4:6] = half.to_bytes(2, "little")
    if random_.random() < 0.5:
        plain[8:16] = bytes.fromhex("4038800000000000")  # 24.5
    frames: list[tuple[int, bytes]] = [
        (0x100, bytes(plain[: random_.choice([BYTES, BYTES, 7])])),
        (0x101, counted + bytes([crc8(counted) ^ (random_.random() < 0.2)])),
        (0x102, bytes([random_.randrange(4) << 4]) + random_.randbytes(7)),
        (0x80000200, random_.randbytes(8) if random_.random() < 0.3 else bytes.fromhex("C0BD5645D0C0CA17")),
        (0x7FF, b""),
    ]
    return [[0, can_id, data.hex(), now] for can_id, data in frames if random_.random() < 0.8]


def test_samples_under_micropython_equal_those_under_cpython(micropython: str, root: Path, tmp_path: Path) -> None:
    (tmp_path / "all.dbc").write_text(DBC)
    (tmp_path / "all.toml").write_text(MAPPING)
    plan = load_mapping(tmp_path / "all.toml", "2016", cache=False).plan
    random_ = random.Random(1)
    lines = [plan, *([now, a_second(random_, now)] for now in range(0, 400_000, 1000))]
    case = tmp_path / "case"
    case.write_text("".join(json.dumps(line) + "\n" for line in lines))
    outputs = []
    for program, variable in ((micropython, "MICROPYPATH"), (sys.executable, "PYTHONPATH")):
        env = {**os.environ, variable: str(root)}
        done = subprocess.run([program, SCRIPT, case], capture_output=True, text=True, timeout=120, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
        outputs.append([json.loads(line) for line in done.stdout.splitlines()])
    assert outputs[0] == outputs[1]
    *samples, counters = outputs[1]
    assert len(samples) == 400
    assert all(counters), counters  # every kind of fault occurred
