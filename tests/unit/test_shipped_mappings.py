"""Mappings of cars from elsewhere: each compiles in both editions, says what it lacks, and gives what cantools decodes."""

import importlib.util
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import cantools.database
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.canlog.reader import read_log
from agent.cli import main
from agent.core.frames import LatestFrames
from agent.core.sampler import Sampler
from agent.replay import EXACT
from agent.signalmap import CompiledMapping, load_mapping

ROOT = Path(__file__).resolve().parents[2]
EXT = 0x80000000
EDITIONS = ["2016", "2025"]

needs_opendbc = pytest.mark.skipif(
    importlib.util.find_spec("opendbc") is None,
    reason="opendbc has no release for this Python: the extra cars brings it for 3.11 and 3.12",
)
SHIPPED = [
    pytest.param("chevrolet_volt", marks=needs_opendbc),
    pytest.param("tesla_model_3", marks=needs_opendbc),
    "j1939_vehicle",
    "bmw_i3",
    "tesla_model_s",
]
# What nobody knows about these cars stays invalid, and `tbox check` names it.
LACKING = {
    "chevrolet_volt": {
        "vehicle_state",
        "run_mode",
        "speed",
        "odometer",
        "total_current",
        "soc",
        "accelerator",
        "brake",
    },
    "tesla_model_3": {"charging_state", "speed", "odometer", "total_voltage", "total_current", "soc"},
    "j1939_vehicle": {"vehicle_state", "charging_state", "run_mode", "total_current", "soc"},
    "bmw_i3": {"vehicle_state", "charging_state", "speed", "odometer"},
    "tesla_model_s": {"vehicle_state", "charging_state", "speed", "odometer", "total_current", "soc"},
}
CONFIG = """
[vehicle]
vin = "LGBTEST0000000017"
iccid = "89860000000000000001"
mapping = "shipped:{mapping}.toml"
edition = "2016"
[[can]]
name = "{bus}"
interface = "virtual"
[platform]
host = "127.0.0.1"
"""


def shipped(name: str, edition: str = "2016") -> CompiledMapping:
    return load_mapping(ROOT / f"dbc/{name}.toml", edition, cache=False)


