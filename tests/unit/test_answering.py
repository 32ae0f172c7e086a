"""The conversation about commands: repeats, keys, a move in vain, activation; each command carried out once."""

import asyncio
from types import SimpleNamespace

import pytest

from agent.core.edition2025 import EDITION
from agent.core.packet import COMMAND, PLAIN, SUCCESS, Packet, PacketReader, build_packet, time_bytes
from agent.core.session import Session, SessionSettings
from agent.platform.answering import TRIES, Answering

VIN = b"LGBTEST0000000017"
AT = 1_767_827_170
ERROR = 2
TIME = time_bytes(AT)
KEY = b"\x05" + b"\x00\x10" + bytes(16) + TIME + time_bytes(AT + 60)


class Obeying:
    """Obeys everything and remembers it; `flag` and `link` are its next answer."""

    def __init__(self):
        self.responded, self.keys, self.trials = [], [], []
        self.flag, self.link, self.trial, self.reason = SUCCESS, "", False, ""

    async def respond(self, command, unit, authenticated, wall_s):
        self.responded.append((command, unit))
        return SimpleNamespace(flag=self.flag, values=None, link=self.link)

    async def adopt_key(self, values, wall_s):
        self.keys.append(values)
        return self.reason

    def on_trial(self):
        return self.trial

    async def trial_over(self, good):
        self.trials.append(good)
        self.trial = False


def packet(command, unit):
    return Packet(build_packet(b"$$", command, COMMAND, VIN, PLAIN, unit))


class Talk:
    """One session's answering; `tell` gives a command and returns what follows, `flags` what was answered since."""

    def __init__(self, commands):
        login = {"iccid": bytes(20), "packs": [], "codes": []}
        self.session = Session(EDITION, VIN, login, SessionSettings())
        self.answering = Answering(self.session, commands)

    async def tell(self, command, unit):
        given = packet(command, unit)
        return await self.answering.commanded(given, given.unit, False, 0, AT)

    def flags(self):
        return [Packet(raw).response for raw in PacketReader().feed(self.session.data_to_send())]


def run(test, commands=None):
    commands = commands or Obeying()
    asyncio.run(test(Talk(commands), commands))


def test_a_repeat_is_answered_with_the_same_bytes_and_asks_nobody():
    async def test(talk, commands):
        assert await talk.tell(0x82, TIME + b"\x03") is not None
        first = talk.session.data_to_send()
        assert await talk.tell(0x82, TIME + b"\x03") is None
        assert talk.session.data_to_send() == first
        assert await talk.tell(0x82, time_bytes(AT + 1) + b"\x03") is not None  # the same, but asked anew
        assert [command for command, _ in commands.responded] == [0x82, 0x82]

    run(test)


def test_a_repeat_behind_a_lost_link_is_still_one():
    async def test(talk, commands):
        await talk.tell(0x82, TIME + b"\x05")
        talk.session.lost()
        talk.session.connected(0, AT, 1)
        talk.session.data_to_send()
        assert await talk.tell(0x82, TIME + b"\x05") is None
        assert (talk.flags(), len(commands.responded)) == ([SUCCESS], 1)

    run(test)


def test_what_is_ignored_is_neither_answered_nor_remembered():
    async def test(talk, commands):
        commands.flag = None
        for _ in range(2):
            assert await talk.tell(0x81, TIME) is None
        assert (talk.flags(), len(commands.responded)) == ([], 2)

    run(test)


@pytest.mark.parametrize(("reason", "flag"), [("", SUCCESS), ("it expired 5 s ago", ERROR)])
def test_a_key_is_answered_by_what_became_of_it_each_time_it_comes(reason, flag):
    async def test(talk, commands):
        commands.reason = reason
        for _ in range(2):
            assert await talk.tell(0x0B, KEY) is None
        assert talk.flags() == [flag, flag]
        judged = len(commands.keys)
        assert judged == 2 or not reason  # one that was refused may be good by now
        assert await talk.tell(0x0B, KEY[:-1]) is None  # damaged
        assert (talk.flags(), len(commands.keys)) == ([], judged)

    run(test)


def test_nobody_commands_where_there_are_no_commands():
    async def test():
        talk = Talk(None)
        for command, unit in ((0x80, TIME + b"\x01\x02"), (0x82, TIME + b"\x03"), (0x0B, KEY)):
            assert await talk.tell(command, unit) is None
        assert talk.flags() == [ERROR] * 3
        assert not await talk.answering.failed()
        await talk.answering.logged_in(0, AT)

    asyncio.run(test())


def test_a_move_in_vain_is_answered_with_an_error_once_and_whenever_it_is_repeated():
    async def test(talk, commands):
        commands.link, commands.trial = "move", True
        await talk.tell(0x81, TIME + b"\x01\x06\x04\xd2")
        assert talk.flags() == [SUCCESS]
        assert [await talk.answering.failed() for _ in range(TRIES + 1)] == [False] * (TRIES - 1) + [True, False]
        assert commands.trials == [False]
        await talk.answering.logged_in(0, AT)
        assert talk.flags() == [ERROR]
        await talk.answering.logged_in(0, AT)
        assert talk.flags() == []
        assert await talk.tell(0x81, TIME + b"\x01\x06\x04\xd2") is None
        assert (talk.flags(), len(commands.responded)) == ([ERROR], 1)

    run(test)


def test_a_login_ends_the_trial_and_failures_before_a_new_move_do_not_count():
    async def test(talk, commands):
        commands.link, commands.trial = "move", True
        await talk.tell(0x81, TIME + b"\x01\x06\x04\xd2")
        await talk.answering.failed()
        await talk.answering.failed()
        await talk.answering.logged_in(0, AT)
        assert commands.trials == [True]
        assert not await talk.answering.failed()  # an outage of the proved one is no trial
        commands.trial = True
        await talk.tell(0x81, time_bytes(AT + 9) + b"\x01\x06\x04\xd3")
        assert [await talk.answering.failed() for _ in range(TRIES)] == [False, False, True]
        talk.flags()
        await talk.answering.logged_in(0, AT)
        assert talk.flags() == [ERROR]

    run(test)
