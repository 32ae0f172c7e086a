"""Cars on virtual buses at their own speed: both paths see the same car, and the agent as a process reports two buses."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from agent_parts import Terminal, canplayer
from canbus_parts import Settings

from agent.canbus.bus import CanBus
from agent.clock import Clock
from agent.core.frames import NEVER, LatestFrames
from agent.core.sampler import Sampler
from agent.signalmap import load_mapping

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60
SO_RCVBUFFORCE = 33
CLOCK = Clock()


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


TWO_CARS = """
format = 1
name = "Two cars"
edition = "2016"
[dbc.i3]
files = ["data:bmw_i3/i3_LIM_dbc1.dbc"]
lenient = true
[dbc.tesla]
files = ["shipped:tesla_model_s.dbc"]
[messages."i3.BMSMsg112"]
timeout_ms = 1000
[messages."tesla.BMS_CellPages"]
timeout_ms = 10000
[vehicle]
total_voltage = "i3.BMSMsg112.Battery_Volts"
total_current = { signal = "i3.BMSMsg112.Battery_Current", sign = -1, not_available_raw = [0xFFFF] }
soc = { signal = "i3.BMSMsg112.HVBatt_SOC", not_available_raw = [0xFFF] }
[extremes]
[storage_voltages]
cells = { signal = "tesla.BMS_CellPages.Cell{n:02d}", count = 96 }
[storage_temperatures]
probes = { signal = "tesla.BMS_CellPages.Probe{n:02d}", count = 32 }
"""
CONFIG = """
[vehicle]
vin = "LGBTEST0000000017"
mapping = "two.toml"
[[can]]
name = "i3"
interface = "socketcan"
channel = "{i3}"
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
"""


@pytest.fixture
def other_bus(vcan_bus):
    name = f"{vcan_bus}b"
    subprocess.run(["ip", "link", "add", name, "type", "vcan"], check=True)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    yield name
    subprocess.run(["ip", "link", "del", name], check=True)


def cells(report):
    return report["storage_voltages"]["subsystems"][0]["cells"]


def probes(report):
    return report["storage_temperatures"]["subsystems"][0]["probes"]


@pytest.mark.parametrize("bcm", ["true", "false"])
def test_the_agent_reports_two_recorded_cars_on_two_buses_and_sends_nothing(
    bcm, vcan_bus, other_bus, tbox_data, tmp_path, monkeypatch
):
    """A BMW i3 that charges and a Tesla Model S, at their own speed; every value is one that the recording has."""
    monkeypatch.setenv("TBOX_DATA", str(tbox_data))
    config = CONFIG.replace("{bcm}", bcm).replace("{i3}", vcan_bus).replace("{tesla}", other_bus)
    with contextlib.ExitStack() as stack:
        heard = {name: stack.enter_context(closing(Listener(name))) for name in (vcan_bus, other_bus)}
        terminal = stack.enter_context(Terminal(tmp_path, config, {"two.toml": TWO_CARS}))
        players = [
            terminal.beside(canplayer(tbox_data / "bmw_i3/ionity_dc_charge_15s.log", vcan_bus)),
            terminal.beside(canplayer(tbox_data / "tesla_model_s/candump.log", other_bus)),
        ]
        # The pages come one by one: a round takes more than three seconds.
        terminal.wait_for_report(
            lambda each: (
                each["vehicle"]["soc"] and None not in [*cells(each), *probes(each)] and len(probes(each)) == 32
            ),
            "all of both cars",
        )
        known = len(terminal.reports())
        terminal.wait_for(lambda: len(terminal.reports()) >= known + 16, "more than a round of both recordings")
        for player in players:  # nobody sends any more but the agent, if it did
            player.kill()
            player.wait()
        silent = len(terminal.reports())
        for listener in heard.values():
            assert listener.count() > 1000
        terminal.wait_for(lambda: len(terminal.reports()) >= silent + 3, "reports of two silent buses")
        assert {name: listener.count() for name, listener in heard.items()} == {vcan_bus: 0, other_bus: 0}
        log = terminal.text()
        reports = terminal.reports()[known - 1 : silent]
    assert "CAN bus away" not in log
    assert ("by receive thread" in log) == (bcm == "false")
    recorded = recorded_cells(tbox_data / "tesla_model_s/candump.log")
    # Known of the other recording: tests/unit/test_signalmap_recordings.py.
    battery = [[report["vehicle"][name] for name in ("total_voltage", "total_current", "soc")] for report in reports]
    for volts, ampere, soc in battery:
        assert 358.7 <= volts <= 359.1
        assert -125.1 <= ampere <= -123.4
        assert soc == 42
    assert len({volts for volts, _, _ in battery}) > 1, "the same recorded second over and over"
    for report in reports:
        assert len(cells(report)) == 96
        assert set(cells(report)) <= recorded
        assert (len(probes(report)), set(probes(report))) == (32, {22, 23})
        assert report["extremes"]["max_cell_voltage"] == max(cells(report))


async def all_there(witness):
    """What was sent before the sender was stopped comes when the kernel gets round to it."""
    while witness.count():
        await asyncio.sleep(0.02)


def recorded_cells(log):
    """Every cell voltage in a recording, to the millivolt, by the layout alone: 14 bits each, little-endian, 0.305 mV."""
    found = set()
    with log.open() as lines:
        for line in lines:
            can_id, _, data = line.split()[2].partition("#")
            if int(can_id, 16) == 0x6F2 and int(data[:2], 16) < 24:
                word = int.from_bytes(bytes.fromhex(data[2:]), "little")
                found |= {round((word >> 14 * place & 0x3FFF) * 305 / 1000) / 1000 for place in range(4)}
    return found


class Listener:
    """Counts what anybody sends on a bus."""

    def __init__(self, channel):
        self.socket = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
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
