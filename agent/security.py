"""The `[security]` section: what is encrypted and signed, with which keys, and what the standard leaves open.

GB/T 32960.3 names the algorithms and no more: not the block mode, not the padding, not the SM2 user id (spec section 7). Terminal
and platform have to agree on these; each is an option here. The default is what the known implementations do or, where there
is no such thing, the safest choice.
"""

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from agent.core.editions import EDITIONS
from agent.core.packet import PLAIN

ENCRYPTIONS = {"none": PLAIN, "rsa": 2, "aes": 3, "sm2": 4, "sm4": 5}  # 6.2
CHIP_ID_SIZE = 16
MOST_SHOWN = 200  # characters
KEY_FILES = ("private_key", "platform_key", "data_key")  # options that name files with keys
_KEY_ITSELF = re.compile(r"^\s*[0-9A-Fa-f]{32}\s*$|-----BEGIN")

_DATA_KEY = "a file of 32 hex digits; `(umask 077; openssl rand -hex 16 > data.key)` makes one"

_Iv = Annotated[str, Meta(pattern=r"^(random|[0-9A-Fa-f]{32})$", description='"random" or 32 hex digits')]
_ChipId = Annotated[str, Meta(pattern=r"^[ -~]{0,16}$", description="at most 16 ASCII characters")]
_UserId = Annotated[str, Meta(pattern=r"^[ -~]{1,64}$", description="1 to 64 ASCII characters")]


