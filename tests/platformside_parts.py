"""Everything between the outbox and the platform, as the agent joins it, for tests of platforms that do not behave."""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from commanded_parts import VIN, make_config

from agent.clock import Clock
from agent.config import Config
from agent.core.editions import EDITIONS
from agent.core.packet import time_bytes
from agent.outbox import NewRow
from agent.outbox_thread import OutboxThread
from agent.platform.side import PlatformSide
from agent.security import Security

SPEED = 200
START_S = 1_700_000_000
PERIOD_S = 10
PATIENCE_S = 40
ENGINES = {"2016": b"\x04\x01%c%c\x00\x00", "2025": b"\x04%c%c"}  # a body whose contents name the row

Stored = list[tuple[int, int, str, str, int, bytes]]


def body(edition: str, number: int) -> bytes:
    return ENGINES[edition] % divmod(number, 256)


def config_for(folder: Path, edition: str, port: int, security: dict[str, Any] | None = None, **control: Any) -> Config:
    platform = {
        "host": "127.0.0.1",
        "port": port,
        "settle_s": 2,
        "drain_per_s": 0,
        "login_wait_min": 1,
        "time_sync": True,
    }
    config = make_config(folder, edition, platform, **control)
    return msgspec.structs.replace(config, security=Security(**(security or {})))


class Terminal:
    """The agent without buses: a real outbox, parameters, keys and the uplink."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self.config = config
        self.clock = clock
        self.edition = config.vehicle.edition

    @property
    def file(self) -> Path:
        return Path(self.config.folder, "tbox.db")

    async def start(self) -> None:
        self.outbox = await OutboxThread.open(self.file, wall_s=lambda: START_S + 3600, now_ms=self.clock.now)
        edition = EDITIONS[self.edition]
        self.side = PlatformSide(self.config, "tbox.toml", edition, self.clock, self.outbox, random.Random(1))
        await self.side.open()
        self.uplink = self.side.uplink
        self.task = asyncio.create_task(self.uplink.run())

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.side.close()
        await self.outbox.close()

    async def append(self, first: int, count: int) -> None:
        """Rows of consecutive samples."""
        for number in range(first, first + count):
            at = START_S + PERIOD_S * number
            row = NewRow(self.clock.now(), at, self.edition, VIN, 1, body(self.edition, number))
            self.side.appended(await self.outbox.append([row], PERIOD_S, PERIOD_S - 1), [row], 0)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what announces itself nowhere."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                if self.task.done():
                    self.task.result()
                await self.clock.sleep_until(self.clock.now() + 500)

    async def delivered(self, count: int) -> None:
        await self.until(lambda: self.uplink.sending.counters.proven >= count)

    def rows(self) -> Stored:
        """What identifies each row of the outbox."""
        with closing(sqlite3.connect(self.file)) as db:
            return db.execute("SELECT id, collected_at, edition, vin, part, bodies FROM rows ORDER BY id").fetchall()

    def states(self) -> set[str]:
        with closing(sqlite3.connect(self.file)) as db:
            return {state for (state,) in db.execute("SELECT DISTINCT state FROM rows")}


@asynccontextmanager
async def terminal(
    folder: Path, edition: str, port: int, *, clock: Clock, security: dict[str, Any] | None = None, **control: Any
) -> AsyncIterator[Terminal]:
    made = Terminal(config_for(folder, edition, port, security, **control), clock)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


def reports(file: Path | str) -> set[bytes]:
    """The plain units of all good reports that a platform keeps."""
    with closing(sqlite3.connect(file)) as db:
        kept = "SELECT coalesce(opened, substr(raw, 25, length(raw) - 25)) FROM packets"
        return {unit for (unit,) in db.execute(kept + " WHERE command IN ('realtime', 'reissue') AND fault IS NULL")}


def units(edition: str, count: int) -> set[bytes]:
    """What these reports have to be."""
    return {time_bytes(START_S + PERIOD_S * number) + body(edition, number) for number in range(count)}


@contextmanager
def nothing_changed(made: Terminal, count: int) -> Iterator[None]:
    """Every row that stands in the outbox keeps id, time, vehicle and bodies, whatever happens; no other appears."""
    before = made.rows()
    yield
    assert made.rows() == before
    assert len(before) == count
