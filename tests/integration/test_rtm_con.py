"""Another implementation reads our realtime packets: rtm-con 1.0.4, in a process of its own.

Where it is wrong, or reads less than the standard gives, the difference is expected strictly, with its clause.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import values

from agent.core.dataunit import DataUnit, encode_bodies, encode_data_unit
from agent.core.editions import EDITIONS
from agent.core.field import Field, Items, Layout
from agent.core.packet import build_packet, time_bytes
from agent.packetjson import bodies_to_json

VIN = b"LGBTEST0000000017"
EPOCH_S = 1741915613
AT = "2025-03-14 01:26:53"  # EPOCH_S in the zone of the child, UTC
BYTE = st.integers(0, 255)
ASCII = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
LEVELS = "general_warning_list"
VOLTAGES = [("2016", "storage_voltages"), ("2025", "unit_voltages")]
SIGNATURE = (0xFF, {"algorithm": 1, "r": b"\x01\x02", "s": b"\x03"})
UNITS = {"degC": "℃", "kOhm": "kΩ", "N.m": "N·m", "r/min": "rpm", "deg": "°"}

# Our body to its name there, and our names to theirs.
BOTH = {
    "vehicle": "whole_vehicle",
    "drive_motors": "emotor",
    "engine": "engine",
    "position": "gnss",
    "alarms": "warnings",
}
BODIES = {
    "2016": BOTH
    | {"extremes": "pack_extrema", "storage_voltages": "cell_volts", "storage_temperatures": "probe_temps"},
    "2025": BOTH | {"unit_voltages": "cell_volts", "battery_temperatures": "probe_temps"},
}
NAMES = {
    "vehicle": "vehicle_state charge_state operate_state vehicle_speed mileage_total voltage_total current_total soc dcdc_state "
    "gear_state insulation_resistance accelerator_padel brake_padel",
    "motor": "index state ctrl_temp speed torque temp ctrl_volt ctrl_curr",
    "engine": "engine_state engine_torque fuel_consumption",
    "2025.engine": "engine_torque",
    "extremes": "max_volt_pack_index max_volt_cell_index max_cell_volt min_volt_pack_index min_volt_cell_index min_cell_volt "
    "max_temp_pack_index max_temp_cell_index max_cell_temp min_temp_pack_index min_temp_cell_index min_cell_temp",
}
WORDS = {
    "started": "on",
    "not_charging": "uncharged",
    "parked_charging": "parking_charging",
    "driving_charging": "driving_charging",
    "charge_complete": "completed_charging",
    "electric": "pure_electric",
    "working": "on",
    "open": "off",
    "consuming": "consuming_power",
    "generating": "generating_power",
    "ready": "idle",
}

editions = pytest.mark.parametrize("edition", sorted(EDITIONS))
known = partial(pytest.mark.xfail, strict=True, raises=AssertionError)

Reader = Callable[[bytes], Any]


@pytest.fixture(scope="module")
def rtm_con() -> Iterator[Reader]:
    """Reads a packet with rtm-con; a string where it cannot."""
    if find_spec("rtm_con") is None:
        pytest.skip("rtm-con is not installed (dependency group test)")
    script = Path(__file__).with_name("rtm_con_child.py")
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TZ": "UTC"},
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        pipe_in, pipe_out = child.stdin, child.stdout

        def read(packet: bytes) -> Any:
            pipe_in.write(packet.hex() + "\n")
            pipe_in.flush()
            answer = json.loads(pipe_out.readline())
            return answer.get("value", answer.get("error"))

        yield read
        pipe_in.close()


def packet_of(edition: str, bodies: list[tuple[int, dict[str, Any]]]) -> bytes:
    """A realtime packet; one of 2025 ends in a signature, without which rtm-con reads none."""
    tables = EDITIONS[edition]
    if tables.signature is not None and bodies[-1][0] != SIGNATURE[0]:
        bodies = [*bodies, SIGNATURE]
    return build_packet(tables.start, 2, 0xFE, VIN, 1, time_bytes(EPOCH_S) + encode_bodies(tables, bodies))


def payload_of(rtm_con: Reader, edition: str, command: str, values: dict[str, Any]) -> Any:
    """Its reading of a unit of rows."""
    tables = EDITIONS[edition]
    number = tables.command_ids[command]
    row = tables.commands[number]
    unit = DataUnit(time_bytes(EPOCH_S) if row.timed else b"", values)
    answer = rtm_con(build_packet(tables.start, number, 0xFE, VIN, 1, encode_data_unit(tables, number, unit)))
    assert not isinstance(answer, str), answer
    assert answer["payload"].get("timestamp", AT) == AT
    return answer["payload"]


def bare(layout: Layout, known: str = "absent") -> dict[str, Any]:
    """Values of a body of which nothing is known, or that are all the lowest ("lo"), in lists as short as they may be."""

    def one(row: Any) -> Any:
        if isinstance(row, Items):
            return [bare(row.item, known) if isinstance(row.item, Layout) else one(row.item)] * row.count.lo
        return getattr(row, known)

    return {row.name: one(row) for row in layout.rows}


def translated(layout: Layout, body: dict[str, Any], raws: dict[str, Any]) -> dict[str, Any]:
    """Our JSON of a body or group in the words of rtm-con."""
    given_names = NAMES["2025.engine" if layout is layout_of("2025", "engine") else layout.name]
    names = dict(zip((row.name for row in layout.rows), given_names.split(), strict=False))
    out: dict[str, Any] = {}
    for row in layout.rows:
        name = names.get(row.name, row.name)
        if isinstance(row, Field) and not row.bits and not row.flags:
            out[name] = number(row, body[row.name], raws[row.name])
        elif row.name == "gear":
            gear = body["gear"]
            shown = f"gp{gear['gear']}" if isinstance(gear["gear"], int) else gear["gear"]
            out[name] = {
                "driving_force": int(gear["driving_force"]),
                "braking_force": int(gear["braking_force"]),
                "gear": shown,
            }
            if "invalid" in gear:
                out[name]["gear_postion_validity"] = "invalid" if gear["invalid"] else "valid"
    return out


def number(field: Field, value: Any, raw: int) -> Any:
    """A value as (number, unit or sentinel), or its word."""
    if isinstance(value, str) and value != "abnormal":
        return value if field.hexadecimal else WORDS.get(value, value)
    if field.words:
        return "invalid" if value is None else value
    if value is None or value == "abnormal":
        return pytest.approx((raw - field.offset) / field.per_unit), "invalid" if value is None else "abnormal"
    return pytest.approx(value), UNITS.get(field.unit, field.unit)


def parsed(value: Any) -> Any:
    """What rtm-con prints, with numbers apart from their units."""
    if isinstance(value, dict):
        return {key: parsed(part) for key, part in value.items()}
    if isinstance(value, list):
        return [parsed(part) for part in value]
    head, _, tail = str(value).partition(" ")
    try:
        return float(head), tail
    except ValueError:
        return value


def layout_of(edition: str, body: str) -> Layout:
    return EDITIONS[edition].bodies[EDITIONS[edition].body_types[body]]


def exchange(rtm_con: Reader, edition: str, body: str, raws: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Our JSON of one body, and its reading of the packet that holds nothing else."""
    tables = EDITIONS[edition]
    bodies = [(tables.body_types[body], raws)]
    answer = rtm_con(packet_of(edition, bodies))
    assert not isinstance(answer, str), answer
    found = answer["payload"]["data_list"]
    assert [entry["data_type"] for entry in found] == [BODIES[edition][body]]
    return bodies_to_json(tables, bodies)[0], found[0]["data_content"]


