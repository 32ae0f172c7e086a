"""Recordings: third-party ones give what their description says; faults of lines and clocks are counted and named."""

import gzip
import logging
from datetime import datetime
from pathlib import Path

import can
import pytest

from agent.canlog.reader import MaskedIds, read_log
from agent.errors import ConfigError

EXT = 0x80000000


@pytest.mark.parametrize(
    ("file", "form", "frames", "ids", "channels", "absolute", "span_s"),
    [
        ("bmw_i3/ionity_dc_charge_15s.log", "candump", 23_637, 149, {"can0"}, False, 14.99),
        ("bmw_i3/ac_start_end_charge_69pct.gvret.csv", "GVRET CSV", 6_740, 120, {"0"}, False, 0.01),
        ("tesla_model_s/candump.log", "candump", 12_974, 180, {"vcan0"}, False, 8.0),
        ("tesla_model_s/gvret.csv", "GVRET CSV", 12_974, 180, {"0"}, False, 8.56),
        ("css/kona_uds_17BD1DB7.log", "candump", 2_010, 2, {"can1"}, True, 299.02),
        ("css/j1939_FCBF0606.log", "candump", 1_815, 16, {"can1", "can2"}, True, 186.12),
        ("css/gnss_62s_3BA199E2.log", "candump", 7_601, 11, {"can1", "can2"}, True, 61.75),
    ],
)
def test_third_party_recordings(
    tbox_data: Path, file: str, form: str, frames: int, ids: int, channels: set[str], absolute: bool, span_s: float
) -> None:
    reader = read_log(tbox_data / file)
    read = list(reader)
    assert (reader.format, len(read), len({row[2] for row in read})) == (form, frames, ids)
    assert {row[1] for row in read} == channels
    assert reader.absolute is absolute
    assert (reader.frames, reader.bad_lines, reader.truncated) == (frames, 0, False)
    assert round((reader.end_us - reader.start_us) / 1e6, 2) == span_s
    assert (read[0][0], read[-1][0]) == (reader.start_us, reader.end_us)


def test_our_candump_parser_agrees_with_python_cans(tbox_data: Path) -> None:
    path = tbox_data / "css/j1939_FCBF0606.log"
    theirs = [
        (round(m.timestamp * 1e6), m.channel, m.arbitration_id | (EXT if m.is_extended_id else 0), bytes(m.data))
        for m in can.CanutilsLogReader(path)
    ]
    assert list(read_log(path)) == theirs


def test_two_forms_of_one_capture_hold_the_same_frames(tbox_data: Path) -> None:
    candump = read_log(tbox_data / "tesla_model_s/candump.log")
    gvret = read_log(tbox_data / "tesla_model_s/gvret.csv")
    assert [row[2:] for row in candump] == [row[2:] for row in gvret]
    assert {len(row[3]) for row in gvret} > {1, 2, 8}  # short frames are short although their columns are padded


def test_broken_clocks_of_real_recordings_are_named(tbox_data: Path) -> None:
    counter = read_log(tbox_data / "bmw_i3/ac_start_end_charge_69pct.gvret.csv")
    whole = read_log(tbox_data / "tesla_model_s/candump.log")
    good = read_log(tbox_data / "css/gnss_62s_3BA199E2.log")
    for reader in (counter, whole, good):
        list(reader)
    assert counter.clock_notes == ["stamps are a line counter, not time: 6740 frames within 6739 us"]
    assert whole.clock_notes == ["stamps are whole seconds: the order of frames is known, their time is not"]
    assert good.clock_notes == []


def test_frame_ms_replaces_a_line_counter_and_counts_unwanted_frames_too(tbox_data: Path) -> None:
    path = tbox_data / "bmw_i3/ac_start_end_charge_69pct.gvret.csv"
    everything = list(read_log(path))
    reader = read_log(path, frame_ms=2, wanted={0x112})
    expected = [(n * 2000, *row[1:]) for n, row in enumerate(everything) if row[2] == 0x112]
    assert list(reader) == expected
    assert (reader.frames, reader.unwanted) == (6740, 6740 - len(expected))
    assert (reader.start_us, reader.end_us) == (0, 6739 * 2000)


