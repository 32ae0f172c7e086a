"""The reference car's messages as CAN frames: bit places worked out once from the DBC, then integers only.

cantools reads the file; a frame costs a few microseconds, so that one process keeps up with many times real time.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import agent

if TYPE_CHECKING:
    from cantools.database.can import Message, Signal

__all__ = ["Frame", "crc8_j1850", "load_frames", "reference_dbc"]

COUNTER = "Alive"
CHECKSUM = "CRC"


def _crc8_table() -> bytes:
    table = bytearray()
    for byte in range(256):
        for _ in range(8):
            byte = (byte << 1) ^ (0x1D if byte & 0x80 else 0)
        table.append(byte & 0xFF)
    return bytes(table)


_CRC8 = _crc8_table()


def crc8_j1850(data: bytes) -> int:
    """CRC-8 SAE J1850: polynomial 1D, start FF, result inverted."""
    crc = 0xFF
    for byte in data:
        crc = _CRC8[crc ^ byte]
    return crc ^ 0xFF


def reference_dbc() -> Path:
    """Where the project's own DBC is: in the installed package, else beside it in the source tree."""
    package = Path(agent.__file__).parent
    folder = package / "dbc" if (package / "dbc").is_dir() else package.parent / "dbc"
    return folder / "reference_ev.dbc"


class _Place(NamedTuple):
    """Where one signal's raw value goes in the frame taken as one integer, and what it may be."""

    name: str
    factor: float
    offset: float
    lo: int
    hi: int
    mask: int
    shift: int


class Frame:
    """One message of the DBC: encodes physical values, counts its alive counter, adds its checksum."""

    def __init__(self, message: "Message") -> None:
        orders = {signal.byte_order for signal in message.signals}
        if len(orders) != 1:
            raise ValueError(f"message {message.name}: signals of both byte orders in one message")
        self.name = message.name
        self.can_id = message.frame_id
        self.extended = message.is_extended_frame
        self.length = message.length
        if not message.cycle_time:
            raise ValueError(f"message {message.name}: no GenMsgCycleTime")
        self.cycle_ms = message.cycle_time
        self._order: Literal["big", "little"] = "big" if orders == {"big_endian"} else "little"
        by_name = {signal.name: signal for signal in message.signals}
        selector = next((signal for signal in message.signals if signal.is_multiplexer), None)
        self.pages = max(s.multiplexer_ids[0] for s in message.signals if s.multiplexer_ids) + 1 if selector else 1
        self._selector_shift = _shift(selector, self.length) if selector else 0
        own = {COUNTER, CHECKSUM, selector.name if selector else ""}
        carried = [signal for signal in message.signals if signal.name not in own]
        self._places = [
            [_place(signal, self.length) for signal in carried if (signal.multiplexer_ids or [page]) == [page]]
            for page in range(self.pages)
        ]
        self._counter_shift = _shift(by_name[COUNTER], self.length) if COUNTER in by_name else None
        self._has_checksum = CHECKSUM in by_name
        last_byte = 0 if self._order == "big" else 8 * (self.length - 1)
        if self._has_checksum and _shift(by_name[CHECKSUM], self.length) != last_byte:
            raise ValueError(f"message {message.name}: {CHECKSUM} is not the last byte")
        self._counter = 0

    def encode(self, values: Mapping[str, float], page: int = 0) -> bytes:
        """Pack the physical values of one page; every call is one frame of the alive counter.

        Raises ValueError for a value outside the range that the DBC gives.
        """
        bits = page << self._selector_shift
        for name, factor, offset, lo, hi, mask, shift in self._places[page]:
            raw = round((values[name] - offset) / factor)
            if not lo <= raw <= hi:
                raise ValueError(f"{self.name}.{name}: {values[name]} is outside {_span(lo, hi, factor, offset)}")
            bits |= (raw & mask) << shift
        if self._counter_shift is not None:
            bits |= self._counter << self._counter_shift
            self._counter = (self._counter + 1) & 0xF
        data = bits.to_bytes(self.length, self._order)
        return data[:-1] + bytes((crc8_j1850(data[:-1]),)) if self._has_checksum else data


def _span(lo: int, hi: int, factor: float, offset: float) -> str:
    return f"{lo * factor + offset:g}..{hi * factor + offset:g}"


def _shift(signal: "Signal", length: int) -> int:
    """Distance of the signal's lowest bit from the lowest bit of the frame as an integer in the signal's byte order."""
    if signal.byte_order == "little_endian":
        return signal.start
    from_first = 8 * (signal.start // 8) + 7 - signal.start % 8  # DBC counts bits of a byte from the right
    return 8 * length - from_first - signal.length


def _place(signal: "Signal", length: int) -> _Place:
    factor, offset = float(signal.scale), float(signal.offset)
    lowest = -(1 << signal.length - 1) if signal.is_signed else 0
    highest = lowest + (1 << signal.length) - 1
    if signal.minimum is not None and signal.maximum is not None:
        lowest = max(lowest, round((float(signal.minimum) - offset) / factor))
        highest = min(highest, round((float(signal.maximum) - offset) / factor))
    return _Place(signal.name, factor, offset, lowest, highest, (1 << signal.length) - 1, _shift(signal, length))


def load_frames(path: Path) -> dict[str, Frame]:
    """Every message of a DBC by name; the file must load strictly."""
    import cantools

    database = cantools.database.can.Database(strict=True)
    database.add_dbc_file(path)
    return {message.name: Frame(message) for message in database.messages}
