"""What a running agent tells about itself, once a second while somebody watches: newest frames, buses, reports, outbox, link.

The vehicle is named by the last letters of its VIN. Signals are not decoded here: who watches has the mapping.
"""

import hashlib
import json
from typing import TYPE_CHECKING, Any

import msgspec

from agent.core.frames import NEVER, LatestFrames
from agent.status import StatusError

if TYPE_CHECKING:
    from agent.attached.gnss import GnssReceiver
    from agent.canbus.bus import CanBus
    from agent.clock import Clock
    from agent.mapping.plan import CompiledMapping

FORMAT = 1
RECORDING = "log"  # the interface of a bus that nobody judges: it has no errors, and no silence
SHOWN_OF_VIN = 6  # letters of the serial number at its end: enough to tell the vehicles of a yard apart
OUTBOX_MS = 5000  # how often the outbox is asked at most


class BusState(msgspec.Struct):
    """One bus: `path` by which it is heard; `frames` handed over since the start; `load` in percent and `frames_s` where the
    interface counts what is on the wire; `dropped` frames; `errors` (error frames); `problem` in words, None when all is well;
    `counted`: everything else that is not zero.
    """

    name: str
    interface: str
    channel: str
    path: str
    frames: int
    is_open: bool
    frames_s: float | None = None
    load: float | None = None
    dropped: int = 0
    errors: int = 0
    problem: str | None = None
    counted: dict[str, int] = {}


class LinkState(msgspec.Struct):
    """The link to the platform: the session's state, since when (Unix ms) the link is up or down."""

    state: str
    endpoint: str
    since_ms: int


class OutboxState(msgspec.Struct):
    """The outbox since it was made, in seconds sampled: `pending`, `proven`, `refused`, `lost` by reason.

    None: the disk did not say. `oldest`: Unix time of the oldest row that waits; `used` of `most` bytes;
    `in_memory`: rows that the disk would not take.
    """

    pending: int | None
    oldest: int | None
    proven: int | None
    refused: int | None
    used: int | None
    most: int
    in_memory: int
    disk_refuses: bool
    lost: dict[str, int]


class Snapshot(msgspec.Struct, kw_only=True):
    """`now`: monotonic ms of the agent's clock, `wall_ms` Unix ms. `plan`: fingerprint of its compiled mapping.

    `sources`: the newest frame of every source of the plan, in hexadecimal, and its age in ms; None: none so far.
    `link` and `outbox` are None where no agent runs.
    """

    format: int = FORMAT
    now: int
    wall_ms: int
    vin: str
    mapping: str
    edition: str
    plan: str
    sources: list[tuple[str, int] | None]
    buses: list[BusState]
    outbox: OutboxState | None = None
    link: LinkState | None = None


def fingerprint(plan: dict[str, Any]) -> str:
    """Of a compiled mapping: where two differ, the sources of one are not those of the other."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def take(
    mapping: "CompiledMapping",
    plan: str,
    vin: str,
    latest: LatestFrames,
    buses: "list[CanBus]",
    gnss: "GnssReceiver | None",
    clock: "Clock",
) -> Snapshot:
    """What is heard now, without outbox and link; `plan` is the fingerprint of the mapping's, `vin` the whole one."""
    stamp = clock.stamp()
    now = clock.at(stamp)
    return Snapshot(
        now=now,
        wall_ms=clock.wall_ms(),
        vin=vin[-SHOWN_OF_VIN:],
        mapping=mapping.name,
        edition=mapping.edition_name,
        plan=plan,
        sources=newest_of(latest, stamp, clock.ticks_per_ms),
        buses=[*(_bus_state(bus, now) for bus in buses), *([] if gnss is None else [_gnss_state(gnss)])],
    )


def read_snapshot(given: Any) -> Snapshot:
    """What came over the socket; StatusError when it is not what this program understands."""
    said = given.get("format") if isinstance(given, dict) else None
    if isinstance(said, int) and said != FORMAT:
        raise StatusError(f"the agent speaks status format {said}, this program {FORMAT}: start both from one version")
    try:
        snapshot = msgspec.convert(given, Snapshot)
        for source in snapshot.sources:
            bytes.fromhex(source[0] if source else "")
    except (msgspec.ValidationError, ValueError) as error:
        raise StatusError(f"what came is no status of an agent: {error}") from error
    return snapshot


def newest_of(latest: LatestFrames, now: int, ticks_per_ms: int) -> list[tuple[str, int] | None]:
    """The newest frame of each source and its age; `now` in ticks."""
    found: list[tuple[str, int] | None] = []
    for slot, stamp in enumerate(latest.stamps):  # each stamp before its frame: as LatestFrames says
        data = latest.frames[slot]
        found.append(None if stamp == NEVER else (data.hex(), max(0, (now - stamp) // ticks_per_ms)))
    return found


def restore(latest: LatestFrames, sources: list[tuple[str, int] | None], now: int) -> None:
    """Put the frames of a snapshot into `latest` of the same plan, as if they had come when they did; `now` in ms."""
    for slot, source in enumerate(sources):
        if source is None:
            latest.stamps[slot] = NEVER
        else:
            latest.frames[slot], latest.stamps[slot] = bytes.fromhex(source[0]), now - source[1]


def _bus_state(bus: "CanBus", now: int) -> BusState:
    """Everything that is read of a bus."""
    settings, guard, counts = bus.settings, bus.guard, bus.counts()
    return BusState(
        settings.name,
        settings.interface,
        str(settings.channel),
        bus.kind,
        bus.frames,
        bus.is_open.is_set(),
        frames_s=guard.load.frames_s,
        load=guard.load.percent,
        dropped=counts.pop("drops"),
        errors=counts.pop("error_frames"),
        problem=bus.problem if settings.interface == RECORDING else guard.trouble.problem(now) or bus.problem,
        counted={name: count for name, count in counts.items() if count},
    )


def _gnss_state(gnss: "GnssReceiver") -> BusState:
    fixes, counts = gnss.fixes + gnss.void, gnss.counts()
    return BusState(
        gnss.settings.name,
        "gnss",
        gnss.settings.place,
        "",
        fixes,
        gnss.problem is None,
        problem=gnss.problem,
        counted={name: count for name, count in counts.items() if count},
    )


def outbox_state(stats: dict[str, Any]) -> OutboxState:
    """Of what `Outbox.stats` says."""
    total = stats.get("total", {})
    return OutboxState(
        pending=total.get("pending"),
        oldest=stats.get("oldest_pending"),
        proven=total["live"] + total["reissued"] if total else None,
        refused=total.get("refused"),
        used=stats.get("used_bytes"),
        most=stats["max_bytes"],
        in_memory=stats["in_memory"]["rows"],
        disk_refuses=stats["disk_refuses"],
        lost=total.get("lost", {}),
    )
