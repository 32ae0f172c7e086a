"""Bodies and items with a rule of their own: alarms, position, extremes, motor state."""

from fractions import Fraction
from typing import Any

from agent.core.edition import Edition
from agent.core.field import Field, Items, Layout
from agent.core.signals import UNKNOWN
from agent.mapping.bodies import Bodies
from agent.mapping.frame import nearest
from agent.mapping.values import TRUTH, Origin, Target, Values

__all__ = ["compile_bodies"]

Node = dict[str, Any]
Tree = list[Any]

# Body of extremes -> (body, list) of its voltages and of its temperatures.
EXTREMES = {
    "extremes": (("storage_voltages", "cells"), ("storage_temperatures", "probes")),
    "supercapacitor_extremes": (("supercapacitor", "cells"), ("supercapacitor", "probes")),
}
FIXED_LEVELS = {"thermal_event": 4}  # by 7.2.3.6, whatever the maker thinks


def compile_bodies(edition: Edition, values: Values, sections: dict[str, Any]) -> Bodies:
    """All sections in order of type; those of extremes last, since they look at the lists.

    Declared bodies have their sources by field name under "user.0x83".
    """
    bodies = Bodies(edition, values, sections)
    there = [(type_id, layout) for type_id, layout in sorted(edition.bodies.items()) if layout.name in sections]
    for type_id, layout in sorted(there, key=lambda pair: pair[1].name in EXTREMES):
        section = sections[layout.name]
        if isinstance(section, dict):
            bodies.nodes.append([type_id, _body(bodies, layout, section)])
        else:
            values.fault(layout.name, f"must be a table, [{layout.name}]")
    for type_id, layout in edition.declared.items():
        path = f"user.0x{type_id:X}"
        bodies.nodes.append([type_id, bodies.node(path, path, layout, sections[path], {})])
    bodies.nodes.sort(key=lambda node: node[0])
    return bodies


def _body(bodies: Bodies, layout: Layout, section: dict[str, Any]) -> Node:
    rows = layout.rows
    if layout.name in EXTREMES:
        return _extremes(bodies, layout, section)
    if layout.name == "alarms":
        return _alarms(bodies, layout, section)
    if any(isinstance(row, Field) and row.sign for row in rows):
        return _position(bodies, layout, section)
    if len(rows) == 1 and isinstance(rows[0], Items) and isinstance(rows[0].item, Layout):
        group = rows[0].item
        node, paths = bodies.groups(layout.name, rows[0], group, section)
        if layout.name == "drive_motors":
            _motor_states(bodies, group, paths)
        return node
    return bodies.node(layout.name, layout.name, layout, section, {})


def _motor_states(bodies: Bodies, layout: Layout, paths: list[str]) -> None:
    """Derive the state of each motor whose torque and speed are mapped and whose state is not."""
    for path in paths:
        kinds = {name: bodies.origins[f"{path}.{name}"].kind for name in ("state", "torque", "speed")}
        if kinds["state"] == "absent" and "absent" not in (kinds["torque"], kinds["speed"]):
            _derive_motor_state(bodies, path, layout)
            bodies.derived(f"{path}.state", "torque and speed")


def _derive_motor_state(bodies: Bodies, path: str, layout: Layout) -> None:
    """Consuming or generating by the sign of torque times speed; at zero ready, or off when the vehicle is off."""
    rows = {row.name: row for row in layout.rows}
    raws = {word: raw for raw, word in rows["state"].words.items()}

    def item(name: str) -> Tree:
        row = rows[name]
        return ["item", bodies.origins[f"{path}.{name}"].out, row.lo, row.hi, row.offset]

    def word(name: str) -> Tree:
        return ["number", raws[name], 1]

    idle = word("ready")
    vehicle = bodies.origins.get("vehicle.vehicle_state")
    if vehicle is not None:
        states = next(row for row in bodies.layout("vehicle").rows if row.name == "vehicle_state")
        off = next(raw for raw, text in states.words.items() if text == "off")
        idle = ["if", ["==", ["item", vehicle.out, 0, states.top, off], ["number", 0, 1]], word("off"), idle]
    power, zero = ["*", item("torque"), item("speed")], ["number", 0, 1]
    generating = ["if", ["<", power, zero], word("generating"), idle]
    tree = ["if", [">", power, zero], word("consuming"), generating]
    bodies.values.derive(bodies.origins[f"{path}.state"].out, tree, Target.of(rows["state"]))


