"""What the platform answers, byte for byte against the printed packets."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agent.core.errors import RemoteProtocolError
from agent.core.packet import COMMAND, Packet, PacketReader, bcc, build_packet, epoch_of
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


# -- 2025 --------------------------------------------------------------------------------------------------------------

# The printed realtime report of 2026-01-08 07:06:10 is signed; these are the answers to it, and to an activation.
SIGNATURE_ERROR = bytes.fromhex("242402054C474254455354303030303030303031370100061A010807060A41")
TIME_2025 = bytes.fromhex("1A010807060A")
VIN = b"LGBTEST0000000017"
ENGINE = b"\x04\x03\xe8"


def report_2025(unit: bytes = TIME_2025 + ENGINE, start: bytes = b"$$", encryption: int = 1) -> bytes:
    return build_packet(start, 2, COMMAND, VIN, encryption, unit)


class Keys:
    """Finds every signature wrong and opens what is encrypted with 3 by turning it round."""

    def verify(self, vin: bytes, unit: bytes, signed: int, signature: object) -> str:
        return "wrong"

    def open(self, vin: bytes, encryption: int, unit: bytes) -> bytes:
        if encryption != 3:
            raise RemoteProtocolError("no key", "6.2", 0)
        return unit[::-1]


def test_a_signature_error_is_answered_as_printed() -> None:
    arrival = inspect(report_2025(), 1, NOW_S * 1000, 0, checker=Keys())
    assert answer(POLICIES["annex-b"], arrival, 1) == SIGNATURE_ERROR


@pytest.mark.parametrize(
    ("unit", "encryption", "in_2025"),
    [
        (TIME_2025 + b"\x04\x03", 1, 6),  # ends inside a body
        (TIME_2025, 1, 6),  # no body
        (TIME_2025 + b"\x33", 1, 6),  # no layout
        (b"\x1a\x0d" + TIME_2025[2:] + ENGINE, 1, 6),  # month 13
        (
            TIME_2025 + b"\x05\x00\x09" + bytes(8),
            1,
            2,
        ),  # coordinate system 9: can be read, says nothing that is allowed
        (TIME_2025 + ENGINE, 3, 7),
    ],
    ids=["cut", "no body", "unknown body", "month", "range", "encrypted"],
)
def test_the_error_says_what_is_wrong_where_the_edition_has_words_for_it(
    unit: bytes, encryption: int, in_2025: int
) -> None:
    for start, flag in ((b"$$", in_2025), (b"##", ERROR)):
        reply = answer(POLICIES["annex-b"], arrived(report_2025(unit, start, encryption)), 1)
        assert reply is not None
        assert (reply[:2], reply[3]) == (start, flag)


def test_an_opened_report_is_answered_with_the_time_inside() -> None:
    arrival = inspect(report_2025((TIME_2025 + ENGINE)[::-1], encryption=3), 1, NOW_S * 1000, 0, opener=Keys())
    reply = Packet(answer(POLICIES["each"], arrival, 1) or b"")
    assert (arrival.fault, reply.response, reply.encryption, reply.unit) == (None, 1, 1, TIME_2025)
    closed = inspect(report_2025(encryption=5), 1, NOW_S * 1000, 0, opener=Keys())
    assert answer(POLICIES["annex-b"], closed, 1) == build_packet(b"$$", 2, 7, VIN, 1, b"")


@pytest.mark.parametrize(("policy", "long"), [("long", False), ("echo", True)])
def test_long_answers_are_of_2016_unless_echoed(policy: str, long: bool) -> None:
    reply = Packet(answer(POLICIES[policy], arrived(report_2025()), 1) or b"")
    assert reply.unit == (bytes.fromhex("19030E091B01") + ENGINE if long else TIME_2025)


# -- faults ------------------------------------------------------------------------------------------------------------


def faulty(raw: bytes = LOGIN, **faults: object) -> bytes:
    return answer(replace(POLICIES["each"], **faults), arrived(raw), 1) or b""  # type: ignore[arg-type]


def test_answers_of_another_vehicle_or_edition_are_whole_packets_all_the_same() -> None:
    vin, edition = Packet(faulty(wrong_vin=True)), Packet(faulty(wrong_edition=True))
    assert vin.vin != Packet(LOGIN).vin
    assert (vin.start, edition.start, edition.vin) == (b"##", b"$$", Packet(LOGIN).vin)
    assert vin.bcc_ok
    assert edition.bcc_ok


def test_the_longest_answer_there_is() -> None:
    packet = Packet(faulty(huge=True))
    assert (packet.unit, packet.bcc_ok, packet.response) == (b"\xff" * 65_531, True, 1)


def test_an_answer_nobody_waits_for_stands_behind_the_right_one() -> None:
    first, second = PacketReader().feed(faulty(unasked=True))
    assert first == faulty()
    packet = Packet(second)
    assert (packet.command, packet.response, packet.vin) == (2, 1, Packet(LOGIN).vin)


@pytest.mark.parametrize(("offset", "year"), [(3 * 365 * 86400, 28), (-5 * 365 * 86400, 20), (10**10, 25)])
def test_the_platforms_clock_can_be_wrong(offset: int, year: int) -> None:
    request = remade(VECTORS["W6 heartbeat"], command=0x08)
    assert Packet(faulty(request, clock_offset_s=offset)).unit[0] == year


@pytest.mark.parametrize("flag", [2, 4, 5, 7])
def test_the_error_of_every_nth_report_can_be_chosen_where_the_edition_has_it(flag: int) -> None:
    policy = replace(POLICIES["annex-b"], error_every=1, error_flag=flag)
    replies = [answer(policy, arrived(raw), 1) or b"" for raw in (report_2025(), REALTIME)]
    assert [reply[3] for reply in replies] == [flag, ERROR]
