"""The packet and its time, by the printed packets and by hand."""

import json
import sys
from functools import reduce
from operator import xor
from pathlib import Path

import pytest

from agent.core.dataunit import decode_data_unit, encode_data_unit
from agent.core.editions import EDITIONS
from agent.core.errors import LocalProtocolError, RemoteProtocolError
from agent.core.packet import (
    ENCRYPTIONS,
    MAX_DATA_UNIT,
    RESPONSES,
    STARTS,
    Packet,
    PacketReader,
    bcc,
    build_packet,
    epoch_of,
    time_bytes,
)

EDITION = EDITIONS["2016"]
VIN = b"LGBTEST0000000017"
VECTORS = json.loads((Path(__file__).parents[1] / "vectors/packets_2016.json").read_text(encoding="utf-8"))
RAWS = [bytes.fromhex(vector["hex"]) for vector in VECTORS]

SHORT = build_packet(b"##", 7, 0xFE, VIN, 1, b"")

vectors = pytest.mark.parametrize("raw", RAWS, ids=[vector["name"] for vector in VECTORS])


def said(error: RemoteProtocolError) -> tuple[object, ...]:
    return error.reason, error.clause, error.offset, error.data


@vectors
def test_printed_packets_come_back_byte_by_byte(raw: bytes) -> None:
    packet = Packet(raw)
    assert packet.bcc_ok
    unit = decode_data_unit(EDITION, packet.command, packet.unit, packet.response)
    again = encode_data_unit(EDITION, packet.command, unit, packet.response)
    assert build_packet(packet.start, packet.command, packet.response, packet.vin, packet.encryption, again) == raw


def test_a_stream_of_all_printed_packets_is_cut_at_their_ends() -> None:
    reader = PacketReader()
    assert reader.feed(b"".join(RAWS)) == RAWS
    assert reader.noise_bytes == 0


def test_a_packet_with_a_wrong_check_code_is_counted_and_skipped() -> None:
    reader = PacketReader()
    damaged = RAWS[0][:-1] + bytes((RAWS[0][-1] ^ 1,))
    assert reader.feed(damaged + RAWS[1]) == [RAWS[1]]
    assert (reader.bad_bcc, reader.noise_bytes) == (1, len(damaged))


@pytest.mark.parametrize(("offset", "byte"), [(3, 0x00), (3, 0x30), (21, 0x00), (21, 0x23)])
def test_a_header_with_an_unknown_flag_or_encryption_is_not_believed(offset: int, byte: int) -> None:
    header = bytearray(build_packet(b"##", 2, 0xFE, VIN, 1, bytes(5000))[:24])
    header[offset] = byte
    assert PacketReader().feed(bytes(header) + RAWS[0]) == [RAWS[0]]


def test_a_believed_header_whose_packet_never_comes_holds_what_follows_back() -> None:
    header = build_packet(b"##", 2, 0xFE, VIN, 1, bytes(5000))[:24]
    reader = PacketReader()
    assert reader.feed(header + RAWS[0]) == []
    assert reader.pending() == 24 + len(RAWS[0])
    assert PacketReader(max_unit=1000).feed(header + RAWS[0]) == [RAWS[0]]


@pytest.mark.parametrize(("half", "whole"), [(b"#", RAWS[0]), (b"$", b"$$" + RAWS[0][2:])])
def test_half_a_mark_at_the_end_waits(half: bytes, whole: bytes) -> None:
    reader = PacketReader()
    assert reader.pending() == 0
    assert reader.feed(b"xyz" + half) == []
    assert (reader.noise_bytes, reader.pending()) == (3, 1)
    assert reader.feed(whole[1:]) == [whole]
    assert (reader.noise_bytes, reader.pending()) == (3, 0)


@pytest.mark.parametrize("mark", [0x23, 0x24])
def test_a_check_code_that_looks_like_half_a_mark_is_not_taken_twice(mark: int) -> None:
    unit = bytes((build_packet(b"##", 2, 0xFE, VIN, 1, b"\x00")[-1] ^ mark,))
    raw = build_packet(b"##", 2, 0xFE, VIN, 1, unit)
    assert raw[-1] == mark
    reader = PacketReader()
    assert reader.feed(raw) == [raw]
    assert (reader.noise_bytes, reader.pending()) == (0, 0)


