"""Rows of the outbox to the platform: connect, log in, live first, backlog behind it, proof back to the outbox.

Never knows where a row came from. The exact rules of delivery stand in `core/delivery.py`, those of the conversation in
`core/session.py`; this module owns the link, the waiting and the order of sending.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Container
from random import Random
from typing import Any, Protocol

import msgspec

from agent.clock import Clock
from agent.core.delivery import Delivery
from agent.core.editions import EDITIONS
from agent.core.outage import Outage
from agent.core.packet import BEIJING_S, SUCCESS, has_time_bytes
from agent.core.session import REALTIME, REISSUE, Session
from agent.errors import LinkError
from agent.links import Link
from agent.outbox import Fate, NewRow, Row
from agent.remarks import Remarks

log = logging.getLogger(__name__)

CHUNK = 100  # rows read from the outbox at once
ACK_POLL_MS = 250  # how often the kernel is asked what the peer has acknowledged
RESCAN_MS = 60_000  # how often an idle uplink looks for rows that became pending behind its back (`tbox outbox retry`)
LAST_SERIAL = 65531
FAREWELL_S = 2.0  # real seconds for the logout to leave
FATES: dict[int, Fate] = {REALTIME: "live", REISSUE: "reissued"}


class Store(Protocol):
    """What the uplink needs of the outbox."""

    async def batch(self, limit: int, after_id: int = 0, skip: Container[int] = ()) -> list[Row]: ...
    def accept(self, ids: list[int], fate: Fate) -> None: ...
    def refuse(self, ids: list[int], flag: int) -> None: ...
    async def meta_get(self, key: str) -> str | None: ...
    async def meta_set(self, key: str, value: str) -> None: ...


class UplinkSettings(msgspec.Struct, frozen=True):
    """`period_ms`: how old a report may be and still be live. `drain_per_s`: backlog rows a second, 0 for no limit."""

    period_ms: int
    drain_per_s: int


class UplinkCounters(msgspec.Struct):
    """What happened since the start of the process."""

    connects: int = 0
    connect_failures: int = 0
    links_lost: int = 0
    logins: int = 0
    login_failures: int = 0
    sent_live: int = 0
    sent_reissue: int = 0
    proven: int = 0
    refused: int = 0
    error_answers: int = 0
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
    ) -> None:
        self.counters = UplinkCounters()
        self._outbox = outbox
        self._session = session
        self._delivery = delivery
        self._open_link = open_link
        self._clock = clock
        self._settings = settings
        self._random = random
        self._time_sync = time_sync
        self._wake = asyncio.Event()
        self._live: deque[tuple[int, NewRow]] = deque(maxlen=64)  # what drops out is found by the next rescan
        self._backlog: deque[Row] = deque()  # read from the outbox, not sent yet
        self._cursor = 0  # last backlog row read on this link
        self._exhausted = False  # nothing pending behind the cursor
        self._rescan_at = 0
        self._tokens = 0.0
        self._tokens_at = 0
        self._outage = Outage(clock.now())
        self._remarks = Remarks(log)

    @property
    def state(self) -> str:
        """The session's state: offline, logging_in, logged_in, ..."""
        return self._session.state

    def appended(self, ids: list[int], rows: list[NewRow]) -> None:
        """Rows of one sample stand in the outbox; sent as realtime when they were sampled while logged in."""
        since = self._session.logged_in_at
        if since is not None and self._session.state == "logged_in" and rows[0].monotonic_ms >= since:
            self._live.extend(zip(ids, rows, strict=True))
        else:
            self._exhausted = False
        self._wake.set()

    async def run(self) -> None:
        """Connect, serve, connect again, for ever."""
        while True:
            try:
                if not has_time_bytes(self._wall_s()):
                    raise LinkError("platform", "login", "the wall clock was never set, and a login holds the time")
                link = await self._open_link()
            except LinkError as error:
                self.counters.connect_failures += 1
                if self._outage.worth_saying(self._clock.now()):
                    log.warning("platform out of reach: %s; reports are kept and sent later", error)
                await self._pause()
                continue
            self.counters.connects += 1
            try:
                await self._serve(link)
            except LinkError as error:
                self._lost(link, error)
            finally:
                link.close()
            await self._pause()

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
                with contextlib.suppress(asyncio.CancelledError, LinkError):
                    await task

    async def _read(self, link: Link) -> None:
        while True:
            data = await link.read()
            if not data:
                raise LinkError(link.endpoint, "read", "closed by the platform")
            now = self._clock.now()
            proven: list[tuple[int, int]] = []
            for event in self._session.receive(data, now):
                await self._handle(event, now, proven)
            self._accept(proven)
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
            busy = await self._send_rows(link, now) if self._session.state == "logged_in" else False
            await link.drained()
            if busy:
                await asyncio.sleep(0)
                continue
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
            serial = await self.next_serial() if self._session.state in ("logging_in", "failed") else 0
            for event in self._session.handle_timeout(now, self._wall_s(), serial):
                await self._handle(event, now, [])
        self._delivery.acknowledged(link.acknowledged(), now)
        self._accept(self._delivery.settled(now))
        if self._delivery.unanswered(now):
            raise LinkError(link.endpoint, "read", "a report was not answered in time, and the policy is `each`")

    def _next(self, now: int) -> int:
        """When the pump has to look again if nothing wakes it."""
        times = [now + RESCAN_MS]
        times.extend(due for due in (self._session.deadline(), self._delivery.deadline()) if due is not None)
        if self._delivery.waits_for_acknowledgement():
            times.append(now + ACK_POLL_MS)
        backlog = self._backlog or not self._exhausted
        if self._session.state == "logged_in" and backlog and self._delivery.room(live=False) > 0:
            times.append(now + max(1, 1000 // max(1, self._settings.drain_per_s)))
        return max(now + 1, min(times))

    # -- sending -------------------------------------------------------------------------------------------------------

    async def _send_rows(self, link: Link, now: int) -> bool:
        """Live, then rows whose retry is due, then backlog. True when there may be more to send at once."""
        self._send_live(link, now)
        retries = self._delivery.retries(now)[: max(0, self._delivery.room(live=False))]
        for row_id in retries:
            for row in await self._outbox.batch(1, row_id - 1):
                if row.id == row_id:
                    self._send(link, row_id, row, REISSUE, now)
        if self._exhausted and now >= self._rescan_at:
            self._restart_backlog(now)
        limit = min(CHUNK, self._delivery.room(live=False), self._allowance(now))
        if limit <= 0:
            return False
        if not self._backlog and not self._exhausted:
            await self._read_backlog()
        sent = 0
        while self._backlog and sent < limit:
            row = self._backlog.popleft()
            self._send(link, row.id, row, REISSUE, now)
            sent += 1
        self._tokens -= sent
        return sent > 0

    async def _read_backlog(self) -> None:
        """Read ahead: a full window takes rows one by one, and each call of the outbox is a turn of its thread."""
        # A copy: a row that is proven while the outbox reads would be neither in flight nor marked there, and be sent again.
        rows = await self._outbox.batch(CHUNK, self._cursor, self._delivery.rows())
        if rows:
            self._cursor = rows[-1].id
        live = {row_id for row_id, _ in self._live}
        self._backlog.extend(row for row in rows if row.id not in live)
        self._exhausted = len(rows) < CHUNK

    def _send_live(self, link: Link, now: int) -> None:
        newest = self._live[-1][1].monotonic_ms if self._live else 0
        while self._live and self._delivery.room(live=True) > 0:
            row_id, row = self._live.popleft()
            fresh = row.monotonic_ms == newest and now - row.monotonic_ms <= self._settings.period_ms
            self._send(link, row_id, row, REALTIME if fresh else REISSUE, now)

    def _send(self, link: Link, row_id: int, row: Row | NewRow, command: int, now: int) -> None:
        if row.collected_at is None or not has_time_bytes(row.collected_at):
            return  # provisional, or of a clock that was never set: no packet can hold it
        start = EDITIONS[row.edition].start
        packet = self._session.report(command, start, row.vin.encode(), row.collected_at, row.bodies, now)
        self._delivery.sent(row_id, command, row.collected_at, link.write(packet), now)
        if command == REALTIME:
            self.counters.sent_live += 1
        else:
            self.counters.sent_reissue += 1

    def _allowance(self, now: int) -> int:
        """How many backlog rows the rate allows now; at most one second's worth at once."""
        rate = self._settings.drain_per_s
        if rate == 0:
            return CHUNK
        self._tokens = min(float(rate), self._tokens + (now - self._tokens_at) * rate / 1000)
        self._tokens_at = now
        return int(self._tokens)

    def _restart_backlog(self, now: int) -> None:
        self._backlog.clear()
        self._cursor = 0
        self._exhausted = False
        self._rescan_at = now + RESCAN_MS

    # -- what comes back -----------------------------------------------------------------------------------------------

    async def _handle(self, event: tuple[Any, ...], now: int, proven: list[tuple[int, int]]) -> None:
        """Do what the event asks for; a row that an answer has proven is added to `proven`, with its command."""
        kind = event[0]
        if kind == "answer":
            _, command, time_s, flag = event
            if command in FATES:
                self._answered(command, time_s, flag, now, proven)
        elif kind == "logged_in":
            self._logged_in(now)
        elif kind == "login_failed":
            self.counters.login_failures += 1
            meaning = "no answer" if event[1] is None else self._meaning(event[1])
            self._remarks.say(now, logging.WARNING, "login failed answer=%s tries=%s", meaning, event[2])
        elif kind == "login_wait":
            self._outage.wait_for_login(event[1])
            raise LinkError("platform", "login", f"three logins failed; next try in {event[1] // 1000} s")
        elif kind == "command":
            self.counters.commands += 1
            self._remarks.say(now, logging.WARNING, "command of the platform refused command=%02X", event[1].command)
        elif kind == "time":
            offset_s = "none" if event[1] is None else event[1] - self._wall_s()
            self._remarks.say(now, logging.INFO, "time of the platform offset_s=%s", offset_s)
        else:
            self.counters.ignored += 1
            self._remarks.say(now, logging.WARNING, "packet of the platform ignored reason=%s", event[1])

    def _logged_in(self, now: int) -> None:
        log.info("logged in after_s=%d", self._outage.over(now) // 1000)
        self.counters.logins += 1
        self._tokens_at = now
        self._restart_backlog(now)
        if self._time_sync:
            self._session.time_sync(now)

    def _answered(self, command: int, time_s: int | None, flag: int, now: int, proven: list[tuple[int, int]]) -> None:
        good = flag == SUCCESS
        outcome = self._delivery.answered(command, time_s, good, now)
        if not good:
            self.counters.error_answers += 1
            said = outcome[1] if outcome else "no such report"
            self._remarks.say(
                now, logging.WARNING, "report answered with an error answer=%s outcome=%s", self._meaning(flag), said
            )
        if outcome is None:
            return
        row_id, fate = outcome
        if fate == "proven":
            proven.append((row_id, command))
        elif fate == "refused":
            self.counters.refused += 1
            self._outbox.refuse([row_id], flag)

    def _accept(self, proven: list[tuple[int, int]]) -> None:
        self.counters.proven += len(proven)
        for command, fate in FATES.items():
            ids = [row_id for row_id, sent_as in proven if sent_as == command]
            if ids:
                self._outbox.accept(ids, fate)

    # -- between links -------------------------------------------------------------------------------------------------

    def _lost(self, link: Link, error: LinkError) -> None:
        now = self._clock.now()
        in_flight = self._delivery.lost()
        self._outage.begin(now)
        self.counters.links_lost += 1
        self._session.lost()
        self._live.clear()
        self._backlog.clear()
        self._exhausted = False
        log.warning("link lost endpoint=%s in_flight=%d reason=%s", link.endpoint, in_flight, error)

    async def _pause(self) -> None:
        now = self._clock.now()
        await self._clock.sleep_until(now + self._outage.pause_ms(now, self._random.randrange(1001)))

    async def _farewell(self, link: Link) -> None:
        if has_time_bytes(self._wall_s()):
            self._session.logout(self._clock.now(), self._wall_s())
        with contextlib.suppress(LinkError, TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                sent = link.write(self._session.data_to_send())
                await link.drained()
                while 0 < link.acknowledged() < sent:  # noqa: ASYNC110 - the kernel tells only when asked
                    await asyncio.sleep(0.01)
        self._accept(self._delivery.settled(self._clock.now()))

    async def next_serial(self) -> int:
        """The serial of the next login: counts from 1 each day in Beijing, 65531 at most, and outlives the process (7.1)."""
        day = str((self._wall_s() + BEIJING_S) // 86_400)
        last_day, _, last = (await self._outbox.meta_get("login") or "").partition(":")
        serial = int(last) % LAST_SERIAL + 1 if last_day == day else 1
        await self._outbox.meta_set("login", f"{day}:{serial}")
        return serial

    def _wall_s(self) -> int:
        return self._clock.wall_ms() // 1000

    def _meaning(self, flag: int) -> str:
        word = self._session.edition.responses.get(flag)
        return f"{flag:02X} {word or 'unknown'}"
