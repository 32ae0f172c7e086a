"""What the rows `bus` and `raw` do inside a kernel with CAN: python -m bench.perf.canwork SIZE; prints for `guest.watch`.

One process does it all, one phase after the other: the kernel sends, the phase's receiver listens.
"""

import asyncio
import random
import selectors
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from agent.canbus.bus import CanBus
from agent.clock import Clock
from agent.config import Can
from agent.core.frames import LatestFrames
from bench.perf.busload import Load, Reference
from bench.perf.guest import BUSES, phase
from bench.perf.traffic import compiled_plan, dbc_text

TENTH = 10  # times slower
SENDING_S = 2
PACE_S = 0.05  # how often the reference reader takes what has come, so that its queue never fills up


class Size(NamedTuple):
    """Rounds of both loads, samples of each; seconds of the other phases; samples that are compared."""

    rounds: int
    samples: int
    raw_s: int
    peer_s: int
    drops_s: int
    compared: int


SIZES = {"full": Size(3, 4, 6, 6, 6, 12), "quick": Size(2, 4, 4, 4, 3, 6), "small": Size(1, 2, 2, 2, 2, 4)}


class _Selector(selectors.DefaultSelector):
    """Knows how long the loop has waited: the rest of the time it was busy."""

    def __init__(self) -> None:
        super().__init__()
        self.waited = 0.0

    def select(self, timeout: float | None = None) -> Any:
        begun = time.perf_counter()
        try:
            return super().select(timeout)
        finally:
            self.waited += time.perf_counter() - begun


class Work:
    """The phases; `waiting` is the selector of the loop that runs them."""

    def __init__(self, size: Size, waiting: _Selector) -> None:
        self._size = size
        self._waiting = waiting
        self._clock = Clock()
        self._plan = compiled_plan()

    async def run(self) -> None:
        for _ in range(self._size.rounds):
            with Load(BUSES[:1]):
                with phase("sending"):
                    await asyncio.sleep(SENDING_S)
                await self._bcm("bcm")
            with Load(BUSES[:1], TENTH):
                await self._bcm("bcm at a tenth")
        with Load(BUSES[:1]):
            await self.newest()
            async with self._buses(BUSES[:1], bcm=False) as (bus,):
                await self._samples([bus], 1)
                await self._for("raw", [bus], self._size.raw_s)
        with Load(BUSES):
            async with self._buses(BUSES, bcm=False) as buses:
                await self._samples(buses, 1)
                await self._for("three raw", buses, self._size.drops_s)

    @asynccontextmanager
    async def _buses(self, channels: Sequence[str], *, bcm: bool) -> AsyncIterator[list[CanBus]]:
        """Open buses, each with newest frames of its own."""
        async with AsyncExitStack() as stack:
            buses = []
            for channel in channels:
                settings = Can(name=channel, interface="socketcan", channel=channel, bcm=bcm)
                bus = CanBus(settings, 0, LatestFrames(self._plan), self._clock, Random(1))
                task = asyncio.create_task(bus.run())
                stack.push_async_callback(asyncio.wait, [task])
                stack.callback(task.cancel)
                await bus.is_open.wait()
                buses.append(bus)
            yield buses

    async def _samples(self, buses: list[CanBus], count: int) -> list[float]:
        """Sample on the second, `count` times; the share of each second in which the loop was busy."""
        busy: list[float] = []
        since, waited = time.perf_counter(), self._waiting.waited
        for _ in range(count):
            await self._clock.sleep_until(self._clock.next_second())
            for bus in buses:
                bus.refresh()
            now = time.perf_counter()
            busy.append(1 - (self._waiting.waited - waited) / (now - since))
            since, waited = now, self._waiting.waited
        return busy

    async def _bcm(self, name: str) -> None:
        async with self._buses(BUSES[:1], bcm=True) as (bus,):
            await self._samples([bus], 2)
            await self._for(name, [bus], self._size.samples)

    async def _for(self, name: str, buses: list[CanBus], samples: int) -> None:
        """A phase of so many seconds with a sample in each."""
        with phase(name) as result, _Traffic(buses[0].settings.channel) as traffic:
            before = [(bus.frames, bus.feed.dropped) for bus in buses]
            busy = await self._samples(buses, samples)
            result["busy"] = busy
            result["frames"] = sum(bus.frames - frames for bus, (frames, _) in zip(buses, before, strict=True))
            result["dropped"] = sum(bus.feed.dropped - dropped for bus, (_, dropped) in zip(buses, before, strict=True))
            result |= traffic.told()

    async def newest(self) -> None:
        """Samples at any moment of a second, each value compared with what a reader of all frames has before and after."""
        moments = random.Random(5)
        async with self._buses(BUSES[:1], bcm=True) as (bus,):
            frames = bus.feed.latest.frames
            slots = {can_id: slot for can_id, (slot, _) in bus.feed.latest.plain(0).items()}
            with Reference(BUSES[0]) as reference, phase("newest") as result:
                while not slots.keys() <= reference.newest.keys():
                    reference.take()
                    await asyncio.sleep(PACE_S)
                compared = stale = 0
                for _ in range(self._size.compared):
                    for _ in range(moments.randrange(4, 14)):
                        await asyncio.sleep(PACE_S * moments.random())
                        reference.take()
                    bus.refresh()
                    seen = {can_id: frames[slot] for can_id, slot in slots.items()}
                    before = dict(reference.newest)
                    after = dict(reference.take())
                    stale += _stale(seen, before, after)
                    compared += len(seen)
                result |= {"compared": compared, "stale": stale, "missed": reference.missed}


