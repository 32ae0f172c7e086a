"""When a sample is a report, second by second, with the numbers of both editions."""

from collections.abc import Iterable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.core.edition import ReportRules
from agent.core.editions import EDITIONS
from agent.core.occasion import Occasion, ReportSettings, Ring, Steady, View

RULES_2016 = EDITIONS["2016"].rules
RULES_2025 = EDITIONS["2025"].rules
INVALID = 0xFF
DRIVING = {"vehicle_state": "started", "charging_state": "not_charging", "run_mode": "electric"}
OFF = {"vehicle_state": "off", "charging_state": "not_charging", "run_mode": None}
CHARGING = {"vehicle_state": "off", "charging_state": "parked_charging", "run_mode": None}
NOBODY_KNOWS = {"vehicle_state": None, "charging_state": None, "run_mode": None}


class Drive:
    """Runs the machine with its ring; `reported` are seconds in the order in which they reach the outbox."""

    def __init__(self, rules=RULES_2016, settings=None, silence_s=0):
        self.occasion = Occasion(rules, settings or ReportSettings(), silence_s * 1000)
        self.ring = Ring(max(rules.burst[0], rules.parked_burst[0]))
        self.second = 0
        self.reported = []
        self.live = []
        self.only = {}
        self.stored = []
        self.phases = []  # (second, active), where it changed

    def run(self, seconds, level=0, states=DRIVING, quiet_s=0):
        """So many seconds alike; `quiet_s` is the silence of the buses in the first of them, None: they speak."""
        for number in range(seconds):
            quiet_ms = 0 if quiet_s == 0 else (quiet_s + number) * 1000 + 7
            self.sample(level, states, quiet_ms)
        return self

    def sample(self, level, states, quiet_ms=0):
        now = self.second * 1000
        decision = self.occasion.decide(now, now, level, states, quiet_ms)
        if not self.phases or self.phases[-1][1] != decision.active:
            self.phases.append((self.second, decision.active))
        if decision.due:
            self.reported += [] if decision.since is None else self.ring.take(decision.since)[0]
            self.reported.append(self.second)
            self.live.append(self.second)
            self.only[self.second] = decision.only
        else:
            self.ring.put(now, self.second)
        if decision.keep:
            self.stored.append(self.second)
        self.second += 1
        return decision


def grid(begin, end, period=10):
    return [second for second in range(begin, end + 1) if second % period == 0]


def test_without_alarms_a_report_at_the_first_second_and_every_period():
    assert Drive().run(35).reported == [0, 10, 20, 30]


def test_2016_reports_thirty_seconds_before_a_fault_and_thirty_after_it():
    drive = Drive().run(55).run(1, level=3).run(64)
    ring = [second for second in range(25, 55) if second % 10]
    assert drive.reported == [0, 10, 20, 30, 40, 50, *ring, *range(55, 86), 90, 100, 110]
    assert drive.live == [0, 10, 20, 30, 40, 50, *range(55, 86), 90, 100, 110]


def test_2016_a_level_that_stays_is_one_fault():
    assert Drive().run(5).run(115, level=3).live == [0, *range(5, 36), *grid(40, 119)]


def test_2016_a_new_fault_while_the_burst_runs_restarts_its_thirty_seconds():
    drive = Drive().run(5).run(5, level=3).run(10).run(1, level=3).run(60)
    assert drive.live == [0, *range(5, 51), *grid(60, 80)]
    assert sorted(drive.reported) == [*range(51), *grid(60, 80)]


def test_2025_reports_until_the_alarm_clears():
    for level in (3, 4):
        drive = Drive(RULES_2025).run(55).run(100, level=level).run(30)
        assert drive.live == [*grid(0, 50), *range(55, 155), *grid(160, 184)]
        assert sorted(drive.reported) == [*grid(0, 20), *range(25, 155), *grid(160, 184)]


def test_level_four_is_no_level_of_2016():
    assert Drive().run(25, level=4).reported == [0, 10, 20]


