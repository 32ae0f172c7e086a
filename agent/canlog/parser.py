"""What the readers of all forms of recordings share: the counts, the order of stamps, the wanted identifiers.

A parser turns a recording into frames ``(t_us, channel, can_id, data)`` and counts everything that is not one. Damage is
counted, never raised. Stamps leave a parser in order: one that lies before its predecessor is held at the predecessor's
time and counted.
"""

import io
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Container, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

from agent.core.frames import EXTENDED

Frame = tuple[int, str, int, bytes]

MAX_STANDARD_ID = 0x7FF
MAX_EXTENDED_ID = 0x1FFFFFFF
MAX_CLASSIC = 8  # bytes
MAX_FD = 64  # bytes
S_TO_US = 1_000_000
RESTART_US = 60 * S_TO_US  # a step back beyond this is a clock that began anew, not two channels out of step
JUMP_US = 31 * 24 * 3600 * S_TO_US  # a step ahead beyond this is a clock that was set, or a damaged stamp
COUNTER_FRAMES = 100  # fewer frames say nothing about a clock
COUNTER_US = 10  # per frame; the shortest frame of a 1 Mbit/s bus takes 47 us
SHOWN_BAD_LINES = 3
MOST_LINE = 1 << 18  # bytes
BLOCK = 1 << 16  # characters parsed at a time

# What stands in place of a can_id for a line that holds no frame to decode.
UNWANTED = -1
REMOTE = -2
ERROR = -3

log = logging.getLogger(__name__)


class LogCounts:
    """What a recording held so far, brought up to date block by block.

    `frames` counts data frames, the `unwanted` among them; `bad_lines` what is damaged, in a binary recording objects of
    it; `first_us` is None and `last_us` 0 before the first frame.
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
            notes.append(
                f"the clock was set or began anew {self.restarts} times: time goes on from the last stamp before"
            )
        return notes

    def put_in_order(self, t_us: int, last_us: int) -> int:
        """The time to use for a stamp that lies before the last one, or too far behind it."""
        back_us = last_us - t_us
        if not 0 <= back_us <= RESTART_US:
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
    share: float | None = None  # of the recording read so far, where the place in the file does not tell it

    def __init__(self, path: str, counts: LogCounts, wanted: Container[int] | None) -> None:
        self.path = path
        self.counts = counts
        self.wanted = wanted

    @classmethod
    @abstractmethod
    def recognises(cls, head: bytes) -> bool:
        """Whether a file that begins like this is of the format."""

    @abstractmethod
    def blocks(self, file: BinaryIO) -> Generator[list[Frame], None, None]:
        """The wanted frames of a file in the order of their stamps, a few thousand at a time; the counts go along."""

    def in_order(self, rows: Iterable[Frame]) -> list[Frame]:
        """Count frames whose stamps are as recorded; return the wanted ones with stamps that never go back."""
        counts = self.counts
        last_us, shift_us, whole, unwanted = counts.last_us, counts.shift_us, counts.whole_seconds, 0
        frames: list[Frame] = []
        for t_us, channel, can_id, data in rows:
            if can_id < UNWANTED:
                self._skip(can_id)
                continue
            t_us += shift_us
            if counts.first_us is None:
                counts.first_us = last_us = t_us
            elif not last_us <= t_us <= last_us + JUMP_US:
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

    def damage(self, place: str, error: object) -> None:
        """Count one damaged place; the first few are named in the log."""
        self.counts.bad_lines += 1
        if self.counts.bad_lines <= SHOWN_BAD_LINES:
            log.warning("damaged %s file=%s reason=%s", place, self.path, error)


class TextParser(Parser):
    """A format of one frame a line."""

    LINE: re.Pattern[str]  # what only a recording of this format holds

    def __init__(self, path: str, counts: LogCounts, wanted: Container[int] | None) -> None:
        super().__init__(path, counts, wanted)
        self.ids: dict[str, int] = {}  # text of an identifier -> can_id, UNWANTED or ERROR

    @classmethod
    def recognises(cls, head: bytes) -> bool:
        return any(cls.LINE.match(line) for line in head.decode("latin-1").splitlines())

    def blocks(self, file: BinaryIO) -> Generator[list[Frame], None, None]:
        # latin-1: every byte is a character, so that noise in a damaged file is a damaged line and nothing else
        bounded = io.BufferedReader(_BoundedLines(file), BLOCK)
        with io.TextIOWrapper(bounded, encoding="latin-1") as text:
            while lines := text.readlines(BLOCK):
                frames = self.in_order(self.rows(lines))
                self.counts.lines += len(lines)
                yield frames

    @abstractmethod
    def rows(self, lines: list[str]) -> Iterator[Frame]:
        """Each line's frame with its stamp as it is written; damaged lines go to `bad_line`."""

    def bad_line(self, index: int, line: str, error: Exception) -> None:
        """Count a damaged line. A last line without its end is a recorder that was switched off: normal."""
        if not line.strip():
            return
        if not line.endswith("\n"):
            self.counts.truncated = True
            return
        self.damage(f"line={self.counts.lines + index + 1}", error)


class _BoundedLines(io.RawIOBase):
    """A file whose lines end after `MOST_LINE` bytes at the latest: one without an end would fill the memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._length = 0  # bytes since the last end of a line

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer)
        if self._length >= MOST_LINE:
            view[:1] = b"\n"
            self._length = 0
            return 1
        data = self._file.read(len(view))
        view[: len(data)] = data
        end = max(data.rfind(b"\n"), data.rfind(b"\r"))
        self._length = len(data) - end - 1 if end >= 0 else self._length + len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def microseconds(text: str) -> int:
    """Seconds with any number of decimals, such as the nanoseconds of hardware stamps."""
    seconds, _, decimals = text.partition(".")
    return int(seconds + (decimals + "000000")[:6])
