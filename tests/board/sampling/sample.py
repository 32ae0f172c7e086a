"""Runs a compiled plan over frames, under MicroPython and CPython alike: `micropython sample.py CASE` prints the samples."""

import binascii
import json
import sys

from agent.core.frames import LatestFrames
from agent.core.sampler import Sampler


def main(path: str) -> None:
    """First line of the file: the plan; then a line per second. One line of output each, and the counters."""
    with open(path) as file:
        plan = json.loads(file.readline())
        latest = LatestFrames(plan)
        sampler = Sampler(plan)
        for line in file:
            now, frames = json.loads(line)
            for bus, can_id, data, stamp in frames:
                latest.keep(bus, can_id, binascii.unhexlify(data), stamp)
            # Pairs instead of objects: the order of keys differs between the two.
            print(json.dumps([[type_id, plain(values)] for type_id, values in sampler.sample(latest, now)]))
    counters = [latest.kept, latest.unknown_id, latest.unknown_mux, latest.short]
    counters += [latest.bad_checksum, latest.stuck_counter, sampler.stale_alarms]
    print(json.dumps(counters))


def plain(value: object) -> object:
    if isinstance(value, dict):
        return [[key, plain(value[key])] for key in sorted(value)]
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


main(sys.argv[1])
