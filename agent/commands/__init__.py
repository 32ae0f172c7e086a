"""The commands of `tbox`, one module each, and what several of them print."""

import argparse
import json
from collections.abc import Iterable
from typing import Any

_PIPE_COLUMNS = 240  # where no terminal says how wide it is: wide enough for every row


def print_json(value: Any) -> None:
    """One JSON value a line, at once: the reader may be a pipe that waits."""
    print(json.dumps(value), flush=True)


def print_table(headings: Iterable[str], sides: str, lines: Iterable[tuple[str, ...]]) -> None:
    """A table a person reads; `sides`: l or r a column."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PIPE_COLUMNS
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading, side in zip(headings, sides, strict=True):
        table.add_column(heading, justify="right" if side == "r" else "left", overflow="fold")
    for line in lines:
        table.add_row(*line)
    console.print(table)


def add_packets_argument(parser: argparse.ArgumentParser) -> None:
    """Where packets come from, for `agent.hexinput.pieces_of_arguments`."""
    parser.add_argument(
        "packets",
        nargs="*",
        metavar="HEX|FILE|-",
        help="packets in hexadecimal of any form, or files of it, or of raw bytes (default: standard input)",
    )
