"""One drive in several forms of recordings gives the same packets, and its positions are those that cantools decodes."""

import json
from pathlib import Path
from typing import Any

import can
import cantools.database
import pytest

from agent.canlog.reader import read_log
from agent.cli import main

MAPPING = """format = 1
name = "GNSS on CAN"
edition = "2016"
[dbc.gnss]
files = ["data:css/canmod-gnss.dbc"]
[vehicle]
run_mode = { constant = "electric" }
speed = "gnss.GnssSpeed.Speed"
[position]
longitude = "gnss.GnssPosition.Longitude"
latitude = "gnss.GnssPosition.Latitude"
valid = "gnss.GnssPosition.PositionValid"
"""
CONFIG = """
[vehicle]
vin = "LGBTEST0000000017"
iccid = "89860000000000000001"
mapping = "gnss.toml"
[[can]]
name = "gnss"
interface = "virtual"
channel = "{channel}"
[platform]
host = "127.0.0.1"
[report]
interval_s = 1
"""
DRIVE = "css/gnss_62s_3BA199E2"


@pytest.fixture
def folder(tbox_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TBOX_DATA", str(tbox_data))
    (tmp_path / "gnss.toml").write_text(MAPPING)
    return tmp_path


def replayed(folder: Path, log: Path, channel: str, capsys: pytest.CaptureFixture[str]) -> "list[dict[str, Any]]":
    (folder / "tbox.toml").write_text(CONFIG.format(channel=channel))
    assert main(["replay", str(log), "-c", str(folder / "tbox.toml"), "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_packets_of_mf4_are_those_of_the_candump_log(
    folder: Path, tbox_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("asammdf", reason="the extra mf4 is not installed")
    packets = replayed(folder, tbox_data / f"{DRIVE}.MF4", "2", capsys)
    assert packets == replayed(folder, tbox_data / f"{DRIVE}.log", "can2", capsys)
    assert len(packets) == 63  # 61.75 s across 62 boundaries of a second, and the end


def test_packets_of_blf_asc_and_trc_are_those_of_the_candump_log(
    folder: Path, tbox_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Written by python-can; what differs is a header's start in whole milliseconds, which no second notices here."""
    expected = replayed(folder, tbox_data / f"{DRIVE}.log", "can2", capsys)
    messages = list(can.CanutilsLogReader(tbox_data / f"{DRIVE}.log"))
    for message in messages:
        message.channel = int(str(message.channel)[-1]) - 1
    for suffix in ("blf", "asc", "trc"):
        path = folder / f"drive.{suffix}"
        with can.Logger(path) as log:
            for message in messages:
                log(message)
        assert replayed(folder, path, "2", capsys) == expected, suffix


def test_positions_of_the_drive_are_those_of_cantools(
    folder: Path, tbox_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("asammdf", reason="the extra mf4 is not installed")
    message = cantools.database.load_file(tbox_data / "css/canmod-gnss.dbc").get_message_by_name("GnssPosition")
    newest: dict[int, tuple[int, float, float]] = {}  # by the second in which it came: the last one
    for t_us, channel, can_id, data in read_log(tbox_data / f"{DRIVE}.MF4"):
        if can_id == message.frame_id and channel == "2":
            decoded = message.decode(data, decode_choices=False)
            newest[t_us // 10**6] = (
                int(decoded["PositionValid"]),
                float(decoded["Latitude"]),
                float(decoded["Longitude"]),
            )
    packets = replayed(folder, tbox_data / f"{DRIVE}.MF4", "2", capsys)
    begin = read_log(tbox_data / f"{DRIVE}.MF4")
    assert list(begin)
    compared = 0
    for number, packet in enumerate(packets):
        # Sampled on the boundary behind each second; the last one at the recording's end.
        known = [second for second in newest if second <= begin.start_us // 10**6 + number]
        if not known:
            continue  # the recording begins 45 ms in front of a second, with no position in them
        valid, latitude, longitude = newest[max(known)]
        (position,) = [body for body in packet["bodies"] if body["body"] == "position"]
        assert valid
        assert position["latitude"] == pytest.approx(latitude, abs=5.1e-7)
        assert position["longitude"] == pytest.approx(longitude, abs=5.1e-7)
        compared += 1
    assert compared == 62
