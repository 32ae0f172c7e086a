"""Line parsers of the recordings that are read: candump, SavvyCAN's GVRET CSV, and ASC through python-can.

A parser turns a block of lines into frames ``(t_us, channel, can_id, data)`` and counts everything that is not one.
Damaged lines are counted, never raised. Stamps leave a parser in order: one that lies before its predecessor is held at
the predecessor's time and counted.
"""

import logging
import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Container, Iterator
from typing import TYPE_CHECKING, TextIO, cast

if TYPE_CHECKING:
    import can

Frame = tuple[int, str, int, bytes]

EXTENDED = 0x80000000  # bit 31 of can_id, as in a DBC file
MAX_STANDARD_ID = 0x7FF
MAX_EXTENDED_ID = 0x1FFFFFFF
CANDUMP_ERROR_FLAG = 0x20000000  # CAN_ERR_FLAG of linux/can.h, which candump writes as part of the identifier
MAX_CLASSIC = 8  # bytes
MAX_FD = 64  # bytes
S_TO_US = 1_000_000
RESTART_US = 60 * S_TO_US  # a step back beyond this is a clock that began anew, not two channels out of step
COUNTER_FRAMES = 100  # fewer frames say nothing about a clock
COUNTER_US = 10  # per frame; the shortest frame of a 1 Mbit/s bus takes 47 us
SHOWN_BAD_LINES = 3

# What stands in place of a can_id for a line that holds no frame to decode.
UNWANTED = -1
REMOTE = -2
ERROR = -3

log = logging.getLogger(__name__)


class LogCounts:
    """What a recording held so far, brought up to date after each block of lines.

    `frames` counts data frames, the `unwanted` among them; `first_us` is None and `last_us` 0 before the first frame.
    """

    def __init__(self) -> None:
        self.lines = 0
        self.frames = 0
        self.unwanted = 0
        self.remote_frames = 0
        self.error_frames = 0
        self.bad_lines = 0
        self.truncated = False
        self.first_us: int | None = None
        self.last_us = 0
        self.backwards = 0
        self.largest_step_back_us = 0
        self.restarts = 0
        self.shift_us = 0
        self.whole_seconds = True
        self.notes: list[str] = []

    @property
    def clock_notes(self) -> list[str]:
        """What is wrong with the recorder's clock, a line each; empty when nothing is."""
        notes = list(self.notes)
        span_us = 0 if self.first_us is None else self.last_us - self.first_us
        if self.frames >= COUNTER_FRAMES and span_us <= COUNTER_US * self.frames:
            notes.append(f"stamps are a line counter, not time: {self.frames} frames within {span_us} us")
        elif self.frames >= COUNTER_FRAMES and self.whole_seconds:
            notes.append("stamps are whole seconds: the order of frames is known, their time is not")
        if self.backwards:
            up_to_ms = self.largest_step_back_us / 1000
            notes.append(
                f"{self.backwards} stamps lie before their predecessor, by up to {up_to_ms:g} ms: held at its time"
            )
        if self.restarts:
            notes.append(f"the clock began anew {self.restarts} times: time goes on from the last stamp before")
        return notes

    def put_in_order(self, t_us: int, last_us: int) -> int:
        """The time to use for a stamp that lies before the last one."""
        back_us = last_us - t_us
        if back_us > RESTART_US:
            self.restarts += 1
            self.shift_us += back_us
        else:
            self.backwards += 1
            self.largest_step_back_us = max(self.largest_step_back_us, back_us)
        return last_us


class Parser(ABC):
    """One format; `counts` is brought up to date block by block.

    `wanted` says which identifiers are worth decoding (asked once per identifier), None all; others are only counted.
    """

    name = ""
    LINE: re.Pattern[str]  # what only a recording of this format holds

    def __init__(self, path: str, counts: LogCounts, wanted: Container[int] | None) -> None:
        self.path = path
        self.counts = counts
        self.wanted = wanted
        self.ids: dict[str, int] = {}  # text of an identifier -> can_id, UNWANTED or ERROR

    @abstractmethod
    def rows(self, lines: list[str]) -> Iterator[Frame]:
        """Each line's frame with its stamp as it is written; damaged lines go to `bad_line`."""

    def frames_of(self, lines: list[str]) -> list[Frame]:
        """The wanted frames of a block of whole lines, in the order of their stamps."""
        counts = self.counts
        last_us, shift_us, whole, unwanted = counts.last_us, counts.shift_us, counts.whole_seconds, 0
        frames: list[Frame] = []
        for t_us, channel, can_id, data in self.rows(lines):
            if can_id < UNWANTED:
                self._skip(can_id)
                continue
            t_us += shift_us
            if counts.first_us is None:
                counts.first_us = last_us = t_us
            elif t_us < last_us:
                t_us = counts.put_in_order(t_us, last_us)
                shift_us = counts.shift_us
            last_us = t_us
            if whole and t_us % S_TO_US:
                whole = False
            if can_id == UNWANTED:
                unwanted += 1
            else:
                frames.append((t_us, channel, can_id, data))
        counts.last_us, counts.whole_seconds = last_us, whole
        counts.lines += len(lines)
        counts.unwanted += unwanted
        counts.frames += len(frames) + unwanted
        return frames

    def _skip(self, kind: int) -> None:
        if kind == REMOTE:
            self.counts.remote_frames += 1
        else:
            self.counts.error_frames += 1

    def known_id(self, number: int, extended: bool) -> int:
        """The can_id, UNWANTED, or ValueError."""
        if number > (MAX_EXTENDED_ID if extended else MAX_STANDARD_ID):
            raise ValueError(f"identifier {number:X} is too large")
        can_id = number | EXTENDED if extended else number
        return can_id if self.wanted is None or can_id in self.wanted else UNWANTED

    def bad_line(self, index: int, line: str, error: Exception) -> None:
        """Count a damaged line. A last line without its end is a recorder that was switched off: normal."""
        if not line.strip():
            return
        if not line.endswith("\n"):
            self.counts.truncated = True
            return
        self.counts.bad_lines += 1
        if self.counts.bad_lines <= SHOWN_BAD_LINES:
            number = self.counts.lines + index + 1
            log.warning("damaged line file=%s line=%d reason=%s", self.path, number, error)


