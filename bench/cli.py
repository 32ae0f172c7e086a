"""`tbox-bench`: one module of `bench/commands` per command, with the same conventions as `tbox` (`agent/cli.py`)."""

import sys
from collections.abc import Sequence

from agent.cli import run_program

COMMANDS = ("demo", "vehicle", "platform", "perf", "sign-upgrade", "vcan")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `tbox-bench`; returns the exit status: 0 done, 1 failed, 2 wrong use."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return run_program("tbox-bench", "The other side of the table", "bench.commands", COMMANDS, arguments)


if __name__ == "__main__":
    sys.exit(main())
