"""Packets out of a byte stream: cut anywhere, with noise in it, or not yet whole."""

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.core.errors import RemoteProtocolError
from agent.core.packet import COMMAND, ENCRYPTIONS, RESPONSES, STARTS, Packet, PacketReader, build_packet

MAX_UNIT = 300

PACKETS = st.lists(
    st.builds(
        build_packet,
        st.sampled_from(sorted(STARTS.values())),
        st.integers(0, 255),
        st.sampled_from(RESPONSES),
        st.binary(min_size=17, max_size=17),
        st.sampled_from(ENCRYPTIONS),
        st.binary(max_size=60) | st.just(b"##" * 20),
    ),
    min_size=1,
    max_size=5,
)
CALM = bytes.maketrans(b"#$", b"xy")
# Bytes among which no start mark can begin.
QUIET = st.binary(max_size=80).map(lambda data: data.translate(CALM))
# Bytes that look like a beginning: marks, headers with any length, halves of packets.
LOUD = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.sampled_from([b"#", b"$", b"##", b"$$", b"#$", b"###"]),
        st.builds(
            lambda start, vin, size: start + b"\x02\xfe" + vin + b"\x01" + size.to_bytes(2, "big"),
            st.sampled_from(sorted(STARTS.values())),
            st.binary(min_size=17, max_size=17),
            st.integers(0, 65535),
        ),
    ),
    max_size=6,
).map(b"".join)


def read(data: bytes, cuts: list[int] = (), max_unit: int = MAX_UNIT) -> tuple[list[bytes], PacketReader]:  # type: ignore[assignment]
    reader = PacketReader(max_unit)
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [packet for first, last in pairwise(places) for packet in reader.feed(data[first:last])], reader


@given(packets=PACKETS, cuts=st.lists(st.integers(0, 1000)))
def test_any_chunks_give_the_same_packets(packets: list[bytes], cuts: list[int]) -> None:
    found, reader = read(b"".join(packets), cuts)
    assert found == packets
    assert (reader.noise_bytes, reader.bad_bcc, reader.pending()) == (0, 0, 0)


@given(
    stream=st.lists(st.binary(max_size=60) | LOUD | PACKETS.map(b"".join)).map(b"".join),
    cuts=st.lists(st.integers(0, 1000)),
)
def test_where_the_stream_is_cut_changes_nothing(stream: bytes, cuts: list[int]) -> None:
    found, reader = read(stream, cuts)
    whole, other = read(stream)
    assert found == whole
    assert (reader.noise_bytes, reader.bad_bcc, reader.pending()) == (other.noise_bytes, other.bad_bcc, other.pending())


@given(noise=QUIET, packets=PACKETS)
def test_noise_without_a_mark_costs_nothing_but_itself(noise: bytes, packets: list[bytes]) -> None:
    found, reader = read(noise + b"".join(packets))
    assert found == packets
    assert reader.noise_bytes == len(noise)


@given(noise=LOUD, packets=PACKETS, cuts=st.lists(st.integers(0, 1000), max_size=5))
def test_noise_swallows_a_packet_only_inside_one_with_a_right_check_code(
    noise: bytes, packets: list[bytes], cuts: list[int]
) -> None:
    """A false header may delay what follows by `MAX_UNIT` bytes at most; it takes a packet away only by being one itself."""
    filler = bytes(MAX_UNIT + 25)
    stream = noise + b"".join(packets) + filler
    found, reader = read(stream, cuts)
    assert reader.noise_bytes + sum(map(len, found)) + reader.pending() == len(stream)
    place = 0
    taken: list[tuple[int, int]] = []
    for packet in found:
        place = stream.index(packet, place)
        taken.append((place, place + len(packet)))
        place += len(packet)
    start = len(noise)
    for packet in packets:
        covered = any(first < start + len(packet) and start < last for first, last in taken)
        assert covered, f"the packet at {start} is neither found nor inside another one"
        start += len(packet)


@given(
    packets=PACKETS,
    vin=st.binary(min_size=17, max_size=17).map(lambda data: data.translate(CALM)),
    size=st.integers(MAX_UNIT + 1, 65535),
)
def test_a_length_above_the_limit_delays_nothing(packets: list[bytes], vin: bytes, size: int) -> None:
    assume(not set(size.to_bytes(2, "big")) & set(b"#$"))
    header = b"##\x02\xfe" + vin + b"\x01" + size.to_bytes(2, "big")
    found, reader = read(header + b"".join(packets))
    assert found == packets
    assert reader.noise_bytes == len(header)


@given(packets=PACKETS, commands=st.sets(st.integers(0, 255)))
def test_only_commands_of_the_other_side_are_believed(packets: list[bytes], commands: set[int]) -> None:
    quiet = [
        packet for packet in packets if b"##" not in packet[2:] and b"$$" not in packet[2:] and packet[-1:] not in b"#$"
    ]
    reader = PacketReader(MAX_UNIT, bytes(sorted(commands)))
    assert reader.feed(b"".join(quiet)) == [packet for packet in quiet if packet[2] in commands]


@given(packets=PACKETS, data=st.data())
def test_a_part_of_a_packet_needs_more(packets: list[bytes], data: st.DataObject) -> None:
    packet = packets[0]
    part = packet[: data.draw(st.integers(0, len(packet) - 1))]
    reader = PacketReader()
    assert reader.feed(part) == []
    assert reader.pending() == len(part)
    assert reader.feed(packet[len(part) :]) == [packet]
    with pytest.raises(RemoteProtocolError):
        Packet(part)


@given(packets=PACKETS)
def test_packet_splits_what_build_packet_joined(packets: list[bytes]) -> None:
    for raw in packets:
        packet = Packet(raw)
        parts = (packet.start, packet.command, packet.response, packet.vin, packet.encryption, packet.unit)
        assert build_packet(*parts) == raw
        assert packet.bcc_ok
        assert not Packet(raw[:-1] + bytes((raw[-1] ^ 1,))).bcc_ok


def test_a_whole_stream_of_reports_leaves_nothing_behind() -> None:
    raw = build_packet(b"##", 2, COMMAND, b"LGBTEST0000000017", 1, bytes(100))
    reader = PacketReader()
    assert sum(len(reader.feed(raw)) for _ in range(1000)) == 1000
    assert reader.pending() == 0
