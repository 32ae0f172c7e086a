"""One connection to the platform: bytes to packets, answers back, and the ways in which it is cut short."""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Protocol

from agent.core.packet import PacketReader
from bench.access import Guest
from bench.answers import RUBBISH, Policy
from bench.arrival import Arrival, Checker, Opener, inspect
from bench.wallclock import WallClock

log = logging.getLogger(__name__)

SLICE_BYTES = 8192  # bytes examined between two looks at whether the peer sends rubbish
# Wrong check codes on one link: each costs a search through up to 64 KiB, so that is the end of it.
MOST_BAD_CHECKS = 1000
MOST_OWED = 1000  # late answers that wait on one link before it is no longer read


@dataclass(slots=True)
class Counters:
    """What happened since the platform was made."""

    links: int = 0
    packets: int = 0
    reports: int = 0  # good ones
    faulty: int = 0
    turned_down: int = 0  # good in themselves, but not from this peer
    answers: int = 0
    error_answers: int = 0
    before_login: int = 0  # reports on a link without a good login
    client_logins: int = 0  # of platforms
    activated: int = 0
    noise_bytes: int = 0
    bad_bcc: int = 0
    taken_over: int = 0  # links closed because their vehicle came again
    idle_closed: int = 0
    rubbish_closed: int = 0
    failed_links: int = 0  # closed by an error of ours


class Seals(Opener, Checker, Protocol):
    """What knows the keys of the vehicles."""

    def heard(self, arrival: Arrival) -> None:
        """An answer came, before anything behind it is opened: a new key may hold from here on."""


class Host(Protocol):
    """What a link needs of its platform."""

    policy: Policy
    clock: WallClock
    idle_s: float
    seals: Seals | None
    counters: Counters

    def opened(self, link: "Link") -> int:
        """A link came; returns its number."""

    def closed(self, link: "Link") -> None:
        """A link is gone."""

    def take(self, link: "Link", arrival: Arrival) -> None:
        """A packet came."""


class Link(asyncio.Protocol):
    """One connection. An error in it, the peer's or ours, ends this link and no other."""

    def __init__(self, platform: Host) -> None:
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
        self.guest = Guest()
        self.packets = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(f"a TCP transport is needed, not {transport!r}")
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.peer = f"{peer[0]}:{peer[1]}" if peer else "gone"
        self._number = self._platform.opened(self)
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
        self._platform.closed(self)
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

    def send(self, packet: bytes) -> None:
        """Send a command of the platform's own."""
        if not self._transport.is_closing():
            self._transport.write(packet)

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
                seals = platform.seals
                platform.take(self, inspect(raw, self._number, received_ms, monotonic_ns, seals, seals))
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
        if self.guest.client is not None:  # a client platform has no heartbeat
            return
        limit_s = self._platform.clock.real_s(round(self._platform.idle_s * 1000))
        rest_s = self._heard + limit_s - loop.time()
        if rest_s > 0:
            self._timer = loop.call_later(rest_s, self._watch)
            return
        log.info("link idle, closed peer=%s", self.peer)
        self._platform.counters.idle_closed += 1
        self.abort()
