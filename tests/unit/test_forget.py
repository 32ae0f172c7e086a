"""A bus that went away: its sources are stale at once, the others' are not, and when it was heard last stays known."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent.core.frames import GONE, NEVER, LatestFrames
from agent.core.signals import Decoder
from agent.mapping.plan import unseen

LONGEST_MS = 3_600_000  # of a source's timeout, that of a message sent once an hour
ROW = [0, 0xFF, 0, 0, 255, 1, 0, 1]


def source(out: int) -> list[Any]:
    return [1, LONGEST_MS, [[*ROW, out]], [], [], []]


# Bus 0: a plain message, and one whose pages lie two multiplexers deep. Bus 1: a plain message.
PAGES = [[0, 0xFF, 1, [[7, 7, [1], [[1, 0xFF, 2, [[9, 9, [2], []]]]]]]]]
PLAN: dict[str, Any] = {
    "buses": ["a", "b"],
    "sources": [source(out) for out in range(4)],
    "messages": [
        [0, 0x100, -1, 1, 0, [], None, None],
        [0, 0x101, -1, 1, -1, PAGES, None, None],
        [1, 0x100, -1, 1, 3, [], None, None],
    ],
}


def known(latest: LatestFrames, now: int) -> list[int]:
    values = [-1] * 4
    Decoder(PLAN, 1).decode(latest, now, values, [])
    return [out for out, value in enumerate(values) if value >= 0]


def full(stamp: int) -> LatestFrames:
    latest = LatestFrames(PLAN)
    latest.keep(0, 0x100, b"\1", stamp)
    latest.keep(0, 0x101, b"\7\x09", stamp + 1)
    latest.keep(1, 0x100, b"\2", stamp + 2)
    return latest


@given(st.integers(-(1 << 40), 1 << 60))
def test_what_a_bus_said_is_stale_from_the_moment_it_is_forgotten(stamp: int) -> None:
    latest = full(stamp)
    assert known(latest, stamp + 2) == [0, 1, 2, 3]
    latest.forget(0)
    assert known(latest, stamp + 2) == [3]
    assert latest.stamps[:3] == [GONE] * 3
    latest.keep(0, 0x100, b"\3", stamp + 3)
    assert known(latest, stamp + 3) == [0, 3]


def test_silence_is_counted_from_the_last_frame_and_not_from_the_loss() -> None:
    latest = full(1000)
    for bus in (0, 1, 1):
        latest.forget(bus)
    assert latest.heard(list(range(len(latest.stamps)))) == 1002
    latest.keep(0, 0x100, b"\3", 5000)
    assert latest.heard(list(range(len(latest.stamps)))) == 5000


def test_a_forgotten_message_was_seen_and_one_that_never_came_is_not_made_seen() -> None:
    latest = LatestFrames(PLAN)
    assert latest.heard(list(range(len(latest.stamps)))) == NEVER
    latest.keep(0, 0x100, b"\1", 5)
    latest.forget(0)
    latest.forget(1)
    assert unseen(PLAN, latest.stamps) == ["a.0x101", "b.0x100"]


def test_what_is_wrong_with_frames_is_counted_by_bus() -> None:
    latest = full(0)
    latest.keep(1, 0x100, b"", 1)
    latest.keep(0, 0x101, b"\6", 1)
    assert [(each.short, each.unknown_mux) for each in latest.by_bus] == [(0, 1), (1, 0)]
    assert (latest.short, latest.unknown_mux, latest.bad_checksum, latest.stuck_counter) == (1, 1, 0, 0)
