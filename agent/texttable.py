"""Tables that a person reads."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_PIPE_COLUMNS = 240  # where no terminal says how wide it is: wide enough for every row


def print_table(headings: Iterable[str], sides: str, lines: Iterable[tuple[str, ...]]) -> None:
    """A table a person reads; `sides`: l or r a column. No heading at all: no line for them."""
    from rich.console import Console
    from rich.table import Table

    heads = list(headings)
    table = Table(box=None, header_style="bold", pad_edge=False, show_header=any(heads))
    for heading, side in zip(heads, sides, strict=True):
        table.add_column(heading, justify="right" if side == "r" else "left", overflow="fold")
    for line in lines:
        table.add_row(*line)
    show_table(Console(highlight=False, markup=False, emoji=False), table)


def show_table(console: "Console", table: "Table") -> None:
    """Print it; where no terminal shows it, as wide as it is, without blanks at the end of its lines."""
    if console.is_terminal:
        console.print(table)
        return
    console.width = _PIPE_COLUMNS
    with console.capture() as capture:
        console.print(table)
    sys.stdout.write("".join([f"{line.rstrip()}\n" for line in capture.get().splitlines()]))
