"""Platforms that send what they should not: what becomes of it, and that no row of the outbox is lost, renumbered or changed.

Everything between outbox and platform is the agent's own, the platform is the bench's with its faults, between them is TCP.
"""

import asyncio
import json
from dataclasses import replace

import msgspec
import pytest
from commanded_parts import recorder
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from platform_parts import bench
from platformside_parts import SPEED, Terminal, config_for, nothing_changed, reports, units
from security_parts import DATA_KEY, a_key, make_seal

from agent.clock import Clock
from agent.core.editions import EDITIONS
from agent.core.packet import PLAIN, SUCCESS, Packet, PacketReader, build_packet
from agent.crypto.keys import ALGORITHMS, DataKey, encode_public_key
from agent.remarks import MOST
from bench.answers import NEVER_SENT, POLICIES
from bench.commander import Commander
from bench.orders import OrderBook, read_lines
from bench.registry import Entry, Registry
from bench.vault import KeyExchange, Vault

ROWS = 40
VIN = b"LGBTEST0000000017"
EDITION_NAMES = pytest.mark.parametrize("edition", ["2016", "2025"])
PROOFS = pytest.mark.parametrize("proof", ["none", "each"])
EACH = POLICIES["each"]
THREE_YEARS_S = 3 * 365 * 86_400


class Scene:
    """A platform, a terminal with rows in its outbox, and what became of the platform's commands."""

    def __init__(self, folder, edition, policy, proof="none"):
        self.folder = folder
        self.edition = edition
        self.policy = policy
        self.proof = proof
        self.clock = Clock(SPEED)
        self.plans = []
        self.flags = []  # of answered commands; None: given up
        self.seals = None
        self.security = {}
        self.control = {}

    def send(self, **line):
        self.plans += read_lines("script", [json.dumps(line)])

    def parts(self, received):
        def over(order, _answer):
            self.flags.append(order.flag)

        commander = Commander(OrderBook(self.plans), received, clock=self.clock, on_order=over)
        return {"commander": commander, "seals": self.seals}

    def play(self, during):
        """Rows wait; the platform misbehaves until `during(scene)` is over, then it behaves, and everything has to arrive."""

        async def main():
            async with bench(self.folder, self.policy, clock=self.clock, parts=self.parts) as made:
                self.platform = made.platform
                config = config_for(self.folder, self.edition, made.port, self.security, **self.control)
                platform = msgspec.structs.replace(config.platform, policy=self.proof)
                self.terminal = Terminal(msgspec.structs.replace(config, platform=platform), self.clock)
                await self.terminal.start()
                self.counters = self.terminal.uplink.counters
                try:
                    await self.terminal.append(0, ROWS)
                    with nothing_changed(self.terminal, ROWS):
                        await during(self)
                        self.platform.policy = EACH
                        await self.terminal.delivered(ROWS)
                finally:
                    await self.terminal.stop()

        asyncio.run(main())
        assert self.terminal.states() <= {"live", "reissued"}
        assert reports(self.folder / "platform.sqlite") == units(self.edition, ROWS)


@EDITION_NAMES
@PROOFS
@pytest.mark.parametrize("breaking", [0, 12], ids=["link holds", "link breaks"])
def test_an_answer_that_nobody_waits_for_proves_nothing(tmp_path, edition, proof, breaking):
    scene = Scene(tmp_path, edition, replace(EACH, unasked=True, drop_after=breaking), proof)

    async def during(scene):
        await scene.terminal.until(lambda: scene.terminal.uplink.sending.delivery.unmatched >= 5)
        if breaking:
            await scene.terminal.until(lambda: scene.counters.links_lost >= 2)

    scene.play(during)
    assert scene.counters.login_failures == 0


