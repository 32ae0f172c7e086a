"""Recorded CAN traffic as a stream of frames: candump ``.log``, ASC, SavvyCAN's GVRET CSV, CRTD, PEAK's TRC, BLF, MF4.

The format is told from the contents; each may be gzipped. A recording of a live bus is expected to be imperfect: damaged
places are counted and the first few named in the log, a cut end is normal, a clock that cannot be right is named in
`clock_notes`.
"""

import gzip
import re
import zlib
from collections.abc import Collection, Container, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from agent.canlog.asc import Asc
from agent.canlog.blf import Blf
from agent.canlog.formats import Candump, Crtd, Gvret
from agent.canlog.mf4 import Mf4
from agent.canlog.parser import BLOCK, S_TO_US, SHOWN_BAD_LINES, Frame, LogCounts, Parser
from agent.canlog.trc import Trc
from agent.errors import ConfigError
from agent.tomlfile import open_regular

ABSOLUTE_US = 10**9 * S_TO_US  # 2001; a recorder's own uptime stays below it for 31 years
READ_HERE = "read here: candump -L or -l, ASC, SavvyCAN GVRET CSV, CRTD, PEAK TRC, BLF, MF4"
GZIP_MAGIC = b"\x1f\x8b"
FORMATS: list[type[Parser]] = [Blf, Mf4, Candump, Gvret, Asc, Crtd, Trc]
NOT_READ = [
    (re.compile(rb"MDF "), "an MDF recording older than version 4"),
    (
        re.compile(rb"\s*(\(\S+\)\s+)?\w+\s+[0-9A-F]{3,8}\s+\[\d+\]"),
        "candump's screen output (record it with -L or -l)",
    ),
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
        self._file: BinaryIO | None = None
        self._running: Parser | None = None
        self._parser = self._recognise()
        self.format = self._parser.name
        trial = LogCounts()
        trial.bad_lines = SHOWN_BAD_LINES  # they are named when the recording is read in earnest
        with self._open() as file, closing(self._parser(self.path, trial, ()).blocks(file)) as blocks:
            next(blocks, None)
        self.truncated = False
        first_us = trial.first_us or 0
        self.absolute = first_us >= ABSOLUTE_US
        self._base_us = first_us if self.absolute else 0

    def __iter__(self) -> Iterator[Frame]:
        LogCounts.__init__(self)
        parser = self._running = self._parser(self.path, self, self._wanted if self._frame_us is None else None)
        with self._open() as file, closing(parser.blocks(file)) as blocks:
            for frames in blocks:
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
        if self._running is not None and self._running.share is not None:
            return self._running.share
        return self._file.tell() / max(1, Path(self.path).stat().st_size)

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        """The contents, unpacked where they are packed; reading them ends quietly where a compressed file was cut."""
        try:
            with open_regular(Path(self.path)) as self._file:
                zipped = self._file.read(2) == GZIP_MAGIC
                self._file.seek(0)
                yield cast("BinaryIO", gzip.GzipFile(fileobj=self._file)) if zipped else self._file
        except (EOFError, zlib.error, gzip.BadGzipFile):
            self.truncated = True  # a compressed recording that was not closed
        except OSError as error:
            raise ConfigError(self.path, [f"cannot be read: {error.strerror}"]) from error

    def _recognise(self) -> type[Parser]:
        head = b""
        with self._open() as file, suppress(EOFError, zlib.error, gzip.BadGzipFile):
            while len(head) < BLOCK and (more := file.read(4096)):
                head += more
        for parser in FORMATS:
            if parser.recognises(head):
                return parser
        first = next((line for line in head.splitlines() if line.strip()), b"")
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
