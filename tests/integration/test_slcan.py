"""slcan: the agent's bus, and a whole agent, at an adapter on a pty that counts what it is asked to send."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import can
import pytest
from canbus_parts import EXTENDED, Kept, Settings
from slcan_adapter import SlcanAdapter, line

from agent.canbus.bus import CanBus
from agent.canbus.pythoncan import UNREADABLE_IN_A_ROW, open_bus
from agent.canbus.slcan import frame_of
from agent.clock import Clock
from agent.core.packet import Packet
from agent.errors import BusError
from agent.packetjson import packet_to_json

PATIENCE_S = 30
AT_ONCE = {"sleep_after_open": 0}  # python-can waits 2 s for adapters that restart when they are opened


@pytest.fixture
def adapter(tmp_path: Path) -> Iterator[SlcanAdapter]:
    with SlcanAdapter(tmp_path / "ttyCAN") as played:
        yield played


def settings(adapter: SlcanAdapter, bitrate: int | None = 500_000, **words: object) -> Settings:
    return Settings(interface="slcan", channel=str(adapter.port), bitrate=bitrate, options=AT_ONCE, **words)  # type: ignore[arg-type]


def receive(adapter: SlcanAdapter, give: bytes | list[bytes], count: int, **words: object) -> tuple[CanBus, Kept]:
    """Run a bus until `count` frames were kept of the pieces that the adapter gives, one after the other."""

    async def run() -> tuple[CanBus, Kept]:
        loop, reached = asyncio.get_running_loop(), asyncio.Event()
        kept = Kept(count, lambda: loop.call_soon_threadsafe(reached.set))
        bus = CanBus(settings(adapter, **words), 0, kept, Clock(), Random(1))  # type: ignore[arg-type]
        running = asyncio.create_task(bus.run())
        async with asyncio.timeout(PATIENCE_S):
            await bus.is_open.wait()
            for piece in [give] if isinstance(give, bytes) else give:
                await asyncio.to_thread(adapter.write, piece)
            await reached.wait()
        running.cancel()
        await asyncio.wait({running})
        return bus, kept

    return asyncio.run(run())


LAST = line(0x7FF, b"\xee")
THREE = line(0x123, b"\1\2") + line(0x18FEF107, bytes(range(8)), extended=True) + LAST
KEPT = [(0x123, b"\1\2"), (0x18FEF107 | EXTENDED, bytes(range(8))), (0x7FF, b"\xee")]


def test_the_adapter_is_set_closed_listens_and_is_never_told_to_send(adapter: SlcanAdapter) -> None:
    receive(adapter, THREE, 3)
    adapter.wait_for(lambda adapter: adapter.mode is None, "the adapter stayed open")
    assert [command for command in adapter.commands if command] == ["C", "S6", "L", "C"]
    assert adapter.sent == []


def test_an_adapter_that_was_left_open_as_a_node_becomes_a_listener(adapter: SlcanAdapter) -> None:
    adapter.mode = "O"
    with open_bus(settings(adapter, bitrate=None)):
        adapter.wait_for(lambda adapter: adapter.mode == "L")
    assert adapter.sent == []


def test_a_port_that_another_program_holds_is_left_alone(adapter: SlcanAdapter) -> None:
    with open_bus(settings(adapter)):
        told = list(adapter.commands)
        with pytest.raises(BusError, match="another program holds the port"):
            open_bus(settings(adapter))
        assert adapter.mode == "L"
        assert adapter.commands == told


def test_a_bus_that_is_not_to_listen_only_is_opened_as_a_node(adapter: SlcanAdapter) -> None:
    with open_bus(settings(adapter, listen_only=False)) as bus:
        adapter.wait_for(lambda adapter: adapter.mode == "O")
        bus.send(can.Message(arbitration_id=0x123, is_extended_id=False, data=b"\1"))
        adapter.wait_for(lambda adapter: adapter.sent)
    assert adapter.sent == ["t123101"]  # the count can fail


WAYS: dict[str, list[bytes]] = {
    "in one piece": [THREE],
    "byte by byte": [THREE[at : at + 1] for at in range(len(THREE))],
    "with line feeds": [THREE.replace(b"\r", b"\r\n")],
    "with BEL between": [THREE.replace(b"\r", b"\r\a")],
    "with answers between": [THREE.replace(b"\r", b"\rz\rV1013\r\r")],
    "with time stamps": [line(0x123, b"\1\2", stamp="EA5F"), THREE.split(b"\r")[1] + b"0000\r", LAST],
    "with eight digits of time": [THREE.replace(b"\r", b"01234567\r")],
}


@pytest.mark.parametrize("pieces", WAYS.values(), ids=WAYS.keys())
def test_frames_of_both_kinds_arrive_however_they_come(adapter: SlcanAdapter, pieces: list[bytes]) -> None:
    bus, kept = receive(adapter, pieces, 3)
    assert kept.called == KEPT
    assert (bus.feed.frames, bus.feed.unreadable, bus.guard.trouble.reopened) == (3, 0, 0)
    assert adapter.sent == []


def test_remote_frames_are_counted_and_not_kept(adapter: SlcanAdapter) -> None:
    bus, kept = receive(adapter, b"r1238\r" + b"R18FEF1078\r" + THREE, 3)
    assert kept.called == KEPT
    assert bus.feed.remote_frames == 2


def test_fd_frames_of_canable_2(adapter: SlcanAdapter) -> None:
    data = bytes(range(64))
    give = line(0x123, data, letter="d") + line(0x18FEF107, data, letter="B") + line(0x124, data[:12], letter="b")
    _, kept = receive(adapter, give, 3, fd=True, data_bitrate=2_000_000)
    assert kept.called == [(0x123, data), (0x18FEF107 | EXTENDED, data), (0x124, data[:12])]
    assert [command for command in adapter.commands if command][:4] == ["C", "S6", "Y2", "L"]


WRONG = {
    "a byte that is no text": b"t1232\xff102\r",
    "characters lost": b"t12380011223344\r",
    "one character lost": b"t123811223344556677\r"[:-3] + b"\r",
    "two lines in one": b"t1232t12320102\r",
    "an underscore": b"t12_20102\r",
    "a sign": b"t+1220102\r",
    "a space in the data": b"t1232 0 1\r",
    "no digit": b"t12G20102\r",
    "an identifier too large": b"t8002ABCD\r",
    "an extended one too large": b"T200001002ABCD\r",
    "a line of a GNSS receiver": b"$GPRMC,,V,,,,,,,,,,N*53\r\n",
    "no end": b"t" * 150 + b"\r",
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_line_that_is_no_frame_is_counted_and_the_next_one_is_right(adapter: SlcanAdapter, wrong: bytes) -> None:
    bus, kept = receive(adapter, wrong + THREE, 3)
    assert kept.called == KEPT
    assert (bus.feed.unreadable, bus.guard.trouble.reopened) == (1, 0)


def test_every_line_cut_short_is_refused() -> None:
    """Of a frame whose characters got lost on the serial line nothing may be believed."""
    for whole in (line(0x123, bytes(range(8))), line(0x18FEF107, bytes(range(8)), extended=True)):
        text = whole.rstrip(b"\r")
        digits = 3 if text[0] == ord("t") else 8
        for begin in range(1, len(text)):
            for lost in (1, 2, 3):
                if len(cut := text[:begin] + text[begin + lost :]) < len(text):
                    try:
                        frame = frame_of(cut)
                    except (ValueError, LookupError):
                        continue
                    # The digit of the length may be among those lost, and the data may say another one that fits.
                    assert frame is not None
                    assert begin <= 1 + digits, f"{cut!r} was taken for {frame}"


def test_a_gnss_receiver_on_the_port_is_said(adapter: SlcanAdapter, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        bus = CanBus(settings(adapter), 0, Kept(), Clock(), Random(1))
        running = asyncio.create_task(bus.run())
        async with asyncio.timeout(PATIENCE_S):
            await bus.is_open.wait()
            for _ in range(UNREADABLE_IN_A_ROW + 1):
                await asyncio.to_thread(adapter.write, WRONG["a line of a GNSS receiver"])
            while bus.is_open.is_set():
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait({running})

    asyncio.run(run())
    assert "is no line of slcan; does another device send on this port?" in caplog.text


@pytest.mark.parametrize(
    ("answers", "words", "reason"),
    [
        ({"S6": b"\a"}, {}, "refuses 500000 bit/s (command S6)"),
        ({"L": b"\a"}, {}, "refuses listen-only"),
        ({"Y5": b"\a"}, {"fd": True, "data_bitrate": 5_000_000}, "refuses 5000000 bit/s for data"),
    ],
)
def test_what_the_adapter_refuses_is_said(tmp_path: Path, answers: dict, words: dict, reason: str) -> None:
    with SlcanAdapter(tmp_path / "ttyCAN", answers) as adapter:
        with pytest.raises(BusError) as caught:
            open_bus(settings(adapter, **words))
        assert reason in str(caught.value)
        assert "dialout" not in str(caught.value)  # it could open the port
        assert adapter.sent == []


def test_an_adapter_that_never_answers_is_believed_and_no_frame_is_lost(tmp_path: Path) -> None:
    mute = dict.fromkeys(["", "C", "S6", "L"])
    with SlcanAdapter(tmp_path / "ttyCAN", mute) as adapter:

        async def run() -> tuple[CanBus, Kept]:
            loop, reached = asyncio.get_running_loop(), asyncio.Event()
            kept = Kept(3, lambda: loop.call_soon_threadsafe(reached.set))
            bus = CanBus(settings(adapter), 0, kept, Clock(), Random(1))
            running = asyncio.create_task(bus.run())
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.to_thread(adapter.wait_open)
                await asyncio.to_thread(adapter.write, THREE)  # while the answer to L is still waited for
                await reached.wait()
            running.cancel()
            await asyncio.wait({running})
            return bus, kept

        bus, kept = asyncio.run(run())
    assert kept.called == KEPT
    assert bus.feed.unreadable == 0


def test_an_adapter_unplugged_and_plugged_in_again_goes_on(
    adapter: SlcanAdapter, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> tuple[CanBus, Kept]:
        kept = Kept()
        bus = CanBus(settings(adapter), 0, kept, Clock(speed=20), Random(1))
        running = asyncio.create_task(bus.run())
        async with asyncio.timeout(PATIENCE_S):
            for plug in (1, 2, 3):
                await bus.is_open.wait()
                await asyncio.to_thread(adapter.write, line(plug, b"\1"))
                while len(kept.rows) < plug:
                    await asyncio.sleep(0.01)
                await asyncio.to_thread(adapter.unplug)
                while bus.is_open.is_set():
                    await asyncio.sleep(0.01)
                assert bus.problem
                await asyncio.to_thread(adapter.plug)
            await bus.is_open.wait()
        running.cancel()
        await asyncio.wait({running})
        return bus, kept

    bus, kept = asyncio.run(run())
    assert kept.called == [(1, b"\1"), (2, b"\1"), (3, b"\1")]
    assert bus.guard.trouble.reopened == 3
    assert adapter.sent == []
    assert "CAN bus away bus=pt" in caplog.text


def test_a_port_that_is_not_there_is_said_with_what_to_look_at(tmp_path: Path) -> None:
    gone = Settings(interface="slcan", channel=str(tmp_path / "ttyNONE"), options=AT_ONCE)
    with pytest.raises(BusError, match=r"ttyNONE.*group dialout"):
        open_bus(gone)


DBC = """VERSION ""
BU_: A
BO_ 256 ESC: 8 A
 SG_ Speed : 0|16@1+ (0.01,0) [0|300] "km/h" A
