"""`tbox explain`: what every byte of a packet means."""

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from agent.commands import add_packets_argument, print_json, print_table

if TYPE_CHECKING:
    from agent.explain import Row

NAME = "explain"
HELP = "Show what every byte of a packet means; exit 1 when it is damaged"

SHOWN_ITEMS = 4  # of a list of numbers
SHOWN_BYTES = 16  # of a row
_HEADINGS = {
    "en": ("offset", "bytes", "field", "Chinese", "raw", "value", "unit", "meaning", "clause"),
    "zh": ("偏移", "字节", "英文名称", "名称", "原始值", "物理值", "单位", "含义", "条款"),
}
_MORE = {"en": "{count} more to offset {last} (--all)", "zh": "还有{count}项,至偏移{last} (--all)"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add_packets_argument(parser)
    parser.add_argument("--all", action="store_true", help="show long lists and contents whole")
    parser.add_argument("--json", action="store_true", help="print a list of rows, one list a packet and line")


def run(args: argparse.Namespace) -> int:
    """Explain every packet as far as it goes; the reason of damage goes to stderr."""
    from agent.explain import explain
    from agent.hexinput import pieces_of_arguments

    status = 0
    for piece in pieces_of_arguments(args.packets):
        fault: object = piece.fault
        if not fault:
            explanation = explain(piece.data, args.lang)
            if args.json:
                print_json([row.as_json() for row in explanation.rows])
            else:
                print_table(_HEADINGS[args.lang], "rlllrrlll", _lines(explanation.rows, args.lang, args.all))
            fault = explanation.fault
        if fault:
            sys.stdout.flush()
            sys.stderr.write(f"tbox: {piece.place}: {fault}\n")
            status = 1
    return status


def _lines(rows: "list[Row]", lang: str, everything: bool) -> Iterator[tuple[str, ...]]:
    run: list[Row] = []
    for row in [*rows, None]:
        if row is not None and row.listed and (not run or _list_of(run[0]) == _list_of(row)):
            run.append(row)
            continue
        shown = len(run) if everything or len(run) <= SHOWN_ITEMS + 1 else SHOWN_ITEMS
        yield from (_cells(item, everything) for item in run[:shown])
        if run[shown:]:
            text = _MORE[lang].format(count=len(run) - shown, last=run[-1].offset)
            yield (str(run[shown].offset), "…", text, "", "", "", "", "", run[-1].clause)
        run = [row] if row is not None and row.listed else []
        if row is not None and not row.listed:
            yield _cells(row, everything)


def _list_of(row: "Row") -> str:
    return row.path[: row.path.rindex("[")]


def _cells(row: "Row", everything: bool) -> tuple[str, ...]:
    data = row.data.hex().upper()
    if len(row.data) > SHOWN_BYTES + 1 and not everything:
        data = f"{data[: 2 * SHOWN_BYTES]}… ({len(row.data)})"
    return (
        str(row.offset),
        data,
        row.english,
        row.chinese,
        _text(row.raw),
        _text(row.value),
        row.unit,
        row.meaning,
        row.clause,
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value)
