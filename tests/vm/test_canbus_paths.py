"""The Broadcast Manager and the receive thread on one virtual bus: the same samples, true ages, nothing lost."""

import asyncio
import contextlib
import socket
import struct
import subprocess
import time
from random import Random

import pytest
from canbus_parts import Settings
from random_plans import LONG_MS, Bus

from agent.canbus.bus import CanBus
from agent.canbus.raw import CAN_RAW_ERR_FILTER
from agent.clock import Clock
from agent.core.frames import NEVER, LatestFrames
from agent.core.signals import Decoder

PATIENCE_S = 30
MS = 1_000_000
CLOSE = 20 * MS  # how far two readings of the clock are apart on a busy machine
BUFFER_BYTES = 16 << 20
CLOCK = Clock()


class Sender:
    """Sends frames, and hears everything that is on the bus."""

    def __init__(self, channel):
        self.socket, self.echo = (opened(channel) for _ in range(2))
        self.sent = 0

    def send(self, can_id, data, fd=False):
        self.socket.send(struct.pack("=IB3x", can_id, len(data)) + data.ljust(64 if fd else 8, b"\0"))
        self.sent += 1

    async def all_there(self):
        """Wait until all that was sent has come: the kernel may put that off for a moment."""
        async with asyncio.timeout(PATIENCE_S):
            while self.sent:
                with contextlib.suppress(BlockingIOError):
                    while self.echo.recv(72):
                        self.sent -= 1
                await asyncio.sleep(0)

    def heard(self):
        """(identifier, data) of what others have sent since the last time."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                message = self.socket.recv(72)
                can_id, size = struct.unpack_from("=IB", message)
                found.append((can_id, message[8 : 8 + size]))
        return found


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def opened(channel):
    one = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
    one.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
    one.setsockopt(socket.SOL_CAN_RAW, CAN_RAW_ERR_FILTER, 0x1FFFFFFF)
    one.setsockopt(socket.SOL_SOCKET, 33, BUFFER_BYTES)  # SO_RCVBUFFORCE
    one.bind((channel,))
    one.setblocking(False)
    return one


@pytest.fixture
def sender(vcan_bus):
    """Somebody else on the bus."""
    one = Sender(vcan_bus)
    yield one
    one.socket.close()
    one.echo.close()


class Heard:
    """One bus by one path, with a place of its own for the newest frames."""

    def __init__(self, plan, channel, *, bcm, fd=False):
        self.plan = plan
        self.latest = LatestFrames(plan)
        self.bus = CanBus(
            Settings(interface="socketcan", channel=channel, bcm=bcm, fd=fd), 0, self.latest, CLOCK, Random(1)
        )
        self.decoder = Decoder(plan, CLOCK.ticks_per_ms)

    def refresh(self):
        self.bus.refresh()
        return CLOCK.stamp()

    def values(self, now):
        found = [None] * (4 * len(self.plan["sources"]))
        self.decoder.decode(self.latest, now, found, [])
        return found

    def age_ms(self, slot, now):
        return (now - self.latest.stamps[slot]) / MS


@contextlib.asynccontextmanager
async def listening(plan, channel, *, fd=False, paths=(True, False)):
    """The bus heard by the Broadcast Manager, and by the receive thread."""
    heard = [Heard(plan, channel, bcm=bcm, fd=fd) for bcm in paths]
    running = [asyncio.create_task(each.bus.run()) for each in heard]
    try:
        async with asyncio.timeout(PATIENCE_S):
            for each in heard:
                await each.bus.is_open.wait()
        yield heard
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)
    for task in running:
        assert task.cancelled()


@pytest.mark.parametrize("fd", [False, True], ids=["classic", "fd"])
@pytest.mark.parametrize("seed", range(25))
def test_both_paths_give_the_same_samples_of_random_traffic(vcan_bus, sender, seed, fd):
    async def run():
        car = Bus(seed, fd=fd)
        async with listening(car.plan, vcan_bus, fd=fd) as (manager, thread):
            for _ in range(12):
                for frame in car.traffic(car.rng.choice((0, 5, 60, 250))):
                    sender.send(*frame)
                if car.rng.random() < 0.3:
                    await asyncio.sleep(car.rng.choice((0, 0.03)))
                await sender.all_there()
                manager.refresh()
                now = thread.refresh()
                assert manager.values(now) == thread.values(now)
                compare_stamps(car, manager.latest.stamps, thread.latest.stamps)
            assert manager.latest.stamps.count(NEVER) == thread.latest.stamps.count(NEVER) < len(car.sources)
            assert manager.bus.feed.trouble.error_frames == thread.bus.feed.trouble.error_frames > 0
            assert manager.bus.feed.dropped == thread.bus.feed.dropped == 0
            assert sender.heard() == []  # nobody else has sent anything

    asyncio.run(run())


def compare_stamps(car, manager, thread):
    """The same, but for pages: one that stands still is heard anew once a sample."""
    for message in car.messages:
        _, _, _, _, slot, selectors, alive, _ = message.row
        slots = [each for *_, cases in selectors for _, _, slots, _ in cases for each in slots]
        for each in slots if slot < 0 and not alive else []:
            assert (manager[each] == NEVER) == (thread[each] == NEVER)
            assert manager[each] <= thread[each] + CLOSE
        for each in [slot] if slot >= 0 else slots if alive else []:
            assert abs(manager[each] - thread[each]) < CLOSE


def plain(timeout_ms=LONG_MS):
    """60 messages that are kept as they come; a timeout that a slow machine does not reach, but where that is the point."""
    rows = [[0, 0x100 + number, -1, 8, number, [], None, None] for number in range(60)]
    sources = [[8, timeout_ms, [[0, 0xFFFF, 0, 0, 0xFFFF, 1, 0, 1, 4 * number]], [], [], []] for number in range(60)]
    return {"buses": ["pt"], "messages": rows, "sources": sources}


def test_what_the_kernel_hands_over_does_not_grow_with_the_load(vcan_bus, sender):
    async def run():
        counts = []
        async with listening(plain(), vcan_bus, paths=(True,)) as (manager,):
            for rounds in (2, 20, 200):
                before = manager.bus.frames
                for number in range(rounds):
                    for can_id in range(0x100, 0x100 + 90):
                        sender.send(can_id, struct.pack("<HHI", number, rounds, can_id))
                await sender.all_there()
                now = manager.refresh()
                counts.append(manager.bus.frames - before)
                assert manager.values(now)[::4] == [rounds - 1] * 60
        assert counts == [120, 120, 120]

    asyncio.run(run())


def test_an_idle_bus_costs_nothing_and_its_values_age(vcan_bus, sender):
    async def run():
        async with listening(plain(1000), vcan_bus) as heard:
            sent = CLOCK.stamp()
            sender.send(0x100, b"\1" * 8)
            await sender.all_there()
            for wait_s in (0, 0.2, 0.4, 0.6):
                await asyncio.sleep(wait_s)
                for each in heard:
                    now = each.refresh()
                    assert each.bus.frames == 1
                    assert abs(each.latest.stamps[0] - sent) < 20 * MS
                    stale = now - sent > 1000 * MS
                    assert (each.values(now)[0] is None) == stale
            assert stale

    asyncio.run(run())


def test_every_sample_has_the_newest_value_while_others_send(vcan_bus, sender, full_load):
    """Two senders of a full bus; a third socket is the witness of what had come before the sample, and before its end."""

    async def run():
        witness = sender
        async with listening(plain(), vcan_bus) as heard:
            full_load(vcan_bus, seconds=4)
            newest, samples = {}, 0

            def listen():
                newest.update((can_id, struct.unpack_from("<I", data)[0]) for can_id, data in witness.heard())

            while len(newest) < 60:
                await asyncio.sleep(0.01)
                listen()
            for _ in range(20):
                deadline = CLOCK.stamp() + 100 * MS
                while CLOCK.stamp() < deadline:
                    await asyncio.sleep(0.002)
                    listen()
                for each in heard:
                    listen()
                    before = dict(newest)
                    each.refresh()
                    listen()
                    for can_id in range(0x100, 0x100 + 60):
                        (value,) = struct.unpack_from("<I", each.latest.frames[can_id - 0x100])
                        assert before[can_id] <= value <= newest[can_id], f"{can_id:x} {each.bus.settings}"
                        samples += 1
            assert samples == 20 * 60 * 2
            assert [each.bus.feed.dropped for each in heard] == [0, 0]

    asyncio.run(run())


@pytest.fixture
def full_load(tmp_path):
    """play(channel, seconds): canplayer sends 4,000 frames/s of 150 identifiers, each with a number that counts up."""
    players = []

    def play(channel, seconds, rate=4000):
        log = tmp_path / f"{channel}-{rate}.log"
        lines = (
            f"({1000 + number / rate:.6f}) can0 {0x100 + number % 150:03X}#{struct.pack('<II', number, 0).hex()}\n"
            for number in range(rate * seconds)
        )
        log.write_text("".join(lines))
        players.append(subprocess.Popen(["canplayer", "-I", str(log), f"{channel}=can0"]))
        return players[-1]

    yield play
    for player in players:
        player.kill()
        player.wait()


@pytest.mark.parametrize("bcm", [True, False], ids=["manager", "thread"])
def test_three_full_buses_lose_nothing(bcm, vcan_bus, full_load):
    """60 of 150 identifiers are wanted: at the end each has its last frame."""
    names = [vcan_bus, f"{vcan_bus}x", f"{vcan_bus}y"]
    for name in names[1:]:
        ip("link", "add", name, "type", "vcan")
        ip("link", "set", name, "up")

    async def run():
        async with contextlib.AsyncExitStack() as stack:
            buses = [(await stack.enter_async_context(listening(plain(), name, paths=(bcm,))))[0] for name in names]
            players = [full_load(name, seconds=4) for name in names]
            begun, used = time.monotonic(), time.process_time()
            while any(player.poll() is None for player in players):
                await asyncio.sleep(1)
                for bus in buses:
                    bus.refresh()
            share = (time.process_time() - used) / (time.monotonic() - begun)
            print(
                f"\nthree full buses, {'Broadcast Manager' if bcm else 'thread'}: {share:.1%} of a core (10 ms ticks)"
            )
            for bus in buses:
                bus.refresh()
                last = [struct.unpack_from("<I", data)[0] for data in bus.latest.frames]
                assert last == [15_900 + number for number in range(60)]
                assert bus.bus.counts()["drops"] == 0

    try:
        asyncio.run(run())
    finally:
        for name in names[1:]:
            ip("link", "del", name)


def one_message(selectors=(), alive=None, checksum=None, sources=1, timeout_ms=300):
    slot = -1 if selectors else 0
    rows = [[0, 0x123, -1, 8, slot, list(selectors), alive, checksum]]
    signals = [[8, timeout_ms, [[8, 0xFF, 0, 0, 0xFF, 1, 0, 1, 4 * each]], [], [], []] for each in range(sources)]
    return {"buses": ["pt"], "messages": rows, "sources": signals}


async def sent_for(ms, sender, frames):
    """Send `frames()` every 10 ms for so long."""
    end = CLOCK.stamp() + ms * MS
    while CLOCK.stamp() < end:
        for data in frames():
            sender.send(0x123, data)
        await asyncio.sleep(0.01)
    await sender.all_there()


def test_a_message_that_stops_is_counted_and_named_once(vcan_bus, sender, caplog):
    async def run():
        async with listening(plain(1000), vcan_bus, paths=(True,)) as (manager,):
            trouble = manager.bus.guard.trouble
            for _ in range(2):
                sender.send(0x100, b"\1")
                sender.send(0x101, b"\1")
                end = CLOCK.stamp() + 2500 * MS
                while CLOCK.stamp() < end:
                    manager.refresh()
                    await asyncio.sleep(0.1)
                    sender.send(0x101, b"\1")
            assert trouble.timeouts == 2

    asyncio.run(run())
    assert [record.message for record in caplog.records if "any more" in record.message] == [
        "messages do not come any more bus=pt: 0x100"
    ]


def test_a_counter_that_stands_still_makes_its_message_stale_and_one_that_runs_keeps_it(vcan_bus, sender):
    """Whatever the counter's step between two samples: 16 of them look like none."""
    plan = one_message(alive=[0, 0x0F, 1])

    async def run():
        count = 0

        def running():
            nonlocal count
            count += 1
            return [bytes([count & 0x0F, 7, 0, 0, 0, 0, 0, 0])]

        async with listening(plan, vcan_bus) as heard:
            for _ in range(5):
                for _ in range(16):
                    sender.send(0x123, *running())
                await sender.all_there()
                for each in heard:
                    now = each.refresh()
                    assert each.values(now)[0] == 7
                    assert each.age_ms(0, now) < 100
                await asyncio.sleep(0.05)
            await sent_for(500, sender, lambda: [bytes([count & 0x0F, 9, 0, 0, 0, 0, 0, 0])])
            for each in heard:
                assert each.values(each.refresh())[0] is None
                assert each.latest.frames[0][1] == 7  # not what the standing counter brought
                assert each.latest.stuck_counter > 10
            sender.send(0x123, *running())
            await sender.all_there()
            for each in heard:
                assert each.values(each.refresh())[0] == 7

    asyncio.run(run())


