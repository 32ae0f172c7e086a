"""This machine's own kernel, where it has virtual CAN."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.kernel import keeper
from bench.kernel.fetch import say
from bench.kernel.guest import shipped
from bench.kernel.job import MARK, TIMED_OUT, Job

INTERFACES = Path("/sys/class/net")
# A network namespace as root has it, and as others may where the machine lets them.
NAMESPACES = (("--net", "--mount"), ("--user", "--map-root-user", "--net", "--mount"))
TRIAL_S = 20.0


def run(job: Job) -> int | None:
    """Run the job; its status or TIMED_OUT. None where this kernel has not what the job asks for."""
    wrapper = _wrapper(job)
    if wrapper is None:
        return None
    sys.stdout.flush()
    sys.stderr.flush()
    kept = keeper.start([*wrapper, *job.command], {**job.environment, MARK: os.environ.get(MARK, "host")})
    until = time.monotonic() + job.timeout_s
    try:
        while (status := kept.status()) is None:
            if time.monotonic() > until:
                say(f"timed out after {job.timeout_s:g} s (--timeout)")
                return TIMED_OUT
            time.sleep(keeper.POLL_S)
        return status
    finally:
        kept.end()


def _wrapper(job: Job) -> Sequence[str] | None:
    """The command line to put before the job's that gives it its buses; None if this kernel cannot."""
    if not _has_can():
        return None
    ready = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', str(job.folder)]
    buses = [f"vcan{number}" for number in range(job.buses)]
    if job.controllers:  # they cannot be had in another namespace
        buses += [f"can{number}" for number in range(job.controllers)]
        return ready if _there(buses) else None
    script = shipped("host.sh").decode()
    here = ["/bin/sh", "-c", script, "host.sh", str(job.folder), str(job.buses), str(job.mtu)]
    unshare = shutil.which("unshare")
    for flags in NAMESPACES if unshare else ():
        wrapper = [str(unshare), *flags, *here]
        if _works([*wrapper, "true"], job):
            return wrapper
    return ready if _there(buses) and _wide_enough(job) else None


def _has_can() -> bool:
    try:
        socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW).close()
    except OSError:
        return False
    return True


def _works(argv: Sequence[str], job: Job) -> bool:
    try:
        tried = subprocess.run(
            argv, env=job.environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=TRIAL_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0


def _there(names: Iterable[str]) -> bool:
    return all((INTERFACES / name).exists() for name in names)


def _wide_enough(job: Job) -> bool:
    """Whether the buses that somebody made here are up, and of the asked kind."""
    for number in range(job.buses):
        folder = INTERFACES / f"vcan{number}"
        up = int((folder / "flags").read_text(), 16) & 1
        if not up or int((folder / "mtu").read_text()) < job.mtu:
            return False
    return True
