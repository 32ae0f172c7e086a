"""Multi-packet messages against another J1939 stack, can-j1939: what it receives, and what it sends to its like."""

import queue
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import can
import cantools.database
import j1939
import pytest

from agent.canlog.reader import read_log
from agent.core.frames import LatestFrames
from agent.core.j1939 import EXTENDED, Transport
from agent.core.sampler import Sampler
from agent.signalmap import load_mapping

Message = tuple[int, int, bytes]  # PGN without a destination, source, payload
WAIT_S = 20


class Stack:
    """A control unit of can-j1939 at one address; `heard` are the messages it took."""

    def __init__(self, address: int, channel: str | None = None) -> None:
        self.heard: queue.Queue[Message] = queue.Queue()
        mute = None if channel else lambda *_: None
        self.unit = j1939.ElectronicControlUnit(max_cmdt_packets=8, send_message=mute)
        self.unit.j1939_dll._minimum_tp_bam_dt_interval = 0.001  # its option of that name is not kept
        if channel:
            self.unit.connect(interface="virtual", channel=channel)
        self.unit.subscribe(self._take, address)

    def _take(self, priority: int, pgn: int, source: int, timestamp: float, data: bytes) -> None:
        self.heard.put((pgn, source, bytes(data)))


class Ears:
    """Our side, with everything wanted."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self.transport = Transport([(EXTENDED, EXTENDED)], self._take, 1)

    def _take(self, can_id: int, data: Any, stamp: int) -> None:
        pgn = can_id >> 8 & 0x3FFFF
        self.heard.append((pgn if can_id >> 16 & 0xFF >= 240 else pgn & 0x3FF00, can_id & 0xFF, bytes(data)))

    def hear(self, can_id: int, data: bytes, stamp: int) -> None:
        if can_id >> 16 & 0x3FF == 0xEC:
            self.transport.control(can_id, data, stamp)
        elif can_id >> 16 & 0x3FF == 0xEB:
            self.transport.packet(can_id, data, stamp)


def test_a_recorded_vehicle_gives_the_messages_that_the_other_stack_gives(tbox_data: Path) -> None:
    stack, ears = Stack(0x7E), Ears()
    try:
        for t_us, _, can_id, data in read_log(tbox_data / "css/j1939_FCBF0606.log"):
            ears.hear(can_id, data, t_us // 1000)
            if can_id >> 16 & 0xFF in (0xEB, 0xEC):
                stack.unit.notify(can_id & ~EXTENDED, bytearray(data), t_us / 1e6)
    finally:
        stack.unit.stop()
    theirs = [stack.heard.get_nowait() for _ in range(stack.heard.qsize())]
    assert len(theirs) == 16
    assert ears.heard == theirs
    assert ears.transport.torn == 0


def test_a_recorded_message_of_several_packets_is_read_as_cantools_reads_it(tbox_data: Path, tmp_path: Path) -> None:
    dbc = tbox_data / "css/tp_j1939.dbc"
    mapping = tmp_path / "truck.toml"
    mapping.write_text(
        f'format = 1\nname = "truck"\nedition = "2016"\n[dbc.pt]\nfiles = ["{dbc}"]\n'
        '[engine]\nspeed = "pt.EC1.EngineSpeedAtPoint5"\n',
        encoding="utf-8",
    )
    plan = load_mapping(mapping, "2016", cache=False).plan
    latest, ears, sampler = LatestFrames(plan, 1000), Ears(), Sampler(plan, 1000)
    decode = cantools.database.load_file(dbc).decode_message
    compared = 0
    for t_us, _, can_id, data in read_log(tbox_data / "css/j1939_FCBF0606.log"):
        ears.hear(can_id, data, t_us // 1000)
        latest.keep(0, can_id, data, t_us)
        if ears.heard:
            pgn, _, payload = ears.heard.pop()
            if pgn == 0xFEE3:
                value = decode(0x18FEE3FE, payload, allow_truncated=True)["EngineSpeedAtPoint5"]
                assert dict(sampler.sample(latest, t_us))[4]["speed"] == int(value + 0.5)
                compared += 1
    assert compared == latest.kept
    assert compared > 0


@pytest.fixture
def bus() -> Iterator[list[Any]]:
    """Two stacks on a bus, at addresses 0x10 and 0x20, and a third station that only listens."""
    channel = f"j1939-{random.random()}"
    listener = can.Bus(interface="virtual", channel=channel)
    stacks = [Stack(0x10, channel), Stack(0x20, channel)]
    yield [*stacks, listener]
    for stack in stacks:
        stack.unit.disconnect()
        stack.unit.stop()
    listener.shutdown()


def listen(listener: can.BusABC, ears: Ears) -> None:
    while (message := listener.recv(0)) is not None:
        ears.hear(message.arbitration_id | EXTENDED, bytes(message.data), int(message.timestamp * 1000))


@pytest.mark.parametrize("size", [9, 14, 57, 255, 1785])
def test_what_two_control_units_send_each_other_is_overheard(bus: list[Any], size: int) -> None:
    one, other, listener = bus
    ears = Ears()
    payload = random.Random(size).randbytes(size)
    assert one.unit.send_pgn(0, 0xEF, 0x20, 6, 0x10, list(payload))
    assert other.unit.send_pgn(1, 0xFE, 0xE3, 6, 0x20, list(payload[::-1]))
    taken = other.heard.get(timeout=WAIT_S), one.heard.get(timeout=WAIT_S)
    listen(listener, ears)
    assert sorted(ears.heard) == sorted([(0xEF00, 0x10, payload), (0x1FEE3, 0x20, payload[::-1])])
    assert {payload for *_, payload in taken} == {payload for *_, payload in ears.heard}
    assert ears.transport.torn == 0
