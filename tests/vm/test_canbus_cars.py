"""Cars on virtual buses at their own speed: both paths see the same car, and the agent as a process reports two buses."""

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from canbus_parts import Settings

from agent.canbus.bus import CanBus
from agent.clock import Clock
from agent.core.frames import NEVER, LatestFrames
from agent.core.packet import Packet
from agent.core.sampler import Sampler
from agent.packetjson import packet_to_json
from agent.signalmap import load_mapping

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60
CLOCK = Clock()


def canplayer(log, channel):
    """A recording at its own speed, over and over."""
    return ["canplayer", "-l", "i", "-I", str(log), f"{channel}={first_channel(log)}"]


def first_channel(log):
    with Path(log).open() as lines:
        return next(lines).split()[1]


def vehicle(_, channel):
    return [sys.executable, "-m", "bench.cli", "vehicle", "--interface", "socketcan", "--channel", channel]


CARS = {
    "reference_ev": (vehicle, None),
    "tesla_model_s": (canplayer, "tesla_model_s/candump.log"),
    "bmw_i3": (canplayer, "bmw_i3/ionity_dc_charge_15s.log"),
}


class Halted:
    """A process that sends, and is made to hold still while samples are taken."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGCONT)

    def end(self):
        self.process.kill()
        self.process.wait()


@pytest.mark.parametrize("car", CARS)
def test_both_paths_see_the_same_car(car, vcan_bus, tbox_data, monkeypatch):
    monkeypatch.setenv("TBOX_DATA", str(tbox_data))
    sending, recording = CARS[car]
    plan = load_mapping(ROOT / f"dbc/{car}.toml", "2016", cache=False).plan

    async def run():
        both = [LatestFrames(plan), LatestFrames(plan)]
        buses = [
            CanBus(
                Settings(interface="socketcan", channel=vcan_bus, bcm=latest is both[0]), 0, latest, CLOCK, Random(1)
            )
            for latest in both
        ]
        samplers = [Sampler(plan, CLOCK.ticks_per_ms) for _ in both]
        running = [asyncio.create_task(bus.run()) for bus in buses]
        async with asyncio.timeout(PATIENCE_S):
            for bus in buses:
                await bus.is_open.wait()
            witness = Listener(vcan_bus)
            sender = Halted(sending(recording and tbox_data / recording, vcan_bus))
            try:
                while NEVER in both[1].stamps:
                    await asyncio.sleep(0.1)
                for _ in range(6):
                    await asyncio.sleep(1)
                    with sender:
                        await all_there(witness)
                        for bus in buses:
                            bus.refresh()
                        now = CLOCK.stamp()
                        manager, thread = (
                            dict(sampler.sample(latest, now)) for sampler, latest in zip(samplers, both, strict=True)
                        )
                    assert manager == thread
                    assert manager[1]["total_voltage"] != 0xFFFF
            finally:
                sender.end()
                witness.close()
                for task in running:
                    task.cancel()
                await asyncio.wait(running)
        assert [bus.feed.dropped for bus in buses] == [0, 0]
        print(f"{car}: {buses[0].frames} frames from the Broadcast Manager, {buses[1].frames} from the receive thread")

    asyncio.run(run())


MAPPING = """
format = 1
name = "Two cars"
edition = "2016"
[dbc.ev]
files = ["{root}/dbc/reference_ev.dbc"]
[dbc.tesla]
files = ["{root}/dbc/tesla_model_s.dbc"]
[messages."tesla.BMS_PackVoltage"]
timeout_ms = 10000
[messages."ev.BMS_Status"]
alive_counter = "Alive"
[vehicle]
speed = "ev.ESC_Speed.VehicleSpeed"
soc = "ev.BMS_Soc.Soc"
total_voltage = "tesla.BMS_PackVoltage.PackVoltage"
total_current = {{ signal = "ev.BMS_Status.PackCurrent", sign = -1 }}
"""
CONFIG = """
[vehicle]
vin = "LGBTEST0000000017"
mapping = "two.toml"
[[can]]
name = "ev"
interface = "socketcan"
channel = "{ev}"
bcm = {bcm}
[[can]]
name = "tesla"
interface = "socketcan"
channel = "{tesla}"
bcm = {bcm}
[platform]
host = "127.0.0.1"
port = {port}
[report]
interval_s = 1
[outbox]
path = "tbox.db"
"""


@pytest.fixture
def other_bus(vcan_bus):
    name = f"{vcan_bus}b"
    subprocess.run(["ip", "link", "add", name, "type", "vcan"], check=True)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    yield name
    subprocess.run(["ip", "link", "del", name], check=True)


@pytest.mark.parametrize("bcm", ["true", "false"])
def test_the_agent_reports_a_car_on_two_buses_and_sends_nothing(bcm, vcan_bus, other_bus, tbox_data, tmp_path):
    (tmp_path / "two.toml").write_text(MAPPING.format(root=ROOT))
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    (tmp_path / "tbox.toml").write_text(CONFIG.format(ev=vcan_bus, tesla=other_bus, port=port, bcm=bcm))
    own = [sys.executable, "-m"]
    platform = [*own, "bench.cli", "platform", "--port", str(port), "--db", str(tmp_path / "platform.db")]
    agent = [*own, "agent.cli", "run", "-c", str(tmp_path / "tbox.toml")]
    log = (tmp_path / "agent.log").open("w")
    with contextlib.ExitStack() as stack:
        stack.callback(log.close)
        commands = [
            platform,
            vehicle(None, vcan_bus),
            canplayer(tbox_data / "tesla_model_s/candump.log", other_bus),
            agent,
        ]
        heard = {name: stack.enter_context(closing(Listener(name))) for name in (vcan_bus, other_bus)}
        processes = []
        for command in commands:
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.kill)
            processes.append(process)
        bodies = reports(tmp_path / "platform.db", 4, processes)
        for process in processes[1:3]:  # nobody sends any more but the agent, if it did
            process.kill()
            process.wait()
        for listener in heard.values():
            listener.count()
        reports(tmp_path / "platform.db", len(bodies) + 2, processes)
        assert {name: listener.count() for name, listener in heard.items()} == {vcan_bus: 0, other_bus: 0}
    text = (tmp_path / "agent.log").read_text()
    assert "CAN bus away" not in text
    assert ("by receive thread" in text) == (bcm == "false")
    last = bodies[-1]
    assert last["speed"] is not None
    assert 0 < last["soc"] <= 100
    assert 340 < last["total_voltage"] < 410
    assert isinstance(last["total_current"], float)


async def all_there(witness):
    """What was sent before the sender was stopped comes when the kernel gets round to it."""
    while witness.count():
        await asyncio.sleep(0.02)


class Listener:
    """Counts what anybody sends on a bus."""

    def __init__(self, channel):
        self.socket = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
        self.socket.bind((channel,))
        self.socket.setblocking(False)

    def count(self):
        found = 0
        with contextlib.suppress(BlockingIOError):
            while self.socket.recv(72):
                found += 1
        return found

    def close(self):
        self.socket.close()


def reports(database, count, processes):
    """The vehicle bodies that the platform has, once they are so many that know the speed, or so many in all."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if database.exists():
            with contextlib.suppress(sqlite3.OperationalError), closing(sqlite3.connect(database)) as received:
                query = "SELECT raw FROM packets WHERE command = 'realtime' ORDER BY id"
                packets = [packet_to_json(Packet(raw)) for (raw,) in received.execute(query)]
                bodies = [packet["bodies"][0] for packet in packets]
                if len(bodies) >= count and len(processes) and any(body["soc"] is not None for body in bodies):
                    return bodies
        time.sleep(0.1)
    raise AssertionError(f"no {count} reports; the agent says:\n{(database.parent / 'agent.log').read_text()}")
