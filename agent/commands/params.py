"""`tbox params`: the parameters of the terminal: default, configuration, what the platform set, and what is in force."""

import argparse
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.commands import print_json

if TYPE_CHECKING:
    from agent.config import Config
    from agent.platform.parameters import Parameters

NAME = "params"
HELP = "show the parameters: default, configured, set by the platform, in force"
_HEADINGS = {
    "en": ("id", "parameter", "unit", "default", "configured", "set by platform", "in force"),
    "zh": ("ID", "参数", "单位", "默认值", "配置文件", "平台设置", "生效值"),
}
# Where a configuration names a parameter.
KEYS = {
    0x01: ("report", "storage_interval_ms"),
    0x02: ("report", "interval_s"),
    0x03: ("report", "alarm_interval_ms"),
    0x04: ("platform", "host"),
    0x05: ("platform", "host"),
    0x06: ("platform", "port"),
    0x07: ("vehicle", "hardware_version"),
    0x08: ("vehicle", "firmware_version"),
    0x09: ("platform", "heartbeat_s"),
    0x0B: ("platform", "answer_timeout_s"),
    0x0C: ("platform", "login_wait_min"),
    0x0D: ("platform", "public_host"),
    0x0E: ("platform", "public_host"),
    0x0F: ("platform", "public_port"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="configuration (TOML)")
    parser.add_argument("--json", action="store_true", help="one JSON value: a list of parameters")


def run(args: argparse.Namespace) -> int:
    """Print them, beside a running agent too; OutboxError if its outbox cannot be read."""
    from agent.config import load_config
    from agent.texttable import print_table

    config = load_config(args.config)
    parameters = stored_parameters(config)
    rows = rows_of(parameters, tomllib.loads(Path(args.config).read_text(encoding="utf-8")))
    if args.json:
        print_json([row | {"name": _name(row["id"], row["name"], "en")} for row in rows])
        return 0
    print_table(
        _HEADINGS[args.lang],
        "lllrrrr",
        [
            (
                row["id"],
                _name(row["id"], row["name"], args.lang),
                row["unit"],
                *(_shown(row[column]) for column in ("default", "file", "platform", "in_force")),
            )
            for row in rows
        ],
    )
    if previous := parameters.previous():
        at = parameters.endpoint()
        print(f"{at.host}:{at.port} is on trial; back to {previous.host}:{previous.port} unless a login succeeds there")
    return 0


def stored_parameters(config: "Config") -> "Parameters":
    """The parameters as an agent with this configuration would have them now; OutboxError if its outbox cannot be read."""
    from agent import outbox_ledger
    from agent.core.editions import EDITIONS
    from agent.platform.parameters import KEY, Parameters

    path = config.path(config.outbox.path)
    stored = None
    if path.exists():
        with outbox_ledger.visit(path) as db:
            stored = outbox_ledger.read_meta(db, KEY)
    return Parameters(config, EDITIONS[config.vehicle.edition], None, stored)


def platform_remarks(config: "Config") -> list[str]:
    """What the platform set, beside what would be in force without it; for `tbox check`."""
    from agent.errors import OutboxError

    try:
        rows = rows_of(stored_parameters(config), {})
    except OutboxError as error:
        return [str(error)]
    return [
        f"parameter {row['id']} {_name(row['id'], row['name'], 'en')}{', ' * bool(row['unit'])}{row['unit']}: "
        f"the platform set {_shown(row['platform'])}, instead of {_shown(row['configured'])}"
        for row in rows
        if row["platform"] is not None
    ]


def rows_of(parameters: "Parameters", table: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a parameter; `file` is None where the configuration `table` does not name it, `configured` never is."""
    file = parameters.configured
    rows = []
    for number, row in parameters.edition.parameters.items():
        section, key = KEYS.get(number, ("", ""))
        configured = _plain(file.get(number))
        rows.append(
            {
                "id": f"{number:02X}",
                "name": "" if isinstance(row, int) else row.name,
                "unit": getattr(row, "unit", ""),
                "default": _plain(parameters.defaults.get(number)),
                "file": configured if key in table.get(section, {}) else None,
                "configured": configured,
                "platform": _plain(parameters.from_platform.get(number)),
                "in_force": _plain(parameters.get(number)),
            }
        )
    return rows


def _name(number: str, name: str, lang: str) -> str:
    from agent.labels import label

    return label(name or {"05": "domain", "0E": "public_domain"}[number], lang)


def _plain(value: int | bytes | None) -> int | str | None:
    """A value as a person reads it; a port that says "none" is None."""
    if isinstance(value, bytes):
        return value.rstrip(b"\0").decode("utf-8", "replace")
    return None if value == 0xFFFF else value


def _shown(value: int | str | None) -> str:
    return "-" if value is None or value == "" else str(value)
