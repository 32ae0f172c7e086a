"""Which row leaves next on a link: live reports first, then retries whose minute is over, then the backlog at its rate.

The rules of delivery and proof stand in `core/delivery.py`; verdicts go back to the outbox from here.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Container
from typing import Protocol

import msgspec

from agent.core.delivery import Delivery
from agent.core.editions import EDITIONS
from agent.core.errors import LocalProtocolError
from agent.core.packet import SUCCESS, has_time_bytes
from agent.core.session import REALTIME, REISSUE, Session
from agent.links import Link
from agent.outbox import Fate, NewRow, Row
from agent.remarks import Remarks

log = logging.getLogger(__name__)

CHUNK = 100  # rows read from the outbox at once
TURN_S = 0.01  # real time after which sending lets others have their turn: a signature of SM2 alone takes so long
UNSENDABLE = 0x02  # as which a row is refused that fits no packet; the platform never saw it
ACK_POLL_MS = 250  # how often the kernel is asked what the peer has acknowledged
RESCAN_MS = 60_000  # how often an idle uplink looks for rows that became pending behind its back (`tbox outbox retry`)
FATES: dict[int, Fate] = {REALTIME: "live", REISSUE: "reissued"}


class Store(Protocol):
    """What sending needs of the outbox."""

    async def batch(self, limit: int, after_id: int = 0, skip: Container[int] = ()) -> list[Row]: ...
    def accept(self, ids: list[int], fate: Fate) -> None: ...
    def refuse(self, ids: list[int], flag: int) -> None: ...


class SendingCounters(msgspec.Struct):
    """What happened since the start of the process."""

    sent_live: int = 0
    sent_reissue: int = 0
    proven: int = 0
    refused: int = 0
    error_answers: int = 0


class Sending:
    """Rows to one platform at a time.

    `period_ms`: how old a report may be and still be live. `drain_per_s`: 0 for no limit. `live_only`: what is not live any
    more is not sent at all.
    """

    def __init__(
        self,
        outbox: Store,
        session: Session,
        delivery: Delivery,
        period_ms: int,
        drain_per_s: int,
        live_only: bool = False,
    ) -> None:
        self.counters = SendingCounters()
        self.period_ms = period_ms
        self.delivery = delivery
        self._outbox = outbox
        self._remarks = Remarks(log)
        self._session = session
        self._drain_per_s = drain_per_s
        self._live_only = live_only
        self._live: deque[tuple[int, NewRow]] = deque(maxlen=64)  # what drops out is found by the next rescan
        self._backlog: deque[Row] = deque()  # read from the outbox, not sent yet
        self._cursor = 0  # last backlog row read on this link
        self._exhausted = False  # nothing pending behind the cursor
        self._rescan_at = 0
        self._tokens = 0.0
        self._tokens_at = 0

    def appended(self, ids: list[int], rows: list[NewRow], held: int = 0) -> None:
        """Rows of one sample stand in the outbox, live if logged in then; with them `held` older ones, which are backlog."""
        since = self._session.logged_in_at
        live = since is not None and self._session.state == "logged_in" and rows[0].monotonic_ms >= since
        if live:
            self._live.extend(zip(ids, rows, strict=True))
        if held or not live:
            self._exhausted = False

    def idle(self) -> bool:
        """True when nothing is left to send and nothing waits for its proof."""
        return self._exhausted and not self._live and not self._backlog and not self.delivery.rows()

    def begin(self, now: int) -> None:
        """A login succeeded: the whole backlog may go."""
        self._tokens_at = now
        self._restart_backlog(now)

    def lost(self) -> int:
        """The link is gone; returns how many rows were in flight."""
        self._live.clear()
        self._backlog.clear()
        self._exhausted = False
        return self.delivery.lost()

    def next(self, now: int) -> int:
        """When to look again if nothing else wakes the sender, monotonic ms."""
        times = [now + RESCAN_MS]
        if (due := self.delivery.deadline()) is not None:
            times.append(due)
        if self.delivery.waits_for_acknowledgement():
            times.append(now + ACK_POLL_MS)
        backlog = self._backlog or not self._exhausted
        if self._session.state == "logged_in" and backlog and self.delivery.room(live=False) > 0:
            times.append(now + max(1, 1000 // max(1, self._drain_per_s)))
        return min(times)

    # -- out -----------------------------------------------------------------------------------------------------------

    async def send(self, link: Link, now: int) -> bool:
        """Live, then rows whose retry is due, then backlog. True when there may be more to send at once."""
        self._send_live(link, now)
        retries = self.delivery.retries(now)[: max(0, self.delivery.room(live=False))]
        for row_id in retries:
            rows = [row for row in await self._outbox.batch(1, row_id - 1) if row.id == row_id]
            for row in rows:
                if self._session.state == "logged_in":  # the platform may have had the link dropped meanwhile
                    self._send(link, row_id, row, REISSUE, now)
            if not rows:  # too old to be sent, or never stored for this platform
                self.delivery.forget(row_id)
        if self._exhausted and now >= self._rescan_at:
            self._restart_backlog(now)
        limit = min(CHUNK, self.delivery.room(live=False), self._allowance(now))
        if limit <= 0:
            return False
        if not self._backlog and not self._exhausted:
            await self._read_backlog()
        return await self._send_backlog(link, limit, now)

    async def _send_backlog(self, link: Link, limit: int, now: int) -> bool:
        """At most `limit` rows, fewer when a live report comes. True when something was sent."""
        loop = asyncio.get_running_loop()
        turn_ends = loop.time() + TURN_S
        sent = 0
        while self._backlog and sent < limit and not self._live and self._session.state == "logged_in":
            row = self._backlog.popleft()
            self._send(link, row.id, row, REISSUE, now)
            sent += 1
            self._tokens -= 1
            if loop.time() >= turn_ends:
                await asyncio.sleep(0)
                turn_ends = loop.time() + TURN_S
        return sent > 0

    async def _read_backlog(self) -> None:
        """Read ahead: a full window takes rows one by one, and each call of the outbox is a turn of its thread."""
        # A copy: a row that is proven while the outbox reads would be neither in flight nor marked there, and be sent again.
        rows = await self._outbox.batch(CHUNK, self._cursor, self.delivery.rows())
        if rows:
            self._cursor = rows[-1].id
        live = {row_id for row_id, _ in self._live}
        self._backlog.extend(row for row in rows if row.id not in live)
        self._exhausted = len(rows) < CHUNK

    def _send_live(self, link: Link, now: int) -> None:
        newest = self._live[-1][1].monotonic_ms if self._live else 0
        while self._live and self.delivery.room(live=True) > 0:
            row_id, row = self._live.popleft()
            if row.monotonic_ms == newest and now - row.monotonic_ms <= self.period_ms:
                self._send(link, row_id, row, REALTIME, now)
            elif not self._live_only:
                self._send(link, row_id, row, REISSUE, now)

    def _send(self, link: Link, row_id: int, row: Row | NewRow, command: int, now: int) -> None:
        if row.collected_at is None or not has_time_bytes(row.collected_at):
            return  # provisional, or of a clock that was never set: no packet can hold it
        try:
            packet = self._packet(row, row.collected_at, command, now)
        except LocalProtocolError as error:
            self._remarks.say(now, logging.ERROR, "report cannot be sent, refused row=%d reason=%s", row_id, error)
            self.counters.refused += 1
            self._outbox.refuse([row_id], UNSENDABLE)
            self.delivery.forget(row_id)
            return
        waiting = self._session.data_to_send()  # in the order in which they were sealed: a key may change in between
        if waiting:
            link.write(waiting)
        self.delivery.sent(row_id, command, row.collected_at, link.write(packet), now)
        if command == REALTIME:
            self.counters.sent_live += 1
        else:
            self.counters.sent_reissue += 1

    def _packet(self, row: Row | NewRow, collected_at: int, command: int, now: int) -> bytes:
        edition = EDITIONS.get(row.edition)
        if edition is None:
            raise LocalProtocolError(f"edition {row.edition[:16]!r} is unknown")
        return self._session.report(command, edition.start, row.vin.encode(), collected_at, row.bodies, now)

    def _allowance(self, now: int) -> int:
        """How many backlog rows the rate allows now; at most one second's worth at once."""
        rate = self._drain_per_s
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

    # -- verdicts ------------------------------------------------------------------------------------------------------

    def answered(self, command: int, time_s: int | None, flag: int, now: int) -> tuple[int, str] | None:
        """An answer to a report: (row id, what becomes of it), None when no row is meant. `accept` what it has "proven"."""
        good = flag == SUCCESS
        self.counters.error_answers += not good
        outcome = self.delivery.answered(command, time_s, good, now)
        if outcome is not None and outcome[1] == "refused":
            self.counters.refused += 1
            self._outbox.refuse([outcome[0]], flag)
        return outcome

    def settle(self, link: Link, now: int) -> None:
        """Accept what silence has proven."""
        self.delivery.acknowledged(link.acknowledged(), now)
        self.accept(self.delivery.settled(now))

    def accept(self, proven: list[tuple[int, int]]) -> None:
        """Rows are with the platform: (row id, command each was sent as)."""
        self.counters.proven += len(proven)
        for command, fate in FATES.items():
            ids = [row_id for row_id, sent_as in proven if sent_as == command]
            if ids:
                self._outbox.accept(ids, fate)
