"""CAN interfaces of the kernel, from sysfs and from `ip -d -j -s link`, with the commands that set them up to listen."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.interfaces.found import Found, Machine, Rates, can_table, target_of, text_of

ARPHRD_CAN = "280"
IP_LINK = ["ip", "-d", "-j", "-s", "link"]
VIRTUAL = {"vcan": "virtual CAN inside this machine", "vxcan": "virtual CAN between two network namespaces"}
RESTART_MS = 100
# What drivers can do, where neither kernel nor ip tell (before 5.16): the others are asked for error reports.
NO_ERROR_REPORTS = frozenset(["mcp251x", "peak_usb", "kvaser_usb", "slcan"])
CAN_LISTEN, ERROR_REPORTS, CAN_FD = "LISTEN-ONLY", "BERR-REPORTING", "FD"
CAN_RESTART = "RESTART"  # no word of ip's, which does not say who can
NO_RESTART = frozenset(["slcan"])  # its adapter does by itself what it does; newer kernels refuse restart-ms for it
NOTHING_HEARD = ("errors and not one frame", "nothing heard so far")  # how the remarks on such an interface begin
_LOUD = ("ERROR-PASSIVE", "BUS-OFF", "ERROR-WARNING")


def socketcan_interfaces(machine: Machine, rates: Rates) -> list[Found]:
    """Every network interface that is a CAN bus."""
    details = _details(machine)
    found = []
    for folder in machine.listed("sys/class/net"):
        if text_of(folder / "type") == ARPHRD_CAN:
            try:
                found.append(_found(folder, details.get(folder.name, {}), rates))
            except (ValueError, TypeError, AttributeError, LookupError):  # an ip that says it in another way
                found.append(_found(folder, {}, rates))
    return found


def _details(machine: Machine) -> dict[str, dict[str, Any]]:
    """What `ip` says of CAN interfaces, by name; nothing when there is no ip, or one without JSON."""
    try:
        links = json.loads(machine.run(IP_LINK) or "[]")
        return {link["ifname"]: link for link in links if link.get("link_type") == "can"}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def _found(folder: Path, link: Mapping[str, Any], rates: Rates) -> Found:
    name, info = folder.name, link.get("linkinfo", {})
    kind = info.get("info_kind", "")
    data = info.get("info_data", {})
    # slcand's interface has no device behind it; its driver alone has no clock but a list of bitrates.
    driver = driver_of(folder) or ("slcan" if data.get("bitrate_const") and not data.get("clock") else "")
    up = "UP" in link.get("flags", []) if link else text_of(folder / "operstate") == "up"
    if kind in VIRTUAL or not (kind or driver):
        found = Found("socketcan", name, VIRTUAL.get(kind, "a CAN interface without hardware"), "up" if up else "down")
        commands = [] if up else [f"sudo ip link set {shlex.quote(name)} up"]
        return replace(found, toml=can_table(name, "socketcan", name, None), commands=commands)
    modes = data.get("ctrlmode", [])
    rates = _rates(data, rates)
    able = _able(data, driver, rates)
    return Found(
        "socketcan",
        name,
        _what(folder, driver, data),
        _state(up, data, modes),
        toml=can_table(name, "socketcan", name, rates, "its bitrate is that of `ip link`"),
        commands=setting_up(name, rates, able, up=up),
        files={f"/etc/systemd/network/80-{name}.network": network_file(name, rates, able)},
        remarks=_remarks(up, link, able, rates, driver),
    )


def driver_of(folder: Path) -> str:
    """Name of the driver behind a network interface, empty for one without a device."""
    link = folder / "device" / "driver"
    place = target_of(link)
    return place.name if place != link and place.exists() else ""


def _rates(data: Mapping[str, Any], rates: Rates) -> Rates:
    """The bitrates that the interface is set to; those asked for where it has none yet."""
    bitrate = _set(data, "bittiming") or rates.bitrate
    data_bitrate = _set(data, "data_bittiming") or rates.data_bitrate
    return Rates(bitrate, data_bitrate, CAN_FD in data.get("ctrlmode", []) or rates.fd)


def _set(data: Mapping[str, Any], what: str) -> int:
    """The bitrate that is set, 0 for none; of a driver with a list of bitrates ip says it under another name."""
    return data.get(what, {}).get("bitrate") or data.get(f"{what}_bitrate") or 0


def _able(data: Mapping[str, Any], driver: str, rates: Rates) -> set[str]:
    """Control modes that the interface has, by the words of ip."""
    if "ctrlmode_supported" in data:
        able = {*data["ctrlmode_supported"], *data.get("ctrlmode_static", [])}
    else:
        able = {CAN_LISTEN} if driver in NO_ERROR_REPORTS else {CAN_LISTEN, ERROR_REPORTS}
    if "data_bittiming_const" in data or (rates.fd and "ctrlmode_supported" not in data):
        able.add(CAN_FD)
    return able if driver in NO_RESTART else able | {CAN_RESTART}


def setting_up(name: str, rates: Rates, able: set[str], *, up: bool) -> list[str]:
    """Commands that bring an interface up to listen; one that is up has to go down first."""
    name = shlex.quote(name)
    words = f"sudo ip link set {name} up type can bitrate {rates.bitrate}"
    if rates.fd and CAN_FD in able:
        words += f" dbitrate {rates.data_bitrate} fd on"
    words += " listen-only on" if CAN_LISTEN in able else ""
    words += f" restart-ms {RESTART_MS}" if CAN_RESTART in able else ""
    words += " berr-reporting on" if ERROR_REPORTS in able else ""
    return [f"sudo ip link set {name} down"] * up + [words]


def network_file(name: str, rates: Rates, able: set[str]) -> str:
    """The same for systemd-networkd, which does it at every start and whenever the adapter is plugged in."""
    lines = ["[Match]", f"Name={name}", "", "[CAN]", f"BitRate={rates.bitrate}"]
    if rates.fd and CAN_FD in able:
        lines += [f"DataBitRate={rates.data_bitrate}", "FDMode=yes"]
    lines += ["ListenOnly=yes"] if CAN_LISTEN in able else []
    lines += [f"RestartSec={RESTART_MS}ms"] if CAN_RESTART in able else []
    lines += ["BusErrorReporting=yes"] if ERROR_REPORTS in able else []
    return "\n".join(lines) + "\n"


def _what(folder: Path, driver: str, data: Mapping[str, Any]) -> str:
    """The product where USB says one, else the controller, and where it is."""
    if driver == "slcan" and not (folder / "device").exists():
        return "serial adapter, attached by slcand"
    device = target_of(folder / "device")
    usb = " ".join(filter(None, (text_of(device.parent / "manufacturer"), text_of(device.parent / "product"))))
    chip = usb or data.get("bittiming_const", {}).get("name") or "CAN controller"
    return f"{chip} at {device.name}, driver {driver or 'unknown'}"


def _state(up: bool, data: Mapping[str, Any], modes: list[str]) -> str:
    if not up:
        return "down"
    parts = ["up"]
    if bitrate := _set(data, "bittiming"):
        parts.append(f"{bitrate} bit/s")
    if bitrate := _set(data, "data_bittiming"):
        parts.append(f"data {bitrate} bit/s")
    parts += [mode.lower() for mode in modes]
    return ", ".join([*parts, data["state"]] if "state" in data else parts)


def _remarks(up: bool, link: Mapping[str, Any], able: set[str], rates: Rates, driver: str) -> list[str]:
    remarks = []
    if CAN_LISTEN not in able:
        remarks.append("its driver cannot listen only: it acknowledges what it receives")
    if CAN_FD in able and not rates.fd:
        remarks.append("speaks CAN FD too: --fd prints the lines for it")
    if CAN_FD not in able and rates.fd:
        remarks.append("does not speak CAN FD: on a bus with FD frames it counts errors and hears nothing")
    return remarks + _heard(link, able, driver) if up and link else remarks


def _heard(link: Mapping[str, Any], able: set[str], driver: str) -> list[str]:
    """What the counters of an interface that is up say."""
    info = link.get("linkinfo", {})
    data, totals = info.get("info_data", {}), info.get("info_xstats", {})
    received = link.get("stats64", {}).get("rx", {})
    remarks = []
    if CAN_LISTEN in able and CAN_LISTEN not in data.get("ctrlmode", []):
        remarks.append("listen-only is off: it acknowledges frames and can disturb the bus; the command turns it on")
    if CAN_RESTART in able and not data.get("restart_ms"):
        remarks.append("restart-ms is 0: once it is bus-off it stays so; the command sets it")
    errors = data.get("berr_counter", {}).get("rx", 0) or totals.get("bus_error", 0)
    errors = errors or data.get("state") in _LOUD or received.get("errors", 0)
    if errors and not received.get("packets"):
        cause = " or the HAT's oscillator is declared wrong" if driver.startswith("mcp251") else ""
        remarks.append(f"{NOTHING_HEARD[0]}: the bitrate is wrong{cause}, or CAN-H and CAN-L are swapped")
    elif errors:
        remarks.append("errors and frames: termination (60 ohm between CAN-H and CAN-L), a loose wire, ground")
    elif not received.get("packets"):
        remarks.append(f"{NOTHING_HEARD[1]}: ignition, wiring, bitrate; `candump {link.get('ifname')}`")
        if driver == "mcp251x":
            remarks.append(
                "an MCP2515 that listens only counts no errors: a wrong bitrate or oscillator is silence too"
            )
    lost = received.get("dropped", 0) + received.get("over_errors", 0)
    return remarks + ([f"{lost} frames were lost between controller and programs"] if lost else [])
