"""The outbox against a model of dictionaries: whatever happens in whatever order, rows and ledger agree."""

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from outbox_rows import START, Wall, new_row, open_outbox

from agent.outbox import Fate, Outbox
from agent.outbox_seconds import STEP_S

KEEP_DAYS = 7
REISSUE_DAYS = 3
DAY_S = 86_400
# Flushing is not what is tested here; a folder in memory makes room for more steps.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108

some = st.lists(st.integers(0, 30), max_size=8)  # which of the rows, counted from the newest; may name rows never made


class Model:
    """What the file must hold."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, Any]] = {}
        self.buffer: dict[int, tuple[str, int | None]] = {}
        self.ledger: dict[int, Counter[str]] = {}  # by boot
        self.boot = 1
        self.next_id = 1
        self.last: int | None = None
        self.high: int | None = None  # the newest second before the clock was set back
        self.taken: set[int] | None = set()  # seconds of earlier epochs; None: to be looked up at the next append
        self.found: int | None = None  # the newest second of the process before
        self.epoch: set[int] = set()  # seconds this process has stored since the clock was last set back
        self.ignored = 0

    def move(self, row: dict[str, Any], state: str) -> None:
        if row["part"] == 1:
            self.ledger[row["boot"]][row["state"]] -= 1
            self.ledger[row["boot"]][state] += 1
        row["state"] = state

    def admits(self, second: int, oldest: int | None = None) -> bool:
        """Whether the outbox stores a sample of this second, which then is its newest; `oldest` held one comes with it."""
        if self.last is not None and second < self.last - STEP_S:
            self.high = max(self.last, self.last if self.high is None else self.high)
            self.last = self.taken = self.found = None
            self.epoch = set()
        if self.taken is None:
            since = second if oldest is None else oldest
            self.taken = {
                row["second"] for row in self.rows.values() if row["second"] >= since and row["state"] != "kept"
            }
        if (self.last is not None and second <= self.last) or second in self.taken:
            return False
        self.last = second
        self.epoch.add(second)
        return True

    def admits_held(self, second: int) -> bool:
        """Whether a second from before a fault is stored: it fills a gap of this epoch."""
        assert self.taken is not None
        old = self.found is not None and second <= self.found
        if old or second in self.epoch or second in self.taken or (self.last is not None and second >= self.last):
            return False
        self.epoch.add(second)
        return True

    def commit(self, wall_s: int) -> None:
        """Apply what was buffered, as every committed append does."""
        for row_id, (state, flag) in self.buffer.items():
            row = self.rows.get(row_id)
            allowed = ("pending",) if state == "refused" else ("pending", "refused")
            if row is not None and row["state"] in allowed:
                self.move(row, state)
                row.update(flag=flag, proven_at=None if state == "refused" else wall_s)
            elif state != "refused":
                self.ignored += 1
        self.buffer.clear()

    def pending(self) -> list[int]:
        return [key for key, row in sorted(self.rows.items()) if row["state"] == "pending" and key not in self.buffer]


class OutboxMachine(RuleBasedStateMachine):
    outbox: Outbox

    @initialize()
    def first_start(self) -> None:
        self.folder = tempfile.mkdtemp(dir=MEMORY)
        self.wall = Wall()
        self.model = Model()
        self.start()

    def start(self) -> None:
        path = Path(self.folder) / "outbox.db"
        self.outbox = open_outbox(path, wall_s=self.wall, keep_days=KEEP_DAYS, reissue_days=REISSUE_DAYS)
        self.model.ignored = 0
        assert self.outbox.boot == self.model.boot

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            self.outbox.close()
            shutil.rmtree(self.folder)

    @rule(gaps=st.lists(st.integers(1, 20), max_size=4), parts=st.integers(1, 3), bodies=st.binary(max_size=3000))
    def append(self, gaps: list[int], parts: int, bodies: bytes) -> None:
        model = self.model
        second = (self.wall.s - START) if model.last is None else model.last
        rows, expected = [], []
        for gap in gaps:
            second += gap
            admitted = model.admits(second)
            for part in range(1, parts + 1):
                rows.append(new_row(second, part, bodies))
                if admitted:
                    expected.append((second, part))
        dropped = len(gaps) - len(expected) // parts
        sampled = max(len(gaps), sum(gaps))
        ids = self.outbox.append(rows, sampled, sampled - len(gaps))
        assert ids == list(range(model.next_id, model.next_id + len(expected)))
        if gaps:
            ledger = model.ledger.setdefault(model.boot, Counter())
            ledger.update(sampled=sampled, not_due=sampled - len(gaps), pending=len(gaps) - dropped, lost=dropped)
        for row_id, (second, part) in zip(ids, expected, strict=True):
            model.rows[row_id] = {
                "boot": model.boot, "second": second, "part": part, "bodies": bodies, "state": "pending",
                "flag": None, "proven_at": None,
            }  # fmt: skip
        model.next_id += len(expected)
        model.commit(self.wall.s)

    @rule(
        gap=st.one_of(st.integers(1, 40), st.integers(-60, -STEP_S - 1)),
        ages=st.sets(st.integers(1, 30), min_size=1, max_size=4),
        parts=st.integers(1, 2),
    )
    def append_after_a_fault(self, gap: int, ages: set[int], parts: int) -> None:
        """Some of the 30 s before a second come with it: those that fill gaps are stored, in front of it."""
        model = self.model
        second = (self.wall.s - START if model.last is None else model.last) + gap
        held = [second - age for age in sorted(ages, reverse=True)]
        admitted = [second] if model.admits(second, held[0]) else []
        filled = [before for before in held if model.admits_held(before)]
        sampled, not_due = 1 + len(held), 0
        ids = self.outbox.append(
            [new_row(second, part) for part in range(1, parts + 1)],
            sampled,
            not_due,
            [new_row(before, part) for before in held for part in range(1, parts + 1)],
        )
        first = model.next_id
        for before in filled + admitted:
            for part in range(1, parts + 1):
                model.rows[model.next_id] = {
                    "boot": model.boot, "second": before, "part": part, "bodies": b"bodies", "state": "pending",
                    "flag": None, "proven_at": None,
                }  # fmt: skip
                model.next_id += 1
        assert ids == list(range(first + len(filled) * parts, model.next_id))
        stored = len(filled) + len(admitted)
        ledger = model.ledger.setdefault(model.boot, Counter())
        ledger.update(sampled=sampled, not_due=not_due, pending=stored, lost=sampled - stored)
        model.commit(self.wall.s)

    @rule(ages=st.lists(st.integers(-40, 40), min_size=1, max_size=3))
    def keep(self, ages: list[int]) -> None:
        """Rows that are stored and never sent, whatever their seconds, are in nobody's way."""
        model = self.model
        seconds = [(self.wall.s - START if model.last is None else model.last) - age for age in ages]
        assert self.outbox.append([], len(ages), len(ages), [], [new_row(second) for second in seconds]) == []
        for second in seconds:
            model.rows[model.next_id] = {
                "boot": model.boot, "second": second, "part": 1, "bodies": b"bodies", "state": "kept",
                "flag": None, "proven_at": START + second,
            }  # fmt: skip
            model.next_id += 1
        model.ledger.setdefault(model.boot, Counter()).update(sampled=len(ages), not_due=len(ages))
        model.commit(self.wall.s)

    @rule(back=st.integers(0, STEP_S))
    def append_while_the_clock_jitters(self, back: int) -> None:
        if self.model.last is not None:
            assert not self.model.admits(self.model.last - back)
            assert self.outbox.append([new_row(self.model.last - back)], 1, 0) == []
            self.model.ledger.setdefault(self.model.boot, Counter()).update(sampled=1, lost=1)
            self.model.commit(self.wall.s)

    @rule(back=st.integers(STEP_S + 1, 60))
    def append_after_the_clock_was_set_back(self, back: int) -> None:
        if self.model.last is not None:
            self.append(gaps=[-back], parts=1, bodies=b"epoch")

    @rule(which=some, fate=st.sampled_from(["live", "reissued"]))
    def accept(self, which: list[int], fate: Fate) -> None:
        ids = [self.model.next_id - 1 - index for index in which]
        self.outbox.accept(ids, fate)
        for row_id in ids:
            if row_id < 1 or self.model.buffer.get(row_id, ("refused", None))[0] != "refused":
                self.model.ignored += 1
            else:
                self.model.buffer[row_id] = (fate, None)

    @rule(which=some, flag=st.sampled_from([2, 3, 4]))
    def refuse(self, which: list[int], flag: int) -> None:
        ids = [self.model.next_id - 1 - index for index in which]
        self.outbox.refuse(ids, flag)
        for row_id in ids:
            if row_id >= 1:
                self.model.buffer.setdefault(row_id, ("refused", flag))

    @rule()
    def retry(self) -> None:
        self.model.commit(self.wall.s)
        refused = [row for row in self.model.rows.values() if row["state"] == "refused"]
        for row in refused:
            self.model.move(row, "pending")
            row["flag"] = None
        assert self.outbox.retry_refused() == len(refused)

    @rule(days=st.floats(0, 4))
    def time_passes(self, days: float) -> None:
        self.wall.s += int(days * DAY_S)

    @rule()
    def expire(self) -> None:
        self.model.commit(self.wall.s)
        limit = self.wall.s - REISSUE_DAYS * DAY_S
        old = [
            row_id
            for row_id, row in self.model.rows.items()
            if row["state"] in ("pending", "refused") and START + row["second"] < limit
        ]
        assert self.outbox.expire() == len(old)
        for row_id in old:
            self.model.move(self.model.rows.pop(row_id), "expired")

    @rule()
    def prune(self) -> None:
        self.model.commit(self.wall.s)
        limit = self.wall.s - KEEP_DAYS * DAY_S
        old = [
            row_id
            for row_id, row in self.model.rows.items()
            if row["proven_at"] is not None and row["proven_at"] < limit
        ]
        assert self.outbox.prune() == len(old)
        for row_id in old:
            del self.model.rows[row_id]

    @rule()
    def idle_moment(self) -> None:
        while self.outbox.maintain():
            pass  # fewer rows than a slice: nothing may change but the write-ahead log

    @rule(crash=st.booleans())
    def restart(self, crash: bool) -> None:
        if crash:  # as SIGKILL leaves it: what was committed, and nobody who holds the lock
            assert self.outbox._db is not None
            assert self.outbox._lock is not None
            self.outbox._db.close()
            os.close(self.outbox._lock)
            self.model.buffer.clear()
        else:
            self.outbox.close()
            self.model.commit(self.wall.s)
        self.model.boot = max(self.model.ledger, default=0) + 1
        self.model.next_id = max(self.model.rows, default=0) + 1
        to_send = [key for key, row in self.model.rows.items() if row["state"] != "kept"]
        self.model.last = self.model.rows[max(to_send)]["second"] if to_send else None
        behind = None not in (self.model.last, self.model.high) and self.model.high > self.model.last
        self.model.taken = None if behind else set()
        self.model.found = self.model.last
        self.model.epoch = set()
        self.start()

    @rule(limit=st.integers(0, 10), after=st.integers(0, 12), skip=some)
    def batch(self, limit: int, after: int, skip: list[int]) -> None:
        in_flight = {self.model.next_id - 1 - index for index in skip}
        after_id = self.model.next_id - 1 - after
        found = self.outbox.batch(limit, after_id, in_flight)
        expected = [key for key in self.model.pending() if key > after_id and key not in in_flight][:limit]
        assert [row.id for row in found] == expected
        for row in found:
            stored = self.model.rows[row.id]
            assert (row.boot, row.part, row.bodies) == (stored["boot"], stored["part"], stored["bodies"])
            assert row.collected_at == START + stored["second"]

    @invariant()
    def rows_and_ledger_agree(self) -> None:
        if not hasattr(self, "outbox"):
            return
        assert [row.id for row in self.outbox.batch(10_000)] == self.model.pending()
        stats = self.outbox.stats()
        assert stats["ignored_accepts"] == self.model.ignored
        assert [boot["boot"] for boot in stats["boots"]] == sorted(self.model.ledger)
        for boot in stats["boots"]:
            ledger = self.model.ledger[boot["boot"]]
            assert boot["unaccounted"] == 0
            assert boot["lost"].get("clock", 0) == ledger["lost"]
            for name in ("sampled", "not_due", "pending", "live", "reissued", "refused", "expired"):
                assert boot[name] == ledger[name], name


TestOutboxMachine = OutboxMachine.TestCase
TestOutboxMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
