"""Forwards what a platform received to the platform above it, over TCP, and loses nothing on the way.

The file of received packets is the store; a cursor in it says up to which packet everything has been dealt with, a ledger what
has been beyond it. Fresh packets go up at once, what stayed behind goes up besides.
"""

import asyncio
import contextlib
import logging
import random
from collections import deque

from agent.core.outage import Outage
from agent.core.packet import Packet, PacketReader
from agent.errors import LinkError
from agent.links.tcp import TcpLink, open_tcp
from bench.received import Received
from bench.upward import LOGGED_IN, OFFLINE, Stored, Upward
from bench.wallclock import WallClock

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 10.0
GOODBYE_S = 2.0  # real seconds that the last answers may take
_PENDING = "SELECT id, raw, opened, received_ms FROM unforwarded WHERE id > ? ORDER BY id LIMIT ?"
_ONE = "SELECT id, raw, opened, received_ms FROM forwardable WHERE id = ?"
_COUNT = "SELECT count(*) FROM unforwarded WHERE id > ?"
_DEALT = "INSERT OR IGNORE INTO forwarded (packet) VALUES (?)"
_REFUSED = "INSERT OR REPLACE INTO forward_refused (packet, flag) VALUES (?, ?)"
_KEPT_STATE = "SELECT name, value FROM forward_state"
_STATE = "INSERT OR REPLACE INTO forward_state (name, value) VALUES (?, ?)"


