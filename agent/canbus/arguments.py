"""What one [[can]] entry of the configuration says in the words of python-can's bus classes, each of which has its own.

Most of those classes swallow an argument that they do not know, or a bitrate that they cannot set, without a word: what
goes out of here is known to be taken.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from agent.core.frames import EXTENDED
from agent.errors import ConfigError

if TYPE_CHECKING:
    from agent.canlibrary import can

LINK_NAME = 15  # bytes of the name of a network interface, IFNAMSIZ without its end
KERNEL_FILTERS = 512  # CAN_RAW_FILTER_MAX of linux/can/raw.h

# The keyword arguments that make an interface listen only. The others acknowledge frames and cannot be told not to:
LISTEN_ONLY: dict[str, dict[str, Any]] = {
    "cantact": {"monitor": True},
    "kvaser": {"driver_mode": False},  # DRIVER_MODE_SILENT
    "nixnet": {"listen_only": True},
    "pcan": {"state": "PASSIVE"},
    "seeedstudio": {"operation_mode": "silent"},
    "slcan": {"listen_only": True},
    "systec": {"state": "PASSIVE"},
    "vector": {"listen_only": True},
}
ACKNOWLEDGES = frozenset(
    ["canalystii", "etas", "gs_usb", "iscan", "ixxat", "neousys", "neovi", "nican", "robotell", "usb2can"]
)
WHAT_IT_NEEDS = {
    "gs_usb": "needs the package gs_usb and access to the USB device",
    "kvaser": "needs Kvaser's CANlib; without it use the kernel's driver, interface = \"socketcan\"",
    "pcan": "needs PEAK's PCAN-Basic library and its own driver; without them use the kernel's driver, "
    'interface = "socketcan"',
    "slcan": "needs access to the serial port: group dialout, and no other program on it",
    "socketcan": "the interface must exist and be up: sudo ip link set CHANNEL up type can bitrate 500000 listen-only on",
    "udp_multicast": "needs the package msgpack (extra 'bench') and a network interface with multicast, lo has none",
}

# Bitrates that are set elsewhere: `ip link`, a server, the adapter itself; or there are none.
NO_BITRATE = frozenset(["serial", "socketcan", "socketcand", "udp_multicast", "virtual"])
NO_FD = frozenset(["canalystii", "cantact", "gs_usb", "iscan", "neousys", "nican"]) | frozenset(
    ["robotell", "seeedstudio", "serial", "socketcand", "systec", "usb2can"]
)
FD_BY_TIMING = frozenset(["pcan", "slcan"])  # `fd` and `data_bitrate` are not among their arguments, or lead nowhere
COUNTED_CHANNELS = frozenset(["gs_usb", "neousys"])  # their channel is a number, not text with a number in it
ON_A_SERIAL_PORT = frozenset(["robotell", "seeedstudio", "serial", "slcan"])

# Bitrates that an interface knows by name, or sets by itself. Others go by the segments of a bit, at the clock in Hz that
# python-can expects of the interface. PCAN would take 500 kbit/s instead of one that it does not know.
PRESETS: dict[str, tuple[frozenset[int], int]] = {
    "kvaser": (
        frozenset([10_000, 50_000, 62_000, 83_000, 100_000, 125_000, 250_000, 500_000, 1_000_000]),
        16_000_000,
    ),
    "pcan": (
        frozenset([5_000, 10_000, 20_000, 50_000, 100_000, 125_000, 250_000, 500_000, 800_000, 1_000_000]),
        8_000_000,
    ),
    "slcan": (
        frozenset([10_000, 20_000, 50_000, 83_300, 100_000, 125_000, 250_000, 500_000, 750_000, 1_000_000]),
        8_000_000,
    ),
}
KVASER_FD = frozenset([500_000, 1_000_000, 2_000_000, 4_000_000, 8_000_000])
SLCAN_FD = frozenset([2_000_000, 5_000_000])
FD_CLOCK = 80_000_000
SAMPLE_POINT, DATA_SAMPLE_POINT = 80.0, 75.0  # % of a bit, as CiA 601-3 advises for these rates


class BusSettings(Protocol):
    """One [[can]] entry of the configuration. `options` go to python-can's bus as they are.

    interface "log" plays the recording `channel`; its options are log_channel (only that channel of the recording) and
    frame_ms (replaces the stamps). `bcm` false: SocketCAN without the kernel's Broadcast Manager.
    """

    @property
    def name(self) -> str: ...
    @property
    def interface(self) -> str: ...
    @property
    def channel(self) -> str | int: ...
    @property
    def bitrate(self) -> int | None: ...
    @property
    def data_bitrate(self) -> int | None: ...
    @property
    def fd(self) -> bool: ...
    @property
    def listen_only(self) -> bool: ...
    @property
    def loop(self) -> bool: ...
    @property
    def bcm(self) -> bool: ...
    @property
    def options(self) -> Mapping[str, Any]: ...


def make_bus(settings: BusSettings, wanted: Sequence[tuple[int, int]] = ()) -> "can.BusABC":
    """A bus of the interface; ConfigError when the entry can never work, python-can's errors when it does not now."""
    from agent.canlibrary import can

    channel, arguments = bus_channel(settings), bus_arguments(settings, wanted)
    if settings.interface == "slcan":
        from agent.canbus.slcan import SlcanBus

        return SlcanBus(str(channel), **arguments)
    # ignore_config: python-can would mix in the user's ~/.canrc and environment
    return can.Bus(interface=settings.interface, channel=channel, ignore_config=True, **arguments)


def settings_fault(settings: BusSettings) -> str | None:
    """What makes it impossible for an entry of a known interface ever to work, for `tbox check`; None when nothing does."""
    if settings.interface == "log":
        return None
    try:
        bus_channel(settings)
        bus_arguments(settings, ())
    except ConfigError as error:
        return error.faults[0]
    return None


