"""Platforms that never stop talking: memory, log and collecting must not suffer; real sockets, no outbox needed."""

import asyncio
import random

import pytest

from agent.clock import Clock
from agent.core.delivery import Delivery
from agent.core.edition2016 import EDITION
from agent.core.packet import COMMAND, PLAIN, SUCCESS, build_packet
from agent.core.session import Session, SessionSettings
from agent.links.tcp import open_tcp
from agent.outbox_thread import OutboxThread
from agent.platform.uplink import Uplink, UplinkSettings
from agent.remarks import MOST

VIN = b"LTBXTEST100000001"
TIME = bytes((25, 3, 14, 9, 26, 53))
LOGIN_TAKEN = build_packet(b"##", 0x01, SUCCESS, VIN, PLAIN, TIME)


async def against(serve, folder, until):
    """An uplink against `serve(reader, writer)` until `until(uplink)` is true."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    clock = Clock()
    outbox = await OutboxThread.open(folder / "tbox.db", wall_s=lambda: clock.wall_ms() // 1000, now_ms=clock.now)
    uplink = Uplink(
        outbox=outbox,
        session=Session(EDITION, VIN, {"iccid": b"8" * 20, "codes": [], "code_length": 0}, SessionSettings()),
        delivery=Delivery(False, 10_000, 60_000, 20_000),
        open_link=lambda: open_tcp("127.0.0.1", port, 1),
        clock=clock,
        settings=UplinkSettings(10_000, 20),
        random=random.Random(1),
    )
    task = asyncio.create_task(uplink.run())
    async with asyncio.timeout(30):
        while not until(uplink):
            await asyncio.sleep(0)
    server.close()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await outbox.close()
    return uplink


def test_commands_are_not_taken_faster_than_their_answers_are_read(tmp_path):
    """A platform that commands for ever and reads nothing comes to a stand: the answers owed to it stay few."""
    commands = build_packet(b"##", 0x81, COMMAND, VIN, PLAIN, TIME + b"\x01\x01\x00\x01") * 500
    taken = [-1]  # commands taken, as often as a second passed in which nothing could be written
    counters = None

    async def serve(_reader, writer):
        writer.transport.pause_reading()
        writer.write(LOGIN_TAKEN)
        while not stands():
            writer.write(commands)
            try:
                async with asyncio.timeout(1):
                    await writer.drain()
            except TimeoutError:
                taken.append(counters.commands)
        writer.transport.abort()

    def stands(uplink=None):
        nonlocal counters
        counters = uplink.counters if uplink else counters
        return len(taken) > 2 and taken[-1] == taken[-2] > 0

    asyncio.run(against(serve, tmp_path, stands))


@pytest.mark.parametrize(
    ("command", "response"), [(0x02, 0x02), (0x01, SUCCESS), (0x06, SUCCESS), (0x08, SUCCESS), (0x83, COMMAND)]
)
def test_a_flood_of_packets_is_counted_and_logged_ten_times_a_minute(tmp_path, caplog, command, response):
    flood = build_packet(b"##", command, response, VIN, PLAIN, TIME) * 1000

    async def serve(reader, writer):
        writer.write(LOGIN_TAKEN + flood)
        while await reader.read(65536):
            pass
        writer.close()

    heard = 0

    def all_heard(uplink):
        nonlocal heard
        heard = uplink.sending.counters.error_answers + uplink.counters.ignored
        return heard >= 1000

    with caplog.at_level("INFO", "agent.platform.uplink"):
        asyncio.run(against(serve, tmp_path, all_heard))
    about_them = [text for text in caplog.messages if "platform" in text or "answered" in text]
    assert len(about_them) <= MOST + 1
