"""A platform that commands without end: memory and log stay bounded, others have their turns, nothing stored suffers."""

import asyncio
import tracemalloc

import msgspec
import pytest
from commanded_parts import recorder
from platformside_parts import Terminal, config_for, nothing_changed, units
from security_parts import DATA_KEY, a_key, write_keys

from agent.clock import Clock
from agent.core.dataunit import DataUnit, encode_data_unit
from agent.core.editions import EDITIONS
from agent.core.packet import COMMAND, PLAIN, SUCCESS, Packet, PacketReader, build_packet, time_bytes
from agent.platform.commanded import MOST_STARTS
from agent.remarks import MOST

VIN = b"LGBTEST0000000017"
WALL_S = 1_767_827_170
COMMANDS = 1000
MOST_MEMORY = 4_000_000  # bytes above what stood before; one read of the flood brings 64 KiB
EDITION_NAMES = pytest.mark.parametrize("edition", ["2016", "2025"])
LONG_HOST = ".".join(["h" * 60] * 4)


def flood(edition, command, unit_of):
    """So many commands, no two of them alike: a repeat would only get the answer of before."""
    start = EDITIONS[edition].start
    return [build_packet(start, command, COMMAND, VIN, PLAIN, unit_of(number)) for number in range(COMMANDS)]


def queries(edition):
    ids = bytes((252,)) + bytes(number % 0x10 + 1 for number in range(252))
    return flood(edition, 0x80, lambda number: time_bytes(WALL_S + number) + ids)


def alarms(edition):
    return flood(edition, 0x82, lambda number: time_bytes(WALL_S + number) + b"\x06\x01" + b"STOP %04d " % number * 20)


def keys(edition, first_s, last_s):
    def unit(number):
        key = number.to_bytes(16, "big")
        values = {"key_type": 3, "key": key, "valid_from": time_bytes(first_s), "valid_until": time_bytes(last_s)}
        return encode_data_unit(EDITIONS[edition], 0x0B, DataUnit(b"", values))

    return flood(edition, 0x0B, unit)


class Outcome:
    """What came of a flood."""

    def __init__(self):
        self.answers = []
        self.turns = 0  # of the event loop that others had while the flood was taken
        self.memory = 0


async def flooded(folder, edition, commands, outcome, security=None, **control):
    """Log the terminal in, flood it, and take what it answers; three rows wait in its outbox meanwhile."""
    start = EDITIONS[edition].start
    begin, everything_answered = asyncio.Event(), asyncio.Event()
    reported = set()

    async def serve(reader, writer):
        packets = PacketReader()
        sending = None
        while data := await reader.read(65536):
            for raw in packets.feed(data):
                packet = Packet(raw)
                if packet.response != COMMAND:
                    outcome.answers.append((packet.command, packet.response, len(packet.unit)))
                elif packet.command == 1:
                    writer.write(build_packet(start, 1, SUCCESS, VIN, PLAIN, b""))
                    sending = asyncio.create_task(send(writer))
                elif packet.command in (2, 3):
                    reported.add(packet.unit)
            if len(outcome.answers) >= COMMANDS:
                everything_answered.set()
        if sending is not None:
            await sending
        writer.close()

    async def send(writer):
        await begin.wait()
        for command in commands:
            writer.write(command)
            await writer.drain()

    async def others():
        begin.set()
        while not everything_answered.is_set():
            outcome.turns += 1
            await asyncio.sleep(0)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    config = config_for(folder, edition, server.sockets[0].getsockname()[1], security, **control)
    platform = msgspec.structs.replace(config.platform, public_host=LONG_HOST, time_sync=False)
    made = Terminal(msgspec.structs.replace(config, platform=platform), Clock())
    await made.start()
    try:
        await made.append(0, 3)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        with nothing_changed(made, 3):
            async with asyncio.timeout(60):
                await others()
        outcome.memory = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
        assert made.uplink.counters.commands == COMMANDS
        assert made.uplink.counters.links_lost == 0
        await made.delivered(3)
        assert len(reported) == 3
        assert security or reported == units(edition, 3)
    finally:
        tracemalloc.stop()
        await made.stop()
        server.close()


def run(folder, edition, commands, security=None, **control):
    outcome = Outcome()
    asyncio.run(flooded(folder, edition, commands, outcome, security, **control))
    assert len(outcome.answers) == COMMANDS
    assert outcome.memory < MOST_MEMORY
    assert outcome.turns >= COMMANDS
    return outcome


def said(caplog):
    return [record.getMessage() for record in caplog.records if record.name.startswith("agent")]


@EDITION_NAMES
def test_queries_of_252_ids(tmp_path, edition, caplog):
    caplog.set_level("INFO")
    outcome = run(tmp_path, edition, queries(edition))
    assert {(command, flag) for command, flag, _ in outcome.answers} == {(0x80, SUCCESS)}
    ((size, *others),) = [{size for _, _, size in outcome.answers}]
    assert not others
    assert len(LONG_HOST) < size < 400  # each id once, however often it was asked for
    assert len([text for text in said(caplog) if "parameters read" in text]) <= MOST
    assert len(said(caplog)) < 2 * MOST


@EDITION_NAMES
def test_alarms_with_text(tmp_path, edition, caplog):
    caplog.set_level("INFO")
    argv, _ = recorder(tmp_path, f"echo >> {tmp_path}/starts")
    outcome = run(tmp_path, edition, alarms(edition), alarm=[*argv, "{level}", "{text}"])
    flags = [flag for _, flag, _ in outcome.answers]
    starts = (tmp_path / "starts").read_text().count("\n")
    assert 1 <= starts <= MOST_STARTS
    assert flags.count(SUCCESS) == starts
    assert len(said(caplog)) < 10 * MOST


@pytest.mark.parametrize(("first_s", "last_s", "flag"), [(0, 1, 2), (0, 4_000_000_000, 1)], ids=["expired", "good"])
def test_keys(tmp_path, caplog, first_s, last_s, flag):
    caplog.set_level("INFO")
    write_keys(tmp_path, a_key("sm2"))
    security = {"encryption": "aes", "data_key": "data.key", "wrapped_keys": False}
    first_s, last_s = 1_000_000_000 + first_s, min(1_000_000_000 + last_s, 4_000_000_000)
    outcome = run(tmp_path, "2025", keys("2025", first_s, last_s), security)
    assert DATA_KEY not in caplog.text
    assert {flag for _, flag, _ in outcome.answers} == {flag}
    assert {size for _, _, size in outcome.answers} == {0}
    assert len([text for text in said(caplog) if "key of the platform" in text]) <= MOST
    assert len(said(caplog)) < 2 * MOST


def test_keys_where_none_are_wanted(tmp_path, caplog):
    outcome = run(tmp_path, "2025", keys("2025", 1_000_000_000, 4_000_000_000))
    assert {flag for _, flag, _ in outcome.answers} == {2}
    assert len(said(caplog)) < 2 * MOST
