"""Recorded CAN traffic as a stream of frames: candump ``.log``, ASC, and SavvyCAN's GVRET CSV, also gzipped.

The format is told from the contents. A recording of a live bus is expected to be imperfect: damaged lines are counted
and the first few named in the log, a cut last line is normal, a clock that cannot be right is named in `clock_notes`.
"""

import gzip
import io
import re
import zlib
from collections.abc import Collection, Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from agent.canlog_formats import S_TO_US, SHOWN_BAD_LINES, Asc, Candump, Frame, Gvret, LogCounts, Parser
from agent.errors import ConfigError

ABSOLUTE_US = 10**9 * S_TO_US  # 2001; a recorder's own uptime stays below it for 31 years
BLOCK = 1 << 16  # characters parsed at a time
READ_HERE = "read here: candump -L or -l, ASC, SavvyCAN GVRET CSV"
GZIP_MAGIC = b"\x1f\x8b"
FORMATS: list[type[Parser]] = [Candump, Gvret, Asc]
NOT_READ = [
    (re.compile(r"LOGG"), "a BLF recording"),
    (re.compile(r"MDF |UnFinMF"), "an MF4 recording"),
    (re.compile(r";\$FILEVERSION|;.*Start time", re.IGNORECASE), "a PEAK TRC recording"),
    (re.compile(r"\s*(\(\S+\)\s+)?\w+\s+[0-9A-F]{3,8}\s+\[\d+\]"), "candump's screen output (record it with -L or -l)"),
]


class MaskedIds:
    """A set of identifiers given as (can_id, mask) pairs, for `wanted`: J1939 leaves the source address open."""

    def __init__(self, pairs: Collection[tuple[int, int]]) -> None:
        self._pairs = [(can_id & mask, mask) for can_id, mask in pairs]

    def __contains__(self, can_id: object) -> bool:
        return isinstance(can_id, int) and any(can_id & mask == wanted for wanted, mask in self._pairs)


class LogReader(LogCounts):
    """Iterates over ``(t_us, channel, can_id, data)``, from the beginning each time; counts are of the last iteration.

    t_us: Unix microseconds if the recording is `absolute`, else as its recorder counted. channel: as written in the
    file, "" where the format has none. can_id: bit 31 set when extended. Remote and error frames are only counted.
    """

    def __init__(self, path: str | Path, frame_ms: int | None, wanted: Container[int] | None) -> None:
        super().__init__()
        self.path = str(path)
        if frame_ms is not None and frame_ms < 1:
            raise ConfigError(self.path, [f"frame_ms {frame_ms} is below 1"])
        self._frame_us = None if frame_ms is None else frame_ms * 1000
        self._wanted = wanted
        self._file: io.BufferedReader | None = None
        with self._open() as file:
            head = self._block(file)
        self._parser = self._recognise(head)
        self.format = self._parser.name
        trial = LogCounts()
        trial.bad_lines = SHOWN_BAD_LINES  # they are named when the lines are read in earnest
        self._parser(self.path, trial, ()).frames_of(head)
        first_us = trial.first_us or 0
        self.absolute = first_us >= ABSOLUTE_US
        self._base_us = first_us if self.absolute else 0

    def __iter__(self) -> Iterator[Frame]:
        LogCounts.__init__(self)
        parser = self._parser(self.path, self, self._wanted if self._frame_us is None else None)
        with self._open() as file:
            while lines := self._block(file):
                frames = parser.frames_of(lines)
                yield from frames if self._frame_us is None else self._restamped(frames, self._frame_us)

    @property
    def start_us(self) -> int:
        """Time of the first frame, wanted or not; 0 without frames."""
        return self.first_us or 0 if self._frame_us is None else self._base_us

    @property
    def end_us(self) -> int:
        """Time of the last frame so far, wanted or not."""
        return self.last_us if self._frame_us is None else self._base_us + max(0, self.frames - 1) * self._frame_us

    @property
    def progress(self) -> float:
        """How much of the file the running iteration has taken, 0 to 1."""
        if self._file is None or self._file.closed:
            return 1.0
        return self._file.tell() / max(1, Path(self.path).stat().st_size)

    @contextmanager
    def _open(self) -> Iterator[TextIO]:
        try:
            self._file = Path(self.path).open("rb")  # noqa: SIM115 - closed below
        except OSError as error:
            raise ConfigError(self.path, [f"cannot be read: {error.strerror}"]) from error
        with self._file as raw:
            zipped = raw.peek(2)[:2] == GZIP_MAGIC
            stream = gzip.GzipFile(fileobj=raw) if zipped else raw
            # latin-1: every byte is a character, so that noise in a damaged file is a damaged line and nothing else
            with io.TextIOWrapper(cast("BinaryIO", stream), encoding="latin-1") as file:
                yield file

    def _block(self, file: TextIO) -> list[str]:
        """About 64 KiB of whole lines."""
        try:
            return file.readlines(BLOCK)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            self.truncated = True  # a compressed recording that was not closed
            return []
        except OSError as error:
            raise ConfigError(self.path, [f"cannot be read: {error.strerror}"]) from error

    def _recognise(self, head: list[str]) -> type[Parser]:
        for parser in FORMATS:
            if any(parser.LINE.match(line) for line in head):
                return parser
        first = next((line for line in head if line.strip()), "")
        if not first:
            raise ConfigError(self.path, ["holds no line"])
        found = next((name for pattern, name in NOT_READ if pattern.match(first)), "not a recording of a known format")
        raise ConfigError(self.path, [f"{found}; {READ_HERE}"])

    def _restamped(self, frames: list[Frame], frame_us: int) -> Iterator[Frame]:
        """The wanted frames with a fixed time from each to the next, unwanted ones included."""
        t_us = self._base_us + (self.frames - len(frames)) * frame_us
        for _, channel, can_id, data in frames:
            if self._wanted is None or can_id in self._wanted:
                yield t_us, channel, can_id, data
            else:
                self.unwanted += 1
            t_us += frame_us


def read_log(path: str | Path, *, frame_ms: int | None = None, wanted: Container[int] | None = None) -> LogReader:
    """Open a recording; ConfigError names the file and what can be read when it is something else.

    `frame_ms` replaces the stamps by that many milliseconds from frame to frame. `wanted` (can_ids, or MaskedIds)
    leaves frames with other identifiers undecoded: they are counted in `frames` and `unwanted`.
    """
    return LogReader(path, frame_ms, wanted)
