"""How long to wait before the next connect, and how often to talk about it. No I/O, no clock, no random numbers."""

FIRST_PAUSE_MS = 1000  # between connects in the first minute of an outage
LAST_PAUSE_MS = 60000
PATIENCE_MS = 60000  # how long the first pause holds before it doubles; also from one remark to the next
SHORT_MS = 10000  # a link that was lost so soon after its login was of no use, and the outage before it goes on
JITTER_PERMILLE = 200  # a fleet must not come back in step


class Outage:
    """Begins with the process or a lost link, is over with a login: a link that never logs in does not end it.

    A platform that closes each link behind its login would be called once a second for ever: that outage goes on as well.
    """

    def __init__(self, now: int) -> None:
        self._since: int | None = now
        self._before: int | None = None  # begin of the outage that the last login ended
        self._over_at = 0
        self._pause_ms = FIRST_PAUSE_MS
        self._said_at: int | None = None
        self._login_wait_ms = 0

    def begin(self, now: int) -> None:
        """The link is of no use from `now` (monotonic ms) on; an outage that runs already goes on."""
        if self._since is None:
            if self._before is not None and now - self._over_at < SHORT_MS:
                self._since = self._before
            else:
                self._since = now
                self._pause_ms = FIRST_PAUSE_MS

    def over(self, now: int) -> int:
        """A login succeeded; how long the outage lasted, in ms."""
        lasted = 0 if self._since is None else now - self._since
        self._before = self._since
        self._over_at = now
        self._since = self._said_at = None
        return lasted

    def wait_for_login(self, ms: int) -> None:
        """Three logins failed: the next pause is this long one (annex B)."""
        self._login_wait_ms = ms

    def pause_ms(self, now: int, permille: int) -> int:
        """How long to wait before the next connect; `permille`, 0 to 1000, spreads it by a fifth either way."""
        wait = self._login_wait_ms
        self._login_wait_ms = 0
        if wait:
            return wait
        if self._since is not None and now - self._since > PATIENCE_MS:
            self._pause_ms = min(2 * self._pause_ms, LAST_PAUSE_MS)
        return self._pause_ms * (1000 - JITTER_PERMILLE + 2 * JITTER_PERMILLE * permille // 1000) // 1000

    def worth_saying(self, now: int) -> bool:
        """True for the first failure of an outage, then once a minute."""
        if self._said_at is not None and now - self._said_at < PATIENCE_MS:
            return False
        self._said_at = now
        return True
