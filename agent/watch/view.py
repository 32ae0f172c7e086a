"""From one moment to what is shown of it: rows of items, buses with their rates, and whether the agent's mapping is ours."""

import msgspec

from agent.core.frames import LatestFrames
from agent.mapping.plan import CompiledMapping
from agent.status_snapshot import BusState, Snapshot, fingerprint, restore
from agent.watch.places import Place
from agent.watch.rows import Row, Rows
from agent.watch.source import Moment


class View(msgspec.Struct):
    """Everything on the screen. `own`: heard with own ears, for `reason`; `other`: the agent has another mapping.

    There are no `rows` then.
    """

    snapshot: Snapshot
    own: bool
    reason: str
    other: bool
    rows: list[Row]
    buses: list[BusState]


class Watcher:
    """Makes views of the moments of one mapping, in their order; rates are those since the moment before."""

    def __init__(self, mapping: CompiledMapping) -> None:
        self.mapping = mapping
        self._rows = Rows(mapping)
        self._plan = fingerprint(mapping.plan)
        self._before: Moment | None = None

    def place(self, item: str) -> Place | None:
        """Where an item stands in the standard's tables."""
        return self._rows.place(item)

    def see(self, moment: Moment) -> View:
        """What to show of a moment."""
        snapshot = moment.snapshot
        same = snapshot.plan == self._plan and len(snapshot.sources) == len(self.mapping.plan["sources"])
        rows = self._read(snapshot) if same else []
        view = View(snapshot, moment.own, moment.reason, not same, rows, self._rates(moment))
        self._before = moment
        return view

    def _read(self, snapshot: Snapshot) -> list[Row]:
        latest = LatestFrames(self.mapping.plan)
        restore(latest, snapshot.sources, snapshot.now)
        names = self.mapping.buses
        away = {names.index(bus.name) for bus in snapshot.buses if not bus.is_open and bus.name in names}
        return self._rows.rows(latest, snapshot.now, away)

    def _rates(self, moment: Moment) -> list[BusState]:
        """Frames a second where the interface does not count them itself: those that were handed over."""
        before = self._before
        if before is None or before.own != moment.own or moment.snapshot.now <= before.snapshot.now:
            return moment.snapshot.buses
        frames = {bus.name: bus.frames for bus in before.snapshot.buses}
        seconds = (moment.snapshot.now - before.snapshot.now) / 1000
        buses = []
        for bus in moment.snapshot.buses:
            more = bus.frames - frames.get(bus.name, bus.frames)
            if bus.frames_s is None and more >= 0:
                bus = msgspec.structs.replace(bus, frames_s=more / seconds)
            buses.append(bus)
        return buses
