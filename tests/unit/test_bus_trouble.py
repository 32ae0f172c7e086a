"""What is counted of a bus's trouble and what is said of it; error frames built by hand from linux/can/error.h."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.backoff import SAY_AGAIN_MS
from agent.canbus.errorframe import words
from agent.canbus.link import Link
from agent.canbus.trouble import QUIET_MS, Trouble

ERR_FLAG = 0x20000000
DOWN = Link(ifindex=3)
UP = Link(ifindex=3, up=True)


def opened(channel: str = "can0") -> Trouble:
    trouble = Trouble(channel)
    trouble.opened(0)
    return trouble


def told(*frames: tuple[int, bytes]) -> Trouble:
    trouble = opened()
    for can_id, data in frames:
        trouble.error_frame(can_id | ERR_FLAG, data.ljust(8, b"\0"))
    return trouble


def counted(trouble: Trouble) -> dict[str, int]:
    return {name: count for name, count in trouble.counts().items() if count}


# can_id, data, counters beside error_frames, state
CLASSES = [
    (0x001, b"", {"tx_timeouts": 1}, None),
    (0x002, b"\x05", {"arbitration_lost": 1}, None),
    (0x004, b"\0\x01", {"controller_problems": 1, "controller_overflows": 1}, None),
    (0x004, b"\0\x02", {"controller_problems": 1, "tx_overflows": 1}, None),
    (0x004, b"\0\x04", {"controller_problems": 1, "error_warning": 1}, "error-warning"),
    (0x004, b"\0\x08", {"controller_problems": 1, "error_warning": 1}, "error-warning"),
    (0x004, b"\0\x10", {"controller_problems": 1, "error_passive": 1}, "error-passive"),
    (0x004, b"\0\x2c", {"controller_problems": 1, "error_passive": 1}, "error-passive"),
    (0x004, b"\0\x40", {"controller_problems": 1}, "error-active"),
    (0x008, b"\0\0\x04\x0a", {"protocol_violations": 1}, None),
    (0x010, b"\0\0\0\0\x74", {"transceiver_faults": 1}, None),
    (0x020, b"", {"not_acknowledged": 1}, None),
    (0x040, b"", {"bus_off": 1}, "bus-off"),
    (0x080, b"", {"bus_errors": 1}, None),
    (0x100, b"", {"restarts": 1}, "error-active"),
    (0x200, b"\0\0\0\0\0\0\x05\x82", {}, None),
    (0x08C, b"\0\x20\x01", {"bus_errors": 1, "protocol_violations": 1, "controller_problems": 1, "error_passive": 1},
     "error-passive"),
]  # fmt: skip


@pytest.mark.parametrize(("can_id", "data", "counters", "state"), CLASSES)
def test_each_class_is_counted_and_moves_the_state(
    can_id: int, data: bytes, counters: dict[str, int], state: str | None
) -> None:
    trouble = told((can_id, data))
    assert counted(trouble) == {"error_frames": 1, **counters}
    assert trouble.state == state


def test_a_controller_goes_through_its_states_and_each_coming_is_counted_once() -> None:
    warning, passive, active = (4, b"\0\x04"), (4, b"\0\x10"), (4, b"\0\x40")
    trouble = told(warning, warning, passive, passive, warning, active, passive, (0x40, b""), (0x100, b""), warning)
    assert (trouble.error_warning, trouble.error_passive, trouble.bus_off, trouble.restarts) == (3, 2, 1, 1)
    assert trouble.state == "error-warning"


def test_the_error_counters_are_read_only_where_the_frame_says_they_are_there() -> None:
    assert (told((4, b"\0\x10\0\0\0\0\1\2")).tx_errors, told((0x204, b"\0\x10\0\0\0\0\1\2")).rx_errors) == (None, 2)


def test_the_words_are_for_every_class() -> None:
    data = bytes([5, 0x10, 0x04, 0x0A, 0x74, 0, 0, 130])
    assert words(ERR_FLAG | 0x3FF, data) == [
        "tx-timeout",
        "lost-arbitration{at bit 5}",
        "controller-problem{rx-error-passive}",
        "protocol-violation{{bit-stuffing-error}{data-field}}",
        "transceiver-status",
        "no-acknowledgement-on-tx",
        "bus-off",
        "bus-error",
        "restarted-after-bus-off",
        "error-counter-tx-rx{{0}{130}}",
    ]


@given(st.lists(st.tuples(st.integers(0, 0xFFFFFFFF), st.binary(max_size=64), st.integers(0, 30_000)), max_size=30))
def test_no_error_frame_breaks_anything_and_no_counter_goes_back(frames: list[tuple[int, bytes, int]]) -> None:
    trouble, now, before = opened(), 0, Trouble().counts()
    for number, (can_id, data, later) in enumerate(frames):
        now += later
        trouble.error_frame(can_id, data)
        words(can_id, data)
        trouble.look(now, number // 3)
        counts = trouble.counts(now)
        assert all(counts[name] >= before[name] for name in Trouble.COUNTS)
        assert counts["error_frames"] == number + 1
        assert all(trouble.remarks(now).values())
        before = counts


@given(st.lists(st.tuples(st.sampled_from(["open", "close", "look", "error"]), st.integers(0, 20_000)), max_size=60))
def test_no_matter_is_said_twice_in_a_minute_and_time_is_accounted_for(steps: list[tuple[str, int]]) -> None:
    trouble, now, said = Trouble("can0"), 0, dict[str, int]()
    rng = Random(1)
    for step, later in steps:
        now += later
        if step == "open":
            trouble.opened(now)
        elif step == "close":
            trouble.closed(now, "Network is down")
        elif step == "error":
            trouble.error_frame(4, bytes([0, rng.choice([0, 1, 4, 16, 64])]))
        else:
            trouble.look(now, rng.randrange(2))
        for text in trouble.due(now):
            matter = text.split(":")[0].split(" for ")[0]
            assert now - said.get(matter, -SAY_AGAIN_MS) >= SAY_AGAIN_MS
            said[matter] = now
        counts = trouble.counts(now)
        assert counts["away_s"] + counts["silent_s"] <= now // 1000


def looked(trouble: Trouble, seconds: int, link: Link | None = None, error: tuple[int, bytes] | None = None) -> int:
    """Look once a second, with ten of those error frames each, and no frame; the time at the end."""
    for second in range(1, seconds + 1):
        for _ in range(10 if error else 0):
            trouble.error_frame(*(error or (0, b"")))
        trouble.look(second * 1000, 0, link)
    return seconds * 1000


def test_errors_without_frames_are_a_wrong_bitrate_and_nothing_at_all_is_silence() -> None:
    trouble = opened()
    now = looked(trouble, 12, error=(0x88, b"\0\0\x04\x0a\0\0\0\0"))
    text = trouble.problem(now)
    assert text is not None
    assert text.startswith("errors but no frames for 12 s: wrong bitrate, wrong oscillator, or a broken wire (last: ")
    assert "bit-stuffing-error" in text
    trouble = opened()
    assert trouble.problem(looked(trouble, QUIET_MS // 1000 - 1)) is None
    assert list(trouble.remarks(looked(trouble, 12))) == ["silent"]
    assert trouble.counts()["silent_s"] == 12
    trouble.look(13_000, 1)
    trouble.closed(14_000, "x")
    assert trouble.counts(99_000)["silent_s"] == 12


def test_a_controller_that_became_passive_and_never_heard_a_frame_has_the_wrong_bitrate() -> None:
    """Without berr-reporting this is all that a controller says."""
    trouble = opened()
    trouble.error_frame(4, b"\0\x10\0\0\0\0\0\0")
    assert list(trouble.remarks(looked(trouble, 30))) == ["bitrate"]
    trouble.look(31_000, 5)
    assert list(trouble.remarks(31_000)) == ["passive"]
    for second in range(32, 60):
        trouble.look(second * 1000, 5)
    assert list(trouble.remarks(59_000)) == ["silent"]


def test_a_bus_that_is_looked_at_rarely_is_not_taken_for_silent() -> None:
    """As on the bench, where a thousand seconds pass in one."""
    trouble = opened()
    for look in range(1, 5):
        trouble.look(look * 1_000_000, look)
        assert trouble.counts(look * 1_000_000 + 999_000)["silent_s"] == 0
        assert trouble.problem(look * 1_000_000 + 999_000) is None


def test_error_passive_is_said_with_its_rate() -> None:
    trouble = opened()
    for second in range(1, 21):
        for _ in range(7):
            trouble.error_frame(4, b"\0\x10")
        trouble.look(second * 1000, second * 100)
    assert str(trouble.problem(20_000)).startswith(
        "error-passive: 7.0 errors/s: termination, bitrate of one node, cable (last: "
    )


@pytest.mark.parametrize(
    ("restart_ms", "said"),
    [
        (100, "restarts itself after 100 ms"),
        (0, "will not restart by itself: ip link set can0 down; ip link set can0 up type can restart-ms 100"),
        (None, "until the controller is restarted"),
    ],
)
def test_bus_off_says_whether_the_controller_comes_back(restart_ms: int | None, said: str) -> None:
    trouble = opened()
    trouble.error_frame(0x40, bytes(8))
    assert trouble.look(1000, 0, UP._replace(restart_ms=restart_ms))
    assert said in str(trouble.problem(1000))
    trouble.error_frame(0x100, bytes(8))
    assert not trouble.look(2000, 0, UP._replace(restart_ms=restart_ms))
    assert trouble.problem(2000) is None


def test_a_controller_that_is_heard_again_is_not_bus_off_although_nothing_said_so() -> None:
    trouble = opened()
    trouble.look(1000, 5)
    trouble.error_frame(0x40, bytes(8))
    assert trouble.look(2000, 9)  # frames from before it
    assert not trouble.look(3000, 12)
    assert trouble.state == "error-active"


def test_the_interface_knows_its_state_better_than_the_frames_that_were_read() -> None:
    trouble = opened()
    trouble.look(1000, 0, UP._replace(state=0))
    trouble.error_frame(4, b"\0\x10")
    assert trouble.state == "error-active"
    assert trouble.look(2000, 1, UP._replace(state=3, restart_ms=0))
    assert (trouble.state, trouble.error_passive) == ("bus-off", 1)


def test_lost_frames_are_said_while_it_is_new_that_they_were_lost() -> None:
    trouble = opened()
    trouble.dropped(7)
    trouble.dropped(11)
    trouble.look(3000, 1)
    assert trouble.remarks(3000)["lost"] == "frames lost: 11 (kernel queue), 0 (controller)"
    trouble.look(64_000, 2)
    assert "lost" not in trouble.remarks(64_000)


def test_an_overflow_is_counted_once_although_frame_and_driver_both_tell_it() -> None:
    trouble = opened()
    trouble.look(1000, 1, UP._replace(overflows=40))
    for _ in range(3):
        trouble.error_frame(4, b"\0\x01")
    trouble.look(2000, 2, UP._replace(overflows=43))
    assert trouble.controller_overflows == 3
    trouble.look(3000, 3, UP._replace(overflows=48))
    assert trouble.controller_overflows == 8


def test_frames_that_the_mapping_does_not_read_are_no_silence() -> None:
    trouble = opened()
    for second in range(1, 61):
        trouble.look(second * 1000, 0, UP._replace(packets=100 * second))
    assert list(trouble.remarks(60_000)) == ["foreign"]
    trouble.look(61_000, 1, UP._replace(packets=6100))
    assert trouble.remarks(61_000) == {}


def test_error_frames_among_the_packets_are_no_frames() -> None:
    trouble = opened()
    for second in range(1, 13):
        for _ in range(10):
            trouble.error_frame(0x80, bytes(8))
        trouble.look(second * 1000, 0, UP._replace(packets=10 * second))
    assert list(trouble.remarks(12_000)) == ["bitrate"]


def test_absence_is_counted_in_times_and_seconds() -> None:
    trouble = Trouble()
    assert trouble.problem(0) is None
    for at, reason in ((1000, "Network is down"), (3000, "vcan0 is down"), (9500, "vcan0 is down")):
        trouble.closed(at, reason)
    assert trouble.problem(9500) == "away for 8 s: vcan0 is down"
    assert trouble.opened(11_000) == 10_000
    trouble.closed(12_000, "x")
    assert trouble.opened(14_000) == 2000
    counts = trouble.counts()
    assert (counts["away"], counts["away_s"], counts["reopened"]) == (2, 12, 1)


@pytest.mark.parametrize(
    ("can_id", "data", "said"),
    [
        (0x10, b"\0\0\0\0\x74", "the transceiver reports: CANH no wire, CANL short to ground"),
        (0x20, b"", "a program sends on this interface, and nobody acknowledges it"),
    ],
)
def test_what_an_error_frame_names_by_itself_is_said_while_it_is_new(can_id: int, data: bytes, said: str) -> None:
    trouble = told((can_id, data))
    trouble.look(1000, 1)
    assert trouble.problem(1000) == said
    trouble.look(20_000, 2)
    assert trouble.problem(20_000) is None


def test_a_listener_that_listens_only_may_be_the_cause_itself() -> None:
    trouble = opened()
    now = looked(trouble, 12, UP._replace(listen_only=True), (0x80, b""))
    assert "nobody acknowledges" in str(trouble.problem(now))


def test_error_frames_of_other_interfaces_are_counted_and_not_read() -> None:
    trouble = opened("")
    now = looked(trouble, 12)
    trouble.error_frame(0x40, bytes(8))
    trouble.look(now + 1000, 0)
    assert counted(trouble) == {"error_frames": 1, "silent_s": 13}
    assert list(trouble.remarks(now + 1000)) == ["bitrate"]
