"""What a platform of the bench does with signatures, ciphertexts and keys, beside the terminal's own side."""

import pytest
from security_parts import DATA_KEY, VIN, WALL_S, a_key, make_seal

from agent.core.packet import time_bytes
from agent.crypto.keys import DataKey
from agent.security import Security
from bench.security import decrypt, encrypt, key_exchange, signature_of

UNIT = time_bytes(WALL_S) + VIN * 20
KEY = DataKey(bytes.fromhex(DATA_KEY))


@pytest.mark.parametrize("encryption", ["aes", "sm4", "rsa", "sm2"])
def test_each_side_reads_what_the_other_encrypts(tmp_path, encryption):
    key = a_key("sm2" if encryption == "sm2" else "rsa")
    seal = make_seal(tmp_path, key, encryption=encryption)
    given = {"data_key": KEY} if encryption in ("aes", "sm4") else {"private_key": key}
    assert decrypt(*seal.seal(b"$$", 2, UNIT), seal.security, **given) == UNIT
    keys = {"data_key": KEY} if encryption in ("aes", "sm4") else {"terminal_key": key.public_key()}
    assert seal.unseal(*encrypt(UNIT, seal.security, **keys)) == UNIT
    assert encrypt(b"", seal.security, **keys) == (1, b"")
    with pytest.raises(ValueError, match="no key for encryption"):
        decrypt(*seal.seal(b"$$", 2, UNIT), seal.security)
    with pytest.raises(ValueError, match="cannot be decrypted"):
        decrypt(
            *[part if at == 0 else part[:-1] for at, part in enumerate(seal.seal(b"$$", 2, UNIT))],
            seal.security,
            **given,
        )


def test_what_is_plain_stays_plain():
    assert decrypt(1, UNIT, Security()) == UNIT
    assert encrypt(UNIT, Security()) == (1, UNIT)


@pytest.mark.parametrize("unit", [b"", b"\xff", UNIT, UNIT + b"\xff\x01\x00\x20" + bytes(65)])
def test_a_unit_without_a_signature_block_at_its_end_says_so(unit):
    with pytest.raises(ValueError, match="does not end with a signature block"):
        signature_of(unit)


def test_a_wrapped_key_needs_somebody_to_be_wrapped_for():
    with pytest.raises(ValueError, match="the terminal's public key is needed"):
        key_exchange("sm4", bytes(16), WALL_S, WALL_S + 1, None, Security())
    values = key_exchange("sm4", bytes(16), WALL_S, WALL_S + 1, None, Security(wrapped_keys=False))
    assert (values["key_type"], values["key"], values["valid_from"]) == (5, bytes(16), time_bytes(WALL_S))