@EDITION_NAMES
@PROOFS
def test_a_platform_that_thanks_for_reports_it_never_got_and_dies_gets_them_on_the_next_link(tmp_path, edition, proof):
    """Ten reports are read and forgotten, each thanked for under the time of another that nobody has sent."""
    start = EDITIONS[edition].start
    kept = set()
    links = 0

    async def serve(reader, writer):
        nonlocal links
        links += 1
        packets, forgotten = PacketReader(), 10 if links == 1 else 0
        # The first may have to be answered right: before that nobody can know whose times the answers carry.
        proper = 1 if proof == "each" else 0
        try:
            while data := await reader.read(200):
                for packet in map(Packet, packets.feed(data)):
                    time = packet.unit[:6]
                    if packet.command in (2, 3) and forgotten and len(kept) >= proper:
                        forgotten -= 1
                        time = NEVER_SENT
                    elif packet.command in (2, 3):
                        kept.add(packet.unit)
                    writer.write(build_packet(start, packet.command, SUCCESS, VIN, PLAIN, time))
                    if links == 1 and not forgotten and packet.command in (2, 3):
                        await writer.drain()
                        writer.transport.abort()
                        return
        finally:
            writer.close()

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        config = config_for(tmp_path, edition, server.sockets[0].getsockname()[1])
        platform = msgspec.structs.replace(config.platform, policy=proof, settle_s=600, time_sync=False)
        terminal = Terminal(msgspec.structs.replace(config, platform=platform), Clock(SPEED))
        await terminal.start()
        try:
            await terminal.append(0, ROWS)
            with nothing_changed(terminal, ROWS):
                await terminal.delivered(ROWS)
            assert links >= 2
        finally:
            await terminal.stop()
            server.close()

    asyncio.run(main())
    assert kept == units(edition, ROWS)


@EDITION_NAMES
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("wrong_vin", "unique id is not ours"),
        ("wrong_edition", "edition is not ours"),
        ("huge", "login failed answer=no answer"),
    ],
)
def test_answers_to_the_login_that_are_not_for_us_let_nobody_in(tmp_path, edition, caplog, fault, said):
    """They are ignored and counted; the terminal logs in again by the rules of unanswered logins."""
    scene = Scene(tmp_path, edition, replace(EACH, **{fault: True}))

    async def during(scene):
        await scene.terminal.until(lambda: scene.counters.login_failures >= 2)
        assert scene.counters.logins == 0
        assert scene.terminal.uplink.sending.counters.sent_reissue == 0
        if fault == "huge":
            assert scene.counters.noise_bytes >= 2 * 65_531
            assert scene.counters.ignored == 0
        else:
            assert scene.counters.ignored >= 2

    scene.play(during)
    assert said in caplog.text
    assert scene.counters.logins == 1


@EDITION_NAMES
@pytest.mark.parametrize("fault", ["wrong_vin", "wrong_edition", "huge"])
def test_answers_to_reports_that_are_not_for_us_prove_nothing(tmp_path, edition, fault):
    """Where each report has to be answered the link is dead after the answer timeout, and all are sent again on the next."""
    scene = Scene(tmp_path, edition, EACH, "each")

    async def during(scene):
        await scene.terminal.until(lambda: scene.terminal.uplink.sending.counters.proven >= 3)
        scene.platform.policy = replace(EACH, **{fault: True})
        proven = scene.terminal.uplink.sending.counters.proven
        await scene.terminal.until(lambda: scene.counters.links_lost >= 1)
        assert proven <= scene.terminal.uplink.sending.counters.proven < ROWS

    scene.play(during)


@EDITION_NAMES
def test_a_set_with_one_bad_item_of_ten_sets_nothing(tmp_path, edition, caplog):
    scene = Scene(tmp_path, edition, EACH)
    good = {1: 20_000, 2: 20, 3: 1, 9: 30, 10: 30, 11: 30, 12: 20, 16: "no", 15: 80}
    items = [{"id": number, "value": value} for number, value in good.items()]
    items.insert(7, {"id": 6, "value": 0})  # no port
    scene.send(command="parameter_set", parameters=items)

    async def during(scene):
        await scene.terminal.until(lambda: scene.flags)
        assert scene.terminal.side.parameters.from_platform == {}

    scene.play(during)
    assert scene.flags == [2]
    assert "command of the platform refused command=81" in caplog.text