# The child is shared by the examples of a test; it keeps nothing from one to the next.
examples = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize(
    ("edition", "body"),
    [("2016", "vehicle"), ("2016", "engine"), ("2016", "extremes"), ("2025", "vehicle"), ("2025", "engine")],
)
@examples
@given(data=st.data())
def test_numbers_and_words_agree(rtm_con: Reader, edition: str, body: str, data: st.DataObject) -> None:
    layout = layout_of(edition, body)
    raws = data.draw(values(layout))
    if body == "vehicle" and edition == "2016" and raws["insulation_resistance"] == 0xFFFF:
        raws["insulation_resistance"] = 60000  # see test_unknown_insulation_is_invalid
    if body == "vehicle":
        raws["gear"] &= 0x3F if edition == "2016" else 0xBF
    mine, other = exchange(rtm_con, edition, body, raws)
    plain = {name: part if name == "gear_state" else parsed(part) for name, part in other.items()}
    assert plain == translated(layout, mine, raws)


@editions
@examples
@given(data=st.data())
def test_motors_agree(rtm_con: Reader, edition: str, data: st.DataObject) -> None:
    item = layout_of(edition, "drive_motors").rows[0].item
    motors = data.draw(st.lists(values(item), min_size=1, max_size=4))
    for motor in motors:
        motor["number"] = min(motor["number"], 253)  # see test_unknown_motor_number
    mine, other = exchange(rtm_con, edition, "drive_motors", {"motors": motors})
    assert len(other) == len(motors)
    for motor, raws, there in zip(mine["motors"], motors, other, strict=True):
        assert parsed(there) == translated(item, motor, raws)


