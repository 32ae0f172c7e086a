"""A platform moves its terminal to another one, over TLS and in vain; it drops the link; it orders programs."""

from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from commanded_parts import recorder
from side_parts import SPEED, configured, place, played, process, server_side, stored, until

from agent.clock import Clock
from bench.answers import POLICIES

REFUSING = replace(POLICIES["each"], refuse_login=2)


@asynccontextmanager
async def two(folder, certificates, *, tls=True, policy=POLICIES["each"], allowed=True, **options):
    """(clock, old platform, new platform, configuration of a terminal of the old one)."""
    clock = Clock(SPEED)
    context = server_side(certificates) if tls else None
    async with (
        place(folder / "old", clock, tls=context) as old,
        place(folder / "new", clock, tls=context, policy=policy) as new,
    ):
        platform = {"host": "localhost", "tls": tls, "tls_ca": str(certificates / "ca.pem") if tls else ""}
        platform["allowed_platforms"] = [f"localhost:{new.port}"] if allowed else []
        yield clock, old, new, configured(folder, old.port, platform=platform | options)


def trial(side):
    endpoint, previous = side.side.parameters.endpoint(), side.side.parameters.previous()
    return endpoint.port, endpoint.trial, previous.port if previous else None


def test_a_terminal_that_is_moved_stays_moved(tmp_path, certificates):
    async def scene():
        async with two(tmp_path, certificates) as (clock, old, new, config):
            async with process(config, clock) as side:
                await side.logged_in()
                await old.ask(f"set 5=localhost 6={new.port}")
                await side.until(lambda: new.commands("vehicle_login"))
                await side.until(lambda: trial(side) == (new.port, False, None))
                assert len(old.commands("vehicle_logout")) == 1  # the old one hears it
                await side.report(3)
                await side.until(lambda: len(set(new.seconds("realtime", "reissue"))) == 3)
            async with process(config, clock) as side:
                await side.logged_in()
            assert (len(old.commands("vehicle_login")), len(new.commands("vehicle_login"))) == (1, 2)
            assert old.orders == [(0x81, 1)]

    played(scene)


@pytest.mark.parametrize("fault", ["refuses", "is silent", "does not listen", "takes links and drops them"])
def test_a_move_in_vain_ends_at_the_old_platform_which_hears_of_it(tmp_path, certificates, fault):
    policy = {
        "refuses": REFUSING,
        "is silent": POLICIES["silent"],
        "takes links and drops them": replace(POLICIES["each"], drop_after=1),
    }.get(fault, POLICIES["each"])

    async def scene():
        async with two(tmp_path, certificates, policy=policy) as (clock, old, new, config):
            if fault == "does not listen":
                await new.platform.stop()
            async with process(config, clock) as side:
                await side.logged_in()
                await old.ask(f"set 5=localhost 6={new.port}")
                await side.report(3)
                await side.until(lambda: len(old.commands("vehicle_login")) == 2)
                assert trial(side) == (old.port, False, None)
                if fault != "does not listen":
                    assert len(new.commands("vehicle_login")) == 3
                await side.until(lambda: len(answers(old, 0x81)) == 2)
                assert [flag for flag, _ in answers(old, 0x81)] == [1, 2]
                await side.until(lambda: len(set(old.seconds("realtime", "reissue"))) == 3)
                # The platform that repeats it hears the same again, and the terminal stays.
                link = next(iter(old.platform._by_vin.values()))
                link.send(old.received.read("SELECT packet FROM orders")[0][0])
                await side.until(lambda: len(answers(old, 0x81)) == 3)
                assert answers(old, 0x81)[-1][0] == 2
                assert side.uplink.state == "logged_in"
            async with process(config, clock) as side:
                await side.logged_in()
            assert len(old.commands("vehicle_login")) == 3

    played(scene)


def answers(place, command):
    """(flag, link) of each answer to a command that came."""
    name = {0x81: "parameter_set", 0x82: "control"}[command]
    text = "SELECT response, link FROM packets WHERE command = ? AND response <> 254 ORDER BY id"
    return place.received.read(text, name)


def test_the_old_platform_is_logged_in_at_once_although_the_new_one_refused_three_logins(tmp_path, certificates):
    async def scene():
        async with (
            two(tmp_path, certificates, policy=REFUSING) as (clock, old, new, config),
            process(config, clock) as side,
        ):
            await side.logged_in()
            old.platform.policy = replace(POLICIES["each"])
            await old.ask(f"set 5=localhost 6={new.port}")
            await side.until(lambda: len(new.commands("vehicle_login")) == 3)
            await old.platform.stop()
            old.platform.policy = REFUSING  # once: the terminal must try again in a minute, not in half an hour
            await old.platform.restore()
            await side.until(lambda: len(old.commands("vehicle_login")) == 2)
            for link in old.platform._links:
                link._policy = POLICIES["each"]
            old.platform.policy = POLICIES["each"]
            await side.logged_in()
            first, second = old.times("vehicle_login")[1:3]
            assert second - first < 200_000

    played(scene)


