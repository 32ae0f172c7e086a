"""Vector's BLF recordings: objects in compressed containers."""

import calendar
import zlib
from collections.abc import Container, Generator, Iterator
from struct import Struct, error
from typing import BinaryIO

from agent.canlog.parser import (
    ERROR,
    MAX_CLASSIC,
    MAX_FD,
    REMOTE,
    UNWANTED,
    Frame,
    LogCounts,
    Parser,
)
from agent.core.frames import EXTENDED

MAGIC = b"LOGG"
OBJECT = b"LOBJ"
FILE_HEADER = Struct(
    "<4sL8xQ16x8H"
)  # magic, header's size, file's size; start: year, month, weekday, day, h, min, s, ms
OBJECT_HEADER = Struct("<4sHHLL")  # magic, size of the whole header, its version, size of the object, type
CONTAINER_HEADER = Struct("<16xH14x")  # compression
STAMP = Struct("<16xL4xQ")  # from the object's start: unit, time since the file's start
MESSAGE = Struct("<HBBL8s")  # channel, flags, length code, identifier, data
MESSAGE_FD = Struct("<HBBL6xB5x64s")  # channel, flags, length code, identifier, valid bytes, data
MESSAGE_FD_64 = Struct(
    "<BBBxL4xL19xB4x"
)  # channel, length code, valid bytes, identifier, flags, end of data; data behind
IN_CONTAINER = 10
MESSAGES = (1, 86)
FD, FD_64 = 100, 101
ERRORS = (2, 73, 104)
FRAMES = frozenset((*MESSAGES, FD, FD_64, *ERRORS))
STORED, DEFLATED = 0, 2
TEN_US = 1  # unit of a stamp; else nanoseconds
REMOTE_FLAG = 0x80
REMOTE_FLAG_64 = 0x10
MAX_OBJECT = 1 << 24  # bytes; a larger size is damage
ALIGNMENT = 8  # bytes within which the next object begins
CHUNK = 1 << 16


