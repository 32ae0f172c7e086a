"""Pauses between attempts, what makes them short again, and the log that does not fill up meanwhile."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

import pytest
from canbus_parts import Kept, Settings

from agent.attached.devices import Gnss
from agent.attached.gnss import GnssReceiver
from agent.backoff import JITTER, SAY_AGAIN_MS, Backoff, SparingLog
from agent.canbus.bus import CanBus
from agent.clock import Clock
from agent.core.nmea import Fix
from agent.errors import BusError, DeviceError


def about(pauses_ms: Iterable[int], seconds: list[int]) -> bool:
    return all(
        (1 - JITTER) * due * 1000 - 1 <= pause <= (1 + JITTER) * due * 1000
        for pause, due in zip(pauses_ms, seconds, strict=True)
    )


def test_pauses_double_to_half_a_minute_and_begin_anew_after_success() -> None:
    backoff = Backoff(Random(1))
    pauses = [backoff.next_ms() for _ in range(7)]
    assert about(pauses, [1, 2, 4, 8, 16, 30, 30])
    assert len({pause * 1000 // due for pause, due in zip(pauses, [1, 2, 4, 8, 16, 30, 30], strict=True)}) > 1
    backoff.reset()
    assert about([backoff.next_ms()], [1])


def test_the_same_text_is_logged_once_a_minute_whatever_its_values(caplog: pytest.LogCaptureFixture) -> None:
    class At(Clock):
        ms = 0

        def now(self) -> int:
            return self.ms

    clock = At()
    said = SparingLog(logging.getLogger("said"), clock)
    for clock.ms in (0, 1, SAY_AGAIN_MS - 1, SAY_AGAIN_MS, SAY_AGAIN_MS + 1, 2 * SAY_AGAIN_MS):
        said.say(logging.WARNING, "away for %d", clock.ms)
    said.say(logging.WARNING, "another")
    assert caplog.messages == [f"away for {ms}" for ms in (0, SAY_AGAIN_MS, 2 * SAY_AGAIN_MS)] + ["another"]


def test_a_bus_that_was_heard_or_is_plugged_in_again_is_opened_soon() -> None:
    bus = CanBus(Settings(), 0, Kept(), Clock(), Random(1))
    heard = iter([False, False, False, True, False, False, False])
    back = iter([False, False, False, False, False, True])
    pauses: list[int] = []

    async def attend(_receive: Callable[[], Any], _frames: Callable[[], int]) -> None:
        bus.feed.frames += next(heard)
        raise BusError("virtual", "test", "gone")

    async def wait(delay_ms: int) -> bool:
        pauses.append(delay_ms)
        if (answer := next(back, None)) is None:
            raise asyncio.CancelledError
        return answer

    bus.guard.attend, bus.guard.wait = attend, wait  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(bus.run())
    assert about(pauses, [1, 2, 4, 1, 2, 4, 1])


def test_a_receiver_that_was_heard_is_opened_soon() -> None:
    pauses: list[int] = []

    class Hurried(Clock):
        def now(self) -> int:
            return 0

        async def sleep_until(self, due: int) -> None:
            pauses.append(due)
            if len(pauses) == 6:
                raise asyncio.CancelledError

    receiver = GnssReceiver(Gnss(gpsd="localhost:1"), 0, Kept(), Hurried(), Random(1))

    async def receive(give: Callable[[Fix], None], _open: Callable[[str], None]) -> None:
        if len(pauses) == 3:
            give(Fix())
        raise DeviceError("gpsd", "gone")

    receiver._source.receive = receive  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(receiver.run())
    assert about(pauses, [1, 2, 4, 1, 2, 4])
