"""The list of fields and the count of data items."""

import json

import pytest

from agent.cli import main
from agent.core.editions import EDITIONS
from agent.fieldtable import count_items, field_rows

EDITION = EDITIONS["2016"]


def test_the_platform_tables_of_2016_have_61_items() -> None:
    platform, annex = count_items(EDITION)
    assert platform == {
        "vehicle": 12,
        "drive_motors": 9,
        "fuel_cell": 12,
        "engine": 3,
        "position": 3,
        "extremes": 12,
        "alarms": 10,
    }
    assert sum(platform.values()) == 61
    assert annex == {"vehicle": 2, "storage_voltages": 8, "storage_temperatures": 4}


def test_a_battery_electric_car_fills_46_of_them() -> None:
    platform, _ = count_items(EDITION)
    assert sum(platform.values()) - platform["fuel_cell"] - platform["engine"] == 46


def test_every_byte_of_a_body_belongs_to_a_field() -> None:
    sizes = {"vehicle": 20, "engine": 5, "position": 9, "extremes": 14}
    for body, size in sizes.items():
        assert sum(int(row.size) for row in field_rows(EDITION) if row.body == body) == size
    assert sum(int(row.size) for row in field_rows(EDITION) if row.group == "motors") == 12


@pytest.mark.parametrize(
    ("body", "name", "expected"),
    [
        ("vehicle", "total_current", ("2", "A", 10, 10000, -1000.0, 1000.0, True)),
        ("drive_motors", "torque", ("2", "N.m", 10, 20000, -2000.0, 4553.1, True)),
        ("storage_voltages", "current", ("2", "A", 10, 10000, -1000.0, 1000.0, True)),
        ("storage_voltages", "cell", ("2·n", "V", 1000, 0, 0.0, 60.0, True)),
        ("position", "longitude", ("4", "deg", 1000000, 0, 0.0, 180.0, False)),
        ("user", "hex", ("n", "", 1, 0, None, None, False)),
    ],
)
def test_a_field_has_its_printed_range(body: str, name: str, expected: tuple[object, ...]) -> None:
    row = next(row for row in field_rows(EDITION) if (row.body, row.name) == (body, name))
    assert (row.size, row.unit, row.per_unit, row.offset, row.lowest, row.highest, row.sentinel) == expected


def test_fields_prints_a_line_a_field(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fields", "--edition", "2016", "--lang", "en"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(field_rows(EDITION))
    assert [line for line in lines if "total current" in line and "总电流" in line and "-1000.0 … 1000.0" in line]


def test_fields_json_has_every_field_with_its_chinese_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fields", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [row.name for row in field_rows(EDITION)]
    assert all(row["chinese"] for row in rows)


@pytest.mark.parametrize(("lang", "total"), [("en", "total"), ("zh", "合计")])
def test_count_prints_the_total(lang: str, total: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fields", "--count", "--lang", lang]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == [total, "61", "14"]


def test_count_json_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fields", "--count", "--json"]) == 0
    count = json.loads(capsys.readouterr().out)
    assert count["total"] == sum(count["platform"].values()) == 61
    assert sum(count["annex_b"].values()) == 14
