"""A mapping is compiled by the tables of an edition alone; one file serves several."""

from pathlib import Path
from typing import Any

import pytest
from mapped import HEAD, write

from agent.core.dataunit import decode_bodies
from agent.core.frames import LatestFrames
from agent.core.report import encode_report
from agent.core.sampler import Sampler
from agent.errors import ConfigError
from agent.signalmap import CompiledMapping, load_mapping

BYTES = "BO_ 256 M: 8 A\n" + "\n".join(f' SG_ B{index} : {8 * index}|8@1+ (1,0) [0|0] "" A' for index in range(8))
BOTH = HEAD.replace('"2016"', '["2016", "2025"]')
SECTIONS = """
[vehicle]
total_voltage = "b.M.B0"
total_current = "b.M.B0"
accelerator = "b.M.B0"
gear = { signal = "b.M.B6", values = { 4 = "D" } }
[drive_motors]
speed = "b.M.B1"
torque = "b.M.B2"
controller_voltage = "b.M.B3"
[position]
longitude = "b.M.B1"
latitude = "b.M.B2"
[extremes]
[storage_voltages]
cells = { signal = "b.M.B{n}", count = 3 }
[alarms]
flags = { soc_low = "b.M.B0", insulation = "b.M.B7", thermal_event = "b.M.B5" }
levels = { insulation = 3 }
[unit_voltages]
cells = { signal = "b.M.B{n}", count = 3 }
[battery_temperatures]
probes = ["b.M.B3"]
[supercapacitor]
cells = { signal = "b.M.B{n}", count = 2, first = 4 }
probes = { signal = "b.M.B{n}", count = 2, first = 6 }
[supercapacitor_extremes]
"""
DATA = bytes([5, 1, 2, 3, 4, 6, 20, 10])


def compiled(folder: Path, edition: str, sections: str = SECTIONS, head: str = BOTH) -> CompiledMapping:
    return load_mapping(write(folder, BYTES, sections, head=head), edition, cache=False)


def sample(mapping: CompiledMapping, data: bytes = DATA) -> dict[int, dict[str, Any]]:
    """One sample; also through the wire and back, which must change nothing."""
    latest = LatestFrames(mapping.plan)
    latest.keep(0, 256, data, 0)
    bodies = Sampler(mapping.plan).sample(latest, 0)
    (encoded,) = encode_report(mapping.edition, bodies)
    assert decode_bodies(mapping.edition, encoded) == (bodies, b"")
    return dict(bodies)


def test_every_body_of_2025_comes_from_its_tables(tmp_path: Path) -> None:
    bodies = sample(compiled(tmp_path, "2025"))
    assert sorted(bodies) == [1, 2, 5, 6, 7, 8, 0x31, 0x32]
    assert "accelerator" not in bodies[1]
    assert (bodies[1]["total_current"], bodies[1]["gear"]) == (30050, 0x80)
    assert bodies[2]["motors"][0] | {"state": 1} == {
        "number": 1,
        "state": 1,
        "controller_temperature": 0xFF,
        "speed": 32001,
        "torque": 200020,
        "temperature": 0xFF,
    }
    assert bodies[5] == {"coordinate_system": 1, "status": 0, "longitude": 1000000, "latitude": 2000000}
    # A thermal event is level 4 by the standard, whatever the default level.
    levels = [{"bit": 4, "level": 1}, {"bit": 11, "level": 3}, {"bit": 23, "level": 4}]
    assert (bodies[6]["general_levels"], bodies[6]["level"]) == (levels, 4)
    pack = {"number": 1, "voltage": 50, "current": 30050, "cells": [1000, 2000, 3000]}
    assert bodies[7] == {"packs": [pack]}
    assert bodies[8] == {"packs": [{"number": 1, "probes": [43]}]}
    assert (bodies[0x31]["number"], bodies[0x31]["cells"]) == (1, [4000, 6000])
    extremes = bodies[0x32]
    assert (extremes["max_voltage_system"], extremes["max_voltage_cell"], extremes["max_cell_voltage"]) == (1, 2, 6000)
    assert (extremes["min_temperature_system"], extremes["min_temperature_probe"]) == (1, 2)
    assert extremes["min_temperature"] == 50


def test_the_same_file_serves_2016_without_what_only_2025_has(tmp_path: Path) -> None:
    bodies = sample(compiled(tmp_path, "2016"))
    assert sorted(bodies) == [1, 2, 5, 6, 7, 8]
    assert (bodies[1]["accelerator"], bodies[1]["gear"]) == (5, 0)
    assert bodies[2]["motors"][0]["controller_voltage"] == 30
    assert bodies[6]["max_cell_voltage"] == 3000
    assert bodies[7]["flags"] == 1 << 4 | 1 << 11
    assert bodies[8]["subsystems"][0]["cells"] == [1000, 2000, 3000]


