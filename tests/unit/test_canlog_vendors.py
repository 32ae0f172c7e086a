"""Recordings of the makers' own tools: PEAK's TRC, Vector's BLF, MF4, and CRTD."""

import gzip
import logging
import struct
import sys
import zlib
from pathlib import Path

import can
import pytest

from agent.canlog.reader import read_log
from agent.errors import ConfigError

EXT = 0x80000000
MF4 = ["gnss_62s_3BA199E2", "j1939_FCBF0606", "kona_uds_17BD1DB7"]


def write(tmp_path: Path, content: "bytes | str", name: str = "x") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("name", MF4)
def test_mf4_holds_the_frames_of_its_candump_twin_to_the_microsecond(name: str, tbox_data: Path) -> None:
    pytest.importorskip("asammdf", reason="the extra mf4 is not installed")
    twin = list(read_log(tbox_data / f"css/{name}.log"))
    reader = read_log(tbox_data / f"css/{name}.MF4")
    assert [(t_us, f"can{channel}", *rest) for t_us, channel, *rest in reader] == twin
    assert (reader.format, reader.absolute, reader.frames, reader.bad_lines) == ("MF4", True, len(twin), 0)
    assert (reader.start_us, reader.end_us, reader.progress) == (twin[0][0], twin[-1][0], 1)
    again = [(t_us, f"can{channel}", *rest) for t_us, channel, *rest in reader]
    assert again == twin


