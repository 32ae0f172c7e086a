"""CAN in from a recording, at its own pace on the clock, which may be scaled."""

import logging
from collections.abc import Callable

from agent.canbus.feed import Feed
from agent.canlog.reader import read_log
from agent.errors import ConfigError

BURST = 256  # frames of a recording played in one go before other tasks get their turn
LATE_MS = 2  # real ms by which a recording's frames may come late, for fewer wake-ups


class Player:
    """Plays the recording that `channel` names."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def refresh(self) -> None:
        """Nothing: what was due has been played."""

    async def run(self, opened: Callable[[], None]) -> None:
        """Play to the end, or for ever with loop = true. Raises ConfigError for a recording that cannot be read."""
        feed, clock, settings = self._feed, self._feed.clock, self._feed.settings
        options = dict(settings.options)
        only, frame_ms = options.pop("log_channel", None), options.pop("frame_ms", None)
        if options:
            faults = [f"option {key!r} is not known for a recording (known: frame_ms, log_channel)" for key in options]
            raise ConfigError(f"[[can]] {settings.name}", faults)
        reader = read_log(str(settings.channel), frame_ms=frame_ms)
        keep = feed.latest.keeper(feed.index)
        late_ms = int(LATE_MS * clock.speed)
        opened()
        again = True
        while again:
            start_ms = now = clock.now()
            stamp, burst = clock.stamp(), 0
            for t_us, channel, can_id, data in reader:
                due_ms = start_ms + (t_us - reader.start_us) // 1000
                burst += 1
                if due_ms > now or burst > BURST:
                    await clock.sleep_until(due_ms + late_ms if due_ms > now else now)
                    stamp, burst = clock.stamp(), 0
                    now = clock.at(stamp)
                if only is None or channel == only:
                    feed.frames += 1
                    keep(can_id, data, stamp)
            if notes := "; ".join(reader.clock_notes):
                feed.say(logging.WARNING, "clock of the recording bus=%s: %s", settings.name, notes)
            end_ms = start_ms + (reader.end_us - reader.start_us) // 1000
            await clock.sleep_until(max(end_ms, clock.now() + 1))
            again = settings.loop
