"""A mapping file's sections against the tables of an edition: the plan that the core runs, and where each item comes from.

The plan is JSON: `buses`, `messages`, `sources` (see `agent/core/frames.py` and `agent/core/signals.py`), and

    defaults      what every entry of `values` holds while nothing is known
    operands      how many physical values the expressions need
    truths        [out, tree]                                        1, 0 or unknown
    expressions   [out, tree, per_unit, offset, lo, hi, only]        counts; mapped ones first, then derived ones
    steps         what is worked out last, see `agent/core/sampler.py`
    bodies        [type, node] in order of type; a node is
                  {"fields": [[name, out]], "lists": [[name, first out, length]], "codes": [[name, first, length, invalid]],
                   "fixed": [[name, value]], "groups": [[name, [node, ...]]]}
"""

from dataclasses import replace
from typing import Any

from agent.core.edition import Edition
from agent.core.field import Field, Items, Layout
from agent.mapping.plan import Item
from agent.mapping.values import TRUTH, Origin, Target, Values, fill

__all__ = ["Bodies"]

# Items of a group that are worked out from the rest of the mapping when they are not mapped.
_FROM_VEHICLE = {
    ("storage_voltages", "voltage"): "total_voltage",
    ("storage_voltages", "current"): "total_current",
    ("unit_voltages", "voltage"): "total_voltage",
    ("unit_voltages", "current"): "total_current",
}
MAX_SUBSYSTEM_CELLS = 65531  # a list that spreads over several packets is limited by its total only


