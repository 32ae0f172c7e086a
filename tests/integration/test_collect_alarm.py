"""Grave alarms, switch-off and silence with the real sampler and outbox: frames in, rows of the file out, time by the test."""

import asyncio
import sqlite3
from contextlib import closing

import pytest
from test_collect import START_S, VIN, World

from agent.collect import Collector
from agent.core.dataunit import decode_bodies
from agent.core.edition2016 import EDITION
from agent.core.frames import LatestFrames
from agent.core.occasion import ReportSettings
from agent.core.sampler import Sampler
from agent.outbox_thread import OutboxThread
from agent.signalmap import load_mapping

CELLS = 260
DBC = [
    'VERSION ""',
    "BU_: A",
    "BO_ 256 S: 8 A",
    ' SG_ State : 0|8@1+ (1,0) [0|0] "" A',
    ' SG_ Charging : 8|8@1+ (1,0) [0|0] "" A',
    ' SG_ Level : 16|8@1+ (1,0) [0|0] "" A',
    "BO_ 768 V: 8 A",
    ' SG_ Page M : 0|16@1+ (1,0) [0|0] "" A',
    *(f' SG_ C{n} m{n} : 16|16@1+ (1,0) [0|0] "mV" A' for n in range(1, CELLS + 1)),
    "",
]
MAPPING = f"""format = 1
name = "alarm"
edition = "2016"
[dbc.b]
files = ["alarm.dbc"]
[vehicle]
vehicle_state = {{ signal = "b.S.State", values = {{ 1 = "started", 2 = "off" }} }}
charging_state = {{ signal = "b.S.Charging", values = {{ 1 = "parked_charging", 3 = "not_charging" }} }}
[[drive_motors.motors]]
speed = "b.S.Level"
[storage_voltages]
cells = {{ signal = "b.V.C{{n}}", count = {CELLS} }}
[alarms]
level = "b.S.Level"
storage_faults = []
"""
STARTED, OFF, SILENT = b"\x01\x03", b"\x02\x03", None
CHARGING = b"\x02\x01"


@pytest.fixture(scope="session")
def plan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alarm")
    (folder / "alarm.dbc").write_text("\n".join(DBC), encoding="utf-8")
    (folder / "alarm.toml").write_text(MAPPING, encoding="utf-8")
    return load_mapping(folder / "alarm.toml", "2016", cache=False).plan


class Rig:
    """The collector with its outbox; `appended` is what the uplink hears, `phases` what it is told of the vehicle."""

    def __init__(self, folder, plan):
        self.path = folder / "tbox.db"
        self.plan = plan
        self.world = World()
        self.clock = self.world.clock()
        self.latest = LatestFrames(plan)
        self.appended = []
        self.phases = []

    async def start(self):
        self.outbox = await OutboxThread.open(
            self.path, wall_s=lambda: START_S, now_ms=self.clock.now, kernel_boot="boot-a"
        )
        self.collector = Collector(
            edition=EDITION,
            vin=VIN,
            sampler=Sampler(self.plan, self.clock.ticks_per_ms),
            latest=self.latest,
            settings=ReportSettings(),
            silence_s=60,
            outbox=self.outbox,
            clock=self.clock,
            appended=lambda ids, rows, held: self.appended.append((ids, [row.collected_at for row in rows], held)),
            on_phase=lambda active: self.phases.append((self.last(), active)),
            refresh=lambda: None,
        )

    async def run(self, seconds, state=STARTED, level=0):
        for _ in range(seconds):
            if state is not SILENT:
                self.latest.keep(0, 256, state + bytes((level,)) + bytes(5), self.clock.stamp())
            await self.clock.sleep_until(self.clock.next_second())
            await self.collector.sample()

    def last(self):
        return self.clock.wall_ms() // 1000 - START_S

    async def stop(self):
        await self.collector.flush()
        stats = await self.outbox.stats()
        await self.outbox.close()
        return stats["total"]

    def rows(self):
        """(second, part, bodies) of every row in the file, in the order of their ids; seen from another connection."""
        with closing(sqlite3.connect(self.path)) as db:
            found = db.execute("SELECT collected_at, part, bodies FROM rows ORDER BY id").fetchall()
        return [(second - START_S, part, bodies) for second, part, bodies in found]

    def seconds(self):
        return [second for second, part, _ in self.rows() if part == 1]


def test_the_thirty_seconds_before_an_alarm_are_on_the_disk_within_a_second_of_it(tmp_path, plan):
    async def run():
        rig = Rig(tmp_path, plan)
        await rig.start()
        await rig.run(45)
        assert rig.seconds() == [1, 11, 21, 31, 41]
        await rig.run(1, level=3)
        alarm_ms = rig.clock.wall_ms() - 1000 * START_S
        assert 46_000 <= alarm_ms < 47_000  # no time went by after the sample that saw the level
        held = [second for second in range(16, 46) if second % 10 != 1]
        rows = rig.rows()
        assert [(second, part) for second, part, _ in rows[10:]] == [(s, p) for s in [*held, 46] for p in (1, 2)]
        levels = [decode_bodies(EDITION, bodies)[0][-2][1]["level"] for _, part, bodies in rows if part == 1]
        assert levels == [0] * 32 + [3]
        ids, live, count = rig.appended[-1]
        assert (ids, [second - START_S for second in live], count) == ([65, 66], [46, 46], 2 * len(held))
        await rig.run(60)
        assert rig.seconds()[33:] == [*range(47, 77), 81, 91, 101]
        total = await rig.stop()
        assert (total["sampled"], total["pending"], total["not_due"], total["unaccounted"]) == (106, 66, 40, 0)

    asyncio.run(run())