@EDITION_NAMES
@pytest.mark.parametrize(
    ("url", "enabled", "flag"),
    [
        (
            "http://127.0.0.1:9/$(touch$IFS'PWNED')&&touch$IFS'PWNED'!*",
            True,
            1,
        ),  # may stand in a URL: nothing is found there
        ("http://127.0.0.1:9/`touch PWNED`", True, 2),
        ("http://127.0.0.1:9/x|touch PWNED", True, 2),
        ("http://127.0.0.1:9/x;touch PWNED;", True, 2),  # the separator of the order's fields
        ("http://127.0.0.1:9/$(touch$IFS'PWNED')", False, 2),
    ],
)
def test_an_upgrade_url_with_shell_characters_is_an_address_and_never_a_command(
    tmp_path, edition, caplog, url, enabled, flag
):
    scene = Scene(tmp_path, edition, EACH)
    argv, record = recorder(tmp_path)
    if enabled:
        (tmp_path / "maker.pem").write_bytes(public_key())
        scene.control = {"upgrade": [*argv, "{file}"], "upgrade_key": str(tmp_path / "maker.pem"), "maker": "ABCD"}
    scene.send(command="control", control=1, arguments=url.replace("PWNED", str(tmp_path / "PWNED")) + ";" * 9)

    async def during(scene):
        await scene.terminal.until(lambda: scene.flags)
        await scene.terminal.until(lambda: flag == 2 or "security: upgrade refused url=" in caplog.text)

    scene.play(during)
    assert scene.flags == [flag]
    assert ("command of the platform refused command=82" in caplog.text) == (flag == 2)
    assert not record.exists()
    assert not (tmp_path / "PWNED").exists()


def public_key():
    return Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("fault", ["expired", "early", "short"])
def test_a_key_that_is_of_no_use_is_refused_and_the_old_one_holds(tmp_path, caplog, fault):
    scene = Scene(tmp_path, "2025", EACH)
    scene.security = {"encryption": "sm4", "private_key": "private.pem", "data_key": "data.key"}
    key = a_key("sm2")
    security = make_seal(tmp_path, key, encryption="sm4").security
    entry = Entry(VIN, b"", b"", ALGORITHMS["sm2"], encode_public_key(key.public_key(), "raw"))
    vault = Vault(
        Registry([entry]), security, lambda: scene.clock.wall_ms() // 1000, key, DataKey(bytes.fromhex(DATA_KEY))
    )
    vault.verify = lambda *_: ""  # these reports are not signed
    scene.seals = vault
    scene.plans.append(KeyExchange(vault, "sm4", fault))

    async def during(scene):
        await scene.terminal.until(lambda: scene.flags)

    scene.play(during)
    assert scene.flags == [2]
    assert "key of the platform refused reason=" in caplog.text
    assert {"expired": "it expired", "early": "not valid for another", "short": "16"}[fault] in caplog.text


@EDITION_NAMES
@pytest.mark.parametrize("shape", ["each", "long"])
def test_a_platform_three_years_ahead_changes_no_time_of_ours(tmp_path, edition, caplog, shape):
    caplog.set_level("INFO")
    scene = Scene(tmp_path, edition, replace(POLICIES[shape], clock_offset_s=THREE_YEARS_S))

    async def during(scene):
        await scene.terminal.until(lambda: "time of the platform" in caplog.text)

    scene.play(during)
    (offset_s,) = [record.args[0] for record in caplog.records if "time of the platform" in record.msg]
    assert abs(offset_s - THREE_YEARS_S) <= 2 * SPEED


def test_a_platform_that_lets_in_and_hangs_up_fills_no_log(tmp_path, caplog):
    """A new link each second: ten remarks of a kind a minute."""
    caplog.set_level("INFO")
    scene = Scene(tmp_path, "2016", replace(POLICIES["annex-b"], drop_after=2))
    began = scene.clock.now()
    spent = 0

    async def during(scene):
        nonlocal spent
        await scene.terminal.until(lambda: scene.counters.links_lost >= 60)
        spent = scene.clock.now() - began

    scene.play(during)
    for text in ("link lost", "logged in"):
        assert len([line for line in caplog.messages if text in line]) <= MOST * (spent // 60_000 + 2)
    assert scene.counters.logins >= 60
