"""Key files and public keys in their encodings.

A file with a private key or a data key is read only when it belongs to the user that reads it (or to root) and nobody else may
read it. Errors name the file and what is wrong with it, never what stands in it.
"""

import base64
import os
import re
import stat
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

from agent.crypto.sm2 import SIZE, Sm2PrivateKey, Sm2PublicKey
from agent.tomlfile import open_regular

PrivateKey = Sm2PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = Sm2PublicKey | rsa.RSAPublicKey | ec.EllipticCurvePublicKey

ALGORITHMS = {"sm2": 1, "rsa": 2, "ecc": 3}  # signature algorithm of the standard; 7.2
RSA_BITS = 2048
DATA_KEY_SIZE = 16  # bytes; AES-128 and SM4
MAX_FILE = 65536  # bytes; what is larger is no key
_EXPONENT_SIZE = 3  # bytes of the exponent in the raw form of an RSA key
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)


class KeyFileError(ValueError):
    """A key or its file cannot be used; the text says which, why, and what to do."""


class DataKey:
    """The 16 bytes of an AES or SM4 key; only a cipher asks for `secret`."""

    __slots__ = ("secret",)

    def __init__(self, secret: bytes) -> None:
        if len(secret) != DATA_KEY_SIZE:
            raise KeyFileError(f"a data key has {DATA_KEY_SIZE} bytes, not {len(secret)}")
        self.secret = bytes(secret)

    def __repr__(self) -> str:
        return "<data key>"


# -- files -------------------------------------------------------------------------------------------------------------


def read_private_key(path: Path) -> PrivateKey:
    """The private key of a PEM file (PKCS#8, no passphrase); KeyFileError when it must not or cannot be used."""
    label, der = _pem(path, _read_secret(path))
    if label == "ENCRYPTED PRIVATE KEY":
        raise KeyFileError(
            f"{path}: is protected by a passphrase that nobody will type; protect the file (mode 0600) instead"
        )
    if label != "PRIVATE KEY":
        raise KeyFileError(
            f"{path}: holds {label!r}, PKCS#8 is needed: openssl pkcs8 -topk8 -nocrypt -in FILE -out NEW"
        )
    try:
        try:
            key = load_der_private_key(der, password=None)
        except UnsupportedAlgorithm:
            return Sm2PrivateKey.from_der(der)
    except (ValueError, TypeError):
        raise KeyFileError(f"{path}: is no private key that can be used; SM2, RSA or ECC P-256 is needed") from None
    if isinstance(key, rsa.RSAPrivateKey):
        _check_rsa(path, key.public_key().public_numbers())
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey):
        _check_curve(path, key.curve)
        return key
    raise KeyFileError(f"{path}: holds a key of another algorithm; SM2, RSA or ECC P-256 is needed")


def read_public_key(path: Path) -> PublicKey:
    """The public key of a PEM file (SubjectPublicKeyInfo); KeyFileError when it cannot be used."""
    label, der = _pem(path, _read(path))
    if label != "PUBLIC KEY":
        raise KeyFileError(f"{path}: holds {label!r}, a public key is needed: openssl pkey -pubout -in FILE -out NEW")
    try:
        return public_key_from_der(der)
    except KeyFileError as error:
        raise KeyFileError(f"{path}: {error}") from None
    except (ValueError, TypeError):  # of a library, in words about its inside
        raise KeyFileError(f"{path}: is no public key that can be used; SM2, RSA or ECC P-256 is needed") from None


def read_data_key(path: Path) -> DataKey:
    """The key of a file with 32 hex digits; KeyFileError when it must not or cannot be used."""
    text = b"".join(_read_secret(path).split())
    if not re.fullmatch(rb"[0-9A-Fa-f]{32}", text):
        raise KeyFileError(f"{path}: is not 32 hex digits; `openssl rand -hex 16` makes a key")
    return DataKey(bytes.fromhex(text.decode()))


def write_private_key(path: Path, kind: str) -> PrivateKey:
    """Make a key of `kind` (sm2, rsa, ecc) and write it to a new file of mode 0600; FileExistsError when there is one."""
    key = new_private_key(kind)
    pem = private_pem(key)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(pem)
            stream.flush()
            os.fsync(descriptor)
    except OSError:
        path.unlink()  # half a key would stand in the way of a whole one
        raise
    return key


def new_private_key(kind: str) -> PrivateKey:
    """A new key of `kind`: sm2, rsa or ecc."""
    if kind == "sm2":
        return Sm2PrivateKey.generate()
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    return ec.generate_private_key(ec.SECP256R1())


