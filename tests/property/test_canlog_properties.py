"""Whatever frames are written are read back; whatever bytes a file holds, reading them ends and raises nothing."""

import tempfile
from pathlib import Path

import can
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.canlog.reader import read_log

EXT = 0x80000000
HEADS = [
    b"(1.000000) can0 100#01\n",
    b"Time Stamp,ID,Extended,Bus,LEN,D1\n1,100,false,0,1,01\n",
    b"base hex  timestamps absolute\n   0.010000 1  123  Rx   d 2 01 02\n",
]

identifiers = st.one_of(st.integers(0, 0x7FF), st.integers(0, 0x1FFFFFFF).map(lambda number: number | EXT))
lengths = st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 64])


@st.composite
def recordings(draw: st.DrawFn, channels: list[str], max_length: int = 64) -> list[tuple[int, str, int, bytes]]:
    t_us = draw(st.integers(0, 2 * 10**15))
    frames = []
    for _ in range(draw(st.integers(1, 30))):
        t_us += draw(st.integers(0, 10**7))
        length = min(max_length, draw(lengths))
        data = draw(st.binary(min_size=length, max_size=length))
        frames.append((t_us, draw(st.sampled_from(channels)), draw(identifiers), data))
    return frames


def candump_line(t_us: int, channel: str, can_id: int, data: bytes) -> str:
    number = f"{can_id & ~EXT:08X}" if can_id & EXT else f"{can_id:03X}"
    return (
        f"({t_us // 10**6}.{t_us % 10**6:06d}) {channel} {number}{'##1' if len(data) > 8 else '#'}{data.hex().upper()}"
    )


def gvret_line(t_us: int, channel: str, can_id: int, data: bytes) -> str:
    columns = [f"{byte:02X}" for byte in data] + ["00"] * (8 - len(data))
    extended = "true" if can_id & EXT else "false"
    return ",".join([str(t_us), f"{can_id & ~EXT:08X}", extended, channel, str(len(data)), *columns])


def read_back(text: str) -> list[tuple[int, str, int, bytes]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.log"
        path.write_text(text)
        reader = read_log(path)
        frames = list(reader)
        assert reader.bad_lines == 0
        return frames


@given(frames=recordings(["can0", "vcan1", "pt"]))
def test_candump_round_trip(frames: list[tuple[int, str, int, bytes]]) -> None:
    assert read_back("".join(candump_line(*frame) + "\n" for frame in frames)) == frames


@given(frames=recordings(["0", "1"]))
def test_gvret_round_trip(frames: list[tuple[int, str, int, bytes]]) -> None:
    header = "Time Stamp,ID,Extended,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8\n"
    assert read_back(header + "".join(gvret_line(*frame) + "\n" for frame in frames)) == frames


@settings(max_examples=30)
@given(frames=recordings(["1", "2"]))
def test_asc_of_python_can_round_trip(frames: list[tuple[int, str, int, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.asc"
        with can.ASCWriter(path) as writer:
            for _, channel, can_id, data in frames:
                extended = bool(can_id & EXT)
                writer(
                    can.Message(
                        timestamp=1.7e9,
                        arbitration_id=can_id & ~EXT,
                        is_extended_id=extended,
                        is_fd=len(data) > 8,
                        data=data,
                        channel=int(channel) - 1,
                    )
                )
        assert [row[1:] for row in read_log(path)] == [frame[1:] for frame in frames]


@given(head=st.sampled_from(HEADS), noise=st.binary(max_size=300))
def test_no_bytes_make_reading_raise(head: bytes, noise: bytes) -> None:
    check_noise(head, noise)


line_noise = st.text(alphabet="(). #0123456789ABCDEFRrTx_,-\ncanXfalsetrue:", max_size=120)


@given(head=st.sampled_from(HEADS), noise=line_noise)
def test_no_almost_right_line_makes_reading_raise(head: bytes, noise: str) -> None:
    check_noise(head, noise.encode())


def check_noise(head: bytes, noise: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.log"
        path.write_bytes(head + noise + b"\n" + head)
        reader = read_log(path)
        frames = list(reader)
    assert len(frames) >= 2
    assert [frame[0] for frame in frames] == sorted(frame[0] for frame in frames)
    for _, _, can_id, data in frames:
        assert 0 <= can_id & ~EXT <= (0x1FFFFFFF if can_id & EXT else 0x7FF)
        assert len(data) <= 64
