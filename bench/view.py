"""What the demo shows: a live picture on a terminal, one line a packet elsewhere."""

from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from agent.beijing import BEIJING
from agent.core.packet import Packet
from agent.packetjson import packet_to_json
from bench.arrival import Arrival
from bench.demo import Demo

LINES = 12  # packets shown

# (body, field, name, decimals, unit) in two columns
ITEMS = (
    (("vehicle", "speed", "speed", 1, "km/h"), ("vehicle", "vehicle_state", "vehicle state", 0, "")),
    (("vehicle", "odometer", "odometer", 1, "km"), ("vehicle", "charging_state", "charging state", 0, "")),
    (("vehicle", "soc", "SOC", 0, "%"), ("vehicle", "gear", "gear", 0, "")),
    (
        ("vehicle", "total_voltage", "total voltage", 1, "V"),
        ("vehicle", "insulation_resistance", "insulation resistance", 0, "kOhm"),
    ),
    (("vehicle", "total_current", "total current", 1, "A"), ("alarms", "level", "alarm level", 0, "")),
    (
        ("extremes", "max_cell_voltage", "max cell voltage", 3, "V"),
        ("extremes", "min_cell_voltage", "min cell voltage", 3, "V"),
    ),
    (("position", "longitude", "longitude", 6, "deg"), ("position", "latitude", "latitude", 6, "deg")),
)


def packet_line(arrival: Arrival) -> str:
    """One packet: when it came, what it is, of when, how late."""
    came = datetime.fromtimestamp(arrival.received_ms / 1000, BEIJING).strftime("%H:%M:%S.%f")[:-3]
    line = f"{came}  {arrival.command:15} {len(arrival.packet.raw):5} B"
    if arrival.collected_at is not None:
        of = datetime.fromtimestamp(arrival.collected_at, BEIJING).strftime("%H:%M:%S")
        line += f"  of {of}  {(arrival.late_ms or 0) / 1000:+6.1f} s"
    if arrival.body_types:
        line += f"  bodies {bytes.fromhex(arrival.body_types).hex(' ')}"
    return line + (f"  {arrival.fault}" if arrival.fault else "")


def picture(demo: Demo) -> RenderableType:
    """The whole live view."""
    state = "[red]OUTAGE[/]" if demo.outage else "[green]platform up[/]"
    head = (
        f"{state}   bus {demo.bus}   {demo.elapsed_s():6.0f} s   "
        f"live [b]{demo.live}[/]   reissued [b]{demo.reissued}[/]   waiting [b]{demo.pending()}[/]"
    )
    values = Table.grid(padding=(0, 3))
    for width in (16, 16, 21, 16):
        values.add_column(min_width=width)
    bodies = _bodies(demo.last_report)
    for left, right in ITEMS:
        values.add_row(*_cells(bodies, *left), *_cells(bodies, *right))
    lines = Text(
        "\n".join(packet_line(arrival) for arrival in demo.arrivals[-LINES:]) or "waiting for the first packet"
    )
    alarm = "" if demo.settings.log else f"[b]a[/] alarm {'off' if demo.alarm else 'on'}   "
    keys = f"[b]o[/] outage on/off   {alarm}[b]e[/] explain last report   [b]q[/] quit"
    return Group(
        Panel(head, title="tbox-bench demo"),
        Panel(values, title="last report"),
        Panel(lines, title="packets: came (Beijing time), what, size, of when, how late"),
        *(Text(f"agent: {remark}", style="yellow") for remark in demo.remarks()),
        keys,
    )


def _bodies(arrival: Arrival | None) -> dict[str, dict[str, Any]]:
    if arrival is None:
        return {}
    bodies = {body["body"]: body for body in packet_to_json(Packet(arrival.packet.raw)).get("bodies", [])}
    if "extremes" not in bodies:  # an edition without them: told from the cells
        bodies["extremes"] = cell_extremes(bodies.get("unit_voltages", {}).get("packs", []))
    return bodies


def cell_extremes(packs: list[dict[str, Any]]) -> dict[str, Any]:
    """Highest and lowest known voltage of the cells of all packs, as a body of extremes; empty when there is none."""
    known = [volts for pack in packs for volts in pack.get("cells", []) if isinstance(volts, int | float)]
    return {"max_cell_voltage": max(known), "min_cell_voltage": min(known)} if known else {}


def _cells(
    bodies: dict[str, dict[str, Any]], body: str, field: str, name: str, decimals: int, unit: str
) -> tuple[str, str]:
    value = bodies.get(body, {}).get(field)
    if value is None:
        return name, "-"
    if isinstance(value, dict):
        value = value.get("gear", value)
    if field == "level":
        shown = " ".join([str(value), *bodies[body]["flags"]])
    else:
        shown = f"{value:.{decimals}f} {unit}" if isinstance(value, int | float) else str(value)
    return name, f"[b]{shown.replace('_', ' ')}[/]"