class Blf(Parser):
    """Channels as in the file, which counts from 1. The start in the header is taken as UTC, as python-can does.

    Stamps have nanoseconds or 10 us since the start, which has milliseconds.

    Ours because python-can's BLFReader ends at the first damaged byte, whatever stands behind it, and takes half as
    long again (2.3 against 1.5 us a frame in one run).
    """

    name = "BLF"

    def __init__(self, path: str, counts: LogCounts, wanted: Container[int] | None) -> None:
        super().__init__(path, counts, wanted)
        self._ids: dict[int, int] = {}
        self._start_us = 0

    @classmethod
    def recognises(cls, head: bytes) -> bool:
        return head.startswith(MAGIC)

    def blocks(self, file: BinaryIO) -> Generator[list[Frame], None, None]:
        window = _Window(file)
        size = self._start(window)
        held = bytearray()  # an object that goes on in the next container
        needed, lost = 0, False
        for data in self._contents(window):
            if data is None:
                held.clear()
                needed, lost = 0, True
                continue
            if lost:  # it begins with the end of an object that went with the damage
                data = data[max(0, data.find(OBJECT)) :]
            lost = False
            held += data
            if len(held) < needed:
                continue
            rest, found = self._objects(bytes(held))
            held[:] = rest
            needed = OBJECT_HEADER.unpack_from(rest)[3] if len(rest) >= OBJECT_HEADER.size else 0
            yield self.in_order(found)
        # A recorder that was switched off has not come to write the size.
        if held or not size or window.at + len(window.data) < size:
            self.counts.truncated = True

    def _start(self, window: "_Window") -> int:
        """Read the file's header; return the size it gives for the file."""
        if not window.fill(FILE_HEADER.size):
            window.skip(len(window.data))
            return 0
        _, head, size, year, month, _, day, hour, minute, second, ms = FILE_HEADER.unpack_from(window.data)
        if 1970 <= year < 10_000 and 1 <= month <= 12 and 1 <= day <= 31:
            seconds = calendar.timegm((year, month, day, hour, minute, second))
            self._start_us = 1000 * (1000 * seconds + ms)
        head = max(FILE_HEADER.size, min(head, CHUNK))
        window.fill(head)
        window.skip(head)
        return int(size)

    def _contents(self, window: "_Window") -> Iterator[bytes | None]:
        """What the containers hold, None for what is damaged; a cut last one gives what is left of it."""
        named = False  # the damage that is being passed over
        while window.fill(OBJECT_HEADER.size):
            begin = window.data.find(OBJECT, 0, ALIGNMENT + len(OBJECT))
            if begin < 0:
                if not named:
                    self.damage(f"place at byte={window.at}", "no object begins here")
                    yield None
                named = True
                begin = window.data.find(OBJECT)
                window.skip(begin if begin > 0 else len(window.data) - len(OBJECT) + 1)
                continue
            window.skip(begin)
            if not window.fill(OBJECT_HEADER.size):
                break
            size, kind = OBJECT_HEADER.unpack_from(window.data)[3:]
            if kind == IN_CONTAINER and not window.fill(CONTAINER_HEADER.size):
                self.counts.truncated = True
                break
            named = not OBJECT_HEADER.size <= size <= MAX_OBJECT
            if named:
                self.damage(f"object at byte={window.at}", f"its size is {size}")
                yield None
                window.skip(len(OBJECT))
                continue
            whole = window.fill(size)
            if kind == IN_CONTAINER:
                try:
                    with memoryview(window.data) as view, view[:size] as container:
                        content, size, whole = _unpacked(container, whole)
                except (error, zlib.error, ValueError) as reason:
                    # Its size may be what is wrong: the next one is looked for, not jumped to.
                    self.damage(f"container at byte={window.at}", reason)
                    named = True
                    yield None
                    window.skip(len(OBJECT))
                    continue
            else:
                content = bytes(window.data[:size])
            self.counts.truncated |= not whole
            yield content
            window.skip(size)

    def _objects(self, data: bytes) -> tuple[bytes, list[Frame]]:
        """The frames of whole objects, and the bytes of one that goes on in the next container."""
        rows: list[Frame] = []
        at, end = 0, len(data)
        unpack = OBJECT_HEADER.unpack_from
        while end - at >= OBJECT_HEADER.size:
            if data[at : at + 4] != OBJECT:
                begin = data.find(OBJECT, at)
                if begin < 0 or begin > at + ALIGNMENT:
                    self.damage("object in a container", "none begins where the one before it ends")
                if begin < 0:
                    return b"", rows
                at = begin
                continue
            _, head, _, size, kind = unpack(data, at)
            if not OBJECT_HEADER.size <= size <= MAX_OBJECT or head > size:
                self.damage("object in a container", f"its size is {size}")
                at += len(OBJECT)
                continue
            if at + size > end:
                break
            if kind in FRAMES:
                try:
                    rows.append(self._frame(data, at, at + head, at + size, kind))
                except (error, ValueError) as reason:
                    self.damage(f"object of type {kind}", reason)
            at += size
        return data[at:], rows

    def _frame(self, data: bytes, at: int, body: int, end: int, kind: int) -> Frame:
        """The frame of an object at `at` whose own data begin at `body`."""
        if body < at + STAMP.size:
            raise ValueError(f"its header has {body - at} bytes")
        unit, count = STAMP.unpack_from(data, at)
        t_us = self._start_us + (10 * count if unit == TEN_US else (count + 500) // 1000)
        if kind in ERRORS:
            return t_us, "", ERROR, b""
        if kind in MESSAGES:
            channel, flags, length, number, content = MESSAGE.unpack_from(data, body)
            remote, length = flags & REMOTE_FLAG, min(length, MAX_CLASSIC)
        elif kind == FD:
            channel, flags, _, number, length, content = MESSAGE_FD.unpack_from(data, body)
            remote = flags & REMOTE_FLAG
        else:
            channel, _, length, number, flags, stop = MESSAGE_FD_64.unpack_from(data, body)
            remote, begin = flags & REMOTE_FLAG_64, body + MESSAGE_FD_64.size
            # Fewer bytes than are called valid: Vector's own programs take the rest as 00.
            content = data[begin : min(begin + length, at + stop if stop else end)].ljust(length, b"\0")
        if remote:
            return t_us, "", REMOTE, b""
        if length > MAX_FD:
            raise ValueError(f"{length} bytes in a CAN FD frame")
        can_id = self._ids.get(number)
        if can_id is None:
            can_id = self.known_id(number & ~EXTENDED, bool(number & EXTENDED))
            self._ids[number] = can_id
        return t_us, str(channel), can_id, b"" if can_id == UNWANTED else content[:length]


def _unpacked(container: memoryview, whole: bool) -> tuple[bytes, int, bool]:
    """What a container holds, its size, and whether it is complete; a cut one gives what is left of it.

    One whose checksum is wrong gives nothing (zlib.error): what stands behind the damage would look like frames.
    """
    (compression,) = CONTAINER_HEADER.unpack_from(container)
    if compression == STORED:
        return bytes(container[CONTAINER_HEADER.size :]), len(container), whole
    if compression != DEFLATED:
        raise ValueError(f"compression {compression} is not known")
    unpacker = zlib.decompressobj()
    with container[CONTAINER_HEADER.size :] as packed:
        content = unpacker.decompress(packed, MAX_OBJECT)
    if whole and not unpacker.eof:
        raise ValueError("its end is missing")
    behind = len(unpacker.unused_data)
    return content, len(container) - (behind if behind > ALIGNMENT else 0), whole or unpacker.eof


class _Window:
    """The part of a file that is being looked at; `at`: its first byte's place in the file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.data = bytearray()  # which gives up its first bytes without moving the others
        self.at = 0

    def fill(self, size: int) -> bool:
        """Have so many bytes; False at the end of the file."""
        while len(self.data) < size and (chunk := self._file.read(max(CHUNK, size - len(self.data)))):
            self.data += chunk
        return len(self.data) >= size

    def skip(self, size: int) -> None:
        self.at += min(size, len(self.data))
        del self.data[:size]
