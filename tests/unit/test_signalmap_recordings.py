"""The project's mappings on real recordings give what is known about those cars; other real DBC files can be mapped."""

import importlib.util
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from agent.canlog.reader import read_log
from agent.core.frames import LatestFrames
from agent.core.sampler import Sampler
from agent.signalmap import CompiledMapping, load_mapping

ROOT = Path(__file__).resolve().parents[2]


def replay(mapping: CompiledMapping, log: Path) -> "tuple[list[dict[int, dict[str, Any]]], LatestFrames]":
    """A sample each second of the log, and one at its end."""
    latest, sampler = LatestFrames(mapping.plan), Sampler(mapping.plan, ticks_per_ms=1000)
    samples = []
    due = None
    for t_us, _, can_id, data in read_log(log):
        due = t_us + 1_000_000 if due is None else due
        while t_us >= due:
            samples.append(dict(sampler.sample(latest, due)))
            due += 1_000_000
        latest.keep(0, can_id, data, t_us)
    return [*samples, dict(sampler.sample(latest, t_us))], latest


@pytest.fixture
def bmw_i3(tbox_data: Path, monkeypatch: pytest.MonkeyPatch) -> CompiledMapping:
    monkeypatch.setenv("TBOX_DATA", str(tbox_data))
    return load_mapping(ROOT / "dbc/bmw_i3.toml", "2016", cache=False)


def test_bmw_i3_while_charging(bmw_i3: CompiledMapping, tbox_data: Path) -> None:
    samples, latest = replay(bmw_i3, tbox_data / "bmw_i3/ionity_dc_charge_15s.log")
    bodies = [sample[1] for sample in samples]
    assert len(bodies) == 15
    # 358.7..359.1 V; the car says +123.4..+125.1 A while charging, GB/T 32960 counts that negative.
    assert {body["total_voltage"] for body in bodies} <= set(range(3587, 3592))
    assert {body["total_current"] - 10000 for body in bodies} <= set(range(-1251, -1233))
    assert {body["soc"] for body in bodies} == {42}  # 41.6..42.0 %
    assert (bodies[0]["total_voltage"], bodies[-1]["total_voltage"]) == (3587, 3591)
    assert latest.kept + latest.unknown_id == 23637


def test_bmw_i3_every_frame_of_the_battery_is_within_the_known_values(bmw_i3: CompiledMapping, tbox_data: Path) -> None:
    latest, sampler = LatestFrames(bmw_i3.plan), Sampler(bmw_i3.plan)
    seen: dict[str, list[int]] = {"total_voltage": [], "total_current": [], "soc": []}
    for t_us, _, can_id, data in read_log(tbox_data / "bmw_i3/ionity_dc_charge_15s.log"):
        if can_id == 0x112:
            latest.keep(0, can_id, data, t_us)
            body = dict(sampler.sample(latest, t_us))[1]
            for name, values in seen.items():
                values.append(body[name])
    assert (min(seen["total_voltage"]), max(seen["total_voltage"])) == (3587, 3591)
    assert (min(seen["total_current"]), max(seen["total_current"])) == (10000 - 1251, 10000 - 1234)
    assert set(seen["soc"]) == {42}


def test_bmw_i3_at_the_end_of_ac_charging(bmw_i3: CompiledMapping, tbox_data: Path) -> None:
    """Its stamps only count lines, so that they are replaced: 1 ms a frame."""
    latest, sampler = LatestFrames(bmw_i3.plan), Sampler(bmw_i3.plan, ticks_per_ms=1000)
    found = set()
    for t_us, _, can_id, data in read_log(tbox_data / "bmw_i3/ac_start_end_charge_69pct.gvret.csv", frame_ms=1):
        latest.keep(0, can_id, data, t_us)
        if can_id == 0x112:
            body = dict(sampler.sample(latest, t_us))[1]
            found.add((body["total_voltage"], body["total_current"], body["soc"]))
    voltages, currents, socs = zip(*found, strict=True)
    assert (min(voltages), max(voltages)) == (3782, 3791)
    assert (min(currents), max(currents)) == (10000 - 79, 10000 + 7)
    assert set(socs) == {57}


