"""What one [[can]] entry of the configuration says in the words of python-can's bus classes, each of which has its own."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

EXTENDED = 0x80000000  # bit 31 of can_id, as in a DBC file
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
    "slcan": "needs the package pyserial and access to the serial port",
    "socketcan": "the interface must exist and be up: ip link set CHANNEL up type can bitrate 500000",
    "udp_multicast": "needs the package msgpack (extra 'bench') and a network interface with multicast, lo has none",
}


class BusSettings(Protocol):
    """One [[can]] entry of the configuration. `options` go to python-can's bus as they are.

    interface "log" plays the recording `channel`; its options are log_channel (only that channel of the recording) and
    frame_ms (replaces the stamps).
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
    def options(self) -> Mapping[str, Any]: ...


def bus_arguments(settings: BusSettings, wanted: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """The keyword arguments of can.Bus for one configuration entry; its `options` have the last word."""
    import can

    arguments: dict[str, Any] = {}
    if settings.bitrate is not None:
        arguments["bitrate"] = settings.bitrate
    if settings.fd:
        arguments["fd"] = True
        if settings.data_bitrate is not None:
            arguments["fd_bitrate" if settings.interface == "nixnet" else "data_bitrate"] = settings.data_bitrate
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
