"""A platform for the bench: listens, examines every packet, keeps it, then answers by policy.

Packets are kept before they are answered: all that one turn of the event loop brought goes into one transaction, then the
answers leave. So an answered packet survives the platform's death, and a busy platform still commits in groups.
"""

import asyncio
import errno
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from agent.core.packet import PacketReader
from agent.errors import AgentError
from bench.answers import ERROR, LOGIN, REPORTS, RUBBISH, Policy, answer, build_answer
from bench.arrival import Arrival, inspect
from bench.received import Received, ReceivedError

log = logging.getLogger(__name__)

SLICE_BYTES = 8192  # bytes examined between two looks at whether the peer sends rubbish
MOST_BAD_CHECKS = (
    1000  # wrong check codes on one link: each costs a search through up to 64 KiB, so that is the end of it
)
MOST_OWED = 1000  # late answers that wait on one link before it is no longer read

OnPacket = Callable[[Arrival, int | None], None]


class WallClock(Protocol):
    """What the platform needs of `agent.clock.Clock`."""

    def wall_ms(self) -> int:
        """Unix milliseconds, scaled."""

    def real_s(self, ms: int) -> float:
        """Real seconds of a scaled duration."""


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
class Counters:
    """What happened since the platform was made."""

    links: int = 0
    packets: int = 0
    reports: int = 0  # good ones
    faulty: int = 0
    answers: int = 0
    error_answers: int = 0
    before_login: int = 0  # reports on a link without a good login
    noise_bytes: int = 0
    bad_bcc: int = 0
    taken_over: int = 0  # links closed because their vehicle came again
    idle_closed: int = 0
    rubbish_closed: int = 0
    failed_links: int = 0  # closed by an error of ours


@dataclass(slots=True)
class _Turn:
    """A packet between its arrival and its answer; `last`: the link ends with it, nothing behind it is read."""

    link: "_Link"
    arrival: Arrival
    reply: bytes | None
    flag: int | None
    last: bool


