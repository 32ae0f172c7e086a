"""Replay of recorded logs: when its packets are from."""

import pytest

from agent.canlog.reader import read_log
from agent.core.editions import EDITIONS
from agent.core.packet import Packet, epoch_of
from agent.replay import Replay, wanted_ids
from bench.perf import reference

VIN = b"LTBXTEST700000001"
START_S = 1_577_808_000


def times(path, channel="can0"):
    """The collection time of each packet of a log."""
    plan = reference.mapping().plan
    replay = Replay(
        edition=EDITIONS["2016"],
        vin=VIN,
        plan=plan,
        logs=[read_log(path, wanted=wanted_ids(plan))],
        buses=[("pt", channel)],
        interval_s=10,
        start_s=START_S,
    )
    return [epoch_of(Packet(raw).unit) for raw in replay], replay.counters


def test_packets_of_a_log_with_absolute_time_carry_it(tmp_path):
    path = tmp_path / "car.log"
    reference.write_candump(path, 25)
    collected, counters = times(path)
    assert collected == [1_700_000_001, 1_700_000_011, 1_700_000_021, 1_700_000_025]
    assert counters.seconds == 25
    assert counters.strangers == 0


@pytest.mark.parametrize("uptime_s", [0, 1.5, 86_400])
def test_a_log_without_absolute_time_begins_at_the_start_whatever_its_recorder_counted(tmp_path, uptime_s):
    path = tmp_path / "uptime.log"
    path.write_text("".join(f"({uptime_s + n / 10:.6f}) can0 310#00FE5EC1F7EF01F4\n" for n in range(121)))
    collected, _ = times(path)
    assert collected == [START_S + 1, START_S + 11, START_S + 13]


def test_a_log_without_a_wanted_frame_still_has_its_seconds(tmp_path):
    path = tmp_path / "strangers.log"
    path.write_text("".join(f"(1700000000.{n}00000) can0 7AB#00\n" for n in range(10)))
    collected, counters = times(path)
    assert collected == [1_700_000_001]
    assert counters.frames == 10
