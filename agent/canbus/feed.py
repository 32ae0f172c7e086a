"""What a receive path has of its bus: settings, the place where newest frames are kept, the clock, and what it counts.

A path is one way to hear a bus: the kernel's Broadcast Manager (`bcm`), a raw socket (`raw`), python-can
(`pythoncan`) or a recording (`player`). `CanBus` opens it, and opens it again when it fails.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from agent.backoff import SparingLog
from agent.canbus.arguments import BusSettings
from agent.canbus.guard import Counts
from agent.canbus.trouble import Trouble
from agent.clock import Clock
from agent.errors import BusError

if TYPE_CHECKING:
    from agent.core.needs import Need

Keep = Callable[[int, bytes | bytearray, int], None]

log = logging.getLogger("agent.canbus")


class Latest(Protocol):
    """The part of LatestFrames that a bus feeds.

    `plain` gives (slot, length) by can_id of the messages that are kept as they come, with nothing to check or choose
    by their data: for them the receive loop does itself what `keeper` would, without a call.
    """

    kept: int

    @property
    def frames(self) -> list[bytes | bytearray]: ...
    @property
    def stamps(self) -> list[int]: ...
    @property
    def by_bus(self) -> Sequence[Counts]: ...
    def forget(self, bus: int) -> None: ...
    def keeper(self, bus: int) -> Keep: ...
    def plain(self, bus: int) -> Mapping[int, tuple[int, int]]: ...
    def wanted(self, bus: int) -> list[tuple[int, int]]: ...
    def needs(self, bus: int) -> "list[Need]": ...


class Feed:
    """One bus as its path sees it; `index` is the bus's number in the compiled plan.

    Counters: `frames` (data frames that were handed over; the kernel hands over what is wanted, and through the Broadcast
    Manager only as much of it as a sample needs), `remote_frames`, `unreadable` (what was no frame),
    `dropped` (wanted frames for which the kernel had no room). `say` logs the same text at most once a minute.
    """

    def __init__(self, settings: BusSettings, index: int, latest: Latest, clock: Clock, trouble: Trouble) -> None:
        self.settings = settings
        self.index = index
        self.latest = latest
        self.clock = clock
        self.trouble = trouble
        self.frames = 0
        self.remote_frames = 0
        self.unreadable = 0
        self.dropped = 0
        self.say = SparingLog(log, clock).say

    def lost(self, count: int) -> None:
        """So many more wanted frames had no room in the kernel's queue."""
        self.dropped += count
        self.trouble.dropped(self.dropped)

    def failed(self, error: Exception | str) -> BusError:
        """The error that ends a path."""
        return BusError(self.settings.interface, str(self.settings.channel), str(error) or type(error).__name__)


class Path(Protocol):
    """One way to hear a bus."""

    async def run(self, opened: Callable[[], None]) -> None:
        """Open, say so, and feed the newest frames until cancelled; BusError when the bus cannot be had or goes away."""
        ...

    def refresh(self) -> None:
        """Bring in what the kernel holds back: every newest frame is there afterwards. Never fails."""
        ...


def is_exact(wanted: tuple[int, int]) -> bool:
    """Whether a pair of `Latest.wanted` is one identifier, and not the many of a J1939 message."""
    return wanted[1] in (0x9FFFFFFF, 0x800007FF)


def masked(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those of the wanted pairs that stand for many identifiers each."""
    return [pair for pair in pairs if not is_exact(pair)]
