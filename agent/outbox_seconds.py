"""Which collection times may be stored: within a clock epoch they increase, and no epoch repeats a second of another.

Seconds that were held back (sampled before a fault that made them wanted) come later than newer ones: they may fill gaps of
the epoch, and do not look like a clock that went back.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable

from agent.outbox_memory import NewRow

log = logging.getLogger(__name__)

STEP_S = 2  # a clock that goes back by more was set: a new epoch begins; by less it only jitters
HELD_S = 60  # how far back a second may have been held
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
        self._found = last  # what stands at or before it was stored by an earlier process
        # Two seconds may come per second sampled, itself and a held one: this reaches back far enough.
        self._recent: deque[int] = deque(maxlen=3 * HELD_S)
        self._dropping = False

    def sift(self, held: Iterable[NewRow], rows: Iterable[NewRow]) -> tuple[list[NewRow], list[NewRow], int]:
        """Those of `held` and of `rows` that may be stored, and how many seconds may not."""
        held = list(held)
        oldest = held[0].collected_at if held else None
        kept, dropped = _admitted(rows, lambda second: self.admit(second, oldest))
        filled, refused = _admitted(held, self._admit_held)
        return filled, kept, dropped + refused

    def admit(self, second: int | None, oldest: int | None = None) -> bool:
        """True when a sample of this second may be stored; a provisional one (None) always may.

        `oldest`: the oldest second that was held back and comes with it.
        """
        if second is None:
            return True
        if self._last is not None and second < self._last - STEP_S:
            log.warning(
                "the wall clock was set back: a new clock epoch begins at second=%d, was %d", second, self._last
            )
            self._meta[CLOCK_HIGH] = str(max(self._last, int(self._meta.get(CLOCK_HIGH, 0))))
            self._taken = self._last = self._found = None
            self._recent.clear()
        if self._taken is None:
            self._taken = self._stored_from(second if oldest is None else min(oldest, second))
        good = (self._last is None or second > self._last) and second not in self._taken
        if good:
            self._last = second
            self._recent.append(second)
        elif not self._dropping:
            log.warning("samples dropped: second=%d is stored already or not later than last=%s", second, self._last)
        self._dropping = not good
        return good

    def _admit_held(self, second: int | None) -> bool:
        if second is None:
            return True
        newest = self._last
        if newest is not None and not newest - HELD_S <= second < newest:
            return False
        if self._found is not None and second <= self._found:
            return False
        if second in self._recent or (self._taken is not None and second in self._taken):
            return False
        self._recent.append(second)
        return True


def _admitted(rows: Iterable[NewRow], admit: Callable[[int | None], bool]) -> tuple[list[NewRow], int]:
    """The rows whose second may be stored, asked once for its first part; how many seconds may not."""
    kept: list[NewRow] = []
    dropped = 0
    good = True
    for row in rows:
        if row.part == 1:
            good = admit(row.collected_at)
            dropped += not good
        if good:
            kept.append(row)
    return kept, dropped
