"""What a mapping gets from [gnss]: the position by itself, the messages of the shipped DBC, faults in words of the files."""

from pathlib import Path

import cantools
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapped import write

from agent.app import check_speed, load_for
from agent.attached.gnss import FIX_ID, pack_fix
from agent.clock import Clock
from agent.config import Config, dbc_folder, load_config
from agent.core.frames import LatestFrames
from agent.core.nmea import Fix
from agent.core.sampler import Sampler
from agent.errors import ConfigError
from agent.signalmap import load_mapping

SPEED = 'BO_ 1 M: 8 A\nSG_ Speed : 0|16@1+ (0.1,0) [0|300] "km/h" A'
SECTIONS = '[vehicle]\nspeed = "b.M.Speed"\n'
POSITION = 5  # type of the body in 2016
INVALID, SOUTH, WEST = 1, 2, 4

VEHICLE = '[vehicle]\nvin = "LGBTEST0000000017"\nmapping = "{mapping}"\n'
CAN = '[[can]]\nname = "{bus}"\ninterface = "virtual"\n[platform]\nhost = "127.0.0.1"\n'
GNSS = '[gnss]\ndevice = "/dev/ttyACM0"\n'


def config(folder: Path, more: str = "", *, mapping: str = "test.toml", bus: str = "b") -> Config:
    (folder / "tbox.toml").write_text(VEHICLE.format(mapping=mapping) + CAN.format(bus=bus) + more)
    return load_config(folder / "tbox.toml")


