"""Every mistake of the list in the reference, made on a good packet, is found, placed and named; good packets have none."""

import json
import random
import re
from collections.abc import Callable
from functools import reduce
from operator import xor
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main
from agent.core.dataunit import DataUnit, decode_data_unit, encode_bodies, encode_data_unit
from agent.core.editions import BY_START, EDITIONS
from agent.core.field import Field, Sized
from agent.core.packet import build_packet
from agent.diagnosis import LIKELY, POSSIBLE, Finding, diagnose, is_broken
from agent.diagnosis_texts import FAULTS, MISTAKES, say

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/packets_2016.json").read_text(encoding="utf-8"))
OLD = EDITIONS["2016"]
NEW = EDITIONS["2025"]
VIN = b"LGBTEST0000000017"
TIME = bytes((26, 1, 8, 14, 26, 53))
W3, W4 = (bytes.fromhex(next(v["hex"] for v in VECTORS if v["name"].startswith(f"{name} "))) for name in
                  ("W3", "W4"))  # fmt: skip

VEHICLE_16 = {"vehicle_state": 1, "charging_state": 3, "run_mode": 1, "speed": 0, "odometer": 123456, "total_voltage": 3850,
                  "total_current": 10123, "soc": 64, "dcdc_state": 1, "gear": 0x2E, "insulation_resistance": 5000,
                  "accelerator": 0,                  "brake": 0}  # fmt: skip
VEHICLE_25 = {k: v for k, v in VEHICLE_16.items() if k not in ("accelerator", "brake")} | {"total_current": 30123}
MOTOR_16 = {"number": 1, "state": 1, "controller_temperature": 85, "speed": 20000, "torque": 20000, "temperature": 98,
                "controller_voltage": 3840, "controller_current": 10100}  # fmt: skip
MOTOR_25 = {"number": 1, "state": 1, "controller_temperature": 85, "speed": 32000, "torque": 200000, "temperature": 98}
POSITION_16 = {"status": 0, "longitude": 116397128, "latitude": 39916527}
POSITION_25 = POSITION_16 | {"coordinate_system": 2}
NO_FAULTS = {"storage_faults": [], "motor_faults": [], "engine_faults": [], "other_faults": []}
ALARMS_16 = dict(level=1, flags=1 << 4, **NO_FAULTS)
ALARMS_25 = ALARMS_16 | {"general_levels": [{"bit": 4, "level": 1}]}
CELLS = [3970, 3954, 3987, 3960]
STORAGE = {"number": 1, "voltage": 3850, "current": 10123, "total_cells": 4, "start_cell": 1, "cells": CELLS}
PACK = {"number": 1, "voltage": 3850, "current": 30123, "cells": CELLS}
TEMPERATURES = [{"number": 1, "probes": [92, 95]}]
FUEL_CELL = {"voltage": 3000, "current": 1000, "fuel_consumption": 120, "probes": [100, 101, 102], "dcdc_state": 1,
             "max_hydrogen_temperature": 800, "max_hydrogen_temperature_probe": 1, "max_hydrogen_concentration": 10,
             "max_hydrogen_concentration_sensor": 1, "max_hydrogen_pressure": 350,
             "max_hydrogen_pressure_sensor": 1}  # fmt: skip
SIGNATURE = {"algorithm": 2, "r": bytes(range(1, 65)), "s": b""}
BODIES_16: list[tuple[int, dict[str, Any]]] = [
    (1, VEHICLE_16),
    (2, {"motors": [MOTOR_16]}),
    (5, POSITION_16),
    (7, ALARMS_16),
    (8, {"subsystems": [STORAGE]}),
    (9, {"subsystems": TEMPERATURES}),
]
BODIES_25: list[tuple[int, dict[str, Any]]] = [
    (1, VEHICLE_25),
    (2, {"motors": [MOTOR_25]}),
    (5, POSITION_25),
    (6, ALARMS_25),
    (7, {"packs": [PACK]}),
    (8, {"packs": TEMPERATURES}),
    (0xFF, SIGNATURE),
]


