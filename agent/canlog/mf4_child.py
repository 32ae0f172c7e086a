"""The process in which asammdf reads MF4 recordings: `python -m agent.canlog.mf4_child`, asked by `agent/canlog/mf4.py`.

It takes requests as lines of JSON on its input: {"path", "memory": bytes, "stall_s"} opens a recording, null asks for more
of the one that is open. Each is answered by a kind (4 bytes), a length (u32, little-endian) and so many bytes:

    OPEN  nothing                         the recording is open
    ROWS  share (f64), records            the next frames in the order of their stamps, and how much of all has been read
    HARM  JSON [place, reason]            something is damaged; what can be read follows
    DONE  nothing                         the recording is at its end
    FAIL  text                            it cannot be read

A record is 86 bytes, little-endian: stamp (i64, Unix us), identifier (u32), bytes (u32), channel (i32, -1: none), extended
(u8), kind (u8: 0 data, REMOTE, ERROR, DAMAGED), 64 bytes of data. It ends with its input, and by SIGALRM when a request
takes too long; nothing that it prints is seen.
"""

import gzip
import heapq
import io
import itertools
import json
import logging
import os
import signal
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

if TYPE_CHECKING:
    from asammdf import MDF, Signal
    from asammdf.blocks.mdf_v4 import Group

OPEN, ROWS, HARM, DONE, FAIL = b"OPEN", b"ROWS", b"HARM", b"DONE", b"FAIL"
HEAD = struct.Struct("<4sI")
SHARE = struct.Struct("<d")
RECORD = struct.Struct("<qIIiBB64s")
FIELDS = [("stamp", "<i8"), ("number", "<u4"), ("length", "<u4"), ("bus", "<i4"), ("ide", "u1"), ("kind", "u1")]
DATA = ("data", "u1", (64,))
REMOTE, ERROR, DAMAGED = 1, 2, 3
KINDS = {"CAN_DataFrame": 0, "CAN_RemoteFrame": REMOTE, "CAN_ErrorFrame": ERROR}
CHUNK = 4096  # records taken at a time
MOST_BYTES = SHARE.size + CHUNK * RECORD.size  # of an answer
MAX_TEXT = 500  # characters of a reason
NUMBER_BITS = 0xFFFFFFFF
S_TO_US = 1_000_000
GZIP_MAGIC = b"\x1f\x8b"
UNFINISHED = b"UnFin"
STAMP = struct.Struct("<q")

Row = tuple[int, bytes]  # stamp, the whole record
Harm = tuple[str, str]


def main() -> None:
    """Answer until the input ends."""
    requests, answers = sys.stdin, os.fdopen(os.dup(1), "wb", buffering=0)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)  # asammdf prints what it could not read
    os.dup2(nowhere, 2)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # each would take memory out of what is allowed
    opened: Iterator[tuple[bytes, bytes]] = iter(())
    stall_s = 0.0
    for line in requests:
        request = json.loads(line)
        if request is not None:
            stall_s = request["stall_s"]
        signal.setitimer(signal.ITIMER_REAL, stall_s)
        if request is not None:
            opened = _answers(request["path"], request["memory"])
        kind, content = next(opened, (DONE, b""))
        signal.setitimer(signal.ITIMER_REAL, 0)
        answers.write(HEAD.pack(kind, len(content)))
        answers.write(content)


def _answers(path: str, memory: int) -> Iterator[tuple[bytes, bytes]]:
    try:
        _limit(memory)
        with Path(path).open("rb") as file:
            recording = _opened(file)
            groups = _groups(recording)
            yield OPEN, b""
            yield from _read(recording, groups)
    except Exception as error:  # noqa: BLE001 - whatever a damaged file makes of it
        yield FAIL, _reason(error, memory).encode()


def _limit(memory: int) -> None:
    """Memory, and files that asammdf lays aside; a crash leaves no core file."""
    import resource

    for what, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, memory), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(what)[1]
        resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _opened(file: BinaryIO) -> "MDF":
    from asammdf import MDF

    logging.getLogger(MDF.__module__.partition(".")[0]).setLevel(logging.CRITICAL)
    source: BinaryIO = file
    if file.read(len(GZIP_MAGIC)) == GZIP_MAGIC:  # asammdf goes back and forth in it
        file.seek(0)
        source = io.BytesIO(gzip.GzipFile(fileobj=file).read())
    source.seek(0)
    # An unfinished file is finished by writing to it, which must not happen to the recording itself.
    if source is file and file.read(len(UNFINISHED)) == UNFINISHED:
        file.seek(0)
        source = io.BytesIO(file.read())
    source.seek(0)
    return MDF(cast("io.BytesIO", source))


