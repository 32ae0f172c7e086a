"""The live status of a running agent, put together from its parts for `agent/status.py`, when somebody asks."""

from typing import Any

import msgspec

from agent.attached.gnss import GnssReceiver
from agent.canbus.bus import CanBus
from agent.clock import Clock
from agent.config import Config
from agent.core.frames import LatestFrames
from agent.outbox_thread import OutboxThread
from agent.platform.side import PlatformSide
from agent.signalmap import CompiledMapping
from agent.status_snapshot import OUTBOX_MS, LinkState, OutboxState, fingerprint, outbox_state, take


class Status:
    """Makes snapshots; keeps only what is dear to find out."""

    def __init__(
        self,
        config: Config,
        mapping: CompiledMapping,
        latest: LatestFrames,
        clock: Clock,
        buses: list[CanBus],
        gnss: GnssReceiver | None,
        outbox: OutboxThread,
        platform: PlatformSide,
    ) -> None:
        self._vin = config.vehicle.vin
        self._mapping = mapping
        self._latest = latest
        self._clock = clock
        self._buses = buses
        self._gnss = gnss
        self._outbox = outbox
        self._platform = platform
        self._plan = ""
        self._stored: OutboxState | None = None
        self._asked_ms = 0

    async def snapshot(self) -> dict[str, Any]:
        """One `Snapshot`, ready for JSON. OutboxError as any other call of the outbox."""
        if self._stored is None or self._clock.now() - self._asked_ms >= OUTBOX_MS:
            self._stored, self._asked_ms = outbox_state(await self._outbox.stats()), self._clock.now()
        self._plan = self._plan or fingerprint(self._mapping.plan)
        snapshot = take(self._mapping, self._plan, self._vin, self._latest, self._buses, self._gnss, self._clock)
        uplink = self._platform.uplink
        endpoint, since_ms = uplink.link
        snapshot.outbox = self._stored
        snapshot.link = LinkState(uplink.state, endpoint or self._platform.endpoint(), since_ms)
        return dict(msgspec.to_builtins(snapshot))
