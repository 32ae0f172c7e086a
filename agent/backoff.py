"""After a failure: the pause before the next attempt, and the log that does not fill up meanwhile."""

import logging
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.clock import Clock

FIRST_DELAY_S = 1.0
LAST_DELAY_S = 30.0
JITTER = 0.2
SAY_AGAIN_MS = 60_000


class Backoff:
    """The pauses between attempts: 1 s, doubling to 30 s, spread by `rng` so that not all devices are tried at once."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._delay_s = FIRST_DELAY_S

    def reset(self) -> None:
        """It works again."""
        self._delay_s = FIRST_DELAY_S

    def next_ms(self) -> int:
        """The pause before the next attempt."""
        delay_ms = int(self._delay_s * 1000 * self._rng.uniform(1 - JITTER, 1 + JITTER))
        self._delay_s = min(2 * self._delay_s, LAST_DELAY_S)
        return delay_ms


class SparingLog:
    """Logs the same text at most once a minute, whatever its values: a loose plug would fill the disk."""

    def __init__(self, target: logging.Logger, clock: "Clock") -> None:
        self._target = target
        self._clock = clock
        self._said_ms: dict[str, int] = {}

    def say(self, level: int, text: str, *values: object) -> None:
        now = self._clock.now()
        if text not in self._said_ms or now - self._said_ms[text] >= SAY_AGAIN_MS:
            self._said_ms[text] = now
            self._target.log(level, text, *values)
