"""Commands of the platform inside a session: answered once, carried out once, however often the platform repeats them.

What a command means and does stands in `commanded.py`; this module minds the conversation about it: repeats, the answer that
follows a move to another address in vain, keys, activation.
"""

import logging
from typing import Any, Protocol

from agent.core.dataunit import decode_data_unit
from agent.core.errors import RemoteProtocolError
from agent.core.packet import ERROR, SUCCESS, Packet
from agent.core.session import KEY_EXCHANGE, Session
from agent.remarks import Remarks

log = logging.getLogger(__name__)

TRIES = 3  # failed connects or logins at a new address before the one of before is in force again


class Answer(Protocol):
    """What a command comes to. `flag` None: no answer. `values`: what a query asked for. `link`: "", "drop", "move"."""

    @property
    def flag(self) -> int | None: ...
    @property
    def values(self) -> dict[str, Any] | None: ...
    @property
    def link(self) -> str: ...


class Commands(Protocol):
    """What answering needs of those who obey."""

    async def respond(self, command: int, unit: bytes, authenticated: bool, wall_s: int) -> Answer:
        """Judge the command and do what must be done before it is answered."""

    async def carry_out(self, answer: Any) -> None:
        """Do what must not be done before the answer has left."""

    async def adopt_key(self, values: dict[str, Any], wall_s: int) -> str:
        """Take a key of the platform's; "" or the reason why not."""

    def on_trial(self) -> bool:
        """True while the platform's address is a new one that no login has proved."""

    async def trial_over(self, good: bool) -> None:
        """Keep the new address, or go back to the one of before."""

    async def activated(self) -> None:
        """The platform has activated this terminal; it must not be asked again."""


class Answering:
    """Answers for one session. Without `commands` nothing may be asked, set or controlled: all is answered with an error."""

    def __init__(self, session: Session, commands: Commands | None) -> None:
        self._session = session
        self._commands = commands
        self._last: tuple[bytes, bytes] | None = None  # the last command carried out and its answer
        self._failures = 0
        self._mover: tuple[Packet, bytes] | None = None  # the command that named the new address
        self._in_vain: tuple[Packet, bytes] | None = None  # ... and whose address nobody could log in at
        self._remarks = Remarks(log)

    async def commanded(self, packet: Packet, unit: bytes, authenticated: bool, now: int, wall_s: int) -> Answer | None:
        """Answer one command. Returns what is still to be done about it; None when it was a repeat or was ignored."""
        if self._last is not None and self._last[0] == packet.raw:
            self._remarks.say(now, logging.INFO, "command repeated by the platform command=%02X", packet.command)
            self._session.again(self._last[1], now)
            return None
        if packet.command == KEY_EXCHANGE:
            await self._adopt(packet, unit, now, wall_s)
            return None
        if self._commands is None:
            self._remarks.say(now, logging.WARNING, "command of the platform refused command=%02X", packet.command)
            self._session.answer(packet, unit, ERROR, None, now, wall_s)
            return None
        answer = await self._commands.respond(packet.command, unit, authenticated, wall_s)
        if answer.flag is None:
            return None
        sent = self._session.answer(packet, unit, answer.flag, answer.values, now, wall_s)
        self._last = packet.raw, sent
        if answer.link == "move":
            self._mover = packet, unit
            self._failures = 0
        return answer

    async def _adopt(self, packet: Packet, unit: bytes, now: int, wall_s: int) -> None:
        try:
            values = decode_data_unit(self._session.edition, KEY_EXCHANGE, unit).values or {}
        except RemoteProtocolError as error:
            self._remarks.say(now, logging.WARNING, "key of the platform ignored reason=%s", error)
            return
        reason = "no encryption is configured"
        if self._commands is not None:
            reason = await self._commands.adopt_key(values, wall_s)
        flag = ERROR if reason else SUCCESS
        answer = self._session.answer(packet, unit, flag, None, now, wall_s)
        if reason:  # judged anew when it is repeated: a key may become valid
            self._remarks.say(now, logging.WARNING, "key of the platform refused reason=%s", reason)
        else:
            self._remarks.say(now, logging.INFO, "key of the platform taken")
            self._last = packet.raw, answer

    async def carry_out(self, answer: Answer) -> None:
        """The answer has left: do what it promises."""
        if self._commands is not None:
            await self._commands.carry_out(answer)

    async def activated(self) -> None:
        """Remember it for the next start."""
        if self._commands is not None:
            await self._commands.activated()

    async def logged_in(self, now: int, wall_s: int) -> None:
        """A login succeeded: a new address has proved itself; or the old one hears that the new one did not."""
        if self._commands is not None and self._commands.on_trial():
            await self._commands.trial_over(True)
            log.warning("the platform's new address has taken the login and is kept")
            self._mover = None
        if self._in_vain is not None:
            packet, unit = self._in_vain
            self._in_vain = None
            self._last = packet.raw, self._session.answer(packet, unit, ERROR, None, now, wall_s)

    async def failed(self) -> bool:
        """A connect or a login failed. True when that was the last try at a new address: the one of before is back in force."""
        if self._commands is None or not self._commands.on_trial():
            return False
        self._failures += 1
        if self._failures < TRIES:
            return False
        self._failures = 0
        await self._commands.trial_over(False)
        log.warning("no login at the platform's new address: back to the one of before")
        self._in_vain, self._mover = self._mover, None
        return True
