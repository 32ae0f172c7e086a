"""Delivery against a model that keeps every row in one list and knows nothing of indexes."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.core.delivery import LIVE_RESERVE, RETRIES, RETRY_MS, Delivery

SETTLE_MS = 10_000
TIMEOUT_MS = 60_000
WINDOW = 40


class DeliveryMachine(RuleBasedStateMachine):
    """Rows are sent, acknowledged, answered, and the link is lost, in any order; no row may be in two places or none."""

    @initialize(each=st.booleans())
    def begin(self, each):
        self.each = each
        self.delivery = Delivery(each, SETTLE_MS, TIMEOUT_MS, WINDOW)
        self.now = 0
        self.offset = 0
        self.next_id = 1
        self.flying = []  # [id, command, time, end, when acknowledged or None]
        self.waiting = {}  # id -> when to send again
        self.attempts = {}
        self.done = set()
        self.fallen = set()  # lost with a link: pending again
        self.echoed = False

    @precondition(lambda self: self.delivery.room(live=True) > 0)
    @rule(command=st.sampled_from([2, 3]), time=st.integers(0, 5), again=st.booleans())
    def send(self, command, time, again):
        pending = sorted(self.fallen) + [row for row, at in self.waiting.items() if at <= self.now]
        if again and pending:
            row = pending[0]
            self.fallen.discard(row)
            self.waiting.pop(row, None)
        else:
            row = self.next_id
            self.next_id += 1
        self.offset += 100
        self.delivery.sent(row, command, time, self.offset, self.now)
        self.flying.append([row, command, time, self.offset, None])

    @rule(ms=st.integers(1, 30_000) | st.sampled_from([SETTLE_MS, RETRY_MS]))
    def wait(self, ms):
        self.now += ms
        expected = []
        if not self.each:
            settled = [row[4] is not None and row[4] + SETTLE_MS <= self.now for row in self.flying]
            expected = [row[0] for row, over in zip(self.flying, settled, strict=True) if over]
        proven = [row for row, _ in self.delivery.settled(self.now)]
        assert proven == expected
        for row in proven:
            self.attempts.pop(row, None)
        self.done.update(proven)
        self.flying = [row for row in self.flying if row[0] not in self.done]

    @rule(share=st.integers(0, 100) | st.just(100))
    def acknowledge(self, share):
        # A new mark a call: marks closer than 100 ms would be merged, to the cautious side.
        self.wait(200)
        reach = self.offset * share // 100
        self.delivery.acknowledged(reach, self.now)
        for row in self.flying:
            if row[3] <= reach and row[4] is None:
                row[4] = self.now

    @rule(command=st.sampled_from([2, 3]), time=st.none() | st.integers(0, 5), good=st.booleans())
    def answer(self, command, time, good):
        same = [row for row in self.flying if (row[1], row[2]) == (command, time)]
        if same:
            self.echoed = self.echoed or good
        elif not (
            good and time is not None and (self.echoed or not self.each)
        ):  # else it is for a row that nobody has sent
            same = [row for row in self.flying if row[1] == command]
        outcome = self.delivery.answered(command, time, good, self.now)
        if not same:
            assert outcome is None
            return
        row = same[0]
        self.flying.remove(row)
        if good:
            self.attempts.pop(row[0], None)
            self.done.add(row[0])
            assert outcome == (row[0], "proven")
            return
        self.attempts[row[0]] = self.attempts.get(row[0], 0) + 1
        if self.attempts[row[0]] > RETRIES:
            del self.attempts[row[0]]
            self.done.add(row[0])
            assert outcome == (row[0], "refused")
        else:
            self.waiting[row[0]] = self.now + RETRY_MS
            assert outcome == (row[0], "retry")

    @precondition(lambda self: len(self.flying) > 2)  # else there would seldom be more than one row in flight
    @rule()
    def lose(self):
        assert self.delivery.lost() == len(self.flying)
        self.fallen.update(row[0] for row in self.flying)
        self.flying = []
        self.offset = 0
        self.echoed = False

    @invariant()
    def agree(self):
        if not hasattr(self, "delivery"):
            return
        delivery = self.delivery
        assert len(delivery) == len(self.flying)
        assert delivery.retries(self.now) == sorted(row for row, at in self.waiting.items() if at <= self.now)
        for row in range(1, self.next_id):
            held = row in self.waiting or any(row == flying[0] for flying in self.flying)
            assert (row in delivery.rows()) == held
            assert held + (row in self.done) + (row in self.fallen) == 1
        most = WINDOW if self.echoed or not self.each else 1
        assert delivery.room(live=True) == most - len(self.flying)
        if most == WINDOW:
            assert delivery.room(live=False) == most - len(self.flying) - LIVE_RESERVE
        oldest = self.flying[0] if self.flying else None
        if self.each and oldest is not None:
            assert delivery.deadline() is not None
        assert not delivery.unanswered(self.now) or self.each


TestDelivery = DeliveryMachine.TestCase
TestDelivery.settings = settings(max_examples=300)
