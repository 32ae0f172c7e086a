"""ASAM MDF 4 recordings (MF4) of bus traffic, through asammdf."""

import contextlib
import heapq
import io
import itertools
import logging
import traceback
from collections.abc import Container, Generator, Iterator
from typing import TYPE_CHECKING, BinaryIO, cast

from agent.canlog.parser import ERROR, MAX_FD, REMOTE, S_TO_US, Frame, LogCounts, Parser
from agent.errors import ConfigError

if TYPE_CHECKING:
    from asammdf import MDF, Signal
    from asammdf.blocks.mdf_v4 import Group

CHUNK = 4096  # records taken at a time
FINISHED, UNFINISHED = b"MDF     4", b"UnFinMF 4"
HEADER, HEADER_MAGIC = 64, b"##HD"  # the second block of a file
HEAD_SIZE = 168  # bytes of the first two
KINDS = {"CAN_DataFrame": 0, "CAN_RemoteFrame": REMOTE, "CAN_ErrorFrame": ERROR}
ID_BITS = 0x1FFFFFFF
BAD = -9  # in place of a can_id: a number that is none
EXTRA = "an MF4 recording; reading it takes asammdf: pip install 'tbox-agent[mf4]'"


class Mf4(Parser):
    """Channels as the file numbers its buses; stamps have the recorder's resolution, rounded to 1 us.

    An unfinished file (power lost while recording) is read as far as whole records go, and held in memory. asammdf itself
    rather than python-can's MF4Reader: that asks for each value by itself, and takes 26 us a frame against 5. A file that
    was cut anywhere is read or refused; one with changed bytes may end the program in asammdf's C part, which trusts them.
    """

    name = "MF4"

    def __init__(self, path: str, counts: LogCounts, wanted: Container[int] | None) -> None:
        super().__init__(path, counts, wanted)
        self._ids: dict[tuple[int, int], int] = {}

    @classmethod
    def recognises(cls, head: bytes) -> bool:
        return head.startswith((FINISHED, UNFINISHED))

    def blocks(self, file: BinaryIO) -> Generator[list[Frame], None, None]:
        recording = self._opened(file)
        self.share = 0.0
        try:
            groups = [
                (index, name, int(group.channel_group.cycles_nr))
                for index, group in enumerate(cast("list[Group]", recording.groups))
                for name in KINDS
                if any(channel.name == name for channel in group.channels)
            ]
            if not groups:
                raise ConfigError(self.path, ["an MF4 recording without CAN frames; signals alone cannot be replayed"])
            start_us = round(recording.header.start_time.timestamp() * S_TO_US)
            each = [self._rows(recording, start_us, *group) for group in groups]
            rows = heapq.merge(*each, key=lambda frame: frame[0]) if len(each) > 1 else each[0]
            total, done = max(1, sum(records for _, _, records in groups)), 0
            while chunk := list(itertools.islice(rows, CHUNK)):
                done += len(chunk)
                self.share = min(1.0, done / total)
                yield self.in_order(chunk)
        finally:
            recording.close()
        self.share = 1.0

    def _opened(self, file: BinaryIO) -> "MDF":
        try:
            from asammdf import MDF
        except ModuleNotFoundError as error:
            raise ConfigError(self.path, [EXTRA]) from error
        head = file.read(HEAD_SIZE)
        file.seek(0)
        if len(head) < HEAD_SIZE or head[HEADER : HEADER + len(HEADER_MAGIC)] != HEADER_MAGIC:
            raise ConfigError(self.path, ["an MF4 recording that was cut before its first frame"])
        logging.getLogger(MDF.__module__.partition(".")[0]).setLevel(logging.CRITICAL)  # it has a handler of its own
        # An unfinished file is finished by writing to it, which must not happen to the recording itself.
        source = io.BytesIO(file.read()) if head.startswith(UNFINISHED) else file
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # it prints what it could not read
                return MDF(cast("io.BytesIO", source))
        except Exception as error:  # whatever a damaged file makes of it
            _let_close(error)
            raise ConfigError(self.path, [f"is cut or damaged, asammdf cannot read it: {_reason(error)}"]) from error

    def _rows(self, recording: "MDF", start_us: int, index: int, name: str, records: int) -> Iterator[Frame]:
        """The frames of one group of records, in its order."""
        for offset in range(0, records, CHUNK):
            try:
                samples = recording.get(name, group=index, record_offset=offset, record_count=CHUNK)
                chunk = list(self._frames(samples, start_us, name))
                if not chunk:
                    raise ValueError(f"{offset} records are there, {records} are announced")
            except Exception as error:  # noqa: BLE001 - whatever a damaged file makes of it
                self.damage(f"records from={offset} of group={index}", _reason(error))
                self.counts.truncated = True
                return
            yield from chunk

    def _frames(self, samples: "Signal", start_us: int, name: str) -> Iterator[Frame]:
        stamps = (samples.timestamps * S_TO_US).round().astype("int64").tolist()
        if kind := KINDS[name]:
            for stamp in stamps:
                yield start_us + stamp, "", kind, b""
            return
        columns = samples.samples
        prefix = f"{name}."
        numbers = columns[prefix + "ID"].tolist()
        lengths = columns[prefix + "DataLength"].tolist()
        names = columns.dtype.names or ()
        ide = columns[prefix + "IDE"].tolist() if prefix + "IDE" in names else [number >> 31 for number in numbers]
        buses = columns[prefix + "BusChannel"].tolist() if prefix + "BusChannel" in names else [""] * len(numbers)
        block = columns[prefix + "DataBytes"]
        width, content = block.shape[1], block.tobytes()
        ids = self._ids
        begin = 0
        for stamp, bus, number, extended, length in zip(stamps, buses, numbers, ide, lengths, strict=True):
            can_id = ids.get((number, extended))
            if can_id is None:
                can_id = ids[number, extended] = self._known(number, bool(extended))
            if can_id == BAD or length > min(width, MAX_FD):
                self.damage("record", f"identifier {number:X}, {length} bytes")
            else:
                yield start_us + stamp, str(bus), can_id, content[begin : begin + length]
            begin += width

    def _known(self, number: int, extended: bool) -> int:
        try:
            return self.known_id(number & ID_BITS, extended)
        except ValueError:
            return BAD


def _let_close(error: Exception) -> None:
    """A reader that was left half made complains on stderr when it is thrown away: it misses what it means to delete."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        half_made = frame.f_locals.get("self")
        if half_made is not None and hasattr(half_made, "_closed"):
            vars(half_made).setdefault("header", None)
            vars(half_made).setdefault("identification", None)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
