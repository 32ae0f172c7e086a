"""`tbox init`, `check` and `replay` as a person types them, over our own car and real recordings."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli import main
from agent.config import dbc_folder

CONFIG = """
[vehicle]
vin = "LTBXTEST100000001"
iccid = "89860000000000000001"
mapping = "{mapping}"
[[can]]
name = "{bus}"
interface = "virtual"
[platform]
host = "127.0.0.1"
[report]
interval_s = {interval}
"""


def write_config(folder, mapping, bus="pt", interval=10):
    path = folder / "tbox.toml"
    path.write_text(CONFIG.format(mapping=mapping, bus=bus, interval=interval))
    return str(path)


@pytest.fixture
def data(tbox_data, monkeypatch):
    monkeypatch.setenv("TBOX_DATA", str(tbox_data))
    return tbox_data


def replayed(capsys, *arguments):
    status = main(["replay", *map(str, arguments), "--json"])
    out = capsys.readouterr().out
    assert status == 0
    return [json.loads(line) for line in out.splitlines()]


def body(packet, name):
    return next(body for body in packet["bodies"] if body["body"] == name)


def test_the_bmw_i3_charges_with_the_sign_of_gb_t(data, tmp_path, capsys):
    config = write_config(tmp_path, "shipped:bmw_i3.toml", interval=1)
    packets = replayed(capsys, data / "bmw_i3" / "ionity_dc_charge_15s.log", "-c", config)
    vehicles = [body(packet, "vehicle") for packet in packets]
    assert len(vehicles) == 15
    assert {vehicle["total_voltage"] for vehicle in vehicles} <= {358.7, 358.8, 358.9, 359.0, 359.1}
    currents = [vehicle["total_current"] for vehicle in vehicles]
    assert max(currents) <= -123.4
    assert min(currents) >= -125.1
    assert {vehicle["soc"] for vehicle in vehicles} == {42}  # 41.6 to 42.0 %, rounded to the percent of the standard
    assert packets[0]["collected_at"] == "2020-01-01T00:00:01+08:00"


def test_a_counter_for_a_clock_is_named_and_replaced(data, tmp_path, capsys):
    log = data / "bmw_i3" / "ac_start_end_charge_69pct.gvret.csv"
    config = write_config(tmp_path, "shipped:bmw_i3.toml", interval=1)
    assert main(["replay", str(log), "-c", config]) == 0
    assert "clock" in capsys.readouterr().err
    packets = replayed(capsys, log, "-c", config, "--frame-ms", 2)
    assert len(packets) == 14  # 6,740 frames at 2 ms are 13.48 s
    assert {body(packet, "vehicle")["soc"] for packet in packets} == {57}
    voltages = [body(packet, "vehicle")["total_voltage"] for packet in packets]
    assert 378.2 <= min(voltages) <= max(voltages) <= 379.1


def test_the_model_s_gives_its_cells_and_probes_at_the_logs_end(data, tmp_path, capsys):
    config = write_config(tmp_path, "shipped:tesla_model_s.toml")
    packets = replayed(capsys, data / "tesla_model_s" / "gvret.csv", "-c", config)
    last = packets[-1]
    cells = body(last, "storage_voltages")["subsystems"][0]["cells"]
    probes = body(last, "storage_temperatures")["subsystems"][0]["probes"]
    assert (len(cells), len(probes)) == (96, 32)
    assert sum(cells) == pytest.approx(384.44, abs=0.01)
    assert 4.001 <= min(cells) <= max(cells) <= 4.006
    assert {*probes} <= {22, 23}
    assert 383.5 <= body(last, "vehicle")["total_voltage"] <= 384.5
    extremes = body(last, "extremes")
    assert (extremes["max_cell_voltage"], extremes["min_cell_voltage"]) == (max(cells), min(cells))


def test_several_logs_are_one_drive(data, tmp_path, capsys):
    """A log cut in two, given in either order, makes the packets of the whole."""
    whole = data / "tesla_model_s" / "gvret.csv"
    head, *lines = whole.read_text().splitlines(keepends=True)
    first, second = tmp_path / "1.csv", tmp_path / "2.csv"
    first.write_text(head + "".join(lines[:6000]))
    second.write_text(head + "".join(lines[6000:]))
    config = write_config(tmp_path, "shipped:tesla_model_s.toml", interval=1)
    expected = replayed(capsys, whole, "-c", config)
    assert replayed(capsys, second, first, "-c", config) == expected


def test_replay_names_mapped_messages_that_the_recording_lacks(data, tmp_path, capsys):
    config = write_config(tmp_path, "shipped:bmw_i3.toml")
    assert main(["replay", str(data / "tesla_model_s" / "gvret.csv"), "-c", config]) == 0
    assert "not in the recording, sent as invalid: pt.0x112" in capsys.readouterr().err


def test_replay_off_the_standard_time_says_how_to_write_it(data, tmp_path, capsys):
    config = write_config(tmp_path, "shipped:bmw_i3.toml")
    log = str(data / "bmw_i3" / "ionity_dc_charge_15s.log")
    assert main(["replay", log, "-c", config, "--start", "yesterday"]) == 2
    assert "2020-01-01T00:00:00+08:00" in capsys.readouterr().err


def test_check_counts_what_a_battery_electric_car_fills(tmp_path, capsys):
    config = write_config(tmp_path, "shipped:reference_ev.toml")
    assert main(["check", "-c", config, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["applicable"], told["filled"], told["spoiling"], told["invalid_share"]) == (46, 46, [], 0)
    assert told["packets_month"] == 259_200


def test_the_three_reference_cars_together_fill_all_61(tmp_path, capsys):
    rows = {}
    for name in ("reference_ev", "reference_hybrid", "reference_fuel_cell"):
        main(["check", "-c", write_config(tmp_path, f"shipped:{name}.toml"), "--json"])
        told = json.loads(capsys.readouterr().out)
        assert told["filled"] == told["applicable"]
        rows[name] = told["applicable"]
    assert rows == {"reference_ev": 46, "reference_hybrid": 49, "reference_fuel_cell": 58}
    assert main(["fields", "--edition", "2016", "--count"]) == 0
    assert "61" in capsys.readouterr().out


def test_check_names_what_spoils_every_record(data, tmp_path, capsys):
    assert main(["--lang", "zh", "check", "-c", write_config(tmp_path, "shipped:bmw_i3.toml")]) == 0
    out = capsys.readouterr().out
    assert "makes every record count as null: vehicle.vehicle_state" in out
    assert "no section for it: drive_motors" in out
    assert "车速" in out


def test_check_names_items_of_lists_as_the_standard_does(tmp_path, capsys):
    main(["--lang", "zh", "check", "-c", write_config(tmp_path, "shipped:reference_ev.toml")])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["motors[2].speed", "驱动电机转速", "ok", "pt.MCU2_Status.Speed"] in [line[:4] for line in lines]
    assert ["number", "可充电储能子系统号", "ok", "derived"] in [line[:4] for line in lines]


def test_check_fits_a_terminal_of_100_columns(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    main(["--lang", "en", "check", "-c", write_config(tmp_path, "shipped:reference_ev.toml")])
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()]
    assert max(map(len, lines)) <= 100
    for name in ("  motors[1].controller_temperature", "  max_temperature_subsystem"):
        assert any(line.startswith(f"{name} ") for line in lines)


def test_check_gives_faults_of_both_files_at_once(tmp_path, capsys):
    shutil.copy(dbc_folder() / "reference_ev.dbc", tmp_path)
    text = (dbc_folder() / "reference_ev.toml").read_text()
    text = text.replace("pt.ESC_Speed.VehicleSpeed", "pt.ESC_Speed.VehicleSped")
    (tmp_path / "reference_ev.toml").write_text(text)
    path = write_config(tmp_path, "reference_ev.toml", interval=0)
    assert main(["check", "-c", path]) == 2
    said = capsys.readouterr().err
    assert "report.interval_s = 0" in said
    assert f"in {tmp_path / 'reference_ev.toml'}: vehicle.speed: " in said
    assert "VehicleSpeed" in said
    path = write_config(tmp_path, "reference_ev.toml", bus="ptt")
    assert main(["check", "-c", path]) == 2
    assert "VehicleSpeed" in capsys.readouterr().err
    path = write_config(tmp_path, "reference_ev.toml")
    Path(path).write_text(re.sub(r'interface = "\w+"', 'interface = "sockettcan"', Path(path).read_text()))
    assert main(["check", "-c", path]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert f"tbox: {path}: can.pt: " in lines[0]
    assert f"tbox: {path}: in {tmp_path / 'reference_ev.toml'}: vehicle.speed: " in lines[1]


def test_a_bus_that_no_entry_names_is_a_fault(tmp_path, capsys):
    assert main(["check", "-c", write_config(tmp_path, "shipped:reference_ev.toml", bus="ptt")]) == 2
    assert "no [[can]] has that name; did you mean" in capsys.readouterr().err


def test_an_unknown_interface_and_a_bad_outbox_are_named_together(tmp_path, capsys):
    path = tmp_path / "tbox.toml"
    text = CONFIG.format(mapping="shipped:reference_ev.toml", bus="pt", interval=10).replace("virtual", "socketcn")
    (tmp_path / "file").touch()
    path.write_text(text + '[outbox]\npath = "file/tbox.db"\n')
    assert main(["check", "-c", str(path)]) == 2
    said = capsys.readouterr().err
    assert "did you mean 'socketcan'?" in said
    assert "outbox.path" in said


def test_init_gives_a_working_example(tmp_path, capsys):
    folder = tmp_path / "mycar"
    assert main(["init", str(folder)]) == 0
    assert main(["check", "-c", str(folder / "tbox.toml")]) == 0
    assert "46 of 46" in capsys.readouterr().out
    assert main(["init", str(folder)]) == 1
    assert "already there" in capsys.readouterr().err


def test_init_lists_every_item_and_every_signal_of_a_strange_dbc(data, tmp_path, capsys):
    folder = tmp_path / "mycar"
    assert main(["init", str(folder), "--dbc", str(data / "bmw_i3" / "i3_LIM_dbc1.dbc")]) == 0
    mapping = folder / "mapping.toml"
    text = mapping.read_text()
    for wanted in (
        "# total_voltage",
        "0..1000 V",
        "整车数据",
        "Battery_Volts",
        "lenient = true",
        "# [[drive_motors.motors]]",
    ):
        assert wanted in text
    # Uncommented by the README's own words, it is a mapping.
    text = text.replace("# [vehicle] ", "[vehicle] ").replace(
        '# total_voltage = "pt.Message.Signal"', 'total_voltage = "pt.BMSMsg112.Battery_Volts"'
    )
    mapping.write_text(text)
    capsys.readouterr()
    assert main(["check", "-c", str(folder / "tbox.toml")]) == 0
    assert "pt.BMSMsg112.Battery_Volts" in capsys.readouterr().out


def test_a_folder_of_init_can_be_moved_together_with_its_dbc(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    shutil.copy(dbc_folder() / "reference_ev.dbc", "car.dbc")
    assert main(["init", "mycar", "--dbc", "car.dbc"]) == 0
    with Path("mycar/mapping.toml").open("a") as mapping:
        mapping.write('[vehicle]\nsoc = "pt.BMS_Soc.Soc"\n')
    moved = (tmp_path / "here").rename(tmp_path / "there")
    assert main(["check", "-c", str(moved / "mycar" / "tbox.toml")]) == 0


@pytest.mark.parametrize(
    ("interface", "lines"),
    [
        ([], ['interface = "socketcan"', 'channel = "can0"', "# bitrate = 500000"]),
        (["slcan"], ['interface = "slcan"', 'channel = "/dev/ttyACM0"', "bitrate = 500000"]),
        (["pcan"], ['interface = "pcan"', 'channel = "PCAN_USBBUS1"', "bitrate = 500000"]),
    ],
)
def test_init_for_a_car_names_an_adapter_and_the_bitrate_where_it_sets_that(tmp_path, interface, lines):
    dbc = str(dbc_folder() / "reference_ev.dbc")
    assert main(["init", str(tmp_path / "car"), "--dbc", dbc, *(f"--interface={name}" for name in interface)]) == 0
    text = (tmp_path / "car" / "tbox.toml").read_text()
    bus = re.search(r"\[\[can]].*?\n\n", text, re.S).group().splitlines()
    assert [line.partition("  ")[0] for line in bus[2:5]] == lines


def test_init_says_what_is_wrong_with_a_dbc(tmp_path, capsys):
    broken = tmp_path / "broken.dbc"
    broken.write_text('VERSION ""\n\nBO_ one A 8 X\n')
    assert main(["init", str(tmp_path / "car"), "--dbc", str(broken)]) == 2
    assert "broken.dbc" in capsys.readouterr().err
    assert main(["init", str(tmp_path / "car"), "--dbc", str(tmp_path / "none.dbc")]) == 2
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", ["init", "check", "run", "suggest", "replay", "decode", "encode", "explain", "fields", "outbox"]
)
def test_every_command_explains_itself(command):
    done = subprocess.run(
        [sys.executable, "-m", "agent.cli", command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert "usage: tbox" in done.stdout


def test_a_file_of_blank_lines_is_refused_at_once(tmp_path):
    """Each pattern of the lenient reader once looked through all lines that follow, from every line."""
    (tmp_path / "blank.dbc").write_text("\n" * 300_000)
    init = [sys.executable, "-m", "agent.cli", "init", str(tmp_path), "--dbc", str(tmp_path / "blank.dbc")]
    refused = subprocess.run(init, capture_output=True, timeout=30, check=False)
    assert refused.returncode == 2
    assert b"line 300001" in refused.stderr
