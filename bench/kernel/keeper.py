"""Keeps a program and all that it starts on a leash: when we go, however we go, nothing of it stays.

User Mode Linux runs one process of this machine for each of its own, traced by its kernel, and those outlive a kernel that was
killed. A PID namespace would take them along, but a container may not make one. So a process of ours stands between: it
adopts what is orphaned below it (PR_SET_CHILD_SUBREAPER), sees by a pipe that we are gone, and kills until nobody is left.
"""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
POLL_S = 0.02
GIVE_UP_S = 5.0  # for what cannot be killed: a process that took another user's identity

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True)
class Kept:
    """A program on the leash."""

    pid: int
    leash: int
    _status: int | None = None

    def status(self) -> int | None:
        """Its exit status, 128 + N after signal N; None while anything of it runs."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        return self._status

    def end(self) -> None:
        """Kill it and all that it started; returns when nothing of it is left."""
        if self.leash >= 0:
            os.close(self.leash)
            self.leash = -1
        while self.status() is None:
            time.sleep(POLL_S)


def start(
    argv: Sequence[str],
    environment: Mapping[str, str] | None = None,
    output: BinaryIO | None = None,
    leavings: Path | None = None,
) -> Kept:
    """Start `argv` without stdin; stdout and stderr go to `output`, else where ours go.

    `leavings`: a folder that the keeper removes when we did not live to do it.
    """
    held, leash = os.pipe()
    owner = os.getpid()
    pid = os.fork()
    if pid:
        os.close(held)
        return Kept(pid, leash)
    status = 126
    try:
        os.close(leash)
        status = _keep(argv, environment, output, held)
        if os.getppid() != owner and leavings is not None:
            shutil.rmtree(leavings, ignore_errors=True)
    finally:
        os._exit(status)


def _keep(
    argv: Sequence[str],
    environment: Mapping[str, str] | None,
    output: BinaryIO | None,
    held: int,
) -> int:
    os.setsid()  # a Ctrl-C is for the one who holds the leash
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    program = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=environment,
        preexec_fn=_die_with_parent,
    )
    while program.poll() is None:
        if select.select([held], [], [], POLL_S)[0]:
            break
    status = program.returncode
    _kill_children()
    if status is None:
        return 128 + signal.SIGKILL
    return status if status >= 0 else 128 - status


def _die_with_parent() -> None:
    """Should the keeper itself be killed, its program at least goes with it."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _kill_children() -> None:
    """Kill the children of this process until it has none: whose parent dies becomes its child."""
    until = time.monotonic() + GIVE_UP_S
    while time.monotonic() < until:
        for pid in _children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(POLL_S / 4)


def _children() -> list[int]:
    own = str(os.getpid())
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # it ended meanwhile
                # pid (name, which may hold anything) state parent ...
                if (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[1] == own:
                    found.append(int(folder.name))
    return found
