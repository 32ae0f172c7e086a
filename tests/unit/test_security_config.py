"""The `[security]` section: what has to be there, what contradicts, and what `tbox check` shows of it."""

import subprocess
import sys
import textwrap

import msgspec
import pytest

from agent.config import load_config
from agent.errors import ConfigError
from agent.security import Security, describe, security_faults

CONFIG = """
[vehicle]
vin = "LGBTEST0000000017"
mapping = "shipped:reference_ev.toml"
[[can]]
name = "pt"
interface = "virtual"
[platform]
host = "127.0.0.1"
"""


def load(tmp_path, section):
    path = tmp_path / "tbox.toml"
    path.write_text(CONFIG + textwrap.dedent(section), encoding="utf-8")
    return load_config(path)


def test_without_the_section_everything_is_plain(tmp_path):
    security = load(tmp_path, "").security
    assert security == Security()
    assert (security.encryption, security.sign, security.activation) == ("none", "none", False)
    assert security_faults(None, "2016") == security_faults({}, "2016") == []
    assert describe(security) == [("encryption", "none"), ("signature", "none"), ("activation", "none")]


def test_every_fault_of_the_section_is_named_in_one_go(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(
            tmp_path,
            """
            [security]
            encryption = "des"
            sign = "sm2"
            activation = true
            block_mode = "cfb"
            iv = "00"
            chip_id = "a chip id of far too many characters"
            sm2_id = ""
            wraped_keys = false
            """,
        )
    expected = [
        "security.encryption = 'des'",
        "security.block_mode = 'cfb'",
        "security.iv = '00'",
        "security.chip_id = 'a chip id of",
        "security.sm2_id = ''",
        "security.wraped_keys: unknown key; did you mean wrapped_keys?",
        'security.private_key: is missing; sign = "sm2" needs the path of a PEM file; `tbox identity --new-key` makes one',
        'security.sign = "sm2": came with the 2025 edition',
        "security.activation = true: came with the 2025 edition",
    ]
    for text in expected:
        assert any(fault.startswith(text) for fault in caught.value.faults), f"{text!r} not in {caught.value.faults}"
    assert len(caught.value.faults) == len(expected)


@pytest.mark.parametrize(
    ("table", "edition", "said"),
    [
        (
            {"encryption": "aes"},
            "2016",
            'security.data_key: is missing; encryption = "aes" needs a file of 32 hex digits',
        ),
        ({"encryption": "rsa"}, "2016", "security.platform_key: is missing"),
        ({"encryption": "sm2"}, "2025", "security.platform_key: is missing"),
        ({"encryption": "sm4", "data_key": "k"}, "2016", 'security.encryption = "sm4": came with the 2025'),
        ({"activation": True, "chip_id": "C"}, "2025", "security.activation = true: the activation is signed"),
        ({"activation": True, "sign": "sm2", "private_key": "k"}, "2025", "security.chip_id: is missing"),
        ({"iv": "0" * 32}, "2016", "security.iv: GCM breaks"),
        ({"sign": "rsa", "private_key": "k", "public_key": "point"}, "2025", 'security.public_key = "point"'),
        ({"encryption": "aes", "data_key": "k", "sign": "ecc", "private_key": "p"}, "2025", "security.wrapped_keys"),
    ],
)
def test_what_does_not_go_together_is_one_fault(table, edition, said):
    faults = security_faults(table, edition)
    assert len(faults) == 1
    assert faults[0].startswith(said)


@pytest.mark.parametrize(
    ("table", "edition"),
    [
        ({"encryption": "aes", "data_key": "k"}, "2016"),
        ({"encryption": "rsa", "platform_key": "k"}, "2016"),
        ({"encryption": "aes", "data_key": "k", "block_mode": "cbc", "iv": "0" * 32}, "2016"),
        ({"sign": "ecc", "private_key": "k", "encryption": "aes", "data_key": "k", "wrapped_keys": False}, "2025"),
        ({"sign": "sm2", "private_key": "k", "chip_id": "C", "activation": True}, "2025"),
    ],
)
def test_what_goes_together_is_taken(table, edition):
    assert security_faults(table, edition) == []
    assert msgspec.convert(table, Security)


@pytest.mark.parametrize(
    ("option", "text"),
    [("data_key", "00112233445566778899AABBCCDDEEFF"), ("private_key", "-----BEGIN PRIVATE KEY-----\\nMIGH")],
)
def test_a_key_in_place_of_its_file_is_refused_and_not_repeated(tmp_path, option, text):
    with pytest.raises(ConfigError, match=f"security.{option}: names a file") as caught:
        load(tmp_path, f'[security]\n{option} = "{text}"\n')
    assert len(caught.value.faults) == 1
    assert text not in str(caught.value)


def test_what_check_shows_names_files_and_no_more(tmp_path):
    (tmp_path / "data.key").write_text("00112233445566778899AABBCCDDEEFF")
    security = Security(
        encryption="sm4",
        sign="sm2",
        private_key="private.pem",
        data_key="data.key",
        chip_id="CHIP0001",
        activation=True,
    )
    assert describe(security) == [
        ("encryption", "SM4, gcm, random nonce"),
        ("signature", "SM2 with SM3, user id 1234567812345678; reports up to the byte before the FF marker"),
        ("activation", "before the first login"),
        ("chip id", "CHIP0001"),
        ("private key", "private.pem"),
        ("data key", "data.key"),
        ("exchanged keys", "arrive encrypted with this terminal's public key"),
        ("public key sent as", "raw"),
    ]
    loose = Security(encryption="aes", block_mode="cbc", iv="0" * 32, wrapped_keys=False, data_key="data.key")
    assert ("encryption", "AES-128, cbc, pkcs7, fixed IV") in describe(loose)
    assert ("exchanged keys", "arrive IN THE CLEAR") in describe(loose)
    assert describe(Security(encryption="rsa", platform_key="p.pem"))[0] == ("encryption", "RSA, oaep-sha256")


def test_nothing_of_the_extra_is_loaded_before_an_option_asks_for_it():
    program = (
        "import sys, agent.config, agent.seal, agent.commands.identity; from agent.security import Security; "
        "s = agent.seal.open_seal(Security(), None, lambda: 0); s.seal(b'$$', 2, b'unit'); s.unseal(1, b'unit'); "
        "print([m for m in sys.modules if m.split('.')[0] in ('cryptography', 'gmalg')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
