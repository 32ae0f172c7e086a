"""What a mapping will report: which items of the standard are filled, which are not, and how much data that is."""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from agent.core.dataunit import TIME_SIZE
from agent.core.edition import Edition
from agent.core.field import Items, Layout
from agent.core.frames import LatestFrames
from agent.core.packet import HEADER_SIZE
from agent.core.report import encode_report
from agent.core.sampler import Sampler
from agent.core.session import REALTIME
from agent.fieldtable import items_of
from agent.mapping.plan import CompiledMapping

MONTH_S = 30 * 86_400
TCP_IP_BYTES = 80  # headers of one small packet and of its acknowledgement
FRAME_BYTES = HEADER_SIZE + 1  # a packet beside its data unit: header, check code


class Coverage(msgspec.Struct, frozen=True):
    """`applicable` items of the platform's tables in the bodies that the vehicle has, `filled` of them; `invalid_share` of
    all values of a record with every source alive; sizes in bytes; `spoiling` items make every record count as null."""

    applicable: int
    filled: int
    invalid_share: float
    packet_bytes: list[int]
    packets_month: int
    payload_month: int
    traffic_month: int
    spoiling: list[str]
    standing_in: list[str]


def coverage_of(
    mapping: CompiledMapping, interval_s: int, seal: Callable[[bytes, int, bytes], tuple[int, bytes]]
) -> Coverage:
    """Work out what `mapping` will send every `interval_s` seconds, signed and encrypted by `seal`."""
    edition = mapping.edition
    bodies = {item.body for item in mapping.items}
    layouts = [layout for layout in edition.bodies.values() if layout.name in bodies]
    applicable = sum(items_of(layout) for layout in layouts if not layout.annex_b)
    empty = {_row_of(item.path) for item in mapping.items if item.kind == "absent"}
    platform = {layout.name for layout in layouts if not layout.annex_b}
    missing = sum(_weight(edition, path) for path in empty if path.split(".")[0] in platform)
    nothing = Sampler(mapping.plan).sample(LatestFrames(mapping.plan), 0)
    parts = [bytes(TIME_SIZE) + part for part in encode_report(edition, nothing)]
    sizes = [len(seal(edition.start, REALTIME, part)[1]) + FRAME_BYTES for part in parts]
    packets = MONTH_S // interval_s * len(sizes)
    payload = MONTH_S // interval_s * sum(sizes)
    absent = [item for item in mapping.items if item.kind == "absent"]
    return Coverage(
        applicable=applicable,
        filled=applicable - missing,
        invalid_share=len(absent) / len(mapping.items) if mapping.items else 1.0,
        packet_bytes=sizes,
        packets_month=packets,
        payload_month=payload,
        traffic_month=payload + packets * TCP_IP_BYTES,
        spoiling=[item.path for item in mapping.items if item.spoils],
        standing_in=[f"{item.path} ({item.unknown})" for item in absent if not item.spoils],
    )


def _row_of(path: str) -> str:
    """`drive_motors.motors[2].speed` and `vehicle.gear.driving_force` as rows of the table."""
    parts = re.sub(r"\[\d+\]", "", path).split(".")
    return ".".join(parts[:2] if "gear" in parts[:2] else parts)


def _weight(edition: Edition, path: str) -> int:
    """How many items an empty row costs: two for a list, none for a row of annex B."""
    body, *rest = path.split(".")
    layout = edition.bodies[edition.body_types[body]]
    for row in _rows(layout):
        if row.name == rest[-1]:
            if isinstance(row, Items):
                return 2
            return 0 if getattr(row, "annex_b", False) else 1
    return 0


def _rows(layout: Layout) -> list[Any]:
    rows: list[Any] = []
    for row in layout.rows:
        rows.append(row)
        if isinstance(row, Items) and isinstance(row.item, Layout):
            rows.extend(_rows(row.item))
    return rows
