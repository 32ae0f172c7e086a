"""What comes from a bus and is no frame: counted, left out, and never the end of the process."""

import asyncio
import socket
from random import Random

import can
import msgpack
import pytest
from canbus_parts import Kept, Settings

from agent.canbus.bus import CanBus
from agent.canbus.feed import Feed
from agent.canbus.pythoncan import UNREADABLE_IN_A_ROW, PythonCanPath, open_bus
from agent.canbus.trouble import Trouble
from agent.clock import Clock
from agent.errors import BusError

PATIENCE_S = 20


def free_port() -> int:
    """Of UDP: a fixed one would be shared with whoever else tests on this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


DATAGRAMS = {
    "nothing": b"",
    "a number": msgpack.packb(5),
    "a list": msgpack.packb([1, 2]),
    "random bytes": Random(1).randbytes(3000),
    "other keys": msgpack.packb({"foo": 1}),
    "a word for an identifier": msgpack.packb({"arbitration_id": "abc", "is_extended_id": False}),
    "a list for an identifier": msgpack.packb({"arbitration_id": [1]}),
}


@pytest.mark.parametrize("datagram", DATAGRAMS.values(), ids=DATAGRAMS.keys())
def test_a_strangers_datagram_is_counted_and_the_bus_stays_open(datagram: bytes) -> None:
    port = free_port()
    settings = Settings(interface="udp_multicast", channel="239.74.163.78", options={"port": port})

    async def run() -> tuple[CanBus, Kept]:
        loop, reached = asyncio.get_running_loop(), asyncio.Event()
        kept = Kept(1, lambda: loop.call_soon_threadsafe(reached.set))
        bus = CanBus(settings, 0, kept, Clock(), Random(1))
        running = asyncio.create_task(bus.run())
        async with asyncio.timeout(PATIENCE_S):
            await bus.is_open.wait()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger, open_bus(settings) as sender:
                stranger.sendto(datagram, ("239.74.163.78", port))
                sender.send(can.Message(arbitration_id=0x123, is_extended_id=False, data=b"\1\2"))
                await reached.wait()
        running.cancel()
        await asyncio.wait({running})
        return bus, kept

    bus, kept = asyncio.run(run())
    assert kept.called == [(0x123, b"\1\2")]
    assert (bus.feed.unreadable, bus.frames, bus.guard.trouble.reopened, bus.problem) == (1, 1, 0, None)


def test_an_adapter_that_gives_nothing_but_rubbish_is_opened_again(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    settings = Settings(interface="udp_multicast", channel="239.74.163.79", options={"port": port})

    async def run() -> CanBus:
        bus = CanBus(settings, 0, Kept(), Clock(speed=100), Random(1))
        running = asyncio.create_task(bus.run())
        async with asyncio.timeout(PATIENCE_S):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                while bus.guard.trouble.reopened == 0:
                    stranger.sendto(b"rubbish", ("239.74.163.79", port))
                    await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait({running})
        return bus

    bus = asyncio.run(run())
    assert bus.feed.unreadable > UNREADABLE_IN_A_ROW
    assert "in a row what came was no frame" in caplog.text


class Noisy(can.BusABC):
    """Reads what it is given: None for a line that is no frame."""

    def __init__(self, *rows: can.Message | None) -> None:
        super().__init__("noisy")
        self.rows = [*rows]

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        row = self.rows.pop(0)
        if row is None:
            raise ValueError("noise")
        return row, True

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        raise AssertionError("nothing is ever sent")


def test_rubbish_between_frames_never_closes_a_bus() -> None:
    feed = Feed(Settings(), 0, Kept(), Clock(), Trouble())
    frame = can.Message(arbitration_id=0x123, data=b"\1", is_extended_id=False)
    noise = [None] * UNREADABLE_IN_A_ROW
    with Noisy(*noise, frame, *noise, frame, *noise) as bus:
        PythonCanPath(feed).receive(bus, lambda: not bus.rows)
    assert (feed.unreadable, feed.frames) == (3 * UNREADABLE_IN_A_ROW, 2)
    with Noisy(*noise, None) as bus, pytest.raises(BusError, match="in a row what came was no frame, last: noise"):
        PythonCanPath(feed).receive(bus, lambda: not bus.rows)
