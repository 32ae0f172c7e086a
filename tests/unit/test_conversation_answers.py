"""What is answered to what, and what the other side makes of it: flags, shapes, reports, commands (annex B); both sides."""

import asyncio

import pytest
from commanded_parts import make_config, store
from conversation_parts import ENGINES, SETTLE_MS, VIN_BYTES, WALL_S, Keys, Talk, cut

from agent.clock import Clock
from agent.core.dataunit import DataUnit, encode_data_unit
from agent.core.editions import EDITIONS
from agent.core.packet import COMMAND, PLAIN, SUCCESS, Packet, build_packet, time_bytes
from agent.platform.answering import TRIES, Answering
from agent.platform.commanded import Commanded
from agent.platform.effects import Effects
from agent.platform.parameters import Endpoint, Parameters
from agent.seal import open_seal
from agent.security import Security
from bench.answers import POLICIES, build_answer
from bench.arrival import ERROR
from bench.orders import OrderBook, read_question

EDITION_NAMES = pytest.mark.parametrize("edition", ["2016", "2025"])
REPORTS = pytest.mark.parametrize("command", [2, 3], ids=["realtime", "reissue"])
SHAPES = pytest.mark.parametrize("shape", ["each", "long", "echo", "empty"])
MINUTE_MS = 60_000
TIME = time_bytes(WALL_S - 5)  # of the platform's commands
LATER = WALL_S + 60
FLAGS = {"2016": {1, 2, 3, 0xFE}, "2025": {1, 2, 3, 4, 5, 6, 7, 0xFE}}


# -- flags ---------------------------------------------------------------------------------------------------------------


@EDITION_NAMES
def test_each_edition_has_its_flags(edition):
    assert set(EDITIONS[edition].responses) == FLAGS[edition]


@EDITION_NAMES
@pytest.mark.parametrize("flag", [1, 2, 3, 4, 5, 6, 7, COMMAND])
def test_a_flag_means_success_or_failure_and_fe_is_no_answer(edition, flag):
    """Whichever failure it is, also one that the edition has no word for."""
    talk = Talk(edition, POLICIES["silent"])
    talk.connect()
    login = talk.arrival(talk.heard[0].raw)
    heard = talk.hear(build_answer(POLICIES["each"], login, flag))
    if flag == SUCCESS:
        assert heard == [("logged_in",)]
    elif flag == COMMAND:
        assert heard == [("ignored", "command 01 is not for a terminal")]
    else:
        assert heard == [("login_failed", flag, 1)]
    talk.hear(build_answer(POLICIES["each"], login, SUCCESS))
    for row, command in enumerate((2, 3), 1):
        talk.report(row, command)
        talk.hear(build_answer(POLICIES["each"], talk.arrival(talk.heard[-1].raw), flag))
    if flag == COMMAND:
        assert (talk.outcomes, talk.delivery.rows()) == ([], {1, 2})
    else:
        outcome = "proven" if flag == SUCCESS else "retry"
        assert talk.outcomes == [(1, outcome), (2, outcome)]


@EDITION_NAMES
def test_an_answer_is_never_answered(edition):
    talk = Talk(edition, POLICIES["each"]).log_in()
    for command in (1, 2, 3, 4, 7, 8, 0x80, 0x81, 0x82):
        for flag in FLAGS[edition] - {COMMAND}:
            raw = build_packet(talk.edition.start, command, flag, VIN_BYTES, PLAIN, TIME)
            assert talk.ask(raw) == b""
            talk.hear(raw)
            assert talk.session.data_to_send() == b""


# -- shapes --------------------------------------------------------------------------------------------------------------


@EDITION_NAMES
@SHAPES
def test_an_answer_counts_whatever_it_carries(edition, shape):
    talk = Talk(edition, POLICIES[shape], each=True).log_in()
    for row, command in enumerate((2, 3, 2, 3), 1):
        talk.report(row, command)
    assert talk.outcomes == [(row, "proven") for row in (1, 2, 3, 4)]
    talk.session.logout(0, talk.wall_s)
    assert talk.exchange() == [("answer", 4, None, SUCCESS)]


