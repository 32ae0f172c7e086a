"""The platform and vehicles of both editions on real sockets: commands down, registration, platform links, faults."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from platform_parts import PATIENCE_S, Peer, StandingClock, bench, scene

from agent.clock import Clock
from agent.core.dataunit import DataUnit, encode_data_unit
from agent.core.editions import EDITIONS
from agent.core.packet import COMMAND, MAX_DATA_UNIT, Packet, build_packet, time_bytes
from bench.access import Access, read_login
from bench.activation import Activations
from bench.answers import OTHER_VIN, POLICIES
from bench.arrival import Arrival
from bench.commander import Commander
from bench.orders import Order, OrderBook, read_lines, read_question
from bench.received import Received
from bench.registry import Entry, Registry

VIN, OTHER = b"LGBTEST0000000017", b"LGBTEST0000000018"
CLIENT = b"TESTPLATFORM00001"
NOW = time_bytes(StandingClock().wall_ms() // 1000)
NO_CODES = {"2016": {"codes": [], "code_length": 0}, "2025": {"packs": [], "codes": []}}
ENGINE = {"2016": b"\x04\x01\x03\xe8\xff\xff", "2025": b"\x04\x03\xe8"}
BOTH = pytest.mark.parametrize("edition", ["2016", "2025"])


def packet(edition: str, command: int, unit: bytes = b"", vin: bytes = VIN, flag: int = COMMAND) -> bytes:
    return build_packet(EDITIONS[edition].start, command, flag, vin, 1, unit)


def packed(edition: str, command: int, values: dict[str, Any], vin: bytes = VIN) -> bytes:
    unit = DataUnit(NOW if EDITIONS[edition].commands[command].timed else b"", values)
    return packet(edition, command, encode_data_unit(EDITIONS[edition], command, unit), vin)


def login(edition: str = "2025", vin: bytes = VIN) -> bytes:
    return packed(edition, 1, {"serial": 1, "iccid": b"89860012345678901234", **NO_CODES[edition]}, vin)


def report(edition: str = "2025", vin: bytes = VIN, second: int = 0) -> bytes:
    return packet(edition, 2, time_bytes(StandingClock().wall_ms() // 1000 + second) + ENGINE[edition], vin)


def answered(raw: bytes, flag: int = 1) -> bytes:
    """The short answer."""
    return build_packet(raw[:2], raw[2], flag, raw[4:21], 1, raw[24:30])


def commander(received: Received, book: OrderBook, over: list[tuple[Order, Arrival | None]], clock: Any) -> Commander:
    return Commander(book, received, clock=clock, on_order=lambda order, arrival: over.append((order, arrival)))


@scene
async def test_both_editions_on_one_port_each_in_its_own_dress(tmp_path: Path) -> None:
    async with bench(tmp_path, POLICIES["each"]) as made:
        for edition, vin in (("2016", VIN), ("2025", OTHER)):
            peer = await made.connect()
            for raw in (login(edition, vin), report(edition, vin)):
                await peer.ask(raw, answered(raw))
        assert made.platform.counters.faulty == 0
        assert made.platform.open_links() == 2


@BOTH
def test_a_command_reaches_the_vehicle_that_logs_in_and_its_answer_the_file(tmp_path: Path, edition: str) -> None:
    over: list[tuple[Order, Arrival | None]] = []

    async def test(folder: Path) -> None:
        book = OrderBook([read_question("query 2"), read_question("control 5")])

        def parts(received: Received) -> dict[str, Any]:
            return {"commander": commander(received, book, over, StandingClock())}

        async with bench(folder, parts=parts) as made:
            peer = await made.connect()
            peer.writer.write(login(edition))
            first, query = await peer.packets(2)
            assert (first.command, first.response) == (1, 1)
            assert (query.raw[:2], query.command, query.response, query.vin) == (login(edition)[:2], 0x80, COMMAND, VIN)
            parameters = encode_data_unit(
                EDITIONS[edition], 0x80, DataUnit(query.unit[:6], {"parameters": [(2, 10)]}), response=1
            )
            peer.writer.write(packet(edition, 0x80, parameters, flag=1))
            (control,) = await peer.packets(1)
            assert (control.command, control.unit[6:]) == (0x82, b"\x05")
            peer.writer.write(answered(control.raw, 2))
            await peer.ask(packet(edition, 7), packet(edition, 7, flag=1))
            rows = made.received.read("SELECT vin, command, sends, flag, answer FROM orders ORDER BY id")
            assert [row[:4] for row in rows] == [(VIN.decode(), 0x80, 1, 1), (VIN.decode(), 0x82, 1, 2)]
            assert Packet(rows[0][4]).unit == parameters
        assert [order.flag for order, _ in over] == [1, 2]
        assert over[0][1] is not None
        assert over[0][1].plain == parameters

    scene(test)(tmp_path)


@scene
async def test_a_command_that_nobody_answers_goes_out_four_times_and_is_given_up(tmp_path: Path) -> None:
    over: list[tuple[Order, Arrival | None]] = []
    clock = Clock(500)
    book = OrderBook([read_question("query 1")], 60_000)

    def parts(received: Received) -> dict[str, Any]:
        return {"commander": commander(received, book, over, clock)}

    async with bench(tmp_path, clock=clock, parts=parts) as made:
        peer = await made.connect()
        peer.writer.write(login())
        _, *queries = await peer.packets(5)
        assert len({query.raw for query in queries}) == 1
        async with asyncio.timeout(PATIENCE_S):
            while not over:
                await asyncio.sleep(0.01)
        assert [(order.sends, arrival) for order, arrival in over] == [(4, None)]
        assert made.received.read("SELECT sends, flag FROM orders") == [(4, None)]


@scene
async def test_a_script_is_played_to_the_vehicle_it_names(tmp_path: Path) -> None:
    script = [
        {"command": "control", "control": 3, "arguments": "", "on": "report", "vin": OTHER.decode()},
        {"command": "parameter_query", "ids": [9], "after_s": 0.05},
    ]
    book = OrderBook(read_lines("script", map(json.dumps, script)))

    def parts(received: Received) -> dict[str, Any]:
        return {"commander": commander(received, book, [], StandingClock())}

    async with bench(tmp_path, parts=parts) as made:
        first, second = await made.connect(), await made.connect()
        for peer, vin in ((first, VIN), (second, OTHER)):
            peer.writer.write(login(vin=vin) + report(vin=vin))
        assert [got.command for got in await first.packets(2)] == [1, 0x80]
        assert [got.command for got in await second.packets(2)] == [1, 0x82]


@scene
async def test_unknown_vehicles_are_told_so_or_ignored(tmp_path: Path) -> None:
    async with bench(tmp_path, access=Access([VIN])) as made:
        peer = await made.connect()
        await peer.ask(login("2025", OTHER), answered(login("2025", OTHER), 4))
        heartbeat = packet("2016", 7, vin=OTHER)
        await peer.ask(login("2016", OTHER) + heartbeat, packet("2016", 7, vin=OTHER, flag=1))
        await peer.ask(report("2016", OTHER), answered(report("2016", OTHER), 2))
        await peer.ask(login("2016", VIN), answered(login("2016", VIN)))
        assert made.platform.counters.turned_down == 3


@scene
async def test_a_vehicle_that_is_here_may_be_called_a_duplicate(tmp_path: Path) -> None:
    async with bench(tmp_path, access=Access(refuse_duplicates=True)) as made:
        first, second = await made.connect(), await made.connect()
        await first.ask(login(), answered(login()))
        await second.ask(login(), answered(login(), 3))
        await first.ask(login(), answered(login()))
        first.writer.close()
        async with asyncio.timeout(PATIENCE_S):
            while made.platform.open_links() > 1:
                await asyncio.sleep(0.01)
        await second.ask(login(), answered(login()))


def test_an_activation_is_answered_with_0a_and_kept_over_a_restart(tmp_path: Path) -> None:
    entry = Entry(VIN, b"", b"CHIP", 1, bytes(64))
    values = {
        "chip_id": b"CHIP".ljust(16),
        "public_key": bytes(64),
        "activation_vin": VIN,
        "algorithm": 1,
        "r": bytes(32),
        "s": bytes(32),
    }

    def activations(received: Received) -> dict[str, Any]:
        return {"activations": Activations(Registry([entry]), received)}

    for status, information in ((1, 0), (2, 1)):

        async def test(folder: Path, expected: bytes = bytes((status, information))) -> None:
            async with bench(folder, parts=activations) as made:
                peer = await made.connect()
                await peer.ask(packed("2025", 9, values), packet("2025", 0x0A, expected))
                cut = packed("2025", 9, values)[24:-2]
                await peer.ask(packet("2025", 9, cut), answered(packet("2025", 9, cut), 6))

        scene(test)(tmp_path)


# -- platform links ----------------------------------------------------------------------------------------------------


def platform_login(password: bytes = b"secret", serial: int = 3, edition: str = "2016") -> bytes:
    values = {"serial": serial, "user": b"user".ljust(12, b"\0"), "password": password.ljust(20, b"\0")}
    return packed(edition, 5, values | {"encryption_rule": 1}, CLIENT)


@BOTH
def test_a_client_platform_logs_in_and_brings_several_vehicles_on_one_link(tmp_path: Path, edition: str) -> None:
    async def test(folder: Path) -> None:
        async with bench(folder, access=Access(login=read_login("user:secret")), idle_s=0.3) as made:
            peer = await made.connect()
            for raw, flag in ((platform_login(b"wrong"), 2), (platform_login(edition=edition), 1)):
                await peer.ask(raw, answered(raw, flag))
            for name, vin in (("2016", VIN), ("2025", OTHER)):
                for raw in (login(name, vin), report(name, vin)):  # reports are answered here
                    await peer.ask(raw, answered(raw))
            await asyncio.sleep(0.5)  # longer than a terminal may be idle
            for vin, serial, flag in ((VIN, 1, 1), (CLIENT, 9, 2), (CLIENT, 3, 1)):
                raw = packed(edition, 4 if vin == VIN else 6, {"serial": serial}, vin)
                await peer.ask(raw, answered(raw, flag))
            counters = made.platform.counters
            assert (counters.client_logins, counters.taken_over, counters.before_login) == (1, 0, 0)

    scene(test)(tmp_path)


@scene
async def test_a_second_vehicle_on_a_link_without_a_platform_login_is_turned_down(tmp_path: Path) -> None:
    async with bench(tmp_path, access=Access(login=read_login("user:secret"))) as made:
        peer = await made.connect()
        await peer.ask(login(), answered(login()))
        for raw in (login(vin=OTHER), report(vin=OTHER)):
            await peer.ask(raw, answered(raw, 2))
        await peer.ask(platform_login(), answered(platform_login()))
        await peer.ask(login(vin=OTHER), answered(login(vin=OTHER)))


@scene
async def test_a_client_platform_that_comes_again_closes_its_old_link_and_a_vehicle_none(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        first, second, terminal = [await made.connect() for _ in range(3)]
        await first.ask(platform_login(), answered(platform_login()))
        await first.ask(login(), answered(login()))
        await terminal.ask(login(), answered(login()))
        await first.ask(report(), answered(report()))
        await second.ask(platform_login(), answered(platform_login()))
        assert await first.rest() == b""
        await terminal.ask(login(), answered(login()))


# -- faults ------------------------------------------------------------------------------------------------------------


async def first_answer(folder: Path, **faults: Any) -> tuple[Peer, list[Packet]]:
    async with bench(folder, replace(POLICIES["each"], **faults)) as made:
        peer = await made.connect()
        peer.writer.write(login())
        return peer, await peer.packets(2 if faults.get("unasked") else 1)


@pytest.mark.parametrize(
    ("fault", "start", "vin", "size"),
    [
        ({"wrong_vin": True}, b"$$", OTHER_VIN, 6),
        ({"wrong_edition": True}, b"##", VIN, 6),
        ({"huge": True}, b"$$", VIN, MAX_DATA_UNIT),
        ({"unasked": True}, b"$$", VIN, 6),
    ],
)
def test_faults_reach_the_peer(tmp_path: Path, fault: dict[str, bool], start: bytes, vin: bytes, size: int) -> None:
    async def test(folder: Path) -> None:
        _, (first, *more) = await first_answer(folder, **fault)
        assert (first.raw[:2], first.vin, len(first.unit), first.bcc_ok) == (start, vin, size, True)
        assert [got.command for got in more] == ([2] if "unasked" in fault else [])

    scene(test)(tmp_path)
