"""Encoding and decoding of a realtime report beside rtm-con on the same packet, and the check code beside a loop.

The report of 2016 has 7 bodies and 96 cells, that of 2025 6 bodies, 180 cells and a signature.
"""

import json
import subprocess
import sys
import timeit
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from agent.core.dataunit import DataUnit, decode_data_unit, encode_data_unit
from agent.core.edition import SIGNATURE, Edition
from agent.core.editions import EDITIONS
from agent.core.packet import COMMAND, MAX_DATA_UNIT, PLAIN, Packet, bcc, build_packet, time_bytes

PEER = "rtm-con 1.0.4"
TARGET_US = 60
TARGET_2025_US = 80
LOOP_FACTOR = 10
CELLS_2025 = 180
REPEATS = 15
ROUNDS = 200

_VIN = b"LGBTEST0000000017"
_COLLECTED_AT = 1741915613

# An electric car that drives: one motor, one pack of 96 cells and 32 probes, no alarm.
_BODIES_2016: dict[str, dict[str, Any]] = {
    "vehicle": {
        "vehicle_state": 1,
        "charging_state": 3,
        "run_mode": 1,
        "speed": 523,
        "odometer": 123456,
        "total_voltage": 3567,
        "total_current": 9876,
        "soc": 76,
        "dcdc_state": 1,
        "gear": 0x2E,
        "insulation_resistance": 2500,
        "accelerator": 35,
        "brake": 0,
    },
    "drive_motors": {
        "motors": [
            {
                "number": 1,
                "state": 1,
                "controller_temperature": 85,
                "speed": 23456,
                "torque": 20855,
                "temperature": 98,
                "controller_voltage": 3560,
                "controller_current": 10420,
            }
        ]
    },
    "position": {"status": 0, "longitude": 116397128, "latitude": 39916527},
    "extremes": {
        "max_voltage_subsystem": 1,
        "max_voltage_cell": 3,
        "max_cell_voltage": 3987,
        "min_voltage_subsystem": 1,
        "min_voltage_cell": 2,
        "min_cell_voltage": 3954,
        "max_temperature_subsystem": 1,
        "max_temperature_probe": 1,
        "max_temperature": 68,
        "min_temperature_subsystem": 1,
        "min_temperature_probe": 2,
        "min_temperature": 66,
    },
    "alarms": {
        "level": 0,
        "flags": 0,
        "storage_faults": [],
        "motor_faults": [],
        "engine_faults": [],
        "other_faults": [],
    },
    "storage_voltages": {
        "subsystems": [
            {
                "number": 1,
                "voltage": 3567,
                "current": 9876,
                "total_cells": 96,
                "start_cell": 1,
                "cells": [3950 + cell % 40 for cell in range(96)],
            }
        ]
    },
    "storage_temperatures": {"subsystems": [{"number": 1, "probes": [60 + probe % 8 for probe in range(32)]}]},
}

# The same car by the 2025 tables: one pack of 180 parallel units and 180 probes, a signature of RSA size.
_BODIES_2025: dict[str, dict[str, Any]] = {
    "vehicle": {
        name: _BODIES_2016["vehicle"][name] for name in _BODIES_2016["vehicle"] if name not in ("accelerator", "brake")
    }
    | {"total_current": 29876},
    "drive_motors": {
        "motors": [
            {"number": 1, "state": 1, "controller_temperature": 85, "speed": 35456, "torque": 200855, "temperature": 98}
        ]
    },
    "position": {"status": 0, "coordinate_system": 2, "longitude": 116397128, "latitude": 39916527},
    "alarms": _BODIES_2016["alarms"] | {"general_levels": []},
    "unit_voltages": {
        "packs": [
            {"number": 1, "voltage": 7120, "current": 29876, "cells": [3950 + cell % 40 for cell in range(CELLS_2025)]}
        ]
    },
    "battery_temperatures": {"packs": [{"number": 1, "probes": [60 + probe % 8 for probe in range(96)]}]},
    "signature": {"algorithm": 2, "r": bytes(range(256)), "s": b""},
}


