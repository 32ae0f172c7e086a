"""Commands of a platform on a real outbox, with real programs: what is answered, and what then happens."""

import asyncio
import logging
import unicodedata

import pytest
from commanded_parts import TIME, WALL_S, commanded, make_config, recorder
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.terminal import CONTROL, ERROR, QUERY, SET
from agent.errors import ConfigError
from agent.platform.commanded import plain_text
from agent.platform.parameters import Endpoint


def unit(text):
    return TIME + bytes.fromhex(text)


def order(config, *commands, authenticated=True):
    """Give the commands one after the other, carry each out to its end; the answers, and the parameters after them."""

    async def main():
        async with commanded(config) as (subject, parameters):
            answers = []
            for command, data in commands:
                answer = await subject.respond(command, data, authenticated, WALL_S)
                await subject.carry_out(answer)
                await subject.idle()
                answers.append(answer)
            return answers, parameters, subject.counters

    return asyncio.run(main())


def test_a_set_is_kept_and_named_and_seen_by_the_next_query(tmp_path):
    config = make_config(tmp_path)
    (answer, read), parameters, counters = order(config, (SET, unit("02 02 001E 09 3C")), (QUERY, unit("02 02 09")))
    assert (answer.flag, answer.values, answer.link, answer.changed) == (1, None, "", {0x02})
    assert read.values == {"parameters": [(2, 30), (9, 60)]}
    assert parameters.report_settings().period_ms == 30_000
    assert (counters.done, counters.refused, counters.damaged) == (2, 0, 0)
    (read,), _, _ = order(config, (QUERY, unit("01 02")))
    assert read.values == {"parameters": [(2, 30)]}


def test_a_refused_set_changes_nothing_and_is_said(tmp_path, caplog):
    (answer,), parameters, counters = order(make_config(tmp_path), (SET, unit("02 02 001E 09 FF")))
    assert (answer.flag, answer.changed, answer.link, answer.action) == (ERROR, frozenset(), "", ())
    assert parameters.from_platform == {}
    assert (counters.refused, counters.security) == (1, 0)
    assert "09: 255 is not in 1..240" in caplog.text


def test_damage_is_counted_and_not_answered(tmp_path):
    (answer,), _, counters = order(make_config(tmp_path), (SET, unit("02 02 001E")))
    assert (answer.flag, counters.damaged) == (None, 1)


MOVE = "03 04 05 05" + b"b.net".hex() + "06 04D2"


def test_an_allowed_move_is_for_after_the_answer_and_on_trial(tmp_path):
    config = make_config(tmp_path, platform={"allowed_platforms": ["B.net:1234"]})
    (answer,), parameters, _ = order(config, (SET, unit(MOVE)))
    assert (answer.flag, answer.link, answer.changed) == (1, "move", {4, 5, 6})
    assert parameters.endpoint() == Endpoint("b.net", 1234, trial=True)
    (back,), parameters, _ = order(config, (CONTROL, unit("04")))
    assert (back.flag, back.link, back.changed) == (1, "move", {4, 5, 6})
    assert (parameters.endpoint(), parameters.previous()) == (Endpoint("ev.test.a", 32960), None)


@pytest.mark.parametrize(("allowed", "authenticated"), [(["b.net:1234"], False), (["b.net:4321"], True), ([], True)])
def test_a_move_that_is_not_allowed_is_a_security_matter(tmp_path, caplog, allowed, authenticated):
    config = make_config(tmp_path, platform={"allowed_platforms": allowed})
    (answer,), parameters, counters = order(config, (SET, unit(MOVE)), authenticated=authenticated)
    assert (answer.flag, answer.link, counters.security) == (ERROR, "", 1)
    assert parameters.from_platform == {}
    assert "security: new platform b.net:1234" in caplog.text


def test_factory_settings_undo_what_was_set(tmp_path):
    (_, answer), parameters, _ = order(make_config(tmp_path), (SET, unit("01 02 001E")), (CONTROL, unit("04")))
    assert (answer.flag, answer.link, answer.changed) == (1, "", {2})
    assert parameters.from_platform == {}


def test_the_link_is_dropped_after_the_answer(tmp_path):
    (answer,), _, _ = order(make_config(tmp_path), (CONTROL, unit("05")))
    assert (answer.flag, answer.link) == (1, "drop")


@pytest.mark.parametrize("number", range(256))
def test_without_programs_only_the_link_and_the_settings_can_be_controlled(tmp_path, number):
    (answer,), _, _ = order(make_config(tmp_path), (CONTROL, unit(f"{number:02X}")))
    assert answer.flag == (1 if number in (4, 5) else ERROR)


def test_everything_can_be_switched_off(tmp_path):
    config = make_config(tmp_path, parameters=False, factory_settings=False, drop_link=False)
    commands = [(SET, unit("01 02 001E")), (CONTROL, unit("04")), (CONTROL, unit("05"))]
    answers, _, _ = order(config, *commands)
    assert {answer.flag for answer in answers} == {ERROR}


