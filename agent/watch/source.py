"""Where `tbox watch` has its snapshots from: the agent that runs for an outbox, and while none does, the buses themselves."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple

from agent.attached.gnss import GnssReceiver
from agent.canbus.bus import CanBus
from agent.clock import Clock
from agent.core.frames import LatestFrames
from agent.mapping.plan import CompiledMapping
from agent.status import NobodyError, StatusError, follow
from agent.status_snapshot import Snapshot, fingerprint, read_snapshot, take

PERIOD_S = 1.0
ANSWER_S = 12.0  # an agent on the slowest clock tells something every 10 s

MakeBuses = Callable[[LatestFrames], tuple[list[CanBus], GnssReceiver | None]]


class Moment(NamedTuple):
    """One snapshot; `own`: of our own ears. `reason`: why then the agent is not heard."""

    snapshot: Snapshot
    own: bool
    reason: str = ""


class Ears:
    """Hears the buses of a configuration as the agent would, keeps nothing and reports nothing."""

    def __init__(self, mapping: CompiledMapping, vin: str, make_buses: MakeBuses, clock: Clock) -> None:
        self._mapping = mapping
        self._vin = vin
        self._plan = fingerprint(mapping.plan)
        self._make_buses = make_buses
        self._clock = clock
        self._latest = LatestFrames(mapping.plan)
        self._buses: list[CanBus] = []
        self._gnss: GnssReceiver | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Begin to listen."""
        self._latest = LatestFrames(self._mapping.plan, self._clock.ticks_per_ms)
        self._buses, self._gnss = self._make_buses(self._latest)
        self._tasks = [asyncio.create_task(bus.run(), name=f"bus {bus.settings.name}") for bus in self._buses]
        if self._gnss is not None:
            self._tasks.append(asyncio.create_task(self._gnss.run(), name="gnss"))

    async def close(self) -> None:
        """Let the buses go; whoever waits for an adapter can have it then."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def snapshot(self) -> Snapshot:
        """What is heard now. ConfigError for a bus that will never open."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()  # of a recording at its end: nothing
        for bus in self._buses:
            bus.refresh()
        return take(self._mapping, self._plan, self._vin, self._latest, self._buses, self._gnss, self._clock)


async def moments(path: Path, ears: Ears) -> AsyncGenerator[Moment, None]:
    """A snapshot a second, for ever: of the agent whose status socket is `path`, of our own ears while there is none."""
    while True:
        reason = ""
        try:
            async for snapshot in agents(path):
                yield Moment(snapshot, False)
        except StatusError as error:
            reason = "" if isinstance(error, NobodyError) else str(error)
        ears.open()
        agent = asyncio.create_task(_appears(path))
        try:
            while not agent.done():
                yield Moment(ears.snapshot(), True, reason)
                await asyncio.wait({agent}, timeout=PERIOD_S)
        finally:
            agent.cancel()
            await asyncio.gather(agent, return_exceptions=True)
            await ears.close()


async def agents(path: Path) -> AsyncGenerator[Snapshot, None]:
    """What a running agent tells; StatusError when there is none, or when it falls silent, or when it is not understood."""
    async with aclosing(follow(path)) as following:
        while True:
            try:
                given = await asyncio.wait_for(anext(following), ANSWER_S)
            except TimeoutError as error:
                raise StatusError(f"the agent behind {path} says nothing for {ANSWER_S:.0f} s") from error
            except StopAsyncIteration:
                return
            yield read_snapshot(given)


async def _appears(path: Path) -> None:
    """Until an agent says something that is understood."""
    while True:
        await asyncio.sleep(PERIOD_S)
        try:
            async with aclosing(agents(path)) as snapshots:
                await anext(snapshots)
                return
        except StatusError:
            continue
