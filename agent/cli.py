"""The command line: one module of `agent/commands/` a command.

A command module has `NAME`, `HELP`, `add_arguments(parser)` and `run(args) -> int`. Only the module of the command that is
called is imported, and what is heavy is imported inside its `run`. Data go to stdout, the log to stderr.
Exit: 0 done, 1 failed, 2 wrong use or configuration, 130 interrupted.
"""

import argparse
import contextlib
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from agent import __version__
from agent.errors import AgentError, ConfigError, one_line
from agent.labels import LANGUAGES, language

COMMANDS = (
    "init",
    "interfaces",
    "check",
    "run",
    "watch",
    "replay",
    "suggest",
    "decode",
    "encode",
    "explain",
    "fields",
    "outbox",
    "params",
    "identity",
)
LEVELS = ("debug", "info", "warning", "error")
BROKEN_PIPE = 141  # as a shell sees a program that SIGPIPE ended
INTERRUPTED = 130


def set_up_logging(level: str) -> None:
    """Send the log to stderr; `level` is one of LEVELS."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class _Lines(logging.Formatter):
    """What others sent us and ends up in a message can neither begin a line of its own nor steer a terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return one_line(super().formatMessage(record))


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `tbox`; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return run_program("tbox", "Vehicle-side telematics terminal", "agent.commands", COMMANDS, arguments)


def run_program(name: str, description: str, package: str, commands: Sequence[str], arguments: list[str]) -> int:
    """Run one command of `package` and turn errors into messages and exit statuses; also serves `tbox-bench`."""
    for place in ("stdout", "stderr"):
        if getattr(sys, place) is None:  # closed by whoever started us
            setattr(sys, place, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open until the end
    parser = _parser(name, description, package, commands, arguments)
    args = parser.parse_args(arguments)
    args.lang = language(args.lang)
    set_up_logging("debug" if args.verbose else args.log_level or "warning")
    # A terminal that cannot show Chinese shows question marks, it does not end the program.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        status: int = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        _give_up_stdout()
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except AgentError as error:
        sys.stderr.write("".join(f"{name}: {one_line(line)}\n" for line in str(error).splitlines()))
        return 2 if isinstance(error, ConfigError) else 1
    except OSError as error:
        # A file that the command was told to read or write, or stdout on a full disk.
        said = f"{error.filename or 'reading or writing'}: {error.strerror or error}"
        sys.stderr.write(f"{name}: {one_line(said)}\n")
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        _give_up_stdout()
        return 1
    return status


def _give_up_stdout() -> None:
    """Let what stdout could not take go nowhere: Python would complain once more, and change the exit status, at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser(
    name: str, description: str, package: str, commands: Sequence[str], arguments: list[str]
) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=name, description=description)
    parser.add_argument("--version", action="version", version=f"{name} {__version__}")
    _add_general(parser, lang=None, verbose=False, log_level=None)
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    called = [argument for argument in arguments if argument in commands][:1]
    for command in called or commands:
        module: ModuleType = importlib.import_module(f"{package}.{command.replace('-', '_')}")
        subparser = subparsers.add_parser(module.NAME, help=module.HELP, description=module.HELP)
        # Without defaults of its own, so that options before the command hold.
        _add_general(subparser, *[argparse.SUPPRESS] * 3)
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    return parser


def _add_general(parser: argparse.ArgumentParser, lang: str | None, verbose: bool | str, log_level: str | None) -> None:
    """Options of every command, before or behind its name."""
    group = parser.add_argument_group("general")
    group.add_argument("--lang", choices=LANGUAGES, default=lang, help="language of names (default: by the locale)")
    group.add_argument("-v", "--verbose", action="store_true", default=verbose, help="same as --log-level debug")
    group.add_argument(
        "--log-level",
        choices=LEVELS,
        default=log_level,
        help="log to stderr from this level on (default: warning; run: as configured)",
    )


if __name__ == "__main__":
    sys.exit(main())
