"""Encoding and decoding of a realtime report, 7 bodies and 96 cells, beside rtm-con on the same packet."""

import json
import subprocess
import sys
import timeit
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from agent.core.dataunit import DataUnit, decode_data_unit, encode_data_unit
from agent.core.editions import EDITIONS
from agent.core.packet import COMMAND, PLAIN, Packet, build_packet, time_bytes

PEER = "rtm-con 1.0.4"
TARGET_US = 60
REPEATS = 15
ROUNDS = 200

_EDITION = EDITIONS["2016"]
_REALTIME = _EDITION.command_ids["realtime"]
_VIN = b"LGBTEST0000000017"
_COLLECTED_AT = 1741915613

# An electric car that drives: one motor, one pack of 96 cells and 32 probes, no alarm.
_BODIES: dict[str, dict[str, Any]] = {
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


def measure() -> list[dict[str, Any]]:
    """Rows of `tbox-bench perf`: microseconds of one packet, the best of several runs on each side."""
    bodies = [(_EDITION.body_types[name], values) for name, values in _BODIES.items()]
    raw = _encode(bodies)
    own = {"encode": _best_us(lambda: _encode(bodies)), "decode": _best_us(lambda: _decode(raw))}
    peer = _peer_us(raw)
    return [_row(name, value, peer.get(name)) for name, value in own.items()]


def _row(name: str, value: float, peer_value: float | None) -> dict[str, Any]:
    return {
        "name": name,
        "value": round(value, 1),
        "unit": "us",
        "peer": PEER if peer_value is not None else "peer not installed",
        "peer_value": round(peer_value, 1) if peer_value is not None else None,
        "ratio": round(value / peer_value, 3) if peer_value is not None else None,
        "target": f"<= {TARGET_US}",
        "met": value <= TARGET_US,
    }


def _best_us(work: Callable[[], object]) -> float:
    return min(timeit.repeat(work, number=ROUNDS, repeat=REPEATS)) / ROUNDS * 1e6


def _encode(bodies: list[tuple[int, dict[str, Any]]]) -> bytes:
    unit = encode_data_unit(_EDITION, _REALTIME, DataUnit(time_bytes(_COLLECTED_AT), None, bodies))
    return build_packet(_EDITION.start, _REALTIME, COMMAND, _VIN, PLAIN, unit)


def _decode(raw: bytes) -> DataUnit:
    packet = Packet(raw)
    return decode_data_unit(_EDITION, packet.command, packet.unit, packet.response)


def _peer_us(raw: bytes) -> dict[str, float]:
    """The times that rtm-con takes, measured inside its own process; nothing without it."""
    if find_spec("rtm_con") is None:
        return {}
    script = Path(__file__).with_name("rtm_con_timing.py")
    arguments = [sys.executable, str(script), raw.hex(), str(REPEATS), str(ROUNDS // 10)]
    result = subprocess.run(arguments, capture_output=True, text=True, check=True)
    times: dict[str, float] = json.loads(result.stdout)
    return times
