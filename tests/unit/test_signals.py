"""Newest frames and the decoding of one signal into one count."""

import struct
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mapped import Car

from agent.core.signals import rounded
from agent.errors import ConfigError
from agent.mapping.sources import _raw_range

SPEED = 'BO_ 256 M: 8 A\n SG_ Speed : 0|16@1+ (0.1,0) [0|0] "km/h" A'
INVALID_SPEED, INVALID_VOLTAGE = 0xFFFF, 0xFFFF


def away_from_zero(value: Fraction) -> int:
    """Nearest integer, ties away from zero, by definition."""
    whole = int(abs(value) + Fraction(1, 2))
    return whole if value >= 0 else -whole


@given(st.fractions(max_denominator=10**9))
def test_rounding_goes_to_the_nearest_ties_away_from_zero(value: Fraction) -> None:
    assert rounded(value.numerator, value.denominator) == away_from_zero(value)
    assert rounded(value.numerator * 3, value.denominator * 3) == away_from_zero(value)


@given(
    factor=st.decimals(-10, 10, places=6).filter(bool),
    offset=st.decimals(-1000, 1000, places=3),
    bits=st.integers(1, 20),
    data=st.binary(min_size=8, max_size=8),
    big=st.booleans(),
    signed=st.booleans(),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_count_is_the_exact_value_rounded_or_invalid_never_clamped(
    factor: object, offset: object, bits: int, data: bytes, big: bool, signed: bool, tmp_path: Path
) -> None:
    start, order = (7, 0) if big else (0, 1)
    signal = f'SG_ V : {start}|{bits}@{order}{"-" if signed else "+"} ({factor},{offset}) [0|0] "V" A'
    raw = int.from_bytes(data, "big") >> (64 - bits) if big else int.from_bytes(data, "little") & ((1 << bits) - 1)
    raw -= 1 << bits if signed and raw >> (bits - 1) else 0
    exact = away_from_zero((raw * Fraction(str(factor)) + Fraction(str(offset))) * 10)
    lo, hi = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    counts = [away_from_zero((end * Fraction(str(factor)) + Fraction(str(offset))) * 10) for end in (lo, hi)]
    if max(counts) < 0 or min(counts) > 10000:
        return  # refused by the compiler: no raw fits
    # `not_available_raw` of a value that does not occur takes the careful path; both must agree.
    values = []
    for options in ("", f", not_available_raw = [{lo if raw != lo else hi}]"):
        try:
            car = Car(
                tmp_path, f"BO_ 256 M: 8 A\n {signal}", f'[vehicle]\ntotal_voltage = {{ signal = "b.M.V"{options} }}\n'
            )
        except ConfigError as error:
            if "no raw of" in str(error):
                return  # the range lies between two steps
            raise
        car.keep(256, data)
        values.append(car.sample()[1]["total_voltage"])
    expected = exact if 0 <= exact <= 10000 else INVALID_VOLTAGE
    assert values == [expected] * 2 or lo == hi


@given(
    factor=st.fractions(max_denominator=1000).filter(bool),
    offset=st.fractions(max_denominator=1000),
    lo=st.integers(0, 50),
    width=st.integers(0, 50),
    raw=st.integers(-200, 200),
)
def test_the_raw_range_holds_exactly_the_raws_whose_count_is_in_range(
    factor: Fraction, offset: Fraction, lo: int, width: int, raw: int
) -> None:
    first, last = _raw_range(factor, offset, lo, lo + width)
    assert (first <= raw <= last) == (lo <= away_from_zero(raw * factor + offset) <= lo + width)


def test_a_source_is_stale_after_its_timeout(tmp_path: Path) -> None:
    car = Car(tmp_path, SPEED, '[messages."b.M"]\ntimeout_ms = 300\n[vehicle]\nspeed = "b.M.Speed"\n')
    assert car.sample(0)[1]["speed"] == INVALID_SPEED
    car.keep(256, "0A00000000000000", 1000)
    assert car.sample(1300)[1]["speed"] == 10
    assert car.sample(1301)[1]["speed"] == INVALID_SPEED


@pytest.mark.parametrize(("cycle_ms", "timeout_ms"), [(10, 1000), (200, 2000), (5000, 30000), (0, 5000)])
def test_the_timeout_is_ten_cycles_within_limits(tmp_path: Path, cycle_ms: int, timeout_ms: int) -> None:
    cycle = f'\nBA_ "GenMsgCycleTime" BO_ 256 {cycle_ms};' if cycle_ms else ""
    car = Car(tmp_path, SPEED + cycle, '[vehicle]\nspeed = "b.M.Speed"\n')
    car.keep(256, "0A00000000000000")
    assert car.sample(timeout_ms)[1]["speed"] == 10
    assert car.sample(timeout_ms + 1)[1]["speed"] == INVALID_SPEED


PAGES = """BO_ 512 P: 8 A
 SG_ Page M : 0|8@1+ (1,0) [0|0] "" A
 SG_ Cell1 m0 : 8|16@1+ (0.001,0) [0|0] "V" A
 SG_ Cell2 m1 : 8|16@1+ (0.001,0) [0|0] "V" A
 SG_ Cell3 m2 : 8|16@1+ (0.001,0) [0|0] "V" A
 SG_ Other m3 : 8|16@1+ (0.001,0) [0|0] "V" A
 BA_ "GenMsgCycleTime" BO_ 512 100;"""
CELLS = '[storage_voltages]\ncells = { signal = "b.P.Cell{n}", count = 3 }\n'


def cells(car: Car, now: int) -> "list[int]":
    found: list[int] = car.sample(now)[8]["subsystems"][0]["cells"]
    return found


def test_pages_are_kept_apart_and_grow_stale_apart(tmp_path: Path) -> None:
    car = Car(tmp_path, PAGES, CELLS)
    car.keep(512, "00 A00F 0000000000", 0)
    car.keep(512, "01 A10F 0000000000", 3000)
    assert cells(car, 3000) == [4000, 4001, 0xFFFF]
    # Ten cycles of all four pages.
    assert cells(car, 4000) == [4000, 4001, 0xFFFF]
    assert cells(car, 4001) == [0xFFFF, 4001, 0xFFFF]


def test_unknown_pages_identifiers_and_short_frames_are_counted(tmp_path: Path) -> None:
    car = Car(tmp_path, PAGES + "\n" + SPEED, CELLS + '[vehicle]\nspeed = "b.M.Speed"\n')
    car.keep(512, "09 A00F 0000000000")  # no such page in the DBC
    car.keep(512, "03 A00F 0000000000")  # a page that nobody wants
    car.keep(0x123, "00")
    car.keep(256 | 0x80000000, "0A00000000000000")  # the same number, but 29 bits
    car.keep(512, "")
    car.keep(512, "02A0")
    latest = car.latest
    assert (latest.unknown_mux, latest.unknown_id, latest.short, latest.kept) == (1, 2, 2, 1)
    assert cells(car, 0) == [0xFFFF] * 3


def test_what_a_short_frame_holds_is_used(tmp_path: Path) -> None:
    messages = """BO_ 256 M: 8 A
 SG_ Speed : 0|16@1+ (0.1,0) [0|0] "km/h" A
 SG_ Volt : 23|16@0+ (0.1,0) [0|0] "V" A
 SG_ Soc : 32|8@1+ (1,0) [0|0] "%" A"""
    car = Car(tmp_path, messages, '[vehicle]\nspeed = "b.M.Speed"\ntotal_voltage = "b.M.Volt"\nsoc = "b.M.Soc"\n')
    found = []
    for size in (8, 5, 4, 3, 1):
        car.keep(256, bytes.fromhex("0A000DAC32000000")[:size])
        body = car.sample()[1]
        found.append((body["speed"], body["total_voltage"], body["soc"]))
    assert found == [
        (10, 3500, 50),
        (10, 3500, 50),
        (10, 3500, 0xFF),
        (10, INVALID_VOLTAGE, 0xFF),
        (INVALID_SPEED, INVALID_VOLTAGE, 0xFF),
    ]


def test_two_multiplexers_and_nested_ones_choose_their_own_signals(tmp_path: Path) -> None:
    messages = """BO_ 256 M: 8 A
 SG_ Outer M : 0|4@1+ (1,0) [0|0] "" A
 SG_ Inner m1M : 4|4@1+ (1,0) [0|0] "" A
 SG_ Cell1 m2 : 8|16@1+ (0.001,0) [0|0] "V" A
 SG_ Cell2 m3 : 8|16@1+ (0.001,0) [0|0] "V" A
 SG_ Cell3 : 48|16@1+ (0.001,0) [0|0] "V" A
 SG_MUL_VAL_ 256 Inner Outer 1-1;
 SG_MUL_VAL_ 256 Cell1 Inner 2-2, 5-6;
 SG_MUL_VAL_ 256 Cell2 Outer 3-3;"""
    car = Car(tmp_path, messages, '[storage_voltages]\ncells = { signal = "b.M.Cell{n}", count = 3 }\n')
    car.keep(256, "51 A00F 000000 0000")
    assert cells(car, 0) == [4000, 0xFFFF, 0]
    car.keep(256, "03 A10F 000000 0100")
    assert cells(car, 0) == [4000, 4001, 1]
    car.keep(256, "31 A20F 000000 0200")  # inner page 3 does not exist
    assert cells(car, 0) == [4000, 4001, 2]
    assert car.latest.unknown_mux == 1


def test_multiplexers_wider_than_a_byte_choose_their_signals(tmp_path: Path) -> None:
    messages = """BO_ 256 M: 8 A
 SG_ Outer M : 0|12@1+ (1,0) [0|0] "" A
 SG_ Inner m257M : 12|12@1+ (1,0) [0|0] "" A
 SG_ Cell1 m514 : 24|16@1+ (0.001,0) [0|0] "V" A
 SG_MUL_VAL_ 256 Inner Outer 257-257;
 SG_MUL_VAL_ 256 Cell1 Inner 514-514;"""
    car = Car(tmp_path, messages, '[storage_voltages]\ncells = { signal = "b.M.Cell{n}", count = 1 }\n')

    def frame(outer: int, inner: int) -> bytes:
        return (outer | inner << 12).to_bytes(3, "little") + b"\xa0\x0f\0\0\0"

    for outer, inner in ((1, 514), (257, 2)):  # the low byte alone would do
        car.keep(256, frame(outer, inner))
    car.keep(256, frame(257, 514)[:1])
    assert (cells(car, 0), car.latest.kept, car.latest.unknown_mux) == ([0xFFFF], 0, 2)
    car.keep(256, frame(257, 514))
    assert (cells(car, 0), car.latest.kept) == ([4000], 1)


@pytest.mark.parametrize("place", ["0|32@1", "7|32@0"])
@pytest.mark.parametrize(
    ("number", "count"),
    [(350.04, 3500), (350.06, 3501), (0.0, 0), (1e-40, 0), (-1.0, 0xFFFF), (1000.1, 0xFFFF)]
    + [(float(word), 0xFFFF) for word in ("nan", "inf", "-inf")],
)
def test_a_float_is_rounded_to_its_count_or_invalid(tmp_path: Path, place: str, number: float, count: int) -> None:
    messages = f"""BO_ 256 M: 4 A
 SG_ Volt : {place}- (1,0) [0|0] "V" A
 SIG_VALTYPE_ 256 Volt : 1;"""
    car = Car(tmp_path, messages, '[vehicle]\ntotal_voltage = "b.M.Volt"\n')
    car.keep(256, struct.pack(">f" if place.endswith("@0") else "<f", number))
    assert car.sample()[1]["total_voltage"] == count


def test_a_float_in_an_expression_is_exact(tmp_path: Path) -> None:
    messages = """BO_ 256 M: 8 A
 SG_ Torque : 0|64@1- (1,0) [0|0] "N.m" A
 SIG_VALTYPE_ 256 Torque : 2;"""
    # 2**-1074 is the smallest number that a double holds: a calculation with floats would lose it beside 1.
    section = '[vehicle]\nsoc = { expression = "7 if b.M.Torque + 1 > 1 else 3" }\n'
    car = Car(tmp_path, messages, section)
    found = []
    for number in (2.0**-1074, 0.0, -(2.0**-1074), float("nan")):
        car.keep(256, struct.pack("<d", number))
        found.append(car.sample()[1]["soc"])
    assert found == [7, 3, 3, 0xFF]


GUARDED = """BO_ 256 M: 4 A
 SG_ Speed : 0|16@1+ (0.1,0) [0|0] "km/h" A
 SG_ Alive : 16|4@1+ (1,0) [0|0] "" A
 SG_ Crc : 24|8@1+ (1,0) [0|0] "" A"""


def guarded(tmp_path: Path, options: str) -> Car:
    return Car(tmp_path, GUARDED, f'[messages."b.M"]\n{options}\n[vehicle]\nspeed = "b.M.Speed"\n')


def test_a_counter_that_stands_still_does_not_refresh(tmp_path: Path) -> None:
    car = guarded(tmp_path, 'alive_counter = "Alive"\ntimeout_ms = 1000')
    car.keep(256, "0A000000", 0)
    car.keep(256, "0B001000", 500)  # the upper four bits are not the counter
    assert car.sample(600)[1]["speed"] == 10
    assert car.sample(1001)[1]["speed"] == INVALID_SPEED
    car.keep(256, "0C000100", 1200)
    assert car.sample(1200)[1]["speed"] == 12
    assert car.latest.stuck_counter == 1


def test_a_frame_cut_before_its_counter_does_not_refresh(tmp_path: Path) -> None:
    car = guarded(tmp_path, 'alive_counter = "Alive"')
    car.keep(256, "0A00")
    assert (car.latest.stuck_counter, car.latest.kept, car.latest.short) == (1, 0, 1)
    car.keep(256, "0A0000")
    assert (car.latest.stuck_counter, car.latest.kept, car.latest.short) == (1, 1, 2)


def test_a_checksum_is_over_the_bytes_before_and_behind_it(tmp_path: Path) -> None:
    messages = """BO_ 256 M: 3 A
 SG_ Crc : 8|8@1+ (1,0) [0|0] "" A
 SG_ Soc : 16|8@1+ (1,0) [0|0] "%" A"""
    options = '[messages."b.M"]\nchecksum = { signal = "Crc", kind = "sum8" }\n'
    car = Car(tmp_path, messages, options + '[vehicle]\nsoc = "b.M.Soc"\n')
    car.keep(256, bytes((200, 200, 50)))
    assert car.latest.bad_checksum == 1
    car.keep(256, bytes((200, 250, 50)))
    assert car.sample()[1]["soc"] == 50


def test_only_messages_without_pages_counter_or_checksum_are_plain(tmp_path: Path) -> None:
    guard = '[messages."b.G"]\nalive_counter = "Alive"\n'
    messages = PAGES + "\n" + SPEED + "\n" + GUARDED.replace("BO_ 256 M", "BO_ 257 G").replace("km/h", "V")
    sections = '[vehicle]\nspeed = "b.M.Speed"\ntotal_voltage = "b.G.Speed"\n' + CELLS
    latest = Car(tmp_path, messages, guard + sections).latest
    assert set(latest.wanted_ids(0)) == {256, 257, 512}
    ((can_id, (slot, length)),) = latest.plain(0).items()
    assert (can_id, length) == (256, 8)
    latest.keep(0, 256, b"frame", 7)
    assert latest.frames[slot] == b"frame"


@pytest.mark.parametrize(
    ("kind", "good"),
    [
        # CRC-8 SAE J1850 of 0A 00 00: worked out bit by bit below.
        ('kind = "crc8", polynomial = 0x1D, initial = 0xFF, xor_out = 0xFF', None),
        ('kind = "sum8"', 0x0A),
        ('kind = "xor8", xor_out = 0x55', 0x5F),
    ],
)
def test_a_wrong_checksum_does_not_refresh(tmp_path: Path, kind: str, good: "int | None") -> None:
    if good is None:
        value = 0xFF
        for byte in b"\x0a\x00\x00":
            value ^= byte
            for _ in range(8):
                value = (value << 1 ^ 0x1D if value & 0x80 else value << 1) & 0xFF
        good = value ^ 0xFF
    car = guarded(tmp_path, f'checksum = {{ signal = "Crc", {kind} }}')
    car.keep(256, bytes([0x0A, 0, 0, good ^ 1]))
    car.keep(256, bytes([0x0A, 0, 0]))
    assert car.sample()[1]["speed"] == INVALID_SPEED
    assert car.latest.bad_checksum == 2
    car.keep(256, bytes([0x0A, 0, 0, good]))
    assert car.sample()[1]["speed"] == 10


def test_crc8_gives_the_catalogued_check_value(tmp_path: Path) -> None:
    messages = 'BO_ 256 M: 10 A\n SG_ Speed : 0|16@1+ (0.1,0) [0|0] "km/h" A\n SG_ Crc : 72|8@1+ (1,0) [0|0] "" A'
    options = 'checksum = { signal = "Crc", kind = "crc8", polynomial = 0x1D, initial = 0xFF, xor_out = 0xFF }'
    car = Car(tmp_path, messages, f'[messages."b.M"]\n{options}\n[vehicle]\nspeed = "b.M.Speed"\n')
    car.keep(256, b"123456789" + b"\x4b")  # CRC-8/SAE-J1850
    assert (car.latest.kept, car.latest.bad_checksum) == (1, 0)


def test_a_j1939_message_is_taken_from_any_source_address(tmp_path: Path) -> None:
    messages = f"""BO_ {0x80000000 | 0x18FEF1FE} CCVS: 8 A
 SG_ Speed : 8|16@1+ (0.00390625,0) [0|0] "km/h" A"""
    car = Car(tmp_path, messages, '[messages."b.CCVS"]\nj1939 = true\n[vehicle]\nspeed = "b.CCVS.Speed"\n')
    car.keep(0x80000000 | 0x0CFEF117, "FF 0064 FFFFFFFFFF")
    assert car.sample()[1]["speed"] == 1000
    car.keep(0x80000000 | 0x0CFEF217, "FF 0065 FFFFFFFFFF")
    assert (car.sample()[1]["speed"], car.latest.unknown_id) == (1000, 1)
    ((can_id, mask),) = car.latest.wanted(0)
    assert 0x8CFEF117 & mask == can_id & mask
    assert 0x8CFEF217 & mask != can_id & mask
