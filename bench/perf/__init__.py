"""Figures: each module here measures rows of `tbox-bench perf` beside their peers, in one run.

A module's `measure()` gives rows of ROW_KEYS and, where something is to be said, "note". A row belongs to the name that stands
before the first comma of its own. `measure(quick=True)`, where a module offers it, takes a smaller size and the same bounds.
"""

import importlib
import inspect
import subprocess
from collections.abc import Collection, Iterator
from typing import Any

from agent.errors import AgentError

ROW_KEYS = ("name", "value", "unit", "peer", "peer_value", "ratio", "target", "met")

# Name of a figure and the modules that measure it, in the order of a whole run: short ones first.
FIGURES: dict[str, tuple[str, ...]] = {
    "receive": ("receive",),
    "sample": ("sample",),
    "encode": ("codec",),
    "decode": ("codec",),
    "bcc": ("codec",),
    "append": ("append",),
    "fsync": ("fsync",),
    "signature": ("signature",),
    "start": ("start",),
    "replay": ("replay", "replay_frames"),
    "drain": ("drain",),
    "memory": ("memory",),
    "grid": ("grid",),
    "gnss": ("gnss",),
    "bus": ("bus",),
    "raw": ("bus",),
    "agent": ("fullcar",),
    "alarm": ("fullcar",),
}

# A part of the machine or of the installation that is missing costs its row, not the others.
FAILURES = (AgentError, ImportError, OSError, RuntimeError, subprocess.SubprocessError)

Row = dict[str, Any]


def rows_of(names: Collection[str], quick: bool) -> Iterator[tuple[str, list[Row]]]:
    """(name, its rows) of each figure in `names`, in the order of FIGURES; what is measured together is measured once."""
    measured: dict[str, list[Row]] = {}
    for name, modules in FIGURES.items():
        if name not in names:
            continue
        rows: list[Row] = []
        try:
            for module in modules:
                if module not in measured:
                    measured[module] = _measure(module, quick)
                rows += [row for row in measured[module] if row["name"].partition(",")[0] == name]
        except FAILURES as error:
            rows.append(dict.fromkeys(ROW_KEYS) | {"name": name, "met": False, "note": f"not measured: {error}"})
        yield name, rows


def _measure(module: str, quick: bool) -> list[Row]:
    measure = importlib.import_module(f"{__name__}.{module}").measure
    if not quick or "quick" not in inspect.signature(measure).parameters:
        return list(measure())
    return [row | {"note": "; ".join(["quick", *filter(None, [row.get("note")])])} for row in measure(quick=True)]
