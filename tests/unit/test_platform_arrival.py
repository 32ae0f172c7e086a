"""What a packet says to the platform, and what is wrong with it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.dataunit import decode_data_unit
from agent.core.editions import EDITIONS
from agent.core.packet import COMMAND, Packet, build_packet, epoch_of, time_bytes
from agent.core.report import encode_report
from bench.arrival import Arrival, inspect

VECTORS = {
    vector["name"]: bytes.fromhex(vector["hex"])
    for vector in json.loads((Path(__file__).parents[1] / "vectors/packets_2016.json").read_text(encoding="utf-8"))
}
REALTIME = VECTORS["W3 realtime, bodies 01 02 05 06 07 08 09"]
EDITION = EDITIONS["2016"]
VIN = b"LGBTEST0000000017"


def arrived(raw: bytes) -> Arrival:
    return inspect(raw, link=1, received_ms=0, monotonic_ns=0)


def report(bodies: bytes, command: int = 2) -> Arrival:
    return arrived(build_packet(b"##", command, COMMAND, VIN, 1, time_bytes(1_700_000_000) + bodies))


@pytest.mark.parametrize("raw", VECTORS.values(), ids=VECTORS)
def test_printed_packets_have_no_fault(raw: bytes) -> None:
    assert arrived(raw).fault is None


def test_a_report_is_known_by_vehicle_time_part_and_body_types() -> None:
    arrival = arrived(REALTIME)
    assert (arrival.command, arrival.vin, arrival.part, arrival.next_part) == ("realtime", VIN.decode(), 1, 0)
    assert arrival.collected_at == epoch_of(bytes.fromhex("19030E091A35"))
    assert arrival.body_types == "01020506070809"
    assert arrival.bodies[0] == "vehicle"
    assert arrival.bodies[-1] == "storage_temperatures"


def test_lateness_is_wall_time_beyond_the_collection_time() -> None:
    second = epoch_of(bytes.fromhex("19030E091A35"))
    assert inspect(REALTIME, 1, second * 1000 + 250, 0).late_ms == 250
    assert inspect(VECTORS["W6 heartbeat"], 1, 0, 0).late_ms is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"start": b"$$"}, "follow no layout"),
        ({"command": 0x0C}, "no such command"),
        ({"encryption": 3}, "encrypted"),
        ({"unit": b"\x19\x0d\x0e\x09\x1a\x35\x01"}, "impossible time"),
        ({"unit": b"\x19\x03\x0e"}, "time"),
        ({"unit": b"\x19\x03\x0e\x09\x1a\x35"}, "without a body"),
        ({"unit": b"\x19\x03\x0e\x09\x1a\x35\x0a\x01"}, "no layout"),
        ({"unit": b"\x19\x03\x0e\x09\x1a\x35\x01\x01"}, "data end"),
    ],
)
def test_fault_says_what_is_wrong(change: dict[str, object], said: str) -> None:
    packet = Packet(REALTIME)
    parts = {name: getattr(packet, name) for name in ("start", "command", "response", "vin", "encryption", "unit")}
    arrival = arrived(build_packet(*{**parts, **change}.values()))  # type: ignore[arg-type]
    assert said in (arrival.fault or "")


def test_a_report_that_cannot_be_decoded_keeps_its_time() -> None:
    arrival = report(b"\x01\x01")
    assert arrival.fault is not None
    assert arrival.collected_at == 1_700_000_000


def vehicle_body(**changes: int) -> bytes:
    bodies = decode_data_unit(EDITION, 2, Packet(REALTIME).unit).bodies
    assert bodies is not None
    layout = EDITION.bodies[1]
    return b"\x01" + layout.encode({**bodies[0][1], **changes}, strict=False)


def test_a_value_outside_its_range_is_a_fault_that_names_it() -> None:
    arrival = report(vehicle_body(speed=2201))
    assert "speed" in (arrival.fault or "")
    assert "2201" in (arrival.fault or "")


@pytest.mark.parametrize(
    "changes", [{"speed": 0xFFFF}, {"speed": 0xFFFE}, {"soc": 0xFF}, {"insulation_resistance": 0xFFFF}]
)
def test_values_that_stand_for_nothing_known_are_good(changes: dict[str, int]) -> None:
    assert report(vehicle_body(**changes)).fault is None


def test_bytes_behind_a_login_are_a_fault() -> None:
    packet = Packet(VECTORS["W1 vehicle login, two storage subsystems"])
    raw = build_packet(packet.start, packet.command, packet.response, packet.vin, 1, packet.unit + b"\x00")
    assert "no layout" in (arrived(raw).fault or "")


def storage(cells: int, subsystems: int = 1) -> list[Arrival]:
    groups = [
        {"number": number, "voltage": 1, "current": 1, "total_cells": cells, "start_cell": 1, "cells": [3700] * cells}
        for number in range(1, subsystems + 1)
    ]
    return [report(part) for part in encode_report(EDITION, [(8, {"subsystems": groups})])]


def test_parts_of_a_spread_body_name_the_part_that_must_follow() -> None:
    for subsystems in (1, 2):
        places = [(arrival.part, arrival.next_part) for arrival in storage(450, subsystems)]
        assert places == [(1, 201), (201, 401), (401, 0)]
    assert [(arrival.part, arrival.next_part) for arrival in storage(200)] == [(1, 0)]


def test_a_total_that_is_not_known_promises_no_part() -> None:
    group = {"number": 1, "voltage": 1, "current": 1, "total_cells": 0xFFFF, "start_cell": 1, "cells": [3700]}
    (unit,) = encode_report(EDITION, [(8, {"subsystems": [group]})])
    assert (report(unit).fault, report(unit).next_part) == (None, 0)


@given(vin=st.binary(min_size=17, max_size=17))
def test_a_unique_id_of_any_bytes_becomes_printable_text_of_its_own(vin: bytes) -> None:
    text = arrived(build_packet(b"##", 7, COMMAND, vin, 1, b"")).vin
    assert text.isascii()
    assert text.isprintable()
    assert text.encode().decode("unicode_escape").encode("latin-1") == vin


@given(command=st.integers(0, 255), unit=st.binary(max_size=300), start=st.sampled_from([b"##", b"$$"]))
def test_any_packet_is_examined_without_an_exception(command: int, unit: bytes, start: bytes) -> None:
    arrival = arrived(build_packet(start, command, COMMAND, VIN, 1, unit))
    assert arrival.packet.unit == unit


# -- 2025 --------------------------------------------------------------------------------------------------------------

SIGNATURE = b"\xff\x01\x00\x20" + bytes(range(32)) + b"\x00\x20" + bytes(range(32))
ENGINE = b"\x04\x03\xe8"


def report_2025(bodies: bytes, checker: object = None) -> Arrival:
    raw = build_packet(b"$$", 2, COMMAND, VIN, 1, time_bytes(1_700_000_000) + bodies)
    return inspect(raw, 1, 0, 0, checker=checker)  # type: ignore[arg-type]


class Witness:
    """Notes what it is asked to verify."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, bytes, dict[str, object] | None]] = []

    def verify(self, vin: bytes, unit: bytes, signed: int, signature: dict[str, object] | None) -> str:
        self.asked.append((vin, unit[:signed], signature))
        return ""


