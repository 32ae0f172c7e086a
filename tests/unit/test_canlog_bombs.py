"""Recordings made to fill the memory, or to keep a reader busy for ever: what they cost stays near their size."""

import gzip
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest

from agent.canlog.parser import MOST_LINE
from agent.canlog.reader import read_log

MB = 1 << 20
BLF_HEAD = (struct.pack("<4sLQ", b"LOGG", 144, 0) + bytes(16) + struct.pack("<8H", 2024, 1, 1, 1, 0, 0, 0, 0)).ljust(
    144, b"\0"
)


def blf_object(size: int, kind: int, body: bytes = b"") -> bytes:
    return struct.pack("<4sHHLL", b"LOBJ", 16, 1, size, kind) + body


def container(content: bytes, compression: int, claimed: int | None = None) -> bytes:
    size = 32 + len(content) if claimed is None else claimed
    whole = blf_object(size, 10, struct.pack("<HHLLL", compression, 0, 0, 0, 0) + content)
    return whole + bytes(-len(whole) % 4)


def peak_mb(path: Path) -> float:
    tracemalloc.start()
    try:
        for _ in read_log(path):
            pass
        return tracemalloc.get_traced_memory()[1] / MB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("head", "filling"),
    [
        (b"(1700000000.000000) can0 123#00\n", b"A"),
        (b"(1700000000.000000) can0 123#", b"0"),
        (b"date Mon Jan 1 00:00:00.000 2024\nbase hex timestamps absolute\n 0.1 1 123 Rx d 1 00\n", b" "),
        (b";$FILEVERSION=1.1\n     1)  1.0  Rx  0123  1  00\n", b"\0"),
    ],
)
def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path: Path, head: bytes, filling: bytes) -> None:
    path = tmp_path / "x.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(head)
        for _ in range(100):
            file.write(filling * MB)
        file.write(b"\n" + head.splitlines(keepends=True)[-1])
    assert path.stat().st_size < 2 * MB
    assert peak_mb(path) < 20 + 8 * MOST_LINE / MB


def test_lines_are_cut_where_they_are_too_long_and_nowhere_else(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    good = b"(1700000000.000000) can0 123#0011\r\n"
    path.write_bytes(good * 20_000 + b"B" * (3 * MOST_LINE) + b"\n" + good * 20_000)
    reader = read_log(path)
    assert sum(row[2:] == (0x123, b"\x00\x11") for row in reader) == 40_000
    assert 3 <= reader.bad_lines <= 5


def test_a_container_of_much_nothing_is_damage(tmp_path: Path) -> None:
    """16 MB is the most that one may hold: 200 kB of file here would be 200 MB."""
    path = tmp_path / "x.blf"
    path.write_bytes(BLF_HEAD + container(zlib.compress(bytes(200 * MB), 9), 2))
    assert peak_mb(path) < 70
    reader = read_log(path)
    assert list(reader) == []
    assert reader.bad_lines > 0


@pytest.mark.parametrize(
    "content",
    [
        blf_object(1 << 24, 10, struct.pack("<HHLLL", 7, 0, 0, 0, 0))
        * (1 << 17),  # each says that it reaches to the end
        container(blf_object(1 << 24, 99), 0) + container(b"AAAA", 0) * 100_000,  # an object in 100,000 pieces
    ],
)
def test_sizes_that_are_not_true_do_not_make_a_reader_go_over_everything_again(tmp_path: Path, content: bytes) -> None:
    """4 MB; before, the square of that was copied, for minutes."""
    path = tmp_path / "x.blf"
    path.write_bytes(BLF_HEAD + content)
    begun = time.process_time()
    assert list(read_log(path)) == []
    assert time.process_time() - begun < 20
