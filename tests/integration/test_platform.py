"""The platform on real sockets: sessions, faults on purpose, hostile peers, outages."""

import asyncio
import json
import logging
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from platform_parts import HOST, PATIENCE_S, Peer, StandingClock, bench, scene

from agent.clock import Clock
from agent.core.packet import COMMAND, PacketReader, build_packet
from bench.answers import POLICIES, RUBBISH
from bench.platform import ListenError, Platform
from bench.received import ReceivedError

VECTORS = {
    vector["name"]: bytes.fromhex(vector["hex"])
    for vector in json.loads((Path(__file__).parents[1] / "vectors/packets_2016.json").read_text(encoding="utf-8"))
}
LOGIN = VECTORS["W1 vehicle login, two storage subsystems"]
LOGIN_ANSWER = VECTORS["W2 answer to W1, short form"]
REALTIME = VECTORS["W3 realtime, bodies 01 02 05 06 07 08 09"]
HEARTBEAT = VECTORS["W6 heartbeat"]
HEARTBEAT_ANSWER = VECTORS["W6 answer"]
TIME_SYNC = build_packet(b"##", 8, COMMAND, b"LGBTEST0000000017", 1, b"")
TIME_SYNC_ANSWER = VECTORS["W7 time sync answer"]


@scene
async def test_a_session_is_answered_as_printed_and_kept_before_it_is_answered(tmp_path: Path) -> None:
    seen: list[tuple[str, int | None]] = []
    async with bench(tmp_path, on_packet=lambda arrival, flag: seen.append((arrival.command, flag))) as made:
        peer = await made.connect()
        await peer.ask(LOGIN, LOGIN_ANSWER)
        assert made.kept() == [("vehicle_login", 1)]
        # Nothing comes between: the good report is not answered.
        await peer.ask(REALTIME + HEARTBEAT, HEARTBEAT_ANSWER)
        await peer.ask(TIME_SYNC, TIME_SYNC_ANSWER)
        expected = [("vehicle_login", 1), ("realtime", None), ("heartbeat", 1), ("time_sync", 1)]
        assert made.kept() == expected
        assert seen == expected
        counters = made.platform.counters
        assert (counters.packets, counters.reports, counters.answers, counters.before_login) == (4, 1, 3, 0)


@scene
async def test_packets_cut_into_single_bytes_are_answered_all_the_same(tmp_path: Path) -> None:
    async with bench(tmp_path, POLICIES["each"]) as made:
        peer = await made.connect()
        for byte in LOGIN + HEARTBEAT:
            peer.writer.write(bytes((byte,)))
            await peer.writer.drain()
        await peer.expect(LOGIN_ANSWER + HEARTBEAT_ANSWER)