def bus_channel(settings: BusSettings) -> str | int:
    """The channel as the interface wants it; ConfigError."""
    if settings.interface in ON_A_SERIAL_PORT and find_spec("serial") is None:
        fault = f"interface = {settings.interface!r}: needs the extra serial: pip install 'tbox-agent[serial]'"
        raise _wrong(settings, fault)
    if settings.interface == "socketcan" and not is_link_name(str(settings.channel)):
        fault = f"channel = {str(settings.channel)!r}: no name of a network interface (1 to {LINK_NAME} bytes, no / or blank)"
        raise _wrong(settings, fault)
    if settings.interface not in COUNTED_CHANNELS:
        return settings.channel
    try:
        return int(settings.channel)
    except ValueError:
        fault = (
            f'channel = {settings.channel!r}: {settings.interface} counts its devices: "0" is the first, "1" the second'
        )
        raise _wrong(settings, fault) from None


def is_link_name(name: str) -> bool:
    """What the kernel takes as one: net/core/dev.c, dev_valid_name."""
    if not 0 < len(name.encode(errors="surrogateescape")) <= LINK_NAME or name in (".", ".."):
        return False
    return not any(mark in "/:\0" or mark.isspace() for mark in name)


def bus_arguments(settings: BusSettings, wanted: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """The keyword arguments of can.Bus for one configuration entry; its `options` have the last word. ConfigError."""
    from agent.canlibrary import can

    arguments: dict[str, Any] = {}
    if "timing" not in settings.options:
        arguments |= _fd_rates(settings) if settings.fd else _classic_rate(settings)
    if settings.listen_only:
        arguments |= LISTEN_ONLY.get(settings.interface, {})
        if "state" in arguments:
            arguments["state"] = can.BusState[arguments["state"]]
    if settings.interface == "socketcan" and 0 < len(wanted) <= KERNEL_FILTERS:
        # Elsewhere python-can filters in Python, message by message: slower than dropping what is unknown.
        arguments["can_filters"] = [
            {"can_id": can_id & ~EXTENDED, "can_mask": mask & ~EXTENDED, "extended": bool(can_id & EXTENDED)}
            for can_id, mask in wanted
        ]
    return arguments | dict(settings.options)


def _classic_rate(settings: BusSettings) -> dict[str, Any]:
    from agent.canlibrary import can

    bitrate, interface = settings.bitrate, settings.interface
    if bitrate is None or interface in NO_BITRATE:
        return {}
    presets, clock = PRESETS.get(interface, (None, 0))
    if presets is None or bitrate in presets:
        return {"bitrate": bitrate}
    try:
        timing = can.BitTiming.from_sample_point(clock, bitrate, SAMPLE_POINT)
    except ValueError:
        known = ", ".join(map(str, sorted(presets)))
        fault = (
            f"bitrate = {bitrate}: {interface} cannot make it (known: {known}, and what its clock can be divided to)"
        )
        raise _wrong(settings, fault) from None
    return {"timing": timing}


def _fd_rates(settings: BusSettings) -> dict[str, Any]:
    """The arguments that make a CAN FD bus."""
    from agent.canlibrary import can

    interface, bitrate, data_bitrate = settings.interface, settings.bitrate, settings.data_bitrate
    if interface in NO_FD:
        raise _wrong(settings, f"fd = true: python-can's {interface} has no CAN FD{_instead(interface)}")
    if interface == "virtual":
        return {"protocol": can.CanProtocol.CAN_FD}
    if interface in NO_BITRATE:
        return {"fd": True}
    if interface in FD_BY_TIMING or (interface == "kvaser" and not {bitrate, data_bitrate or bitrate} <= KVASER_FD):
        return {"timing": _fd_timing(settings)}
    rates = {"bitrate": bitrate, "fd_bitrate" if interface == "nixnet" else "data_bitrate": data_bitrate}
    return {"fd": True} | {name: rate for name, rate in rates.items() if rate is not None}


def _fd_timing(settings: BusSettings) -> "can.BitTimingFd":
    from agent.canlibrary import can

    bitrate, data_bitrate = settings.bitrate, settings.data_bitrate
    if bitrate is None or data_bitrate is None:
        missing = "bitrate" if bitrate is None else "data_bitrate"
        fault = f"{missing}: is missing; with fd = true {settings.interface} needs both bitrate and data_bitrate"
        raise _wrong(settings, fault)
    if settings.interface == "slcan" and data_bitrate not in SLCAN_FD:
        raise _wrong(settings, f"data_bitrate = {data_bitrate}: slcan knows 2000000 and 5000000")
    if settings.interface == "slcan" and bitrate not in PRESETS["slcan"][0]:
        known = ", ".join(map(str, sorted(PRESETS["slcan"][0])))
        raise _wrong(settings, f"bitrate = {bitrate}: slcan with fd = true knows {known}")
    try:
        return can.BitTimingFd.from_sample_point(FD_CLOCK, bitrate, SAMPLE_POINT, data_bitrate, DATA_SAMPLE_POINT)
    except ValueError:
        fault = f"bitrate = {bitrate}, data_bitrate = {data_bitrate}: cannot both be made from a clock of 80 MHz"
        raise _wrong(settings, fault) from None


def _instead(interface: str) -> str:
    drivers = {"gs_usb", "cantact", "usb2can", "systec"}
    return '; the kernel\'s driver may: interface = "socketcan"' if interface in drivers else ""


def _wrong(settings: BusSettings, fault: str) -> ConfigError:
    return ConfigError(f"[[can]] {settings.name}", [fault])
