"""A platform forwards to another over TCP: the upper one is killed and comes back, and nothing is lost."""

import asyncio
import json
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from platform_parts import HOST, PATIENCE_S, StandingClock, bench, scene

from agent.clock import Clock
from agent.core.dataunit import DataUnit, encode_data_unit
from agent.core.editions import EDITIONS
from agent.core.packet import COMMAND, Packet, build_packet, time_bytes
from bench.access import Access, read_login
from bench.answers import POLICIES, Policy
from bench.delivery import verdict
from bench.forward import Forwarder
from bench.platform import Platform
from bench.received import Received
from bench.upward import WINDOW, Client, Counters, Upward

ROOT = Path(__file__).resolve().parents[2]
VINS = [b"LGBTEST0000000017", b"LGBTEST0000000018"]
CLIENT = Client(EDITIONS["2016"], b"TESTPLATFORM00001", b"user", b"secret")
SECOND = StandingClock().wall_ms() // 1000


def login(vin: bytes) -> bytes:
    values = {"serial": 1, "iccid": b"89860012345678901234", "packs": [], "codes": []}
    unit = encode_data_unit(EDITIONS["2025"], 1, DataUnit(time_bytes(SECOND), values))
    return build_packet(b"$$", 1, COMMAND, vin, 1, unit)


def report(number: int, vin: bytes, command: int = 2) -> bytes:
    start, body = (b"##", b"\x04\x01\x03\xe8\xff\xff") if number % 2 else (b"$$", b"\x04\x03\xe8")
    return build_packet(start, command, COMMAND, vin, 1, time_bytes(SECOND + 10 * number) + body)


class Above:
    """The platform above, in this process, with a forwarder that goes to it."""

    def __init__(self, folder: Path, policy: Policy = POLICIES["annex-b"]) -> None:
        self.clock = Clock(100)
        self.received = Received(folder / "above.sqlite")
        self.platform = Platform(
            policy, self.received, clock=StandingClock(), access=Access(login=read_login("user:secret"))
        )
        self.port = 0
        self.forwarder: Forwarder | None = None

    async def forwarding(self, received: Received, client: Client = CLIENT) -> "asyncio.Task[None]":
        self.forwarder = Forwarder(
            Upward(client), received, HOST, self.port, clock=ScaledStanding(self.clock), dice=random.Random(1)
        )
        return asyncio.create_task(self.forwarder.run())

    def kept(self) -> list[tuple[str, str, bytes]]:
        return self.received.read("SELECT command, vin, raw FROM packets ORDER BY id")  # type: ignore[return-value]

    def told(self) -> None:
        """More was kept below."""
        if self.forwarder is not None:
            self.forwarder.kept()

    def pending(self) -> int:
        assert self.forwarder is not None
        return self.forwarder.pending()

    @property
    def counters(self) -> Counters:
        assert self.forwarder is not None
        return self.forwarder.upward.counters


@asynccontextmanager
async def platform_above(folder: Path, policy: Policy = POLICIES["annex-b"]) -> AsyncIterator[Above]:
    made = Above(folder, policy)
    made.port = await made.platform.start(HOST, 0)
    try:
        yield made
    finally:
        await made.platform.stop()
        made.received.close()