class Candump(Parser):
    """``(1608041699.326500) can1 7BB#0102``; ``##`` is CAN FD, ``#R`` a remote frame, ``R`` or ``T`` may end the line.

    Ours because python-can's CanutilsLogReader takes 3.5 times as long (3.5 against 1.0 us a frame in one run, every
    frame wanted), half of what replaying a frame may cost altogether, and ends at the first damaged line.
    """

    name = "candump"
    LINE = re.compile(r"\(-?\d+\.\d+\)\s+\S+\s+[0-9A-F]{3,8}#", re.ASCII | re.IGNORECASE)

    def rows(self, lines: list[str]) -> Iterator[Frame]:
        ids, fromhex = self.ids, bytes.fromhex
        for index, line in enumerate(lines):
            try:
                parts = line.split()
                token, _, text = parts[2].partition("#")
                can_id = ids.get(token)
                if can_id is None:
                    can_id = ids[token] = self._id_of(token)
                stamp = parts[0]
                t_us = int(stamp[1:-8] + stamp[-7:-1]) if stamp[-8] == "." else _microseconds(stamp[1:-1])
                data = b""
                if can_id >= 0:
                    try:
                        data = fromhex(text)
                    except ValueError:
                        if text[:1] in "Rr":
                            can_id = REMOTE
                        else:
                            data = self._unusual_data(text)
                    if len(data) > MAX_CLASSIC and text[0] != "#":
                        raise ValueError(f"{len(data)} bytes in a classic frame")
            except (ValueError, IndexError) as error:
                self.bad_line(index, line, error)
                continue
            yield t_us, parts[1], can_id, data

    def _id_of(self, token: str) -> int:
        number = int(token, 16)
        if len(token) == 3:
            return self.known_id(number, extended=False)
        if len(token) != 8:
            raise ValueError(f"identifier {token} has neither 3 nor 8 digits")
        return ERROR if number & CANDUMP_ERROR_FLAG else self.known_id(number, extended=True)

    @staticmethod
    def _unusual_data(text: str) -> bytes:
        """Data of a CAN FD frame (after the second # and a digit of flags), or with a raw length code behind ``_``."""
        if text[:1] != "#":
            return bytes.fromhex(text.partition("_")[0])
        int(text[1], 16)
        data = bytes.fromhex(text[2:])
        if len(data) > MAX_FD:
            raise ValueError(f"{len(data)} bytes in a CAN FD frame")
        return data


def _microseconds(text: str) -> int:
    """Seconds with any number of decimals, such as the nanoseconds of hardware stamps."""
    seconds, _, decimals = text.partition(".")
    return int(seconds + (decimals + "000000")[:6])


class Gvret(Parser):
    """SavvyCAN's "GVRET" CSV: ``Time Stamp,ID,Extended[,Dir],Bus,LEN,D1,...``; stamps in us, identifiers in hex.

    Only LEN bytes count: the columns of short frames are padded with 00.
    """

    name = "GVRET CSV"
    LINE = re.compile(
        r".{,3}time stamp,id,extended,(?P<dir>dir,)?bus,len,d1\b", re.IGNORECASE
    )  # up to 3: byte order mark
    EXTENDED_WORDS = {"false": False, "0": False, "true": True, "1": True}  # noqa: RUF012 - a table

    def __init__(self, path: str, counts: LogCounts, wanted: Container[int] | None) -> None:
        super().__init__(path, counts, wanted)
        self.length_column = 4

    def rows(self, lines: list[str]) -> Iterator[Frame]:
        ids, fromhex, length_column = self.ids, bytes.fromhex, self.length_column
        for index, line in enumerate(lines):
            try:
                parts = line.split(",", length_column + 1)
                token = parts[1] + parts[2]
                can_id = ids.get(token)
                if can_id is None:
                    if header := self.LINE.match(line):
                        length_column = self.length_column = 5 if header["dir"] else 4
                        continue
                    can_id = ids[token] = self.known_id(int(parts[1], 16), self.EXTENDED_WORDS[parts[2].lower()])
                t_us = int(parts[0])
                channel = parts[length_column - 1]
                data = b""
                if can_id >= 0 and (length := int(parts[length_column])):
                    columns = parts[length_column + 1]
                    try:
                        data = fromhex(columns[: 3 * length].replace(",", " "))
                    except ValueError:
                        data = bytes([int(byte, 16) for byte in columns.split(",")[:length]])
                    if len(data) != length or length > MAX_FD:
                        raise ValueError(f"{len(data)} bytes where LEN says {length}")
            except (ValueError, IndexError, KeyError) as error:
                self.bad_line(index, line, error)
                continue
            yield t_us, channel, can_id, data


