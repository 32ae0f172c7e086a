"""SM2 keys (GB/T 32918, curve sm2p256v1): DER, signatures with SM3, encryption.

The arithmetic is gmalg's, pure Python: some milliseconds a signature, and its time depends on the key. Whoever can measure
the terminal's time that finely needs a security chip behind `Signer` instead of a key file. `cryptography` reads no key of
this curve, but it has the ASN.1 to do it with (PKCS#8: RFC 5208 and 5915; public keys: RFC 5480).
"""

from typing import Annotated

import gmalg
from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

SIZE = 32  # bytes of a coordinate, of a digest, of r and of s
POINT_SIZE = 1 + 2 * SIZE
ORDER = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123  # GB/T 32918.5-2017, annex A
_UNCOMPRESSED = b"\x04"
_EC_PUBLIC_KEY = ObjectIdentifier("1.2.840.10045.2.1")
_SM2_CURVE = ObjectIdentifier("1.2.156.10197.1.301")


@asn1.sequence
class _Algorithm:
    algorithm: ObjectIdentifier
    curve: ObjectIdentifier


@asn1.sequence
class _Pkcs8:
    version: int
    algorithm: _Algorithm
    key: bytes


@asn1.sequence
class _EcPrivateKey:
    version: int
    secret: bytes
    curve: Annotated[ObjectIdentifier | None, asn1.Explicit(0)]
    public: Annotated[asn1.BitString | None, asn1.Explicit(1)]


@asn1.sequence
class _SubjectPublicKey:
    algorithm: _Algorithm
    key: asn1.BitString


class Sm2PublicKey:
    """A point of the curve; `point` is 04, X and Y, 65 bytes. ValueError when it is none."""

    def __init__(self, point: bytes) -> None:
        if len(point) != POINT_SIZE or point[:1] != _UNCOMPRESSED:
            raise ValueError("an SM2 public key is 04 and 64 bytes")
        if not gmalg.SM2().verify_pk(point):
            raise ValueError("the SM2 public key is no point of the curve")
        self.point = bytes(point)

    @classmethod
    def from_der(cls, der: bytes) -> "Sm2PublicKey":
        """From SubjectPublicKeyInfo; ValueError when it is not that of an SM2 key."""
        found = asn1.decode_der(_SubjectPublicKey, der)
        _check_curve(found.algorithm)
        return cls(found.key.as_bytes())

    def der(self) -> bytes:
        """SubjectPublicKeyInfo."""
        algorithm = _Algorithm(algorithm=_EC_PUBLIC_KEY, curve=_SM2_CURVE)
        return asn1.encode_der(_SubjectPublicKey(algorithm=algorithm, key=asn1.BitString(self.point, 0)))

    def verify(self, data: bytes, r: bytes, s: bytes, user_id: bytes) -> bool:
        """Whether (r, s), 32 bytes each, is this key's signature of `data`."""
        if len(r) != SIZE or len(s) != SIZE:
            return False
        return bool(gmalg.SM2(uid=user_id, pk=self.point).verify(data, r, s))

    def encrypt(self, data: bytes, order: str) -> bytes:
        """C1 (04, X, Y), C3 (32 bytes), C2 (as long as `data`), in `order`: c1c3c2 or c1c2c3; ValueError for no data."""
        if not data:
            # GB/T 32918.4: an empty key stream would be drawn again for ever.
            raise ValueError("SM2 does not encrypt nothing")
        sealed: bytes = gmalg.SM2(pk=self.point).encrypt(data)
        if order == "c1c3c2":
            return sealed
        head = POINT_SIZE + SIZE
        return sealed[:POINT_SIZE] + sealed[head:] + sealed[POINT_SIZE:head]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sm2PublicKey) and other.point == self.point

    def __hash__(self) -> int:
        return hash(self.point)


class Sm2PrivateKey:
    """A private key of 32 bytes, which no method but `der` gives out; ValueError when it is outside 1..n-2."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SIZE or not 1 <= int.from_bytes(secret, "big") <= ORDER - 2:
            raise ValueError("the SM2 private key is outside the range that GB/T 32918 allows")
        self.__secret = bytes(secret)
        self.__public_key = Sm2PublicKey(gmalg.SM2().generate_pk(self.__secret))

    @classmethod
    def generate(cls) -> "Sm2PrivateKey":
        """A new key, from the system's random numbers."""
        secret, _ = gmalg.SM2().generate_keypair()
        return cls(secret.rjust(SIZE, b"\0"))

    @classmethod
    def from_der(cls, der: bytes) -> "Sm2PrivateKey":
        """From PKCS#8; ValueError when it is not that of an SM2 key."""
        outer = asn1.decode_der(_Pkcs8, der)
        _check_curve(outer.algorithm)
        return cls(asn1.decode_der(_EcPrivateKey, outer.key).secret)

    def der(self) -> bytes:
        """PKCS#8, not encrypted."""
        public = asn1.BitString(self.__public_key.point, 0)
        inner = _EcPrivateKey(version=1, secret=self.__secret, curve=None, public=public)
        algorithm = _Algorithm(algorithm=_EC_PUBLIC_KEY, curve=_SM2_CURVE)
        return asn1.encode_der(_Pkcs8(version=0, algorithm=algorithm, key=asn1.encode_der(inner)))

    def public_key(self) -> Sm2PublicKey:
        """The other half."""
        return self.__public_key

    def sign(self, data: bytes, user_id: bytes) -> tuple[bytes, bytes]:
        """(r, s), 32 bytes each, big-endian, of SM3 over the user's digest and `data`."""
        r, s = gmalg.SM2(self.__secret, user_id, self.__public_key.point).sign(data)
        return r.rjust(SIZE, b"\0"), s.rjust(SIZE, b"\0")

    def decrypt(self, data: bytes, order: str) -> bytes:
        """What `Sm2PublicKey.encrypt` took; ValueError when it was not made for this key, or changed."""
        if len(data) <= POINT_SIZE + SIZE or data[:1] != _UNCOMPRESSED:
            raise ValueError("no SM2 ciphertext")
        if order == "c1c2c3":
            data = data[:POINT_SIZE] + data[-SIZE:] + data[POINT_SIZE:-SIZE]
        try:
            opened: bytes = gmalg.SM2(self.__secret, pk=self.__public_key.point).decrypt(data)
        except gmalg.errors.GMError:
            raise ValueError("the SM2 ciphertext does not belong to this key, or was changed") from None
        return opened

    def __repr__(self) -> str:
        return "<SM2 private key>"


def _check_curve(found: _Algorithm) -> None:
    if found.algorithm != _EC_PUBLIC_KEY or found.curve != _SM2_CURVE:
        raise ValueError("not a key of the SM2 curve")