def test_a_restart_in_the_middle_of_the_trial_still_falls_back(tmp_path, certificates):
    async def scene():
        async with two(tmp_path, certificates, policy=POLICIES["silent"]) as (clock, old, new, config):
            async with process(config, clock) as side:
                await side.logged_in()
                await old.ask(f"set 5=localhost 6={new.port}")
                await side.until(lambda: new.commands("vehicle_login"))
            assert stored(config, "parameters")["previous"] is not None
            async with process(config, clock) as side:
                assert trial(side) == (new.port, True, old.port)
                await side.until(lambda: len(old.commands("vehicle_login")) == 2)
                assert trial(side) == (old.port, False, None)
            async with process(config, clock) as side:
                assert trial(side) == (old.port, False, None)

    played(scene)


@pytest.mark.parametrize(("tls", "allowed"), [(False, True), (True, False)], ids=["plain TCP", "not allowed"])
def test_a_move_that_nobody_vouches_for_is_refused(tmp_path, certificates, caplog, tls, allowed):
    async def scene():
        async with two(tmp_path, certificates, tls=tls, allowed=allowed) as (clock, old, new, config):
            async with process(config, clock) as side:
                await side.logged_in()
                await old.ask(f"set 5=localhost 6={new.port}", 2)
                await side.report()
                await side.until(lambda: side.uplink.sending.counters.proven == 1)
            assert new.received.read("SELECT count(*) FROM packets") == [(0,)]

    played(scene)
    why = "is not among the allowed ones" if tls else "over a link that has not proved whose it is"
    assert "security: new platform localhost:" in caplog.text
    assert why in caplog.text


# -- controls ----------------------------------------------------------------------------------------------------------


def test_the_link_is_dropped_after_the_answer_and_back_in_a_minute_and_a_repeat_drops_nothing(tmp_path):
    async def scene():
        clock = Clock(SPEED)
        async with (
            place(tmp_path / "platform", clock) as platform,
            process(configured(tmp_path, platform.port), clock) as side,
        ):
            await side.logged_in()
            await platform.ask("control 5")
            await side.until(lambda: platform.commands("vehicle_logout"))
            await side.report(3)
            await side.until(lambda: len(platform.commands("vehicle_login")) == 2)
            logout, login = platform.times("vehicle_logout")[0], platform.times("vehicle_login")[1]
            assert 58_000 <= login - logout < 75_000
            order = platform.received.read("SELECT command, link FROM packets ORDER BY id LIMIT 4")
            assert order == [("vehicle_login", 1), ("control", 1), ("vehicle_logout", 1), ("vehicle_login", 2)]
            await side.logged_in()
            next(iter(platform.platform._by_vin.values())).send(
                platform.received.read("SELECT packet FROM orders")[0][0]
            )
            await side.until(lambda: len(answers(platform, 0x82)) == 2)
            await side.report(3)
            await side.until(lambda: side.uplink.sending.counters.proven == 6)
            assert answers(platform, 0x82) == [(1, 1), (1, 2)]
            assert len(platform.commands("vehicle_login")) == 2

    played(scene)


@pytest.mark.parametrize(
    ("number", "name", "words"), [(2, "power_off", ""), (3, "reset", ""), (6, "alarm", " 2 brake")]
)
def test_a_program_starts_when_its_answer_has_arrived_and_a_repeat_starts_none(tmp_path, number, name, words):
    count = tmp_path / "count"
    argv, record = recorder(tmp_path, f"echo x >> {count}")

    async def scene():
        clock = Clock(SPEED)
        async with place(tmp_path / "platform", clock) as platform:
            given = [*argv, "{level}", "{text}"] if name == "alarm" else argv
            async with process(configured(tmp_path, platform.port, **{name: given}), clock) as side:
                await side.logged_in()
                await side.report(50)
                await platform.ask(f"control {number}{words}")
                await until(clock, count.exists)
                next(iter(platform.platform._by_vin.values())).send(
                    platform.received.read("SELECT packet FROM orders")[0][0]
                )
                await side.until(lambda: len(answers(platform, 0x82)) == 2)
                await side.side._commanded.idle()
            assert count.read_text() == "x\n"
            if name == "alarm":
                assert record.read_text() == "2\nbrake\n"

    played(scene)
