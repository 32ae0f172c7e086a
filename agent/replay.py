"""Recorded logs to the packets that would be sent: the same frames, samples and reports, as fast as they can be read."""

import heapq
import itertools
import logging
from collections.abc import Callable, Container, Iterable, Iterator
from typing import Any

import msgspec

from agent.canlog.reader import LogReader, MaskedIds
from agent.core.edition import Edition
from agent.core.frames import LatestFrames
from agent.core.packet import COMMAND, PLAIN, build_packet, time_bytes
from agent.core.report import Schedule, encode_report
from agent.core.sampler import Sampler
from agent.core.session import REALTIME

log = logging.getLogger(__name__)

Keep = Callable[[int, bytes | bytearray, int], None]

SECOND_US = 1_000_000
EXACT = -1  # identifier mask of a plan's message that compares every bit
TICKS_PER_MS = 1_000  # stamps are the log's microseconds


class ReplayCounters(msgspec.Struct):
    """`frames` read from all logs, wanted or not; `seconds` sampled; `packets` made; `strangers`: frames of channels that
    belong to no bus."""

    frames: int = 0
    seconds: int = 0
    packets: int = 0
    strangers: int = 0


class Replay:
    """One pass over logs: iterate to get packets. `buses` are (bus name, channel as the log writes it) in plan order."""

    def __init__(
        self,
        *,
        edition: Edition,
        vin: bytes,
        plan: dict[str, Any],
        logs: list[LogReader],
        buses: list[tuple[str, str]],
        interval_s: int,
        start_s: int,
    ) -> None:
        self.counters = ReplayCounters()
        self.latest = LatestFrames(plan, TICKS_PER_MS)
        self._edition = edition
        self._vin = vin
        self._sampler = Sampler(plan, TICKS_PER_MS)
        self._logs = logs
        self._buses = buses
        self._schedule = Schedule(interval_s * 1000)
        self._start_s = start_s
        self._keepers: dict[str, Keep] = {}  # by channel

    def __iter__(self) -> Iterator[bytes]:
        """Packets in order: a report at the first second, each interval, and once at the end."""
        frames = self._frames()
        begun = list(itertools.islice(frames, 1))  # a reader knows its first stamp when it has read a block
        if not any(reader.frames for reader in self._logs):
            return
        first_us = min(reader.start_us for reader in self._logs if reader.frames)
        base_us = 0 if all(reader.absolute for reader in self._logs) else self._start_s * SECOND_US - first_us
        boundary = (first_us + base_us) // SECOND_US * SECOND_US + SECOND_US - base_us
        keeper_of = self._keepers
        for t_us, channel, can_id, data in itertools.chain(begun, frames):
            while t_us >= boundary:
                yield from self._sample(boundary, boundary + base_us)
                boundary += SECOND_US
            keep = keeper_of.get(channel)
            if keep is None:
                keep = keeper_of[channel] = self._keeper_of(channel)
            keep(can_id, data, t_us)
        self.counters.frames = sum(reader.frames for reader in self._logs)
        last_us = max(reader.end_us for reader in self._logs)
        while last_us >= boundary:
            yield from self._sample(boundary, boundary + base_us)
            boundary += SECOND_US
        yield from self._sample(last_us, boundary + base_us, final=True)

    def _frames(self) -> Iterator[tuple[int, str, int, bytes]]:
        if len(self._logs) == 1:
            return iter(self._logs[0])
        return heapq.merge(*self._logs, key=_time)

    def _sample(self, stamp: int, wall_us: int, final: bool = False) -> Iterable[bytes]:
        self.counters.seconds += 1
        second = wall_us // SECOND_US
        if not self._schedule.due(second * 1000) and not final:
            return
        bodies = self._sampler.sample(self.latest, stamp)
        for encoded in encode_report(self._edition, bodies):
            self.counters.packets += 1
            unit = time_bytes(second) + encoded
            yield build_packet(self._edition.start, REALTIME, COMMAND, self._vin, PLAIN, unit)

    def _keeper_of(self, channel: str) -> Keep:
        """Where frames of a channel go: to the bus of that name, or that the configuration gives it, or the only one."""
        for index, bus in enumerate(self._buses):
            if channel in bus:
                return self.latest.keeper(index)
        if len(self._buses) == 1 and not self._keepers:
            return self.latest.keeper(0)
        known = ", ".join(f"{name} = {configured}" for name, configured in self._buses)
        log.warning("channel %r of the log belongs to no bus and is left out; buses: %s", channel, known)
        return self._stranger

    def _stranger(self, _can_id: int, _data: bytes | bytearray, _t_us: int) -> None:
        self.counters.strangers += 1


def wanted_ids(plan: dict[str, Any]) -> Container[int]:
    """The identifiers that a plan reads, on whichever bus; the rest of a log need not be parsed."""
    latest = LatestFrames(plan)
    buses = range(len(plan["buses"]))
    if any(id_mask != EXACT for _, _, id_mask, *_ in plan["messages"]):
        return MaskedIds([pair for bus in buses for pair in latest.wanted(bus)])
    return {can_id for bus in buses for can_id in latest.wanted_ids(bus)}


def _time(frame: tuple[int, str, int, bytes]) -> int:
    return frame[0]
