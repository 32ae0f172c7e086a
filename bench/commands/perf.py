"""`tbox-bench perf`: the figures, each beside its peer, measured here and now."""

import argparse
import difflib
import json
import sys
import time
from typing import Any

from bench.perf import FIGURES, rows_of

NAME = "perf"
HELP = "measure the figures, each beside its peer; exit 1 when one misses its target"
HEADINGS = ("name", "value", "unit", "peer", "peer value", "ratio", "target", "met", "note")
SIDES = "lrllrrlll"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Names, size and form."""
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(FIGURES)} (default: all)")
    parser.add_argument("--json", action="store_true", help="a list of rows as JSON")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, the same bounds: in half the time")


def run(args: argparse.Namespace) -> int:
    """Measure and print; 0 when every row is met, 1 when not, 2 for a name that does not exist."""
    unknown = [name for name in args.names if name not in FIGURES]
    for name in unknown:
        near = difflib.get_close_matches(name, FIGURES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(FIGURES)}"
        print(f"tbox-bench perf: no figure is named {name!r}; {hint}", file=sys.stderr)
    if unknown:
        return 2
    rows: list[dict[str, Any]] = []
    started = time.monotonic()
    for name, found in rows_of(args.names or list(FIGURES), args.quick):
        took_s, started = time.monotonic() - started, time.monotonic()
        verdict = "met" if all(row["met"] for row in found) else "MISSED"
        print(f"{name}: {verdict} ({took_s:.0f} s)", file=sys.stderr, flush=True)
        rows += found
    if args.json:
        print(json.dumps(rows, indent=1))
    else:
        _print(rows)
    return 0 if all(row["met"] for row in rows) else 1


def _print(rows: list[dict[str, Any]]) -> None:
    from agent.texttable import print_table

    print_table(HEADINGS, SIDES, [_line(row) for row in rows])


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    numbers = ["-" if row[key] is None else str(row[key]) for key in ("value", "peer_value", "ratio")]
    value, peer_value, ratio = numbers
    met = "yes" if row["met"] else "NO"
    words = [str(row[key] or "-") for key in ("name", "unit", "peer", "target")]
    name, unit, peer, target = words
    return name, value, unit, peer, peer_value, ratio, target, met, row.get("note", "")
