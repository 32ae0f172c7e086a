"""Packets out of whatever people paste: hexadecimal in any dress, or raw bytes.

Spaces, tabs, commas, colons, semicolons, brackets, quotes, `0x` and `\\x` are dress. Several lines are joined until a packet is
whole; a line may hold several packets.
"""

import codecs
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

from agent.core.packet import HEADER_SIZE, STARTS, bcc
from agent.errors import ConfigError

_SINGLE_DIGIT = re.compile(r"0x([0-9A-F])(?![0-9A-F])", re.IGNORECASE)
_DRESS = re.compile(r"0x|\\x|[\s,:;\[\](){}<>'\"|_-]", re.IGNORECASE)
_NOT_HEX = re.compile(r"[^0-9A-Fa-f]")
_MARKS = tuple(start.hex() for start in STARTS.values())
_BEFORE_DATA = HEADER_SIZE + 1  # bytes of a packet beside its data unit


@dataclass(frozen=True, slots=True)
class Piece:
    """The bytes of one packet, or of what should have been one; or no bytes and the reason in `fault`. `place`: for people."""

    data: bytes
    place: str
    fault: str = ""


def pieces_of_arguments(arguments: list[str]) -> Iterator[Piece]:
    """Packets of files ("-": standard input) and of hexadecimal arguments; of standard input when there are none."""
    for argument in arguments:
        if argument != "-" and not is_file(argument) and _NOT_HEX.search(_undress(argument)):
            raise ConfigError(argument, ["no such file, and not hexadecimal"])
    typed: list[str] = []
    for argument in arguments or ["-"]:
        if argument != "-" and not is_file(argument):
            typed.append(argument)
            continue
        yield from pieces_of_lines(typed, "argument ")
        typed = []
        if argument == "-":
            yield from pieces_of_stream(sys.stdin.buffer, "line ")  # type: ignore[arg-type]
        else:
            with Path(argument).open("rb") as stream:
                yield from pieces_of_stream(stream, f"{argument}:")
    yield from pieces_of_lines(typed, "argument ")


def is_file(argument: str) -> bool:
    """Whether an argument names something to read: a file or a pipe. Hexadecimal may be too long for a name."""
    return os.path.exists(argument) and not os.path.isdir(argument)


def pieces_of_stream(stream: BufferedReader, place: str) -> Iterator[Piece]:
    """Packets of a stream of text or of raw bytes: a packet holds control characters, text does not."""
    head = stream.peek()
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return pieces_of_lines(stream.read().decode("utf-16", "replace").splitlines(), place)
    if re.search(rb"[\x00-\x08\x0e-\x1f]", head):
        return pieces_of_bytes(stream.read(), place.rstrip(":"))
    return pieces_of_lines((line.decode("utf-8-sig", "replace") for line in stream), place)


def pieces_of_bytes(data: bytes, place: str) -> Iterator[Piece]:
    """Packets in raw bytes, and what stands between them."""
    at = 0
    while at < len(data):
        size = _good_packet(data, at)
        end = at + size if size else _next_good(data, at + 1)
        yield Piece(data[at:end], f"{place} offset {at}")
        at = end


def pieces_of_lines(lines: Iterable[str], place: str) -> Iterator[Piece]:
    """Packets in lines of hexadecimal text, each as soon as it is whole."""
    joined = _Joined()
    for number, line in enumerate(lines, 1):
        digits = _undress(line)
        here = f"{place}{number}"
        wrong = _NOT_HEX.search(digits)
        if wrong is not None:
            yield from joined.flush()
            yield Piece(b"", here, f"{wrong.group()!r} in {line.strip()[:40]!r} is not hexadecimal")
            continue
        if not digits:
            continue
        if _good_packet(_bytes(digits), 0):
            yield from joined.flush()  # this line is whole by itself: what waits was cut short
        joined.parts.append((here, digits))
        yield from joined.take()
    yield from joined.flush()


def _undress(line: str) -> str:
    return _DRESS.sub("", _SINGLE_DIGIT.sub(r"0\1", line))


def _bytes(digits: str) -> bytes:
    return bytes.fromhex(digits[: len(digits) // 2 * 2])


def _packet_size(data: bytes, at: int) -> int | None:
    """Bytes of the packet that begins at `at`; None where none does or its length is not there yet."""
    if data[at : at + 2] not in STARTS.values() or len(data) < at + HEADER_SIZE:
        return None
    return _BEFORE_DATA + int.from_bytes(data[at + HEADER_SIZE - 2 : at + HEADER_SIZE], "big")


def _good_packet(data: bytes, at: int) -> int:
    """Bytes of the whole packet with a right check code at `at`, 0 where there is none."""
    size = _packet_size(data, at)
    if size is None or at + size > len(data) or bcc(data[at + 2 : at + size - 1]) != data[at + size - 1]:
        return 0
    return size


def _next_good(data: bytes, at: int) -> int:
    """Where the next packet with a right check code begins, else the end."""
    for found in re.finditer(rb"(?=##|\$\$)", data[at:]):
        if _good_packet(data, at + found.start()):
            return at + found.start()
    return len(data)


@dataclass(slots=True)
class _Joined:
    """Lines of digits that wait to become a packet, each with its place."""

    parts: list[tuple[str, str]] = field(default_factory=list)

    def take(self) -> Iterator[Piece]:
        """Take packets from the front while there are whole ones, and what can never become one."""
        while self.parts:
            digits = "".join(part for _, part in self.parts)
            data = _bytes(digits)
            size = _packet_size(data, 0)
            if size is None and any(mark.startswith(digits[: len(mark)].lower()) for mark in _MARKS):
                return
            if size is not None and len(data) < size:
                return
            restart = self._later_start()
            if size is not None and not _good_packet(data, 0) and restart:
                yield self._cut(restart)  # it swallowed the beginning of another packet
            elif size is not None and digits[2 * size :].lower().startswith(_MARKS):
                yield Piece(data[:size], self.parts[0][0])
                self.parts = [(self.parts[-1][0], digits[2 * size :])]
            else:
                yield self._cut(len(self.parts))

    def flush(self) -> Iterator[Piece]:
        """Take everything."""
        yield from self.take()
        while self.parts:
            yield self._cut(self._later_start() or len(self.parts))
            yield from self.take()

    def _later_start(self) -> int:
        """The first part behind the first that begins with a start mark, 0 if none."""
        return next((n for n, (_, part) in enumerate(self.parts) if n and part.lower().startswith(_MARKS)), 0)

    def _cut(self, count: int) -> Piece:
        place = self.parts[0][0]
        digits = "".join(part for _, part in self.parts[:count])
        del self.parts[:count]
        if len(digits) % 2:
            return Piece(b"", place, f"{len(digits)} hexadecimal digits; an even number is needed")
        return Piece(_bytes(digits), place)
