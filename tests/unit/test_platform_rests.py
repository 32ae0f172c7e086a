"""Silence after switch-off is no loss, and no loss passes for it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.packet import COMMAND, PLAIN, build_packet, time_bytes
from bench.arrival import inspect
from bench.delivery import Delivery, verdict
from bench.received import Received

FIRST = 1_700_000_000
PERIOD = 10
VIN = "LGBTEST0000000017"
REALTIME, LOGOUT, HEARTBEAT = 2, 4, 7
STARTED, OFF, UNKNOWN = 1, 2, 255
CHARGING, NOT_CHARGING = 1, 3
GEAR = 15  # its place in the vehicle body, whose other fields may be FF
SIZES = {b"##": 20, b"$$": 18}  # of the vehicle body


class Backwards:
    """A cipher of the test's own."""

    def open(self, vin: bytes, encryption: int, unit: bytes) -> bytes:
        return unit[::-1]


class Platform:
    """What arrived, each packet at the moment of its collection."""

    def __init__(self, path: Path, start: bytes) -> None:
        self.path, self.start, self.encryption = path, start, PLAIN
        self._received = Received(path)

    def packet(self, second: int, command: int, body: bytes = b"") -> None:
        unit = b"" if command == HEARTBEAT else time_bytes(FIRST + second) + body
        unit = unit if self.encryption == PLAIN else unit[::-1]
        raw = build_packet(self.start, command, COMMAND, VIN.encode(), self.encryption, unit)
        arrival = inspect(raw, 1, (FIRST + second) * 1000, 0, Backwards())
        assert arrival.fault is None
        self._received.add([(arrival, None)])

    def reports(self, seconds: range, state: int, charging: int = NOT_CHARGING) -> None:
        unknown = b"\xff" * SIZES[self.start]
        body = b"\x01" + bytes((state, charging)) + unknown[2:GEAR] + b"\x0f" + unknown[GEAR + 1 :]
        for second in seconds:
            self.packet(second, REALTIME, body)

    def judged(self) -> Delivery:
        self._received.close()
        (delivery,) = verdict(self.path, period_s=PERIOD).deliveries
        return delivery


@pytest.fixture
def old(tmp_path: Path) -> Platform:
    return Platform(tmp_path / "received.sqlite", b"##")


@pytest.fixture
def new(tmp_path: Path) -> Platform:
    return Platform(tmp_path / "received.sqlite", b"$$")


@pytest.mark.parametrize("encryption", [PLAIN, 3])
def test_three_minutes_of_reports_that_say_off_may_be_followed_by_silence(old: Platform, encryption: int) -> None:
    old.encryption = encryption
    old.reports(range(0, 60, 10), STARTED)
    old.reports(range(60, 240, 10), OFF)
    old.reports(range(3600, 3660, 10), STARTED)
    delivery = old.judged()
    assert (delivery.ok, delivery.rests, delivery.expected, delivery.lost) == (True, 1, 30, [])


@pytest.mark.parametrize(
    ("state", "charging", "until"),
    [(OFF, NOT_CHARGING, 150), (OFF, CHARGING, 240), (STARTED, NOT_CHARGING, 240)],
    ids=["too soon", "it charges", "it is on"],
)
def test_other_silence_of_2016_is_a_loss_even_with_heartbeats(
    old: Platform, state: int, charging: int, until: int
) -> None:
    old.reports(range(0, 60, 10), STARTED)
    old.reports(range(60, until, 10), state, charging)
    old.packet(600, HEARTBEAT)
    old.reports(range(3600, 3660, 10), STARTED)
    delivery = old.judged()
    assert (delivery.ok, delivery.rests) == (False, 0)
    assert len(delivery.lost) == (3600 - until) // PERIOD


def test_an_unknown_state_counts_as_off_as_silent_buses_are(old: Platform) -> None:
    old.reports(range(0, 60, 10), STARTED)
    old.reports(range(60, 240, 10), UNKNOWN, UNKNOWN)
    old.reports(range(3600, 3660, 10), STARTED)
    assert old.judged().ok


@pytest.mark.parametrize("sign", [HEARTBEAT, LOGOUT])
def test_a_terminal_of_2025_that_idles_has_nothing_to_report(new: Platform, sign: int) -> None:
    new.reports(range(0, 60, 10), STARTED)
    new.packet(120, sign, b"\x00\x01" if sign == LOGOUT else b"")
    new.reports(range(900, 960, 10), STARTED)
    delivery = new.judged()
    assert (delivery.ok, delivery.rests, delivery.expected) == (True, 1, 12)


@given(at=st.integers(0, 49) | st.integers(901, 960))
def test_a_heartbeat_outside_the_hole_says_nothing_about_it(tmp_path_factory: pytest.TempPathFactory, at: int) -> None:
    platform = Platform(tmp_path_factory.mktemp("rests") / "received.sqlite", b"$$")
    platform.reports(range(0, 60, 10), STARTED)
    platform.packet(at, HEARTBEAT)
    platform.reports(range(900, 960, 10), STARTED)
    delivery = platform.judged()
    assert (delivery.ok, delivery.rests, len(delivery.lost)) == (False, 0, 84)


def test_a_stop_shorter_than_a_heartbeat_cannot_be_told_from_a_loss(new: Platform) -> None:
    new.reports(range(0, 60, 10), STARTED)
    new.reports(range(90, 120, 10), STARTED)
    assert [second - FIRST for second, _ in new.judged().lost] == [60, 70, 80]
