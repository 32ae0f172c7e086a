"""`tbox init`: a commented configuration and mapping to start from."""

import argparse
import os
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from agent.core.editions import DEFAULT_EDITION, EDITIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.core.edition import Edition
    from agent.core.field import Field, Layout

WIDTH = 64  # where the remarks begin
NAME = "init"
HELP = "write a commented configuration and mapping to start from"

CONFIG = """\
# Configuration of the terminal. `tbox check -c tbox.toml` says what is wrong, what is filled and what is not.

[vehicle]
vin = "LTBXTEST100000001"            # 17 characters
iccid = "00000000000000000000"       # 20 digits of the SIM card
edition = "{edition}"                     # of GB/T 32960
mapping = {mapping:<27}# or one that comes with the program, such as "shipped:tesla_model_s.toml"
{login}# hardware_version = "1.0"           # what parameters 07 and 08 answer, at most 5 characters
# firmware_version = "1.0"

[[can]]                              # one for each bus that the mapping reads
name = "pt"                          # as the mapping calls it
interface = "{interface}"{pad}# any of python-can's: socketcan, udp_multicast, slcan, pcan, kvaser, virtual, ...; or "log"
channel = "{channel}"
{bitrate}
# fd = true                          # CAN FD; with data_bitrate = 2000000 where the adapter has to be told
# listen_only = true                 # the terminal never sends on the bus; this keeps the adapter itself quiet too
#                                    # (of socketcan: `ip link ... listen-only on` does; `tbox interfaces` prints the line)
# bcm = true                         # false: socketcan by a receive thread, not by the kernel's Broadcast Manager

# [gnss]                             # a receiver beside the buses: the position, where the mapping has none
# device = "/dev/ttyACM0"            # baud rate found by listening; or gpsd = "localhost:2947"

# [modem]                            # reads the ICCID off the SIM card; vehicle.iccid is sent while it does not answer
# port = "/dev/ttyUSB2"              # where it takes AT commands; or manager = true, for ModemManager

[platform]
host = "127.0.0.1"
port = 32960
# tls = true                         # tls_ca = "ca.pem" where the authority is not one of the system's
# policy = "none"                    # "each": the platform answers every report, and only an answer proves one
# settle_s = 10                      # silence after TCP's acknowledgement that proves a report under "none"
# drain_per_s = 20                   # stored reports a second after an outage; 0: no limit
# allowed_platforms = ["b.example:32960"]   # where this platform may move the terminal, over TLS only

[report]
interval_s = 10                      # at most 30
# alarm_interval_ms = 1000           # around a grave alarm; less than 1000 counts as 1000
# storage_interval_ms = 10000        # if shorter than the reports: what is stored in between, and never sent
# silence_s = 60                     # buses silent for so long: switched off; 0: never

[outbox]
path = "tbox.db"
# keep_days = 7                      # after the platform has them
# max_mb = 512
# reissue_days = 7                   # older unsent reports expire

[log]
level = "info"

# [control]                          # what the platform may set and order beside its reports
# parameters = true                  # set parameters; `tbox params` shows what it set
# reset = ["/usr/sbin/reboot"]       # a program for each order, its whole path first, no shell; without one: refused
# power_off = ["/usr/sbin/poweroff"]
# alarm = ["/usr/local/bin/warn", "--", "{{level}}", "{{text}}"]
# upgrade = ["/usr/local/bin/install", "{{file}}", "{{version}}"]   # with a detached process of its own if it stops this one
# upgrade_key = "maker.pem"          # Ed25519 or SM2; `tbox-bench sign-upgrade` makes key, manifest and signature
# maker = "ABCD"                     # and vehicle.hardware_version: an upgrade names both
{security}"""

SECURITY = {
    "2016": """
# [security]                         # agreed with the platform; needs the extra "crypto"; more options: agent/security.py
# encryption = "aes"                 # or "rsa", with platform_key = "platform.pem"
# data_key = "data.key"              # (umask 077; openssl rand -hex 16 > data.key)
""",
    "2025": """
# [security]                         # agreed with the platform; needs the extra "crypto"; more options: agent/security.py
# sign = "sm2"                       # every report: sm2, rsa, ecc
# private_key = "car.key"            # tbox identity --new-key sm2 car.key
# chip_id = "CHIP0001"               # at most 16 characters
# activation = true                  # activate before the first login; `tbox identity` prints what to register before
# encryption = "sm4"                 # or "aes"; "sm2", "rsa" with platform_key = "platform.pem"
# data_key = "data.key"              # (umask 077; openssl rand -hex 16 > data.key)
""",
}