@editions
@examples
@given(data=st.data())
def test_positions_agree(rtm_con: Reader, edition: str, data: st.DataObject) -> None:
    mine, other = exchange(rtm_con, edition, "position", data.draw(values(layout_of(edition, "position"))))
    state = other["gnss_state"]
    assert state["gnss_valid"] == mine["valid"]
    assert other.get("gnss_gcs") == mine.get("coordinate_system")
    for name, there, letter, negative in (
        ("longitude", "gnss_lng", "gnss_e_w", "w"),
        ("latitude", "gnss_lat", "gnss_n_s", "s"),
    ):
        assert parsed(other[there]) == (pytest.approx(abs(mine[name])), "°")
        assert (state[letter] == negative) == str(mine[name]).startswith("-")


@editions
@examples
@given(data=st.data())
def test_alarms_agree(rtm_con: Reader, edition: str, data: st.DataObject) -> None:
    layout = layout_of(edition, "alarms")
    raws = data.draw(values(layout))
    raws["level"] = min(raws["level"], layout.rows[0].hi)  # see test_unknown_alarm_level
    for row in layout.rows[2:]:
        raws[row.name] = raws[row.name] if isinstance(raws[row.name], list) else []  # see test_sentinel_counts
    mine, other = exchange(rtm_con, edition, "alarms", raws)
    flags = layout.rows[1].flags or ()
    assert other["max_warning_level"] == mine["level"]
    assert list(other["general_warnings"].values()) == [int(flag in mine["flags"]) for flag in flags]
    faults = ("storage_faults", "motor_faults", "engine_faults", "other_faults")
    theirs_by_name = ("pack_failures", "emotor_failures", "engine_failures", "other_failures")
    assert [other[name] for name in theirs_by_name] == [mine[name] for name in faults]
    names = list(other["general_warnings"])
    levels = [{"bit": names.index(entry["warning"]), "level": entry["level"]} for entry in other.get(LEVELS, [])]
    assert levels == mine.get("general_levels", [])


@st.composite
def groups_of(draw: st.DrawFn, edition: str, body: str) -> list[dict[str, Any]]:
    items = layout_of(edition, body).rows[0]
    groups: list[dict[str, Any]] = draw(st.lists(values(items.item), min_size=1, max_size=3))
    for group in groups:
        for name, value in group.items():
            if name == "cells" and not isinstance(value, list):
                group[name] = [0]  # see test_sentinel_count_of_cells
    return groups


