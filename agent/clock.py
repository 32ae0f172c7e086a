"""The only module that reads time; everything else takes it as an argument.

A run may be scaled for the bench: with speed N, monotonic time runs N times faster, and wall time is
``T + (real - T) * N``, where T (the epoch) is one real Unix time that all processes of the run share, so that a
restarted process never repeats a second.

Three counts, all integers:

* stamp: real monotonic nanoseconds, for whoever marks a frame; `ticks_per_ms` stamps make one scaled millisecond.
* now: scaled monotonic milliseconds; every deadline and timer is one.
* wall_ms: scaled Unix milliseconds.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from fractions import Fraction

from agent.errors import ConfigError

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
SLOWEST = Fraction(1, 10)
FASTEST = Fraction(1000)


class Clock:
    """Monotonic and wall time, scaled by `speed` (0.1 to 1000, exact: an int, a Fraction, or a decimal).

    `epoch` is T in real Unix seconds; None takes the moment of construction, which is right for a process that runs
    alone and wrong for one that is restarted. Raises ConfigError for a speed outside its range and for an epoch that is no
    number. The three functions that touch the world can be replaced, so that no test has to sleep.
    """

    def __init__(
        self,
        speed: int | float | str | Fraction = 1,
        epoch: float | None = None,
        *,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        time_ns: Callable[[], int] = time.time_ns,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        try:
            exact = Fraction(str(speed))  # str: 0.1 is meant as a tenth, not as the nearest binary fraction
        except ValueError:  # nan, inf
            exact = Fraction(0)
        if not SLOWEST <= exact <= FASTEST:
            raise ConfigError("--speed", [f"{speed} is not in {float(SLOWEST)}..{int(FASTEST)}"])
        if epoch is not None and not math.isfinite(epoch):
            raise ConfigError("--epoch", [f"{epoch} is no Unix time in seconds"])
        self.speed = exact
        #: the frame's mark: a C function, because it is called once a frame
        self.stamp = monotonic_ns
        self.ticks_per_ms = int(NS_PER_MS / exact)
        self._times, self._per = exact.numerator, exact.denominator
        self._time_ns = time_ns
        self._sleep = sleep
        self._epoch_ns = time_ns() if epoch is None else int(Fraction(str(epoch)) * NS_PER_S)

    def now(self) -> int:
        """Scaled monotonic milliseconds."""
        return self.at(self.stamp())

    def at(self, stamp: int) -> int:
        """The scaled monotonic millisecond in which `stamp` was taken."""
        return stamp * self._times // (self._per * NS_PER_MS)

    def ahead_ns(self) -> int:
        """Nanoseconds by which the real wall clock, in which the kernel marks frames, is ahead of stamps just now.

        Whoever is interrupted between reading the one and the other reads them again, a few times.
        """
        for _ in range(4):
            before = self.stamp()
            wall = self._time_ns()
            took = self.stamp() - before
            if took < NS_PER_MS:
                break
        return wall - before - took // 2

    def wall_ms(self) -> int:
        """Scaled Unix milliseconds."""
        return self._wall() // (NS_PER_MS * self._per)

    def real_s(self, ms: int) -> float:
        """Real seconds that `ms` scaled milliseconds last."""
        return ms * self._per / (self._times * 1000)

    def next_second(self) -> int:
        """The first `now` at which the next wall second has begun.

        Valid as long as nobody sets the wall clock meanwhile: ask again for each second.
        """
        second = NS_PER_S * self._per
        to_boundary = second - self._wall() % second
        return -(-(self.stamp() * self._times + to_boundary) // (NS_PER_MS * self._per))

    async def sleep_until(self, now_ms: int) -> None:
        """Return when `now()` has reached `now_ms`, never before it; a time already past gives way once to other tasks.

        The target is absolute: a caller that adds its period to the last target does not drift.
        """
        due_ns = -(-now_ms * NS_PER_MS * self._per // self._times)
        await self._sleep(max(0, due_ns - self.stamp()) / NS_PER_S)
        while (rest_ns := due_ns - self.stamp()) > 0:
            await self._sleep(rest_ns / NS_PER_S)

    def _wall(self) -> int:
        """Scaled Unix time in exact fractions of a nanosecond, `_per` of them each."""
        return self._epoch_ns * self._per + (self._time_ns() - self._epoch_ns) * self._times
