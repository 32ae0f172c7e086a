"""Pauses between connects: every second for a minute, then doubling to a minute, until a login succeeds."""

import pytest

from agent.core.outage import Outage


@pytest.mark.parametrize(("permille", "share"), [(0, 0.8), (500, 1.0), (1000, 1.2)])
def test_a_second_for_a_minute_then_doubling_to_a_minute(permille, share):
    outage = Outage(now=0)
    pauses = [outage.pause_ms(now, permille) for now in (0, 30_000, 60_000)]
    assert pauses == [1000 * share] * 3
    later = [outage.pause_ms(60_001 + n, permille) for n in range(8)]
    assert later == [share * ms for ms in (2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000)]


def test_only_a_login_ends_an_outage():
    outage = Outage(now=0)
    outage.pause_ms(70_000, 500)
    outage.begin(80_000)  # a link that stood for a moment and never logged in
    assert outage.pause_ms(80_000, 500) == 4000
    assert outage.over(90_000) == 90_000
    assert outage.over(95_000) == 0
    outage.begin(100_000)
    assert outage.pause_ms(100_500, 500) == 1000


def test_the_long_wait_counts_once():
    outage = Outage(now=0)
    outage.wait_for_login(1_800_000)
    assert outage.pause_ms(10, 500) == 1_800_000
    assert outage.pause_ms(20, 500) == 1000


def test_failures_are_told_once_a_minute():
    outage = Outage(now=0)
    assert [now for now in range(0, 180_000, 1000) if outage.worth_saying(now)] == [0, 60_000, 120_000]


def test_a_platform_that_ends_each_link_behind_its_login_is_called_less_and_less():
    outage = Outage(now=0)
    now, calls = 0, 0
    while now < 3_600_000:
        outage.over(now)
        outage.begin(now + 10)
        now += 10 + outage.pause_ms(now + 10, 500)
        calls += 1
    assert calls < 130  # of them 60 in the first minute
    outage.over(now)
    outage.begin(now + 10_000)  # this link was of use
    assert outage.pause_ms(now + 10_000, 500) == 1000