def test_the_signature_is_the_last_block_and_no_body() -> None:
    witness = Witness()
    bodies = ENGINE + b"\x90\x00\x02\xff\x00"  # FF in front of the block on purpose
    signed, plain = report_2025(bodies + SIGNATURE, witness), report_2025(bodies, witness)
    assert (signed.fault, signed.signed, plain.signed) == (None, True, False)
    assert signed.body_types == plain.body_types == "0490"
    assert signed.bodies == ("engine", "user 90")
    assert [(vin, unit) for vin, unit, _ in witness.asked] == [(VIN, time_bytes(1_700_000_000) + bodies)] * 2
    assert witness.asked[0][2] == {"algorithm": 1, "r": bytes(range(32)), "s": bytes(range(32))}
    assert witness.asked[1][2] is None


def test_reports_that_differ_in_the_signature_alone_say_the_same() -> None:
    other = SIGNATURE[:-1] + b"\x00"
    assert report_2025(ENGINE + SIGNATURE).content == report_2025(ENGINE + other).content
    assert report_2025(ENGINE + SIGNATURE).content == report_2025(ENGINE).content
    assert report_2025(ENGINE + SIGNATURE).content != report_2025(b"\x04\x03\xe9" + SIGNATURE).content


@pytest.mark.parametrize(
    ("bodies", "said"),
    [
        (SIGNATURE, "without a body"),
        (ENGINE + SIGNATURE + ENGINE, "not the last"),
        (ENGINE + SIGNATURE + SIGNATURE, "not the last"),
        (ENGINE + SIGNATURE[:-1], "data end"),
        (ENGINE + b"\xff\x04" + SIGNATURE[2:], "algorithm"),
        (b"\x07\x02" + (b"\x01" + bytes(4) + b"\x00\x01\x00\x00") * 2, "more than once"),
        (b"\x08\x02" + b"\x01\x00\x01\x40" * 2, "more than once"),
        (b"\x07\x01\x01" + bytes(4) + b"\x00\x02\x00\x00", "data end"),  # two units announced, one there
        (b"\x07\x01\x01" + bytes(4) + b"\x00\x00", "cells_count"),
        (b"\x07\x01\x33" + bytes(4) + b"\x00\x01\x00\x00", "number"),
    ],
)
def test_fault_of_a_2025_report_says_what_is_wrong(bodies: bytes, said: str) -> None:
    assert said in (report_2025(bodies).fault or "")


def test_a_pack_of_more_than_200_units_is_one_part() -> None:
    arrival = report_2025(b"\x07\x01\x01" + bytes(4) + (300).to_bytes(2, "big") + b"\x0e\x74" * 300)
    assert (arrival.fault, arrival.part, arrival.next_part) == (None, 1, 0)


def test_units_that_are_not_known_follow_no_count() -> None:
    for count in (b"\xff\xff", b"\xff\xfe"):
        assert report_2025(b"\x07\x01\x01" + bytes(4) + count + ENGINE).fault is None
