"""ICCID and signal strength by AT commands (3GPP 27.007) on the modem's serial port, in the dialects of its makers."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from agent.attached.port import open_serial, reason_of, serial_failures
from agent.clock import Clock
from agent.errors import DeviceError

if TYPE_CHECKING:
    import serial

# Quectel and Telit, Quectel, SIMCom, others (Fibocom, ZTE), Huawei; the first that is answered is asked again first.
ICCID_COMMANDS = ("AT+CCID", "AT+QCCID", "AT+CICCID", "AT+ICCID", "AT^ICCID?")
POLL_S = 0.1
ANSWER_MS = 3000
WAKE_MS = 500
WAKE_TRIES = 4  # the first characters set the rate of a modem that finds it by itself, and are lost
MOST_BYTES = 4096  # of one answer

# 19 or 20 digits beginning with 89 (telecommunication, ITU-T E.118); cards of China Mobile have letters among them. A card keeps
# 19 digits with an F behind them.
ICCID = re.compile(r'^(?:[+^][A-Z]*CCID:)?\s*"?(89[0-9A-Fa-f]{17,18})"?$')
_SIGNAL = re.compile(r"^\+CSQ:\s*(\d+)\s*,\s*\d+$")
_FAILED = re.compile(r"^(?:ERROR$|\+CM[ES] ERROR:?\s*(.*)$)")
_WITHOUT_SIM = ("10", "13", "15", "SIM not inserted", "SIM failure", "SIM wrong")


class Reading(NamedTuple):
    """What a modem says. `iccid` None: why stands in `reason`. `dbm` or `percent`: the signal, by whichever it is told."""

    iccid: str | None
    reason: str = ""
    dbm: int | None = None
    percent: int | None = None

    @property
    def signal(self) -> str:
        if self.dbm is not None:
            return f"{self.dbm} dBm"
        return "unknown" if self.percent is None else f"{self.percent} %"


def tidy_iccid(text: str) -> str | None:
    """An ICCID as modems print it, without name, quotes and filling; None for anything else."""
    match = ICCID.match(text.strip())
    if match is None:
        return None
    digits = match[1].upper()
    return digits.removesuffix("F") if len(digits) == 20 else digits if digits[-1] != "F" else None


def dbm_of(rssi: int) -> int | None:
    """<rssi> of +CSQ: 0..31 are 2 dB steps from -113 dBm; 100..191, of 3G and later, 1 dB steps from -116; None: not known."""
    if 0 <= rssi <= 31:
        return 2 * rssi - 113
    return rssi - 216 if 100 <= rssi <= 191 else None


class AtPort:
    """A modem on a serial port."""

    def __init__(self, device: str, baud: int, clock: Clock) -> None:
        self._device = device
        self._baud = baud
        self._clock = clock
        self._commands = list(ICCID_COMMANDS)

    def ask(self, stopped: Callable[[], bool]) -> Reading:
        """Blocks for some seconds at most; DeviceError when there is no modem, or none that answers."""
        with open_serial(self._device, self._baud, POLL_S) as port:
            try:
                self._wake(port, stopped)
                iccid, reason = self._iccid(port, stopped)
                return Reading(iccid, reason, self._dbm(port, stopped))
            except serial_failures() as error:
                raise DeviceError(self._device, reason_of(error)) from error

    def _wake(self, port: "serial.Serial", stopped: Callable[[], bool]) -> None:
        for _ in range(WAKE_TRIES):
            if self._command(port, "ATE0", stopped, WAKE_MS) is not None:
                return
        raise DeviceError(self._device, "no answer to AT commands; another of the modem's ports, or another baud rate?")

    def _iccid(self, port: "serial.Serial", stopped: Callable[[], bool]) -> tuple[str | None, str]:
        reason = "no command for it is known to the modem"
        for command in self._commands:
            lines = self._command(port, command, stopped, ANSWER_MS)
            if lines is None:
                reason = f"no answer to {command}"
                continue
            for line in lines:
                if iccid := tidy_iccid(line):
                    self._commands.sort(key=lambda other: other != command)
                    return iccid, ""
                failed = _FAILED.match(line)
                if failed and failed[1]:
                    told = failed[1].strip()
                    reason = "the modem sees no SIM card" if told in _WITHOUT_SIM else f"the modem says {told!r}"
        return None, reason

    def _dbm(self, port: "serial.Serial", stopped: Callable[[], bool]) -> int | None:
        for line in self._command(port, "AT+CSQ", stopped, ANSWER_MS) or []:
            if match := _SIGNAL.match(line):
                return dbm_of(int(match[1]))
        return None

    def _command(
        self, port: "serial.Serial", command: str, stopped: Callable[[], bool], wait_ms: int
    ) -> list[str] | None:
        """The lines of the answer, its result last, whatever the modem says unasked among them; None: it does not end."""
        port.reset_input_buffer()
        port.write(command.encode() + b"\r")
        answer, until = b"", self._clock.now() + wait_ms
        while self._clock.now() < until and not stopped() and len(answer) < MOST_BYTES:
            data = port.read(1)
            answer += data + port.read(port.in_waiting) if data else b""
            whole = answer[: max(answer.rfind(b"\r"), answer.rfind(b"\n")) + 1]
            lines = [line.strip() for line in whole.decode("ascii", "replace").splitlines() if line.strip()]
            for number, line in enumerate(lines):
                if line == "OK" or _FAILED.match(line):
                    return lines[: number + 1]
        return None
