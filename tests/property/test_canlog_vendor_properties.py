"""BLF, TRC and MF4 as python-can writes them are read back; cut anywhere they are read up to there or refused in a line."""

import io
import tempfile
from pathlib import Path
from typing import Any

import can
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent.canlog import LogReader, read_log
from agent.errors import ConfigError

EXT = 0x80000000
START_S = 1_700_000_000

Frame = tuple[int, str, int, bytes]

identifiers = st.one_of(st.integers(0, 0x7FF), st.integers(0, 0x1FFFFFFF).map(lambda number: number | EXT))
LENGTHS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64]


@st.composite
def recordings(draw: st.DrawFn, max_length: int = 64, channels: int = 2) -> list[Frame]:
    t_us = START_S * 10**6
    frames = []
    for _ in range(draw(st.integers(1, 20))):
        t_us += draw(st.integers(0, 10**7))
        length = draw(st.sampled_from([length for length in LENGTHS if length <= max_length]))
        data = draw(st.binary(min_size=length, max_size=length))
        frames.append((t_us, str(draw(st.integers(1, channels))), draw(identifiers), data))
    return frames


def written(writer: "type[Any]", suffix: str, frames: list[Frame], first_channel: int) -> bytes:
    """The file of python-can's own writer; `first_channel`: what its messages call the channel that the file calls 1."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{suffix}"
        with writer(path) as log:
            for t_us, channel, can_id, data in frames:
                log(
                    can.Message(
                        timestamp=t_us / 1e6,
                        arbitration_id=can_id & ~EXT,
                        is_extended_id=bool(can_id & EXT),
                        is_fd=len(data) > 8,
                        data=data,
                        channel=int(channel) - 1 + first_channel,
                    )
                )
        return path.read_bytes()


def read(content: bytes) -> "tuple[list[Frame], LogReader]":
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        path.write_bytes(content)
        reader = read_log(path)
        return list(reader), reader


def same(found: list[Frame], frames: list[Frame], shift_us: int) -> None:
    """Equal but for the start, which a file's header may give in whole milliseconds, and a microsecond of rounding."""
    assert [row[1:] for row in found] == [row[1:] for row in frames]
    for row, frame in zip(found, frames, strict=True):
        assert abs(row[0] - frame[0]) <= shift_us
        assert abs((row[0] - found[0][0]) - (frame[0] - frames[0][0])) <= 1


@given(frames=recordings())
@settings(max_examples=50)
def test_blf_of_python_can(frames: list[Frame]) -> None:
    found, reader = read(written(can.BLFWriter, ".blf", frames, 0))
    same(found, frames, 1000)
    assert (reader.format, reader.bad_lines, reader.truncated, reader.absolute) == ("BLF", 0, False, True)


@given(frames=recordings(max_length=8))
@settings(max_examples=50)
def test_trc_of_python_can(frames: list[Frame]) -> None:
    found, reader = read(written(can.TRCWriter, ".trc", frames, 0))
    same(found, frames, 2)
    assert (reader.format, reader.bad_lines, reader.truncated, reader.absolute) == ("PEAK TRC", 0, False, True)


@given(frames=recordings())
@settings(max_examples=20, deadline=None)
def test_mf4_of_python_can(frames: list[Frame]) -> None:
    pytest.importorskip("asammdf", reason="the extra mf4 is not installed")
    found, reader = read(written(can.MF4Writer, ".mf4", frames, 1))
    same(found, frames, 2)
    assert (reader.format, reader.bad_lines, reader.truncated, reader.absolute) == ("MF4", 0, False, True)


def long_blf() -> tuple[bytes, list[Frame]]:
    """Several containers: python-can's fill up at 128 KiB."""
    frames = [(START_S * 10**6 + 250 * n, "1", n % 2048, n.to_bytes(8, "big")) for n in range(9000)]
    return written(can.BLFWriter, ".blf", frames, 0), frames


LONG_BLF, LONG_FRAMES = long_blf()


@given(keep=st.integers(0, len(LONG_BLF)))
@example(keep=160)  # within the header of the first container
@settings(max_examples=60, deadline=None)
def test_a_cut_blf_gives_every_frame_in_front_of_the_cut(keep: int) -> None:
    if keep < 4:
        return
    found, reader = read(LONG_BLF[:keep])
    assert [row[1:] for row in found] == [row[1:] for row in LONG_FRAMES[: len(found)]]
    assert reader.truncated is (keep < len(LONG_BLF))
    assert reader.bad_lines == 0


@given(
    flips=st.lists(st.tuples(st.integers(200, len(LONG_BLF) - 1), st.integers(1, 255)), min_size=1, max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_a_flipped_blf_gives_what_is_whole(flips: list[tuple[int, int]]) -> None:
    content = bytearray(LONG_BLF)
    for place, bits in flips:
        content[place] ^= bits
    found, reader = read(bytes(content))
    if len(flips) == 1:  # one container of four may be lost
        assert len(found) >= len(LONG_FRAMES) // 2
    assert len(found) == len(LONG_FRAMES) or reader.bad_lines or reader.truncated
    assert {row[2:] for row in found} <= {row[2:] for row in LONG_FRAMES}  # nothing that only looks like a frame


@given(noise=st.binary(max_size=400), cut=st.integers(0, 200))
def test_a_blf_head_and_noise(noise: bytes, cut: int) -> None:
    read(LONG_BLF[: max(4, cut)] + noise + b"LOBJ" + noise)


TRC_HEADS = [
    b";   Start time: 11.09.2002 16:00:20.682\n",
    b";$FILEVERSION=1.1\n;$STARTTIME=37704.5364870833\n",
    b";$FILEVERSION=1.2\n",
    b";$FILEVERSION=1.3\n;$STARTTIME=x\n",
    b";$FILEVERSION=2.0\n;$STARTTIME=42209.4\n;$COLUMNS=N,O,T,I,d,l,D\n",
    b";$FILEVERSION=2.1\n;$COLUMNS=N,O,T,B,I,d,R,L,D\n",
]
trc_noise = st.text(alphabet="()1234567890ABCDEF. -;$=,RxTDFBENOILdl\n", max_size=150)


@given(head=st.sampled_from(TRC_HEADS), noise=trc_noise)
def test_no_almost_right_trc_makes_reading_raise(head: bytes, noise: str) -> None:
    try:
        found, reader = read(head + noise.encode() + b"\n")
    except ConfigError as error:
        faults = error.faults
        found, reader = read(head)
    else:
        faults = []
    assert len(faults) <= 1
    assert [row[0] for row in found] == sorted(row[0] for row in found)
    assert reader.frames == len(found)


@pytest.mark.parametrize("name", ["gnss_62s_3BA199E2", "j1939_FCBF0606"])
@given(share=st.floats(0, 1))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_cut_mf4_is_read_up_to_there_or_refused_in_one_line(
    name: str, share: float, tbox_data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("asammdf", reason="the extra mf4 is not installed")
    content = (tbox_data / f"css/{name}.MF4").read_bytes()
    whole = [row[2:] for row in read_log(tbox_data / f"css/{name}.log")]
    try:
        found, reader = read(content[: max(8, int(share * len(content)))])
    except ConfigError as error:
        said = str(error)
    else:
        said = ""
        assert reader.frames == len(found)
        assert [row[2:] for row in found] == whole[: len(found)]
    assert "\n" not in said
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err


def test_what_is_written_here_is_not_one_container_alone() -> None:
    """Else a cut file would be all or nothing."""
    assert LONG_BLF.count(b"LOBJ") >= 3
    assert len(list(can.BLFReader(io.BytesIO(LONG_BLF)))) == 9000
