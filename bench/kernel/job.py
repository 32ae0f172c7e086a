"""What is to be run, and how it came out."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.errors import AgentError

# Statuses beside those of the command itself; 128 + N when signal N ended it, as a shell has it.
TIMED_OUT = 124
GUEST_DIED = 125
CANNOT_SET_UP = 126

CLASSIC_MTU, FD_MTU = 16, 72  # bytes of struct can_frame and canfd_frame: how Linux tells the two kinds of bus

# What a command takes along from here without being asked; everything named TBOX_... too.
PASSED_ON = (
    "PATH", "HOME", "LANG", "LC_ALL", "LC_NUMERIC", "TZ", "TERM", "CI", "VIRTUAL_ENV", "PYENV_VERSION", "PYENV_ROOT",
    "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "HYPOTHESIS_STORAGE_DIRECTORY", "XDG_CACHE_HOME",
)  # fmt: skip
# Names the kernel that a command runs in: host, uml or qemu.
MARK = "TBOX_KERNEL"

PACKAGE_OF = {
    "depmod": "kmod",
    "modprobe": "kmod",
    "ip": "iproute2",
    "unshare": "util-linux",
    "setsid": "util-linux",
    "busybox": "busybox-static",
    "qemu-system-x86_64": "qemu-system-x86",
}


class SetUpError(AgentError):
    """The command could not be started; says what is missing and how to come by it. Exit status CANNOT_SET_UP."""


@dataclass(frozen=True, slots=True)
class Job:
    """One command and the surroundings it asks for."""

    command: tuple[str, ...]
    share: Path
    """Absolute: what the command writes below it stays; all else it writes in a guest is forgotten."""
    folder: Path
    """Where the command starts: the share or a folder below it."""
    environment: Mapping[str, str]
    buses: int
    """vcan0 to vcan(N-1) are there and up."""
    fd: bool
    timeout_s: float
    """Seconds that the command may take, its kernel's start not counted."""
    controllers: int = 0
    """can0 to can(N-1) are there and down: emulated SJA1000 on one bus (QEMU only)."""

    @property
    def mtu(self) -> int:
        """The MTU of the virtual buses: with CLASSIC_MTU the kernel refuses CAN FD frames."""
        return FD_MTU if self.fd else CLASSIC_MTU


def environment_of(outer: Mapping[str, str], named: Sequence[str]) -> dict[str, str]:
    """What a command takes along of `outer`: PASSED_ON, TBOX_..., and the `named`, each NAME or NAME=VALUE; ValueError."""
    environment = {name: value for name, value in outer.items() if name in PASSED_ON or name.startswith("TBOX_")}
    for one in named:
        name, equals, value = one.partition("=")
        if not name.replace("_", "a").isalnum() or name[0].isdigit():
            raise ValueError(f"-e {one}: {name!r} is no name of an environment variable; give -e NAME or -e NAME=VALUE")
        if equals:
            environment[name] = value
        elif name in outer:
            environment[name] = outer[name]
    environment["PATH"] = with_system_folders(environment.get("PATH", os.defpath))
    return environment


def with_system_folders(path: str) -> str:
    """A search path that ends with the folders of ip, modprobe and their like, which ordinary users often lack."""
    folders = path.split(os.pathsep)
    return os.pathsep.join([*folders, *(one for one in ("/usr/sbin", "/sbin") if one not in folders)])


def tool(name: str) -> str:
    """Where the program `name` is; SetUpError names the Debian package that has it."""
    found = shutil.which(name, path=with_system_folders(os.environ.get("PATH", os.defpath)))
    if found is None:
        package = PACKAGE_OF.get(name, name)
        raise SetUpError(
            f"the program {name} is missing; as root: apt-get install -y --no-install-recommends {package}"
        )
    return found
