"""Vector's ASC recordings, through python-can."""

import re
from collections import deque
from collections.abc import Container, Iterator
from typing import TYPE_CHECKING, TextIO, cast

from agent.canlog.parser import ERROR, MAX_CLASSIC, REMOTE, S_TO_US, Frame, LogCounts, TextParser, microseconds

if TYPE_CHECKING:
    from agent.canlibrary import can


class Asc(TextParser):
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
            self._sum_us += microseconds(stamp[1])
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