LOGIN = {
    "2016": """\
# codes = ["PACK0001"]               # codes of the rechargeable storage subsystems, all of one length
""",
    "2025": """\
packs = [1]                          # battery packs of each battery management system
codes = ["PACK00000000000000000001"] # one of 24 characters for each pack (GB/T 34014)
""",
}

MAPPING = """\
# Where each item of GB/T 32960 comes from. Uncomment what your car has, and its [section]:  item = "bus.Message.Signal"
# More than a signal:
#   {{ signal = "pt.BMS.Current", sign = -1 }}                             GB/T counts discharging positive
#   {{ signal = "pt.VCU.State", values = {{ 0 = "off", 1 = "started" }} }}   raw values to the words behind the item
#   {{ signal = "pt.BMS.Soc", not_available_raw = [255] }}                 also: abnormal_raw, factor, offset, unit
#   {{ constant = "electric" }}
#   {{ expression = "100 if pt.VCU.BrakeSwitch else 0" }}                  + - * / comparisons, and, or, not, min, max, abs
# A section stands for a body that the vehicle has: leave out the sections of what it does not have.
# Worked out where nothing is mapped: numbers and counts of lists, [extremes] from cells and probes (its heading is enough),
# a motor's state from torque and speed, the alarm level from the flags.

format = 1
name = "My car"
edition = "{edition}"

[dbc.pt]
files = ["{dbc}"]
lenient = {lenient}

# [messages."pt.MESSAGE"]
# timeout_ms = 1000
# alive_counter = "SIGNAL"
# checksum = {{ signal = "SIGNAL", kind = "crc8", polynomial = 0x1D, initial = 0xFF, xor_out = 0xFF }}
"""