def test_a_damaged_frame_right_before_the_sample_leaves_the_good_one_before_it(vcan_bus, sender):
    plan = one_message(checksum=[0, "xor8", 0, 0, 0])

    async def run():
        async with listening(plan, vcan_bus) as heard:
            for value in range(1, 60):
                sender.send(0x123, bytes([value, value]))
                sender.send(0x123, bytes([value, 99]))
                await sender.all_there()
                for each in heard:
                    assert each.values(each.refresh())[0] == value
            await sent_for(500, sender, lambda: [bytes([1, 99])])
            for each in heard:
                assert each.values(each.refresh())[0] is None

    asyncio.run(run())


def test_a_page_that_stops_is_stale_and_one_that_stands_still_is_not(vcan_bus, sender):
    cases = [[value, value, [value], []] for value in range(3)]
    plan = one_message([[0, 0xFF, 1, cases]], sources=3, timeout_ms=400)

    async def run():
        async with listening(plan, vcan_bus) as heard:
            await sent_for(100, sender, lambda: [bytes([page, 5]) for page in range(3)])
            for each in heard:
                assert each.values(each.refresh())[::4] == [5, 5, 5]
            await sent_for(900, sender, lambda: [bytes([0, 5]), bytes([1, CLOCK.stamp() >> 20 & 0xFF])])
            for each in heard:
                now = each.refresh()
                values = each.values(now)[::4]
                assert values[0] == 5
                assert values[1] is not None
                assert values[2] is None
                assert 800 < each.age_ms(2, now) < 2000

    asyncio.run(run())


def test_a_wall_clock_that_is_set_makes_no_value_older_than_its_sample_or_newer_than_now(vcan_bus, sender):
    async def run():
        real = time.time()
        try:
            async with listening(plain(), vcan_bus) as heard:
                for each in heard:
                    each.refresh()
                for step_s in (86_400, -86_400 * 365, 3):
                    for _ in range(3):
                        sender.send(0x100, b"\1" * 8)
                    await sender.all_there()
                    time.clock_settime(time.CLOCK_REALTIME, time.time() + step_s)
                    for each in heard:
                        now = each.refresh()
                        assert 0 <= each.age_ms(0, now) < 1000
                        assert each.values(now)[0] is not None
        finally:
            time.clock_settime(time.CLOCK_REALTIME, real)

    asyncio.run(run())


def test_long_timeouts_are_in_the_random_plans():
    """What both paths say of ages differs for pages: random traffic compares values, this file's other tests the ages."""
    assert {row[1] for row in Bus(1).sources} == {LONG_MS}
