"""What hangs on USB and on serial ports, by the numbers that USB devices carry, read from sysfs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from agent.interfaces.found import Found, Machine, Rates, can_table, quoted, target_of, text_of

ANY = -1
# (vendor, product): kind, name, whether such a number is nothing else.
KNOWN: dict[tuple[int, int], tuple[str, str, bool]] = {
    (0x16D0, 0x117E): ("slcan", "CANable 2 with slcan firmware", True),
    (0xAD50, 0x60C4): ("slcan", "CANable or CANtact with slcan firmware", True),
    (0x0403, 0xFFA8): ("slcan", "Lawicel CANUSB", True),
    (0x0403, 0x9F80): ("slcan", "CANdapter", False),
    (0x1D50, 0x60C7): ("slcan", "Zubax Babel", False),
    (0x0483, 0x5740): ("slcan", "STM32 virtual port: an slcan adapter of one's own making", False),
    (0x0403, 0x6001): ("slcan", "FTDI converter: Lawicel CANUSB, another slcan adapter, a GNSS receiver", False),
    (0x0403, 0x6015): ("slcan", "FTDI converter: an slcan adapter, a GNSS receiver", False),
    (0x1A86, 0x7523): ("slcan", "CH340 converter: an slcan adapter, a GNSS receiver", False),
    (0x10C4, 0xEA60): ("slcan", "CP210x converter: an slcan adapter, a GNSS receiver", False),
    (0x1546, ANY): ("gnss", "u-blox GNSS receiver", True),
    (0x067B, 0x2303): ("gnss", "Prolific converter: a GNSS receiver", False),
    (0x2C7C, ANY): ("modem", "Quectel modem", True),
    (0x1E0E, ANY): ("modem", "SIMCom modem", True),
}
MODEM_PORTS = {
    1: "gnss",
    2: "modem",
}  # what Quectel's and SIMCom's USB interfaces are; the others are for diagnosis and data

GS_USB = ("gs_usb", "gs_usb", "0")
PEAK = ("peak_usb", "pcan", "PCAN_USBBUS1")
KVASER = ("kvaser_usb", "kvaser", "0")
# (vendor, product): driver of the kernel; python-can's interface and its first channel, which need the maker's library; name.
DRIVERS: dict[tuple[int, int], tuple[tuple[str, str, str], str]] = {
    (0x1D50, 0x606F): (GS_USB, "candleLight, CANable, USB2CAN and others"),
    (0x1209, 0x2323): (GS_USB, "candleLight"),
    (0x1209, 0xCA01): (GS_USB, "CANnectivity"),
    (0x1CD2, 0x606F): (GS_USB, "CES CANext FD"),
    (0x16D0, 0x10B8): (GS_USB, "ABE CANdebugger FD"),
    (0x16D0, 0x0F30): (GS_USB, "Xylanta SAINT3"),
    (0x0C72, 0x000C): (PEAK, "PCAN-USB"),
    (0x0C72, 0x000D): (PEAK, "PCAN-USB Pro"),
    (0x0C72, 0x0011): (PEAK, "PCAN-USB Pro FD"),
    (0x0C72, 0x0012): (PEAK, "PCAN-USB FD"),
    (0x0C72, 0x0013): (PEAK, "PCAN-Chip USB"),
    (0x0C72, 0x0014): (PEAK, "PCAN-USB X6"),
    (0x0C72, ANY): (PEAK, "a PEAK device"),
    (0x0BFD, ANY): (KVASER, "a Kvaser device"),
}


@dataclass(frozen=True)
class Port:
    """A serial port on USB; `number` is that of the USB interface within the device."""

    name: str
    ids: tuple[int, int]
    number: int
    product: str


def serial_devices(machine: Machine, rates: Rates) -> list[Found]:
    """Adapters, receivers and modems on serial ports, as far as their numbers are known."""
    found = []
    for port in serial_ports(machine):
        kind, name, sure = _known(port)
        if kind:
            found.append(_found_port(machine, port, (kind, name, sure), rates))
    return found


def serial_ports(machine: Machine) -> Iterator[Port]:
    """Serial ports that are USB devices."""
    for tty in machine.listed("sys/class/tty"):
        interface = target_of(tty / "device")
        if interface.name == tty.name:  # a converter's port has a device of its own below the USB interface
            interface = interface.parent
        ids = usb_ids(interface.parent)
        if ids is not None:
            product = " ".join(filter(None, (text_of(interface.parent / name) for name in ("manufacturer", "product"))))
            yield Port(tty.name, ids, _hexadecimal(text_of(interface / "bInterfaceNumber")) or 0, product)


def usb_ids(device: Path) -> tuple[int, int] | None:
    """Vendor and product of a USB device's folder in sysfs."""
    vendor, product = (_hexadecimal(text_of(device / name)) for name in ("idVendor", "idProduct"))
    return None if vendor is None or product is None else (vendor, product)


