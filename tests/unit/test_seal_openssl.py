"""Signatures and ciphertexts against OpenSSL's command line, in both directions."""

import pytest
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from security_parts import DATA_KEY, VIN, WALL_S, a_key, make_seal, needs_openssl, openssl, write_keys

from agent.core.packet import time_bytes
from agent.crypto.keys import kind_of, private_pem, public_pem, read_private_key, read_public_key
from agent.crypto.signing import verify
from agent.crypto.sm2 import Sm2PrivateKey
from agent.security import Security
from bench.security import signature_of

pytestmark = needs_openssl
DATA = time_bytes(WALL_S) + bytes(range(256)) * 3
CURVES = ("sm2", "ecc")
# Whole arguments of `openssl` between the tool's name and the files.
SM2_OPTIONS = ["-rawin", "-digest", "sm3", "-pkeyopt", "distid:1234567812345678"]
DIGESTS = {"rsa": "-sha256", "ecc": "-sha256"}


@asn1.sequence
class Sm2Ciphertext:
    """GM/T 0009: what OpenSSL writes."""

    x: int
    y: int
    digest: bytes
    text: bytes


def openssl_verifies(folder, kind, signature, data):
    (folder / "data").write_bytes(data)
    (folder / "signature").write_bytes(signature)
    files = ["-inkey", folder / "public.pem", "-pubin", "-in", folder / "data", "-sigfile", folder / "signature"]
    if kind == "sm2":
        return openssl("pkeyutl", "-verify", *SM2_OPTIONS, *files, check=False).returncode == 0
    keys = ["-verify", folder / "public.pem", "-signature", folder / "signature"]
    return openssl("dgst", DIGESTS[kind], *keys, folder / "data", check=False).returncode == 0


def openssl_signs(folder, kind, data):
    (folder / "data").write_bytes(data)
    key = folder / "private.pem"
    if kind == "sm2":
        return openssl("pkeyutl", "-sign", *SM2_OPTIONS, "-inkey", key, "-in", folder / "data").stdout
    return openssl("dgst", DIGESTS[kind], "-sign", key, folder / "data").stdout


def as_der(values):
    r, s = values["r"], values["s"]
    return encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big")) if s else r


def as_values(kind, signature):
    if kind == "rsa":
        return {"algorithm": 2, "r": signature, "s": b""}
    r, s = decode_dss_signature(signature)
    return {"algorithm": 1 if kind == "sm2" else 3, "r": r.to_bytes(32, "big"), "s": s.to_bytes(32, "big")}


@pytest.mark.parametrize("kind", ["sm2", "rsa", "ecc"])
def test_openssl_verifies_our_signatures_and_we_verify_its(tmp_path, kind):
    seal = make_seal(tmp_path, a_key(kind), sign=kind)
    _, unit = seal.seal(b"$$", 2, DATA)
    values = signature_of(unit)
    assert openssl_verifies(tmp_path, kind, as_der(values), DATA)
    assert not openssl_verifies(tmp_path, kind, as_der(values), DATA + b"\xff")
    theirs = as_values(kind, openssl_signs(tmp_path, kind, DATA))
    public = read_public_key(tmp_path / "public.pem")
    assert verify(theirs, DATA, public, Security())
    assert not verify(theirs, DATA[:-1], public, Security())


def test_openssl_verifies_an_activation(tmp_path):
    values = make_seal(tmp_path, a_key("sm2"), sign="sm2").activation(WALL_S, VIN)
    size = len(values["public_key"]).to_bytes(2, "big")
    covered = time_bytes(WALL_S) + values["chip_id"] + size + values["public_key"] + VIN
    assert openssl_verifies(tmp_path, "sm2", as_der(values), covered)


