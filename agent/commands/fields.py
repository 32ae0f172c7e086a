"""`tbox fields`: the tables of an edition, and how many items they have."""

import argparse
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from agent.commands import add_mapping_argument, print_json

if TYPE_CHECKING:
    from agent.core.edition import Edition
    from agent.fieldtable import FieldRow

NAME = "fields"
HELP = "show every field of an edition of GB/T 32960, or count them"

_HEADINGS = {
    "en": ("body", "field", "Chinese", "bytes", "unit", "per unit", "offset", "range", "counts", "sentinels", "clause"),
    "zh": ("信息体", "英文名称", "名称", "字节", "单位", "每单位计数", "偏移", "范围", "计数范围", "异常/无效", "条款"),
}
_COUNT_HEADINGS = {"en": ("body", "platform tables", "annex B"), "zh": ("信息体", "平台表", "附录B")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    from agent.core.editions import DEFAULT_EDITION, EDITIONS

    parser.add_argument(
        "--edition", choices=sorted(EDITIONS), default=DEFAULT_EDITION, help="edition (default: %(default)s)"
    )
    parser.add_argument("--count", action="store_true", help="count the data items of each body instead")
    parser.add_argument("--lua", action="store_true", help="print a Wireshark dissector in Lua, for every edition")
    parser.add_argument("--json", action="store_true", help="print one JSON value")
    add_mapping_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    from agent.mapping.declared import declared_editions

    if args.lua and args.mapping:
        sys.stderr.write("tbox fields: --lua knows the bodies of the standard only; leave --mapping out\n")
        return 2
    if args.lua:
        from agent.wireshark import dissector

        sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # what Wireshark reads, whatever the locale
        print(dissector(args.lang, declared_editions(args.mapping)))
        return 0
    edition = declared_editions(args.mapping)[args.edition]
    if args.count:
        _print_count(edition, args.lang, args.json)
    else:
        _print_fields(edition, args.lang, args.json)
    return 0


def _print_count(edition: "Edition", lang: str, as_json: bool) -> None:
    from agent.fieldtable import count_items
    from agent.labels import body
    from agent.texttable import print_table

    platform, annex = count_items(edition)
    total = sum(platform.values())
    if as_json:
        print_json({"edition": edition.name, "platform": platform, "total": total, "annex_b": annex})
        return
    lines = [
        (
            f"{type_id:02X} {body(layout.name, lang)}",
            str(platform.get(layout.name, "")),
            str(annex.get(layout.name, "")),
        )
        for type_id, layout in edition.bodies.items()
    ]
    lines.append(("合计" if lang == "zh" else "total", str(total), str(sum(annex.values()))))
    columns = 3 if annex else 2
    print_table(_COUNT_HEADINGS[lang][:columns], "lrr"[:columns], [line[:columns] for line in lines])


def _print_fields(edition: "Edition", lang: str, as_json: bool) -> None:
    from agent.fieldtable import field_rows
    from agent.labels import chinese
    from agent.texttable import print_table

    rows = field_rows(edition)
    if as_json:
        print_json([asdict(row) | {"chinese": chinese(row.name, row.table)} for row in rows])
        return
    print_table(_HEADINGS[lang], "lllrlrrlllr", [_cells(row, lang) for row in rows])


def _cells(row: "FieldRow", lang: str) -> tuple[str, ...]:
    from agent.labels import body, chinese, english, word

    name = f"{row.group}: {english(row.name)}" if row.group else english(row.name)
    if row.words is not None:
        allowed = ", ".join(f"{raw} {word(text, lang, row.table)}" for raw, text in row.words.items())
    else:
        allowed = "" if row.lowest is None else f"{row.lowest} … {row.highest}"
    return (
        body(row.body, lang),
        name,
        chinese(row.name, row.table) or "",
        row.size,
        row.unit,
        f"{row.per_unit:.10g}",
        str(row.offset),
        allowed,
        f"{row.lo}…{row.hi}",
        "FE, FF" if row.sentinel else "-",
        row.clause,
    )
