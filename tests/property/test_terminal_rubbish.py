"""Any bytes into the terminal: it never raises, what it says is bounded, and what it agrees to stands in the tables."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import values as rows_of

from agent.core.edition2016 import EDITION as EDITION_2016
from agent.core.edition2025 import EDITION as EDITION_2025
from agent.core.field import Field
from agent.core.hostname import is_host_name
from agent.core.terminal import CONTROL, ERROR, QUERY, SET, SUCCESS, Permissions, Terminal
from agent.core.upgradeorder import ORDERS, UpgradeOrderError, read_upgrade

EDITIONS = pytest.mark.parametrize("edition", [EDITION_2016, EDITION_2025])
VALUES = {
    **dict.fromkeys((1, 3, 9, 0x0A, 0x0B, 0x0C, 0x10), 1),
    2: 10,
    4: 1,
    5: b"a",
    6: 80,
    7: b"HW1\0\0",
    8: b"0.1.0",
    0x0D: 0,
    0x0E: b"",
    0x0F: 0xFFFF,
}
TIME = bytes(6)


def terminal(edition):
    return Terminal(edition, dict(VALUES), Permissions(True, (b"a.b:80",), tuple(range(1, 7))))


def check(edition, command, unit, authenticated):
    judge = terminal(edition)
    reply = judge.respond(command, unit, authenticated)
    assert reply.flag in (None, SUCCESS, ERROR)
    assert judge.values == VALUES
    assert len(reply.reason) < 1000
    if reply.flag != SUCCESS:
        assert reply.reason
        assert (reply.values, reply.action) == (None, ())
    elif command == QUERY:
        encoded = edition.commands[QUERY].answer.encode(reply.values)
        assert edition.commands[QUERY].answer.decode(encoded) == (reply.values, len(encoded))
    elif command == SET:
        for number, value in reply.action[1].items():
            row = edition.parameters[number]
            assert number not in (7, 8)
            assert row.lo <= value <= row.hi if isinstance(row, Field) else is_host_name(value)
        assert reply.action[1].get(5, b"a") in (b"a", b"a.b")
    return reply


@EDITIONS
@given(st.integers(0, 255), st.binary(max_size=300), st.booleans())
@example(SET, b"\xff" * 65_531, True)
@example(CONTROL, TIME + b"\x01" + b";" * 65_524, True)
def test_any_bytes_under_any_command(edition, command, unit, authenticated):
    check(edition, command, unit, authenticated)


@EDITIONS
@given(st.sampled_from([QUERY, SET, CONTROL]), st.binary(max_size=300), st.booleans())
def test_any_bytes_behind_a_time(edition, command, rows, authenticated):
    check(edition, command, TIME + rows, authenticated)


@EDITIONS
@given(st.data())
def test_sets_and_controls_that_the_tables_can_write(edition, data):
    command = data.draw(st.sampled_from([QUERY, SET, CONTROL]))
    layout = edition.commands[command].layout
    unit = TIME + layout.encode(data.draw(rows_of(layout, legal=data.draw(st.booleans()))), strict=False)
    check(edition, command, unit, data.draw(st.booleans()))
    cut = data.draw(st.integers(0, len(unit)))
    check(edition, command, unit[:cut], True)
    at = data.draw(st.integers(0, len(unit) - 1))
    check(edition, command, unit[:at] + bytes((data.draw(st.integers(0, 255)),)) + unit[at + 1 :], True)


@EDITIONS
@given(st.lists(st.integers(1, 0xFE), max_size=252))
def test_a_query_names_each_known_id_once_with_lengths_first(edition, asked):
    reply = check(edition, QUERY, TIME + bytes((len(asked),)) + bytes(asked), False)
    given_ids = [number for number, _ in reply.values["parameters"]]
    assert len(set(given_ids)) == len(given_ids)
    wanted = [number for number in asked if number in VALUES]
    assert set(wanted) <= set(given_ids) <= set(wanted) | {4, 0x0D}
    firsts = sorted(set(wanted), key=wanted.index)
    assert [number for number in given_ids if number in wanted and number not in (4, 0x0D)] == [
        number for number in firsts if number not in (4, 0x0D)
    ]
    for domain, length in ((5, 4), (0x0E, 0x0D)):
        if domain in given_ids:
            assert given_ids.index(length) < given_ids.index(domain)


texts = st.binary(max_size=12).filter(lambda text: b";" not in text and b"://" not in text)
words = st.text("ABCxyz0189._-", max_size=5).map(str.encode)
words16 = st.integers(0, 60_000)
orders = st.fixed_dictionaries(
    {
        "url": st.text("abc/:?=&$()'0", max_size=30).map(lambda rest: b"https://h" + rest.encode()),
        "apn": texts,
        "user": texts,
        "password": texts,
        "address": st.one_of(st.just(b""), st.binary(min_size=4, max_size=4).map(lambda ip: b"\0\0" + ip)),
        "port": st.one_of(st.none(), words16),
        "maker": st.sampled_from([b"", b"AB12"]),
        "hardware_version": words,
        "firmware_version": words,
        "minutes": st.one_of(st.none(), words16),
    }
)


@given(orders, st.sampled_from(ORDERS))
def test_an_order_is_read_back_or_called_ambiguous(order, names):
    """Whatever the binary fields hold: never another reading."""
    fields = {name: b"" if value is None else value for name, value in order.items()}
    fields |= {name: value.to_bytes(2, "big") for name, value in order.items() if isinstance(value, int)}
    try:
        found = read_upgrade(b";".join(fields[name] for name in names))
    except UpgradeOrderError as error:
        assert "two ways" in str(error)  # noqa: PT017 - both outcomes are good
        return
    trimmed = {name: value.rstrip(b"\0 ") if isinstance(value, bytes) else value for name, value in order.items()}
    assert found == trimmed | {"address": order["address"]}


@given(st.binary(max_size=200).map(lambda noise: noise.replace(b"a", b";").replace(b"b", b"://")))
def test_any_bytes_are_an_order_or_not(arguments):
    try:
        found = read_upgrade(arguments)
    except UpgradeOrderError:
        return
    assert set(found) == set(ORDERS[0])
