"""What hardware is plugged in, and the lines that put it to use: CAN interfaces, adapters, CAN HATs, receivers, modems.

Everything is read, nothing is opened and nothing changed. All paths lie under `Machine.root`.
"""

import json
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MOST_BYTES = 4096  # of a file's first line
RUN_S = 10.0  # for a program that is asked


def run_program(command: Sequence[str]) -> str | None:
    """The standard output of a program that answers well and in time, else None."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=RUN_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


@dataclass(frozen=True)
class Machine:
    """The machine that is looked at; `run` asks a program, `may_open` says whether this user may open a device."""

    root: Path = Path("/")
    run: Callable[[Sequence[str]], str | None] = run_program
    may_open: Callable[[Path], bool] = lambda path: os.access(path, os.R_OK | os.W_OK)

    def path(self, name: str) -> Path:
        """A path of the machine, given from its root, without the slash."""
        return self.root / name

    def listed(self, folder: str) -> list[Path]:
        """What is in a folder, by name; nothing when it is not there or may not be read."""
        try:
            return sorted(self.path(folder).iterdir())
        except OSError:
            return []

    def kernel_log(self) -> list[str]:
        """Lines of the kernel's log since it started, as far as this user may see them."""
        for command in (["dmesg"], ["journalctl", "-k", "-b", "--no-pager", "-o", "cat"]):
            if text := self.run(command):
                return text.splitlines()
        return []


def text_of(path: Path) -> str:
    """The first line of a file, empty when it cannot be read."""
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    return text.split("\n")[0].strip("\0 \t\r")


def target_of(path: Path) -> Path:
    """Where links lead to; the path itself when they lead in a circle."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path


@dataclass(frozen=True)
class Rates:
    """Bitrates in bit/s that the printed lines are for; `data_bitrate` only counts with `fd`."""

    bitrate: int = 500_000
    data_bitrate: int = 2_000_000
    fd: bool = False


@dataclass(frozen=True)
class Found:
    """One thing that is plugged in.

    `kind` is socketcan, slcan, usb, library, hat, gnss or modem; `channel` what a configuration calls it; `sure`: it is what
    `what` says, beyond doubt; `toml` goes into the configuration, `commands` into a shell, `files` (name to text) make that last.
    """

    kind: str
    channel: str
    what: str
    state: str = ""
    sure: bool = True
    toml: str = ""
    commands: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def quoted(text: str) -> str:
    """A TOML basic string; JSON's escapes are TOML's."""
    return json.dumps(text)


def can_table(name: str, interface: str, channel: str, rates: Rates | None, note: str = "") -> str:
    """A [[can]] table; `rates` None where the bitrate is set elsewhere."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", name)  # an interface may have nearly any name
    lines = [
        "[[can]]",
        f'name = "{name}"  # as the mapping calls this bus: [dbc.{name}]; tbox init and tbox suggest call it "pt"',
        f"interface = {quoted(interface)}",
        f"channel = {quoted(channel)}" + (f"  # {note}" if note else ""),
    ]
    if rates is not None:
        lines.append(f"bitrate = {rates.bitrate}")
        lines += [f"data_bitrate = {rates.data_bitrate}"] if rates.fd else []
    lines += ["fd = true"] if rates is not None and rates.fd else []
    return "\n".join(lines) + "\n"


def what_next(found: Sequence[Found]) -> list[str]:
    """What to look at when no CAN hardware was found."""
    if any(each.kind in ("socketcan", "slcan", "usb", "library") and each.sure for each in found):
        return []
    return [
        "USB adapter: does `lsusb` name it? If not: cable, port, hub. If it does: `sudo dmesg | tail` says which driver took it",
        "no driver took it: `sudo modprobe gs_usb` (candleLight, CANable), `peak_usb` (PCAN), `kvaser_usb` (Kvaser)",
        'CAN HAT: the overlay line in /boot/firmware/config.txt, then a reboot; README, "Plug in your adapter"',
        "no adapter at all: `sudo modprobe vcan && sudo ip link add vcan0 type vcan && sudo ip link set vcan0 up` makes a "
        "bus inside this machine, for tests and recordings; no such module: `tbox-bench vcan -- COMMAND`",
    ]
