"""What the uplink itself decides: live or late, how fast a backlog drains, which serial; on a clock that the test moves."""

import asyncio
import random
from contextlib import asynccontextmanager

import pytest

from agent.clock import Clock
from agent.core.delivery import Delivery
from agent.core.edition2016 import EDITION
from agent.core.packet import SUCCESS, Packet, PacketReader, build_packet, epoch_of, time_bytes
from agent.core.session import REALTIME, REISSUE, Session, SessionSettings
from agent.links import MemoryLink
from agent.outbox import NewRow
from agent.outbox_thread import OutboxThread
from agent.platform.uplink import Uplink, UplinkSettings

VIN = "LTBXTEST100000001"
PERIOD_MS = 10_000
MIDNIGHT_S = 1_699_977_600  # 2023-11-15 00:00:00 in Beijing
NS_PER_MS = 1_000_000


class World:
    """A terminal on links in memory; time stands still unless the test moves it."""

    def __init__(self, outbox, clock_of, *, each=False, drain_per_s=0):
        self.now_ms = 1_000_000
        self.wall_s = MIDNIGHT_S + 3600
        self.links = []
        self.link_made = asyncio.Event()
        self.outbox = outbox
        self.batch_hook = None
        self.uplink = Uplink(
            outbox=self,
            session=Session(
                EDITION, VIN.encode(), {"iccid": b"8" * 20, "codes": [], "code_length": 0}, SessionSettings()
            ),
            delivery=Delivery(each, 3_600_000, 3_600_000, 64),
            open_link=self.open_link,
            clock=clock_of(self),
            settings=UplinkSettings(PERIOD_MS, drain_per_s),
            random=random.Random(1),
        )

    async def open_link(self):
        self.links.append(MemoryLink())
        self.link_made.set()
        return self.links[-1]

    # -- the outbox, with a moment in which something can happen while it reads

    def __getattr__(self, name):
        return getattr(self.outbox, name)

    async def batch(self, *arguments):
        rows = await self.outbox.batch(*arguments)
        if self.batch_hook is not None and rows:
            hook, self.batch_hook = self.batch_hook, None
            hook()
        return rows

    # -- what the test does

    async def store(self, *ages_ms, announce=True):
        """Append a row of each age; the uplink hears of all of them at once."""
        rows = [NewRow(self.now_ms - age, self.wall_s - age // 1000, "2016", VIN, 1, b"") for age in ages_ms]
        ids = [(await self.outbox.append([row], 1, 0))[0] for row in rows]

        def tell():
            for row_id, row in zip(ids, rows, strict=True):
                self.uplink.appended([row_id], [row])

        if announce:
            tell()
        return tell

    def reports(self, link=-1):
        """(command, seconds before now) of each report sent on a link."""
        packets = [Packet(raw) for raw in PacketReader().feed(bytes(self.links[link].sent))]
        sent = [packet for packet in packets if packet.command in (REALTIME, REISSUE)]
        return [(packet.command, self.wall_s - epoch_of(packet.unit)) for packet in sent]

    def answer(self, command, unit):
        self.links[-1].feed(build_packet(b"##", command, SUCCESS, VIN.encode(), 1, unit))

    async def until_sent(self, count):
        """Wait for so many reports, then a little longer: there must be no more."""
        async with asyncio.timeout(10):
            while len(self.reports()) < count:
                await self.settle()
            await self.settle()
        assert len(self.reports()) == count

    async def settle(self):
        """Give the uplink as many turns as it may want, its outbox's thread included."""
        for _ in range(5):
            await self.outbox.meta_get("")
            await asyncio.sleep(0)

    async def log_in(self):
        await asyncio.wait_for(self.link_made.wait(), 10)
        self.link_made.clear()
        while not self.links[-1].sent:
            await self.settle()
        self.answer(1, b"")
        while self.uplink.state != "logged_in":
            await self.settle()
        await self.settle()


@asynccontextmanager
async def world(folder, **options):
    made = None

    def clock_of(one):
        async def no_waiting(_seconds):
            one.now_ms += 1000
            await asyncio.sleep(0)

        return Clock(
            1, 0, monotonic_ns=lambda: one.now_ms * NS_PER_MS, time_ns=lambda: one.wall_s * 10**9, sleep=no_waiting
        )

    outbox = await OutboxThread.open(folder / "tbox.db", wall_s=lambda: MIDNIGHT_S, now_ms=lambda: 0)
    made = World(outbox, clock_of, **options)
    task = asyncio.create_task(made.uplink.run())
    try:
        yield made
        if task.done():
            task.result()
    finally:
        for link in made.links:
            link.acknowledges = False  # or the farewell waits for proof
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await outbox.close()


def run(folder, steps, **options):
    async def inside():
        async with world(folder, **options) as made:
            await steps(made)

    asyncio.run(inside())


@pytest.mark.parametrize(("age_ms", "command"), [(PERIOD_MS, REALTIME), (PERIOD_MS + 1, REISSUE)])
def test_a_report_is_live_within_one_period_of_its_sample(tmp_path, age_ms, command):
    async def steps(made):
        await made.log_in()
        made.now_ms += 60_000
        await made.store(age_ms)
        await made.until_sent(1)
        assert made.reports()[0][0] == command

    run(tmp_path, steps)


def test_of_two_reports_that_wait_together_only_the_newest_is_live(tmp_path):
    async def steps(made):
        await made.log_in()
        made.now_ms += 60_000
        await made.store(5_000, 0)
        await made.until_sent(2)
        assert made.reports() == [(REISSUE, 5), (REALTIME, 0)]

    run(tmp_path, steps)


def test_a_sample_from_before_the_login_is_not_live_however_young(tmp_path):
    async def steps(made):
        await made.log_in()
        await made.store(1_000)
        await made.until_sent(1)
        assert made.reports() == [(REISSUE, 1)]

    run(tmp_path, steps)


def test_a_report_that_comes_while_the_backlog_is_read_is_sent_once_and_live(tmp_path):
    async def steps(made):
        await made.log_in()
        made.now_ms += 60_000
        tell_of_the_old_one = await made.store(90_000, announce=False)
        made.batch_hook = await made.store(0, announce=False)
        tell_of_the_old_one()
        await made.until_sent(2)
        assert sorted(made.reports()) == [(REALTIME, 0), (REISSUE, 90)]

    run(tmp_path, steps)


def test_a_report_that_waited_for_its_turn_on_a_lost_link_is_late_on_the_next(tmp_path):
    async def steps(made):
        await made.log_in()
        made.now_ms += 1_000
        await made.store(1_000, 0)  # one at a time, until an answer has shown how this platform answers
        await made.until_sent(1)
        made.links[-1].feed(b"")
        await made.log_in()
        await made.until_sent(1)
        assert made.reports(0) == [(REISSUE, 1)]
        assert made.reports(1) == [(REISSUE, 1)]
        made.answer(REISSUE, time_bytes(made.wall_s - 1))
        await made.until_sent(2)
        assert made.reports(1) == [(REISSUE, 1), (REISSUE, 0)]

    run(tmp_path, steps, each=True)


def test_a_backlog_drains_at_its_rate_and_saves_up_no_more_than_a_second_of_it(tmp_path):
    async def steps(made):
        await made.store(*range(200_000, 100_000, -10_000), announce=False)
        await made.log_in()
        assert made.reports() == []  # the rate counts from the login
        for seconds, sent in ((1, 2), (60, 4), (1, 6)):
            made.now_ms += 1000 * seconds
            made.uplink.appended([0], [NewRow(0, 0, "2016", VIN, 1, b"")])  # old, unknown: no more than a push
            await made.until_sent(sent)

    run(tmp_path, steps, drain_per_s=2)


def test_serials_begin_anew_each_day_in_beijing_and_behind_the_last_one(tmp_path):
    async def steps(made):
        made.wall_s = MIDNIGHT_S - 1
        await made.outbox.meta_set("login", "")
        serials = [await made.uplink.next_serial(), await made.uplink.next_serial()]
        made.wall_s = MIDNIGHT_S
        serials += [await made.uplink.next_serial(), await made.uplink.next_serial()]
        assert serials == [1, 2, 1, 2]
        day = (await made.outbox.meta_get("login")).split(":")[0]
        await made.outbox.meta_set("login", f"{day}:65530")
        assert [await made.uplink.next_serial(), await made.uplink.next_serial()] == [65531, 1]

    run(tmp_path, steps)


@pytest.mark.parametrize(
    "left", ["{day}:", "{day}:abc", "{day}:-4", "{day}:١٢", "{day}:" + "9" * 5000, ":", "\0", "{day}"]
)
def test_a_damaged_serial_begins_anew(tmp_path, left):
    async def steps(made):
        day = (made.wall_s + 8 * 3600) // 86_400
        await made.outbox.meta_set("login", left.format(day=day))
        assert await made.uplink.next_serial() == 1
        assert await made.uplink.next_serial() == 2

    run(tmp_path, steps)


@pytest.mark.parametrize(
    ("edition", "vin", "size"), [("2016", VIN, 65_530), ("2030", VIN, 0), ("2016", "SHORT", 0), ("", VIN, 0)]
)
def test_a_row_that_fits_no_packet_is_refused_and_holds_nothing_up(tmp_path, caplog, edition, vin, size):
    async def steps(made):
        poison = NewRow(0, made.wall_s - 50, edition, vin, 1, bytes(size))
        await made.outbox.append([poison], 1, 0)
        await made.store(10_000, announce=False)
        await made.log_in()
        await made.until_sent(1)
        assert made.reports() == [(REISSUE, 10)]
        assert made.uplink.sending.counters.refused == 1
        assert [row.id for row in await made.outbox.batch(10)] == [2]  # the other is kept, as refused
        assert made.uplink.state == "logged_in"

    run(tmp_path, steps)
    assert "cannot be sent, refused row=1" in caplog.text


@pytest.mark.parametrize("wall_s", [0, 5_000_000_000])
def test_a_clock_that_leaves_the_years_of_a_packet_during_a_login_costs_the_link_only(tmp_path, wall_s):
    async def steps(made):
        await asyncio.wait_for(made.link_made.wait(), 10)
        made.link_made.clear()
        while not made.links[-1].sent:
            await made.settle()
        good, made.wall_s = made.wall_s, wall_s
        made.now_ms += 61_000  # the login was not answered: another one is due, and no time can stand in it
        made.answer(8, b"")  # wakes it
        while not made.links[0].closed:
            await made.settle()
        assert made.uplink.counters.links_lost == 1
        made.wall_s = good
        await made.log_in()

    run(tmp_path, steps)
