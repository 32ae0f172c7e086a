"""Who says what when (annex B; for platforms chapter 5): login, activation, heartbeat, time, the end of a link; both sides.

`ROWS` are events of the standard's tables, each played in both editions with time as numbers. What is said about reports and
commands stands in test_conversation_answers.py. That a platform closes the old link of a vehicle that comes again, and a link
that brings nothing, needs sockets: integration/test_platform.py.
"""

import asyncio
from dataclasses import replace

import pytest
from commanded_parts import commanded, make_config
from conversation_parts import SETTLE_MS, VIN_BYTES, WALL_S, Talk, cut

from agent.core import session
from agent.core.packet import PLAIN, SUCCESS, Packet, build_packet, epoch_of
from agent.core.session import TRANSITIONS
from bench.access import Access
from bench.answers import POLICIES, build_answer
from bench.registry import Entry, Registry
from bench.upward import LOGGED_IN, OFFLINE, Client, Upward

SILENT = POLICIES["silent"]
REFUSING = replace(POLICIES["annex-b"], refuse_login=3)
RETRY_MS = {"2016": 60_000, "2025": 180_000}  # from a login without success to the next
LONG_WAIT_MS = 1_800_000
MINUTE_MS = 60_000
ACTIVATION = {"chip_id": b"CHIP0001", "public_key": b"\x04", "activation_vin": VIN_BYTES}
SIGNATURE = {"algorithm": 1, "r": b"r", "s": b"s"}


def login_valid(edition):
    talk = Talk(edition)
    assert talk.connect() == [("logged_in",)]
    (login,) = talk.heard
    assert (login.command, login.response, epoch_of(login.unit), login.unit[6:8]) == (1, 0xFE, WALL_S, b"\0\x01")


def login_invalid_is_ignored_and_comes_again(edition):
    talk = Talk(edition)
    talk.spoil = cut
    assert talk.connect() == []
    assert talk.at(RETRY_MS[edition] - 1) == []
    talk.spoil = lambda raw: raw
    assert talk.at(RETRY_MS[edition]) == [("login_failed", None, 1), ("logged_in",)]
    assert [packet.unit[6:8] for packet in talk.heard] == [b"\0\x01", b"\0\x03"]  # every timer may use up a serial


def login_invalid_on_a_platform_link_is_answered(edition):
    talk = Talk(edition, platform_link=True)
    talk.spoil = cut
    assert talk.connect() == [("login_failed", {"2016": 2, "2025": 6}[edition], 1)]


def login_of_a_stranger(edition):
    """04 is a word of 2025 alone; a terminal of 2016 is ignored."""
    talk = Talk(edition, access=Access(vins=[b"LGBTEST0000000099"]))
    assert talk.connect() == ([("login_failed", 4, 1)] if edition == "2025" else [])


def login_of_a_duplicate(edition):
    entry = Entry(VIN_BYTES, b"8" * 20, b"", 1, b"")  # registered with another ICCID
    assert Talk(edition, access=Access(registry=Registry([entry]))).connect() == [("login_failed", 3, 1)]


def logins_that_nobody_answers(edition):
    talk = Talk(edition, SILENT)
    retry = RETRY_MS[edition]
    assert talk.connect() == []
    for tries in (1, 2):
        assert talk.at(tries * retry - 1) == []
        assert talk.at(tries * retry) == [("login_failed", None, tries)]
    assert talk.commands(1) == 3
    assert talk.at(3 * retry) == [("login_failed", None, 3), ("login_wait", LONG_WAIT_MS)]
    assert (talk.commands(1), talk.session.state, talk.session.deadline()) == (3, "offline", None)
    talk.session.lost()  # the owner closes the link and waits
    talk.now += LONG_WAIT_MS
    talk.policy = POLICIES["annex-b"]
    talk.log_in()
    assert talk.report(1, command=3, age_s=3600) == []  # what was stored meanwhile


def logins_that_are_refused(edition):
    talk = Talk(edition, REFUSING)
    retry = RETRY_MS[edition]
    assert talk.connect() == [("login_failed", 3, 1)]
    assert talk.at(retry - 1) == []
    assert talk.at(retry) == [("login_failed", 3, 2)]
    assert talk.at(2 * retry) == [("login_failed", 3, 3)]
    assert talk.at(3 * retry) == [("login_wait", LONG_WAIT_MS)]
    assert talk.commands(1) == 3


def an_answer_that_comes_after_its_login_was_given_up(edition):
    talk = Talk(edition, REFUSING)
    talk.connect()
    good = build_answer(POLICIES["each"], talk.arrival(talk.heard[0].raw), SUCCESS)
    assert talk.hear(good) == [("logged_in",)]


def waits_are_adjustable(edition):
    talk = Talk(edition, SILENT, options={"login_retry_s": 7, "login_wait_min": 5})
    talk.connect()
    events = [event for tries in (1, 2, 3) for event in talk.at(tries * 7_000)]
    assert events[-1] == ("login_wait", 300_000)


