"""Tables that a person reads."""

from collections.abc import Iterable

_PIPE_COLUMNS = 240  # where no terminal says how wide it is: wide enough for every row


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
