"""Rows and outboxes for the tests of the outbox."""

from pathlib import Path

from agent.outbox import NewRow, Outbox

START = 1_700_000_000  # Unix time of the first sample


class Wall:
    """A wall clock that stands where the test puts it."""

    def __init__(self) -> None:
        self.s = START

    def __call__(self) -> int:
        return self.s


def new_row(second: int, part: int = 1, bodies: bytes = b"bodies") -> NewRow:
    return NewRow(second * 1000, START + second, "2016", "LGBTEST0000000017", part, bodies)


def open_outbox(path: Path, **options: object) -> Outbox:
    settings: dict[str, object] = {"wall_s": Wall(), "kernel_boot": "boot-a", **options}
    return Outbox.open(path, **settings)  # type: ignore[arg-type]


def ids_of(outbox: Outbox, limit: int = 1000, **options: object) -> list[int]:
    return [row.id for row in outbox.batch(limit, **options)]  # type: ignore[arg-type]


def total(outbox: Outbox) -> dict[str, object]:
    counts: dict[str, object] = outbox.stats()["total"]
    return {name: n for name, n in counts.items() if n}
