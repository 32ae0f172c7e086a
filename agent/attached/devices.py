"""Settings of what hangs on the terminal beside its buses: a GNSS receiver ([gnss]) and a modem ([modem])."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

Device = Annotated[str, Meta(pattern=r"^/", description='the path of a serial port, such as "/dev/ttyACM0"')]
Host = Annotated[str, Meta(pattern=r"^\S+:[1-9][0-9]{0,4}$", description='"host:port", such as "localhost:2947"')]
Baud = Annotated[int, Meta(ge=4800, le=921_600)]
BusName = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="letters, digits and _, no digit first")]


class Gnss(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A receiver on a serial port, or a gpsd. `baud` 0: found out by trying. `name`: the bus under which a mapping reads it."""

    device: Device | None = None
    gpsd: Host | None = None
    baud: Baud | None = None
    name: BusName = "gnss"

    @property
    def place(self) -> str:
        """What to say of where it is."""
        return self.device or f"gpsd {self.gpsd}"


class Modem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to ask for ICCID and signal: ModemManager, or the modem itself on the serial port where it takes AT commands."""

    port: Device | None = None
    baud: Baud = 115_200
    manager: bool = False

    @property
    def place(self) -> str:
        """What to say of where it is."""
        return self.port or "ModemManager"


def device_faults(tables: dict[str, Any]) -> list[str]:
    """What types cannot say about [gnss] and [modem] of a configuration."""
    faults = []
    gnss, modem, buses = tables.get("gnss"), tables.get("modem"), tables.get("can")
    if isinstance(gnss, dict):
        if ("device" in gnss) == ("gpsd" in gnss):
            faults.append('gnss: needs one of device = "/dev/ttyACM0" and gpsd = "localhost:2947"')
        if "gpsd" in gnss and "baud" in gnss:
            faults.append("gnss.baud: is for device; gpsd sets the port itself")
        name = gnss.get("name", "gnss")
        if isinstance(buses, list) and name in [bus.get("name") for bus in buses if isinstance(bus, dict)]:
            faults.append(f"gnss.name = {name!r}: a [[can]] has that name too; give one of them another")
    if isinstance(modem, dict) and ("port" in modem) == (modem.get("manager", False) is True):
        faults.append('modem: needs one of port = "/dev/ttyUSB2" and manager = true')
    return faults
