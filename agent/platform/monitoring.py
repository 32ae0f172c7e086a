"""Sampling monitoring (control 07, parameter 10): a second link, to the public platform, that carries live reports only.

It owes that platform nothing: what it could not send at its time it never sends. The backlog is the first platform's alone.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Container

from agent.outbox import Fate, NewRow, Row
from agent.platform.parameters import Endpoint, SmallValues
from agent.platform.uplink import Uplink

log = logging.getLogger(__name__)


class LiveOnly:
    """A store without a backlog; serials of logins are counted apart from the first platform's."""

    def __init__(self, small: SmallValues) -> None:
        self._small = small

    async def batch(self, _limit: int, _after_id: int = 0, _skip: Container[int] = ()) -> list[Row]:
        return []

    def accept(self, _ids: list[int], _fate: Fate) -> None:
        return

    def refuse(self, _ids: list[int], _flag: int) -> None:
        return

    async def meta_get(self, key: str) -> str | None:
        return await self._small.meta_get(f"public {key}")

    async def meta_set(self, key: str, value: str) -> bool:
        return await self._small.meta_set(f"public {key}", value)


class Monitoring:
    """Keeps the second link while it is wanted; `make` makes its uplink for one endpoint."""

    def __init__(self, make: Callable[[Endpoint], Uplink]) -> None:
        self.uplink: Uplink | None = None
        self._make = make
        self._wanted: Endpoint | None = None
        self._active = True
        self._changed = asyncio.Event()

    def want(self, endpoint: Endpoint | None) -> None:
        """Where the second link has to stand from now on; None: nowhere."""
        if endpoint != self._wanted:
            self._wanted = endpoint
            self._changed.set()

    def appended(self, ids: list[int], rows: list[NewRow]) -> None:
        """Rows of the sample just taken."""
        if self.uplink is not None:
            self.uplink.appended(ids, rows)

    def phase(self, active: bool) -> None:
        """Whether the vehicle has something to report; without, the second link rests like the first."""
        self._active = active
        if self.uplink is not None:
            self.uplink.phase(active)

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._wanted is None:
                continue
            log.warning("sampling monitoring begins platform=%s:%d", self._wanted.host, self._wanted.port)
            self.uplink = self._make(self._wanted)
            self.uplink.phase(self._active)
            link = asyncio.create_task(self.uplink.run(), name="uplink of sampling monitoring")
            change = asyncio.create_task(self._changed.wait())
            try:
                await asyncio.wait({link, change}, return_when=asyncio.FIRST_COMPLETED)
                if link.done():
                    link.result()
            finally:
                self.uplink = None
                for task in (link, change):
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task
            log.warning("sampling monitoring ends")
