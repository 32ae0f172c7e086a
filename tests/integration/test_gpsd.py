"""Against gpsd itself, fed by gpsfake with receivers' logs: its reading of NMEA and ours agree, epoch by epoch."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from agent.attached.devices import Gnss
from agent.attached.gnss import GnssReceiver
from agent.clock import Clock
from agent.core.nmea import Fix, NmeaReader

PATIENCE_S = 60
CYCLE_S = 0.002  # between two lines of the log

pytestmark = pytest.mark.skipif(shutil.which("gpsfake") is None, reason="needs gpsfake (gpsd-clients) and gpsd")


class Nowhere:
    def keeper(self, bus: int):
        return lambda *_: None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def gpsd(log: Path, port: int) -> Iterator[subprocess.Popen]:
    """gpsd with the log as its receiver, over and over."""
    command = ["gpsfake", "-q", "-c", str(CYCLE_S), "-P", str(port), str(log)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd=log.parent
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # with its gpsd
        process.wait()


async def listened(settings: Gnss, monkeypatch: pytest.MonkeyPatch, gone) -> list[Fix]:
    """Every fix until `gone(receiver, fixes)`."""
    monkeypatch.setattr("agent.attached.gnss.FLOOR_MS", 0)  # the logs are older than this program
    monkeypatch.setattr("agent.backoff.FIRST_DELAY_S", 0.1)
    receiver = GnssReceiver(settings, 0, Nowhere(), Clock(), Random(1))
    fixes: list[Fix] = []
    give = receiver._give

    def taken(fix: Fix) -> None:
        fixes.append(fix)
        give(fix)

    monkeypatch.setattr(receiver, "_give", taken)
    task = asyncio.create_task(receiver.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not gone(receiver, fixes):
                await asyncio.sleep(0.02)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled(), "it ended by itself"
    return fixes


@pytest.mark.parametrize("name", ["telit-he910", "ublox-8", "nmea-rtk"])
def test_gpsd_reads_a_log_as_we_do(name: str, tbox_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, port = tbox_data / f"nmea/gpsd_{name}.log", free_port()
    reader = NmeaReader()
    ours = {fix.utc_ms: fix for fix in reader.feed(log.read_bytes(), 0) + reader.poll(1000) if fix.valid}
    settings = Gnss(gpsd=f"127.0.0.1:{port}")
    with gpsd(log, port):
        theirs = asyncio.run(
            listened(settings, monkeypatch, lambda _, fixes: {fix.utc_ms for fix in fixes} >= ours.keys())
        )
    told = [fix for fix in theirs if fix.valid and fix.utc_ms]
    for fix in told:
        assert fix.utc_ms in ours
        mine = ours[fix.utc_ms]
        assert abs(fix.latitude - mine.latitude) <= 1
        assert abs(fix.longitude - mine.longitude) <= 1
        if fix.altitude is not None and mine.altitude is not None:
            assert abs(fix.altitude - mine.altitude) <= 1
    # gpsd may tell an instant in several reports, and works a speed out itself where its sentence was not among them yet.
    for utc_ms, mine in ours.items():
        speeds = [fix.speed for fix in told if fix.utc_ms == utc_ms and fix.speed is not None]
        assert mine.speed is None or not speeds or any(abs(speed - mine.speed) <= 2 for speed in speeds)
    if name == "telit-he910":
        assert not all(fix.valid for fix in theirs), "the log begins without a fix"


def test_gpsd_ends_and_comes_back(tbox_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, port = tbox_data / "nmea/gpsd_ublox-8.log", free_port()
    settings = Gnss(gpsd=f"127.0.0.1:{port}")
    seen: list[str] = []

    async def scene() -> None:
        listening = asyncio.create_task(
            listened(settings, monkeypatch, lambda receiver, _: seen.append(receiver.problem) or "done" in seen)
        )
        for _ in range(2):
            async with asyncio.timeout(PATIENCE_S):
                await wait_for(lambda: seen and seen[-1] is not None)
                with gpsd(log, port):
                    await wait_for(lambda: seen[-1] is None)
                await wait_for(lambda: seen[-1] is not None)
        seen.append("done")
        await listening

    async def wait_for(condition) -> None:
        while not condition():
            await asyncio.sleep(0.02)

    asyncio.run(scene())
