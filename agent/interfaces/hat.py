"""CAN HATs of a Raspberry Pi: MCP2515 and MCP2518FD on SPI, what the device tree says of them, and what looks wrong."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from agent.interfaces.found import Found, Machine, target_of, text_of
from agent.interfaces.socketcan import NOTHING_HEARD

CONFIG_FILES = ("boot/firmware/config.txt", "boot/config.txt")
CHIPS = {  # compatible: family, oscillators in Hz that such HATs have
    "microchip,mcp2515": ("MCP2515", (8_000_000, 12_000_000, 16_000_000, 20_000_000)),
    "microchip,mcp25625": ("MCP25625", (8_000_000, 16_000_000, 20_000_000)),
    "microchip,mcp2517fd": ("MCP2517FD", (20_000_000, 40_000_000)),
    "microchip,mcp2518fd": ("MCP2518FD", (20_000_000, 40_000_000)),
    "microchip,mcp251xfd": ("MCP2517FD/MCP2518FD", (20_000_000, 40_000_000)),
}
WANTED = [
    "dtparam=spi=on",
    "dtoverlay=mcp2515-can0,oscillator=16000000,interrupt=25      # an MCP2515; the number on the crystal, 8.000 or 16.000",
    "dtoverlay=mcp251xfd,spi0-0,oscillator=40000000,interrupt=25  # an MCP2517FD or MCP2518FD instead",
]
OVERLAYS = ("mcp2515", "mcp251xfd")
REASONS = {  # words of the kernel's log: what they mean
    "didn't enter in conf mode": "the chip does not answer: HAT not seated, no power, another chip select (mcp2515-can1 is the "
    "second), or no MCP2515 on this HAT",
    "Cannot initialize MCP": "what answers is no MCP2515: wiring of SPI (MOSI, MISO, SCK), or a HAT with an MCP2518FD",
    "Failed to detect MCP251xFD": "the chip does not answer: HAT not seated, another SPI bus or chip select, or no MCP2518FD",
    "Oscillator": "the oscillator does not start, or is not the one of the overlay line",
    "chipselect": "two overlays want the same chip select: keep one of the lines",
    "failed to acquire irq": "the interrupt's GPIO is taken: another interrupt=",
    "err=110": "the chip does not answer in time: HAT not seated, no power, or another chip select",
}


@dataclass(frozen=True)
class Chip:
    """A CAN controller of the device tree: its node, oscillator in Hz, GPIO of its interrupt; 0 and -1 are unknown."""

    node: Path
    compatible: str
    oscillator: int
    interrupt: int
    spi_hz: int
    enabled: bool


def hats(machine: Machine, interfaces: Sequence[Found]) -> list[Found]:
    """CAN controllers of the device tree and overlay lines without one; on a Pi without either, the lines to add."""
    model = text_of(machine.path("proc/device-tree/model"))
    config, lines = config_lines(machine)
    chips = chips_of(machine)
    deaf = {each.channel for each in interfaces if any(remark.startswith(NOTHING_HEARD) for remark in each.remarks)}
    found = [_found(machine, chip, deaf) for chip in chips]
    overlays = [line for line in lines if line.startswith(tuple(f"dtoverlay={name}" for name in OVERLAYS))]
    if overlays and len(chips) < len(overlays):
        remarks = [
            f"{len(overlays)} overlay lines in {config}, {len(chips)} controllers in the device tree: not started again since, "
            "a line under [pi4] or the like for another model, or a parameter that the overlay does not know",
        ]
        remarks += [] if "dtparam=spi=on" in lines else ["dtparam=spi=on is missing"]
        found.append(Found("hat", "", "; ".join(overlays), "not in force", sure=True, remarks=remarks))
    if not found and "Raspberry Pi" in model:
        remarks = [f"for a CAN HAT add to {config} and start again:", *WANTED]
        found.append(Found("hat", "", f"{model}, no CAN HAT set up", sure=False, remarks=remarks))
    return found


def config_lines(machine: Machine) -> tuple[str, list[str]]:
    """The firmware's configuration in force: its name and its lines, without comments and blanks."""
    for name in CONFIG_FILES:
        try:
            text = machine.path(name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        return f"/{name}", [
            line.split("#")[0].replace(" ", "") for line in text.splitlines() if line.split("#")[0].strip()
        ]
    return f"/{CONFIG_FILES[0]}", []


def chips_of(machine: Machine) -> list[Chip]:
    """CAN controllers of the device tree."""
    tree = target_of(machine.path("proc/device-tree"))
    nodes = sorted(path.parent for path in tree.rglob("compatible"))
    clocks = {_number(node / "phandle"): _number(node / "clock-frequency") for node in nodes}
    return [
        Chip(
            node,
            compatible,
            clocks.get(_number(node / "clocks"), 0),
            _number(node / "interrupts", -1),
            _number(node / "spi-max-frequency"),
            text_of(node / "status") in ("", "okay", "ok"),
        )
        for node in nodes
        for compatible in text_of(node / "compatible").split("\0")
        if compatible in CHIPS
    ]


def _number(path: Path, unknown: int = 0) -> int:
    """The first cell of a property: 32 bits, big-endian."""
    try:
        data = path.read_bytes()[:4]
    except OSError:
        return unknown
    return int.from_bytes(data, "big") if len(data) == 4 else unknown


def _found(machine: Machine, chip: Chip, deaf: set[str]) -> Found:
    name, oscillators = CHIPS[chip.compatible]
    interface = _interface_of(machine, chip)
    parts = [f"oscillator {chip.oscillator} Hz" if chip.oscillator else "no oscillator declared"]
    parts += [f"interrupt GPIO {chip.interrupt}"] if chip.interrupt >= 0 else []
    parts += [f"SPI {chip.spi_hz} Hz"] if chip.spi_hz else []
    remarks = []
    if not chip.enabled:
        remarks.append("switched off in the device tree (status): no overlay line for it in force")
    elif not interface:
        remarks += _why_not(machine, name)
    else:
        remarks += _interrupts(machine, interface)
    if chip.oscillator and chip.oscillator not in oscillators:
        known = ", ".join(f"{hz / 1e6:g}" for hz in oscillators)
        remarks.append(f"an oscillator of {chip.oscillator / 1e6:g} MHz is unusual for an {name} (known: {known} MHz)")
    if interface in deaf and chip.oscillator:
        remarks += _other_oscillators(chip.oscillator, oscillators)
    state = f"is {interface}" if interface else "NO INTERFACE"
    return Found("hat", interface, f"{name} at {chip.node.name}: {', '.join(parts)}", state, remarks=remarks)


def _interface_of(machine: Machine, chip: Chip) -> str:
    for folder in machine.listed("sys/class/net"):
        node = folder / "device" / "of_node"
        if target_of(node) == chip.node:
            return folder.name
    return ""


def _why_not(machine: Machine, name: str) -> list[str]:
    said = [line for line in machine.kernel_log() if re.search(r"mcp25|spi\d+\.\d", line, re.IGNORECASE)]
    for words, meaning in REASONS.items():
        for line in said:
            if words in line:
                return [f"the kernel says: {line.strip()}", meaning]
    module = "mcp251xfd" if "FD" in name else "mcp251x"
    return [f"the kernel's log says nothing of it: `sudo modprobe {module}`, then `sudo dmesg | grep -i mcp`"]


def _interrupts(machine: Machine, interface: str) -> list[str]:
    """An interface that is up and whose interrupt has never come; the count stands in /proc/interrupts while it is up."""
    device = target_of(machine.path("sys/class/net") / interface / "device").name
    try:
        lines = machine.path("proc/interrupts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    for line in lines:
        words = line.split()
        if words and words[-1] in (device, interface):
            counts = list(takewhile(str.isdecimal, words[1:]))  # one a processor; behind them whose and which it is
            if not any(map(int, counts)):
                return ["its interrupt never came: nothing on the bus, or interrupt= is not the GPIO of this HAT"]
    return []


def _other_oscillators(declared: int, oscillators: Sequence[int]) -> list[str]:
    """A crystal of another frequency shifts every bitrate by the ratio of the two."""
    others = [hz for hz in oscillators if hz != declared]
    shifts = ", ".join(f"{hz / 1e6:g} MHz: {hz / declared:g} times" for hz in others)
    return [
        f"read the number on the crystal; if it is not {declared / 1e6:g} MHz, every bitrate is off by the ratio ({shifts})"
    ]