def packet(start: bytes, unit: bytes, command: int = 2, encryption: int = 1) -> bytes:
    return build_packet(start, command, 0xFE, VIN, encryption, unit)


def report(edition: Any, *bodies: tuple[int, dict[str, Any]], **changed: Any) -> bytes:
    """A report of `bodies` (default: the whole set), with fields of the first body that has them changed."""
    given = [(type_id, dict(values)) for type_id, values in bodies or (BODIES_16 if edition is OLD else BODIES_25)]
    for name, value in changed.items():
        for _, values in given:
            inner = next((part[0] for part in values.values() if isinstance(part, list) and part
                          and isinstance(part[0], dict)), {})  # fmt: skip
            if name in values:
                values[name] = value
                break
            if name in inner:
                key = next(key for key, part in values.items() if isinstance(part, list) and part[0] is inner)
                values[key] = [inner | {name: value}, *values[key][1:]]
                break
        else:
            raise AssertionError(name)
    return packet(edition.start, TIME + encode_bodies(edition, given, strict=False))


GOOD_16 = report(OLD)
GOOD_25 = report(NEW)
LOGIN_16 = {"serial": 1, "iccid": b"89860000000000000011", "codes": [b"A" * 24], "code_length": 24}
LOGIN_25 = {"serial": 1, "iccid": b"89860000000000000011", "packs": [1], "codes": [b"A" * 24]}


def unit_of(raw: bytes) -> bytes:
    return raw[24:-1]


def with_bcc(raw: bytes, code: int) -> bytes:
    return raw[:-1] + bytes((code,))


def closed(raw: bytes) -> bytes:
    """The same with the check code that its bytes need."""
    return with_bcc(raw, reduce(xor, raw[2:-1]))


def with_length(raw: bytes, length: int) -> bytes:
    return closed(raw[:22] + length.to_bytes(2, "big") + raw[24:])


def restart(raw: bytes, start: bytes) -> bytes:
    return start + raw[2:]


def body_at(raw: bytes, type_id: int) -> int:
    """Offset of the type byte of a body of a good packet."""
    edition = BY_START[raw[:2]]
    at = 30
    while raw[at] != type_id:
        layout = edition.body(raw[at])
        assert layout is not None
        at = 24 + layout.decode(unit_of(raw), at + 1 - 24)[1]
    return at


def put(raw: bytes, at: int, data: bytes) -> bytes:
    return closed(raw[:at] + data + raw[at + len(data) :])


def swap_numbers(raw: bytes) -> bytes:
    """Every number of more than one byte the other way round, as a sender without htons writes them."""
    from agent.diagnosis_reading import Reader
    from agent.diagnosis_variants import body_choices

    data = bytearray(raw)
    edition, reader, at = BY_START[raw[:2]], Reader(raw[:-1], budget=10_000), 30
    while at < len(raw) - 1:
        part = reader.part(raw[at], body_choices(edition, raw[at])[0].layout, at, at + 1)
        for leaf in part.leaves:
            for number in range(len(leaf.raws)):
                place = leaf.offset + number * leaf.row.size
                data[place : place + leaf.row.size] = raw[place : place + leaf.row.size][::-1]
        at = part.end
    return closed(bytes(data))


