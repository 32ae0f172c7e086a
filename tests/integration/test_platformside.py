"""A terminal towards its platform over real TCP, joined as the agent joins it: activation, keys, parameters, restarts."""

import asyncio
import json
from itertools import pairwise

import msgspec
import pytest
from commanded_parts import VIN
from security_parts import DATA_KEY, a_key, write_keys
from side_parts import CHIP, SPEED, configured, place, played, process, stored

from agent.clock import Clock
from agent.crypto.keys import ALGORITHMS, DataKey, encode_public_key
from agent.security import Security
from bench.activation import Activations
from bench.registry import Entry, Registry
from bench.vault import KeyExchange, Vault

IDENTITY = {"sign": "sm2", "private_key": "private.pem", "activation": True, "chip_id": CHIP}


def registered(vin=VIN, chip=CHIP):
    key = encode_public_key(a_key("sm2").public_key(), "raw")
    return Entry(vin.encode(), b"", chip.encode(), ALGORITHMS["sm2"], key)


class Judge(Activations):
    """The platform's registry, which is empty until the test lets the maker register its vehicles."""

    def __init__(self, folder, received, entries=()):
        self.book = Registry(entries)
        super().__init__(self.book, received, Vault(self.book, Security(**IDENTITY), lambda: 0))


def activating(folder, test, *entries):
    """Run `test(platform, judge, config)` with a platform that activates the registered."""

    async def scene():
        clock = Clock(SPEED)
        write_keys(folder, a_key("sm2"))
        async with place(folder / "platform", clock) as platform:
            judge = Judge(folder, platform.received, entries)
            platform.platform._activations = judge
            await test(clock, platform, judge, configured(folder, platform.port, security=IDENTITY))

    played(scene)


def test_a_terminal_activates_itself_once_and_again_as_somebody_else(tmp_path):
    other_vin = "LGBTEST0000000025"

    async def test(clock, platform, judge, config):
        async with process(config, clock) as side:
            await side.logged_in()
        assert [row[0] for row in platform.received.read("SELECT command FROM packets ORDER BY id LIMIT 2")] == [
            "activation", "vehicle_login",
        ]  # fmt: skip
        for again, activations in (
            (config, 1),
            (changed(config, "security", chip_id="CHIP00013"), 2),
            (changed(config, "vehicle", vin=other_vin), 3),
            (changed(config, "platform", host="localhost"), 4),
            (changed(config, "platform", host="localhost"), 4),
        ):
            judge.book.activated.clear()
            chip = again.security.chip_id
            judge.book.by_chip[chip.encode()] = judge.book.by_vin[again.vehicle.vin.encode()] = registered(
                again.vehicle.vin, chip
            )
            async with process(again, clock) as side:
                await side.logged_in()
            assert len(platform.commands("activation")) == activations

    activating(tmp_path, test, registered())


def changed(config, section, **values):
    return msgspec.structs.replace(config, **{section: msgspec.structs.replace(getattr(config, section), **values)})


