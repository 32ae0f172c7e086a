"""What the platform answers, byte for byte against the printed packets."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agent.core.packet import COMMAND, Packet, bcc, build_packet, epoch_of
from bench.answers import ERROR, POLICIES, answer
from bench.arrival import Arrival, inspect

VECTORS = {
    vector["name"]: bytes.fromhex(vector["hex"])
    for vector in json.loads((Path(__file__).parents[1] / "vectors/packets_2016.json").read_text(encoding="utf-8"))
}
LOGIN = VECTORS["I2 vehicle login, one storage subsystem"]
REALTIME = VECTORS["W3 realtime, bodies 01 02 05 06 07 08 09"]
REISSUE = VECTORS["W4 reissue, bodies 03 04 80"]
# 2025-03-14 09:27:01 in Beijing: the server time of the printed time sync answer
NOW_S = epoch_of(bytes.fromhex("19030E091B01"))


def arrived(raw: bytes) -> Arrival:
    return inspect(raw, link=1, received_ms=NOW_S * 1000, monotonic_ns=0)


def remade(raw: bytes, **changes: object) -> bytes:
    packet = Packet(raw)
    parts = {name: getattr(packet, name) for name in ("start", "command", "response", "vin", "encryption", "unit")}
    return build_packet(*{**parts, **changes}.values())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("I2 vehicle login, one storage subsystem", "I2 answer, short form"),
        ("I4 heartbeat", "I4 answer"),
        ("I5 vehicle logout", "I5 answer, short form"),
        ("W1 vehicle login, two storage subsystems", "W2 answer to W1, short form"),
        ("W6 heartbeat", "W6 answer"),
    ],
)
@pytest.mark.parametrize("policy", ["annex-b", "each"])
def test_short_answers_are_the_printed_ones(policy: str, command: str, expected: str) -> None:
    assert answer(POLICIES[policy], arrived(VECTORS[command]), 0) == VECTORS[expected]


@pytest.mark.parametrize("policy", ["annex-b", "each", "long"])
def test_time_sync_is_answered_with_the_platforms_time(policy: str) -> None:
    request = remade(VECTORS["W6 heartbeat"], command=0x08)
    assert answer(POLICIES[policy], arrived(request), 0) == VECTORS["W7 time sync answer"]


def test_long_answer_changes_flag_time_and_check_code_only() -> None:
    reply = answer(POLICIES["long"], arrived(LOGIN), 0)
    assert reply is not None
    assert len(reply) == 56
    assert reply[3] == 0x01
    assert reply[24:30] == bytes.fromhex("19030E091B01")
    assert reply[:3] + reply[4:24] + reply[30:-1] == LOGIN[:3] + LOGIN[4:24] + LOGIN[30:-1]
    assert reply[-1] == bcc(reply[2:-1])


@pytest.mark.parametrize("raw", VECTORS.values(), ids=VECTORS)
def test_empty_answer_is_a_header_and_a_check_code(raw: bytes) -> None:
    reply = answer(POLICIES["empty"], arrived(raw), 1)
    if raw[3] == COMMAND:
        assert reply is not None
        assert len(reply) == 25
        assert reply[2:3] + reply[4:22] == raw[2:3] + raw[4:22]
    else:
        assert reply is None


@pytest.mark.parametrize("policy", POLICIES)
def test_an_answer_is_never_answered(policy: str) -> None:
    for raw in VECTORS.values():
        if raw[3] != COMMAND:
            assert answer(POLICIES[policy], arrived(raw), 1) is None


def test_silent_answers_nothing_at_all() -> None:
    silent = replace(POLICIES["silent"], refuse_login=3, error_every=1)
    assert [answer(silent, arrived(raw), 1) for raw in VECTORS.values()] == [None] * len(VECTORS)


@pytest.mark.parametrize("report", [REALTIME, REISSUE], ids=["realtime", "reissue"])
def test_annex_b_keeps_silent_on_a_good_report_and_each_answers_its_time(report: bytes) -> None:
    assert answer(POLICIES["annex-b"], arrived(report), 1) is None
    reply = Packet(answer(POLICIES["each"], arrived(report), 1) or b"")
    assert (reply.command, reply.response, reply.unit) == (report[2], 1, report[24:30])


def test_a_report_outside_its_range_is_answered_with_an_error_and_its_time() -> None:
    bad = bytearray(Packet(REALTIME).unit)
    bad[7] = 9  # vehicle state: 1..3
    reply = Packet(answer(POLICIES["annex-b"], arrived(remade(REALTIME, unit=bytes(bad))), 1) or b"")
    assert (reply.command, reply.response, reply.unit) == (0x02, ERROR, REALTIME[24:30])


def test_a_faulty_login_is_ignored() -> None:
    for policy in POLICIES.values():
        assert answer(policy, arrived(remade(LOGIN, unit=Packet(LOGIN).unit[:-1])), 0) is None


@pytest.mark.parametrize("flag", [2, 3])
def test_refused_login_carries_the_flag(flag: int) -> None:
    refusing = replace(POLICIES["annex-b"], refuse_login=flag)
    reply = answer(refusing, arrived(LOGIN), 0)
    assert reply is not None
    assert reply[3] == flag
    assert answer(refusing, arrived(VECTORS["W6 heartbeat"]), 0) == VECTORS["W6 answer"]


def test_every_third_report_gets_an_error_also_where_good_ones_get_none() -> None:
    policy = replace(POLICIES["annex-b"], error_every=3)
    replies = [answer(policy, arrived(REALTIME), number) for number in range(1, 7)]
    assert [reply[3] if reply else None for reply in replies] == [None, None, ERROR, None, None, ERROR]


def test_an_encrypted_report_is_answered_plain() -> None:
    reply = Packet(answer(POLICIES["each"], arrived(remade(REALTIME, encryption=3)), 1) or b"")
    assert (reply.response, reply.encryption, reply.unit) == (ERROR, 1, b"")