def test_the_shortest_packet_is_found_without_a_byte_behind_it() -> None:
    raw = build_packet(b"##", 7, 0xFE, VIN, 1, b"")
    reader = PacketReader()
    assert reader.feed(raw[:-1]) == []
    assert reader.feed(raw[-1:]) == [raw]


def test_damaged_packets_and_their_bytes_are_counted_one_by_one() -> None:
    raw = build_packet(b"##", 7, 0xFE, VIN, 1, b"")
    damaged = raw[:-1] + bytes((raw[-1] ^ 1,))
    reader = PacketReader()
    assert reader.feed(damaged * 3 + raw) == [raw]
    assert (reader.bad_bcc, reader.noise_bytes) == (3, 3 * len(raw))


def test_only_the_named_commands_are_believed() -> None:
    wanted, other = (build_packet(b"##", command, 0xFE, VIN, 1, b"") for command in (2, 7))
    reader = PacketReader(commands=b"\x02")
    assert reader.feed(other + wanted + other) == [wanted]
    assert reader.noise_bytes == 2 * len(other)
    assert PacketReader(commands=b"").feed(wanted) == []
    assert PacketReader().feed(other + wanted) == [other, wanted]


@pytest.mark.parametrize(
    ("raw", "reason", "offset"),
    [
        (b"", "packet of 0 bytes; the shortest has 25", 0),
        (RAWS[0][:24], "packet of 24 bytes; the shortest has 25", 24),
        (b"#$" + RAWS[0][2:], "no start mark ## or $$", 0),
        (SHORT + b"\x00", "length says 25 bytes in all, there are 26", 22),
        (SHORT[:22] + b"\x00\x01" + SHORT[24:], "length says 26 bytes in all, there are 25", 22),
        (SHORT[:22] + b"\xff\xfc" + SHORT[24:], "data unit length 65532 above 65531", 22),
        (SHORT[:22] + b"\xff\xff" + SHORT[24:], "data unit length 65535 above 65531", 22),
    ],
)
def test_what_is_not_one_packet_is_refused_with_its_place(raw: bytes, reason: str, offset: int) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        Packet(raw)
    assert said(caught.value) == (reason, "6.2", offset, raw[offset : offset + 16])


def test_the_error_shows_sixteen_bytes_from_its_place() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        Packet(RAWS[0] + b"\x00")
    assert caught.value.data == RAWS[0][22:38]
    assert RAWS[0][22:38].hex().upper() in str(caught.value)


def test_the_longest_data_unit_fits_and_one_more_byte_does_not() -> None:
    raw = build_packet(b"##", 2, 0xFE, VIN, 1, bytes(MAX_DATA_UNIT))
    assert PacketReader().feed(raw) == [raw]
    assert Packet(raw).unit == bytes(MAX_DATA_UNIT)
    assert Packet(bytearray(raw)).raw == raw
    with pytest.raises(LocalProtocolError, match=r"^data unit of 65532 bytes; at most 65531 fit$"):
        build_packet(b"##", 2, 0xFE, VIN, 1, bytes(MAX_DATA_UNIT + 1))


def test_a_vin_has_seventeen_characters() -> None:
    with pytest.raises(LocalProtocolError, match=r"^VIN b'LGBTEST000000001' has 16 characters, 17 are needed$"):
        build_packet(b"##", 7, 0xFE, VIN[:16], 1, b"")


def test_check_code_of_nothing_and_of_one_byte() -> None:
    assert (bcc(b""), bcc(b"\xa5"), bcc(b"\xa5\x5a")) == (0, 0xA5, 0xFF)