@pytest.fixture(autouse=True)
def data_folder(tbox_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TBOX_DATA", str(tbox_data))


@pytest.mark.parametrize("edition", EDITIONS)
@pytest.mark.parametrize("name", SHIPPED)
def test_it_compiles_in_both_editions(name: str, edition: str) -> None:
    assert shipped(name, edition).plan["messages"]


@pytest.mark.parametrize("name", SHIPPED)
def test_check_names_what_the_car_does_not_tell(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tbox.toml"
    path.write_text(CONFIG.format(mapping=name, bus=shipped(name).buses[0]))
    assert main(["check", "-c", str(path)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("MISSING: ")]
    missing = line.partition("as null: ")[2].split(", ")
    assert {f"vehicle.{item}" for item in LACKING[name]} <= set(missing)
    assert main(["check", "-c", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    absent = {item["path"] for item in told["items"] if item["kind"] == "absent"}
    assert {f"vehicle.{item}" for item in LACKING[name]} <= absent


def test_a_car_whose_dbc_is_missing_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    path = tmp_path / "tbox.toml"
    path.write_text(CONFIG.format(mapping="chevrolet_volt", bus="hv"))
    assert main(["check", "-c", str(path)]) == 2
    assert "pip install 'tbox-agent[cars]'" in capsys.readouterr().err


class Car:
    """A shipped mapping and cantools' idea of the same DBC, fed with the same frames."""

    def __init__(self, name: str, dbc: Path) -> None:
        self.mapping = shipped(name)
        self.database = cantools.database.load_file(dbc, strict=False)
        self.sampler = Sampler(self.mapping.plan)
        self.latest = LatestFrames(self.mapping.plan)

    def keep(self, message_name: str, data: bytes, now: int = 0) -> "dict[str, int]":
        """Keep one frame; return what cantools reads from it, as raw integers."""
        message = self.database.get_message_by_name(message_name)
        number = message.frame_id
        if message.is_extended_frame:
            number = number & ~0xFF | 0x31 | EXT  # whoever sent it
        self.latest.keep(0, number, data[: message.length], now)
        decoded = message.decode(data[: message.length], decode_choices=False, scaling=False)
        return {name: int(value) for name, value in decoded.items()}

    def exact(self, message_name: str, signal_name: str, raw: int) -> Fraction:
        """The physical value, by the decimals that cantools knows."""
        signal = self.database.get_message_by_name(message_name).get_signal_by_name(signal_name)
        return raw * Fraction(repr(signal.scale)) + Fraction(repr(signal.offset))

    def sample(self, now: int = 0) -> "dict[int, dict[str, Any]]":
        return dict(self.sampler.sample(self.latest, now))


def count(value: Fraction, per_unit: int, offset: int, lo: int, hi: int, invalid: int) -> int:
    """Nearest count, ties away from zero; outside of its range: not known."""
    scaled = value * per_unit + offset
    nearest = int(scaled + Fraction(1, 2)) if scaled >= 0 else -int(-scaled + Fraction(1, 2))
    return nearest if lo <= nearest <= hi else invalid


frames = st.binary(min_size=8, max_size=8)
many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def package_dbc(name: str) -> Path:
    spec = importlib.util.find_spec("opendbc")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "dbc" / name


@pytest.fixture
def volt() -> Car:
    return Car("chevrolet_volt", package_dbc("gm_global_a_high_voltage_management.dbc"))


@needs_opendbc
@many
@given(data=frames, status=frames)
def test_volt_pack_voltage_and_charger(volt: Car, data: bytes, status: bytes) -> None:
    raw = volt.keep("Pack_Stats", data)["Pack_Voltage"]
    charger = volt.keep("Charger_status", status)["Status"]
    body = volt.sample()[1]
    assert body["total_voltage"] == count(volt.exact("Pack_Stats", "Pack_Voltage", raw), 10, 0, 0, 10000, 0xFFFF)
    assert body["charging_state"] == {0: 3, 3: 1, 5: 3, 7: 1}.get(charger, 0xFF)
    assert (body["total_current"], body["soc"], body["speed"]) == (0xFFFF, 0xFF, 0xFFFF)


@needs_opendbc
@given(words=st.lists(st.integers(0, 0xFFF), min_size=96, max_size=96), probes=st.binary(min_size=9, max_size=9))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_volt_cells_and_probes_are_where_cantools_puts_them(volt: Car, words: list[int], probes: bytes) -> None:
    """Encoded by cantools, page by page."""
    expected = []
    left = iter(words)
    for module in range(1, 5):
        message = volt.database.get_message_by_name(f"Battery_Module_{module}")
        for bank in range(8):
            names = [f"Voltage_{module}_{bank}_{letter}" for letter in "ABC"]
            values = dict(zip(names, left, strict=False))
            data = message.encode({f"Cell_Bank_Number_{module}": bank, **values}, scaling=False, strict=False)
            volt.keep(message.name, data)
            expected += [
                count(volt.exact(message.name, name, raw), 1000, 0, 0, 60000, 0xFFFF) for name, raw in values.items()
            ]
    temperatures = volt.database.get_message_by_name("Battery_temp")
    for page, letters in ((0, "ABCDEF"), (1, "GHI")):
        part = {f"Temp_{letter}": probes["ABCDEFGHI".index(letter)] for letter in letters}
        volt.keep("Battery_temp", temperatures.encode({"Switch": page, **part}, scaling=False, strict=False))
    sample = volt.sample()
    (cells,) = sample[8]["subsystems"]
    (probe_list,) = sample[9]["subsystems"]
    assert cells["cells"] == expected
    assert probe_list["probes"] == [count(Fraction(raw, 2) - 40, 1, 40, 0, 250, 0xFF) for raw in probes]
    assert sample[6]["max_cell_voltage"] == max(expected)


@pytest.fixture
def model_3() -> Car:
    return Car("tesla_model_3", package_dbc("tesla_model3_vehicle.dbc"))


@needs_opendbc
@many
@given(data=frames)
def test_model_3_gear_and_pedals(model_3: Car, data: bytes) -> None:
    model_3.keep(
        "DI_systemStatus", bytes([data[0], data[1] & 0xF0 | data[1] + 1 & 0x0F]) + data[2:]
    )  # the counter moves
    raw = model_3.keep("DI_systemStatus", data)
    body = model_3.sample()[1]
    assert body["gear"] == {1: 15, 2: 13, 3: 0, 4: 14}.get(raw["DI_gear"], 0)
    assert body["brake"] == {0: 0, 1: 101}.get(raw["DI_brakePedalState"], 0xFF)
    pedal = model_3.exact("DI_systemStatus", "DI_accelPedalPos", raw["DI_accelPedalPos"])
    assert body["accelerator"] == (0xFF if raw["DI_accelPedalPos"] == 255 else count(pedal, 1, 0, 0, 100, 0xFF))
    assert body["vehicle_state"] == {5: 1, 1: 2, 2: 3, 3: 3, 4: 3}.get(raw["DI_systemState"], 0xFF)


@needs_opendbc
def test_model_3_whose_counter_stands_still_is_not_alive(model_3: Car) -> None:
    frame = model_3.database.encode_message(
        "DI_systemStatus",
        {
            signal.name: {"DI_gear": 4, "DI_systemState": 5}.get(signal.name, 0)
            for signal in model_3.database.get_message_by_name("DI_systemStatus").signals
        },
        scaling=False,
    )
    for now in range(0, 3000, 10):
        model_3.keep("DI_systemStatus", frame, now)
    assert model_3.sample(3000)[1]["gear"] == 0  # not known, which 2016 cannot say


@pytest.fixture
def truck() -> Car:
    return Car("j1939_vehicle", ROOT / "dbc/j1939_vehicle.dbc")


def test_j1939_messages_match_whatever_the_priority_and_the_sender(truck: Car) -> None:
    masks = {mask for _, _, mask, *_ in truck.mapping.plan["messages"]}
    assert EXACT not in masks
    assert masks == {0x83FFFF00}


J1939 = [  # item, message, signal, per unit, offset, highest count, invalid
    ("speed", "CCVS1", "WheelBasedSpeed", 10, 0, 2200, 0xFFFF),
    ("odometer", "VDHR", "TotalDistance", 10, 0, 9999999, 0xFFFFFFFF),
    ("total_voltage", "HVESSD1", "Voltage", 10, 0, 10000, 0xFFFF),
]


@many
@given(data=frames)
def test_j1939_numbers(truck: Car, data: bytes) -> None:
    for item, message, signal, per_unit, offset, hi, invalid in J1939:
        raw = truck.keep(message, data)[signal]
        expected = count(truck.exact(message, signal, raw), per_unit, offset, 0, hi, invalid)
        assert truck.sample()[1][item] == expected, item


@many
@given(data=frames)
def test_j1939_codes_for_error_and_not_available_never_become_numbers(truck: Car, data: bytes) -> None:
    pedal = truck.keep("EEC2", data)["AcceleratorPedalPosition1"]
    brake = truck.keep("EBC1", data)["BrakePedalPosition"]
    gear = truck.keep("ETC2", data)["CurrentGear"]
    speed = truck.keep("EEC1", data)["EngineSpeed"]
    sample = truck.sample()
    body, engine = sample[1], sample[4]
    for item, raw in (("accelerator", pedal), ("brake", brake)):
        expected = count(Fraction(2 * raw, 5), 1, 0, 0, 100, 0xFF) if raw <= 250 else 0xFE if raw == 254 else 0xFF
        assert body[item] == expected
    gears = {125: 0, 251: 15} | dict.fromkeys(range(121, 125), 13) | {125 + number: number for number in range(1, 13)}
    assert body["gear"] == gears.get(gear, 0)
    valid = speed <= 0xFAFF
    assert engine["speed"] == (count(Fraction(speed, 8), 1, 0, 0, 60000, 0xFFFF) if valid else 0xFFFF)
    assert engine["state"] == (0xFF if not valid else 2 if speed < 400 else 1)


@many
@given(raw=st.integers(0, 0xFFFF))
def test_j1939_consumption(truck: Car, raw: int) -> None:
    truck.keep("LFE1", bytes(2) + raw.to_bytes(2, "little") + bytes(4))
    found = truck.sample()[4]["fuel_consumption"]
    # 512 counts a km/L; none while standing, and nothing above 125.5 km/L
    expected = 0xFFFF if raw == 0 or raw > 125.5 * 512 else count(Fraction(100 * 512, raw), 100, 0, 0, 60000, 0xFFFF)
    assert found == expected


@pytest.mark.parametrize(
    ("latitude", "longitude", "status"),
    [(56.0978, 10.2169, 0), (-33.45, -70.66, 0b110), (None, None, 1)],
)
def test_j1939_position(truck: Car, latitude: "float | None", longitude: "float | None", status: int) -> None:
    if latitude is None or longitude is None:
        data = b"\xff" * 8
    else:
        data = truck.database.encode_message("VP", {"Latitude": latitude, "Longitude": longitude})
    truck.keep("VP", data)
    body = truck.sample()[5]
    assert body["status"] == status
    assert body["latitude"] == round(abs(latitude or 0) * 1e6)
    assert body["longitude"] == round(abs(longitude or 0) * 1e6)


def test_j1939_recording_of_a_standing_vehicle(truck: Car, tbox_data: Path) -> None:
    """Engine and wheels stand in this one; its messages come from several senders."""
    for t_us, _, can_id, data in read_log(tbox_data / "css/j1939_FCBF0606.log"):
        now = t_us // 1000
        truck.latest.keep(0, can_id, data, now)
    sample = truck.sample(now)
    assert truck.latest.kept > 500
    assert (sample[1]["speed"], sample[4]["speed"], sample[4]["state"]) == (0, 0, 2)
    decoded = truck.database.decode_message("EEC1", bytes.fromhex("F0FF7D0000FFFFFF"))
    assert decoded["EngineSpeed"] == 0
    assert decoded["ActualEnginePercentTorque"] == 0
