"""Random values for every row of the tables, made from the tables themselves."""

from itertools import chain
from typing import Any

from hypothesis import strategies as st

from agent.core.edition import SIGNATURE, Command, Edition
from agent.core.field import Blob, Field, Items, Layout, Text, Time
from agent.core.parameters import ALARM_CONTROL, Codes, Control, PackCodes, Parameters

FEW = 6  # items of a list: enough to have a first, a middle and a last


def raws(field: Field, legal: bool = True) -> st.SearchStrategy[int]:
    """Counts of a field: legal ones with its sentinels, or any that fit its bytes."""
    if not legal:
        return st.integers(field.bottom, field.top)
    special = {field.invalid, field.abnormal, field.absent} - {None}
    inside = st.sampled_from(sorted(field.words)) if field.words else st.integers(field.lo, field.hi)
    return st.one_of(inside, st.sampled_from(sorted(special))) if special else inside


def values(layout: Layout, legal: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    """Values of a body, a group or a data unit."""
    plain = {row.name: _row(row, legal) for row in layout.rows if not row.spread}
    spread = [_SPREAD[type(row)](row, legal) for row in layout.rows if row.spread]
    return st.builds(
        lambda first, *more: {k: v for part in (first, *more) for k, v in part.items()},
        st.fixed_dictionaries(plain),
        *spread,
    )


def _row(row: Any, legal: bool) -> st.SearchStrategy[Any]:
    if isinstance(row, Field):
        return raws(row, legal)
    if isinstance(row, Text):
        return st.binary(min_size=row.size, max_size=row.size) | st.just(b"A".ljust(row.size, row.pad))
    if isinstance(row, Time):
        return st.binary(min_size=row.size, max_size=row.size) | st.just(bytes((26, 1, 8, 7, 6, 10)))
    if isinstance(row, Blob):
        return st.binary(min_size=row.count.lo if legal else 0, max_size=20)
    if isinstance(row, Items):
        item = values(row.item, legal) if isinstance(row.item, Layout) else raws(row.item, legal)
        listed = st.lists(item, min_size=row.count.lo if legal else 0, max_size=min(row.count.hi, FEW))
        return (
            listed
            if row.count.invalid is None
            else st.one_of(listed, st.sampled_from([row.count.invalid, row.count.abnormal]))
        )
    assert isinstance(row, Parameters)
    parameters = st.lists(
        st.sampled_from(sorted(row.table)).flatmap(lambda number: _parameter(row, number, legal)), max_size=FEW
    )
    return st.one_of(
        parameters.map(lambda found: list(chain.from_iterable(found))),
        st.sampled_from([row.count.invalid, row.count.abnormal]),
    )


def _parameter(row: Parameters, number: int, legal: bool) -> st.SearchStrategy[list[tuple[int, Any]]]:
    """One parameter; one whose length stands in another comes behind that."""
    item = row.table[number]
    if isinstance(item, int):
        return st.binary(max_size=9).map(lambda content: [(item, len(content)), (number, content)])
    return _row(item, legal).map(lambda content: [(number, content)])


def _codes(row: Codes, legal: bool) -> st.SearchStrategy[dict[str, Any]]:
    return st.integers(0, row.length.hi if legal else row.length.top).flatmap(
        lambda size: st.fixed_dictionaries(
            {"code_length": st.just(size), "codes": st.lists(st.binary(min_size=size, max_size=size), max_size=FEW)}
        )
    )


def _pack_codes(row: PackCodes, legal: bool) -> st.SearchStrategy[dict[str, Any]]:
    packs = st.lists(st.integers(0, 3), max_size=3)
    if not legal:
        packs |= st.lists(
            st.integers(row.packs.hi - 1, row.packs.hi + 2), max_size=2
        )  # a packet holds but so many codes
    code = st.binary(min_size=row.size, max_size=row.size)
    return packs.flatmap(
        lambda counts: st.fixed_dictionaries(
            {
                "packs": st.just(counts),
                "codes": st.lists(code, min_size=1, max_size=2).map(lambda c: (c * sum(counts))[: sum(counts)]),
            }
        )
    )


def _control(row: Control, legal: bool) -> st.SearchStrategy[dict[str, Any]]:
    other = raws(row.command, legal)
    return st.one_of(
        st.fixed_dictionaries(
            {"control": other.filter(lambda raw: raw != ALARM_CONTROL), "arguments": st.binary(max_size=9)}
        ),
        st.fixed_dictionaries({"control": st.just(ALARM_CONTROL), "arguments": st.just(b"")}),
        st.fixed_dictionaries(
            {"control": st.just(ALARM_CONTROL), "level": raws(row.level, legal), "text": st.binary(max_size=9)}
        ),
    )


_SPREAD: dict[type, Any] = {Codes: _codes, PackCodes: _pack_codes, Control: _control}


def bodies(edition: Edition, legal: bool = True) -> st.SearchStrategy[list[tuple[int, dict[str, Any]]]]:
    """Bodies of every type in any order, the signature among them where there is one."""
    types = st.sampled_from([*edition.bodies, 0x80, 0xFE, *([SIGNATURE] if edition.signature is not None else [])])
    return st.lists(
        types.flatmap(lambda type_id: st.tuples(st.just(type_id), values(edition.body(type_id), legal))), max_size=4
    )


def units(command: Command, response: int, legal: bool = True) -> st.SearchStrategy[dict[str, Any] | None]:
    """Values of the rows of a command; None where it has none."""
    layout = command.rows(response)
    return st.none() if layout is None else values(layout, legal)
