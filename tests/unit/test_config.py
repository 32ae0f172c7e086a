"""The configuration: every fault of a file in one go, each with what is allowed."""

import textwrap
from pathlib import Path

import pytest

from agent.cli import main
from agent.config import dbc_folder, load_config, login_values, vin_warning
from agent.core.editions import EDITIONS
from agent.errors import ConfigError

GOOD = """
[vehicle]
vin = "LTBXTEST100000001"
mapping = "shipped:reference_ev.toml"
[[can]]
name = "pt"
interface = "virtual"
[platform]
host = "127.0.0.1"
"""


def faults_of(tmp_path, text):
    path = tmp_path / "tbox.toml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert all(line.startswith(str(path)) for line in str(caught.value).splitlines())
    return caught.value.faults


def test_a_short_file_takes_the_documented_defaults(tmp_path):
    path = tmp_path / "tbox.toml"
    path.write_text(GOOD)
    config = load_config(path)
    assert (config.report.interval_s, config.platform.policy, config.platform.settle_s) == (10, "none", 10)
    assert (config.outbox.keep_days, config.outbox.max_mb, config.outbox.reissue_days) == (7, 512, 7)
    assert (config.platform.drain_per_s, config.can[0].listen_only) == (20, True)
    assert config.path("x/y.db") == tmp_path / "x" / "y.db"
    assert config.mapping_path() == dbc_folder() / "reference_ev.toml"
    assert config.mapping_path().exists()


def test_every_fault_is_named_in_one_go(tmp_path):
    faults = faults_of(
        tmp_path,
        """
        [vehicle]
        vin = "LTBXTEST0000O01"
        mappin = "a.toml"
        iccid = "123"
        edition = "2017"
        codes = ["A", "BB"]
        [[can]]
        name = "pt"
        interface = "virtual"
        chanel = "x"
        [[can]]
        name = "pt"
        interface = "virtual"
        [platform]
        host = "127.0.0.1"
        port = 99999
        policy = "both"
        [report]
        interval_s = "ten"
        [outbox]
        keep_dayz = 3
        [extra]
        """,
    )
    expected = [
        "vehicle.mappin: unknown key; did you mean mapping?",
        "vehicle.mapping: is missing",
        "vehicle.vin = 'LTBXTEST0000O01': has 15 characters",
        "vehicle.vin = 'LTBXTEST0000O01': O cannot stand in a VIN",
        "vehicle.iccid = '123': has 3 characters",
        "vehicle.edition = '2017': allowed: 2016",
        "vehicle.codes",
        "can[0].chanel: unknown key; did you mean channel?",
        "can: two buses are named 'pt'",
        "platform.port = 99999",
        "platform.policy = 'both'",
        "report.interval_s = 'ten'",
        "outbox.keep_dayz: unknown key; did you mean keep_days?",
        "extra: unknown key",
    ]
    for text in expected:
        assert any(fault.startswith(text) for fault in faults), f"{text!r} is not among {faults}"
    assert len(faults) == len(expected)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "vehicle: is missing"),
        ("vehicle = 3", "[vehicle]"),
        ("[can]\nname = 'pt'", "[[can]]"),
        ("can = []", "no bus"),
        ("folder = '/'", "folder: unknown key"),
        ("[vehicle\n", "is not TOML"),
        ("[vehicle]\nvin = 17", "vehicle.vin = 17"),
    ],
)
def test_what_is_no_configuration_is_said_so(tmp_path, text, said):
    assert any(said in fault for fault in faults_of(tmp_path, text))


def test_a_missing_file_says_how_to_begin(tmp_path):
    with pytest.raises(ConfigError, match="tbox init"):
        load_config(tmp_path / "nothing.toml")


def test_a_file_of_bytes_is_refused_not_raised_through(tmp_path):
    path = tmp_path / "tbox.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(path)


def test_check_digits_are_warned_about_not_enforced():
    assert vin_warning("LTBXTESTX10000001") is None  # the digit for 10
    assert vin_warning("LTBXTEST100000001") is None
    assert "'X'" in str(vin_warning("LTBXTEST110000001"))


def test_a_nul_character_is_a_fault_and_not_a_path(tmp_path):
    faults = faults_of(tmp_path, GOOD.replace("shipped:reference_ev.toml", "a\\u0000b"))
    assert len(faults) == 1
    assert "vehicle.mapping" in faults[0]
    assert "NUL" in faults[0]


