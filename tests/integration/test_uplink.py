"""The uplink with a real outbox over real TCP, against platforms that behave in every way we could think of."""

import asyncio
import random
import socket
import sqlite3
from contextlib import asynccontextmanager, closing
from dataclasses import replace

import pytest

from agent.clock import Clock
from agent.core.delivery import Delivery
from agent.core.edition2016 import EDITION
from agent.core.session import Session, SessionSettings
from agent.errors import LinkError
from agent.links.tcp import open_tcp
from agent.outbox import NewRow
from agent.outbox_ledger import read_stats
from agent.outbox_thread import OutboxThread
from agent.platform.uplink import Uplink, UplinkSettings
from bench.answers import POLICIES
from bench.delivery import verdict
from bench.platform import Platform
from bench.received import Received

SPEED = 200
VIN = "LTBXTEST100000001"
# An engine body: short, and its contents name the row.
START_S = 1_700_000_000
ROWS = 60


def body(number: int) -> bytes:
    return b"\x04\x01" + number.to_bytes(2, "big") + b"\x00\x00"


class Bench:
    """One uplink, one outbox, one platform; `done` waits until the outbox has nothing pending."""

    def __init__(self, folder, platform_policy, each, speed):
        self.folder = folder
        self.clock = Clock(speed)
        self.received = Received(folder / "platform.db")
        self.arrived = asyncio.Event()
        self.platform = Platform(
            platform_policy, self.received, clock=self.clock, on_packet=lambda *_: self.arrived.set()
        )
        self.each = each
        self.port = 0

    async def start(self):
        self.port = await self.platform.start("127.0.0.1", 0)
        self.outbox = await OutboxThread.open(
            self.folder / "tbox.db", wall_s=lambda: START_S + 10 * ROWS, now_ms=self.clock.now
        )
        delivery = Delivery(self.each, 2_000, 30_000, 64 if self.each else 20_000)
        settings = SessionSettings(60_000, 10_000, 1)
        session = Session(EDITION, VIN.encode(), {"iccid": b"8" * 20, "codes": [], "code_length": 0}, settings)
        self.uplink = Uplink(
            outbox=self.outbox,
            session=session,
            delivery=delivery,
            open_link=lambda: open_tcp("127.0.0.1", self.port, 1),
            clock=self.clock,
            settings=UplinkSettings(period_ms=10_000, drain_per_s=0),
            random=random.Random(1),
        )
        self.task = asyncio.create_task(self.uplink.run())

    async def append(self, first, count):
        for number in range(first, first + count):
            row = NewRow(self.clock.now(), START_S + 10 * number, "2016", VIN, 1, body(number))
            ids = await self.outbox.append([row], 10, 9)
            self.uplink.appended(ids, [row])

    async def logged_in(self):
        async with asyncio.timeout(10):
            while self.uplink.state != "logged_in":
                await self.clock.sleep_until(self.clock.now() + 100)

    async def done(self, verdicts):
        """Wait until so many rows were proven or refused."""
        counters = self.uplink.sending.counters
        async with asyncio.timeout(30):
            while counters.proven + counters.refused < verdicts:
                if self.task.done():
                    self.task.result()
                await self.clock.sleep_until(self.clock.now() + 1000)  # proof by silence announces itself nowhere

    async def stop(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.outbox.close()
        await self.platform.stop()
        self.received.close()


@asynccontextmanager
async def bench(folder, policy, each=False, speed=SPEED):
    made = Bench(folder, policy, each, speed)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


def judged(folder, count=ROWS):
    expected = [START_S + 10 * number for number in range(count)]
    return verdict(folder / "platform.db", VIN, 10, expected).deliveries[0]


@pytest.mark.parametrize(
    ("policy", "each"),
    [
        ("annex-b", False),
        ("each", False),
        ("each", True),
        ("long", False),
        ("long", True),
        ("empty", True),
    ],
)
def test_every_stored_row_arrives_once(tmp_path, policy, each):
    async def run():
        async with bench(tmp_path, POLICIES[policy], each) as parts:
            await parts.append(0, ROWS)
            await parts.done(ROWS)

    asyncio.run(run())
    total = totals(tmp_path)
    assert (total["live"] + total["reissued"], total["unaccounted"], total["lost"]) == (ROWS, 0, {})
    delivery = judged(tmp_path)
    assert (delivery.received, delivery.lost, delivery.repeats, delivery.conflicts) == (ROWS, [], 0, 0)


def totals(folder):
    with closing(sqlite3.connect(folder / "tbox.db")) as db:
        return read_stats(db)["total"]


FAULTS = {
    "rubbish before each answer": {"rubbish": True},
    "answers late": {"late_s": 3},
    "half an answer, then closed": {"close_mid_packet": 20},
    "the link breaks unanswered": {"drop_after": 15},
    "an error now and then": {"error_every": 20},
}


@pytest.mark.parametrize("each", [False, True], ids=["policy none", "policy each"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_platform_that_misbehaves_gets_everything_in_the_end(tmp_path, fault, each):
    async def run():
        policy = replace(POLICIES["each"], **FAULTS[fault])
        async with bench(tmp_path, policy, each) as parts:
            await parts.append(0, ROWS)
            await parts.done(ROWS)

    asyncio.run(run())
    total = totals(tmp_path)
    assert (total["live"] + total["reissued"], total["refused"], total["unaccounted"]) == (ROWS, 0, 0)
    delivery = judged(tmp_path)
    assert (delivery.received, delivery.lost, delivery.conflicts) == (ROWS, [], 0)


def test_a_row_that_only_gets_errors_is_refused_after_three_more_tries_and_sent_again_when_told(tmp_path):
    async def run():
        async with bench(tmp_path, replace(POLICIES["each"], error_every=1)) as parts:
            await parts.append(0, 1)
            await parts.done(1)
            tries = parts.uplink.sending.counters.error_answers
            parts.platform.policy = POLICIES["each"]
            moved = await parts.outbox.retry_refused()
            await parts.done(2)
            return tries, moved

    assert asyncio.run(run()) == (4, 1)
    total = totals(tmp_path)
    assert (total["refused"], total["reissued"]) == (0, 1)


def test_a_refused_login_is_tried_again_until_it_is_taken(tmp_path):
    async def run():
        async with bench(tmp_path, replace(POLICIES["each"], refuse_login=3)) as parts:
            await parts.append(0, 3)
            async with asyncio.timeout(30):
                while parts.uplink.counters.login_failures < 4:  # three, the long wait, and one more
                    parts.arrived.clear()
                    await parts.arrived.wait()
            parts.platform.policy = POLICIES["each"]
            await parts.done(3)

    asyncio.run(run())
    assert judged(tmp_path, 3).received == 3


def test_nobody_listens_then_somebody_does(tmp_path):
    async def run():
        async with bench(tmp_path, POLICIES["annex-b"]) as parts:
            await parts.platform.outage()
            await parts.append(0, ROWS)
            assert (await parts.outbox.stats())["total"]["pending"] == ROWS
            await parts.platform.restore()
            await parts.done(ROWS)

    asyncio.run(run())
    delivery = judged(tmp_path)
    assert (delivery.live, delivery.reissued, delivery.lost) == (0, ROWS, [])


def test_the_newest_row_of_a_session_is_live_and_all_before_it_reissues(tmp_path):
    async def run():
        async with bench(tmp_path, POLICIES["annex-b"]) as parts:
            await parts.logged_in()
            old = NewRow(0, START_S, "2016", VIN, 1, body(0))  # sampled before the login
            parts.uplink.appended(await parts.outbox.append([old], 1, 0), [old])
            await parts.append(1, 1)
            await parts.done(2)

    asyncio.run(run())
    total = totals(tmp_path)
    assert (total["live"], total["reissued"]) == (1, 1)


def test_seconds_from_before_a_fault_are_reissued_at_once_while_the_fault_itself_is_live(tmp_path):
    """At once: not when the idle uplink looks for forgotten rows after a minute, which here is a real one."""

    async def run():
        async with bench(tmp_path, POLICIES["each"], speed=1) as parts:
            await parts.logged_in()
            await parts.append(0, 1)
            await asyncio.wait_for(parts.done(1), 10)  # idle: no backlog left
            now = parts.clock.now()
            before = [NewRow(now - age * 1000, START_S + 40 - age, "2016", VIN, 1, body(age)) for age in (3, 2, 1)]
            fault = NewRow(now, START_S + 40, "2016", VIN, 1, body(9))
            parts.uplink.appended(await parts.outbox.append([fault], 40, 36, before), [fault], len(before))
            await asyncio.wait_for(parts.done(5), 20)

    asyncio.run(run())
    total = totals(tmp_path)
    assert (total["live"], total["reissued"], total["unaccounted"]) == (2, 3, 0)


def test_a_row_of_a_clock_that_was_never_set_stops_nobody(tmp_path):
    async def run():
        async with bench(tmp_path, POLICIES["annex-b"]) as parts:
            stray = NewRow(0, 60, "2016", VIN, 1, body(0))  # 1970, from an outbox that somebody kept
            parts.uplink.appended(await parts.outbox.append([stray], 1, 0), [stray])
            await parts.append(0, 3)
            await parts.done(3)

    asyncio.run(run())
    assert (totals(tmp_path)["pending"], judged(tmp_path, 3).received) == (1, 3)


def test_a_stranger_on_the_port_that_never_answers_keeps_everything_pending(tmp_path):
    async def run():
        with closing(socket.create_server(("127.0.0.1", 0))) as stranger:
            async with bench(tmp_path, POLICIES["annex-b"]) as parts:
                parts.port = stranger.getsockname()[1]
                await parts.platform.outage()
                await parts.append(0, 5)
                async with asyncio.timeout(30):
                    while parts.uplink.counters.login_failures < 2:
                        await parts.clock.sleep_until(parts.clock.now() + 1000)
                assert not parts.task.done()
                return (await parts.outbox.stats())["total"]

    assert asyncio.run(run())["pending"] == 5


def test_logins_count_from_one_each_day_and_survive_the_process(tmp_path):
    async def run():
        async with bench(tmp_path, POLICIES["annex-b"]) as parts:
            serials = [await parts.uplink.next_serial() for _ in range(3)]
        async with bench(tmp_path, POLICIES["annex-b"]) as parts:
            return serials, await parts.uplink.next_serial()

    serials, later = asyncio.run(run())
    assert serials == [serials[0], serials[0] + 1, serials[0] + 2]
    assert later > serials[-1]


def test_a_closed_port_is_told_in_the_systems_words():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody else gets it, and nobody listens on it
        port = closed.getsockname()[1]
        with pytest.raises(LinkError) as caught:
            asyncio.run(open_tcp("127.0.0.1", port, 5))
    assert str(caught.value) == f"link to 127.0.0.1:{port}: connect: Connection refused"


def commands(folder):
    """What the platform received, in order: command names."""
    with closing(sqlite3.connect(folder / "platform.db")) as db:
        return [name for (name,) in db.execute("SELECT command FROM packets WHERE command <> 'heartbeat' ORDER BY id")]


def test_a_vehicle_at_rest_delivers_what_is_left_logs_out_and_comes_back_when_it_wakes(tmp_path):
    async def main():
        async with bench(tmp_path, POLICIES["annex-b"]) as parts:
            await parts.append(0, 3)
            parts.uplink.phase(False)
            await parts.done(3)
            async with asyncio.timeout(30):
                while parts.platform.open_links():
                    parts.arrived.clear()
                    await parts.clock.sleep_until(parts.clock.now() + 1000)
            await parts.clock.sleep_until(parts.clock.now() + 300_000)  # nobody comes back by itself
            assert parts.platform.counters.links == 1
            assert commands(tmp_path)[-1] == "vehicle_logout"
            await parts.append(3, 1)  # a report of the battery watch: out it goes, and to rest again
            await parts.done(4)
            parts.uplink.phase(True)
            await parts.clock.sleep_until(parts.clock.now() + 60_000)
            assert parts.uplink.state == "logged_in"
            assert parts.uplink.counters.links_lost == 0

    asyncio.run(main())
    assert commands(tmp_path).count("vehicle_login") == commands(tmp_path).count("vehicle_logout")
    assert judged(tmp_path, 4).ok
