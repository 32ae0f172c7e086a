"""What rows with whole processes share: a configuration, a platform and an agent as processes, their memory, and the row."""

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.demo import VIN, choose_bus

__all__ = [
    "VIN",
    "RigError",
    "agent",
    "choose_bus",
    "figure",
    "platform",
    "process",
    "received",
    "rss_kb",
    "scratch",
    "vehicle",
    "wait_for",
    "write_config",
]

FOLDER = "/var/tmp"  # noqa: S108 - /tmp may be memory
HOST = "127.0.0.1"
STOP_S = 20.0
POLL_S = 0.1
LAST_WORDS = 2000  # characters of a process's log in an error

CONFIG = """\
[vehicle]
vin = "{vin}"
mapping = "shipped:reference_ev.toml"
[[can]]
name = "pt"
interface = {interface}
channel = {channel}
loop = true
[platform]
host = "{host}"
port = {port}
policy = "{policy}"
drain_per_s = {drain}
[report]
interval_s = {interval}
[outbox]
path = "tbox.db"
reissue_days = 30
"""


def scratch() -> "tempfile.TemporaryDirectory[str]":
    """A folder on a disk, for as long as it is needed."""
    return tempfile.TemporaryDirectory(prefix="tbox-perf-", dir=FOLDER)


class RigError(RuntimeError):
    """A process of a measurement did not do its part; the text holds its last words."""


def figure(
    name: str,
    value: float | None,
    unit: str,
    target: str,
    met: bool,
    *,
    peer: str = "",
    peer_value: float | None = None,
    note: str = "",
) -> dict[str, Any]:
    """One row of the table; `ratio` is value to peer."""
    ratio = round(value / peer_value, 3) if value is not None and peer_value else None
    row: dict[str, Any] = {
        "name": name,
        "value": value,
        "unit": unit,
        "peer": peer,
        "peer_value": peer_value,
        "ratio": ratio,
        "target": target,
        "met": met,
    }
    return row | {"note": note} if note else row


def write_config(
    folder: Path, port: int, *, bus: tuple[str, str], policy: str = "none", drain: int = 20, interval_s: int = 10
) -> Path:
    """The agent's configuration for the reference car; `bus` is (interface, channel)."""
    path = folder / "tbox.toml"
    text = CONFIG.format(
        vin=VIN,
        interface=json.dumps(bus[0]),
        channel=json.dumps(bus[1]),
        host=HOST,
        port=port,
        policy=policy,
        drain=drain,
        interval=interval_s,
    )
    path.write_text(text, encoding="utf-8")
    return path


@contextlib.contextmanager
def agent(folder: Path, config: Path, *scale: str) -> Iterator[subprocess.Popen[bytes]]:
    """`tbox run` as a process of its own until the block ends; `scale`: its --speed and --epoch."""
    with process(folder, "agent", "-m", "agent.cli", "run", "-c", str(config), *scale) as running:
        yield running


@contextlib.contextmanager
def platform(folder: Path, policy: str, *scale: str) -> Iterator[int]:
    """`tbox-bench platform` as a process of its own; gives its port. What came in stands in platform.db."""
    name = f"platform-{policy}"
    arguments = ("platform", "--policy", policy, "--port", "0", "--quiet", "--db", str(folder / "platform.db"))
    with process(folder, name, "-m", "bench.cli", *arguments, *scale) as running:
        out = folder / f"{name}.out"
        wait_for(lambda: b"\n" in out.read_bytes(), 20, "the platform listens", running)
        yield int(out.read_bytes().split()[-1])


@contextlib.contextmanager
def vehicle(folder: Path, channel: str) -> Iterator[None]:
    """`tbox-bench vehicle` on a multicast group; it sends its first frames some time after the block has begun."""
    with process(folder, "vehicle", "-m", "bench.cli", "vehicle", "--interface", "udp_multicast", "--channel", channel):
        yield


@contextlib.contextmanager
def process(folder: Path, name: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{name}.out").open("wb") as out, (folder / f"{name}.log").open("wb") as log:
        running = subprocess.Popen([sys.executable, *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=log)
    try:
        yield running
        if running.poll() is not None:
            words = (folder / f"{name}.log").read_text(errors="replace")[-LAST_WORDS:]
            raise RigError(f"{name} ended by itself with exit code {running.returncode}: {words}")
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(STOP_S)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def wait_for(condition: Any, timeout_s: float, what: str, process: "subprocess.Popen[bytes] | None" = None) -> None:
    """Poll until `condition()`; RigError when the process ends or time is over."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if process is not None and process.poll() is not None:
            return  # its own block says how it ended
        if time.monotonic() > deadline:
            raise RigError(f"waited {timeout_s:g} s in vain until {what}")
        time.sleep(POLL_S)


def received(folder: Path) -> sqlite3.Connection:
    """The platform's file, for reading while it is written."""
    path = folder / "platform.db"
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)


def rss_kb(pid: int) -> int:
    """Resident memory of a process in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RigError(f"process {pid} has no memory any more")
