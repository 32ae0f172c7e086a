"""The packet and its time, by the printed packets and by hand."""

import json
import sys
from pathlib import Path

import pytest

from agent.core.dataunit import decode_data_unit, encode_data_unit
from agent.core.editions import EDITIONS
from agent.core.errors import LocalProtocolError, RemoteProtocolError
from agent.core.packet import MAX_DATA_UNIT, Packet, PacketReader, bcc, build_packet, epoch_of, time_bytes

EDITION = EDITIONS["2016"]
VIN = b"LGBTEST0000000017"
VECTORS = json.loads((Path(__file__).parents[1] / "vectors/packets_2016.json").read_text(encoding="utf-8"))
RAWS = [bytes.fromhex(vector["hex"]) for vector in VECTORS]

vectors = pytest.mark.parametrize("raw", RAWS, ids=[vector["name"] for vector in VECTORS])


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


def test_half_a_mark_at_the_end_waits() -> None:
    reader = PacketReader()
    assert reader.feed(b"xyz#") == []
    assert (reader.noise_bytes, reader.pending()) == (3, 1)
    assert reader.feed(RAWS[0][1:]) == [RAWS[0]]


@pytest.mark.parametrize(
    ("raw", "reason", "offset"),
    [
        (b"", "packet of 0 bytes", 0),
        (RAWS[0][:24], "packet of 24 bytes", 24),
        (b"#$" + RAWS[0][2:], "no start mark", 0),
        (RAWS[0] + b"\x00", "length says", 22),
        (RAWS[0][:-1], "length says", 22),
        (RAWS[0][:22] + b"\xff\xff" + RAWS[0][24:], "65535 above 65531", 22),
    ],
)
def test_what_is_not_one_packet_is_refused_with_its_place(raw: bytes, reason: str, offset: int) -> None:
    with pytest.raises(RemoteProtocolError, match=reason) as caught:
        Packet(raw)
    assert (caught.value.offset, caught.value.clause) == (offset, "6.2")


def test_the_error_shows_sixteen_bytes_from_its_place() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        Packet(RAWS[0] + b"\x00")
    assert caught.value.data == RAWS[0][22:38]
    assert RAWS[0][22:38].hex().upper() in str(caught.value)


def test_the_longest_data_unit_fits_and_one_more_byte_does_not() -> None:
    raw = build_packet(b"##", 2, 0xFE, VIN, 1, bytes(MAX_DATA_UNIT))
    assert PacketReader().feed(raw) == [raw]
    with pytest.raises(LocalProtocolError, match="65532 bytes; at most 65531"):
        build_packet(b"##", 2, 0xFE, VIN, 1, bytes(MAX_DATA_UNIT + 1))


def test_a_vin_has_seventeen_characters() -> None:
    with pytest.raises(LocalProtocolError, match="16 characters, 17 are needed"):
        build_packet(b"##", 7, 0xFE, VIN[:16], 1, b"")


def test_check_code_of_nothing_and_of_one_byte() -> None:
    assert (bcc(b""), bcc(b"\xa5"), bcc(b"\xa5\x5a")) == (0, 0xA5, 0xFF)


def test_time_is_beijing_time() -> None:
    assert time_bytes(1741915613) == bytes((25, 3, 14, 9, 26, 53))  # 2025-03-14T01:26:53Z
    assert epoch_of(b"\xff" + bytes((25, 3, 14, 9, 26, 53)), 1) == 1741915613


@pytest.mark.parametrize("epoch_s", [946655999, 4102416000, -1, 0])
def test_time_outside_the_century_is_refused(epoch_s: int) -> None:
    with pytest.raises(LocalProtocolError, match="outside the years 2000 to 2099"):
        time_bytes(epoch_s)


@pytest.mark.parametrize(
    "data", [(25, 2, 29, 0, 0, 0), (24, 4, 31, 0, 0, 0), (100, 1, 1, 0, 0, 0), (24, 1, 1, 24, 0, 0)]
)
def test_impossible_times_are_refused(data: tuple[int, ...]) -> None:
    with pytest.raises(RemoteProtocolError, match="impossible"):
        epoch_of(bytes(data))


def test_a_short_time_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="data end inside the time"):
        epoch_of(bytes(5))


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