@pytest.mark.parametrize(("edition", "body"), VOLTAGES)
@examples
@given(data=st.data())
def test_voltages_agree_but_for_the_current_of_2016(
    rtm_con: Reader, edition: str, body: str, data: st.DataObject
) -> None:
    groups = data.draw(groups_of(edition, body))
    items = layout_of(edition, body).rows[0]
    mine, other = exchange(rtm_con, edition, body, {items.name: groups})
    rows = {row.name: row for row in items.item.rows}
    for group, raws, there in zip(mine[items.name], groups, other, strict=True):
        assert int(there["index"]) == group["number"]
        assert parsed(there["volt"]) == number(rows["voltage"], group["voltage"], raws["voltage"])
        if edition == "2016":
            assert parsed(there["cell_total"]) == number(rows["total_cells"], group["total_cells"], raws["total_cells"])
            assert there["cell_start_index"] == group["start_cell"]
        else:
            value, _ = number(rows["current"], group["current"], raws["current"])
            assert parsed(there["curr"])[0] == value
        cells = [
            number(rows["cells"].item, value, raw) for value, raw in zip(group["cells"], raws["cells"], strict=True)
        ]
        assert [parsed(cell) for cell in there["cell_volts"]] == cells


@pytest.mark.parametrize(("edition", "body"), [("2016", "storage_temperatures"), ("2025", "battery_temperatures")])
@examples
@given(data=st.data())
def test_temperatures_agree(rtm_con: Reader, edition: str, body: str, data: st.DataObject) -> None:
    groups = data.draw(groups_of(edition, body))
    items = layout_of(edition, body).rows[0]
    mine, other = exchange(rtm_con, edition, body, {items.name: groups})
    probe = items.item.rows[1].item
    for group, raws, there in zip(mine[items.name], groups, other, strict=True):
        assert int(there["index"]) == group["number"]
        probes = [number(probe, value, raw) for value, raw in zip(group["probes"], raws["probes"], strict=True)]
        assert [parsed(value) for value in there["probe_temps"]] == probes


@editions
@examples
@given(data=st.data())
def test_several_bodies_in_any_order_agree_on_their_types(rtm_con: Reader, edition: str, data: st.DataObject) -> None:
    tables = EDITIONS[edition]
    read = [tables.body_types[name] for name in BODIES[edition]]
    types = data.draw(st.lists(st.sampled_from(read), min_size=1, max_size=7, unique=True))
    bodies = [(type_id, bare(tables.bodies[type_id])) for type_id in types]
    found = rtm_con(packet_of(edition, bodies))["payload"]["data_list"]
    assert [entry["data_type"] for entry in found] == [
        BODIES[edition][tables.bodies[type_id].name] for type_id in types
    ]


def test_the_signature_agrees(rtm_con: Reader) -> None:
    bodies = [(4, {"speed": 0x00FF}), (0xFF, {"algorithm": 2, "r": b"\xff\x00\x01", "s": b""})]
    payload = rtm_con(packet_of("2025", bodies))["payload"]
    assert payload["sig_starter"] == "ff"
    assert payload["sig"] == {"algo": "rsa", "r_value": "ff0001", "s_value": ""}


@editions
def test_header_and_time_agree(rtm_con: Reader, edition: str) -> None:
    tables = EDITIONS[edition]
    answer = rtm_con(packet_of(edition, [(4, bare(tables.bodies[4]))]))
    header = [answer[name] for name in ("starter", "msg_type", "ack", "vin", "enc")]
    assert header == [f"protocol_{edition}", "realtime", "command", VIN.decode(), "uncrypted"]
    assert answer["payload"]["timestamp"] == AT


# --- units without bodies ---------------------------------------------------------------------------------------------


@editions
@examples
@given(serial=st.integers(1, 65531), codes=st.lists(st.text(ASCII, min_size=24, max_size=24), max_size=4), split=BYTE)
def test_logins_agree(rtm_con: Reader, edition: str, serial: int, codes: list[str], split: int) -> None:
    given_values: dict[str, Any] = {
        "serial": serial,
        "iccid": b"89860012345678901234",
        "codes": [c.encode() for c in codes],
    }
    first = split % (len(codes) + 1)
    packs = [first, 0, len(codes) - first]
    given_values |= {"code_length": 24} if edition == "2016" else {"packs": packs}
    payload = payload_of(rtm_con, edition, "vehicle_login", given_values)
    assert (payload["session_id"], payload["iccid"]) == (serial, "89860012345678901234")
    if edition == "2016":
        assert (payload["pack_sn_len"], payload["pack_sn"]) == (24, codes)
    else:
        assert payload["pack_per_bms"] == packs
        assert payload["pack_sn_list"] == [codes[:first], [], codes[first:]]