@pytest.mark.parametrize("level", [INVALID, 0xFE, None])
def test_a_stale_level_neither_starts_nor_holds_a_burst(level):
    assert Drive(RULES_2025).run(25, level=level).reported == [0, 10, 20]
    assert Drive(RULES_2025).run(5).run(5, level=3).run(20, level=level).live == [0, *range(5, 10), 10, 20]
    drive = Drive(RULES_2025).run(5).run(5, level=3).run(5, level=level).run(5, level=3).run(5)
    assert sorted(drive.reported) == list(
        range(21)
    )  # silent from 10 to 14: what was held then goes with the level's return


def test_a_fault_in_the_first_second_has_nothing_before_it():
    assert Drive().run(40, level=3).reported == [*range(31)]


def test_the_period_of_the_burst_is_parameter_03_and_never_below_a_second():
    slow = ReportSettings(10_000, 5000)
    assert Drive(settings=slow).run(7).run(40, level=3).live == [0, 7, 10, 12, 17, 20, 22, 27, 30, 32, 37, 40]
    fast = ReportSettings(10_000, 0)
    assert Drive(settings=fast).run(7).run(40, level=3).live == [0, *range(7, 38), 40]


def test_settings_hold_from_the_next_sample_on():
    drive = Drive().run(15)
    drive.occasion.settings = ReportSettings(3000)
    drive.run(15)
    assert drive.reported == [0, 10, 15, 16, 19, 22, 25, 28]  # the grid begins at the last report; 13 was over already
    drive.occasion.settings = ReportSettings(20_000)
    assert drive.run(30).reported[8:] == [48]


def test_local_storage_counts_where_it_is_denser_than_the_reports():
    assert Drive(settings=ReportSettings(10_000, 1000, 10_000)).run(60).stored == []
    assert Drive(settings=ReportSettings(10_000, 1000, 2000)).run(30).stored == grid(0, 29, 2)
    assert Drive(settings=ReportSettings(10_000, 1000, 0)).run(300, states=OFF).stored == [*range(181)]


def test_2016_goes_on_for_three_minutes_after_switch_off():
    drive = Drive().run(45).run(300, states=OFF).run(30)
    assert drive.reported == [*grid(0, 225), *grid(345, 374)]
    assert drive.phases == [(0, True), (226, False), (345, True)]


def test_charging_is_awake_and_its_end_is_a_switch_off():
    drive = Drive().run(45).run(500, states=CHARGING).run(400, states=OFF)
    assert drive.reported == grid(0, 545 + 180)


def test_a_terminal_that_starts_beside_a_vehicle_that_is_off_takes_that_for_the_switch_off():
    assert Drive().run(300, states=OFF).reported == grid(0, 180)


def test_unknown_states_change_nothing():
    assert Drive().run(400, states=NOBODY_KNOWS).reported == grid(0, 399)
    asleep = Drive().run(5).run(300, states=OFF).run(100, states=NOBODY_KNOWS)
    assert asleep.reported == grid(0, 185)
    without_state = {"vehicle_state": None, "charging_state": "not_charging", "run_mode": None}
    assert Drive().run(400, states=without_state).reported == grid(0, 399)


def test_silence_is_a_switch_off_at_the_last_frame():
    drive = Drive(silence_s=60).run(101, states=NOBODY_KNOWS).run(400, states=NOBODY_KNOWS, quiet_s=1)
    assert drive.reported == grid(0, 280)
    drive.run(20, states=NOBODY_KNOWS)
    assert drive.reported[-2:] == [510, 520]
    assert drive.phases == [(0, True), (281, False), (501, True)]
    assert Drive(silence_s=0).run(400, states=NOBODY_KNOWS, quiet_s=1).reported == grid(0, 399)
    assert Drive(silence_s=200).run(1).run(400, quiet_s=1).reported == grid(
        0, 200 - 1
    )  # the three minutes are over then


