"""What happens to a data unit on its way out and in: signed, encrypted, decrypted; the activation; keys of the platform.

A report of an edition that has signatures is signed first, from its time bytes to the byte before the FF marker, then the
signature block is appended, then the whole unit is encrypted (7.2). Rows of the 2016 edition are never signed. They are
encrypted with whatever is configured, even where their own edition does not list it: in the clear they would leak.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from struct import pack
from typing import TYPE_CHECKING, Any

from agent.core.editions import EDITIONS
from agent.core.errors import RemoteProtocolError
from agent.core.packet import PLAIN, epoch_of, time_bytes
from agent.core.session import REALTIME, REISSUE
from agent.errors import ConfigError, LinkError
from agent.security import CHIP_ID_SIZE, ENCRYPTIONS, Security
from agent.tomlfile import home

if TYPE_CHECKING:
    from agent.crypto.keys import DataKey, PrivateKey, PublicKey
    from agent.crypto.signing import Signer

    Keys = tuple[PrivateKey | None, PublicKey | None, DataKey | None]

MARKER = b"\xff"  # body type of the signature; activation has none
SIGNED_STARTS = [edition.start for edition in EDITIONS.values() if edition.signature is not None]
_KINDS = {code: kind for kind, code in ENCRYPTIONS.items()}
_CLAUSE = "6.2"


class Seal:
    """Signs, encrypts and decrypts data units as `[security]` says; made by `open_seal`.

    `wall_s`: says the Unix second; a key of the platform is used only from its first to its last second.
    """

    def __init__(self, security: Security, keys: "Keys", signer: "Signer | None", wall_s: Callable[[], int]) -> None:
        self.security = security
        self._private_key, self._platform_key, self._data_key = keys
        self._signer = signer
        self._wall_s = wall_s
        self._exchanged: tuple[int, int, DataKey] | None = None  # valid from, valid until, key

    # -- data units ----------------------------------------------------------------------------------------------------

    def sign(self, start: bytes, command: int, unit: bytes) -> tuple[int, bytes]:
        """As `seal`, for a platform that shares no key with this terminal: signed where it has to be, not encrypted."""
        if self._signer is not None and command in (REALTIME, REISSUE) and start in SIGNED_STARTS:
            unit += self._signature_block(unit, self._signer)
        return PLAIN, unit

    def seal(self, start: bytes, command: int, unit: bytes) -> tuple[int, bytes]:
        """(encryption code, data unit to send) of a plain unit, time bytes in place; `start` is its packet's start mark.

        LinkError where there is no key: in the clear nothing goes out.
        """
        _, unit = self.sign(start, command, unit)
        kind = self.security.encryption
        if kind == "none" or not unit:
            return PLAIN, unit
        from agent.crypto import ciphers

        if kind in ("aes", "sm4"):
            return ENCRYPTIONS[kind], ciphers.encrypt_with(self._current_key(), kind, unit, self.security)
        if self._platform_key is None:
            raise LinkError("platform", "seal", "nothing can be encrypted: security.platform_key is missing")
        return ENCRYPTIONS[kind], ciphers.encrypt_for(self._platform_key, unit, self.security)

    def unseal(self, encryption: int, unit: bytes) -> bytes:
        """The plain unit of what the platform sent; RemoteProtocolError where it cannot be had.

        A unit in the clear is taken as it is, whatever is configured: platforms answer in the clear.
        """
        if encryption == PLAIN or not unit:
            return unit
        kind = _KINDS.get(encryption)
        if kind != self.security.encryption:
            said = kind.upper() if kind else f"code {encryption:02X}"
            raise _wrong(f"data unit encrypted with {said}, security.encryption is {self.security.encryption!r}", unit)
        from agent.crypto import ciphers
        from agent.crypto.keys import kind_of

        try:
            if kind in ("aes", "sm4"):
                return ciphers.decrypt_with(self._current_key(), kind, unit, self.security)
            if self._private_key is None or kind_of(self._private_key) != kind:
                raise _wrong(f"data unit encrypted with {kind.upper()}, security.private_key is no such key", unit)
            return ciphers.decrypt_by(self._private_key, unit, self.security)
        except ValueError as error:
            raise _wrong(f"data unit {error}", unit) from None
        except LinkError:
            raise _wrong("data unit encrypted, and no key is valid", unit) from None

    def _signature_block(self, unit: bytes, signer: "Signer") -> bytes:
        r, s = signer.sign(unit + MARKER if self.security.sign_marker else unit)
        return MARKER + pack(">BH", signer.algorithm, len(r)) + r + pack(">H", len(s)) + s

    # -- identity ------------------------------------------------------------------------------------------------------

    def activation(self, wall_s: int, vin: bytes) -> dict[str, Any]:
        """Values of command 09 whose data unit carries the time `wall_s`; ConfigError without a key that signs."""
        if self._signer is None:
            raise ConfigError("[security]", ["sign: is missing; the activation is signed"])
        from agent.crypto.keys import encode_public_key

        chip_id = self.security.chip_id.encode("ascii").ljust(CHIP_ID_SIZE)
        public_key = encode_public_key(self._signer.public_key, self.security.public_key)
        r, s = self._signer.sign(activation_bytes(time_bytes(wall_s), chip_id, public_key, vin))
        return {
            "chip_id": chip_id,
            "public_key": public_key,
            "activation_vin": vin,
            "algorithm": self._signer.algorithm,
            "r": r,
            "s": s,
        }

    # -- keys of the platform ------------------------------------------------------------------------------------------

    def key_refusal(self, values: dict[str, Any], wall_s: int) -> str:
        """Why `adopt_key` would not take these values; "" when it would."""
        examined = self._examined(values, wall_s)
        return examined if isinstance(examined, str) else ""

    def adopt_key(self, values: dict[str, Any], wall_s: int) -> str:
        """Take the key of a key exchange (0B); returns "" or why not, and then the key in use stays.

        `values`: key_type, key, valid_from and valid_until (six time bytes each). Public keys (types RSA and SM2) are not
        taken: nothing in 0B proves who sent it. The next unit is under the new key: nothing may come between this and the
        answer.
        """
        examined = self._examined(values, wall_s)
        if isinstance(examined, str):
            return examined
        self._exchanged = examined
        return ""

    def _examined(self, values: dict[str, Any], wall_s: int) -> "tuple[int, int, DataKey] | str":
        kind = _KINDS.get(values["key_type"])
        if kind not in ("aes", "sm4"):
            known = f"a key for {kind.upper()}" if kind in ("rsa", "sm2") else f"key type {values['key_type']:02X}"
            return f"{known} is not taken; AES (03) and SM4 (05) are"
        if kind != self.security.encryption:
            return f"a key for {kind.upper()}; security.encryption is {self.security.encryption!r}"
        try:
            first, last = epoch_of(values["valid_from"]), epoch_of(values["valid_until"])
        except RemoteProtocolError as error:
            return f"its time of validity is none: {error.reason}"
        if last <= first:
            return "it expires before it becomes valid"
        if wall_s < first:
            return f"it is not valid for another {first - wall_s} s"
        if wall_s >= last:
            return f"it expired {wall_s - last} s ago"
        key = self._unwrapped(bytes(values["key"]))
        return key if isinstance(key, str) else (first, last, key)

    def _unwrapped(self, key: bytes) -> "DataKey | str":
        from agent.crypto import ciphers
        from agent.crypto import keys as key_files

        try:
            if self.security.wrapped_keys:
                if self._private_key is None or key_files.kind_of(self._private_key) == "ecc":
                    return "it comes encrypted (security.wrapped_keys), and security.private_key is no RSA or SM2 key"
                key = ciphers.decrypt_by(self._private_key, key, self.security)
            return key_files.DataKey(key)
        except key_files.KeyFileError as error:
            return str(error)
        except ValueError:
            return "it cannot be decrypted with security.private_key"

    def _current_key(self) -> "DataKey":
        """The platform's key while it is valid, else the one of the file."""
        if self._exchanged is not None:
            first, last, key = self._exchanged
            if first <= self._wall_s() < last:
                return key
        if self._data_key is None:
            raise LinkError(
                "platform", "seal", "nothing can be encrypted: no key of the platform, and no security.data_key"
            )
        return self._data_key

    def __repr__(self) -> str:
        return f"<seal: encryption {self.security.encryption}, sign {self.security.sign}>"