def test_tesla_model_s_cells(tbox_data: Path) -> None:
    mapping = load_mapping(ROOT / "dbc/tesla_model_s.toml", "2016", cache=False)
    log = tbox_data / "tesla_model_s/gvret.csv"
    samples, latest = replay(mapping, log)
    last = samples[-1]
    (subsystem,) = last[8]["subsystems"]
    cells, probes = subsystem["cells"], last[9]["subsystems"][0]["probes"]
    assert (len(cells), min(cells), max(cells)) == (96, 4001, 4006)  # 4.0013..4.0059 V
    assert (len(probes), min(probes), max(probes)) == (32, 62, 63)  # 21.89..23.01 degC
    # Of the exact values the sum is 384.44 V; rounded to whole millivolts first, 384.444 V.
    assert sum(cells) == 384_444
    assert round(sum(exact_cells(log)), 2) == Fraction("384.44")
    assert subsystem["voltage"] == last[1]["total_voltage"]
    assert 3836 <= last[1]["total_voltage"] <= 3845  # 383.59..384.46 V
    assert (last[6]["max_cell_voltage"], last[6]["min_cell_voltage"]) == (max(cells), min(cells))
    assert (last[6]["max_temperature"], last[6]["min_temperature"]) == (63, 62)
    assert (latest.unknown_mux, latest.short) == (0, 0)
    # Pages arrive one by one; a cell not heard of yet is invalid, not zero.
    assert set(samples[0][8]["subsystems"][0]["cells"]) > {0xFFFF}


def exact_cells(log: Path) -> "list[Fraction]":
    """The newest value of each cell, worked out by hand from the layout: 14 bits each, little-endian, 0.000305 V."""
    newest: dict[int, Fraction] = {}
    for _, _, can_id, data in read_log(log):
        if can_id == 0x6F2 and data[0] < 24:
            word = int.from_bytes(data[1:8], "little")
            for index in range(4):
                newest[4 * data[0] + index] = (word >> 14 * index & 0x3FFF) * Fraction("0.000305")
    assert len(newest) == 96
    return list(newest.values())


def test_every_mapping_of_the_project_compiles(tbox_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TBOX_DATA", str(tbox_data))
    mappings = sorted((ROOT / "dbc").glob("*.toml"))
    assert len(mappings) >= 2
    for mapping in mappings:
        if "package:opendbc" in mapping.read_text() and importlib.util.find_spec("opendbc") is None:
            continue  # no release for this Python; test_shipped_mappings.py says so
        assert load_mapping(mapping, "2016", cache=False).plan["messages"], mapping.name


def test_answers_of_a_kona_in_long_messages_are_multiplexed_twice(tbox_data: Path, tmp_path: Path) -> None:
    """Byte 0 and the reassembled answer to 22 01 01, as the recording's makers feed it; 50 % and 357.2 V are known."""
    dbc = (tbox_data / "css/tp_uds.dbc").read_text()
    head = 'format = 1\nname = "kona"\nedition = "2016"\n[dbc.b]\nfiles = ["kona.dbc"]\n'
    (tmp_path / "kona.dbc").write_text(dbc)
    (tmp_path / "kona.toml").write_text(head + '[vehicle]\nsoc = "b.Battery.M_SID_0x220101_StateOfChargeBMS"\n')
    mapping = load_mapping(tmp_path / "kona.toml", "2016", cache=False)
    payloads = reassembled(tbox_data / "css/kona_uds_17BD1DB7.log")
    assert len(payloads) > 50
    found = set()
    for payload in payloads:
        latest = LatestFrames(mapping.plan)
        latest.keep(0, 0x7EC, bytes([len(payload)]) + payload, 0)
        found.add(dict(Sampler(mapping.plan).sample(latest, 0))[1]["soc"])
    assert found == {50}


def reassembled(log: Path) -> "list[bytes]":
    """ISO-TP answers to 22 01 01 from 0x7EC."""
    done: list[bytes] = []
    parts = b""
    size = 0
    for _, _, can_id, data in read_log(log):
        if can_id != 0x7EC:
            continue
        if data[0] >> 4 == 1:
            size, parts = (data[0] & 15) << 8 | data[1], data[2:]
        elif data[0] >> 4 == 2 and size:
            parts += data[1:]
            if len(parts) >= size:
                if parts.startswith(b"\x62\x01\x01"):
                    done.append(parts[:size])
                size = 0
    return done
