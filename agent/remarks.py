"""What others cause is logged with a limit: a platform or a bus that sends rubbish must not fill the disk with remarks."""

import logging

MOST = 10  # remarks of one kind in a minute
PERIOD_MS = 60_000


class Remarks:
    """Logs at most `MOST` remarks of one text a minute, and says with the next one how many were left out.

    The kinds are the texts before their values are put in, so that their number is that of the places in the program.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._kinds: dict[str, list[int]] = {}  # [begin of the minute, said in it, left out in it]

    def say(self, now: int, level: int, text: str, *values: object) -> None:
        """Log it at `now` (monotonic ms), or count it."""
        kind = self._kinds.setdefault(text, [now, 0, 0])
        if now - kind[0] >= PERIOD_MS:
            left_out = kind[2]
            kind[:] = [now, 0, 0]
            if left_out:
                self._log.log(level, text + " (%d more of these were not logged)", *values, left_out)
                kind[1] = 1
                return
        if kind[1] == MOST:
            kind[2] += 1
            return
        kind[1] += 1
        self._log.log(level, text, *values)
