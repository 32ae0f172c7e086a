"""The rules of proof, one by one; `tests/property/test_delivery.py` mixes them."""

import pytest

from agent.core.delivery import LIVE_RESERVE, MARK_MS, RETRIES, RETRY_MS, Delivery
from agent.core.session import REALTIME, REISSUE

SETTLE_MS = 10_000
TIMEOUT_MS = 60_000
WINDOW = 20


def delivery(*, each=False):
    return Delivery(each, SETTLE_MS, TIMEOUT_MS, WINDOW)


def test_silence_proves_what_the_peer_holds_when_the_link_has_lived_on():
    rows = delivery()
    rows.sent(1, REALTIME, 50, 100, 0)
    rows.sent(2, REISSUE, 40, 200, 0)
    rows.acknowledged(199, 500)
    assert rows.settled(500 + SETTLE_MS - 1) == []
    assert rows.settled(500 + SETTLE_MS) == [(1, REALTIME)]
    assert rows.rows() == {2}


def test_silence_proves_nothing_where_each_report_is_answered():
    rows = delivery(each=True)
    rows.sent(1, REALTIME, 50, 100, 0)
    rows.acknowledged(100, 0)
    assert rows.settled(100 * SETTLE_MS) == []
    assert not rows.unanswered(TIMEOUT_MS - 1)
    assert rows.unanswered(TIMEOUT_MS)


def test_acknowledgements_close_together_settle_late_never_early():
    rows = delivery()
    rows.sent(1, REALTIME, 50, 100, 0)
    rows.sent(2, REALTIME, 60, 200, 0)
    rows.acknowledged(100, 0)
    rows.acknowledged(200, MARK_MS - 1)
    assert rows.settled(SETTLE_MS + MARK_MS - 2) == []
    assert rows.settled(SETTLE_MS + MARK_MS - 1) == [(1, REALTIME), (2, REALTIME)]


@pytest.mark.parametrize(("time_s", "row"), [(60, 2), (50, 1), (None, 1)])
def test_an_answer_belongs_to_the_row_whose_time_it_echoes_and_to_the_oldest_where_it_has_none(time_s, row):
    rows = delivery()
    for number, collected_at in enumerate((50, 60, 70, 70), 1):
        rows.sent(number, REISSUE, collected_at, 100 * number, 0)
    assert rows.answered(REISSUE, time_s, True, 1) == (row, "proven")


def test_a_good_answer_with_the_time_of_no_row_proves_none():
    rows = delivery()
    rows.sent(1, REISSUE, 50, 100, 0)
    assert rows.answered(REISSUE, 99, True, 1) is None
    assert rows.unmatched == 1
    assert rows.answered(REISSUE, 99, False, 1) == (1, "retry")  # an error is about something: sent again at worst


def test_a_time_that_several_rows_share_names_the_oldest_of_them():
    rows = delivery()
    for number, collected_at in enumerate((50, 70, 70), 1):
        rows.sent(number, REISSUE, collected_at, 100 * number, 0)
    assert rows.answered(REISSUE, 70, True, 1) == (2, "proven")


def test_a_time_that_several_rows_shared_names_the_last_one_left():
    rows = delivery()
    for number, collected_at in enumerate((50, 70, 70), 1):
        rows.sent(number, REISSUE, collected_at, 100 * number, 0)
    rows.answered(REISSUE, 50, True, 1)
    rows.answered(REISSUE, 70, True, 1)  # the oldest of them
    rows.sent(4, REISSUE, 60, 400, 1)
    assert len(rows) == 2
    assert rows.answered(REISSUE, 60, True, 1) == (4, "proven")
    rows.sent(5, REISSUE, 40, 500, 1)
    assert rows.answered(REISSUE, 70, True, 1) == (3, "proven")
    assert (len(rows), rows.rows()) == (1, {5})


def test_an_answer_without_a_time_skips_rows_of_other_commands():
    rows = delivery()
    rows.sent(1, REISSUE, 50, 100, 0)
    rows.sent(2, REALTIME, 60, 200, 0)
    assert rows.answered(REALTIME, None, False, 1) == (2, "retry")


def test_an_answer_to_another_command_belongs_to_no_row():
    rows = delivery()
    rows.sent(1, REISSUE, 50, 100, 0)
    assert rows.answered(REALTIME, 50, True, 1) is None
    assert (rows.unmatched, rows.rows()) == (1, {1})


def test_errors_mean_three_more_tries_a_minute_apart_then_refused():
    rows = delivery()
    now = 0
    for _ in range(RETRIES):
        rows.sent(1, REISSUE, 50, 100, now)
        assert rows.answered(REISSUE, 50, False, now) == (1, "retry")
        assert rows.retries(now + RETRY_MS - 1) == []
        now += RETRY_MS
        assert rows.retries(now) == [1]
    rows.sent(1, REISSUE, 50, 100, now)
    assert rows.answered(REISSUE, 50, False, now) == (1, "refused")
    assert rows.rows() == set()


def test_one_row_at_a_time_until_an_answer_has_echoed_a_time_on_this_link():
    rows = delivery(each=True)
    assert rows.room(live=True) == 1
    rows.sent(1, REISSUE, 50, 100, 0)
    assert rows.room(live=True) == 0
    rows.answered(REISSUE, None, True, 1)
    assert rows.room(live=True) == 1
    rows.sent(2, REISSUE, 60, 200, 1)
    rows.answered(REISSUE, 60, True, 2)
    assert (rows.room(live=True), rows.room(live=False)) == (WINDOW, WINDOW - LIVE_RESERVE)
    rows.lost()
    assert rows.room(live=True) == 1
