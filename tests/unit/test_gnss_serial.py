"""A receiver on a serial port: pyserial on pseudo terminals, with a receiver that speaks at one rate only."""

import asyncio
import itertools
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
from nmea_parts import gga, rmc, said
from pty_parts import TalkingReceiver

from agent.attached.devices import Gnss
from agent.attached.gnss import GnssReceiver
from agent.clock import Clock

PATIENCE_S = 20


class Frames:
    """Takes what a receiver keeps."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, bytes]] = []

    def keeper(self, bus: int) -> Callable[[int, bytes, int], None]:
        return lambda can_id, data, _: self.rows.append((bus, can_id, data))


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.attached.gnss_serial.TRY_MS", 250)
    monkeypatch.setattr("agent.attached.gnss_serial.SILENT_MS", 400)
    monkeypatch.setattr("agent.backoff.FIRST_DELAY_S", 0.05)


def seconds() -> Iterator[bytes]:
    """A second after the other, each said in one go."""
    for second in itertools.count():
        time = f"12{second // 60 % 60:02d}{second % 60:02d}.00"
        yield said(gga(time), rmc(time))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(settings: Gnss, frames: Frames | None = None) -> AsyncIterator[GnssReceiver]:
    receiver = GnssReceiver(settings, 3, frames or Frames(), Clock(), Random(1))
    task = asyncio.create_task(receiver.run())
    try:
        yield receiver
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled(), "it ended by itself"


@pytest.mark.parametrize("rate", [9600, 19200, 38400, 57600, 115200])
def test_the_rate_is_found(tmp_path: Path, rate: int) -> None:
    async def scene() -> None:
        frames = Frames()
        with TalkingReceiver(tmp_path / "gnss", rate, seconds()) as device:
            async with running(Gnss(device=str(device.path)), frames) as receiver:
                await until(lambda: receiver.fixes > 3)
                assert device.rates[-1] == rate
                assert receiver.problem is None
                assert receiver.fix is not None
                assert (receiver.fix.latitude, receiver.fix.longitude) == (315020567, 1215094633)
        assert frames.rows[0][:2] == (3, 1)

    asyncio.run(scene())


def test_a_given_rate_is_the_only_one(tmp_path: Path) -> None:
    async def scene() -> None:
        with TalkingReceiver(tmp_path / "gnss", 38400, seconds()) as device:
            async with running(Gnss(device=str(device.path), baud=9600)) as receiver:
                await until(lambda: "no NMEA sentence" in (receiver.problem or ""))
                assert receiver.fixes == 0
                assert set(device.rates) <= {9600, 38400}
            async with running(Gnss(device=str(device.path), baud=38400)) as receiver:
                await until(lambda: receiver.fixes > 0)

    asyncio.run(scene())


def test_a_receiver_that_was_reset_to_another_rate(tmp_path: Path) -> None:
    async def scene() -> None:
        with TalkingReceiver(tmp_path / "gnss", 115200, seconds()) as device:
            async with running(Gnss(device=str(device.path))) as receiver:
                await until(lambda: receiver.fixes > 0)
                device.own_rate = 9600
                device.bursts = iter(())
                await until(lambda: receiver.problem is not None)
                before, device.bursts = receiver.fixes, seconds()
                await until(lambda: receiver.fixes > before)
                assert (device.rates[-1], receiver.reopened) == (9600, 1)

    asyncio.run(scene())


def test_the_rate_that_was_right_is_tried_first(tmp_path: Path) -> None:
    async def scene() -> None:
        path = tmp_path / "gnss"
        with TalkingReceiver(path, 57600, seconds()) as device:
            async with running(Gnss(device=str(path))) as receiver:
                await until(lambda: receiver.fixes > 0)
                device.unplug()
                await until(lambda: receiver.problem is not None)
                before = receiver.fixes
                with TalkingReceiver(path, 57600, seconds()) as again:
                    await until(lambda: receiver.fixes > before)
                    assert again.rates[-1] == 57600
                    assert not {9600, 115200} & set(again.rates[1:])

    asyncio.run(scene())


def test_unplugged_and_back_again_and_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def scene() -> None:
        path = tmp_path / "gnss"
        async with running(Gnss(device=str(path))) as receiver:
            await until(lambda: "no such device" in (receiver.problem or ""))
            for _ in range(4):
                before = receiver.fixes
                with TalkingReceiver(path, 9600, seconds()):
                    await until(lambda before=before: receiver.fixes > before)
                await until(lambda: receiver.problem is not None)
            assert receiver.reopened == 3
            assert receiver.counts()["reopened"] == 3

    asyncio.run(scene())
    away = [record for record in caplog.records if record.msg.startswith("GNSS away")]
    assert len(away) == 1, "once a minute"


def test_a_port_that_says_nothing_and_one_in_use(tmp_path: Path) -> None:
    async def scene() -> None:
        with TalkingReceiver(tmp_path / "gnss", 9600, iter(())) as device:
            settings = Gnss(device=str(device.path))
            async with running(settings) as receiver:
                await until(lambda: "nothing comes" in (receiver.problem or ""))
            device.bursts = seconds()
            async with running(settings) as first:
                await until(lambda: first.fixes > 0)
                async with running(settings) as second:
                    await until(lambda: "another program" in (second.problem or ""))

    asyncio.run(scene())


@pytest.mark.parametrize("name", ["/dev/null", "/dev/zero", "folder", "fifo", "file", "a\0b"])
def test_devices_that_are_no_serial_ports(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").touch()

    async def scene() -> None:
        async with running(Gnss(device=str(tmp_path / name))) as receiver:
            said = "embedded null" if "\0" in name else "is no serial port"
            await until(lambda: said in (receiver.problem or ""))

    asyncio.run(scene())


def test_void_fixes_are_frames_too(tmp_path: Path) -> None:
    async def scene() -> None:
        frames = Frames()
        void = iter(lambda: said("GPGGA,,,,,,0,,,,M,,M,,", "GPRMC,,V,,,,,,,,,,N"), None)
        with TalkingReceiver(tmp_path / "gnss", 9600, void) as device:
            async with running(Gnss(device=str(device.path)), frames) as receiver:
                await until(lambda: receiver.void > 1)
                assert receiver.fixes == 0
        assert all(data[0] & 1 == 0 for _, _, data in frames.rows)

    asyncio.run(scene())


def test_stopping_leaves_no_thread_behind(tmp_path: Path) -> None:
    import threading

    async def scene() -> None:
        with TalkingReceiver(tmp_path / "gnss", 9600, seconds()) as device:
            async with running(Gnss(device=str(device.path))) as receiver:
                await until(lambda: receiver.fixes > 0)
            assert "gnss" not in [thread.name for thread in threading.enumerate()]

    asyncio.run(scene())


def test_without_pyserial_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "serial", None)

    async def scene() -> None:
        async with running(Gnss(device="/dev/null")) as receiver:
            await until(lambda: "tbox-agent[serial]" in (receiver.problem or ""))

    asyncio.run(scene())
