"""Cell voltages and temperature probes: families of signals whose names differ by a number or a letter."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from agent.suggest.candidates import Candidate
from agent.suggest.items import NOT_A_VALUE
from agent.suggest.names import concepts

__all__ = ["Family", "families"]

FEWEST_CELLS, FEWEST_PROBES = 4, 2
CELL_VOLTS = (2.4, 10.0)  # what the bits of one cell's voltage reach
PROBE_DEGREES = (50.0, 400.0)
_OTHERS = """
coolant ambient cabin engine oil charger dcdc fan fuel pump motor inverter max min extreme average bound wheel tpms consumer low
compressor brake id
"""
_STRANGE = frozenset(NOT_A_VALUE) | frozenset(_OTHERS.split())


@dataclass(frozen=True)
class Family:
    """`members` in order of their numbers; `pattern`: bus.message.signal with {n} from `first` on, "" where none fits."""

    kind: str  # cells, probes
    members: tuple[Candidate, ...]
    pattern: str
    first: int
    score: float
    reason: str


def families(candidates: Iterable[Candidate]) -> list[Family]:
    """Families that may be cells or probes, the best first."""
    groups: dict[tuple[object, ...], list[Candidate]] = {}
    for candidate in candidates:
        if kind := _kind(candidate):
            message = re.sub(r"\d+", "#", candidate.message)
            name = re.sub(r"(?<=[_a-z0-9])[A-Z](?=$|_)", "#", re.sub(r"\d+", "#", candidate.name))
            alike = (kind, candidate.bus, message, name, candidate.unit, candidate.factor)
            groups.setdefault(alike, []).append(candidate)
    found = []
    for key, members in groups.items():
        kind = str(key[0])
        least = FEWEST_CELLS if kind == "cells" else FEWEST_PROBES
        if len(members) >= least:
            found.append(_family(kind, sorted(members, key=_natural)))
    return sorted(found, key=lambda family: (-family.score, -len(family.members)))


def _kind(candidate: Candidate) -> str:
    """What a signal alone could be one of; "" for neither."""
    if candidate.text or candidate.faulty or candidate.length < 6:
        return ""
    own = concepts(candidate.name)[0]
    around = own | concepts(candidate.message)[0]
    if own & _STRANGE or not around & {"cell", "module", "battery", "pack", "probe"}:
        return ""
    scale = 0.001 if candidate.unit.lower() == "mv" else 1.0
    if candidate.dimension == "voltage" and CELL_VOLTS[0] <= candidate.hi * scale <= CELL_VOLTS[1]:
        return "cells"
    if candidate.dimension == "temperature" and PROBE_DEGREES[0] <= candidate.hi <= PROBE_DEGREES[1]:
        return "probes"
    return ""


def _natural(candidate: Candidate) -> list[tuple[int, str]]:
    """Order of numbers as numbers: Cell2 before Cell10."""
    parts = re.findall(r"\d+|\D+", candidate.message + "." + candidate.name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _family(kind: str, members: list[Candidate]) -> Family:
    pattern, first = _pattern(members)
    around = concepts(members[0].name)[0] | concepts(members[0].message)[0]
    score = 0.6 + 0.2 * bool(around & ({"cell"} if kind == "cells" else {"cell", "probe", "battery", "pack"}))
    score += 0.1 * bool(pattern) + 0.05 * (len(members) >= 12)
    names = f"{members[0].name} to {members[-1].name}"
    pages = f", {len({member.page for member in members})} pages" if members[0].page else ""
    return Family(kind, tuple(members), pattern, first, min(score, 0.95), f"{len(members)} signals {names}{pages}")


def _pattern(members: list[Candidate]) -> tuple[str, int]:
    """The reference with {n} in place of the one number that counts up, and where it begins."""
    split = [re.split(r"(\d+)", member.reference.split(".", 1)[1]) for member in members]
    if len({len(parts) for parts in split}) != 1 or len(members) < 2:
        return "", 1
    varying = [index for index in range(1, len(split[0]), 2) if len({parts[index] for parts in split}) > 1]
    if (
        any(split[0][index] != parts[index] for parts in split for index in range(0, len(parts), 2))
        or len(varying) != 1
    ):
        return "", 1
    texts = [parts[varying[0]] for parts in split]
    first = int(texts[0])
    width = len(texts[0]) if texts[0].startswith("0") else 0
    hole = f"{{n:0{width}d}}" if width else "{n}"
    if texts != [format(first + index, f"0{width}d" if width else "d") for index in range(len(texts))]:
        return "", 1
    whole = [*split[0]]
    whole[varying[0]] = hole
    return members[0].bus + "." + "".join(whole), first
