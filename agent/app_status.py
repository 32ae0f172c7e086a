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
from agent.status_snapshot import (
    OUTBOX_MS,
    VIN_LETTERS,
    LinkState,
    OutboxState,
    Snapshot,
    bus_states,
    fingerprint,
    outbox_state,
    sources_of,
)


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
        self._vin = config.vehicle.vin[-VIN_LETTERS:]
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
        uplink, stamp = self._platform.uplink, self._clock.stamp()
        endpoint, since_ms = uplink.link
        snapshot = Snapshot(
            now=self._clock.at(stamp),
            wall_ms=self._clock.wall_ms(),
            vin=self._vin,
            mapping=self._mapping.name,
            edition=self._mapping.edition_name,
            plan=self._plan,
            sources=sources_of(self._latest, stamp, self._clock.ticks_per_ms),
            buses=bus_states(self._buses, self._gnss, self._clock.at(stamp)),
            outbox=self._stored,
            link=LinkState(uplink.state, endpoint or self._platform.endpoint(), since_ms),
        )
        return dict(msgspec.to_builtins(snapshot))
