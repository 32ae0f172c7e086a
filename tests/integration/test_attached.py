"""The whole agent with a receiver and a modem on pseudo terminals: what stands in the login, and in the reports."""

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random

import can
import pytest
from nmea_parts import gga, rmc, said
from pty_parts import AnsweringModem, TalkingReceiver

from agent.app import Agent
from agent.clock import Clock
from agent.config import load_config
from agent.core.dataunit import decode_data_unit
from agent.core.editions import EDITIONS
from agent.core.occasion import Occasion
from agent.core.packet import COMMAND, Packet, PacketReader, build_packet

PATIENCE_S = 40
LOGIN, POSITION = 1, 5
CARD = "89860123456789012345"
DBC = 'VERSION ""\nBU_: A\nBO_ 1 M: 8 A\n SG_ Speed : 0|16@1+ (0.1,0) [0|300] "km/h" A\n'
MAPPING = """\
format = 1
name = "test"
edition = "2016"
[dbc.b]
files = ["test.dbc"]
[vehicle]
speed = "b.M.Speed"
"""
CONFIG = """\
[vehicle]
vin = "LGBTEST0000000017"
iccid = "89860000000000000000"
mapping = "test.toml"
[[can]]
name = "b"
interface = "virtual"
channel = "attached"
[platform]
host = "127.0.0.1"
port = {port}
login_retry_s = 1
[report]
interval_s = 1
[gnss]
device = "{folder}/gnss"
[modem]
port = "{folder}/modem"
"""


def seconds(place: str) -> Iterator[bytes]:
    for second in count():
        time = f"12{second // 60 % 60:02d}{second % 60:02d}.00"
        yield said(gga(time, place), rmc(time, place=place))


def modem(command: str) -> str:
    answers = {
        "ATE0": "\r\nOK\r\n",
        "AT+CCID": f"\r\n+CCID: {CARD}\r\n\r\nOK\r\n",
        "AT+CSQ": "\r\n+CSQ: 20,0\r\n\r\nOK\r\n",
    }
    return answers.get(command, "\r\nERROR\r\n")


class Platform:
    """Takes every packet and answers logins."""

    def __init__(self) -> None:
        self.iccids: list[bytes] = []
        self.positions: list[tuple[int, int, int]] = []
        self.commands: list[int] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        packets = PacketReader()
        while data := await reader.read(65536):
            for raw in packets.feed(data):
                packet = Packet(raw)
                self.take(packet)
                answer = build_packet(packet.start, packet.command, 1, packet.vin, packet.encryption, packet.unit[:6])
                writer.write(answer)
        writer.close()

    def take(self, packet: Packet) -> None:
        self.commands.append(packet.command)
        unit = decode_data_unit(EDITIONS["2016"], packet.command, packet.unit, COMMAND)
        if packet.command == LOGIN:
            self.iccids.append(unit.values["iccid"])
        for type_id, body in unit.bodies or ():
            if type_id == POSITION:
                self.positions.append((body["status"], body["longitude"], body["latitude"]))


async def until(condition) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.backoff.FIRST_DELAY_S", 0.1)


async def run(folder: Path, scene) -> Agent:
    """The agent beside a scene(platform, agent) until that ends."""
    platform = Platform()
    server = await asyncio.start_server(platform.serve, "127.0.0.1", 0)
    (folder / "test.dbc").write_text(DBC)
    (folder / "test.toml").write_text(MAPPING)
    port = server.sockets[0].getsockname()[1]
    (folder / "tbox.toml").write_text(CONFIG.format(port=port, folder=folder))
    agent = Agent(load_config(folder / "tbox.toml"), Clock(), random=Random(1))
    task = asyncio.create_task(agent.run())
    try:
        await scene(platform, agent)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.close()
    assert task.cancelled(), "it ended by itself"
    return agent


def test_a_receiver_and_a_modem(tmp_path: Path) -> None:
    """From the first report on: the SIM card's number, the place; then the receiver is pulled out and put in again."""

    async def scene(platform: Platform, agent: Agent) -> None:
        place = (4, 121509463, 31502057)
        with TalkingReceiver(tmp_path / "gnss", 9600, seconds("3130.1234,N,12130.5678,W")):
            await until(lambda: place in platform.positions)
        await until(lambda: platform.positions[-1] == (5, *place[1:]))
        with TalkingReceiver(tmp_path / "gnss", 9600, seconds("3130.1234,S,12130.5678,E")):
            await until(lambda: platform.positions[-1] == (2, *place[1:]))
        assert platform.iccids == [CARD.encode()]
        assert agent.attached.gnss.reopened == 1

    with AnsweringModem(tmp_path / "modem", modem):
        asyncio.run(run(tmp_path, scene))


def test_without_either_the_agent_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.attached.junction.MODEM_S", 0.5)

    async def scene(platform: Platform, agent: Agent) -> None:
        await until(lambda: len(platform.positions) > 1)
        assert set(platform.positions) == {(1, 0, 0)}
        assert platform.iccids == [b"89860000000000000000"], "what is configured"
        with AnsweringModem(tmp_path / "modem", modem):
            await until(lambda: agent.attached.modem.known.is_set())
        assert agent.uplink is not None

    asyncio.run(run(tmp_path, scene))


def test_a_receiver_does_not_keep_a_parked_vehicle_awake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on telling where the vehicle stands; that the buses are silent still counts."""
    decided: list[int] = []
    decide = Occasion.decide

    def watched(*arguments):
        decided.append(arguments[-1])
        return decide(*arguments)

    monkeypatch.setattr(Occasion, "decide", watched)

    async def scene(platform: Platform, agent: Agent) -> None:
        with TalkingReceiver(tmp_path / "gnss", 9600, seconds("3130.1234,N,12130.5678,E")):
            with can.Bus(interface="virtual", channel="attached") as bus:
                await until(lambda: agent.attached and agent.attached.gnss.fixes > 0)
                bus.send(can.Message(arbitration_id=1, data=bytes(8), is_extended_id=False))
            fixes = agent.attached.gnss.fixes
            await until(lambda: decided and decided[-1] > 2500)
            assert agent.attached.gnss.fixes > fixes

    asyncio.run(run(tmp_path, scene))
