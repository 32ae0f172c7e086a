"""The files behind a proposal: loaded as they are, and the finished mapping compiled before anybody gets to see it."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.canlog.reader import LogReader
from agent.core.editions import EDITIONS
from agent.errors import ConfigError
from agent.mapping.plan import DbcSource
from agent.progress import progress_of
from agent.suggest.behaviour import Recording, observe, wanted
from agent.suggest.candidates import Candidate, candidates_of
from agent.suggest.proposals import Proposal, observed, propose
from agent.suggest.score import context_of
from agent.suggest.write import Head, render
from agent.tomlfile import parse_toml, read_regular

if TYPE_CHECKING:
    from agent.mapping.dbcfile import Dbc
    from agent.mapping.sources import Sources

__all__ = ["Loaded", "load", "settled", "suggest", "watched"]

log = logging.getLogger(__name__)

CYCLES, LEAST_MS, MOST_MS = 10, 1000, 30000
_ROUNDS = 5


@dataclass
class Loaded:
    """DBC files by bus, the signals in them, and what had to be forgiven."""

    sources: list[DbcSource]
    dbcs: "dict[str, list[Dbc]]"
    candidates: list[Candidate]
    lenient: frozenset[str]
    notes: list[str]
    places: "Sources"


def load(buses: dict[str, list[tuple[str, Path]]]) -> Loaded:
    """`buses`: bus to (name as the mapping will have it, path). Strictly, then leniently; ConfigError where neither works."""
    from agent.mapping.dbcfile import load_dbc
    from agent.mapping.sources import Sources

    sources: list[DbcSource] = []
    notes: list[str] = []
    dbcs: dict[str, list[Dbc]] = {}
    lenient: set[str] = set()
    for bus, files in buses.items():
        found: list[tuple[str, Path, bytes, Dbc]] = []
        for written, path in files:
            try:
                data = read_regular(path)
            except OSError as error:
                raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from error
            try:
                dbc = load_dbc(str(path), data, lenient=False)
            except ConfigError as error:
                dbc = load_dbc(str(path), data, lenient=True)
                lenient.add(bus)
                reason = re.sub(r" \(lenient = true.*?\)$", "", error.faults[0])
                notes += [f"{path.name}: {line}" for line in dbc.repairs or [reason]]
            found.append((written, path, data, dbc))
        sources += [DbcSource(bus, written, path, data, bus in lenient) for written, path, data, _ in found]
        dbcs[bus] = [dbc for *_, dbc in found]
    places = Sources(dbcs, set())
    candidates = [one for bus, several in dbcs.items() for one in candidates_of(bus, several, places)]
    return Loaded(sources, dbcs, candidates, frozenset(lenient), notes, places)


def watched(loaded: Loaded, reader: "Any") -> Recording:
    """What the signals worth watching do in a recording; `reader(wanted)` opens it for those identifiers."""
    from agent.mapping.sources import Sources

    places = Sources(loaded.dbcs, set())
    asked: list[tuple[Candidate, int]] = []
    for candidate in observed(loaded.candidates, context_of(loaded.candidates)):
        place = places.place(candidate.reference)
        asked.append((candidate, places.add_operand(place, (place.factor, place.offset), [], False)))
    plan = {"buses": list(loaded.dbcs), **places.plan(), "operands": places.operand_count}
    opened: LogReader = reader(wanted(plan))
    buses = list(loaded.dbcs)
    of_channel = {bus: index for index, bus in enumerate(buses)}
    if len(buses) > 1:
        of_channel |= _channels(reader(None), loaded, buses)
    with progress_of("suggest", lambda: opened.progress, silent=True) as tick:
        return observe(opened, plan, asked, lambda channel: of_channel.get(channel, 0 if len(buses) == 1 else -1), tick)


def _channels(reader: LogReader, loaded: Loaded, buses: list[str]) -> dict[str, int]:
    """Channel of a recording to the bus whose files know most of its identifiers."""
    seen: dict[str, set[int]] = {}
    for _, channel, can_id, _ in reader:
        seen.setdefault(channel, set()).add(can_id)
    known = [{one.can_id for one in loaded.candidates if one.bus == bus} for bus in buses]
    best = {channel: max(range(len(buses)), key=lambda index: len(ids & known[index])) for channel, ids in seen.items()}
    return {channel: index for channel, index in best.items() if seen[channel] & known[index]}


def suggest(loaded: Loaded, head: Head, recording: Recording | None) -> tuple[str, list[Proposal]]:
    """The text of the mapping and what it holds; what the compiler refuses has become a comment."""
    proposals = propose(loaded.candidates, context_of(loaded.candidates), recording)
    for _ in range(_ROUNDS):
        faults = _faults(loaded, render(_with_timeouts(head, proposals, recording), proposals), head.editions)
        if not faults:
            break
        proposals = settled(proposals, faults)
    return render(_with_timeouts(head, proposals, recording), proposals), proposals


def settled(proposals: Sequence[Proposal], faults: Sequence[str]) -> list[Proposal]:
    """What a fault names becomes unsure; a fault that names nothing of ours takes all lists with it, then everything."""
    result = []
    for one in proposals:
        body, leaf = one.body, one.path.split(".")[-1]
        mine = [fault for fault in faults if re.match(rf"{body}\b.*\b{leaf}\b", fault.split(": ")[0])]
        result.append(
            one.doubted(f"the mapping's compiler: {mine[0].split(': ', 1)[-1]}") if mine and one.sure else one
        )
    if result != list(proposals):
        return result
    lists = [one for one in proposals if one.sure and one.path.split(".")[-1] in ("cells", "probes")]
    doubt = f"the mapping's compiler: {faults[0]}"
    return [one.doubted(doubt) if one.sure and (one in lists or not lists) else one for one in proposals]


def _faults(loaded: Loaded, text: str, editions: Sequence[str]) -> list[str]:
    from agent.mapping.document import compile_mapping

    document = parse_toml("proposal", text, Decimal)
    faults: list[str] = []
    for edition in editions:
        try:
            compile_mapping("proposal", document, EDITIONS[edition], loaded.sources, [])
        except ConfigError as error:
            faults += error.faults
    return faults


def _with_timeouts(head: Head, proposals: Sequence[Proposal], recording: Recording | None) -> Head:
    """Messages whose cycle time only the recording knows get a timeout by it."""
    timeouts: dict[str, int] = {}
    for one in proposals:
        candidate = one.candidate
        if recording is None or candidate is None or candidate.cycle_ms or candidate.page or not one.sure:
            continue
        cycle_ms = recording.by[candidate.reference].cycle_ms if candidate.reference in recording.by else None
        if cycle_ms and candidate.reference.count(".") == 2:
            bounded = min(max(CYCLES * cycle_ms, LEAST_MS), MOST_MS)
            timeouts[f"{candidate.bus}.{candidate.message}"] = int(bounded)
    return replace(head, timeouts_ms=timeouts)
