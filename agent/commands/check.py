"""`tbox check`: every fault of configuration and mapping in one go; what will be reported and what will not."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.config import Config
    from agent.core.field import Layout
    from agent.coverage import Coverage
    from agent.mapping.plan import CompiledMapping, Item

NAME = "check"
HELP = "name every fault of a configuration and its mapping; show which items are filled, from where"
MB = 1_000_000
_TITLE = {"en": "{name}: items of GB/T 32960.3-{edition}", "zh": "{name}：GB/T 32960.3-{edition} 的数据项"}
_HEADINGS = {
    "en": ("item", "", "from", "sent when unknown"),
    "zh": ("数据项", "", "来源", "未知时发送"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="configuration (TOML)")
    parser.add_argument("--json", action="store_true", help="the same as one JSON object")


def run(args: argparse.Namespace) -> int:
    from agent.app import load_for
    from agent.attached.junction import describe as describe_attached
    from agent.canbus.arguments import settings_fault
    from agent.canbus.pythoncan import interface_fault
    from agent.clock import Clock
    from agent.commands.params import platform_remarks
    from agent.config import load_config, vin_warning
    from agent.coverage import coverage_of
    from agent.errors import ConfigError
    from agent.seal import open_seal
    from agent.security import describe

    try:
        config = load_config(args.config)
    except ConfigError as error:
        raise ConfigError(args.config, error.faults + _mapping_faults(args.config)) from None
    said_of_buses = [(bus.name, interface_fault(bus.interface) or settings_fault(bus)) for bus in config.can]
    faults = [f"can.{name}: {fault}" for name, fault in said_of_buses if fault]
    faults += _outbox_faults(config) + _key_faults(config)
    try:
        mapping = load_for(config, args.config)
    except ConfigError as error:
        if not faults:
            raise
        others = [fault if error.file == args.config else f"in {error.file}: {fault}" for fault in error.faults]
        raise ConfigError(args.config, faults + others) from None
    if faults:
        raise ConfigError(args.config, faults)
    seal = open_seal(config.security, config.path("."), lambda: 0).seal
    coverage = coverage_of(mapping, config.report.interval_s, seal)
    said = (
        vin_warning(config.vehicle.vin),
        _address_warning(config),
        _packs_warning(config, mapping),
        _tls_warning(config),
        *_listen_warnings(config, mapping),
    )
    attached = describe_attached(config, mapping.items, Clock())
    warnings = [text for text in said if text] + attached.warnings + mapping.warnings
    warnings += platform_remarks(config)
    if args.json:
        security = dict(describe(config.security))
        more = {"security": security, "buses": _buses(config, mapping), **dict(attached.lines)}
        print(json.dumps(_as_dict(mapping, coverage, warnings) | more, ensure_ascii=False))
    else:
        _print(mapping, coverage, warnings, args.lang)
        _print_buses(config, mapping)
        for name, value in attached.lines:
            print(f"{name}: {value}")
        _print_security(config)
    return 0


def _mapping_faults(path: str) -> list[str]:
    """Faults of the mapping of a configuration that is itself faulty, as far as its name can be read."""
    from agent.config import dbc_folder
    from agent.core.editions import DEFAULT_EDITION, EDITIONS
    from agent.errors import ConfigError
    from agent.signalmap import load_mapping
    from agent.tomlfile import parse_toml, read_regular

    try:
        document = parse_toml(path, read_regular(Path(path)).decode())
        vehicle = document["vehicle"]
        edition = str(vehicle.get("edition", DEFAULT_EDITION))
        if edition not in EDITIONS:
            return []  # named already, and decides what is right in a mapping
        kind, _, name = vehicle["mapping"].partition(":")
        place = dbc_folder() / name if kind == "shipped" else Path(path).parent / vehicle["mapping"]
        gnss = document.get("gnss")
        load_mapping(place, edition, gnss=str(gnss.get("name", "gnss")) if isinstance(gnss, dict) else None)
    except ConfigError as error:
        return [f"in {error.file}: {fault}" for fault in error.faults if error.file != path]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []  # named already: the configuration does not say which mapping
    return []


def _key_faults(config: "Config") -> list[str]:
    """Keys and certificates that cannot be used."""
    from ssl import SSLError

    from agent.crypto.maker import load_public_key
    from agent.errors import AgentError, ConfigError
    from agent.links.tcp import tls_context
    from agent.seal import open_seal

    faults = []
    try:
        open_seal(config.security, config.path("."), lambda: 0)
    except ConfigError as error:
        faults += error.faults
    if config.platform.tls and config.platform.tls_ca:
        try:
            tls_context(str(config.path(config.platform.tls_ca)))
        except OSError as error:  # ssl.SSLError is one
            reason = "holds no PEM certificate" if isinstance(error, SSLError) else error.strerror
            faults.append(f"platform.tls_ca = {config.platform.tls_ca!r}: {reason}")
    if config.control.upgrade:
        try:
            load_public_key(config.path(config.control.upgrade_key))
        except AgentError as error:
            faults.append(f"control.upgrade_key: {error}")
    return faults


def _outbox_faults(config: "Config") -> list[str]:
    import os

    path = config.path(config.outbox.path)
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if path.exists() and not os.access(path, os.W_OK):
        return [f"outbox.path = {config.outbox.path!r}: {path} cannot be written by this user"]
    if not folder.is_dir():
        return [f"outbox.path = {config.outbox.path!r}: {folder} is not a folder"]
    if not os.access(folder, os.W_OK):
        return [f"outbox.path = {config.outbox.path!r}: nothing can be created in {folder} by this user"]
    return []


def _address_warning(config: "Config") -> str | None:
    from agent.config import NO_ICCID

    if config.vehicle.iccid == NO_ICCID and config.modem is None:
        return "vehicle.iccid: is all zeros; put the 20 digits of the SIM card there"
    return None


def _packs_warning(config: "Config", mapping: "CompiledMapping") -> str | None:
    """Platforms hold the packs of the login against those of the reports (2025)."""
    counted = sum(config.vehicle.packs)
    reported = sum(item.body == "unit_voltages" and item.path.endswith(".number") for item in mapping.items)
    if counted == reported or not reported:
        return None
    return f"vehicle.packs: {counted} packs at login, {reported} in the mapping's [unit_voltages]"


def _tls_warning(config: "Config") -> str | None:
    """Options that mean nothing on a link that is not TLS."""
    platform = config.platform
    idle = [name for name in ("tls_ca", "allowed_platforms") if getattr(platform, name)]
    if platform.tls or not idle:
        return None
    return f"{' and '.join(f'platform.{name}' for name in idle)}: without effect, the link is not TLS; tls = true makes it so"


def _listen_warnings(config: "Config", mapping: "CompiledMapping") -> "Iterator[str]":
    """Interfaces that disturb the bus although only listening was asked for."""
    from agent.canbus.link import Place

    for bus in config.can:
        place = Place(bus)
        if bus.listen_only and bus.name in mapping.buses and (text := place.acknowledges(place.link())):
            yield f"can.{bus.name}: {text}"


def _buses(config: "Config", mapping: "CompiledMapping") -> list[dict[str, str]]:
    """How each bus will be heard on this machine."""
    from agent.canbus.choice import described
    from agent.core.frames import LatestFrames

    latest = LatestFrames(mapping.plan)
    rows = []
    for bus in config.can:
        path, text = "none", "not opened, the mapping reads nothing from it"
        if bus.name in mapping.buses:
            path, text = described(bus, mapping.buses.index(bus.name), latest)
        rows.append({"name": bus.name, "path": path, "how": text})
    return rows


def _print_buses(config: "Config", mapping: "CompiledMapping") -> None:
    rows = _buses(config, mapping)
    width = max(len(row["name"]) for row in rows)
    print("\nbuses")
    for row in rows:
        print(f"  {row['name']:{width}}  {row['how']}")


def _print_security(config: "Config") -> None:
    """What is agreed with the platform beyond the standard, as far as it is in use."""
    from agent.security import describe

    lines = describe(config.security)
    width = max(len(name) for name, _ in lines)
    print("\nsecurity")
    for name, value in lines:
        print(f"  {name:{width}}  {value}")


def _as_dict(mapping: "CompiledMapping", coverage: "Coverage", warnings: list[str]) -> dict[str, object]:
    from dataclasses import asdict

    import msgspec

    items = [asdict(item) for item in mapping.items]
    return {"mapping": mapping.name, "items": items, "warnings": warnings, **msgspec.to_builtins(coverage)}


def _print(mapping: "CompiledMapping", coverage: "Coverage", warnings: list[str], lang: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from agent.labels import body
    from agent.texttable import show_table

    edition = mapping.edition
    layouts = {layout.name: layout for layout in edition.bodies.values()}
    layouts |= {f"user.0x{type_id:X}": layout for type_id, layout in edition.declared.items()}
    table = Table(box=None, pad_edge=False)
    for head in _HEADINGS[lang]:
        table.add_column(head, overflow="fold")
    section = ""
    for item in mapping.items:
        if item.body != section:
            section = item.body
            chinese = body(section.partition(".")[0], lang) if lang == "zh" else ""
            table.add_row(f"[bold]{section}[/] {chinese}")
        table.add_row(f"  {_name(item, layouts[section], lang)}", _mark(item), _source(item), item.unknown)
    console = Console(highlight=False)
    console.print(_TITLE[lang].format(name=mapping.name, edition=edition.name), markup=False)
    show_table(console, table)
    console.print()
    absent = [name for name in edition.body_types if name not in {item.body for item in mapping.items}]
    for line in [*_summary(coverage, absent), *(f"warning: {warning}" for warning in warnings)]:
        console.print(line, markup=False, soft_wrap=not sys.stdout.isatty())


def _name(item: "Item", layout: "Layout", lang: str) -> str:
    """What stands behind the section in the mapping, and its Chinese name."""
    from rich.markup import escape

    path = item.path.removeprefix(f"{item.body}.")
    chinese = f" {_chinese(layout, path.split('.')[-1])}" if lang == "zh" else ""
    return escape(path) + chinese


def _chinese(layout: "Layout", name: str) -> str:
    """The standard's name of a field of a body or of one entry of its list."""
    from agent.core.field import Items, Layout
    from agent.labels import label

    tables = [layout, *(row.item for row in layout.rows if isinstance(row, Items) and isinstance(row.item, Layout))]
    table = next((table for table in tables if any(row.name == name for row in table.rows)), layout)
    return label(name, "zh", table.name)