def test_seconds_of_a_burst_are_not_stored_again_by_the_next(tmp_path, plan):
    async def run():
        rig = Rig(tmp_path, plan)
        await rig.start()
        for _ in range(4):
            await rig.run(37)
            await rig.run(2, level=3)
        total = await rig.stop()
        assert sorted(rig.seconds()) == [1, *range(8, 157)]  # bursts meet: 38, 77, 116, 155
        assert (total["unaccounted"], total["lost"]) == (0, {})
        counters = rig.collector.counters
        assert counters.reported == total["pending"] == 150
        assert counters.sampled == counters.reported + counters.not_due == 156

    asyncio.run(run())


@pytest.mark.parametrize("step", [-3600, -100, -31, -25, -10, -5, -3, -2, -1, 5, 3600])
@pytest.mark.parametrize("after", [0, 1, 7, 20, 40])
def test_no_second_is_stored_twice_wherever_the_clock_is_set(tmp_path, plan, step, after):
    async def run():
        rig = Rig(tmp_path, plan)
        await rig.start()
        await rig.run(41)
        await rig.run(10, level=3)
        await rig.run(40)
        rig.world.step(step)
        await rig.run(after)
        await rig.run(1, level=3)
        await rig.run(40)
        total = await rig.stop()
        seconds = rig.seconds()
        assert len(seconds) == len(set(seconds))
        assert total["unaccounted"] == 0
        assert total["pending"] == len(seconds)
        later = [second for second in range(163 + step, 173 + step) if second % 10 == 1]
        if step > 0 and after == 40:  # the burst is as long as without a step
            assert [second for second in seconds if second > 131 + step] == [*range(132 + step, 163 + step), *later]

    asyncio.run(run())


def test_a_restart_before_an_alarm_repeats_no_second(tmp_path, plan):
    async def run():
        rig = Rig(tmp_path, plan)
        await rig.start()
        await rig.run(25)
        await rig.stop()
        rig.world.step(-2)  # the clock jitters while no process looks
        await rig.start()
        await rig.run(3)
        await rig.run(1, level=3)
        total = await rig.stop()
        seconds = rig.seconds()
        assert len(seconds) == len(set(seconds))
        assert seconds[-1] == 27
        assert total["unaccounted"] == 0

    asyncio.run(run())


def test_switch_off_ends_reporting_after_three_minutes_and_waking_begins_it(tmp_path, plan):
    async def run():
        rig = Rig(tmp_path, plan)
        await rig.start()
        await rig.run(20)
        await rig.run(300, OFF)
        assert rig.seconds() == list(range(1, 202, 10))
        await rig.run(20)
        assert rig.seconds()[-2:] == [321, 331]
        assert rig.phases == [(202, False), (321, True)]
        assert (await rig.stop())["unaccounted"] == 0

    asyncio.run(run())


def test_silence_of_the_buses_is_a_switch_off_when_the_last_frame_came(tmp_path, plan):
    async def run():
        rig = Rig(tmp_path, plan)
        await rig.start()
        await rig.run(300, SILENT)  # never heard anything
        assert rig.seconds()[-1] == 181
        await rig.run(20)
        await rig.run(300, SILENT)
        assert rig.seconds()[-1] == 491
        assert rig.phases == [(182, False), (301, True), (500, False)]

    asyncio.run(run())


def test_a_period_set_at_run_time_holds_from_the_next_sample(tmp_path, plan):
    async def run():
        rig = Rig(tmp_path, plan)
        await rig.start()
        await rig.run(12)
        rig.collector.settings = ReportSettings(5000)
        await rig.run(12)
        assert rig.seconds() == [1, 11, 16, 21]

    asyncio.run(run())


def test_local_storage_keeps_what_no_report_and_no_alarm_took(tmp_path, plan):
    async def run():
        rig = Rig(tmp_path, plan)
        await rig.start()
        rig.collector.settings = ReportSettings(10_000, 1000, 2000)
        await rig.run(60)
        await rig.run(1, level=3)
        await rig.run(29)
        pending = [row.collected_at - START_S for row in await rig.outbox.batch(1000) if row.part == 1]
        assert pending == [1, 11, 21, 31, 41, 51, *(s for s in range(31, 61) if s % 10 != 1), *range(61, 91)]
        await rig.run(20)
        total = await rig.stop()
        with closing(sqlite3.connect(rig.path)) as db:
            kept = db.execute("SELECT collected_at FROM rows WHERE state = 'kept' AND part = 1 ORDER BY id").fetchall()
        wanted = [second for second in [*range(1, 31, 2), *range(91, 111, 2)] if second % 10 != 1]
        assert [second - START_S for (second,) in kept] == wanted
        assert (total["sampled"], total["unaccounted"]) == (110, 0)

    asyncio.run(run())


def test_no_motors_are_sent_while_the_parked_vehicle_charges(tmp_path, plan):
    async def run():
        rig = Rig(tmp_path, plan)
        await rig.start()
        await rig.run(10)
        await rig.run(10, CHARGING)
        bodies = [[type_id for type_id, _ in decode_bodies(EDITION, row[2])[0]] for row in rig.rows() if row[1] == 1]
        assert bodies == [[1, 2, 7, 8], [1, 7, 8]]

    asyncio.run(run())
