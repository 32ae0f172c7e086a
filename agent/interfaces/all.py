"""Everything that is plugged in, from all sources."""

from agent.interfaces.found import Found, Machine, Rates
from agent.interfaces.hat import hats
from agent.interfaces.libraries import library_devices
from agent.interfaces.socketcan import socketcan_interfaces
from agent.interfaces.usb import serial_devices, usb_adapters


def find_all(machine: Machine, rates: Rates) -> list[Found]:
    """What is there: CAN interfaces of the kernel, HATs, USB adapters, serial ports, devices of makers' libraries."""
    interfaces = socketcan_interfaces(machine, rates)
    return [
        *interfaces,
        *hats(machine, interfaces),
        *usb_adapters(machine, rates),
        *serial_devices(machine, rates),
        *library_devices(machine, rates),
    ]
