"""Ciphers of data units (6.2): AES-128 and SM4 with a data key, RSA and SM2 with the receiver's public key.

Block ciphers: nonce of 12 bytes, ciphertext, tag of 16 (GCM); IV of 16 bytes, where it is random, and ciphertext (CBC);
ciphertext (ECB). RSA takes what fits one block of the key, again and again: each chunk becomes as many bytes as the key has.
SM2 takes a unit of any length. All functions raise ValueError, without the reason behind it, when bytes cannot be decrypted.
"""

import os
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP, AsymmetricPadding, PKCS1v15
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from agent.crypto.keys import DataKey, PrivateKey, PublicKey
from agent.crypto.sm2 import Sm2PrivateKey, Sm2PublicKey
from agent.security import Security

BLOCK = 16  # bytes; AES and SM4
NONCE = 12  # bytes; GCM
TAG = 16  # bytes; GCM
_PKCS1_OVERHEAD = 11  # bytes

_CIPHERS: dict[str, Any] = {"aes": algorithms.AES, "sm4": algorithms.SM4}


class UndecipherableError(ValueError):
    """The bytes are not what this key and these options make."""

    def __init__(self) -> None:
        super().__init__("cannot be decrypted: another key, another option, or changed on the way")


def encrypt_with(key: DataKey, kind: str, data: bytes, security: Security) -> bytes:
    """`data` under a data key; `kind`: aes or sm4."""
    cipher = _CIPHERS[kind](key.secret)
    if security.block_mode == "gcm":
        nonce = os.urandom(NONCE)
        encryptor = Cipher(cipher, modes.GCM(nonce)).encryptor()
        return nonce + encryptor.update(data) + encryptor.finalize() + encryptor.tag
    filled = _pad(data, security.padding)
    if security.block_mode == "ecb":
        return _run(Cipher(cipher, modes.ECB()).encryptor(), filled)  # noqa: S305 - asked for by name
    head, iv = b"", _fixed_iv(security)
    if iv is None:
        head = iv = os.urandom(BLOCK)
    return head + _run(Cipher(cipher, modes.CBC(iv)).encryptor(), filled)


def decrypt_with(key: DataKey, kind: str, data: bytes, security: Security) -> bytes:
    """What `encrypt_with` took."""
    cipher = _CIPHERS[kind](key.secret)
    try:
        if security.block_mode == "gcm":
            if len(data) < NONCE + TAG:
                raise UndecipherableError
            mode = modes.GCM(data[:NONCE], data[-TAG:])
            return _run(Cipher(cipher, mode).decryptor(), data[NONCE:-TAG])
        if security.block_mode == "ecb":
            return _unpad(_run(Cipher(cipher, modes.ECB()).decryptor(), data), security.padding)  # noqa: S305 - as above
        iv = _fixed_iv(security)
        if iv is None:
            iv, data = data[:BLOCK], data[BLOCK:]
        return _unpad(_run(Cipher(cipher, modes.CBC(iv)).decryptor(), data), security.padding)
    except (ValueError, InvalidTag):
        raise UndecipherableError from None


def encrypt_for(key: PublicKey, data: bytes, security: Security) -> bytes:
    """`data` for the owner of an RSA or SM2 key."""
    if isinstance(key, Sm2PublicKey):
        return key.encrypt(data, security.sm2_order)
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("an ECC key only signs; RSA or SM2 is needed")
    padding, overhead = _rsa_padding(security)
    chunk = key.key_size // 8 - overhead
    return b"".join([key.encrypt(data[at : at + chunk], padding) for at in range(0, len(data), chunk)])


def decrypt_by(key: PrivateKey, data: bytes, security: Security) -> bytes:
    """What `encrypt_for` took."""
    try:
        if isinstance(key, Sm2PrivateKey):
            return key.decrypt(data, security.sm2_order)
        if isinstance(key, rsa.RSAPrivateKey):
            padding, _ = _rsa_padding(security)
            size = key.key_size // 8
            return b"".join([key.decrypt(data[at : at + size], padding) for at in range(0, len(data), size)])
    except ValueError:
        raise UndecipherableError from None
    raise ValueError("an ECC key only signs; RSA or SM2 is needed")


def _rsa_padding(security: Security) -> tuple[AsymmetricPadding, int]:
    """The padding, and how many bytes of a block it takes."""
    if security.rsa_padding == "pkcs1":
        return PKCS1v15(), _PKCS1_OVERHEAD
    # SHA-1 is asked for by name; OAEP does not lean on its resistance to collisions.
    digest: hashes.HashAlgorithm = hashes.SHA256() if security.rsa_padding == "oaep-sha256" else hashes.SHA1()  # noqa: S303
    return OAEP(MGF1(digest), digest, None), 2 * digest.digest_size + 2


def _fixed_iv(security: Security) -> bytes | None:
    return None if security.iv == "random" else bytes.fromhex(security.iv)


def _run(context: Any, data: bytes) -> bytes:
    return bytes(context.update(data) + context.finalize())


def _pad(data: bytes, padding: str) -> bytes:
    if padding == "pkcs7":
        return _run(PKCS7(8 * BLOCK).padder(), data)
    return data + b"\x80" + bytes(-(len(data) + 1) % BLOCK)


def _unpad(data: bytes, padding: str) -> bytes:
    if padding == "pkcs7":
        return _run(PKCS7(8 * BLOCK).unpadder(), data)
    bare = data.rstrip(b"\0")
    if len(data) - len(bare) >= BLOCK or bare[-1:] != b"\x80":
        raise UndecipherableError
    return bare[:-1]
