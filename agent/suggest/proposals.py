"""The best signal for every item, whether one can be sure of it, and how the mapping writes it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from agent.suggest.behaviour import Recording
from agent.suggest.candidates import Candidate
from agent.suggest.evidence import current_sign, judged, sign_by_words
from agent.suggest.items import ITEMS, Item
from agent.suggest.lists import Family, families
from agent.suggest.names import concepts
from agent.suggest.score import SURE, Context, Scored, score

__all__ = ["Proposal", "observed", "propose"]

OBSERVED = 8  # signals per item that a recording is asked about
MOST_LISTED = 512
RIVAL = 0.06  # closer than this a second signal is as good
SHOWN_OTHERS = 2
_PACK_BODIES = {
    "cells": ("storage_voltages", "unit_voltages"),
    "probes": ("storage_temperatures", "battery_temperatures"),
}


@dataclass(frozen=True)
class Proposal:
    """One item of the mapping: `text` is its value in TOML. Not `sure`: written as a comment.

    `place`: message.signal; `choices`: further lines offered as comments (both signs of a current). `repeat`: motors that
    {n} in `text` counts.
    """

    path: str
    text: str
    place: str
    score: float
    sure: bool
    reasons: tuple[str, ...]
    doubts: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    repeat: int = 1
    candidate: Candidate | None = None

    @property
    def body(self) -> str:
        return self.path.split(".")[0]

    def doubted(self, doubt: str) -> "Proposal":
        return replace(self, sure=False, doubts=(*self.doubts, doubt))


def observed(candidates: Sequence[Candidate], context: Context) -> list[Candidate]:
    """The signals worth watching in a recording: the best few of every item, and the members of lists."""
    found: dict[str, Candidate] = {}
    for item in ITEMS:
        for scored in _ranked(item, candidates, context, None)[:OBSERVED]:
            found[scored.candidate.reference] = scored.candidate
    for family in families(candidates):
        for member in family.members[: max(0, MOST_LISTED - len(found))]:
            found[member.reference] = member
    return [candidate for candidate in found.values() if not candidate.faulty and not candidate.text]


def propose(candidates: Sequence[Candidate], context: Context, recording: Recording | None) -> list[Proposal]:
    """Proposals in the order of the standard's tables, sure and unsure."""
    ranked = {item.path: _ranked(item, candidates, context, recording) for item in ITEMS}
    chosen: dict[str, Scored] = {}
    for item in ITEMS:
        if ranked[item.path]:
            chosen[item.path] = _best(ranked[item.path], chosen.get("drive_motors.motors.torque"))
    chosen = _of_the_pack(_told_apart(chosen))
    proposals = []
    references = {candidate.reference for candidate in candidates}
    for path, scored in chosen.items():
        proposal = _proposal(scored, ranked[path], references)
        if path == "vehicle.total_current":
            proposal = _signed(proposal, scored, chosen, recording)
        proposals.append(proposal)
    return _pairs_whole(_motors_together(proposals)) + _lists(candidates, recording)


def _ranked(item: Item, candidates: Iterable[Candidate], context: Context, recording: Recording | None) -> list[Scored]:
    found = [scored for candidate in candidates if (scored := score(item, candidate, context)) is not None]
    if recording is not None:
        found = [judged(scored, recording) for scored in found]
    return sorted(
        found, key=lambda one: (-one.score, len(one.doubts), len(one.candidate.name), one.candidate.reference)
    )


def _best(ranked: list[Scored], motor: Scored | None) -> Scored:
    """The first, or of those as good the one on the same control unit as the motor's torque; doubted where rivals differ."""
    best = ranked[0]
    near = [one for one in ranked if one.score >= best.score - RIVAL and one.sure == best.sure]
    if motor is not None and "motor" in best.item.path:
        best = max(near, key=lambda one: _shared(one.candidate.place, motor.candidate.place))
    strangers = [one for one in near if not _alike(one.candidate, best.candidate)]
    if best.sure and strangers:
        return best.changed(1.0, doubt=f"as good: {strangers[0].candidate.place} ({strangers[0].score:.2f})")
    return best


def _shared(one: str, other: str) -> int:
    """Letters that two texts have in common at their beginning."""
    return next(
        (index for index, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]),
        min(len(one), len(other)),
    )


