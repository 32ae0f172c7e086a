"""Parameters over a real outbox: what the platform set outranks the file, outlives the process, and never stops the agent."""

import asyncio
import json
import resource
import sqlite3
from contextlib import closing, contextmanager

import msgspec
import pytest
from commanded_parts import make_config, store, with_edition
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.cli import main
from agent.commands.params import KEYS
from agent.config import Report
from agent.core.editions import EDITIONS
from agent.core.occasion import ReportSettings
from agent.core.session import SessionSettings
from agent.platform.parameters import KEY, Endpoint, Parameters

E2016, E2025 = EDITIONS["2016"], EDITIONS["2025"]


def run(coroutine):
    return asyncio.run(coroutine)


def on_disk(folder):
    with closing(sqlite3.connect(folder / "outbox.db")) as db:
        found = db.execute("SELECT value FROM meta WHERE key = ?", (KEY,)).fetchone()
    return None if found is None else json.loads(found[0])


async def loaded(config, change=None, edition=E2016):
    async with store(config.path(".")) as outbox:
        parameters = await Parameters.load(config, edition, outbox)
        if change is not None:
            await change(parameters, outbox)
        return parameters


def report_ms(parameters):
    found = parameters.report_settings()
    return found.period_ms, found.alarm_period_ms, found.storage_ms


def test_without_a_platform_the_defaults_and_the_file_hold(tmp_path):
    parameters = run(loaded(make_config(tmp_path)))
    assert parameters.values == {
        0x01: 10_000,
        0x02: 10,
        0x03: 1000,
        0x04: 9,
        0x05: b"ev.test.a",
        0x06: 32960,
        0x07: b"HW1\0\0",
        0x08: b"1.2.0",
        0x09: 60,
        0x0A: 60,
        0x0B: 60,
        0x0C: 30,
        0x0D: 0,
        0x0E: b"",
        0x0F: 0xFFFF,
        0x10: 2,
    }
    assert report_ms(parameters) == (10_000, 1000, 10_000)
    settings = parameters.session_settings()
    assert (settings.heartbeat_ms, settings.login_retry_ms, settings.login_wait_ms) == (60_000, 60_000, 1_800_000)
    assert settings.answer_timeout_ms == 60_000
    assert parameters.endpoint() == Endpoint("ev.test.a", 32960)
    assert (parameters.previous(), parameters.public_endpoint()) == (None, None)


@pytest.mark.parametrize("edition", [E2016, E2025])
@pytest.mark.parametrize("port", [1, 65_531, 65_532, 65_535])
def test_whatever_the_file_says_a_query_can_be_answered(tmp_path, edition, port):
    config = make_config(
        tmp_path,
        edition.name,
        {"host": "h" * 300, "port": port, "public_host": "öffentlich.example", "public_port": port},
    )
    parameters = run(loaded(config, edition=edition))
    edition.commands[0x80].answer.encode({"parameters": list(parameters.values.items())})
    assert parameters.endpoint().port == port


def test_the_units_are_those_of_the_edition(tmp_path):
    parameters = run(loaded(make_config(tmp_path, "2025"), edition=E2025))
    assert (parameters.get(1), parameters.get(2), parameters.get(3)) == (10_000, 10, 1)
    assert report_ms(parameters) == (10_000, 1000, 10_000)
    assert parameters.session_settings().login_retry_ms == 180_000


def test_a_period_that_its_row_does_not_hold_is_the_nearest_one():
    def periods(edition, **report):
        config = msgspec.structs.replace(make_config("/", edition.name), report=Report(**report))
        return report_ms(Parameters(config, edition, None))

    assert periods(E2016, interval_s=60, alarm_interval_ms=3000) == (60_000, 3000, 10_000)
    assert periods(E2025, interval_s=60, alarm_interval_ms=3000) == (30_000, 1000, 10_000)


