"""The delivery rule with real processes: vehicle, agent and platform, killed and restarted, ten times faster than life."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bench.delivery import verdict
from bench.demo import choose_bus

pytestmark = [pytest.mark.slow, pytest.mark.network]

SPEED = "10"
PATIENCE_S = 90
VIN = "LTBXTEST100000001"
CONFIG = """
[vehicle]
vin = "{vin}"
mapping = "shipped:reference_ev.toml"
[[can]]
name = "pt"
interface = "udp_multicast"
channel = "{channel}"
[platform]
host = "127.0.0.1"
port = {port}
[outbox]
path = "tbox.db"
"""


class Parts:
    """The processes of one run; each writes one stream that the test reads line by line."""

    def __init__(self, folder: Path, channel: str, port: int) -> None:
        self.folder = folder
        self.port = port
        self.scale = ["--speed", SPEED, "--epoch", repr(time.time())]
        self.channel = channel
        self.running: list[subprocess.Popen[str]] = []
        (folder / "tbox.toml").write_text(CONFIG.format(vin=VIN, channel=channel, port=port))

    def start(self, module: str, *arguments: str, read: str) -> "subprocess.Popen[str]":
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, read: subprocess.PIPE}
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments, *self.scale],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": os.getcwd(), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            text=True,
            **streams,
        )
        self.running.append(process)
        return process

    def vehicle(self) -> "subprocess.Popen[str]":
        return self.start("bench.cli", "vehicle", "--channel", self.channel, read="stderr")

    def platform(self) -> "subprocess.Popen[str]":
        process = self.start("bench.cli", "platform", "--port", str(self.port), "--db", "platform.db", read="stdout")
        until(process.stdout, lambda line: line.startswith("listening"))
        return process

    def agent(self) -> "subprocess.Popen[str]":
        return self.start("agent.cli", "run", "-c", "tbox.toml", read="stderr")

    def kill(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.kill()

    def rows(self) -> set[int]:
        with closing(sqlite3.connect(self.folder / "tbox.db")) as db:
            return {second for (second,) in db.execute("SELECT collected_at FROM rows")}

    def received(self) -> set[int]:
        with closing(sqlite3.connect(self.folder / "platform.db")) as db:
            query = "SELECT DISTINCT collected_at FROM packets WHERE command IN ('realtime', 'reissue')"
            return {second for (second,) in db.execute(query)}


def until(stream, wanted: Callable[[str], bool], times: int = 1) -> str:
    """Read lines until `times` of them are wanted; the last one. The stream's end is a failure."""
    seen: deque[str] = deque(maxlen=30)
    for line in stream:
        seen.append(line)
        if wanted(line):
            times -= 1
            if times == 0:
                return line
    raise AssertionError("the process ended before that happened; its last lines:\n" + "".join(seen))


def kill(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    interface, channel = choose_bus()
    if interface != "udp_multicast":
        pytest.skip("no network interface takes multicast here")
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    made = Parts(tmp_path, channel, port)
    # Whoever waits for a line that never comes shall fail with what did come.
    watchdog = threading.Timer(PATIENCE_S, made.kill)
    watchdog.start()
    yield made
    watchdog.cancel()
    made.kill()
    for process in made.running:
        process.communicate()


def test_two_dead_platforms_and_a_killed_agent_lose_nothing(parts, capsys):
    parts.vehicle()
    platform = parts.platform()
    agent = parts.agent()
    until(platform.stdout, lambda line: " realtime " in line, 3)
    kill(platform)
    until(agent.stderr, lambda line: "report of=" in line, 4)
    platform = parts.platform()
    until(platform.stdout, lambda line: " reissue " in line, 3)
    until(platform.stdout, lambda line: " realtime " in line, 2)
    kill(platform)
    until(agent.stderr, lambda line: "report of=" in line, 8)  # those of the time before stand in the pipe too
    kill(agent)
    agent = parts.agent()
    until(agent.stderr, lambda line: "report of=" in line, 3)
    platform = parts.platform()
    due = parts.rows()
    while not due <= parts.received():
        until(platform.stdout, lambda line: " realtime " in line or " reissue " in line)
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(timeout=10) == 0
    until(platform.stdout, lambda line: "vehicle_logout" in line)
    platform.send_signal(signal.SIGTERM)
    platform.wait(timeout=10)

    rows, arrived = parts.rows(), parts.received()
    assert arrived <= rows, "something arrived that was never stored"
    result = verdict(parts.folder / "platform.db", VIN, 10, sorted(due | arrived))
    delivery = result.deliveries[0]
    with capsys.disabled():
        print("\n" + result.as_table())
    assert result.ok
    assert delivery.lost == []
    assert delivery.reissued >= 3 + 3
    assert delivery.live >= 5
    # A row in flight when its link died may come again; with 10 s to settle and 10 s a report there are two at most a link.
    assert delivery.repeats <= 2 * delivery.links
