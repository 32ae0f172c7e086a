"""Packets as JSON: the printed ones exactly, every kind of oddity without loss, every mistake named."""

import json
from decimal import Decimal
from typing import Any

import pytest
from printed import VECTORS, vector_of

from agent.core.editions import EDITIONS
from agent.core.errors import LocalProtocolError
from agent.core.field import Field, Layout
from agent.core.packet import Packet, build_packet
from agent.packetjson import packet_from_json, packet_to_json

BY_NAME = {vector["name"]: vector for vector in VECTORS}
W3 = vector_of("W3 ")
W4 = vector_of("W4 ")
W11 = vector_of("W11 ")
W12 = vector_of("W12 ")
W14 = vector_of("W14 ")
W16 = vector_of("W16 ")
TIME = bytes((25, 3, 14, 9, 26, 53))
VIN = b"LGBTEST0000000017"


def decoded(unit: bytes, command: int = 2, response: int = 0xFE, **header: Any) -> dict[str, Any]:
    """A packet with this unit as JSON, after the way there and back."""
    raw = build_packet(
        header.get("start", b"##"), command, response, header.get("vin", VIN), header.get("encryption", 1), unit
    )
    out = json.loads(json.dumps(packet_to_json(Packet(raw)), allow_nan=False))
    assert packet_from_json(out) == raw
    assert isinstance(out, dict)
    return out


def body_of(unit: bytes) -> dict[str, Any]:
    bodies: list[dict[str, Any]] = decoded(TIME + unit)["bodies"]
    assert len(bodies) == 1
    return bodies[0]


def faults_of(given: Any) -> list[str]:
    with pytest.raises(LocalProtocolError) as caught:
        packet_from_json(given)
    return str(caught.value).splitlines()


