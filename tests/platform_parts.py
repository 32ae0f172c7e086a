"""A platform on a real socket and peers of it, for the tests of the platform."""

import asyncio
import socket
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from agent.clock import Clock
from agent.core.packet import Packet, PacketReader, epoch_of
from bench.answers import POLICIES, Policy
from bench.platform import Platform
from bench.received import Received

HOST = "127.0.0.1"
PATIENCE_S = 20  # how long a test waits for what must come


class StandingClock:
    """It is 2025-03-14 09:27:01 in Beijing, the server time of the printed time sync answer."""

    def wall_ms(self) -> int:
        return epoch_of(bytes.fromhex("19030E091B01")) * 1000

    def now(self) -> int:
        return time.monotonic_ns() // 1_000_000

    def real_s(self, ms: int) -> float:
        return ms / 1000


class Peer:
    """A terminal, or something that pretends to be one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._packets = PacketReader()

    async def ask(self, raw: bytes, expected: bytes) -> None:
        """Send `raw`; the next bytes that come must be `expected`."""
        self.writer.write(raw)
        await self.expect(expected)

    async def expect(self, expected: bytes) -> None:
        got = await asyncio.wait_for(self.reader.readexactly(len(expected)), PATIENCE_S)
        assert got == expected

    async def packets(self, count: int) -> list[Packet]:
        """The next packets that come, exactly so many."""
        got: list[bytes] = []
        while len(got) < count:
            data = await asyncio.wait_for(self.reader.read(65536), PATIENCE_S)
            assert data, "the platform ended the link"
            got += self._packets.feed(data)
        assert len(got) == count, [packet.hex() for packet in got]
        return [Packet(raw) for raw in got]

    async def rest(self) -> bytes:
        """Everything until the platform ends the link, however it does."""
        got = b""
        try:
            while data := await asyncio.wait_for(self.reader.read(65536), PATIENCE_S):
                got += data
        except ConnectionError:
            pass
        return got


class Bench:
    """A platform that listens, its file and its peers."""

    def __init__(self, platform: Platform, received: Received, port: int) -> None:
        self.platform = platform
        self.received = received
        self.port = port
        self._peers: list[Peer] = []

    async def connect(self) -> Peer:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so that a peer that does not read is soon felt
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (HOST, self.port))
        except OSError:
            sock.close()
            raise
        peer = Peer(*await asyncio.open_connection(sock=sock))
        self._peers.append(peer)
        return peer

    def kept(self) -> list[tuple[str, int | None]]:
        """Command and answer of each packet in the file, read by another connection."""
        with closing(sqlite3.connect(self.received.path)) as db:
            return db.execute("SELECT command, answer FROM packets ORDER BY id").fetchall()

    def hang_up(self) -> None:
        for peer in self._peers:
            peer.writer.close()


@asynccontextmanager
async def bench(
    folder: Path,
    policy: Policy = POLICIES["annex-b"],
    *,
    clock: StandingClock | Clock | None = None,
    parts: Callable[[Received], dict[str, Any]] | None = None,
    **options: Any,
) -> AsyncIterator[Bench]:
    """`options` are the platform's; `parts` makes those that need the file of received packets."""
    received = Received(folder / "platform.sqlite")
    more = options | (parts(received) if parts is not None else {})
    platform = Platform(policy, received, clock=clock or StandingClock(), **more)
    made = Bench(platform, received, await platform.start(HOST, 0))
    try:
        yield made
    finally:
        made.hang_up()
        await platform.stop()
        received.close()


Scene = Callable[[Path], Awaitable[None]]


def scene(test: Scene) -> Callable[[Path], None]:
    """Run a test on an event loop of its own."""

    def run(tmp_path: Path) -> None:
        asyncio.run(asyncio.wait_for(test(tmp_path), 2 * PATIENCE_S))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run
