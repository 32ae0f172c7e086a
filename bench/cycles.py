"""Drive cycles: the speed a driver aims at, second by second.

The built-in cycle is our own. A file gives any other: CSV, one row a second, km/h in one column.
"""

import csv
from pathlib import Path

__all__ = ["URBAN", "Cycle", "CycleError", "load_cycle"]

MAX_SPEED_KMH = 180.0  # what the reference cars can drive

# (duration in s, speed in km/h at its end); negative is backwards. Between the ends the speed changes evenly.
URBAN_SEGMENTS = (
    (1, 0),
    (9, 32),
    (22, 34),
    (8, 12),
    (5, 14),
    (9, 48),
    (30, 50),
    (10, 0),
    (12, 0),
    (12, 45),
    (10, 42),
    (9, 66),
    (40, 68),
    (11, 28),
    (14, 30),
    (9, 0),
    (14, 0),
    (6, 18),
    (9, 16),
    (6, 0),
    (4, 0),
    (3, -4),
    (3, -4),
    (3, 0),
    (4, 0),
    (8, 24),
    (17, 22),
    (7, 0),
    (5, 0),
)


class CycleError(Exception):
    """A drive cycle cannot be used; the text says which file, what is wrong and what is allowed."""


class Cycle:
    """Target speed over time, one value a second, repeated for ever.

    `speeds_kmh`: the target at 0, 1, 2, ... s; the last second joins the first.
    """

    def __init__(self, name: str, speeds_kmh: list[float]) -> None:
        self.name = name
        self._speeds = [speed / 3.6 for speed in speeds_kmh]
        self._speeds.append(self._speeds[0])

    @property
    def duration_s(self) -> int:
        """Seconds until it begins again."""
        return len(self._speeds) - 1

    def target(self, seconds: float) -> float:
        """Speed in m/s that the driver aims at; negative is backwards."""
        within = seconds % self.duration_s
        second = int(within)
        before, after = self._speeds[second], self._speeds[second + 1]
        return before + (after - before) * (within - second)


def _from_segments(segments: tuple[tuple[int, float], ...]) -> list[float]:
    speeds: list[float] = [0.0]
    for duration, end in segments:
        start = speeds[-1]
        speeds.extend(start + (end - start) * (second + 1) / duration for second in range(duration))
    return speeds


URBAN = Cycle("urban", _from_segments(URBAN_SEGMENTS))


def load_cycle(source: str) -> Cycle:
    """Read `FILE` or `FILE:COLUMN`: a CSV with a header, time first, km/h; separated by comma or semicolon.

    Without a column the one after the time is taken. A cell that is empty ends the cycle.
    """
    file, column = source, ""
    if not Path(file).exists() and ":" in source:
        file, column = source.rsplit(":", 1)
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CycleError(f"drive cycle {file}: cannot be read: {error}") from error
    header = text.partition("\n")[0]
    rows = list(csv.reader(text.splitlines(), delimiter=";" if ";" in header else ","))
    names = [name.strip() for name in rows[0]] if rows else []
    if len(names) < 2:
        raise CycleError(f"drive cycle {file}: needs a header line with a time column and at least one column of km/h")
    if column and column not in names[1:]:
        raise CycleError(f"drive cycle {file}: no column {column!r}; there are: {', '.join(names[1:])}")
    place = names.index(column) if column else 1
    speeds: list[float] = []
    for line, row in enumerate(rows[1:], start=2):
        cell = row[place].strip() if len(row) > place else ""
        if not cell:
            break
        speeds.append(_speed(file, line, cell))
    if len(speeds) < 2:
        raise CycleError(
            f"drive cycle {file}: column {names[place]!r} holds {len(speeds)} values, needed are 2 or more"
        )
    return Cycle(f"{Path(file).name}:{names[place]}", speeds)


def _speed(file: str, line: int, cell: str) -> float:
    try:
        speed = float(cell)
    except ValueError:
        speed = float("nan")
    if not -MAX_SPEED_KMH <= speed <= MAX_SPEED_KMH:  # also false for what is not a number
        allowed = f"a speed in km/h from -{MAX_SPEED_KMH:g} to {MAX_SPEED_KMH:g}"
        raise CycleError(f"drive cycle {file}: line {line}: {cell!r} is not {allowed}")
    return speed
