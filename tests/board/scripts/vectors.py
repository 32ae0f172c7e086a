"""Checks the core against the printed packets, under MicroPython and CPython alike: `micropython vectors.py FILE.json ...`."""

import binascii
import json
import sys

from agent.core.dataunit import decode_data_unit, encode_data_unit
from agent.core.editions import BY_START
from agent.core.packet import Packet, PacketReader, build_packet, epoch_of, time_bytes

passed = 0


def ok(name: str) -> None:
    global passed
    passed += 1
    print(f"ok {passed} {name}")


def chunks(stream: bytes, size: int) -> "list[bytes]":
    return [stream[at : at + size] for at in range(0, len(stream), size)]


def read(pieces: "list[bytes]") -> "tuple[list[bytes], int]":
    """The packets of a stream that arrives in these pieces, and how many bytes were noise."""
    reader = PacketReader()
    packets: list[bytes] = []
    for piece in pieces:
        packets += reader.feed(piece)
    assert reader.pending() == 0, "bytes left over"
    assert reader.bad_bcc == 0, "bytes taken for a packet"
    return packets, reader.noise_bytes


def check_packet(raw: bytes) -> Packet:
    """The packet is what its bytes say, and its parts make the same bytes again."""
    packet = Packet(raw)
    assert packet.bcc_ok, "check code"
    built = build_packet(packet.start, packet.command, packet.response, packet.vin, packet.encryption, packet.unit)
    assert built == raw, "packet differs when built again"
    return packet


def check_unit(packet: Packet) -> None:
    edition = BY_START[packet.start]
    unit = decode_data_unit(edition, packet.command, packet.unit, packet.response)
    assert not unit.rest, "bytes behind the last row"
    again = encode_data_unit(edition, packet.command, unit, packet.response)
    assert again == packet.unit, "unit differs when encoded again"
    if unit.time:
        assert time_bytes(epoch_of(unit.time)) == unit.time, "time"


def main(paths: "list[str]") -> None:
    vectors = []
    for path in paths:
        with open(path) as file:
            vectors += json.load(file)
    packets = []
    for vector in vectors:
        name = vector["name"]
        raw = binascii.unhexlify(vector["hex"])
        packets.append(raw)
        packet = check_packet(raw)
        ok(f"{name}: parts")
        check_unit(packet)
        ok(f"{name}: unit")
    stream = b"".join(packets)
    for size in (1, 2, 3, 7, 10, 24, 25, 100, 1000, len(stream)):
        assert read(chunks(stream, size)) == (packets, 0), f"stream in pieces of {size}"
        ok(f"stream in pieces of {size}")
    for cut in range(1, len(stream)):
        assert read([stream[:cut], stream[cut:]]) == (packets, 0), f"stream cut at {cut}"
    ok("stream cut anywhere")
    noise = b"\x00#$ noise 23 #"  # its last byte and a start mark look like a start mark too
    assert read([noise + packets[0] + noise + packets[1]]) == (packets[:2], 2 * len(noise)), "noise"
    ok("noise before packets")
    print(f"1..{passed}")


main(sys.argv[1:])
