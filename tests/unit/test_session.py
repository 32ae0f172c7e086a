"""The session against packets that others made: answers are the printed ones, never our own encoder's."""

from pathlib import Path

import pytest

from agent.core.delivery import Delivery
from agent.core.edition2016 import EDITION
from agent.core.edition2016 import EDITION as EDITION_2016
from agent.core.edition2025 import EDITION as EDITION_2025
from agent.core.packet import Packet, epoch_of
from agent.core.session import LOGIN_TRIES, MAX_ANSWER, TRANSITIONS, Session, SessionSettings
from agent.sessiondiagram import diagram

# Packets of the published examples: a login, its answer in the short form, a heartbeat answer, a time answer.
LOGIN = bytes.fromhex(
    "232301FE4C5442544553543030303030303030323201001F120A1E10240000033839383630303030303030303030303030303232010131A2"
)
LOGIN_OK = bytes.fromhex("232301014C54425445535430303030303030303232010006120A1E10240079")
VIN = b"LTBTEST0000000022"
ICCID = b"89860000000000000022"
LOGIN_VALUES = {"iccid": ICCID, "codes": [b"1"], "code_length": 1}
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
    return Session(EDITION, VIN, LOGIN_VALUES, SessionSettings())


@pytest.fixture
def logged_in(session: Session) -> Session:
    session.connected(now=0, wall_s=AT, serial=3)
    session.data_to_send()
    assert session.receive(LOGIN_OK, now=100, wall_s=AT) == [("logged_in",)]
    return session


def spoken_to(edition) -> Session:
    """A session of either edition that is logged in."""
    start = edition.start.hex()
    login = LOGIN_VALUES if edition is EDITION_2016 else {"iccid": ICCID, "packs": [], "codes": []}
    session = Session(edition, VIN, login, SessionSettings())
    session.connected(now=0, wall_s=AT, serial=1)
    assert session.receive(answer(1, 1, start=start), now=0, wall_s=AT) == [("logged_in",)]
    session.data_to_send()
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
    assert session.receive(shape, now=5, wall_s=AT) == [("logged_in",)]
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
    assert session.receive(answer(1, flag), now=10, wall_s=AT) == [("login_failed", flag, 1)]
    assert session.data_to_send() == b""
    assert session.deadline() == 60_000
    assert session.handle_timeout(now=60_000, wall_s=AT, serial=2) == []
    assert Packet(session.data_to_send()).command == 1


def test_two_answers_to_one_login_are_one_failure(session):
    session.connected(now=0, wall_s=AT, serial=1)
    assert session.receive(answer(1, 2) + answer(1, 3), now=10, wall_s=AT) == [
        ("login_failed", 2, 1),
        ("ignored", "one more answer to a try that has failed"),
    ]


@pytest.mark.parametrize("ends", ["the long wait", "a login", "another platform"])
def test_failed_logins_count_anew_after(session, ends):
    session.connected(now=0, wall_s=AT, serial=1)
    tries = LOGIN_TRIES if ends == "the long wait" else LOGIN_TRIES - 1
    for minute in range(1, tries + 1):
        session.handle_timeout(now=60_000 * minute, wall_s=AT, serial=1)
    if ends == "a login":
        assert session.receive(LOGIN_OK, now=130_000, wall_s=AT) == [("logged_in",)]
    session.lost()
    if ends == "another platform":
        session.forget_failures()
    session.connected(now=2_000_000, wall_s=AT, serial=9)
    assert session.handle_timeout(now=2_060_000, wall_s=AT, serial=10) == [("login_failed", None, 1)]


def test_half_a_packet_of_one_link_does_not_reach_into_the_next(session):
    session.connected(now=0, wall_s=AT, serial=1)
    assert session.receive(LOGIN_OK[:-1], now=1, wall_s=AT) == []
    session.lost()
    session.connected(now=2, wall_s=AT, serial=2)
    assert session.receive(LOGIN_OK, now=3, wall_s=AT) == [("logged_in",)]
    assert session.noise() == (0, 0)


def test_a_login_cut_short_by_the_link_is_not_counted(session):
    for _ in range(5):
        session.connected(now=0, wall_s=AT, serial=1)
        session.lost()
    session.connected(now=0, wall_s=AT, serial=1)
    assert session.handle_timeout(now=60_000, wall_s=AT, serial=2)[-1] != ("login_wait", 1_800_000)


def test_a_late_answer_still_logs_in(session):
    session.connected(now=0, wall_s=AT, serial=1)
    session.receive(answer(1, 2), now=10, wall_s=AT)
    assert session.receive(LOGIN_OK, now=20, wall_s=AT) == [("logged_in",)]


