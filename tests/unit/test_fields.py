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


def test_the_bodies_of_2025_have_no_items_of_the_annex() -> None:
    platform, annex = count_items(EDITIONS["2025"])
    assert annex == {}
    assert platform == {
        "vehicle": 11,
        "drive_motors": 7,
        "hydrogen": 9,
        "engine": 1,
        "position": 4,
        "alarms": 13,
        "unit_voltages": 6,
        "battery_temperatures": 4,
        "fuel_cell_stacks": 9,
        "supercapacitor": 7,
        "supercapacitor_extremes": 12,
    }


@pytest.mark.parametrize(
    ("edition", "sizes", "motor"),
    [
        ("2016", {"vehicle": 20, "engine": 5, "position": 9, "extremes": 14}, 12),
        ("2025", {"vehicle": 18, "engine": 2, "position": 10, "hydrogen": 12, "supercapacitor_extremes": 18}, 10),
    ],
)
def test_every_byte_of_a_body_belongs_to_a_field(edition: str, sizes: dict[str, int], motor: int) -> None:
    rows = field_rows(EDITIONS[edition])
    for body, size in sizes.items():
        assert sum(int(row.size) for row in rows if row.body == body) == size
    assert sum(int(row.size) for row in rows if row.group == "motors") == motor


@pytest.mark.parametrize(
    ("edition", "body", "name", "expected"),
    [
        ("2016", "vehicle", "total_current", ("2", "A", 10, 10000, -1000.0, 1000.0, True)),
        ("2016", "drive_motors", "torque", ("2", "N.m", 10, 20000, -2000.0, 4553.1, True)),
        ("2016", "storage_voltages", "current", ("2", "A", 10, 10000, -1000.0, 1000.0, True)),
        ("2016", "storage_voltages", "cell", ("2·n", "V", 1000, 0, 0.0, 60.0, True)),
        ("2016", "position", "longitude", ("4", "deg", 1000000, 0, 0.0, 180.0, False)),
        ("2016", "user", "hex", ("n", "", 1, 0, None, None, False)),
        ("2025", "vehicle", "total_current", ("2", "A", 10, 30000, -3000.0, 3000.0, True)),
        ("2025", "drive_motors", "speed", ("2", "r/min", 1, 32000, -32000, 33531, True)),
        ("2025", "drive_motors", "torque", ("4", "N.m", 10, 200000, -20000.0, 20000.0, True)),
        ("2025", "hydrogen", "max_hydrogen_concentration", ("2", "%", 10000, 0, 0.0, 6.0, True)),
        ("2025", "fuel_cell_stacks", "air_inlet_pressure", ("2", "kPa", 10, 1000, -100.0, 400.0, True)),
        ("2025", "supercapacitor", "cell", ("2·n", "V", 1000, 0, 0.0, 60.0, True)),
        ("2025", "signature", "algorithm", ("1", "", 1, 0, None, None, False)),
        ("2025", "signature", "r", ("n", "", 1, 0, None, None, False)),
    ],
)
def test_a_field_has_its_printed_range(edition: str, body: str, name: str, expected: tuple[object, ...]) -> None:
    row = next(row for row in field_rows(EDITIONS[edition]) if (row.body, row.name) == (body, name))
    assert (row.size, row.unit, row.per_unit, row.offset, row.lowest, row.highest, row.sentinel) == expected


def test_fields_prints_a_line_a_field(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fields", "--edition", "2016", "--lang", "en"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(field_rows(EDITION))
    assert [line for line in lines if "total current" in line and "总电流" in line and "-1000.0 … 1000.0" in line]


@pytest.mark.parametrize("edition", sorted(EDITIONS))
def test_fields_json_has_every_field_with_its_chinese_name(edition: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fields", "--edition", edition, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [row.name for row in field_rows(EDITIONS[edition])]
    assert all(row["chinese"] for row in rows)


def test_count_without_items_of_the_annex_has_no_column_for_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fields", "--edition", "2025", "--count", "--lang", "en"]) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.split() == ["body", "platform", "tables"]
    assert last.split() == ["total", "83"]


@pytest.mark.parametrize(("lang", "total"), [("en", "total"), ("zh", "合计")])
def test_count_prints_the_total(lang: str, total: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fields", "--count", "--lang", lang]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == [total, "61", "14"]


def test_count_json_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fields", "--count", "--json"]) == 0
    count = json.loads(capsys.readouterr().out)
    assert count["total"] == sum(count["platform"].values()) == 61
    assert sum(count["annex_b"].values()) == 14