def private_pem(key: PrivateKey) -> bytes:
    """PKCS#8 as PEM, not encrypted: for a file of mode 0600 and nothing else."""
    if isinstance(key, Sm2PrivateKey):
        return _to_pem("PRIVATE KEY", key.der())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read_secret(path: Path) -> bytes:
    """What stands in a file that only its owner can read, and the owner is this process or root."""
    with _open(path) as stream:
        status = os.fstat(stream.fileno())
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o077:
            raise KeyFileError(f"{path}: has mode {mode:04o}, others may use it; chmod 600 {path}")
        if status.st_uid not in (os.geteuid(), 0):
            raise KeyFileError(
                f"{path}: belongs to user {status.st_uid}; it has to belong to user {os.geteuid()} or to root"
            )
        return stream.read(MAX_FILE)


def _read(path: Path) -> bytes:
    with _open(path) as stream:
        return stream.read(MAX_FILE)


def _open(path: Path) -> BinaryIO:
    try:
        return open_regular(path)
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read: {error.strerror}") from None


def _pem(path: Path, text: bytes) -> tuple[str, bytes]:
    """(label, DER) of the first PEM block."""
    found = _PEM.search(text)
    if not found:
        raise KeyFileError(f"{path}: is no PEM file; it begins with '-----BEGIN'")
    try:
        return found[1].decode(), base64.b64decode(b"".join(found[2].split()), validate=True)
    except ValueError:
        return found[1].decode(), b""  # an old form with header lines: the label says enough


def _to_pem(label: str, der: bytes) -> bytes:
    text = base64.b64encode(der).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()


def _check_rsa(path: object, numbers: rsa.RSAPublicNumbers) -> None:
    bits = numbers.n.bit_length()
    if bits < RSA_BITS or bits % 8:
        raise KeyFileError(f"{path}: is an RSA key of {bits} bits; at least {RSA_BITS} are needed, in whole bytes")
    if numbers.e.bit_length() > 8 * _EXPONENT_SIZE:
        raise KeyFileError(f"{path}: its exponent does not fit {_EXPONENT_SIZE} bytes; 65537 is the usual one")


def _check_curve(path: object, curve: ec.EllipticCurve) -> None:
    if not isinstance(curve, ec.SECP256R1):
        raise KeyFileError(f"{path}: is a key of the curve {curve.name}; P-256 (secp256r1) is needed")


# -- public keys -------------------------------------------------------------------------------------------------------


def kind_of(key: PrivateKey | PublicKey) -> str:
    """sm2, rsa or ecc."""
    if isinstance(key, Sm2PrivateKey | Sm2PublicKey):
        return "sm2"
    return "rsa" if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey) else "ecc"


def public_key_from_der(der: bytes) -> PublicKey:
    """From SubjectPublicKeyInfo; ValueError when it is no SM2, RSA or P-256 key that can be used."""
    try:
        key = load_der_public_key(der)
    except UnsupportedAlgorithm:
        return Sm2PublicKey.from_der(der)
    if isinstance(key, rsa.RSAPublicKey):
        _check_rsa("the public key", key.public_numbers())
        return key
    if isinstance(key, ec.EllipticCurvePublicKey):
        _check_curve("the public key", key.curve)
        return key
    raise KeyFileError("is a key of another algorithm; SM2, RSA or ECC P-256 is needed")


def public_der(key: PublicKey) -> bytes:
    """SubjectPublicKeyInfo."""
    if isinstance(key, Sm2PublicKey):
        return key.der()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def public_pem(key: PublicKey) -> str:
    """SubjectPublicKeyInfo as PEM."""
    return _to_pem("PUBLIC KEY", public_der(key)).decode()


def encode_public_key(key: PublicKey, encoding: str) -> bytes:
    """The key as command 09 carries it; `encoding`: raw, point or der (`Security.public_key`)."""
    if encoding == "der":
        return public_der(key)
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return numbers.n.to_bytes(key.key_size // 8, "big") + numbers.e.to_bytes(_EXPONENT_SIZE, "big")
    point = (
        key.point if isinstance(key, Sm2PublicKey) else key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    )
    return point if encoding == "point" else point[1:]


def decode_public_key(kind: str, data: bytes, encoding: str) -> PublicKey:
    """The key that `encode_public_key` wrote; ValueError when the bytes are no key of `kind` (sm2, rsa, ecc)."""
    if encoding == "der":
        key = public_key_from_der(data)
        if kind_of(key) != kind:
            raise ValueError(f"a public key of {kind_of(key)}, {kind} is needed")
        return key
    if kind == "rsa":
        modulus, exponent = data[:-_EXPONENT_SIZE], data[-_EXPONENT_SIZE:]
        numbers = rsa.RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big"))
        _check_rsa("the public key", numbers)
        return numbers.public_key()
    point = data if encoding == "point" else b"\x04" + data
    if len(point) != 1 + 2 * SIZE:
        raise ValueError(f"a public key of {len(data)} bytes, {2 * SIZE} of X and Y are needed")
    return Sm2PublicKey(point) if kind == "sm2" else ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
