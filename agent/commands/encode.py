"""`tbox encode`: JSON, one packet a line, to hexadecimal."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from agent.commands import add_mapping_argument

NAME = "encode"
HELP = "print the packets that JSON lines describe, in hexadecimal"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        "packets",
        nargs="*",
        metavar="JSON|FILE|-",
        help="JSON objects, or files of one a line (default: standard input)",
    )
    add_mapping_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Encode every line; the faults of a line go to stderr, the next is handled all the same."""
    from agent.core.errors import LocalProtocolError
    from agent.mapping.declared import declared_editions
    from agent.packetjson import packet_from_json

    editions = declared_editions(args.mapping)
    status = 0
    for place, line in _lines(args.packets):
        try:
            given = json.loads(line)
        except (ValueError, RecursionError) as error:  # also a number of thousands of digits, thousands of brackets
            sys.stderr.write(f"tbox: {place}: not JSON: {error}; one packet a line is needed\n")
            status = 1
            continue
        try:
            print(packet_from_json(given, editions).hex().upper(), flush=True)
        except LocalProtocolError as error:
            sys.stderr.write("".join(f"tbox: {place}: {fault}\n" for fault in str(error).splitlines()))
            status = 1
    return status


def _lines(arguments: list[str]) -> Iterator[tuple[str, str]]:
    """Where a line stands, and the line; blank lines are left out."""
    from agent.errors import ConfigError
    from agent.hexinput import is_file

    for argument in arguments or ["-"]:
        if argument.lstrip().startswith("{"):
            yield "argument", argument
        elif argument == "-":
            yield from _texts(sys.stdin.buffer, "line ")
        elif is_file(argument):
            with Path(argument).open("rb") as stream:
                yield from _texts(stream, f"{argument}:")
        else:
            raise ConfigError(argument, ["no such file, and no JSON object"])


def _texts(stream: BinaryIO, place: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(stream, 1):
        if line.strip():
            # A byte that is not UTF-8 becomes a character that no key or word holds: the fault is then named as one.
            yield f"{place}{number}", line.decode("utf-8-sig", "replace")
