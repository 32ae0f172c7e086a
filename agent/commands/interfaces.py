"""`tbox interfaces`: what is plugged in, with the lines that put it to use."""

import argparse
import sys
from typing import TYPE_CHECKING

from agent.commands import print_json

if TYPE_CHECKING:
    from agent.interfaces.found import Found

NAME = "interfaces"
HELP = "list CAN adapters, HATs, GNSS receivers and modems, each with the lines for configuration and shell"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bitrate", type=int, default=500_000, metavar="N", help="of the bus, bit/s (default 500000)")
    parser.add_argument(
        "--data-bitrate", type=int, metavar="N", help="of CAN FD's data, bit/s (default 2000000); means --fd"
    )
    parser.add_argument("--fd", action="store_true", help="print the lines for a CAN FD bus")
    parser.add_argument("--json", action="store_true", help="the same as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print what was found; 0 also when that is nothing."""
    from dataclasses import asdict

    from agent.errors import ConfigError
    from agent.interfaces.all import find_all
    from agent.interfaces.found import Machine, Rates, what_next

    for name in ("bitrate", "data_bitrate"):
        value = getattr(args, name)
        if value is not None and not 1000 <= value <= 20_000_000:
            raise ConfigError(f"--{name.replace('_', '-')}", [f"{value} is not in 1000..20000000 bit/s"])
    rates = Rates(args.bitrate, args.data_bitrate or 2_000_000, args.fd or args.data_bitrate is not None)
    found = find_all(Machine(), rates)
    next_steps = what_next(found)
    if args.json:
        print_json({"found": [asdict(each) for each in found], "next": next_steps})
        return 0
    print_found(found)
    for line in next_steps:
        print(f"- {line}")
    return 0


def print_found(found: "list[Found]") -> None:
    """A table, then what each is good for: comments and TOML, so that all behind the table can be pasted."""
    from agent.errors import one_line
    from agent.texttable import print_table

    if not found:
        print("nothing found that a terminal could use")
        return
    print_table(
        ("kind", "channel", "what", "state"),
        "llll",
        [tuple(map(one_line, (f.kind, f.channel, f.what, f.state))) for f in found],
    )
    for each in found:
        if not (each.toml or each.commands or each.remarks):
            continue
        print()
        print(one_line(f"# {each.channel or each.kind}: {each.what}"))
        for remark in each.remarks:
            print(one_line(f"#   {remark}"))
        for command in each.commands:
            print(one_line(f"#   $ {command}"))
        for name, text in each.files.items():
            print(f"#   to last, {one_line(name)} (then `sudo systemctl enable --now systemd-networkd`):")
            sys.stdout.write("".join(one_line(f"#     {line}".rstrip()) + "\n" for line in text.splitlines()))
        sys.stdout.write(each.toml)
