"""`tbox-bench platform`: a platform that examines, answers and keeps what terminals send; and the verdict on it."""

import argparse
import asyncio
import json
import logging
import sys

from agent.core.editions import DEFAULT_EDITION, EDITIONS
from agent.core.packet import VIN_SIZE
from agent.errors import AgentError, ConfigError
from bench.answers import ERRORS, KEY_FAULTS, POLICIES, REFUSALS

NAME = "platform"
HELP = "a GB/T 32960 platform: listen, examine, answer by policy, keep what came in"
DEFAULT_PORT = 32960
DEFAULT_DB = "platform.sqlite"
POLICY_TEXT = (
    "annex-b: answer all but good reports. each: answer every packet with its time. long: answer every packet with the"
    " platform's time and the rest of the unit, where its edition has that. echo: the same in both editions. empty: answer"
    " every packet without a unit. silent: never answer."
    " The options below it are faults."
)
ACCESS_TEXT = (
    "A login is answered 03 (VIN duplicate) for the ICCID of another terminal, 04 (VIN unknown) for a vehicle that is not"
    " registered; an edition without that flag is not answered."
)
COMMANDS_TEXT = (
    "A JSON line is a packet as tbox encode reads it; what is left out is filled in: edition, response, vin (every vehicle),"
    ' collected_at. "on": "login" or "report" says what it waits for, "after_s" how long after that. One command at a time'
    " is under way to a vehicle. Without an answer it goes out again, at most three times."
)
KEYS_TEXT = "What comes signed is checked with the public key of the registry; what is not signed right is answered 05."
FORWARD_TEXT = (
    "Logins, reports and logouts of vehicles go up as they came; what came encrypted goes up opened. Proof is the answer; what"
    " could not be sent goes up later, from the file, over restarts."
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
    add("--tls", metavar="CERTIFICATE:KEY", help="speak TLS, with these PEM files")
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
    add("--error-flag", type=_error, default=2, metavar="FLAG", help="which error, 02 to 07 (default 02)")
    add("--no-read", action="store_true", help="accept links and never read them")
    add("--drop-after", type=_count, default=0, metavar="N", help="break a link after its packet N, without an answer")
    add("--unasked", action="store_true", help="behind each answer one to a report that was never sent")
    add("--wrong-vin", action="store_true", help="answer with the VIN of another vehicle")
    add("--wrong-edition", action="store_true", help="answer with the start mark of the other edition")
    add("--huge", action="store_true", help="answer with a data unit of 65,531 bytes FF")
    add("--clock-offset", type=int, default=0, metavar="S", help="the platform's clock is wrong by S seconds")
    _add_access(parser)
    _add_commands(parser)
    _add_keys(parser)
    _add_forwarding(parser)
    add = parser.add_argument_group("output").add_argument
    add("--json", action="store_true", help="JSON lines; the packet itself in hex")
    add("--quiet", action="store_true", help="no line for each packet")
    add("--full-vin", action="store_true", help="show the whole VIN")
    add = parser.add_argument_group("verdict", "What its rows mean: tbox-bench demo --help.").add_argument
    add("--verdict", metavar="DB", help="judge the delivery of the reports in DB instead of listening")
    add("--vin", help="judge this vehicle only")
    add("--period", type=_period, default=10, metavar="S", help="report period in seconds (default %(default)s)")
    add("--expected", metavar="FILE", help="collection times that must be there, a Unix second a line")


def _add_access(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("who may come in", ACCESS_TEXT).add_argument
    add("--vins", metavar="FILE", help="registered vehicles, a VIN a line (default: those of --registry, else all)")
    add("--registry", metavar="FILE", help="registered terminals, JSON lines as tbox identity --json prints them")
    add(
        "--login",
        type=_login,
        metavar="USER:PASSWORD",
        help="demand platform login (05) for several vehicles on a link",
    )
    add(
        "--refuse-duplicates",
        action="store_true",
        help="a vehicle that is logged in elsewhere is answered 03 (default: its old link is closed)",
    )


def _add_commands(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("commands to the vehicles", COMMANDS_TEXT).add_argument
    add("--send", metavar="FILE|-", help="commands as JSON lines; -: standard input, played as they come")
    add(
        "--ask",
        action="append",
        default=[],
        metavar="TEXT",
        help="'query 1 2 3', 'set 2=5', 'control 5': to every vehicle after its login; may be given again",
    )
    add(
        "--answer-timeout",
        type=_seconds,
        default=60,
        metavar="S",
        help="send again what is not answered in S seconds; controls: 60 (default %(default)s)",
    )


def _add_keys(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("keys", KEYS_TEXT).add_argument
    add("--security", metavar="FILE", help="TOML with the [security] options of the terminals")
    add("--private-key", metavar="FILE", help="opens what comes encrypted with RSA or SM2 (PEM)")
    add("--data-key", metavar="FILE", help="opens what comes encrypted with AES or SM4 (32 hex digits)")
    add("--key-exchange", choices=("aes", "sm4"), help="give every vehicle a new data key (0B) after its login")
    add("--key-fault", choices=KEY_FAULTS, default="", help="what is wrong with that key")
    add("--encrypt-commands", action="store_true", help="commands of --send and --ask go out encrypted")


def _add_forwarding(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("forwarding", FORWARD_TEXT).add_argument
    add("--forward", type=_address, metavar="HOST:PORT", help="send what comes to the platform above")
    add("--as", dest="as_client", type=_login, metavar="USER:PASSWORD", help="who logs in there (05)")
    add("--unique-id", type=_unique_id, default=b"TBOXBENCHPLATFORM", metavar="ID", help="17 characters of the login")
    add(
        "--forward-edition",
        choices=sorted(EDITIONS),
        default=DEFAULT_EDITION,
        help="of the login (default %(default)s)",
    )
    add(
        "--forward-late",
        type=_seconds,
        default=10,
        metavar="S",
        help="a report that waited longer goes up as reissue (default %(default)s)",
    )


def _flag(text: str) -> int:
    flag = int(text, 16)
    if flag not in REFUSALS:
        raise argparse.ArgumentTypeError(f"{text} is not 02 (error) or 03 (VIN duplicate)")
    return flag


def _error(text: str) -> int:
    flag = int(text, 16)
    if flag not in ERRORS:
        raise argparse.ArgumentTypeError(f"{text} is not in 02..07")
    return flag


def _login(text: str) -> tuple[bytes, bytes]:
    from bench.access import read_login

    try:
        return read_login(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not HOST:PORT with a port in 1..65535")
    return host.strip("[]"), int(port)


def _unique_id(text: str) -> bytes:
    if len(text) != VIN_SIZE or not text.isascii():
        raise argparse.ArgumentTypeError(f"{text} has {len(text)} characters, {VIN_SIZE} are needed")
    return text.encode()


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
        from bench.platformrun import serve

        return asyncio.run(serve(args))
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
