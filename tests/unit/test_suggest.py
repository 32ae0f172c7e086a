"""`tbox suggest` on cars that others described: what it finds, what it must not claim, and what it must not look at."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import suggest_labels
from hypothesis import given
from hypothesis import strategies as st
from suggest_evaluation import Count, count, place

from agent.cli import main
from agent.core.editions import EDITIONS
from agent.errors import ConfigError
from agent.mapping.units import UNITS, dimension
from agent.signalmap import load_mapping
from agent.suggest.behaviour import Behaviour, Recording
from agent.suggest.candidates import Candidate, read_unit
from agent.suggest.evidence import current_sign, sign_by_words
from agent.suggest.items import ITEMS
from agent.suggest.names import concepts, spoken, words
from agent.suggest.proposals import observed
from agent.suggest.score import Context, Scored, context_of, score, table_words
from agent.suggest.trial import load

pytestmark = pytest.mark.slow  # every DBC file there is, several times

ROOT = Path(__file__).resolve().parents[2]
DATA = place("data:bmw_i3")
RECALL = 0.8
SETS = {
    "dev": suggest_labels.DEV,
    "held out": {**suggest_labels.HELD_OUT, **suggest_labels.FRESH, **suggest_labels.LAST},
}
ITEM = {item.path: item for item in ITEMS}

needs_data = pytest.mark.skipif(DATA is None, reason="TBOX_DATA=none: the public recordings are not here")


def every_dbc() -> list[Path]:
    """All DBC files at hand: the public ones, those of the package opendbc, our own."""
    folders = [ROOT / "dbc", place("data:."), place("package:opendbc/dbc")]
    return sorted(path for folder in folders if folder is not None for path in folder.rglob("*.dbc"))


# -- what it finds ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
def test_most_core_items_are_found_and_none_is_wrong_with_confidence(name: str) -> None:
    whole = Count()
    there = {file: labels for file, labels in SETS[name].items() if (path := place(file)) is not None and path.exists()}
    if len(there) < len(SETS[name]) / 2:
        pytest.skip(f"{len(there)} of {len(SETS[name])} files are here; opendbc has no release for Python 3.13")
    for file, labels in there.items():
        whole += count(file, labels)
    assert whole.wrong == []
    assert whole.found >= RECALL * whole.there, whole.missed


@needs_data
@pytest.mark.parametrize(
    ("file", "least"), [("data:savvycan/ThinkCity.dbc", 8), ("package:opendbc/dbc/ford_lincoln_base_pt.dbc", 8)]
)
def test_eight_of_ten_where_a_dbc_has_all_ten(file: str, least: int) -> None:
    path = place(file)
    if path is None:
        pytest.skip("the package opendbc is not installed (it has no release for Python 3.13)")
    labels = next(labels[file] for labels in SETS.values() if file in labels)
    assert len(labels) == len(suggest_labels.ITEMS)
    assert count(file, labels).found >= least


@pytest.mark.parametrize("path", every_dbc(), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_is_proposed_compiles_as_it_stands(path: Path, tmp_path: Path) -> None:
    try:
        load({"can": [(path.name, path)]})
    except ConfigError:
        pytest.skip("cannot be read at all; tbox check says why")
    mapping = tmp_path / "mapping.toml"
    assert main(["suggest", str(path), "-o", str(mapping)]) == 0
    for edition in EDITIONS:
        load_mapping(mapping, edition, cache=False)


# -- the whole way from a DBC and a recording to packets -------------------------------------------------------------


def packets(tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]) -> tuple[list[dict[str, object]], str]:
    """Suggest from the i3's DBC and a recording, then replay that recording by the mapping as it was written."""
    assert DATA is not None
    mapping = tmp_path / "mapping.toml"
    assert main(["suggest", str(DATA / "i3_LIM_dbc1.dbc"), "--log", str(log), "--bus", "pt", "-o", str(mapping)]) == 0
    config = tmp_path / "tbox.toml"
    config.write_text(
        '[vehicle]\nvin = "LGBTEST0000000017"\niccid = "89860000000000000017"\nedition = "2016"\n'
        'mapping = "mapping.toml"\n[[can]]\nname = "pt"\ninterface = "socketcan"\nchannel = "can0"\n'
        '[platform]\nhost = "192.0.2.10"\nport = 32960\n'
    )
    assert main(["check", "-c", str(config)]) == 0
    capsys.readouterr()
    assert main(["replay", str(log), "-c", str(config), "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    return [json.loads(line)["bodies"][0] for line in lines], mapping.read_text()


@needs_data
def test_a_charging_i3_is_reported_as_it_charged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Verified with cantools by others: 358.7 to 359.1 V, 123.4 to 125.1 A into the battery, 41.6 to 42.0 %."""
    assert DATA is not None
    bodies, text = packets(tmp_path, DATA / "ionity_dc_charge_15s.log", capsys)
    last = bodies[-1]
    assert 358.7 <= float(str(last["total_voltage"])) <= 359.1
    assert -125.1 <= float(str(last["total_current"])) <= -123.4
    assert last["soc"] == 42
    assert "sign = -1" in text
    assert "SOC rises" in text
    assert "lenient = true" in text
    assert "0..16777200 km" in text  # of the odometer: not 1.67772e+07


@needs_data
def test_the_commands_to_go_on_with_are_ready_to_paste(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert DATA is not None
    log = DATA / "ionity_dc_charge_15s.log"
    command = ["suggest", str(DATA / "i3_LIM_dbc1.dbc"), "--log", str(log), "-o", str(tmp_path / "new.toml")]
    (tmp_path / "tbox.toml").touch()
    assert main(command) == 0
    config = tmp_path / "tbox.toml"
    said = capsys.readouterr().err
    assert f'mapping = "new.toml" in {config}, ' in said
    assert f"`tbox replay {log} -c {config} --json`" in said


@needs_data
def test_the_sign_shows_in_a_recording_whose_clock_is_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """AC charging with SOC standing still: voltage and current rise together. 378.2 to 379.1 V, -0.7 to 7.9 A."""
    assert DATA is not None
    bodies, text = packets(tmp_path, DATA / "ac_start_end_charge_69pct.gvret.csv", capsys)
    assert "the voltage rises by" in " ".join(text.replace("#", "").split())
    assert "sign = -1" in text
    assert 378.2 <= float(str(bodies[-1]["total_voltage"])) <= 379.1
    assert -7.9 <= float(str(bodies[-1]["total_current"])) <= 0.7
    assert bodies[-1]["soc"] == 57


@needs_data
def test_without_a_recording_the_sign_is_not_guessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert DATA is not None
    assert main(["suggest", str(DATA / "i3_LIM_dbc1.dbc")]) == 0
    out, err = capsys.readouterr()
    assert "total_current" not in tomllib.loads(out)["vehicle"]
    lines = [line for line in out.splitlines() if line.startswith("# total_current =")]
    assert ["sign = -1" in line for line in lines] == [False, True]
    assert re.search(r"total current .*sign not known", err)


@needs_data
def test_a_dbc_of_another_model_year_is_not_believed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The Model S capture by a DBC made for a later car: 31,000 r/min of a motor are nonsense."""
    assert DATA is not None
    folder = DATA.parent / "tesla_model_s"
    assert main(["suggest", str(folder / "tesla_powertrain.dbc"), "--log", str(folder / "gvret.csv")]) == 0
    out, err = capsys.readouterr()
    motors = tomllib.loads(out).get("drive_motors", {}).get("motors", [{}])
    assert "speed" not in motors[0]
    assert re.search(r"motor speed .*not sure", err)


# -- text is nobody's business ----------------------------------------------------------------------------------------

TEXT_DBC = """VERSION ""
BU_: X
BO_ 256 Identity: 8 X
 SG_ VIN_Part1 : 0|56@1+ (1,0) [0|0] "" X
BO_ 257 Battery: 8 X
 SG_ PackVoltage : 0|16@1+ (0.1,0) [0|0] "V" X
 SG_ BatterySerial : 16|32@1+ (1,0) [0|0] "V" X
 SG_ Odometer_VIN : 48|16@1+ (1,0) [0|0] "km" X
CM_ SG_ 257 PackVoltage "of the pack\x07, \x1b[31m in one";
"""
VIN = "LGBTEST"


def test_a_vin_on_the_bus_is_neither_looked_at_nor_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dbc, log = tmp_path / "car.dbc", tmp_path / "drive.log"
    dbc.write_text(TEXT_DBC)
    frames = f"256#{VIN.encode().hex()}00", f"101#{3561:04x}"[:4] + "E90D" + b"LGBT".hex() + "3030"
    log.write_text(
        "".join(f"({index // 10}.{index % 10}00000) can0 {frame}\n" for index in range(40) for frame in frames).replace(
            "256#", "100#"
        )
    )
    loaded = load({"can": [("car.dbc", dbc)]})
    asked = {candidate.name for candidate in observed(loaded.candidates, context_of(loaded.candidates))}
    assert asked == {"PackVoltage"}
    assert {one.name for one in loaded.candidates if one.text} == {"VIN_Part1", "BatterySerial", "Odometer_VIN"}
    assert main(["suggest", str(dbc), "--log", str(log)]) == 0
    out, err = capsys.readouterr()
    assert "356.1" in out
    for shown in (out, err):
        assert VIN not in shown
        assert VIN.encode("ascii").hex() not in shown.lower()
        assert str(int.from_bytes(VIN.encode(), "little")) not in shown
        assert not re.search(r"[\x00-\x09\x0b-\x1f]", shown)


# -- sign of the current ----------------------------------------------------------------------------------------------


def candidate(name: str, unit: str, comment: str = "") -> Candidate:
    from fractions import Fraction

    return Candidate(
        reference=f"pt.BMS.{name}",
        bus="pt",
        message="BMS",
        name=name,
        can_id=0x100,
        unit=unit,
        override="",
        dimension=dimension(unit),
        length=16,
        factor=Fraction(1, 10),
        lo=-3276.8,
        hi=3276.7,
        declared=False,
        is_float=False,
        choices={},
        page="",
        cycle_ms=None,
        comment=comment,
        all_ones=32767,
        top=3276.7,
        text=False,
    )


def scored(path: str, name: str, unit: str) -> Scored:
    found = score(ITEM[path], candidate(name, unit), Context(high_voltage=True))
    assert found is not None
    return found


CURRENT = scored("vehicle.total_current", "PackCurrent", "A")
VOLTAGE = scored("vehicle.total_voltage", "PackVoltage", "V")
SOC = scored("vehicle.soc", "PackSoc", "%")


def recording(**series: list[float]) -> Recording:
    names = {"current": "PackCurrent", "voltage": "PackVoltage", "soc": "PackSoc"}
    by = {f"pt.BMS.{names[key]}": Behaviour(series=list(values), frames=len(values)) for key, values in series.items()}
    return Recording(by, [], 0, 0)


amperes = st.lists(st.floats(-200, 300).map(lambda value: round(value, 1)), min_size=20, max_size=60)


@given(drawn=amperes, milliohms=st.integers(20, 400), flip=st.sampled_from((1, -1)))
def test_a_pack_that_sags_tells_the_sign(drawn: list[float], milliohms: int, flip: int) -> None:
    """Discharge pulls the voltage down, whichever way the car counts; a pack at rest tells nothing."""
    volts = [round(380 - ampere * milliohms / 1000, 1) for ampere in drawn]
    shown = recording(current=[flip * ampere for ampere in drawn], voltage=volts)
    sign, why = current_sign(shown, CURRENT, VOLTAGE, None, None, None)
    if max(drawn) - min(drawn) >= 50:
        assert sign == flip, why
    else:
        assert sign in (0, flip)


@given(start=st.integers(200, 800), ampere=st.floats(2, 300), charging=st.booleans(), flip=st.sampled_from((1, -1)))
def test_a_battery_that_fills_is_being_charged(start: int, ampere: float, charging: bool, flip: int) -> None:
    step = 1 if charging else -1
    soc = [round((start + step * (index // 5)) / 10, 1) for index in range(40)]
    current = [round(flip * (-ampere if charging else ampere), 1)] * 40
    sign, why = current_sign(recording(current=current, soc=soc), CURRENT, None, SOC, None, None)
    assert sign == flip, why


def test_evidence_that_contradicts_itself_tells_nothing() -> None:
    current = [float(60 + index) for index in range(40)]
    shown = recording(
        current=current,
        voltage=[round(400 - 0.1 * ampere, 1) for ampere in current],  # sags: positive is discharge
        soc=[round(50 + index / 10, 1) for index in range(40)],  # fills: positive is charge
    )
    sign, why = current_sign(shown, CURRENT, VOLTAGE, SOC, None, None)
    assert sign == 0
    assert "contradicts" in why


@pytest.mark.parametrize(
    ("comment", "sign"),
    [
        ("positive = discharge", 1),
        ("Discharging positive", 1),
        ("charging is positive", -1),
        ("negative when charging", 1),
        ("negative: discharging", -1),
        ("充电为负，放电为正", 1),
        ("current of the charger, positive values only", 0),
        ("", 0),
    ],
)
def test_a_comment_may_tell_the_sign(comment: str, sign: int) -> None:
    assert sign_by_words(candidate("PackCurrent", "A", comment))[0] == sign


# -- names, units, tables ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("BMS_PackVoltage", {"pack", "battery", "voltage"}),
        ("vehiclespeed", {"vehicle", "speed"}),
        ("Batery_Voltage", {"battery", "voltage"}),
        ("HVBatt_SOC", {"pack", "battery", "soc"}),
        ("StateOfCharge", {"soc"}),
        ("KBI_Kilometerstand", {"odometer"}),
        ("DI_motorRPM", {"motor", "rotation"}),
    ],
)
def test_names_are_understood_however_they_are_written(name: str, meant: set[str]) -> None:
    assert meant <= concepts(name)[0]


def test_chinese_comments_are_read() -> None:
    assert {"total", "voltage"} <= spoken("电池总电压")


@given(st.text(max_size=60))
def test_no_name_is_too_strange(name: str) -> None:
    words(name)
    concepts(name)
    spoken(name)


@given(st.text(max_size=20))
def test_a_unit_that_is_written_is_one_the_mapping_knows(unit: str) -> None:
    known, override = read_unit(unit)
    assert not known or dimension(known) is not None
    assert not override or override.lower() in [one.lower() for one in UNITS] or dimension(override) is not None


def test_words_of_value_tables_become_words_of_the_standard() -> None:
    gear = ITEM["vehicle.gear.gear"]
    choices = {0: "DI_GEAR_INVALID", 1: "DI_GEAR_P", 2: "DI_GEAR_R", 3: "DI_GEAR_N", 4: "DI_GEAR_D", 7: "DI_GEAR_SNA"}
    assert table_words(gear, choices) == {1: "P", 2: "R", 3: "N", 4: "D"}
    state = ITEM["vehicle.vehicle_state"]
    assert table_words(state, {0: "Off", 1: "Accessory", 2: "Run", 3: "Crank"}) == {
        0: "off",
        1: "other",
        2: "started",
        3: "other",
    }


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_missing_extra_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['rapidfuzz'] = None; from agent.cli import main; sys.exit(main(['suggest', 'x.dbc']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 2
    assert "tbox-agent[suggest]" in done.stderr


def test_work_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mapping.toml"
    mine.write_text("mine")
    assert main(["suggest", str(ROOT / "dbc" / "reference_ev.dbc"), "-o", str(mine)]) == 2
    assert mine.read_text() == "mine"
    assert "exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [[], ["--bus", "pt"], ["a.dbc", "--bus", "x.y"], ["a.dbc", "--bus", "a", "--bus", "b"], ["nowhere.dbc"]],
)
def test_wrong_use_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["suggest", *arguments]) == 2
    assert capsys.readouterr().err


def test_buses_with_files_of_their_own(tmp_path: Path) -> None:
    mapping = tmp_path / "deep" / "mapping.toml"
    mapping.parent.mkdir()
    ev, model_s = ROOT / "dbc" / "reference_ev.dbc", ROOT / "dbc" / "tesla_model_s.dbc"
    assert main(["suggest", "--bus", f"pt={ev}", "--bus", f"body={model_s}", "-o", str(mapping)]) == 0
    written = tomllib.loads(mapping.read_text())
    assert list(written["dbc"]) == ["pt", "body"]
    assert load_mapping(mapping, "2025", cache=False).buses == ["pt", "body"]


def test_the_channels_of_a_recording_find_their_buses(tmp_path: Path) -> None:
    """The same identifier on two buses is two messages; which channel is which bus shows by the rest of their traffic."""
    head = 'VERSION ""\nBU_: X\n'
    pack = 'BO_ 257 BMS: 8 X\n SG_ PackVoltage : 0|16@1+ (0.1,0) [0|0] "V" X\n'
    speed = 'BO_ 257 ESP: 8 X\n SG_ VehicleSpeed : 0|16@1+ (0.01,0) [0|0] "km/h" X\n'
    for name, own, other in (("a", pack, 512), ("b", speed, 768)):
        text = f'{head}{own}BO_ {other} Other: 8 X\n SG_ Something : 0|8@1+ (1,0) [0|0] "" X\n'
        (tmp_path / f"{name}.dbc").write_text(text)
    frames = ("can1 101#E90D", "can1 200#00", "can0 101#8813", "can0 300#00")
    lines = [f"({index // 10}.{index % 10}00000) {frame}\n" for index in range(40) for frame in frames]
    log = tmp_path / "drive.log"
    log.write_text("".join(lines))
    buses = ["--bus", f"pack={tmp_path / 'a.dbc'}", "--bus", f"chassis={tmp_path / 'b.dbc'}"]
    mapping = tmp_path / "mapping.toml"
    assert main(["suggest", *buses, "--log", str(log), "-o", str(mapping)]) == 0
    text = mapping.read_text()
    assert "in the recording always 356.1 V" in text
    assert "in the recording always 50 km/h" in text
    assert set(tomllib.loads(text)["vehicle"]) == {"total_voltage", "speed"}


def test_one_edition_when_told(tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.toml"
    assert main(["suggest", str(ROOT / "dbc" / "reference_ev.dbc"), "--edition", "2025", "-o", str(mapping)]) == 0
    written = tomllib.loads(mapping.read_text())
    assert written["edition"] == ["2025"]
    assert "storage_voltages" not in written
    assert written["unit_voltages"]["cells"]["count"] == 96


def test_the_reference_car_is_mapped_as_it_was_by_hand(tmp_path: Path) -> None:
    """Signals of all items that are sure are those of the mapping we wrote."""
    mapping = tmp_path / "mapping.toml"
    assert main(["suggest", str(ROOT / "dbc" / "reference_ev.dbc"), "--bus", "pt", "-o", str(mapping)]) == 0
    proposed, ours = tomllib.loads(mapping.read_text()), tomllib.loads((ROOT / "dbc" / "reference_ev.toml").read_text())

    def signal(spec: object) -> object:
        return spec.get("signal", spec) if isinstance(spec, dict) else spec

    for section in ("vehicle", "position", "storage_voltages", "storage_temperatures"):
        for key, spec in proposed[section].items():
            if key not in ("charging_state", "gear"):  # the charger tells it as well
                assert signal(spec) == signal(ours[section][key]), key
    assert proposed["vehicle"]["total_current"]["sign"] == -1
    assert {key: signal(spec) for key, spec in proposed["drive_motors"]["motors"][0].items()}.items() <= {
        key: signal(spec) for key, spec in ours["drive_motors"]["motors"][0].items()
    }.items()
