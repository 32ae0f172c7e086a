"""Run `tbox suggest` over labelled files and count: items there, found, sure, and wrong with confidence."""

import importlib.util
import os
from dataclasses import dataclass, field
from pathlib import Path

from suggest_labels import ITEMS, Labels

from agent.suggest.proposals import Proposal, propose
from agent.suggest.score import context_of
from agent.suggest.trial import load

ROOT = Path(__file__).resolve().parents[2]
PATHS = {
    "vehicle_state": ("vehicle.vehicle_state",),
    "speed": ("vehicle.speed",),
    "odometer": ("vehicle.odometer",),
    "total_voltage": ("vehicle.total_voltage",),
    "total_current": ("vehicle.total_current",),
    "soc": ("vehicle.soc",),
    "gear": ("vehicle.gear.gear",),
    "motor_torque": ("drive_motors.motors.torque",),
    "motor_speed": ("drive_motors.motors.speed",),
    "temperature": ("drive_motors.motors.temperature", "storage_temperatures.probes"),
}


@dataclass
class Count:
    """Of one file or of several: items it has, right ones proposed, right ones proposed as sure, wrong ones as sure."""

    there: int = 0
    found: int = 0
    sure: int = 0
    wrong: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def __iadd__(self, other: "Count") -> "Count":
        self.there += other.there
        self.found += other.found
        self.sure += other.sure
        self.wrong += other.wrong
        self.missed += other.missed
        return self


def place(file: str) -> Path | None:
    """Where a labelled file is, None where this machine does not have it."""
    kind, _, name = file.partition(":")
    if kind == "shipped":
        return ROOT / "dbc" / name
    if kind == "data":
        folder = os.environ.get("TBOX_DATA", str(ROOT.parent / "shared" / "data"))
        return None if folder == "none" else Path(folder) / name
    package, _, rest = name.partition("/")
    spec = importlib.util.find_spec(package)
    return None if spec is None else Path((spec.submodule_search_locations or [""])[0]) / rest


def count(file: str, labels: dict[str, set[str]]) -> Count:
    path = place(file)
    assert path is not None
    loaded = load({"can": [(path.name, path)]})
    known = {candidate.place for candidate in loaded.candidates}
    for item, places in labels.items():
        assert item in ITEMS
        assert places <= known, f"{file}: labels name {places - known}, which the file does not have"
    proposals = propose(loaded.candidates, context_of(loaded.candidates), None)
    result = Count(there=len(labels))
    for item in ITEMS:
        here = [one for one in proposals if one.path in PATHS[item]]
        right = [one for one in here if one.place in labels.get(item, ())]
        result.found += bool(right)
        result.sure += any(_confident(one) for one in right)
        result.missed += [] if right or item not in labels else [f"{file} {item}: {[one.place for one in here]}"]
        result.wrong += [f"{file} {item}: {one.place}" for one in here if _confident(one) and one not in right]
    return result


def _confident(one: Proposal) -> bool:
    """A current whose sign alone is open is the signal with confidence: the wrong signal would be a wrong one."""
    return one.sure or (bool(one.choices) and len(one.doubts) == 1 and one.score >= 0.7)


def total(labels: Labels) -> Count:
    whole = Count()
    for file, items in labels.items():
        whole += count(file, items)
    return whole