@pytest.mark.parametrize(("quiet_ms", "silent"), [(199_999, False), (200_000, True)])
def test_silence_begins_with_its_last_millisecond(quiet_ms, silent):
    # Longer than the three minutes after switch-off: where it is one, they are over.
    assert Drive(silence_s=200).run(300).sample(0, DRIVING, quiet_ms).active is not silent


def test_a_state_that_is_still_believed_does_not_outlive_silence():
    assert Drive(silence_s=60).run(1).run(400, states=DRIVING, quiet_s=1).reported == grid(0, 180)


def test_a_fault_of_a_sleeping_vehicle_wakes_the_terminal():
    drive = Drive().run(5).run(300, states=OFF).run(1, level=3, states=OFF).run(100, states=OFF)
    assert drive.reported == [*grid(0, 185), *range(275, 336)]
    assert drive.phases == [(0, True), (186, False), (305, True), (336, False)]


def test_2025_watches_the_battery_for_an_hour_and_reports_its_end():
    drive = Drive(RULES_2025).run(45).run(4000, states=OFF)
    assert drive.reported == [*grid(0, 44), *range(45 + 3570, 45 + 3601)]
    assert {drive.only[second] for second in drive.reported[5:]} == {RULES_2025.watch_bodies}
    assert drive.only[40] is None
    assert drive.phases == [(0, True), (45 + 3601, False)]


def test_2025_a_silent_battery_gives_the_one_message_at_the_end():
    drive = Drive(RULES_2025, silence_s=60).run(45).run(10, states=OFF).run(4000, states=NOBODY_KNOWS, quiet_s=1)
    assert drive.reported == [*grid(0, 44), 3645]
    missed = Drive(RULES_2025).run(45).run(3560, states=OFF)
    missed.second += 100  # the loop was busy over the whole window
    assert missed.run(100, states=OFF).reported == [*grid(0, 44), 3705]


def test_2025_a_window_that_was_cut_short_asks_for_no_second_end():
    drive = Drive(RULES_2025).run(45).run(3580, states=OFF)
    drive.second += 100  # the loop was busy over the rest of the window
    assert drive.run(50, states=OFF).reported == [*grid(0, 44), *range(45 + 3570, 45 + 3580)]


def test_2025_each_watch_has_its_own_end():
    drive = Drive(RULES_2025).run(5).run(3700, states=OFF).run(5)
    off_at = drive.second
    drive.run(10, states=OFF)
    drive.second += 3700  # over the whole window of the second watch
    late = drive.second
    assert drive.run(10, states=OFF).reported[-1] == late > off_at + 3600


def test_2025_a_fault_of_a_vehicle_that_is_off_asks_for_nothing_before_it():
    assert Drive(RULES_2025).run(5).run(100, states=OFF).sample(4, OFF).since is None


def test_2025_a_burst_that_waking_begins_has_its_own_seconds():
    slow = ReportSettings(10_000, 5000)
    drive = Drive(RULES_2025, slow).run(5).run(95, states=OFF).run(103, level=4, states=OFF).run(9, level=4)
    assert drive.live == [0, *range(100, 131, 5), 203, 208, 210]


def test_2025_a_short_fault_while_awake_does_not_shorten_that_of_the_sleep():
    drive = Drive(RULES_2025).run(5).run(95, states=OFF).run(1, level=4, states=OFF).run(4)
    assert drive.run(1, level=4).run(40).live == [0, *range(100, 131), 140]


def test_2025_a_fault_during_the_watch_is_reported_for_thirty_seconds():
    drive = Drive(RULES_2025).run(45).run(955, states=OFF).run(200, level=4, states=OFF).run(3000, states=OFF)
    assert drive.reported == [*grid(0, 44), *range(1000, 1031), *range(3615, 3646)]
    assert {drive.only[second] for second in range(1000, 1031)} == {None}