def test_what_is_set_is_on_the_disk_at_once_and_survives_a_restart(tmp_path):
    config = make_config(tmp_path)

    async def change(parameters, outbox):
        assert await parameters.set({0x02: 30, 0x09: 20})
        assert on_disk(tmp_path) == {"edition": "2016", "values": {"02": 30, "09": 20}, "previous": None}

    assert run(loaded(config, change)).get(0x02) == 30
    parameters = run(loaded(config))
    assert parameters.report_settings().period_ms == 30_000
    assert parameters.session_settings().heartbeat_ms == 20_000
    assert parameters.from_platform == {0x02: 30, 0x09: 20}

    async def factory(parameters, outbox):
        assert await parameters.factory_settings()
        assert on_disk(tmp_path)["values"] == {}

    assert run(loaded(config, factory)).get(0x02) == 10
    assert run(loaded(config)).from_platform == {}


def test_a_new_address_is_on_trial_until_a_login(tmp_path):
    config = make_config(tmp_path)
    new = {0x04: 5, 0x05: b"b.net", 0x06: 1234}

    async def move(parameters, outbox):
        assert await parameters.set({**new, 0x02: 20})

    run(loaded(config, move))
    parameters = run(loaded(config))
    assert parameters.endpoint() == Endpoint("b.net", 1234, trial=True)
    assert parameters.previous() == Endpoint("ev.test.a", 32960)
    assert parameters.get(0x04) == 5

    async def fail(parameters, outbox):
        assert await parameters.restore()
        assert not await parameters.restore()

    run(loaded(config, fail))
    parameters = run(loaded(config))
    assert parameters.endpoint() == Endpoint("ev.test.a", 32960)
    assert (parameters.previous(), parameters.get(0x02)) == (None, 20)

    async def succeed(parameters, outbox):
        await parameters.set(new)
        await parameters.confirm()
        assert not await parameters.restore()
        await parameters.set({0x06: 99})

    run(loaded(config, succeed))
    parameters = run(loaded(config))
    assert parameters.endpoint() == Endpoint("b.net", 99, trial=True)
    assert parameters.previous() == Endpoint("b.net", 1234)

    async def there_and_back(parameters, outbox):
        await parameters.set({0x06: 98})  # a second address while the first is on trial: the way back stays
        assert parameters.previous() == Endpoint("b.net", 1234)
        await parameters.set({0x09: 30})  # nothing to do with addresses
        assert parameters.endpoint() == Endpoint("b.net", 98, trial=True)
        await parameters.set({0x06: 1234})
        assert parameters.endpoint() == Endpoint("b.net", 1234)
        assert parameters.previous() is None

    run(loaded(config, there_and_back))


def test_only_the_address_goes_back(tmp_path):
    async def change(parameters, outbox):
        await parameters.set({0x02: 20, 0x09: 30})
        await parameters.set({0x02: 25, 0x04: 5, 0x05: b"b.net", 0x06: 1234})
        assert on_disk(tmp_path)["values"] == {"02": 25, "05": "b.net", "06": 1234, "09": 30}  # a length is no value
        await parameters.restore()
        assert parameters.from_platform == {0x02: 25, 0x09: 30}

    run(loaded(make_config(tmp_path), change))


@pytest.mark.parametrize(
    ("given", "edition", "retry_ms"), [({}, E2025, 180_000), ({"login_retry_s": 90}, E2025, 90_000)]
)
def test_the_time_to_the_next_login_is_the_editions_unless_configured(tmp_path, given, edition, retry_ms):
    parameters = run(loaded(with_edition(make_config(tmp_path, platform=given), edition.name), edition=edition))
    assert parameters.session_settings().login_retry_ms == retry_ms


def test_a_stored_way_back_leads_to_an_address_and_nothing_else(tmp_path):
    stored = {"edition": "2016", "values": {"05": "c.net", "06": 1}, "previous": {"02": 99, "05": "b.net", "06": 1234}}

    async def write(parameters, outbox):
        await outbox.meta_set(KEY, json.dumps(stored))

    async def back(parameters, outbox):
        assert await parameters.restore()

    run(loaded(make_config(tmp_path), write))
    assert run(loaded(make_config(tmp_path), back)).from_platform == {0x04: 5, 0x05: b"b.net", 0x06: 1234}


