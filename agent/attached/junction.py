"""What is attached beside the buses, joined to the rest: receiver -> latest frames, modem -> login, both -> status."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from random import Random
from typing import NamedTuple

from agent.attached.devices import Modem as ModemSettings
from agent.attached.gnss import GnssReceiver
from agent.attached.modem import Modem, Reading, masked
from agent.clock import Clock
from agent.config import NO_ICCID, Config
from agent.core.frames import LatestFrames
from agent.errors import DeviceError
from agent.mapping.plan import Item

MODEM_S = 5  # how long the first login waits for the SIM card's number

log = logging.getLogger(__name__)


class Attached:
    """The receiver of [gnss] and the modem of [modem], as far as there are any. `buses`: names as the plan numbers them."""

    def __init__(
        self,
        config: Config,
        buses: list[str],
        latest: LatestFrames,
        clock: Clock,
        random: Random,
        on_iccid: Callable[[str], None],
    ) -> None:
        self.gnss: GnssReceiver | None = None
        self.modem: Modem | None = None
        if config.gnss is not None:
            if config.gnss.name in buses:
                self.gnss = GnssReceiver(config.gnss, buses.index(config.gnss.name), latest, clock, random)
            else:
                log.warning("GNSS not opened reason=the mapping has its position from elsewhere")
        if config.modem is not None:
            self.modem = Modem(config.modem, clock, random, on_iccid)

    def start(self, group: asyncio.TaskGroup) -> None:
        """Run both as tasks of the group."""
        if self.gnss is not None:
            group.create_task(self.gnss.run(), name="gnss")
        if self.modem is not None:
            group.create_task(self.modem.run(), name="modem")

    async def sim_card(self) -> None:
        """Return when the modem has told its ICCID, or has had time enough to."""
        if self.modem is None:
            return
        try:
            async with asyncio.timeout(MODEM_S):
                await self.modem.known.wait()
        except TimeoutError:
            log.warning("the modem has told no ICCID so far, the configured one is sent reason=%s", self.modem.problem)

    def say_status(self) -> None:
        """How both stand, for the log of each minute."""
        gnss, modem = self.gnss, self.modem
        parts = []
        if gnss is not None:
            told = "away" if gnss.problem else "no fix" if gnss.fix is None or not gnss.fix.valid else "fix"
            parts.append(f"gnss={told!r} fixes={gnss.fixes}")
            parts += [f"gnss_{name}={count}" for name, count in gnss.counts().items() if count]
        if modem is not None:
            parts.append(f"signal={modem.reading.signal!r}" if modem.reading else "modem=away")
        if parts:
            log.info("attached %s", " ".join(parts))


class Described(NamedTuple):
    """For `tbox check`: `lines` are (what, how it stands), `warnings` what is not as it should be."""

    lines: list[tuple[str, str]]
    warnings: list[str]


def describe(config: Config, items: Iterable[Item], clock: Clock) -> Described:
    """Where the position comes from and what the modem says; asking it takes some seconds at most."""
    found = Described([], [])
    source = next((item.source for item in items if item.path == "position.longitude" and item.kind != "absent"), "")
    gnss, modem = config.gnss, config.modem
    if gnss is not None and source.startswith(f"{gnss.name}."):
        at = "" if gnss.gpsd else f" at {gnss.baud} baud" if gnss.baud else ", baud rate found by listening"
        found.lines.append(("position", f"from {gnss.place}{at} ([gnss])"))
    elif source:
        found.lines.append(("position", f"from {source} (mapping)"))
    if gnss is not None and not source.startswith(f"{gnss.name}."):
        found.warnings.append("gnss: not used for the position, the mapping has a [position] of its own")
    if modem is not None:
        _describe_modem(config, modem, clock, found)
    return found


def _describe_modem(config: Config, settings: ModemSettings, clock: Clock, found: Described) -> None:
    configured = config.vehicle.iccid
    unset = configured == NO_ICCID
    try:
        reading = asyncio.run(Modem(settings, clock, Random(), lambda _: None).ask())  # noqa: S311 - not used
    except DeviceError as error:
        reading = Reading(None, error.reason)
        found.lines.append(("modem", f"{settings.place}: no answer"))
    else:
        iccid = masked(reading.iccid) if reading.iccid else "unknown"
        found.lines.append(("modem", f"{settings.place}: ICCID {iccid}, signal {reading.signal}"))
    if reading.iccid is None:
        fallback = "which is all zeros" if unset else f"{masked(configured)}, which is only a fallback"
        found.warnings.append(f"modem: {settings.place}: {reading.reason}; the login carries vehicle.iccid, {fallback}")
    elif not unset and reading.iccid != configured:
        sent = f"the login carries the SIM card's, {masked(reading.iccid)}"
        found.warnings.append(f"vehicle.iccid: {masked(configured)} is only a fallback; {sent}")
