"""User Mode Linux: a kernel that is an ordinary program. Code runs at this machine's own speed, system calls slower."""

import os
import platform
import shutil
from pathlib import Path

from bench.kernel import xstate
from bench.kernel.fetch import cache_folder, modules_of, once, unpack
from bench.kernel.guest import Control, run_guest, shipped, uml_dir
from bench.kernel.job import Job, SetUpError, tool

MEMORY_MB = 1024
BOOT_LIMIT_S = 30.0  # it takes 2 to 4
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a place that is asked for its size


def run(job: Job) -> int:
    """Run the job; its status, or TIMED_OUT or GUEST_DIED."""
    if platform.machine() != "x86_64":
        raise SetUpError(
            f"User Mode Linux is there for x86-64, and this is {platform.machine()}: load vcan (modprobe vcan)"
        )
    for program in ("ip", "setsid", "modprobe"):
        tool(program)
    environment = dict(os.environ)
    if xstate.refused():
        environment["LD_PRELOAD"] = str(xstate.remedy(cache_folder()))
    kernel = once("uml", _make)
    modules = next((kernel / "lib/modules").iterdir())
    with Control(job, "uml") as control:
        environment["TMPDIR"] = str(_place_of_memory(control.folder))
        first = control.folder / "init"
        first.write_bytes(shipped("uml-init.sh"))
        first.chmod(0o755)
        control.write_settings(control.folder, modules=str(modules), share=str(job.share), control=str(control.shared))
        argv = [
            str(kernel / "linux"),
            f"mem={MEMORY_MB}M",
            uml_dir(control.folder),
            "umid=guest",
            "rootfstype=hostfs",
            "rootflags=/",
            "ro",
            f"init={first}",
            "quiet",
            "panic=-1",
            "con=null",
            "con0=null,fd:1",
            "ssl=null",
        ]
        return run_guest(job, control, argv, environment, BOOT_LIMIT_S)


def _make(folder: Path) -> None:
    unpacked = folder.parent / "unpacked"
    unpack("user-mode-linux", unpacked)
    (unpacked / "usr/bin/linux.uml").rename(folder / "linux")
    (folder / "lib").mkdir()
    (unpacked / "usr/lib/uml/modules").rename(folder / "lib/modules")
    modules_of(folder / "lib/modules")


def _place_of_memory(otherwise: Path) -> Path:
    """Where the guest's memory is a file: /dev/shm, unless it is too small or may run nothing, as in containers."""
    try:
        room = os.statvfs(SHARED_MEMORY)
    except OSError:
        return otherwise
    enough = shutil.disk_usage(SHARED_MEMORY).free >= MEMORY_MB << 20
    return SHARED_MEMORY if enough and not room.f_flag & os.ST_NOEXEC else otherwise
