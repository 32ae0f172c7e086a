"""Packets: start, command, response, unique id, encryption, length, data unit, check code (chapter 6).

::

    0      2       3        4         21         22       24          24+L
    | ## | command | response | VIN (17) | encryption | L (2) | data unit | BCC |

BCC is the XOR of every byte from offset 2 to the last byte of the data unit. Time is six plain binary bytes, year-2000 to
second, always Beijing time (6.4).
"""

from struct import unpack_from

from agent.core.errors import LocalProtocolError, RemoteProtocolError

HEADER_SIZE = 24  # bytes before the data unit
VIN_SIZE = 17  # bytes of the unique id; 6.2
MAX_DATA_UNIT = 65531  # bytes; GB/T 32960.3-2016, 6.2, table 2
COMMAND = 0xFE  # response flag of a packet that is a command, not an answer
SUCCESS = 0x01
ERROR = 0x02  # the plain error, which every edition has; 6.3.2
PLAIN = 0x01  # encryption: none
STARTS = {"2016": b"##", "2025": b"$$"}  # by edition; 6.2
_MARKS = tuple(STARTS.values())
RESPONSES = b"\x01\x02\x03\x04\x05\x06\x07\xfe"  # response flags of both editions; 6.3.2
ENCRYPTIONS = b"\x01\x02\x03\x04\x05\xfe\xff"  # of both editions; 6.2

BEIJING_S = 8 * 3600  # ahead of UTC, without daylight saving; 6.4
_EPOCH_2000_DAYS = 10957  # days from 1970-01-01 to 2000-01-01
_FIRST_S = _EPOCH_2000_DAYS * 86400 - BEIJING_S
_CENTURY_S = 36525 * 86400
_BLOCK = 2048  # bytes of the check code that are one number at a time
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def bcc(data: bytes) -> int:
    """XOR of all bytes: blocks onto each other, then the number in half again and again; no step per byte."""
    number = 0
    for at in range(0, len(data), _BLOCK):
        number ^= int.from_bytes(data[at : at + _BLOCK], "big")
    size = min(len(data), _BLOCK)
    while size > 1:
        half = (size + 1) // 2
        number = (number >> (8 * half)) ^ (number & ((1 << (8 * half)) - 1))
        size = half
    return number


def _leap(year: int) -> bool:
    return year % 4 == 0  # 2000 to 2099


def has_time_bytes(epoch_s: int) -> bool:
    """Whether Unix second `epoch_s` can be written: 2000 to 2099 in Beijing. A clock that was never set says 1970."""
    return _FIRST_S <= epoch_s < _FIRST_S + _CENTURY_S


