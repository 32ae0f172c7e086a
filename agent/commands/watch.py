"""`tbox watch`: the mapped items live, of the running agent or with own ears."""

import argparse
import sys
from typing import TYPE_CHECKING

from agent.commands import print_json

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from agent.attached.gnss import GnssReceiver
    from agent.canbus.bus import CanBus
    from agent.config import Config
    from agent.core.frames import LatestFrames
    from agent.mapping.plan import CompiledMapping
    from agent.watch.source import Ears, Moment
    from agent.watch.text import Words
    from agent.watch.view import View, Watcher

NAME = "watch"
HELP = "show the mapped items, buses, outbox and link live"
EXTRA = "the live view needs the extra watch: pip install 'tbox-agent[watch]'; --once prints one table without it"
WAIT_S = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="configuration (TOML)")
    parser.add_argument("--once", action="store_true", help="print one table and end")
    parser.add_argument("--json", action="store_true", help="with --once: one JSON object an item, one a line")
    parser.add_argument(
        "--wait",
        type=float,
        default=WAIT_S,
        metavar="S",
        help="with --once where no agent runs: listen for S seconds, less when all is seen (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Show it; ConfigError for a configuration that the agent would not take either."""
    import asyncio
    from importlib.util import find_spec

    from agent.app import load_for
    from agent.config import load_config
    from agent.status import status_path
    from agent.watch.view import Watcher

    if fault := _fault(args, find_spec("textual") is not None):
        sys.stderr.write(f"tbox watch: {fault}\n")
        return 2
    config = load_config(args.config)
    mapping = load_for(config, args.config)
    ears = _ears(config, mapping)
    path, watcher = status_path(config.path(config.outbox.path)), Watcher(mapping)
    if args.once:
        from agent.watch.source import moments

        view = asyncio.run(_look(moments(path, ears), watcher, args.wait, rates=not args.json))
        return _print(view, watcher, args.lang, args.json)
    from agent.watch.screen import WatchApp

    return WatchApp(watcher, path, ears, args.lang).show()


def _ears(config: "Config", mapping: "CompiledMapping") -> "Ears":
    """The buses and the receiver of a configuration, as the agent makes them."""
    from random import Random

    from agent.app import make_buses
    from agent.attached.gnss import GnssReceiver
    from agent.clock import Clock
    from agent.watch.source import Ears

    clock, random = Clock(), Random()  # noqa: S311 - spreads waiting times

    def make(latest: "LatestFrames") -> "tuple[list[CanBus], GnssReceiver | None]":
        gnss, names = None, mapping.buses
        if config.gnss is not None and config.gnss.name in names:
            gnss = GnssReceiver(config.gnss, names.index(config.gnss.name), latest, clock, random)
        return make_buses(config, mapping, latest, clock, random), gnss

    return Ears(mapping, config.vehicle.vin, make, clock)


def _fault(args: argparse.Namespace, textual: bool) -> str:
    if args.json and not args.once:
        return "--json goes with --once"
    if args.once:
        return ""
    if not textual:
        return EXTRA
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):  # textual draws on stderr
        return "the live view needs a terminal; --once prints one table"
    return ""


async def _look(found: "AsyncGenerator[Moment, None]", watcher: "Watcher", wait_s: float, rates: bool) -> "View":
    """The agent's first moment, or with `rates` its second; with own ears the first in which nothing is missing, or the last
    within the time."""
    import asyncio
    from contextlib import aclosing

    loop = asyncio.get_running_loop()
    end, seen = loop.time() + wait_s, 0
    async with aclosing(found) as coming:
        async for moment in coming:
            view = watcher.see(moment)
            seen += not moment.own
            if seen > rates or (moment.own and (None not in moment.snapshot.sources or loop.time() >= end)):
                return view
    raise AssertionError("moments never end")


def _print(view: "View", watcher: "Watcher", lang: str, as_json: bool) -> int:
    """1 where the items could not be read."""
    from agent.watch.text import Words

    words = Words(watcher, lang)
    if as_json:
        _print_json(view)
    else:
        _print_tables(view, words, lang)
    if remark := words.remark(view):
        sys.stderr.write(f"tbox watch: {remark}\n")
    return 0 if view.rows else 1


def _print_json(view: "View") -> None:
    import msgspec

    for row in view.rows:
        print_json(msgspec.to_builtins(row))


def _print_tables(view: "View", words: "Words", lang: str) -> None:
    from agent.texttable import print_table
    from agent.watch.text import BUS_HEADINGS, BUS_SIDES, HEADINGS, SIDES

    print(words.title(view.snapshot, view.own))
    lines: list[tuple[str, ...]] = []
    section = ""
    for row in view.rows:
        if row.body != section:
            section = row.body
            lines.append((words.section(section), *[""] * (len(SIDES) - 1)))
        lines.append(words.cells(row))
    if lines:
        print_table(HEADINGS[lang], SIDES, lines)
    print()
    print_table(BUS_HEADINGS[lang], BUS_SIDES, [words.bus(bus) for bus in view.buses])
    for line in words.lines(view):
        print(line)
