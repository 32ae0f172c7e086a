"""Rows, and the appends that are not in the file yet: one for a moment, or a day of them while the disk refuses."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import msgspec

MEMORY_ROWS = 8_640  # a day of reports every 10 s
MEMORY_BYTES = 16_000_000  # of bodies, whatever the number of rows


class NewRow(msgspec.Struct, frozen=True):
    """One packet to be. `collected_at` is Unix time in seconds, None while provisional; parts count from 1."""

    monotonic_ms: int
    collected_at: int | None
    edition: str
    vin: str
    part: int
    bodies: bytes


class Row(msgspec.Struct, frozen=True):
    """A stored `NewRow`: ids grow in the order of appending, `boot` counts process starts.

    `state` is "pending", or "kept" for a row that is never sent.
    """

    id: int
    boot: int
    monotonic_ms: int
    collected_at: int | None
    edition: str
    vin: str
    part: int
    bodies: bytes
    state: str = "pending"


def numbered(first_id: int, boot: int, kept: Iterable[NewRow], pending: Iterable[NewRow]) -> list[Row]:
    """Rows to be stored, with ids in order: those that are only kept, then those to be sent."""
    states = [*((row, "kept") for row in kept), *((row, "pending") for row in pending)]
    return [
        Row(id=number, boot=boot, state=state, **msgspec.structs.asdict(row))
        for number, (row, state) in enumerate(states, first_id)
    ]


def record(row: Row) -> tuple[Any, ...]:
    """The columns of a row, the last `proven_at`: a row that is only kept ages from its collection on."""
    return *msgspec.structs.astuple(row), row.collected_at if row.state == "kept" else None


class Verdict(NamedTuple):
    """What the platform made of a row."""

    state: str  # live, reissued, refused
    flag: int | None = None  # response flag of a refusal


class Append:
    """What one append adds to the file: its rows and the seconds they stand for."""

    __slots__ = ("lost", "not_due", "proven", "rows", "sampled")

    def __init__(self, rows: list[Row], sampled: int, not_due: int, lost: dict[str, int]) -> None:
        self.rows = rows
        self.sampled = sampled
        self.not_due = not_due
        self.lost = lost  # seconds by reason
        self.proven: dict[str, int] = {}  # seconds by fate, proven and dropped before they reached the file

    def __bool__(self) -> bool:
        return bool(self.rows or self.sampled or self.lost)

    def add_seconds(self, other: "Append") -> None:
        """Take over the seconds of `other`, whose rows are dropped or written by the caller."""
        self.sampled += other.sampled
        self.not_due += other.not_due
        for mine, theirs in ((self.lost, other.lost), (self.proven, other.proven)):
            for key, n in theirs.items():
                mine[key] = mine.get(key, 0) + n


class Waiting:
    """Appends on their way to the file, oldest first, and the verdicts that are to be written with them."""

    def __init__(self) -> None:
        self.appends: deque[Append] = deque()
        self.verdicts: dict[int, Verdict] = {}

    def __bool__(self) -> bool:
        return bool(self.appends or self.verdicts)

    def rows(self) -> Iterator[Row]:
        """Give the rows that are not in the file, oldest first."""
        for append in self.appends:
            yield from append.rows

    def pending(self) -> Iterator[Row]:
        """Those of them that are to be sent."""
        return (row for row in self.rows() if row.state == "pending")

    def take(self, stored_id: int, appends: int, verdicts: int) -> tuple[Append, dict[int, Verdict]]:
        """Give the oldest appends as one, and verdicts on rows that are then in the file; nothing is removed yet."""
        taken = Append([], 0, 0, {})
        for append in islice(self.appends, appends):
            taken.rows.extend(append.rows)
            taken.add_seconds(append)
        if taken.rows:
            stored_id = taken.rows[-1].id
        return taken, {key: verdict for key, verdict in islice(self.verdicts.items(), verdicts) if key <= stored_id}

    def remove(self, appends: int, verdicts: dict[int, Verdict]) -> None:
        """Forget what `take` gave: it is in the file."""
        for _ in range(min(appends, len(self.appends))):
            self.appends.popleft()
        for row_id in verdicts:
            del self.verdicts[row_id]

    def bound(self) -> int:
        """Drop the oldest appends beyond what memory may hold; give the number of unproven seconds lost by it.

        Their counts move to the next append, so that the ledger still adds up once it is written.
        """
        count = sum(max(1, len(append.rows)) for append in self.appends)
        size = sum(len(row.bodies) for row in self.rows())
        lost = 0
        while len(self.appends) > 1 and (count > MEMORY_ROWS or size > MEMORY_BYTES):
            oldest = self.appends.popleft()
            count -= max(1, len(oldest.rows))
            size -= sum(len(row.bodies) for row in oldest.rows)
            for row in oldest.rows:
                verdict = self.verdicts.pop(row.id, None)
                if row.part > 1 or row.state == "kept":
                    continue
                if verdict is not None and verdict.state != "refused":
                    oldest.proven[verdict.state] = oldest.proven.get(verdict.state, 0) + 1
                else:
                    oldest.lost["ram_full"] = oldest.lost.get("ram_full", 0) + 1
                    lost += 1
            self.appends[0].add_seconds(oldest)
        return lost
