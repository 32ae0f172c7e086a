"""The demo: vehicle, agent and platform in one go, an outage on demand, and a verdict at the end.

The platform runs in this process. Vehicle and agent are processes of their own on a bus of UDP multicast; where no network
interface takes multicast they share one process and python-can's `virtual` bus (`bench/onebus.py`).
"""

import asyncio
import contextlib
import logging
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from agent.clock import Clock
from agent.config import Config, counts_packs, load_config
from agent.core.editions import DEFAULT_EDITION
from agent.errors import ConfigError
from bench.answers import POLICIES, REPORTS
from bench.arrival import Arrival
from bench.delivery import Verdict, verdict
from bench.platform import Platform
from bench.received import Received

log = logging.getLogger(__name__)

VIN = "LTBXTEST100000001"
HOST = "127.0.0.1"
GRACE_MS = 120_000  # scaled; how long the end waits for the last reissues
STOP_S = 8.0  # real seconds for the agent to say goodbye
DRAIN_PER_S = 20
KEPT = 30  # packets remembered for the picture

CONFIG = """\
[vehicle]
vin = "{vin}"
{login}
mapping = "shipped:reference_{variant}.toml"
[[can]]
name = "pt"
interface = "{interface}"
channel = "{channel}"
[platform]
host = "{host}"
port = {port}
drain_per_s = {drain}
[report]
interval_s = {interval}
[outbox]
path = "tbox.db"
"""


LOGIN = {
    "2016": 'edition = "2016"\ncodes = ["PACK0001"]',
    "2025": 'edition = "2025"\npacks = [1]\ncodes = ["PACK00000000000000000001"]',
}


class DemoSettings(msgspec.Struct, frozen=True):
    """What the command line asks for. Seconds, also those of `outage`, are of the scaled clock."""

    folder: Path
    variant: str = "ev"
    edition: str = DEFAULT_EDITION
    log: str | None = None
    config: str | None = None
    seconds: float | None = None
    outage: tuple[float, float] | None = None
    speed: str = "1"


