"""Row `start`: from exec to the first kept frame of `tbox run`, on a bus where the reference car is already sending.

The mapping is compiled, byte code is written, files are in the page cache: one start of each program comes before those
that count. The bus is UDP multicast. The peer does the same on python-can's Notifier and cantools, which reads the DBC file
at each start, up to the first decoded frame; a bare interpreter's start stands in the note.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.frames import reference_dbc
from bench.perf import rig

STARTS = 7
QUICK_STARTS = 3
TARGET_S = 0.4
NOBODY = 9  # a port without a platform: the start must not depend on it
TIMEOUT_S = 30


def measure(quick: bool = False) -> list[dict[str, Any]]:
    """One row of seconds, medians."""
    interface, channel = rig.choose_bus()
    if interface != "udp_multicast":
        raise rig.RigError("start needs a network interface with multicast; there is only lo")
    ours, peer, bare = [], [], []
    with rig.scratch() as name:
        folder = Path(name)
        environment = {**os.environ, "CACHE_DIRECTORY": name, "PYTHONPYCACHEPREFIX": f"{name}/pyc"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        config = rig.write_config(folder, NOBODY, bus=(interface, channel))
        child = ["-m", "bench.perf.first_frame"]
        with rig.vehicle(folder, interface, channel):
            for _ in range(1 + (QUICK_STARTS if quick else STARTS)):
                ours.append(_first_frame([*child, "agent", str(config)], environment))
                peer.append(_first_frame([*child, "peer", channel, str(reference_dbc())], environment))
                bare.append(_first_frame(["-c", "import time; print(time.monotonic_ns())"], environment))
    value, other, least = (statistics.median(times[1:]) for times in (ours, peer, bare))
    return [
        rig.figure(
            "start",
            round(value, 3),
            "s",
            f"<= {TARGET_S}",
            value <= TARGET_S,
            peer="python-can Notifier + cantools",
            peer_value=round(other, 3),
            note=f"{len(ours) - 1} starts, longest {max(ours[1:]):.3f} s; a bare interpreter takes {least:.3f} s",
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
