"""Sealing: the printed packets with their published key, what is signed and what is not, keys of the platform."""

from struct import pack

import pytest
from security_parts import DATA_KEY, EXAMPLE_POINT, SM2_ID, VIN, WALL_S, a_key, make_seal, spec_packets

from agent.core.errors import RemoteProtocolError
from agent.core.packet import Packet, epoch_of, time_bytes
from agent.crypto.ciphers import encrypt_for
from agent.crypto.keys import decode_public_key
from agent.crypto.signing import verify
from agent.crypto.sm2 import Sm2PublicKey
from agent.errors import ConfigError, LinkError
from agent.seal import Seal, activation_bytes, open_seal
from agent.security import ENCRYPTIONS, Security
from bench.security import key_exchange, signature_of, signed_part

PLAIN = Security()
UNIT = time_bytes(WALL_S) + bytes.fromhex("0103010104150001E2401BD0788740012EFFFF")
KINDS = ("sm2", "rsa", "ecc")
CIPHERS = ("rsa", "aes", "sm2", "sm4")


def key_for(encryption):
    return a_key("sm2" if encryption == "sm2" else "rsa")


# -- the printed packets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["W12", "W13"])
def test_the_signatures_of_the_printed_reports_verify_and_only_over_these_bytes(tbox_spec, name):
    unit = Packet(spec_packets(tbox_spec)[name]).unit
    values = signature_of(unit)
    key = Sm2PublicKey(EXAMPLE_POINT)
    data = signed_part(unit, values, PLAIN)
    assert verify(values, data, key, PLAIN)
    assert not verify(values, data + b"\xff", key, PLAIN)
    assert not verify(values, data[1:], key, PLAIN)
    assert not verify(values, data, key, Security(sm2_id="somebody"))
    assert not verify(values | {"algorithm": 3}, data, key, PLAIN)
    for name in ("r", "s"):
        assert not verify(values | {name: values[name][:-1]}, data, key, PLAIN)


def test_the_printed_activation_verifies_and_its_values_are_ours_but_for_the_signature(tbox_spec, tmp_path):
    unit = Packet(spec_packets(tbox_spec)["W14"]).unit
    public = unit[24:88]
    assert verify(
        {"algorithm": unit[105], "r": unit[108:140], "s": unit[142:174]}, unit[:105], a_key("sm2").public_key(), PLAIN
    )
    wall_s = epoch_of(unit)
    values = make_seal(tmp_path, a_key("sm2"), sign="sm2", chip_id="CHIP0001").activation(wall_s, VIN)
    assert values["chip_id"] == unit[6:22]
    assert values["public_key"] == public
    assert activation_bytes(unit[:6], values["chip_id"], public, values["activation_vin"]) == unit[:105]
    assert verify(values, unit[:105], decode_public_key("sm2", public, "raw"), PLAIN)


def test_the_printed_key_exchange_is_taken_where_keys_come_in_the_clear(tbox_spec, tmp_path):
    unit = Packet(spec_packets(tbox_spec)["W16"]).unit
    values = {"key_type": unit[0], "key": unit[3:19], "valid_from": unit[19:25], "valid_until": unit[25:31]}
    seal = make_seal(tmp_path, a_key("sm2"), encryption="sm4", wrapped_keys=False)
    before = make_seal(tmp_path, a_key("sm2"), encryption="sm4", wrapped_keys=False)
    assert seal.adopt_key(values, WALL_S) == ""
    code, sealed = seal.seal(b"$$", 2, UNIT)
    assert seal.unseal(code, sealed) == UNIT
    with pytest.raises(RemoteProtocolError):
        before.unseal(code, sealed)
    guarded = make_seal(tmp_path, a_key("sm2"), encryption="sm4")
    assert "cannot be decrypted" in guarded.adopt_key(values, WALL_S)


# -- signing -----------------------------------------------------------------------------------------------------------


