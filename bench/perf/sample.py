"""What a sample costs: 200 signals from 59 plain messages and 32 multiplexer pages, beside cantools on the same frames."""

import gc
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import cantools.database
from cantools.database.can import Database, Message

from agent.core.frames import LatestFrames
from agent.core.sampler import Sampler
from agent.signalmap import load_mapping

__all__ = ["measure"]

PLAIN_MESSAGES = 59
PAGES = 32
CELLS_PER_PAGE = 3
SIGNALS = 200
TARGET_MS = 0.3
ROUNDS = 300
_FIRST_ID = 0x100
_PAGE_ID = 0x6F0


def measure() -> list[dict[str, Any]]:
    """One row: milliseconds per sample (median), decoded, scaled and assembled into bodies."""
    with tempfile.TemporaryDirectory() as folder:
        dbc, mapping = _files(Path(folder))
        plan = load_mapping(mapping, "2016", cache=False).plan
        database = cantools.database.load_file(dbc)
    if not isinstance(database, Database):
        raise TypeError(f"cantools read the workload as {type(database).__name__}")
    rows = sum(len(rows) for source in plan["sources"] for rows in source[2:])
    if rows != SIGNALS:
        raise RuntimeError(f"the workload has {rows} signals instead of {SIGNALS}")
    frames = _frames(random.Random(7))
    latest = LatestFrames(plan)
    for can_id, data in frames:
        latest.keep(0, can_id, data, 0)
    sampler = Sampler(plan)
    messages = {message.frame_id: message for message in database.messages}
    pairs = [(messages[can_id], data) for can_id, data in frames]
    ours, peer = _interleaved(lambda: sampler.sample(latest, 0), lambda: _decode_all(pairs))
    return [
        {
            "name": "sample",
            "value": round(ours, 4),
            "unit": "ms",
            "peer": "cantools decode",
            "peer_value": round(peer, 4),
            "ratio": round(ours / peer, 3),
            "target": f"<= {TARGET_MS} ms and ratio <= 1",
            "met": ours <= TARGET_MS and ours <= peer,
        }
    ]


def _decode_all(pairs: list[tuple[Message, bytes]]) -> None:
    for message, data in pairs:
        message.decode(data, decode_choices=False)


def _interleaved(first: Any, second: Any) -> tuple[float, float]:
    """Medians in ms; the two take turns, so that a slow moment of the machine meets both."""
    times: tuple[list[int], list[int]] = ([], [])
    gc.collect()
    for _ in range(ROUNDS):
        for work, spent in zip((first, second), times, strict=True):
            start = time.perf_counter_ns()
            work()
            spent.append(time.perf_counter_ns() - start)
    return statistics.median(times[0]) / 1e6, statistics.median(times[1]) / 1e6


def _files(folder: Path) -> tuple[Path, Path]:
    """A DBC and a mapping: 96 cells on pages, 104 temperatures and motor items on plain messages."""
    text = ['VERSION ""', "BU_: ECU"]
    for number in range(PLAIN_MESSAGES):
        order, starts = ("@1", (0, 16)) if number % 2 else ("@0", (7, 23))
        text.append(f"BO_ {_FIRST_ID + number} M{number + 1:02d}: 8 ECU")
        for index, start in enumerate(starts, 1):
            sign = "-" if number % 3 else "+"
            text.append(f' SG_ S{index} : {start}|12{order}{sign} (0.1,5) [0|0] "degC" ECU')
    text.append(f"BO_ {_PAGE_ID} Cells: 8 ECU")
    text.append(' SG_ Page M : 0|8@1+ (1,0) [0|0] "" ECU')
    for cell in range(PAGES * CELLS_PER_PAGE):
        page, index = divmod(cell, CELLS_PER_PAGE)
        text.append(f' SG_ Cell{cell + 1} m{page} : {8 + 16 * index}|14@1+ (0.000305,0) [0|0] "V" ECU')
    dbc = folder / "workload.dbc"
    dbc.write_text("\n".join(text) + "\n")
    # 59 first signals and 45 second ones: 104, with the 96 cells 200.
    probes = [f"pt.M{number:02d}.S1" for number in range(1, PLAIN_MESSAGES + 1)]
    probes += [f"pt.M{number:02d}.S2" for number in range(1, SIGNALS - PAGES * CELLS_PER_PAGE - PLAIN_MESSAGES + 1)]
    mapping = folder / "workload.toml"
    mapping.write_text(
        'format = 1\nname = "workload"\nedition = "2016"\n'
        '[dbc.pt]\nfiles = ["workload.dbc"]\n'
        "[extremes]\n"
        f'[storage_voltages]\ncells = {{ signal = "pt.Cells.Cell{{n}}", count = {PAGES * CELLS_PER_PAGE} }}\n'
        f"[storage_temperatures]\nprobes = {probes}\n"
    )
    return dbc, mapping


def _frames(random_: random.Random) -> list[tuple[int, bytes]]:
    plain = [(_FIRST_ID + number, bytes(random_.randrange(256) for _ in range(8))) for number in range(PLAIN_MESSAGES)]
    pages = [(_PAGE_ID, bytes([page, *(random_.randrange(256) for _ in range(7))])) for page in range(PAGES)]
    return plain + pages
