"""Watches over one bus from outside its receive path: says what is wrong, and makes what it said invalid once it is away.

It looks at an open bus once a second, because not each loss reaches a socket: one that is bound to an interface which was removed
and made anew, and whose error somebody else has fetched, hears nothing for ever and does not complain.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Protocol

from agent.canbus.arguments import EXTENDED, BusSettings
from agent.canbus.link import Link, Place
from agent.canbus.load import BusLoad
from agent.canbus.trouble import Trouble
from agent.clock import Clock
from agent.errors import BusError

LOOK_S = 1.0
BACK_MS = 500  # how often an interface that is not there is looked for

log = logging.getLogger(__name__)


class Counts(Protocol):
    """What was wrong with the frames of one bus."""

    short: int
    unknown_mux: int
    bad_checksum: int
    stuck_counter: int


class Kept(Protocol):
    """The part of LatestFrames that is needed here."""

    @property
    def by_bus(self) -> Sequence[Counts]: ...
    def forget(self, bus: int) -> None: ...
    def wanted(self, bus: int) -> list[tuple[int, int]]: ...


class Guard:
    """Trouble and load of one bus, and its place in the system; `index` is the bus's number in the compiled plan."""

    def __init__(self, settings: BusSettings, index: int, latest: Kept, clock: Clock) -> None:
        self._settings = settings
        self._index = index
        self._latest = latest
        self._clock = clock
        self._place = Place(settings)
        self._said: str | None = None
        self.trouble = Trouble(self._place.name)
        extended = [bool(can_id & EXTENDED) for can_id, _ in latest.wanted(index)]
        self.load = BusLoad(settings.bitrate or 0, settings.data_bitrate or 0, 2 * sum(extended) > len(extended))

    async def attend(self, receive: Callable[[], Coroutine[object, object, None]], frames: Callable[[], int]) -> None:
        """Receive until cancelled, looking on; `frames` tells how many were received so far.

        Raises what `receive` raises, and BusError when the interface is not there, goes down, or is another than before.
        """
        if fault := self._place.fault():
            raise self._away(fault)
        before = self._place.link()
        if self._settings.listen_only and (text := self._place.acknowledges(before)) and text != self._said:
            self._said = text  # once: the interface stays as it is, however often the bus is opened again
            log.warning("bus=%s: %s", self._settings.name, text)
        receiving = asyncio.ensure_future(receive())
        try:
            while not (await asyncio.wait({receiving}, timeout=LOOK_S))[0]:
                self._look(before, frames())
        finally:
            if not receiving.done():
                receiving.cancel()
                await asyncio.wait({receiving})
        await receiving

    async def wait(self, delay_ms: int) -> bool:
        """Wait before the bus is opened again; True: its interface was not there, and has come back."""
        due = self._clock.now() + delay_ms
        if self._place.fault() is None:
            await self._clock.sleep_until(due)
            return False
        while (now := self._clock.now()) < due:
            await self._clock.sleep_until(min(due, now + BACK_MS))
            if self._place.fault() is None:
                return True
        return False

    def opened(self) -> int:
        """The bus is open; the ms it was away."""
        return self.trouble.opened(self._clock.now())

    def closed(self, reason: str) -> None:
        """The bus is away: nothing that it said is valid any more."""
        self.trouble.closed(self._clock.now(), reason)
        self._latest.forget(self._index)

    def counts(self) -> dict[str, int]:
        """All that went wrong since the start, by name: `Trouble.COUNTS`, and what the frames lacked."""
        wrong = self._latest.by_bus[self._index]
        return self.trouble.counts(self._clock.now()) | {
            "short": wrong.short,
            "unknown_mux": wrong.unknown_mux,
            "bad_checksum": wrong.bad_checksum,
            "stuck_counter": wrong.stuck_counter,
        }

    def _look(self, before: Link | None, frames: int) -> None:
        link, now = self._place.link(), self._clock.now()
        if link and before and (link.ifindex != before.ifindex or not link.up):
            raise self._away(self._place.fault() or f"{self._place.name} was removed and made anew")
        self.load.look(now, link)
        if self.trouble.look(now, frames, link):
            self._latest.forget(self._index)  # bus-off: the controller hears nothing
        for text in self.trouble.due(now):
            log.warning("bus=%s: %s", self._settings.name, text)

    def _away(self, reason: str) -> BusError:
        return BusError(self._settings.interface, str(self._settings.channel), reason)