class Bodies:
    """Compiles fields, lists and groups by their rows; `values` collects rows and faults, the rest here is the result.

    `rules.py` walks the sections with it and adds what single bodies have of their own.
    """

    def __init__(self, edition: Edition, values: Values, sections: dict[str, Any]) -> None:
        self.edition = edition
        self.values = values
        self.sections = sections
        self.origins: dict[str, Origin] = {}  # by path: vehicle.total_voltage
        self.lists: dict[tuple[str, str], list[list[int]]] = {}  # (body, list): [number out, first out, length]
        self.items: list[Item] = []
        self.nodes: list[list[Any]] = []
        self.steps: list[list[Any]] = []

    # -- plain fields and lists -------------------------------------------------------------------------------------

    def node(
        self, body: str, path: str, layout: Layout, table: dict[str, Any], names: dict[str, int]
    ) -> dict[str, Any]:
        node: dict[str, Any] = {"fields": [], "lists": [], "codes": [], "fixed": [], "groups": []}
        self.values.unknown_keys(path, table, [row.name for row in layout.rows])
        for row in layout.rows:
            key = f"{path}.{row.name}"
            spec = fill(table.get(row.name), names)
            if isinstance(row, Field) and row.bits:
                node["fields"].append([row.name, self._bits(body, key, row, spec)])
            elif isinstance(row, Field):
                node["fields"].append([row.name, self._field(body, key, row, spec)])
            elif isinstance(row, Items) and isinstance(row.item, Field):
                # {n} counts the items of a list; a group around it is {g} there.
                node["lists"].append([row.name, *self.list_of(body, key, row, table.get(row.name), names)])
            else:
                self.values.fault(key, "cannot be mapped")
        number = dict(node["fields"]).get("number")
        if number is not None:
            for name, first, length in node["lists"]:
                self.lists.setdefault((body, name), []).append([number, first, length])
        return node

    def _field(self, body: str, path: str, field: Field, spec: Any) -> int:
        target = Target.of(field)
        if spec is not None:
            origin = self.values.value(path, spec, target)
        elif field.lo <= target.default <= field.hi:
            # What stands there while nothing is known is a value: the first of its kind, the receiver's coordinates.
            default = field.words[target.default] if field.words else target.default
            origin = Origin(self.values.new(target.default), "derived", f"{default} unless mapped")
        else:
            origin = Origin(self.values.new(target.default), "absent")
        self.note(body, path, field, origin)
        return origin.out

    def note(self, body: str, path: str, field: Field, origin: Origin) -> None:
        self.origins[path] = origin
        absent = f"{Target.of(field).default & (1 << 8 * field.size) - 1:0{2 * field.size}X}"
        meaning = " (invalid)" if field.invalid is not None else ""
        spoils = origin.kind == "absent" and field.invalid is not None
        self.add_item(body, path, origin, absent + meaning, spoils)

    def _bits(self, body: str, path: str, field: Field, spec: Any) -> int:
        """A byte of several small items (gear); unknown bits are 0, an unknown first item makes the byte `absent`.

        A bit that is set in `absent` says just that: it is not an item of its own.
        """
        default = Target.of(field).default
        out = self.values.new(default)
        bits = [bit for bit in field.bits or () if not default >> bit[1] & 1]
        table = spec if isinstance(spec, dict) and not {"signal", "constant", "expression"} & set(spec) else None
        table = ({} if spec is None else {bits[0][0]: spec}) if table is None else table
        self.values.unknown_keys(path, table, [bit[0] for bit in bits])
        meaning = " (invalid)" if len(bits) < len(field.bits or ()) else ""
        parts = []
        for name, shift, width, words, inverted in bits:
            target = Target(hi=(1 << width) - 1, words=words) if words else TRUTH
            key = f"{path}.{name}"
            mapped = self.values.value(key, table[name], target) if name in table else None
            origin = mapped or Origin(-1, "absent")
            unknown = f"{default:0{2 * field.size}X}{meaning}" if shift == bits[0][1] else "bit 0"
            self.add_item(body, key, origin, unknown, False)
            if mapped:
                parts.append([mapped.out, shift, inverted])
        if bits[0][0] in table:
            self.steps.append(["bits", out, parts])
        return out

    def list_of(
        self, body: str, path: str, items: Items, spec: Any, names: dict[str, int], default: int | None = None
    ) -> tuple[int, int]:
        """Return first out and length of a list of numbers."""
        values = self.values
        field = _field_of(items)
        target = Target.of(field, default)
        start = len(values.defaults)
        most = items.count.hi
        if self.edition.split and self.edition.bodies[self.edition.split[0]].name == body:
            most = MAX_SUBSYSTEM_CELLS
        specs = self._list_specs(path, spec, names, items.count.lo, most)
        sources: list[str] = []
        for index, one in enumerate(specs):
            before = len(values.faults)
            origin = values.value(f"{path}[{index + 1}]" if isinstance(spec, list) else path, one, target)
            if origin.kind == "signal" and origin.source in sources:
                values.fault(path, f"{origin.source} is used twice; {{n}} in the name counts the items")
            sources.append(origin.source)
            if len(values.faults) > before and isinstance(spec, dict):
                break  # one pattern, one fault
        length = len(values.defaults) - start
        text = sources[0] if length == 1 else f"{length} from {sources[0]} to {sources[-1]}" if sources else "none"
        unknown = (
            f"{Target.of(field).default:0{2 * field.size}X} (invalid)" if default is None else "count FF (invalid)"
        )
        self.add_item(body, path, Origin(start, "absent" if spec is None else "signal", text), unknown, False)
        return start, length

    def _list_specs(self, path: str, spec: Any, names: dict[str, int], least: int, most: int) -> list[Any]:
        """The values of a list as the mapping writes it: one pattern with a count, or one by one."""
        values = self.values
        if spec is None:
            if least:
                values.fault(path, 'is missing; write { signal = "bus.message.signal{n}", count = ... }')
            return []
        if isinstance(spec, list):
            specs = [fill(one, names) for one in spec]
        elif isinstance(spec, dict):
            count, first = spec.get("count"), spec.get("first", 1)
            if isinstance(count, bool) or not isinstance(count, int) or not least <= count <= most:
                values.fault(
                    f"{path}.count", f"is {'missing' if count is None else count}; allowed are {least}..{most}"
                )
                return []
            if isinstance(first, bool) or not isinstance(first, int) or first < 0:
                values.fault(f"{path}.first", f"is {first}; a whole number is needed")
                return []
            one = {key: value for key, value in spec.items() if key not in ("count", "first")}
            specs = [fill(one, {**names, "n": number}) for number in range(first, first + count)]
        else:
            values.fault(path, 'must be { signal = "bus.message.signal{n}", count = ... } or a list of values')
            return []
        if not least <= len(specs) <= most:
            values.fault(path, f"has {len(specs)} items; the standard allows {least}..{most}")
            return []
        return specs

    # -- groups -----------------------------------------------------------------------------------------------------

    def groups(
        self, body: str, items: Items, layout: Layout, section: dict[str, Any]
    ) -> tuple[dict[str, Any], list[str]]:
        """Motors, subsystems, packs: [[body.list]], or the keys of the only one in the section itself.

        Return the node of the body and the path of each group.
        """
        values = self.values
        path = f"{body}.{items.name}"
        if items.name in section:
            values.unknown_keys(body, section, [items.name])
            tables = section[items.name]
        else:
            tables = [section] if section else []
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            values.fault(path, f"must be written [[{path}]]")
            tables = []
        expanded = []
        for table in tables:
            repeat = table.get("repeat", 1)
            if isinstance(repeat, bool) or not isinstance(repeat, int) or not 1 <= repeat <= items.count.hi:
                values.fault(f"{path}.repeat", f"is {repeat}; allowed are 1..{items.count.hi}")
                repeat = 1
            rest = {key: value for key, value in table.items() if key != "repeat"}
            expanded += [(rest, number) for number in range(1, repeat + 1)]
        if not items.count.lo <= len(expanded) <= items.count.hi:
            allowed = f"{items.count.lo}..{items.count.hi}"
            values.fault(path, f"has {len(expanded)} entries; the standard allows {allowed}: [[{path}]] adds one")
        single = len(expanded) == 1
        nodes = []
        paths = []
        for position, (table, number) in enumerate(expanded, 1):
            paths.append(body if single and items.name not in section else f"{path}[{position}]")
            names = {"n": number, "g": number}
            nodes.append(self._group(body, paths[-1], layout, table, names, position, single))
        self._check_numbers(path, nodes)
        return {"fields": [], "lists": [], "codes": [], "fixed": [], "groups": [[items.name, nodes]]}, paths

    def _group(
        self,
        body: str,
        path: str,
        layout: Layout,
        table: dict[str, Any],
        names: dict[str, int],
        position: int,
        single: bool,
    ) -> dict[str, Any]:
        table = dict(table)
        derived: dict[str, str] = {}
        for row in layout.rows:
            source = f"vehicle.{_FROM_VEHICLE.get((body, row.name), '')}"
            if row.name in table:
                continue
            if row.name in ("number", "start_cell"):
                table[row.name] = {"constant": position if row.name == "number" else 1}
                derived[row.name] = "counted" if row.name == "number" else "the first"
            elif row.name == "total_cells":
                cells = _length(table.get("cells"))
                table[row.name] = {"constant": cells} if cells else None
                derived[row.name] = "length of cells"
            elif single and source in self.origins:
                table[row.name] = self.sections["vehicle"].get(source.split(".")[1])
                derived[row.name] = source
        table = {key: value for key, value in table.items() if value is not None}
        node = self.node(body, path, layout, table, names)
        for name, source in derived.items():
            if self.origins[f"{path}.{name}"].kind != "absent":
                self.derived(f"{path}.{name}", source)
        return node

    def _check_numbers(self, path: str, nodes: list[dict[str, Any]]) -> None:
        seen: dict[int, int] = {}
        for position, node in enumerate(nodes, 1):
            number = self.values.defaults[dict(node["fields"])["number"]]
            if number in seen and self.origins[f"{path}[{position}].number"].kind == "constant":
                self.values.fault(f"{path}[{position}].number", f"{number} is also the number of entry {seen[number]}")
            seen.setdefault(number, position)

    # -- for the rules of single bodies -----------------------------------------------------------------------------

    def layout(self, body: str) -> Layout:
        return self.edition.bodies[self.edition.body_types[body]]

    def list_item(self, body: str, name: str) -> Field:
        """The field that a list of a body (or of its groups) repeats."""
        rows = self.layout(body).rows
        if isinstance(rows[0], Items) and isinstance(rows[0].item, Layout):
            rows = rows[0].item.rows
        return _field_of(next(row for row in rows if row.name == name))

    def add_item(self, body: str, path: str, origin: Origin, unknown: str, spoils: bool) -> None:
        self.items.append(Item(body, path, origin.kind, origin.source, origin.conversion, unknown, spoils))

    def derived(self, path: str, source: str) -> None:
        """Say of an item already listed that it is worked out from `source`."""
        for index, item in enumerate(self.items):
            if item.path == path:
                self.items[index] = replace(item, kind="derived", source=source, spoils=False)


def _field_of(items: Items) -> Field:
    if not isinstance(items.item, Field):
        raise TypeError(f"{items.name} is a list of groups")
    return items.item


def _length(spec: Any) -> int:
    """How many items the list of `spec` will have; what is wrong with it is said where the list itself is compiled."""
    if isinstance(spec, dict) and isinstance(spec.get("count"), int):
        return min(max(int(spec["count"]), 0), MAX_SUBSYSTEM_CELLS)
    return len(spec) if isinstance(spec, list) else 0