def test_a_refused_activation_waits_like_failed_logins_and_says_why(tmp_path, caplog):
    async def test(clock, platform, judge, config):
        judge.book.by_vin[VIN.encode()] = registered(chip="ANOTHER")
        async with process(changed(config, "platform", login_wait_min=5), clock) as side:
            await side.until(lambda: len(platform.commands("activation")) >= 4)
            times = platform.times("activation")
            waits = [(later - earlier) // 1000 for earlier, later in pairwise(times)]
            assert all(55 <= wait < 90 for wait in waits[:2]), waits
            assert 350 <= waits[2] < 420, waits  # a minute after the third, then five more: 0C
            assert platform.commands("vehicle_login") == []
            await side.report(3)
            entry = registered()
            judge.book.by_vin[entry.vin] = judge.book.by_chip[entry.chip_id] = entry
            await side.until(lambda: side.uplink.sending.counters.proven == 3)

    activating(tmp_path, test)
    assert "activation failed answer=02 VIN duplicate tries=1" in caplog.text
    assert "three logins failed; next try in 300 s" in caplog.text


def test_a_terminal_whose_activation_was_answered_into_the_void_still_comes_in(tmp_path):
    async def test(clock, platform, judge, config):
        judge.book.activated[CHIP.encode()] = VIN.encode()
        async with process(config, clock) as side:
            await side.logged_in()
        async with process(config, clock) as side:
            await side.logged_in()
        assert len(platform.commands("activation")) == 1

    activating(tmp_path, test, registered())


# -- keys of the platform ----------------------------------------------------------------------------------------------

SM4 = {"encryption": "sm4", "private_key": "private.pem", "data_key": "data.key"}


def exchanging(folder, test, **security):
    """Run `test(clock, platform, vault, config)` with a platform that has the keys of the terminal."""

    async def scene():
        clock = Clock(SPEED)
        write_keys(folder, a_key("sm2"))
        options = SM4 | security
        registry, file_key = Registry([registered()]), DataKey(bytes.fromhex(DATA_KEY))
        vault = Vault(registry, Security(**options), lambda: clock.wall_ms() // 1000, None, file_key)
        vault.verify = lambda *_: ""  # encrypted and not signed
        async with place(folder / "platform", clock, seals=vault) as platform:
            await test(clock, platform, vault, configured(folder, platform.port, security=options))

    played(scene)


def faults(platform):
    return platform.received.read("SELECT command, fault FROM packets WHERE fault IS NOT NULL")


def test_a_key_of_the_platform_is_used_from_the_answer_on_and_after_a_restart(tmp_path):
    async def test(clock, platform, vault, config):
        async with process(config, clock) as side:
            await side.logged_in()
            reporting = asyncio.create_task(side.report(200))  # in front of, beside and behind the new key
            await platform.give(KeyExchange(vault, "sm4"))
            await reporting
            await side.until(lambda: side.uplink.sending.counters.proven == 200)
            assert faults(platform) == []
            assert len(stored(config, "platform key")["key"]) > 32  # wrapped
            vault._data_key = None  # from here on only the new key opens anything
            await side.report(1)
            await side.until(lambda: side.uplink.sending.counters.proven == 201)
        async with process(config, clock) as side:
            await side.logged_in()
            await side.report(5)
            await side.until(lambda: side.uplink.sending.counters.proven == 5)
        assert faults(platform) == []

    exchanging(tmp_path, test)


def test_an_expired_key_is_not_used_after_a_restart(tmp_path, caplog):
    async def test(clock, platform, vault, config):
        async with process(config, clock) as side:
            await side.logged_in()
            await platform.give(KeyExchange(vault, "sm4"))
        values = stored(config, "platform key") | {"valid_from": "180101000000", "valid_until": "180201000000"}
        async with process(config, clock) as side:
            await side.outbox.meta_set("platform key", json.dumps(values))
        vault._exchanged.clear()
        async with process(config, clock) as side:
            await side.report(2)
            await side.until(lambda: side.uplink.sending.counters.proven == 2)
        assert faults(platform) == []

    exchanging(tmp_path, test)
    assert "key of the platform from before the start is not used: it expired" in caplog.text


def test_a_key_that_came_in_the_clear_never_lies_on_a_disk(tmp_path):
    async def test(clock, platform, vault, config):
        async with process(config, clock) as side:
            await side.logged_in()
            await platform.give(KeyExchange(vault, "sm4"))
            vault._data_key = None
            await side.report(1)
            await side.until(lambda: side.uplink.sending.counters.proven == 1)
            assert stored(config, "platform key") is None

    exchanging(tmp_path, test, wrapped_keys=False)


@pytest.mark.parametrize("fault", ["expired", "early", "short"])
def test_a_key_that_is_no_good_is_answered_with_an_error_and_changes_nothing(tmp_path, fault):
    async def test(clock, platform, vault, config):
        async with process(config, clock) as side:
            await side.logged_in()
            await platform.give(KeyExchange(vault, "sm4", fault), 2)
            await side.report(1)
            await side.until(lambda: side.uplink.sending.counters.proven == 1)
            assert stored(config, "platform key") is None

    exchanging(tmp_path, test)


def test_without_a_valid_key_nothing_leaves_and_nothing_is_lost(tmp_path, caplog):
    """The check of the configuration refuses it; should it come to it all the same, the terminal waits for a key."""

    async def test(clock, platform, vault, config):
        async with process(changed(config, "security", data_key=""), clock) as side:
            await side.report(3)
            await side.until(lambda: side.uplink.counters.links_lost >= 3)
        assert platform.received.read("SELECT count(*) FROM packets") == [(0,)]
        async with process(config, clock) as side:
            await side.until(lambda: side.uplink.sending.counters.proven == 3)
        assert len(platform.seconds("reissue")) == 3

    exchanging(tmp_path, test)
    assert "nothing can be encrypted: no key of the platform, and no security.data_key" in caplog.text


# -- parameters --------------------------------------------------------------------------------------------------------


class Followed:
    """What is asked of a collector here."""

    def __init__(self, side):
        self.settings = side.parameters.report_settings()


def commanding(folder, test, edition="2025", **options):
    async def scene():
        clock = Clock(SPEED)
        async with place(folder / "platform", clock) as platform:
            await test(clock, platform, configured(folder, platform.port, edition=edition, **options))

    played(scene)


@pytest.mark.parametrize(("edition", "alarm", "alarm_ms"), [("2016", 5000, 5000), ("2025", 0, 0)])
def test_parameters_are_on_the_disk_when_their_answer_arrives_and_hold_until_control_04(
    tmp_path, edition, alarm, alarm_ms
):
    def in_force(side):
        reports, session = side.side.collector.settings, side.side.parameters.session_settings()
        assert side.uplink.sending.period_ms == reports.period_ms
        timeout_ms = side.uplink.sending.delivery.answer_timeout_ms
        return reports.period_ms, reports.alarm_period_ms, session.heartbeat_ms, session.login_wait_ms, timeout_ms

    async def test(clock, platform, config):
        on_disk = []
        platform.on_order = lambda: on_disk.append(stored(config, "parameters"))
        async with process(config, clock) as side:
            side.side.collector = Followed(side.side)
            await side.logged_in()
            assert in_force(side) == (10_000, 1_000, 60_000, 1_800_000, 60_000)
            await platform.ask(f"set 2=20 3={alarm} 9=30 11=90 12=7")
            assert in_force(side) == (20_000, alarm_ms, 30_000, minutes, 90_000)
        assert on_disk[0]["values"] == {"02": 20, "03": alarm, "09": 30, "0B": 90, "0C": 7}
        async with process(config, clock) as side:
            side.side.collector = Followed(side.side)
            assert in_force(side) == (20_000, alarm_ms, 30_000, minutes, 90_000)
            await side.logged_in()
            await platform.ask("control 4")
            assert in_force(side) == (10_000, 1_000, 60_000, 1_800_000, 60_000)
        assert on_disk[1]["values"] == {}

    minutes = 7 * 60_000
    commanding(tmp_path, test, edition)


def test_a_new_heartbeat_holds_at_once(tmp_path):
    async def test(clock, platform, config):
        async with process(changed(config, "platform", heartbeat_s=240), clock) as side:
            await side.logged_in()
            await side.passes(30)
            await platform.ask("set 9=10")
            at = platform.received.read("SELECT max(received_ms) FROM packets")[0][0]
            await side.until(lambda: len(platform.times("heartbeat")) >= 3)
            beats = [at, *platform.times("heartbeat")[:3]]
            waits = [(later - earlier) / 1000 for earlier, later in pairwise(beats)]
            assert all(9 <= wait < 30 for wait in waits), waits

    commanding(tmp_path, test)
