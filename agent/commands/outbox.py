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
    ("not due", "无需上报", "not_due"),
    ("pending", "待发", "pending"),
    ("sent live", "实时送达", "live"),
    ("reissued", "补发送达", "reissued"),
    ("refused", "被拒", "refused"),
    ("expired", "过期", "expired"),
)
_TEXTS = {
    "en": {
        "retried": "{} refused rows will be sent again",
        "sampled": "seconds sampled",
        "lost": "lost: {}",
        "unaccounted": "UNACCOUNTED",
        "refused": "refused by the platform with response flag {}: {}",
        "kept": "rows stored and never sent: {}",
        "oldest": "oldest pending row: {}",
        "boots": "boots: {}; used: {:.1f} MB",
    },
    "zh": {
        "retried": "将重发{}条被拒的数据",
        "sampled": "采样秒数",
        "lost": "丢失: {}",
        "unaccounted": "去向不明",
        "refused": "被平台以应答标志{}拒绝: {}",
        "kept": "只存储不上报的条数: {}",
        "oldest": "最早的待发数据: {}",
        "boots": "启动次数: {}; 占用: {:.1f} MB",
    },
}
_WIDTH = 16  # columns of a terminal before the figures; a Chinese character takes two


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
            text = _TEXTS[args.lang]["retried"].format(result["retried"])
        else:
            result = outbox_ledger.read_stats(db)
            text = "\n".join(_lines(result, args.lang))
    print(json.dumps(result) if args.json else text)
    return 0


def _lines(stats: dict[str, Any], lang: str) -> list[str]:
    total, texts = stats["total"], _TEXTS[lang]
    lines = [_line(texts["sampled"], total["sampled"])]
    lines += [_line(f"  {zh if lang == 'zh' else en}", total[key]) for en, zh, key in _FATES]
    lines += [_line(f"  {texts['lost'].format(reason)}", n) for reason, n in sorted(total["lost"].items())]
    if total["unaccounted"]:
        lines.append(_line(f"  {texts['unaccounted']}", total["unaccounted"]))
    lines += [texts["refused"].format(flag, n) for flag, n in sorted(stats["refused_by_flag"].items())]
    if stats["kept_rows"]:
        lines.append(texts["kept"].format(stats["kept_rows"]))
    if stats["oldest_pending"] is not None:
        oldest = datetime.fromtimestamp(stats["oldest_pending"], BEIJING)
        lines.append(texts["oldest"].format(oldest.isoformat()))
    lines.append(texts["boots"].format(len(stats["boots"]), stats["used_bytes"] / 1e6))
    return lines


def _line(name: str, count: int) -> str:
    shown = len(name) + sum(letter > "\u2e7f" for letter in name)
    return f"{name}{' ' * (_WIDTH - shown)} {count:>10}"
