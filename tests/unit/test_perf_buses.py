"""Figures measured in a kernel with CAN: their traffic, their accounts, and what becomes a row. The kernel itself: tests/vm."""

import struct

import can.interfaces.socketcan.constants as linux
import pytest

from agent.signalmap import load_mapping
from bench.perf import bus, busload, canwork, fullcar, fullcarwork, gnss, guest, rows_of
from bench.perf.guest import Spent, Told
from bench.perf.rig import RigError
from bench.perf.traffic import MESSAGES, compiled_plan


def test_the_load_is_a_full_bus_of_500_kbit_with_60_of_150_identifiers_mapped():
    cycles = busload.cycles()
    assert len(cycles) == 150
    mapped = {message[1] for message in compiled_plan()["messages"]}
    assert len(mapped) == 60 == len(mapped & cycles.keys())
    # 8 bytes, standard identifier, 111 bits with the pause between frames and on average 5 % of stuff bits
    assert 0.85 < busload.rate() * 111 * 1.05 / 500_000 < 1
    assert busload.rate(10) == pytest.approx(busload.rate() / 10)


def test_mapped_and_unmapped_messages_come_alike_often():
    cycles = busload.cycles()
    mapped = {message[1] for message in compiled_plan()["messages"]}
    share = sum(1 / cycles[can_id] for can_id in mapped) / sum(1 / cycle for cycle in cycles.values())
    assert share == pytest.approx(0.4)


def test_contents_count_up_and_differ_between_messages():
    contents = [busload.data_of(0x100, count) for count in range(busload.CONTENTS)]
    assert [data[0] for data in contents] == list(range(256))
    assert len(set(contents)) == 256
    assert busload.data_of(0x101, 7)[2:] != contents[7][2:]


def test_the_kernel_is_told_to_send_for_ever_as_linux_spells_it():
    message = busload.setup(0x123, 1250, [bytes(8), b"12345678"])
    opcode, flags, count, *interval, can_id, frames = struct.unpack_from("@IIIllllII", message)
    assert opcode == linux.CAN_BCM_TX_SETUP
    assert flags == linux.SETTIMER | linux.STARTTIMER
    assert (count, interval, can_id, frames) == (0, [0, 0, 1, 250_000], 0x123, 2)
    assert message.endswith(struct.pack("=IB3x8s", 0x123, 8, b"12345678"))


@pytest.mark.parametrize(
    ("seen", "before", "after", "stale"),
    [(7, 7, 7, 0), (7, 6, 8, 0), (8, 6, 8, 0), (6, 7, 8, 1), (9, 7, 8, 1), (1, 255, 2, 0), (254, 255, 2, 1)],
    ids=["the newest", "came meanwhile", "came last", "older", "from nowhere", "past 255", "older, past 255"],
)
def test_a_value_is_stale_when_it_was_not_the_newest_between_the_two_looks(seen, before, after, stale):
    assert canwork._stale({1: bytes([seen])}, {1: before}, {1: after}) == stale


def test_a_value_that_never_came_is_stale():
    assert canwork._stale({1: b""}, {1: 0}, {1: 255}) == 1


def told(**changed):
    """What a guest tells on a good day."""

    def row(**named):
        return {
            "busy": [0.005] * 4,
            "process": 0.01,
            "frames": 600,
            "dropped": 0,
            "carried": 20_100,
            "seconds": 5.0,
        } | named

    results = {
        "sending": [{}],
        "bcm": [row(), row(busy=[0.007] * 4)],
        "bcm at a tenth": [row(carried=2_000)],
        "newest": [{"compared": 720, "stale": 0, "missed": 0}],
        "raw": [row(process=0.06, frames=8_000)],
        "three raw": [row(frames=24_000)],
        "peer": [row(process=0.42, frames=15_075)],
    }
    for name, values in changed.items():
        results[name.replace("_", " ")][-1].update(values)
    return Told(results, None)


def verdicts(rows):
    return {row["name"]: row["met"] for row in rows}


def test_a_good_day_meets_all_five_rows():
    rows = bus.rows_of(told())
    assert list(verdicts(rows)) == ["bus", "bus, own load", "bus, newest", "raw", "raw, drops"]
    assert all(row["met"] for row in rows)
    assert rows[0]["value"] == 0.6  # the median of the rounds
    assert "lost 25%" in rows[0]["note"]
    assert (rows[3]["value"], rows[3]["peer_value"]) == (6.0, 56.0)  # it heard three of four: all would have cost more


@pytest.mark.parametrize(
    ("phase", "values", "missed"),
    [
        ("peer", {"process": 0.29}, {"bus"}),
        ("bcm_at_a_tenth", {"busy": [0.0033] * 4}, {"bus, own load"}),
        ("newest", {"stale": 1}, {"bus, newest"}),
        ("newest", {"missed": 1}, {"bus, newest"}),
        ("newest", {"compared": 0}, {"bus, newest"}),
        ("raw", {"process": 0.12}, {"raw"}),
        ("raw", {"carried": 10_000}, {"raw"}),
        ("three_raw", {"dropped": 1}, {"raw, drops"}),
        ("three_raw", {"frames": 0}, {"raw, drops"}),
    ],
)
def test_each_target_can_be_missed(phase, values, missed):
    rows = bus.rows_of(told(**{phase: values}))
    assert {name for name, met in verdicts(rows).items() if not met} >= missed
    assert "bus, own load" in missed or verdicts(rows)["bus, own load"]


