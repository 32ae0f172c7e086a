"""Where the parts are joined: buses -> latest frames -> collector -> outbox -> uplink -> link."""

import asyncio
import contextlib
import difflib
import logging
import signal
import sys
from collections.abc import Mapping
from random import Random

import msgspec

from agent.app_status import Status
from agent.attached.junction import Attached
from agent.canbus.bus import CanBus
from agent.clock import Clock
from agent.collect import Collector
from agent.config import Config, vin_warning
from agent.core.frames import LatestFrames
from agent.core.sampler import Sampler
from agent.errors import AgentError, ConfigError
from agent.mapping.plan import rivalries, slots_of_buses, unseen
from agent.outbox_thread import OutboxThread
from agent.platform.side import PlatformSide
from agent.platform.uplink import Uplink
from agent.signalmap import CompiledMapping, load_mapping
from agent.status import StatusServer, status_path

log = logging.getLogger(__name__)

# The login goes out so long before the first sample: the buses are heard meanwhile, or the first report would lack whatever
# had no turn yet; and the report finds the session ready.
LEAD_MS = 500
HEALTH_MS = 60_000
UNSEEN_MS = 10_000  # every cyclic message has come by then
# How long a thread may keep Python to itself while another waits. With the default of 5 ms the sampling loop, which must take its
# turn several times a sample, came 15 ms late beside 8,000 frames/s; with this 4 ms.
SWITCH_S = 0.0003
SCALABLE = ("virtual", "udp_multicast", "log")  # interfaces without a real car behind them


def load_for(config: Config, file: str) -> CompiledMapping:
    """The compiled mapping of a configuration whose buses are all there; ConfigError otherwise."""
    gnss = config.gnss.name if config.gnss is not None else None
    mapping = load_mapping(config.mapping_path(), config.vehicle.edition, gnss=gnss)
    names = [bus.name for bus in config.can]
    faults = []
    for name in mapping.buses:
        if name == "gnss" != gnss and name not in names:
            faults.append(
                "gnss: the mapping reads a bus named 'gnss', and there is neither [gnss] nor a [[can]] of that name; write "
                '[gnss] with device = "/dev/ttyACM0" or gpsd = "localhost:2947"'
            )
        elif name not in names and name != gnss:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean to name it so instead of {near[0]!r}?" if near else f"there are: {', '.join(names)}"
            faults.append(f"can: the mapping reads a bus named {name!r}, and no [[can]] has that name; {hint}")
    if faults:
        raise ConfigError(file, faults)
    return mapping


def check_speed(config: Config, clock: Clock, file: str) -> None:
    """A scaled clock beside a real car would send reports about seconds that never were."""
    real = [bus.name for bus in config.can if bus.interface not in SCALABLE]
    real += [config.gnss.name] if config.gnss is not None else []
    if clock.speed != 1 and real:
        raise ConfigError(
            file, [f"can: --speed works with {', '.join(SCALABLE)} only; real interface: {', '.join(real)}"]
        )


def make_buses(
    config: Config, mapping: CompiledMapping, latest: LatestFrames, clock: Clock, random: Random
) -> list[CanBus]:
    """The buses that the mapping reads something from, feeding `latest`."""
    indexes = {name: index for index, name in enumerate(mapping.buses)}
    buses = []
    for settings in config.can:
        if settings.name not in indexes:
            log.warning("can bus not opened name=%s reason=the mapping reads nothing from it", settings.name)
            continue
        if settings.interface == "log":
            settings = msgspec.structs.replace(settings, channel=str(config.path(settings.channel)))
        buses.append(CanBus(settings, indexes[settings.name], latest, clock, random))
    return buses


