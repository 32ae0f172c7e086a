"""What the demo shows: a live picture on a terminal, one line a packet elsewhere."""

from datetime import datetime, timedelta, timezone
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from agent.core.packet import Packet
from agent.packetjson import packet_to_json
from bench.arrival import Arrival
from bench.demo import Demo

BEIJING = timezone(timedelta(hours=8))
LINES = 12  # packets shown

# (body, field, unit) in two columns
ITEMS = (
    (("vehicle", "speed", "km/h"), ("vehicle", "vehicle_state", "")),
    (("vehicle", "odometer", "km"), ("vehicle", "charging_state", "")),
    (("vehicle", "soc", "%"), ("vehicle", "gear", "")),
    (("vehicle", "total_voltage", "V"), ("vehicle", "insulation_resistance", "kOhm")),
    (("vehicle", "total_current", "A"), ("alarms", "level", "")),
    (("extremes", "max_cell_voltage", "V"), ("extremes", "min_cell_voltage", "V")),
    (("position", "longitude", "deg"), ("position", "latitude", "deg")),
)


def packet_line(arrival: Arrival) -> str:
    """One packet: when it came, what it is, of when, how late."""
    came = datetime.fromtimestamp(arrival.received_ms / 1000, BEIJING).strftime("%H:%M:%S.%f")[:-3]
    line = f"{came}  {arrival.command:15} {len(arrival.packet.raw):5} B"
    if arrival.collected_at is not None:
        of = datetime.fromtimestamp(arrival.collected_at, BEIJING).strftime("%H:%M:%S")
        line += f"  of {of}  +{(arrival.late_ms or 0) / 1000:.1f} s"
    if arrival.body_types:
        types = arrival.body_types
        line += "  bodies " + " ".join(types[at : at + 2] for at in range(0, len(types), 2))
    return line + (f"  {arrival.fault}" if arrival.fault else "")


def picture(demo: Demo) -> RenderableType:
    """The whole live view."""
    state = "[red]OUTAGE[/]" if demo.outage else "[green]platform up[/]"
    head = (
        f"{state}   bus {demo.bus}   {demo.elapsed_s():6.0f} s   "
        f"live [b]{demo.live}[/]   reissued [b]{demo.reissued}[/]   waiting [b]{demo.pending()}[/]"
    )
    values = Table.grid(padding=(0, 3))
    bodies = _bodies(demo.last_report)
    for left, right in ITEMS:
        values.add_row(*_cells(bodies, *left), *_cells(bodies, *right))
    lines = Text(
        "\n".join(packet_line(arrival) for arrival in demo.arrivals[-LINES:]) or "waiting for the first packet"
    )
    keys = f"[b]o[/] outage on/off   [b]a[/] alarm {'off' if demo.alarm else 'on'}   [b]e[/] explain last packet   [b]q[/] quit"
    return Group(
        Panel(head, title="tbox-bench demo"), Panel(values, title="last report"), Panel(lines, title="packets"), keys
    )


def _bodies(arrival: Arrival | None) -> dict[str, dict[str, Any]]:
    if arrival is None:
        return {}
    return {body["body"]: body for body in packet_to_json(Packet(arrival.packet.raw)).get("bodies", [])}


def _cells(bodies: dict[str, dict[str, Any]], body: str, field: str, unit: str) -> tuple[str, str]:
    value = bodies.get(body, {}).get(field)
    if isinstance(value, dict):
        value = value.get("gear")
    return field.replace("_", " "), f"[b]{'-' if value is None else value}[/] {unit}"
