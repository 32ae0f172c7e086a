"""Receiving: real python-can buses, real threads, no hardware; back-off and recordings on a clock that tests move."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import can
import can.interfaces.udp_multicast.utils
import pytest
from canbus_parts import Kept, Settings

import agent.canbus.pythoncan
from agent.canbus.arguments import ACKNOWLEDGES, COUNTED_CHANNELS, LISTEN_ONLY, bus_arguments
from agent.canbus.bus import CanBus
from agent.canbus.pythoncan import interface_fault, open_bus
from agent.clock import Clock
from agent.errors import BusError, ConfigError

EXT = 0x80000000
PATIENCE_S = 20
COUNTED = COUNTED_CHANNELS | {"kvaser"}


class Sleeper:
    """Monotonic time that only sleeping moves; stops the run after some sleeps, if told to."""

    def __init__(self, stop_after: int = 0) -> None:
        self.ns = 10**12
        self.sleeps: list[float] = []
        self.stop_after = stop_after

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.ns += round(seconds * 10**9) + 1
        self.sleeps.append(seconds)
        if len(self.sleeps) == self.stop_after:
            raise asyncio.CancelledError

    def clock(self, speed: int = 1) -> Clock:
        return Clock(speed, 0, monotonic_ns=lambda: self.ns, time_ns=lambda: self.ns, sleep=self.sleep)


def message(can_id: int, data: bytes, **words: Any) -> can.Message:
    return can.Message(arbitration_id=can_id & ~EXT, is_extended_id=bool(can_id & EXT), data=data, **words)


async def receive_three(settings: Settings, send: list[can.Message], clock: Clock) -> tuple[CanBus, Kept]:
    """Run a bus, send on another one, return when three frames were kept and the bus has stopped."""
    loop, reached = asyncio.get_running_loop(), asyncio.Event()
    kept = Kept(3, lambda: loop.call_soon_threadsafe(reached.set))
    bus = CanBus(settings, 1, kept, clock, Random(1))
    running = asyncio.create_task(bus.run())
    async with asyncio.timeout(PATIENCE_S):
        await bus.is_open.wait()
    sender = await asyncio.to_thread(open_bus, settings)
    try:
        for each in send:
            sender.send(each)
        async with asyncio.timeout(PATIENCE_S):
            await reached.wait()
    finally:
        sender.shutdown()
        running.cancel()
        await asyncio.wait({running})
    return bus, kept


THREE = [message(0x123, b"\1\2"), message(0x18FEF107 | EXT, b""), message(0x1FF, bytes(8))]


def test_frames_are_kept_with_bus_number_and_bit_31_and_others_only_counted() -> None:
    others = [
        message(0x124, b"", is_remote_frame=True, dlc=4),
        message(0, b"", is_error_frame=True),
    ]
    clock = Clock()
    before = clock.stamp()
    bus, kept = asyncio.run(receive_three(Settings(), [THREE[0], *others, *THREE[1:]], clock))
    assert kept.called == [(0x123, b"\1\2"), (0x18FEF107 | EXT, b""), (0x1FF, bytes(8))]
    assert {row[0] for row in kept.rows} == {1}
    assert all(before <= row[3] <= clock.stamp() for row in kept.rows)
    assert (bus.frames, bus.feed.remote_frames, bus.guard.trouble.error_frames, bus.guard.trouble.reopened) == (
        3,
        1,
        1,
        0,
    )


@pytest.mark.network
def test_udp_multicast_receives_classic_and_fd_frames() -> None:
    settings = Settings(interface="udp_multicast", channel="239.74.163.77", fd=True, options={"port": 43177})
    send = [THREE[0], message(0x18FEF101 | EXT, bytes(64), is_fd=True), THREE[2]]
    _, kept = asyncio.run(receive_three(settings, send, Clock()))
    assert kept.called == [(0x123, b"\1\2"), (0x18FEF101 | EXT, bytes(64)), (0x1FF, bytes(8))]


@pytest.mark.network
@pytest.mark.parametrize(
    "groups", [("239.74.163.80", "239.74.163.81"), ("ff15:7079::80", "ff15:7079::81")], ids=["4", "6"]
)
def test_two_udp_multicast_buses_of_one_machine_do_not_hear_each_other(groups: tuple[str, str]) -> None:
    own, other = (Settings(interface="udp_multicast", channel=group, options={"port": 43180}) for group in groups)
    try:
        stranger = open_bus(other)
    except BusError as error:
        pytest.skip(str(error))
    with stranger, open_bus(own) as bus, open_bus(own) as friend:
        stranger.send(message(0x100, b"\1"))
        friend.send(message(0x200, b"\2"))
        heard = bus.recv(PATIENCE_S)
        assert heard is not None
        assert heard.arbitration_id == 0x200


def test_plain_messages_are_put_where_they_are_decoded_from_with_their_stamp() -> None:
    plain = [message(0x200, b"\1"), message(0x200, b"\2\3"), message(0x18FEF100 | EXT, bytes(8))]
    other = [message(0x18FEF100 & 0x7FF, b"\4"), message(0x200 | EXT, b"\5"), message(0x123, b"\6")]
    clock = Clock()
    before = clock.stamp()
    bus, kept = asyncio.run(receive_three(Settings(), plain + other, clock))
    assert [bytes(data) for data in kept.frames] == [b"\2\3", bytes(8)]
    assert before <= kept.stamps[0] <= kept.stamps[1] <= kept.rows[0][3]
    assert (bus.frames, kept.kept, kept.by_bus[1].short) == (6, 3, 1)
    assert kept.called == [(0x100, b"\4"), (0x200 | EXT, b"\5"), (0x123, b"\6")]


def test_a_silent_bus_stops_within_a_second_and_leaves_no_thread() -> None:
    import threading

    async def stop_silent_bus() -> None:
        bus = CanBus(Settings(channel="silent"), 0, Kept(), Clock(), Random(1))
        running = asyncio.create_task(bus.run())
        async with asyncio.timeout(PATIENCE_S):
            await bus.is_open.wait()
        running.cancel()
        async with asyncio.timeout(1):
            await asyncio.wait({running})

    asyncio.run(stop_silent_bus())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("can-")]


def test_a_bus_that_fails_is_opened_again_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail_twice() -> tuple[CanBus, Kept]:
        loop, reached = asyncio.get_running_loop(), asyncio.Event()
        opened: asyncio.Queue[can.BusABC] = asyncio.Queue()

        def open_and_note(settings: Settings, wanted: list[tuple[int, int]]) -> can.BusABC:
            bus = open_bus(settings, wanted)
            loop.call_soon_threadsafe(opened.put_nowait, bus)
            return bus

        monkeypatch.setattr(agent.canbus.pythoncan, "open_bus", open_and_note)
        kept = Kept(1, lambda: loop.call_soon_threadsafe(reached.set))
        bus = CanBus(Settings(channel="fails"), 0, kept, Clock(speed=1000), Random(1))
        running = asyncio.create_task(bus.run())
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(2):
                (await opened.get()).shutdown()  # recv() raises CanOperationError from now on
            await opened.get()
            await bus.is_open.wait()
            with open_bus(Settings(channel="fails")) as sender:
                sender.send(THREE[0])
            await reached.wait()
        running.cancel()
        await asyncio.wait({running})
        return bus, kept

    with caplog.at_level(logging.INFO, "agent.canbus"):
        bus, kept = asyncio.run(fail_twice())
    assert kept.called == [(0x123, b"\1\2")]
    assert bus.guard.trouble.reopened == 2
    assert "closed bus" in caplog.text


class Away(Settings):
    """An interface that no machine without its driver can open."""

    def __init__(self) -> None:
        super().__init__(interface="kvaser", channel=0)


def test_attempts_to_open_back_off_to_half_a_minute_and_are_logged_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sleeper = Sleeper(stop_after=9)
    bus = CanBus(Away(), 0, Kept(), sleeper.clock(), Random(7))
    with pytest.raises(asyncio.CancelledError), caplog.at_level(logging.WARNING, "agent.canbus"):
        asyncio.run(bus.run())
    for slept, nominal in zip(sleeper.sleeps, [1, 2, 4, 8, 16, 30, 30, 30, 30], strict=True):
        assert 0.8 * nominal <= slept <= 1.2 * nominal
    assert len(set(sleeper.sleeps[5:])) == 4  # jitter: boards that lost power together do not retry together
    told = [record for record in caplog.records if "CAN bus away" in record.message]
    assert 2 <= len(told) <= 1 + sum(sleeper.sleeps) / 60
    assert bus.problem is not None
    assert "Kvaser" in bus.problem


def test_an_error_that_is_no_bus_error_ends_the_run() -> None:
    class Broken(Kept):
        def keeper(self, bus: int) -> Callable[[int, bytes | bytearray, int], None]:
            raise KeyError("a fault of ours")

    bus = CanBus(Settings(channel="broken"), 0, Broken(), Clock(), Random(1))
    with pytest.raises(KeyError, match="a fault of ours"):
        asyncio.run(bus.run())


def test_an_unknown_interface_ends_the_run_with_the_nearest_name() -> None:
    bus = CanBus(Settings(interface="soketcan"), 0, Kept(), Clock(), Random(1))
    with pytest.raises(ConfigError, match="did you mean 'socketcan'"):
        asyncio.run(bus.run())


def test_known_interfaces_have_no_fault() -> None:
    assert [name for name in (*can.VALID_INTERFACES, "log") if interface_fault(name)] == []


@pytest.mark.parametrize("interface", sorted(can.VALID_INTERFACES - {"virtual", "udp_multicast"}))
def test_every_interface_without_its_hardware_is_a_bus_error(interface: str) -> None:
    with pytest.raises(BusError, match=interface):
        open_bus(Settings(interface=interface, channel="0" if interface in COUNTED else "absent0"))


def test_udp_multicast_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(can.interfaces.udp_multicast.utils, "msgpack", None)
    with pytest.raises(BusError, match="extra 'bench'"):
        open_bus(Settings(interface="udp_multicast", channel="239.74.163.77"))


def test_the_listen_only_table_names_interfaces_that_exist_once() -> None:
    assert LISTEN_ONLY.keys() <= can.VALID_INTERFACES
    assert ACKNOWLEDGES <= can.VALID_INTERFACES
    assert not LISTEN_ONLY.keys() & ACKNOWLEDGES


def test_listen_only_is_asked_for_unless_configured_otherwise() -> None:
    assert bus_arguments(Settings(interface="slcan", bitrate=250_000), ()) == {"bitrate": 250_000, "listen_only": True}
    assert bus_arguments(Settings(interface="pcan"), ()) == {"state": can.BusState.PASSIVE}
    assert bus_arguments(Settings(interface="pcan", listen_only=False), ()) == {}


def test_fd_bitrates_and_options_reach_the_interface() -> None:
    words: dict[str, Any] = {"bitrate": 500_000, "data_bitrate": 2_000_000, "fd": True, "listen_only": False}
    kvaser = Settings(interface="kvaser", options={"single_handle": True}, **words)
    expected = {"bitrate": 500_000, "fd": True, "data_bitrate": 2_000_000, "single_handle": True}
    assert bus_arguments(kvaser, ()) == expected
    nixnet = Settings(interface="nixnet", **words)
    assert bus_arguments(nixnet, ()) == {"bitrate": 500_000, "fd": True, "fd_bitrate": 2_000_000}


def test_only_socketcan_filters_and_by_exactly_the_wanted_identifiers() -> None:
    wanted = [(0x123, 0x800007FF), (0x18FEF1FE | EXT, 0x83FFFF00)]
    assert bus_arguments(Settings(), wanted) == {}
    assert bus_arguments(Settings(interface="socketcan"), wanted)["can_filters"] == [
        {"can_id": 0x123, "can_mask": 0x7FF, "extended": False},
        {"can_id": 0x18FEF1FE, "can_mask": 0x03FFFF00, "extended": True},
    ]
    assert bus_arguments(Settings(interface="socketcan"), wanted * 300) == {}  # more than the kernel takes


def play(settings: Settings, speed: int = 1, stop_after: int = 0) -> tuple[CanBus, Kept, Sleeper, int]:
    sleeper, kept = Sleeper(stop_after), Kept()
    start = sleeper.ns
    bus = CanBus(settings, 2, kept, sleeper.clock(speed), Random(1))
    asyncio.run(bus.run())
    return bus, kept, sleeper, start


def recording(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "x.log"
    path.write_text("".join(line + "\n" for line in lines))
    return str(path)


TWO_CHANNELS = ["(5.000000) can1 100#01", "(5.500000) can2 100#02", "(7.000000) can1 18FEF105#03"]


@pytest.mark.parametrize("speed", [1, 10, 1000])
def test_a_recording_plays_at_its_own_pace_on_the_clock(tmp_path: Path, speed: int) -> None:
    bus, kept, _, start = play(Settings(interface="log", channel=recording(tmp_path, *TWO_CHANNELS)), speed)
    assert kept.called == [(0x100, b"\1"), (0x100, b"\2"), (0x18FEF105 | EXT, b"\3")]
    real_ms = [(stamp - start) / 10**6 for *_, stamp in kept.rows]
    for at, due in zip(real_ms, [0, 500, 2000], strict=True):
        assert due / speed <= at <= due / speed + 3
    assert (bus.frames, bus.problem) == (3, "the recording has ended")


def test_the_end_of_a_recording_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    play(Settings(interface="log", channel=recording(tmp_path, *TWO_CHANNELS)))
    assert "the recording has ended" in caplog.text


def test_one_channel_of_a_recording(tmp_path: Path) -> None:
    settings = Settings(interface="log", channel=recording(tmp_path, *TWO_CHANNELS), options={"log_channel": "can2"})
    assert play(settings)[1].called == [(0x100, b"\2")]


def test_frame_ms_replaces_a_broken_clock(tmp_path: Path) -> None:
    path = recording(tmp_path, *["(1.000000) can0 100#01"] * 3)
    _, kept, _, start = play(Settings(interface="log", channel=path, options={"frame_ms": 100}))
    assert [round((stamp - start) / 10**8) for *_, stamp in kept.rows] == [0, 1, 2]


def test_a_looped_recording_begins_again_without_a_gap(tmp_path: Path) -> None:
    settings = Settings(interface="log", channel=recording(tmp_path, *TWO_CHANNELS), loop=True)
    sleeper, kept = Sleeper(stop_after=12), Kept()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(CanBus(settings, 0, kept, sleeper.clock(), Random(1)).run())
    assert kept.called[:3] == kept.called[3:6]
    assert kept.rows[3][3] - kept.rows[2][3] < 5_000_000


def test_a_recording_too_fast_to_keep_up_with_still_lets_other_tasks_run(tmp_path: Path) -> None:
    path = recording(tmp_path, *["(1.000000) can0 100#01"] * 1000)
    _, kept, sleeper, _ = play(Settings(interface="log", channel=path))
    assert len(kept.rows) == 1000
    assert len(sleeper.sleeps) >= 3


def test_a_real_recording_is_played_whole(tbox_data: Path, caplog: pytest.LogCaptureFixture) -> None:
    bus, kept, sleeper, start = play(Settings(interface="log", channel=str(tbox_data / "tesla_model_s/candump.log")))
    assert (bus.frames, len({row[1] for row in kept.rows})) == (12_974, 180)
    assert 8 <= (sleeper.ns - start) / 10**9 < 8.1
    assert "whole seconds" in caplog.text


def test_an_unknown_option_of_a_recording_is_refused(tmp_path: Path) -> None:
    settings = Settings(interface="log", channel=recording(tmp_path, *TWO_CHANNELS), options={"chanel": "can1"})
    with pytest.raises(ConfigError, match="frame_ms, log_channel"):
        play(settings)