def _stale(seen: dict[int, Any], before: dict[int, int], after: dict[int, int]) -> int:
    """How many of the values are older than what had been sent before the sample, or newer than what is known of."""
    return sum(
        not data or (data[0] - before[can_id]) % 256 > (after[can_id] - before[can_id]) % 256
        for can_id, data in seen.items()
    )


class _Traffic:
    """CPU of this process, and what its bus carried."""

    def __init__(self, channel: str | int) -> None:
        self._counter = Path(f"/sys/class/net/{channel}/statistics/rx_packets")

    def __enter__(self) -> "_Traffic":
        self._begun, self._carried, self._cpu = time.perf_counter(), self._now(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def _now(self) -> int:
        return int(self._counter.read_text())

    def told(self) -> dict[str, float]:
        """`process`: share of a core; `carried`: frames on the bus; `seconds`."""
        spent = time.process_time() - self._cpu
        took = time.perf_counter() - self._begun
        return {"process": spent / took, "carried": self._now() - self._carried, "seconds": took}


def peer(seconds: int) -> None:
    """python-can's Notifier with a listener that has cantools decode the mapped messages."""
    import can
    import cantools

    database: Any = cantools.database.load_string(dbc_text(), "dbc")
    known = {message.frame_id for message in database.messages}

    class Decoder(can.Listener):
        frames = 0
        values: dict[int, Any] = {}  # noqa: RUF012 - there is one of it

        def on_message_received(self, msg: can.Message) -> None:
            self.frames += 1
            if msg.arbitration_id in known:
                self.values[msg.arbitration_id] = database.decode_message(
                    msg.arbitration_id, msg.data, decode_choices=False
                )

    decoder = Decoder()
    with Load(BUSES[:1]), can.Bus(interface="socketcan", channel=BUSES[0]) as bus:
        notifier = can.Notifier(bus, [decoder])
        time.sleep(1)
        with phase("peer") as result, _Traffic(BUSES[0]) as traffic:
            before = decoder.frames
            time.sleep(seconds)
            result |= traffic.told() | {"frames": decoder.frames - before}
        notifier.stop()


def main(size: Size) -> None:
    waiting = _Selector()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(waiting)) as runner:
        runner.run(Work(size, waiting).run())
    peer(size.peer_s)


if __name__ == "__main__":
    main(SIZES[sys.argv[1]])