def test_frame_ms_keeps_the_date_of_an_absolute_recording(tmp_path: Path) -> None:
    path = write(tmp_path, "(1608041699.000000) can0 100#01\n(1608041699.000000) can0 100#02\n")
    assert [row[0] for row in read_log(path, frame_ms=5)] == [1_608_041_699_000_000, 1_608_041_699_005_000]


def test_unwanted_frames_are_counted_but_not_decoded(tbox_data: Path) -> None:
    path = tbox_data / "css/j1939_FCBF0606.log"
    everything = list(read_log(path))
    wanted = {0x0CF00400 | EXT}
    reader = read_log(path, wanted=wanted)
    assert list(reader) == [row for row in everything if row[2] in wanted]
    assert (reader.frames, reader.start_us, reader.end_us) == (1815, everything[0][0], everything[-1][0])
    any_source = MaskedIds([(0x0CF004FE | EXT, 0x83FFFF00)])
    assert list(read_log(path, wanted=any_source)) == list(read_log(path, wanted=wanted))


def write(tmp_path: Path, text: str, name: str = "x.log") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="latin-1")
    return path


def test_candump_forms(tmp_path: Path) -> None:
    text = (
        "(1.000001) can0 123#0102\n"
        "(1.000002) can0 00000123#\n"  # eight digits: extended, whatever the number
        "(1.000003) can0 123##1" + "AB" * 64 + "\n"
        "(1.000004) can0 123#R\n"
        "(1.000005) can0 123#R8\n"
        "(1.000006) can0 20000080#0000000000000000\n"
        "(1.000007) can0 123#0102 R\n"  # python-can's own logger writes the direction
        "(1.000008) can0 123#1122334455667788_E T\n"
        "(1.000009123) can0 123#01\n"  # hardware stamps in nanoseconds
    )
    reader = read_log(write(tmp_path, text))
    assert list(reader) == [
        (1_000_001, "can0", 0x123, b"\x01\x02"),
        (1_000_002, "can0", 0x123 | EXT, b""),
        (1_000_003, "can0", 0x123, b"\xab" * 64),
        (1_000_007, "can0", 0x123, b"\x01\x02"),
        (1_000_008, "can0", 0x123, bytes.fromhex("1122334455667788")),
        (1_000_009, "can0", 0x123, b"\x01"),
    ]
    assert (reader.remote_frames, reader.error_frames, reader.bad_lines) == (2, 1, 0)