@examples
@given(chip=st.text(ASCII, max_size=16), key=st.binary(max_size=70), signature=st.tuples(st.binary(), st.binary()))
def test_activations_agree(rtm_con: Reader, chip: str, key: bytes, signature: tuple[bytes, bytes]) -> None:
    r, s = signature
    given_values = {"chip_id": chip.encode(), "public_key": key, "activation_vin": VIN, "algorithm": 1, "r": r, "s": s}
    payload = payload_of(rtm_con, "2025", "activation", given_values)
    assert (payload["sec_chip_id"], payload["pubkey"], payload["vin"]) == (chip.ljust(16), key.hex(), VIN.decode())
    assert payload["sig"] == {"algo": "sm2", "r_value": r.hex(), "s_value": s.hex()}


@pytest.mark.parametrize(("status", "word"), [(1, "ok"), (2, "nok")])
def test_the_status_of_an_activation_agrees(rtm_con: Reader, status: int, word: str) -> None:
    payload = payload_of(rtm_con, "2025", "activation_answer", {"status": status, "information": 0})
    assert payload["activation_result"] == word


@examples
@given(kind=st.sampled_from([(2, "rsa"), (3, "aes"), (4, "sm2"), (5, "sm4")]), key=st.binary(max_size=40))
def test_keys_agree(rtm_con: Reader, kind: tuple[int, str], key: bytes) -> None:
    times = {"valid_from": time_bytes(EPOCH_S), "valid_until": time_bytes(EPOCH_S + 1)}
    payload = payload_of(rtm_con, "2025", "key_exchange", {"key_type": kind[0], "key": key} | times)
    assert (payload["payload_enc"], payload["payload_key"]) == (kind[1], key.hex())
    assert (payload["key_starttime"], payload["key_endtime"]) == (AT, AT[:-1] + "4")


# --- where it is wrong, or reads less ---------------------------------------------------------------------------------

STORAGE = {"number": 1, "voltage": 3567, "current": 9876, "total_cells": 1, "start_cell": 1, "cells": [3970]}


@known(reason="B.3: the offset of the 2016 storage current is 1000 A; rtm-con takes the 3000 A of 2025")
def test_storage_current_has_its_offset(rtm_con: Reader) -> None:
    mine, other = exchange(rtm_con, "2016", "storage_voltages", {"subsystems": [STORAGE]})
    assert parsed(other[0]["curr"])[0] == pytest.approx(mine["subsystems"][0]["current"])


@pytest.mark.parametrize(("edition", "body"), VOLTAGES)
@known(reason="B.3, in 2025 chapter 7: the current of a pack is in A; rtm-con prints V")
def test_storage_current_has_its_unit(rtm_con: Reader, edition: str, body: str) -> None:
    items = layout_of(edition, body).rows[0]
    group = {row.name: STORAGE[row.name] for row in items.item.rows}
    _, other = exchange(rtm_con, edition, body, {items.name: [group]})
    assert parsed(other[0]["curr"])[1] == "A"


@pytest.mark.parametrize("count", [0xFE, 0xFF])
@pytest.mark.parametrize(
    ("edition", "body", "items"),
    [
        ("2016", "drive_motors", "motors"),
        ("2016", "storage_voltages", "subsystems"),
        ("2025", "drive_motors", "motors"),
        ("2025", "unit_voltages", "packs"),
        ("2025", "battery_temperatures", "packs"),
    ],
)
@known(
    reason="7.2: after a count of FE or FF no list follows; rtm-con reads 254 or 255 items and drops the body",
)
def test_sentinel_counts(rtm_con: Reader, edition: str, body: str, items: str, count: int) -> None:
    exchange(rtm_con, edition, body, {items: count})


