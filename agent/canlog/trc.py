"""PEAK's TRC recordings, versions 1.0 to 2.1."""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from agent.canlog.parser import ERROR, MAX_CLASSIC, REMOTE, S_TO_US, Frame, LogCounts, TextParser
from agent.errors import ConfigError

EPOCH_DAYS = 25569  # of 1970-01-01 after 1899-12-30, from which PEAK counts
DAY_US = 86_400 * S_TO_US
FD_LENGTHS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64)  # by length code
FRAMES = ("Rx", "Tx", "DT", "FD", "FB", "FE", "BI")
REMOTES = ("RR",)
ERRORS = ("Error", "ER")
NO_FRAMES = ("Warng", "ST", "EC", "EV")  # state of the controller, notes of the user


@dataclass(frozen=True)
class _Columns:
    """Where a version has what; -1: nowhere. `coded`: the length is a length code."""

    offset: int
    bus: int
    kind: int
    id: int
    length: int
    data: int
    coded: bool = False


LAYOUTS = {
    "1.0": _Columns(1, -1, -1, 2, 3, 4),
    "1.1": _Columns(1, -1, 2, 3, 4, 5),
    "1.2": _Columns(1, 2, 3, 4, 5, 6),
    "1.3": _Columns(1, 2, 3, 4, 6, 7),
}


class Trc(TextParser):
    """``1) 1059.9 Rx 0300 7 00 00 00 00 04 00 00`` and what later versions made of it; ``$COLUMNS`` names those of 2.x.

    Channels as in the file ("" before 1.2). The start in the header is taken as UTC, as python-can does and writes it;
    1.0 has none: its time counts from 0. Stamps have 1 ms in 1.0, 0.1 ms in 1.1, 1 us since 1.2.

    Ours because python-can's TRCReader takes 1.2 for 1.0, passes over damaged lines without a word, and ends at the first
    one that is no number.
    """

    name = "PEAK TRC"
    LINE = re.compile(r"\s*;(\$(FILEVERSION|STARTTIME|COLUMNS)\s*=|\s*Start time:|-{2,}\+)", re.IGNORECASE)
    KEYWORD = re.compile(r"\s*;\$(\w+)\s*=\s*([^;\s]*)")

    def __init__(self, path: str, counts: LogCounts, wanted: Container[int] | None) -> None:
        super().__init__(path, counts, wanted)
        self._columns = LAYOUTS["1.0"]
        self._start_us = 0

    def rows(self, lines: list[str]) -> Iterator[Frame]:
        for index, line in enumerate(lines):
            if line.lstrip().startswith(";"):
                self._header(line)
                continue
            try:
                row = self._row(line.split())
            except (ValueError, IndexError, OverflowError) as error:
                self.bad_line(index, line, error)
                continue
            if row is not None:
                yield row

    def _header(self, line: str) -> None:
        found = self.KEYWORD.match(line)
        if not found:
            return
        word, value = found[1].upper(), found[2]
        if word == "FILEVERSION" and value.startswith("1."):
            if value not in LAYOUTS:
                raise ConfigError(self.path, [f"PEAK TRC version {value}; read here: {', '.join(LAYOUTS)}, 2.x"])
            self._columns = LAYOUTS[value]
        elif word == "STARTTIME":
            try:
                self._start_us = round((Decimal(value) - EPOCH_DAYS) * DAY_US)
            except (InvalidOperation, OverflowError, ValueError):
                self.counts.notes.append(f"start time not understood, time counts from 0: {line.strip()}")
        elif word == "COLUMNS":
            letters = value.split(",")
            if missing := [letter for letter in "OTID" if letter not in letters]:
                raise ConfigError(self.path, [f"$COLUMNS={value} does not name {', '.join(missing)}"])
            at = {letter: number for number, letter in enumerate(letters)}
            length = at.get("l", at.get("L", -1))
            self._columns = _Columns(at["O"], at.get("B", -1), at["T"], at["I"], length, at["D"], "l" not in at)

    def _row(self, parts: list[str]) -> Frame | None:
        columns = self._columns
        t_us = self._start_us + _milliseconds_as_us(parts[columns.offset])
        if columns.kind < 0:
            kind = {"ERROR": "ER", "RTR": "RR"}.get(parts[columns.data] if len(parts) > columns.data else "", "DT")
            kind = "ST" if parts[columns.id] == "FFFFFFFF" else kind
        else:
            kind = parts[columns.kind]
        if kind in NO_FRAMES:
            return None
        if kind in ERRORS:
            return t_us, "", ERROR, b""
        if kind not in FRAMES and kind not in REMOTES:
            raise ValueError(f"type {kind} is not known")
        texts = parts[columns.data :]
        if kind in REMOTES or texts[:1] == ["RTR"]:
            return t_us, "", REMOTE, b""
        channel = parts[columns.bus] if columns.bus >= 0 else ""
        can_id = self._id_of(parts[columns.id])
        data = bytes.fromhex(" ".join(texts))
        length = int(parts[columns.length]) if columns.length >= 0 else len(data)
        if kind in ("DT", "Rx", "Tx"):
            length = min(length, MAX_CLASSIC)
        elif columns.coded and columns.length >= 0:
            length = FD_LENGTHS[length]
        if len(data) != length or length not in FD_LENGTHS:
            raise ValueError(f"{len(data)} bytes where the length says {length}")
        return t_us, channel, can_id, data

    def _id_of(self, token: str) -> int:
        can_id = self.ids.get(token)
        if can_id is None:
            can_id = self.ids[token] = self.known_id(int(token, 16), len(token) > 4)
        return can_id


def _milliseconds_as_us(text: str) -> int:
    whole, _, decimals = text.partition(".")
    return int(whole + (decimals + "000")[:3])
