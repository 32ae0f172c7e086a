"""From the outbox to the platform: connect, log in, live first, backlog behind it, proof back; and what the platform commands.

Never knows where a row came from. This module owns the link and the waiting; the conversation stands in `core/session.py`, the
order of sending in `agent/platform/sending.py`, what a command does in `agent/platform/commanded.py`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Protocol

import msgspec

from agent.clock import Clock
from agent.core.delivery import Delivery
from agent.core.errors import LocalProtocolError
from agent.core.outage import Outage
from agent.core.packet import BEIJING_S, SUCCESS, Packet, has_time_bytes
from agent.core.session import Session, SessionSettings
from agent.errors import LinkError
from agent.links import Link
from agent.outbox import NewRow
from agent.platform.answering import Answering, Commands
from agent.platform.parameters import SmallValues
from agent.platform.sending import FATES, Sending
from agent.platform.sending import Store as RowStore
from agent.remarks import Remarks

log = logging.getLogger(__name__)

LAST_SERIAL = 65531
FAREWELL_S = 2.0  # real seconds for the logout to leave
REOPEN_MS = 60_000  # how long a link dropped at the platform's command stays down
INFORMATION = {0: "failure", 1: "the chip is activated already", 2: "VIN duplicate"}  # of an activation answer


class _EndedError(LinkError):
    """We gave the link up on purpose."""


class Store(RowStore, SmallValues, Protocol):
    """What the uplink needs of the outbox."""


class UplinkSettings(msgspec.Struct, frozen=True):
    """`period_ms`: how old a report may be and still be live. `drain_per_s`: backlog rows a second, 0 for no limit.

    `live_only`: what is not live any more is not sent.
    """

    period_ms: int
    drain_per_s: int
    live_only: bool = False


class UplinkCounters(msgspec.Struct):
    """What happened since the start of the process; what was sent stands in `Sending.counters`."""

    connects: int = 0
    connect_failures: int = 0
    links_lost: int = 0
    logins: int = 0
    login_failures: int = 0
    ignored: int = 0
    noise_bytes: int = 0
    bad_bcc: int = 0
    commands: int = 0


class Uplink:
    """One terminal's way to one platform. `run` ends only when it is cancelled; it says goodbye then."""

    def __init__(
        self,
        *,
        outbox: Store,
        session: Session,
        delivery: Delivery,
        open_link: Callable[[], Awaitable[Link]],
        clock: Clock,
        settings: UplinkSettings,
        random: Random,
        time_sync: bool = False,
        commands: Commands | None = None,
    ) -> None:
        self.counters = UplinkCounters()
        self.sending = Sending(outbox, session, delivery, settings.period_ms, settings.drain_per_s, settings.live_only)
        self._outbox = outbox
        self._session = session
        self._open_link = open_link
        self._clock = clock
        self._random = random
        self._time_sync = time_sync
        self._answering = Answering(session, commands)
        self._wake = asyncio.Event()
        self._awake = True
        self._resting = False  # logged out because the vehicle has nothing more to report
        self._outage = Outage(clock.now())
        self._turned = ("", clock.wall_ms())
        self._remarks = Remarks(log)

    @property
    def state(self) -> str:
        """The session's state: offline, logging_in, logged_in, ..."""
        return self._session.state

    @property
    def link(self) -> tuple[str, int]:
        """(endpoint, since when in Unix ms) of the link; no endpoint while there is none."""
        return self._turned

    def appended(self, ids: list[int], rows: list[NewRow], held: int = 0) -> None:
        """Rows of one sample stand in the outbox, live if logged in then; with them `held` older ones, which are backlog."""
        self.sending.appended(ids, rows, held)
        self._resting = False
        self._wake.set()

    def phase(self, active: bool) -> None:
        """False: the vehicle has nothing more to report; what is pending goes out, then the terminal logs out and rests."""
        self._awake = active
        self._resting = self._resting and not active
        self._wake.set()

    def follow(self, settings: SessionSettings, period_ms: int) -> None:
        """Parameters have other values: the next deadline goes by them."""
        self._session.settings = settings
        self.sending.period_ms = period_ms
        self.sending.delivery.answer_timeout_ms = settings.answer_timeout_ms
        self._wake.set()

    async def run(self) -> None:
        """Connect, serve, connect again, for ever."""
        while True:
            try:
                link = await self._connect()
            except LinkError as error:
                self.counters.connect_failures += 1
                if self._outage.worth_saying(self._clock.now()):
                    log.warning("platform out of reach: %s; reports are kept and sent later", error)
                await self._pause()
                continue
            self.counters.connects += 1
            self._turned = (link.endpoint, self._clock.wall_ms())
            try:
                await self._serve(link)
            except _EndedError as error:
                self._over()
                self._say(logging.INFO, "link ended endpoint=%s reason=%s", link.endpoint, error)
            except (LinkError, LocalProtocolError) as error:  # the clock may leave the years of a packet under way
                if self._session.state in ("activating", "logging_in"):  # nor did it answer: the address is not proved
                    await self._in_vain()
                in_flight = self._over()
                self.counters.links_lost += 1
                text = "link lost endpoint=%s in_flight=%d reason=%s"
                self._say(logging.WARNING, text, link.endpoint, in_flight, error)
            finally:
                link.close()
                self._turned = ("", self._clock.wall_ms())
            while self._resting:
                self._wake.clear()
                await self._wake.wait()
            await self._pause()

    async def _connect(self) -> Link:
        if not has_time_bytes(self._wall_s()):
            raise LinkError("platform", "login", "the wall clock was never set, and a login holds the time")
        try:
            return await self._open_link()
        except LinkError:
            await self._in_vain()
            raise

    async def _in_vain(self) -> bool:
        """A try to log in came to nothing. True when that was the last one at a new address: on to the one of before."""
        last = await self._answering.failed()
        if last:
            self._session.forget_failures()
        return last

    # -- one link ------------------------------------------------------------------------------------------------------

    async def _serve(self, link: Link) -> None:
        now = self._clock.now()
        self._session.connected(now, self._wall_s(), await self.next_serial())
        self._wake.set()
        reader = asyncio.create_task(self._read(link), name="uplink reader")
        pump = asyncio.create_task(self._pump(link), name="uplink pump")
        try:
            done, _ = await asyncio.wait({reader, pump}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except asyncio.CancelledError:
            pump.cancel()
            await self._farewell(link)
            raise
        finally:
            for task in (reader, pump):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, LinkError, LocalProtocolError):
                    await task

    async def _read(self, link: Link) -> None:
        while True:
            data = await link.read()
            if not data:
                raise LinkError(link.endpoint, "read", "closed by the platform")
            now = self._clock.now()
            proven: list[tuple[int, int]] = []
            try:
                for event in self._session.receive(data, now, self._wall_s()):
                    await self._handle(event, link, now, proven)
            finally:  # also those in front of a command that ends the link
                self.sending.accept(proven)
            self.counters.noise_bytes, self.counters.bad_bcc = self._session.noise()
            # A platform that commands and does not read the answers is not listened to: they would pile up here.
            self._write_waiting(link)
            await link.drained()
            self._wake.set()

    async def _pump(self, link: Link) -> None:
        while True:
            self._wake.clear()
            now = self._clock.now()
            await self._keep_time(link, now)
            self._write_waiting(link)
            logged_in = self._session.state == "logged_in"
            busy = await self.sending.send(link, now) if logged_in else False
            await link.drained()
            if busy:
                await asyncio.sleep(0)
                continue
            if logged_in and not self._awake and self.sending.idle():
                await self._farewell(link)
                self._resting = True
                raise _EndedError(link.endpoint, "logout", "the vehicle is at rest and everything is delivered")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._clock.real_s(self._next(now) - now)):
                    await self._wake.wait()

    def _write_waiting(self, link: Link) -> None:
        waiting = self._session.data_to_send()
        if waiting:
            link.write(waiting)

    async def _keep_time(self, link: Link, now: int) -> None:
        """Everything that becomes due by itself: session timers, proof by silence, a platform that stopped answering."""
        due = self._session.deadline()
        if due is not None and due <= now:
            serial = 0 if self._session.state == "logged_in" else await self.next_serial()
            for event in self._session.handle_timeout(now, self._wall_s(), serial):
                await self._handle(event, link, now, [])
        self.sending.settle(link, now)
        if self.sending.delivery.unanswered(now):
            raise LinkError(link.endpoint, "read", "a report was not answered in time, and the policy is `each`")

    def _next(self, now: int) -> int:
        """When the pump has to look again if nothing wakes it."""
        due = self._session.deadline()
        soonest = self.sending.next(now)
        return max(now + 1, soonest if due is None else min(due, soonest))

    # -- what comes back -----------------------------------------------------------------------------------------------

    async def _handle(self, event: tuple[Any, ...], link: Link, now: int, proven: list[tuple[int, int]]) -> None:
        """Do what the event asks for; a row that an answer has proven is added to `proven`, with its command."""
        kind = event[0]
        if kind == "answer":
            _, command, time_s, flag = event
            if command in FATES:
                self._answered(command, time_s, flag, now, proven)
        elif kind == "logged_in":
            await self._logged_in(now)
        elif kind in ("login_failed", "activation_failed"):
            self.counters.login_failures += 1
            words = INFORMATION if kind == "activation_failed" else self._session.edition.responses
            meaning = self._meaning(event[1], words)
            self._say(logging.WARNING, "%s answer=%s tries=%s", kind.replace("_", " "), meaning, event[2])
            if await self._in_vain():
                raise _EndedError(link.endpoint, "login", "back to the platform of before")
        elif kind == "login_wait":
            self._outage.wait_for_login(event[1])
            raise LinkError("platform", "login", f"three logins failed; next try in {event[1] // 1000} s")
        elif kind == "command":
            self.counters.commands += 1
            await self._commanded(event[1], event[2], link, now)
            # One read may hold thousands of commands, and a key costs 10 ms: buses and clock have their turn.
            await asyncio.sleep(0)
        elif kind == "activated":
            log.warning("this terminal is activated")
            await self._answering.activated()
        elif kind == "unfinished":
            raise LinkError(link.endpoint, "read", f"{event[1]} bytes begin a packet that never ends")
        elif kind == "time":
            offset_s = "none" if event[1] is None else event[1] - self._wall_s()
            self._say(logging.INFO, "time of the platform offset_s=%s", offset_s)
        else:
            self.counters.ignored += 1
            self._say(logging.WARNING, "packet of the platform ignored reason=%s", event[1])

    async def _logged_in(self, now: int) -> None:
        self._say(logging.INFO, "logged in after_s=%d", self._outage.over(now) // 1000)
        self.counters.logins += 1
        self.sending.begin(now)
        await self._answering.logged_in(now, self._wall_s())
        if self._time_sync:
            self._session.time_sync(now)

    async def _commanded(self, packet: Packet, unit: bytes, link: Link, now: int) -> None:
        """Answer, let the answer leave, then do what must not come before it."""
        answered = await self._answering.commanded(packet, unit, link.authenticated, now, self._wall_s())
        if answered is None:
            return
        self._write_waiting(link)
        await link.drained()
        if answered.values is None:
            await self._arrived(link)
        await self._answering.carry_out(answered)
        if answered.link == "drop":
            await self._farewell(link)
            self._outage.wait_for_login(REOPEN_MS)
            raise _EndedError(link.endpoint, "control", "dropped at the platform's command; reopened after 60 s")
        if answered.link == "move":
            await self._farewell(link)
            raise _EndedError(link.endpoint, "parameters", "the platform names another address; its login decides")

    def _answered(self, command: int, time_s: int | None, flag: int, now: int, proven: list[tuple[int, int]]) -> None:
        outcome = self.sending.answered(command, time_s, flag, now)
        if flag != SUCCESS:
            said = outcome[1] if outcome else "no such report"
            meaning = self._meaning(flag, self._session.edition.responses)
            self._say(logging.WARNING, "report answered with an error answer=%s outcome=%s", meaning, said)
        if outcome is not None and outcome[1] == "proven":
            proven.append((outcome[0], command))

    # -- between links -------------------------------------------------------------------------------------------------

    def _over(self) -> int:
        """The link is gone; returns how many rows were in flight."""
        self._outage.begin(self._clock.now())
        self._session.lost()
        return self.sending.lost()

    async def _pause(self) -> None:
        now = self._clock.now()
        await self._clock.sleep_until(now + self._outage.pause_ms(now, self._random.randrange(1001)))

    async def _farewell(self, link: Link) -> None:
        with contextlib.suppress(LinkError):
            if has_time_bytes(self._wall_s()):
                self._session.logout(self._clock.now(), self._wall_s())
            self._write_waiting(link)
            await self._arrived(link)
        self.sending.settle(link, self._clock.now())

    async def _arrived(self, link: Link) -> None:
        """Wait until the peer's TCP has what was written, as far as that can be known, but not for long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await link.drained()
                sent = link.write(b"")
                while 0 < link.acknowledged() < sent:  # noqa: ASYNC110 - the kernel tells only when asked
                    await asyncio.sleep(0.01)

    async def next_serial(self) -> int:
        """The serial of the next login: counts from 1 each day in Beijing, 65531 at most, and outlives the process (7.1)."""
        day = str((self._wall_s() + BEIJING_S) // 86_400)
        last_day, _, last = (await self._outbox.meta_get("login") or "").partition(":")
        counts = last_day == day and last.isascii() and last.isdigit() and len(last) <= len(str(LAST_SERIAL))
        serial = int(last) % LAST_SERIAL + 1 if counts else 1
        await self._outbox.meta_set("login", f"{day}:{serial}")
        return serial

    def _say(self, level: int, text: str, *values: object) -> None:
        self._remarks.say(self._clock.now(), level, text, *values)

    def _wall_s(self) -> int:
        return self._clock.wall_ms() // 1000

    def _meaning(self, flag: int | None, words: dict[int, str]) -> str:
        return "no answer" if flag is None else f"{flag:02X} {words.get(flag, 'unknown')}"
