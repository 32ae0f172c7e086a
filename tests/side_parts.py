"""One process of a terminal towards its platforms, on a real outbox, and platforms that command it, on real sockets."""

import asyncio
import contextlib
import json
import sqlite3
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from commanded_parts import VIN, make_config
from platform_parts import bench

from agent.clock import Clock
from agent.config import Config
from agent.core.editions import EDITIONS
from agent.core.packet import Packet
from agent.outbox import NewRow
from agent.outbox_thread import OutboxThread
from agent.platform.side import PlatformSide
from agent.security import Security
from bench.answers import POLICIES, Policy
from bench.commander import Commander
from bench.orders import Line, OrderBook, read_question
from bench.received import Received

SPEED = 100
PATIENCE_S = 30
ENGINE = {"2016": b"\x04\x01\x03\xe8\x00\x10", "2025": b"\x04\x03\xe8"}
CHIP = "CHIP00012"


def configured(
    folder: Path, port: int, *, edition: str = "2025", security: dict[str, Any] | None = None, **more: Any
) -> Config:
    """A terminal of the platform at `port`; `more`: options of [platform] under `platform`, the rest are those of [control]."""
    platform = {"host": "127.0.0.1", "port": port, "connect_timeout_s": 600, "settle_s": 2, "drain_per_s": 0}
    platform |= {"login_retry_s": 60, **more.pop("platform", {})}
    config = make_config(folder, edition, platform, **more)
    return msgspec.structs.replace(config, security=Security(**(security or {})))


class Side:
    """A process of the terminal; the next one on the same configuration finds its outbox."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self.config = config
        self.clock = clock
        self.edition = config.vehicle.edition
        self._last_s = 0

    async def start(self) -> None:
        path = Path(self.config.folder) / "tbox.db"
        self.outbox = await OutboxThread.open(path, wall_s=self._wall_s, now_ms=self.clock.now)
        with contextlib.closing(
            sqlite3.connect(path)
        ) as db:  # no second twice, however fast the process before sampled
            self._last_s = db.execute("SELECT max(collected_at) FROM rows").fetchone()[0] or 0
        edition = EDITIONS[self.edition]
        self.side = PlatformSide(self.config, "tbox.toml", edition, self.clock, self.outbox, Random(1))
        await self.side.open()
        self.uplink = self.side.uplink
        self.tasks = [asyncio.create_task(job.run()) for job in (self.uplink, self.side.monitoring)]

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        results = await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.side.close()
        await self.outbox.close()
        faults = [result for result in results if not isinstance(result, asyncio.CancelledError)]
        assert not faults, faults

    async def report(self, count: int = 1) -> list[int]:
        """Samples of `count` seconds, told to the links as the collector does; the seconds."""
        seconds = []
        for _ in range(count):
            self._last_s = max(self._last_s + 1, self._wall_s())
            row = NewRow(self.clock.now(), self._last_s, self.edition, VIN, 1, ENGINE[self.edition])
            self.side.appended(await self.outbox.append([row], 1, 0), [row], 0)
            seconds.append(self._last_s)
        return seconds

    async def logged_in(self) -> None:
        await self.until(lambda: self.uplink.state == "logged_in")

    async def until(self, true: Callable[[], Any]) -> None:
        await until(self.clock, true, lambda: [task.result() for task in self.tasks if task.done()])

    async def passes(self, seconds: float) -> None:
        """So many seconds of the clock."""
        await self.clock.sleep_until(self.clock.now() + round(1000 * seconds))

    def _wall_s(self) -> int:
        return self.clock.wall_ms() // 1000


async def until(clock: Clock, true: Callable[[], Any], check: Callable[[], Any] = lambda: None) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            check()
            await clock.sleep_until(clock.now() + 200)


@asynccontextmanager
async def process(config: Config, clock: Clock) -> AsyncIterator[Side]:
    """From the start of the process to its clean end."""
    side = Side(config, clock)
    await side.start()
    try:
        yield side
    finally:
        await side.stop()


class Place:
    """A platform that commands; `on_order` hears of each command that is over, before anything else happens."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.clock = clock
        self.orders: list[tuple[int, int | None]] = []  # command, flag of its answer
        self.answers: list[Packet] = []
        self.on_order: Callable[[], None] = lambda: None
        self.more: dict[str, Any] = {}

    def parts(self, received: Received) -> dict[str, Any]:
        self.book = OrderBook([])
        self.commander = Commander(self.book, received, clock=self.clock, on_order=self._over)
        return {"commander": self.commander, **self.more}

    def _over(self, order: Any, arrival: Any) -> None:
        self.orders.append((order.command, order.flag))
        if arrival is not None:
            self.answers.append(arrival.packet)
        self.on_order()

    async def ask(self, text: str, flag: int | None = 1) -> None:
        """One command of `read_question`'s words; returns when it is answered, and has to be with `flag`."""
        await self.give(read_question(text), flag)

    async def give(self, line: Line, flag: int | None = 1) -> None:
        before = len(self.orders)
        self.commander.add(line)
        await until(self.clock, lambda: len(self.orders) > before)
        assert self.orders[-1][1] == flag

    def commands(self, name: str) -> list[tuple[int, int | None]]:
        """(link, answer) of each packet of this command and no answer to ours."""
        rows = self.received.read(
            "SELECT link, answer FROM packets WHERE command = ? AND response = 254 ORDER BY id", name
        )
        return [(int(link), answer) for link, answer in rows]

    def times(self, name: str) -> list[int]:
        """When the packets of a command came, ms of the clock."""
        rows = self.received.read(
            "SELECT received_ms FROM packets WHERE command = ? AND response = 254 ORDER BY id", name
        )
        return [int(ms) for (ms,) in rows]

    def seconds(self, *names: str) -> list[int]:
        """Collection times of the reports that came by these commands."""
        marks = ", ".join("?" for _ in names)
        text = f"SELECT collected_at FROM packets WHERE command IN ({marks}) AND response = 254 ORDER BY id"
        return [int(second) for (second,) in self.received.read(text, *names)]


@asynccontextmanager
async def place(
    folder: Path, clock: Clock, *, policy: Policy = POLICIES["each"], tls: ssl.SSLContext | None = None, **more: Any
) -> AsyncIterator[Place]:
    """A platform that listens on a port of its own."""
    made = Place(folder, clock)
    made.more = more
    async with bench(folder, policy, clock=clock, parts=made.parts, tls=tls) as running:
        made.received, made.platform, made.port = running.received, running.platform, running.port
        yield made


def played(test: Callable[[], Any]) -> None:
    """Run a scene with an end to its patience."""
    asyncio.run(asyncio.wait_for(test(), 2 * PATIENCE_S))


def server_side(folder: Path) -> ssl.SSLContext:
    """TLS of a platform with the certificate for localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "good.pem", folder / "good.key")
    return context


def stored(config: Config, key: str) -> Any:
    """A small value of the outbox as it lies on the disk now."""
    with contextlib.closing(sqlite3.connect(Path(config.folder) / "tbox.db")) as db:
        found = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if found is None else json.loads(found[0])