def test_without_options_a_unit_is_left_alone():
    seal = open_seal(PLAIN, None, lambda: WALL_S)
    assert seal.seal(b"$$", 2, UNIT) == (1, UNIT)
    assert seal.unseal(1, UNIT) == UNIT
    with pytest.raises(ConfigError, match="sign"):
        seal.activation(WALL_S, VIN)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("marker", [False, True])
def test_reports_of_2025_end_with_a_signature_that_verifies(tmp_path, kind, marker):
    seal = make_seal(tmp_path, a_key(kind), sign=kind, sign_marker=marker)
    for command in (2, 3):
        code, unit = seal.seal(b"$$", command, UNIT)
        assert code == 1
        assert unit.startswith(UNIT + b"\xff")
        values = signature_of(unit)
        assert values["algorithm"] == {"sm2": 1, "rsa": 2, "ecc": 3}[kind]
        assert (len(values["r"]), len(values["s"])) == ((256, 0) if kind == "rsa" else (32, 32))
        data = signed_part(unit, values, seal.security)
        assert data == UNIT + (b"\xff" if marker else b"")
        public = a_key(kind).public_key()
        assert verify(values, data, public, seal.security)
        for at in (0, len(data) // 2, len(data) - 1):
            changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            assert not verify(values, changed, public, seal.security)


@pytest.mark.parametrize(("start", "command"), [(b"##", 2), (b"##", 3), (b"$$", 1), (b"$$", 4), (b"$$", 9)])
def test_rows_of_2016_and_other_commands_are_not_signed(tmp_path, start, command):
    seal = make_seal(tmp_path, a_key("sm2"), sign="sm2")
    assert seal.seal(start, command, UNIT) == (1, UNIT)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("encoding", ["raw", "point", "der"])
def test_the_public_key_of_an_activation_verifies_it(tmp_path, kind, encoding):
    if (kind, encoding) == ("rsa", "point"):
        return  # the configuration refuses it
    seal = make_seal(tmp_path, a_key(kind), sign=kind, public_key=encoding)
    values = seal.activation(WALL_S, VIN)
    assert values["chip_id"] == b"CHIP00012       "
    assert values["activation_vin"] == VIN
    sizes = {("rsa", "raw"): 259, ("sm2", "raw"): 64, ("ecc", "raw"): 64, ("sm2", "point"): 65, ("ecc", "point"): 65}
    assert len(values["public_key"]) == sizes.get((kind, encoding), len(values["public_key"]))
    key = decode_public_key(kind, values["public_key"], encoding)
    covered = (
        time_bytes(WALL_S) + values["chip_id"] + pack(">H", len(values["public_key"])) + values["public_key"] + VIN
    )
    assert verify(values, covered, key, seal.security)


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_has_one_form_only(tmp_path, kind):
    seal = make_seal(tmp_path, a_key(kind), sign=kind)
    _, unit = seal.seal(b"$$", 2, UNIT)
    values = signature_of(unit)
    for change in ({"r": b"\0" + values["r"]}, {"s": b"\0" + values["s"]}, {"s": values["s"] + b"\0"}, {"r": b""}):
        assert not verify(values | change, UNIT, a_key(kind).public_key(), PLAIN)


def test_sm3_is_another_digest_for_ecc(tmp_path):
    seal = make_seal(tmp_path, a_key("ecc"), sign="ecc", ecc_digest="sm3")
    _, unit = seal.seal(b"$$", 2, UNIT)
    values = signature_of(unit)
    assert verify(values, UNIT, a_key("ecc").public_key(), seal.security)
    assert not verify(values, UNIT, a_key("ecc").public_key(), PLAIN)


# -- encryption --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encryption", CIPHERS)
@pytest.mark.parametrize("size", [6, 16, 190, 191, 700])
def test_what_is_sealed_is_unsealed_under_the_code_of_its_algorithm(tmp_path, encryption, size):
    seal = make_seal(tmp_path, key_for(encryption), encryption=encryption)
    unit = (UNIT * 30)[:size]
    code, sealed = seal.seal(b"$$", 1, unit)
    assert code == ENCRYPTIONS[encryption] == {"rsa": 2, "aes": 3, "sm2": 4, "sm4": 5}[encryption]
    assert unit not in sealed
    assert seal.unseal(code, sealed) == unit
    if encryption == "rsa":
        assert len(sealed) == 256 * -(-size // 190)


@pytest.mark.parametrize(
    "options",
    [{"encryption": kind, "block_mode": mode} for kind in ("aes", "sm4") for mode in ("gcm", "cbc")]
    + [{"encryption": kind} for kind in ("rsa", "sm2")],
)
def test_one_unit_sealed_twice_looks_different_from_its_first_bytes_on(tmp_path, options):
    seal = make_seal(tmp_path, key_for(options["encryption"]), **options)
    assert len({seal.seal(b"$$", 2, UNIT)[1][:12] for _ in range(8)}) == 8


@pytest.mark.parametrize("iv", ["0" * 32, "0123456789abcdef0123456789ABCDEF"])
def test_a_fixed_iv_is_not_sent(tmp_path, iv):
    seal = make_seal(tmp_path, a_key("rsa"), encryption="aes", block_mode="cbc", iv=iv)
    code, sealed = seal.seal(b"$$", 2, UNIT)
    assert (code, sealed) == seal.seal(b"$$", 2, UNIT)
    assert len(sealed) == (len(UNIT) // 16 + 1) * 16
    assert seal.unseal(code, sealed) == UNIT


def test_the_signature_lies_inside_the_encryption(tmp_path):
    seal = make_seal(tmp_path, a_key("sm2"), sign="sm2", encryption="sm4")
    code, sealed = seal.seal(b"$$", 3, UNIT)
    unit = seal.unseal(code, sealed)
    values = signature_of(unit)
    assert verify(values, signed_part(unit, values, seal.security), a_key("sm2").public_key(), seal.security)


@pytest.mark.parametrize("encryption", CIPHERS)
def test_nothing_stays_nothing_and_is_not_called_encrypted(tmp_path, encryption):
    seal = make_seal(tmp_path, key_for(encryption), encryption=encryption)
    assert seal.seal(b"$$", 7, b"") == (1, b"")
    assert seal.unseal(ENCRYPTIONS[encryption], b"") == b""


@pytest.mark.parametrize("code", [2, 3, 4, 5, 6, 0xFE, 0xFF])
def test_an_encryption_that_is_not_configured_is_an_error_of_the_platform(tmp_path, code):
    seal = make_seal(tmp_path, a_key("rsa"), encryption="none" if code == 2 else "rsa")
    with pytest.raises(RemoteProtocolError, match=r"security\.encryption"):
        seal.unseal(code, UNIT)


def test_a_unit_for_a_private_key_that_is_not_there_is_an_error_of_the_platform(tmp_path):
    seal = make_seal(tmp_path, a_key("sm2"), encryption="sm2", private_key="")
    with pytest.raises(RemoteProtocolError, match=r"security\.private_key"):
        seal.unseal(*seal.seal(b"$$", 1, UNIT))


def test_a_seal_without_keys_says_so_and_sends_nothing_in_the_clear():
    for encryption in CIPHERS:
        seal = Seal(Security(encryption=encryption), (None, None, None), None, lambda: WALL_S)
        with pytest.raises(LinkError, match="nothing can be encrypted"):
            seal.seal(b"$$", 2, UNIT)
        with pytest.raises(RemoteProtocolError, match=r"no key is valid|is no such key"):
            seal.unseal(ENCRYPTIONS[encryption], UNIT)


# -- keys of the platform ----------------------------------------------------------------------------------------------

SECRET = bytes(range(100, 116))


def exchange(seal, first=WALL_S - 10, last=WALL_S + 10, kind="aes", secret=SECRET, key=None):
    return key_exchange(kind, secret, first, last, (key or a_key("rsa")).public_key(), seal.security)


@pytest.mark.parametrize("kind", ["aes", "sm4"])
@pytest.mark.parametrize("owner", ["rsa", "sm2"])
def test_a_wrapped_key_is_used_while_it_is_valid_and_then_the_one_of_the_file_again(tmp_path, kind, owner):
    seal = make_seal(tmp_path, a_key(owner), encryption=kind)
    now = [WALL_S]
    seal._wall_s = lambda: now[0]
    values = exchange(seal, kind=kind, key=a_key(owner))
    assert SECRET not in values["key"]
    assert seal.adopt_key(values, WALL_S) == ""
    with_it = seal.seal(b"$$", 2, UNIT)
    assert seal.unseal(*with_it) == UNIT
    now[0] = WALL_S + 10
    with pytest.raises(RemoteProtocolError):
        seal.unseal(*with_it)
    assert make_seal(tmp_path, a_key(owner), encryption=kind).unseal(*seal.seal(b"$$", 2, UNIT)) == UNIT
    # After a restart the same values bring it back, for as long as it is valid.
    again = make_seal(tmp_path, a_key(owner), encryption=kind)
    assert again.adopt_key(values, WALL_S) == ""
    assert again.unseal(*with_it) == UNIT


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"first": WALL_S + 1, "last": WALL_S + 9}, "not valid for another 1 s"),
        ({"last": WALL_S}, "expired 0 s ago"),
        ({"first": WALL_S, "last": WALL_S}, "expires before"),
        ({"kind": "sm4"}, "a key for SM4; security.encryption is 'aes'"),
        ({"secret": SECRET[:15]}, "a data key has 16 bytes, not 15"),
        ({"secret": SECRET * 2}, "a data key has 16 bytes, not 32"),
        ({"secret": b""}, "a data key has 16 bytes, not 0"),
    ],
)
def test_a_key_that_is_no_good_is_refused_and_the_one_in_use_stays(tmp_path, change, reason):
    seal = make_seal(tmp_path, a_key("rsa"), encryption="aes")
    assert seal.adopt_key(exchange(seal, secret=SECRET[::-1]), WALL_S) == ""
    sealed = seal.seal(b"$$", 2, UNIT)
    assert reason in seal.adopt_key(exchange(seal, **change), WALL_S)
    assert seal.unseal(*sealed) == UNIT


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"key_type": 2}, "a key for RSA is not taken"),
        ({"key_type": 4}, "a key for SM2 is not taken"),
        ({"key_type": 1}, "key type 01 is not taken"),
        ({"key_type": 9}, "key type 09 is not taken"),
        ({"valid_from": bytes(6)}, "time of validity is none"),
        ({"valid_until": b"\x1a\x0d\x01\x00\x00\x00"}, "time of validity is none"),
        ({"key": bytes(256)}, "cannot be decrypted"),
        ({"key": SECRET}, "cannot be decrypted"),
    ],
)
def test_values_that_are_no_key_exchange_are_refused(tmp_path, change, reason):
    seal = make_seal(tmp_path, a_key("rsa"), encryption="aes")
    assert reason in seal.adopt_key(exchange(seal) | change, WALL_S)
    assert reason in seal.key_refusal(exchange(seal) | change, WALL_S)