class Platform:
    """Listens on one address; `on_packet(arrival, answer flag)` is called for each packet when it has been kept.

    Make, `start` and `stop` it on one event loop. It may be started again, and goes on counting. When the file of received
    packets fails, `failure` gets the error and the platform stops listening.
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
    ) -> None:
        self.policy = policy
        self.clock = clock
        self.idle_s = idle_s
        self._tls = tls
        self.counters = Counters()
        self.failure: asyncio.Future[ReceivedError] = asyncio.get_running_loop().create_future()
        self._received = received
        self._on_packet = on_packet
        self._last_link = received.last_link
        self._server: asyncio.Server | None = None
        self._address = ("", 0)
        self._links: set[_Link] = set()
        self._by_vin: dict[bytes, _Link] = {}
        self._turns: list[_Turn] = []

    async def start(self, host: str, port: int) -> int:
        """Listen on `host` and `port` (0: any free one) and return the port; ListenError when that is not possible."""
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: _Link(self), host, port, ssl=self._tls
            )
        except OSError as error:
            raise ListenError(host, port, error) from error
        port = int(self._server.sockets[0].getsockname()[1])
        self._address = (host, port)
        return port

    async def stop(self) -> None:
        """Stop listening and break all links at once, as the end of the process would."""
        server = self._server
        self._server = None
        self._break_off(server)
        self._settle()
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

    def _break_off(self, server: asyncio.Server | None) -> None:
        if server is not None:
            server.close()
        for link in list(self._links):
            link.abort()

    def _opened(self, link: "_Link") -> int:
        self._links.add(link)
        self.counters.links += 1
        self._last_link += 1
        return self._last_link

    def _closed(self, link: "_Link") -> None:
        self._links.discard(link)
        self._log_out(link)

    def _take(self, link: "_Link", arrival: Arrival) -> None:
        """Count a packet, find its answer, and have both dealt with at the end of this turn of the loop."""
        counters = self.counters
        counters.packets += 1
        policy = self.policy
        if arrival.fault is not None:
            counters.faulty += 1
        elif arrival.command in REPORTS:
            counters.reports += 1
            counters.before_login += link.vin != arrival.packet.vin
        elif arrival.command == LOGIN and not policy.refuse_login:
            self._log_in(link, arrival.packet.vin)
        reply = answer(policy, arrival, counters.reports)
        last = False
        if link.packets == policy.drop_after:
            reply, last = None, True
        elif link.packets == policy.close_mid_packet:
            reply, last = reply or build_answer(policy.shape, arrival, ERROR), True
            reply = reply[: len(reply) // 2]
        flag = None if reply is None or last else reply[3]
        link.ended = link.ended or last
        self._turns.append(_Turn(link, arrival, reply, flag, last))
        if len(self._turns) == 1:
            asyncio.get_running_loop().call_soon(self._settle)

    def _log_in(self, link: "_Link", vin: bytes) -> None:
        """Let a vehicle in: a link of its own from before is closed, a link carries one vehicle (annex B)."""
        old = self._by_vin.get(vin)
        if old is not None and old is not link:
            self.counters.taken_over += 1
            log.info("vehicle logs in again, its old link is closed peer=%s", old.peer)
            old.abort()
        self._log_out(link)
        link.vin = vin
        self._by_vin[vin] = link

    def _log_out(self, link: "_Link") -> None:
        if self._by_vin.get(link.vin) is link:
            del self._by_vin[link.vin]

    def _settle(self) -> None:
        """Keep what this turn brought, then answer it, then tell."""
        turns = self._turns
        self._turns = []
        if not turns:
            return
        try:
            self._received.add([(turn.arrival, turn.flag) for turn in turns])
        except ReceivedError as error:
            if not self.failure.done():
                self.failure.set_result(error)
            self._break_off(self._server)
            return
        for turn in turns:
            if turn.flag is not None:
                self.counters.answers += 1
                self.counters.error_answers += turn.flag == ERROR
            turn.link.answer(turn.reply, turn.last)
        if self._on_packet is not None:
            for turn in turns:
                self._on_packet(turn.arrival, turn.flag)


class _Link(asyncio.Protocol):
    """One connection. An error in it, the peer's or ours, ends this link and no other."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._policy = platform.policy
        self._reader = PacketReader()
        self._number = 0
        self._heard = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._owed = 0
        self._choked = False
        self.ended = False
        self.peer = ""
        self.vin = b""
        self.packets = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(f"a TCP transport is needed, not {transport!r}")
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.peer = f"{peer[0]}:{peer[1]}" if peer else "gone"
        self._number = self._platform._opened(self)
        loop = asyncio.get_running_loop()
        if self._policy.no_read:
            # Later: the transport starts to read only after this method, whatever it was told in it.
            loop.call_soon(transport.pause_reading)
        elif self._platform.idle_s > 0:
            self._heard = loop.time()
            self._watch()

    def data_received(self, data: bytes) -> None:
        if self.ended:
            return
        try:
            self._take(data)
        except Exception:  # the peer's bytes must not end the platform, whatever they find in it
            log.exception("link failed peer=%s", self.peer)
            self._platform.counters.failed_links += 1
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        if self._timer is not None:
            self._timer.cancel()
        self._platform._closed(self)
        if exc is not None:
            log.info("link broke peer=%s reason=%s", self.peer, exc)
        reader = self._reader
        if reader.noise_bytes or reader.bad_bcc or reader.pending():
            log.warning(
                "link ended peer=%s noise_bytes=%d bad_bcc=%d unfinished_bytes=%d",
                self.peer,
                reader.noise_bytes,
                reader.bad_bcc,
                reader.pending(),
            )

    def pause_writing(self) -> None:
        self._choked = True
        self._flow()

    def resume_writing(self) -> None:
        self._choked = False
        self._flow()

    def abort(self) -> None:
        """Break the link; nothing more is read from it."""
        self.ended = True
        self._transport.abort()

    def answer(self, reply: bytes | None, last: bool) -> None:
        """Send an answer, late and behind noise if the policy says so; the link ends behind the `last` one."""
        if reply is None or not self._policy.late_s:
            self._send(reply, last)
            return
        self._owed += 1
        self._flow()
        delay_s = self._platform.clock.real_s(round(self._policy.late_s * 1000))
        asyncio.get_running_loop().call_later(delay_s, self._send_late, reply, last)

    def _send_late(self, reply: bytes, last: bool) -> None:
        self._owed -= 1
        self._flow()
        self._send(reply, last)

    def _send(self, reply: bytes | None, last: bool) -> None:
        if self._transport.is_closing():
            return
        if reply is not None:
            self._transport.write(RUBBISH + reply if self._policy.rubbish else reply)
        if last:
            self._transport.close()

    def _flow(self) -> None:
        """Read only while the peer takes its answers and not too many wait: memory stays bounded."""
        if self._choked or self._owed >= MOST_OWED:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _take(self, data: bytes) -> None:
        platform = self._platform
        received_ms = platform.clock.wall_ms()
        monotonic_ns = time.monotonic_ns()
        for at in range(0, len(data), SLICE_BYTES):
            for raw in self._read(data[at : at + SLICE_BYTES]):
                self.packets += 1
                platform._take(self, inspect(raw, self._number, received_ms, monotonic_ns))
                if self.ended:
                    return
            if self._reader.bad_bcc > MOST_BAD_CHECKS:
                log.warning("link closed, too many wrong check codes peer=%s", self.peer)
                platform.counters.rubbish_closed += 1
                self.abort()
                return

    def _read(self, data: bytes) -> list[bytes]:
        reader, counters = self._reader, self._platform.counters
        noise_bytes, bad_bcc = reader.noise_bytes, reader.bad_bcc
        packets = reader.feed(data)
        counters.noise_bytes += reader.noise_bytes - noise_bytes
        counters.bad_bcc += reader.bad_bcc - bad_bcc
        if packets:
            self._heard = asyncio.get_running_loop().time()
        return packets

    def _watch(self) -> None:
        """Break the link when no whole packet came for too long, however many bytes did."""
        loop = asyncio.get_running_loop()
        limit_s = self._platform.clock.real_s(round(self._platform.idle_s * 1000))
        rest_s = self._heard + limit_s - loop.time()
        if rest_s > 0:
            self._timer = loop.call_later(rest_s, self._watch)
            return
        log.info("link idle, closed peer=%s", self.peer)
        self._platform.counters.idle_closed += 1
        self.abort()
