"""The machinery behind the figures `bus` and `raw`, at its smallest: what is counted, not how fast."""

import asyncio
import json
import subprocess

import pytest

from agent.canbus.bus import CanBus
from bench.perf import bus, canwork
from bench.perf.busload import Load, Reference, cycles
from bench.perf.guest import Told


@pytest.fixture
def three_buses(vcan_bus, monkeypatch):
    """Three virtual buses in the place of vcan0 to vcan2."""
    others = [f"{vcan_bus}{end}" for end in "bc"]
    for name in others:
        subprocess.run(["ip", "link", "add", name, "type", "vcan"], check=True)
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
    buses = (vcan_bus, *others)
    monkeypatch.setattr(canwork, "BUSES", buses)
    yield buses
    for name in others:
        subprocess.run(["ip", "link", "del", name], check=True)


def results(printed):
    """What the phases told, by name."""
    found: dict[str, list] = {}
    for line in printed.splitlines():
        row = json.loads(line)
        if "end" in row:
            found.setdefault(row.pop("end"), []).append(row)
    return found


def test_every_phase_hears_what_is_sent_and_the_newest_is_the_newest(three_buses, capsys):
    size = canwork.SIZES["small"]
    canwork.main(size)
    told = results(capsys.readouterr().out)
    for (full,) in (told["bcm"], told["raw"], told["peer"]):
        assert full["carried"] > 100 * full["seconds"]  # a slow machine sends less than 4,000
    (bcm,), (tenth,), (raw,), (three,), (peer,), (newest,) = (
        told[name] for name in ("bcm", "bcm at a tenth", "raw", "three raw", "peer", "newest")
    )
    assert 0 < bcm["frames"] <= 2 * 60 * (size.samples + 1)  # at most two of each message and sample
    assert tenth["frames"] > 0
    assert tenth["carried"] < bcm["carried"]
    assert raw["frames"] == pytest.approx(0.4 * raw["carried"], rel=0.1)  # the mapped ones' share
    assert three["frames"] > raw["frames"] / 2
    assert three["dropped"] == raw["dropped"] == 0
    assert 0 < peer["frames"] <= peer["carried"] + 1000  # those that waited when it began
    assert newest == {"compared": 60 * size.compared, "stale": 0, "missed": 0}
    assert len(bus.rows_of(Told(told, None))) == 5


def test_a_path_that_does_not_ask_the_kernel_before_a_sample_is_found_out(three_buses, capsys, monkeypatch):
    monkeypatch.setattr(CanBus, "refresh", lambda _: None)
    work = canwork.Work(canwork.SIZES["small"], canwork._Selector())
    with Load(three_buses[:1]):
        asyncio.run(work.newest())
    (newest,) = results(capsys.readouterr().out)["newest"]
    assert newest["stale"] > newest["compared"] / 2


def test_the_load_sends_every_message_and_counts_without_a_gap(three_buses):
    with Reference(three_buses[0]) as reference:
        with Load(three_buses[:1]):
            while cycles().keys() - reference.take().keys():
                pass
        assert reference.missed == 0
        assert reference.newest.keys() == cycles().keys()