def _hexadecimal(text: str) -> int | None:
    return int(text, 16) if re.fullmatch("[0-9A-Fa-f]{1,4}", text) else None


def _known(port: Port) -> tuple[str, str, bool]:
    """Kind, name and certainty; an empty kind for what nobody knows, or what is not for us."""
    kind, name, sure = KNOWN.get(port.ids) or KNOWN.get((port.ids[0], ANY)) or ("", "", False)
    if kind == "modem":
        use = MODEM_PORTS.get(port.number, "")
        return use, f"{name}{', its GNSS receiver' if use == 'gnss' else ''}", use == "modem"
    if any(word in port.product.lower() for word in ("slcan", "canable", "cantact")):
        return "slcan", port.product, True
    if any(word in port.product.lower() for word in ("gnss", "gps")):
        return "gnss", port.product, True
    return kind, name, sure


def _found_port(machine: Machine, port: Port, known: tuple[str, str, bool], rates: Rates) -> Found:
    kind, name, sure = known
    channel = stable_name(machine, port.name)
    product = f" ({port.product})" if port.product and port.product != name else ""
    what = f"{'' if sure else 'may be: '}{name}{product}, {port.ids[0]:04x}:{port.ids[1]:04x}"
    remarks = []
    if not machine.may_open(machine.path(f"dev/{port.name}")):
        remarks.append("this user may not open it: `sudo usermod -aG dialout $USER`, then log out and in again")
    if kind == "slcan":
        toml = can_table(f"can_{port.name}", "slcan", channel, rates)
        remarks += ["data bitrates of slcan are 2000000 and 5000000"] if rates.fd else []
        remarks += [] if find_spec("serial") else ["needs the extra serial: pip install 'tbox-agent[serial]'"]
    else:
        toml = f"[gnss]\ndevice = {quoted(channel)}\n" if kind == "gnss" else f"[modem]\nport = {quoted(channel)}\n"
    return Found(kind, channel, what, f"/dev/{port.name}", sure=sure, toml=toml, remarks=remarks)


def stable_name(machine: Machine, tty: str) -> str:
    """The name of a port that stays the same when others are plugged in."""
    for link in machine.listed("dev/serial/by-id"):
        if link.is_symlink() and link.readlink().name == tty:
            return f"/dev/serial/by-id/{link.name}"
    return f"/dev/{tty}"


def usb_adapters(machine: Machine, rates: Rates) -> list[Found]:
    """Adapters that no driver of the kernel has made a CAN interface of."""
    found = []
    for device in machine.listed("sys/bus/usb/devices"):
        ids = usb_ids(device)
        known = DRIVERS.get(ids) or DRIVERS.get((ids[0], ANY)) if ids else None
        if ids is None or known is None or list(target_of(device).glob("*/net/*")):
            continue
        (driver, interface, channel), name = known
        product = " ".join(filter(None, (text_of(device / "manufacturer"), text_of(device / "product"))))
        what = f"{product or name}, {ids[0]:04x}:{ids[1]:04x}"
        lines = can_table(f"usb_{device.name.replace('-', '_').replace('.', '_')}", interface, channel, rates)
        remarks = [
            f"`sudo modprobe {driver}` makes it an interface of the kernel; then ask again: those can listen only",
            f"the lines are for python-can's {interface}, which needs {_library(interface)}",
        ]
        if interface == "gs_usb":
            remarks.append("python-can cannot make gs_usb listen only, and it has no CAN FD there")
            lines = can_table(
                f"usb_{device.name.replace('-', '_').replace('.', '_')}", interface, channel, _classic(rates)
            )
        found.append(
            Found("usb", channel, what, "no driver", toml=lines, commands=[f"sudo modprobe {driver}"], remarks=remarks)
        )
    return found


def _classic(rates: Rates) -> Rates:
    return Rates(rates.bitrate, rates.data_bitrate, fd=False)


def _library(interface: str) -> str:
    return {"gs_usb": "the package gs_usb", "pcan": "PEAK's driver and PCAN-Basic", "kvaser": "Kvaser's CANlib"}[
        interface
    ]
