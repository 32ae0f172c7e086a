"""A receiver's frames on a bus, recorded while driving: every sampled position is what cantools decodes."""

from pathlib import Path

import cantools
import pytest

from agent.canlog.reader import read_log
from agent.core.frames import LatestFrames
from agent.core.sampler import Sampler
from agent.signalmap import load_mapping

ROOT = Path(__file__).resolve().parents[2]
LOG = "css/gnss_62s_3BA199E2.log"


@pytest.mark.parametrize(("edition", "invalid"), [("2016", 1), ("2025", 1)])
def test_every_position_of_a_drive(
    tbox_data: Path, monkeypatch: pytest.MonkeyPatch, edition: str, invalid: int
) -> None:
    monkeypatch.setenv("TBOX_DATA", str(tbox_data))
    mapping = load_mapping(ROOT / "dbc/gnss_on_can.toml", edition, cache=False)
    database = cantools.database.load_file(tbox_data / "css/canmod-gnss.dbc")
    message, speed = database.get_message_by_name("GnssPosition"), database.get_message_by_name("GnssSpeed")
    latest, sampler = LatestFrames(mapping.plan), Sampler(mapping.plan, ticks_per_ms=1000)
    positions, speeds, valid = 0, 0, 0
    for t_us, channel, can_id, data in read_log(tbox_data / LOG):
        if channel != "can2":
            continue
        latest.keep(0, can_id, data, t_us)
        if can_id == message.frame_id:
            said = message.decode(data)
            body = dict(sampler.sample(latest, t_us))[mapping.edition.body_types["position"]]
            assert body["status"] & invalid == (not said["PositionValid"])
            assert body["longitude"] == round(abs(said["Longitude"]) * 1e6)
            assert body["latitude"] == round(abs(said["Latitude"]) * 1e6)
            positions += 1
            valid += bool(said["PositionValid"])
        elif can_id == speed.frame_id:
            said = speed.decode(data)
            if said["SpeedValid"]:
                body = dict(sampler.sample(latest, t_us))[1]
                assert body["speed"] == pytest.approx(said["Speed"] * 36, abs=0.51)
                speeds += 1
    assert (positions, valid) == (59, 59)
    assert speeds > 50
