"""gpsd's protocol: what its reports become, and servers that behave otherwise. gpsd itself: tests/integration/test_gpsd.py."""

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.attached.devices import Gnss
from agent.attached.gnss import GnssReceiver
from agent.attached.gnss_gpsd import fix_of, read_report
from agent.clock import Clock

PATIENCE_S = 20
FLOOR = 1_735_689_600_000
TPV = {"class": "TPV", "mode": 3, "time": "2026-01-17T12:00:00.500Z", "lat": 31.502056667, "lon": -121.509463333}
VERSION = '{"class":"VERSION","release":"3.25","proto_major":3,"proto_minor":15}'


class Nowhere:
    def keeper(self, bus: int) -> Callable[..., None]:
        return lambda *_: None


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.backoff.FIRST_DELAY_S", 0.02)


def tpv(**more: Any) -> dict[str, Any]:
    return read_report(json.dumps({**TPV, **more}).encode())


def test_a_report_is_a_fix() -> None:
    more = {"status": 2, "altMSL": 12.345, "speed": 10.0, "track": 359.994}
    fix = fix_of(tpv(**more), {"hdop": Decimal("0.8"), "uSat": 12}, FLOOR)
    assert vars(fix) == {
        "valid": True,
        "latitude": 315020567,
        "longitude": -1215094633,
        "utc_ms": 1768651200500,
        "speed": 3600,
        "course": 35999,
        "altitude": 1235,
        "satellites": 12,
        "hdop": 80,
        "quality": 2,
    }
    assert fix_of(tpv(alt=3), {}, FLOOR).altitude == 300, "before 3.20"


@pytest.mark.parametrize(
    "more",
    [{"mode": 0}, {"mode": 1}, {"mode": "3"}, {"lat": None}, {"lon": "121"}, {"lat": 90.1}, {"lon": 181}, {"lat": 0, "lon": 0.0},
     {"status": 8}, {"status": 7}, {"status": "x"}, {"lat": True}, {"lat": 1e300}],
    ids=str,
)  # fmt: skip
def test_what_is_no_fix(more: dict[str, Any]) -> None:
    fix = fix_of(tpv(**more), {"uSat": 3}, FLOOR)
    assert (fix.valid, fix.latitude, fix.utc_ms, fix.satellites) == (False, None, None, 3)


@pytest.mark.parametrize("time", [None, 12, "x", "2026-01-17T12:00:00", "2006-06-03T12:00:00Z"])
def test_a_time_that_cannot_be(time: Any) -> None:
    fix = fix_of(tpv(time=time), {}, FLOOR)
    assert (fix.valid, fix.utc_ms) == (True, None)


@given(st.binary(max_size=60) | st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5), lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*TPV, "status", "speed", "track"]), inner)).map(lambda tree: json.dumps(tree).encode()))  # fmt: skip  # noqa: E501
def test_no_line_is_too_strange(line: bytes) -> None:
    report = read_report(line)
    assert isinstance(report, dict)
    fix_of(report, report, FLOOR)


def test_lines_that_would_be_expensive() -> None:
    assert read_report(b"[" * 60_000) == {}
    assert read_report(b"1" * 60_000) == {}
    assert fix_of(read_report(b'{"mode":3,"lat":1e999999999,"lon":1}'), {}, 0).valid is False


# --- servers ----------------------------------------------------------------------------------------------------------


def served(*scripts: list[bytes], end: Callable[[GnssReceiver], object]) -> GnssReceiver:
    """Run a receiver against a server that says one script to each connection and closes it, until `end`."""

    async def scene() -> GnssReceiver:
        said = iter(scripts)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            watch = await reader.readline()
            assert json.loads(watch.decode().removeprefix("?WATCH=").rstrip(";\n")) == {"enable": True, "json": True}
            for line in next(said, []):
                writer.write(line)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        receiver = GnssReceiver(Gnss(gpsd=f"127.0.0.1:{port}"), 0, Nowhere(), Clock(), Random(1))
        task = asyncio.create_task(receiver.run())
        async with asyncio.timeout(PATIENCE_S):
            while not end(receiver):
                await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled(), "it ended by itself"
        server.close()
        return receiver

    return asyncio.run(scene())


def lines(*reports: "dict[str, Any] | str") -> list[bytes]:
    return [(report if isinstance(report, str) else json.dumps(report)).encode() + b"\r\n" for report in reports]


def test_a_server_that_closes_is_asked_again() -> None:
    script = lines(VERSION, {"class": "SKY", "hdop": 1.5, "uSat": 7}, TPV)
    receiver = served(script, script, script, end=lambda receiver: receiver.fixes == 3)
    assert receiver.reopened == 2
    assert receiver.fix is not None
    assert (receiver.fix.satellites, receiver.fix.hdop) == (7, 150)


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        (lines('{"class":"VERSION","proto_major":4}'), "speaks protocol 4, not 3"),
        (lines(VERSION, '{"class":"DEVICES","devices":[]}'), "it has no receiver"),
        ([b"x" * 200_000], "limit"),
        ([], "closed the connection"),
    ],
)
def test_servers_that_are_of_no_use(script: list[bytes], problem: str) -> None:
    served(script, script, end=lambda receiver: problem in (receiver.problem or ""))


def test_rubbish_is_passed_over() -> None:
    receiver = served(
        [b"\xff\x00\r\n", b"[]\n", *lines({"class": "ERROR", "message": "no"}, TPV)], end=lambda it: it.fixes
    )
    assert receiver.counts()["ignored"] == 3


@pytest.mark.parametrize(
    "number", ["1e99999999999999999999", "1e-99999999999999999999", "9" * 5000, "1e999999", "-1e-999999"]
)
@pytest.mark.parametrize("key", ["lat", "speed", "status", "mode"])
def test_numbers_that_are_too_large_for_their_type_end_nothing(key: str, number: str) -> None:
    report = json.dumps({name: value for name, value in TPV.items() if name != key})[:-1].encode()
    served([report + f', "{key}": {number}}}\n'.encode(), *lines(TPV)], end=lambda it: it.fixes)


@pytest.mark.parametrize("place", ["a..b:2947", f"{'x' * 300}:2947", "\u2603.:1", "[::1:2947"])
def test_a_host_that_cannot_be_one_is_a_problem_and_ends_nothing(place: str) -> None:
    async def scene() -> None:
        receiver = GnssReceiver(Gnss(gpsd=place), 0, Nowhere(), Clock(), Random(1))
        task = asyncio.create_task(receiver.run())
        async with asyncio.timeout(PATIENCE_S):
            while "cannot be reached" not in (receiver.problem or "") and not task.done():
                await asyncio.sleep(0.005)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scene())


def test_nobody_there_and_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.attached.gnss_gpsd.SILENT_S", 0.05)

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def scene() -> None:
        server = await asyncio.start_server(hear, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        receiver = GnssReceiver(Gnss(gpsd=f"127.0.0.1:{port}"), 0, Nowhere(), Clock(), Random(1))
        task = asyncio.create_task(receiver.run())
        for problem in ("has said nothing", "cannot be reached"):
            async with asyncio.timeout(PATIENCE_S):
                while problem not in (receiver.problem or ""):
                    await asyncio.sleep(0.005)
            server.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scene())