def _extremes(bodies: Bodies, layout: Layout, section: dict[str, Any]) -> Node:
    """Rows come in four triples: highest and lowest voltage, highest and lowest temperature (group, item, value)."""
    body = layout.name
    node = bodies.node(body, body, layout, section, {})
    outs = [out for _, out in node["fields"]]
    for first, (origin, name) in zip((0, 6), EXTREMES[body], strict=True):
        lists = bodies.lists.get((origin, name), [])
        if not lists:
            continue
        rows = layout.rows[first : first + 6]
        targets = [-1 if row.name in section else out for row, out in zip(rows, outs[first : first + 6], strict=True)]
        highest = bodies.list_item(origin, name).hi
        bodies.steps.append(["extremes", targets, lists, highest, [row.hi for row in rows[:3]]])
        for row in rows:
            if row.name not in section:
                bodies.derived(f"{body}.{row.name}", f"{origin}.{name}")
    return node


def _position(bodies: Bodies, layout: Layout, section: dict[str, Any]) -> Node:
    """Signed degrees become magnitude and status bits; without a fix the last valid ones stay."""
    values, body = bodies.values, layout.name
    status = next(row for row in layout.rows if isinstance(row, Field) and row.bits)
    valid_name, valid_shift = (status.bits or ())[0][:2]
    coordinates = [row for row in layout.rows if row.sign]
    plain = tuple(row for row in layout.rows if row is not status and not row.sign)
    own = [valid_name, *(row.name for row in coordinates)]
    values.unknown_keys(body, section, [*own, *(row.name for row in plain)])
    rest = {row.name: section[row.name] for row in plain if row.name in section}
    node = bodies.node(body, body, Layout(body, plain), rest, {})
    status_out = values.new(status.absent)
    node["fields"].append([status.name, status_out])

    mapped = all(row.name in section for row in coordinates)
    if section and not mapped:
        values.fault(body, f"needs {' and '.join(row.name for row in coordinates)}")
    fix = Origin(-1, "derived", " and ".join(row.name for row in coordinates)) if mapped else Origin(-1, "absent")
    if valid_name in section:
        fix = values.value(f"{body}.{valid_name}", section[valid_name], TRUTH)
    bodies.add_item(body, f"{body}.{valid_name}", fix, "not valid", fix.kind == "absent")
    pairs = []
    for row in coordinates:
        path = f"{body}.{row.name}"
        origin = Origin(-1, "absent")
        if row.name in section:
            origin = values.value(path, section[row.name], Target(row.unit, Fraction(row.per_unit), 0, -row.hi, row.hi))
        out = values.new(row.absent)
        node["fields"].append([row.name, out])
        pairs.append([origin.out, out, row.sign[1]])
        bodies.add_item(body, path, origin, "not valid, last place or 0", origin.kind == "absent")
    if mapped:
        bodies.steps.append(["position", status_out, 1 << valid_shift, fix.out, pairs])
    return node