def _mark(item: "Item") -> str:
    if item.kind != "absent":
        return "[green]ok[/]"
    return "[red]MISSING[/]" if item.spoils else "[yellow]missing[/]"


def _source(item: "Item") -> str:
    from rich.markup import escape

    if item.kind == "absent":
        return "-"
    source = item.source if item.kind == "signal" else f"{item.kind} {item.source}"
    return escape(f"{source}, {item.conversion}" if item.conversion else source)


def _summary(coverage: "Coverage", absent: list[str]) -> list[str]:
    packets = len(coverage.packet_bytes)
    lines = [
        f"{coverage.filled} of {coverage.applicable} applicable items of the platform's tables are filled "
        f"(a reserved one counts as filled); {coverage.invalid_share:.1%} of the values of a report will be invalid",
        f"{packets} {'packet' if packets == 1 else 'packets'} of {' + '.join(map(str, coverage.packet_bytes))} bytes a report; "
        f"a month: {coverage.packets_month:,} packets, {coverage.payload_month / MB:.1f} MB "
        f"({coverage.traffic_month / MB:.1f} MB with TCP/IP)",
    ]
    if coverage.spoiling:
        lines.append(
            f"MISSING: nothing is mapped, and each of these alone makes every record count as null: "
            f"{', '.join(coverage.spoiling)}"
        )
    if coverage.standing_in:
        lines.append(
            f"missing: no invalid value exists for these, and so will be sent: {', '.join(coverage.standing_in)}"
        )
    if absent:
        lines.append(f"not reported, the mapping has no section for it: {', '.join(absent)}")
    return lines
