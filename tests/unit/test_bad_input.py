"""What a broken or hostile peer sends: nothing but FF, another edition's packets, strange VINs, halves, endless beginnings."""

import json
import tracemalloc
from pathlib import Path

import pytest

from agent.core.dataunit import decode_data_unit, encode_data_unit
from agent.core.edition import Edition
from agent.core.editions import BY_START, EDITIONS
from agent.core.errors import LocalProtocolError, RemoteProtocolError
from agent.core.packet import COMMAND, HEADER_SIZE, MAX_DATA_UNIT, Packet, PacketReader, build_packet

VIN = b"LGBTEST0000000017"
TIME = bytes((25, 3, 14, 9, 26, 53))
VECTORS = [
    (path.stem, vector["name"], bytes.fromhex(vector["hex"]))
    for path in sorted((Path(__file__).parents[1] / "vectors").glob("packets_*.json"))
    for vector in json.loads(path.read_text(encoding="utf-8"))
]
RAWS = [raw for _, _, raw in VECTORS]
COMMANDS = [
    pytest.param(edition, command, id=f"{name}-{command:02X}")
    for name, edition in EDITIONS.items()
    for command in [*edition.commands, 0x00, 0x7F, 0xC0, 0xFF]
]

every_command = pytest.mark.parametrize(("edition", "command"), COMMANDS)
every_vector = pytest.mark.parametrize("raw", RAWS, ids=[f"{stem}-{name}" for stem, name, _ in VECTORS])


def check_place(error: RemoteProtocolError, data: bytes) -> None:
    assert 0 <= error.offset <= len(data)
    assert error.data == data[error.offset : error.offset + 16]


def check(edition: Edition, command: int, response: int, data: bytes) -> str:
    """Decoded without loss, or refused at a place inside the data, in bounded memory; says which."""
    tracemalloc.start()
    try:
        unit = decode_data_unit(edition, command, data, response)
        said = "decoded"
    except RemoteProtocolError as error:
        assert response == COMMAND, "an answer is kept whole, never refused"
        check_place(error, data)
        return "refused"
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= 16_000 + 200 * len(data)
    assert encode_data_unit(edition, command, unit, response, strict=False) == data
    return said


@every_command
@pytest.mark.parametrize("response", [COMMAND, 1, 2])
@pytest.mark.parametrize("head", [b"", TIME])
def test_nothing_but_ff(edition: Edition, command: int, response: int, head: bytes) -> None:
    unit = head + b"\xff" * (MAX_DATA_UNIT - len(head))
    raw = build_packet(edition.start, command, response, VIN, 1, unit)
    assert PacketReader().feed(raw) == [raw]
    check(edition, command, response, Packet(raw).unit)


@pytest.mark.parametrize("edition", EDITIONS.values(), ids=EDITIONS)
@pytest.mark.parametrize(
    "piece", [b"\x00", b"\x80\x00\x00", b"\x09\x00", b"\x08\x00", b"\x09\x01\x01\x00\x00", b"\xff\x01\x00\x00\x00\x00"]
)
def test_the_smallest_bodies_take_memory_in_proportion(edition: Edition, piece: bytes) -> None:
    check(edition, 2, COMMAND, (TIME + piece * MAX_DATA_UNIT)[:MAX_DATA_UNIT])


@every_vector
def test_the_other_editions_tables_lose_nothing(raw: bytes) -> None:
    packet = Packet(raw)
    for edition in EDITIONS.values():
        said = check(edition, packet.command, packet.response, packet.unit)
        assert said == "decoded" or edition is not BY_START[packet.start], "its own tables read a printed packet"


@every_vector
@pytest.mark.parametrize("start", [b"$#", b"#$", b"\x00\x00", b"%%"])
def test_a_start_mark_of_no_edition_is_no_packet(raw: bytes, start: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match=r"^no start mark ## or \$\$ at offset 0 "):
        Packet(start + raw[2:])
    reader = PacketReader()
    assert reader.feed(start + raw[2:]) == []
    assert reader.feed(raw) == [raw]


