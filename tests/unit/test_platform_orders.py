"""Which command goes to which vehicle when. Pure: time is what the test says."""

import json

import pytest

from agent.core.dataunit import decode_data_unit
from agent.core.editions import EDITIONS
from agent.core.packet import COMMAND, Packet, build_packet, epoch_of
from agent.errors import ConfigError
from bench.orders import Line, Order, OrderBook, read_lines, read_question

VIN, OTHER = b"LGBTEST0000000017", b"LGBTEST0000000018"
WALL_S = 1_767_827_170
MINUTE = 60_000


def book(*lines: dict[str, object] | Line, timeout_ms: int = 5_000) -> OrderBook:
    made = [line if isinstance(line, Line) else read_lines("script", [json.dumps(line)])[0] for line in lines]
    return OrderBook(made, timeout_ms)


def answer(order: Order, flag: int = 1) -> Packet:
    packet = Packet(order.packet)
    return Packet(build_packet(packet.start, packet.command, flag, packet.vin, 1, packet.unit[:6]))


QUERY: dict[str, object] = {"command": "parameter_query", "ids": [1, 2]}
DROP: dict[str, object] = {"command": "control", "control": 5, "arguments": ""}


@pytest.mark.parametrize(("start", "edition"), [(b"##", "2016"), (b"$$", "2025")])
def test_a_line_becomes_a_packet_of_the_edition_and_vin_of_whoever_logged_in(start: bytes, edition: str) -> None:
    orders = book(QUERY)
    orders.logged_in(VIN, start, 0)
    (order,) = orders.take(0, WALL_S)
    packet = Packet(order.packet)
    assert (packet.start, packet.command, packet.response, packet.vin, packet.encryption) == (
        start,
        0x80,
        COMMAND,
        VIN,
        1,
    )
    assert epoch_of(packet.unit) == WALL_S
    assert decode_data_unit(EDITIONS[edition], 0x80, packet.unit).values == {"ids": [1, 2]}


def test_one_command_at_a_time_and_each_vehicle_gets_each_line_once() -> None:
    orders = book(QUERY, DROP)
    for vin in (VIN, OTHER):
        orders.logged_in(vin, b"##", 0)
    first = orders.take(0, WALL_S)
    assert [(order.vin, order.command) for order in first] == [(VIN, 0x80), (OTHER, 0x80)]
    assert orders.take(10, WALL_S) == []
    done = orders.answered(answer(first[0], 2), 30)
    assert done is first[0]
    assert (done.answer_ms, done.flag) == (30, 2)
    (second,) = orders.take(30, WALL_S)
    assert (second.vin, second.command) == (VIN, 0x82)
    orders.answered(answer(second), 40)
    orders.logged_in(VIN, b"##", 50)
    assert orders.take(50, WALL_S) == []


def test_an_answer_to_something_else_ends_no_order() -> None:
    orders = book(QUERY)
    orders.logged_in(VIN, b"##", 0)
    (order,) = orders.take(0, WALL_S)
    for start, command, vin in ((b"##", 0x81, VIN), (b"$$", 0x80, VIN), (b"##", 0x80, OTHER)):
        assert orders.answered(Packet(build_packet(start, command, 1, vin, 1, b"")), 1) is None
    assert orders.answered(answer(order), 1) is order
    assert orders.answered(answer(order), 1) is None


@pytest.mark.parametrize(("line", "wait"), [(QUERY, 5_000), (DROP, MINUTE)], ids=["query", "control"])
def test_what_nobody_answers_goes_out_three_times_more_with_the_same_bytes(line: dict[str, object], wait: int) -> None:
    orders = book(line)
    orders.logged_in(VIN, b"##", 0)
    sent = []
    for number in range(4):
        assert orders.take(number * wait - 1, WALL_S) == []
        sent += orders.take(number * wait, WALL_S + number)
        assert orders.deadline() == (number + 1) * wait
    assert orders.take(4 * wait, WALL_S) == []
    assert [order.sends for order in sent] == [4] * 4  # one and the same order
    assert (orders.lapsed, orders.deadline()) == ([sent[0]], None)


