"""`tbox-bench vcan`: a command in a kernel that has CAN, on machines whose own has none."""

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from bench.kernel.job import Job

NAME = "vcan"
HELP = "run a command where vcan0, vcan1... exist: in this kernel if it has CAN, else in User Mode Linux or QEMU"
EPILOG = """The command runs as if it were started here, without stdin and without a network: with this machine's own kernel
where it has vcan (in a network namespace of its own), else in User Mode Linux, which is fetched once as a Debian package.
A guest sees this machine's files; what it writes stays only below --share, anything else is forgotten.

exit status: the command's, 128 + N when signal N ended it; 124 timed out, 125 the guest died, 126 cannot be set up,
127 no such command
"""
MOST_BUSES = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Kernel, buses, limits and the command."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--fd", action="store_true", help="buses that take CAN FD frames (MTU 72)")
    parser.add_argument("--count", type=int, metavar="N", help="make vcan0 to vcan(N-1) (default: 1; with --qemu: 0)")
    parser.add_argument("--qemu", action="store_true", help="a machine emulated by QEMU: CAN controllers can0, can1...")
    parser.add_argument(
        "--controllers", type=int, metavar="N", help="with --qemu: so many SJA1000 on one bus, left down (default: 2)"
    )
    parser.add_argument(
        "--timeout", type=float, default=300.0, metavar="S", help="seconds for the command (default: %(default)g)"
    )
    parser.add_argument(
        "--share", type=Path, metavar="DIR", help="what the command may write to (default: this folder)"
    )
    parser.add_argument(
        "-e", action="append", default=[], dest="named", metavar="NAME[=VALUE]", help="an environment variable for it"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND...", help="what to run")


def run(args: argparse.Namespace) -> int:
    """Run the command; its exit status, or one of those in EPILOG; 2 for wrong use."""
    from bench.kernel.job import CANNOT_SET_UP, SetUpError

    try:
        job = _job(args)
    except ValueError as error:
        print(f"tbox-bench vcan: {error}", file=sys.stderr)
        return 2
    try:
        with _ended_by_signals():
            return _run(job, args.qemu)
    except SetUpError as error:
        print("".join(f"tbox-bench vcan: {line}\n" for line in str(error).splitlines()), end="", file=sys.stderr)
        return CANNOT_SET_UP
    except BrokenPipeError:
        raise
    except OSError as error:  # a folder that cannot be written, a disk that is full
        reason = f"{error.filename or 'reading or writing'}: {error.strerror or error}"
        print(f"tbox-bench vcan: cannot be set up: {reason}", file=sys.stderr)
        return CANNOT_SET_UP


def _run(job: "Job", in_qemu: bool) -> int:
    from bench.kernel import host, qemu, uml
    from bench.kernel.job import MARK

    # Only in such a guest are can0 and can1 ours to use: anywhere else there is a vehicle behind them.
    if in_qemu and os.environ.get(MARK) != "qemu":
        return qemu.run(job)
    status = host.run(job)
    return uml.run(job) if status is None else status


def _job(args: argparse.Namespace) -> "Job":
    from bench.kernel.job import Job, environment_of

    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise ValueError("no command; write it behind --, as in: tbox-bench vcan -- candump vcan0")
    buses = (0 if args.qemu else 1) if args.count is None else args.count
    controllers = (2 if args.qemu else 0) if args.controllers is None else args.controllers
    if controllers and not args.qemu:
        raise ValueError("--controllers: only QEMU emulates CAN controllers; add --qemu")
    for option, number in (("--count", buses), ("--controllers", controllers)):
        if not 0 <= number <= MOST_BUSES:
            raise ValueError(f"{option} {number}: 0 to {MOST_BUSES} are allowed")
    if not args.timeout > 0:
        raise ValueError(f"--timeout {args.timeout:g}: seconds, more than 0")
    here = Path.cwd()
    share = (args.share or here).resolve()
    if not share.is_dir() or share == Path("/"):
        raise ValueError(f"--share {share}: name a folder, other than / itself")
    return Job(
        command=tuple(command),
        share=share,
        folder=here if here.is_relative_to(share) else share,
        environment=environment_of(os.environ, args.named),
        buses=buses,
        fd=args.fd,
        timeout_s=args.timeout,
        controllers=controllers,
    )


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP go the way of Ctrl-C: through every `finally` on the way out."""

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(each, signal.SIG_IGN)  # once is enough
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)
    yield
