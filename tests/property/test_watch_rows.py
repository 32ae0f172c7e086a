"""What the live view shows of any frames: raw and physical as cantools reads them, values as the packet holds them."""

import copy
from pathlib import Path

import cantools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.frames import LatestFrames
from agent.core.packet import COMMAND, PLAIN, Packet, build_packet, time_bytes
from agent.core.report import encode_report
from agent.core.sampler import Sampler
from agent.packetjson import packet_to_json
from agent.signalmap import load_mapping
from agent.watch.rows import Row, Rows
from agent.watch.signals import GRADES, NEVER_SEEN, STALE, VALID, Signals

DBC = Path(__file__).parents[2] / "dbc"
CARS = {
    (name, edition): load_mapping(DBC / f"{name}.toml", edition, cache=False)
    for name in ("reference_ev", "reference_hybrid", "reference_fuel_cell", "tesla_model_s")
    for edition in ("2016", "2025")
    if f'"{edition}"' in (DBC / f"{name}.toml").read_text(encoding="utf-8").partition("[dbc")[0]
}
DATABASES = {
    name: cantools.database.load_file(DBC / f"{name}.dbc", strict=False) for name in ("reference_ev", "tesla_model_s")
}
car = pytest.mark.parametrize("car", CARS, ids=" ".join)


def database(car):
    return DATABASES["tesla_model_s" if "tesla" in car[0] else "reference_ev"]


def without_checks(plan):
    """Counters and checksums would keep random frames out."""
    plan = copy.deepcopy(plan)
    for message in plan["messages"]:
        message[6] = message[7] = None
    return plan


def heard(plan, draw, most=300):
    """Newest frames after random traffic of the plan's messages, some of it old; and the moment."""
    latest = LatestFrames(without_checks(plan))
    now = 100_000
    for _ in range(draw(st.integers(0, most))):
        bus, can_id, _, length, *_ = draw(st.sampled_from(plan["messages"]))
        latest.keep(bus, can_id, draw(st.binary(min_size=length, max_size=length)), now - draw(st.integers(0, 60_000)))
    return latest, now


def flat(rows: list[Row]) -> list[Row]:
    return [row for each in rows for row in ([each, *flat(each.parts)])]


@car
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_raw_and_physical_are_those_of_cantools(car, data):
    mapping = CARS[car]
    latest, now = heard(mapping.plan, data.draw)
    signals = Signals(mapping)
    for signal in [*signals.outs.values(), *signals.operands.values()]:
        reading = signal.read(latest, now, 1)
        if reading.validity == NEVER_SEEN:
            assert latest.frames[signal.slot] == b""
            continue
        _, message, name = signal.source.split(".")
        frame = bytes(latest.frames[signal.slot])
        found = database(car).get_message_by_name(message)
        raw = found.decode(frame, decode_choices=False, scaling=False, allow_truncated=True)
        assert reading.raw == raw[name], signal.source
        physical = found.decode(frame, decode_choices=False, allow_truncated=True)[name]
        assert reading.physical == pytest.approx(physical, rel=1e-9, abs=1e-9), signal.source
        assert reading.age_ms == now - latest.stamps[signal.slot]
        assert (reading.validity == STALE) == (reading.age_ms > signal.timeout_ms)


@car
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_values_are_those_of_the_packet_and_valid_means_that_there_is_one(car, data):
    mapping = CARS[car]
    latest, now = heard(mapping.plan, data.draw)
    rows = Rows(mapping).rows(latest, now)
    assert [row.item for row in rows] == [item.path for item in mapping.items]
    edition = mapping.edition
    parts = encode_report(edition, Sampler(mapping.plan).sample(latest, now))
    unit = time_bytes(1_700_000_000) + parts[0]
    packet = Packet(build_packet(edition.start, 2, COMMAND, b"LGBTEST0000000017", PLAIN, unit))
    bodies = {body["body"]: body for body in packet_to_json(packet, {edition.name: edition})["bodies"]}
    for row in rows:
        assert row.validity in GRADES
        if row.body.startswith("user."):
            continue
        value = reported(bodies[row.body], row.item.split(".")[1:])
        assert row.value == value, row.item
        if row.kind in ("signal", "expression") and not row.of and row.body == "vehicle" and ".gear" not in row.item:
            assert (row.validity == VALID) == (value is not None and value != "abnormal"), row


def reported(body, keys):
    """The value that a mapping's path names in a body of the packet; the only group of a body may go without its name."""
    for key in keys:
        name, _, number = key.rstrip("]").partition("[")
        if name not in body:
            (group,) = next(value for value in body.values() if isinstance(value, list))
            body = group
        body = body[name][int(number) - 1] if number else body[name]
    return body


@car
def test_every_item_has_its_place_and_every_mapped_one_its_signals(car):
    mapping = CARS[car]
    rows = Rows(mapping)
    for item in mapping.items:
        assert rows.place(item.path) is not None, item.path
    for row in rows.rows(LatestFrames(mapping.plan), 0):
        if row.kind == "signal":
            assert row.validity == NEVER_SEEN, row.item
            assert row.age_ms is None


def test_a_list_is_one_row_that_opens_and_says_how_many_are_good():
    mapping = CARS["reference_ev", "2025"]
    rows = {row.item: row for row in Rows(mapping).rows(LatestFrames(mapping.plan), 0)}
    cells = rows["unit_voltages.cells"]
    assert (len(cells.parts), cells.good, cells.of) == (96, 0, 96)
    assert cells.parts[95].source == "pt.BMS_Cells.Cell96"
    flags = {part.item: part for part in rows["alarms.flags"].parts}
    assert len(flags) == 22
    assert [part.source for part in flags["motor_overspeed"].parts] == [
        "pt.MCU1_Status.MotorOverSpeed",
        "pt.MCU2_Status.MotorOverSpeed",
    ]


def test_a_bus_that_is_away_is_said():
    mapping = CARS["reference_ev", "2025"]
    rows = Rows(mapping).rows(LatestFrames(mapping.plan), 0, away={0})
    assert {row.validity for row in rows if row.kind == "signal"} == {"bus away"}
