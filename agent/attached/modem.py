"""The modem: which SIM card is in it, for the login, and how strong its signal is, for the log. Asked once a minute.

An ICCID says whose card it is: only its last four digits go into a log.
"""

import asyncio
import logging
from collections.abc import Callable
from random import Random

from agent.attached.devices import Modem as ModemSettings
from agent.attached.modem_at import AtPort, Reading
from agent.attached.modem_manager import ask_manager
from agent.backoff import Backoff, SparingLog
from agent.blocking import in_thread
from agent.clock import Clock
from agent.errors import DeviceError

__all__ = ["Modem", "Reading", "masked"]

ASK_AGAIN_MS = 60_000

log = logging.getLogger(__name__)


class Modem:
    """Asks a modem until cancelled; `on_iccid` hears each ICCID that differs from the one before.

    `reading` is the last one, `problem` why there is none. `known` is set once there was an ICCID.
    """

    def __init__(self, settings: ModemSettings, clock: Clock, rng: Random, on_iccid: Callable[[str], None]) -> None:
        self.settings = settings
        self.reading: Reading | None = None
        self.problem: str | None = "not asked yet"
        self.known = asyncio.Event()
        self._clock = clock
        self._on_iccid = on_iccid
        self._iccid: str | None = None
        self._backoff = Backoff(rng)
        self._log = SparingLog(log, clock)
        self._port = AtPort(settings.port, settings.baud, clock) if settings.port is not None else None

    async def run(self) -> None:
        """Ask for ever: a modem that does not answer, or knows no SIM card, is asked again soon."""
        while True:
            try:
                reading = await self.ask()
            except DeviceError as error:
                self.reading, self.problem = None, error.reason
            else:
                self.reading, self.problem = reading, reading.reason or None
                self._note(reading)
            if self.problem is None:
                self._backoff.reset()
                pause_ms = ASK_AGAIN_MS
            else:
                place = self.settings.place
                self._log.say(logging.WARNING, "no ICCID from the modem device=%s reason=%s", place, self.problem)
                pause_ms = self._backoff.next_ms()
            await self._clock.sleep_until(self._clock.now() + pause_ms)

    async def ask(self) -> Reading:
        """Once; DeviceError."""
        port = self._port
        if port is None:
            return await ask_manager()
        return await in_thread("modem", lambda stopping: port.ask(stopping.is_set))

    def _note(self, reading: Reading) -> None:
        if reading.iccid is None or reading.iccid == self._iccid:
            return
        log.info("SIM card iccid=%s signal=%s", masked(reading.iccid), reading.signal)
        self._iccid = reading.iccid
        self._on_iccid(reading.iccid)
        self.known.set()


def masked(iccid: str) -> str:
    """As much of an ICCID as tells two cards apart."""
    return f"...{iccid[-4:]}"
