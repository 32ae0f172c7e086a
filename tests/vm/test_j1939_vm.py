"""The kernel's own J1939 stack sends, between two addresses of its own; the agent's bus listens and says nothing."""

import asyncio
import contextlib
import random
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from canbus_parts import Settings

from agent.canbus.bus import CanBus
from agent.clock import Clock
from agent.core.frames import LatestFrames
from agent.core.j1939 import EXTENDED
from agent.signalmap import load_mapping

WAIT_S = 60
ONE, OTHER = 0x10, 0x20
MESSAGES = f"""BO_ {EXTENDED | 0x18FEE3FE} ToAll: 1785 A
 SG_ Speed : 0|16@1+ (0.1,0) [0|0] "km/h" A
BO_ {EXTENDED | 0x18EF00FE} ToOne: 1785 A
 SG_ Soc : 0|8@1+ (1,0) [0|0] "%" A
BO_ {EXTENDED | 0x18FEF1FE} Any: 8 A
 SG_ Voltage : 0|16@1+ (1,0) [0|0] "V" A
BO_ {EXTENDED | 0x18FEF2FE} Named: 8 A
 SG_ Current : 0|16@1+ (1,0) [0|0] "A" A"""
HEAD = 'format = 1\nname = "test"\nedition = "2016"\n[dbc.b]\nfiles = ["test.dbc"]\n'
SECTIONS = """[messages."b.ToAll"]
j1939 = true
[messages."b.ToOne"]
j1939 = true
[messages."b.Any"]
j1939 = true
[messages."b.Named"]
source = 0x31
[vehicle]
speed = "b.ToAll.Speed"
soc = "b.ToOne.Soc"
total_voltage = "b.Any.Voltage"
total_current = "b.Named.Current"
"""


def station(channel: str, address: int) -> socket.socket:
    """A control unit of the kernel's stack."""
    made = socket.socket(socket.AF_CAN, socket.SOCK_DGRAM, socket.CAN_J1939)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    made.settimeout(WAIT_S)
    made.bind((channel, socket.J1939_NO_NAME, socket.J1939_NO_PGN, address))
    return made


def send(sender: socket.socket, pgn: int, destination: int, payload: bytes) -> None:
    sender.sendto(payload, (sender.getsockname()[0], socket.J1939_NO_NAME, pgn, destination))