def test_2025_a_fault_at_the_end_of_the_watch_is_reported_with_all_bodies():
    drive = Drive(RULES_2025).run(45).run(3575, states=OFF).run(5, level=4, states=OFF)
    assert {drive.only[second] for second in range(3615, 3620)} == {RULES_2025.watch_bodies}
    assert {drive.only[second] for second in range(3620, 3625)} == {None}


def test_a_report_of_the_grid_has_all_bodies_in_the_watch_too():
    rules = ReportRules((3,), (30, 30, False), (30, 30, False), 100, 100, 30, ("alarms",), ())
    drive = Drive(rules).run(10).run(200, states=OFF)
    assert drive.reported == [*grid(0, 70), *range(80, 111)]
    assert {second: drive.only[second] for second in (80, 81, 90, 109)} == {
        80: None,
        81: ("alarms",),
        90: None,
        109: ("alarms",),
    }


def test_2025_an_alarm_outlives_the_switch_off_until_it_clears():
    drive = Drive(RULES_2025).run(45).run(5, level=4).run(100, level=4, states=OFF).run(100, states=OFF)
    assert drive.live == [*grid(0, 44), *range(45, 150)]


def test_2025_a_vehicle_that_wakes_in_alarm_is_in_its_burst():
    drive = Drive(RULES_2025).run(5).run(95, states=OFF).run(100, level=4, states=OFF).run(100, level=4).run(10)
    assert drive.live == [0, *range(100, 131), *range(200, 301)]


def test_2025_waking_during_the_watch_ends_it():
    drive = Drive(RULES_2025).run(5).run(3000, states=OFF).run(1000).run(1000, states=OFF)
    assert drive.reported == [0, *grid(3005, 4004)]


@pytest.mark.parametrize(
    ("rules", "states", "without"),
    [
        (RULES_2016, DRIVING, ()),
        (RULES_2016, CHARGING, ("drive_motors", "engine")),
        (RULES_2025, DRIVING, ("engine",)),
        (RULES_2025, CHARGING, ("drive_motors", "engine")),
        (RULES_2025, NOBODY_KNOWS, ()),
    ],
)
def test_bodies_that_are_left_out(rules, states, without):
    assert Drive(rules).sample(0, states).without == without


def test_a_clock_that_was_set_back_begins_the_grids_anew():
    drive = Drive(settings=ReportSettings(10_000, 1000, 4000)).run(13)
    assert (drive.reported, drive.stored) == ([0, 10], [0, 4, 8, 12])
    drive.occasion.restart_grid()
    drive.second = 3  # from here on by the new clock
    drive.run(12)
    assert (drive.reported[2:], drive.stored[4:]) == ([3, 13], [3, 7, 11])


def test_the_view_picks_all_bodies_of_a_sample_that_leaves_none_out():
    bodies = [(1, {}), (7, {}), (4, {})]
    assert View(EDITIONS["2016"]).pick(bodies, Drive().sample(0, NOBODY_KNOWS)) == bodies


def test_the_view_reads_words_and_picks_bodies():
    view = View(EDITIONS["2016"])
    vehicle = {"vehicle_state": 2, "charging_state": 1, "run_mode": 0xFF}
    bodies = [(1, vehicle), (2, {}), (4, {}), (7, {"level": 3}), (0x80, {})]
    level, states = view.read(bodies)
    assert (level, states) == (3, {"vehicle_state": "off", "charging_state": "parked_charging"})
    decision = Drive().sample(level, states)
    assert [type_id for type_id, _ in view.pick(bodies, decision)] == [1, 7, 0x80]
    decision.only = ("vehicle", "drive_motors", "unit_voltages")
    assert [type_id for type_id, _ in view.pick(bodies, decision)] == [1]
    assert view.read([(5, {})]) == (None, {})


def test_a_ring_holds_so_many_and_gives_those_young_enough_once():
    ring = Ring(3)
    assert [ring.put(now, now * 10) for now in range(5)] == [None, None, None, 0, 10]
    assert ring.take(3) == ([30, 40], [20])
    assert ring.take(0) == ([], [])
    ring.put(5, 50)
    assert ring.empty() == [50]
    assert ring.empty() == []