@pytest.mark.parametrize(("number", "name"), [(2, "power_off"), (3, "reset")])
def test_a_program_runs_after_the_answer(tmp_path, caplog, number, name):
    argv, record = recorder(tmp_path)
    config = make_config(tmp_path, **{name: [*argv, "--now"]})

    async def main():
        async with commanded(config) as (subject, _):
            answer = await subject.respond(CONTROL, unit(f"{number:02X}"), False, WALL_S)
            assert answer.flag == 1
            assert not record.exists()
            await subject.carry_out(answer)
            await subject.idle()

    asyncio.run(main())
    assert record.read_text() == "--now\n"
    assert all(record.levelno >= logging.WARNING for record in caplog.records if "security" in record.getMessage())
    assert f"program done name={name}" in caplog.text


@pytest.mark.parametrize("edition", ["2016", "2025"])
def test_an_alarm_comes_with_level_and_text(tmp_path, edition):
    argv, record = recorder(tmp_path)
    config = make_config(tmp_path, edition, alarm=[*argv, "{level}", "{text}"])
    text = "--exec 请立即停车; $(reboot)\r\n\x00\x1b[31m‮!"
    level = 3 if edition == "2016" else 4
    data = unit(f"06 {level:02X}") + text.encode("gb18030")
    (answer,), _, _ = order(config, (CONTROL, data))
    assert answer.flag == 1
    assert record.read_text(encoding="utf-8") == f"{level}\nexec 请立即停车; $(reboot)  [31m!\n"
    order(config, (CONTROL, unit("06 FF")))
    assert record.read_text() == "invalid\n\n"


def test_an_alarm_text_of_60_kb_is_refused(tmp_path):
    argv, record = recorder(tmp_path)
    config = make_config(tmp_path, alarm=[*argv, "{text}"])
    (answer,), _, _ = order(config, (CONTROL, unit("06 01") + b"a" * 60_000))
    assert answer.flag == ERROR
    assert not record.exists()


@given(st.binary(max_size=1024))
def test_any_text_becomes_one_line_that_is_no_option(data):
    text = plain_text(data)
    assert len(text.splitlines()) <= 1
    assert not any(unicodedata.category(letter)[0] == "C" for letter in text)
    assert not text.startswith("-")
    assert len(text) <= len(data)


def test_a_missing_program_is_refused_before_anything_is_promised(tmp_path):
    for path in (tmp_path / "missing", tmp_path):  # a folder is "executable"
        config = make_config(tmp_path, reset=[str(path)])
        (answer,), _, _ = order(config, (CONTROL, unit("03")))
        assert answer.flag == ERROR
        assert "cannot be run" in answer.reason


@pytest.mark.parametrize(("rest", "said"), [("exit 1", "exit status 1"), ("sleep 300", "killed after 1 s")])
def test_a_program_that_fails_or_hangs_is_said_and_the_next_one_runs(tmp_path, caplog, rest, said):
    argv, _ = recorder(tmp_path, rest)
    answers, _, _ = order(make_config(tmp_path, reset=argv, timeout_s=1), (CONTROL, unit("03")), (CONTROL, unit("03")))
    assert [answer.flag for answer in answers] == [1, 1]
    assert caplog.text.count(said) == 2


def test_a_program_is_not_started_twice_at_a_time_and_ends_with_the_agent(tmp_path):
    argv, _ = recorder(tmp_path, f"echo >> {tmp_path}/starts; sleep 300")

    async def main():
        async with commanded(make_config(tmp_path, reset=argv)) as (subject, _):
            first = await subject.respond(CONTROL, unit("03"), False, WALL_S)
            await subject.carry_out(first)
            again = await subject.respond(CONTROL, unit("03"), False, WALL_S)
            assert again.flag == ERROR
            assert "still running" in again.reason
            await subject.carry_out(again)
            await subject.carry_out(first)
            while not (tmp_path / "starts").exists():
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(main(), 30))
    assert (tmp_path / "starts").read_text() == "\n"


def test_upgrades_without_a_usable_key_stop_the_start(tmp_path):
    argv, _ = recorder(tmp_path)
    config = make_config(tmp_path, upgrade=argv, maker="ABCD", upgrade_key="none.pem")
    with pytest.raises(ConfigError, match=r"control.upgrade_key: .*none.pem"):
        order(config)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from([QUERY, SET, CONTROL]), st.binary(max_size=40)), max_size=20))
def test_any_units_one_after_the_other(tmp_path_factory, units):
    config = make_config(tmp_path_factory.mktemp("any"))
    answers, parameters, counters = order(config, *((command, TIME + rows) for command, rows in units))
    assert counters.done + counters.refused + counters.damaged == len(answers) == len(units)
    assert {answer.flag for answer in answers} <= {None, 1, ERROR}
    assert parameters.endpoint() == Endpoint("ev.test.a", 32960)


def test_a_flood_of_refusals_does_not_fill_the_log(tmp_path, caplog):
    order(make_config(tmp_path), *[(CONTROL, unit("02"))] * 500)
    assert len(caplog.messages) < 20