def test_heartbeats_go_only_into_silence(logged_in):
    logged_in.report(2, b"##", VIN, AT, b"", now=30_000)
    assert logged_in.deadline() == 90_000
    logged_in.handle_timeout(now=90_000, wall_s=AT, serial=0)
    assert logged_in.data_to_send() == answer(7, 0xFE)
    assert logged_in.deadline() == 150_000
    assert logged_in.receive(answer(7, 1), now=90_100, wall_s=AT) == [("answer", 7, None, 1)]
    assert logged_in.data_to_send() == b""  # an answer is never answered


def test_logout_carries_the_serial_of_its_login(logged_in):
    logged_in.logout(now=500, wall_s=AT + 9)
    out = Packet(logged_in.data_to_send())
    assert (out.command, epoch_of(out.unit), out.unit[6:]) == (4, AT + 9, b"\x00\x03")


def test_the_platforms_time_comes_as_an_event(logged_in):
    logged_in.time_sync(now=200)
    assert logged_in.data_to_send() == answer(8, 0xFE)
    assert logged_in.receive(answer(8, 2), now=300, wall_s=AT) == [("time", None, 2)]
    assert logged_in.deadline() == 60_200  # asked again, until it works
    logged_in.handle_timeout(now=60_200, wall_s=AT, serial=0)
    assert logged_in.data_to_send() == answer(8, 0xFE)
    assert logged_in.receive(answer(8, 1, "120A1E102405"), now=60_300, wall_s=AT) == [("time", AT + 5, 1)]
    assert logged_in.receive(answer(8, 1, "120A1E102405"), now=60_301, wall_s=AT)[0][0] == "ignored"
    assert logged_in.deadline() == 120_200  # the next heartbeat


def test_the_time_is_asked_for_again_after_the_answer_timeout():
    session = Session(EDITION, VIN, LOGIN_VALUES, SessionSettings(heartbeat_ms=60_000, answer_timeout_ms=5_000))
    session.connected(now=0, wall_s=AT, serial=1)
    session.receive(LOGIN_OK, now=0, wall_s=AT)
    session.time_sync(now=100)
    assert session.deadline() == 5_100


def test_a_question_for_the_time_dies_with_its_link(logged_in):
    logged_in.time_sync(now=200)
    logged_in.lost()
    assert logged_in.data_to_send() == b""
    logged_in.connected(now=300, wall_s=AT, serial=4)
    logged_in.receive(LOGIN_OK, now=400, wall_s=AT)
    assert logged_in.deadline() == 60_300  # the heartbeat
    assert logged_in.receive(answer(8, 1, "120A1E102405"), now=500, wall_s=AT)[0][0] == "ignored"


def test_answers_to_reports_name_command_time_and_flag(logged_in):
    data = answer(2, 1, "120A1E102400") + answer(3, 2, "120A1E102401") + answer(2, 1)
    assert logged_in.receive(data, now=1, wall_s=AT) == [
        ("answer", 2, AT, 1),
        ("answer", 3, AT + 1, 2),
        ("answer", 2, None, 1),
    ]


def test_a_long_answer_names_no_report_by_the_platforms_time_unless_it_is_an_error(logged_in):
    data = answer(2, 1, "120A1E102400" + "01FF") + answer(2, 2, "120A1E102400" + "01FF")
    assert logged_in.receive(data, now=1, wall_s=AT) == [("answer", 2, None, 1), ("answer", 2, AT, 2)]