def test_a_script_waits_for_login_or_report_and_then_its_seconds() -> None:
    late = {**QUERY, "after_s": 2.5}
    report = {**DROP, "on": "report", "vin": VIN.decode()}
    orders = book(late, report)
    orders.reported(VIN, 0)  # nobody is logged in
    for vin in (VIN, OTHER):
        orders.logged_in(vin, b"$$", 100)
        orders.reported(vin, 200)
    assert [(order.vin, order.command) for order in orders.take(200, WALL_S)] == [(VIN, 0x82)]
    assert orders.deadline() == 2_600
    assert [(order.vin, order.command) for order in orders.take(2_600, WALL_S)] == [(OTHER, 0x80)]


def test_a_vehicle_that_left_gets_its_commands_when_it_is_back() -> None:
    orders = book(QUERY)
    orders.logged_in(VIN, b"##", 0)
    orders.left(VIN)
    assert (orders.take(0, WALL_S), orders.deadline()) == ([], None)
    orders.logged_in(VIN, b"##", 100)
    (order,) = orders.take(100, WALL_S)
    orders.left(VIN)
    assert orders.take(10_000, WALL_S) == []
    orders.logged_in(VIN, b"##", 10_000)
    assert orders.take(10_000, WALL_S) == [order]
    assert order.sends == 2


def test_a_line_that_comes_later_reaches_who_is_here_and_who_comes() -> None:
    orders = book()
    orders.logged_in(VIN, b"##", 0)
    orders.add(read_question("query 1"), 10)
    assert [order.vin for order in orders.take(10, WALL_S)] == [VIN]
    orders.logged_in(OTHER, b"##", 20)
    assert [order.vin for order in orders.take(20, WALL_S)] == [OTHER]


def test_what_an_edition_has_not_is_refused_for_its_vehicle_alone() -> None:
    orders = book({"command": "parameter_set", "parameters": [{"id": 2, "value": 600}]})
    orders.logged_in(VIN, b"##", 0)
    orders.logged_in(OTHER, b"$$", 0)
    assert [order.vin for order in orders.take(0, WALL_S)] == [VIN]
    ((vin, _, problem),) = orders.refused
    assert (vin, "1 to 30" in problem) == (OTHER, True)


@pytest.mark.parametrize(
    ("text", "command", "unit"),
    [
        ("query 1 2 0x0A", 0x80, "03 01 02 0A"),
        ("set 2=5", 0x81, "01 02 {period}"),
        ("set 5=example.org 6=1234", 0x81, "03 04 0B 05 6578616D706C652E6F7267 06 04D2"),
        ("set 7=v1.00", 0x81, "01 07 76312E3030"),
        ("control 5", 0x82, "05"),
        ("control 6 2 hot", 0x82, "06 02 686F74"),
        ("control 1 ftp://x;a", 0x82, "01 6674703A2F2F783B61"),
    ],
)
def test_questions_are_the_bytes_of_the_tables(text: str, command: int, unit: str) -> None:
    for start, period in ((b"##", "0005"), (b"$$", "05")):
        packet = Packet(read_question(text).packet(VIN, start, WALL_S))
        assert packet.command == command
        assert packet.unit[6:] == bytes.fromhex(unit.replace("{period}", period))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "query ID..., set ID=VALUE... or control ID"),
        ("query", "query ID"),
        ("query x", "a number is needed"),
        ("set 2", "ID=VALUE is needed"),
        ("set 2=900", "1 to 600"),
        ("set 99=1", "no layout"),
        ("control 300", "allowed"),
        ("reboot", "control ID"),
    ],
)
def test_a_question_that_is_none_says_what_is_needed(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_question(text)


def test_every_fault_of_a_script_is_named_with_its_line() -> None:
    texts = [
        "{",
        "",
        json.dumps(QUERY),
        "[]",
        json.dumps({**QUERY, "on": "noon"}),
        json.dumps({**QUERY, "after_s": -1}),
        json.dumps({**QUERY, "vin": "short"}),
        json.dumps({"command": "parameter_query", "ids": [0]}),
        json.dumps({"command": "nothing"}),
    ]
    with pytest.raises(ConfigError) as caught:
        read_lines("script", texts)
    lines = {int(fault.split(":")[0].removeprefix("line ")) for fault in caught.value.faults}
    assert lines == {1, 4, 5, 6, 7, 8, 9}


@pytest.mark.parametrize("text", ["query 01", "set 02=5", "control x", "control 6 08"])
def test_a_question_with_a_number_that_is_none_says_how_numbers_are_written(text):
    with pytest.raises(ConfigError, match="a number is needed, 10 or 0x0A"):
        read_question(text)
