"""`tbox replay`: recorded logs to the packets that would be sent."""

import argparse
import sys
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.canlog.reader import LogReader
    from agent.core.edition import Edition
    from agent.replay import Replay

NAME = "replay"
HELP = "turn recorded CAN logs into the packets that would be sent"
DEFAULT_START = "2020-01-01T00:00:00+08:00"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "logs", nargs="+", metavar="LOG", help="candump .log, ASC, BLF, TRC, MF4, CRTD or SavvyCAN GVRET CSV"
    )
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="configuration (TOML)")
    parser.add_argument("--json", action="store_true", help="packets as JSON, one a line, instead of hex")
    parser.add_argument(
        "--start", metavar="TIME", help=f"when a log without absolute time begins (default {DEFAULT_START})"
    )
    parser.add_argument(
        "--frame-ms", type=int, metavar="N", help="N ms from frame to frame in place of the log's stamps"
    )


def run(args: argparse.Namespace) -> int:
    import logging

    from agent.app import load_for
    from agent.canlog.reader import read_log
    from agent.config import load_config
    from agent.mapping.plan import rivalries, unseen
    from agent.replay import Replay, wanted_ids

    log = logging.getLogger("agent.replay")
    config = load_config(args.config)
    mapping = load_for(config, args.config)
    wanted = wanted_ids(mapping.plan)
    logs = [read_log(path, frame_ms=args.frame_ms, wanted=wanted) for path in args.logs]
    start_s = _start(args.start)
    if start_s is None:
        print(f"tbox replay: --start {args.start!r} is not a time; write it like {DEFAULT_START}", file=sys.stderr)
        return 2
    if not all(reader.absolute for reader in logs):
        log.warning("a log without absolute time begins at %s (change it with --start)", args.start or DEFAULT_START)
    channels = {bus.name: bus.channel for bus in config.can}
    replay = Replay(
        edition=mapping.edition,
        vin=config.vehicle.vin.encode(),
        plan=mapping.plan,
        logs=logs,
        buses=[(name, channels[name]) for name in mapping.buses],
        interval_s=config.report.interval_s,
        start_s=start_s,
    )
    editions = {mapping.edition_name: mapping.edition}
    _write(replay, logs, partial(_json, editions) if args.json else _hex)
    for reader in logs:
        for note in reader.clock_notes:
            log.warning("%s: clock: %s; --frame-ms N replaces the stamps", reader.path, note)
    if missing := unseen(mapping.plan, replay.latest.stamps):
        log.warning("not in the recording, sent as invalid: %s", ", ".join(missing))
    for text in rivalries(mapping.plan, replay.latest.rivals):
        log.warning("%s", text)
    counts = replay.counters
    latest = replay.latest
    print(
        f"frames={counts.frames} wanted={latest.kept} unknown_mux={latest.unknown_mux} short={latest.short} "
        f"seconds={counts.seconds} packets={counts.packets}",
        file=sys.stderr,
    )
    return 0 if counts.packets else 1


def _start(text: str | None) -> int | None:
    try:
        moment = datetime.fromisoformat(text or DEFAULT_START)
    except ValueError:
        return None
    return int(moment.timestamp()) if moment.tzinfo else None


def _write(replay: "Replay", logs: "list[LogReader]", form: "Callable[[bytes], str]") -> None:
    """Packets to stdout; a progress bar when somebody watches."""
    from agent.progress import progress_of

    with progress_of("replay", lambda: min(reader.progress for reader in logs)) as tick:
        for packet in replay:
            print(form(packet))
            tick()


def _json(editions: "dict[str, Edition]", packet: bytes) -> str:
    import json

    from agent.core.packet import Packet
    from agent.packetjson import packet_to_json

    return json.dumps(packet_to_json(Packet(packet), editions))


def _hex(packet: bytes) -> str:
    return packet.hex().upper()