def activation_bytes(time: bytes, chip_id: bytes, public_key: bytes, vin: bytes) -> bytes:
    """What the signature of an activation covers: from the time to the last byte of the VIN (7.2)."""
    return time + chip_id + pack(">H", len(public_key)) + public_key + vin


def open_seal(security: Security, folder: Path, wall_s: Callable[[], int], file: str = "[security]") -> Seal:
    """Read the keys and make the seal; ConfigError with everything that is wrong with them.

    `folder`: where relative paths start (`Config.folder`). `file`: what errors name.
    """
    faults = missing_extra(security)
    if faults:
        raise ConfigError(file, faults)
    keys: Keys = (None, None, None)
    signer: Signer | None = None
    if security.encryption != "none" or security.sign != "none" or security.private_key:
        from agent.crypto.signing import KeySigner

        keys = _read_keys(security, folder, faults)
        if faults:
            raise ConfigError(file, faults)
        if security.sign != "none" and keys[0] is not None:
            signer = KeySigner(keys[0], security)
    return Seal(security, keys, signer, wall_s)


def missing_extra(security: Security) -> list[str]:
    """A fault for each option that needs a package which is not installed."""
    wanted = [
        (f'security.sign = "{security.sign}"', security.sign != "none"),
        (f'security.encryption = "{security.encryption}"', security.encryption != "none"),
    ]
    if find_spec("cryptography") is not None and find_spec("gmalg") is not None:
        return []
    return [f"{option}: needs the extra crypto: pip install 'tbox-agent[crypto]'" for option, asked in wanted if asked]


def _read_keys(security: Security, folder: Path, faults: list[str]) -> "Keys":
    from agent.crypto.keys import KeyFileError, kind_of, read_data_key, read_private_key, read_public_key

    def read(option: str, reader: Callable[[Path], Any]) -> Any:
        name = getattr(security, option)
        if not name:
            return None
        try:
            return reader(folder / home(name))
        except KeyFileError as error:
            faults.append(f"security.{option}: {error}")
            return None

    private = read("private_key", read_private_key)
    platform = read("platform_key", read_public_key)
    data = read("data_key", read_data_key)
    if private is not None and security.sign not in ("none", kind_of(private)):
        faults.append(f"security.private_key: is a key for {kind_of(private)}; security.sign is {security.sign!r}")
    if platform is not None and security.encryption in ("rsa", "sm2") and kind_of(platform) != security.encryption:
        faults.append(
            f"security.platform_key: is a key for {kind_of(platform)}; security.encryption is {security.encryption!r}"
        )
    return private, platform, data


def _wrong(reason: str, unit: bytes) -> RemoteProtocolError:
    return RemoteProtocolError(reason, _CLAUSE, 0, unit)
