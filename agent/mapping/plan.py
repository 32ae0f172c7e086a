"""What a compiled mapping consists of; no library behind it, so that a warm cache is read quickly."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.core.edition import Edition
from agent.core.editions import EDITIONS
from agent.core.field import Field, Layout, Sized
from agent.core.frames import EXTENDED, NEVER

__all__ = ["CompiledMapping", "DbcSource", "Item", "unseen", "with_declared"]


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
    """The messages of a plan of which no source was ever refreshed, as a mapping writes them: pt.0x112, pt.0x18FEF1FEx."""
    names = []
    for bus, can_id, _, _, slot, selectors, *_ in plan["messages"]:
        slots = [slot] if slot >= 0 else []
        if all(stamps[each] == NEVER for each in [*slots, *_pages(selectors)]):
            number = f"0x{can_id & ~EXTENDED:X}" + ("x" if can_id & EXTENDED else "")
            names.append(f"{plan['buses'][bus]}.{number}")
    return names


def _pages(selectors: list[Any]) -> Iterator[int]:
    for *_, cases in selectors:
        for _, slots, inner in cases:
            yield from slots
            yield from _pages(inner)
