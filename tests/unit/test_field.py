"""Rows of the tables, one kind at a time."""

from typing import Any

import pytest

from agent.core.errors import FieldError, LocalProtocolError, RemoteProtocolError
from agent.core.field import U8, U16, U32, Blob, Field, Items, Layout, Sized, Text, Time

SPEED = Field("speed", U16, "km/h", 10, 0, 0, 2200)
PROBE = Field("probe", U8, "degC", 1, 40, 0, 240, sentinel=False, absent=0xFF)
CELLS = Items("cells", U8, Field("cell", U16, "V", 1000, 0, 0, 60000), 1, 200, False)


@pytest.mark.parametrize(("raw", "data"), [(0, "0000"), (2200, "0898"), (0xFFFE, "fffe"), (0xFFFF, "ffff")])
def test_a_field_is_unsigned_and_big_endian(raw: int, data: str) -> None:
    assert SPEED.encode(raw, True) == bytes.fromhex(data)
    assert SPEED.decode(b"\xaa" + bytes.fromhex(data), 1) == (raw, 3)


@pytest.mark.parametrize("raw", [-1, 2201, 0xFFFD, 0x10000])
def test_a_count_outside_its_row_is_refused(raw: int) -> None:
    with pytest.raises(FieldError) as caught:
        SPEED.encode(raw, True)
    assert (caught.value.field, caught.value.raw, caught.value.lo, caught.value.hi) == ("speed", raw, 0, 2200)


def test_a_bench_may_send_illegal_counts_that_fit() -> None:
    assert SPEED.encode(2201, False) == b"\x08\x99"
    for raw in (-1, 0x10000):
        with pytest.raises(FieldError, match=r"speed: raw value -?\d+ is not in 0..65535"):
            SPEED.encode(raw, False)


def test_a_field_without_sentinel_sends_what_stands_for_nothing_known_and_no_other() -> None:
    assert PROBE.encode(0xFF, True) == b"\xff"
    with pytest.raises(FieldError):
        PROBE.encode(0xFE, True)
    with pytest.raises(FieldError):
        Field("bare", U8, hi=9, sentinel=False).encode(0xFF, True)


@pytest.mark.parametrize("size", [U8, U16, U32])
def test_sentinels_are_as_wide_as_the_field(size: int) -> None:
    field = Field("any", size)
    assert field.invalid == (1 << 8 * size) - 1
    assert field.abnormal == (1 << 8 * size) - 2


@pytest.mark.parametrize(
    ("row", "data", "reason", "clause", "offset"),
    [
        (SPEED, b"\x02", "data end inside speed", "7.2", 3),
        (CELLS, b"", "data end inside cells_count", "7.2", 3),
        (CELLS, b"\x02\x00\x01\x00", "data end inside cells", "7.2", 4),
        (Text("name", 3), b"ab", "data end inside name", "7.1", 3),
        (Time("until"), bytes(5), "data end inside until", "6.4", 3),
        (Blob("key", U16, 0, 9), b"\x00", "data end inside key_length", "7.2", 3),
        (Blob("key", U16, 0, 9), b"\x00\x03ab", "data end inside key", "7.2", 5),
        (Layout("engine", (PROBE, SPEED), "7.2.3"), b"\x01\x02", "data end inside engine", "7.2.3", 3),
        (Layout("list", (PROBE, CELLS, SPEED), "7.2.3"), b"\x01\x00\x02", "data end inside list", "7.2.3", 5),
        (Sized("seat", (SPEED,), "7.2.3"), b"\x00", "data end inside seat_length", "7.2", 3),
        (Sized("seat", (SPEED,), "7.2.3"), b"\x00\x02\x01", "data end inside seat", "7.2.3", 5),
        (Sized("seat", (SPEED,), "7.2.3"), b"\x00\x03abc", "body seat has 3 bytes, 2 are declared", "7.2.3", 3),
    ],
)
def test_data_that_end_too_early_are_refused(row: Any, data: bytes, reason: str, clause: str, offset: int) -> None:
    data = b"xyz" + data
    with pytest.raises(RemoteProtocolError) as caught:
        row.decode(data, 3)
    error = caught.value
    assert (error.reason, error.clause, error.offset, error.data) == (reason, clause, offset, data[offset:])