def test_a_wrapped_key_needs_a_private_key(tmp_path):
    for key in ("", "private.pem"):
        seal = make_seal(tmp_path, a_key("ecc"), encryption="aes", private_key=key)
        assert "no RSA or SM2 key" in seal.adopt_key(exchange(seal), WALL_S)


def test_a_key_is_valid_from_its_first_second_on_and_not_before(tmp_path):
    seal = make_seal(tmp_path, a_key("rsa"), encryption="aes")
    now = [WALL_S]
    seal._wall_s = lambda: now[0]
    assert seal.adopt_key(exchange(seal, first=WALL_S), WALL_S) == ""
    with_it = seal.seal(b"$$", 2, UNIT)
    assert seal.unseal(*with_it) == UNIT
    now[0] = WALL_S - 1  # the clock was set back
    with pytest.raises(RemoteProtocolError):
        seal.unseal(*with_it)


def test_a_unit_for_a_key_of_another_kind_is_told_from_a_damaged_one(tmp_path):
    keys = (a_key("sm2"), a_key("rsa").public_key(), None)
    seal = Seal(Security(encryption="rsa", sign="sm2"), keys, None, lambda: WALL_S)
    with pytest.raises(RemoteProtocolError, match="private_key is no such key"):
        seal.unseal(*seal.seal(b"$$", 1, UNIT))


