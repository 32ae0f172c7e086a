"""`tbox-bench platform`: a platform that examines, answers and keeps what terminals send; and the verdict on it."""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from agent.beijing import BEIJING
from agent.core.editions import BY_START
from agent.errors import AgentError, ConfigError
from bench.answers import POLICIES, REFUSALS, Policy

if TYPE_CHECKING:
    from bench.arrival import Arrival
    from bench.platform import OnPacket

NAME = "platform"
HELP = "a GB/T 32960 platform: listen, examine, answer by policy, keep what came in"
DEFAULT_PORT = 32960
DEFAULT_DB = "platform.sqlite"
POLICY_TEXT = (
    "annex-b: answer all but good reports. each: answer every packet with its time. long: answer every packet with the"
    " platform's time and the rest of the unit. empty: answer every packet without a unit. silent: never answer."
    " The options below it are faults."
)
IDLE_S = 180  # three heartbeat periods of a terminal left at its defaults


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of listening, of the policy with its faults, of what is shown, and of the verdict."""
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    add("--port", type=_port, default=DEFAULT_PORT, help="0 takes a free one (default %(default)s)")
    add("--db", default=DEFAULT_DB, help="file that keeps the packets, appended to (default %(default)s)")
    add(
        "--idle",
        type=float,
        default=IDLE_S,
        metavar="S",
        help="close links without a whole packet in S seconds, 0: never",
    )
    add("--speed", default="1", metavar="N", help="wall time runs N times faster than real time")
    add("--epoch", type=float, metavar="T", help="real Unix time at which scaled time starts")
    add = parser.add_argument_group("policy", POLICY_TEXT).add_argument
    add("--policy", choices=list(POLICIES), default="annex-b", help="(default %(default)s)")
    add("--late", type=_seconds, default=0, metavar="S", help="answer S seconds later")
    add("--rubbish", action="store_true", help="send noise in front of each answer")
    add(
        "--close-mid-packet",
        type=int,
        default=0,
        metavar="N",
        help="half an answer to a link's packet N, then close it",
    )
    add(
        "--refuse-login",
        type=_flag,
        default=0,
        metavar="FLAG",
        help="answer logins with 02 (error) or 03 (VIN duplicate)",
    )
    add("--error-every", type=_count, default=0, metavar="N", help="answer every N-th good report with an error")
    add("--no-read", action="store_true", help="accept links and never read them")
    add("--drop-after", type=_count, default=0, metavar="N", help="break a link after its packet N, without an answer")
    add = parser.add_argument_group("output").add_argument
    add("--json", action="store_true", help="JSON lines; the packet itself in hex")
    add("--quiet", action="store_true", help="no line for each packet")
    add("--full-vin", action="store_true", help="show the whole VIN")
    add = parser.add_argument_group("verdict", "What its rows mean: tbox-bench demo --help.").add_argument
    add("--verdict", metavar="DB", help="judge the delivery of the reports in DB instead of listening")
    add("--vin", help="judge this vehicle only")
    add("--period", type=_period, default=10, metavar="S", help="report period in seconds (default %(default)s)")
    add("--expected", metavar="FILE", help="collection times that must be there, a Unix second a line")


def _flag(text: str) -> int:
    flag = int(text, 16)
    if flag not in REFUSALS:
        raise argparse.ArgumentTypeError(f"{text} is not 02 (error) or 03 (VIN duplicate)")
    return flag


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not in 0..65535")
    return port


def _count(text: str) -> int:
    count = int(text)
    if count < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than 0")
    return count


def _period(text: str) -> int:
    period = int(text)
    if not 1 <= period <= 600:
        raise argparse.ArgumentTypeError(f"{text} is not in 1..600 seconds")
    return period


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from 0 up")
    return seconds


def run(args: argparse.Namespace) -> int:
    """Listen until SIGINT or SIGTERM, or print the verdict; 0 when all went well, 1 when not, 2 for wrong use."""
    if args.log_level is None and not args.verbose:
        logging.getLogger("bench").setLevel(logging.INFO)
    try:
        if args.verdict is not None:
            return _judge(args)
        return asyncio.run(_serve(args))
    except AgentError as error:
        print(f"tbox-bench platform: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1


def _judge(args: argparse.Namespace) -> int:
    from bench.delivery import verdict

    result = verdict(args.verdict, args.vin, args.period, _expected(args.expected))
    if args.json:
        print(json.dumps(result.as_dict()))
    else:
        print(result.as_table(args.lang, args.full_vin), end="")
    return 0 if result.ok else 1


def _expected(path: str | None) -> list[int] | None:
    if path is None:
        return None
    try:
        with open(path, encoding="ascii") as file:
            return [int(line) for line in file if line.strip()]
    except (OSError, ValueError) as error:
        raise AgentError(f"expected collection times {path}: {error}") from error


def _policy(args: argparse.Namespace) -> Policy:
    return replace(
        POLICIES[args.policy],
        late_s=args.late,
        rubbish=args.rubbish,
        close_mid_packet=args.close_mid_packet,
        refuse_login=args.refuse_login,
        error_every=args.error_every,
        no_read=args.no_read,
        drop_after=args.drop_after,
    )


async def _serve(args: argparse.Namespace) -> int:
    from agent.clock import Clock
    from bench.platform import Platform
    from bench.received import Received

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    received = Received(args.db)
    try:
        on_packet = None if args.quiet else _printer(_as_json if args.json else _liner(args.full_vin), stop)
        clock = Clock(args.speed, args.epoch)
        platform = Platform(_policy(args), received, clock=clock, on_packet=on_packet, idle_s=args.idle)
        port = await platform.start(args.host, args.port)
        listening = json.dumps({"listening": [args.host, port]}) if args.json else f"listening {args.host} {port}"
        print(listening, flush=True)
        platform.failure.add_done_callback(lambda _: stop.set())
        await stop.wait()
        await platform.stop()
    finally:
        received.close()
    counted = " ".join(f"{name}={count}" for name, count in asdict(platform.counters).items() if count)
    print(f"kept in {args.db}: {counted or 'nothing came'}", file=sys.stderr)
    if platform.failure.done():
        raise platform.failure.result()
    return 0


def _printer(line: "Callable[[Arrival, int | None], str]", stop: asyncio.Event) -> "OnPacket":
    """Print `line` of each packet; whoever closes the pipe ends the platform."""

    def show(arrival: "Arrival", flag: int | None) -> None:
        try:
            print(line(arrival, flag), flush=True)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            stop.set()

    return show


def _liner(full_vin: bool) -> "Callable[[Arrival, int | None], str]":
    from bench.delivery import short_vin

    def line(arrival: "Arrival", flag: int | None) -> str:
        vin = arrival.vin if full_vin else short_vin(arrival.vin)
        response = arrival.packet.response
        shown = arrival.command if response == 0xFE else f"{arrival.command} answer {response:02X}"
        came = datetime.fromtimestamp(arrival.received_ms / 1000, BEIJING)
        parts = [f"{came:%H:%M:%S}.{arrival.received_ms % 1000:03d} {vin} {shown}", f"{len(arrival.packet.raw)} B"]
        if arrival.collected_at is not None:
            collected = datetime.fromtimestamp(arrival.collected_at, BEIJING)
            parts.append(f"of {collected:%Y-%m-%d %H:%M:%S}  {(arrival.late_ms or 0) / 1000:+.3f} s")
        if arrival.body_types:
            parts.append(f"bodies {bytes.fromhex(arrival.body_types).hex(' ')}")
        parts.append("no answer" if flag is None else f"answer {flag:02X} {_meaning(arrival, flag)}")
        if arrival.fault is not None:
            parts.append(f"FAULTY {arrival.fault}")
        return "  ".join(parts)

    return line


def _meaning(arrival: "Arrival", flag: int) -> str:
    edition = BY_START.get(arrival.packet.start)
    return "" if edition is None else edition.responses.get(flag, "")


def _iso(second: int) -> str:
    return datetime.fromtimestamp(second, BEIJING).isoformat()


def _as_json(arrival: "Arrival", flag: int | None) -> str:
    """One packet as a JSON line; the values inside are for `tbox decode` of `packet`."""
    return json.dumps(
        {
            "received_at": datetime.fromtimestamp(arrival.received_ms / 1000, UTC).isoformat(),
            "link": arrival.link,
            "vin": arrival.vin,
            "command": arrival.command,
            "response": arrival.packet.response,
            "collected_at": None if arrival.collected_at is None else _iso(arrival.collected_at),
            "part": arrival.part,
            "bodies": arrival.bodies,
            "size_bytes": len(arrival.packet.raw),
            "late_ms": arrival.late_ms,
            "answer": flag,
            "fault": arrival.fault,
            "packet": arrival.packet.raw.hex(),
        }
    )
