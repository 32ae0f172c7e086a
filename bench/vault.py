"""The keys of a platform: opens and checks what registered terminals send, and gives them new data keys (0B, 2025)."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from agent.core.dataunit import DataUnit, encode_data_unit
from agent.core.editions import BY_START
from agent.core.errors import LocalProtocolError, RemoteProtocolError
from agent.core.packet import COMMAND, PLAIN, SUCCESS, Packet, build_packet
from agent.core.session import KEY_EXCHANGE
from agent.crypto.keys import (
    ALGORITHMS,
    DATA_KEY_SIZE,
    DataKey,
    KeyFileError,
    PrivateKey,
    PublicKey,
    decode_public_key,
    read_data_key,
    read_private_key,
)
from agent.crypto.signing import verify
from agent.errors import ConfigError
from agent.security import Security
from agent.tomlfile import parse_toml
from bench.arrival import Arrival
from bench.orders import LOGIN, Plan
from bench.registry import Entry, Registry
from bench.security import decrypt, encrypt, key_exchange

VALID_S = 30 * 86400
_KINDS = {code: kind for kind, code in ALGORITHMS.items()}


@dataclass(frozen=True, slots=True)
class _Exchanged:
    """A data key and its first and last Unix second."""

    key: DataKey
    first_s: int
    last_s: int


class Vault:
    """Opens data units and checks signatures by the keys of a registry; `security` is what platform and terminals agreed on.

    `private_key` opens what comes encrypted for the platform (RSA, SM2), `data_key` what is encrypted with AES or SM4, until a
    key that was exchanged with the vehicle takes its place.
    """

    def __init__(
        self,
        registry: Registry,
        security: Security,
        wall_s: Callable[[], int],
        private_key: PrivateKey | None = None,
        data_key: DataKey | None = None,
    ) -> None:
        self.security = security
        self._registry = registry
        self._wall_s = wall_s
        self._private_key = private_key
        self._data_key = data_key
        self._public_keys: dict[bytes, PublicKey] = {}
        self._offered: dict[bytes, _Exchanged] = {}
        self._exchanged: dict[bytes, _Exchanged] = {}

    # -- what comes ----------------------------------------------------------------------------------------------------

    def open(self, vin: bytes, encryption: int, unit: bytes) -> bytes:
        """The plain data unit; RemoteProtocolError when no key of this vehicle opens it."""
        problem = "no key opens it"
        for key in self._data_keys(vin):
            try:
                return decrypt(encryption, unit, self.security, self._private_key, key)
            except ValueError as error:
                problem = str(error)
        raise RemoteProtocolError(f"data unit {problem}", "6.2", 21, b"")

    def verify(self, vin: bytes, unit: bytes, signed: int, signature: dict[str, Any] | None) -> str:
        """What is wrong with the signature of a report; a vehicle that is not registered owes none."""
        entry = self._registry.by_vin.get(vin)
        if entry is None or not entry.public_key:
            return ""
        if signature is None:
            return "report of a registered vehicle without a signature (7.2)"
        end = signed + 1 if self.security.sign_marker else signed
        return self._check(entry, signature, unit[:end], f"signature over {end} bytes")

    def verify_activation(self, entry: Entry, arrival: Arrival) -> str:
        """What is wrong with the signature of an activation: over everything in front of it."""
        values = arrival.values
        end = len(arrival.plain) - 5 - len(values["r"]) - len(values["s"])
        return self._check(entry, values, arrival.plain[:end], "signature of the activation")

    def heard(self, arrival: Arrival) -> None:
        """From the good answer to a key exchange on the vehicle uses the new key."""
        packet = arrival.packet
        if packet.command == KEY_EXCHANGE and packet.response == SUCCESS and packet.vin in self._offered:
            self._exchanged[packet.vin] = self._offered.pop(packet.vin)

    def _data_keys(self, vin: bytes) -> list[DataKey | None]:
        exchanged = self._exchanged.get(vin)
        if exchanged is not None and exchanged.first_s <= self._wall_s() < exchanged.last_s:
            return [exchanged.key, self._data_key]
        return [self._data_key]

    def _check(self, entry: Entry, values: dict[str, Any], data: bytes, what: str) -> str:
        try:
            good = verify(values, data, self._public_key(entry), self.security)
        except ValueError as error:
            return f"{what} cannot be checked: {error}"
        return "" if good else f"{what} is wrong (7.2)"

    def _public_key(self, entry: Entry) -> PublicKey:
        if entry.vin not in self._public_keys:
            kind = _KINDS[entry.algorithm]
            self._public_keys[entry.vin] = decode_public_key(kind, entry.public_key, entry.encoding)
        return self._public_keys[entry.vin]

    # -- what goes -----------------------------------------------------------------------------------------------------

    def offer(self, vin: bytes, kind: str, wall_s: int, fault: str) -> dict[str, Any]:
        """Values of a key exchange with a new key for `kind` (aes, sm4), spoiled by `fault`; LocalProtocolError."""
        first_s, last_s = wall_s, wall_s + VALID_S
        if fault == "expired":
            first_s, last_s = wall_s - VALID_S, wall_s - 1
        elif fault == "early":
            first_s, last_s = wall_s + 3600, wall_s + VALID_S
        secret = secrets.token_bytes(DATA_KEY_SIZE)
        sent = secret[:-1] if fault == "short" else secret
        try:
            values = key_exchange(kind, sent, first_s, last_s, self._terminal_key(vin), self.security)
        except ValueError as error:
            raise LocalProtocolError(str(error)) from error
        self._offered[vin] = _Exchanged(DataKey(secret), first_s, last_s)
        return values

    def seal(self, packet: bytes) -> bytes:
        """A command encrypted as the vehicle's own packets are; one without a data unit stays as it is."""
        parts = Packet(packet)
        if parts.encryption != PLAIN:
            return packet
        key = self._data_keys(parts.vin)[0]
        encryption, unit = encrypt(parts.unit, self.security, self._terminal_key(parts.vin), key)
        return build_packet(parts.start, parts.command, parts.response, parts.vin, encryption, unit)

    def _terminal_key(self, vin: bytes) -> PublicKey | None:
        entry = self._registry.by_vin.get(vin)
        return self._public_key(entry) if entry is not None and entry.public_key else None


