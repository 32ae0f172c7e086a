"""Whatever is sealed can be unsealed; one changed bit is noticed wherever the cipher or a signature can notice it."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from security_parts import WALL_S, a_key

from agent.core.errors import RemoteProtocolError
from agent.crypto.keys import DataKey
from agent.crypto.signing import KeySigner, verify
from agent.seal import Seal
from agent.security import Security
from bench.security import decrypt, signature_of, signed_part

UNITS = st.binary(min_size=1, max_size=400)
DATA_KEY = DataKey(bytes(range(16)))
BLOCK_OPTIONS = st.fixed_dictionaries(
    {
        "encryption": st.sampled_from(["aes", "sm4"]),
        "block_mode": st.sampled_from(["gcm", "cbc", "ecb"]),
        "padding": st.sampled_from(["pkcs7", "iso7816"]),
    }
)
KEY_OPTIONS = st.one_of(
    st.fixed_dictionaries(
        {"encryption": st.just("rsa"), "rsa_padding": st.sampled_from(["oaep-sha256", "oaep-sha1", "pkcs1"])}
    ),
    st.fixed_dictionaries({"encryption": st.just("sm2"), "sm2_order": st.sampled_from(["c1c3c2", "c1c2c3"])}),
)


def seal_of(options):
    security = Security(**options)
    key = a_key("sm2" if "sm2" in (security.encryption, security.sign) else "rsa")
    if security.sign == "ecc":
        key = a_key("ecc")
    signer = KeySigner(key, security) if security.sign != "none" else None
    return Seal(security, (key, key.public_key(), DATA_KEY), signer, lambda: WALL_S), key


def flip(data, bit):
    changed = bytearray(data)
    changed[bit // 8 % len(data)] ^= 1 << bit % 8
    return bytes(changed)


@given(BLOCK_OPTIONS, UNITS, st.sampled_from([b"##", b"$$"]), st.integers(1, 9))
def test_a_data_key_gives_back_what_it_took(options, unit, start, command):
    seal, _ = seal_of(options)
    code, sealed = seal.seal(start, command, unit)
    assert seal.unseal(code, sealed) == unit == decrypt(code, sealed, seal.security, data_key=DATA_KEY)


@settings(max_examples=25)
@given(KEY_OPTIONS, UNITS)
def test_a_public_key_gives_back_what_it_took(options, unit):
    seal, key = seal_of(options)
    code, sealed = seal.seal(b"$$", 2, unit)
    assert seal.unseal(code, sealed) == unit == decrypt(code, sealed, seal.security, private_key=key)


@given(BLOCK_OPTIONS, st.binary(max_size=100))
def test_bytes_that_nobody_sealed_are_an_error_of_the_platform_or_some_unit(options, unit):
    seal, _ = seal_of(options)
    code = 3 if options["encryption"] == "aes" else 5
    with contextlib.suppress(RemoteProtocolError):
        assert isinstance(seal.unseal(code, unit), bytes)


@settings(max_examples=25)
@given(KEY_OPTIONS, st.binary(min_size=1, max_size=600))
def test_bytes_that_nobody_sealed_for_a_key_are_an_error_of_the_platform_or_some_unit(options, unit):
    seal, _ = seal_of(options)
    with contextlib.suppress(RemoteProtocolError):
        assert isinstance(seal.unseal(2 if options["encryption"] == "rsa" else 4, unit), bytes)


@given(st.sampled_from(["aes", "sm4"]), UNITS, st.integers(min_value=0))
def test_gcm_notices_one_changed_bit(kind, unit, bit):
    seal, _ = seal_of({"encryption": kind})
    code, sealed = seal.seal(b"$$", 2, unit)
    with pytest.raises(RemoteProtocolError):
        seal.unseal(code, flip(sealed, bit))


@settings(max_examples=25)
@given(st.sampled_from(["oaep-sha256", "oaep-sha1"]), UNITS, st.integers(min_value=0))
def test_oaep_notices_one_changed_bit(padding, unit, bit):
    seal, _ = seal_of({"encryption": "rsa", "rsa_padding": padding})
    code, sealed = seal.seal(b"$$", 2, unit)
    with pytest.raises(RemoteProtocolError):
        seal.unseal(code, flip(sealed, bit))


@settings(max_examples=25)
@given(st.sampled_from(["c1c3c2", "c1c2c3"]), UNITS, st.integers(min_value=0))
def test_sm2_notices_one_changed_bit(order, unit, bit):
    seal, _ = seal_of({"encryption": "sm2", "sm2_order": order})
    code, sealed = seal.seal(b"$$", 2, unit)
    with pytest.raises(RemoteProtocolError):
        seal.unseal(code, flip(sealed, bit))


@settings(max_examples=25)
@given(st.sampled_from(["sm2", "rsa", "ecc"]), UNITS, st.integers(min_value=0), st.booleans())
def test_a_signature_notices_one_changed_bit_of_unit_or_signature(kind, unit, bit, marker):
    seal, key = seal_of({"sign": kind, "sign_marker": marker})
    _, signed = seal.seal(b"$$", 3, unit)
    values = signature_of(signed)
    data = signed_part(signed, values, seal.security)
    public = key.public_key()
    assert data[: len(unit)] == unit
    assert verify(values, data, public, seal.security)
    assert not verify(values, flip(data, bit), public, seal.security)
    assert not verify(values | {"r": flip(values["r"], bit)}, data, public, seal.security)
    if values["s"]:
        assert not verify(values | {"s": flip(values["s"], bit)}, data, public, seal.security)
