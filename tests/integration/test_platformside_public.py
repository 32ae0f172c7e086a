"""Sampling monitoring: a second link that carries live reports alone and disturbs nobody; and a terminal at rest."""

import sqlite3
from contextlib import asynccontextmanager, closing
from dataclasses import replace

from side_parts import SPEED, configured, place, played, process

from agent.clock import Clock
from agent.outbox_ledger import read_stats
from bench.answers import POLICIES


@asynccontextmanager
async def two(folder, public_policy=POLICIES["each"], **more):
    """(clock, the terminal's platform, the public one, configuration)."""
    clock = Clock(SPEED)
    async with place(folder / "own", clock) as own, place(folder / "public", clock, policy=public_policy) as public:
        options = {"public_host": "127.0.0.1", "public_port": public.port, **more}
        yield clock, own, public, configured(folder, own.port, platform=options)


async def monitored(side):
    await side.until(lambda: side.side.monitoring.uplink and side.side.monitoring.uplink.state == "logged_in")


async def live(side, own, count):
    """So many reports, each while the one before it has arrived."""
    for _ in range(count):
        before = len(own.seconds("realtime"))
        await side.report()
        await side.until(lambda before=before: len(own.seconds("realtime")) > before)


def test_the_second_link_carries_live_reports_only_until_it_is_ended(tmp_path):
    async def scene():
        async with two(tmp_path) as (clock, own, public, config):
            async with process(config, clock) as side:
                await side.report(4)  # a backlog
                await side.until(lambda: side.uplink.sending.counters.proven == 4)
                assert side.side.monitoring.uplink is None
                await own.ask("control 7")
                await monitored(side)
                await live(side, own, 3)
                await side.until(lambda: len(public.seconds("realtime")) == 3)
                await own.ask("set 2=20 9=30 11=45")  # in force on both links
                second = side.side.monitoring.uplink
                assert (second.sending.period_ms, second._session.settings.heartbeat_ms) == (20_000, 30_000)
                assert second.sending.delivery.answer_timeout_ms == 45_000
            assert len(public.commands("vehicle_logout")) == 1
            async with process(config, clock) as side:  # it survives a restart
                await side.logged_in()
                await monitored(side)
                await live(side, own, 2)
                await side.until(lambda: len(public.seconds("realtime")) == 5)
                await own.ask("set 16=no")
                await side.until(lambda: len(public.commands("vehicle_logout")) == 2)
                await side.until(lambda: public.platform.open_links() == 0)
                await live(side, own, 2)
                assert side.uplink.counters.links_lost == 0
            async with process(config, clock) as side:
                await side.logged_in()
                assert side.side.monitoring.uplink is None
            assert (len(public.commands("vehicle_login")), public.seconds("reissue")) == (2, [])
            assert len(public.seconds("realtime")) == 5

    played(scene)


def test_a_public_platform_that_dies_and_comes_back_gets_no_late_reports(tmp_path):
    async def scene():
        async with two(tmp_path) as (clock, own, public, config), process(config, clock) as side:
            await side.logged_in()
            await own.ask("set 16=yes")
            await monitored(side)
            await live(side, own, 2)
            await side.until(lambda: len(public.seconds("realtime")) == 2)
            await public.platform.outage()
            await live(side, own, 3)
            await public.platform.restore()
            await side.until(lambda: len(public.commands("vehicle_login")) == 2)
            await monitored(side)
            await live(side, own, 2)
            await side.until(lambda: len(public.seconds("realtime")) == 4)
            assert public.seconds("reissue") == []
            assert (len(own.seconds("realtime")), own.seconds("reissue")) == (7, [])
            assert side.uplink.counters.links_lost == 0

    played(scene)


def test_what_waits_too_long_for_a_slow_public_platform_is_never_sent_there(tmp_path):
    async def scene():
        slow = replace(POLICIES["each"], late_s=40)
        async with two(tmp_path, slow, policy="each") as (clock, own, public, config), process(config, clock) as side:
            await side.logged_in()
            await own.ask("control 7")
            await monitored(side)
            await live(side, own, 6)  # while the first waits for its answer, the others pile up behind it
            second = side.side.monitoring.uplink
            await side.until(lambda: second.sending.counters.proven >= 1 and second.sending.idle())
            assert public.seconds("reissue") == []
            assert len(public.seconds("realtime")) < 6
            assert (len(own.seconds("realtime")), own.seconds("reissue")) == (6, [])

    played(scene)


def test_a_public_platform_that_refuses_everything_disturbs_nobody(tmp_path):
    async def scene():
        refusing = replace(POLICIES["each"], error_every=1)
        async with two(tmp_path, refusing) as (clock, own, public, config), process(config, clock) as side:
            await side.logged_in()
            await own.ask("control 7")
            await monitored(side)
            await live(side, own, 3)
            second = side.side.monitoring.uplink
            await side.until(lambda: second.sending.counters.error_answers == 3)
            await side.passes(70)  # an error answer means: again in a minute; but there is nothing left to send
            await side.until(lambda: not second.sending.delivery.rows())
            assert public.seconds("reissue") == []
            assert (len(own.seconds("realtime")), side.uplink.sending.counters.error_answers) == (3, 0)
            assert (await side.outbox.stats())["total"]["refused"] == 0

    played(scene)


def test_a_public_platform_that_lets_nobody_in_disturbs_nobody(tmp_path):
    async def scene():
        refusing = replace(POLICIES["each"], refuse_login=4)
        async with two(tmp_path, refusing) as (clock, own, public, config), process(config, clock) as side:
            await side.logged_in()
            await own.ask("control 7")
            await side.until(lambda: len(public.commands("vehicle_login")) == 3)
            await live(side, own, 3)
            assert (side.uplink.counters.login_failures, public.seconds("realtime")) == (0, [])

    played(scene)


def test_a_vehicle_at_rest_is_logged_out_when_everything_is_delivered_and_back_when_there_is_more(tmp_path):
    async def scene():
        clock = Clock(SPEED)
        async with (
            place(tmp_path / "platform", clock) as platform,
            process(configured(tmp_path, platform.port), clock) as side,
        ):
            await platform.platform.outage()
            await side.report(150)
            side.side.phase(False)
            await platform.platform.restore()
            await side.until(lambda: platform.commands("vehicle_logout"))
            assert len(platform.seconds("reissue")) == 150
            await side.until(lambda: platform.platform.open_links() == 0)
            await side.passes(200)
            assert len(platform.commands("vehicle_login")) == 1
            seconds = await side.report(2)  # the battery is watched: an alarm of a vehicle that is off
            await side.until(lambda: len(platform.commands("vehicle_logout")) == 2)
            assert platform.seconds("reissue")[150:] == seconds
            await side.passes(200)
            assert len(platform.commands("vehicle_login")) == 2
            side.side.phase(True)
            await side.logged_in()
            await live(side, platform, 2)
            await side.passes(30)
            assert (len(platform.commands("vehicle_login")), len(platform.commands("vehicle_logout"))) == (3, 2)
            assert side.uplink.sending.counters.proven == 154

    played(scene)
    with closing(sqlite3.connect(tmp_path / "tbox.db")) as db:
        total = read_stats(db)["total"]
    assert (total["live"], total["reissued"], total["pending"], total["unaccounted"]) == (2, 152, 0, 0)
