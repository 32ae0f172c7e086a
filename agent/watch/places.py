"""Where each item of a mapping stands in a sample: its out, its row of the standard's table, its keys in the body."""

from collections.abc import Iterator
from typing import Any

import msgspec

from agent.core.field import Field, Items, Layout
from agent.mapping.plan import CompiledMapping

Key = str | int


class Place(msgspec.Struct):
    """One item. `keys` lead to its value in the bodies of a sample, `shown` to the same in their JSON.

    `outs`: of the item itself, or of all of a list or all mapped flags. `bits`: (shift, width) within the number.
    `names`: of the flags. `coordinate`: good only with a fix.
    """

    table: str
    name: str
    field: Field | None
    keys: list[Key]
    shown: list[Key]
    outs: list[int]
    folded: bool = False
    bits: tuple[int, int] | None = None
    names: list[str] = []
    coordinate: bool = False


def places(mapping: CompiledMapping) -> dict[str, Place]:
    """The places of a mapping's items, by their path."""
    edition, plan = mapping.edition, mapping.plan
    known = {item.path for item in mapping.items}
    found: dict[str, Place] = {}
    for index, (type_id, node) in enumerate(plan["bodies"]):
        layout = edition.body(type_id)
        if layout is None:  # a mapping fills bodies with a layout only
            continue
        path = f"user.0x{type_id:X}" if type_id in edition.declared else layout.name
        found.update(_Walk(plan["steps"], known).node(node, layout, path, [index]))
    return found


class _Walk:
    """Goes through the nodes of one body beside its layout."""

    def __init__(self, steps: list[list[Any]], known: set[str]) -> None:
        self._known = known
        self._bits = {step[1]: step[2] for step in steps if step[0] == "bits"}
        self._flags = {step[4]: step[5] for step in steps if step[0] == "alarms"}
        self._signed = {out: signed for step in steps if step[0] == "position" for signed, out, _ in step[4]}
        self._valid = {step[1]: step[3] for step in steps if step[0] == "position"}

    def node(self, node: dict[str, Any], layout: Layout, path: str, keys: list[Key]) -> Iterator[tuple[str, Place]]:
        rows = {row.name: row for row in layout.rows}
        for name, out in node["fields"]:
            yield from self._field(layout, rows[name], out, path, keys)
        for name, first, length, *_ in [*node["lists"], *node["codes"]]:
            item = rows[name].item
            outs = list(range(first, first + length))
            where = [*keys, name]
            yield f"{path}.{name}", Place(layout.name, name, item, where, where, outs, folded=True)
        for name, _ in node["fixed"]:
            row, where = rows[name], [*keys, name]
            field = row if isinstance(row, Field) else row.item if isinstance(row.item, Field) else None
            yield f"{path}.{name}", Place(layout.name, name, field, where, where, [], folded=isinstance(row, Items))
        for name, groups in node["groups"]:
            for position, group in enumerate(groups):
                below = f"{path}.{name}[{position + 1}]"
                if not any(item.startswith(f"{below}.") for item in self._known):
                    below = path  # the only one, its keys in the section itself
                yield from self.node(group, rows[name].item, below, [*keys, name, position])

    def _field(self, layout: Layout, row: Any, out: int, path: str, keys: list[Key]) -> Iterator[tuple[str, Place]]:
        where: list[Key] = [*keys, row.name]
        if not isinstance(row, Field):  # a list that is worked out of the flags
            yield f"{path}.{row.name}", Place(layout.name, row.name, None, where, where, [out])
        elif row.bits:
            yield from self._bits_of(layout, row, out, path, keys)
        elif row.flags:
            parts = self._flags.get(out, [])
            names = [row.flags[bit] for _, bit, _ in parts]
            outs = [part for part, _, _ in parts]
            yield f"{path}.{row.name}", Place(layout.name, row.name, row, where, where, outs, folded=True, names=names)
        else:
            out = self._signed.get(out, out)
            yield (
                f"{path}.{row.name}",
                Place(layout.name, row.name, row, where, where, [out], coordinate=bool(row.sign)),
            )

    def _bits_of(self, layout: Layout, row: Field, out: int, path: str, keys: list[Key]) -> Iterator[tuple[str, Place]]:
        """Bits that say something about the rows beside them stand among these in JSON, others in an object of their own."""
        parts = {shift: part for part, shift, _ in self._bits.get(out, [])}
        spread = any(f"{path}.{bit[0]}" in self._known for bit in row.bits or ())
        for name, shift, width, words, _ in row.bits or ():
            outs = [self._valid[out]] if self._valid.get(out, -1) >= 0 else [parts[shift]] if shift in parts else []
            field = Field(name, 1, hi=(1 << width) - 1, words=words, sentinel=False)
            shown: list[Key] = [*keys, name] if spread else [*keys, row.name, name]
            item = f"{path}.{name}" if spread else f"{path}.{row.name}.{name}"
            if item in self._known:
                yield item, Place(layout.name, name, field, [*keys, row.name], shown, outs, bits=(shift, width))
