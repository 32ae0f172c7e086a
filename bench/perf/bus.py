"""Rows `bus` and `raw`: what it costs to hear a full bus, on both kernel paths, beside python-can's Notifier with cantools.

Measured in a kernel with CAN. One that counts CPU in ticks of 10 ms, as User Mode Linux does, misses or overrates whoever works
in step with them. So the receiver through the Broadcast Manager is charged all the time in which its loop does not wait,
interrupts included, and the thread what the whole guest costs this machine beyond sending, the kernel's work on frames included.
The peer decodes the mapped messages only, as one would who knows what he needs.
"""

import statistics
from typing import Any

from bench.perf import rig
from bench.perf.busload import rate
from bench.perf.guest import Told, watch

BUS_TARGET = 1 / 50
OWN_TARGET = 1.5
RAW_TARGET = 1 / 5
TIMEOUT_S = 200
PEER = "python-can Notifier + cantools"
Row = dict[str, Any]


def measure(quick: bool = False) -> list[Row]:
    """Five rows: percent of a core, the Broadcast Manager's path against itself, stale values, drops."""
    return rows_of(watch("bench.perf.canwork", "quick" if quick else "full", timeout_s=TIMEOUT_S))


def rows_of(told: Told) -> list[Row]:
    """The rows of what the guest told."""
    return _bcm_rows(told) + _raw_rows(told)


def _bcm_rows(told: Told) -> list[Row]:
    results = told.results
    full, tenth = ([busy for row in results[name] for busy in row["busy"]] for name in ("bcm", "bcm at a tenth"))
    peer, newest = (results[name][0] for name in ("peer", "newest"))
    bcm_share = statistics.median(full)
    # Other work on the machine only ever adds, and by chance to one of the two: their lower quartiles are compared.
    undisturbed, undisturbed_tenth = (statistics.quantiles(each, method="inclusive")[0] for each in (full, tenth))
    per_s = [_per_second(row) for row in results["bcm"]]
    lost = 1 - peer["frames"] / peer["carried"]
    return [
        rig.figure(
            "bus",
            _percent(bcm_share),
            "% of a core, full bus",
            "<= 1/50 of the peer",
            bcm_share <= BUS_TARGET * peer["process"],
            peer=PEER,
            peer_value=_percent(peer["process"]),
            note=f"1/{peer['process'] / bcm_share:.0f}; {min(per_s)} to {max(per_s)} frames/s of {rate():.0f} planned; "
            f"the peer got {_per_second(peer)}/s on its bus and lost {lost:.0%}; {_of_guest(told, 'bcm', 'peer')}",
        ),
        rig.figure(
            "bus, own load",
            _percent(undisturbed),
            "% of a core, full bus",
            f"<= {OWN_TARGET} x at a tenth of the load",
            undisturbed <= OWN_TARGET * undisturbed_tenth,
            peer="itself at a tenth",
            peer_value=_percent(undisturbed_tenth),
            note=f"{_frames(results['bcm'])} frames/s handed over, at a tenth {_frames(results['bcm at a tenth'])}",
        ),
        rig.figure(
            "bus, newest",
            newest["stale"],
            "values older than the newest",
            "0",
            newest["stale"] == 0 and newest["missed"] == 0 < newest["compared"],
            note=f"of {newest['compared']} values, samples at any moment; the reader of all frames missed {newest['missed']}",
        ),
    ]


def _raw_rows(told: Told) -> list[Row]:
    peer, raw, three = (told.results[name][0] for name in ("peer", "raw", "three raw"))
    # A busy machine does not send all that was planned, and the peer loses frames: both as if every planned frame were heard.
    thread = _whole(told, "raw") * rate() * raw["seconds"] / raw["carried"]
    notifier = _whole(told, "peer") * rate() * peer["seconds"] / peer["frames"]
    return [
        rig.figure(
            "raw",
            _percent(thread),
            "% of a core, every frame heard",
            "<= 1/5 of the peer",
            thread <= RAW_TARGET * notifier,
            peer=PEER,
            peer_value=_percent(notifier),
            note=f"{_per_second(raw)} frames/s, {_frames([raw])}/s wanted; the processes by their kernel's clock: "
            f"{_percent(raw['process'])} % and {_percent(peer['process'])} %",
        ),
        rig.figure(
            "raw, drops",
            three["dropped"],
            "frames, three full buses",
            "0",
            three["dropped"] == 0 < three["frames"],
            note=f"{three['frames']} frames in {three['seconds']:.1f} s, {_percent(three['process'])} % of a core",
        ),
    ]


def _percent(share: float) -> float:
    return round(100 * share, 3)


def _per_second(row: Row) -> int:
    return int(row["carried"] / row["seconds"])


def _frames(rows: list[Row]) -> int:
    """Frames that reached the process in a second."""
    return int(sum(row["frames"] for row in rows) / sum(row["seconds"] for row in rows))


def _whole(told: Told, name: str) -> float:
    """Share of a core: of this machine for the whole guest beyond sending, else the process's own by its kernel's clock."""
    if told.spent is None:
        return float(told.results[name][0]["process"])
    return (told.spent[name].percent - told.spent["sending"].percent) / 100


def _of_guest(told: Told, ours: str, peer: str) -> str:
    """The other account, interrupts included, where there is one."""
    if told.spent is None:
        return "this machine's own kernel"
    return f"the guest beyond sending: {_percent(_whole(told, ours))} % and {_percent(_whole(told, peer))} %, give or take 0.5"