def test_the_defaults_are_those_of_the_session_and_of_the_reports(tmp_path):
    defaults = run(loaded(make_config(tmp_path))).defaults
    session, report = SessionSettings(), ReportSettings()
    assert [defaults[number] for number in (0x01, 0x02, 0x03)] == [
        report.storage_ms,
        report.period_ms // 1000,
        report.alarm_period_ms,
    ]
    assert [defaults[number] for number in (0x09, 0x0B, 0x0C)] == [
        session.heartbeat_ms // 1000,
        session.answer_timeout_ms // 1000,
        session.login_wait_ms // 60_000,
    ]


def test_no_platform_listens_on_port_0(tmp_path):
    stored = json.dumps({"edition": "2016", "values": {"0E": "c.net", "0F": 0, "10": 1}})
    parameters = Parameters(make_config(tmp_path), E2016, None, stored)
    assert (parameters.public_endpoint(), parameters.monitored()) == (None, None)


def test_a_public_platform_is_known_when_it_was_named(tmp_path):
    async def change(parameters, outbox):
        await parameters.set({0x0D: 5, 0x0E: b"c.net", 0x0F: 77})
        assert parameters.public_endpoint() == Endpoint("c.net", 77)
        assert parameters.endpoint().trial is False

    run(loaded(make_config(tmp_path), change))
    config = make_config(tmp_path / "other", platform={"public_host": "d.net"})
    (tmp_path / "other").mkdir()
    assert run(loaded(config)).public_endpoint() == Endpoint("d.net", 32960)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "{",
        "[]",
        "null",
        '{"edition": 2016, "values": {}}',
        '{"edition": "2016", "values": {"02": 1.5}}',
        '{"edition": "2016", "values": {"02": [1]}}',
        "[" * 100_000,
        '{"more": ' + "[" * 100_000,
        '{"edition": "2016", "values": {"02": "ten", "05": 3, "xx": 1, "": 1, "07": "HW9", "02 ": 9, "FF": 1, "0d": 3}}',
        '{"edition": "2016", "values": {"02": 0, "09": 300, "05": "a b", "06": 99999999999999}, "previous": {"05": ""}}',
        '{"edition": "2099", "values": {"02": 20}}',
        '{"edition": "2016", "values": {"04": 200, "0D": 99}}',
    ],
)
def test_a_damaged_stored_set_is_said_and_ignored(tmp_path, caplog, stored):
    async def damage(parameters, outbox):
        await outbox.meta_set(KEY, stored)

    config = make_config(tmp_path)
    run(loaded(config, damage))
    caplog.clear()
    parameters = run(loaded(config))
    assert parameters.from_platform == {}
    assert len(caplog.messages) == 1
    assert "ignored" in caplog.text
    assert len(caplog.text) < 2000


names = st.sampled_from(["edition", "values", "previous", "02", "05", "06", "2016"]) | st.text()


@settings(max_examples=30)
@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.floats(),
        lambda inner: st.dictionaries(names, inner) | st.lists(inner),
    )
)
def test_any_json_may_be_stored(value):
    config = make_config("/")
    parameters = Parameters(config, E2016, None, json.dumps(value))
    E2016.commands[0x80].answer.encode({"parameters": list(parameters.values.items())})
    parameters.session_settings()
    parameters.endpoint()


