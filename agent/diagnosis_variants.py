"""Tables with the mistakes that public code makes: what a wrong sender may have meant by a body type or a command."""

from functools import cache

from agent.core.edition import SIGNATURE, Edition
from agent.core.editions import EDITIONS
from agent.core.field import U8, U16, Field, Items, Layout
from agent.diagnosis_reading import Choice

# Bodies that changed their type with the edition, besides those that kept it: (edition of the packet, type, the other's type).
_MOVED = (("2025", 0x06, 0x07), ("2025", 0x07, 0x08), ("2016", 0x07, 0x06), ("2016", 0x08, 0x07))


def other(edition: Edition) -> Edition:
    """The other edition."""
    return next(candidate for candidate in EDITIONS.values() if candidate.name != edition.name)


@cache
def _body_choices(name: str) -> dict[int, list[Choice]]:
    edition = EDITIONS[name]
    theirs = other(edition)
    found: dict[int, list[Choice]] = {}
    for type_id in range(256):
        own = edition.body(type_id)
        found[type_id] = [Choice(own)] if own is not None else []
        layout = theirs.body(type_id)
        if layout is not None and layout is not own:
            mistake = "other_edition" if type_id != SIGNATURE else "signature_2016"
            found[type_id].append(Choice(layout, mistake))
    for packet_edition, type_id, their_type in _MOVED:
        if packet_edition == name:
            found[type_id].append(Choice(theirs.bodies[their_type], "other_layout"))
    for type_id, layout, mistake in _special(edition):
        found[type_id].append(Choice(layout, mistake))
    for choices in found.values():
        if choices and not choices[0].mistake:
            counted = _without_sentinels(choices[0].layout)
            if counted is not None:
                choices.append(Choice(counted, "count_as_length"))
    return found


def body_choices(edition: Edition, type_id: int) -> list[Choice]:
    """What body type `type_id` may mean, the right table first."""
    if type_id in edition.declared:
        return [Choice(edition.declared[type_id])]
    return _body_choices(edition.name)[type_id]


def _special(edition: Edition) -> list[tuple[int, Layout, str]]:
    if edition.signature is not None:
        motors = edition.bodies[2].rows[0]
        signature = edition.signature
        word = [Field("torque", U16, "N.m", 10, 20000, 0, 65531) if row.name == "torque" else row
                for row in motors.item.rows]  # fmt: skip
        motor = Layout("motor", tuple(word), motors.item.clause)
        return [
            (2, Layout("drive_motors", (Items("motors", U8, motor, 1, 253),), motor.clause), "torque_word"),
            (SIGNATURE, Layout(signature.name, signature.rows[:2], signature.clause), "signature_without_s"),
        ]
    fuel_cell, voltages = edition.bodies[3], edition.bodies[8]
    rows = fuel_cell.rows
    probes = rows[3]
    short = Items(probes.name, U8, probes.item, 0, 255, False)
    subsystem = voltages.rows[0].item
    cells = Items("cells", U16, subsystem.rows[-1].item, 1, 65531, False)
    misread = Layout("subsystem", (subsystem.rows[0], cells), subsystem.clause)
    return [
        (3, Layout(fuel_cell.name, (*rows[:3], short, *rows[4:]), fuel_cell.clause), "probe_count_byte"),
        (3, Layout(fuel_cell.name, (*rows[:3], *rows[4:], probes), fuel_cell.clause), "hydrogen_first"),
        (3, Layout(fuel_cell.name, (*rows[:3], *rows[4:], short), fuel_cell.clause), "hydrogen_first"),
        (8, Layout(voltages.name, (Items("subsystems", U8, misread, 1, 250),), voltages.clause), "cells_misread"),
    ]


def _without_sentinels(layout: Layout) -> Layout | None:
    """The same table with every count taken as a number of entries, FE and FF too; None where that changes nothing."""
    changed = False
    rows = []
    for row in layout.rows:
        if not isinstance(row, Items):
            rows.append(row)
            continue
        inner = _without_sentinels(row.item) if isinstance(row.item, Layout) else None
        changed = changed or inner is not None or row.count.invalid is not None
        rows.append(Items(row.name, row.count.size, inner or row.item, row.count.lo, row.count.top, False))
    return Layout(layout.name, tuple(rows), layout.clause) if changed else None


def row_choices(edition: Edition, command: int, response: int) -> list[Choice]:
    """What the rows of a command may be, the right table first; empty when it has none."""
    row = edition.commands.get(command)
    layout = row.rows(response) if row is not None else None
    if layout is None:
        return []
    choices = [Choice(layout)]
    theirs = other(edition).commands.get(command)
    their_layout = theirs.rows(response) if theirs is not None else None
    if their_layout is not None and their_layout is not layout:
        mistakes = {"vehicle_login": "other_login", "parameters": "other_parameters"}
        choices.append(Choice(their_layout, mistakes.get(layout.name, "other_layout")))
    if layout.name == "activation":
        marker = Field("marker", U8, lo=SIGNATURE, hi=SIGNATURE, sentinel=False)
        choices.append(
            Choice(Layout(layout.name, (*layout.rows[:3], marker, *layout.rows[3:]), layout.clause), "marker")
        )
    return choices
