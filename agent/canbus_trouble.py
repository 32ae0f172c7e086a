"""What went wrong on a bus, counted."""


class Trouble:
    """Counters of one bus."""

    def __init__(self) -> None:
        self.error_frames = 0
        self.drops = 0

    def error_frame(self, can_id: int, data: bytes) -> None:  # noqa: ARG002 - told apart by who reads them
        """A controller's report: no frame of the bus."""
        self.error_frames += 1

    def dropped(self, total: int) -> None:
        """So many frames were lost since the bus was first opened: the kernel had no room for them."""
        self.drops = total

    def counts(self) -> dict[str, int]:
        return {"error_frames": self.error_frames, "dropped": self.drops}