@pytest.mark.parametrize("each", [False, True], ids=["policy none", "policy each"])
def test_an_answer_to_a_report_that_was_never_sent_proves_no_other(each):
    delivery = Delivery(each, 10_000, 60_000, 64)
    if each:  # once this platform has shown that it echoes times
        delivery.sent(1, 2, AT, 100, now=0)
        assert delivery.answered(2, AT, True, now=1) == (1, "proven")
    for row, end in ((2, 200), (3, 300), (4, 400)):
        delivery.sent(row, 2, AT + 10 * (row // 3), end, now=2)
    assert delivery.answered(2, AT + 999, True, now=3) is None
    assert delivery.unmatched == 1
    assert delivery.answered(2, AT + 10, True, now=4) == (
        3,
        "proven",
    )  # two of one second, as parts of one sample: in order
    assert delivery.answered(2, AT + 10, True, now=4) == (4, "proven")
    assert delivery.answered(2, AT + 999, False, now=5) == (2, "retry")  # an error must not be overheard


def test_what_is_not_for_us_is_ignored_with_a_reason(logged_in):
    strange = [
        answer(1, 1),  # nobody waits for it
        answer(2, 1, vin=b"LTBTEST0000000099"),
        answer(2, 1, start="2424"),
        answer(0x55, 1),
        answer(5, 0xFE),  # a platform login, from a platform
    ]
    events = [event for packet in strange for event in logged_in.receive(packet, now=1, wall_s=AT)]
    assert [event[0] for event in events] == ["ignored"] * 5
    assert logged_in.data_to_send() == b""


def test_answers_for_rows_of_an_earlier_vin_are_heard(logged_in):
    earlier = b"LTBTEST0000000099"
    late = answer(3, 1, "120A1E102400", vin=earlier)
    assert logged_in.receive(late, now=1, wall_s=AT)[0][0] == "ignored"
    logged_in.report(3, b"##", earlier, AT, b"", now=1)
    assert logged_in.receive(late, now=2, wall_s=AT) == [("answer", 3, AT, 1)]


QUERY = answer(0x80, 0xFE, "19030E091A350302" + "0405")  # the printed query of the report period and the domain
SET = answer(0x81, 0xFE, "19030E091A3501" + "02000A")


def test_a_query_is_answered_with_our_time_and_what_it_asked_for(logged_in):
    (event,) = logged_in.receive(QUERY, now=1, wall_s=AT)
    assert event[0] == "command"
    assert event[2] == QUERY[24:-1]
    values = {"parameters": [(2, 10), (4, 9), (5, b"ev.test.a")]}
    logged_in.answer(event[1], event[2], 1, values, now=2, wall_s=AT + 1)
    out = Packet(logged_in.data_to_send())
    # The values are those of the printed answer, behind the time.
    assert (out.command, out.response, epoch_of(out.unit)) == (0x80, 1, AT + 1)
    assert out.unit[6:] == bytes.fromhex("0302000A04090565762E746573742E61")


@pytest.mark.parametrize(
    ("edition", "start", "unit"),
    [
        (EDITION_2016, "2323", "120A1E102401" + "01" + "02000A"),  # long: our time, the rest as it came
        (EDITION_2025, "2424", "19030E091A35"),  # short: its time, nothing else
    ],
)
@pytest.mark.parametrize("flag", [1, 2])
def test_a_setting_is_answered_in_the_shape_of_the_edition(edition, start, unit, flag):
    session = spoken_to(edition)
    (event,) = session.receive(answer(0x81, 0xFE, SET[24:-1].hex(), start=start), now=1, wall_s=AT)
    sent = session.answer(event[1], event[2], flag, None, now=2, wall_s=AT + 1)
    assert sent == session.data_to_send() == answer(0x81, flag, unit, start=start)
    session.again(sent, now=3)
    assert session.data_to_send() == sent


def test_a_key_is_answered_without_its_contents():
    session = spoken_to(EDITION_2025)
    given = answer(0x0B, 0xFE, "0500020102" + "1A0108000000" + "1A0208000000", start="2424")
    (event,) = session.receive(given, now=1, wall_s=AT)
    session.answer(event[1], event[2], 1, None, now=2, wall_s=AT)
    assert session.data_to_send() == answer(0x0B, 1, start="2424")


@pytest.mark.parametrize("edition", [EDITION_2016, EDITION_2025])
def test_what_a_terminal_says_is_no_command_to_it(edition):
    session = spoken_to(edition)
    for number in edition.commands:
        given = answer(number, 0xFE, "19030E091A35", start=edition.start.hex())
        (event,) = session.receive(given, now=1, wall_s=AT)
        assert event[0] == ("command" if number in (0x0B, 0x80, 0x81, 0x82) else "ignored"), f"{number:02X}"


def test_an_answer_is_sealed_and_an_empty_one_is_not():
    login = {"iccid": ICCID, "packs": [], "codes": []}
    # The same bytes upside down stand for a cipher.
    session = Session(EDITION_2025, VIN, login, SessionSettings(), lambda _start, _command, unit: (5, unit[::-1]))
    session.connected(now=0, wall_s=AT, serial=1)
    session.receive(answer(1, 1, start="2424"), now=0, wall_s=AT)
    session.data_to_send()
    for command, unit, sealed, encryption in ((0x81, SET[24:-1], "351A090E0319", 5), (0x0B, b"", "", 1)):
        (event,) = session.receive(answer(command, 0xFE, unit.hex(), start="2424"), now=1, wall_s=AT)
        session.answer(event[1], event[2], 1, None, now=2, wall_s=AT)
        out = Packet(session.data_to_send())
        assert (out.encryption, out.unit) == (encryption, bytes.fromhex(sealed))


def test_commands_count_only_inside_a_session_of_their_edition(session):
    session.connected(now=0, wall_s=AT, serial=3)
    assert session.receive(QUERY, now=1, wall_s=AT)[0][0] == "ignored"
    session.receive(LOGIN_OK, now=2, wall_s=AT)
    assert session.receive(answer(0x0B, 0xFE, ""), now=3, wall_s=AT)[0][0] == "ignored"  # 2016 has no key exchange
    assert session.receive(QUERY, now=4, wall_s=AT)[0][0] == "command"


def test_a_command_in_the_edition_of_an_older_row_is_none():
    session = spoken_to(EDITION_2025)
    session.report(3, b"##", VIN, AT, b"", now=1)  # from now on answers in that edition are heard
    assert session.receive(QUERY, now=2, wall_s=AT)[0][0] == "ignored"
    assert session.receive(answer(3, 1, "120A1E102400"), now=2, wall_s=AT) == [("answer", 3, AT, 1)]


def test_a_command_that_cannot_be_decrypted_is_ignored(logged_in):
    sealed = bytearray(SET)
    sealed[21] = 3
    sealed[-1] ^= 1 ^ 3
    assert logged_in.receive(bytes(sealed), now=1, wall_s=AT)[0][0] == "ignored"
    assert logged_in.data_to_send() == b""


def test_noise_between_answers_is_skipped_and_counted(session):
    session.connected(now=0, wall_s=AT, serial=3)
    damaged = LOGIN_OK[:-1] + b"\x00"
    assert session.receive(b"\x00#\xff" + damaged, now=1, wall_s=AT) == []
    assert session.receive(LOGIN_OK, now=2, wall_s=AT) == [("logged_in",)]
    assert session.noise() == (3 + len(damaged), 1)


def test_every_transition_leads_to_a_state_that_a_lost_link_ends():
    states = {state for state, _ in TRANSITIONS} | set(TRANSITIONS.values())
    assert all(TRANSITIONS.get((state, "lost")) == "offline" for state in states)


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_the_readmes_picture_is_printed_from_the_table(readme):
    text = (Path(__file__).parents[2] / readme).read_text(encoding="utf-8")
    assert f"```mermaid\n{diagram()}```" in text, "put the output of `python -m agent.sessiondiagram` there"


# -- activation (2025) -----------------------------------------------------------------------------------------------------


def unactivated() -> Session:
    values = {
        "chip_id": b"CHIP0001",
        "public_key": b"\x04",
        "activation_vin": VIN,
        "algorithm": 1,
        "r": b"r",
        "s": b"s",
    }
    login = {"iccid": ICCID, "packs": [], "codes": []}
    return Session(EDITION_2025, VIN, login, SessionSettings(), activation=lambda _: dict(values))


@pytest.mark.parametrize("response", [0xFE, 1], ids=["as a command", "as an answer"])
def test_a_terminal_that_is_not_activated_activates_itself_then_logs_in(response):
    session = unactivated()
    session.connected(now=0, wall_s=AT, serial=1)
    assert Packet(session.data_to_send()).command == 9
    assert session.receive(answer(1, 1, start="2424"), now=1, wall_s=AT)[0][0] == "ignored"  # a login nobody asked for
    assert session.receive(answer(0x0A, response, "0100", start="2424"), now=5, wall_s=AT + 5) == [("activated",)]
    login = Packet(session.data_to_send())
    assert (login.command, epoch_of(login.unit), session.state) == (1, AT + 5, "logging_in")
    session.lost()
    session.connected(now=10, wall_s=AT, serial=2)
    assert Packet(session.data_to_send()).command == 1  # once is enough


def test_a_chip_that_is_activated_already_logs_in():
    """The answer to the activation that succeeded was lost; whether the chip is this vehicle's, the login tells."""
    session = unactivated()
    session.connected(now=0, wall_s=AT, serial=1)
    session.data_to_send()
    assert session.receive(answer(0x0A, 0xFE, "0201", start="2424"), now=5, wall_s=AT) == [("activated",)]
    assert Packet(session.data_to_send()).command == 1


@pytest.mark.parametrize("information", [0, 2])
def test_a_failed_activation_waits_like_a_failed_login(information):
    session = unactivated()
    session.connected(now=0, wall_s=AT, serial=1)
    failure = answer(0x0A, 0xFE, f"02{information:02x}", start="2424")
    assert session.receive(failure, now=5, wall_s=AT) == [("activation_failed", information, 1)]
    assert session.handle_timeout(now=60_000, wall_s=AT, serial=2) == []
    assert session.handle_timeout(now=120_000, wall_s=AT, serial=3) == [("activation_failed", None, 2)]
    assert session.handle_timeout(now=180_000, wall_s=AT, serial=4)[-1] == ("login_wait", 1_800_000)


def test_an_activation_answer_that_breaks_its_table_is_ignored():
    session = unactivated()
    session.connected(now=0, wall_s=AT, serial=1)
    assert session.receive(answer(0x0A, 0xFE, "01", start="2424"), now=5, wall_s=AT)[0][0] == "ignored"
    assert session.state == "activating"
    late = answer(0x0A, 0xFE, "0100", start="2424")
    session.handle_timeout(now=60_000, wall_s=AT, serial=2)
    assert session.receive(late, now=60_001, wall_s=AT) == [("activated",)]
    assert session.receive(late, now=60_002, wall_s=AT)[0][0] == "ignored"


def test_a_refused_activation_does_not_make_a_login_good():
    session = unactivated()
    session.connected(now=0, wall_s=AT, serial=1)
    session.receive(answer(0x0A, 0xFE, "0200", start="2424"), now=5, wall_s=AT)
    assert session.receive(answer(1, 1, start="2424"), now=6, wall_s=AT)[0][0] == "ignored"
    assert session.state == "failed"


def test_an_activation_that_comes_after_the_third_failure_is_too_late():
    session = unactivated()
    session.connected(now=0, wall_s=AT, serial=1)
    for minute in (1, 2, 3):
        session.handle_timeout(now=60_000 * minute, wall_s=AT, serial=1)
    session.data_to_send()
    assert session.receive(answer(0x0A, 0xFE, "0100", start="2424"), now=180_001, wall_s=AT)[0][0] == "ignored"
    assert (session.state, session.data_to_send()) == ("offline", b"")


def test_failed_activations_and_failed_logins_are_counted_apart():
    session = unactivated()
    session.connected(now=0, wall_s=AT, serial=1)
    for minute in (1, 2):
        session.handle_timeout(now=60_000 * minute, wall_s=AT, serial=1)
    assert session.receive(answer(0x0A, 0xFE, "0100", start="2424"), now=130_000, wall_s=AT) == [("activated",)]
    assert session.deadline() == 190_000  # the login's own minute
    assert session.handle_timeout(now=190_000, wall_s=AT, serial=2) == [("login_failed", None, 1)]


# -- a stream out of step --------------------------------------------------------------------------------------------------


def test_a_packet_that_never_ends_is_reported(logged_in):
    half = answer(2, 1, "120A1E102400")[:-3]
    assert logged_in.receive(half, now=1_000, wall_s=AT) == []
    assert logged_in.deadline() == 31_000
    assert logged_in.handle_timeout(now=31_000, wall_s=AT, serial=0) == [("unfinished", len(half))]


def test_a_packet_that_comes_in_two_halves_is_not(logged_in):
    whole = answer(2, 1, "120A1E102400")
    logged_in.receive(whole[:9], now=1_000, wall_s=AT)
    assert logged_in.receive(whole[9:], now=30_000, wall_s=AT) == [("answer", 2, AT, 1)]
    assert logged_in.deadline() == 60_000  # the heartbeat


def test_more_pieces_do_not_prolong_its_time(logged_in):
    half = answer(2, 1, "120A1E102400")
    logged_in.receive(half[:9], now=1_000, wall_s=AT)
    logged_in.receive(half[9:12], now=30_999, wall_s=AT)
    assert logged_in.deadline() == 31_000


def test_a_link_that_is_gone_waits_for_no_rest(logged_in):
    logged_in.receive(LOGIN_OK[:-1], now=1_000, wall_s=AT)
    logged_in.lost()
    assert logged_in.deadline() is None


def test_a_longer_packet_than_any_platform_sends_is_noise(session):
    session.connected(now=0, wall_s=AT, serial=3)
    header = answer(1, 1)[:22]
    assert session.receive(header + (MAX_ANSWER + 1).to_bytes(2, "big") + LOGIN_OK, now=1, wall_s=AT) == [
        ("logged_in",)
    ]
    assert MAX_ANSWER == 4096
    assert session.receive(answer(2, 1, "120A1E102400" + "00" * (MAX_ANSWER - 6)), now=2, wall_s=AT)[0][0] == "answer"
