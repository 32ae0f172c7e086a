"""A GNSS receiver on a serial port: NMEA 0183, at a rate that is found out by listening.

One thread reads the port, since pyserial blocks, and gives fixes out from there. Nothing is ever written to the receiver.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.attached.port import open_serial, reason_of, serial_failures
from agent.blocking import in_thread
from agent.clock import Clock
from agent.core.nmea import Fix, NmeaReader
from agent.errors import DeviceError

if TYPE_CHECKING:
    import serial

RATES = (9600, 115_200, 38_400, 57_600, 19_200)  # the likeliest first
POLL_S = 0.1  # how late the end of an epoch may be noticed, and a stop
TRY_MS = 2_200  # listened at one rate: receivers speak once a second
SILENT_MS = 5_000  # without a good sentence: the receiver was reset, perhaps to another rate


class SerialSource:
    """Fixes of the receiver on `device`; `baud` None: any of RATES, the one that was right before first."""

    def __init__(self, device: str, baud: int | None, clock: Clock, floor_ms: int) -> None:
        self._device = device
        self._rates: tuple[int, ...] = (baud,) if baud is not None else RATES
        self._clock = clock
        self._reader = NmeaReader(floor_ms)

    def counts(self) -> dict[str, int]:
        reader = self._reader
        return {
            "noise_bytes": reader.sentences.noise_bytes,
            "bad_checksum": reader.sentences.bad_checksum,
            "malformed": reader.malformed,
            "stuck": reader.stuck,
        }

    async def receive(self, give: Callable[[Fix], None], note_open: Callable[[str], None]) -> None:
        """Until cancelled; DeviceError when the port cannot be opened, was pulled out, or no sentence comes."""
        await in_thread("gnss", lambda stopping: self._receive(give, note_open, stopping.is_set))

    def _receive(
        self, give: Callable[[Fix], None], note_open: Callable[[str], None], stopped: Callable[[], bool]
    ) -> None:
        with open_serial(self._device, self._rates[0], POLL_S) as port:
            try:
                rate, heard = self._find_rate(port, give, stopped)
                if rate is None and not stopped():
                    raise DeviceError(self._device, self._no_sentence(heard))
                note_open(f"baud={rate}")
                while not stopped() and self._hears(port, give, SILENT_MS, stopped):
                    pass
            except serial_failures() as error:
                raise DeviceError(self._device, reason_of(error)) from error
        if not stopped():
            raise DeviceError(self._device, f"no sentence with a good checksum for {SILENT_MS // 1000} s")

    def _find_rate(
        self, port: "serial.Serial", give: Callable[[Fix], None], stopped: Callable[[], bool]
    ) -> tuple[int | None, int]:
        """The rate at which a good sentence came, and how many bytes came that were none."""
        noise = self._reader.sentences.noise_bytes
        for rate in self._rates:
            port.baudrate = rate
            port.reset_input_buffer()
            self._reader.restart()
            if self._hears(port, give, TRY_MS, stopped):
                self._rates = (rate, *(other for other in self._rates if other != rate))
                return rate, 0
        self._reader.restart()
        return None, self._reader.sentences.noise_bytes - noise

    def _hears(
        self, port: "serial.Serial", give: Callable[[Fix], None], wait_ms: int, stopped: Callable[[], bool]
    ) -> bool:
        """Read until a good sentence has come, `wait_ms` at most; what it completes is given out."""
        reader, clock = self._reader, self._clock
        good, until = reader.sentences.good, clock.now() + wait_ms
        while not stopped():
            data = port.read(1)
            if data:
                data += port.read(port.in_waiting)
            now = clock.now()
            for fix in reader.feed(data, now) + reader.poll(now):
                give(fix)
            if reader.sentences.good > good:
                return True
            if now >= until:
                return False
        return False

    def _no_sentence(self, heard: int) -> str:
        tried = ", ".join(map(str, self._rates))
        if not heard:
            return f"nothing comes from it (tried at {tried} baud)"
        return f"{heard} bytes came, and no NMEA sentence among them (tried at {tried} baud); is it a GNSS receiver?"