class ScaledStanding(StandingClock):
    """The day stands, waiting is a hundred times shorter."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> int:
        return self._clock.now()

    def real_s(self, ms: int) -> float:
        return self._clock.real_s(ms)


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


async def ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@scene
async def test_what_comes_goes_up_byte_for_byte_between_login_and_logout(tmp_path: Path) -> None:
    async with platform_above(tmp_path) as above, bench(tmp_path, POLICIES["each"], on_kept=above.told) as made:
        task = await above.forwarding(made.received)
        await until(lambda: above.platform.counters.client_logins == 1)
        sent = []
        for vin in VINS:
            peer = await made.connect()
            faulty = build_packet(b"$$", 2, COMMAND, vin, 1, time_bytes(SECOND) + b"\x04")
            mine = [login(vin), *[report(number, vin) for number in range(5)], report(9, vin, 3)]
            peer.writer.write(b"".join(mine) + faulty)
            await peer.packets(len(mine) + 1)
            sent += mine
        await until(lambda: above.pending() == 0)
        await ended(task)
        first, *middle, last = above.kept()
        assert (first[0], last[0]) == ("platform_login", "platform_logout")
        assert sorted(raw for _, _, raw in middle) == sorted(sent)
        counters = above.counters
        assert (counters.forwarded, counters.live, counters.repeats) == (14, 14, 0)
        assert above.platform.counters.turned_down == 0


@scene
async def test_an_outage_above_makes_reissues_and_loses_nothing(tmp_path: Path) -> None:
    async with platform_above(tmp_path) as above, bench(tmp_path, POLICIES["each"], on_kept=above.told) as made:
        task = await above.forwarding(made.received)
        peer = await made.connect()
        number = 0
        for out in (False, True, False, True, False):
            if out:
                await above.platform.outage()
            elif number:
                await above.platform.restore()
            for _ in range(20):
                peer.writer.write(report(number, VINS[0]))
                await peer.packets(1)
                number += 1
        await until(lambda: above.pending() == 0)
        await ended(task)
        units = Counter(Packet(raw).unit for command, _, raw in above.kept() if command in ("realtime", "reissue"))
        assert set(units) == {Packet(report(n, VINS[0])).unit for n in range(number)}
        counters = above.counters
        assert counters.forwarded == number
        assert sum(units.values()) - number <= counters.repeats
        assert made.received.read("SELECT value FROM forward_state WHERE name = 'cursor'") == [(number,)]
        assert made.received.read("SELECT count(*) FROM forwarded") == [(0,)]


@scene
async def test_what_stayed_behind_goes_up_after_a_restart_of_the_lower_platform(tmp_path: Path) -> None:
    async with platform_above(tmp_path) as above, bench(tmp_path, POLICIES["each"]) as made:
        peer = await made.connect()
        peer.writer.write(login(VINS[0]) + b"".join(report(number, VINS[0]) for number in range(100)))
        await peer.packets(101)
        for serial in (1, 2):
            task = await above.forwarding(made.received)
            await until(lambda serial=serial: above.platform.counters.client_logins == serial and above.pending() == 0)
            await ended(task)
            kept = above.kept()
            assert int.from_bytes(kept[-1][2][30:32], "big") == serial
            assert Counter(command for command, _, _ in kept)["vehicle_login"] == 1
            assert len([raw for command, _, raw in kept if command in ("realtime", "reissue")]) == 100


@scene
async def test_refused_reports_go_up_again_and_are_given_up(tmp_path: Path) -> None:
    policy = replace(POLICIES["annex-b"], error_every=1)
    async with platform_above(tmp_path, policy) as above, bench(tmp_path, POLICIES["each"]) as made:
        peer = await made.connect()
        peer.writer.write(report(0, VINS[0]))
        await peer.packets(1)
        task = await above.forwarding(made.received)
        await until(lambda: above.pending() == 0)
        await ended(task)
        assert [command for command, _, _ in above.kept()][1:-1] == ["realtime", "reissue", "reissue", "reissue"]
        assert made.received.read("SELECT packet, flag FROM forward_refused") == [(1, 2)]


@scene
async def test_who_was_not_let_in_does_not_go_up(tmp_path: Path) -> None:
    only = Access([VINS[1]])
    async with platform_above(tmp_path) as above, bench(tmp_path, POLICIES["annex-b"], access=only) as made:
        peer = await made.connect()
        # the first login is ignored, as 2016 has no word for it; the report of the same vehicle is answered with an error
        peer.writer.write(
            build_packet(b"##", 1, COMMAND, VINS[0], 1, time_bytes(SECOND) + b"\0\1" + b"8" * 20 + b"\0\0")
        )
        peer.writer.write(report(1, VINS[0]) + login(VINS[1]))
        assert [packet.response for packet in await peer.packets(2)] == [2, 1]
        task = await above.forwarding(made.received)
        await until(lambda: above.platform.counters.client_logins == 1 and above.pending() == 0)
        await ended(task)
        assert [(command, vin) for command, vin, _ in above.kept()][1:-1] == [("vehicle_login", VINS[1].decode())]


@scene
async def test_a_wrong_password_forwards_nothing(tmp_path: Path) -> None:
    async with platform_above(tmp_path) as above, bench(tmp_path, POLICIES["each"]) as made:
        peer = await made.connect()
        peer.writer.write(report(0, VINS[0]))
        await peer.packets(1)
        wrong = Client(CLIENT.edition, CLIENT.unique_id, b"user", b"wrong")
        task = await above.forwarding(made.received, wrong)
        await until(lambda: above.platform.counters.turned_down == 3)
        await ended(task)
        assert {command for command, _, _ in above.kept()} == {"platform_login"}
        assert above.pending() == 1


# -- as processes ------------------------------------------------------------------------------------------------------


@contextmanager
def platform(*args: str) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.cli", "platform", "--json", "--quiet", *args],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())["listening"][1]
    finally:
        process.kill()
        process.communicate()


def count(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        query = "SELECT count(DISTINCT vin || collected_at) FROM packets WHERE command IN ('realtime', 'reissue')"
        return int(db.execute(query).fetchone()[0])


def wait_for(path: Path, number: int) -> None:
    end = time.monotonic() + 3 * PATIENCE_S
    while count(path) < number:
        assert time.monotonic() < end, f"{count(path)} of {number} came"
        time.sleep(0.05)


@pytest.mark.slow
def test_the_upper_platform_is_killed_and_restarted_and_nothing_is_lost(tmp_path: Path) -> None:
    lower, upper = tmp_path / "lower.sqlite", tmp_path / "upper.sqlite"
    with platform("--port", "0", "--db", str(upper), "--login", "user:secret") as (_, port):
        pass  # a port that was free a moment ago
    above = ["--port", str(port), "--db", str(upper), "--login", "user:secret"]
    below = ["--port", "0", "--db", str(lower), "--policy", "each"]
    below += ["--forward", f"{HOST}:{port}", "--as", "user:secret"]
    rounds, each = 3, 40
    with platform(*below) as (process, lower_port):
        with socket.create_connection((HOST, lower_port), PATIENCE_S) as link, link.makefile("rb") as answers:
            number = 0
            for _ in range(rounds):
                with platform(*above) as (killed, _):
                    for _ in range(each):
                        link.sendall(report(number, VINS[number % 2]))
                        assert len(answers.read(31)) == 31
                        number += 1
                    wait_for(upper, number - each)  # some of these are under way when it dies
                    killed.send_signal(signal.SIGKILL)
                    killed.wait()
                for _ in range(each):
                    link.sendall(report(number, VINS[number % 2]))
                    answers.read(31)
                    number += 1
        with platform(*above) as (last, _):
            wait_for(upper, number)
            process.send_signal(signal.SIGINT)
            _, log = process.communicate(timeout=PATIENCE_S)
            last.send_signal(signal.SIGINT)
            last.communicate(timeout=PATIENCE_S)
    with closing(sqlite3.connect(upper)) as db:
        query = "SELECT raw, answer FROM packets WHERE command IN ('realtime', 'reissue')"
        units = Counter((Packet(raw).vin, Packet(raw).unit) for raw, _ in db.execute(query))
        links = db.execute("SELECT count(*) FROM packets WHERE command = 'platform_logout'").fetchone()
    expected = {(VINS[n % 2], Packet(report(n, VINS[n % 2])).unit) for n in range(number)}
    assert set(units) == expected
    said = dict(word.split("=") for word in log.split() if word.startswith("above_") and "=" in word)
    assert int(said["above_forwarded"]) == number
    repeats = sum(units.values()) - number
    assert repeats <= int(said.get("above_repeats", 0))
    assert links == (1,)
    result = verdict(upper, period_s=20)  # every second report is of the same vehicle
    assert sum(delivery.repeats for delivery in result.deliveries) == repeats
    for delivery in result.deliveries:
        assert (delivery.lost, delivery.conflicts, delivery.needless) == ([], 0, 0)
        assert delivery.received == number // 2


@pytest.mark.slow
def test_the_lower_platform_is_killed_and_goes_on_where_it_was(tmp_path: Path) -> None:
    lower, upper = tmp_path / "lower.sqlite", tmp_path / "upper.sqlite"
    number = 300
    with platform("--port", "0", "--db", str(upper), "--late", "0.1") as (_, port):
        below = ["--port", "0", "--db", str(lower), "--policy", "each"]
        below += ["--forward", f"{HOST}:{port}", "--as", "user:secret", "--forward-edition", "2025"]
        for first in (0, 100, 200):
            with platform(*below) as (process, lower_port):
                with socket.create_connection((HOST, lower_port), PATIENCE_S) as link, link.makefile("rb") as answers:
                    link.sendall(b"".join(report(n, VINS[n % 2]) for n in range(first, first + 100)))
                    answers.read(31 * 100)
                wait_for(upper, first + 10)
                process.send_signal(signal.SIGKILL)
                process.wait()
        with platform(*below):
            wait_for(upper, number)
    result = verdict(upper, period_s=20)
    assert [delivery.received for delivery in result.deliveries] == [number // 2] * 2
    for delivery in result.deliveries:
        assert (delivery.lost, delivery.conflicts, delivery.needless) == ([], 0, 0)
    assert sum(delivery.repeats for delivery in result.deliveries) <= 3 * WINDOW