@pytest.mark.parametrize(
    "line",
    [
        "(1.000000) can0 12345#01",  # neither 3 nor 8 digits
        "(1.000000) can0 FFF#01",
        "(1.000000) can0 123#012",
        "(1.000000) can0 123#010203040506070809",
        "(1.000000) can0 123##1" + "00" * 65,
        "(1.000000) can0 123##G00",
        "(x.000000) can0 123#01",
        "(1.000000) can0",
        "\x00\xff\xfe garbage",
    ],
)
def test_damaged_candump_lines_are_counted_and_named(
    tmp_path: Path, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    reader = read_log(write(tmp_path, f"(1.000000) can0 100#01\n{line}\n(1.000001) can0 100#02\n"))
    with caplog.at_level(logging.WARNING):
        assert [row[3] for row in reader] == [b"\x01", b"\x02"]
    assert reader.bad_lines == 1
    assert len(caplog.records) == 1
    assert "line=2" in caplog.text


def test_only_the_first_damaged_lines_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reader = read_log(write(tmp_path, "(1.000000) can0 100#01\n" + "damage\n" * 5000))
    with caplog.at_level(logging.WARNING):
        assert len(list(reader)) == 1
    assert reader.bad_lines == 5000
    assert len(caplog.records) == 3


def test_a_cut_last_line_is_normal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reader = read_log(write(tmp_path, "(1.000000) can0 100#01\n(1.000001) can0 100#1"))
    assert len(list(reader)) == 1
    assert (reader.bad_lines, reader.truncated, caplog.records) == (0, True, [])


def test_stamps_that_go_back_are_held_and_counted(tmp_path: Path) -> None:
    text = "(10.500000) can0 100#01\n(10.400000) can1 101#02\n(10.490000) can0 102#03\n(10.600000) can0 103#04\n"
    reader = read_log(write(tmp_path, text))
    assert [row[0] for row in reader] == [10_500_000, 10_500_000, 10_500_000, 10_600_000]
    assert reader.clock_notes == ["2 stamps lie before their predecessor, by up to 100 ms: held at its time"]


def test_time_goes_on_where_the_recorders_clock_began_anew(tmp_path: Path) -> None:
    text = "(4294.900000) can0 100#01\n(0.100000) can0 100#02\n(0.300000) can0 100#03\n"
    reader = read_log(write(tmp_path, text))
    assert [row[0] for row in reader] == [4_294_900_000, 4_294_900_000, 4_295_100_000]
    assert reader.clock_notes == ["the clock was set or began anew 1 times: time goes on from the last stamp before"]


def test_gvret_with_direction_single_digits_can_fd_and_windows_line_ends(tmp_path: Path) -> None:
    text = (
        "Time Stamp,ID,Extended,Dir,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8\r\n"
        "-5,00000123,false,Rx,1,3,01,02,03,00,00,00,00,00\r\n"
        "10,18FEF100,true,Tx,0,2,A,b\r\n"
        "11,00000124,false,Rx,1,0\r\n"
        "12,00000125,false,Rx,1,64," + "5A," * 64 + "\r\n"
        "13,00000126,false,Rx,1,8,01,02\r\n"  # fewer than LEN
        "14,00000126,maybe,Rx,1,1,01\r\n"
        "15,00000126,false,Rx,1,1\r\n"
    )
    reader = read_log(write(tmp_path, text))
    assert list(reader) == [
        (-5, "1", 0x123, b"\x01\x02\x03"),
        (10, "0", 0x18FEF100 | EXT, b"\x0a\x0b"),
        (11, "1", 0x124, b""),
        (12, "1", 0x125, b"\x5a" * 64),
    ]
    assert reader.bad_lines == 3


ASC_HEADER = "date Wed Jan 1 10:00:00.000 am 2025\nbase hex  timestamps absolute\ninternal events logged\n"


def test_asc_as_python_can_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "x.asc"
    start = datetime(2025, 1, 1, 10, 0, 0, 250_000).timestamp()  # noqa: DTZ001 - ASC knows local time only
    messages = [
        can.Message(timestamp=start + 0.001, arbitration_id=0x123, is_extended_id=False, data=b"\1\2", channel=0),
        can.Message(timestamp=start + 0.002, arbitration_id=0x18FEF100, data=bytes(8), channel=1),
        can.Message(
            timestamp=start + 0.003, arbitration_id=0x124, is_fd=True, is_extended_id=False, data=bytes(64), channel=1
        ),
        can.Message(timestamp=start + 0.004, arbitration_id=0x125, is_remote_frame=True, dlc=4, channel=0),
        can.Message(timestamp=start + 0.005, is_error_frame=True, channel=0),
    ]
    with can.ASCWriter(path) as writer:
        for message in messages:
            writer(message)
    reader = read_log(path)
    assert [row[1:] for row in reader] == [
        ("1", 0x123, b"\1\2"),
        ("2", 0x18FEF100 | EXT, bytes(8)),
        ("2", 0x124, bytes(64)),
    ]
    assert reader.absolute
    assert abs(reader.start_us - (start + 0.001) * 1e6) <= 1000  # the header's date has milliseconds
    assert (reader.remote_frames, reader.error_frames, reader.bad_lines) == (1, 1, 0)


def test_asc_without_channel_damaged_lines_and_no_events_line(tmp_path: Path) -> None:
    text = (
        "base hex  timestamps absolute\n"
        "   0.010000 0  123             Rx   d 2 01 02\n"
        "   0.020000 1  ZZZ             Rx   d 2 01 02\n"
        "   0.030000 Statistic: D 0 R 0 XD 0 XR 0 E 0 O 0 B 0.00%\n"
        "   0.040000 1  123             Rx   d 8 01 02\n"
        "   0.050000 2  18FEF100x       Rx   d 1 FF\n"
    )
    reader = read_log(write(tmp_path, text, "x.asc"))
    assert list(reader) == [(10_000, "", 0x123, b"\1\2"), (50_000, "2", 0x18FEF100 | EXT, b"\xff")]
    assert (reader.bad_lines, reader.absolute) == (2, False)


def test_asc_stamps_relative_to_the_line_before_are_summed(tmp_path: Path) -> None:
    lines = "".join(f" 0.001000 1  123 Rx   d 1 {n % 256:02X}\n" for n in range(3000))  # more than one block
    reader = read_log(write(tmp_path, "base hex timestamps relative\n" + lines, "x.asc"))
    assert [row[0] for row in reader] == [1000 * n for n in range(1, 3001)]


def test_asc_with_a_date_that_is_not_understood_counts_from_zero(tmp_path: Path) -> None:
    text = ASC_HEADER.replace("Jan", "Xyz") + "   0.010000 1  123             Rx   d 1 01\n"
    reader = read_log(write(tmp_path, text, "x.asc"))
    assert [row[0] for row in reader] == [10_000]
    assert not reader.absolute
    assert "date not understood" in reader.clock_notes[0]


def test_a_reader_can_be_iterated_again(tbox_data: Path) -> None:
    reader = read_log(tbox_data / "tesla_model_s/gvret.csv", wanted={0x102})
    assert list(reader) == list(reader)
    assert reader.frames == 12_974


def test_gzipped_recordings_are_read_and_a_cut_one_ends_without_an_error(tbox_data: Path, tmp_path: Path) -> None:
    plain = tbox_data / "tesla_model_s/gvret.csv"
    packed = gzip.compress(plain.read_bytes())
    (tmp_path / "whole.csv.gz").write_bytes(packed)
    (tmp_path / "cut.csv.gz").write_bytes(packed[: len(packed) // 2])
    assert list(read_log(tmp_path / "whole.csv.gz")) == list(read_log(plain))
    cut = read_log(tmp_path / "cut.csv.gz")
    assert 0 < len(list(cut)) < 12_974
    assert cut.truncated


def test_progress_goes_from_nothing_to_all(tbox_data: Path) -> None:
    reader = read_log(tbox_data / "tesla_model_s/gvret.csv")
    seen = [reader.progress for _ in reader]
    assert seen == sorted(seen)
    assert 0 < seen[0] < 0.5
    assert reader.progress == 1


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"MDF     3.30    ", "an MDF recording older than version 4"),
        (b"MDF     4.10    ", "an MF4 recording that was cut before its first frame"),
        (b";$FILEVERSION=1.9\n", "PEAK TRC version 1.9; read here: 1.0, 1.1, 1.2, 1.3, 2.x"),
        (b";$FILEVERSION=2.0\n;$COLUMNS=N,O,I,L,D\n", "COLUMNS=N,O,I,L,D does not name T"),
        (b"  can0  123   [2]  01 02\n", "candump's screen output"),
        (b"166.000 0RTR 21A\n", "not a recording of a known format"),
        (b"\n\n", "holds no line"),
        (b"", "holds no line"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, content: bytes, named: str) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=named) as raised:
        read_log(path)
    assert str(path) in str(raised.value)


def test_a_missing_file_is_a_fault_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_log(tmp_path / "absent.log")


@pytest.mark.parametrize("far", ["9999999999999.000000", "1999999999.000000", f"{'9' * 4000}.0"])
def test_a_stamp_of_another_age_does_not_carry_the_others_away(tmp_path: Path, far: str) -> None:
    """A replay samples each second between two stamps: it would not end."""
    text = f"(1700000000.000000) can0 100#01\n({far}) can0 100#02\n(1700000001.500000) can0 100#03\n"
    reader = read_log(write(tmp_path, text + "(1700000001.600000) can0 100#04\n"))
    start = 1_700_000_000_000_000
    assert [row[0] - start for row in reader] == [0, 0, 0, 100_000]
    assert reader.clock_notes == ["the clock was set or began anew 2 times: time goes on from the last stamp before"]


def test_a_gap_of_weeks_is_a_gap(tmp_path: Path) -> None:
    text = "(1700000000.000000) can0 100#01\n(1702600000.000000) can0 100#02\n"
    assert [row[0] for row in read_log(write(tmp_path, text))] == [1_700_000_000_000_000, 1_702_600_000_000_000]