@pytest.mark.parametrize("count", [0xFFFE, 0xFFFF])
@known(reason="7.2: after a count of FFFE or FFFF no voltages follow; rtm-con reads as many")
def test_sentinel_count_of_cells(rtm_con: Reader, count: int) -> None:
    pack = {"number": 1, "voltage": 3567, "current": 30000, "cells": count}
    exchange(rtm_con, "2025", "unit_voltages", {"packs": [pack]})


@pytest.mark.parametrize("level", [0xFE, 0xFF])
@editions
@known(reason="7.2: FE and FF of the alarm level mean abnormal and invalid; rtm-con shows them as levels")
def test_unknown_alarm_level(rtm_con: Reader, edition: str, level: int) -> None:
    _, other = exchange(rtm_con, edition, "alarms", bare(layout_of(edition, "alarms")) | {"level": level})
    assert other["max_warning_level"] != level


@pytest.mark.parametrize("number_", [0xFE, 0xFF])
@known(reason="7.2: FE and FF of a 2025 motor number mean abnormal and invalid; rtm-con shows them as numbers")
def test_unknown_motor_number(rtm_con: Reader, number_: int) -> None:
    item = layout_of("2025", "drive_motors").rows[0].item
    _, other = exchange(rtm_con, "2025", "drive_motors", {"motors": [bare(item) | {"number": number_}]})
    assert other[0]["index"] != number_


@known(
    reason="7.2.3.1: 2016 names no invalid insulation; we send and read FFFF as 2025 fixed it, rtm-con shows kOhm",
)
def test_unknown_insulation_is_invalid(rtm_con: Reader) -> None:
    _, other = exchange(rtm_con, "2016", "vehicle", bare(layout_of("2016", "vehicle")))
    assert parsed(other["insulation_resistance"])[1] == "invalid"


@known(reason="7.2.3.3: rtm-con has no fuel-cell body of 2016 and takes the rest of the unit for it")
def test_fuel_cell_is_read(rtm_con: Reader) -> None:
    engine = {"state": 1, "speed": 0, "fuel_consumption": 0}
    answer = rtm_con(packet_of("2016", [(3, bare(layout_of("2016", "fuel_cell"))), (4, engine)]))
    assert [entry["data_type"] for entry in answer["payload"]["data_list"]] == ["fuel_cell_system", "engine"]


@pytest.mark.parametrize("body", ["hydrogen", "fuel_cell_stacks", "supercapacitor", "supercapacitor_extremes"])
@known(reason="7.2: rtm-con names the 2025 bodies 03, 30, 31 and 32 and takes their bytes for rubbish up to an FF")
def test_fuel_cells_and_supercapacitors_of_2025_are_read(rtm_con: Reader, body: str) -> None:
    low = bare(layout_of("2025", body), "lo")  # no FF among the bytes
    found = rtm_con(packet_of("2025", [(EDITIONS["2025"].body_types[body], low)]))["payload"]["data_list"]
    assert isinstance(found[0]["data_content"], dict)


@pytest.mark.parametrize(("information", "word"), [(0, "ok"), (1, "sec_chip_used"), (2, "vin_duplicate")])
@known(reason="B.3.5: the information of an activation answer counts from 0; rtm-con counts from 1")
def test_the_information_of_an_activation_agrees(rtm_con: Reader, information: int, word: str) -> None:
    payload = payload_of(rtm_con, "2025", "activation_answer", {"status": 1, "information": information})
    assert payload["activation_info"] == word


@editions
@known(reason="6.3.2: the answer to a heartbeat is empty; rtm-con wants six time bytes in it")
def test_the_answer_to_a_heartbeat_is_read(rtm_con: Reader, edition: str) -> None:
    assert not isinstance(rtm_con(build_packet(EDITIONS[edition].start, 7, 1, VIN, 1, b"")), str)