def _alarms(bodies: Bodies, layout: Layout, section: dict[str, Any]) -> Node:
    """Flags, the highest level (mapped, or from the flags by `levels`), lists of fault codes."""
    values, body = bodies.values, layout.name
    rows = {row.name: row for row in layout.rows}
    level, flags = rows["level"], rows["flags"]
    lists = [row for row in layout.rows if isinstance(row, Items) and isinstance(row.item, Field)]
    general = rows.get("general_levels")
    known = ["level", "flags", "levels", "default_level", *(row.name for row in lists)]
    values.unknown_keys(body, section, known)
    node: Node = {"fields": [], "lists": [], "codes": [], "fixed": [], "groups": []}

    origin = Origin(values.new(level.absent), "absent")
    if "level" in section:
        origin = values.value(f"{body}.level", section["level"], Target.of(level))
    parts = _flags(bodies, flags, level, section)
    if origin.kind == "absent" and parts:
        origin = Origin(origin.out, "derived", "flags and levels")
    bodies.add_item(body, f"{body}.level", origin, f"{level.absent:02X} (invalid)", origin.kind == "absent")
    flags_out = values.new(flags.absent)
    source = f"{len(parts)} of {len(flags.flags or ())} flags"
    mapped = Origin(flags_out, "signal", source) if parts else Origin(flags_out, "absent")
    bodies.add_item(body, f"{body}.flags", mapped, "bit 0, level FF", False)
    if not parts and "level" not in section:
        values.warnings.append(f"{body}: neither flags nor level is mapped; the level is always invalid")
    node["fields"] = [["level", origin.out], ["flags", flags_out]]
    general_out = -1
    if general is not None:
        general_out = values.new([])
        node["fields"].append([general.name, general_out])
        kind = Origin(general_out, "derived", "flags and levels") if parts else Origin(general_out, "absent")
        bodies.add_item(body, f"{body}.{general.name}", kind, "empty list", False)
    bodies.steps.append(["alarms", origin.out, "level" in section, level.absent, flags_out, parts, general_out])
    for row in lists:
        _codes(bodies, node, row, section.get(row.name))
    return node


def _flags(bodies: Bodies, flags: Field, level: Field, section: dict[str, Any]) -> list[list[int]]:
    """[out, bit, level] of each mapped flag."""
    values = bodies.values
    flag_names = flags.flags or ()
    specs, levels = section.get("flags", {}), section.get("levels", {})
    for key, table in (("flags", specs), ("levels", levels)):
        if not isinstance(table, dict):
            values.fault(f"alarms.{key}", "must be a table { flag = ... }")
            return []
        for name in table:
            if name not in flag_names:
                values.fault(f"alarms.{key}.{name}", f"unknown flag{nearest(name, flag_names)}")
    for name in levels:
        if name in flag_names and name not in specs:
            values.fault(f"alarms.levels.{name}", "has a level, but the flag is not mapped")
    numbers = {f"levels.{name}": number for name, number in levels.items()}
    for key, number in {**numbers, "default_level": section.get("default_level", 1)}.items():
        if isinstance(number, bool) or not isinstance(number, int) or not level.lo <= number <= level.hi:
            values.fault(f"alarms.{key}", f"is {number}; allowed are {level.lo}..{level.hi}")
            return []
    parts = []
    for bit, name in enumerate(flag_names):
        if name in specs:
            origin = values.value(f"alarms.flags.{name}", specs[name], TRUTH)
            fixed = FIXED_LEVELS.get(name)
            if fixed is not None and levels.get(name, fixed) != fixed:
                values.fault(f"alarms.levels.{name}", f"is {levels[name]}; the standard says {fixed}")
            parts.append([origin.out, bit, fixed or levels.get(name, section.get("default_level", 1))])
    return parts


def _codes(bodies: Bodies, node: Node, row: Items, spec: Any) -> None:
    """A list of fault codes: mapped, declared empty, or not known."""
    path = f"alarms.{row.name}"
    invalid = row.count.invalid
    if spec is None:
        node["fixed"].append([row.name, invalid])
        bodies.add_item("alarms", path, Origin(-1, "absent"), f"count {invalid:02X} (invalid)", True)
    elif spec == []:
        node["fixed"].append([row.name, []])
        bodies.add_item("alarms", path, Origin(-1, "constant", "none"), "empty list", False)
    else:
        node["codes"].append([row.name, *bodies.list_of("alarms", path, row, spec, {}, UNKNOWN), invalid])
