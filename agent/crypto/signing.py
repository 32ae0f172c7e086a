"""Signatures of the 2025 edition (7.2): algorithm, R and S, as the standard's signature block carries them.

SM2: r and s of 32 bytes over SM3 with the user id. RSA: R is the whole PKCS#1 v1.5 signature with SHA-256, S is empty.
ECC: r and s of 32 bytes, ECDSA on P-256.
"""

from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from agent.crypto.keys import ALGORITHMS, PrivateKey, PublicKey, kind_of
from agent.crypto.sm2 import SIZE, Sm2PrivateKey, Sm2PublicKey
from agent.security import Security


class Signer(Protocol):
    """Who signs for the terminal: a key file today; a security chip offers the same three things and keeps its key."""

    @property
    def algorithm(self) -> int:
        """1 SM2, 2 RSA, 3 ECC."""

    @property
    def public_key(self) -> PublicKey:
        """What its signatures are verified with."""

    def sign(self, data: bytes) -> tuple[bytes, bytes]:
        """(R, S) of `data`."""


class KeySigner:
    """Signs with a private key in memory, as the options of `Security` say."""

    def __init__(self, key: PrivateKey, security: Security) -> None:
        self._key = key
        self._security = security
        self.algorithm = ALGORITHMS[kind_of(key)]
        self.public_key: PublicKey = key.public_key()

    def sign(self, data: bytes) -> tuple[bytes, bytes]:
        """(R, S) of `data`."""
        key = self._key
        if isinstance(key, Sm2PrivateKey):
            return key.sign(data, self._security.sm2_id.encode())
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(data, padding.PKCS1v15(), hashes.SHA256()), b""
        r, s = decode_dss_signature(key.sign(data, _ecdsa(self._security)))
        return r.to_bytes(SIZE, "big"), s.to_bytes(SIZE, "big")

    def __repr__(self) -> str:
        return f"<signer with a key file, algorithm {self.algorithm}>"


def verify(values: dict[str, Any], data: bytes, public_key: PublicKey, security: Security) -> bool:
    """Whether `values` (algorithm, r, s) is the signature of `data` by the owner of `public_key`."""
    r, s = bytes(values["r"]), bytes(values["s"])
    if values["algorithm"] != ALGORITHMS[kind_of(public_key)]:
        return False
    if isinstance(public_key, Sm2PublicKey):
        return public_key.verify(data, r, s, security.sm2_id.encode())
    try:
        if isinstance(public_key, rsa.RSAPublicKey):
            if s:
                return False
            public_key.verify(r, data, padding.PKCS1v15(), hashes.SHA256())
        else:
            if len(r) != SIZE or len(s) != SIZE:
                return False
            both = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
            public_key.verify(both, data, _ecdsa(security))
    except InvalidSignature:
        return False
    return True


def _ecdsa(security: Security) -> ec.ECDSA:
    return ec.ECDSA(hashes.SM3() if security.ecc_digest == "sm3" else hashes.SHA256())