class Asc(Parser):
    """Vector's ASC, by python-can's ASCReader. Channels as in the file ("1", "2"; "" where it has none).

    The date of the header is local time there, and is taken as local time here. Lines that hold no frame (statistics,
    events) are passed over, as the reader does.
    """

    name = "ASC"
    DATE = re.compile(r"\s*(date|begin\s+triggerblock)\s", re.IGNORECASE)
    HEADER = re.compile(r"\s*(date\s+\w+\s|base\s+(hex|dec)\b|//|(no\s+)?internal\s+events\s+logged)", re.IGNORECASE)
    LINE = re.compile(
        r"\s*(date\s+\w{2,4}\s+\w{3}|base\s+(hex|dec)\b|\d+\.\d+\s+(CANFD|\d+\s+\w+\s+(Rx|Tx))\s)", re.IGNORECASE
    )
    RELATIVE = re.compile(r"\s*base\s+\w+\s+timestamps\s+relative", re.IGNORECASE)
    STAMP = re.compile(r"\s*(\d+\.\d+)", re.ASCII)

    def __init__(self, path: str, counts: LogCounts, wanted: Container[int] | None) -> None:
        from can.io.asc import ASCReader

        super().__init__(path, counts, wanted)
        self._fed = _Fed()
        self._reader = ASCReader(cast("TextIO", self._fed), relative_timestamp=False)
        self._in_header = True
        self._sum_us: int | None = None  # of the stamps so far, where each counts from the line before

    def rows(self, lines: list[str]) -> Iterator[Frame]:
        fed = self._fed
        fed.lines.extend((index, self._absolute(line)) for index, line in enumerate(lines))
        while fed.lines:
            self._end_header()
            try:
                for message in self._reader:
                    yield self._frame(message)
            except (ValueError, IndexError) as error:
                if self.DATE.match(fed.line):
                    # A month in a language that the reader does not know.
                    self._reader.relative_timestamp = True
                    self.counts.notes.append(f"date not understood, time counts from 0: {fed.line.strip()}")
                else:
                    self.bad_line(fed.index, fed.line, error)

    def _end_header(self) -> None:
        """Put an empty line where the header ends: the reader drops the first line that it does not know as one of it.

        It looks for a header each time it is asked to go on, also after the first block and after a damaged line.
        """
        lines = self._fed.lines
        header_length = 0
        if self._in_header:
            header_length = next((at for at, (_, line) in enumerate(lines) if not self.HEADER.match(line)), len(lines))
            self._in_header = False
        lines.insert(header_length, (lines[0][0], "\n"))

    def _absolute(self, line: str) -> str:
        """The line with its stamp counted from the start of the file."""
        if self.RELATIVE.match(line):
            self._sum_us = 0
        elif self._sum_us is not None and (stamp := self.STAMP.match(line)):
            self._sum_us += _microseconds(stamp[1])
            return f"{self._sum_us // S_TO_US}.{self._sum_us % S_TO_US:06d}{line[stamp.end() :]}"
        return line

    def _frame(self, message: "can.Message") -> Frame:
        t_us = round(message.timestamp * S_TO_US)
        if message.is_error_frame:
            return t_us, "", ERROR, b""
        if message.is_remote_frame:
            return t_us, "", REMOTE, b""
        if len(message.data) < (message.dlc if message.is_fd else min(message.dlc, MAX_CLASSIC)):
            raise ValueError(f"{len(message.data)} bytes where the length code says {message.dlc}")
        number = (
            message.channel if isinstance(message.channel, int) else -1
        )  # the reader counts from 0, the file from 1
        channel = "" if number < 0 else str(number + 1)
        return t_us, channel, self.known_id(message.arbitration_id, message.is_extended_id), bytes(message.data)


class _Fed:
    """What the ASC reader takes for its file: (index, line) pairs, added block by block."""

    def __init__(self) -> None:
        self.lines: deque[tuple[int, str]] = deque()
        self.index = 0
        self.line = ""

    def __iter__(self) -> "_Fed":
        return self

    def __next__(self) -> str:
        if not self.lines:
            raise StopIteration
        self.index, self.line = self.lines.popleft()
        return self.line

    def close(self) -> None:
        """The reader closes its file at the end of each block."""
