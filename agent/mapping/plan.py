"""What a compiled mapping consists of; no library behind it, so that a warm cache is read quickly."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.core.edition import Edition
from agent.core.editions import EDITIONS
from agent.core.field import Field, Layout, Sized
from agent.core.frames import NEVER
from agent.core.j1939 import EXTENDED, FIRST_TO_ALL, PGN_MASK, PGN_TO_ONE_MASK
from agent.core.needs import slots_of

__all__ = [
    "CompiledMapping",
    "DbcSource",
    "Item",
    "pgn_of",
    "rivalries",
    "slots_of_buses",
    "unseen",
    "with_declared",
]


@dataclass(frozen=True)
class Item:
    """Where one item of the standard's table comes from.

    `kind`: signal, expression, constant, derived, absent. `unknown`: what is sent while nothing is known. `spoils`: nothing
    is mapped, so that a null value goes out in every record.
    """

    body: str
    path: str
    kind: str
    source: str
    conversion: str
    unknown: str
    spoils: bool


@dataclass(frozen=True)
class CompiledMapping:
    """`plan` for the core, `buses` in the order of its bus numbers, provenance of every item, `warnings`.

    `declared`: the bodies of the maker's own, [type, [arguments of `Field`, ...]]. `readings`: the signal behind each row of the
    plan's sources, [is it an operand, out or operand index, bus.message.signal, unit in the DBC, factor in the DBC (numerator,
    denominator), offset in the DBC (the same)]; for people, the core does without.
    """

    name: str
    edition_name: str
    declared: list[list[Any]]
    plan: dict[str, Any]
    buses: list[str]
    items: list[Item]
    warnings: list[str]
    readings: list[list[Any]] = field(default_factory=list)

    @property
    def edition(self) -> Edition:
        """The edition with the declared bodies: encode with this one what the plan samples."""
        return with_declared(EDITIONS[self.edition_name], self.declared)


@dataclass(frozen=True)
class DbcSource:
    """One DBC file of a mapping: as written there, where it is, what is in it."""

    bus: str
    written: str
    path: Path
    data: bytes
    lenient: bool


def with_declared(edition: Edition, declared: list[list[Any]]) -> Edition:
    """`edition` with declared bodies as `CompiledMapping` keeps them."""
    if not declared:
        return edition
    clause = edition.user_body.clause
    layouts: dict[int, Layout] = {
        int(type_id): Sized(f"user_{type_id:02x}", tuple(Field(**field) for field in fields), clause)
        for type_id, fields in declared
    }
    return edition.with_declared(layouts)


def unseen(plan: dict[str, Any], stamps: list[int]) -> list[str]:
    """The messages of a plan of which no source was ever refreshed, as a mapping writes them: pt.0x112, pt.0x18FEF1FEx.

    Behind a J1939 message stands what is looked for: pt.0x18FEF1FEx (PGN 65265), pt.0xCF00431x (PGN 61444 from 0x31).
    """
    names = []
    for bus, can_id, id_mask, _, slot, selectors, *_ in plan["messages"]:
        if all(stamps[each] == NEVER for each in slots_of(slot, selectors)):
            wanted = ""
            if id_mask != -1:
                source = f" from 0x{can_id & 0xFF:02X}" if id_mask & 0xFF else ""
                wanted = f" (PGN {pgn_of(can_id)}{source})"
            names.append(_name(plan, bus, can_id) + wanted)
    return names


def slots_of_buses(plan: dict[str, Any], buses: list[str]) -> list[int]:
    """The sources that messages of these buses refresh."""
    slots: list[int] = []
    for bus, _, _, _, slot, selectors, *_ in plan["messages"]:
        if plan["buses"][bus] in buses:
            slots += slots_of(slot, selectors)
    return slots


def rivalries(plan: dict[str, Any], rivals: list[tuple[int, int, int, int]]) -> list[str]:
    """What to say about `LatestFrames.rivals`: J1939 messages that several control units send."""
    return [
        f"{_name(plan, bus, can_id)}: PGN {pgn_of(can_id)} comes from sources {min(two):02X} and {max(two):02X}; "
        f"the lower address counts while it sends; name one: source = 0x{min(two):02X}"
        for bus, can_id, *two in rivals
    ]


def pgn_of(can_id: int) -> int:
    """The parameter group number, without a destination."""
    to_all = can_id >> 16 & 0xFF >= FIRST_TO_ALL
    return (can_id & (PGN_MASK if to_all else PGN_TO_ONE_MASK) & ~EXTENDED) >> 8


def _name(plan: dict[str, Any], bus: int, can_id: int) -> str:
    return f"{plan['buses'][bus]}.0x{can_id & ~EXTENDED:X}{'x' if can_id & EXTENDED else ''}"