@scene
async def test_a_vehicle_that_comes_again_closes_its_old_link(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        first, second = await made.connect(), await made.connect()
        await first.ask(LOGIN, LOGIN_ANSWER)
        await second.ask(LOGIN, LOGIN_ANSWER)
        assert await first.rest() == b""
        await second.ask(LOGIN, LOGIN_ANSWER)  # once more on its own link is no reason to close it
        assert made.platform.counters.taken_over == 1
        assert made.platform.open_links() == 1


@scene
async def test_a_refused_vehicle_closes_nobody(tmp_path: Path) -> None:
    async with bench(tmp_path, replace(POLICIES["annex-b"], refuse_login=3)) as made:
        first, second = await made.connect(), await made.connect()
        for peer in (first, second):
            peer.writer.write(LOGIN)
            assert (await peer.reader.readexactly(31))[3] == 3
        await first.ask(HEARTBEAT, HEARTBEAT_ANSWER)
        assert made.platform.counters.taken_over == 0


@scene
async def test_a_report_without_a_login_is_counted(tmp_path: Path) -> None:
    async with bench(tmp_path, POLICIES["each"]) as made:
        peer = await made.connect()
        peer.writer.write(REALTIME)
        await peer.reader.readexactly(31)
        assert made.platform.counters.before_login == 1


@scene
async def test_an_outage_breaks_all_links_and_the_platform_returns_on_its_port(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        for _ in range(3):
            peers = [await made.connect() for _ in range(5)]
            await peers[0].ask(LOGIN, LOGIN_ANSWER)
            await made.platform.outage()
            assert [await peer.rest() for peer in peers] == [b""] * 5
            with pytest.raises(ConnectionRefusedError):
                await made.connect()
            assert await made.platform.restore() == made.port
        peer = await made.connect()
        await peer.ask(LOGIN, LOGIN_ANSWER)
        assert made.kept() == [("vehicle_login", 1)] * 4


@scene
async def test_a_port_in_use_says_what_to_do(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        second = Platform(POLICIES["annex-b"], made.received, clock=StandingClock())
        with pytest.raises(ListenError, match=f"port {made.port} is in use on 127.0.0.1: choose another with --port"):
            await second.start(HOST, made.port)


@scene
async def test_noise_in_front_of_answers_is_skipped_by_a_reader(tmp_path: Path) -> None:
    async with bench(tmp_path, replace(POLICIES["each"], rubbish=True)) as made:
        peer = await made.connect()
        await peer.ask(LOGIN, RUBBISH + LOGIN_ANSWER)
        reader = PacketReader()
        assert reader.feed(RUBBISH + LOGIN_ANSWER) == [LOGIN_ANSWER]


@scene
async def test_half_an_answer_then_the_end(tmp_path: Path) -> None:
    async with bench(tmp_path, replace(POLICIES["annex-b"], close_mid_packet=2)) as made:
        peer = await made.connect()
        await peer.ask(LOGIN, LOGIN_ANSWER)
        peer.writer.write(HEARTBEAT * 5)
        assert await peer.rest() == HEARTBEAT_ANSWER[:12]
        assert made.kept() == [("vehicle_login", 1), ("heartbeat", None)]


@scene
async def test_a_link_breaks_after_a_number_of_packets(tmp_path: Path) -> None:
    async with bench(tmp_path, replace(POLICIES["each"], drop_after=3)) as made:
        for _ in range(2):
            peer = await made.connect()
            peer.writer.write(LOGIN + HEARTBEAT * 9)
            assert await peer.rest() == LOGIN_ANSWER + HEARTBEAT_ANSWER
        assert made.platform.counters.packets == 6


@scene
async def test_late_answers_keep_their_order_and_come_late_in_scaled_time(tmp_path: Path) -> None:
    policy = replace(POLICIES["each"], late_s=5)
    async with bench(tmp_path, policy, clock=Clock(20)) as made:
        peer = await made.connect()
        began = asyncio.get_running_loop().time()
        await peer.ask(LOGIN + HEARTBEAT, LOGIN_ANSWER + HEARTBEAT_ANSWER)
        assert 0.25 <= asyncio.get_running_loop().time() - began < 5


async def write_until_stuck(peer: Peer, raw: bytes, most: int) -> int:
    """How many times `raw` was taken before nothing moved for a while; `most` when it never stuck."""
    for count in range(most):
        peer.writer.write(raw)
        try:
            await asyncio.wait_for(peer.writer.drain(), 0.5)
        except TimeoutError:
            return count
    return most


@scene
async def test_a_platform_that_does_not_read_takes_what_the_kernel_takes_and_no_more(tmp_path: Path) -> None:
    async with bench(tmp_path, replace(POLICIES["annex-b"], no_read=True)) as made:
        peer = await made.connect()
        assert await write_until_stuck(peer, HEARTBEAT * 10_000, 200) < 200
        assert made.platform.counters.packets == 0
        peer.writer.transport.abort()


@scene
async def test_a_peer_that_does_not_read_its_answers_is_not_read_either(tmp_path: Path) -> None:
    body = b"\x80" + (60_000).to_bytes(2, "big") + bytes(60_000)
    report = build_packet(b"##", 2, COMMAND, LOGIN[4:21], 1, REALTIME[24:30] + body)
    async with bench(tmp_path, POLICIES["long"]) as made:
        peer = await made.connect()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        assert await write_until_stuck(peer, report, 1000) < 1000
        read = made.platform.counters.packets
        other = await made.connect()
        await other.ask(HEARTBEAT, HEARTBEAT_ANSWER)
        assert made.platform.counters.packets == read + 1
        peer.writer.transport.abort()


@scene
async def test_answers_owed_are_bounded(tmp_path: Path) -> None:
    async with bench(tmp_path, replace(POLICIES["each"], late_s=3600)) as made:
        peer = await made.connect()
        assert await write_until_stuck(peer, HEARTBEAT * 4_000, 200) < 200
        assert made.platform.counters.packets < 40_000
        peer.writer.transport.abort()


@pytest.mark.parametrize(
    "noise",
    [b"\xff" * 65_531, b"#" * 70_001, bytes(range(256)) * 100, b"##\x01\xfe" + b"\xff" * 22, b"GET / HTTP/1.1\r\n\r\n"],
    ids=["ff", "start marks", "all bytes", "too long", "http"],
)
def test_noise_is_counted_and_the_packet_behind_it_answered(tmp_path: Path, noise: bytes) -> None:
    async def test(folder: Path) -> None:
        async with bench(folder) as made:
            peer = await made.connect()
            await peer.ask(noise + LOGIN, LOGIN_ANSWER)
            assert made.platform.counters.noise_bytes == len(noise)
            assert made.kept() == [("vehicle_login", 1)]

    scene(test)(tmp_path)


@scene
async def test_a_flood_of_wrong_check_codes_ends_its_link_and_no_other(tmp_path: Path) -> None:
    believable = b"##\x01\xfe" + b"V" * 17 + b"\x01\x20\x00"
    async with bench(tmp_path) as made:
        good, bad = await made.connect(), await made.connect()
        await good.ask(LOGIN, LOGIN_ANSWER)
        bad.writer.write(believable * 20_000)
        assert await bad.rest() == b""
        assert made.platform.counters.rubbish_closed == 1
        await good.ask(HEARTBEAT, HEARTBEAT_ANSWER)


@scene
async def test_a_link_that_brings_no_whole_packet_is_closed(tmp_path: Path) -> None:
    async with bench(tmp_path, idle_s=0.4) as made:
        slow, steady = await made.connect(), await made.connect()
        ended = asyncio.create_task(slow.rest())
        for byte in HEARTBEAT * 1000:
            if ended.done():
                break
            slow.writer.write(bytes((byte ^ 0x55,)))  # bytes, but never a packet
            await steady.ask(HEARTBEAT, HEARTBEAT_ANSWER)
        assert await ended == b""
        assert made.platform.counters.idle_closed == 1
        await steady.ask(HEARTBEAT, HEARTBEAT_ANSWER)


class FailingClock(StandingClock):
    """Fails once."""

    failed = False

    def wall_ms(self) -> int:
        if not self.failed:
            self.failed = True
            raise RuntimeError("no time")
        return super().wall_ms()


def test_an_error_of_ours_ends_one_link_with_its_name_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(folder: Path) -> None:
        async with bench(folder, clock=FailingClock()) as made:
            first, second = await made.connect(), await made.connect()
            host, port = first.writer.get_extra_info("sockname")
            first.writer.write(LOGIN)
            assert await first.rest() == b""
            await second.ask(LOGIN, LOGIN_ANSWER)
            assert made.platform.counters.failed_links == 1
            assert f"link failed peer={host}:{port}" in caplog.text

    with caplog.at_level(logging.WARNING):
        scene(test)(tmp_path)


@scene
async def test_a_platform_that_cannot_keep_packets_answers_none_and_says_so(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        peer = await made.connect()
        with closing(sqlite3.connect(made.received.path)) as db:
            db.execute("DROP TABLE packets")
        peer.writer.write(LOGIN)
        assert await peer.rest() == b""
        assert isinstance(await asyncio.wait_for(made.platform.failure, PATIENCE_S), ReceivedError)
        with pytest.raises(ConnectionRefusedError):
            await made.connect()