def heartbeat(edition):
    talk = Talk(edition).log_in()
    for minute in (1, 2):
        assert talk.at(minute * MINUTE_MS - 1) == []
        assert talk.at(minute * MINUTE_MS) == [("answer", 7, None, SUCCESS)]
    assert talk.ask(talk.heard[-1].raw) == build_packet(talk.edition.start, 7, SUCCESS, VIN_BYTES, PLAIN, b"")
    assert (talk.heard[-1].command, talk.heard[-1].unit) == (7, b"")
    sent = talk.commands(7)
    talk.now += 20_000
    talk.report(1)  # it says as much as a heartbeat
    assert talk.session.deadline() == talk.now + MINUTE_MS
    talk.policy = SILENT
    for more in (1, 2, 3, 4):
        assert talk.at(talk.now + MINUTE_MS) == []
        assert talk.commands(7) == sent + more


def heartbeat_period_is_parameter_09(edition):
    talk = Talk(edition, options={"heartbeat_s": 240}).log_in()
    assert talk.parameters.get(9) == 240
    assert talk.session.deadline() == 240_000


def time_sync_answered(edition):
    talk = Talk(edition).log_in()
    talk.now = 5_000
    talk.session.time_sync(talk.now)
    assert talk.exchange() == [("time", WALL_S + 5, SUCCESS)]
    assert (talk.heard[-1].command, talk.heard[-1].unit) == (8, b"")
    talk.at(5_000 + MINUTE_MS)
    assert talk.commands(8) == 1


def time_sync_refused(edition):
    """02: asked again after the answer timeout, parameter 0B, until it works."""
    talk = Talk(edition, POLICIES["silent"])
    talk.connect()
    talk.hear(build_answer(POLICIES["each"], talk.arrival(talk.heard[0].raw), SUCCESS))
    talk.session.time_sync(0)
    talk.exchange()
    assert talk.hear(build_packet(talk.edition.start, 8, 2, VIN_BYTES, PLAIN, b"")) == [("time", None, 2)]
    talk.policy = POLICIES["annex-b"]
    assert talk.at(MINUTE_MS - 1) == []
    assert talk.at(MINUTE_MS) == [("time", WALL_S + 60, SUCCESS)]


def time_sync_unanswered(edition):
    talk = Talk(edition, options={"answer_timeout_s": 30}).log_in()
    talk.policy = SILENT
    talk.session.time_sync(0)
    talk.exchange()
    for more in (1, 2, 3, 4):
        talk.at(more * 30_000)
        assert talk.commands(8) == 1 + more


def time_sync_of_a_platform_three_years_ahead(edition):
    talk = Talk(edition, replace(POLICIES["annex-b"], clock_offset_s=3 * 365 * 86_400)).log_in()
    talk.session.time_sync(0)
    assert talk.exchange() == [("time", WALL_S + 3 * 365 * 86_400, SUCCESS)]
    talk.session.logout(talk.now, talk.wall_s)
    talk.exchange()
    assert epoch_of(talk.heard[-1].unit) == WALL_S  # nobody has set a clock by it


def logout(edition):
    talk = Talk(edition).log_in()
    assert talk.session.state == "logged_in"
    talk.now = 7_000
    talk.session.logout(talk.now, talk.wall_s)
    assert talk.exchange() == [("answer", 4, None, SUCCESS)]
    assert (epoch_of(talk.heard[-1].unit), talk.heard[-1].unit[6:]) == (WALL_S + 7, b"\0\x01")
    talk.session.lost()
    assert talk.session.state == "offline"


def the_link_breaks(edition):
    """In any state: then the link's own rules of waiting apply, and what was under way is to be sent again."""
    talk = Talk(edition, SILENT)
    talk.session.lost()
    talk.connect()
    talk.session.lost()
    assert (talk.session.state, talk.session.deadline()) == ("offline", None)
    talk.policy = REFUSING
    talk.connect()
    talk.session.lost()
    talk.policy = POLICIES["annex-b"]
    talk.log_in()
    talk.report(1)
    talk.session.lost()
    assert (talk.delivery.lost(), talk.delivery.rows()) == (1, set())
    assert talk.delivery.settled(talk.now + 10 * SETTLE_MS) == []


def the_count_of_repeats_is_used_up(edition):
    """A platform that has to answer each report and does not: the link is dead after parameter 0B."""
    talk = Talk(edition, POLICIES["each"], each=True).log_in()
    talk.policy = SILENT
    talk.now = 1_000
    talk.report(1)
    assert not talk.delivery.unanswered(1_000 + MINUTE_MS - 1)
    assert talk.delivery.unanswered(1_000 + MINUTE_MS)


def unactivated(*args, **options):
    return Talk("2025", *args, activation=lambda _: {**ACTIVATION, **SIGNATURE}, **options)


def activation_answer(status, information):
    return build_packet(b"$$", 0x0A, 0xFE, VIN_BYTES, PLAIN, bytes((status, information)))


def activation(edition):
    """A terminal that is not activated, 2025: 09, 0A, then the login."""
    talk = unactivated(SILENT)
    talk.connect()
    assert [packet.command for packet in talk.heard] == [9]
    talk.policy = POLICIES["annex-b"]
    assert talk.hear(activation_answer(1, 0)) == [("activated",)]
    assert talk.exchange() == [("logged_in",)]


