"""Bodies of a sample: what is worked out from signals, and what is sent when something is not known."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mapped import Car

from agent.core.editions import EDITIONS
from agent.core.report import encode_report

BYTE_SIGNALS = "\n".join(f' SG_ B{index} : {8 * index}|8@1+ (1,0) [0|0] "" A' for index in range(8))
BYTES = f"BO_ 256 M: 8 A\n{BYTE_SIGNALS}\nBO_ 257 N: 8 A\n{BYTE_SIGNALS}"
MOTOR = """BO_ 512 MCU1: 4 A
 SG_ Speed : 0|16@1- (1,0) [0|0] "rpm" A
 SG_ Torque : 16|16@1- (0.1,0) [0|0] "Nm" A
BO_ 513 MCU2: 4 A
 SG_ Speed : 0|16@1- (1,0) [0|0] "rpm" A
 SG_ Torque : 16|16@1- (0.1,0) [0|0] "Nm" A"""


def test_every_item_without_a_source_says_so_and_the_sample_can_be_sent(tmp_path: Path) -> None:
    sections = "[vehicle]\n[fuel_cell]\n[engine]\n[position]\n[extremes]\n[alarms]\n[[drive_motors.motors]]\n"
    car = Car(tmp_path, BYTES, sections)
    sample = car.sample()
    assert sample[1] == {
        **dict.fromkeys(("vehicle_state", "charging_state", "run_mode", "soc", "dcdc_state"), 0xFF),
        **dict.fromkeys(("speed", "total_voltage", "total_current", "insulation_resistance"), 0xFFFF),
        "odometer": 0xFFFFFFFF,
        "gear": 0,
        "accelerator": 0xFF,
        "brake": 0xFF,
    }
    assert sample[5] == {"status": 1, "longitude": 0, "latitude": 0}
    assert set(sample[6].values()) == {0xFF, 0xFFFF}
    assert sample[7] == {
        "level": 0xFF,
        "flags": 0,
        **dict.fromkeys(("storage_faults", "motor_faults", "engine_faults", "other_faults"), 0xFF),
    }
    assert sample[3]["probes"] == []
    assert sample[2]["motors"][0]["number"] == 1
    assert len(encode_report(EDITIONS["2016"], car.sampler.sample(car.latest, 0))) == 1
    assert all(item.kind == "absent" for item in car.mapping.items if not item.path.endswith(".number"))


@pytest.mark.parametrize(
    ("torque", "speed", "vehicle", "state"),
    [
        (100, 1000, 1, 1),  # consuming
        (-100, 1000, 1, 2),  # generating
        (-100, -1000, 1, 1),
        (0, 1000, 1, 4),  # ready
        (100, 0, 1, 4),
        (0, 0, 0, 3),  # off, as the vehicle is
        (0, 0, 9, 4),  # the vehicle's state is not known
        (100, -32768, 1, 0xFF),  # speed is out of range
    ],
)
def test_motor_state_follows_torque_and_speed(
    tmp_path: Path, torque: int, speed: int, vehicle: int, state: int
) -> None:
    sections = """[vehicle]