@pytest.mark.parametrize(
    ("row", "value"),
    [
        (SPEED, 1),
        (CELLS, [1, 2]),
        (Text("name", 3), b"abc"),
        (Time("until"), b"abcdef"),
        (Blob("key", U16, 0, 9), b"ab"),
        (Layout("engine", (PROBE, SPEED)), {"probe": 1, "speed": 2}),
        (Layout("list", (PROBE, CELLS, SPEED)), {"probe": 1, "cells": [7], "speed": 2}),
        (Sized("seat", (PROBE, SPEED)), {"probe": 1, "speed": 2}),
    ],
)
def test_data_that_end_with_the_row_are_enough(row: Any, value: Any) -> None:
    data = row.encode(value, True)
    assert row.decode(data, 0) == (value, len(data))
    assert row.decode(b"xyz" + data, 3) == (value, 3 + len(data))


def test_a_field_says_what_it_was_told() -> None:
    told: dict[str, Any] = {
        "name": "gear",
        "size": U16,
        "unit": "km/h",
        "per_unit": 10,
        "offset": 40,
        "lo": 1,
        "hi": 3,
        "words": {1: "one"},
        "absent": 0,
        "bits": (("gear", 0, 4, None, False),),
        "flags": ("first",),
        "sign": ("status", 2),
        "annex_b": True,
        "hexadecimal": True,
        "step": 5,
    }
    assert vars(Field(**told)).items() >= told.items()
    plain = {
        "unit": "",
        "per_unit": 1,
        "offset": 0,
        "lo": 0,
        "hi": 0,
        "words": None,
        "invalid": 0xFFFF,
        "abnormal": 0xFFFE,
        "absent": 0xFFFF,
        "bits": None,
        "flags": None,
        "sign": None,
        "annex_b": False,
        "hexadecimal": False,
        "step": 1,
    }
    assert vars(Field("gear", U16)).items() >= plain.items()
    bare = Field("gear", U16, sentinel=False)
    assert (bare.invalid, bare.abnormal, bare.absent) == (None, None, None)


@pytest.mark.parametrize(("size", "lo", "hi"), [(U8, -128, 127), (U16, -32768, 32767), (U32, -2147483648, 2147483647)])
def test_a_signed_field_is_twos_complement(size: int, lo: int, hi: int) -> None:
    field = Field("force", size, lo=lo, hi=hi, sentinel=False, signed=True)
    for raw in (lo, -1, 0, 1, hi):
        data = raw.to_bytes(size, "big", signed=True)
        assert field.encode(raw, True) == field.encode(raw, False) == data
        assert field.decode(data, 0) == (raw, size)
    for raw in (lo - 1, hi + 1):
        with pytest.raises(FieldError, match=rf"^force: raw value {raw} is not in {lo}\.\.{hi}$"):
            Field("force", size, sentinel=False, signed=True).encode(raw, False)


def test_a_layout_says_what_it_was_told() -> None:
    rows = (SPEED, PROBE)
    layout = Layout("engine", rows, "7.2.3", True, 2)
    assert (layout.rows, layout.clause, layout.annex_b, layout.spare) == (rows, "7.2.3", True, 2)
    assert Sized("seat", rows, "7.2.3").clause == "7.2.3"
    for bare in (Layout("bare", rows), Sized("bare", rows)):
        assert (bare.rows, bare.clause, bare.annex_b, bare.spare) == (rows, "", False, 0)


