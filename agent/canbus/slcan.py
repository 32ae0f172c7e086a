"""slcan, the Lawicel protocol of serial CAN adapters: python-can's bus, with a receiving side that trusts nothing.

python-can opens the port and closes it. What it leaves to chance matters to a listener: it takes the frame of a line that
lost characters on the way (bytes of data missing, the rest moved up), keeps a byte that is no text until the bus is opened
again, reads byte by byte, and does not look whether the adapter has taken the bitrate and listen-only: one that another
program left open as an active node would stay one.
"""

from collections import deque
from typing import Any

from agent.canlibrary import can
from agent.errors import BusError

# isort: split
from can.exceptions import CanOperationError, error_check
from can.interfaces.slcan import slcanBus
from can.util import CAN_FD_DLC

READ_S = 0.25  # how long a read waits for a first byte; an adapter that has not answered by then never answers
SETTLING_READS = 64  # of a line that should fall silent, as the adapter is closed
REFUSED = b"\a"
# By the letter of a line: digits of the identifier, remote, CAN FD, bitrate switch.
FRAMES = {
    "t": (3, False, False, False),
    "T": (8, False, False, False),
    "x": (8, False, False, False),  # CANDapter's T
    "r": (3, True, False, False),
    "R": (8, True, False, False),
    "d": (3, False, True, False),
    "D": (8, False, True, False),
    "b": (3, False, True, True),
    "B": (8, False, True, True),
}
ANSWERS = ("z", "Z", "V", "v", "N", "F")  # what a slow adapter may still say of a command
STAMPS = (0, 4, 8)  # digits of a time behind the data: none, or as the adapter was once told
LONGEST = 1 + 8 + 1 + 2 * 64 + 8


class SlcanBus(slcanBus):
    """As python-can's slcanBus. Reading raises ValueError for a line that is neither a frame nor an answer."""

    def __init__(self, channel: str, timeout: float = READ_S, **arguments: Any) -> None:
        self._port = channel
        self._closed = False
        self._rest = bytearray()
        self._lines: deque[bytearray] = deque()
        super().__init__(channel, timeout=timeout, **arguments)

    def set_bitrate(self, bitrate: int, data_bitrate: int | None = None) -> None:
        """Set the bitrate of the adapter, which is closed then; BusError when it refuses."""
        self._close_for_setting()
        self._tell(self._BITRATES[bitrate], f"{bitrate} bit/s")
        if data_bitrate:
            self._tell(self._DATA_BITRATES[data_bitrate], f"{data_bitrate} bit/s for data")

    def set_bitrate_reg(self, btr: str) -> None:
        """As set_bitrate, by the contents of the SJA1000's two registers."""
        self._close_for_setting()
        self._tell(f"s{btr}", "a bitrate that is none of its own")

    def open(self) -> None:
        """Go on the bus, as a listener or as a node; BusError when the adapter refuses."""
        if not self._closed:
            self._close_for_setting()
        if self._listen_only:
            self._tell("L", "listen-only; with listen_only = false it acknowledges what it receives")
        else:
            self._tell("O", "to open the bus")

    def _failed(self, reason: str) -> BusError:
        """With the whole reason: python-can's errors get a line behind them of what the interface needs."""
        return BusError("slcan", self._port, reason)

    def _claim(self) -> None:
        """Have the port alone: two programs on one port each get a part of the lines, and either closes the adapter for both."""
        try:
            self.serialPortOrig.exclusive = True
        except OSError as error:  # SerialException is one
            self._is_shutdown = True  # nothing may be said to an adapter that is not ours
            self.serialPortOrig.close()
            raise self._failed("another program holds the port (an agent, or tbox watch)") from error

    def _close_for_setting(self) -> None:
        """Whatever state the adapter was left in, half a command in its buffer or open: now it is closed and silent."""
        self._claim()
        self._write("\r\rC")
        for _ in range(SETTLING_READS):
            if not self._read_some():
                break
        self._rest.clear()
        self._lines.clear()
        self._closed = True

    def _tell(self, command: str, meaning: str) -> None:
        """Give a command and look at the answer; those that never answer are believed."""
        self._write(command)
        answer = b""
        while not answer.endswith((self._OK, REFUSED)) and len(answer) < LONGEST:
            with error_check("Could not read from serial device", CanOperationError):
                byte: bytes = self.serialPortOrig.read(1)
            if not byte:
                return
            answer += byte
        if answer.endswith(REFUSED):
            raise self._failed(f"the adapter refuses {meaning} (command {command})")
        if len(answer) > len(self._OK):
            self._rest += answer  # of an adapter that never answers: the first of the bus

    def _read_some(self) -> bytes:
        """What has come, or comes within READ_S."""
        with error_check("Could not read from serial device", CanOperationError):
            port = self.serialPortOrig
            some: bytes = port.read(max(1, port.in_waiting))
        return some

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:  # noqa: ARG002 - READ_S is
        while True:
            while self._lines:
                message = frame_of(self._lines.popleft())
                if message is not None:
                    return message, False
            some = self._read_some()
            if not some:
                return None, False
            *lines, self._rest = (self._rest + some).replace(REFUSED, self._OK).split(self._OK)
            self._lines.extend(lines)
            if len(self._rest) > LONGEST:
                length = len(self._rest)
                self._rest.clear()
                raise ValueError(f"{length} characters without the end of a line")


def frame_of(line: bytes | bytearray) -> can.Message | None:
    """The frame of a line without its CR; None for an empty line and an answer; ValueError for what is neither."""
    text = line.strip(b"\n").decode("ascii")
    if not text or text.startswith(ANSWERS):
        return None
    kind = FRAMES.get(text[0])
    if kind is None or not text.isalnum():
        raise ValueError(f"{text[:40]!r} is no line of slcan; does another device send on this port?")
    digits, remote, fd, switched = kind
    can_id = int(text[1 : 1 + digits], 16)
    if can_id > (0x7FF if digits == 3 else 0x1FFFFFFF):
        raise ValueError(f"{text[:40]!r}: no identifier is so large")
    code, begin = int(text[1 + digits : 2 + digits], 16), 2 + digits
    length = CAN_FD_DLC[code] if fd else min(code, 8)
    end = begin if remote else begin + 2 * length
    if len(text) - end not in STAMPS:
        raise ValueError(f"{text[:40]!r}: {len(text) - begin} characters for {length} bytes, some were lost")
    return can.Message(
        arbitration_id=can_id,
        is_extended_id=digits == 8,
        is_remote_frame=remote,
        is_fd=fd,
        bitrate_switch=switched,
        dlc=length,
        data=None if remote else bytearray.fromhex(text[begin:end]),
    )
