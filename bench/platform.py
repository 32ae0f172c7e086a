"""A platform for the bench: listens, examines every packet, keeps it, then answers by policy.

Packets are kept before they are answered: all that one turn of the event loop brought goes into one transaction, then the
answers leave. So an answered packet survives the platform's death, and a busy platform still commits in groups.
"""

import asyncio
import errno
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from agent.core.packet import COMMAND, ERROR, SUCCESS
from agent.core.session import ACTIVATION_ANSWER
from agent.errors import AgentError
from bench.access import Access
from bench.activation import Activations
from bench.answers import (
    ACTIVATION,
    LOGIN,
    LOGOUT,
    PLATFORM_LOGIN,
    PLATFORM_LOGOUT,
    REPORTS,
    SESSION,
    Policy,
    answer,
    build_answer,
    dressed,
)
from bench.arrival import Arrival
from bench.commander import Commander
from bench.link import Counters, Link, Seals
from bench.received import Received, ReceivedError
from bench.registry import NOTHING, SUCCEEDED
from bench.wallclock import WallClock

log = logging.getLogger(__name__)

OnPacket = Callable[[Arrival, int | None], None]


class ListenError(AgentError):
    """The platform cannot listen where it was told to."""

    def __init__(self, host: str, port: int, error: OSError) -> None:
        if error.errno == errno.EADDRINUSE:
            reason = f"port {port} is in use on {host}: choose another with --port"
        else:
            reason = f"cannot listen on {host} port {port}: {error.strerror or error}"
        super().__init__(reason)
        self.host = host
        self.port = port


@dataclass(slots=True)
class _Turn:
    """A packet between its arrival and its answer; `last`: the link ends with it, nothing behind it is read."""

    link: Link
    arrival: Arrival
    reply: bytes | None
    flag: int | None
    last: bool
    welcome: bool  # good, and not turned down


