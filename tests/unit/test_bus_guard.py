"""A bus's place in the system: a device file that is pulled out and comes back, and the kernel's answers about interfaces."""

import asyncio
import logging
import os
import pty
import struct
from pathlib import Path
from random import Random
from typing import Any

import pytest
from canbus_parts import Kept, Settings
from hypothesis import example, given
from hypothesis import strategies as st

import agent.canbus.link
from agent.canbus.bus import CanBus
from agent.canbus.guard import Guard
from agent.canbus.link import Link, Place, _parse, read_link
from agent.clock import Clock

PATIENCE_S = 20


def test_the_loopback_interface_is_there_and_is_no_can_interface() -> None:
    link = read_link("lo")
    if link is None:
        pytest.skip("no rtnetlink here")
    assert link.ifindex == 1
    assert (link.bitrate, link.state) == (0, None)
    assert read_link("absent0") == Link()
    for name in ("x" * 16, "x" * 200, "x" * 70_000, "é" * 8, "", "a\0b", "a b", "a/b", "..", "\udcff\0"):
        assert read_link(name) == Link(), name


def test_where_nobody_can_be_asked_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(agent.canbus.link.socket, "socket", refused)
    place = Place(Settings(interface="socketcan", channel="absent0"))
    assert (place.link(), place.fault()) == (None, None)


@pytest.mark.parametrize(
    "settings", [Settings(), Settings(interface="kvaser", channel=0), Settings(interface="socketcan", channel="")]
)
def test_a_bus_without_a_place_may_always_be_opened(settings: Settings) -> None:
    assert (Place(settings).link(), Place(settings).fault()) == (None, None)


@pytest.mark.parametrize(
    ("settings", "listens", "said"),
    [
        (Settings(interface="socketcan", channel="can7"), False, 1),
        (Settings(interface="socketcan", channel="can7"), True, 0),
        (Settings(interface="socketcan", channel="vcan7"), None, 0),
        (Settings(interface="socketcan", channel="can7", listen_only=False), False, 0),
    ],
    ids=["acknowledges", "listens", "virtual", "may acknowledge"],
)
def test_an_interface_that_acknowledges_is_named_once_however_often_it_is_opened(
    settings: Settings,
    listens: bool | None,
    said: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(agent.canbus.link, "read_link", lambda _: Link(5, True, listen_only=listens))
    guard = Guard(settings, 0, Kept(), Clock())

    async def opened() -> None:
        guard.opened()

    for _ in range(2):
        asyncio.run(guard.attend(opened, lambda: 0))
    texts = [record.message for record in caplog.records]
    remedy = "ip link set can7 down; ip link set can7 up type can listen-only on"
    assert texts == said * [
        f"bus=pt: can7 acknowledges frames, listen_only = true notwithstanding: that is set at the interface: {remedy}"
    ]


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def answer(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


def test_a_controllers_settings_are_read_from_the_kernels_answer() -> None:
    """As a controller of can-dev answers: struct can_bittiming begins with the bitrate, can_ctrlmode is mask and flags."""
    settings = b"".join(
        [
            attribute(1, struct.pack("=8I", 500_000, 875, 125, 6, 7, 2, 1, 1)),
            attribute(4, struct.pack("=I", 2)),
            attribute(5, struct.pack("=II", 0x33, 0x12)),
            attribute(6, struct.pack("=I", 100)),
            attribute(9, struct.pack("=8I", 2_000_000, 750, 50, 3, 4, 2, 1, 1)),
            attribute(11, struct.pack("=H", 120)),
        ]
    )
    stats = struct.pack("=24Q", 7, 1, 50, 2, 3, 4, 5, 6, 0, 0, 0, 9, *range(12))
    info = attribute(1, b"can\0") + attribute(2 | 0x8000, settings)
    body = (
        struct.pack("=BxHiII", 0, 280, 4, 0x10081, 0)
        + attribute(3, b"can0\0")
        + attribute(23, stats)
        + attribute(18, info)
    )
    assert _parse(answer(16, body)) == Link(
        ifindex=4, up=True, packets=7, size=50, errors=3, dropped=5, overflows=9,
        bitrate=500_000, data_bitrate=2_000_000, restart_ms=100, state=2, listen_only=True,
    )  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 60), st.binary(max_size=300)), max_size=8))
@example([(0, b"\0" * 4)])
def test_attributes_that_are_not_known_are_left_out(attributes: list[tuple[int, bytes]]) -> None:
    body = struct.pack("=BxHiII", 0, 280, 4, 1, 0)
    body += b"".join(attribute(kind, value) for kind, value in attributes if kind not in (18, 23))
    assert _parse(answer(16, body)) == Link(ifindex=4, up=True)


def test_an_answer_about_something_else_is_none() -> None:
    assert _parse(answer(3, b"")) is None
    assert _parse(answer(2, struct.pack("=i", -1))) is None  # not allowed to ask


def plug(link: Path) -> int:
    """Plug in an adapter: a terminal whose other side answers nothing; its file descriptor."""
    master, slave = pty.openpty()
    link.unlink(missing_ok=True)
    link.symlink_to(os.ttyname(slave))
    os.close(slave)
    return master


def test_a_serial_adapter_is_pulled_out_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its device file goes with it; the back-off, by then long, does not delay its return."""
    pytest.importorskip("serial")
    monkeypatch.setattr(agent.canbus.link, "DEVICES", str(tmp_path))
    port = tmp_path / "ttyUSB0"
    settings: Any = Settings(
        interface="slcan", channel=f"{port}@115200", bitrate=500_000, options={"sleep_after_open": 0}
    )

    async def run() -> CanBus:
        loop, reached = asyncio.get_running_loop(), asyncio.Event()
        kept = Kept(2, lambda: loop.call_soon_threadsafe(reached.set))
        bus = CanBus(settings, 0, kept, Clock(), Random(1))
        running = asyncio.create_task(bus.run())
        async with asyncio.timeout(PATIENCE_S):
            while "is not there" not in str(bus.problem):
                await asyncio.sleep(0.01)
            for turn in (1, 2):
                adapter = plug(port)
                await bus.is_open.wait()
                os.write(adapter, b"t1232A1B2\r")
                while len(kept.rows) < turn:
                    await asyncio.sleep(0.01)
                port.unlink()
                os.close(adapter)
                while bus.is_open.is_set():
                    await asyncio.sleep(0.01)
        assert kept.forgotten.count(0) >= 2
        running.cancel()
        await asyncio.wait({running})
        return bus

    with caplog.at_level(logging.INFO):
        bus = asyncio.run(run())
    assert (bus.frames, bus.counts()["reopened"], bus.counts()["away"]) == (2, 1, 3)
    assert caplog.text.count("CAN bus away") == 1  # within one minute
    assert "CAN bus back" in caplog.text


@pytest.mark.parametrize("absent", [True, False])
def test_a_pause_ends_when_the_device_is_back_and_only_then(
    absent: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent.canbus.link, "DEVICES", str(tmp_path))
    port, clock = tmp_path / "ttyUSB0", Clock(speed=1000)
    guard = Guard(Settings(interface="slcan", channel=str(port)), 0, Kept(), clock)

    async def run() -> tuple[bool, int]:
        if not absent:
            port.touch()
        waiting, begun = asyncio.create_task(guard.wait(3_600_000 if absent else 5000)), clock.now()
        await asyncio.sleep(0)
        port.touch()
        async with asyncio.timeout(PATIENCE_S):
            return await waiting, clock.now() - begun

    back, waited_ms = asyncio.run(run())
    assert back == absent
    assert absent or waited_ms >= 5000
    assert waited_ms < 3_600_000
