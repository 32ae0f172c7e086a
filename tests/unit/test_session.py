"""The session against packets that others made: answers are the printed ones, never our own encoder's."""

import pytest

from agent.core.edition2016 import EDITION
from agent.core.packet import Packet, epoch_of
from agent.core.session import LOGIN_TRIES, TRANSITIONS, Session, SessionSettings

# Packets of the published examples: a login, its answer in the short form, a heartbeat answer, a time answer.
LOGIN = bytes.fromhex(
    "232301FE4C5442544553543030303030303030323201001F120A1E10240000033839383630303030303030303030303030303232010131A2"
)
LOGIN_OK = bytes.fromhex("232301014C54425445535430303030303030303232010006120A1E10240079")
VIN = b"LTBTEST0000000022"
ICCID = b"89860000000000000022"
AT = epoch_of(bytes((0x12, 0x0A, 0x1E, 0x10, 0x24, 0x00)))


def answer(command: int, flag: int, unit: str = "", vin: bytes = VIN, start: str = "2323") -> bytes:
    """A packet typed by hand: the check code is a plain byte loop."""
    body = bytes((command, flag)) + vin + b"\x01" + (len(unit) // 2).to_bytes(2, "big") + bytes.fromhex(unit)
    check = 0
    for byte in body:
        check ^= byte
    return bytes.fromhex(start) + body + bytes((check,))


@pytest.fixture
def session() -> Session:
    return Session(EDITION, VIN, ICCID, [b"1"], SessionSettings())


@pytest.fixture
def logged_in(session: Session) -> Session:
    session.connected(now=0, wall_s=AT, serial=3)
    session.data_to_send()
    assert session.receive(LOGIN_OK, now=100) == [("logged_in",)]
    return session


def test_a_link_is_greeted_with_the_printed_login(session):
    session.connected(now=0, wall_s=AT, serial=3)
    assert session.data_to_send() == LOGIN
    assert session.data_to_send() == b""


@pytest.mark.parametrize(
    "shape",
    [
        LOGIN_OK,
        answer(1, 1, "19030E091A35" + LOGIN[30:-1].hex()),  # long form: the platform's time, the rest as it was
        answer(1, 1),  # nothing at all
    ],
    ids=["time only", "whole unit", "empty"],
)
def test_every_shape_of_a_good_answer_logs_in(session, shape):
    session.connected(now=0, wall_s=AT, serial=3)
    assert session.receive(shape, now=5) == [("logged_in",)]
    assert session.logged_in_at == 5


def test_an_unanswered_login_is_repeated_after_a_minute_with_the_next_serial(session):
    session.connected(now=0, wall_s=AT, serial=3)
    session.data_to_send()
    assert session.deadline() == 60_000
    assert session.handle_timeout(now=59_999, wall_s=AT, serial=4) == []
    assert session.handle_timeout(now=60_000, wall_s=AT + 60, serial=4) == [("login_failed", None, 1)]
    again = Packet(session.data_to_send())
    assert (again.command, epoch_of(again.unit), again.unit[6:8]) == (1, AT + 60, b"\x00\x04")


def test_three_logins_in_vain_mean_the_long_wait(session):
    session.connected(now=0, wall_s=AT, serial=1)
    events = []
    for minute in range(1, LOGIN_TRIES + 1):
        events += session.handle_timeout(now=60_000 * minute, wall_s=AT, serial=1 + minute)
    assert events == [
        ("login_failed", None, 1),
        ("login_failed", None, 2),
        ("login_failed", None, 3),
        ("login_wait", 1_800_000),
    ]
    assert session.state == "offline"
    assert session.deadline() is None


@pytest.mark.parametrize("flag", [2, 3, 7])
def test_a_refused_login_is_a_failed_one_and_waits_its_minute(session, flag):
    session.connected(now=0, wall_s=AT, serial=1)
    session.data_to_send()
    assert session.receive(answer(1, flag), now=10) == [("login_failed", flag, 1)]
    assert session.data_to_send() == b""
    assert session.deadline() == 60_000
    assert session.handle_timeout(now=60_000, wall_s=AT, serial=2) == []
    assert Packet(session.data_to_send()).command == 1


def test_two_answers_to_one_login_are_one_failure(session):
    session.connected(now=0, wall_s=AT, serial=1)
    assert session.receive(answer(1, 2) + answer(1, 3), now=10) == [("login_failed", 2, 1), ("login_failed", 3, 1)]


@pytest.mark.parametrize("ends", ["the long wait", "a login"])
def test_failed_logins_count_anew_after(session, ends):
    session.connected(now=0, wall_s=AT, serial=1)
    tries = LOGIN_TRIES if ends == "the long wait" else LOGIN_TRIES - 1
    for minute in range(1, tries + 1):
        session.handle_timeout(now=60_000 * minute, wall_s=AT, serial=1)
    if ends == "a login":
        assert session.receive(LOGIN_OK, now=130_000) == [("logged_in",)]
    session.lost()
    session.connected(now=2_000_000, wall_s=AT, serial=9)
    assert session.handle_timeout(now=2_060_000, wall_s=AT, serial=10) == [("login_failed", None, 1)]


def test_half_a_packet_of_one_link_does_not_reach_into_the_next(session):
    session.connected(now=0, wall_s=AT, serial=1)
    assert session.receive(LOGIN_OK[:-1], now=1) == []
    session.lost()
    session.connected(now=2, wall_s=AT, serial=2)
    assert session.receive(LOGIN_OK, now=3) == [("logged_in",)]
    assert session.noise() == (0, 0)


def test_a_login_cut_short_by_the_link_is_not_counted(session):
    for _ in range(5):
        session.connected(now=0, wall_s=AT, serial=1)
        session.lost()
    session.connected(now=0, wall_s=AT, serial=1)
    assert session.handle_timeout(now=60_000, wall_s=AT, serial=2)[-1] != ("login_wait", 1_800_000)


def test_a_late_answer_still_logs_in(session):
    session.connected(now=0, wall_s=AT, serial=1)
    session.receive(answer(1, 2), now=10)
    assert session.receive(LOGIN_OK, now=20) == [("logged_in",)]


def test_heartbeats_go_only_into_silence(logged_in):
    logged_in.report(2, b"##", VIN, AT, b"", now=30_000)
    assert logged_in.deadline() == 90_000
    logged_in.handle_timeout(now=90_000, wall_s=AT, serial=0)
    assert logged_in.data_to_send() == answer(7, 0xFE)
    assert logged_in.deadline() == 150_000
    assert logged_in.receive(answer(7, 1), now=90_100) == [("answer", 7, None, 1)]
    assert logged_in.data_to_send() == b""  # an answer is never answered


def test_logout_carries_the_serial_of_its_login(logged_in):
    logged_in.logout(now=500, wall_s=AT + 9)
    out = Packet(logged_in.data_to_send())
    assert (out.command, epoch_of(out.unit), out.unit[6:]) == (4, AT + 9, b"\x00\x03")


def test_the_platforms_time_comes_as_an_event(logged_in):
    logged_in.time_sync(now=200)
    assert logged_in.data_to_send() == answer(8, 0xFE)
    assert logged_in.receive(answer(8, 1, "120A1E102405"), now=300) == [("time", AT + 5, 1)]
    assert logged_in.receive(answer(8, 2), now=300) == [("time", None, 2)]


def test_answers_to_reports_name_command_time_and_flag(logged_in):
    data = answer(2, 1, "120A1E102400") + answer(3, 2, "120A1E102401") + answer(2, 1)
    assert logged_in.receive(data, now=1) == [("answer", 2, AT, 1), ("answer", 3, AT + 1, 2), ("answer", 2, None, 1)]


def test_what_is_not_for_us_is_ignored_with_a_reason(logged_in):
    strange = [
        answer(1, 1),  # nobody waits for it
        answer(2, 1, vin=b"LTBTEST0000000099"),
        answer(2, 1, start="2424"),
        answer(0x55, 1),
        answer(5, 0xFE),  # a platform login, from a platform
    ]
    events = [event for packet in strange for event in logged_in.receive(packet, now=1)]
    assert [event[0] for event in events] == ["ignored"] * 5
    assert logged_in.data_to_send() == b""


def test_answers_for_rows_of_an_earlier_vin_are_heard(logged_in):
    earlier = b"LTBTEST0000000099"
    late = answer(3, 1, "120A1E102400", vin=earlier)
    assert logged_in.receive(late, now=1)[0][0] == "ignored"
    logged_in.report(3, b"##", earlier, AT, b"", now=1)
    assert logged_in.receive(late, now=2) == [("answer", 3, AT, 1)]


def test_settings_and_controls_are_refused_and_nothing_changes(logged_in):
    set_period = answer(0x81, 0xFE, "120A1E102400" + "01" + "020005")
    assert logged_in.receive(set_period, now=1)[0][0] == "command"
    assert logged_in.data_to_send() == answer(0x81, 2, "120A1E102400")


def test_noise_between_answers_is_skipped_and_counted(session):
    session.connected(now=0, wall_s=AT, serial=3)
    damaged = LOGIN_OK[:-1] + b"\x00"
    assert session.receive(b"\x00#\xff" + damaged, now=1) == []
    assert session.receive(LOGIN_OK, now=2) == [("logged_in",)]
    assert session.noise() == (3 + len(damaged), 1)


def test_every_transition_leads_to_a_state_that_a_lost_link_ends():
    states = {state for state, _ in TRANSITIONS} | set(TRANSITIONS.values())
    assert all(TRANSITIONS.get((state, "lost")) == "offline" for state in states)
