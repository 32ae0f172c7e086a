"""What a compiled mapping consists of; no library behind it, so that a warm cache is read quickly."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["CompiledMapping", "DbcSource", "Item"]


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
    """`plan` for the core, `buses` in the order of its bus numbers, provenance of every item, `warnings`."""

    name: str
    plan: dict[str, Any]
    buses: list[str]
    items: list[Item]
    warnings: list[str]


@dataclass(frozen=True)
class DbcSource:
    """One DBC file of a mapping: as written there, where it is, what is in it."""

    bus: str
    written: str
    path: Path
    data: bytes
    lenient: bool
