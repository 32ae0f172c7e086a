"""The maker's public key, with which the signature of an upgrade is checked: Ed25519, from a PEM file."""

from pathlib import Path
from typing import Protocol

from agent.errors import AgentError
from agent.tomlfile import open_regular

MAX_FILE = 65536  # bytes; what is larger is no key


class PublicKey(Protocol):
    """Whatever can check a signature."""

    def verifies(self, signature: bytes, data: bytes) -> bool: ...


class KeyFileError(AgentError):
    """A key file that cannot be used; the text says why."""


def load_public_key(path: Path) -> PublicKey:
    """The key of a PEM file (SubjectPublicKeyInfo); KeyFileError otherwise, also where the extra [crypto] is not installed."""
    try:
        with open_regular(path) as stream:
            pem = stream.read(MAX_FILE)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from None
    return Ed25519Key(path, pem)


class Ed25519Key:
    """Signatures of 64 bytes over the data themselves (RFC 8032)."""

    def __init__(self, path: Path, pem: bytes) -> None:
        try:
            from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
            from cryptography.hazmat.primitives.serialization import load_pem_public_key
        except ImportError:
            raise KeyFileError(f"{path}: checking it needs an extra: pip install 'tbox-agent[crypto]'") from None
        try:
            key = load_pem_public_key(pem)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise KeyFileError(f"{path}: is no public key in PEM") from None
        if not isinstance(key, Ed25519PublicKey):
            raise KeyFileError(f"{path}: is no Ed25519 key")
        self._key = key
        self._invalid = InvalidSignature

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether the maker signed these bytes."""
        try:
            self._key.verify(signature, data)
        except self._invalid:
            return False
        return True
