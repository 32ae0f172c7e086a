"""Signed and encrypted vehicles on real sockets, with real keys; the terminal's side is the terminal's own seal."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from platform_parts import PATIENCE_S, Bench, Peer, StandingClock, bench, scene
from security_parts import DATA_KEY, a_key, make_seal

from agent.core.dataunit import DataUnit, decode_data_unit, encode_data_unit
from agent.core.editions import EDITIONS
from agent.core.packet import COMMAND, Packet, build_packet, time_bytes
from agent.crypto.keys import ALGORITHMS, DataKey, encode_public_key
from agent.seal import Seal
from bench.access import Access
from bench.activation import Activations
from bench.answers import KEY_FAULTS, POLICIES
from bench.commander import Commander
from bench.orders import OrderBook, Plan, read_question
from bench.received import Received
from bench.registry import Entry, Registry
from bench.vault import KeyExchange, Sealed, Vault

ROOT = Path(__file__).resolve().parents[2]
VIN = b"LGBTEST0000000017"
WALL_S = StandingClock().wall_ms() // 1000
TIME = time_bytes(WALL_S)
ENGINE = TIME + b"\x04\x03\xe8"
EDITION = EDITIONS["2025"]
KINDS = pytest.mark.parametrize("kind", ["sm2", "rsa", "ecc"])
LOGIN = build_packet(
    b"$$",
    1,
    COMMAND,
    VIN,
    1,
    encode_data_unit(
        EDITION, 1, DataUnit(TIME, {"serial": 1, "iccid": b"89860012345678901234", "packs": [], "codes": []})
    ),
)


class Parts:
    """A vault with one registered vehicle, and the order book that goes with it."""

    def __init__(self, seal: Seal, kind: str, data_key: bool = True) -> None:
        key = a_key(kind)
        encoded = encode_public_key(key.public_key(), seal.security.public_key)
        entry = Entry(VIN, b"", b"CHIP00012", ALGORITHMS[kind], encoded, seal.security.public_key)
        self.registry = Registry([entry])
        file_key = DataKey(bytes.fromhex(DATA_KEY)) if data_key else None
        self.vault = Vault(self.registry, seal.security, lambda: WALL_S, key, file_key)
        self.plans: list[Plan] = []
        self.flags: list[int | None] = []

    def __call__(self, received: Received) -> dict[str, Any]:
        return {
            "seals": self.vault,
            "access": Access(registry=self.registry),
            "activations": Activations(self.registry, received, self.vault),
            "commander": Commander(
                OrderBook(self.plans),
                received,
                clock=StandingClock(),
                on_order=lambda order, _: self.flags.append(order.flag),
            ),
        }


def sealed(seal: Seal, command: int, unit: bytes, start: bytes = b"$$") -> bytes:
    encryption, unit = seal.seal(start, command, unit)
    return build_packet(start, command, COMMAND, VIN, encryption, unit)


async def flag_of(peer: Peer, raw: bytes) -> int:
    peer.writer.write(raw)
    (answer,) = await peer.packets(1)
    assert (answer.command, answer.vin) == (raw[2], VIN)
    return answer.response


def played(folder: Path, parts: Parts, test: Callable[[Bench, Peer], Any]) -> None:
    async def run(folder: Path) -> None:
        async with bench(folder, POLICIES["each"], parts=parts) as made:
            await test(made, await made.connect())

    scene(run)(folder)


@KINDS
@pytest.mark.parametrize("marker", [False, True])
def test_signed_reports_are_good_and_every_other_is_a_signature_error(tmp_path: Path, kind: str, marker: bool) -> None:
    seal = make_seal(tmp_path, a_key(kind), sign=kind, sign_marker=marker)
    other = make_seal(tmp_path, a_key("ecc" if kind == "rsa" else "rsa"), sign="ecc" if kind == "rsa" else "rsa")

    async def test(made: Bench, peer: Peer) -> None:
        good = sealed(seal, 2, ENGINE)
        assert await flag_of(peer, LOGIN) == 1
        assert await flag_of(peer, good) == 1
        assert await flag_of(peer, sealed(seal, 3, ENGINE)) == 1
        unit = Packet(good).unit
        for wrong in (ENGINE, bytes((unit[0],)) + b"\x02" + unit[2:], unit[:-1] + bytes((unit[-1] ^ 1,))):
            assert await flag_of(peer, build_packet(b"$$", 2, COMMAND, VIN, 1, wrong)) in (5, 6)
        assert await flag_of(peer, build_packet(b"$$", 2, COMMAND, VIN, 1, ENGINE)) == 5
        assert await flag_of(peer, sealed(other, 2, ENGINE)) == 5
        # 2016 has no signature
        assert await flag_of(peer, sealed(seal, 2, TIME + b"\x04\x01\x03\xe8\xff\xff", b"##")) == 1
        assert made.platform.counters.reports == 3

    played(tmp_path, Parts(seal, kind), test)


@KINDS
def test_an_activation_stands_by_its_signature(tmp_path: Path, kind: str) -> None:
    seal = make_seal(tmp_path, a_key(kind), sign=kind, activation=True)
    values = seal.activation(WALL_S, VIN)

    def packet(time: bytes, changes: dict[str, Any]) -> bytes:
        return build_packet(b"$$", 9, COMMAND, VIN, 1, encode_data_unit(EDITION, 9, DataUnit(time, values | changes)))

    async def test(made: Bench, peer: Peer) -> None:
        for time, changes, status, information in (
            (time_bytes(WALL_S + 1), {}, 2, 0),
            (TIME, {"r": values["r"][:-1] + bytes((values["r"][-1] ^ 1,))}, 2, 0),
            (TIME, {}, 1, 0),
            (TIME, {}, 2, 1),
        ):
            expected = build_packet(b"$$", 0x0A, COMMAND, VIN, 1, bytes((status, information)))
            await peer.ask(packet(time, changes), expected)

    played(tmp_path, Parts(seal, kind), test)


@pytest.mark.parametrize(
    ("kind", "encryption"), [("sm2", "sm2"), ("rsa", "rsa"), ("sm2", "sm4"), ("rsa", "aes"), ("ecc", "sm4")]
)
def test_encrypted_packets_are_opened_and_what_cannot_be_is_a_decryption_error(
    tmp_path: Path, kind: str, encryption: str
) -> None:
    seal = make_seal(tmp_path, a_key(kind), sign=kind, encryption=encryption, wrapped_keys=False)

    async def test(made: Bench, peer: Peer) -> None:
        assert await flag_of(peer, sealed(seal, 1, Packet(LOGIN).unit)) == 1
        good = sealed(seal, 2, ENGINE)
        peer.writer.write(good)
        (answer,) = await peer.packets(1)
        assert (answer.response, answer.unit) == (1, TIME)
        packet = Packet(good)
        cut = build_packet(b"$$", 2, COMMAND, VIN, packet.encryption, packet.unit[:-1])
        assert await flag_of(peer, cut) == 7
        again = Packet(sealed(seal, 3, ENGINE))
        assert again.unit != packet.unit
        assert await flag_of(peer, again.raw) == 1
        rows = made.received.read("SELECT content FROM packets WHERE content IS NOT NULL")
        assert len(rows) == 2
        assert len(set(rows)) == 1

    played(tmp_path, Parts(seal, kind), test)


def test_a_vehicle_uses_the_new_key_from_its_answer_on(tmp_path: Path) -> None:
    seal = make_seal(tmp_path, a_key("sm2"), wall_s=WALL_S, encryption="sm4")
    parts = Parts(seal, "sm2")
    parts.registry.by_vin.clear()  # unsigned; the key stays known by the chip
    parts.registry.by_vin.update({entry.vin: entry for entry in parts.registry.by_chip.values()})
    parts.plans.append(KeyExchange(parts.vault, "sm4"))

    async def test(made: Bench, peer: Peer) -> None:
        peer.writer.write(sealed(seal, 1, Packet(LOGIN).unit))
        login, exchange = await peer.packets(2)
        assert (login.command, exchange.command, exchange.response) == (1, 0x0B, COMMAND)
        values = decode_data_unit(EDITION, 0x0B, exchange.unit).values
        assert values is not None
        assert (len(values["key"]) > 16, values["valid_from"]) == (True, TIME)  # encrypted for this terminal
        assert seal.adopt_key(values, WALL_S) == ""
        # answer and a report under the new key, in one go
        report = sealed(seal, 4, TIME + b"\x00\x01")
        peer.writer.write(build_packet(b"$$", 0x0B, 1, VIN, 1, b"") + report)
        (answer,) = await peer.packets(1)
        assert (answer.command, answer.response) == (4, 1)
        assert parts.flags == [1]

    played(tmp_path, parts, test)


@pytest.mark.parametrize("fault", KEY_FAULTS)
def test_a_terminal_does_not_take_a_key_that_is_spoiled(tmp_path: Path, fault: str) -> None:
    seal = make_seal(tmp_path, a_key("sm2"), wall_s=WALL_S, encryption="sm4")
    parts = Parts(seal, "sm2")
    parts.plans.append(KeyExchange(parts.vault, "sm4", fault))

    async def test(made: Bench, peer: Peer) -> None:
        peer.writer.write(sealed(seal, 1, Packet(LOGIN).unit))
        _, exchange = await peer.packets(2)
        values = decode_data_unit(EDITION, 0x0B, exchange.unit).values
        assert values is not None
        assert seal.adopt_key(values, WALL_S) != ""
        peer.writer.write(build_packet(b"$$", 0x0B, 2, VIN, 1, b"") + sealed(seal, 4, TIME + b"\x00\x01"))
        (answer,) = await peer.packets(1)
        assert (answer.command, answer.response) == (4, 1)  # the old key holds
        assert parts.flags == [2]

    played(tmp_path, parts, test)


def test_commands_go_out_encrypted_where_that_is_asked_for(tmp_path: Path) -> None:
    seal = make_seal(tmp_path, a_key("sm2"), wall_s=WALL_S, encryption="sm4")
    parts = Parts(seal, "sm2")
    parts.plans.append(Sealed(read_question("query 2"), parts.vault))

    async def test(made: Bench, peer: Peer) -> None:
        peer.writer.write(sealed(seal, 1, Packet(LOGIN).unit))
        _, query = await peer.packets(2)
        assert query.encryption == 5
        assert seal.unseal(query.encryption, query.unit)[6:] == b"\x01\x02"

    played(tmp_path, parts, test)


def test_the_record_of_a_terminal_is_a_line_of_the_registry(tmp_path: Path) -> None:
    """`tbox identity --json` of a terminal, then `tbox-bench platform` with its record and its [security] options."""
    seal = make_seal(tmp_path, a_key("sm2"), sign="sm2", activation=True)
    config = tmp_path / "tbox.toml"
    config.write_text(
        f'[vehicle]\nvin = "{VIN.decode()}"\niccid = "89860012345678901234"\nedition = "2025"\npacks = []\n'
        'mapping = "none.toml"\n'
        '[platform]\nhost = "127.0.0.1"\n[[can]]\nname = "a"\ninterface = "virtual"\nchannel = "a"\n'
        '[security]\nsign = "sm2"\nactivation = true\nprivate_key = "private.pem"\nchip_id = "CHIP00012"\n'
    )
    run = [sys.executable, "-m"]
    record = subprocess.run(
        [*run, "agent.cli", "identity", "--json", "-c", config], capture_output=True, cwd=ROOT, check=False
    )
    assert record.returncode == 0, record.stderr
    (tmp_path / "registry.jsonl").write_bytes(record.stdout)
    options = ["--port", "0", "--json", "--db", tmp_path / "p.sqlite", "--security", config]
    options += ["--registry", tmp_path / "registry.jsonl"]
    platform = [*run, "bench.cli", "platform", *options]
    with subprocess.Popen(platform, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT) as process:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["listening"][1]
        values = seal.activation(WALL_S, VIN)
        activation = build_packet(b"$$", 9, COMMAND, VIN, 1, encode_data_unit(EDITION, 9, DataUnit(TIME, values)))
        unsigned = build_packet(b"$$", 2, COMMAND, VIN, 1, ENGINE)
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as link, link.makefile("rb") as answers:
            link.sendall(activation + LOGIN + sealed(seal, 2, ENGINE) + unsigned)
            assert answers.read(27)[24:26] == b"\x01\x00"
            assert answers.read(31)[2:4] == b"\x01\x01"
            assert answers.read(31)[2:4] == b"\x02\x05"  # of the unsigned one: the signed one is good
        process.send_signal(signal.SIGINT)
        lines = [json.loads(line) for line in process.stdout]
    assert [(line["command"], line["answer"]) for line in lines] == [
        ("activation", COMMAND),
        ("vehicle_login", 1),
        ("realtime", None),
        ("realtime", 5),
    ]