def faults_of(folder: Path, more: str, **names: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_for(config(folder, more, **names), "tbox.toml")
    return caught.value.faults


# --- the frame --------------------------------------------------------------------------------------------------------

FIXES = st.builds(
    Fix,
    st.just(value=True),
    st.integers(-900_000_000, 900_000_000),
    st.integers(-1_800_000_000, 1_800_000_000),
    st.none() | st.integers(1, 253_402_300_799_000),
    st.none() | st.integers(0, 10_000_000),
    st.none() | st.integers(0, 36_000),
    st.none() | st.integers(-1_000_000, 100_000_000),
    st.none() | st.integers(0, 254),
    st.none() | st.integers(0, 65_534),
    st.integers(0, 9),
)
NONE = {"Speed": 0xFFFFFFFF, "Course": 0xFFFF, "Altitude": -(1 << 31), "Satellites": 0xFF, "HDOP": 0xFFFF, "UTC": 0}


@given(FIXES)
def test_cantools_reads_what_is_packed(fix: Fix) -> None:
    message = cantools.database.load_file(dbc_folder() / "gnss.dbc").get_message_by_name("Fix")
    raw = message.decode(pack_fix(fix), scaling=False, decode_choices=False)
    assert message.frame_id == FIX_ID
    given_ = {
        "Valid": 1,
        "TimeValid": fix.utc_ms is not None,
        "Quality": fix.quality,
        "Latitude": fix.latitude,
        "Longitude": fix.longitude,
        "Speed": fix.speed,
        "Course": fix.course,
        "Altitude": fix.altitude,
        "Satellites": fix.satellites,
        "HDOP": fix.hdop,
        "UTC": fix.utc_ms,
    }
    assert raw == {name: NONE[name] if value is None else value for name, value in given_.items()}


def test_what_has_no_room_is_not_available() -> None:
    message = cantools.database.load_file(dbc_folder() / "gnss.dbc").get_message_by_name("Fix")
    far = Fix(True, 1, 1, None, 10**9, 36_001, 10**9, 1000, 10**6, 1)
    raw = message.decode(pack_fix(far), scaling=False, decode_choices=False)
    assert {name: raw[name] for name in NONE} == NONE


# --- the position -----------------------------------------------------------------------------------------------------


def test_a_mapping_without_a_position_has_the_receivers(tmp_path: Path) -> None:
    path = write(tmp_path, SPEED, SECTIONS)
    mapping = load_mapping(path, "2016", cache=False, gnss="gnss")
    assert mapping.buses == ["b", "gnss"]
    sources = {item.path: item.source for item in mapping.items if item.body == "position"}
    assert sources["position.longitude"] == "gnss.Fix.Longitude"
    latest, sampler = LatestFrames(mapping.plan), Sampler(mapping.plan)

    def position(now: int) -> tuple[int, int, int]:
        body = dict(sampler.sample(latest, now))[POSITION]
        return body["status"], body["longitude"], body["latitude"]

    def keep(fix: Fix, now: int) -> None:
        latest.keep(1, FIX_ID, pack_fix(fix), now)

    assert position(0) == (INVALID, 0, 0)
    keep(Fix(True, 315020567, 1215094633), 1000)
    assert position(1000) == (0, 121509463, 31502057)
    keep(Fix(), 2000)
    assert position(2000) == (INVALID, 121509463, 31502057), "the last valid one, marked"
    keep(Fix(True, -315020567, -1215094633), 3000)
    assert position(3000) == (SOUTH | WEST, 121509463, 31502057)
    assert position(8000) == (SOUTH | WEST, 121509463, 31502057)
    assert position(8001) == (SOUTH | WEST | INVALID, 121509463, 31502057), "a receiver that is silent"


def test_without_the_valid_signal_a_fix_without_a_place_is_not_known(tmp_path: Path) -> None:
    buses = '[dbc.g]\nfiles = ["shipped:gnss.dbc"]\n[position]\nlongitude = "g.Fix.Longitude"\nlatitude = "g.Fix.Latitude"\n'
    mapping = load_mapping(write(tmp_path, SPEED, buses), "2016", cache=False)
    latest, sampler = LatestFrames(mapping.plan), Sampler(mapping.plan)
    latest.keep(1, FIX_ID, pack_fix(Fix(True, -1_000_005, 20)), 0)
    assert dict(sampler.sample(latest, 0))[POSITION]["status"] == SOUTH
    latest.keep(1, FIX_ID, pack_fix(Fix()), 1)
    assert dict(sampler.sample(latest, 1))[POSITION]["status"] == SOUTH | INVALID


def test_a_mapping_with_a_position_keeps_it(tmp_path: Path) -> None:
    reference = dbc_folder() / "reference_ev.toml"
    assert load_mapping(reference, "2025", cache=False, gnss="gnss") == load_mapping(reference, "2025", cache=False)


def test_the_cache_knows_with_and_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CACHE_DIRECTORY", raising=False)
    path = write(tmp_path, SPEED, SECTIONS)
    for _ in range(2):
        assert load_mapping(path, "2016").buses == ["b"]
        assert load_mapping(path, "2016", gnss="gnss").buses == ["b", "gnss"]
        assert load_mapping(path, "2016", gnss="sky").buses == ["b", "sky"]


def test_the_configuration_decides(tmp_path: Path) -> None:
    write(tmp_path, SPEED, SECTIONS)
    assert load_for(config(tmp_path), "f").buses == ["b"]
    assert load_for(config(tmp_path, GNSS), "f").buses == ["b", "gnss"]
    assert load_for(config(tmp_path, '[gnss]\ngpsd = "localhost:2947"\nname = "sky"\n'), "f").buses == ["b", "sky"]


def test_a_mapping_that_reads_gnss_where_there_is_none(tmp_path: Path) -> None:
    own = '[dbc.gnss]\nfiles = ["shipped:gnss.dbc"]\n[position]\n'
    own += 'longitude = "gnss.Fix.Longitude"\nlatitude = "gnss.Fix.Latitude"\n'
    write(tmp_path, SPEED, own)
    (fault,) = faults_of(tmp_path, "")
    assert "neither [gnss] nor a [[can]]" in fault
    assert "/dev/ttyACM0" in fault
    assert load_for(config(tmp_path, GNSS), "f").buses == ["b", "gnss"]


def test_a_shipped_file_that_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, SPEED, '[dbc.g]\nfiles = ["shipped:gns.dbc"]\n')
    (fault,) = faults_of(tmp_path, "")
    assert fault.startswith("dbc.g.files: shipped:gns.dbc: No such file")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("[gnss]\n", "gnss: needs one of device"),
        (GNSS + 'gpsd = "localhost:2947"\n', "gnss: needs one of device"),
        ('[gnss]\ngpsd = "localhost"\n', "gnss.gpsd = 'localhost': allowed: \"host:port\""),
        ('[gnss]\ngpsd = "localhost:99999"\n', "gnss.gpsd = 'localhost:99999': must be"),
        ('[gnss]\ngpsd = "a..b:2947"\n', "gnss.gpsd = 'a..b:2947': must be"),
        ('[gnss]\ndevice = "ttyACM0"\n', "gnss.device = 'ttyACM0': allowed: the path of a serial port"),
        ('[gnss]\ngpsd = "localhost:2947"\nbaud = 9600\n', "gnss.baud: is for device"),
        (GNSS + "baud = 3\n", "gnss.baud = 3"),
        (GNSS + 'name = "b"\n', "gnss.name = 'b': a [[can]] has that name too"),
        (GNSS + 'port = "x"\n', "gnss.port: unknown key"),
        ("[modem]\n", "modem: needs one of port"),
        ('[modem]\nport = "/dev/ttyUSB2"\nmanager = true\n', "modem: needs one of port"),
        ("[modem]\nmanager = false\n", "modem: needs one of port"),
    ],
)
def test_faults_of_the_tables(tmp_path: Path, table: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, table)
    (fault,) = caught.value.faults
    assert fault.startswith(said)


def test_a_receiver_is_no_part_of_a_scaled_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="real interface: gnss"):
        check_speed(config(tmp_path, GNSS), Clock(2), "f")