vehicle_state = { signal = "b.M.B0", values = { 0 = "off", 1 = "started" } }
[[drive_motors.motors]]
repeat = 2
speed = "b.MCU{n}.Speed"
torque = "b.MCU{n}.Torque"
"""
    car = Car(tmp_path, BYTES + "\n" + MOTOR, sections)
    car.keep(256, bytes([vehicle, *[0] * 7]))
    car.keep(513, speed.to_bytes(2, "little", signed=True) + torque.to_bytes(2, "little", signed=True))
    first, second = car.sample()[2]["motors"]
    assert (second["number"], second["state"]) == (2, state)
    assert (first["number"], first["state"]) == (1, 0xFF)  # nothing received
    assert car.item("drive_motors.motors[2].state").kind == "derived"


LISTS = """[extremes]
[[storage_voltages.subsystems]]
repeat = 2
cells = { signal = "b.V{g}.C{n}", count = COUNT }
[[storage_temperatures.subsystems]]
probes = { signal = "b.T.C{n}", count = 4, unit = "degC" }
"""


def list_messages(cells: int) -> str:
    text = []
    for message, can_id, bits in (("V1", 0x300, 16), ("V2", 0x301, 16), ("T", 0x302, 8)):
        count = cells if bits == 16 else 4
        text.append(f"BO_ {can_id} {message}: {count * bits // 8} A")
        unit = "mV" if bits == 16 else ""
        sign = "-" if bits == 8 else "+"
        text += [f' SG_ C{n + 1} : {n * bits}|{bits}@1{sign} (1,0) [0|0] "{unit}" A' for n in range(count)]
    return "\n".join(text)


@given(
    first=st.lists(st.integers(0, 3), min_size=5, max_size=5),
    second=st.lists(st.integers(0, 3), min_size=5, max_size=5),
)
@example(first=[0, 2, 0, 2, 1], second=[1, 2, 0, 1, 1])  # the second list has no more than the first
@example(first=[3, 1, 1, 1, 3], second=[3, 2, 0, 2, 0])  # it has more both ways
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_extremes_are_those_of_the_lists_with_the_lowest_number(
    first: list[int], second: list[int], tmp_path: Path
) -> None:
    car = Car(tmp_path, list_messages(5), LISTS.replace("COUNT", "5"))
    # 3 stands for a value out of the field's range: not a candidate.
    volts = [[{0: 3000, 1: 3001, 2: 3002, 3: 65000}[one] for one in cells] for cells in (first, second)]
    for can_id, cells in zip((0x300, 0x301), volts, strict=True):
        car.keep(can_id, b"".join(cell.to_bytes(2, "little") for cell in cells))
    body = car.sample()[6]
    known = [
        (cell, group, number)
        for group, cells in enumerate(volts, 1)
        for number, cell in enumerate(cells, 1)
        if cell < 60001
    ]
    if not known:
        assert set(body.values()) == {0xFF, 0xFFFF}
        return
    high = min(known, key=lambda one: (-one[0], one[1], one[2]))
    low = min(known)
    assert (body["max_cell_voltage"], body["max_voltage_subsystem"], body["max_voltage_cell"]) == high
    assert (body["min_cell_voltage"], body["min_voltage_subsystem"], body["min_voltage_cell"]) == low
    assert body["max_temperature"] == 0xFF


def test_extreme_temperatures_keep_their_sign_and_a_mapped_extreme_goes_first(tmp_path: Path) -> None:
    sections = LISTS.replace("COUNT", "5").replace("[extremes]", '[extremes]\nmax_cell_voltage = "b.V1.C5"')
    car = Car(tmp_path, list_messages(5), sections)
    car.keep(0x302, bytes([246, 5, 246, 3]))  # -10, 5, -10, 3 degC
    car.keep(0x300, b"\x01\x0f" * 4 + b"\x00\x0f")
    body = car.sample()[6]
    assert (body["min_temperature"], body["min_temperature_probe"]) == (30, 1)
    assert (body["max_temperature"], body["max_temperature_probe"]) == (45, 2)
    assert (body["max_cell_voltage"], body["max_voltage_cell"]) == (0xF00, 1)


def test_a_cell_number_that_does_not_fit_its_byte_is_invalid_while_the_value_stays(tmp_path: Path) -> None:
    text = ['BO_ 768 V: 8 A\n SG_ Page M : 0|16@1+ (1,0) [0|0] "" A']
    text += [f' SG_ C{n} m{n} : 16|16@1+ (1,0) [0|0] "mV" A' for n in range(1, 261)]
    car = Car(
        tmp_path, "\n".join(text), '[extremes]\n[storage_voltages]\ncells = { signal = "b.V.C{n}", count = 260 }\n'
    )
    for number in range(1, 261):
        car.keep(768, number.to_bytes(2, "little") + (3000 + number).to_bytes(2, "little") + bytes(4))
    body = car.sample()[6]
    assert (body["max_cell_voltage"], body["max_voltage_cell"]) == (3260, 0xFF)
    assert (body["min_cell_voltage"], body["min_voltage_cell"]) == (3001, 1)
    assert len(encode_report(EDITIONS["2016"], car.sampler.sample(car.latest, 0))) == 2


PACK = '[vehicle]\ntotal_voltage = "b.M.B0"\ntotal_current = { signal = "b.M.B1", sign = -1 }\n'


def test_the_only_subsystem_has_the_vehicles_voltage_and_current(tmp_path: Path) -> None:
    car = Car(tmp_path, BYTES, PACK + '[storage_voltages]\ncells = ["b.M.B2", { constant = 3.5 }]\n')
    car.keep(256, "64 0A 04 0000000000")
    (subsystem,) = car.sample()[8]["subsystems"]
    assert subsystem == {
        "number": 1,
        "voltage": 1000,
        "current": 9900,
        "total_cells": 2,
        "start_cell": 1,
        "cells": [4000, 3500],
    }
    assert car.item("storage_voltages.voltage").source == "vehicle.total_voltage"


def test_of_several_subsystems_none_has_the_vehicles_voltage(tmp_path: Path) -> None:
    group = '[[storage_voltages.subsystems]]\ncells = ["b.M.B2"]\n'
    car = Car(tmp_path, BYTES, PACK + group + group.replace("B2", "B3"))
    car.keep(256, "64 0A 04 0000000000")
    assert [group["voltage"] for group in car.sample()[8]["subsystems"]] == [0xFFFF, 0xFFFF]


ALARMS = """[messages."b.N"]
timeout_ms = 100
[alarms]
default_level = 2
flags.soc_low = "b.M.B0"
flags.insulation = { expression = "b.N.B0 < 5" }
flags.soc_high = { signal = "b.M.B1", values = { 1 = true, 2 = false } }
levels = { insulation = 3 }
storage_faults = { signal = "b.M.B{n}", count = 2, first = 2 }
motor_faults = ["b.N.B1"]
engine_faults = []
"""


def test_alarm_level_is_the_highest_of_the_flags_set(tmp_path: Path) -> None:
    car = Car(tmp_path, BYTES, ALARMS)
    for first, other, flags, level in (
        ("00 02", "05", 0, 0),
        ("01 02", "05", 1 << 4, 2),
        ("01 01", "04", 1 << 4 | 1 << 7 | 1 << 11, 3),
    ):
        car.keep(256, first + "000000000000")
        car.keep(257, other + "00000000000000")
        body = car.sample()[7]
        assert (body["flags"], body["level"]) == (flags, level)
    assert car.sampler.stale_alarms == 0


def test_a_silent_alarm_source_clears_its_bits_and_the_level(tmp_path: Path) -> None:
    car = Car(tmp_path, BYTES, ALARMS)
    car.keep(256, "0102000000000000")
    car.keep(257, "0400000000000000")
    assert car.sample(100)[7]["level"] == 3
    body = car.sample(101)[7]
    assert (body["flags"], body["level"], car.sampler.stale_alarms) == (1 << 4, 0xFF, 1)
    car.keep(256, "0103000000000000", 101)  # 3 is neither set nor clear
    car.keep(257, "0900000000000000", 101)
    assert car.sample(101)[7]["level"] == 0xFF


def test_a_mapped_level_that_falls_silent_is_a_stale_alarm(tmp_path: Path) -> None:
    car = Car(tmp_path, BYTES, '[messages."b.M"]\ntimeout_ms = 100\n[alarms]\nlevel = "b.M.B0"\n')
    car.keep(256, "0300000000000000")
    assert (car.sample(100)[7]["level"], car.sampler.stale_alarms) == (3, 0)
    assert (car.sample(101)[7]["level"], car.sampler.stale_alarms) == (0xFF, 1)


def test_fault_lists_leave_out_zero_and_are_invalid_while_a_code_is_not_known(tmp_path: Path) -> None:
    car = Car(tmp_path, BYTES, ALARMS)
    car.keep(256, "0000 00 07 00000000")
    body = car.sample()[7]
    assert (body["storage_faults"], body["motor_faults"]) == ([7], 0xFF)
    assert (body["engine_faults"], body["other_faults"]) == ([], 0xFF)
    car.keep(257, "00 00 000000000000")
    assert car.sample()[7]["motor_faults"] == []


POSITION = """[messages."b.G"]
timeout_ms = 100
[position]
longitude = "b.G.Lon"
latitude = "b.G.Lat"
"""
GNSS = """BO_ 1024 G: 9 A
 SG_ Lon : 0|32@1- (0.0000001,0) [0|0] "deg" A
 SG_ Lat : 32|32@1- (0.0000001,0) [0|0] "deg" A
 SG_ Fix : 64|8@1+ (1,0) [0|0] "" A"""


def place(longitude: int, latitude: int, fix: int = 1) -> bytes:
    return longitude.to_bytes(4, "little", signed=True) + latitude.to_bytes(4, "little", signed=True) + bytes([fix])


@pytest.mark.parametrize(
    ("longitude", "latitude", "expected"),
    [
        (1163971280, 399165270, (0, 116397128, 39916527)),
        (-1163971285, 399165274, (4, 116397129, 39916527)),  # half a count goes away from zero
        (1163971280, -5, (2, 116397128, 1)),
        (-1, -4, (0, 0, 0)),
        (-1800000000, -900000000, (6, 180000000, 90000000)),
    ],
)
def test_degrees_become_magnitudes_and_status_bits(
    tmp_path: Path, longitude: int, latitude: int, expected: tuple[int, int, int]
) -> None:
    car = Car(tmp_path, GNSS, POSITION)
    car.keep(1024, place(longitude, latitude))
    assert tuple(car.sample()[5].values()) == expected


def test_without_a_fix_the_last_valid_place_stays(tmp_path: Path) -> None:
    car = Car(tmp_path, GNSS, POSITION + 'valid = { signal = "b.G.Fix", values = { 0 = false, 1 = true } }\n')
    found: list[Any] = []
    steps = [
        (0, place(0, 0, 0)),
        (10, place(-20000000, 30000000)),
        (20, place(0, 0, 0)),
        (30, place(1810000000, 0)),
        (300, None),
    ]
    for now, data in steps:
        if data is not None:
            car.keep(1024, data, now)
        found.append(tuple(car.sample(now)[5].values()))
    last = (5, 2000000, 3000000)
    assert found == [(1, 0, 0), (4, 2000000, 3000000), last, last, last]


def test_a_place_without_its_fix_signal_is_not_valid(tmp_path: Path) -> None:
    fix = 'BO_ 1025 F: 1 A\n SG_ Fix : 0|8@1+ (1,0) [0|0] "" A'
    timeout = '[messages."b.F"]\ntimeout_ms = 50\n'
    car = Car(tmp_path, f"{GNSS}\n{fix}", f'{timeout}{POSITION}valid = "b.F.Fix"\n')
    car.keep(1024, place(20000000, 30000000))
    car.keep(1025, "01")
    assert car.sample(50)[5]["status"] == 0
    assert car.sample(51)[5]["status"] == 1


@pytest.mark.parametrize(
    ("gear", "expected"),
    [
        ('gear = { signal = "b.M.B0", values = { 3 = "D", 4 = 2 } }', [0x0E, 0x02, 0]),
        (
            'gear = { gear = { signal = "b.M.B0", values = { 3 = "D", 4 = 2 } }, driving_force = "b.M.B1" }',
            [0x2E, 0x22, 0],
        ),
        (
            'gear = { gear = { signal = "b.M.B0", values = { 3 = "D", 4 = 2 } }, braking_force = "b.N.B1" }',
            [0x0E, 0x02, 0],
        ),
        ('gear = { driving_force = "b.M.B1" }', [0, 0, 0]),
    ],
)
def test_gear_is_put_together_from_its_parts(tmp_path: Path, gear: str, expected: list[int]) -> None:
    car = Car(tmp_path, BYTES, "[vehicle]\n" + gear + "\n")
    found = []
    for raw in (3, 4, 5):
        car.keep(256, bytes([raw, 1, *[0] * 6]))
        found.append(car.sample()[1]["gear"])
    assert found == expected


def test_declared_codes_are_invalid_or_abnormal_never_numbers(tmp_path: Path) -> None:
    sections = '[vehicle]\nsoc = { signal = "b.M.B0", not_available_raw = [0, 100], abnormal_raw = [0x63] }\n'
    car = Car(tmp_path, BYTES, sections)
    found = []
    for raw in (0, 1, 98, 99, 100, 101, 255):
        car.keep(256, bytes([raw] * 8))
        found.append(car.sample()[1]["soc"])
    assert found == [0xFF, 1, 98, 0xFE, 0xFF, 0xFF, 0xFF]


def test_an_unlisted_value_of_an_enumeration_is_invalid(tmp_path: Path) -> None:
    sections = """[vehicle]