class Demo:
    """One run. `show` is called for each packet; `arrivals` and the counters are for whoever draws a picture."""

    def __init__(self, settings: DemoSettings, show: Callable[[Arrival], None] | None = None) -> None:
        self.settings = settings
        self._show = show
        self._epoch = time.time()
        self.clock = Clock(settings.speed, self._epoch)
        self.started = self.clock.now()
        self.bus = ""
        self.arrivals: list[Arrival] = []
        self.last_report: Arrival | None = None
        self.live = self.reissued = 0
        self.login_at: int | None = None
        self.first_report_ms: int | None = None
        self.alarm = False
        self.changed = asyncio.Event()
        self.ending = asyncio.Event()
        self.problem = ""
        self._out = False
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._received: set[tuple[int, int]] = set()
        self._platform: Platform | None = None
        self._interval_s = 10
        self._vin = VIN
        self._due: set[tuple[int, int]] = set()

    # -- what may be done while it runs --------------------------------------------------------------------------------

    @property
    def outage(self) -> bool:
        """Whether the platform is gone at the moment."""
        return self._out

    async def set_outage(self, out: bool) -> None:
        """Take the platform away, or bring it back."""
        if self._platform is None or out == self._out:
            return
        self._out = out
        if out:
            await self._platform.outage()
        else:
            await self._platform.restore()
        self.changed.set()

    async def toggle_alarm(self) -> None:
        """Raise or clear the alarm "SOC low" in the simulated vehicle; a recording has none to raise."""
        process = self._processes.get("vehicle") or self._processes.get("car")
        if process is not None and process.stdin is not None:
            self.alarm = not self.alarm
            process.stdin.write(f"alarm soc_low {'on' if self.alarm else 'off'}\n".encode())
            await process.stdin.drain()
        self.changed.set()

    def remarks(self) -> list[str]:
        """What the agent warned of, each once, but for the outages, which are ours."""
        path = self.settings.folder / ("car.log" if "car" in self._processes else "agent.log")
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
        told = (line.partition(" WARNING ")[2].partition(": ") for line in lines)
        return list(dict.fromkeys(text for area, _, text in told if area and area != "agent.platform.uplink"))

    def elapsed_s(self) -> float:
        """Scaled seconds since the start."""
        return (self.clock.now() - self.started) / 1000

    def pending(self) -> int:
        """Rows of the agent's outbox that the platform has not received yet."""
        return len(self._rows() - self._received)

    # -- the run -------------------------------------------------------------------------------------------------------

    async def run(self) -> Verdict:
        """Until `ending` is set or the time is over; then wait for what is still stored, stop all, judge."""
        folder = self.settings.folder
        folder.mkdir(parents=True, exist_ok=True)
        received = Received(folder / "platform.db")
        self._platform = Platform(POLICIES["annex-b"], received, clock=self.clock, on_packet=self._arrived)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.ending.set)
        try:
            port = await self._platform.start(HOST, 0)
            config = self._write_config(port)
            log.info("bus %s", self.bus)
            await self._start_car(config)
            await self._until_end()
            await self._finish()
        finally:
            await self._stop_processes()
            await self._platform.stop()
            received.close()
        return verdict(folder / "platform.db", self._vin, self._interval_s, sorted(self._expected()))

    async def _until_end(self) -> None:
        plan = self.settings.outage
        end = None if self.settings.seconds is None else self.started + int(self.settings.seconds * 1000)
        steps: list[tuple[int, bool]] = []
        if plan is not None:
            steps = [(self.started + int(plan[0] * 1000), True), (self.started + int(plan[1] * 1000), False)]
        watch = [asyncio.create_task(self._watch(name, process)) for name, process in self._processes.items()]
        try:
            while not self.ending.is_set():
                now = self.clock.now()
                while steps and steps[0][0] <= now:
                    await self.set_outage(steps.pop(0)[1])
                if end is not None and now >= end:
                    break
                due = min([now + 250, *(at for at, _ in steps[:1]), *([end] if end is not None else [])])
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.clock.real_s(due - now)):
                        await self.ending.wait()
        finally:
            for task in watch:
                task.cancel()

    async def _finish(self) -> None:
        """Give the platform back and wait until every row that stands in the outbox now has arrived."""
        await self.set_outage(False)
        due = self._rows()
        deadline = self.clock.now() + GRACE_MS + len(due) * 1000 // DRAIN_PER_S
        while not due <= self._received and self.clock.now() < deadline and not self.problem:
            self.changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await self.changed.wait()
        self._due = due

    def _expected(self) -> set[int]:
        """Collection times that must have arrived: all that stood in the outbox at the end, and what came after it."""
        late = self._rows() & self._received
        return {second for second, _ in self._due | late}

    # -- parts ---------------------------------------------------------------------------------------------------------

    def _write_config(self, port: int) -> Path:
        path = self.settings.folder / "tbox.toml"
        if self.settings.config is not None:
            config = load_config(self.settings.config)
            if not Path(self.settings.log or "").is_file():
                raise ConfigError(f"--log {self.settings.log}", ["there is no such file"])
            self._vin, self._interval_s = config.vehicle.vin, config.report.interval_s
            path.write_text(_with_log(config, self.settings.log, port), encoding="utf-8")
            self.bus = f"log {Path(self.settings.log or '').name}"
            return path
        interface, channel = choose_bus()
        self.bus = f"{interface} {channel}"
        path.write_text(
            CONFIG.format(
                vin=VIN,
                login=LOGIN[self.settings.edition],
                variant=self.settings.variant,
                interface=interface,
                channel=channel,
                host=HOST,
                port=port,
                drain=DRAIN_PER_S,
                interval=self._interval_s,
            ),
            encoding="utf-8",
        )
        return path

    async def _start_car(self, config: Path) -> None:
        scale = ["--speed", self.settings.speed, "--epoch", repr(self._epoch)]
        interface, _, channel = self.bus.partition(" ")
        if interface == "virtual":
            await self._spawn("car", "-m", "bench.onebus", str(config), self.settings.variant, *scale)
            return
        if interface != "log":
            where = ["--interface", interface, "--channel", channel, "--variant", self.settings.variant]
            await self._spawn("vehicle", "-m", "bench.cli", "vehicle", *where, *scale)
        await self._spawn("agent", "-m", "agent.cli", "run", "-c", str(config), *scale)

    async def _spawn(self, name: str, *arguments: str) -> None:
        with (self.settings.folder / f"{name}.log").open("wb") as out:
            self._processes[name] = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    async def _watch(self, name: str, process: asyncio.subprocess.Process) -> None:
        """A part that ends by itself ends the demo, with its last words."""
        code = await process.wait()
        text = (self.settings.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace").strip()
        self.problem = f"{name} ended with exit code {code}: {text[-2000:]}"
        self.ending.set()

    async def _stop_processes(self) -> None:
        for name in ("agent", "car", "vehicle"):
            process = self._processes.get(name)
            if process is None or process.returncode is not None:
                continue
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(STOP_S):
                    await process.wait()
            except TimeoutError:
                self.problem = self.problem or f"{name} did not stop within {STOP_S:g} s"
                process.kill()
                await process.wait()

    def _arrived(self, arrival: Arrival, _flag: int | None) -> None:
        self.arrivals = [*self.arrivals[-KEPT:], arrival]
        if self._show is not None:
            self._show(arrival)
        if arrival.command == "vehicle_login" and self.login_at is None:
            self.login_at = arrival.received_ms
        if arrival.command in REPORTS and arrival.collected_at is not None and arrival.fault is None:
            self.last_report = arrival
            self._received.add((arrival.collected_at, arrival.part))
            if arrival.command == "realtime":
                self.live += 1
            else:
                self.reissued += 1
            if self.first_report_ms is None and self.login_at is not None:
                self.first_report_ms = arrival.received_ms - self.login_at
        self.changed.set()

    def _rows(self) -> set[tuple[int, int]]:
        """(collected_at, part) of every row in the agent's outbox."""
        path = self.settings.folder / "tbox.db"
        try:
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1)) as db:
                return set(db.execute("SELECT collected_at, 1 FROM rows WHERE collected_at IS NOT NULL AND part = 1"))
        except sqlite3.Error:
            return set()