@dataclass(frozen=True, slots=True)
class KeyExchange:
    """Gives every vehicle a new data key after its login; a plan of the order book."""

    vault: Vault
    kind: str
    fault: str = ""
    vin: bytes | None = None
    on: str = LOGIN
    after_ms: int = 0

    def packet(self, vin: bytes, start: bytes, wall_s: int) -> bytes:
        """Command 0B to one vehicle; LocalProtocolError where its edition has none."""
        edition = BY_START[start]
        if KEY_EXCHANGE not in edition.commands:
            raise LocalProtocolError(f"edition {edition.name} has no key exchange")
        values = self.vault.offer(vin, self.kind, wall_s, self.fault)
        unit = encode_data_unit(edition, KEY_EXCHANGE, DataUnit(b"", values))
        return build_packet(start, KEY_EXCHANGE, COMMAND, vin, PLAIN, unit)


@dataclass(frozen=True, slots=True)
class Sealed:
    """Another plan whose packets go out encrypted."""

    plan: Plan
    vault: Vault

    @property
    def vin(self) -> bytes | None:
        """For whom."""
        return self.plan.vin

    @property
    def on(self) -> str:
        """What it waits for."""
        return self.plan.on

    @property
    def after_ms(self) -> int:
        """How long after that."""
        return self.plan.after_ms

    def packet(self, vin: bytes, start: bytes, wall_s: int) -> bytes:
        """The packet of the other plan, encrypted."""
        return self.vault.seal(self.plan.packet(vin, start, wall_s))


def open_vault(
    registry: Registry,
    security_file: str | None,
    private_key: str | None,
    data_key: str | None,
    wall_s: Callable[[], int],
) -> Vault:
    """A vault of key files; ConfigError with everything that is wrong.

    `security_file`: TOML with a [security] table, such as the terminal's own configuration; what it says of keys is the
    terminal's and not read.
    """
    faults: list[tuple[str, str]] = []

    def read(path: str | None, reader: Callable[[Path], Any]) -> Any:
        if path is None:
            return None
        try:
            return reader(Path(path))
        except KeyFileError as error:
            faults.append((path, str(error)))
            return None

    security = Security() if security_file is None else read_security(security_file)
    vault = Vault(registry, security, wall_s, read(private_key, read_private_key), read(data_key, read_data_key))
    if faults:
        raise ConfigError(faults[0][0], [problem for _, problem in faults])
    return vault


def read_security(path: str) -> Security:
    """The [security] table of a TOML file; ConfigError."""
    try:
        table = parse_toml(path, Path(path).read_text(encoding="utf-8")).get("security", {})
        return msgspec.convert(table, Security)
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise ConfigError(path, [f"[security]: {error}"]) from error