def changed(vector: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """The JSON of a vector with another value at a place such as bodies.0.speed; DELETE removes it."""
    given: dict[str, Any] = json.loads(json.dumps(vector["json"]))
    *path, last = place.split(".")
    target: Any = given
    for step in path:
        target = target[int(step) if step.isdigit() else step]
    if value is DELETE:
        del target[last]
    else:
        target[int(last) if last.isdigit() else last] = value
    return given


DELETE = object()


@pytest.mark.parametrize("vector", VECTORS, ids=BY_NAME)
def test_printed_packets_have_their_printed_values_in_order(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["hex"])
    assert json.dumps(packet_to_json(Packet(raw))) == json.dumps(vector["json"])
    assert packet_from_json(vector["json"]) == raw


def test_the_contract_line_is_exactly_that_line() -> None:
    text = json.dumps(packet_to_json(Packet(bytes.fromhex(W3["hex"]))))
    assert text.startswith(
        '{"edition": "2016", "command": "realtime", "response": 254, "vin": "LGBTEST0000000017", "encryption": 1, '
        '"bcc_ok": true, "collected_at": "2025-03-14T09:26:53+08:00", "bodies": [{"body": "vehicle", "vehicle_state": "started", '
    )
    assert '"total_voltage": 356.7, "total_current": -12.4, "soc": 76,' in text
    assert text.endswith(
        '{"body": "storage_temperatures", "subsystems": [{"number": 1, "probes": [28, 26, "abnormal"]}]}]}'
    )


def test_invalid_abnormal_and_illegal_counts() -> None:
    assert body_of(b"\x04\xff\xff\xfe\xff\xfd") == {
        "body": "engine",
        "state": None,
        "speed": "abnormal",
        "fuel_consumption": {"raw": 0xFFFD},
    }
    assert body_of(b"\x04\x03\x00\x00\x00\x00")["state"] == {"raw": 3}


def test_what_stands_for_nothing_known_is_invalid_where_the_table_has_no_sentinel() -> None:
    vehicle = bytes.fromhex("01 010301 020b 0001e240 0def 2694 4c 01 2e ffff 23 00")
    assert body_of(vehicle)["insulation_resistance"] is None
    assert body_of(vehicle.replace(b"\xff\xff", b"\xff\xfe"))["insulation_resistance"] == {"raw": 0xFFFE}


@pytest.mark.parametrize(("count", "shown"), [(b"\xff", None), (b"\xfe", "abnormal"), (b"\x00", [])])
def test_a_count_in_place_of_a_list(count: bytes, shown: Any) -> None:
    assert body_of(b"\x02" + count) == {"body": "drive_motors", "motors": shown}
    faults = body_of(b"\x07\x00\x00\x00\x00\x00" + count * 4)
    assert (faults["storage_faults"], faults["other_faults"]) == (shown, shown)


def test_reserved_bits_are_kept() -> None:
    assert body_of(b"\x05\xf9" + bytes(8)) == {
        "body": "position",
        "valid": False,
        "longitude": 0.0,
        "latitude": 0.0,
        "reserved": {"status": 0xF8},
    }
    alarms = body_of(b"\x07\x00\x80\x08\x00\x01" + bytes(4))
    assert (alarms["flags"], alarms["reserved"]) == (["temperature_difference"], {"flags": 0x80080000})
    vehicle = body_of(bytes.fromhex("01 010301 020b 0001e240 0def 2694 4c 01 c1 09c4 23 00"))
    assert (vehicle["gear"], vehicle["reserved"]) == (
        {"gear": 1, "driving_force": False, "braking_force": False},
        {"gear": 0xC0},
    )


def test_south_and_west_are_negative_even_at_zero() -> None:
    position = body_of(b"\x05\x06" + bytes.fromhex("06f01448 00000000"))
    assert position["longitude"] == -116.397128
    assert str(position["latitude"]) == "-0.0"


def test_an_impossible_coordinate_keeps_its_sign() -> None:
    assert body_of(b"\x05\x04" + b"\xff" * 4 + bytes(4))["longitude"] == {"raw": -0xFFFFFFFF}


def test_impossible_time_is_kept_as_bytes() -> None:
    assert decoded(b"\x19\x02\x1e\x00\x00\x00")["collected_at"] == {"hex": "19021e000000"}


def test_text_that_is_no_text_is_kept_as_bytes() -> None:
    login = decoded(
        TIME + b"\x00\x01" + b"8986".ljust(20, b"\0") + b"\x02\x03" + "电1".encode("gb18030") + b"\x80\x00a", 1
    )
    assert login["iccid"] == "8986"
    assert login["codes"] == ["电1", {"hex": "800061"}]
    assert decoded(b"", 7, vin=b"LGB\x00EST0000000017")["vin"] == {"hex": (b"LGB\x00EST0000000017").hex()}


def test_an_unknown_body_and_what_follows_is_rest() -> None:
    report = decoded(TIME + b"\x04\x01\x00\x64\x00\x7b\x0a\x01\x02")
    assert [body["body"] for body in report["bodies"]] == ["engine"]
    assert report["rest"] == "0a0102"


@pytest.mark.parametrize("header", [{"encryption": 3}, {"command": 0xC5}, {"command": 0x0C, "start": b"$$"}])
def test_what_cannot_be_read_is_hexadecimal(header: dict[str, Any]) -> None:
    unit = TIME + b"\x04\x01\x00\x64\x00\x7b"
    out = decoded(unit, **header)
    assert (out["data_unit"], out["collected_at"]) == (unit.hex(), None)
    assert "bodies" not in out


def test_a_unit_that_breaks_its_table_says_where_in_the_packet() -> None:
    out = decoded(TIME + b"\x04\x01\x00")
    assert out["error"] == {"what": "data end inside engine", "clause": "7.2.3.4", "offset": 31}
    assert out["data_unit"] == "19030e091a35040100"


def test_a_wrong_check_code_is_kept() -> None:
    raw = bytes.fromhex(W3["hex"])[:-1] + b"\x18"
    out = packet_to_json(Packet(raw))
    assert (out["bcc_ok"], out["bcc"]) == (False, 0x18)
    assert out["bodies"] == W3["json"]["bodies"]
    assert packet_from_json(out) == raw


@pytest.mark.parametrize("unit", [b"", TIME, TIME + b"\x00\x03", b"\x01\x02\x03", TIME + b"\x01"])
def test_answers_of_every_shape_come_back(unit: bytes) -> None:
    out = decoded(unit, 4, 1)
    assert ("serial" in out) == (len(unit) == 8)
    assert ("data_unit" in out) == (unit not in (b"", TIME, TIME + b"\x00\x03"))


def test_control_shows_its_arguments_as_text_where_they_are() -> None:
    assert decoded(TIME + b"\x01ftp://a/b;;;", 0x82)["arguments"] == "ftp://a/b;;;"
    assert decoded(TIME + b"\x01a;\x00\x00\x01", 0x82)["arguments"] == {"hex": "613b000001"}
    assert decoded(TIME + b"\x06\xff", 0x82) | {"control": 6, "level": None, "text": ""} == decoded(
        TIME + b"\x06\xff", 0x82
    )


@pytest.mark.parametrize("value", [52.3, 52.29995, 52.30005, Decimal("52.3000999"), Decimal("52.2999")])
def test_a_number_within_a_thousandth_of_a_count_is_that_count(value: Any) -> None:
    assert packet_from_json(changed(W3, "bodies.0.speed", value)) == bytes.fromhex(W3["hex"])


@pytest.mark.parametrize("count", range(0, 2201, 11))
def test_every_shown_number_gives_its_count_back(count: int) -> None:
    given = changed(W3, "bodies.0.speed", count / 10)
    assert packet_from_json(given)[34:36] == count.to_bytes(2, "big")


@pytest.mark.parametrize(
    ("place", "value", "fault"),
    [
        (
            "bodies.0.speed",
            52.3002,
            "bodies[0].speed: 52.3002 lies between two counts; allowed: steps of 0.1 km/h, the nearest is 52.3",
        ),
        ("bodies.0.speed", 220.1, "bodies[0].speed: 220.1 is outside the range; allowed: 0.0 to 220.0 km/h"),
        (
            "bodies.0.total_current",
            -1000.1,
            "bodies[0].total_current: -1000.1 is outside the range; allowed: -1000.0 to 1000.0 A",
        ),
        ("bodies.0.speed", "fast", "bodies[0].speed: 'fast' is not a number; allowed: 0.0 to 220.0 km/h"),
        ("bodies.0.speed", True, "bodies[0].speed: True is not a number; allowed: 0.0 to 220.0 km/h"),
        ("bodies.0.speed", float("nan"), "bodies[0].speed: nan is not a number; allowed: 0.0 to 220.0 km/h"),
        (
            "bodies.0.speed",
            {"raw": 65536},
            "bodies[0].speed: {'raw': 65536}: only {\"raw\": n} with n in 0 to 65535 may stand here",
        ),
        ("bodies.0.run_mode", "electrical", "did you mean 'electric'?; allowed: one of electric, hybrid, fuel"),
        ("bodies.0.run_mode", 1, "bodies[0].run_mode: 1 is not a word of this field"),
        ("bodies.0.gear.gear", "1", "allowed: one of N, R, D, P, 1, 2"),
        ("bodies.0.gear.driving_force", 1, "bodies[0].gear.driving_force: 1: allowed: true, false"),
        ("bodies.0.gear", "D", "bodies[0].gear: 'D': an object is needed"),
        (
            "bodies.2.longitude",
            -180.1,
            "bodies[2].longitude: 180.1 is outside the range; allowed: either sign, 0.0 to 180.0 deg",
        ),
        (
            "bodies.2.latitude",
            None,
            "bodies[2].latitude: null: this field cannot say invalid; allowed: 0.0 to 90.0 deg",
        ),
        (
            "bodies.4.flags",
            ["soc_lo"],
            "bodies[4].flags: no flag 'soc_lo', did you mean 'soc_low'?; allowed: temperature_difference,",
        ),
        ("bodies.4.storage_faults.0", "123", "bodies[4].storage_faults[0]: '123': allowed: 8 hexadecimal digits"),
        ("bodies.4.storage_faults", 3, "bodies[4].storage_faults: 3: a list is needed"),
        (
            "bodies.5.subsystems.0.cells.1",
            60.1,
            "bodies[5].subsystems[0].cells[1]: 60.1 is outside the range; allowed: 0.0 to 60.0 V",
        ),
        ("bodies.5.subsystems.0.cells", None, "bodies[5].subsystems[0].cells: None: a list is needed"),
        ("bodies.5.subsystems.0.cells", [1.0] * 256, "256 items; at most 200 are allowed"),
        ("bodies.5.subsystems.0", 1, "bodies[5].subsystems[0]: 1: an object is needed"),
        (
            "bodies.0.body",
            "vehicel",
            "bodies[0].body: 'vehicel', did you mean 'vehicle'?; allowed: vehicle, drive_motors,",
        ),
        ("bodies.0.sped", 1, "bodies[0].sped: unknown, did you mean 'speed'?"),
        ("bodies.0.speed", DELETE, "bodies[0].speed: missing"),
        ("bodies.0.reserved", {"speed": 1}, "bodies[0].reserved.speed: has no reserved bits; allowed: gear"),
        ("bodies.0.reserved", {"gear": 1}, "bodies[0].reserved.gear: 1; allowed: bits of 0xc0"),
        ("bodies", {}, "bodies: {}: a list is needed"),
        ("bodies", DELETE, "bodies: missing"),
        ("vin", "LGBTEST", "vin: 'LGBTEST' has 7 characters; 17 are needed"),
        ("vin", DELETE, "vin: missing"),
        ("response", 256, "response: 256; allowed: 0 to 255"),
        ("command", "realtme", "command: 'realtme', did you mean 'realtime'?; allowed: vehicle_login, realtime,"),
        ("edition", "2017", "edition: '2017'; allowed: '2016', '2025'"),
        (
            "collected_at",
            "2025-03-14T09:26:53",
            "collected_at: '2025-03-14T09:26:53': allowed: whole seconds with an offset",
        ),
        ("collected_at", "2025-03-14T09:26:53.5+08:00", "allowed: whole seconds with an offset"),
        ("collected_at", "1999-12-31T23:59:59+08:00", "collected_at: time 946655999 is outside the years 2000 to 2099"),
        ("collected_at", {"hex": "19"}, "collected_at: {'hex': '19'}: 6 bytes are needed"),
        ("collected_at", None, "collected_at: realtime needs a time"),
        ("data_unit", "00", "bodies: unknown"),
        ("encryption", 3, "data_unit: missing"),
        ("bcc", 3, "bcc: is computed; it may be given beside bcc_ok false only"),
        ("rest", "0", "rest: '0': an even number of hexadecimal digits is needed"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_what_is_allowed(place: str, value: Any, fault: str) -> None:
    faults = faults_of(changed(W3, place, value))
    assert [line for line in faults if fault in line], faults


def test_all_mistakes_are_named_at_once() -> None:
    given = changed(W3, "bodies.0.speed", 500)
    given["bodies"][1]["motors"][0]["state"] = "idle"
    given["vin"] = ""
    del given["bodies"][5]["subsystems"][0]["cells"]
    assert [fault.partition(": ")[0] for fault in faults_of(given)] == [
        "vin",
        "bodies[0].speed",
        "bodies[1].motors[0].state",
        "bodies[5].subsystems[0].cells",
    ]


@pytest.mark.parametrize("given", [None, 1, "x", [], {}, {"edition": {}}])
def test_what_is_no_packet_at_all_is_refused(given: Any) -> None:
    assert faults_of(given)


def test_the_report_of_a_damaged_packet_is_no_packet() -> None:
    assert faults_of({"error": {"what": "x", "clause": "6.2", "offset": 0}})[0].startswith("describes no packet")


def test_illegal_counts_are_sent_when_written_as_raw() -> None:
    raw = packet_from_json(changed(W3, "bodies.0.speed", {"raw": 0xFFFD}))
    assert raw[34:36] == b"\xff\xfd"


def test_a_time_of_another_zone_is_turned_into_beijing_time() -> None:
    assert packet_from_json(changed(W3, "collected_at", "2025-03-14T01:26:53Z")) == bytes.fromhex(W3["hex"])


def test_a_wanted_wrong_check_code_is_sent() -> None:
    assert packet_from_json(W4["json"] | {"bcc_ok": False, "bcc": 1})[-1] == 1


@pytest.mark.parametrize("type_id", [0x7F, 0xFF, "128", None, True])
def test_user_bodies_have_a_type_of_their_own(type_id: Any) -> None:
    assert faults_of(changed(W4, "bodies.2.type", type_id)) == [f"bodies[2].type: {type_id!r}; allowed: 128 to 254"]


# --- what the 2025 edition brought ------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [(b"\xff", None), (b"\xfe", "abnormal"), (b"\x00", [])])
def test_counts_of_2025_in_place_of_a_list(count: tuple[bytes, Any]) -> None:
    raw, shown = count
    report = decoded(TIME + b"\x07" + raw + b"\x08" + raw, start=b"$$")
    assert [body["packs"] for body in report["bodies"]] == [shown, shown]
    alarms = decoded(TIME + b"\x06\x00" + bytes(4) + raw * 5, start=b"$$")["bodies"][0]
    assert (alarms["storage_faults"], alarms["general_levels"]) == (shown, shown)


def test_a_wide_count_in_place_of_a_list_of_cells() -> None:
    pack = b"\x07\x01\x01\x1b\xd0\x78\x87"
    assert decoded(TIME + pack + b"\xff\xff", start=b"$$")["bodies"][0]["packs"][0]["cells"] is None
    assert decoded(TIME + pack + b"\xff\xfe", start=b"$$")["bodies"][0]["packs"][0]["cells"] == "abnormal"


def test_a_signature_is_read_and_written_wherever_it_stands() -> None:
    engine = b"\x04\x00\x64"
    report = decoded(
        TIME + engine + b"\xff\x02\x00\x02\xaa\xbb\x00\x00" + engine + b"\xff\x09\x00\x00\x00\x00", start=b"$$"
    )
    assert report["bodies"] == [
        {"body": "engine", "speed": 100},
        {"body": "signature", "algorithm": "RSA", "r": "aabb", "s": ""},
        {"body": "engine", "speed": 100},
        {"body": "signature", "algorithm": {"raw": 9}, "r": "", "s": ""},
    ]


def test_2016_has_no_signature() -> None:
    assert decoded(TIME + b"\xff\x01")["rest"] == "ff01"
    faults = faults_of(changed(W3, "bodies.0.body", "signature"))
    assert faults[0].startswith("bodies[0].body: 'signature'; allowed: vehicle,")


@pytest.mark.parametrize(
    ("chip", "shown"),
    [
        (b"CHIP0001        ", "CHIP0001"),
        (b"CHIP 01 \0\0\0\0\0\0\0\0", {"hex": (b"CHIP 01 " + bytes(8)).hex()}),
        (b" " * 16, ""),
        (bytes(16), {"hex": "00" * 16}),
        (b" CHIP00000000001", " CHIP00000000001"),
    ],
)
def test_a_chip_id_of_any_bytes_comes_back(chip: bytes, shown: Any) -> None:
    unit = bytearray.fromhex(W14["hex"])[24:-1]
    unit[6:22] = chip
    assert decoded(bytes(unit), 9, start=b"$$")["chip_id"] == shown


def test_times_of_a_key_that_are_no_times_come_back() -> None:
    key = decoded(b"\x05\x00\x01\xaa" + bytes(6) + TIME, 0x0B, start=b"$$")
    assert (key["collected_at"], key["valid_from"], key["valid_until"]) == (
        None,
        {"hex": "00" * 6},
        "2025-03-14T09:26:53+08:00",
    )


def test_a_gear_may_be_invalid() -> None:
    given = changed(
        W12, "bodies.0.gear", {"gear": "N", "driving_force": False, "braking_force": False, "invalid": True}
    )
    assert packet_from_json(given)[46] == 0x80


@pytest.mark.parametrize(
    ("vector", "place", "value", "fault"),
    [
        (W11, "packs", [1, 1], "codes: 3 codes; 2 are needed, one for each of the packs"),
        (W11, "packs", [1, 51], "packs[1]: 51 is outside the range; allowed: 0 to 50"),
        (W11, "packs", 3, "packs: 3: a list is needed"),
        (W11, "packs", [0] * 256, "packs: 256 management systems; at most 20 are allowed"),
        (W11, "codes.0", "A" * 25, "codes[0]: 'AAAAAAAAAAAAAAAAAAAAAAAAA' takes 25 bytes; at most 24 fit"),
        (W11, "code_length", 24, "code_length: unknown"),
        (W12, "bodies.0.accelerator", 1, "bodies[0].accelerator: unknown"),
        (
            W12,
            "bodies.0.gear",
            {"gear": "D", "driving_force": True, "braking_force": False},
            "bodies[0].gear.invalid: missing",
        ),
        (W12, "bodies.2.coordinate_system", None, "bodies[2].coordinate_system: null: this field cannot say invalid"),
        (W12, "bodies.6.algorithm", "SM3", "'SM3' is not a word of this field, did you mean 'SM2'?"),
        (W12, "bodies.6.r", "0", "bodies[6].r: '0': an even number of hexadecimal digits is needed"),
        (W12, "bodies.6.body", "sign", "did you mean 'signature'?; allowed: vehicle, drive_motors,"),
        (W14, "chip_id", "A" * 17, "takes 17 bytes; at most 16 fit"),
        (W16, "valid_from", "2026-01-08", "valid_from: '2026-01-08': allowed: whole seconds with an offset"),
        (W16, "key_type", "SM4", "key_type: 'SM4' is not a number; allowed: 2 to 5"),
        (W16, "collected_at", "2026-01-08T00:00:00+08:00", "collected_at: key_exchange has no time; allowed: null"),
    ],
)
def test_a_mistake_in_2025_is_named_too(vector: dict[str, Any], place: str, value: Any, fault: str) -> None:
    faults = faults_of(changed(vector, place, value))
    assert [line for line in faults if fault in line], faults


OWN = Layout("battery_plant", (Field("length", 2, hi=65531), Field("coolant", 1, "degC", 1, 40, 0, 250)), "7.2.3.8")


@pytest.mark.parametrize("edition", sorted(EDITIONS))
def test_a_declared_body_of_the_makers_own_shows_its_fields(edition: str) -> None:
    editions = EDITIONS | {edition: EDITIONS[edition].with_declared({0x83: OWN})}
    unit = TIME + b"\x83\x00\x01\x40\x84\x00\x01\x40"
    raw = build_packet(editions[edition].start, 2, 0xFE, VIN, 1, unit)
    out = packet_to_json(Packet(raw), editions)
    assert out["bodies"] == [
        {"body": "user", "type": 0x83, "length": 1, "coolant": 24},
        {"body": "user", "type": 0x84, "hex": "40"},
    ]
    assert packet_from_json(out, editions) == raw
    assert faults_of(out) == ["bodies[0].hex: missing", "bodies[0].length: unknown", "bodies[0].coolant: unknown"]
