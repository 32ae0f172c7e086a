"""`tbox-bench demo`: everything in one go."""

import argparse
import asyncio
import contextlib
import logging
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from agent.core.editions import DEFAULT_EDITION, EDITIONS

if TYPE_CHECKING:
    from bench.delivery import Verdict
    from bench.demo import Demo, DemoSettings

NAME = "demo"
HELP = "vehicle, agent and platform in one go, on this machine, without root or hardware"
KEYS_HELP = """keys: o outage on/off, a alarm on/off, e explain the last report, q quit with the verdict

lines: when the packet came (Beijing time), what, size, when its values were collected, how late, types of its bodies

verdict:
  rests        silences in which nothing was due: switched off (2016), or the terminal idle on its link (2025)
  repeats      a report came again after a broken link, as it must when its delivery could not be proven
  needless     a report came twice on one link
  conflicts    a report came twice with different contents
  late as live a report that should have been a reissue came as realtime
  unexpected   a report came that was not due

exit: 0 the verdict is good, 1 it is not, 2 wrong use
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = KEYS_HELP
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--variant",
        choices=("ev", "hybrid", "fuel_cell"),
        default="ev",
        help="which reference car (default: %(default)s)",
    )
    parser.add_argument(
        "--edition",
        choices=sorted(EDITIONS),
        default=DEFAULT_EDITION,
        help="edition it reports in (default: %(default)s)",
    )
    parser.add_argument("--log", metavar="LOG", help="play this recording, in a loop, in place of the reference car")
    parser.add_argument(
        "-c", "--config", metavar="FILE", help="configuration whose mapping fits --log; its edition counts"
    )
    parser.add_argument(
        "--seconds", type=float, metavar="N", help="end after N seconds, of the scaled clock (default: at q)"
    )
    parser.add_argument("--outage", type=_span, metavar="A:B", help="take the platform away from second A to B")
    parser.add_argument("--speed", default="1", metavar="S", help="run S times faster (default: 1)")
    parser.add_argument("--no-tty", action="store_true", help="a line a packet instead of the live view")
    parser.add_argument("--keep", metavar="DIR", help="keep databases and logs there")


def _span(text: str) -> tuple[float, float]:
    try:
        begin, end = (float(part) for part in text.split(":"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not A:B, two numbers of seconds") from None
    if not 0 <= begin < end:
        raise argparse.ArgumentTypeError(f"{text!r}: A must not be negative and lie before B")
    return begin, end


def run(args: argparse.Namespace) -> int:
    from agent.errors import AgentError, ConfigError
    from bench.demo import DemoSettings

    if (args.log is None) != (args.config is None):
        print("tbox-bench demo: --log LOG and -c FILE go together", file=sys.stderr)
        return 2
    folder = Path(args.keep) if args.keep else Path(tempfile.mkdtemp(prefix="tbox-demo-"))
    if args.keep and (folder / "platform.db").exists():
        print(f"tbox-bench demo: --keep {args.keep}: holds an earlier run; name another folder", file=sys.stderr)
        return 2
    settings = DemoSettings(
        folder=folder,
        variant=args.variant,
        edition=args.edition,
        log=args.log,
        config=args.config,
        seconds=args.seconds,
        outage=args.outage,
        speed=args.speed,
    )
    try:
        return asyncio.run(_show(settings, args))
    except AgentError as error:
        print(f"tbox-bench demo: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)


async def _show(settings: "DemoSettings", args: argparse.Namespace) -> int:
    from bench.demo import Demo
    from bench.view import packet_line

    if args.log_level is None and args.no_tty:
        logging.getLogger("bench.demo").setLevel(logging.INFO)
    if args.no_tty or not (sys.stdout.isatty() and sys.stdin.isatty()):
        demo = Demo(settings, lambda arrival: print(packet_line(arrival), flush=True))
        return _say(demo, await demo.run(), args.lang)
    demo = Demo(settings)
    watching = asyncio.create_task(_watch_live(demo, args.lang))
    try:
        result = await demo.run()
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
    return _say(demo, result, args.lang)


def _say(demo: "Demo", result: "Verdict", lang: str) -> int:
    if demo.arrivals or not demo.problem:
        print(result.as_table(lang), end="")
    if demo.first_report_ms is not None:
        text = "登入后 {:.2f} s 收到首条上报" if lang == "zh" else "first report {:.2f} s after login"
        print(text.format(demo.first_report_ms / 1000))
    for remark in demo.remarks():
        print(f"tbox-bench demo: agent: {remark}", file=sys.stderr)
    if demo.problem:
        print(f"tbox-bench demo: {demo.problem}", file=sys.stderr)
    return 0 if result.ok and not demo.problem else 1


async def _watch_live(demo: "Demo", lang: str) -> None:
    from rich.live import Live

    from bench.view import picture

    explain = asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()

    def pressed(key: str) -> None:
        if key == "q":
            demo.ending.set()
        elif key == "e":
            explain.set()
        elif key in "oa":
            action = demo.set_outage(not demo.outage) if key == "o" else demo.toggle_alarm()
            task = asyncio.ensure_future(action)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    with _keys(pressed), Live(picture(demo), screen=True, auto_refresh=False) as live:
        while True:
            live.update(picture(demo), refresh=True)
            if explain.is_set():
                explain.clear()
                live.stop()
                _explain(demo, lang)
                await explain.wait()
                explain.clear()
                live.start()
            await asyncio.sleep(0.25)


def _explain(demo: "Demo", lang: str) -> None:
    from agent.cli import main

    if demo.last_report is not None:
        main(["--lang", lang, "explain", demo.last_report.packet.raw.hex()])
    else:
        print("no report has come yet")
    print("\npress e to go back; the table begins further up")


@contextlib.contextmanager
def _keys(pressed: "Callable[[str], None]") -> "Iterator[None]":
    """Single keys from the terminal, without Enter."""
    import os
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    loop = asyncio.get_running_loop()
    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, lambda: pressed(os.read(descriptor, 1).decode(errors="replace")))
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
