"""A mapping is compiled by the tables of an edition alone: another edition with other bodies needs no change of code."""

import copy
from pathlib import Path

import pytest
from mapped import HEAD, write

from agent.core.edition2016 import ALARMS, EDITION, POSITION, VEHICLE
from agent.core.editions import EDITIONS
from agent.core.field import U8, U16, Field, Items, Layout
from agent.core.sampler import Sampler
from agent.core.signals import LatestFrames
from agent.signalmap import load_mapping

NUMBER = Field("number", U8, lo=1, hi=253)
CELLS = Items("cells", U16, Field("unit", U16, "V", 1000, 0, 0, 60000), 1, 65531)
PROBES = Items("probes", U16, Field("probe", U8, "degC", 1, 40, 0, 250), 1, 65531)
PACK = (NUMBER, Field("voltage", U16, "V", 10, 0, 0, 60000), Field("current", U16, "A", 10, 30000, 0, 60000), CELLS)
EXTREMES = Layout(
    "supercapacitor_extremes",
    tuple(
        field
        for kind, item, value in (
            ("voltage", "cell", Field("max_cell_voltage", U16, "V", 1000, 0, 0, 60000)),
            ("voltage", "cell", Field("min_cell_voltage", U16, "V", 1000, 0, 0, 60000)),
            ("temperature", "probe", Field("max_temperature", U8, "degC", 1, 40, 0, 250)),
            ("temperature", "probe", Field("min_temperature", U8, "degC", 1, 40, 0, 250)),
        )
        for field in (
            Field(f"{value.name[:3]}_{kind}_system", U8, lo=1, hi=253),
            Field(f"{value.name[:3]}_{kind}_{item}", U16, lo=1, hi=65531, sentinel=False, absent=0xFFFF),
            value,
        )
    ),
)
GENERAL = Items("general_levels", U8, Layout("entry", (Field("bit", U8, hi=253), Field("level", U8, hi=4))), 0, 253)
COORDINATE_SYSTEM = Field("coordinate_system", U8, words={1: "wgs84"}, lo=1, hi=1)
NEXT = copy.copy(EDITION)
NEXT.name = "next"
NEXT.split = None
NEXT.bodies = {
    1: VEHICLE,
    5: Layout("position", (POSITION.rows[0], COORDINATE_SYSTEM, *POSITION.rows[1:])),
    6: Layout("alarms", (*ALARMS.rows, GENERAL)),
    7: Layout("unit_voltages", (Items("packs", U8, Layout("pack", PACK), 0, 50),)),
    8: Layout("battery_temperatures", (Items("packs", U8, Layout("pack", (NUMBER, PROBES)), 0, 50),)),
    0x31: Layout("supercapacitor", (*PACK, PROBES)),
    0x32: EXTREMES,
}
NEXT.body_types = {layout.name: type_id for type_id, layout in NEXT.bodies.items()}
BYTES = "BO_ 256 M: 8 A\n" + "\n".join(f' SG_ B{index} : {8 * index}|8@1+ (1,0) [0|0] "" A' for index in range(8))
SECTIONS = """
[vehicle]
total_current = "b.M.B0"
[position]
longitude = "b.M.B1"
latitude = "b.M.B2"
coordinate_system = { constant = "wgs84" }
[extremes]
[alarms]
flags = { soc_low = "b.M.B0", insulation = "b.M.B7" }
levels = { insulation = 3 }
[unit_voltages]
cells = { signal = "b.M.B{n}", count = 3 }
[battery_temperatures]
probes = ["b.M.B3"]
[supercapacitor]
number = { constant = 4 }
cells = { signal = "b.M.B{n}", count = 2, first = 4 }
probes = { signal = "b.M.B{n}", count = 2, first = 6 }
[supercapacitor_extremes]
"""


def test_bodies_of_another_edition_come_from_its_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EDITIONS, "next", NEXT)
    head = HEAD.replace('"2016"', '["2016", "next"]')
    mapping = load_mapping(write(tmp_path, BYTES, SECTIONS, head=head), "next", cache=False)
    latest = LatestFrames(mapping.plan)
    latest.keep(0, 256, bytes([5, 1, 2, 3, 4, 6, 20, 10]), 0)
    sample = dict(Sampler(mapping.plan).sample(latest, 0))
    assert sorted(sample) == [1, 5, 6, 7, 8, 0x31, 0x32]
    assert sample[5] == {"coordinate_system": 1, "status": 0, "longitude": 1000000, "latitude": 2000000}
    assert sample[6]["general_levels"] == [{"bit": 4, "level": 1}, {"bit": 11, "level": 3}]
    assert sample[6]["level"] == 3
    assert sample[7] == {"packs": [{"number": 1, "voltage": 0xFFFF, "current": 30050, "cells": [1000, 2000, 3000]}]}
    assert sample[8] == {"packs": [{"number": 1, "probes": [43]}]}
    assert sample[0x31]["cells"] == [4000, 6000]
    extremes = sample[0x32]
    assert (extremes["max_voltage_system"], extremes["max_voltage_cell"], extremes["max_cell_voltage"]) == (4, 2, 6000)
    assert (extremes["min_temperature_system"], extremes["min_temperature_probe"], extremes["min_temperature"]) == (
        4,
        2,
        50,
    )