def vehicle(text):
    return GOOD.replace("[vehicle]\n", f"[vehicle]\n{text}\n")


CODE = "PACK00000000000000000001"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('codes = ["PACK0001", "PACK0002"]', {"codes": [b"PACK0001", b"PACK0002"], "code_length": 8}),
        ("", {"codes": [], "code_length": 0}),
        ('edition = "2025"\npacks = []', {"codes": [], "packs": []}),
        (
            f'edition = "2025"\npacks = [1, 0, 2]\ncodes = ["{CODE}", "{CODE[:-1]}2", "{CODE[:-1]}3"]',
            {"codes": [CODE[:-1].encode() + digit for digit in (b"1", b"2", b"3")], "packs": [1, 0, 2]},
        ),
    ],
)
def test_login_values_have_the_shape_of_the_edition(tmp_path, text, values):
    path = tmp_path / "tbox.toml"
    path.write_text(vehicle(text))
    config = load_config(path)
    given = login_values(config.vehicle)
    layout = EDITIONS[config.vehicle.edition].commands[1].layout
    assert layout.decode(layout.encode({"serial": 1, **given}))[0] == {"serial": 1, "iccid": b"0" * 20, **values}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('edition = "2025"', ["vehicle.packs: is missing; edition 2025 needs it: packs = [1, 2]"]),
        ('edition = "2025"\npacks = [2]', ["vehicle.codes: 0 codes for 2 packs"]),
        (
            'edition = "2025"\npacks = [51, -1]\ncodes = ["SHORT"]',
            [
                "vehicle.codes: 'SHORT' has 5 characters; a pack code (GB/T 34014) has 24",
                "vehicle.packs = [51, -1]: -1 packs of one battery management system; allowed: 0 to 50",
                "vehicle.packs = [51, -1]: 51 packs",
                "vehicle.codes: 1 codes for 50 packs",
            ],
        ),
        (f'edition = "2025"\npacks = {[0] * 21}', ["vehicle.packs: 21 battery management systems; at most 20"]),
        ('packs = [1]\ncodes = ["A", "BB"]', ["vehicle.packs: edition 2016 has no packs", "vehicle.codes"]),
        ('packs = "one"', ["vehicle.packs = 'one'"]),
        ('hardware_version = "1.2.34"', ["vehicle.hardware_version = '1.2.34': "]),
        ('firmware_version = "1\u00e9"', ["vehicle.firmware_version = '1\u00e9': "]),
        ('codes = ["\u7535"]', ["vehicle.codes: '\u7535' is not plain ASCII"]),
    ],
)
def test_faults_of_the_login_are_named_all_at_once(tmp_path, text, said):
    faults = faults_of(tmp_path, vehicle(text))
    assert len(faults) == len(said), faults
    for fault, begin in zip(faults, said, strict=True):
        assert fault.startswith(begin)


