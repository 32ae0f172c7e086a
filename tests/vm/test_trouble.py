"""A bus's trouble in a real kernel: error frames, an interface that goes down, is removed and made anew under the agent.

No emulated controller makes error frames: a raw socket puts them on a virtual bus.
"""

import asyncio
import json
import logging
import os
import re
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from itertools import combinations
from pathlib import Path
from random import Random

import pytest

from agent.canbus.bus import CanBus
from agent.canbus.errorframe import CLASSES, COUNTERS, PLACES, words
from agent.canbus.guard import Guard
from agent.canbus.link import Link, Place, read_link
from agent.canbus.load import BusLoad
from agent.clock import Clock
from agent.config import Can
from agent.core.dataunit import decode_bodies
from agent.core.editions import EDITIONS
from agent.core.frames import LatestFrames
from agent.errors import BusError

ERR_FLAG = 0x20000000
PATIENCE_S = 40
SPEED_ID = 0x100


def ip(*arguments):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr.strip()}"
    return done.stdout


def wait_for(condition, what):
    """The first true value of `condition()`."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {PATIENCE_S} s in vain until {what}")


@contextmanager
def on(bus):
    with socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as sender:
        sender.bind((bus,))
        yield sender


def is_heard(bus, what):
    """Does some socket listen there?"""
    listeners = Path(f"/proc/net/can/rcvlist_{what}").read_text()
    return bus in listeners and f"({bus}: no entry)" not in listeners


def frame(can_id, data):
    return struct.pack("=IB3x8s", can_id, len(data), data)


def error_frame(classes, data=b""):
    return frame(ERR_FLAG | classes, data.ljust(8, b"\0"))


def every_error():
    """Each class alone and any two, each byte of each detail."""
    bits = [bit for bit, *_ in CLASSES]
    rng = Random(1)
    yield COUNTERS, b"\0\0\0\0\0\0\1\xc8"  # alone: candump 2020 knows it with no other class
    for bit in bits:
        yield bit, bytes(8)
    for pair in combinations(bits, 2):
        yield sum(pair), rng.randbytes(6) + b"\0\0"
    for byte in range(256):
        yield 0x002, bytes([byte]).ljust(8, b"\0")
        yield 0x004, bytes([0, byte]).ljust(8, b"\0")
        yield 0x008, bytes([0, 0, byte, rng.choice([0, *PLACES])]).ljust(8, b"\0")
    for place in range(32):
        yield 0x008, bytes([0, 0, 4, place]).ljust(8, b"\0")


def test_every_error_frame_is_read_as_candump_reads_it(vcan_bus):
    errors = list(every_error())
    dump = ["candump", "-e", "-r", "4000000", "-n", str(len(errors)), f"{vcan_bus},0:0,#FFFFFFFF"]
    with subprocess.Popen(dump, stdout=subprocess.PIPE, text=True) as reading, on(vcan_bus) as sender:
        wait_for(lambda: is_heard(vcan_bus, "err"), "candump listens")
        for each in errors:
            sender.send(error_frame(*each))
        shown = reading.communicate(timeout=PATIENCE_S)[0]
    theirs = []
    for line in shown.splitlines():
        if line.endswith("ERRORFRAME"):
            theirs.append([])
        elif line.strip():
            theirs[-1].append(line.strip())
    assert [",".join(said) for said in theirs] == [",".join(words(*each)) for each in errors]


PLAN = {
    "buses": ["pt"],
    "sources": [[2, 3_600_000, [], [], [], []]],
    "messages": [[0, SPEED_ID, -1, 2, 0, [], None, None]],
}


class Heard:
    """A bus under CanBus in a thread of its own, with the newest frames of one message."""

    def __init__(self, bus):
        self.latest = LatestFrames(PLAN)
        self.clock = Clock()
        self.bus = CanBus(Can(name="pt", interface="socketcan", channel=bus), 0, self.latest, self.clock, Random(1))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    async def _run(self):
        self._running = asyncio.ensure_future(self.bus.run())
        await asyncio.wait({self._running})

    def __enter__(self):
        self._thread.start()
        wait_for(self.bus.is_open.is_set, "the bus is open")
        return self

    def __exit__(self, *_):
        assert not self._running.done()  # whatever became of the bus
        self._loop.call_soon_threadsafe(self._running.cancel)
        self._thread.join()
        self._loop.close()

    def count(self, name):
        return self.bus.counts()[name]

    def known(self):
        """Is there a frame that a sample would take for valid?"""
        return self.clock.stamp() - self.latest.stamps[0] <= 3_600_000 * self.clock.ticks_per_ms


def test_injected_error_frames_are_counted_and_judged(vcan_bus, caplog):
    caplog.set_level(logging.INFO)
    with Heard(vcan_bus) as heard, on(vcan_bus) as sender:
        trouble = heard.bus.guard.trouble
        sender.send(error_frame(0x002, b"\x05"))
        sender.send(error_frame(0x004, b"\0\x10"))
        wait_for(lambda: trouble.error_passive, "error-passive is counted")
        assert trouble.state == "error-passive"
        sender.send(frame(SPEED_ID, b"\1\2"))
        wait_for(heard.known, "a frame has come")
        sender.send(error_frame(0x040))
        wait_for(lambda: not heard.known(), "nothing is valid on a bus that the controller has left")
        wait_for(lambda: "bus=pt: bus-off" in caplog.text, "it is said")
        sender.send(error_frame(0x100))
        sender.send(frame(SPEED_ID, b"\1\3"))
        wait_for(heard.known, "frames are valid again")
        sender.send(error_frame(0x20C | 0x80, b"\0\x04\x04\x0a\0\0\0\x60"))
        wait_for(lambda: trouble.rx_errors == 0x60, "the error counters are read")
        names = ("error_frames", "arbitration_lost", "error_passive", "bus_off", "restarts")
        assert [heard.count(name) for name in names] == [5, 1, 1, 1, 1]
        assert (trouble.state, heard.count("error_warning"), heard.count("away")) == ("error-warning", 1, 0)


def gone_and_back(heard, bus, sender_frame, take_away, bring_back):
    """Seconds until what the bus said was invalid, and from its return until it is valid again."""
    with on(bus) as sender:
        sender.send(sender_frame)
    wait_for(heard.known, "a frame has come")
    begin = time.monotonic()
    take_away()
    wait_for(lambda: not heard.known(), "its fields are invalid")
    invalid_s = time.monotonic() - begin
    time.sleep(1.5)  # it is looked for meanwhile, in vain
    assert not heard.known()
    bring_back()
    begin = time.monotonic()

    def again():
        with on(bus) as sender:
            sender.send(sender_frame)
        return heard.known()

    wait_for(again, "its fields are valid again")
    return invalid_s, time.monotonic() - begin


def test_an_interface_that_goes_down_is_invalid_at_once_and_back_soon_after_it_is_up(vcan_bus, caplog):
    caplog.set_level(logging.INFO)
    with Heard(vcan_bus) as heard:
        invalid_s, back_s = gone_and_back(
            heard, vcan_bus, frame(SPEED_ID, b"\1\2"),
            lambda: ip("link", "set", vcan_bus, "down"), lambda: ip("link", "set", vcan_bus, "up"),
        )  # fmt: skip
        assert (invalid_s < 2, back_s < 2) == (True, True), (invalid_s, back_s)
        assert (heard.count("away"), heard.count("reopened")) == (1, 1)
        assert heard.count("away_s") >= 1
    assert caplog.text.count("CAN bus away bus=pt") == 1
    assert re.search(r"CAN bus back bus=pt .* away_s=\d", caplog.text)


def test_an_interface_that_is_removed_and_made_anew_is_found_again(vcan_bus):
    def make():
        ip("link", "add", vcan_bus, "type", "vcan")
        ip("link", "set", vcan_bus, "up")

    with Heard(vcan_bus) as heard:
        before = read_link(vcan_bus)
        invalid_s, back_s = gone_and_back(
            heard, vcan_bus, frame(SPEED_ID, b"\1\2"), lambda: ip("link", "del", vcan_bus), make
        )
        assert read_link(vcan_bus).ifindex != before.ifindex
        assert (invalid_s < 2, back_s < 2) == (True, True), (invalid_s, back_s)


def test_an_interface_made_anew_behind_a_deaf_socket_is_noticed(vcan_bus):
    """The kernel tells a socket once that its interface is away; that may be told to somebody else."""
    guard = Guard(Can(name="pt", interface="socketcan", channel=vcan_bus), 0, LatestFrames(PLAN), Clock())

    async def deaf():
        guard.opened()
        await asyncio.Event().wait()

    async def attended():
        attending = asyncio.ensure_future(guard.attend(deaf, lambda: 0))
        async with asyncio.timeout(PATIENCE_S):
            while guard.load.frames_s is None:  # until it was looked at twice
                await asyncio.sleep(0.02)
            ip("link", "del", vcan_bus)
            ip("link", "add", vcan_bus, "type", "vcan")
            ip("link", "set", vcan_bus, "up")
            await attending

    with pytest.raises(BusError, match=f"{vcan_bus} was removed and made anew"):
        asyncio.run(attended())


def test_a_bus_that_is_not_there_at_the_start_is_opened_when_it_comes(vcan_bus):
    ip("link", "set", vcan_bus, "down")
    heard = Heard(vcan_bus)
    heard._thread.start()
    wait_for(lambda: "down" in str(heard.bus.problem), "the reason is said")
    ip("link", "set", vcan_bus, "up")
    begin = time.monotonic()
    wait_for(heard.bus.is_open.is_set, "the bus is open")
    assert time.monotonic() - begin < 2
    assert (heard.count("away"), heard.count("reopened")) == (1, 0)
    heard.__exit__()


def test_the_kernel_tells_of_an_interface_what_ip_tells(vcan_bus):
    with on(vcan_bus) as sender:
        for size in range(9):
            sender.send(frame(SPEED_ID, bytes(size)))
    link = read_link(vcan_bus)
    told = json.loads(ip("-j", "-d", "-s", "link", "show", vcan_bus))[0]
    rx = told["stats64"]["rx"]
    assert (link.ifindex, link.up) == (told["ifindex"], "UP" in told["flags"])
    assert (link.packets, link.size, link.errors, link.dropped) == (
        rx["packets"],
        rx["bytes"],
        rx["errors"],
        rx["dropped"],
    )
    assert (link.packets, link.size) == (9, 36)
    assert (link.bitrate, link.state, link.restart_ms) == (0, None, None)


def test_an_interface_that_is_down_or_not_there_says_so(vcan_bus):
    ip("link", "set", vcan_bus, "down")
    assert read_link(vcan_bus)[1:] == Link(ifindex=1)[1:]
    fault = Place(Can(name="pt", interface="socketcan", channel=vcan_bus)).fault()
    assert fault == f"{vcan_bus} is down: sudo ip link set {vcan_bus} up"
    for absent in ("vcan99", "a-name-of-more-than-15-characters"):
        assert read_link(absent) == Link()
        fault = Place(Can(name="pt", interface="socketcan", channel=absent)).fault()
        assert fault == f"there is no network interface {absent}; `tbox interfaces` lists what there is"
    assert read_link("lo").up


@pytest.mark.parametrize(("size", "extended"), [(0, False), (3, False), (8, False), (8, True)])
def test_the_load_is_within_ten_percent_of_every_frames_own_stuff_bits(vcan_bus, size, extended):
    rng, frames = Random(1), 400
    flag = 0x80000000 if extended else 0
    ids = (1 << 29) if extended else (1 << 11)
    busload = ["stdbuf", "-oL", "canbusload", "-e", f"{vcan_bus}@500000"]
    with subprocess.Popen(busload, stdout=subprocess.PIPE, text=True) as reading:
        patience = threading.Timer(PATIENCE_S, reading.kill)
        patience.start()
        wait_for(lambda: is_heard(vcan_bus, "all"), "canbusload listens")
        load, begin = BusLoad(500_000, extended=extended), read_link(vcan_bus)
        with on(vcan_bus) as sender:
            for _ in range(frames):
                # half of real traffic is zeros
                data = bytes(rng.choice([0, rng.randrange(256)]) for _ in range(size))
                sender.send(frame(flag | rng.randrange(ids), data))
        seen, bits = 0, 0
        for line in reading.stdout:
            if found := re.match(rf"\s*{vcan_bus}@500000\s+(\d+)\s+(\d+)\s+\d+", line):
                seen, bits = seen + int(found[1]), bits + int(found[2])
                if seen and found[1] == "0":
                    break  # a second without a frame: it has them all, or its queue was too short for some
        patience.cancel()
        reading.kill()
    load.look(0, begin)
    load.look(1000, read_link(vcan_bus))
    assert load.frames_s == frames
    assert seen > frames // 4
    assert load.percent == pytest.approx(100 * frames * (bits / seen) / 500_000, rel=0.1)


DBC = 'VERSION ""\nBU_: A\nBO_ 256 M: 2 A\n SG_ Speed : 0|16@1+ (0.1,0) [0|0] "km/h" A\n'
MAPPING = """format = 1
name = "test"
edition = "2016"
[dbc.pt]
files = ["test.dbc"]
[messages."pt.M"]
timeout_ms = 600000
[vehicle]
speed = "pt.M.Speed"
"""
CONFIG = """
[vehicle]
vin = "LGBTEST0000000017"
mapping = "test.toml"
[[can]]
name = "pt"
interface = "socketcan"
channel = "{bus}"
[report]
interval_s = 1
[platform]
host = "127.0.0.1"
port = 1
[outbox]
path = "tbox.db"
"""
INVALID_SPEED = 0xFFFF


class AgentProcess:
    """`tbox run` on a bus on which the speed is sent twenty times a second whenever it can be."""

    def __init__(self, folder, bus):
        self.folder, self.bus = folder, bus
        for name, text in (("test.dbc", DBC), ("test.toml", MAPPING), ("tbox.toml", CONFIG.format(bus=bus))):
            (folder / name).write_text(text)
        self._stop = threading.Event()
        self._sender = threading.Thread(target=self._send)

    def _send(self):
        while not self._stop.wait(0.05):
            try:
                with on(self.bus) as sender:
                    sender.send(frame(SPEED_ID, b"\xc8\0"))
            except OSError:
                pass  # the interface is away: that is the test

    def __enter__(self):
        self.log = open(self.folder / "log", "w+")
        command = [sys.executable, "-m", "agent.cli", "run", "-c", str(self.folder / "tbox.toml")]
        self.process = subprocess.Popen(command, stderr=self.log, env=os.environ)
        self._sender.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._sender.join()
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE_S)
        self.log.close()
        assert status == 0

    def text(self):
        return (self.folder / "log").read_text()

    def speeds(self):
        """The speed of each second that was reported."""
        try:
            with closing(sqlite3.connect(self.folder / "tbox.db")) as db:
                rows = db.execute("SELECT collected_at, bodies FROM rows").fetchall()
        except sqlite3.OperationalError:  # not made yet
            return {}
        edition = EDITIONS["2016"]
        return {second: dict(decode_bodies(edition, bodies)[0])[1]["speed"] for second, bodies in rows}

    def second_of(self, speed, after):
        """The first second after that one in which the speed was reported as `speed`."""
        assert self.process.poll() is None
        return min((second for second, said in self.speeds().items() if said == speed and second > after), default=None)


def test_the_agent_lives_through_a_bus_that_goes_down_is_removed_and_made_anew(tmp_path, vcan_bus):
    def remove():
        ip("link", "del", vcan_bus)

    def make():
        ip("link", "add", vcan_bus, "type", "vcan")
        ip("link", "set", vcan_bus, "up")

    turns = [
        (lambda: ip("link", "set", vcan_bus, "down"), lambda: ip("link", "set", vcan_bus, "up")),
        (remove, make),
    ]
    with AgentProcess(tmp_path, vcan_bus) as agent:
        wait_for(lambda: agent.second_of(200, 0), "the speed is reported")
        for take_away, bring_back in turns:
            take_away()
            gone = int(time.time())
            invalid = wait_for(lambda: agent.second_of(INVALID_SPEED, gone - 1), "the speed is reported as invalid")  # noqa: B023
            assert invalid - gone <= 2
            wait_for(lambda: time.time() > gone + 3, "it was away for a while")  # noqa: B023
            bring_back()
            back = int(time.time())
            valid = wait_for(lambda: agent.second_of(200, back), "the speed is reported again")  # noqa: B023
            assert valid - back <= 3  # two seconds, and the sample that follows
            during = {said for second, said in agent.speeds().items() if invalid <= second <= back}
            assert during == {INVALID_SPEED}
        with on(vcan_bus) as sender:
            sender.send(error_frame(0x040))
        wait_for(lambda: "bus=pt: bus-off" in agent.text(), "bus-off is said")
        assert agent.process.poll() is None
    log = agent.text()
    assert log.count("CAN bus away bus=pt") == 1  # of two, within a minute
    assert log.count("CAN bus back bus=pt") == 1
    assert "Traceback" not in log
