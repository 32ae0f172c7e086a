"""`tbox outbox stats|retry`: what became of every second sampled, and another try for refused rows."""

import argparse
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.beijing import BEIJING

NAME = "outbox"
HELP = "show what became of every second sampled; send refused rows again"

_FATES = (
    ("not due", "not_due"),
    ("pending", "pending"),
    ("sent live", "live"),
    ("sent late", "reissued"),
    ("refused", "refused"),
    ("expired", "expired"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "action", choices=["stats", "retry"], help="stats: the ledger; retry: refused rows are sent again"
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("-c", "--config", type=Path, metavar="FILE", help="configuration whose [outbox] path is meant")
    where.add_argument("--path", type=Path, metavar="FILE", help="the outbox file itself")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Do it beside a running agent, without its lock; OutboxError if the file cannot be used."""
    from agent import outbox_ledger
    from agent.config import load_config

    if args.path is None:
        config = load_config(args.config)
        args.path = config.path(config.outbox.path)
    with outbox_ledger.visit(args.path, write=args.action == "retry") as db:
        if args.action == "retry":
            result: dict[str, Any] = {"retried": outbox_ledger.retry_refused(db)}
            text = f"{result['retried']} refused rows will be sent again"
        else:
            result = outbox_ledger.read_stats(db)
            text = "\n".join(_lines(result))
    print(json.dumps(result) if args.json else text)
    return 0


def _lines(stats: dict[str, Any]) -> list[str]:
    total = stats["total"]
    lines = [f"seconds sampled  {total['sampled']:>10}"]
    lines += [f"  {name:<14} {total[key]:>10}" for name, key in _FATES]
    lines += [f"  lost: {reason:<8} {n:>10}" for reason, n in sorted(total["lost"].items())]
    if total["unaccounted"]:
        lines.append(f"  UNACCOUNTED    {total['unaccounted']:>10}")
    lines += [
        f"refused by the platform with response flag {flag}: {n}"
        for flag, n in sorted(stats["refused_by_flag"].items())
    ]
    if stats["oldest_pending"] is not None:
        lines.append(f"oldest pending row: {datetime.fromtimestamp(stats['oldest_pending'], BEIJING).isoformat()}")
    lines.append(f"boots: {len(stats['boots'])}; used: {stats['used_bytes'] / 1e6:.1f} MB")
    return lines
