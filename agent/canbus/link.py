"""The network interface of a SocketCAN bus, asked of the kernel: is it there, is it up, what has it counted, how is it set.

One request by rtnetlink (RTM_GETLINK) answers all of it, in the network namespace of the process, without a privilege and without
`ip`: linux/if_link.h, linux/can/netlink.h. Nothing is ever changed from here.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from agent.canbus.arguments import BusSettings, is_link_name

# linux/rtnetlink.h, linux/netlink.h, linux/if_link.h, linux/if.h
RTM_NEWLINK, RTM_GETLINK, NLMSG_ERROR, NLM_F_REQUEST = 16, 18, 2, 1
IFLA_IFNAME, IFLA_LINKINFO, IFLA_STATS64, IFLA_INFO_DATA = 3, 18, 23, 2
IFF_UP = 1
TYPE_MASK = 0x3FFF  # without the bits "nested" and "network byte order"
# linux/can/netlink.h: attributes that begin with the number wanted, by the field of Link; struct can_ctrlmode is mask, flags
CONTROLLER = {1: "bitrate", 4: "state", 6: "restart_ms", 9: "data_bitrate"}
IFLA_CAN_CTRLMODE, CTRLMODE_LISTENONLY = 5, 0x02

HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
LINK = struct.Struct("=BxHiII")  # family, device type, index, flags, change mask
ATTRIBUTE = struct.Struct("=HH")  # length with these four bytes, type
NUMBER = struct.Struct("=I")
STATS = struct.Struct(
    "=12Q"
)  # rx and tx in turns: packets, bytes, errors, dropped; 2 others; rx_length_errors, rx_over_errors
ANSWER_BYTES = 65536

DEVICES = "/dev/"


class Link(NamedTuple):
    """What the kernel says of an interface; `ifindex` 0: there is none. Counts are of received frames, since it was made.

    `bitrate` and `data_bitrate` 0, the others None: unknown, as everything of a virtual interface is. `state`: 0 active,
    1 warning, 2 passive, 3 bus-off, 4 stopped, 5 sleeping. `restart_ms` 0: a controller that is bus-off stays so.
    """

    ifindex: int = 0
    up: bool = False
    packets: int = 0
    size: int = 0  # payload bytes
    errors: int = 0
    dropped: int = 0
    overflows: int = 0  # of the controller's own memory
    bitrate: int = 0
    data_bitrate: int = 0
    restart_ms: int | None = None
    state: int | None = None
    listen_only: bool | None = None


def read_link(name: str) -> Link | None:
    """Ask the kernel about one interface; None when it cannot be asked (no Linux, or a sandbox without AF_NETLINK)."""
    if not is_link_name(name):
        return Link()  # such an interface cannot exist
    label = name.encode(errors="surrogateescape") + b"\0"
    attribute = ATTRIBUTE.pack(4 + len(label), IFLA_IFNAME) + label + bytes(-len(label) % 4)
    size = HEADER.size + LINK.size + len(attribute)
    request = HEADER.pack(size, RTM_GETLINK, NLM_F_REQUEST, 1, 0) + LINK.pack(0, 0, 0, 0, 0) + attribute
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asking:
            asking.send(request)
            # The kernel answers while it is being asked: there is nothing to wait for.
            answer = asking.recv(ANSWER_BYTES, socket.MSG_DONTWAIT)
    except (OSError, AttributeError):
        return None
    return _parse(answer)


def _parse(answer: bytes) -> Link | None:
    length, kind, _, _, _ = HEADER.unpack_from(answer)
    body = answer[HEADER.size : length]
    if kind == NLMSG_ERROR:
        absent = -struct.unpack_from("=i", body)[0] in (errno.ENODEV, errno.ERANGE, errno.EINVAL)
        return Link() if absent else None
    if kind != RTM_NEWLINK:
        return None
    _, _, index, flags, _ = LINK.unpack_from(body)
    link = Link(ifindex=index, up=bool(flags & IFF_UP))
    for what, value in _attributes(body[LINK.size :]):
        if what == IFLA_STATS64:
            packets, _, size, _, errors, _, dropped, _, _, _, _, overflows = STATS.unpack_from(value)
            link = link._replace(packets=packets, size=size, errors=errors, dropped=dropped, overflows=overflows)
        elif what == IFLA_LINKINFO:
            for part, inner in _attributes(value):
                if part == IFLA_INFO_DATA:
                    link = _with_controller(link, inner)
    return link


def _with_controller(link: Link, settings: bytes) -> Link:
    for what, value in _attributes(settings):
        if what in CONTROLLER:
            link = link._replace(**{CONTROLLER[what]: NUMBER.unpack_from(value)[0]})
        elif what == IFLA_CAN_CTRLMODE:
            link = link._replace(listen_only=bool(NUMBER.unpack_from(value, 4)[0] & CTRLMODE_LISTENONLY))
    return link


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + ATTRIBUTE.size <= len(data):
        length, what = ATTRIBUTE.unpack_from(data, at)
        if length < ATTRIBUTE.size:
            return
        yield what & TYPE_MASK, data[at + ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3


class Place:
    """Where a bus is attached, as far as the operating system can tell: a network interface, or a device file."""

    def __init__(self, settings: BusSettings) -> None:
        channel = settings.channel
        self.name = channel if settings.interface == "socketcan" and isinstance(channel, str) else ""
        # python-can's slcan takes /dev/ttyUSB0@115200 as well
        self._file = channel.partition("@")[0] if isinstance(channel, str) and channel.startswith(DEVICES) else ""

    def link(self) -> Link | None:
        """The network interface now; None when there is none to ask about."""
        return read_link(self.name) if self.name else None

    def fault(self) -> str | None:
        """Why opening has no sense now; None when it may work, also when nobody can tell."""
        if self._file:
            return None if os.path.exists(self._file) else f"{self._file} is not there"
        link = self.link()
        if link is None or link.up:
            return None
        rate = "" if link.state is None else " type can bitrate 500000 listen-only on"  # virtual buses have neither
        up = f"sudo ip link set {self.name} up{rate}"
        if link.ifindex:
            return f"{self.name} is down: {up}"
        return f"there is no network interface {self.name}; `tbox interfaces` lists what there is"

    def acknowledges(self, link: Link | None) -> str | None:
        """For a bus that is to be listened to only: what is wrong with its interface; None when nothing, or nobody knows."""
        if link is None or link.listen_only is not False:
            return None
        name = self.name
        lasting = f"ip link set {name} down; ip link set {name} up type can listen-only on"
        return (
            f"{name} acknowledges frames, listen_only = true notwithstanding: that is set at the interface: {lasting}"
        )