@pytest.mark.parametrize("kind", ["sm2", "rsa", "ecc"])
def test_openssl_reads_our_keys_and_we_read_its(tmp_path, kind):
    ours = a_key(kind)
    public = openssl("pkey", "-pubout", data=private_pem(ours)).stdout
    assert public.decode() == public_pem(ours.public_key())
    makes = {
        "sm2": ["-algorithm", "SM2"],
        "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        "ecc": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    }
    openssl("genpkey", *makes[kind], "-out", tmp_path / "theirs.pem")
    (tmp_path / "theirs.pem").chmod(0o600)
    theirs = read_private_key(tmp_path / "theirs.pem")
    assert kind_of(theirs) == kind
    printed = openssl("pkey", "-pubout", "-in", tmp_path / "theirs.pem").stdout.decode()
    assert printed == public_pem(theirs.public_key())
    if isinstance(theirs, Sm2PrivateKey):
        assert private_pem(theirs) == (tmp_path / "theirs.pem").read_bytes()


@pytest.mark.parametrize("kind", ["aes", "sm4"])
@pytest.mark.parametrize("mode", ["cbc", "ecb"])
@pytest.mark.parametrize("iv", ["random", "00112233445566778899aabbccddeeff"])
def test_openssl_decrypts_our_blocks_and_we_decrypt_its(tmp_path, kind, mode, iv):
    seal = make_seal(tmp_path, a_key("rsa"), encryption=kind, block_mode=mode, iv=iv)
    code, sealed = seal.seal(b"$$", 2, DATA)
    head = sealed[:16] if (mode, iv) == ("cbc", "random") else b""
    used = [] if mode == "ecb" else ["-iv", head.hex() or iv]
    words = ["enc", f"-{'aes-128' if kind == 'aes' else 'sm4'}-{mode}", "-K", DATA_KEY, *used]
    assert openssl(*words, "-d", data=sealed[len(head) :]).stdout == DATA
    assert seal.unseal(code, head + openssl(*words, "-e", data=DATA[::-1]).stdout) == DATA[::-1]


@pytest.mark.parametrize(
    ("padding", "options"),
    [
        ("oaep-sha256", ["rsa_padding_mode:oaep", "rsa_oaep_md:sha256", "rsa_mgf1_md:sha256"]),
        ("oaep-sha1", ["rsa_padding_mode:oaep"]),
        ("pkcs1", ["rsa_padding_mode:pkcs1"]),
    ],
)
def test_openssl_decrypts_our_rsa_chunks_and_we_decrypt_its(tmp_path, padding, options):
    seal = make_seal(tmp_path, a_key("rsa"), encryption="rsa", rsa_padding=padding)
    words = [word for option in options for word in ("-pkeyopt", option)]
    private, public = ["-inkey", tmp_path / "private.pem"], ["-pubin", "-inkey", tmp_path / "public.pem"]
    code, sealed = seal.seal(b"##", 2, DATA)
    chunks = [sealed[at : at + 256] for at in range(0, len(sealed), 256)]
    assert b"".join(openssl("pkeyutl", "-decrypt", *private, *words, data=chunk).stdout for chunk in chunks) == DATA
    theirs = [openssl("pkeyutl", "-encrypt", *public, *words, data=DATA[at : at + 100]).stdout for at in (0, 100)]
    assert seal.unseal(code, b"".join(theirs)) == DATA[:200]


@pytest.mark.parametrize("order", ["c1c3c2", "c1c2c3"])
def test_openssl_decrypts_our_sm2_and_we_decrypt_its(tmp_path, order):
    seal = make_seal(tmp_path, a_key("sm2"), encryption="sm2", sm2_order=order)
    code, sealed = seal.seal(b"$$", 2, DATA)
    point, rest = sealed[:65], sealed[65:]
    assert point[0] == 4
    digest, text = (rest[:32], rest[32:]) if order == "c1c3c2" else (rest[-32:], rest[:-32])
    x, y = int.from_bytes(point[1:33], "big"), int.from_bytes(point[33:], "big")
    der = asn1.encode_der(Sm2Ciphertext(x=x, y=y, digest=digest, text=text))
    assert openssl("pkeyutl", "-decrypt", "-inkey", tmp_path / "private.pem", data=der).stdout == DATA
    answer = openssl("pkeyutl", "-encrypt", "-pubin", "-inkey", tmp_path / "public.pem", data=DATA[:99]).stdout
    theirs = asn1.decode_der(Sm2Ciphertext, answer)
    parts = [theirs.digest, theirs.text] if order == "c1c3c2" else [theirs.text, theirs.digest]
    assert (
        seal.unseal(code, b"".join([b"\4", theirs.x.to_bytes(32, "big"), theirs.y.to_bytes(32, "big"), *parts]))
        == DATA[:99]
    )


def test_the_files_that_openssl_needs_are_those_we_write(tmp_path):
    write_keys(tmp_path, a_key("sm2"))
    assert b"SM2" in openssl("pkey", "-in", tmp_path / "private.pem", "-text", "-noout").stdout