@pytest.mark.parametrize(
    ("key", "good", "bad", "said"),
    [
        ("interval_s", 30, 31, "allows 1 to 30 (parameter 02)"),
        ("alarm_interval_ms", 1000, 1001, "allows 0 to 1000 (parameter 03)"),
    ],
)
def test_periods_are_those_of_the_edition(tmp_path, key, good, bad, said):
    text = GOOD.replace("[vehicle]", '[vehicle]\nedition = "2025"\npacks = []')
    (tmp_path / "good.toml").write_text(f"{text}[report]\n{key} = {good}\n")
    load_config(tmp_path / "good.toml")
    (tmp_path / "other.toml").write_text(f"{GOOD}[report]\n{key} = {bad}\n")
    load_config(tmp_path / "other.toml")
    (fault,) = faults_of(tmp_path, f"{text}[report]\n{key} = {bad}\n")
    assert fault == f"report.{key} = {bad}: edition 2025 {said}"
    assert len(faults_of(tmp_path, f"{text}[report]\n{key} = 70000\n")) == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[vehicle]\nedition = 2025", 'vehicle.edition = 2025: expected a text in "quotes", got a whole number'),
        ("[vehicle]\npacks = 1", "vehicle.packs = 1: expected a list [...], got a whole number"),
        (
            '[vehicle]\ncodes = ["A", 2]',
            """vehicle.codes = ['A', 2]: expected a text in "quotes", got a whole number - at [1]""",
        ),
        (
            '[vehicle]\nhardware_version = "1.0 b"',
            "vehicle.hardware_version = '1.0 b': allowed: at most 5 of A-Z a-z 0-9 . _ -",
        ),
        ('[can]\nname = "p t"', "can[0].name = 'p t': allowed: letters, digits and _, no digit first"),
        ('[platform]\nport = "1"', "platform.port = '1': expected a whole number, got a text in \"quotes\""),
        ("[platform]\nport = 0", "platform.port = 0: expected a whole number >= 1"),
        ('[platform]\nallowed_platforms = ["a"]', "platform.allowed_platforms = ['a']: allowed: \"host:port\""),
        (
            '[security]\nchip_id = "CHIP0001CHIP00012"',
            "security.chip_id = 'CHIP0001CHIP00012': allowed: at most 16 ASCII characters",
        ),
        ('[security]\nsm2_id = ""', "security.sm2_id = '': allowed: 1 to 64 ASCII characters"),
    ],
)
def test_a_wrong_type_is_told_in_words_of_the_file(tmp_path, line, said):
    section, setting = line.split("\n")
    text = GOOD.replace("[[can]]\nname", "[[can]]\n# name") if section == "[can]" else GOOD
    heading = "[[can]]" if section == "[can]" else section
    text = text.replace(heading, f"{heading}\n{setting}") if heading in text else f"{text}{section}\n{setting}\n"
    assert faults_of(tmp_path, text) == [said]


def test_packs_are_no_fault_of_their_own_beside_an_edition_that_is_one(tmp_path):
    for edition in ('"2052"', "2025"):
        text = GOOD.replace("[vehicle]", f"[vehicle]\nedition = {edition}\npacks = [1]")
        (fault,) = faults_of(tmp_path, text)
        assert fault.startswith("vehicle.edition = ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = " + "[" * 100_000, "lie too deep"),
        ("a = " + "9" * 50_000, "thousands of digits"),
        ("[vehicle]\nedition = [1]", "vehicle.edition"),
        ("[platform]\nhost = 'a..b'", "neither a host name nor an address"),
        ("[platform]\nhost = '\uff0e'", "neither a host name nor an address"),
        ("[platform]\nhost = 'a'\npublic_host = '" + "\xe9" * 200 + "'", "platform.public_host"),
        ("[platform]\nhost = '[::1]'", "neither a host name nor an address"),
    ],
)
def test_what_no_parser_and_no_resolver_has_an_error_for(tmp_path, text, said):
    assert any(said in fault for fault in faults_of(tmp_path, text))


@pytest.mark.parametrize("host", ["::1", "192.0.2.7", "tbox_platform", "ev.test.a.", "xn--fsqu00a.test"])
def test_hosts(tmp_path, host):
    path = tmp_path / "tbox.toml"
    path.write_text(GOOD.replace('host = "', f'host = "{host}"\n# "', 1))
    assert load_config(path).platform.host == host


@pytest.mark.parametrize("written", ["0x{}", '["{}"]', '{{ hex = "{}" }}', '"{}\\u0000"'])
def test_a_key_in_the_place_of_its_file_is_not_repeated(tmp_path, written):
    key = "1122334455667788"
    faults = faults_of(tmp_path, f"{GOOD}\n[security]\ndata_key = {written.format(key[:14])}\n")
    assert any("security.data_key = (not shown)" in fault for fault in faults)
    assert not any(key[:14] in fault or str(int(key[:14], 16)) in fault for fault in faults)


def test_a_fault_shows_the_begin_of_an_endless_value(tmp_path):
    faults = faults_of(tmp_path, f'{GOOD}\n[security]\nsign = "{"x" * 1_000_000}"\n')
    assert all(len(fault) < 400 for fault in faults)


def test_a_home_that_is_nobodys_is_a_path_like_any_other(tmp_path):
    path = tmp_path / "tbox.toml"
    path.write_text(GOOD)
    assert load_config(path).path("~nobodys-name/key.pem") == tmp_path / "~nobodys-name/key.pem"
    assert load_config(path).path("~/key.pem") == Path("~/key.pem").expanduser()


def test_check_has_no_traceback_for_what_load_refuses(tmp_path, capsys):
    path = tmp_path / "tbox.toml"
    path.write_text("a = " + "[" * 100_000)
    assert main(["check", "-c", str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