@EDITION_NAMES
@SHAPES
def test_an_answer_to_a_login_has_the_length_of_its_shape(edition, shape):
    talk = Talk(edition, POLICIES[shape]).log_in()
    login = talk.heard[0]
    answer = Packet(talk.ask(login.raw))
    assert (answer.start, answer.command, answer.vin, answer.bcc_ok) == (login.start, 1, login.vin, True)
    whole = shape == "echo" or (shape == "long" and edition == "2016")
    assert len(answer.unit) == {"empty": 0}.get(shape, len(login.unit) if whole else 6)


def command_of(edition, command, rows):
    row = EDITIONS[edition].commands[command]
    unit = (TIME if row.timed else b"") + bytes.fromhex(rows)
    return build_packet(EDITIONS[edition].start, command, COMMAND, VIN_BYTES, PLAIN, unit)


def obeyed(talk, raw, now=MINUTE_MS):
    """What the terminal answers to a command, as `answering` does but without anything to set or run; None: nothing."""
    talk.now = now
    ((kind, packet, unit),) = talk.hear(raw)
    assert kind == "command"
    reply = talk.judge.respond(packet.command, unit, False)
    if reply.flag is None:
        return None
    talk.session.answer(packet, unit, reply.flag, reply.values, now, talk.wall_s)
    return Packet(talk.session.data_to_send())


@EDITION_NAMES
@pytest.mark.parametrize(
    ("command", "rows", "flag", "answered"),
    [
        # (2016: our time and the rest as it came; 2025: the command's time) but for a query, whose answer is its values
        (0x81, "01 09 3C", 1, None),
        (0x81, "01 09 00", 2, None),  # 1..240
        (0x81, "02 09 3C 07 4142434445", 2, None),  # one bad item of two: the hardware version can only be read
        (0x81, "01 11 00", 2, None),  # no such parameter
        (0x82, "05", 1, None),
        (0x82, "07", 2, None),
        (0x80, "03 09 05 0C", 1, "04 09 3C 04 09 05 65762E746573742E61 0C 1E"),
        (0x80, "00", 1, "00"),
        (0x80, "01 11", 1, "00"),
    ],
)
def test_our_answers(edition, command, rows, flag, answered):
    talk = Talk(edition).log_in()
    answer = obeyed(talk, command_of(edition, command, rows))
    assert (answer.start, answer.command, answer.response) == (talk.edition.start, command, flag)
    assert (answer.vin, answer.bcc_ok) == (VIN_BYTES, True)
    if answered is not None:
        assert answer.unit == time_bytes(LATER) + bytes.fromhex(answered)
    elif edition == "2016":
        assert answer.unit == time_bytes(LATER) + bytes.fromhex(rows)
    else:
        assert answer.unit == TIME


@EDITION_NAMES
@pytest.mark.parametrize(
    ("command", "rows"),
    [(0x80, "02 09"), (0x80, "FE"), (0x80, "01 09 09"), (0x81, "01 09"), (0x81, "01 02"), (0x82, "")],
)
def test_damage_is_ignored(edition, command, rows):
    assert obeyed(Talk(edition).log_in(), command_of(edition, command, rows)) is None


# -- reports -------------------------------------------------------------------------------------------------------------


@EDITION_NAMES
@REPORTS
def test_a_good_report_needs_no_answer(edition, command):
    """Nothing waits for one: neither the session nor the next report; silence proves."""
    talk = Talk(edition).log_in()
    for row in range(1, 6):
        assert talk.report(row, command) == []
    assert talk.delivery.rows() == {1, 2, 3, 4, 5}
    talk.delivery.acknowledged(10_000, talk.now)
    assert talk.delivery.settled(SETTLE_MS - 1) == []
    assert talk.delivery.settled(SETTLE_MS) == [(row, command) for row in range(1, 6)]
    assert talk.session.state == "logged_in"


@EDITION_NAMES
@REPORTS
def test_a_good_report_on_a_platform_link_is_answered(edition, command):
    talk = Talk(edition, platform_link=True).log_in()
    talk.report(1, command)
    assert talk.outcomes == [(1, "proven")]


