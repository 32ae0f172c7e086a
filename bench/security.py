"""The platform's side of `agent/seal.py`: taking a signature block apart, decrypting, making a key exchange.

`agent.crypto.signing.verify(values, signed_bytes, public_key, security)` checks the signature itself. `Security` is the one the
terminal is configured with: both sides have to agree on its options.
"""

from typing import Any

from agent.core.packet import PLAIN, time_bytes
from agent.crypto.ciphers import decrypt_by, decrypt_with, encrypt_for, encrypt_with
from agent.crypto.keys import DataKey, PrivateKey, PublicKey
from agent.seal import ENCRYPTIONS, MARKER
from agent.security import Security

_KINDS = {code: kind for kind, code in ENCRYPTIONS.items()}
# (bytes of R, bytes of S) that a signature has, by its algorithm; RSA: whatever the key's size is.
_SIZES = {1: (32, 32), 3: (32, 32)}
_RSA = 2
_RSA_SIZES = range(256, 1025)


def block_size(values: dict[str, Any]) -> int:
    """Bytes of a signature block with its marker."""
    return 6 + len(values["r"]) + len(values["s"])


def signed_part(unit: bytes, values: dict[str, Any], security: Security) -> bytes:
    """What the signature `values` at the end of a plain report unit covers."""
    end = len(unit) - block_size(values)
    return unit[: end + 1] if security.sign_marker else unit[:end]


def signature_of(unit: bytes) -> dict[str, Any]:
    """The signature block at the end of a plain report unit, found by its size: algorithm, r, s; ValueError without one.

    For a unit whose bodies cannot all be decoded; where they can, the values of its body FF are the same.
    """
    sizes = [(code, *pair) for code, pair in _SIZES.items()] + [(_RSA, size, 0) for size in _RSA_SIZES]
    for algorithm, r_size, s_size in sizes:
        at = len(unit) - 6 - r_size - s_size
        if at < 0:
            continue
        head = MARKER + bytes((algorithm,)) + r_size.to_bytes(2, "big")
        middle = at + 4 + r_size
        if unit[at : at + 4] == head and unit[middle : middle + 2] == s_size.to_bytes(2, "big"):
            return {"algorithm": algorithm, "r": unit[at + 4 : middle], "s": unit[middle + 2 :]}
    raise ValueError("the unit does not end with a signature block")


def decrypt(
    encryption: int,
    unit: bytes,
    security: Security,
    private_key: PrivateKey | None = None,
    data_key: DataKey | None = None,
) -> bytes:
    """The plain unit of a terminal's packet; ValueError when it cannot be decrypted with the key given (answer flag 07)."""
    if encryption == PLAIN or not unit:
        return unit
    kind = _KINDS.get(encryption, "")
    if kind in ("aes", "sm4") and data_key is not None:
        return decrypt_with(data_key, kind, unit, security)
    if kind in ("rsa", "sm2") and private_key is not None:
        return decrypt_by(private_key, unit, security)
    raise ValueError(f"no key for encryption {encryption:02X}")


def encrypt(
    unit: bytes, security: Security, terminal_key: PublicKey | None = None, data_key: DataKey | None = None
) -> tuple[int, bytes]:
    """(encryption code, unit) of a packet to the terminal, under what `security` says."""
    kind = security.encryption
    if kind in ("aes", "sm4") and data_key is not None and unit:
        return ENCRYPTIONS[kind], encrypt_with(data_key, kind, unit, security)
    if kind in ("rsa", "sm2") and terminal_key is not None and unit:
        return ENCRYPTIONS[kind], encrypt_for(terminal_key, unit, security)
    return PLAIN, unit


def key_exchange(
    kind: str, secret: bytes, first_s: int, last_s: int, terminal_key: PublicKey | None, security: Security
) -> dict[str, Any]:
    """Values of a key exchange (0B): a data key for `kind` (aes, sm4), valid from Unix second `first_s` until `last_s`.

    The key is encrypted for the owner of `terminal_key` where `security.wrapped_keys` says so.
    """
    key = secret
    if security.wrapped_keys:
        if terminal_key is None:
            raise ValueError("security.wrapped_keys: the terminal's public key is needed")
        key = encrypt_for(terminal_key, secret, security)
    return {
        "key_type": ENCRYPTIONS[kind],
        "key": key,
        "valid_from": time_bytes(first_s),
        "valid_until": time_bytes(last_s),
    }
