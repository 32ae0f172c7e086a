"""What the Broadcast Manager and raw sockets are asked for; the kernel's answers are in tests/vm."""

import errno
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import can
import pytest
from can.interfaces.socketcan.socketcan import build_bcm_header, build_can_frame, pack_filters
from canbus_parts import Settings
from hypothesis import given
from hypothesis import strategies as st
from random_plans import Bus

from agent.canbus.arguments import KERNEL_FILTERS
from agent.canbus.bcm import EVERY, HEAD, MAX_PAGES, NEWEST, PAGES, THROTTLE_US, kind_of, operations
from agent.canbus.choice import BCM, LOG, PYTHON_CAN, RAW, choose, described
from agent.canbus.feed import is_exact, masked
from agent.canbus.raw import raw_filters
from agent.core.frames import LatestFrames
from agent.core.needs import needs_of
from agent.core.signals import Decoder

EXT = 0x80000000
RX_SETUP, SETTIMER, RX_FILTER_ID, RX_CHECK_DLC, CAN_FD_FRAME = 5, 0x01, 0x20, 0x40, 0x800
PLAIN = (0x123, 8, 1250, False, None)
PAGED = (0x18FEF101 | EXT, 8, 1250, False, (1, 0xF0, [(0x10, 0xFF00), (0x30, 0xFF00000000000000)]))


def header(flags: int, can_id: int, frames: int, throttle_s: int) -> bytes:
    """As python-can lays it out, by ctypes; the timeout is 1.25 s."""
    return build_bcm_header(RX_SETUP, flags, 0, 1, 250_000, throttle_s, 0, can_id, frames)


def frame(can_id: int, data: bytes, fd: bool = False) -> bytes:
    """As python-can lays it out, without the flags and the raw length code, which nobody compares."""
    built = build_can_frame(
        can.Message(arbitration_id=can_id & ~EXT, is_extended_id=bool(can_id & EXT), data=data, is_fd=fd)
    )
    return built[:5] + bytes(3) + built[8:]


