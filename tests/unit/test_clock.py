"""The clock, on functions that stand in for the world: no test sleeps."""

import asyncio
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import Clock
from agent.errors import ConfigError

T = 1_760_000_000  # a real Unix second

speeds = st.one_of(
    st.integers(1, 1000), st.fractions(Fraction(1, 10), 1000, max_denominator=50), st.sampled_from([0.1, 0.5, 2.5])
)


class World:
    """Real time that moves only when told, and sleepers that wake a little early, as event loops do."""

    def __init__(self, monotonic_ns: int = 5_000_000_000, real_ns: int = T * 10**9, early_ns: int = 0) -> None:
        self.monotonic_ns = monotonic_ns
        self.real_ns = real_ns
        self.early_ns = early_ns
        self.sleeps: list[float] = []

    def go(self, ns: int) -> None:
        self.monotonic_ns += ns
        self.real_ns += ns

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        asked_ns = round(seconds * 10**9)
        self.go(asked_ns - self.early_ns if asked_ns > self.early_ns else asked_ns)

    def clock(self, speed: int | float | Fraction = 1, epoch: float | None = T) -> Clock:
        return Clock(
            speed, epoch, monotonic_ns=lambda: self.monotonic_ns, time_ns=lambda: self.real_ns, sleep=self.sleep
        )


def test_unscaled_time_is_real_time() -> None:
    world = World(monotonic_ns=1_234_567_890, real_ns=T * 10**9 + 999_999)
    clock = world.clock()
    assert (clock.now(), clock.wall_ms(), clock.ticks_per_ms) == (1234, T * 1000, 1_000_000)


def test_scaled_wall_time_runs_n_times_faster_from_the_epoch() -> None:
    world = World(real_ns=(T + 7) * 10**9)
    assert world.clock(speed=10).wall_ms() == (T + 70) * 1000


def test_processes_that_share_an_epoch_read_the_same_wall_time_whenever_they_start() -> None:
    world = World()
    first = world.clock(speed=60, epoch=T + 0.25)
    world.go(3_333_333_333)
    assert world.clock(speed=60, epoch=T + 0.25).wall_ms() == first.wall_ms()


def test_without_an_epoch_scaled_time_starts_at_real_time() -> None:
    world = World(real_ns=T * 10**9 + 123_000_000)
    assert world.clock(speed=100, epoch=None).wall_ms() == T * 1000 + 123


@given(speed=speeds, monotonic_ns=st.integers(0, 10**17), later_ns=st.integers(0, 10**12))
def test_now_and_wall_advance_by_the_same_scaled_time(
    speed: int | float | Fraction, monotonic_ns: int, later_ns: int
) -> None:
    world = World(monotonic_ns)
    clock = world.clock(speed)
    now, wall = clock.now(), clock.wall_ms()
    world.go(later_ns)
    expected = later_ns * clock.speed / 10**6
    assert abs((clock.now() - now) - expected) <= 1
    assert abs((clock.wall_ms() - wall) - expected) <= 1


@given(speed=speeds, stamp=st.integers(0, 10**17))
def test_ticks_per_ms_agrees_with_at_within_the_rounding_of_the_tick(speed: int | float | Fraction, stamp: int) -> None:
    clock = World().clock(speed)
    assert clock.ticks_per_ms == int(10**6 / clock.speed)
    assert clock.at(stamp) == int(Fraction(stamp) * clock.speed / 10**6)


def test_stamp_is_the_c_function_itself() -> None:
    import time

    assert Clock().stamp is time.monotonic_ns


@pytest.mark.parametrize("speed", [1, 10])
def test_how_far_the_wall_clock_is_ahead_of_stamps_survives_an_interruption_between_the_two(speed: int) -> None:
    world = World()
    pauses = [80_000_000, 300, 0]  # before the wall clock is read: another process had its turn

    def time_ns() -> int:
        world.go(pauses.pop(0) if pauses else 0)
        return world.real_ns

    clock = Clock(speed, T, monotonic_ns=lambda: world.monotonic_ns, time_ns=time_ns)
    assert abs(clock.ahead_ns() - (world.real_ns - world.monotonic_ns)) <= 300
    assert pauses == [0]


def test_real_seconds_of_a_scaled_duration() -> None:
    assert World().clock(speed=10).real_s(1000) == pytest.approx(0.1)
    assert World().clock(speed=Fraction(1, 2)).real_s(1000) == pytest.approx(2.0)


@given(speed=speeds, monotonic_ns=st.integers(0, 10**15), real_ns=st.integers(T * 10**9, (T + 10**6) * 10**9))
def test_next_second_is_the_first_millisecond_after_the_boundary(
    speed: int | float | Fraction, monotonic_ns: int, real_ns: int
) -> None:
    world = World(monotonic_ns, real_ns)
    clock = world.clock(speed)
    second = clock.wall_ms() // 1000
    due = clock.next_second()
    asyncio.run(clock.sleep_until(due))
    assert clock.wall_ms() // 1000 >= second + 1
    # Not later than the millisecond that follows the boundary, plus the real nanosecond a sleep is rounded to.
    assert clock.wall_ms() <= (second + 1) * 1000 + 1 + clock.speed / 10**6


@given(speed=speeds, monotonic_ns=st.integers(0, 10**15), ahead_ms=st.integers(-5000, 10**7))
def test_sleep_is_never_early_even_when_the_loop_is(
    speed: int | float | Fraction, monotonic_ns: int, ahead_ms: int
) -> None:
    world = World(monotonic_ns, early_ns=700)
    clock = world.clock(speed)
    target = clock.now() + ahead_ms
    asyncio.run(clock.sleep_until(target))
    assert clock.now() >= target


def test_a_time_already_past_gives_way_once_to_other_tasks() -> None:
    world = World()
    clock = world.clock()
    asyncio.run(clock.sleep_until(clock.now() - 1))
    assert world.sleeps == [0]


def test_sleeping_to_absolute_targets_does_not_drift() -> None:
    world = World()
    clock = world.clock(speed=3)
    start = clock.now()

    async def hundred_periods() -> None:
        for n in range(1, 101):
            await clock.sleep_until(start + n * 10)
            world.go(1_000_000)  # work done in each period

    asyncio.run(hundred_periods())
    assert clock.now() - start in range(1000, 1006)


@pytest.mark.parametrize("speed", [0, 0.09, 1001, -1, float("nan"), float("inf")])
def test_a_speed_out_of_range_is_refused_with_the_range(speed: float) -> None:
    with pytest.raises(ConfigError, match=r"0\.1\.\.1000"):
        Clock(speed)


@pytest.mark.parametrize("epoch", [float("nan"), float("inf"), float("-inf")])
def test_an_epoch_that_is_no_time_is_refused(epoch: float) -> None:
    with pytest.raises(ConfigError, match=r"--epoch: .* is no Unix time"):
        Clock(1, epoch)