class Forwarder:
    """Keeps a link to the platform above and sends up what `received` holds; `kept` is called when it holds more."""

    def __init__(
        self, upward: Upward, received: Received, host: str, port: int, *, clock: WallClock, dice: random.Random
    ) -> None:
        self.upward = upward
        self._received = received
        self._host, self._port = host, port
        self._clock = clock
        self._dice = dice
        self._wake = asyncio.Event()
        state: dict[str, int] = {str(name): value for name, value in received.read(_KEPT_STATE)}
        self._cursor = state.get("cursor", 0)
        self._seen = received.last_id  # what came later is fresh
        self._fresh: deque[int] = deque()
        self._behind = self._cursor  # no packet up to here waits to be sent, but those that are under way
        upward.serial = state.get("serial_day", 0), state.get("serial", 0)

    def kept(self) -> None:
        """More packets are in the file."""
        self._wake.set()

    def pending(self) -> int:
        """How many packets wait for their proof."""
        return int(self._received.read(_COUNT, self._cursor)[0][0])

    async def run(self) -> None:
        """Connect, forward, connect again, until cancelled; then log out. ReceivedError when the file fails."""
        outage = Outage(self._clock.now())
        while True:
            try:
                link = await open_tcp(self._host, self._port, CONNECT_TIMEOUT_S)
            except LinkError as error:
                if outage.worth_saying(self._clock.now()):
                    log.warning("platform above: %s", error)
            else:
                try:
                    away_ms = await self._talk(link, outage)
                finally:
                    link.close()
                    self.upward.lost()
                    self._begin_again()
                if away_ms:
                    outage.wait_for_login(away_ms)
                outage.begin(self._clock.now())
            pause_ms = outage.pause_ms(self._clock.now(), self._dice.randrange(1001))
            await asyncio.sleep(self._clock.real_s(pause_ms))

    def _begin_again(self) -> None:
        """What waits is found from the cursor on; nothing is fresh any more."""
        self._fresh.clear()
        self._seen = self._received.last_id
        self._behind = self._cursor

    async def _talk(self, link: TcpLink, outage: Outage) -> int:
        """Until the link ends; returns ms to stay away, 0 for none."""
        reader = asyncio.create_task(self._listen(link, outage))
        try:
            link.write(self._login())
            while not reader.done():
                data, away_ms = self.upward.handle_timeout(self._clock.now(), self._clock.wall_ms())
                self._keep_serial()
                if away_ms is not None:
                    log.warning("platform above does not answer, link closed")
                    return away_ms
                if data:
                    link.write(data)
                self._wake.clear()
                self._pump(link)
                await link.drained()
                await self._rest(reader)
        except LinkError as error:
            log.warning("platform above: %s", error)
        except asyncio.CancelledError:
            await self._say_goodbye(link, reader)
            raise
        finally:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError, LinkError):
                await reader
        return 0

    def _login(self) -> bytes:
        data = self.upward.connected(self._clock.now(), self._clock.wall_ms())
        self._keep_serial()
        return data

    def _keep_serial(self) -> None:
        day, serial = self.upward.serial
        self._received.write(_STATE, [("serial_day", day), ("serial", serial)])

    async def _rest(self, reader: "asyncio.Task[None]") -> None:
        """Until something comes, more is kept, or a deadline passes."""
        now = self._clock.now()
        due = [at for at in (self.upward.deadline(), self.upward.next_rested()) if at is not None]
        limit_s = self._clock.real_s(max(0, min(due) - now)) if due else None
        waker = asyncio.create_task(self._wake.wait())
        try:
            await asyncio.wait((waker, reader), timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waker.cancel()

    async def _say_goodbye(self, link: TcpLink, reader: "asyncio.Task[None]") -> None:
        """Log out (06) and wait a little for the answers that are still due."""
        with contextlib.suppress(LinkError, TimeoutError):
            goodbye = self.upward.logout(self._clock.wall_ms())
            if not goodbye:
                return
            link.write(goodbye)
            async with asyncio.timeout(GOODBYE_S):
                while self.upward.state != OFFLINE and not reader.done():
                    self._wake.clear()
                    await self._wake.wait()

    async def _listen(self, link: TcpLink, outage: Outage) -> None:
        packets = PacketReader()
        while data := await link.read():
            was = self.upward.state
            for raw in packets.feed(data):
                self.upward.receive(Packet(raw), self._clock.now())
            if self.upward.state == LOGGED_IN != was:
                lasted_s = outage.over(self._clock.now()) // 1000
                log.info("platform above: logged in after %d s, %d packets wait", lasted_s, self.pending())
            self._keep_proofs()
            self._wake.set()
        self._wake.set()

    # -- the file ------------------------------------------------------------------------------------------------------

    def _pump(self, link: TcpLink) -> None:
        """Send as much as may be under way: the fresh first, then what stayed behind."""
        upward, now = self.upward, self._clock.now()
        if upward.state != LOGGED_IN:
            return
        self._fresh.extend(range(self._seen + 1, self._received.last_id + 1))
        self._seen = self._received.last_id
        first = [*upward.rested(now)]
        while upward.room() and (first or self._fresh):
            number = first.pop() if first else self._fresh.popleft()
            for stored in self._read(_ONE, number):
                link.write(upward.send(stored, now, self._clock.wall_ms()))
        if not upward.room():
            return
        newest = self._fresh[0] if self._fresh else self._seen + 1
        busy = upward.busy()
        self._behind = max(self._behind, self._cursor)  # the ledger knows nothing of what lies before the cursor
        for stored in self._read(_PENDING, self._behind, upward.room() + len(list(busy))):
            if stored.id >= newest or not upward.room():
                break
            self._behind = stored.id
            if stored.id not in busy:
                link.write(upward.send(stored, now, self._clock.wall_ms()))

    def _read(self, query: str, *values: int) -> list[Stored]:
        return [Stored(*row) for row in self._received.read(query, *values)]

    def _keep_proofs(self) -> None:
        """Note what is dealt with, and move the cursor to the last packet before which nothing waits."""
        upward = self.upward
        dealt = [*upward.proven, *[number for number, _ in upward.refused]]
        if not dealt:
            return
        for number, flag in upward.refused:
            log.warning("platform above refused packet=%d flag=%02X, given up", number, flag)
        self._received.write(_REFUSED, upward.refused)
        self._received.write(_DEALT, [(number,) for number in dealt])
        upward.proven.clear()
        upward.refused.clear()
        waiting = self._read(_PENDING, self._cursor, 1)
        self._cursor = waiting[0].id - 1 if waiting else self._received.last_id
        self._received.write(_STATE, [("cursor", self._cursor)])
        self._received.write("DELETE FROM forwarded WHERE packet <= ?", [(self._cursor,)])