def test_where_the_guests_whole_cost_is_known_the_thread_is_charged_it():
    spent = {"sending": Spent(10, 0, 0.2), "bcm": Spent(10, 0.02, 0.22), "peer": Spent(5, 1, 1.1)}
    rows = bus.rows_of(told(raw={"process": 0.2})._replace(spent=spent | {"raw": Spent(10, 0.2, 0.7)}))
    assert "beyond sending: 0.4 % and 40.0 %" in rows[0]["note"]
    assert (rows[3]["value"], rows[3]["peer_value"], rows[3]["met"]) == (7.0, 53.333, True)
    assert "20.0 % and 42.0 %" in rows[3]["note"]
    dearer = told()._replace(spent=spent | {"raw": Spent(10, 0.6, 0.7)})
    assert not bus.rows_of(dearer)[3]["met"]


def test_accounts_of_several_rounds_add_up():
    both = Spent(2, 0.1, 0.3) + Spent(2, 0.3, 0.1)
    assert (both.user_percent, both.kernel_percent, both.percent) == pytest.approx((10, 10, 20))


def car(percent=0.01, reports=3, latencies=(900.0,) * 99 + (1300.0,), spent=None):
    agent = {"process": percent, "frames_per_s": 12_000, "reports": reports, "seconds": 30.0}
    return Told({"held": [{}], "agent": [agent], "alarm": [{"latencies_ms": list(latencies), "packets": 30}]}, spent)


def test_the_agent_is_what_the_guest_spends_beyond_an_agent_that_is_stopped():
    spent = {"held": Spent(10, 0, 0.25), "agent": Spent(30, 0.3, 1.05)}
    row, _ = fullcar.rows_of(car(percent=0.5, spent=spent))
    assert row["value"] == 2.0
    assert row["met"]
    assert "user code 1.00 %, system calls 1.00 %" in row["note"]
    dearer = spent | {"agent": Spent(30, 0.9, 0.9)}
    assert not fullcar.rows_of(car(spent=dearer))[0]["met"]


@pytest.mark.parametrize(
    ("agent", "alarm", "changed"),
    [
        (True, True, {}),
        (False, True, {"percent": 0.031}),
        (False, True, {"reports": 2}),
        (True, True, {"latencies": [1000.0] * 99 + [float("inf")]}),
        (True, False, {"latencies": [1000.0] * 98 + [1301.0, 1400.0]}),
        (True, False, {"latencies": [1000.0, float("inf")]}),
    ],
    ids=["good", "too dear", "a report missing", "one of a hundred lost", "two of a hundred late", "one of two lost"],
)
def test_agent_and_alarm_are_met_each_by_itself(agent, alarm, changed):
    assert [row["met"] for row in fullcar.rows_of(car(**changed))] == [agent, alarm]


def test_an_alarm_is_there_with_the_first_packet_that_has_its_bit_after_it_rose():
    rises = [fullcarwork.Rise(0, 1000), fullcarwork.Rise(1, 1500), fullcarwork.Rise(0, 5000), fullcarwork.Rise(2, 1000)]
    packets = [(900, 0b001), (1999, 0b010), (2001, 0b011), (3000, 0b011), (5000, 0b001)]
    assert fullcarwork.latencies(rises, packets) == [1001, 499, 0, float("inf")]


def test_the_full_car_has_200_signals_on_three_buses_and_every_alarm(tmp_path):
    fullcarwork.write_files(tmp_path, 1)
    plan = load_mapping(tmp_path / "full.toml", "2016", cache=False).plan
    signals = sum(len(rows) for source in plan["sources"] for rows in source[2:])
    assert signals == 200 + 19
    assert len(plan["buses"]) == 3
    assert len(plan["messages"]) == 3 * MESSAGES + 1


def test_positions_are_compared_with_the_newest_one_before_each_sample():
    first, second = (True, 1, 2), (True, 3, 4)
    assert gnss.paired([None, first, first, second, second], {1: first, 3: second}) == [
        (first, first),
        (first, first),
        (second, second),
        (second, second),
    ]
    assert gnss.paired([None], {0: first}) == [(None, first)]


def test_the_drive_is_measured_where_the_recordings_are(tbox_data, monkeypatch):
    pytest.importorskip("asammdf", reason="the extra mf4 is not installed")
    monkeypatch.setenv("TBOX_DATA", str(tbox_data))
    (row,) = gnss.measure()
    assert row["met"]
    assert "62 positions compared" in row["note"]


def test_without_the_recordings_the_row_says_so(monkeypatch):
    monkeypatch.delenv("TBOX_DATA", raising=False)
    ((_, (row,)),) = rows_of(["gnss"], False)
    assert not row["met"]
    assert row["note"].startswith("not measured: TBOX_DATA")


def test_without_a_kernel_that_has_can_the_reason_is_what_the_runner_said(monkeypatch, tmp_path):
    runner = tmp_path / "runner"
    runner.write_text("#!/bin/sh\necho 'cannot fetch user-mode-linux' >&2\nexit 126\n")
    runner.chmod(0o755)
    monkeypatch.setattr(guest.sys, "executable", str(runner))
    with pytest.raises(RigError, match="exit 126: cannot fetch user-mode-linux"):
        guest.watch("bench.perf.canwork", "quick", timeout_s=1)
