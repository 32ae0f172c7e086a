"""How full a bus is, from an interface's counts; the estimate itself is compared with canbusload in tests/vm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.canbus.link import Link
from agent.canbus.load import BusLoad, frame_s

LINK = Link(ifindex=3, up=True)


def load_of(*counts: tuple[int, int, int], bitrate: int = 500_000, link: Link = LINK) -> BusLoad:
    """Counts are (ms, frames, payload bytes)."""
    load = BusLoad(bitrate)
    for now_ms, packets, size in counts:
        load.look(now_ms, link._replace(packets=packets, size=size))
    return load


def test_a_full_bus_of_500_kbit_s_is_about_4000_frames_of_eight_bytes() -> None:
    load = load_of((1000, 10, 80), (2000, 4010, 32_080))
    assert load.frames_s == 4000
    assert load.percent == pytest.approx(100, rel=0.05)


def test_the_interfaces_own_bitrate_goes_before_the_configured_one() -> None:
    half = load_of((0, 0, 0), (1000, 1000, 8000), link=LINK._replace(bitrate=1_000_000))
    whole = load_of((0, 0, 0), (1000, 1000, 8000))
    assert half.percent is not None
    assert whole.percent == pytest.approx(2 * half.percent)


def test_nothing_is_told_that_is_not_known() -> None:
    assert load_of((0, 5, 5)).percent is None  # one look
    assert load_of((0, 0, 0), (0, 5, 5)).frames_s is None  # no time between
    assert load_of((0, 9, 9), (1000, 5, 5)).frames_s is None  # counted anew
    assert load_of((0, 3, 9), (1000, 5, 5)).frames_s is None  # after more than it had counted
    unknown = load_of((0, 0, 0), (1000, 5, 5), bitrate=0)
    assert (unknown.percent, unknown.frames_s) == (None, 5)
    anew = BusLoad(500_000)
    for now_ms, link in enumerate([LINK, LINK._replace(ifindex=4), None, LINK]):
        anew.look(1000 * now_ms, link)
        assert anew.percent is None


@given(st.integers(0, 100_000), st.integers(0, 64), st.integers(1, 5000))
def test_a_quiet_bus_is_empty_and_more_frames_are_more_load(frames: int, size: int, ms: int) -> None:
    one = load_of((0, 7, 7), (ms, 7 + frames, 7 + frames * size)).percent
    two = load_of((0, 7, 7), (ms, 7 + 2 * frames, 7 + 2 * frames * size)).percent
    assert one is not None
    assert two is not None
    assert two == pytest.approx(2 * one)
    assert (one == 0) == (frames == 0)


def test_a_faster_data_phase_shortens_only_what_is_behind_the_identifier() -> None:
    slow, fast = frame_s(64, 500_000, 500_000), frame_s(64, 500_000, 5_000_000)
    assert fast < slow / 5
    assert fast > 40 / 500_000  # head, acknowledgement, end and pause keep the bitrate
    assert frame_s(8, 500_000, extended=True) > frame_s(8, 500_000)
    assert frame_s(8, 500_000, 2_000_000, extended=True) > frame_s(8, 500_000, 2_000_000)
