"""Brings the guests' kernels: Debian packages, unpacked into a cache folder, once. Nothing is installed."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.kernel.job import SetUpError, tool

NO_APT = (
    "there is no {program} here: the kernel {package} is fetched as a Debian package. On another distribution run this in a "
    "container of Debian 12, or on a kernel with vcan (modprobe vcan)"
)


LEAST_FREE = 16 << 20  # bytes; a disk with less was filled by what is being fetched


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/tbox/kernel, else ~/.cache/tbox/kernel; made when it is not there."""
    outer = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(outer).absolute() / "tbox" / "kernel"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def say(text: str) -> None:
    """A line of progress, on stderr."""
    print(f"tbox-bench vcan: {text}", file=sys.stderr, flush=True)


@contextmanager
def locked(cache: Path) -> Iterator[None]:
    """Let one process at a time change what is in the cache."""
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache; if it is not there, `make` fills a new one that then takes its place, whole."""
    cache = cache_folder()
    folder = cache / name
    if not folder.exists():
        with locked(cache):
            if not folder.exists():
                with tempfile.TemporaryDirectory(prefix="new-", dir=cache) as scratch:
                    new = Path(scratch, name)
                    new.mkdir()
                    try:
                        make(new)
                    except (SetUpError, OSError) as error:  # apt itself says that it knows no such package
                        if shutil.disk_usage(cache).free < LEAST_FREE:
                            raise SetUpError(f"{cache} is full; $XDG_CACHE_HOME may name another place") from error
                        raise
                    new.rename(folder)
    return folder


def unpack(package: str, folder: Path) -> None:
    """Fetch the Debian package `package` and unpack it into `folder`."""
    apt = Apt(package, folder.parent)
    apt.download(folder.parent)
    found = next(folder.parent.glob(f"{package}_*.deb"))
    apt.run("dpkg-deb", "-x", str(found), str(folder))


def modules_of(folder: Path) -> Path:
    """The modules (.../lib/modules/VERSION) of an unpacked kernel below `folder`, their dependencies written down."""
    modules = next(path for path in folder.iterdir() if path.is_dir())
    # folder is BASE/lib/modules
    done = subprocess.run(
        [tool("depmod"), "-b", str(folder.parents[1]), modules.name], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SetUpError(f"depmod of {modules}: {done.stderr.strip()}")
    return modules


class Apt:
    """apt-get as any user may run it: package lists that the machine lacks are fetched into the cache folder."""

    def __init__(self, package: str, scratch: Path) -> None:
        """`package` is what this is all for: it stands in the messages."""
        self._package = package
        self._lists = scratch / "lists"
        self._options = ["-q", "-o", "APT::Sandbox::User=root"]

    def download(self, folder: Path) -> None:
        """Leave the package's file in `folder`."""
        say(f"fetching the Debian package {self._package} (once)")
        command = ["apt-get", *self._options, "download", self._package]
        if self.run(*command, folder=folder, must=False).returncode:
            self._update()
            self.run("apt-get", *self._options, "download", self._package, folder=folder)

    def first_dependency(self, begins: str) -> str:
        """The first package that this one depends on, of those whose names begin so."""
        for attempt in range(2):
            told = self.run("apt-cache", *self._options, "depends", self._package, must=False).stdout
            names = [line.partition("Depends: ")[2].strip() for line in told.splitlines()]
            found = next((name for name in names if name.startswith(begins)), None)
            if found:
                return found
            if not attempt:
                self._update()
        raise SetUpError(f"apt knows no package {self._package} that depends on {begins}...; this needs Debian")

    def _update(self) -> None:
        (self._lists / "partial").mkdir(parents=True, exist_ok=True)
        self._options += ["-o", f"Dir::State::lists={self._lists}", "-o", f"Dir::Cache={self._lists}"]
        say("the package lists do not help; fetching new ones")
        self.run("apt-get", *self._options, "update", must=False)

    def run(self, *command: str, folder: Path | None = None, must: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run one program of the packaging system; what it says is shown when it fails and `must` not."""
        if shutil.which(command[0]) is None:
            raise SetUpError(NO_APT.format(program=command[0], package=self._package))
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode and must:
            reason = (done.stderr or done.stdout).strip()
            raise SetUpError(f"{' '.join(command)} failed:\n{reason}\nBehind a proxy or mirror apt needs its settings.")
        return done