def bcd(raw: bytes) -> bytes:
    return put(raw, 24, bytes((byte // 10 << 4) | byte % 10 for byte in raw[24:30]))


def reports_16(*parts: bytes) -> bytes:
    return packet(b"##", TIME + b"".join(parts))


def vehicle_16() -> bytes:
    return encode_bodies(OLD, [(1, VEHICLE_16)])


def fuel_cell(probe_count: int, hydrogen_first: bool) -> bytes:
    body = encode_bodies(OLD, [(3, FUEL_CELL)])
    head, probes, rest = body[:7], body[9:12], body[12:]
    count = (3).to_bytes(probe_count, "big")
    return reports_16(head + (rest + count + probes if hydrogen_first else count + probes + rest), vehicle_16())


def settings(edition: Any, start: bytes) -> bytes:
    """A parameter set with the report periods, laid out as in `edition`."""
    unit = DataUnit(TIME, {"parameters": [(1, 5000), (2, 10), (3, 1), (9, 30)]})
    return build_packet(start, 0x81, 0xFE, VIN, 1, encode_data_unit(edition, 0x81, unit))


def login(edition: Any, start: bytes, **changed: Any) -> bytes:
    values = (LOGIN_16 if edition is OLD else LOGIN_25) | changed
    return build_packet(start, 1, 0xFE, VIN, 1, encode_data_unit(edition, 1, DataUnit(TIME, values), strict=False))


def activation_with_marker() -> bytes:
    values = {"chip_id": b"CHIP0001", "public_key": bytes(65), "activation_vin": VIN, **SIGNATURE}
    unit = encode_data_unit(NEW, 9, DataUnit(TIME, values))
    at = 6 + 16 + 2 + 65 + 17
    return packet(b"$$", unit[:at] + b"\xff" + unit[at:], command=9)


def encrypted_with_check_of_the_plaintext() -> bytes:
    clear = packet(b"##", unit_of(GOOD_16), encryption=3)
    return clear[:24] + random.Random(1).randbytes(len(clear) - 25) + clear[-1:]


HIGH = 254 * (0).to_bytes(4, "big")
USER = b"\x80\x00\x05hello"

# What was done, its packet, the mistake that must be named, and where ("None": not asked).
CASES: list[tuple[str, Callable[[], bytes], str, int | None]] = [
    ("2016 bodies under $$", lambda: restart(GOOD_16, b"$$"), "other_edition", 30),
    ("2025 bodies under ##", lambda: restart(GOOD_25, b"##"), "other_edition", 30),
    ("2016 login under $$", lambda: login(OLD, b"$$"), "other_login", None),
    ("2025 login under ##", lambda: login(NEW, b"##"), "other_login", None),
    ("2016 extremes under $$", lambda: packet(b"$$", unit_of(W3)[: body_at(W3, 7) - 24]), "other_edition", None),
    ("2016 alarms as body 06 of 2025", lambda: packet(b"$$", TIME + b"\x06" + encode_bodies(OLD, [(7, ALARMS_16)])[1:]
        + encode_bodies(NEW, [(1, VEHICLE_25)])), "other_layout", 30),
    ("2016 voltages as body 07 of 2025", lambda: packet(b"$$", TIME + b"\x07"
        + encode_bodies(OLD, [(8, {"subsystems": [STORAGE]})])[1:]), "other_layout", 30),
    ("2016 temperatures as body 09 of 2025", lambda: packet(b"$$", TIME + encode_bodies(OLD, BODIES_16[-1:])),
        "other_edition", 30),
    ("position without coordinate system", lambda: packet(b"$$", TIME + encode_bodies(OLD, [(5, POSITION_16)])
        + encode_bodies(NEW, [(1, VEHICLE_25)])), "other_edition", 30),
    ("position with coordinate system", lambda: reports_16(encode_bodies(NEW, [(5, POSITION_25)]), vehicle_16()),
        "other_edition", 30),
    ("vehicle of 18 bytes", lambda: reports_16(encode_bodies(NEW, [(1, VEHICLE_25 | {"total_current": 10123})]),
        encode_bodies(OLD, BODIES_16[1:])), "other_edition", 30),
    ("vehicle of 20 bytes", lambda: packet(b"$$", TIME + encode_bodies(OLD, [(1, VEHICLE_16 | {"total_current": 30123})],
        strict=False) + encode_bodies(NEW, BODIES_25[1:])), "other_edition", 30),
    ("motor of 10 bytes", lambda: reports_16(encode_bodies(NEW, [(2, {"motors": [MOTOR_25]})]), vehicle_16()),
        "other_edition", 30),
    ("motor of 12 bytes", lambda: packet(b"$$", TIME + encode_bodies(OLD, [(2, {"motors": [MOTOR_16]})])
        + encode_bodies(NEW, BODIES_25[2:])), "other_edition", 30),
    ("one start byte in the check code", lambda: with_bcc(GOOD_16, GOOD_16[-1] ^ 0x23), "bcc_one_start",
        len(GOOD_16) - 1),
    ("check byte in the check code", lambda: with_bcc(GOOD_25, 0), "bcc_itself", len(GOOD_25) - 1),
    ("check code over the unit", lambda: with_bcc(GOOD_16, reduce(xor, unit_of(GOOD_16))), "bcc_unit", None),
    ("check code over the plaintext", encrypted_with_check_of_the_plaintext, "bcc_plain", len(GOOD_16) - 1),
    ("another VIN put in", lambda: GOOD_16[:4] + b"LGBTEST0000000099" + GOOD_16[21:], "bcc_stale", len(GOOD_16) - 1),
    ("sum for check code", lambda: with_bcc(GOOD_16, sum(GOOD_16[2:-1]) & 255), "bcc_sum", len(GOOD_16) - 1),
    ("check code without the command", lambda: with_bcc(GOOD_16, GOOD_16[-1] ^ GOOD_16[2]), "bcc_after_command", None),
    ("check code without the last byte", lambda: with_bcc(GOOD_16, GOOD_16[-1] ^ GOOD_16[-2]), "bcc_before_last", None),
    ("check code inverted", lambda: with_bcc(GOOD_16, GOOD_16[-1] ^ 255), "bcc_inverted", None),
    ("hexadecimal text", lambda: GOOD_16.hex().encode(), "hex_text", 0),
    ("FE in every byte", lambda: report(OLD, odometer=0xFEFEFEFE), "sentinel_width", 36),
    ("seconds first", lambda: put(GOOD_16, 24, TIME[::-1]), "time_backwards", 24),
    ("encryption of 2025 in 2016", lambda: closed(GOOD_16[:21] + b"\x05" + bytes(len(GOOD_16) - 25).join((
        GOOD_16[22:24], b"\x00"))), "encryption_2025", 21),
    ("VIN in BCD", lambda: put(GOOD_16, 4, bytes((0x12,)) * 17), "vin_text", 4),
    ("length without the time", lambda: with_length(GOOD_16, len(GOOD_16) - 31), "length_without_time", 22),
    ("clear unit marked as encrypted", lambda: packet(b"##", unit_of(GOOD_16), encryption=3), "not_encrypted", 21),
    ("BCD time", lambda: bcd(GOOD_16), "bcd_time", 24),
    ("year as 07EA", lambda: put(GOOD_16, 24, b"\xea"), "year_2000", 24),
    ("little-endian numbers", lambda: swap_numbers(GOOD_16), "little_endian", None),
    ("little-endian numbers, 2025", lambda: swap_numbers(GOOD_25), "little_endian", None),
    ("one little-endian number", lambda: report(OLD, odometer=int.from_bytes((123456).to_bytes(4, "little"), "big")),
        "little_endian", 36),
    ("little-endian length", lambda: with_length(GOOD_16, (len(GOOD_16) - 25) << 8), "length_little_endian", 22),
    ("length of everything", lambda: with_length(GOOD_16, len(GOOD_16)), "length_whole", 22),
    ("length with header", lambda: with_length(GOOD_25, len(GOOD_25) - 1), "length_header", 22),
    ("length with check code", lambda: with_length(GOOD_25, len(GOOD_25) - 24), "length_check", 22),
    ("length above 65531", lambda: closed(GOOD_16[:22] + b"\xff\xfd" + bytes(65533) + b"\x00"), "length_limit", 22),
    ("latitude first", lambda: report(OLD, longitude=39916527, latitude=116397128), "latitude_first",
        body_at(GOOD_16, 5) + 6),
    ("latitude first in Xinjiang", lambda: report(NEW, longitude=43800000, latitude=87600000), "latitude_first",
        body_at(GOOD_25, 5) + 3),
    ("signed longitude", lambda: report(OLD, longitude=(1 << 32) - 58381592), "signed", body_at(GOOD_16, 5) + 2),
    ("valid as 1", lambda: report(OLD, status=1), "valid_is_1", body_at(GOOD_16, 5) + 1),
    ("valid at 0, 0", lambda: report(OLD, longitude=0, latitude=0), "valid_is_1", body_at(GOOD_16, 5) + 1),
    ("status from the wrong end", lambda: report(OLD, status=0x40), "bits_reversed", body_at(GOOD_16, 5) + 1),
    ("alarm flags from the wrong end", lambda: report(OLD, flags=1 << 27), "bits_reversed", body_at(GOOD_16, 7) + 2),
    ("-40 applied to FE", lambda: report(OLD, (9, {"subsystems": [{"number": 1, "probes": [92, 214]}]})), "sentinel_40", 36),
    ("-40 applied to FF", lambda: report(NEW, (8, {"packs": [{"number": 1, "probes": [215, 92]}]})), "sentinel_40", 35),
    ("2016 current offset in 2025", lambda: report(NEW, total_current=10123), "current_offset", 42),
    ("2025 current offset in 2016", lambda: report(OLD, total_current=30123), "current_offset", 42),
    ("2016 pack current in 2025", lambda: report(NEW, current=9700), "current_offset", body_at(GOOD_25, 7) + 5),
    ("no current offset", lambda: report(OLD, total_current=123), "offset_forgotten", 42),
    ("voltage ten times", lambda: report(OLD, total_voltage=38500), "ten_times", 40),
    ("voltage ten times, 2025", lambda: report(NEW, total_voltage=38500), "ten_times", 40),
    ("cells ten times", lambda: report(NEW, cells=[number * 10 for number in CELLS]), "ten_times",
        body_at(GOOD_25, 7) + 9),
    ("FE count with 254 codes", lambda: reports_16(b"\x07\x01" + bytes(4) + b"\xfe" + HIGH + bytes(3), vehicle_16()),
        "count_as_length", 36),
    ("FF count with 255 codes", lambda: packet(b"$$", TIME + b"\x06\x01" + bytes(4) + b"\xff" + HIGH + bytes(4) + bytes(4)
        + encode_bodies(NEW, [(1, VEHICLE_25)])), "count_as_length", 36),
    ("2016 torque of 20000 N.m", lambda: report(OLD, torque=200000 - 3 * 65536), "torque_offset", body_at(GOOD_16, 2) + 7),
    ("2016 torque in 2025", lambda: report(NEW, torque=20000), "torque_offset", body_at(GOOD_25, 2) + 7),
    ("2016 speed in 2025", lambda: report(NEW, (1, VEHICLE_25), (2, {"motors": [MOTOR_25 | {"speed": 20000}]})),
        "speed_offset", body_at(GOOD_25, 2) + 5),
    ("2025 speed in 2016", lambda: report(OLD, (1, VEHICLE_16), (2, {"motors": [MOTOR_16 | {"speed": 32000}]})),
        "speed_offset", body_at(GOOD_16, 2) + 5),
    ("torque as WORD in 2025", lambda: packet(b"$$", TIME + b"\x02\x01\x01\x01\x55" + (32000).to_bytes(2, "big")
        + (20000).to_bytes(2, "big") + b"\x62" + encode_bodies(NEW, BODIES_25[2:])), "torque_word", 37),
    ("fuel-cell count as BYTE", lambda: fuel_cell(1, False), "probe_count_byte", 30),
    ("hydrogen before the probes", lambda: fuel_cell(2, True), "hydrogen_first", 30),
    ("cell count behind the number", lambda: reports_16(b"\x08\x01\x01\x00\x04"
        + b"".join(number.to_bytes(2, "big") for number in CELLS), vehicle_16()), "cells_misread", 30),
    ("signature in 2016", lambda: reports_16(vehicle_16(), encode_bodies(NEW, [(0xFF, SIGNATURE)])), "signature_2016", 51),
    ("signature not last", lambda: report(NEW, BODIES_25[-1], *BODIES_25[:-1]), "signature_not_last", None),
    ("no S in an RSA signature", lambda: packet(b"$$", unit_of(GOOD_25)[:-2]), "signature_without_s", None),
    ("marker in an activation", activation_with_marker, "marker", None),
    ("02 and 03 as WORD in 2025", lambda: settings(OLD, b"$$"), "other_parameters", None),
    ("02 and 03 as BYTE in 2016", lambda: settings(NEW, b"##"), "other_parameters", None),
    ("serial 65535", lambda: login(OLD, b"##", serial=65535), "serial_range", 30),
    ("serial 0", lambda: login(NEW, b"$$", serial=0), "serial_range", 30),
    ("user body without length", lambda: reports_16(b"\x81ten seconds of it", vehicle_16()), "no_length", 31),
    ("two packets joined", lambda: GOOD_16 + GOOD_25, "joined", len(GOOD_16)),
    ("cut short", lambda: GOOD_16[:100], "cut_short", 100),
    ("cut short, another behind", lambda: GOOD_16[:100] + GOOD_25, "cut_and_next", 100),
    ("no check code", lambda: GOOD_16[:-1], "no_check_code", len(GOOD_16) - 1),
    ("line end behind", lambda: GOOD_16 + b"\r\n", "line_end", len(GOOD_16)),
    ("one # lost", lambda: GOOD_16[1:], "start_byte_missing", 0),
    ("flag of 2025 in 2016", lambda: closed(GOOD_16[:3] + b"\x05" + GOOD_16[4:]), "response_2025", 3),
    ("highest below lowest", lambda: report(OLD, (6, {"max_voltage_subsystem": 1, "max_voltage_cell": 1,
        "max_cell_voltage": 3300, "min_voltage_subsystem": 1, "min_voltage_cell": 2, "min_cell_voltage": 3400,
        "max_temperature_subsystem": 1, "max_temperature_probe": 1, "max_temperature": 70, "min_temperature_subsystem": 1,
        "min_temperature_probe": 2, "min_temperature": 60})), "extremes_swapped", None),
]  # fmt: skip


def serious(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.sure != POSSIBLE]


@pytest.mark.parametrize(("make", "mistake", "offset"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_mistake_is_named_at_its_place(make: Callable[[], bytes], mistake: str, offset: int | None) -> None:
    findings = diagnose(make())
    found = [finding for finding in findings if finding.mistake == mistake]
    assert found, findings
    assert offset is None or found[0].offset == offset, findings
    others = {finding.mistake for finding in serious(findings)} - {mistake, ""}
    assert not others, f"it blames {others} too"
    for lang in ("en", "zh"):
        assert all(say(found[0], lang))


def test_every_mistake_that_can_be_named_is_tried() -> None:
    named = {case[2] for case in CASES}
    assert set(MISTAKES) - named == {"", "lost_byte", "damaged"}  # these have tests of their own


def test_both_start_bytes_in_the_check_code_change_nothing() -> None:
    assert reduce(xor, GOOD_16[:-1]) == GOOD_16[-1]


@pytest.mark.parametrize("raw", [GOOD_16, GOOD_25, W4], ids=["2016", "2025", "W4"])
def test_a_byte_that_was_dropped_is_found(raw: bytes) -> None:
    for at in (8, 22, 26, 33, 40, 47, len(raw) // 2, len(raw) - 6):
        found = [finding for finding in diagnose(raw[:at] + raw[at + 1 :]) if finding.mistake == "lost_byte"]
        assert found, at
        values = found[0].values
        # Neighbours of the same value cannot be told apart, nor places that read as well.
        assert values["first"] <= at <= values["last"] or raw[at : at + 1].hex().upper() != values["raw"], (at, values)
        assert found[0].offset <= at


def test_a_damaged_byte_is_not_called_an_old_check_code() -> None:
    broken = bytearray(GOOD_16)
    broken[44] = 200  # SOC
    findings = serious(diagnose(bytes(broken)))
    assert [(finding.offset, finding.mistake) for finding in findings] == [(44, ""), (len(broken) - 1, "damaged")]


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_worked_packets_have_no_finding(vector: dict[str, Any]) -> None:
    assert diagnose(bytes.fromhex(vector["hex"])) == []


def test_printed_packets_of_both_editions_have_no_finding(tbox_spec: Path) -> None:
    text = (tbox_spec / "gbt32960.md").read_text(encoding="utf-8")
    examples = text[text.index("\n## 10. ") : text.index("\n## 11. ")]
    blocks = [block.replace("\n", "") for block in re.findall(r"```\n([0-9A-F\n]+)```", examples)]
    assert len(blocks) >= 20
    assert [block for block in blocks if diagnose(bytes.fromhex(block))] == []


def test_good_packets_of_this_test_have_no_finding() -> None:
    packets = [GOOD_16, GOOD_25, settings(OLD, b"##"), settings(NEW, b"$$"), login(OLD, b"##"), login(NEW, b"$$")]
    assert [raw for raw in packets if diagnose(raw)] == []
    for raw in packets:
        unit = decode_data_unit(BY_START[raw[:2]], raw[2], unit_of(raw))
        assert not unit.rest


def test_declared_bodies_are_judged_by_their_rows() -> None:
    rows = (Field("cabin", 2, "degC", 10, 0, -400, 1250, sentinel=False, signed=True),)
    edition = OLD.with_declared({0x80: Sized("comfort", rows)})
    editions = EDITIONS | {"2016": edition}
    for cabin, faults in ((-400, []), (-500, [(33, "range")])):
        raw = packet(b"##", TIME + encode_bodies(edition, [(0x80, {"cabin": cabin})], strict=False))
        assert [(found.offset, found.fault) for found in diagnose(raw, editions)] == faults
    (found,) = diagnose(reports_16(b"\x80\x00\x03abc"), editions)
    assert (found.offset, found.fault, found.mistake) == (31, "not_declared", "")


def test_what_platforms_agree_on_is_a_remark() -> None:
    findings = diagnose(reports_16(vehicle_16(), b"\x10\x01\x02"))
    assert [(finding.offset, finding.sure) for finding in findings] == [(51, POSSIBLE)]
    assert not is_broken(findings)


def test_legal_but_absurd_is_likely_not_certain() -> None:
    assert [finding.sure for finding in diagnose(report(NEW, total_current=10123))] == [LIKELY]


def test_texts_stand_in_both_languages() -> None:
    for en, zh in [*FAULTS.values(), *(pair for key, pair in MISTAKES.items() if key)]:
        assert en
        assert zh
        assert set(re.findall(r"{\w+}", en)) == set(re.findall(r"{\w+}", zh))


@pytest.mark.parametrize(
    ("raw", "status"), [(W3, 0), (report(OLD, status=1), 0), (report(NEW, total_current=10123), 1)]
)
def test_explain_ends_with_the_findings(raw: bytes, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    findings = diagnose(raw)
    for lang in ("en", "zh"):
        assert main(["explain", "--lang", lang, raw.hex()]) == status
        out = capsys.readouterr().out
        assert all(MISTAKES[finding.mistake][lang == "zh"] in out for finding in findings)
    assert main(["explain", "--lang", "en", "--json", raw.hex()]) == status
    shown = json.loads(capsys.readouterr().out)
    assert [(row["offset"], row["mistake"]) for row in shown["findings"]] == [(f.offset, f.mistake) for f in findings]
