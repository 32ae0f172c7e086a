"""What the maker registered of its terminals, and which of them are activated (2025: annex A and B). No signatures here."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.core.edition2025 import ALGORITHM
from agent.core.packet import VIN_SIZE
from agent.errors import ConfigError

SUCCEEDED, FAILED = 0x01, 0x02
NOTHING, ALREADY_ACTIVATED, DUPLICATE = 0x00, 0x01, 0x02
_ALGORITHMS = {name: code for code, name in ALGORITHM.items()}
_KEYS = ("vin", "iccid", "chip_id", "algorithm", "public_key")


@dataclass(frozen=True, slots=True)
class Entry:
    """A registered terminal; `chip_id` without its padding, `algorithm` as in a signature (01 SM2, 02 RSA, 03 ECC)."""

    vin: bytes
    iccid: bytes
    chip_id: bytes
    algorithm: int
    public_key: bytes
    encoding: str = "raw"


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to an activation: status, information (command 0A), and why, for the log; `entry` when it stands so far."""

    status: int
    information: int
    reason: str
    entry: Entry | None = None


class Registry:
    """Registered terminals by VIN and by chip, and those that are activated."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.by_vin: dict[bytes, Entry] = {}
        self.by_chip: dict[bytes, Entry] = {}
        self.activated: dict[bytes, bytes] = {}  # chip id: VIN
        for entry in entries:
            self.by_vin[entry.vin] = entry
            self.by_chip[entry.chip_id] = entry

    def decide(self, values: dict[str, Any], vin: bytes) -> Decision:
        """Judge the rows of an activation (09) under unique id `vin`, but for its signature."""
        chip_id = bytes(values["chip_id"]).rstrip(b" \0")
        own = bytes(values["activation_vin"])
        entry = self.by_chip.get(chip_id)
        registered = self.by_vin.get(own)
        if own != vin:
            return Decision(FAILED, NOTHING, "the VIN inside is not that of the packet")
        if chip_id in self.activated:
            return Decision(FAILED, ALREADY_ACTIVATED, "the chip is activated already")
        if own in self.activated.values() or (registered is not None and registered.chip_id != chip_id):
            return Decision(FAILED, DUPLICATE, "the VIN belongs to another chip")
        if entry is None:
            return Decision(FAILED, NOTHING, "the chip is not registered")
        if entry.vin != own:
            return Decision(FAILED, NOTHING, "the chip is registered for another VIN")
        if entry.public_key != bytes(values["public_key"]) or entry.algorithm != values["algorithm"]:
            return Decision(FAILED, NOTHING, "the public key is not the registered one")
        return Decision(SUCCEEDED, NOTHING, "", entry)

    def activate(self, entry: Entry) -> None:
        """The activation stands."""
        self.activated[entry.chip_id] = entry.vin


def read_registry(path: str | Path) -> Registry:
    """A file of JSON lines as `tbox identity --json` prints them; ConfigError with everything that is wrong."""
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(str(path), [f"cannot be read: {reason}"]) from error
    entries, faults = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entries.append(_entry(json.loads(line)))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            faults.append(f"line {number}: {said}; needed: an object of {', '.join(_KEYS)}")
    for name in ("vin", "chip_id"):
        found = [getattr(entry, name) for entry in entries if getattr(entry, name)]
        twice = sorted({value for value in found if found.count(value) > 1})
        faults += [f"{name} {value.decode()} is registered more than once" for value in twice]
    if faults:
        raise ConfigError(str(path), faults)
    return Registry(entries)


def _entry(given: Any) -> Entry:
    if not isinstance(given, dict):
        raise TypeError(f"{given!r} is no object")
    vin, iccid, chip_id = (str(given[name]).encode("ascii") for name in ("vin", "iccid", "chip_id"))
    if len(vin) != VIN_SIZE:
        raise ValueError(f"vin {given['vin']!r} has {len(vin)} characters, {VIN_SIZE} are needed")
    if given["algorithm"] not in _ALGORITHMS:
        raise ValueError(f"algorithm {given['algorithm']!r}; allowed: {', '.join(_ALGORITHMS)}")
    key = bytes.fromhex(given["public_key"])
    return Entry(
        vin, iccid, chip_id.rstrip(b" "), _ALGORITHMS[given["algorithm"]], key, str(given.get("encoding", "raw"))
    )
