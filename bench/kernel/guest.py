"""What the guests share: the folder between them and us, their output, their end."""

import contextlib
import fcntl
import importlib.resources
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from bench.kernel import keeper
from bench.kernel.fetch import say
from bench.kernel.job import GUEST_DIED, MARK, TIMED_OUT, Job, SetUpError

PREFIX = "tbox-kernel."
YOUNG_S = 60.0  # a folder this young may not be locked yet by who made it
CONSOLE_LINES = 20
BEFORE_PANIC = 5  # the reason stands before it
CHUNK = 1 << 16


def shipped(name: str) -> bytes:
    """A file that comes with this package."""
    return importlib.resources.files("bench.kernel").joinpath(name).read_bytes()


class Control:
    """A temporary folder of one run: `shared` is the guest's /run/tbox, `console` what its kernel says."""

    def __init__(self, job: Job, kind: str) -> None:
        """`kind`: uml or qemu."""
        self._job = job
        self._kind = kind

    def __enter__(self) -> "Control":
        _clear_leavings()
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
        if len(str(self.folder).split()) > 1:
            self.folder.rmdir()
            raise SetUpError(f"a kernel takes no blanks in the path {self.folder}: set TMPDIR to another folder")
        # Held by us and by the keeper: who can lock it knows that its owner is gone.
        self._lock = os.open(self.folder, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.shared = self.folder / "shared"
        self.shared.mkdir()
        self.console = self.folder / "console"
        for name in ("out", "err"):
            (self.shared / name).touch()
        (self.shared / "boot.sh").write_bytes(shipped("boot.sh"))
        self._write_boot_settings()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _remove(self.folder)
        os.close(self._lock)

    def _write_boot_settings(self) -> None:
        job = self._job
        environment = [f"{name}={value}" for name, value in job.environment.items()]
        # A session of its own, and nothing of the environment that the kernel gave its first process.
        command = ["env", "-i", *environment, f"{MARK}={self._kind}", "setsid", "-w", *job.command]
        text = f"folder={shlex.quote(str(job.folder))} buses={job.buses} mtu={job.mtu} kind={self._kind}\n"
        text += f"set -- {shlex.join(command)}\n"
        (self.shared / "settings").write_text(text, errors="surrogateescape")

    def write_settings(self, folder: Path, **values: str) -> None:
        """Leave shell variables for a script in `folder`."""
        text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
        (folder / "settings").write_text(text, errors="surrogateescape")

    def status(self) -> int | None:
        """The command's exit status; None if it never ended."""
        try:
            return int((self.shared / "status").read_text())
        except (OSError, ValueError):
            return None

    def started(self) -> bool:
        """Whether the guest came so far as to start the command."""
        return (self.shared / "started").exists()

    def end_of_console(self) -> str:
        """The last lines that the guest's kernel wrote, or those about its panic."""
        try:
            lines = self.console.read_text(errors="replace").replace("\r", "").splitlines()
        except OSError:
            return ""
        panics = [number for number, line in enumerate(lines) if "Kernel panic" in line]
        start = max(0, min([len(lines) - CONSOLE_LINES, *(number - BEFORE_PANIC for number in panics[:1])]))
        return "\n".join(f"  | {line}" for line in lines[start : start + CONSOLE_LINES])


def _clear_leavings() -> None:
    """Remove what earlier runs left behind that were killed together with their keepers."""
    for folder in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or time.time() - folder.stat().st_mtime < YOUNG_S:
                continue
            handle = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(folder)
            finally:
                os.close(handle)


def _remove(folder: Path) -> None:
    """Remove a run's folder, and first what is left of its guest if the keeper was killed: helpers of its kernel."""
    argument = os.fsencode(uml_dir(folder))
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile, or is somebody else's
            if argument in (process / "cmdline").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def uml_dir(folder: Path) -> str:
    """The argument of User Mode Linux that tells whose it is."""
    return f"uml_dir={folder}/"


class _Copy:
    """Hands on what a growing file gets."""

    def __init__(self, source: BinaryIO, target: int) -> None:
        self._source = source
        self._target = target

    def hand_on(self) -> bool:
        """Write what is new to the target; whether there was something."""
        some = False
        while piece := self._source.read(CHUNK):
            some = True
            while piece:
                piece = piece[os.write(self._target, piece) :]
        return some


def run_guest(job: Job, control: Control, argv: Sequence[str], environment: Mapping[str, str], boot_s: float) -> int:
    """Start the guest, hand on what its command prints, wait for its end: the command's status, TIMED_OUT or GUEST_DIED.

    It may take `boot_s` seconds until its command starts, then as long as the job allows.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    shared = control.shared
    with (
        (shared / "out").open("rb", 0) as out,
        (shared / "err").open("rb", 0) as err,
        control.console.open("ab") as console,
    ):
        copies = (_Copy(out, sys.stdout.fileno()), _Copy(err, sys.stderr.fileno()))
        kept = keeper.start(argv, environment, console, control.folder)
        try:
            over = _wait(job, control, kept, copies, boot_s)
        finally:
            kept.end()
        for copy in copies:
            copy.hand_on()
    status = control.status()
    if status is not None:
        return status
    if over and control.started():
        say(f"timed out after {job.timeout_s:g} s (--timeout)")
        return TIMED_OUT
    what = f"the guest did not start within {boot_s:g} s" if over else "the guest ended without a result"
    say(f"{what}; end of its console:\n{control.end_of_console()}")
    return GUEST_DIED


def _wait(job: Job, control: Control, kept: keeper.Kept, copies: Sequence[_Copy], boot_s: float) -> bool:
    """Until the guest's end; True if it takes longer than it may."""
    begun, allowed_s, running = time.monotonic(), boot_s, False
    while kept.status() is None:
        if not running and control.started():
            begun, allowed_s, running = time.monotonic(), job.timeout_s, True
        if time.monotonic() - begun > allowed_s:
            return True
        handed_on = [copy.hand_on() for copy in copies]
        if not any(handed_on):
            time.sleep(keeper.POLL_S)
    return False
