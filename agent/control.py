"""[control]: what a platform may set and order, and the programs that do it.

A program is a list of strings, its whole path first, and is started without a shell. An argument that is exactly `{level}`,
`{text}`, `{file}` or `{version}` is replaced by what came with the order; nothing else is.
"""

from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

PROGRAMS = {"power_off": (), "reset": (), "upgrade": ("{file}", "{version}"), "alarm": ("{level}", "{text}")}
MAKER_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the platform may do (81, 82). A program that is not named is an order that is refused.

    `parameters`: set parameters; `factory_settings`: undo that; `drop_link`: end the link. `timeout_s`: how long a program may
    take. An upgrade needs `upgrade_key`, the maker's public key (PEM file), and `maker`, four letters or digits; it is
    fetched into `download_folder`, by default that of the outbox.
    """

    parameters: bool = True
    factory_settings: bool = True
    drop_link: bool = True
    power_off: list[str] = []
    reset: list[str] = []
    alarm: list[str] = []
    timeout_s: Annotated[int, Meta(ge=1, le=3600)] = 60
    upgrade: list[str] = []
    upgrade_key: str = ""
    maker: str = ""
    allow_downgrade: bool = False
    download_folder: str = ""
    max_upgrade_mb: Annotated[int, Meta(ge=1, le=100_000)] = 512
    upgrade_timeout_s: Annotated[int, Meta(ge=1, le=86_400)] = 1800


def control_faults(table: Any, vehicle: Any) -> list[str]:
    """What types cannot say about the section; whatever has the wrong type was named before."""
    if not isinstance(table, dict):
        return []
    faults: list[str] = []
    for name, placeholders in PROGRAMS.items():
        argv = table.get(name)
        if isinstance(argv, list) and all(isinstance(argument, str) for argument in argv):
            faults += [f"control.{name}: {fault}" for fault in _program_faults(argv, placeholders)]
    if table.get("upgrade"):
        faults += [
            f"control.{name}: is missing; an upgrade is only taken from a maker that can be checked"
            for name in ("upgrade_key", "maker")
            if not table.get(name)
        ]
        if isinstance(vehicle, dict) and not vehicle.get("hardware_version"):
            faults.append("vehicle.hardware_version: is missing; an upgrade is for one kind of hardware")
    maker = table.get("maker", "")
    if isinstance(maker, str) and maker and (len(maker) != 4 or set(maker) - set(MAKER_LETTERS)):
        faults.append(f"control.maker = {maker!r}: four characters of A-Z and 0-9 are needed")
    return faults


def _program_faults(argv: list[str], placeholders: tuple[str, ...]) -> list[str]:
    faults = []
    if argv and not Path(argv[0]).is_absolute():
        faults.append(f"{argv[0]!r}: name the program by its whole path")
    if any("\0" in argument for argument in argv):
        faults.append("a text has no NUL characters")
    for argument in argv[1:]:
        known = [name for names in PROGRAMS.values() for name in names if name in argument]
        if known and argument not in placeholders:
            allowed = ", ".join(placeholders) or "none"
            faults.append(f"{argument!r}: a placeholder is a whole argument, and one of this program's: {allowed}")
    return faults
