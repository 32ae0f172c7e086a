"""Which path a bus takes, and why: for the agent, and for `tbox check` to say."""

import errno
import socket

from agent.canbus_arguments import BusSettings

BCM, RAW, PYTHON_CAN, LOG = "bcm", "raw", "python-can", "log"

WHAT = {
    BCM: "the kernel's Broadcast Manager keeps the newest frames",
    RAW: "a receive thread on a raw socket with filters",
    PYTHON_CAN: "python-can's receive thread",
    LOG: "a recording is played",
}


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
            return BCM, "as far as can be seen here: this kernel has no CAN"
        return RAW, f"the Broadcast Manager cannot be had: {error.strerror}"
    return BCM, ""
