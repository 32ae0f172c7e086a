"""`tbox-bench perf`: its command line, and what a row is. The figures themselves are not asserted here."""

import inspect
import json
import sqlite3
from importlib import import_module
from pathlib import Path

import pytest

from agent.canlog.reader import read_log
from agent.errors import OutboxError
from bench import perf
from bench.arrival import inspect as inspect_packet
from bench.cli import main
from bench.perf import FIGURES, ROW_KEYS, drain, grid, hour, reference, rows_of
from bench.perf.rig import VIN


class Measured:
    """A module with a given figure; counts how often it is measured."""

    def __init__(self, *rows, error=None):
        self.rows = [dict.fromkeys(ROW_KEYS) | row for row in rows]
        self.error = error
        self.calls = 0

    def measure(self):
        self.calls += 1
        if self.error:
            raise self.error
        return self.rows


@pytest.fixture
def figures(monkeypatch):
    """Set FIGURES and the modules behind them."""

    def fill(**modules):
        monkeypatch.setattr(perf, "FIGURES", {name: (name,) for name in modules})
        monkeypatch.setattr("bench.commands.perf.FIGURES", perf.FIGURES)
        known = {f"bench.perf.{name}": module for name, module in modules.items()}
        monkeypatch.setattr(perf.importlib, "import_module", lambda name: known.get(name) or import_module(name))

    return fill


def test_every_named_figure_has_its_modules():
    for modules in FIGURES.values():
        for module in modules:
            parameters = inspect.signature(import_module(f"bench.perf.{module}").measure).parameters
            assert set(parameters) <= {"quick"}


def test_an_unknown_name_is_wrong_use_and_the_nearest_one_is_named(capsys):
    assert main(["perf", "drian", "sample"]) == 2
    out, err = capsys.readouterr()
    assert "did you mean 'drain'?" in err
    assert not out


def test_the_named_figures_are_measured_in_the_fixed_order(figures, capsys):
    figures(one=Measured({"name": "one", "met": True}), two=Measured({"name": "two", "met": True}), three=Measured())
    assert main(["perf", "two", "one", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["one", "two"]


def test_one_missed_row_fails_the_run(figures, capsys):
    figures(one=Measured({"name": "one", "met": True}, {"name": "one, harder", "met": False, "value": 7}))
    assert main(["perf"]) == 1
    out, err = capsys.readouterr()
    assert "one: MISSED" in err
    assert any("one, harder" in line and "NO" in line and "7" in line for line in out.splitlines())


@pytest.mark.parametrize("error", [OutboxError("x", "full"), OSError("no such device"), ImportError("no msgpack")])
def test_what_cannot_be_measured_misses_its_target_and_the_rest_goes_on(figures, capsys, error):
    figures(one=Measured(error=error), two=Measured({"name": "two", "met": True}))
    assert main(["perf", "--json"]) == 1
    first, second = json.loads(capsys.readouterr().out)
    assert str(error) in first["note"]
    assert (first["met"], second["met"]) == (False, True)
    assert set(ROW_KEYS) <= set(first)


def test_figures_of_one_module_are_measured_together(monkeypatch):
    both = Measured({"name": "encode", "met": True}, {"name": "decode", "met": True})
    monkeypatch.setattr(perf.importlib, "import_module", lambda _: both)
    found = dict(rows_of(["decode", "encode"], False))
    assert [row["name"] for rows in found.values() for row in rows] == ["encode", "decode"]
    assert both.calls == 1


def test_the_large_report_is_about_600_bytes_and_a_platform_finds_no_fault_in_it():
    packet = drain._packet(1_700_000_000, VIN, reference.large_report())
    assert 570 < len(packet) < 630
    arrival = inspect_packet(packet, 1, 0, 0)
    assert arrival.fault is None
    assert arrival.command == "reissue"


def test_a_recording_of_the_reference_car_is_read_back_whole(tmp_path):
    path = tmp_path / "car.log"
    count = reference.write_candump(path, 3)
    reader = read_log(path)
    assert sum(1 for _ in reader) == count > 1_000
    assert reader.absolute
    assert not reader.clock_notes


def _hour(seconds, late_ms=0):
    reports = [(second, 1000 * (second - seconds[0]), 1000 * (second - seconds[0])) for second in seconds]
    reports[len(reports) // 2 :: 7] = [(s, at, at + late_ms) for s, at, _ in reports[len(reports) // 2 :: 7]]
    return hour.Hour("none", hour.SAMPLES, 30, 30, 30, reports)


@pytest.mark.parametrize(
    ("seconds", "late_ms", "met"),
    [
        (range(0, 3601, 10), 0, True),
        (range(0, 3601, 10), 49 * hour.SPEED, True),
        (range(0, 3601, 10), 51 * hour.SPEED, False),
        ([second for second in range(0, 3601, 10) if second != 1800], 0, False),
        (range(0, 3591, 10), 0, False),
    ],
    ids=["on the grid", "late within the bound", "too late", "a period missing", "ended early"],
)
def test_grid_is_met_only_with_every_period_and_in_time(monkeypatch, seconds, late_ms, met):
    monkeypatch.setattr(grid, "hour", lambda _: _hour(list(seconds), late_ms))
    (row,) = grid.measure()
    assert row["met"] is met


@pytest.mark.parametrize(
    ("late_ms", "absent", "in_time"), [(900, None, True), (1100, None, False), (5, 103, False)], ids=str
)
def test_a_live_report_that_is_late_or_absent_spoils_the_drain(tmp_path: Path, late_ms, absent, in_time):
    first = 100
    with sqlite3.connect(tmp_path / "p.db") as db:
        db.execute("CREATE TABLE packets (collected_at, command, received_ms, monotonic_ns)")
        rows = [(at, "reissue", 0, int(at * 1e9 / 10)) for at in range(first)]
        for second in range(first, first + 10):
            delay_ms = late_ms if second == 105 else 3
            row = (second, "realtime", second * 1000 + delay_ms, int((second - first + delay_ms / 1000) * 1e9))
            rows += [row] * (second != absent)
        db.executemany("INSERT INTO packets VALUES (?, ?, ?, ?)", rows)
        assert drain._Drained(db, first).live_in_time is in_time
    db.close()