def test_a_key_file_that_nothing_uses_yet_is_read_all_the_same(tmp_path):
    with pytest.raises(ConfigError, match=r"security\.private_key"):
        open_seal(Security(private_key="not-there.pem"), tmp_path, lambda: WALL_S)


# -- keys that do not fit ----------------------------------------------------------------------------------------------


def test_every_fault_of_the_keys_is_named_in_one_go(tmp_path):
    with pytest.raises(ConfigError) as caught:
        make_seal(tmp_path, a_key("ecc"), sign="sm2", encryption="rsa", data_key="nowhere.key")
    lines = sorted(caught.value.faults)
    assert len(lines) == 3
    assert "nowhere.key: cannot be read: No such file" in lines[0]
    assert lines[1] == "security.platform_key: is a key for ecc; security.encryption is 'rsa'"
    assert lines[2] == "security.private_key: is a key for ecc; security.sign is 'sm2'"


def test_an_option_without_its_extra_says_which_one(monkeypatch):
    monkeypatch.setattr("agent.seal.find_spec", lambda _: None)
    with pytest.raises(ConfigError) as caught:
        open_seal(Security(sign="sm2", encryption="aes"), None, lambda: WALL_S, "tbox.toml")
    assert [fault.partition(":")[0] for fault in caught.value.faults] == [
        'security.sign = "sm2"',
        'security.encryption = "aes"',
    ]
    assert all("pip install 'tbox-agent[crypto]'" in fault for fault in caught.value.faults)
    assert open_seal(PLAIN, None, lambda: WALL_S).seal(b"$$", 2, UNIT) == (1, UNIT)


