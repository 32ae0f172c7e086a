"""The tables of an edition as a flat list of fields, and how many data items they have."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agent.core.edition import Edition
from agent.core.field import Blob, Field, Items, Layout, Sized
from agent.jsonvalues import physical


@dataclass(frozen=True, slots=True)
class FieldRow:
    """One field. `table` is where its names are looked up; `group` the list it repeats in; `lo` and `hi` are counts."""

    body: str
    table: str
    group: str
    name: str
    size: str
    unit: str
    per_unit: int | float
    offset: int
    lo: int
    hi: int
    lowest: int | float | None
    highest: int | float | None
    sentinel: bool
    words: dict[int, str] | None
    clause: str
    annex_b: bool


def field_rows(edition: Edition) -> list[FieldRow]:
    """Every field of every body, in the order of the wire."""
    signature = [edition.signature] if edition.signature is not None else []
    layouts = [*edition.bodies.values(), *edition.declared.values(), edition.user_body, *signature]
    return [row for layout in layouts for row in _rows(layout, layout, "", layout.annex_b)]


def _rows(body: Layout, layout: Layout, group: str, annex_b: bool) -> Iterator[FieldRow]:
    clause = layout.clause or body.clause
    if isinstance(layout, Sized):
        yield _row(body, layout, group, layout.length, str(layout.length.size), clause, annex_b)
    for row in layout.rows:
        if isinstance(row, Field):
            yield _row(body, layout, group, row, str(row.size), clause, annex_b or row.annex_b)
        elif isinstance(row, Items):
            yield _row(body, layout, group, row.count, str(row.count.size), clause, annex_b)
            if isinstance(row.item, Layout):
                yield from _rows(body, row.item, row.name, annex_b)
            else:
                yield _row(body, layout, row.name, row.item, f"{row.item.size}·n", clause, annex_b)
        elif isinstance(row, Blob):
            yield _row(body, layout, group, row.count, str(row.count.size), clause, annex_b)
            yield _row(
                body, layout, group, Field(row.name, 1, hi=0xFF, sentinel=False, hexadecimal=True), "n", clause, annex_b
            )
        else:
            raise TypeError(f"{body.name}: a row of kind {type(row).__name__} in a body")


def _row(body: Layout, layout: Layout, group: str, field: Field, size: str, clause: str, annex_b: bool) -> FieldRow:
    scaled = not (field.words or field.bits or field.flags or field.hexadecimal)
    return FieldRow(
        body=body.name,
        table=layout.name,
        group=group,
        name=field.name,
        size=size,
        unit=field.unit,
        per_unit=field.per_unit if field.step == 1 else field.per_unit / field.step,
        offset=field.offset,
        lo=field.lo,
        hi=field.hi,
        lowest=physical(field, field.lo) if scaled else None,
        highest=physical(field, field.hi) if scaled else None,
        sentinel=field.invalid is not None,
        words=field.words,
        clause=clause,
        annex_b=annex_b,
    )


def count_items(edition: Edition) -> tuple[dict[str, int], dict[str, int]]:
    """Data items by body: of the platform tables, and of the terminal annex."""
    platform: dict[str, int] = {}
    annex: dict[str, int] = {}
    for layout in edition.bodies.values():
        everything = sum(_items(row) for row in layout.rows)
        own = 0 if layout.annex_b else items_of(layout) - layout.spare
        if not layout.annex_b:
            platform[layout.name] = own + layout.spare
        if everything > own:
            annex[layout.name] = everything - own
    return platform, annex


def items_of(layout: Layout) -> int:
    """Items of a body without those of the terminal annex: a list counts as its number and its values."""
    return layout.spare + sum(_items(row) for row in layout.rows if not getattr(row, "annex_b", False))


def _items(row: Any) -> int:
    if isinstance(row, Items):
        return 1 + _items(row.item)
    if isinstance(row, Layout):
        return sum(_items(inner) for inner in row.rows)
    return 1