@EDITION_NAMES
@REPORTS
@pytest.mark.parametrize(
    ("spoilt", "flag_2025"),
    [("cut", 6), ("nothing in it", 6), ("signature", 5), ("encrypted", 7)],
)
def test_a_bad_report_is_answered_and_sent_again_each_minute_three_times(edition, command, spoilt, flag_2025):
    talk = Talk(edition, keys=Keys() if spoilt == "signature" and edition == "2025" else None)
    talk.log_in()
    if spoilt == "cut" or (spoilt == "signature" and edition == "2016"):
        talk.spoil = cut
    if spoilt == "encrypted":
        talk.spoil = lambda raw: build_packet(raw[:2], raw[2], raw[3], raw[4:21], 3, raw[24:-1])
    bodies = b"" if spoilt == "nothing in it" else ENGINES[edition]
    flag = flag_2025 if edition == "2025" else ERROR
    for minute in (0, 1, 2, 3):
        talk.now = minute * MINUTE_MS
        ((_, _, _, answered),) = talk.report(1, command if minute == 0 else 3, bodies)
        assert answered == flag
        assert talk.delivery.retries(talk.now + MINUTE_MS - 1) == []
        again = talk.delivery.retries(talk.now + MINUTE_MS)
        assert again == ([1] if minute < 3 else [])
    assert talk.outcomes == [(1, "retry")] * 3 + [(1, "refused")]
    assert talk.delivery.rows() == set()


@EDITION_NAMES
def test_a_report_that_is_good_the_second_time_was_refused_once(edition):
    talk = Talk(edition, POLICIES["each"]).log_in()
    talk.spoil = cut
    talk.report(1)
    talk.spoil = lambda raw: raw
    talk.now = MINUTE_MS
    talk.report(1, 3)
    assert talk.outcomes == [(1, "retry"), (1, "proven")]


# -- commands ------------------------------------------------------------------------------------------------------------

COMMANDS = pytest.mark.parametrize("question", ["query 9", "set 9=20", "control 5"])


def ordered(edition, question):
    """An order book whose one command goes to our terminal now; and that terminal."""
    book = OrderBook([read_question(question)])
    talk = Talk(edition).log_in()
    book.logged_in(VIN_BYTES, talk.edition.start, 0)
    return book, talk


@EDITION_NAMES
@COMMANDS
def test_a_good_command_is_answered_once_and_its_sender_is_content(edition, question):
    book, talk = ordered(edition, question)
    (order,) = book.take(0, WALL_S)
    answer = obeyed(talk, order.packet, now=30)
    assert book.answered(answer, 30) is order
    assert (order.flag, order.answer_ms, order.sends, book.deadline()) == (SUCCESS, 30, 1, None)
    assert book.take(10 * MINUTE_MS, WALL_S) == []


@EDITION_NAMES
@COMMANDS
def test_a_command_that_is_ignored_comes_again_each_minute_three_times(edition, question):
    book, talk = ordered(edition, question)
    for minute in range(4):
        assert book.take(minute * MINUTE_MS - 1, WALL_S) == []
        (order,) = book.take(minute * MINUTE_MS, WALL_S)
        damaged = cut(order.packet) if question != "control 5" else cut(cut(order.packet))
        ((_, packet, unit),) = talk.hear(damaged)
        assert talk.judge.respond(packet.command, unit, False).flag is None
    assert book.take(4 * MINUTE_MS, WALL_S) == []
    assert ([lapsed.sends for lapsed in book.lapsed], book.deadline()) == ([4], None)


@EDITION_NAMES
@pytest.mark.parametrize("question", ["set 9=20 7=1.2.3", "control 3"])
def test_a_command_that_is_refused_is_not_repeated(edition, question):
    book, talk = ordered(edition, question)
    (order,) = book.take(0, WALL_S)
    book.answered(obeyed(talk, order.packet), 10)
    assert (order.flag, book.take(10 * MINUTE_MS, WALL_S)) == (ERROR, [])


# -- with all that a command can change ------------------------------------------------------------------------------------


def joined(folder, edition, scene, **security):
    """Run `scene(talk, answering, parameters)` on a terminal that really keeps what is set."""

    async def main():
        platform = {"allowed_platforms": ["b.net:1234"]}
        config = make_config(folder, edition, platform)
        async with store(folder) as outbox:
            talk = Talk(edition).log_in()
            parameters = await Parameters.load(config, talk.edition, outbox)
            subject = Commanded(talk.edition, config, parameters, Clock())
            seal = open_seal(Security(**security), folder, lambda: WALL_S)
            effects = Effects(subject, parameters, seal, outbox, "", lambda: None)
            await scene(talk, Answering(talk.session, effects), parameters)

    asyncio.run(main())