class Listening:
    """The agent's bus with a real plan, and every frame on the wire beside it."""

    def __init__(self, channel: str, folder: Path) -> None:
        (folder / "test.dbc").write_text(f'VERSION ""\nBU_: A\n{MESSAGES}\n', encoding="utf-8")
        (folder / "test.toml").write_text(HEAD + SECTIONS, encoding="utf-8")
        mapping = load_mapping(folder / "test.toml", "2016", cache=False)
        self._plan = mapping.plan
        clock = Clock()
        self.latest = LatestFrames(mapping.plan, clock.ticks_per_ms)
        self.bus = CanBus(Settings("b", "socketcan", channel), 0, self.latest, clock, random.Random(1))
        self.wire = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
        self.wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
        self.wire.bind((channel,))
        self.wire.setblocking(False)

    async def hear(self, talk: Any, kept: int) -> None:
        """Listen while `talk()` runs in a thread, until `kept` messages are there."""
        task = asyncio.create_task(self.bus.run())
        await self.bus.is_open.wait()
        await asyncio.to_thread(talk)
        until = time.monotonic() + WAIT_S
        while self.latest.kept < kept and time.monotonic() < until:
            await asyncio.sleep(0.02)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    def frames(self) -> list[tuple[int, bytes]]:
        """(identifier without priority, data) of all that was on the wire, whoever sent it."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                frame = self.wire.recv(16)
                found.append((int.from_bytes(frame[:4], "little") & 0x03FFFFFF, frame[8 : 8 + frame[4]]))
        self.wire.close()
        return found

    def payload(self, can_id: int) -> bytes:
        """The newest frame of the message with this identifier in the plan."""
        slots = {wanted: slot for _, wanted, _, _, slot, *_ in self._plan["messages"]}
        return bytes(self.latest.frames[slots[EXTENDED | can_id]])


def counted(frames: list[tuple[int, bytes]]) -> dict[tuple[int, int, int], int]:
    """How many by (PDU format, source, first byte); data packets by the format alone."""
    counts: dict[tuple[int, int, int], int] = {}
    for can_id, data in frames:
        pdu = can_id >> 16 & 0xFF
        key = (pdu, can_id & 0xFF, data[0] if pdu == 0xEC else -1)
        counts[key] = counts.get(key, 0) + 1
    return counts


@pytest.mark.parametrize("size", [9, 100])
def test_a_broadcast_of_the_kernel_is_put_together(vcan_bus: str, tmp_path: Path, size: int) -> None:
    listening = Listening(vcan_bus, tmp_path)
    payload = random.Random(size).randbytes(size)
    with station(vcan_bus, ONE) as one:
        asyncio.run(listening.hear(lambda: send(one, 0xFEE3, socket.J1939_NO_ADDR, payload), 1))
    assert listening.payload(0x18FEE3FE) == payload
    assert (listening.latest.torn, listening.latest.unknown_id) == (0, 0)
    packets = (size + 6) // 7
    assert counted(listening.frames()) == {(0xEC, ONE, 32): 1, (0xEB, ONE, -1): packets}


@pytest.mark.parametrize("size", [9, 777, 1785])
def test_a_connection_of_the_kernel_is_overheard_and_nothing_is_said(vcan_bus: str, tmp_path: Path, size: int) -> None:
    listening = Listening(vcan_bus, tmp_path)
    payload = random.Random(size).randbytes(size)
    taken = []
    with station(vcan_bus, ONE) as one, station(vcan_bus, OTHER) as other:

        def talk() -> None:
            send(one, 0xEF00, OTHER, payload)
            taken.append(other.recv(4096))

        asyncio.run(listening.hear(talk, 1))
    assert taken == [payload]
    assert listening.payload(0x18EF00FE) == payload
    assert listening.latest.torn == 0
    counts = counted(listening.frames())
    asked = counts.pop((0xEC, OTHER, 17))
    assert 1 <= asked <= (size + 6) // 7
    # One announcement, each packet once, one end: no frame came from anywhere else.
    assert counts == {(0xEC, ONE, 16): 1, (0xEB, ONE, -1): (size + 6) // 7, (0xEC, OTHER, 19): 1}


def test_single_frames_of_any_priority_and_source(vcan_bus: str, tmp_path: Path) -> None:
    listening = Listening(vcan_bus, tmp_path)
    sources = [0x00, 0x17, 0x31, 0xFD]
    priorities = [0, 3, 6, 7]

    def talk() -> None:
        for source in sources:
            for priority in priorities:
                with station(vcan_bus, source) as sender:
                    sender.setsockopt(socket.SOL_CAN_BASE + socket.CAN_J1939, socket.SO_J1939_SEND_PRIO, priority)
                    for pgn in (0xFEF1, 0xFEF2, 0xFEF3):
                        send(sender, pgn, socket.J1939_NO_ADDR, bytes([source, 0] + [priority] * 6))

    asyncio.run(listening.hear(talk, 8))
    latest = listening.latest
    assert latest.kept == 4 + 4  # any source: those of 00, which came first and is the lowest; and those of 31
    assert latest.other_source == 12
    assert [taken for *_, taken, _ in latest.rivals] == [0x00]
    assert listening.payload(0x18FEF1FE) == bytes([0x00, 0, 7, 7, 7, 7, 7, 7])
    assert listening.payload(0x18FEF231) == bytes([0x31, 0, 7, 7, 7, 7, 7, 7])
    assert len(listening.frames()) == 3 * len(sources) * len(priorities)
