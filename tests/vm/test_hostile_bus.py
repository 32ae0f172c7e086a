"""A bus on which somebody sends whatever the kernel lets through, and takes the interface away meanwhile."""

import asyncio
import contextlib
import socket
import struct
import subprocess
from random import Random

import pytest
from canbus_parts import Settings

from agent.canbus.arguments import KERNEL_FILTERS
from agent.canbus.bus import CanBus
from agent.canbus.raw import raw_filters
from agent.clock import Clock
from agent.core.frames import NEVER, LatestFrames

PATIENCE_S = 40
CLOCK = Clock()
EXT, RTR, ERR = 0x80000000, 0x40000000, 0x20000000
CLASSIC, FD = struct.Struct("=IBBBB8s"), struct.Struct("=IBBBB64s")


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def sources(count, length=8):
    return [[length, 1000, [[0, 0xFF, 0, 1, 0, 1, 0, slot]], [], [], []] for slot in range(count)]


def plan_of(messages, count, length=8):
    return {"buses": ["pt"], "sources": sources(count, length), "messages": messages, "operands": count}


PAGES = [[0, 0xFF, 1, [[0, 7, [1], []], [9, 9, [2], []]]]]
MIXED = plan_of(
    [
        [0, 0x100, -1, 8, 0, [], None, None],
        [0, 0x101, -1, 8, -1, PAGES, None, None],
        [0, 0x102 | EXT, -1, 8, 3, [], [0, 0x0F, 1], None],
        [0, 0x103, -1, 8, 4, [], None, [7, "crc8", 0x1D, 0xFF, 0xFF]],
        [0, 0x18FEF1FE | EXT, 0x83FFFF00, 8, 5, [], None, None],
    ],
    6,
)


def any_frame(rng, fd):
    """Bytes of a frame that may be anything; the kernel refuses what it does not like."""
    can_id = rng.choice((0x100, 0x101, 0x102 | EXT, 0x103, 0x18FEF100 | EXT | rng.randrange(256), rng.getrandbits(29) | EXT,
                         rng.randrange(0x800)))  # fmt: skip
    can_id |= rng.choice((0, 0, 0, RTR, ERR, RTR | ERR, EXT | ERR))
    if can_id & ERR and rng.random() < 0.7:
        can_id = ERR | 1 << rng.randrange(29)
    if fd and rng.random() < 0.5:
        size = rng.choice((0, 1, 7, 8, 9, 11, 13, 63, 64, 65, 255))
        return FD.pack(can_id, size, rng.getrandbits(8), rng.getrandbits(8), rng.getrandbits(8), rng.randbytes(64))
    size = rng.choice((0, 0, 1, 7, 8, 8, 8, 8, 9, 15, 255))
    return CLASSIC.pack(can_id, size, rng.getrandbits(8), rng.getrandbits(8), rng.getrandbits(8), rng.randbytes(8))


@contextlib.contextmanager
def sending(channel):
    with socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as sender:
        sender.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
        sender.bind((channel,))
        yield sender


def send_any(sender, rng, count, fd):
    for _ in range(count):
        with contextlib.suppress(OSError):
            sender.send(any_frame(rng, fd))


class Heard:
    def __init__(self, plan, channel, **settings):
        self.latest = LatestFrames(plan, CLOCK.ticks_per_ms)
        self.bus = CanBus(
            Settings(interface="socketcan", channel=channel, **settings), 0, self.latest, CLOCK, Random(1)
        )


@contextlib.asynccontextmanager
async def running(*buses):
    tasks = [asyncio.create_task(each.bus.run()) for each in buses]
    try:
        yield tasks
        for task in tasks:
            assert not task.done(), task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def until(condition, what, buses, sender=None):
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            if sender is not None:
                with contextlib.suppress(OSError):
                    sender.send(CLASSIC.pack(0x100, 8, 0, 0, 0, b"goodgood"))
            for each in buses:
                each.bus.refresh()
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("fd", [False, True], ids=["classic", "fd"])
@pytest.mark.parametrize("bcm", [True, False], ids=["bcm", "raw"])
@pytest.mark.parametrize("options", [{}, {"receive_own_messages": False}], ids=["kernel", "python-can"])
def test_frames_of_any_kind_end_nothing_and_good_ones_come_through(vcan_bus, bcm, fd, options):
    async def run():
        rng = Random(7)
        heard = Heard(MIXED, vcan_bus, bcm=bcm, fd=fd, options=options)
        async with running(heard):
            await until(heard.bus.is_open.is_set, "open", [heard])
            with sending(vcan_bus) as sender:
                for _ in range(40):
                    send_any(sender, rng, 100, fd=True)  # FD frames on a bus that is said to have none, too
                    heard.bus.refresh()
                    await asyncio.sleep(0.005)
                await until(lambda: heard.latest.frames[0] == b"goodgood", "a good frame", [heard], sender)
            for data in heard.latest.frames:
                assert len(data) <= 64
            assert all(isinstance(count, int) for count in heard.bus.counts().values())
            assert heard.bus.feed.trouble.error_frames > 0

    asyncio.run(run())


