"""Row `start`: from exec to the first kept frame of `tbox run`, on a bus where the reference car is already sending.

The mapping is compiled, byte code is written, files are in the page cache: one start of each program comes before those
that count. The bus is UDP multicast. The peer does the same on python-can's Notifier and cantools, which reads the DBC file
at each start, up to the first decoded frame; a bare interpreter's start stands in the note. Without multicast the agent
plays a recording, and there is no peer.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.frames import reference_dbc
from bench.perf import reference, rig

STARTS = 7
QUICK_STARTS = 3
TARGET_S = 0.4
NOBODY = 9  # a port without a platform: the start must not depend on it
TIMEOUT_S = 30
CHILD = ["-m", "bench.perf.first_frame"]
BARE = ["-c", "import time; print(time.monotonic_ns())"]


def measure(quick: bool = False) -> list[dict[str, Any]]:
    """One row of seconds, medians."""
    starts = QUICK_STARTS if quick else STARTS
    with rig.scratch() as name:
        folder = Path(name)
        environment = {**os.environ, "CACHE_DIRECTORY": name, "PYTHONPYCACHEPREFIX": f"{name}/pyc"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        interface, channel = rig.choose_bus()
        peer: list[str] = []
        if interface == "udp_multicast":
            peer = [*CHILD, "peer", channel, str(reference_dbc())]
        else:
            interface, channel = "log", str(folder / "car.log")
            reference.write_candump(Path(channel), 10)
        config = rig.write_config(folder, NOBODY, bus=(interface, channel))
        programs = [[*CHILD, "agent", str(config)], BARE, peer]
        with rig.vehicle(folder, channel) if peer else contextlib.nullcontext():
            times = [[_first_frame(words, environment) for words in programs if words] for _ in range(1 + starts)]
    value, least, *others = (statistics.median(column) for column in zip(*times[1:], strict=True))
    longest = max(line[0] for line in times[1:])
    return [
        rig.figure(
            "start",
            round(value, 3),
            "s",
            f"<= {TARGET_S}",
            value <= TARGET_S,
            peer="python-can Notifier + cantools" if others else "",
            peer_value=round(others[0], 3) if others else None,
            note=f"{starts} starts on {interface}, longest {longest:.3f} s; a bare interpreter takes {least:.3f} s",
        )
    ]


def _first_frame(arguments: list[str], environment: dict[str, str]) -> float:
    """Seconds from exec to the time that the program prints."""
    started = time.monotonic_ns()
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    try:
        return (int(done.stdout) - started) / 1e9
    except ValueError:
        raise rig.RigError(f"{' '.join(arguments)} saw no frame: {done.stderr[-2000:]}") from None
