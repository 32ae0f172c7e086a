"""Data units: answers of every shape, unknown bodies, parameters, control."""

import pytest

from agent.core.dataunit import DataUnit, decode_bodies, decode_data_unit, encode_bodies, encode_data_unit
from agent.core.editions import EDITIONS
from agent.core.errors import FieldError, LocalProtocolError, RemoteProtocolError
from agent.core.field import U16, Field, Layout

EDITION = EDITIONS["2016"]
EDITION_2025 = EDITIONS["2025"]
TIME = bytes((25, 3, 14, 9, 26, 53))
ENGINE = b"\x04\x01\x00\x64\x00\x7b"
ENGINE_VALUES = {"state": 1, "speed": 100, "fuel_consumption": 123}


def parts(unit: DataUnit) -> tuple[object, ...]:
    return unit.time, unit.values, unit.bodies, unit.rest


def test_a_report_keeps_its_bodies_in_their_order() -> None:
    unit = decode_data_unit(EDITION, 2, TIME + ENGINE + b"\x80\x00\x01x" + ENGINE)
    assert unit.bodies == [(4, ENGINE_VALUES), (0x80, {"hex": b"x"}), (4, ENGINE_VALUES)]


@pytest.mark.parametrize("type_id", [0x00, 0x0A, 0x2F, 0x30, 0x7F, 0xFF])
def test_everything_behind_an_unknown_body_is_kept(type_id: int) -> None:
    rest = bytes((type_id,)) + ENGINE
    unit = decode_data_unit(EDITION, 3, TIME + ENGINE + rest)
    assert parts(unit) == (TIME, None, [(4, ENGINE_VALUES)], rest)
    assert encode_data_unit(EDITION, 3, unit) == TIME + ENGINE + rest


def test_a_report_without_bodies_is_one() -> None:
    assert parts(decode_data_unit(EDITION, 2, TIME)) == (TIME, None, [], b"")


@pytest.mark.parametrize(
    ("command", "data", "reason"),
    [
        (2, TIME[:5], "data end inside the time"),
        (2, TIME + ENGINE[:-1], "data end inside engine"),
        (2, TIME + b"\x80\x00", "data end inside hex_length"),
        (2, TIME + b"\x80\x00\x02x", "data end inside hex"),
        (1, TIME + bytes(22) + b"\x01\x05abcd", "data end inside codes"),
        (0x81, TIME + b"\x01", "data end inside parameters"),
        (0x81, TIME + b"\x01\x11\x00", "parameter 11 has no known layout"),
        (0x81, TIME + b"\x01\x05abc", "no parameter 04 before 05 gives its length"),
        (0x81, TIME + b"\x02\x04\x03\x05ab", "data end inside parameter 05"),
    ],
)
def test_commands_that_break_their_layout_are_refused(command: int, data: bytes, reason: str) -> None:
    with pytest.raises(RemoteProtocolError, match=reason):
        decode_data_unit(EDITION, command, data)


@pytest.mark.parametrize("command", [1, 2, 3, 4, 0x80, 0x81, 0x82])
def test_an_answer_may_be_empty_or_the_time_alone(command: int) -> None:
    assert parts(decode_data_unit(EDITION, command, b"", 1)) == (b"", None, None, b"")
    assert parts(decode_data_unit(EDITION, command, TIME, 2)) == (TIME, None, None, b"")


def test_an_answer_may_repeat_the_whole_unit() -> None:
    assert decode_data_unit(EDITION, 2, TIME + ENGINE, 1).bodies == [(4, ENGINE_VALUES)]
    assert decode_data_unit(EDITION, 4, TIME + b"\x00\x03", 1).values == {"serial": 3}


def test_an_answer_that_follows_no_layout_is_kept() -> None:
    assert parts(decode_data_unit(EDITION, 4, b"\x01\x02\x03", 1)) == (b"", None, None, b"\x01\x02\x03")


def test_the_answer_to_time_sync_holds_the_time_of_the_platform() -> None:
    assert parts(decode_data_unit(EDITION, 8, TIME, 1)) == (TIME, None, None, b"")
    assert parts(decode_data_unit(EDITION, 8, b"")) == (b"", None, None, b"")


def test_an_unknown_command_is_kept_as_it_is() -> None:
    assert parts(decode_data_unit(EDITION, 0xC3, b"\x01\x02")) == (b"", None, None, b"\x01\x02")


def test_query_and_its_answer_have_different_rows() -> None:
    assert decode_data_unit(EDITION, 0x80, TIME + b"\x02\x02\x0a").values == {"ids": [2, 10]}
    assert decode_data_unit(EDITION, 0x80, TIME + b"\x01\x02\x00\x0a", 1).values == {"parameters": [(2, 10)]}


def test_a_domain_follows_its_length_wherever_that_stands() -> None:
    data = TIME + b"\x03\x04\x02\x06\x10\x92\x05ab"
    unit = decode_data_unit(EDITION, 0x81, data)
    assert unit.values == {"parameters": [(4, 2), (6, 4242), (5, b"ab")]}
    assert encode_data_unit(EDITION, 0x81, unit) == data


@pytest.mark.parametrize("parameters", [[(5, b"ab")], [(4, 3), (5, b"ab")], [(5, b"ab"), (4, 2)]])
def test_a_domain_without_its_right_length_before_it_is_not_sent(parameters: list[tuple[int, object]]) -> None:
    with pytest.raises(LocalProtocolError, match="parameter 04 before it must hold its length"):
        encode_data_unit(EDITION, 0x81, DataUnit(TIME, {"parameters": parameters}))


