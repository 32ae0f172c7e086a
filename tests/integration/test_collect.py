"""Collecting with the real sampler and outbox, on a clock that the test moves."""

import asyncio

import pytest

from agent.clock import Clock
from agent.collect import Collector
from agent.config import dbc_folder
from agent.core.edition2016 import EDITION
from agent.core.frames import LatestFrames
from agent.core.occasion import ReportSettings
from agent.core.sampler import Sampler
from agent.outbox_thread import OutboxThread
from agent.signalmap import load_mapping

VIN = "LTBXTEST100000001"
START_S = 1_700_000_000
NS_PER_S = 1_000_000_000


class World:
    """Time that passes only while somebody sleeps; `step_s` moves the wall clock alone."""

    def __init__(self):
        self.monotonic_ns = 5 * NS_PER_S
        self.wall_ns = START_S * NS_PER_S + 250_000_000

    async def sleep(self, seconds):
        self.monotonic_ns += round(seconds * NS_PER_S)
        self.wall_ns += round(seconds * NS_PER_S)
        await asyncio.sleep(0)

    def step(self, seconds):
        self.wall_ns += seconds * NS_PER_S

    def clock(self):
        return Clock(1, START_S, monotonic_ns=lambda: self.monotonic_ns, time_ns=lambda: self.wall_ns, sleep=self.sleep)


def collected(folder, seconds, steps=(), slow=()):
    """Run for so many samples; `steps` are (sample, wall step), `slow` (sample, seconds the loop was busy)."""
    appended = []

    async def run():
        world = World()
        clock = world.clock()
        plan = load_mapping(dbc_folder() / "reference_ev.toml", "2016").plan
        outbox = await OutboxThread.open(folder / "tbox.db", wall_s=lambda: START_S, now_ms=clock.now)
        collector = Collector(
            edition=EDITION,
            vin=VIN,
            sampler=Sampler(plan, clock.ticks_per_ms),
            latest=LatestFrames(plan),
            settings=ReportSettings(),
            silence_s=0,
            outbox=outbox,
            clock=clock,
            appended=lambda _ids, rows, _held: appended.extend(row.collected_at - START_S for row in rows),
            on_phase=lambda _active: None,
            refresh=lambda: None,
        )
        for number in range(seconds):
            for at, by in steps:
                if at == number:
                    world.step(by)
            for at, by in slow:
                if at == number:
                    await world.sleep(by)
            await clock.sleep_until(clock.next_second())
            await collector.sample()
        await collector.flush()
        stats = await outbox.stats()
        await outbox.close()
        return collector.counters, stats["total"]

    counters, total = asyncio.run(run())
    return appended, counters, total


def test_a_report_at_the_first_second_and_every_period(tmp_path):
    appended, counters, total = collected(tmp_path, 35)
    assert appended == [1, 11, 21, 31]
    assert (counters.sampled, counters.reported, counters.not_due) == (35, 4, 31)
    assert (total["sampled"], total["not_due"], total["pending"], total["unaccounted"]) == (35, 31, 4, 0)


def test_a_busy_loop_misses_seconds_and_keeps_the_grid(tmp_path):
    appended, counters, total = collected(tmp_path, 30, slow=[(15, 7.5)])
    assert appended == [1, 11, 23, 31]  # second 21 was gone; the next whole second stood in, and the grid went on
    assert counters.missed == 7
    assert total["unaccounted"] == 0


@pytest.mark.parametrize("back", [1, 2])
def test_a_wall_clock_that_jitters_repeats_no_second(tmp_path, back):
    appended, counters, total = collected(tmp_path, 60, steps=[(15, -back)])
    assert appended == sorted(set(appended))
    assert counters.clock == back
    assert total["lost"] == {"clock": back}
    assert total["unaccounted"] == 0


def test_a_wall_clock_set_back_begins_an_epoch_and_reporting_goes_on(tmp_path):
    appended, counters, total = collected(tmp_path, 60, steps=[(15, -30)])
    assert appended == [1, 11, -14, -4, 6, 16, 26]
    assert counters.clock == 0
    assert (total["pending"], total["lost"], total["unaccounted"]) == (7, {}, 0)


def test_an_epoch_never_reports_a_second_again_that_was_reported(tmp_path):
    """Two contents for one collection time are worse than a report that is counted as lost."""
    appended, _, total = collected(tmp_path, 60, steps=[(15, -15)])
    assert appended == [1, 11, 21, 31, 41]
    assert (total["lost"], total["unaccounted"]) == ({"clock": 2}, 0)


def test_seconds_that_an_earlier_process_has_reported_are_neither_kept_nor_announced(tmp_path):
    collected(tmp_path, 15)
    appended, counters, total = collected(tmp_path, 25)  # the same seconds, and ten more
    assert appended == [21]
    assert counters.reported == 3
    assert (total["pending"], total["lost"], total["unaccounted"]) == (3, {"clock": 2}, 0)


def test_a_wall_clock_that_jumps_ahead_goes_on_from_there(tmp_path):
    appended, counters, total = collected(tmp_path, 30, steps=[(15, 3600)])
    assert appended[:2] == [1, 11]
    assert appended[2] == 3616
    assert counters.clock == 0
    assert total["unaccounted"] == 0


def test_a_wall_clock_that_was_never_set_drops_samples_loudly_and_ends_nothing(tmp_path, caplog):
    appended, counters, total = collected(tmp_path, 30, steps=[(5, -START_S), (15, START_S)])
    assert appended == [1, 16, 21]
    assert counters.clock == 10
    assert total["lost"] == {"clock": 10}
    assert total["unaccounted"] == 0
    assert [("dropped" in text, "kept again" in text) for text in caplog.messages if "samples are" in text] == [
        (True, False),
        (False, True),
    ]