def _groups(recording: "MDF") -> list[tuple[int, str, int]]:
    """Number, kind and announced records of each group that holds frames."""
    groups = [
        (index, name, int(group.channel_group.cycles_nr))
        for index, group in enumerate(cast("list[Group]", recording.groups))
        for name in KINDS
        if any(channel.name == name for channel in group.channels)
    ]
    if not groups:
        raise ValueError("it holds no CAN frames; signals alone cannot be replayed")
    return groups


def _read(recording: "MDF", groups: list[tuple[int, str, int]]) -> Iterator[tuple[bytes, bytes]]:
    start_us = round(recording.header.start_time.timestamp() * S_TO_US)
    harm: list[Harm] = []
    each = [_chunks(recording, start_us, harm, *group) for group in groups]
    total, done = max(1, sum(records for _, _, records in groups)), 0
    for count, records in _joined(each):
        yield from _told(harm)
        done += count
        yield ROWS, SHARE.pack(min(1.0, done / total)) + records
    yield from _told(harm)


def _told(harm: list[Harm]) -> Iterator[tuple[bytes, bytes]]:
    for place, reason in harm:
        yield HARM, json.dumps([place, reason]).encode()
    harm.clear()


def _joined(each: list[Iterator[bytes]]) -> Iterator[tuple[int, bytes]]:
    """Groups of records as one, by their stamps; each with its number of records."""
    if len(each) == 1:
        for records in each[0]:
            yield len(records) // RECORD.size, records
        return
    rows = heapq.merge(*map(_rows, each), key=lambda row: row[0])
    while chunk := list(itertools.islice(rows, CHUNK)):
        yield len(chunk), b"".join([record for _, record in chunk])


def _rows(chunks: Iterable[bytes]) -> Iterator[Row]:
    for records in chunks:
        for begin in range(0, len(records), RECORD.size):
            yield STAMP.unpack_from(records, begin)[0], records[begin : begin + RECORD.size]


def _chunks(
    recording: "MDF", start_us: int, harm: list[Harm], index: int, name: str, announced: int
) -> Iterator[bytes]:
    """The frames of one group of records, in its order."""
    for offset in range(0, announced, CHUNK):
        try:
            samples = recording.get(name, group=index, record_offset=offset, record_count=CHUNK)
            if not len(samples.timestamps):
                raise ValueError(f"{offset} records are there, {announced} are announced")
            records = _records(samples, start_us, name)
        except Exception as error:  # noqa: BLE001 - whatever a damaged file makes of it
            harm.append((f"records from={offset} of group={index}", _reason(error)))
            return
        yield records


def _records(samples: "Signal", start_us: int, name: str) -> bytes:
    import numpy as np

    rows = np.zeros(len(samples.timestamps), dtype=[*FIELDS, DATA])
    rows["stamp"] = start_us + (samples.timestamps * S_TO_US).round().astype(np.int64)
    rows["kind"] = KINDS[name]
    if KINDS[name]:
        return rows.tobytes()
    columns = samples.samples
    names = columns.dtype.names or ()

    def whole(field: str) -> Any:  # numpy's types say nothing about columns by name
        return columns[f"{name}.{field}"].astype(np.int64)

    number, length, block = whole("ID") & NUMBER_BITS, whole("DataLength"), columns[f"{name}.DataBytes"]
    width = min(block.shape[1], DATA[2][0])
    rows["number"], rows["length"] = number, length.clip(0, NUMBER_BITS)
    rows["ide"] = whole("IDE") != 0 if f"{name}.IDE" in names else number >> 31
    rows["bus"] = whole("BusChannel") if f"{name}.BusChannel" in names else -1
    rows["data"][:, :width] = block[:, :width]
    rows["kind"][(length < 0) | (length > width)] = DAMAGED
    return rows.tobytes()


def _reason(error: Exception, memory: int = 0) -> str:
    if memory and isinstance(error, MemoryError):
        return f"it takes more than {memory >> 20} MB of memory"
    return (" ".join(str(error).split()) or type(error).__name__)[:MAX_TEXT]


if __name__ == "__main__":
    main()