@pytest.mark.parametrize(
    "vin", [bytes(17), b"\xff" * 17, b"##\x02\xfe" * 4 + b"#", "粤B12345678".encode("gb18030").ljust(17)]
)
def test_any_seventeen_bytes_stand_for_a_vin_and_come_back(vin: bytes) -> None:
    raw = build_packet(b"##", 7, COMMAND, vin, 1, b"")
    assert Packet(raw).vin == vin
    assert PacketReader().feed(raw) == [raw]


@pytest.mark.parametrize("vin", [b"", VIN[:16], VIN + b"8"])
def test_a_vin_of_another_length_is_not_sent(vin: bytes) -> None:
    with pytest.raises(LocalProtocolError, match=f" has {len(vin)} characters, 17 are needed$"):
        build_packet(b"##", 7, COMMAND, vin, 1, b"")


@every_vector
def test_every_half_is_refused_and_waits_for_the_rest(raw: bytes) -> None:
    for cut in range(len(raw)):
        half = raw[:cut]
        with pytest.raises(RemoteProtocolError) as caught:
            Packet(half)
        assert 0 <= caught.value.offset <= cut
        reader = PacketReader()
        assert reader.feed(half) == []
        assert (reader.pending(), reader.noise_bytes) == (cut, 0)
        assert reader.feed(raw[cut:]) == [raw]


@every_vector
def test_a_half_takes_nothing_from_what_comes_behind_it(raw: bytes) -> None:
    """It may borrow the next packets' bytes, and so delay them by the longest data unit, never longer.

    It takes them only where the sum of 8 bits comes out right by chance, one time in 256.
    """
    other = build_packet(b"##", 7, COMMAND, VIN, 1, b"")
    max_unit = 400
    taken = 0
    for cut in range(1, len(raw)):
        reader = PacketReader(max_unit)
        found = reader.feed(raw[:cut] + other * 3 + bytes(HEADER_SIZE + max_unit))
        if found[0] != other:
            taken += 1
            assert found[0][:cut] == raw[:cut]
            assert Packet(found.pop(0)).bcc_ok
        else:
            assert len(found) == 3, f"cut at {cut}"
        assert found == [other] * len(found), f"cut at {cut}"
    assert taken <= 2 + len(raw) // 64


@every_vector
def test_every_half_of_a_data_unit_is_decoded_without_loss_or_refused(raw: bytes) -> None:
    packet = Packet(raw)
    for cut in range(len(packet.unit)):
        check(BY_START[packet.start], packet.command, packet.response, packet.unit[:cut])


@pytest.mark.parametrize("max_unit", [100, 1024, MAX_DATA_UNIT])
@pytest.mark.parametrize(
    "piece",
    [
        b"\xff",
        b"#",
        b"#$",
        build_packet(b"##", 2, COMMAND, VIN, 1, bytes(5000))[:HEADER_SIZE],
        build_packet(b"$$", 2, COMMAND, VIN, 1, bytes(MAX_DATA_UNIT))[:HEADER_SIZE],
    ],
    ids=["ff", "mark", "two marks", "headers", "long headers"],
)
def test_a_reader_keeps_no_more_than_one_packet_can_have(piece: bytes, max_unit: int) -> None:
    chunk = piece * (4096 // len(piece))
    reader = PacketReader(max_unit)
    tracemalloc.start()
    fed = 0
    while fed < 2 * (HEADER_SIZE + max_unit) + 10_000:
        assert reader.feed(chunk) == []
        fed += len(chunk)
        assert reader.pending() <= HEADER_SIZE + max_unit
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept <= HEADER_SIZE + max_unit + 1000
    # What was kept with the chunk behind it, and the new rest.
    assert peak <= 3 * (HEADER_SIZE + max_unit) + 4 * len(chunk) + 4000
    assert reader.noise_bytes + reader.pending() == fed