def test_mf4_progress_wanted_frame_ms_and_gzip(tbox_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("asammdf", reason="the extra mf4 is not installed")
    path = tbox_data / "css/gnss_62s_3BA199E2.MF4"
    everything = list(read_log(path))
    reader = read_log(path, frame_ms=2, wanted={0x009})
    start = everything[0][0]
    expected = [(start + 2000 * n, *row[1:]) for n, row in enumerate(everything) if row[2] == 0x009]
    assert list(reader) == expected
    assert (reader.frames, reader.unwanted) == (7601, 7601 - len(expected))
    seen = [whole.progress for whole in [read_log(path)] for _ in whole]
    assert seen == sorted(seen)
    assert 0 < seen[0] < 1
    assert list(read_log(write(tmp_path, gzip.compress(path.read_bytes())))) == everything


def test_reading_an_unfinished_mf4_leaves_it_as_it_is(tbox_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("asammdf", reason="the extra mf4 is not installed")
    content = (tbox_data / "css/j1939_FCBF0606.MF4").read_bytes()
    assert content.startswith(b"UnFinMF")
    path = write(tmp_path, content[: len(content) // 2])
    before = path.read_bytes()
    reader = read_log(path)
    assert 0 < len(list(reader)) < 1815  # power lost half way
    assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [path]


def test_mf4_without_its_extra_says_which_one(tbox_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asammdf", None)
    with pytest.raises(ConfigError, match=r"pip install 'tbox-agent\[mf4\]'"):
        read_log(tbox_data / "css/gnss_62s_3BA199E2.MF4")


def test_asammdf_is_not_loaded_for_other_recordings(tbox_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asammdf", None)
    assert len(list(read_log(tbox_data / "css/gnss_62s_3BA199E2.log"))) == 7601


def test_remote_and_error_frames_of_mf4_are_counted(tmp_path: Path) -> None:
    pytest.importorskip("asammdf", reason="the extra mf4 is not installed")
    path = tmp_path / "x.mf4"
    with can.MF4Writer(path) as log:
        for message in mixed():
            log(message)
    reader = read_log(path)
    assert [row[2:] for row in reader] == [(0x123, b"\1\2"), (0x18FEF100 | EXT, bytes(8)), (0x124, bytes(range(64)))]
    assert (reader.remote_frames, reader.error_frames, reader.bad_lines) == (1, 1, 0)


def mixed() -> "list[can.Message]":
    start = 1_700_000_000.0
    return [
        can.Message(timestamp=start, arbitration_id=0x123, is_extended_id=False, data=b"\1\2", channel=0),
        can.Message(timestamp=start + 0.001, arbitration_id=0x18FEF100, data=bytes(8), channel=1),
        can.Message(
            timestamp=start + 0.002,
            arbitration_id=0x124,
            is_extended_id=False,
            is_fd=True,
            data=bytes(range(64)),
            channel=1,
        ),
        can.Message(
            timestamp=start + 0.003, arbitration_id=0x125, is_extended_id=False, is_remote_frame=True, dlc=4, channel=0
        ),
        can.Message(timestamp=start + 0.004, is_error_frame=True, channel=0),
    ]


def test_blf_counts_remote_and_error_frames_and_reads_can_fd(tmp_path: Path) -> None:
    path = tmp_path / "x.blf"
    with can.BLFWriter(path) as log:
        for message in mixed():
            log(message)
    reader = read_log(path)
    assert [row[1:] for row in reader] == [
        ("1", 0x123, b"\1\2"),
        ("2", 0x18FEF100 | EXT, bytes(8)),
        ("2", 0x124, bytes(range(64))),
    ]
    assert (reader.remote_frames, reader.error_frames, reader.bad_lines, reader.truncated) == (1, 1, 0, False)
    assert (reader.start_us, reader.end_us) == (1_700_000_000_000_000, 1_700_000_000_002_000)
    packed = write(tmp_path, gzip.compress(path.read_bytes()), "x.blf.gz")
    assert list(read_log(packed)) == list(reader)


def blf(*objects: bytes, compression: int = 2) -> bytes:
    """A BLF file by hand, as Vector's tools write what python-can does not: FD objects of type 101, stamps in 10 us."""
    inner = b"".join(objects)
    body = zlib.compress(inner) if compression == 2 else inner
    container = struct.pack("<HxxxxxxLxxxx", compression, len(inner)) + body
    start = (2023, 11, 2, 14, 22, 13, 20, 500)
    size = 144 + 16 + len(container)
    head = struct.pack("<4sL8xQQLL8H", b"LOGG", 144, size, size, len(objects), 0, *start).ljust(144, b"\0")
    return head + struct.pack("<4sHHLL", b"LOBJ", 16, 1, 16 + len(container), 10) + container


def blf_object(kind: int, stamp: int, body: bytes, *, unit: int = 2, version: int = 1) -> bytes:
    head = struct.pack("<LHHQ", unit, 0, 0, stamp) + (b"" if version == 1 else bytes(8))
    size = 16 + len(head) + len(body)
    return struct.pack("<4sHHLL", b"LOBJ", 16 + len(head), version, size, kind) + head + body + bytes(size % 4)


CLASSIC = struct.pack("<HBBL8s", 3, 0, 15, 0x7FF, bytes(range(8)))  # length code 15: still 8 bytes


@pytest.mark.parametrize("compression", [0, 2])
def test_blf_of_other_writers(tmp_path: Path, compression: int) -> None:
    fd64 = struct.pack("<BBBBLLLLLLLHBBL", 2, 9, 12, 0, 0x123 | EXT, 0, 0x1000, 0, 0, 0, 0, 0, 0, 0, 0) + bytes(
        range(12)
    )
    short = struct.pack("<BBBBLLLLLLLHBBL", 2, 9, 12, 0, 0x124, 0, 0x1000, 0, 0, 0, 0, 0, 0, 0, 0) + b"\1"
    remote = struct.pack("<BBBBLLLLLLLHBBL", 2, 9, 0, 0, 0x124, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0)
    content = blf(
        blf_object(86, 100, CLASSIC, unit=1),  # 1 ms in steps of 10 us
        blf_object(65, 0, b"a text"),
        blf_object(101, 2_000_000, fd64),
        blf_object(101, 3_000_000, short, version=2),
        blf_object(101, 3_000_000, remote),
        blf_object(104, 3_000_000, bytes(60)),
        compression=compression,
    )
    reader = read_log(write(tmp_path, content))
    found = list(reader)
    assert [row[1:] for row in found] == [
        ("3", 0x7FF, bytes(range(8))),
        ("2", 0x123 | EXT, bytes(range(12))),
        ("2", 0x124, b"\1" + bytes(11)),
    ]
    assert [row[0] - found[0][0] for row in found] == [0, 1000, 2000]
    theirs = [
        round(message.timestamp * 1e6)
        for message in can.BLFReader(write(tmp_path, content))
        if not message.is_remote_frame
    ]
    assert [row[0] for row in found] == theirs[: len(found)]
    assert (reader.remote_frames, reader.error_frames, reader.bad_lines, reader.truncated) == (1, 1, 0, False)


def test_a_damaged_blf_container_is_counted_and_nothing_of_it_believed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame = blf_object(1, 1000, CLASSIC)
    whole = blf(*[frame] * 100)
    container = whole[144:]
    broken = bytearray(container)
    broken[60] ^= 0x55
    reader = read_log(write(tmp_path, whole + bytes(broken) + container))
    with caplog.at_level(logging.WARNING):
        assert len(list(reader)) == 200
    assert reader.bad_lines == 1
    assert f"container at byte={len(whole)}" in caplog.text


TRC = {
    "1.0": """;   Start time: 11.09.2002 16:00:20.682
;----+-   ---+---  ----+---  +  -+ -- -- ...
     1)      1841      0123  2  01 02
     2)      1842      0008  4  ERROR 00 19 08 08
     3)      1843  FFFFFFFF  4  00 00 00 04 -- -- -- --  BUSLIGHT
     4)      1844      0100  3  RTR
     5)      1845  18FEF100  1  FF
""",
    "1.1": """;$FILEVERSION=1.1
;$STARTTIME=25569.5
     1)      1841.0  Rx         0123  2  01 02
     2)      1842.1  Warng  FFFFFFFF  4  00 00 00 04  BUSLIGHT
     3)      1843.2  Error      0008  4  00 19 08 08
     4)      1844.3  Rx         0100  3  RTR
     5)      1845.0  Tx     18FEF100  1  FF
""",
    "1.2": """;$FILEVERSION=1.2
;$STARTTIME=25569.5;
     1)      1841.000  2  Rx         0123  2  01 02
     2)      1842.834  2  Warng  FFFFFFFF  4  00 00 00 04  BUSLIGHT
     3)      1843.222  2  Error      0008  4  00 19 08 08
     4)      1844.743  2  Rx         0100  3  RTR
     5)      1845.000  2  Tx     18FEF100  1  FF
""",
    "1.3": """;$FILEVERSION=1.3
;$STARTTIME=25569.5
     1)      1841.000 2  Rx        0123 -  2    01 02
     2)      1842.834 2  Warng FFFFFFFF -  4    00 00 00 04  BUSLIGHT
     3)      1843.222 2  Error     0008 -  4    00 19 08 08
     4)      1844.743 2  Rx        0100 -  3    RTR
     5)      1845.000 2  Rx    18FEF100 -  1    FF
""",
    "2.0": """;$FILEVERSION=2.0
;$STARTTIME=25569.5
;$COLUMNS=N,O,T,I,d,l,D
      1      1841.000 DT     0123 Rx 2  01 02
      2      1842.522 ER          Rx    04 00 02 00 00
      3      1842.531 ST          Rx    00 00 00 08
      4      1842.643 EC          Rx    02 02
      5      1844.543 RR     0100 Rx 3
      6      1845.000 DT 18EFC034 Tx 1  FF
      7      1846.000 FB     0500 Tx 12 01 02 03 04 05 06 07 08 09 0A 0B 0C
""",
    "2.1": """;$FILEVERSION=2.1
;$STARTTIME=25569.5
;$COLUMNS=N,O,T,B,I,d,R,L,D
      1      1841.000 DT 2      0123 Rx -  2    01 02
      2      1842.222 ER 2         - Rx -  5    04 00 02 00 00
      3      1842.224 EV 2  User-defined event for bus 1
      4      1842.225 EV -  User-defined event for all busses
      5      1842.231 ST 2         - Rx -  4    00 00 00 08
      6      1844.543 RR 2      0100 Rx -  3
      7      1845.000 DT 2  18EFC034 Tx -  1    FF
      8      1846.000 FD 2      0500 Tx -  9    01 02 03 04 05 06 07 08 09 0A 0B 0C
""",
}


@pytest.mark.parametrize("version", TRC)
def test_trc_of_every_version(tmp_path: Path, version: str) -> None:
    reader = read_log(write(tmp_path, TRC[version].replace("\n", "\r\n")))
    start = 0 if version == "1.0" else 43_200_000_000
    channel = "" if version in ("1.0", "1.1", "2.0") else "2"
    extended = 0x18EFC034 if version.startswith("2") else 0x18FEF100
    expected = [
        (start + 1_841_000, channel, 0x123, b"\1\2"),
        (start + 1_845_000, channel, extended | EXT, b"\xff"),
    ]
    if version.startswith("2"):
        expected.append((start + 1_846_000, channel, 0x500, bytes(range(1, 13))))
    assert list(reader) == expected
    assert (reader.remote_frames, reader.error_frames, reader.bad_lines) == (1, 1, 0)
    assert (reader.format, reader.absolute) == ("PEAK TRC", False)


@pytest.mark.parametrize(
    "line",
    [
        "1) 10.0 2 Rx 0123 - 3 01 02",
        "1) 10.0 2 Rx 0123 - 1 01 02",
        "1) 10.0 2 Rx 0FFF - 1 01",
        "1) 10.0 2 Rx 3FFFFFFF - 1 01",
        "1) 10.0 2 Rx 0123 - 1 G1",
        "1) x 2 Rx 0123 - 1 01",
        "1) 10.0 2 Xx 0123 - 1 01",
        "1) 10.0 2",
        "garbage",
    ],
)
def test_damaged_trc_lines_are_counted_and_named(tmp_path: Path, line: str, caplog: pytest.LogCaptureFixture) -> None:
    text = f";$FILEVERSION=1.3\n1) 1.0 2 Rx 0100 - 1 01\n{line}\n2) 20.0 2 Rx 0100 - 1 02\n3) 21.0 2 Rx 0100 - 1"
    reader = read_log(write(tmp_path, text))
    with caplog.at_level(logging.WARNING):
        assert [row[3] for row in reader] == [b"\1", b"\2"]
    assert (reader.bad_lines, reader.truncated) == (1, True)
    assert "line=3" in caplog.text


def test_trc_with_a_start_that_is_no_time_counts_from_zero(tmp_path: Path) -> None:
    reader = read_log(write(tmp_path, ";$FILEVERSION=1.1\n;$STARTTIME=now\n1) 5.5 Rx 0100 1 01\n"))
    assert [row[0] for row in reader] == [5500]
    assert "start time not understood" in reader.clock_notes[0]


def test_crtd_holds_the_frames_of_its_gvret_twin(tbox_data: Path) -> None:
    reader = read_log(tbox_data / "tesla_model_s/crtd.txt")
    twin = list(read_log(tbox_data / "tesla_model_s/gvret.csv"))
    found = list(reader)
    assert [row[2:] for row in found] == [row[2:] for row in twin]
    assert {row[0] - other[0] for row, other in zip(found, twin, strict=True)} == {found[0][0] - twin[0][0]}
    assert (reader.format, reader.bad_lines, reader.truncated) == ("CRTD", 0, False)


def test_crtd_with_a_bus_comments_and_damaged_lines(tmp_path: Path) -> None:
    text = (
        "1000.000100 CXX a comment\n"
        "1000.000200 2R11 123 01 02\n"
        "1000.000300 1T29 18FEF100 FF\n"
        "1000.000400 CEV an event\n"
        "1000.000500 R11 FFF 01\n"
        "1000.000500 R12 123 01\n"
        "1000.000500 R11 123 01 02 03 04 05 06 07 08 09\n"
        "1000.000600 R11 123\n"
    )
    reader = read_log(write(tmp_path, text))
    assert list(reader) == [
        (1_000_000_200, "2", 0x123, b"\1\2"),
        (1_000_000_300, "1", 0x18FEF100 | EXT, b"\xff"),
        (1_000_000_600, "", 0x123, b""),
    ]
    assert reader.bad_lines == 3
