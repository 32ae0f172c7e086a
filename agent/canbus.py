"""CAN in: one path per bus keeps the newest frames (`canbus_feed` says what a path is); opened again when it fails.

Nothing is ever sent from here. Listen-only, the default, goes further where python-can offers it: the controller does
not even acknowledge frames. On SocketCAN that is a property of the network interface (``ip link set can0 type can
listen-only on``), not of the socket.
"""

import asyncio
import logging
from random import Random

from agent.canbus_arguments import ACKNOWLEDGES, BusSettings
from agent.canbus_bcm import BcmPath
from agent.canbus_choice import BCM, LOG, RAW, choose
from agent.canbus_feed import Feed, Latest, Path, log
from agent.canbus_player import Player
from agent.canbus_pythoncan import PythonCanPath
from agent.canbus_raw import RawPath
from agent.clock import Clock
from agent.errors import BusError

FIRST_DELAY_S = 1
LAST_DELAY_S = 30
JITTER = 0.2
PATHS: dict[str, type[BcmPath] | type[RawPath]] = {BCM: BcmPath, RAW: RawPath}


class CanBus:
    """Feeds `latest` from one bus until cancelled; `index` is the bus's number in the compiled plan.

    Counters: those of `feed` and of its `trouble`, and `reopened`. `problem` is why the bus is away, None while it is open,
    which `is_open` tells too. `rng` spreads the attempts to reopen.
    """

    def __init__(self, settings: BusSettings, index: int, latest: Latest, clock: Clock, rng: Random) -> None:
        self.settings = settings
        self.feed = Feed(settings, index, latest, clock)
        self.reopened = 0
        self.kind = ""  # of the path, one of canbus_choice; empty before the first attempt
        self.problem: str | None = "not opened yet"
        self.is_open = asyncio.Event()
        self._clock = clock
        self._rng = rng
        self._path: Path | None = None
        self._opened = False

    @property
    def frames(self) -> int:
        return self.feed.frames

    def refresh(self) -> None:
        """Bring in what the kernel holds back, right before a sample. A bus that fails here is closed by `run`."""
        if self._path is not None and self.problem is None:
            self._path.refresh()

    async def run(self) -> None:
        """Receive for ever: a bus that fails is opened again after 1 s, doubling to 30 s while no frame comes.

        A recording ends (returns) unless it loops. Cancelling ends the path within a second. Raises ConfigError for
        an unknown interface or an unreadable recording.
        """
        if self.settings.interface == LOG:
            await self._play()
            return
        if self.settings.listen_only and self.settings.interface in ACKNOWLEDGES:
            log.warning(
                "bus=%s: python-can cannot make %s listen only, it acknowledges frames",
                self.settings.name,
                self.settings.interface,
            )
        delay_s = FIRST_DELAY_S
        while True:
            frames = self.feed.frames
            try:
                self._path = self._choose()
                await self._path.run(self._note_open)
            except BusError as error:
                self._note_closed(str(error))
            if self.feed.frames > frames:
                delay_s = FIRST_DELAY_S
            self.feed.say(logging.WARNING, "CAN bus away bus=%s reason=%s", self.settings.name, self.problem)
            delay_ms = int(delay_s * 1000 * self._rng.uniform(1 - JITTER, 1 + JITTER))
            await self._clock.sleep_until(self._clock.now() + delay_ms)
            delay_s = min(2 * delay_s, LAST_DELAY_S)

    def _choose(self) -> Path:
        """The path of this attempt: what the kernel lacks may be there at the next one."""
        kind, reason = choose(self.settings)
        self.kind = kind
        if kind == RAW:
            self.feed.say(logging.INFO, "CAN bus by receive thread bus=%s reason=%s", self.settings.name, reason)
        return PATHS[kind](self.feed) if kind in PATHS else PythonCanPath(self.feed)

    def _note_closed(self, problem: str) -> None:
        self.problem = problem
        self.is_open.clear()

    def _note_open(self) -> None:
        self.problem = None
        self.is_open.set()
        self.reopened += self._opened
        self._opened = True
        interface, channel = self.settings.interface, self.settings.channel
        self.feed.say(
            logging.INFO, "CAN bus open bus=%s interface=%s channel=%s", self.settings.name, interface, channel
        )

    async def _play(self) -> None:
        self.kind = LOG
        await Player(self.feed).run(self._note_open)
        self._note_closed("the recording has ended")
        log.warning(
            "the recording has ended, its signals become invalid bus=%s (loop = true plays on)", self.settings.name
        )
