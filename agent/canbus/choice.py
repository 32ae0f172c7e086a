"""Which path a bus takes, and why: for the agent, and for `tbox check` to say."""

import errno
import socket
from collections import Counter

from agent.canbus.arguments import BusSettings
from agent.canbus.bcm import EVERY, NEWEST, PAGES, kind_of
from agent.canbus.feed import Latest, masked

BCM, RAW, PYTHON_CAN, LOG = "bcm", "raw", "python-can", "log"

WHAT = {
    BCM: "by the kernel's Broadcast Manager",
    RAW: "by a receive thread on a raw socket with filters",
    PYTHON_CAN: "by a receive thread of python-can",
    LOG: "a recording",
}


# What the Broadcast Manager does for the messages of a bus, and how many there are of each kind.
KINDS = {
    NEWEST: "{} as the newest frame at each sample",
    PAGES: "{} multiplexed, by what changes in their pages",
    EVERY: "{} frame by frame (counter, checksum, or multiplexed in several ways)",
}
MASKED = "{} under many identifiers (J1939), through a raw socket"


def described(settings: BusSettings, index: int, latest: Latest) -> tuple[str, str]:
    """(path, one line for people) of a bus that the mapping reads."""
    path, reason = choose(settings)
    said = f"{settings.interface} {settings.channel}: {WHAT[path]}"
    if path == BCM:
        kinds = Counter(kind_of(need) for need in latest.needs(index))
        rows = [text.format(kinds[kind]) for kind, text in KINDS.items() if kinds[kind]]
        if many := masked(latest.wanted(index)):
            rows.append(MASKED.format(len(many)))
        said += f"; messages: {', '.join(rows)}"
    return path, f"{said} ({reason})" if reason else said


def choose(settings: BusSettings) -> tuple[str, str]:
    """(path, reason) for one bus on this machine; an empty reason where there is nothing to choose."""
    if settings.interface == LOG:
        return LOG, ""
    if settings.interface != "socketcan":
        return PYTHON_CAN, f"{settings.interface} is no interface of the kernel"
    if settings.options:
        return PYTHON_CAN, f"only python-can knows its options ({', '.join(settings.options)})"
    if not hasattr(socket, "CAN_BCM"):
        return PYTHON_CAN, "this system has no SocketCAN"
    if not settings.bcm:
        return RAW, "bcm = false"
    try:
        socket.socket(socket.AF_CAN, socket.SOCK_DGRAM, socket.CAN_BCM).close()
    except OSError as error:
        if error.errno == errno.EPROTONOSUPPORT:
            return RAW, "this kernel has no Broadcast Manager; modprobe can-bcm loads it where it is a module"
        if error.errno == errno.EAFNOSUPPORT:
            return BCM, "as far as can be told on this machine, whose kernel has no CAN"
        return RAW, f"the Broadcast Manager cannot be had: {error.strerror}"
    return BCM, ""
