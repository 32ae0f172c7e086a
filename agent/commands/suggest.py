"""`tbox suggest`: a mapping proposed for a car that nobody has mapped yet, from its DBC files and a recording."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container

    from agent.canlog.reader import LogReader
    from agent.suggest.behaviour import Recording
    from agent.suggest.proposals import Proposal

NAME = "suggest"
HELP = "propose a mapping for a car: from its DBC files, and a recording where there is one"
DEFAULT_BUS = "pt"  # as in the configuration of `tbox init`


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    from agent.core.editions import EDITIONS

    parser.add_argument("dbc", nargs="*", metavar="DBC", help="DBC files of one bus")
    parser.add_argument(
        "--log", metavar="LOG", help="a recording of that bus (or of all): what do the signals really do?"
    )
    parser.add_argument(
        "--bus",
        action="append",
        default=[],
        metavar="NAME[=DBC,DBC]",
        help=f"name of the bus (default: {DEFAULT_BUS}); NAME=DBC,DBC adds a bus with files of its own",
    )
    parser.add_argument("--edition", choices=sorted(EDITIONS), help="edition of GB/T 32960.3 (default: all)")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the mapping there (default: stdout)")


def run(args: argparse.Namespace) -> int:
    """Propose, print or write, and say on stderr what was found."""
    from agent.core.editions import EDITIONS
    from agent.suggest.trial import load, suggest, watched
    from agent.suggest.write import Head

    if fault := _fault(args):
        sys.stderr.write(f"tbox suggest: {fault}\n")
        return 2
    folder = Path(args.output).parent if args.output else Path()
    loaded = load(_buses(args, folder))
    editions = (args.edition,) if args.edition else tuple(sorted(EDITIONS))
    recording = watched(loaded, lambda wanted: _open(args.log, wanted)) if args.log else None
    first = next(iter(loaded.sources))
    files = {bus: [source.written for source in loaded.sources if source.bus == bus] for bus in loaded.dbcs}
    notes = tuple(loaded.notes + _said(args.log, recording))
    head = Head(f"Suggested from {first.path.stem}", editions, files, loaded.lenient, notes, {})
    text, proposals = suggest(loaded, head, recording)
    if args.output:
        with open(args.output, "x", encoding="utf-8") as file:
            file.write(text)
    else:
        sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # TOML is UTF-8, whatever the locale
        sys.stdout.write(text)
    _tell(notes, proposals, editions, args)
    return 0


def _fault(args: argparse.Namespace) -> str:
    """What is wrong with the arguments or the environment; "" when nothing is."""
    import importlib.util

    if importlib.util.find_spec("rapidfuzz") is None:
        return "needs the extra suggest: pip install 'tbox-agent[suggest]'"
    if not args.dbc and not any("=" in bus for bus in args.bus):
        return "name at least one DBC file"
    plain = [bus for bus in args.bus if "=" not in bus]
    if len(plain) > 1:
        return f"--bus {plain[1]}: only one bus can have the files without a name; write --bus {plain[1]}=FILE"
    names = [bus.partition("=")[0] for bus in args.bus]
    for name in names:
        if not name.replace("_", "").replace("-", "").isalnum() or not name.isascii():
            return f"--bus {name!r}: a name of letters, digits, _ and -"
        if names.count(name) > 1:
            return f"--bus {name}: named twice; write all its files in one, --bus {name}=FILE,FILE"
    if args.output and Path(args.output).exists():
        return f"{args.output}: exists; it is not overwritten, it may hold your work"
    return ""


def _buses(args: argparse.Namespace, folder: Path) -> dict[str, list[tuple[str, Path]]]:
    """Bus to (file as the mapping in `folder` names it, path)."""
    plain = next((bus for bus in args.bus if "=" not in bus), DEFAULT_BUS)
    buses = {plain: list(args.dbc)} if args.dbc else {}
    for bus in args.bus:
        name, equals, files = bus.partition("=")
        if equals:
            buses[name] = buses.get(name, []) + [file for file in files.split(",") if file]
    return {bus: [(_written(file, folder), Path(file)) for file in files] for bus, files in buses.items()}


def _written(file: str, folder: Path) -> str:
    if os.path.isabs(file):
        return Path(file).as_posix()
    return Path(os.path.relpath(Path(file).resolve(), folder.resolve())).as_posix()


def _open(path: str, wanted: "Container[int] | None") -> "LogReader":
    from agent.canlog.reader import read_log

    return read_log(path, wanted=wanted)


def _said(path: str | None, recording: "Recording | None") -> list[str]:
    if recording is None:
        return ["Without a recording: nothing is known of what the signals really do. `--log` tells more."]
    seen = sum(bool(behaviour.known) for behaviour in recording.by.values())
    clock = f"; its clock: {recording.clock}" if recording.clock else ""
    share = f"{recording.matched} of {recording.frames} frames are of the messages in question"
    return [
        f"Recording {Path(str(path)).name}: {share}; {seen} of {len(recording.by)} signals looked at were seen{clock}."
    ]


def _tell(
    notes: "tuple[str, ...]", proposals: "list[Proposal]", editions: "tuple[str, ...]", args: argparse.Namespace
) -> None:
    from agent.suggest.write import plain, summary

    rows = summary(proposals, editions)
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for note in notes:
        sys.stderr.write(f"{plain(note)}\n")
    for item, place, score, verdict in rows:
        sys.stderr.write(f"{item:{widths[0]}}  {place:{widths[1]}}  {score:{widths[2]}}  {verdict}\n")
    sure = sum(one.sure for one in proposals)
    file = args.output or "the mapping"
    sys.stderr.write(
        f"{sure} of {len(proposals)} proposals are sure; the others are comments in {file}: look, correct, take the # away.\n"
        f"Next: {_next(args.output, args.log)}\n"
    )


def _next(output: str | None, log: str | None) -> str:
    """The commands to go on with, ready to paste where the file lies beside a configuration."""
    config = Path(output).parent / "tbox.toml" if output else Path("tbox.toml")
    name = Path(output).name if output and config.exists() else "..."
    return (
        f'mapping = "{name}" in {config}, then `tbox check -c {config}`, '
        f"`tbox replay {log or 'LOG'} -c {config} --json`, `tbox watch -c {config}`."
    )