def test_the_newest_frame_is_asked_for_with_a_long_throttle() -> None:
    (only,) = operations([PLAIN], fd=False)
    assert only == (0x123, NEWEST, header(SETTIMER | RX_FILTER_ID, 0x123, 0, THROTTLE_US // 10**6))


def test_every_frame_is_asked_for_without_a_throttle() -> None:
    (only,) = operations([(0x123, 8, 1250, True, None)], fd=False)
    assert only == (0x123, EVERY, header(SETTIMER | RX_FILTER_ID, 0x123, 0, 0))


def test_pages_are_told_apart_by_the_multiplexer_and_compared_in_their_mapped_bits() -> None:
    (only,) = operations([PAGED], fd=False)
    can_id = PAGED[0]
    chooser = frame(can_id, bytes([0, 0xF0, 0, 0, 0, 0, 0, 0]))
    # Of a page's own bits those of the multiplexer hold the page's value.
    pages = [
        frame(can_id, bytes([0, 0x1F, 0, 0, 0, 0, 0, 0])),
        frame(can_id, bytes([0, 0x30, 0, 0, 0, 0, 0, 0xFF])),
    ]
    assert only == (
        can_id,
        PAGES,
        header(SETTIMER | RX_CHECK_DLC, can_id, 3, 0) + chooser + b"".join(pages),
    )


def test_a_bus_with_can_fd_asks_for_both_sorts_of_frames() -> None:
    classic, long = operations([PAGED], fd=True)
    assert classic == operations([PAGED], fd=False)[0]
    assert long.setup[: HEAD.size] == header(SETTIMER | RX_CHECK_DLC | CAN_FD_FRAME, PAGED[0], 3, 0)
    assert long.setup[HEAD.size :][:72] == frame(PAGED[0], bytes([0, 0xF0]) + bytes(62), fd=True)
    assert len(long.setup) == HEAD.size + 3 * 72


def test_signals_beyond_a_classic_frame_are_compared_in_fd_frames_only() -> None:
    need = (0x123, 64, 1000, False, (0, 0xFF, [(1, 0xFF << 504)]))
    classic, long = operations([need], fd=True)
    assert classic.setup[-8:] == bytes([1]) + bytes(7)
    assert long.setup[-64:] == bytes([1]) + bytes(62) + b"\xff"


@pytest.mark.parametrize(
    ("pages", "kind"),
    [
        (None, NEWEST),
        ((7, 0xFF, [(value, 1 << 63) for value in range(MAX_PAGES)]), PAGES),
        ((8, 0xFF, [(0, 1)]), EVERY),  # the kernel looks in the first eight bytes
        ((7, 0xFF, [(value, 1) for value in range(MAX_PAGES + 1)]), EVERY),
    ],
)
def test_what_the_kernel_cannot_choose_by_is_heard_frame_by_frame(pages: Any, kind: str) -> None:
    assert kind_of((0x123, 64, 1000, False, pages)) == kind


@given(st.integers(0, 10_000), st.booleans())
def test_a_frame_that_the_kernel_would_leave_out_changes_no_value(seed: int, fd: bool) -> None:
    """The kernel's comparison, written out: what it holds for the same page decodes to the same values."""
    car = Bus(seed, fd=fd, count=8)
    decoder = Decoder(car.plan, 1)
    for message, need in zip(car.messages, needs_of(car.plan, 0), strict=True):
        assert need[:3] == (message.can_id, message.length, 100_000)
        assert need[3] == (message.kind in ("alive", "checksum", "both", "common", "alive pages"))
        if need[4] is None:
            continue
        byte, mask, used = need[4]
        for value, bits in used:
            one = bytearray(message.rng.randbytes(message.length))
            one[byte] = one[byte] & ~mask | value
            other = message.rng.randbytes(message.length)
            compared = bits | mask << 8 * byte
            size = message.length
            word = int.from_bytes(one, "little") & compared | int.from_bytes(other, "little") & ~compared
            found = []
            for data in (bytes(one), word.to_bytes(size, "little")):
                latest = LatestFrames(car.plan)
                latest.keep(0, message.can_id, data, 0)
                values: list[Any] = [None] * (4 * len(car.sources))
                decoder.decode(latest, 0, values, [])
                found.append(values)
            assert found[0] == found[1]
            assert set(found[0]) != {None}


def test_a_need_is_read_from_the_rows_of_a_message() -> None:
    """Rows that are decoded with care (limits, special values) are read like the others; the shortest timeout counts."""
    sources = [
        [8, 5000, [[8, 0xFF]], [], [[24, 0xF]], []],
        [8, 700, [], [[0, 0xFF]], [], [[48, 0x0F]]],
    ]
    pages = [[0, 0xFF, 1, [[1, 1, [0], []], [2, 2, [1], []], [3, 9, [], []]]]]
    message = [0, 0x123, -1, 8, -1, pages, None, None]
    used = [(1, 0xFF << 8 | 0xF << 24), (2, 0xFF << 56 | 0x0F << 8)]

    def needs(*changed: tuple[int, Any]) -> list[Any]:
        row = list(message)
        for place, value in changed:
            row[place] = value
        return needs_of({"sources": sources, "messages": [row]}, 0)

    assert needs() == [(0x123, 8, 700, False, (0, 0xFF, used))]
    assert needs((6, [1, 0xF, 2])) == needs((7, [7, "sum8", 0, 0, 0])) == [(0x123, 8, 700, True, None)]
    two = [*pages, [1, 0xFF, 2, [[1, 1, [1], []]]]]
    in_two_bytes = [[-1, 0xFFFF, 2, pages[0][3]]]
    nested = [[0, 0xFF, 1, [[1, 1, [0], [[1, 0xFF, 2, [[1, 1, [1], []]]]]]]]]
    for selectors in (two, in_two_bytes, nested):
        assert needs((5, selectors)) == [(0x123, 8, 700, True, None)]
    assert needs((4, 0)) == [(0x123, 8, 700, True, None)]  # signals outside of the pages as well
    assert needs((0, 1)) == needs((2, 0x83FFFF00)) == []


def test_only_wanted_data_frames_pass_the_raw_socket() -> None:
    wanted = [(0x123, 0x800007FF), (0x18FEF1FE | EXT, 0x83FFFF00), (0x18FEF107 | EXT, 0x9FFFFFFF)]
    remote = 0x40000000
    assert raw_filters(wanted) == pack_filters(
        [{"can_id": can_id, "can_mask": mask | remote} for can_id, mask in wanted]
    )
    assert raw_filters([]) == b""  # nothing, as the kernel reads it
    assert len(raw_filters([wanted[0]] * KERNEL_FILTERS)) == 8 * KERNEL_FILTERS
    assert raw_filters([wanted[0]] * (KERNEL_FILTERS + 1)) == pack_filters([{"can_id": 0, "can_mask": remote}])
    assert [is_exact(pair) for pair in wanted] == [True, False, True]
    assert masked(wanted) == [wanted[1]]


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A kernel whose Broadcast Manager fails with `error`, if any."""
    answers = SimpleNamespace(error=None)

    def made(*_: int) -> Any:
        if answers.error:
            raise OSError(answers.error, "said the kernel")
        return SimpleNamespace(close=lambda: None)

    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", made)
        yield answers


@pytest.mark.parametrize(
    ("settings", "error", "path", "reason"),
    [
        (Settings(interface="socketcan"), None, BCM, ""),
        (Settings(interface="socketcan", bcm=False), None, RAW, "bcm = false"),
        (Settings(interface="socketcan"), errno.EPROTONOSUPPORT, RAW, "modprobe can-bcm"),
        (Settings(interface="socketcan"), errno.EPERM, RAW, "said the kernel"),
        (Settings(interface="socketcan"), errno.EAFNOSUPPORT, BCM, "no CAN"),
        (Settings(interface="socketcan", options={"local_loopback": False}), None, PYTHON_CAN, "local_loopback"),
        (Settings(interface="pcan"), None, PYTHON_CAN, "pcan"),
        (Settings(interface="log"), None, LOG, ""),
    ],
)
def test_the_path_of_a_bus_and_why(
    kernel: SimpleNamespace, settings: Settings, error: int | None, path: str, reason: str
) -> None:
    kernel.error = error
    chosen, said = choose(settings)
    assert chosen == path
    assert reason in said
    assert bool(reason) == bool(said)


def test_check_says_what_the_kernel_does_for_the_messages_of_a_bus(kernel: SimpleNamespace) -> None:
    car = Bus(1, count=6, kinds=("plain", "pages"))
    car.plan["messages"].append([0, 0x18FEF100 | EXT, 0x83FFFF00, 8, 0, [], None, None])
    counts = [sum(message.kind == kind for message in car.messages) for kind in ("plain", "pages")]
    path, said = described(Settings(interface="socketcan", channel="can0"), 0, LatestFrames(car.plan))
    assert path == BCM
    assert said == (
        f"socketcan can0: by the kernel's Broadcast Manager; messages: {counts[0]} as the newest frame at each sample, "
        f"{counts[1]} multiplexed, by what changes in their pages, 1 under many identifiers (J1939), through a raw socket"
    )


def test_check_names_the_reason_of_another_path(kernel: SimpleNamespace) -> None:
    car = Bus(1, count=1)
    settings = Settings(interface="socketcan", channel="can0", bcm=False)
    said = "socketcan can0: by a receive thread on a raw socket with filters (bcm = false)"
    assert described(settings, 0, LatestFrames(car.plan)) == (RAW, said)