def _alike(one: Candidate, other: Candidate) -> bool:
    """Two names of the same quantity: what the shorter says, the longer says too."""
    first, second = concepts(one.name)[0], concepts(other.name)[0]
    return first <= second or second <= first


def _told_apart(chosen: dict[str, Scored]) -> dict[str, Scored]:
    """A signal fills one item; where it is the best of two, the lower score gives way."""
    owner: dict[str, str] = {}
    for path, scored in sorted(chosen.items(), key=lambda pair: -pair[1].score):
        owner.setdefault(scored.candidate.reference, path)
    return {path: scored for path, scored in chosen.items() if owner[scored.candidate.reference] == path}


def _of_the_pack(chosen: dict[str, Scored]) -> dict[str, Scored]:
    """Hybrids have two batteries: current and SOC are the pack's by their names, or by standing beside its voltage."""
    voltage = chosen.get("vehicle.total_voltage")
    beside = voltage.candidate.message if voltage is not None and voltage.score >= SURE else ""
    result = {}
    for path, scored in chosen.items():
        candidate = scored.candidate
        named = "pack" in concepts(candidate.name)[0] | concepts(candidate.message)[0]
        alone = scored.item.high_voltage and not named and candidate.message != beside
        result[path] = (
            scored.changed(0.95, doubt="may be that of the 12 V battery: nothing says pack") if alone else scored
        )
    return result


def _proposal(scored: Scored, ranked: list[Scored], references: set[str]) -> Proposal:
    candidate = scored.candidate
    others = [
        f"{one.score:.2f} {one.candidate.reference}"
        for one in ranked
        if one.candidate is not scored.candidate and one.score >= scored.score / 2
    ]
    pattern, count = _counted(candidate, references) if "motors" in scored.item.path else (candidate.reference, 1)
    return Proposal(
        scored.item.path,
        _value(scored, pattern),
        candidate.place,
        scored.score,
        scored.sure,
        (*scored.reasons, *_facts(candidate)),
        scored.doubts,
        tuple(others[:SHOWN_OTHERS]),
        repeat=count,
        candidate=candidate,
    )


def _facts(candidate: Candidate) -> list[str]:
    """What else the DBC says: page, cycle time."""
    facts = [f"page {candidate.page}"] if candidate.page else []
    return facts + ([f"every {candidate.cycle_ms} ms"] if candidate.cycle_ms else [])


def _value(scored: Scored, reference: str, sign: int = 1) -> str:
    """The value as TOML: a text, or a table with what has to be said beside the name."""
    parts = [f'signal = "{reference}"']
    if sign != 1:
        parts.append("sign = -1")
    if scored.unit:
        parts.append(f'unit = "{scored.unit}"')
    if scored.values:
        parts.append(
            "values = { " + ", ".join(f'{raw} = "{word}"' for raw, word in sorted(scored.values.items())) + " }"
        )
    if scored.absent:
        parts.append(f"not_available_raw = [{', '.join(str(raw) for raw in scored.absent)}]")
    return f'"{reference}"' if len(parts) == 1 else "{ " + ", ".join(parts) + " }"


def _signed(proposal: Proposal, scored: Scored, chosen: dict[str, Scored], recording: Recording | None) -> Proposal:
    """GB/T 32960 counts discharge positive. A sign that nothing tells is not guessed: both lines are offered as comments."""
    said, why = sign_by_words(scored.candidate)
    shown, because = 0, "no recording that shows charge or drive"
    if recording is not None and recording.known(scored.candidate, scored.absent):
        names = ("vehicle.total_voltage", "vehicle.soc", "drive_motors.motors.torque", "drive_motors.motors.speed")
        shown, because = current_sign(recording, scored, *(_trusted(chosen.get(name)) for name in names))
    if said and shown and said != shown:
        sign, because = 0, f"{why}, but {because}"
    else:
        sign, because = (shown, because) if shown else (said, why if said else because)
    if sign:
        way = "charge" if sign < 0 else "discharge"
        reason = f"counts {way} positive: {because}" + (
            "; GB/T 32960 counts discharge, so sign = -1" if sign < 0 else ""
        )
        text = _value(scored, scored.candidate.reference, sign)
        return replace(proposal, text=text, reasons=(*proposal.reasons, reason))
    both = (
        f"{_value(scored, scored.candidate.reference)}  # where discharge counts positive",
        f"{_value(scored, scored.candidate.reference, -1)}  # where charge counts positive",
    )
    return replace(proposal.doubted(f"sign not known: {because}"), choices=both)


