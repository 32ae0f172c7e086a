"""Measurements inside a kernel with CAN, watched from here: `tbox-bench vcan` runs them, and its whole guest costs CPU of ours.

In User Mode Linux a guest is a few ordinary processes: one is its kernel, and each of its own processes has one here in which the
user code runs. Their CPU time is known to the nanosecond, where the guest itself counts ticks of 10 ms. It holds what no
process of the guest is charged for as well: interrupts, and the kernel's work on frames. With this machine's own kernel there
is no such account.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench.perf import rig

ROOT = Path(__file__).resolve().parents[2]
BUSES = ("vcan0", "vcan1", "vcan2")
QUIET_S = 0.15  # around a phase: lines take up to 0.04 s until they are seen here
LAST_WORDS = 1500  # characters of what it said in an error


class Spent(NamedTuple):
    """CPU seconds of this machine in `seconds`: in user code of the guest, and in its kernel."""

    seconds: float = 0
    user: float = 0
    kernel: float = 0

    def __add__(self, other: Any) -> "Spent":
        return Spent(*(mine + more for mine, more in zip(self, other, strict=True)))

    @property
    def user_percent(self) -> float:
        return 100 * self.user / self.seconds

    @property
    def kernel_percent(self) -> float:
        return 100 * self.kernel / self.seconds

    @property
    def percent(self) -> float:
        """Of one core."""
        return self.user_percent + self.kernel_percent


class Told(NamedTuple):
    """By phase: what it told each time it was run, and what it cost in all; `spent` is None where there is no account."""

    results: dict[str, list[dict[str, Any]]]
    spent: dict[str, Spent] | None


@contextmanager
def phase(name: str) -> Iterator[dict[str, Any]]:
    """Inside: a stretch that is measured. What it has to tell goes into the dict."""
    time.sleep(QUIET_S)
    print(json.dumps({"begin": name}), flush=True)
    result: dict[str, Any] = {}
    yield result
    print(json.dumps({"end": name} | result), flush=True)
    time.sleep(QUIET_S)


def watch(module: str, *arguments: str, timeout_s: float) -> Told:
    """Run `python -m MODULE ARGUMENTS` in a kernel with CAN and three buses; RigError with the reason where that cannot be."""
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [environment.get("PYTHONPATH")])])
    environment["PYTHONSAFEPATH"] = "1"
    own = [sys.executable, "-m", "bench.cli", "vcan", "--fd", "--count", str(len(BUSES)), "--timeout", f"{timeout_s:g}"]
    with rig.scratch() as folder, Path(folder, "said").open("w+") as said:
        running = subprocess.Popen(
            [*own, "--share", folder, "--", sys.executable, "-m", module, *arguments],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
        try:
            told = _listen(running)
            status = running.wait()
        finally:
            running.terminate()
            running.wait()
            if running.stdout:
                running.stdout.close()
        if status:
            said.seek(0)
            raise rig.RigError(f"in a kernel with CAN: exit {status}: {' '.join(said.read()[-LAST_WORDS:].split())}")
    return told


def _listen(running: "subprocess.Popen[str]") -> Told:
    results: dict[str, list[dict[str, Any]]] = {}
    spent: dict[str, Spent] = {}
    begun: _Account | None = None
    for line in running.stdout or ():
        row = json.loads(line)
        if "begin" in row:
            begun = _Account(running.pid)
        elif "end" in row:
            name = row.pop("end")
            results.setdefault(name, []).append(row)
            if begun is not None and begun.kernel:
                spent[name] = spent.get(name, Spent()) + _Account(running.pid).since(begun)
    return Told(results, spent or None)


class _Account:
    """CPU time by process of a guest, now. `kernel`: the process that is its kernel, 0 when there is none."""

    def __init__(self, starter: int) -> None:
        self.at = time.monotonic()
        self.kernel = 0
        children: dict[int, list[tuple[int, str]]] = {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                name, _, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
            except OSError:
                continue  # it has just ended
            children.setdefault(int(rest.split()[1]), []).append((int(entry.name), name))
        self.ns: dict[int, int] = {}
        self._visit(starter, children)

    def _visit(self, pid: int, children: dict[int, list[tuple[int, str]]]) -> None:
        for child, name in children.get(pid, []):
            if name == "linux" and not self.kernel:
                self.kernel = child
            if self.kernel:
                self.ns[child] = _cpu_ns(child)
            self._visit(child, children)

    def since(self, earlier: "_Account") -> Spent:
        """What was spent between the two; what a process did that has ended is left out."""
        times = {pid: (ns - earlier.ns.get(pid, 0)) / 1e9 for pid, ns in self.ns.items()}
        kernel = times.pop(self.kernel)
        return Spent(self.at - earlier.at, sum(times.values()), kernel)


def _cpu_ns(pid: int) -> int:
    """CPU time of all threads, from the scheduler's own account."""
    total = 0
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            total += int((thread / "schedstat").read_text().split()[0])
    except OSError:
        pass
    return total
