"""Remarks about what others cause: some, not all, and the number of the rest."""

import logging

import pytest

from agent.remarks import MOST, PERIOD_MS, Remarks

log = logging.getLogger("tests.remarks")


def test_a_flood_is_logged_up_to_the_limit_and_then_counted(caplog: pytest.LogCaptureFixture) -> None:
    remarks = Remarks(log)
    for number in range(1000):
        remarks.say(number, logging.WARNING, "answer=%d", number)
    remarks.say(500, logging.WARNING, "something else")
    remarks.say(PERIOD_MS, logging.WARNING, "answer=%d", 1000)
    remarks.say(PERIOD_MS + 1, logging.WARNING, "answer=%d", 1001)
    assert caplog.messages == [
        *(f"answer={number}" for number in range(MOST)),
        "something else",
        f"answer=1000 ({1000 - MOST} more of these were not logged)",
        "answer=1001",
    ]


def test_what_is_rare_is_always_logged(caplog: pytest.LogCaptureFixture) -> None:
    remarks = Remarks(log)
    for minute in range(20):
        remarks.say(minute * PERIOD_MS, logging.WARNING, "minute=%d", minute)
    assert caplog.messages == [f"minute={minute}" for minute in range(20)]
