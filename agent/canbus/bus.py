"""CAN in: one path per bus keeps the newest frames (`feed` says what a path is); opened again when it fails.

Nothing is ever sent from here. Listen-only, the default, goes further where python-can offers it: the controller does
not even acknowledge frames. On SocketCAN that is a property of the network interface (``ip link set can0 type can
listen-only on``), not of the socket.
"""

import asyncio
import logging
from random import Random

from agent.backoff import Backoff
from agent.canbus.arguments import ACKNOWLEDGES, BusSettings
from agent.canbus.bcm import BcmPath
from agent.canbus.choice import BCM, LOG, RAW, choose
from agent.canbus.feed import Feed, Latest, Path, log
from agent.canbus.guard import Guard
from agent.canbus.player import Player
from agent.canbus.pythoncan import PythonCanPath
from agent.canbus.raw import RawPath
from agent.clock import Clock
from agent.errors import BusError

PATHS: dict[str, type[BcmPath] | type[RawPath]] = {BCM: BcmPath, RAW: RawPath}


class CanBus:
    """Feeds `latest` from one bus until cancelled; `index` is the bus's number in the compiled plan.

    Counters: those of `feed` and of `guard`; `counts` has all that went wrong. `problem` is why the bus is away, None while
    it is open, which `is_open` tells too. `rng` spreads the attempts to reopen.
    """

    def __init__(self, settings: BusSettings, index: int, latest: Latest, clock: Clock, rng: Random) -> None:
        self.settings = settings
        self.guard = Guard(settings, index, latest, clock)
        self.feed = Feed(settings, index, latest, clock, self.guard.trouble)
        self.kind = ""  # of the path, one of those in `choice`; empty before the first attempt
        self.problem: str | None = "not opened yet"
        self.is_open = asyncio.Event()
        self._clock = clock
        self._backoff = Backoff(rng)
        self._path: Path | None = None

    @property
    def frames(self) -> int:
        return self.feed.frames

    def counts(self) -> dict[str, int]:
        """All that went wrong on this bus since the start, by name."""
        return self.guard.counts() | {"remote_frames": self.feed.remote_frames, "unreadable": self.feed.unreadable}

    def refresh(self) -> None:
        """Bring in what the kernel holds back, right before a sample. A bus that fails here is closed by `run`."""
        if self._path is not None and self.problem is None:
            self._path.refresh()

    async def run(self) -> None:
        """Receive for ever: a bus that fails is opened again after 1 s, doubling to 30 s while no frame comes.

        Sooner where the system tells that the interface is back. What a bus said is invalid as soon as it is away.
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
        while True:
            frames = self.feed.frames
            try:
                await self.guard.attend(self._receive, lambda: self.feed.frames)
            except BusError as error:
                self._note_closed(error.reason)
            if self.feed.frames > frames:
                self._backoff.reset()
            self.feed.say(logging.WARNING, "CAN bus away bus=%s reason=%s", self.settings.name, self.problem)
            if await self.guard.wait(self._backoff.next_ms()):
                self._backoff.reset()

    async def _receive(self) -> None:
        """By the path of this attempt: what the kernel lacks may be there at the next one."""
        kind, reason = choose(self.settings)
        self.kind = kind
        if kind == RAW:
            self.feed.say(logging.INFO, "CAN bus by receive thread bus=%s reason=%s", self.settings.name, reason)
        path = self._path = PATHS[kind](self.feed) if kind in PATHS else PythonCanPath(self.feed)
        await path.run(self._note_open)

    def _note_closed(self, problem: str) -> None:
        self.problem = problem
        self.is_open.clear()
        self.guard.closed(problem)

    def _note_open(self) -> None:
        self.problem = None
        self.is_open.set()
        away_ms = self.guard.opened()
        name, interface, channel = self.settings.name, self.settings.interface, self.settings.channel
        if away_ms:
            text = "CAN bus back bus=%s interface=%s channel=%s away_s=%.1f"
            self.feed.say(logging.INFO, text, name, interface, channel, away_ms / 1000)
        else:
            self.feed.say(logging.INFO, "CAN bus open bus=%s interface=%s channel=%s", name, interface, channel)

    async def _play(self) -> None:
        self.kind = LOG
        await Player(self.feed).run(self._note_open)
        self.problem = "the recording has ended"
        self.is_open.clear()
        log.warning(
            "the recording has ended, its signals become invalid bus=%s (loop = true plays on)", self.settings.name
        )