def measure() -> list[dict[str, Any]]:
    """Rows of `tbox-bench perf`: microseconds of one packet, the best of several runs on each side."""
    report_2016 = Report(EDITIONS["2016"], _BODIES_2016)
    report_2025 = Report(EDITIONS["2025"], _BODIES_2025)
    return [*_both_ways(report_2016, "", TARGET_US), *_both_ways(report_2025, ", 2025", TARGET_2025_US), _check_code()]


class Report:
    """A realtime report of an edition: its bodies, and its bytes."""

    def __init__(self, edition: Edition, bodies: dict[str, dict[str, Any]]) -> None:
        types = edition.body_types | ({edition.signature.name: SIGNATURE} if edition.signature is not None else {})
        self._edition = edition
        self._command = edition.command_ids["realtime"]
        self._bodies = [(types[name], values) for name, values in bodies.items()]
        self.raw = self.encode()

    def encode(self) -> bytes:
        """The packet, from values."""
        unit = DataUnit(time_bytes(_COLLECTED_AT), None, self._bodies)
        data = encode_data_unit(self._edition, self._command, unit)
        return build_packet(self._edition.start, self._command, COMMAND, _VIN, PLAIN, data)

    def decode(self) -> DataUnit:
        """The values, from the packet."""
        packet = Packet(self.raw)
        return decode_data_unit(self._edition, packet.command, packet.unit, packet.response)


def _both_ways(report: Report, what: str, target_us: int) -> list[dict[str, Any]]:
    own = {"encode": _best_us(report.encode), "decode": _best_us(report.decode)}
    peer = _peer_us(report.raw)
    size = f"{len(report.raw)} bytes"
    return [_row(name + what, value, peer.get(name), target_us) | {"note": size} for name, value in own.items()]


def _check_code() -> dict[str, Any]:
    """The check code of the longest data unit, beside one step a byte."""
    data = bytes(n * 31 & 0xFF for n in range(MAX_DATA_UNIT))
    own, loop = _best_us(lambda: bcc(data), 20), _best_us(lambda: _loop(data), 2)
    row = _row("bcc", own, None, 0)
    faster = loop / own
    return row | {
        "peer": "a loop over the bytes",
        "peer_value": round(loop, 1),
        "ratio": round(own / loop, 3),
        "target": f"{LOOP_FACTOR} x as fast as the loop",
        "met": faster >= LOOP_FACTOR,
        "note": f"{len(data)} bytes, {faster:.0f} x as fast",
    }


def _loop(data: bytes) -> int:
    check = 0
    for byte in data:
        check ^= byte
    return check


def _row(name: str, value: float, peer_value: float | None, target_us: int) -> dict[str, Any]:
    return {
        "name": name,
        "value": round(value, 1),
        "unit": "us",
        "peer": PEER if peer_value is not None else "peer not installed",
        "peer_value": round(peer_value, 1) if peer_value is not None else None,
        "ratio": round(value / peer_value, 3) if peer_value is not None else None,
        "target": f"<= {target_us}",
        "met": value <= target_us,
    }


def _best_us(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    return min(timeit.repeat(work, number=rounds, repeat=REPEATS)) / rounds * 1e6


def _peer_us(raw: bytes) -> dict[str, float]:
    """The times that rtm-con takes, measured inside its own process; nothing without it."""
    if find_spec("rtm_con") is None:
        return {}
    script = Path(__file__).with_name("rtm_con_timing.py")
    arguments = [sys.executable, str(script), raw.hex(), str(REPEATS), str(ROUNDS // 10)]
    result = subprocess.run(arguments, capture_output=True, text=True, check=True)
    times: dict[str, float] = json.loads(result.stdout)
    return times
