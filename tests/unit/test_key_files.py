"""Key files: who may read them, what they may hold, and that a refusal says nothing of what they hold."""

import errno
import os
import stat
from base64 import b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from security_parts import DATA_KEY, EXAMPLE_POINT, EXAMPLE_SECRET, a_key, write_secret

from agent.crypto.keys import (
    DataKey,
    KeyFileError,
    decode_public_key,
    encode_public_key,
    kind_of,
    private_pem,
    public_key_from_der,
    public_pem,
    read_data_key,
    read_private_key,
    read_public_key,
    write_private_key,
)
from agent.crypto.sm2 import ORDER, Sm2PrivateKey, Sm2PublicKey

KINDS = ("sm2", "rsa", "ecc")


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_key_is_its_owners_alone_and_reads_back(tmp_path, kind):
    old = os.umask(0)
    try:
        key = write_private_key(tmp_path / "new.pem", kind)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "new.pem").stat().st_mode) == 0o600
    again = read_private_key(tmp_path / "new.pem")
    assert kind_of(again) == kind
    assert public_pem(again.public_key()) == public_pem(key.public_key())
    before = (tmp_path / "new.pem").read_bytes()
    with pytest.raises(FileExistsError):
        write_private_key(tmp_path / "new.pem", kind)
    assert (tmp_path / "new.pem").read_bytes() == before
    (tmp_path / "public.pem").write_text(public_pem(key.public_key()))
    assert read_public_key(tmp_path / "public.pem") == key.public_key()


def test_half_a_key_is_not_left_behind(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("agent.crypto.keys.os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_private_key(tmp_path / "new.pem", "ecc")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610, 0o601, 0o644, 0o777])
def test_a_secret_that_others_may_use_is_refused(tmp_path, mode):
    pem = write_secret(tmp_path / "key.pem", private_pem(a_key("sm2")))
    data = write_secret(tmp_path / "data.key", DATA_KEY)
    for path, reader in ((pem, read_private_key), (data, read_data_key)):
        reader(path)
        path.chmod(mode)
        with pytest.raises(KeyFileError, match=f"has mode {mode:04o}.*; chmod 600 {path}"):
            reader(path)
        path.chmod(0o400)
        reader(path)


def test_a_secret_of_somebody_else_is_refused(tmp_path, monkeypatch):
    path = write_secret(tmp_path / "key.pem", private_pem(a_key("sm2")))
    if os.geteuid() == 0:
        os.chown(path, 4321, 4321)
        with pytest.raises(KeyFileError, match="belongs to user 4321; it has to belong to user 0 or to root"):
            read_private_key(path)
    else:
        monkeypatch.setattr("agent.crypto.keys.os.geteuid", lambda: 4321)
        with pytest.raises(KeyFileError, match="it has to belong to user 4321 or to root"):
            read_private_key(path)


def pkcs8(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_what_is_no_key_for_a_terminal_is_refused_with_what_to_do(tmp_path):
    old_form = a_key("ecc").private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    locked = a_key("ecc").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    sm2 = private_pem(a_key("sm2"))
    for text, reason in [
        (b"", "is no PEM file"),
        (b"\0\xff" * 40, "is no PEM file"),
        (old_form, r"PKCS#8 is needed: openssl pkcs8"),
        (locked, "passphrase"),
        (sm2.replace(b"M", b"N", 1), "no private key that can be used"),
        (b"-----BEGIN PRIVATE KEY-----\n\n-----END PRIVATE KEY-----\n", "no private key that can be used"),
        (public_pem(a_key("sm2").public_key()).encode(), "PUBLIC KEY"),
        (pkcs8(ec.generate_private_key(ec.SECP384R1())), "secp384r1; P-256"),
        (
            pkcs8(rsa.generate_private_key(65537, 1024)),  # noqa: S505 - which is why
            "1024 bits; at least 2048",
        ),
        (pkcs8(ed25519.Ed25519PrivateKey.generate()), "another algorithm"),
    ]:
        with pytest.raises(KeyFileError, match=reason) as caught:
            read_private_key(write_secret(tmp_path / "key.pem", text))
        assert str(tmp_path / "key.pem") in str(caught.value)
        assert not any(line.decode() in str(caught.value) for line in text.splitlines()[1:-1] if len(line) > 8)
    with pytest.raises(KeyFileError, match="cannot be read: No such file"):
        read_private_key(tmp_path / "nowhere.pem")
    with pytest.raises(KeyFileError, match="a public key is needed"):
        read_public_key(write_secret(tmp_path / "key.pem", sm2))


@pytest.mark.parametrize("text", ["", "0" * 31, "0" * 33, "0" * 64, "g" * 32, "0x" + "0" * 30])
def test_a_data_key_is_32_hex_digits(tmp_path, text):
    with pytest.raises(KeyFileError, match="is not 32 hex digits"):
        read_data_key(write_secret(tmp_path / "data.key", text))


def test_a_data_key_may_stand_in_groups_and_shows_itself_nowhere(tmp_path):
    key = read_data_key(write_secret(tmp_path / "data.key", "0011 2233 4455 6677\n8899 aabb ccdd eeff\n"))
    assert key.secret == bytes.fromhex(DATA_KEY)
    assert repr(key) == str(key) == "<data key>"
    with pytest.raises(KeyFileError, match="16 bytes, not 3") as caught:
        DataKey(b"abc")
    assert "abc" not in str(caught.value)


def test_sm2_keys_have_the_range_and_the_curve_of_the_standard():
    assert Sm2PrivateKey(EXAMPLE_SECRET).public_key() == Sm2PublicKey(EXAMPLE_POINT)
    for number in (0, ORDER - 1, ORDER, 2**256 - 1):
        with pytest.raises(ValueError, match="range"):
            Sm2PrivateKey(number.to_bytes(32, "big"))
    for point in (
        b"",
        EXAMPLE_POINT[1:],
        EXAMPLE_POINT[:-1] + b"\x12",
        b"\x04" + bytes(64),
        b"\x02" + EXAMPLE_POINT[1:33],
    ):
        with pytest.raises(ValueError, match="SM2 public key"):
            Sm2PublicKey(point)


@pytest.mark.parametrize("kind", KINDS)
def test_public_keys_come_back_from_each_encoding_and_no_other(kind):
    key = a_key(kind).public_key()
    for encoding in ("raw", "der") if kind == "rsa" else ("raw", "point", "der"):
        data = encode_public_key(key, encoding)
        assert decode_public_key(kind, data, encoding) == key
        with pytest.raises(ValueError):  # noqa: PT011 - of several libraries
            decode_public_key(kind, data[:-1], encoding)
        with pytest.raises(ValueError):  # noqa: PT011
            decode_public_key(kind, b"", encoding)
    with pytest.raises(ValueError, match="is needed"):
        decode_public_key("rsa" if kind == "sm2" else "sm2", encode_public_key(key, "der"), "der")


def test_a_der_key_of_another_curve_or_algorithm_is_refused():
    for key in (ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()):
        pem = public_pem(key.public_key())
        der = b64decode("".join(pem.splitlines()[1:-1]))
        with pytest.raises(ValueError, match="needed"):
            public_key_from_der(der)


@pytest.mark.parametrize("read", [read_private_key, read_public_key, read_data_key])
def test_a_pipe_is_not_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(KeyFileError, match="is no regular file"):
        read(tmp_path / "pipe")
    with pytest.raises(KeyFileError, match="is a folder"):
        read(tmp_path)