vehicle_state = { signal = "b.M.B0", values = { 0 = "off", 1 = "started" } }
charging_state = "b.M.B0"
run_mode = { expression = '"electric" if b.M.B0 == 1 else b.M.B0' }
brake = { signal = "b.M.B0", values = { 0 = 0, 1 = 101 } }
"""
    car = Car(tmp_path, BYTES, sections)
    found = []
    for raw in (0, 1, 2, 4, 5):
        car.keep(256, bytes([raw] * 8))
        body = car.sample()[1]
        found.append((body["vehicle_state"], body["charging_state"], body["run_mode"], body["brake"]))
    assert found == [
        (2, 0xFF, 0xFF, 0),
        (1, 1, 1, 101),
        (0xFF, 2, 2, 0xFF),
        (0xFF, 4, 0xFF, 0xFF),
        (0xFF, 0xFF, 0xFF, 0xFF),
    ]
    assert any("charging_state" in warning for warning in car.mapping.warnings)


@pytest.mark.parametrize(("raw", "state"), [(4, 2), (3, 0xFF), (9, 0xFF)])
def test_an_expression_is_a_word_only_where_it_is_exactly_one(tmp_path: Path, raw: int, state: int) -> None:
    car = Car(tmp_path, BYTES, '[vehicle]\nvehicle_state = { expression = "b.M.B0 / 2" }\n')
    car.keep(256, bytes([raw]) + bytes(7))
    assert car.sample()[1]["vehicle_state"] == state