@pytest.mark.parametrize("size", [255, 2047, 2048, 2049, 4095, 4096, 4097, 65550])
def test_check_code_of_many_bytes_is_their_xor(size: int) -> None:
    data = bytes(at * at // 7 & 0xFF for at in range(size))
    assert all(reduce(xor, data[at : at + 2048]) for at in range(0, size, 2048)), "each block counts"
    assert bcc(data) == reduce(xor, data)


def test_time_is_beijing_time() -> None:
    assert time_bytes(1741915613) == bytes((25, 3, 14, 9, 26, 53))  # 2025-03-14T01:26:53Z
    assert epoch_of(b"\xff" + bytes((25, 3, 14, 9, 26, 53)), 1) == 1741915613


@pytest.mark.parametrize(
    ("data", "epoch_s"),
    [
        # The edges of years, of leap years and of February, by `date -u -d "2000-01-01 00:00 +0800" +%s`.
        ((0, 1, 1, 0, 0, 0), 946656000),
        ((0, 2, 29, 12, 0, 0), 951796800),
        ((0, 3, 1, 0, 0, 0), 951840000),
        ((0, 12, 31, 23, 59, 59), 978278399),
        ((1, 1, 1, 0, 0, 0), 978278400),
        ((1, 3, 1, 0, 0, 0), 983376000),
        ((3, 12, 31, 23, 59, 59), 1072886399),
        ((4, 1, 1, 0, 0, 0), 1072886400),
        ((24, 1, 1, 0, 1, 0), 1704038460),
        ((24, 2, 1, 0, 0, 0), 1706716800),
        ((24, 3, 31, 0, 0, 0), 1711814400),
        ((25, 1, 31, 0, 59, 59), 1738256399),
        ((99, 12, 31, 23, 59, 59), 4102415999),
    ],
)
def test_times_at_the_edges(data: tuple[int, ...], epoch_s: int) -> None:
    assert epoch_of(bytes(data) + b"\xff") == epoch_s
    assert time_bytes(epoch_s) == bytes(data)


@pytest.mark.parametrize("epoch_s", [946655999, 4102416000, -1, 0])
def test_time_outside_the_century_is_refused(epoch_s: int) -> None:
    with pytest.raises(LocalProtocolError, match=f"^time {epoch_s} is outside the years 2000 to 2099$"):
        time_bytes(epoch_s)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ((100, 1, 1, 0, 0, 0), "impossible time"),
        ((24, 0, 1, 0, 0, 0), "impossible time"),
        ((24, 13, 1, 0, 0, 0), "impossible time"),
        ((24, 1, 1, 24, 0, 0), "impossible time"),
        ((24, 1, 1, 0, 60, 0), "impossible time"),
        ((24, 1, 1, 0, 0, 60), "impossible time"),
        ((24, 1, 0, 0, 0, 0), "impossible day of the month"),
        ((25, 2, 29, 0, 0, 0), "impossible day of the month"),
        ((24, 2, 30, 0, 0, 0), "impossible day of the month"),
        ((24, 3, 32, 0, 0, 0), "impossible day of the month"),
        ((24, 4, 31, 0, 0, 0), "impossible day of the month"),
        ((24, 1, 1, 0, 0), "data end inside the time"),
    ],
)
def test_impossible_times_are_refused_with_their_place(data: tuple[int, ...], reason: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        epoch_of(b"xyz" + bytes(data), 3)
    assert said(caught.value) == (reason, "6.4", 3, bytes(data))


def test_the_reader_knows_the_marks_flags_and_codes_of_every_edition() -> None:
    assert {name: edition.start for name, edition in EDITIONS.items()} == STARTS
    assert set(RESPONSES) == {flag for edition in EDITIONS.values() for flag in edition.responses}
    assert set(ENCRYPTIONS) == {code for edition in EDITIONS.values() for code in edition.encryptions}


@pytest.mark.parametrize("noise", [b"#", b"$"])
def test_a_mark_that_is_not_there_is_searched_for_once_and_not_behind_each_byte(noise: bytes) -> None:
    searched = 0

    def count(_frame: object, event: str, called: object) -> None:
        nonlocal searched
        searched += event == "c_call" and getattr(called, "__name__", "") == "find"

    sys.setprofile(count)
    PacketReader(4096).feed(noise * 1000)
    sys.setprofile(None)
    assert searched < 1000 + 2  # one step a byte for the mark that is there
