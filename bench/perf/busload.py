"""A bus that is full, sent by the kernel: operations of its Broadcast Manager send frames whose contents change, at fixed cycles.

500 kbit/s carry about 4,000 frames of 8 bytes a second. A Python sender would spend the CPU that is to be measured; the kernel's
timers send as steadily, and cost little. Each message counts up in its first byte.
"""

import socket
import struct
from collections.abc import Sequence
from types import TracebackType

from bench.perf.traffic import FIRST_ID, MESSAGES

# linux/can/bcm.h
TX_SETUP = 1
SETTIMER, STARTTIMER = 0x01, 0x02
_HEAD = struct.Struct(
    "@IIIllllII0q"
)  # opcode, flags, count, ival1 (s, us), ival2 (s, us), can_id, nframes; frames follow
FRAME = struct.Struct("=IB3x8s")
CONTENTS = 256  # MAX_NFRAMES: an operation goes through so many contents, and begins again
SO_RCVBUFFORCE, REFERENCE_BYTES = 33, 16 << 20

# Cycle in ms and how many identifiers have it, as on a car's powertrain bus: 150 identifiers, 4,020 frames/s.
CYCLES = ((10, 20), (20, 20), (50, 20), (100, 50), (200, 20), (1000, 20))
IDENTIFIERS = sum(count for _, count in CYCLES)
UNMAPPED_ID = 0x300
MAPPED_OF_5 = 2  # 60 of the 150, alike of all cycles


def cycles(slower: int = 1) -> dict[int, int]:
    """Cycle in ms by identifier; the mapped ones are those of `traffic`."""
    found: dict[int, int] = {}
    mapped = unmapped = 0
    for cycle_ms, count in CYCLES:
        for number in range(count):
            if number % 5 < MAPPED_OF_5:
                can_id, mapped = FIRST_ID + mapped, mapped + 1
            else:
                can_id, unmapped = UNMAPPED_ID + unmapped, unmapped + 1
            found[can_id] = cycle_ms * slower
    if (mapped, len(found)) != (MESSAGES, IDENTIFIERS):
        raise RuntimeError(f"{mapped} of {len(found)} identifiers are mapped")
    return found


def rate(slower: int = 1) -> float:
    """Frames a second."""
    return sum(1000 / cycle_ms for cycle_ms in cycles(slower).values())


def data_of(can_id: int, count: int) -> bytes:
    """Contents number `count`: the number, a zero, and bytes that change with both."""
    return bytes([count, 0]) + ((can_id << 8 | count) * 0x9E3779B97F4A7C15 & (1 << 48) - 1).to_bytes(6, "little")


def setup(can_id: int, cycle_ms: int, contents: Sequence[bytes]) -> bytes:
    """The message that makes the kernel send an identifier for ever, from now on, with these contents of 8 bytes in turn."""
    seconds, ms = divmod(cycle_ms, 1000)
    head = _HEAD.pack(TX_SETUP, SETTIMER | STARTTIMER, 0, 0, 0, seconds, 1000 * ms, can_id, len(contents))
    return head + b"".join(FRAME.pack(can_id, 8, data) for data in contents)


class Load:
    """Fills interfaces until the block ends; `slower` = 10 is a tenth of the load."""

    def __init__(self, channels: Sequence[str], slower: int = 1) -> None:
        self._channels = channels
        self._setups = [
            setup(can_id, cycle_ms, [data_of(can_id, count) for count in range(CONTENTS)])
            for can_id, cycle_ms in cycles(slower).items()
        ]
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> "Load":
        for channel in self._channels:
            own = socket.socket(socket.AF_CAN, socket.SOCK_DGRAM, socket.CAN_BCM)
            self._sockets.append(own)
            own.connect((channel,))
            for each in self._setups:
                own.send(each)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for own in self._sockets:
            own.close()


class Reference:
    """Hears every frame of a bus by plain recv(): the newest count of each message, and whether one was missed."""

    def __init__(self, channel: str) -> None:
        self._socket = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, REFERENCE_BYTES)
        self._socket.bind((channel,))
        self._socket.setblocking(False)
        self.newest: dict[int, int] = {}
        self.missed = 0

    def take(self) -> dict[int, int]:
        """Read all that has come; `newest`, by identifier."""
        while True:
            try:
                frame = self._socket.recv(FRAME.size)
            except BlockingIOError:
                return self.newest
            can_id, _, data = FRAME.unpack(frame)
            if can_id in self.newest:
                self.missed += (data[0] - self.newest[can_id] - 1) % CONTENTS
            self.newest[can_id] = data[0]

    def __enter__(self) -> "Reference":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
