"""Which collection times may be stored: within a clock epoch they increase, and no epoch repeats a second of another."""

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)

STEP_S = 2  # a clock that goes back by more was set: a new epoch begins; by less it only jitters
CLOCK_HIGH = "clock_high"  # in the outbox's meta: the newest second before the clock was set back


class Seconds:
    """The seconds of one boot of the machine.

    `last`: the newest stored second. `meta`: where the newest second of earlier epochs is remembered. `stored_from(second)`
    gives the stored seconds from that one on; it is asked only when the clock was set back.
    """

    def __init__(self, last: int | None, meta: dict[str, str], stored_from: Callable[[int], set[int]]) -> None:
        self._last = last
        self._meta = meta
        self._stored_from = stored_from
        behind = last is not None and int(meta.get(CLOCK_HIGH, 0)) > last
        self._taken: set[int] | None = None if behind else set()  # None: not asked for yet
        self._dropping = False

    def admit(self, second: int | None) -> bool:
        """True when a sample of this second may be stored; a provisional one (None) always may."""
        if second is None:
            return True
        if self._last is not None and second < self._last - STEP_S:
            log.warning(
                "the wall clock was set back: a new clock epoch begins at second=%d, was %d", second, self._last
            )
            self._meta[CLOCK_HIGH] = str(max(self._last, int(self._meta.get(CLOCK_HIGH, 0))))
            self._taken = self._last = None
        if self._taken is None:
            self._taken = self._stored_from(second)
        good = (self._last is None or second > self._last) and second not in self._taken
        if good:
            self._last = second
        elif not self._dropping:
            log.warning("samples dropped: second=%d is stored already or not later than last=%s", second, self._last)
        self._dropping = not good
        return good