class Security(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Encryption, signature and identity of the terminal; without the section everything goes out plain and unsigned.

    `private_key`: the terminal's own, PEM (PKCS#8), mode 0600; it signs, and opens what comes encrypted with RSA or SM2.
    `platform_key`: the platform's public key, PEM, for encryption with RSA or SM2. `data_key`: a file with the 16 bytes of
    an AES or SM4 key as 32 hex digits, mode 0600; keys of the platform's key exchange (0B) take its place while they are valid.
    """

    encryption: Literal["none", "rsa", "aes", "sm2", "sm4"] = "none"
    sign: Literal["none", "sm2", "rsa", "ecc"] = "none"
    private_key: str = ""
    platform_key: str = ""
    data_key: str = ""
    chip_id: _ChipId = ""
    activation: bool = False
    # -- open in the standard ------------------------------------------------------------------------------------------
    # Block mode of AES and SM4. GCM notices a changed byte, CBC and ECB do not, and ECB shows which blocks are equal.
    block_mode: Literal["gcm", "cbc", "ecb"] = "gcm"
    # Fills the last block of CBC and ECB. Zeros alone are not offered: a data unit may end with zeros of its own.
    padding: Literal["pkcs7", "iso7816"] = "pkcs7"
    # IV of CBC, nonce of GCM: a fresh one before each ciphertext, or 32 hex digits, the same for all and never sent (CBC only).
    iv: _Iv = "random"
    # OAEP withstands the attacks on PKCS#1 v1.5 encryption. The signature has no such option: it is PKCS#1 v1.5 (7.2).
    rsa_padding: Literal["oaep-sha256", "oaep-sha1", "pkcs1"] = "oaep-sha256"
    # The user id that GM/T 0009 prescribes where no other was agreed on.
    sm2_id: _UserId = "1234567812345678"
    # GB/T 32918.4-2016 has the digest (C3) before the text (C2); its draft of 2010 had it behind.
    sm2_order: Literal["c1c3c2", "c1c2c3"] = "c1c3c2"
    # Both known implementations stop before the FF marker.
    sign_marker: bool = False
    # SHA-256 is the digest of P-256's own strength that every library has; no implementation says anything.
    ecc_digest: Literal["sha256", "sm3"] = "sha256"
    # Public key in 09. raw: X and Y; RSA modulus and 3 bytes of exponent, as the one known sample. point: 04 before X and Y.
    # der: SubjectPublicKeyInfo.
    public_key: Literal["raw", "point", "der"] = "raw"
    # Whether the key in 0B is encrypted with the terminal's public key. In the clear, whoever hears 0B can read all that follows.
    wrapped_keys: bool = True


def security_faults(table: Any, edition: Any) -> list[str]:
    """What types cannot say about a `[security]` table; whatever has the wrong type was named before.

    `edition`: name of the vehicle's edition; signatures, activation, SM2 and SM4 came with 2025.
    """
    if not isinstance(table, dict):
        return []
    default = {field.name: field.default for field in msgspec.structs.fields(Security)}
    given = default | {key: value for key, value in table.items() if isinstance(value, type(default.get(key)))}
    # What is longer has been named as wrong, and would be repeated here.
    given = {key: value[:MOST_SHOWN] if isinstance(value, str) else value for key, value in given.items()}
    faults = [
        f"security.{option}: is missing; {reason} needs {what}"
        for option, needed, reason, what in _needs(given)
        if needed and not given[option]
    ]
    faults += [
        f"security.{option}: names a file; the key itself does not belong into a configuration"
        for option in KEY_FILES
        if _KEY_ITSELF.search(given[option])
    ]
    tables = EDITIONS.get(edition) if isinstance(edition, str) else None
    if tables is not None:
        unknown = [("encryption", ENCRYPTIONS.get(given["encryption"], PLAIN) not in tables.encryptions)]
        if tables.signature is None:
            unknown += [("sign", given["sign"] != "none"), ("activation", given["activation"])]
        faults += [
            f"security.{option} = {_toml(given[option])}: edition {edition} has no such thing"
            for option, wrong in unknown
            if wrong
        ]
    if given["activation"] and given["sign"] == "none":
        faults.append('security.activation = true: the activation is signed; sign = "sm2", "rsa" or "ecc" is needed')
    if given["block_mode"] == "gcm" and given["iv"] != "random":
        faults.append('security.iv: GCM breaks when a nonce is used twice; iv = "random", or another block_mode')
    if given["sign"] == "rsa" and given["public_key"] == "point":
        faults.append('security.public_key = "point": is for elliptic curves; RSA has "raw" and "der"')
    if given["encryption"] in ("aes", "sm4") and given["wrapped_keys"] and given["sign"] == "ecc":
        faults.append(
            "security.wrapped_keys = true: needs an RSA or SM2 private key, ECC only signs; "
            "wrapped_keys = false would let keys arrive unprotected"
        )
    return faults


def _needs(given: dict[str, Any]) -> list[tuple[str, bool, str, str]]:
    """(option, whether it has to be there, because of what, what it is)."""
    encryption, sign = given["encryption"], given["sign"]
    pem = "the path of a PEM file"
    return [
        ("private_key", sign != "none", f'sign = "{sign}"', pem + "; `tbox identity --new-key` makes one"),
        (
            "platform_key",
            encryption in ("rsa", "sm2"),
            f'encryption = "{encryption}"',
            pem + " with the platform's key",
        ),
        ("data_key", encryption in ("aes", "sm4"), f'encryption = "{encryption}"', _DATA_KEY),
        ("chip_id", bool(given["activation"]), "activation = true", "the id of the security chip, up to 16 characters"),
    ]


def _toml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f'"{value}"'


def describe(security: Security) -> list[tuple[str, str]]:
    """What the section comes to, as (heading, text) lines for a person; paths, never the contents of a key file."""
    lines = [("encryption", _encryption(security)), ("signature", _signature(security))]
    lines.append(("activation", "before the first login" if security.activation else "none"))
    if security.chip_id:
        lines.append(("chip id", security.chip_id))
    if security.private_key:
        lines.append(("private key", security.private_key))
    if security.encryption in ("rsa", "sm2"):
        lines.append(("platform's key", security.platform_key))
    if security.encryption in ("aes", "sm4"):
        how = "encrypted with this terminal's public key" if security.wrapped_keys else "IN THE CLEAR"
        lines += [("data key", security.data_key), ("exchanged keys", f"arrive {how}")]
    if security.activation:
        lines.append(("public key sent as", security.public_key))
    return lines


def _encryption(security: Security) -> str:
    kind = security.encryption
    if kind == "none":
        return "none"
    if kind == "rsa":
        return f"RSA, {security.rsa_padding}"
    if kind == "sm2":
        return f"SM2, {security.sm2_order}"
    text = f"{'AES-128' if kind == 'aes' else 'SM4'}, {security.block_mode}"
    if security.block_mode == "gcm":
        return f"{text}, random nonce"
    text += f", {security.padding}"
    if security.block_mode == "ecb":
        return text
    return f"{text}, {'random IV' if security.iv == 'random' else 'fixed IV'}"


def _signature(security: Security) -> str:
    if security.sign == "none":
        return "none"
    how = {
        "sm2": f"SM2 with SM3, user id {security.sm2_id}",
        "rsa": "RSA, PKCS#1 v1.5, SHA-256",
        "ecc": f"ECDSA P-256, {security.ecc_digest}",
    }[security.sign]
    return f"{how}; reports up to {'and with' if security.sign_marker else 'the byte before'} the FF marker"