def choose_bus() -> tuple[str, str]:
    """UDP multicast on a group of this run's own where it opens, else python-can's virtual bus."""
    from agent.canlibrary import can

    group = f"239.74.{random.randrange(1, 255)}.{random.randrange(1, 255)}"
    # python-can complains about the bus that it could not make.
    logging.getLogger("can").setLevel(logging.ERROR)
    try:
        can.Bus(group, "udp_multicast").shutdown()
    except (can.CanError, OSError, ImportError):
        return "virtual", f"demo{os.getpid()}"
    return "udp_multicast", group


def _with_log(config: Config, log: str | None, port: int) -> str:
    """The user's configuration, its buses replaced by the recording, its platform by ours."""
    if log is None:
        raise ConfigError("demo", ["-c FILE goes with --log LOG: the demo's own vehicle has its own mapping"])
    vehicle = config.vehicle
    mapping = vehicle.mapping if vehicle.mapping.startswith("shipped:") else str(config.mapping_path().resolve())
    identity: dict[str, Any] = {name: getattr(vehicle, name) for name in ("vin", "iccid", "edition", "codes")}
    if counts_packs(vehicle.edition):
        identity["packs"] = vehicle.packs
    tables: list[tuple[str, dict[str, Any]]] = [
        ("[vehicle]", identity | {"mapping": mapping}),
        *(
            ("[[can]]", {"name": bus.name, "interface": "log", "channel": str(Path(log).resolve()), "loop": True})
            for bus in config.can
        ),
        ("[platform]", {"host": HOST, "port": port, "drain_per_s": DRAIN_PER_S}),
        ("[report]", {"interval_s": config.report.interval_s}),
        ("[outbox]", {"path": "tbox.db"}),
    ]
    lines = []
    for head, values in tables:
        lines.append(head)
        lines.extend(f"{key} = {msgspec.json.encode(value).decode()}" for key, value in values.items())
    return "\n".join(lines) + "\n"