class Platform:
    """Listens on one address; `on_packet(arrival, answer flag)` is called for each packet when it has been kept.

    Make, `start` and `stop` it on one event loop. It may be started again, and goes on counting. When the file of received
    packets fails, `failure` gets the error and the platform stops listening. `access` says who may come in, `seals` opens and
    checks what comes, `activations` judges new terminals, `commander` sends commands down; `on_kept` is called when packets
    were added to the file.
    """

    def __init__(
        self,
        policy: Policy,
        received: Received,
        *,
        clock: WallClock,
        on_packet: OnPacket | None = None,
        idle_s: float = 0,
        tls: ssl.SSLContext | None = None,
        access: Access | None = None,
        seals: Seals | None = None,
        activations: Activations | None = None,
        commander: Commander | None = None,
        on_kept: Callable[[], None] | None = None,
    ) -> None:
        self.policy = policy
        self.clock = clock
        self.idle_s = idle_s
        self._tls = tls
        self.seals = seals
        self.counters = Counters()
        self.failure: asyncio.Future[ReceivedError] = asyncio.get_running_loop().create_future()
        self._received = received
        self._on_packet = on_packet
        self._on_kept = on_kept
        self._access = access or Access()
        self._activations = activations
        self._commander = commander
        self._last_link = received.last_link
        self._server: asyncio.Server | None = None
        self._address = ("", 0)
        self._links: set[Link] = set()
        self._by_vin: dict[bytes, Link] = {}
        self._by_client: dict[bytes, Link] = {}
        self._turns: list[_Turn] = []

    async def start(self, host: str, port: int) -> int:
        """Listen on `host` and `port` (0: any free one) and return the port; ListenError when that is not possible."""
        try:
            self._server = await asyncio.get_running_loop().create_server(lambda: Link(self), host, port, ssl=self._tls)
        except OSError as error:
            raise ListenError(host, port, error) from error
        port = int(self._server.sockets[0].getsockname()[1])
        self._address = (host, port)
        if self._commander is not None:
            self._commander.start(self._send_to, self._failed)
        return port

    async def stop(self) -> None:
        """Stop listening and break all links at once, as the end of the process would."""
        server = self._server
        self._server = None
        self._break_off(server)
        self._settle()
        if self._commander is not None:
            self._commander.stop()
        if server is not None:
            await server.wait_closed()

    async def outage(self) -> None:
        """Disappear; `restore` brings the platform back."""
        await self.stop()

    async def restore(self) -> int:
        """Listen again where `start` did; returns the port."""
        return await self.start(*self._address)

    def open_links(self) -> int:
        """How many links are open now."""
        return len(self._links)

    def opened(self, link: Link) -> int:
        """A link came; returns its number."""
        self._links.add(link)
        self.counters.links += 1
        self._last_link += 1
        return self._last_link

    def closed(self, link: Link) -> None:
        """A link is gone, and whoever was logged in on it."""
        self._links.discard(link)
        self._log_out(link)
        if link.guest.client is not None and self._by_client.get(link.guest.client) is link:
            del self._by_client[link.guest.client]

    def take(self, link: Link, arrival: Arrival) -> None:
        """Count a packet, find its answer, and have both dealt with at the end of this turn of the loop."""
        counters = self.counters
        counters.packets += 1
        policy = self.policy
        if arrival.fault is not None:
            counters.faulty += 1
        elif arrival.packet.response == COMMAND:
            arrival.refusal = self._receive(link, arrival)
        elif self.seals is not None:
            self.seals.heard(arrival)
        reply = answer(policy, arrival, counters.reports, link.guest.client is not None)
        if arrival.command == ACTIVATION and reply is not None and arrival.fault is None:
            reply = self._activate(arrival)
        last = False
        if link.packets == policy.drop_after:
            reply, last = None, True
        elif link.packets == policy.close_mid_packet:
            reply, last = reply or build_answer(policy, arrival, ERROR), True
            reply = reply[: len(reply) // 2]
        flag = None if reply is None or last else reply[3]
        link.ended = link.ended or last
        self._turns.append(_Turn(link, arrival, reply, flag, last, arrival.fault is None and not arrival.refusal))
        if len(self._turns) == 1:
            asyncio.get_running_loop().call_soon(self._settle)

    def _receive(self, link: Link, arrival: Arrival) -> int:
        """Let a good packet do what it is for; returns the flag by which it is turned down, 0 when it is not."""
        packet, guest = arrival.packet, link.guest
        other = self._by_vin.get(packet.vin)
        refusal = self._access.refusal(arrival, guest, other is not None and other is not link)
        if refusal:
            self.counters.turned_down += 1
            log.info("turned down command=%s flag=%02X peer=%s", arrival.command, refusal, link.peer)
        elif arrival.command in REPORTS:
            self.counters.reports += 1
            self.counters.before_login += guest.client is None and packet.vin not in guest.vins
        elif arrival.command == LOGIN and not self.policy.refuse_login:
            self._log_in(link, packet.vin)
        elif arrival.command == LOGOUT and guest.client is not None:
            guest.vins.discard(packet.vin)
        elif arrival.command == PLATFORM_LOGIN:
            self._log_in_client(link, packet.vin, arrival.values["serial"])
        elif arrival.command == PLATFORM_LOGOUT:
            guest.client = None
        return refusal

    def _activate(self, arrival: Arrival) -> bytes:
        judged = (SUCCEEDED, NOTHING) if self._activations is None else self._activations.judge(arrival)
        self.counters.activated += judged[0] == SUCCEEDED
        return dressed(self.policy, arrival, ACTIVATION_ANSWER, COMMAND, bytes(judged))

    def _log_in(self, link: Link, vin: bytes) -> None:
        """Let a vehicle in: a link of its own from before is closed. A terminal's link carries one vehicle (annex B)."""
        old = self._by_vin.get(vin)
        if old is not None and old is not link:
            if old.guest.client is None:
                self.counters.taken_over += 1
                log.info("vehicle logs in again, its old link is closed peer=%s", old.peer)
                old.abort()
            old.guest.vins.discard(vin)
        if link.guest.client is None:
            self._log_out(link)
        link.guest.vins.add(vin)
        self._by_vin[vin] = link

    def _log_in_client(self, link: Link, client: bytes, serial: int) -> None:
        old = self._by_client.get(client)
        if old is not None and old is not link:
            log.info("client platform logs in again, its old link is closed peer=%s", old.peer)
            old.abort()
        self.counters.client_logins += 1
        link.guest.client, link.guest.serial = client, serial
        self._by_client[client] = link

    def _log_out(self, link: Link) -> None:
        for vin in link.guest.vins:
            if self._by_vin.get(vin) is link:
                del self._by_vin[vin]
                if self._commander is not None:
                    self._commander.left(vin)
        link.guest.vins.clear()

    def _send_to(self, vin: bytes, packet: bytes) -> None:
        """A command to a vehicle; one whose link has just gone does not get it."""
        link = self._by_vin.get(vin)
        if link is not None:
            link.send(packet)

    def _break_off(self, server: asyncio.Server | None) -> None:
        if server is not None:
            server.close()
        for link in list(self._links):
            link.abort()

    def _failed(self, error: ReceivedError) -> None:
        if not self.failure.done():
            self.failure.set_result(error)
        self._break_off(self._server)

    def _settle(self) -> None:
        """Keep what this turn brought, then answer it, then tell."""
        turns = self._turns
        self._turns = []
        if not turns:
            return
        try:
            self._received.add([(turn.arrival, turn.flag) for turn in turns])
        except ReceivedError as error:
            self._failed(error)
            return
        for turn in turns:
            if turn.flag is not None:
                self.counters.answers += 1
                self.counters.error_answers += turn.flag not in (SUCCESS, COMMAND)
            turn.link.answer(turn.reply, turn.last)
        for turn in turns:
            if self._on_packet is not None:
                self._on_packet(turn.arrival, turn.flag)
            if self._commander is not None:
                self._tell(self._commander, turn)
        if self._on_kept is not None:
            self._on_kept()

    def _tell(self, commander: Commander, turn: _Turn) -> None:
        """What a packet means for the commands that wait; commands go to terminals, not by way of another platform."""
        arrival = turn.arrival
        if arrival.packet.response != COMMAND:
            commander.answered(arrival)
        elif turn.welcome and turn.link.guest.client is None:
            vin = arrival.packet.vin
            if arrival.command == LOGIN and self._by_vin.get(vin) is turn.link:
                late_ms = round(self.policy.late_s * 1000) if SESSION in self.policy.answered else 0
                commander.logged_in(vin, arrival.packet.start, late_ms)
            elif arrival.command in REPORTS:
                commander.reported(vin)
