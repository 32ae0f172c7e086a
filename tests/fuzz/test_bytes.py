"""Bytes of a peer that has gone mad: nothing crashes, hangs or grows, and every refusal says where."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from damage import damaged
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import bodies, units

from agent.core.dataunit import DataUnit, decode_bodies, decode_data_unit, encode_bodies, encode_data_unit
from agent.core.edition import Edition
from agent.core.editions import EDITIONS
from agent.core.errors import RemoteProtocolError
from agent.core.packet import COMMAND, HEADER_SIZE, MAX_DATA_UNIT, Packet, PacketReader, build_packet

Fuzz = Callable[[Callable[[], None]], None]

VIN = b"LGBTEST0000000017"
TIME = bytes((25, 3, 14, 9, 26, 53))
PRINTED = [
    bytes.fromhex(vector["hex"])
    for path in sorted((Path(__file__).parents[1] / "vectors").glob("packets_*.json"))
    for vector in json.loads(path.read_text(encoding="utf-8"))
]
FROM_PLATFORM = {0x80: "parameter_query", 0x81: "parameter_set", 0x82: "control"}
SMALL_READER = 1000  # bytes of data unit, about what a terminal takes

# What decoding may take at most. Two bytes can be a body, an empty list: a tuple, a dict and a list of ours (150 a byte).
DECODER_BYTES_PER_BYTE = 200
DECODER_BYTES = 16_000

every_edition = pytest.mark.parametrize("edition", EDITIONS.values(), ids=EDITIONS)
RESPONSES = st.sampled_from([COMMAND, COMMAND, COMMAND, 1, 2])


def printed_units(edition: Edition, command: int) -> list[bytes]:
    packets = [Packet(raw) for raw in PRINTED]
    return [packet.unit for packet in packets if packet.start == edition.start and packet.command == command]


@st.composite
def valid_units(draw: st.DrawFn, edition: Edition, command: int, legal: bool = True) -> bytes:
    """A data unit of this command: printed, or made from the tables."""
    printed = printed_units(edition, command)
    if printed and draw(st.booleans()):
        return draw(st.sampled_from(printed))
    row = edition.commands[command]
    response = draw(RESPONSES)
    unit = DataUnit(TIME if row.timed else b"")
    if row.reports:
        unit.bodies = draw(bodies(edition, legal))
    else:
        unit.values = draw(units(row, response, legal))
    return encode_data_unit(edition, command, unit, response, strict=legal)


def some_units(edition: Edition, commands: "list[int] | None" = None) -> st.SearchStrategy[tuple[int, bytes]]:
    """(command, data unit), the unit more or less damaged; sometimes under another command."""
    listed = sorted(edition.commands) if commands is None else commands
    return st.sampled_from(listed).flatmap(
        lambda command: st.tuples(
            st.just(command) | st.sampled_from(listed),
            damaged(valid_units(edition, command) | valid_units(edition, command, legal=False)),
        )
    )


@st.composite
def valid_packets(draw: st.DrawFn) -> bytes:
    edition = draw(st.sampled_from(list(EDITIONS.values())))
    command, unit = draw(some_units(edition))
    response = draw(RESPONSES)
    encryption = draw(st.sampled_from([1, 1, 1, *edition.encryptions]))
    return build_packet(edition.start, command, response, VIN, encryption, unit)


def check_refusal(error: RemoteProtocolError, data: bytes, first: int = 0) -> None:
    assert first <= error.offset <= len(data), f"offset {error.offset}, the data are {first}..{len(data)}"
    assert error.data == data[error.offset : error.offset + 16]
    assert error.reason
    assert error.clause
    assert f"offset {error.offset} " in str(error)


def check_unit(edition: Edition, command: int, response: int, data: bytes) -> None:
    """Decoded without loss or, if it is a command, refused with a place inside."""
    try:
        unit = decode_data_unit(edition, command, data, response)
    except RemoteProtocolError as error:
        assert response == COMMAND, "an answer is kept whole, never refused"
        check_refusal(error, data)
    else:
        assert encode_data_unit(edition, command, unit, response, strict=False) == data


@every_edition
def test_any_data_unit_is_decoded_without_loss_or_refused_at_a_place(edition: Edition, fuzz: Fuzz) -> None:
    @given(made=some_units(edition), response=RESPONSES)
    def holds(made: tuple[int, bytes], response: int) -> None:
        check_unit(edition, made[0], response, made[1])

    fuzz(holds)


@every_edition
def test_any_bodies_are_decoded_without_loss_or_refused_at_a_place(edition: Edition, fuzz: Fuzz) -> None:
    pieces = bodies(edition, legal=False).map(lambda listed: encode_bodies(edition, listed, strict=False))

    @given(data=damaged(pieces), offset=st.integers(0, 9))
    def holds(data: bytes, offset: int) -> None:
        data = bytes(offset) + data
        try:
            found, rest = decode_bodies(edition, data, offset)
        except RemoteProtocolError as error:
            check_refusal(error, data, offset)
        else:
            assert encode_bodies(edition, found, strict=False) + rest == data[offset:]

    fuzz(holds)


@every_edition
def test_any_command_of_a_platform_is_decoded_without_loss_or_refused_at_a_place(edition: Edition, fuzz: Fuzz) -> None:
    assert {command: edition.commands[command].name for command in FROM_PLATFORM} == FROM_PLATFORM

    @given(made=some_units(edition, list(FROM_PLATFORM)), response=RESPONSES)
    @example(made=(0x81, TIME + b"\x02\x04\xff\x05" + bytes(254)), response=COMMAND)
    @example(made=(0x81, TIME + b"\xfd" + b"\x01\x00\x00" * 253), response=COMMAND)
    def holds(made: tuple[int, bytes], response: int) -> None:
        check_unit(edition, made[0], response, made[1])

    fuzz(holds)


@every_edition
def test_decoding_takes_memory_in_proportion(edition: Edition, fuzz: Fuzz) -> None:
    @given(made=some_units(edition), many=st.sampled_from([1, 1, 10, 300]))
    def holds(made: tuple[int, bytes], many: int) -> None:
        command, data = made
        data = (data * many)[:MAX_DATA_UNIT]
        check_memory(edition, command, data)

    fuzz(holds)


def check_memory(edition: Edition, command: int, data: bytes) -> None:
    tracemalloc.start()
    try:
        unit = decode_data_unit(edition, command, data)
        assert unit is not None  # held until the peak is read
    except RemoteProtocolError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    bound = DECODER_BYTES + DECODER_BYTES_PER_BYTE * len(data)
    assert peak <= bound, f"{peak} bytes for {len(data)} bytes of data; {bound} are allowed"


def test_any_packet_is_split_or_refused_at_a_place(fuzz: Fuzz) -> None:
    @given(raw=damaged(valid_packets()))
    def holds(raw: bytes) -> None:
        try:
            packet = Packet(raw)
        except RemoteProtocolError as error:
            check_refusal(error, raw)
        else:
            parts = (packet.start, packet.command, packet.response, packet.vin, packet.encryption, packet.unit)
            assert build_packet(*parts)[:-1] + bytes((packet.bcc,)) == raw

    fuzz(holds)


def test_any_stream_gives_whole_packets_and_keeps_little(fuzz: Fuzz) -> None:
    @given(
        pieces=st.lists(damaged(valid_packets()) | valid_packets() | st.binary(max_size=40), max_size=5),
        step=st.integers(1, 200),
        max_unit=st.sampled_from([0, 40, SMALL_READER, MAX_DATA_UNIT]),
        commands=st.sampled_from([None, b"", b"\x01\x02\x07\x80\x81\x82"]),
    )
    def holds(pieces: list[bytes], step: int, max_unit: int, commands: bytes | None) -> None:
        stream = b"".join(pieces)
        reader = PacketReader(max_unit, commands)
        found: list[bytes] = []
        for at in range(0, len(stream), step):
            found += reader.feed(stream[at : at + step])
            assert reader.pending() <= HEADER_SIZE + max_unit
        assert sum(map(len, found)) + reader.noise_bytes + reader.pending() == len(stream)
        assert reader.bad_bcc <= reader.noise_bytes
        for raw in found:
            packet = Packet(raw)
            assert packet.bcc_ok
            assert len(packet.unit) <= max_unit
            assert commands is None or packet.command in commands

    fuzz(holds)
