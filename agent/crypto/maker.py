"""The maker's public key, with which the signature of an upgrade is checked: Ed25519 or SM2, from a PEM file.

Signatures are those that `openssl pkeyutl -sign -rawin` writes: 64 bytes for Ed25519; for SM2 (with SM3 and the usual user id
1234567812345678) the DER sequence of r and s.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from agent.errors import AgentError
from agent.tomlfile import open_regular

MAX_FILE = 65536  # bytes; what is larger is no key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from agent.crypto.sm2 import Sm2PublicKey

SM2_ID = b"1234567812345678"  # the user id of GM/T 0009 where nobody has one


class PublicKey(Protocol):
    """Whatever can check a signature."""

    def verifies(self, signature: bytes, data: bytes) -> bool: ...


class UpgradeKeyError(AgentError):
    """A key file that cannot be used; the text says why."""


def load_public_key(path: Path) -> PublicKey:
    """The key of a PEM file (SubjectPublicKeyInfo); UpgradeKeyError otherwise, also where the extra [crypto] is not installed."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        from agent.crypto.keys import KeyFileError, read_public_key
        from agent.crypto.sm2 import Sm2PublicKey
    except ImportError:
        raise UpgradeKeyError(f"{path}: checking it needs an extra: pip install 'tbox-agent[crypto]'") from None
    try:
        with open_regular(path) as stream:
            found = load_pem_public_key(stream.read(MAX_FILE))
        if isinstance(found, Ed25519PublicKey):
            return Ed25519Key(found)
    except OSError as error:
        raise UpgradeKeyError(f"{path}: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        pass  # `cryptography` knows no SM2 key
    try:
        key = read_public_key(path)
    except (KeyFileError, OSError) as error:
        raise UpgradeKeyError(str(error)) from None
    if not isinstance(key, Sm2PublicKey):
        raise UpgradeKeyError(f"{path}: is neither an Ed25519 nor an SM2 key")
    return Sm2Key(key)


class Ed25519Key:
    """Signatures over the data themselves (RFC 8032)."""

    def __init__(self, key: "Ed25519PublicKey") -> None:
        self._key = key

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether the maker signed these bytes."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


class Sm2Key:
    """Signatures over SM3 of the user's digest and the data (GB/T 32918)."""

    def __init__(self, key: "Sm2PublicKey") -> None:
        self._key = key

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether the maker signed these bytes."""
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        try:
            r, s = (number.to_bytes(32, "big") for number in decode_dss_signature(signature))
        except (ValueError, OverflowError):
            return False
        return self._key.verify(data, r, s, SM2_ID)