@pytest.mark.parametrize("bcm", [True, False], ids=["bcm", "raw"])
def test_an_interface_that_is_taken_away_again_and_again(vcan_bus, bcm):
    """Also while it is being opened."""

    async def run():
        rng = Random(3)
        heard = [Heard(MIXED, vcan_bus, bcm=bcm), Heard(MIXED, vcan_bus, bcm=bcm)]
        async with running(*heard):
            for turn in range(6):
                await asyncio.sleep(rng.choice((0, 0.01, 0.3)))
                ip("link", "del", vcan_bus)
                for each in heard:
                    each.bus.refresh()
                await asyncio.sleep(rng.choice((0, 0.05)))
                ip("link", "add", vcan_bus, "mtu", rng.choice(("16", "72")), "type", "vcan")
                if turn % 2:
                    await asyncio.sleep(0.02)
                ip("link", "set", vcan_bus, "up")
            with sending(vcan_bus) as sender:
                for each in heard:
                    await until(lambda each=each: each.latest.frames[0] == b"goodgood", "back", heard, sender)

    asyncio.run(run())


def test_more_messages_than_the_kernel_has_filters(vcan_bus):
    """600 J1939 messages, each under many identifiers, and 600 of one identifier each."""
    count = 600
    masked = [
        [0, 0x18000000 | n << 8 | 0xFE | EXT, 0x83FFFF00, 8, n, [], None, None] for n in range(0xF000, 0xF000 + count)
    ]
    for row, slot in zip(masked, range(count), strict=True):
        row[4] = slot
    plain = [[0, n, -1, 8, count + n, [], None, None] for n in range(count)]
    plan = plan_of(masked + plain, 2 * count)

    async def run():
        heard = [Heard(plan, vcan_bus, bcm=bcm) for bcm in (True, False)]
        assert len(heard[0].latest.wanted(0)) > KERNEL_FILTERS
        assert len(raw_filters(heard[0].latest.wanted(0))) == 8
        async with running(*heard):
            for each in heard:
                await until(each.bus.is_open.is_set, "open", heard)
            with sending(vcan_bus) as sender:
                for n in range(count):
                    sender.send(CLASSIC.pack(0x0C000000 | 0xF000 + n << 8 | n & 0xFF | EXT, 8, 0, 0, 0, b"J1939..."))
                    sender.send(CLASSIC.pack(n, 8, 0, 0, 0, b"plain..."))
                    if n % 50 == 0:
                        await asyncio.sleep(0.01)
            for each in heard:
                await until(lambda each=each: NEVER not in each.latest.stamps, "all are heard", heard)
                assert each.latest.frames == [b"J1939..."] * count + [b"plain..."] * count

    asyncio.run(run())


@pytest.mark.parametrize("channel", ["can0123456789abcdef", "a\0b", "x" * 70_000, "a b", "é" * 8, ""])
@pytest.mark.parametrize("bcm", [True, False], ids=["bcm", "raw"])
def test_channels_that_cannot_be_are_a_bus_that_is_away(channel, bcm):
    async def run():
        heard = Heard(MIXED, channel, bcm=bcm)
        async with running(heard):
            await until(lambda: heard.bus.problem not in (None, "not opened yet"), "away", [heard])

    asyncio.run(run())


def test_a_classic_interface_where_fd_is_asked_for():
    """MTU 16: the kernel refuses FD frames there; classic ones come."""
    ip("link", "add", "vclassic", "mtu", "16", "type", "vcan")
    ip("link", "set", "vclassic", "up")

    async def run():
        heard = [Heard(MIXED, "vclassic", bcm=bcm, fd=True) for bcm in (True, False)]
        async with running(*heard):
            with sending("vclassic") as sender:
                for each in heard:
                    await until(lambda each=each: each.latest.frames[0] == b"goodgood", "heard", heard, sender)

    try:
        asyncio.run(run())
    finally:
        ip("link", "del", "vclassic")
