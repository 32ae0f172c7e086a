"""Rows of the tables, one kind at a time."""

from typing import Any

import pytest

from agent.core.errors import FieldError, LocalProtocolError, RemoteProtocolError
from agent.core.field import U8, U16, U32, Blob, Field, Items, Layout, Text, Time

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
    "row", [SPEED, CELLS, Text("name", 3), Time("until"), Blob("key", U16, 0, 9)], ids=lambda row: row.name
)
def test_data_that_end_too_early_are_refused(row: Any) -> None:
    with pytest.raises(RemoteProtocolError, match="data end inside"):
        row.decode(b"\x02", 0)


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