def test_what_another_edition_has_is_a_fault_unless_the_mapping_was_written_for_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        compiled(tmp_path, "2025", head=HEAD.replace("2016", "2025"))
    named = [fault.split(": ")[0] for fault in caught.value.faults]
    assert named == ["extremes", "storage_voltages", "vehicle.accelerator", "drive_motors.controller_voltage"]


@pytest.mark.parametrize("edition", ["2016", "2025"])
def test_what_no_edition_has_is_a_fault_in_each(tmp_path: Path, edition: str) -> None:
    sections = SECTIONS.replace("accelerator", "acelerator").replace("soc_low", "soc_lo")
    with pytest.raises(ConfigError) as caught:
        compiled(tmp_path, edition, sections)
    named = [fault.split(": ")[0] for fault in caught.value.faults]
    assert named == ["vehicle.acelerator", "alarms.flags.soc_lo"]


def test_a_gear_that_is_known_has_no_invalid_bit(tmp_path: Path) -> None:
    mapping = compiled(tmp_path, "2025")
    assert sample(mapping, bytes([0, 0, 0, 0, 0, 0, 4, 0]))[1]["gear"] == 14
    assert sample(mapping, bytes([0, 0, 0, 0, 0, 0, 5, 0]))[1]["gear"] == 0x80
    assert [item.path for item in mapping.items if item.path.startswith("vehicle.gear")] == [
        "vehicle.gear.gear",
        "vehicle.gear.driving_force",
        "vehicle.gear.braking_force",
    ]


@pytest.mark.parametrize(("word", "raw"), [("gcj02", 2), ("other", 3)])
def test_a_module_may_deliver_other_coordinates(tmp_path: Path, word: str, raw: int) -> None:
    sections = SECTIONS.replace("[position]", f'[position]\ncoordinate_system = {{ constant = "{word}" }}')
    assert sample(compiled(tmp_path, "2025", sections))[5]["coordinate_system"] == raw
    assert "coordinate_system" not in sample(compiled(tmp_path, "2016", sections))[5]


def test_the_receivers_coordinates_are_not_a_missing_item(tmp_path: Path) -> None:
    items = {item.path: item for item in compiled(tmp_path, "2025").items}
    assert items["position.coordinate_system"].kind == "derived"
    assert items["supercapacitor.number"].kind == "derived"
    assert not items["position.coordinate_system"].spoils


def test_a_thermal_event_of_another_level_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"alarms.levels.thermal_event: is 2; the standard says 4"):
        compiled(tmp_path, "2025", SECTIONS.replace("insulation = 3", "insulation = 3, thermal_event = 2"))


def test_hundreds_of_cells_of_two_packs_travel_in_one_packet(tmp_path: Path) -> None:
    cells = ", ".join(['"b.M.B0"', *(f"{{ constant = {n / 1000} }}" for n in range(1, 300))])
    sections = f"""
[[unit_voltages.packs]]
repeat = 2
voltage = "b.M.B{{n}}"
cells = [{cells}]
[[battery_temperatures.packs]]
repeat = 2
probes = ["b.M.B{{g}}"]
"""
    mapping = compiled(tmp_path, "2025", sections)
    packs = sample(mapping)[7]["packs"]
    assert [(pack["number"], pack["voltage"], pack["current"]) for pack in packs] == [(1, 10, 0xFFFF), (2, 20, 0xFFFF)]
    assert packs[1]["cells"] == [5000, *range(1, 300)]
    assert [pack["probes"] for pack in sample(mapping)[8]["packs"]] == [[41], [42]]


def test_fuel_cell_bodies(tmp_path: Path) -> None:
    sections = """
[hydrogen]
max_hydrogen_temperature = "b.M.B0"
max_hydrogen_concentration = { signal = "b.M.B1", factor = 0.01 }
remaining_hydrogen = "b.M.B6"
[[fuel_cell_stacks.stacks]]
repeat = 2
voltage = "b.M.B{n}"
air_inlet_pressure = "b.M.B7"
probes = { signal = "b.M.B{n}", count = 2, first = 3 }
"""
    bodies = sample(compiled(tmp_path, "2025", sections))
    hydrogen = {"max_hydrogen_temperature": 45, "max_hydrogen_concentration": 100, "remaining_hydrogen": 20}
    assert hydrogen.items() <= bodies[3].items()
    assert bodies[3]["max_hydrogen_pressure"] == 0xFFFF
    stacks = bodies[0x30]["stacks"]
    assert [(stack["number"], stack["voltage"], stack["air_inlet_pressure"]) for stack in stacks] == [
        (1, 10, 1100),
        (2, 20, 1100),
    ]
    assert stacks[0]["probes"] == [43, 44]
