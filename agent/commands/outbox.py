"""`tbox outbox stats|retry`: what became of every second sampled, and another try for refused rows."""

import argparse
import json
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

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
    """Do it beside a running agent, without its lock: 0 done, 1 if the outbox cannot be read, 2 for a wrong file."""
    from agent import outbox_ledger
    from agent.errors import ConfigError, OutboxError

    try:
        path: Path = args.path or _configured_path(args.config)
        with outbox_ledger.visit(path, write=args.action == "retry") as db:
            if args.action == "retry":
                result: dict[str, Any] = {"retried": outbox_ledger.retry_refused(db)}
            else:
                result = outbox_ledger.read_stats(db)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except OutboxError as error:
        print(error, file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(result))
    elif args.action == "retry":
        print(f"{result['retried']} refused rows will be sent again")
    else:
        print("\n".join(_lines(result)))
    return 0


def _configured_path(config: Path) -> Path:
    """Give `[outbox] path`; a relative one is relative to the configuration file."""
    from agent.errors import ConfigError

    try:
        path = tomllib.loads(config.read_text(encoding="utf-8"))["outbox"]["path"]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(str(config), [str(error)]) from error
    except (KeyError, TypeError) as error:
        raise ConfigError(str(config), ["[outbox] path is missing: give the file, or use --path"]) from error
    return config.parent / str(path)


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
        oldest = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(stats["oldest_pending"]))
        lines.append(f"oldest pending row: {oldest}")
    lines.append(f"boots: {len(stats['boots'])}; used: {stats['used_bytes'] / 1e6:.1f} MB")
    return lines
