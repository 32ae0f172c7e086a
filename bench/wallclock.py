"""What the platform needs of a clock; `agent.clock.Clock` is one."""

from typing import Protocol


class WallClock(Protocol):
    """Scaled time."""

    def wall_ms(self) -> int:
        """Unix milliseconds, scaled."""

    def now(self) -> int:
        """Monotonic milliseconds, scaled."""

    def real_s(self, ms: int) -> float:
        """Real seconds of a scaled duration."""