def time_bytes(epoch_s: int) -> bytes:
    """Six time bytes of Unix second `epoch_s` in Beijing time; LocalProtocolError outside 2000 to 2099."""
    if not has_time_bytes(epoch_s):
        raise LocalProtocolError("time %d is outside the years 2000 to 2099" % epoch_s)
    days, second = divmod(epoch_s + BEIJING_S, 86400)
    cycle, days = divmod(days - _EPOCH_2000_DAYS, 1461)  # four years, the first a leap year
    year = cycle * 4
    if days >= 366:
        more, days = divmod(days - 366, 365)
        year += 1 + more
    month = 0
    while True:
        length = _MONTH_DAYS[month] + (1 if month == 1 and _leap(year) else 0)
        if days < length:
            break
        days -= length
        month += 1
    hour, second = divmod(second, 3600)
    return bytes((year, month + 1, days + 1, hour, second // 60, second % 60))


def epoch_of(data: bytes, offset: int = 0) -> int:
    """Unix second of six time bytes at `offset`; RemoteProtocolError when they are no time of 2000 to 2099."""
    if len(data) < offset + 6:
        raise RemoteProtocolError("data end inside the time", "6.4", offset, data)
    year, month, day, hour, minute, second = data[offset : offset + 6]
    if not (year < 100 and 1 <= month <= 12 and hour < 24 and minute < 60 and second < 60):
        raise RemoteProtocolError("impossible time", "6.4", offset, data)
    length = _MONTH_DAYS[month - 1] + (1 if month == 2 and _leap(year) else 0)
    if not 1 <= day <= length:
        raise RemoteProtocolError("impossible day of the month", "6.4", offset, data)
    days = year * 365 + (year + 3) // 4 + sum(_MONTH_DAYS[: month - 1]) + day - 1
    if month > 2 and _leap(year):
        days += 1
    return (days + _EPOCH_2000_DAYS) * 86400 + hour * 3600 + minute * 60 + second - BEIJING_S


def build_packet(start: bytes, command: int, response: int, vin: bytes, encryption: int, unit: bytes) -> bytes:
    """Return the whole packet; `vin` is 17 bytes, `unit` at most 65,531; LocalProtocolError otherwise."""
    if len(vin) != VIN_SIZE:
        raise LocalProtocolError("VIN %r has %d characters, %d are needed" % (vin, len(vin), VIN_SIZE))
    size = len(unit)
    if size > MAX_DATA_UNIT:
        raise LocalProtocolError("data unit of %d bytes; at most %d fit" % (size, MAX_DATA_UNIT))
    body = bytes((command, response)) + vin + bytes((encryption, size >> 8, size & 0xFF)) + unit
    return start + body + bytes((bcc(body),))


class Packet:
    """One whole packet, split; RemoteProtocolError when `raw` is not exactly one packet. A wrong BCC only clears `bcc_ok`."""

    def __init__(self, raw: bytes) -> None:
        if len(raw) < HEADER_SIZE + 1:
            raise RemoteProtocolError("packet of %d bytes; the shortest has 25" % len(raw), "6.2", len(raw))
        self.start = bytes(raw[:2])
        if self.start not in _MARKS:
            raise RemoteProtocolError("no start mark ## or $$", "6.2", 0, raw)
        size = unpack_from(">H", raw, 22)[0]
        if size > MAX_DATA_UNIT:
            raise RemoteProtocolError("data unit length %d above %d" % (size, MAX_DATA_UNIT), "6.2", 22, raw)
        if len(raw) != size + HEADER_SIZE + 1:
            raise RemoteProtocolError(
                "length says %d bytes in all, there are %d" % (size + HEADER_SIZE + 1, len(raw)), "6.2", 22, raw
            )
        self.raw = bytes(raw)
        self.command = raw[2]
        self.response = raw[3]
        self.vin = bytes(raw[4:21])
        self.encryption = raw[21]
        self.unit = bytes(raw[HEADER_SIZE:-1])
        self.bcc = raw[-1]
        self.bcc_ok = bcc(raw[2:-1]) == self.bcc


class PacketReader:
    """Finds packets in a byte stream cut anywhere; noise is skipped and counted, memory stays bounded.

    A start mark is believed when its response flag and encryption are known ones, its command is one of `commands` (all, if
    None) and its length is not above `max_unit`: a stray mark would otherwise make later bytes wait for a packet that never
    ends. A candidate that is not believed, or whose BCC is wrong, costs one byte; the search goes on behind it (6.2).
    """

    def __init__(self, max_unit: int = MAX_DATA_UNIT, commands: "bytes | None" = None) -> None:
        self._buffer = b""
        self._max_unit = max_unit
        self._commands = commands
        self.noise_bytes = 0
        self.bad_bcc = 0

    def feed(self, data: bytes) -> "list[bytes]":
        """Take any number of bytes, return each whole packet with a good BCC; keep the rest."""
        buffer = self._buffer + data if self._buffer else bytes(data)
        packets = []
        at = 0
        end = len(buffer)
        nearest = [-1] * len(_MARKS)
        while True:
            found = _next_start(buffer, at, nearest)
            self.noise_bytes += found - at
            at = found
            if end - at < HEADER_SIZE + 1:
                break
            size = (buffer[at + 22] << 8) | buffer[at + 23]
            if size <= self._max_unit and self._plausible(buffer, at):
                stop = at + HEADER_SIZE + size + 1
                if stop > end:
                    break
                if bcc(buffer[at + 2 : stop - 1]) == buffer[stop - 1]:
                    packets.append(buffer[at:stop])
                    at = stop
                    continue
                self.bad_bcc += 1
            self.noise_bytes += 1
            at += 1
        self._buffer = buffer[at:]
        return packets

    def _plausible(self, buffer: bytes, at: int) -> bool:
        if buffer[at + 3] not in RESPONSES or buffer[at + 21] not in ENCRYPTIONS:
            return False
        return self._commands is None or buffer[at + 2] in self._commands

    def pending(self) -> int:
        """How many bytes wait for the rest of their packet."""
        return len(self._buffer)


def _next_start(buffer: bytes, at: int, nearest: "list[int]") -> int:
    """Where the next start mark begins; the last byte is kept when it may be half of one.

    `nearest` remembers where each mark was last found: one that is rare must not be searched for again behind each byte.
    """
    end = len(buffer)
    for number, start in enumerate(_MARKS):
        if nearest[number] < at:
            found = buffer.find(start, at)
            nearest[number] = found if found >= 0 else end
    best = min(nearest)
    if best == end and best > at and buffer[-1:] in (b"#", b"$"):
        best -= 1
    return best