def test_a_set_of_the_other_edition_keeps_what_means_the_same(tmp_path, caplog):
    async def change(parameters, outbox):
        await parameters.set({0x01: 5000, 0x02: 100, 0x03: 1, 0x09: 20})

    config = make_config(tmp_path)
    run(loaded(config, change))
    caplog.clear()
    parameters = run(loaded(with_edition(config, "2025"), edition=E2025))
    # 100 s is above the 30 of this edition; 1 was a millisecond and would be a second
    assert parameters.from_platform == {0x01: 5000, 0x09: 20}
    assert "'02' = '100', '03' = '1'" in caplog.text
    assert "2016" in caplog.text
    assert run(loaded(config)).from_platform == {0x01: 5000, 0x02: 100, 0x03: 1, 0x09: 20}


@contextmanager
def no_file_grows():
    """As on a full disk: the kernel refuses what goes beyond the first byte of any file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_refuses_changes_nothing(tmp_path):
    async def change(parameters, outbox):
        assert await parameters.set({0x02: 20})
        with no_file_grows():
            assert not await parameters.set({0x02: 30, 0x05: b"b.net"})
            assert not await parameters.factory_settings()
        assert parameters.get(0x02) == 20
        assert parameters.endpoint() == Endpoint("ev.test.a", 32960)

    config = make_config(tmp_path)
    run(loaded(config, change))
    assert run(loaded(config)).from_platform == {0x02: 20}


def test_the_way_back_is_taken_also_when_the_disk_refuses(tmp_path):
    async def change(parameters, outbox):
        assert await parameters.set({0x05: b"b.net"})
        with no_file_grows():
            assert await parameters.restore()
        assert parameters.endpoint() == Endpoint("ev.test.a", 32960)

    config = make_config(tmp_path)
    run(loaded(config, change))
    assert run(loaded(config)).endpoint() == Endpoint("ev.test.a", 32960)


def test_params_and_check_show_what_holds(tmp_path, capsys):
    path = tmp_path / "tbox.toml"
    path.write_text(
        '[vehicle]\nvin = "LTBXTEST100000001"\nmapping = "shipped:reference_ev.toml"\nhardware_version = "HW1"\n'
        '[[can]]\nname = "pt"\ninterface = "virtual"\n[[can]]\nname = "body"\ninterface = "virtual"\n'
        '[platform]\nhost = "ev.test.a"\nheartbeat_s = 45\n[report]\n'
        'storage_interval_ms = 2000\nalarm_interval_ms = 3000\n[outbox]\npath = "outbox.db"\n'
    )
    assert main(["params", "-c", str(path), "--json"]) == 0
    assert {row["platform"] for row in json.loads(capsys.readouterr().out)} == {None}

    async def change(parameters, outbox):
        await parameters.set({0x02: 30, 0x09: 20, 0x05: b"b.net", 0x04: 5})

    run(loaded(make_config(tmp_path), change))
    assert main(["params", "-c", str(path), "--json"]) == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)}
    assert len(rows) == 16
    # Only how long the platform waits, and monitoring itself, have no place in a configuration.
    assert set(KEYS) == {int(number, 16) for number in rows} - {0x0A, 0x10}
    columns = ("default", "file", "platform", "in_force")
    assert [rows["09"][column] for column in columns] == [60, 45, 20, 20]
    assert [rows["02"][column] for column in columns] == [10, None, 30, 30]
    assert [rows["05"][column] for column in columns] == [None, "ev.test.a", "b.net", "b.net"]
    assert [rows["01"][column] for column in columns] == [10_000, 2000, None, 2000]
    assert [rows["03"][column] for column in columns] == [1000, 3000, None, 3000]
    assert rows["0A"]["in_force"] == 60
    assert main(["params", "-c", str(path), "--lang", "zh"]) == 0
    out = capsys.readouterr().out
    assert "车载终端心跳发送周期" in out
    assert "back to ev.test.a:32960" in out
    main(["check", "-c", str(path), "--json"])
    warnings = json.loads(capsys.readouterr().out)["warnings"]
    assert "parameter 09 heartbeat period, s: the platform set 20, instead of 45" in warnings
    assert any(
        text.startswith("parameter 05 domain: the platform set b.net, instead of ev.test.a") for text in warnings
    )