def activation_that_fails(edition):
    talk = unactivated(SILENT)
    talk.connect()
    assert talk.hear(activation_answer(2, 0)) == [("activation_failed", 0, 1)]
    assert talk.at(180_000) == []
    assert talk.at(360_000) == [("activation_failed", None, 2)]
    assert talk.at(540_000) == [("activation_failed", None, 3), ("login_wait", LONG_WAIT_MS)]
    assert talk.commands(9) == 3
    talk.connect()
    assert talk.hear(activation_answer(2, 2)) == [("activation_failed", 2, 1)]
    assert talk.hear(activation_answer(1, 0)) == [("activated",)]  # the one that was given up succeeded after all
    assert talk.session.state == "logging_in"


def activation_of_a_chip_that_is_active_already(edition):
    """The first answer was lost: the login tells whose chip it is."""
    talk = unactivated(SILENT)
    talk.connect()
    assert talk.hear(activation_answer(2, 1)) == [("activated",)]
    assert talk.session.state == "logging_in"


def activation_cut_short(edition):
    talk = unactivated(SILENT)
    talk.connect()
    talk.session.lost()
    talk.connect()
    assert talk.commands(9) == 2


ROWS = [
    login_valid,
    login_invalid_is_ignored_and_comes_again,
    login_invalid_on_a_platform_link_is_answered,
    login_of_a_stranger,
    login_of_a_duplicate,
    logins_that_nobody_answers,
    logins_that_are_refused,
    an_answer_that_comes_after_its_login_was_given_up,
    waits_are_adjustable,
    heartbeat,
    heartbeat_period_is_parameter_09,
    time_sync_answered,
    time_sync_refused,
    time_sync_unanswered,
    time_sync_of_a_platform_three_years_ahead,
    logout,
    the_link_breaks,
    the_count_of_repeats_is_used_up,
    activation,
    activation_that_fails,
    activation_of_a_chip_that_is_active_already,
    activation_cut_short,
]


@pytest.mark.parametrize("edition", ["2016", "2025"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_the_table(row, edition):
    row(edition)


def test_the_rows_take_every_transition(monkeypatch):
    taken = set()

    class Noted(dict):
        def __getitem__(self, key):
            taken.add(key)
            return super().__getitem__(key)

    monkeypatch.setattr(session, "TRANSITIONS", Noted(TRANSITIONS))
    for row in ROWS:
        row("2025")
    assert taken == set(TRANSITIONS)


# -- a manufacturer's platform towards the one above it ------------------------------------------------------------------


def client(edition):
    made = Upward(Client(Talk(edition).edition, b"TESTPLATFORM00001", b"user", b"secret"))
    return made, Packet(made.connected(0, WALL_S * 1000))


@pytest.mark.parametrize("edition", ["2016", "2025"])
@pytest.mark.parametrize(("password", "flag"), [(b"secret", SUCCESS), (b"other", 2)], ids=["valid", "invalid"])
def test_a_platforms_login_is_answered_either_way(edition, password, flag):
    made, login = client(edition)
    talk = Talk(edition, access=Access(login=(b"user", password)), platform_link=True)
    answer = Packet(talk.ask(login.raw))
    assert (answer.command, answer.response, answer.vin) == (5, flag, login.vin)
    made.receive(answer, 10)
    assert (made.state == LOGGED_IN) == (flag == SUCCESS)


@pytest.mark.parametrize("edition", ["2016", "2025"])
@pytest.mark.parametrize("refused", [False, True], ids=["unanswered", "refused"])
def test_a_platforms_login_comes_again_each_minute_then_after_half_an_hour(edition, refused):
    made, login = client(edition)
    talk = Talk(edition, access=Access(login=(b"user", b"other")), platform_link=True)
    for minute in (1, 2, 3):
        if refused:
            made.receive(Packet(talk.ask(login.raw)), minute * MINUTE_MS - 1)
        assert made.handle_timeout(minute * MINUTE_MS - 1, WALL_S * 1000) == (b"", None)
        again, away_ms = made.handle_timeout(minute * MINUTE_MS, WALL_S * 1000)
        assert (bool(again), away_ms) == ((True, None) if minute < 3 else (False, LONG_WAIT_MS))
    made.lost()
    assert made.state == OFFLINE


# -- what a platform changes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("edition", ["2016", "2025"])
def test_periods_that_the_platform_sets_are_those_of_the_session(tmp_path, edition):
    async def main():
        async with commanded(make_config(tmp_path, edition)) as (_, parameters):
            assert await parameters.set({0x09: 20, 0x0B: 30, 0x0C: 240})
            return parameters.session_settings()

    settings = asyncio.run(main())
    assert (settings.heartbeat_ms, settings.answer_timeout_ms) == (20_000, 30_000)
    assert (settings.login_retry_ms, settings.login_wait_ms) == (RETRY_MS[edition], 240 * MINUTE_MS)