async def told(talk, answering, raw, now):
    """Give a command to the terminal; (what follows, what it answered)."""
    talk.now = now
    ((_, packet, unit),) = talk.hear(raw)
    answer = await answering.commanded(packet, unit, True, now, talk.wall_s)
    sent = talk.session.data_to_send()
    return answer, Packet(sent) if sent else None


MOVE = "03 04 05 05" + b"b.net".hex() + "06 04D2"


@EDITION_NAMES
@pytest.mark.parametrize("good", [True, False], ids=["somebody is there", "nobody is"])
def test_a_new_address_is_kept_after_a_login_there_and_else_refused_at_the_old_one(tmp_path, edition, good):
    async def scene(talk, answering, parameters):
        before = parameters.endpoint()
        answer, sent = await told(talk, answering, command_of(edition, 0x81, MOVE), 1_000)
        assert (answer.link, sent.response) == ("move", SUCCESS)
        assert parameters.endpoint() == Endpoint("b.net", 1234, trial=True)
        talk.session.lost()
        if not good:
            assert [await answering.failed() for _ in range(TRIES)] == [False, False, True]
            assert parameters.endpoint() == before
        talk.now = 200_000
        talk.log_in()
        await answering.logged_in(talk.now, talk.wall_s)
        reported = talk.session.data_to_send()
        if good:
            assert (reported, parameters.endpoint()) == (b"", Endpoint("b.net", 1234))
        else:
            refused = Packet(reported)
            assert (refused.command, refused.response, refused.start) == (0x81, ERROR, talk.edition.start)
            long = time_bytes(talk.wall_s) + bytes.fromhex(MOVE)
            assert refused.unit == (long if edition == "2016" else TIME)
            await answering.logged_in(talk.now, talk.wall_s)
            assert talk.session.data_to_send() == b""  # once

    joined(tmp_path, edition, scene)


@EDITION_NAMES
def test_a_repeated_command_gets_its_answer_again_and_is_not_carried_out_again(tmp_path, edition):
    async def scene(talk, answering, parameters):
        raw = command_of(edition, 0x81, "01 09 14")
        answer, first = await told(talk, answering, raw, 1_000)
        assert (answer.flag, parameters.get(9)) == (SUCCESS, 20)
        await parameters.set({9: 60})
        answer, again = await told(talk, answering, raw, 61_000)
        assert (answer, again.raw, parameters.get(9)) == (None, first.raw, 60)

    joined(tmp_path, edition, scene)


@pytest.mark.parametrize(
    ("from_s", "until_s", "flag"), [(-10, 1000, SUCCESS), (-20, -10, ERROR), (10, 20, ERROR), (20, 10, ERROR)]
)
def test_a_key_is_taken_while_it_is_valid_and_answered_with_an_empty_unit(tmp_path, from_s, until_s, flag):
    (tmp_path / "data.key").write_text("00" * 16)
    (tmp_path / "data.key").chmod(0o600)
    times = {"valid_from": time_bytes(WALL_S + from_s), "valid_until": time_bytes(WALL_S + until_s)}
    unit = encode_data_unit(EDITIONS["2025"], 0x0B, DataUnit(b"", {"key_type": 3, "key": b"k" * 16, **times}))

    async def scene(talk, answering, parameters):
        for now in (1_000, 2_000):
            answer, sent = await told(talk, answering, command_of("2025", 0x0B, unit.hex()), now)
            assert (answer, sent.command, sent.response, sent.unit) == (None, 0x0B, flag, b"")

    joined(tmp_path, "2025", scene, encryption="aes", data_key="data.key", wrapped_keys=False)


def test_2016_has_no_key_exchange():
    raw = build_packet(b"##", 0x0B, COMMAND, VIN_BYTES, PLAIN, b"\x03" + bytes(14))
    assert Talk("2016").log_in().hear(raw) == [("ignored", "command 0B is not for a terminal")]
