"""A bus's configuration and a keeper of frames, for tests of receiving."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.core.frames import BusCounts

EXTENDED = 0x80000000


@dataclass(frozen=True)
class Settings:
    name: str = "pt"
    interface: str = "virtual"
    channel: str | int = "test"
    bitrate: int | None = None
    data_bitrate: int | None = None
    fd: bool = False
    listen_only: bool = True
    loop: bool = False
    bcm: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)


class Kept:
    """Takes what a bus keeps, and calls back once `count` frames are there."""

    def __init__(self, count: int = 0, reached: Callable[[], object] = lambda: None) -> None:
        self.rows: list[tuple[int, int, bytes, int]] = []
        self.count = count
        self.reached = reached
        self.kept = 0
        self.by_bus = [BusCounts() for _ in range(3)]
        self.forgotten: list[int] = []
        self.frames: list[bytes | bytearray] = [b"", b""]
        self.stamps = [0, 0]

    def keeper(self, bus: int) -> Callable[[int, bytes | bytearray, int], None]:
        def keep(can_id: int, data: bytes | bytearray, stamp: int) -> None:
            self.rows.append((bus, can_id, bytes(data), stamp))
            if len(self.rows) == self.count:
                self.reached()

        return keep

    def plain(self, bus: int) -> dict[int, tuple[int, int]]:
        return {0x200: (0, 2), 0x18FEF100 | EXTENDED: (1, 8)}

    def forget(self, bus: int) -> None:
        self.forgotten.append(bus)

    def wanted(self, bus: int) -> list[tuple[int, int]]:
        return [(0x123, 0x800007FF)]

    @property
    def called(self) -> list[tuple[int, bytes]]:
        return [(can_id, data) for _, can_id, data, _ in self.rows]
