"""Errors of the host side; the protocol's own stand in `agent/core/errors.py`.

::

    AgentError
     +-- ProtocolError ...  agent/core/errors.py
     +-- ConfigError        every fault of one file in one go (exit 2)
     +-- BusError           interface, channel
     +-- DeviceError        a GNSS receiver, gpsd or a modem: device, reason
     +-- LinkError          endpoint, phase
     +-- OutboxError        disk full, corrupt, wrong schema version, in use by another process
"""

from agent.core.errors import AgentError

MOST_SHOWN = 2000  # characters of a fault: what it quotes may be a file's worth

__all__ = ["AgentError", "BusError", "ConfigError", "DeviceError", "LinkError", "OutboxError", "one_line"]


def one_line(text: str) -> str:
    """A text from somebody's file or device, without what steers a terminal or begins a line: \\x1b for an escape."""
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in text)


def _shortened(fault: str) -> str:
    """What is wrong stands at the beginning, what is allowed at the end."""
    return fault if len(fault) <= MOST_SHOWN else f"{fault[: MOST_SHOWN // 2]}...{fault[-MOST_SHOWN // 2 :]}"


class ConfigError(AgentError):
    """Faults of a configuration, mapping or DBC file; each line says where, what, what is allowed."""

    def __init__(self, file: str, faults: list[str]) -> None:
        self.file = file
        self.faults = [one_line(_shortened(fault)) for fault in faults]
        super().__init__("\n".join(f"{one_line(file)}: {fault}" for fault in self.faults))


class BusError(AgentError):
    """A CAN bus could not be opened or went away."""

    def __init__(self, interface: str, channel: str, reason: str) -> None:
        super().__init__(f"CAN bus {interface}:{channel}: {reason}")
        self.interface = interface
        self.channel = channel
        self.reason = reason


class DeviceError(AgentError):
    """A GNSS receiver, gpsd or a modem could not be reached, went away or gives no sense."""

    def __init__(self, device: str, reason: str) -> None:
        super().__init__(f"{device}: {reason}")
        self.device = device
        self.reason = reason


class LinkError(AgentError):
    """The link to the platform failed; `phase` is one of resolve, connect, tls, login, seal, read, write."""

    def __init__(self, endpoint: str, phase: str, reason: str) -> None:
        super().__init__(f"link to {endpoint}: {phase}: {reason}")
        self.endpoint = endpoint
        self.phase = phase


class OutboxError(AgentError):
    """The outbox cannot be opened or written."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"outbox {path}: {reason}")
        self.path = path