class Agent:
    """The whole terminal of one vehicle. Make it, `run` it; cancelling `run` stops it cleanly."""

    def __init__(self, config: Config, clock: Clock, file: str = "configuration", random: Random | None = None) -> None:
        check_speed(config, clock, file)
        warning = vin_warning(config.vehicle.vin)
        if warning:
            log.warning("%s: %s", file, warning)
        self._config = config
        self._file = file
        self._clock = clock
        self._random = random or Random()  # noqa: S311 - spreads waiting times
        self.mapping = load_for(config, file)
        for text in self.mapping.warnings:
            log.warning("%s", text)
        self._edition = self.mapping.edition
        self.latest = LatestFrames(self.mapping.plan, clock.ticks_per_ms)
        self.uplink: Uplink | None = None
        self.collector: Collector | None = None
        self.attached: Attached | None = None

    async def run(self) -> None:
        """Until cancelled. OutboxError when the outbox cannot be had; BusError never: a lost bus is reopened."""
        config = self._config
        keep = config.outbox
        path = config.path(keep.path)
        outbox = await OutboxThread.open(
            path,
            keep_days=keep.keep_days,
            max_mb=keep.max_mb,
            reissue_days=keep.reissue_days,
            wall_s=self._wall_s,
            now_ms=self._clock.now,
        )
        try:
            await self._run(outbox)
        finally:
            try:
                if self.collector is not None:
                    await self.collector.flush()
            finally:  # also after a second signal, or a fault of the outbox
                await outbox.close()

    async def _run(self, outbox: OutboxThread) -> None:
        platform = PlatformSide(self._config, self._file, self._edition, self._clock, outbox, self._random)
        await platform.open()
        self.uplink = platform.uplink
        buses = make_buses(self._config, self.mapping, self.latest, self._clock, self._random)

        def refresh() -> None:
            for bus in buses:
                bus.refresh()

        self.collector = Collector(
            edition=self._edition,
            vin=self._config.vehicle.vin,
            sampler=Sampler(self.mapping.plan, self._clock.ticks_per_ms),
            latest=self.latest,
            settings=platform.parameters.report_settings(),
            silence_s=self._config.report.silence_s,
            outbox=outbox,
            clock=self._clock,
            appended=platform.appended,
            on_phase=platform.phase,
            awake=slots_of_buses(self.mapping.plan, self._vehicle_buses()),
            refresh=refresh,
        )
        platform.collector = self.collector
        names = self.mapping.buses
        attached = Attached(self._config, names, self.latest, self._clock, self._random, platform.sim_card)
        self.attached = attached
        status = Status(self._config, self.mapping, self.latest, self._clock, buses, attached.gnss, outbox, platform)
        server = StatusServer(status_path(self._config.path(self._config.outbox.path)), status.snapshot, self._clock)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(server.run(), name="status")
                for bus in buses:
                    group.create_task(bus.run(), name=f"bus {bus.settings.name}")
                attached.start(group)
                await self._clock.sleep_until(self._first_sample() - LEAD_MS)
                group.create_task(self._uplink(platform.uplink, attached), name="uplink")
                group.create_task(platform.monitoring.run(), name="sampling monitoring")
                group.create_task(self.collector.run(), name="collect")
                group.create_task(self._watch(buses), name="health")
        finally:
            await platform.close()

    async def _uplink(self, uplink: Uplink, attached: Attached) -> None:
        await attached.sim_card()  # the login names it
        await uplink.run()

    def _vehicle_buses(self) -> list[str]:
        """The buses that fall silent with the vehicle: a receiver goes on telling where it is parked."""
        gnss = self._config.gnss
        return [name for name in self.mapping.buses if gnss is None or name != gnss.name]

    def _first_sample(self) -> int:
        """The first whole second at which the buses will have been heard for `LEAD_MS`."""
        first = self._clock.next_second()
        return first if first >= self._clock.now() + LEAD_MS else first + 1000

    async def _watch(self, buses: list[CanBus]) -> None:
        """Once a minute: say how things stand; early on, each message that is missing."""
        await self._clock.sleep_until(self._clock.now() + UNSEEN_MS)
        if missing := unseen(self.mapping.plan, self.latest.stamps):
            log.warning("mapped messages not seen so far, sent as invalid: %s", ", ".join(missing))
        said = 0
        while True:
            for text in rivalries(self.mapping.plan, self.latest.rivals[said:]):
                log.warning("%s", text)
                said += 1
            await self._clock.sleep_until(self._clock.now() + HEALTH_MS)
            self._say_status()
            for bus in buses:
                _say_counted(f" bus={bus.settings.name}", bus.counts())

    def _say_status(self) -> None:
        assert self.uplink is not None  # noqa: S101 - made before `_watch` begins
        assert self.collector is not None  # noqa: S101 - made before `_watch` begins
        links, sent = self.uplink.counters, self.uplink.sending.counters
        collected = self.collector.counters
        log.info(
            "status link=%s reports=%d live=%d reissued=%d proven=%d frames=%d",
            self.uplink.state,
            collected.reported,
            sent.sent_live,
            sent.sent_reissue,
            sent.proven,
            self.latest.kept,
        )
        if self.attached is not None:
            self.attached.say_status()
        troubles = {
            "other_source": self.latest.other_source,
            "torn": self.latest.torn,
            "missed_seconds": collected.missed,
            "clock": collected.clock,
            "links_lost": links.links_lost,
            "login_failures": links.login_failures,
            "error_answers": sent.error_answers,
            "refused": sent.refused,
            "ignored": links.ignored,
            "noise_bytes": links.noise_bytes,
            "bad_bcc": links.bad_bcc,
        }
        _say_counted("", troubles)

    def _wall_s(self) -> int:
        return self._clock.wall_ms() // 1000


def _say_counted(where: str, counts: Mapping[str, int]) -> None:
    counted = " ".join(f"{name}={count}" for name, count in counts.items() if count)
    if counted:
        log.info("counted since the start%s: %s", where, counted)


async def run_until_stopped(agent: Agent) -> None:
    """Run the agent; SIGTERM and SIGINT stop it cleanly."""
    sys.setswitchinterval(SWITCH_S)
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(agent.run(), name="agent")
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        try:
            await task
        except* AgentError as group:
            raise group.exceptions[0] from None
