"""The commands of `tbox`, one module each, and what several of them print."""

import argparse
import json
from typing import Any


def print_json(value: Any) -> None:
    """One JSON value a line, at once: the reader may be a pipe that waits."""
    print(json.dumps(value), flush=True)


def add_mapping_argument(parser: argparse.ArgumentParser) -> None:
    """Where bodies of the maker's own are declared, for `agent.mapping.declared.declared_editions`."""
    parser.add_argument("--mapping", metavar="FILE", help="mapping whose declared bodies (80 to FE) are known then")


def add_packets_argument(parser: argparse.ArgumentParser) -> None:
    """Where packets come from, for `agent.hexinput.pieces_of_arguments`."""
    parser.add_argument(
        "packets",
        nargs="*",
        metavar="HEX|FILE|-",
        help="packets in hexadecimal of any form, or files of it, or of raw bytes (default: standard input)",
    )