def _trusted(scored: Scored | None) -> Scored | None:
    """What may tell the sign of the current: a signal that is itself hardly in doubt."""
    return scored if scored is not None and scored.score >= SURE else None


def _counted(candidate: Candidate, references: set[str]) -> tuple[str, int]:
    """bus.MCU1.Torque with {n} and how many there are from 1 on; the reference itself and 1 where it is the only one."""
    bus, _, place = candidate.reference.partition(".")
    if place.startswith("0x"):
        return candidate.reference, 1
    for match in re.finditer(r"1(?!\d)", place):
        if match.start() and place[match.start() - 1].isdigit():
            continue
        head, tail = place[: match.start()], place[match.end() :]
        count = 1
        while f"{bus}.{head}{count + 1}{tail}" in references:
            count += 1
        if count > 1:
            return f"{bus}.{head}{{n}}{tail}", count
    return candidate.reference, 1


def _motors_together(proposals: list[Proposal]) -> list[Proposal]:
    """Motors repeat as one: where not all sure items of a motor count alike, only the first motor is written."""
    motor = [one for one in proposals if one.body == "drive_motors"]
    counts = {one.repeat for one in motor if one.sure} or {one.repeat for one in motor}
    count = counts.pop() if len(counts) == 1 else 1
    return [
        replace(one, text=one.text.replace("{n}", "1"), repeat=count) if one in motor and one.repeat != count else one
        for one in proposals
    ]


def _pairs_whole(proposals: list[Proposal]) -> list[Proposal]:
    """Half a position is none."""
    position = [one for one in proposals if one.body == "position"]
    if len(position) == 2 and all(one.sure for one in position):
        return proposals
    return [
        one.doubted("needs both longitude and latitude") if one.body == "position" and one.sure else one
        for one in proposals
    ]


def _lists(candidates: Sequence[Candidate], recording: Recording | None) -> list[Proposal]:
    found = []
    for kind, bodies in _PACK_BODIES.items():
        fitting = [family for family in families(candidates) if family.kind == kind]
        if fitting:
            family = fitting[0]
            found += [_list(family, fitting[1:], f"{body}.{kind}", recording) for body in bodies]
        elif kind == "probes":
            found += _single_probe(candidates)
    return found


def _list(family: Family, rest: list[Family], path: str, recording: Recording | None) -> Proposal:
    doubts = []
    rivals = [one for one in rest if one.score >= family.score - RIVAL and 2 * len(one.members) > len(family.members)]
    if rivals:
        doubts.append(f"as good: {rivals[0].reason}")
    if not family.pattern:
        doubts.append("the order of its members is that of their names: compare it with the pack")
    reasons = [family.reason]
    if recording is not None:
        values = [value for member in family.members for value in recording.known(member)]
        missing = sum(not recording.known(member) for member in family.members)
        if missing:
            doubts.append(f"{missing} of them never seen in the recording")
        if values:
            reasons.append(f"in the recording {min(values):.4g}..{max(values):.4g} {family.members[0].unit}")
    if family.pattern:
        first = f", first = {family.first}" if family.first != 1 else ""
        text = f'{{ signal = "{family.pattern}", count = {len(family.members)}{first} }}'
    else:
        text = "[" + ", ".join(f'"{member.reference}"' for member in family.members) + "]"
    sure = family.score >= SURE and not doubts
    first_member = family.members[0]
    return Proposal(
        path, text, first_member.place, family.score, sure, tuple(reasons), tuple(doubts), candidate=first_member
    )


def _single_probe(candidates: Sequence[Candidate]) -> list[Proposal]:
    """A pack that publishes one temperature: offered, never taken for a list of probes."""
    from agent.suggest.items import PACK_TEMPERATURE

    ranked = _ranked(PACK_TEMPERATURE, candidates, Context(), None)
    if not ranked:
        return []
    best = ranked[0].changed(
        1.0, doubt="one temperature of the pack, perhaps a mean or an extreme, not one of its probes"
    )
    text = f"[{_value(best, best.candidate.reference)}]"
    bodies = _PACK_BODIES["probes"]
    return [
        Proposal(
            f"{body}.probes",
            text,
            best.candidate.place,
            best.score,
            False,
            best.reasons,
            best.doubts,
            candidate=best.candidate,
        )
        for body in bodies
    ]