def test_a_parameter_outside_its_range_or_without_layout_is_not_sent() -> None:
    with pytest.raises(FieldError, match=r"report_period: raw value 601 is not in 1\.\.600"):
        encode_data_unit(EDITION, 0x81, DataUnit(TIME, {"parameters": [(2, 601)]}))
    with pytest.raises(LocalProtocolError, match="parameter 11 has no layout"):
        encode_data_unit(EDITION, 0x81, DataUnit(TIME, {"parameters": [(0x11, 1)]}))


@pytest.mark.parametrize("count", [0xFE, 0xFF])
def test_a_sentinel_count_of_parameters_is_kept(count: int) -> None:
    unit = decode_data_unit(EDITION, 0x80, TIME + bytes((count,)), 1)
    assert unit.values == {"parameters": count}
    assert encode_data_unit(EDITION, 0x80, unit, 1) == TIME + bytes((count,))


@pytest.mark.parametrize(
    ("data", "values"),
    [
        (b"\x02", {"control": 2, "arguments": b""}),
        (b"\x01a;b", {"control": 1, "arguments": b"a;b"}),
        (b"\x06", {"control": 6, "arguments": b""}),
        (b"\x06\x02", {"control": 6, "level": 2, "text": b""}),
        (b"\x06\xffSTOP", {"control": 6, "level": 255, "text": b"STOP"}),
    ],
)
def test_control_has_a_level_or_arguments(data: bytes, values: dict[str, object]) -> None:
    unit = decode_data_unit(EDITION, 0x82, TIME + data)
    assert unit.values == values
    assert encode_data_unit(EDITION, 0x82, unit) == TIME + data


def test_codes_are_as_long_as_their_length_says() -> None:
    login = {"serial": 1, "iccid": b"8" * 20, "code_length": 4}
    with pytest.raises(FieldError, match="codes"):
        encode_data_unit(EDITION, 1, DataUnit(TIME, login | {"codes": [b"PK01", b"PK2"]}))


LOGIN_2025 = {"serial": 1, "iccid": b"8" * 20}
PACK_1, PACK_2, PACK_3 = b"1" * 24, b"2" * 24, b"3" * 24


def test_codes_of_packs_stand_behind_the_counts_of_all_systems() -> None:
    data = TIME + b"\x00\x01" + b"8" * 20 + b"\x03\x01\x00\x02" + PACK_1 + PACK_2 + PACK_3
    unit = decode_data_unit(EDITION_2025, 1, data)
    assert unit.values == LOGIN_2025 | {"packs": [1, 0, 2], "codes": [PACK_1, PACK_2, PACK_3]}
    assert encode_data_unit(EDITION_2025, 1, unit) == data
    with pytest.raises(RemoteProtocolError, match="data end inside codes at offset 32"):
        decode_data_unit(EDITION_2025, 1, data[:-1])


@pytest.mark.parametrize(
    ("packs", "codes", "reason"),
    [
        ([2], [PACK_1], r"codes \(number\): raw value 1 is not in 2..2"),
        ([1], [PACK_1, PACK_2], r"codes \(number\): raw value 2 is not in 1..1"),
        ([1, 1], [PACK_1, PACK_2[1:]], r"codes \(length\): raw value 23 is not in 24..24"),
        ([51], [PACK_1] * 51, r"packs: raw value 51 is not in 0\.\.50"),
        ([0] * 21, [], r"management_systems: raw value 21 is not in 0\.\.20"),
    ],
)
def test_codes_of_packs_that_do_not_fit_their_counts_are_not_sent(
    packs: list[int], codes: list[bytes], reason: str
) -> None:
    with pytest.raises(FieldError, match=reason):
        encode_data_unit(EDITION_2025, 1, DataUnit(TIME, LOGIN_2025 | {"packs": packs, "codes": codes}))


def test_a_declared_body_has_rows_and_its_neighbours_have_bytes() -> None:
    seat = Layout("seat", (Field("pressure", U16, hi=9),))
    edition = EDITION_2025.with_declared({0x81: seat})
    data = b"\x81\x00\x05\x80\x00\x02\x00\x05\xff\x01\x00\x01r\x00\x00"
    expected = [(0x81, {"pressure": 5}), (0x80, {"hex": b"\x00\x05"}), (0xFF, {"algorithm": 1, "r": b"r", "s": b""})]
    assert decode_bodies(edition, data) == (expected, b"")
    assert encode_bodies(edition, expected) == data
    assert EDITION_2025.body(0x81) is EDITION_2025.user_body, "the edition itself is not changed"
    same = set(vars(EDITION_2025)) - {"declared"}
    assert {name: vars(edition)[name] for name in same} == {name: vars(EDITION_2025)[name] for name in same}


def test_bodies_and_fields_go_only_where_they_belong() -> None:
    with pytest.raises(LocalProtocolError, match="command 07 takes no fields"):
        encode_data_unit(EDITION, 7, DataUnit(b"", {"serial": 1}))
    with pytest.raises(LocalProtocolError, match="body type 0A has no layout in edition 2016"):
        encode_data_unit(EDITION, 2, DataUnit(TIME, None, [(0x0A, {})]))