def test_a_body_of_the_makers_own_has_its_length_before_it() -> None:
    seat = Sized("seat", (PROBE, SPEED))
    assert seat.encode({"probe": 1, "speed": 2}) == bytes.fromhex("0003 01 0002")
    assert seat.decode(bytes.fromhex("0003 01 0002")) == ({"probe": 1, "speed": 2}, 5)
    wrong = {"probe": 1, "speed": 2201}
    assert seat.encode(wrong, False) == bytes.fromhex("0003 01 0899")
    with pytest.raises(FieldError, match="speed"):
        seat.encode(wrong)
    with pytest.raises(LocalProtocolError, match=r"^seat: field speed is missing$"):
        seat.encode({"probe": 1})
    for size, refused in ((0, True), (1, False), (65531, False), (65532, True), (65534, True), (65535, True)):
        large = Sized("seat", (PROBE,) * size)
        assert large.size == size
        if refused:
            with pytest.raises(FieldError, match=rf"^seat_length: raw value {size} is not in 1\.\.65531$"):
                large.encode({"probe": 1})
        else:
            assert large.encode({"probe": 1}) == size.to_bytes(2, "big") + b"\x01" * size


def test_any_count_that_fits_goes_out_when_asked_for() -> None:
    some = Field("some", U8, lo=5, hi=9, sentinel=False)
    for raw in (0, 1, 4, 10, 254, 255):
        assert some.encode(raw, False) == bytes((raw,))
        with pytest.raises(FieldError):
            some.encode(raw, True)


def test_a_list_has_its_count_before_it() -> None:
    assert CELLS.encode([1, 2, 0xFFFF], True) == bytes.fromhex("03 0001 0002 ffff")
    assert CELLS.decode(bytes.fromhex("03 0001 0002 ffff 99"), 0) == ([1, 2, 0xFFFF], 7)


def test_one_bad_item_of_a_list_is_refused() -> None:
    for raw in (60001, -1):
        with pytest.raises(FieldError, match=f"cell: raw value {raw} is not"):
            CELLS.encode([1, raw], True)


@pytest.mark.parametrize("cells", [[], [0] * 201])
def test_the_number_of_items_has_limits(cells: list[int]) -> None:
    with pytest.raises(FieldError, match="cells_count"):
        CELLS.encode(cells, True)


@pytest.mark.parametrize(
    ("size", "raw", "data"), [(U8, 0xFF, "ff"), (U8, 0xFE, "fe"), (U16, 0xFFFF, "ffff"), (U16, 0xFFFE, "fffe")]
)
def test_a_sentinel_count_stands_for_the_list_and_none_follows(size: int, raw: int, data: str) -> None:
    motors = Items("motors", size, SPEED, 1, 253)
    assert motors.encode(raw, True) == bytes.fromhex(data)
    assert motors.decode(bytes.fromhex(data) + b"\x01\x02", 0) == (raw, size)


def test_a_count_in_place_of_a_list_must_be_a_sentinel() -> None:
    with pytest.raises(FieldError, match=r"^motors_count: raw value 3 is not in 1\.\.253$"):
        Items("motors", U8, SPEED, 1, 253).encode(3, True)
    with pytest.raises(FieldError, match="cells_count"):
        CELLS.encode(0xFF, True)


def test_a_list_never_gets_a_count_that_means_something_else() -> None:
    codes = Items("codes", U8, SPEED, 0, 252)
    assert codes.encode([0] * 253, False)[:1] == b"\xfd"
    assert codes.decode(b"\xfd" + bytes(2 * 253), 0) == ([0] * 253, 507)
    for size in (254, 255):
        with pytest.raises(FieldError, match=rf"^codes_count: raw value {size} is not in 0\.\.252$"):
            codes.encode([0] * size, False)


def test_a_list_whose_count_has_no_other_meaning_may_be_as_long_as_it_counts() -> None:
    cells = Items("cells", U8, SPEED, 1, 200, False)
    for size in (0, 201, 254, 255):
        data = cells.encode([0] * size, False)
        assert data == bytes((size,)) + bytes(2 * size)
        assert cells.decode(data, 0) == ([0] * size, len(data))
        with pytest.raises(FieldError, match="cells_count"):
            cells.encode([0] * size, True)