def test_an_ecc_key_encrypts_nothing():
    with pytest.raises(ValueError, match="only signs"):
        encrypt_for(a_key("ecc").public_key(), UNIT, PLAIN)


# -- secrets -----------------------------------------------------------------------------------------------------------


def test_no_key_shows_in_texts_errors_or_the_log(tmp_path, caplog):
    caplog.set_level("DEBUG")
    seal = make_seal(tmp_path, a_key("sm2"), sign="sm2", encryption="sm4", wrapped_keys=False)
    texts = [
        repr(seal),
        str(seal),
        repr(seal._signer),
        repr(seal._data_key),
        repr(seal._private_key),
        f"{seal._signer}",
    ]
    texts.append(repr(vars(seal)))
    values = {"key_type": 5, "key": SECRET, "valid_from": time_bytes(WALL_S - 9), "valid_until": time_bytes(WALL_S + 9)}
    changes = ({}, {"key": SECRET[:9]}, {"key_type": 3}, {"valid_from": values["valid_until"]})
    texts += [seal.adopt_key(values | change, WALL_S) for change in changes]
    texts.append(repr(vars(seal)))
    for code, unit in ((5, UNIT), (4, UNIT), (0xFE, UNIT)):
        with pytest.raises(RemoteProtocolError) as caught:
            seal.unseal(code, unit)
        texts += [str(caught.value), repr(caught.value), repr(caught.value.__cause__), repr(caught.value.__context__)]
    texts += [record.getMessage() for record in caplog.records]
    shown = "\n".join(texts).lower()
    for secret in (SECRET, bytes.fromhex(DATA_KEY), a_key("sm2")._Sm2PrivateKey__secret):
        for form in (secret.hex(), repr(secret)[2:-1].lower(), str(int.from_bytes(secret, "big"))):
            assert form not in shown
    assert SM2_ID.decode() == seal.security.sm2_id