USER = """\
# A body of your own, types 0x80 to 0xFE: its fields in order, big-endian; physical value = raw * factor + offset
# [[user.0x83.fields]]
# name = "coolant_temperature"
# type = "i16"                                                 # u8 u16 u32 i8 i16 i32
# unit = "degC"
# factor = 0.1
# source = "pt.Message.Signal"                                 # any value that other items take
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", default=".", metavar="FOLDER", help="where to write (default: here)")
    parser.add_argument("--dbc", metavar="FILE", help="your DBC file; without it the reference car is copied")
    parser.add_argument(
        "--edition", choices=sorted(EDITIONS), default=DEFAULT_EDITION, help="edition (default: %(default)s)"
    )
    parser.add_argument(
        "--interface",
        help="python-can interface (default: socketcan with --dbc, else udp_multicast as tbox-bench vehicle)",
    )
    parser.add_argument("--channel", help="its channel (default: fits the interface)")


def run(args: argparse.Namespace) -> int:
    folder = Path(args.folder)
    written = {"tbox.toml": _config(args)}
    copied: list[Path] = []
    if args.dbc:
        written["mapping.toml"] = _mapping(args.dbc, folder, EDITIONS[args.edition])
    else:
        from agent.config import dbc_folder

        copied = [dbc_folder() / "reference_ev.toml", dbc_folder() / "reference_ev.dbc"]
    there = [name for name in [*written, *(path.name for path in copied)] if (folder / name).exists()]
    if there:
        print(f"tbox init: already there, not touched: {', '.join(there)}; name another folder", file=sys.stderr)
        return 1
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in written.items():
            (folder / name).write_text(text, encoding="utf-8")
        for path in copied:
            shutil.copyfile(path, folder / path.name)
    except OSError as error:
        print(f"tbox init: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    for name in [*written, *(path.name for path in copied)]:
        print(folder / name)
    first = f"uncomment in {folder / 'mapping.toml'} what your car has, then: " if args.dbc else ""
    print(f"next: {first}tbox check -c {folder / 'tbox.toml'}", file=sys.stderr)
    return 0


def _config(args: argparse.Namespace) -> str:
    from agent.canbus.arguments import NO_BITRATE

    defaults = {
        "udp_multicast": "239.74.163.2",
        "socketcan": "can0",
        "virtual": "tbox",
        "slcan": "/dev/ttyACM0",
        "pcan": "PCAN_USBBUS1",
    }
    interface = args.interface or ("socketcan" if args.dbc else "udp_multicast")
    channel = args.channel or defaults.get(interface, "0")
    pad = " " * max(1, 23 - len(interface))
    mapping = "mapping.toml" if args.dbc else "reference_ev.toml"
    return CONFIG.format(
        edition=args.edition,
        login=LOGIN[args.edition],
        security=SECURITY[args.edition],
        mapping=f'"{mapping}"',
        interface=interface,
        bitrate="# bitrate = 500000" if interface in {*NO_BITRATE, "log"} else "bitrate = 500000",
        channel=channel,
        pad=pad,
    )


def _mapping(dbc: str, folder: Path, edition: "Edition") -> str:
    """Every item of every body as a commented line, then the signals of the DBC file to choose from."""
    from agent.errors import ConfigError
    from agent.labels import body
    from agent.mapping.dbcfile import load_dbc

    path = Path(dbc).resolve()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(dbc, [f"cannot be read: {error.strerror}"]) from error
    try:
        database, lenient = load_dbc(dbc, data, lenient=False), False
    except ConfigError:
        database, lenient = load_dbc(dbc, data, lenient=True), True
    shown = Path(os.path.relpath(path, folder.resolve())).as_posix()
    lines = [MAPPING.format(edition=edition.name, dbc=shown, lenient="true" if lenient else "false")]
    for layout in edition.bodies.values():
        lines.append(_remark(f"# [{layout.name}]", body(layout.name, "zh")))
        lines.extend(_items(layout, layout.name))
        lines.append("")
    lines.extend([*USER.splitlines(), ""])
    lines.append("# Signals of the DBC file: name, unit, range as it says")
    for message in database.messages:
        lines.append(f"#   {message.name} 0x{message.frame_id:X}")
        for signal in message.signals:
            page = f" page {signal.multiplexer_ids[0]}" if signal.multiplexer_ids else ""
            lines.append(f"#     {signal.name}{page} {signal.unit or ''} {signal.minimum}..{signal.maximum}".rstrip())
    return "\n".join(lines) + "\n"


def _items(layout: "Layout", table: str) -> "Iterator[str]":
    """One commented line per item that a mapping may fill."""
    from agent.core.field import Field, Items, Layout
    from agent.labels import label

    for row in layout.rows:
        if row.name == "general_levels":
            continue  # worked out from the flags
        if isinstance(row, Items) and isinstance(row.item, Layout):
            yield _remark(f"# [[{table}.{row.name}]]", "once for each; `repeat = 2` and {n} in names do it too")
            yield from _items(row.item, table)
        elif isinstance(row, Items):
            yield _line(
                row.name, '{ signal = "pt.Message.Signal{n}", count = 1 }', row.item, label(row.name, "zh", layout.name)
            )
        elif isinstance(row, Field):
            if row.flags:
                yield _remark(
                    f'# flags = {{ {row.flags[0]} = "pt.Message.Signal" }}', "on where it is not 0; there are:"
                )
                yield from textwrap.wrap(" ".join(row.flags), 116, initial_indent="#   ", subsequent_indent="#   ")
            elif row.name == "gear":
                yield '# gear = { gear = "pt.Message.Signal", driving_force = "...", braking_force = "..." }'
            elif row.name == "coordinate_system":
                yield _line(row.name, '{ constant = "wgs84" }', row, "unless mapped: wgs84, what receivers deliver")
            elif row.name == "status":
                yield _line("valid", '"pt.Message.Signal"', None, "0: no fix")
            else:
                yield _line(row.name, '"pt.Message.Signal"', row, label(row.name, "zh", layout.name))


def _line(name: str, source: str, row: object, chinese: str) -> str:
    from agent.core.field import Field

    limits = ""
    if isinstance(row, Field):
        limits = " ".join(str(word) for word in row.words.values()) if row.words else _range(row)
    return _remark(f"# {name} = {source}", f"{limits} {chinese}".strip())


def _remark(line: str, remark: str) -> str:
    return f"{line.ljust(WIDTH - 1)} # {remark}"


def _range(field: "Field") -> str:
    if field.sign is not None:
        return f"{-field.hi / field.per_unit:g}..{field.hi / field.per_unit:g} {field.unit}"
    low, high = (field.lo - field.offset) / field.per_unit, (field.hi - field.offset) / field.per_unit
    return f"{low:g}..{high:.10g} {field.unit}".rstrip()