def test_groups_of_a_list_stand_behind_each_other() -> None:
    motors = Items("motors", U8, Layout("motor", (SPEED, PROBE)), 1, 9)
    groups = [{"speed": 1, "probe": 2}, {"speed": 3, "probe": 4}]
    assert motors.encode(groups, True) == bytes.fromhex("02 0001 02 0003 04")
    assert motors.decode(bytes.fromhex("02 0001 02 0003 04 05"), 0) == (groups, 7)
    wrong = [{"speed": 2201, "probe": 0}]
    assert motors.encode(wrong, False) == bytes.fromhex("01 0899 00")
    with pytest.raises(FieldError, match="speed"):
        motors.encode(wrong, True)


def test_text_is_padded_and_never_cut() -> None:
    text = Text("user", 5)
    assert text.encode(b"abc", True) == b"abc\0\0"
    assert text.decode(b"abc\0\0x", 0) == (b"abc\0\0", 5)
    with pytest.raises(FieldError, match=r"^user \(length\): raw value 6 is not in 0\.\.5$"):
        text.encode(b"abcdef", True)
    assert Text("chip", 3, b" ").encode(b"a", True) == b"a  "


def test_a_time_is_six_bytes_whether_or_not_it_exists() -> None:
    until = Time("until")
    for raw in (bytes((25, 12, 31, 23, 59, 59)), b"\xff" * 6):
        assert until.encode(raw, True) == raw
        assert until.decode(b"\x00" + raw + b"\x00", 1) == (raw, 7)
    for raw in (bytes(5), bytes(7)):
        with pytest.raises(FieldError, match=r"until \(length\): raw value \d is not in 6\.\.6"):
            until.encode(raw, False)


def test_blob_has_its_length_before_it() -> None:
    blob = Blob("key", U16, 1, 9)
    assert blob.encode(b"abc", True) == b"\x00\x03abc"
    assert blob.decode(b"\x00\x03abcd", 0) == (b"abc", 5)
    assert blob.name == "key"
    with pytest.raises(FieldError, match="key_length"):
        blob.encode(b"", True)
    for size in (10, 254, 255):  # the length has no sentinel
        with pytest.raises(FieldError, match=rf"^key_length: raw value {size} is not in 0\.\.9$"):
            Blob("key", U8, 0, 9).encode(bytes(size), True)


def test_a_layout_names_what_is_missing() -> None:
    layout = Layout("engine", (SPEED, PROBE))
    assert layout.encode({"speed": 1, "probe": 2, "more": 3}) == b"\x00\x01\x02"
    with pytest.raises(LocalProtocolError, match=r"^engine: field probe is missing$"):
        layout.encode({"speed": 1})


def test_a_layout_checks_its_fields_and_its_lists() -> None:
    layout = Layout("pack", (PROBE, SPEED, CELLS, PROBE, SPEED))
    good = {"probe": 1, "speed": 2, "cells": [3]}
    assert layout.encode(good) == bytes.fromhex("01 0002 01 0003 01 0002")
    assert layout.decode(layout.encode(good)) == (good, 9)
    for name, value in (("speed", 2201), ("probe", 241), ("cells", [60001]), ("cells", [])):
        wrong = good | {name: value}
        with pytest.raises(FieldError, match=f"^{name[:4]}"):
            layout.encode(wrong)
        assert layout.decode(layout.encode(wrong, False))[0] == wrong


def test_a_layout_inside_a_list_names_what_is_missing() -> None:
    layout = Layout("motors", (Items("list", U8, Layout("motor", (SPEED,)), 1, 9),))
    with pytest.raises(LocalProtocolError, match="motor: field speed is missing"):
        layout.encode({"list": [{"speed": 1}, {}]})