BO_ 2566844679 BMS: 8 A
 SG_ Soc : 0|8@1+ (0.5,0) [0|100] "%" A
"""
MAPPING = """format = 1
name = "slcan"
edition = "2016"
[dbc.pt]
files = ["car.dbc"]
[vehicle]
vehicle_state = { constant = "started" }
charging_state = { constant = "not_charging" }
run_mode = { constant = "electric" }
speed = "pt.ESC.Speed"
soc = "pt.BMS.Soc"
"""
CONFIG = """
[vehicle]
vin = "LGBTEST0000000017"
mapping = "car.toml"
[[can]]
name = "pt"
interface = "slcan"
channel = "{port}"
bitrate = 500000
options = {{ sleep_after_open = 0 }}
[platform]
host = "127.0.0.1"
port = {tcp}
[report]
interval_s = 1
"""


@contextlib.contextmanager
def process(folder: Path, module: str, *arguments: str, read: str) -> Iterator["subprocess.Popen[str]"]:
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, read: subprocess.PIPE}
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.getcwd(), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.PIPE,
        text=True,
        **streams,  # type: ignore[arg-type]
    ) as started:
        watchdog = threading.Timer(2 * PATIENCE_S, started.kill)  # whoever waits for a line that never comes
        watchdog.start()
        try:
            yield started
        finally:
            watchdog.cancel()
            started.kill()


def until(stream, wanted: Callable[[str], bool]) -> str:  # type: ignore[no-untyped-def]
    seen = []
    for text in stream:
        seen.append(text)
        if wanted(text):
            return text
    raise AssertionError("the process ended before that happened; it said:\n" + "".join(seen[-30:]))


def speed_of(text: str) -> object:
    """The speed in a line of the platform, None for one that has none."""
    packet = json.loads(text)
    if packet.get("command") != "realtime":
        return None
    bodies = packet_to_json(Packet(bytes.fromhex(packet["packet"])))["bodies"]
    return next(body["speed"] for body in bodies if "speed" in body)


def test_a_whole_agent_reports_what_comes_by_slcan_through_an_unplugging(tmp_path: Path) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        tcp = free.getsockname()[1]
    port = tmp_path / "ttyCAN"
    (tmp_path / "car.dbc").write_text(DBC)
    (tmp_path / "car.toml").write_text(MAPPING)
    (tmp_path / "tbox.toml").write_text(CONFIG.format(port=port, tcp=tcp))
    with (
        SlcanAdapter(port) as adapter,
        process(
            tmp_path, "bench.cli", "platform", "--port", str(tcp), "--db", "platform.db", "--json", read="stdout"
        ) as platform,
    ):
        until(platform.stdout, lambda text: "listening" in text)
        with process(tmp_path, "agent.cli", "run", "-c", "tbox.toml", read="stderr") as agent:
            drive(adapter, platform, agent, kmh=72)
            adapter.unplug()
            until(agent.stderr, lambda text: "CAN bus away" in text)
            adapter.plug()
            drive(adapter, platform, agent, kmh=54)
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(PATIENCE_S) == 0
    assert adapter.sent == []


def drive(adapter: SlcanAdapter, platform, agent, kmh: int) -> None:  # type: ignore[no-untyped-def]
    """Frames until the platform has heard of them."""
    adapter.wait_open()
    stop = threading.Event()

    def frames() -> None:
        while not stop.wait(0.05):
            adapter.frame(0x100, (100 * kmh).to_bytes(2, "little") + bytes(6))
            adapter.frame(0x18FEF107, b"\x78" + bytes(7), extended=True)

    driving = threading.Thread(target=frames)
    driving.start()
    try:
        until(platform.stdout, lambda text: speed_of(text) == kmh)
    finally:
        stop.set()
        driving.join()