def test_steps_of_the_wall_clock_do_not_reach_the_timers():
    steady = Steady(2000)
    samples = [(100, 7), (101, 1009), (104, 4900), (3704, 5900), (3705, 6901), (3605, 7900), (3606, 8899)]
    assert [steady.advance(second, now) for second, now in samples] == [0, 1000, 4000, 5000, 6000, 7000, 8000]


def test_a_second_that_comes_twice_counts_like_any_other():
    steady = Steady(2000)
    assert [steady.advance(second, now) for second, now in [(100, 0), (100, 700), (99, 1400)]] == [0, 1000, 2000]


def test_what_passed_in_a_step_of_the_clock_is_rounded_to_seconds():
    steady = Steady(2000)
    steps = [(100, 0), (9000, 1499), (100, 2999), (103, 3999), (104, 6999)]  # the last two are just no steps
    assert [steady.advance(second, now) for second, now in steps] == [0, 1000, 3000, 6000, 7000]


# -- against a slow model -----------------------------------------------------------------------------------------------


def slow_model(rules, history):
    """Every second that has to be reported, found by looking at the whole history; (level, states) by second, always heard."""
    awake, off_since, now_awake = [], [], True
    for second, (_, states) in enumerate(history):
        if "started" in states.values() or "parked_charging" in states.values():
            now_awake = True
        elif states["vehicle_state"] == "off":
            now_awake = False
        awake.append(now_awake)
        off_since.append(second if now_awake or not second or awake[second - 1] else off_since[second - 1])
    wanted = set()
    for second, (level, _) in enumerate(history):
        high = level in rules.burst_levels
        rise = high and (second == 0 or history[second - 1][0] not in rules.burst_levels)
        if rise:
            before, after, _ = rules.burst if awake[second] else rules.parked_burst
            wanted |= set(range(second - before, second + after + 1))
        if high and rules.burst[2]:
            begin = second  # of the run of high levels
            while begin and history[begin - 1][0] in rules.burst_levels:
                begin -= 1
            if any(awake[begin : second + 1]):
                wanted.add(second)
        off_s = second - off_since[second]
        if second % 10 == 0 and (awake[second] or (rules.after_off_s and off_s <= rules.after_off_s)):
            wanted.add(second)
        if not awake[second] and rules.watch_s and rules.watch_s - rules.watch_report_s <= off_s <= rules.watch_s:
            wanted.add(second)
    return sorted(wanted & set(range(len(history))))


def spans(*states) -> st.SearchStrategy[list[tuple[int, dict[str, str | None]]]]:
    step = st.tuples(st.integers(1, 70), st.sampled_from([0, 1, 3, 4, INVALID]), st.sampled_from(states))
    long = st.tuples(st.sampled_from([170, 190, 3500, 3700]), st.just(0), st.sampled_from(states))
    return st.lists(st.one_of(step, step, step, long), max_size=12)


@pytest.mark.parametrize("rules", [RULES_2016, RULES_2025], ids=["2016", "2025"])
@given(history=spans(DRIVING, CHARGING, OFF, NOBODY_KNOWS))
@settings(max_examples=60, deadline=None)
@example(history=[(29, 0, DRIVING), (1, 3, DRIVING), (1, 0, DRIVING), (1, 3, OFF), (70, 3, DRIVING)])
def test_whatever_happens_the_seconds_are_those_of_the_slow_model(
    rules: ReportRules, history: Iterable[tuple[int, int, dict[str, str | None]]]
) -> None:
    drive = Drive(rules)
    for seconds, level, states in history:
        drive.run(seconds, level, states)
    flat = [(level, states) for seconds, level, states in history for _ in range(seconds)]
    assert sorted(drive.reported) == slow_model(rules, flat)
    assert len(drive.reported) == len(set(drive.reported))
    assert drive.live == sorted(drive.live)
