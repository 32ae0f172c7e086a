"""Which rows are in flight, and when one is proven, to be sent again, or refused. No I/O, no clock.

A platform of annex B answers only errors, so that silence must be able to prove a row: the peer's TCP has acknowledged
its bytes and the link then lived `settle_ms` without an error answer. Where a platform answers each report (`each`), only
the answer proves. A good answer proves its row at once either way.
"""

from collections import OrderedDict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MARK_MS = 100  # how finely acknowledgements are told apart: bounds what is remembered during a settle time
LIVE_RESERVE = 8  # rows of the window that a backlog leaves free
RETRY_MS = 60000  # an error answer means: again once a minute (annex B)
RETRIES = 3  # ... three times, then never by itself


class _Flight:
    """One row on its way: `end` is the stream offset behind its last byte."""

    def __init__(self, row_id: int, command: int, collected_at: int, end: int, sent_at: int) -> None:
        self.row_id = row_id
        self.command = command
        self.collected_at = collected_at
        self.end = end
        self.sent_at = sent_at


def _end(flight: _Flight) -> int:
    return flight.end


class Delivery:
    """Bookkeeping of one link at a time; `lost` begins anew and keeps only the retry counts.

    `window`: most rows in flight. Under `each` it is 1 until an answer has echoed the time of a row, because without that
    an answer cannot be told apart from another.
    """

    def __init__(self, each: bool, settle_ms: int, answer_timeout_ms: int, window: int) -> None:
        self._each = each
        self._settle_ms = settle_ms
        self.answer_timeout_ms = answer_timeout_ms
        self._window = window
        self._echoed = False
        # In order of sending; a plain dict has no order under MicroPython.
        self._flights: "OrderedDict[int, _Flight]" = OrderedDict()
        self._by_time: "dict[tuple[int, int], dict[int, _Flight]]" = {}
        self._marks: "list[list[int]]" = []  # [begun at, stream offset, when everything before it has settled]
        self._acknowledged = 0
        self._sent = 0
        self._attempts: "dict[int, int]" = {}
        self._retry_at: "dict[int, int]" = {}
        self.unmatched = 0  # answers without a row, which prove and refuse nothing

    def rows(self) -> "set[int]":
        """Ids of the rows that are in flight or wait for their minute after an error answer."""
        return set(self._flights).union(self._retry_at)

    def __len__(self) -> int:
        return len(self._flights)

    def room(self, live: bool) -> int:
        """How many rows may be sent now; a backlog leaves some of the window to live reports."""
        if self._each and not self._echoed:
            return 1 - len(self._flights)
        return self._window - len(self._flights) - (0 if live else LIVE_RESERVE)

    def sent(self, row_id: int, command: int, collected_at: int, end: int, now: int) -> None:
        """A row's bytes went to the link; `end`: how many bytes the link had taken with its last one."""
        flight = _Flight(row_id, command, collected_at, end, now)
        self._flights[row_id] = flight
        self._by_time.setdefault((command, collected_at), {})[row_id] = flight
        self._retry_at.pop(row_id, None)
        self._sent = end

    def acknowledged(self, offset: int, now: int) -> None:
        """The peer's TCP holds everything before stream offset `offset`."""
        if self._each or offset <= self._acknowledged:
            return
        self._acknowledged = offset
        settled_at = now + self._settle_ms
        if self._marks and now - self._marks[-1][0] < MARK_MS:
            self._marks[-1][1] = offset
            self._marks[-1][2] = settled_at
        else:
            self._marks.append([now, offset, settled_at])

    def answered(self, command: int, time_s: "int | None", good: bool, now: int) -> "tuple[int, str] | None":
        """Match an answer to its row: (row id, "proven" | "retry" | "refused"), or None when there is no such row.

        The oldest row whose time is echoed; otherwise the oldest of that command. But a good answer with the time of no row
        proves nothing where nobody depends on it: where silence proves, and where this link has echoed times before.
        """
        flight = self._match(command, time_s, good)
        if flight is None:
            self.unmatched += 1
            return None
        self._remove(flight)
        row_id = flight.row_id
        if good:
            self._attempts.pop(row_id, None)
            return row_id, "proven"
        attempts = self._attempts.get(row_id, 0) + 1
        if attempts > RETRIES:
            self._attempts.pop(row_id, None)
            return row_id, "refused"
        self._attempts[row_id] = attempts
        self._retry_at[row_id] = now + RETRY_MS
        return row_id, "retry"

    def settled(self, now: int) -> "list[tuple[int, int]]":
        """Rows that silence has proven by `now`: (row id, command)."""
        offset = 0
        while self._marks and self._marks[0][2] <= now:
            offset = self._marks.pop(0)[1]
        proven = []
        if offset:
            for flight in list(self._flights.values()):
                if flight.end > offset:
                    break
                proven.append((flight.row_id, flight.command))
                self._attempts.pop(flight.row_id, None)
                self._remove(flight)
        return proven

    def retries(self, now: int) -> "list[int]":
        """Rows whose minute after an error answer is over, oldest first."""
        return sorted([row_id for row_id, at in self._retry_at.items() if at <= now])

    def forget(self, row_id: int) -> None:
        """A row that cannot be sent again: the outbox has it no more."""
        self._retry_at.pop(row_id, None)
        self._attempts.pop(row_id, None)

    def unanswered(self, now: int) -> bool:
        """True when a platform that answers each report left one without an answer for too long: the link is dead."""
        if not self._each:
            return False
        for flight in self._oldest():
            return now - flight.sent_at >= self.answer_timeout_ms
        return False

    def deadline(self) -> "int | None":
        """When `settled`, `retries` or `unanswered` will next have something, monotonic ms; None: nothing is under way."""
        times = list(self._retry_at.values())
        if self._marks and self._flights:
            times.append(self._marks[0][2])
        if self._each:
            for flight in self._oldest():
                times.append(flight.sent_at + self.answer_timeout_ms)
        return min(times) if times else None

    def waits_for_acknowledgement(self) -> bool:
        """True while bytes of some row are not yet known to be at the peer."""
        return not self._each and self._sent > self._acknowledged

    def lost(self) -> int:
        """The link is gone: nothing is in flight any more. Returns how many rows lost their chance of proof."""
        count = len(self._flights)
        self._flights = OrderedDict()
        self._by_time = {}
        self._marks = []
        self._acknowledged = self._sent = 0
        self._echoed = False
        return count

    def _oldest(self) -> "Iterator[_Flight]":
        for flight in self._flights.values():
            yield flight
            return

    def _match(self, command: int, time_s: "int | None", good: bool) -> "_Flight | None":
        if time_s is not None:
            same = self._by_time.get((command, time_s))
            if same is not None:
                self._echoed = self._echoed or good
                return min(same.values(), key=_end)
            if good and (self._echoed or not self._each):
                return None
        for flight in self._flights.values():
            if flight.command == command:
                return flight
        return None

    def _remove(self, flight: _Flight) -> None:
        del self._flights[flight.row_id]
        key = (flight.command, flight.collected_at)
        same = self._by_time[key]
        del same[flight.row_id]
        if not same:
            del self._by_time[key]
