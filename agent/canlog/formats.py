"""Line parsers of recordings that are plain enough for one expression a line: candump, SavvyCAN's GVRET CSV and CRTD."""

import re
from collections.abc import Container, Iterator

from agent.canlog.parser import ERROR, MAX_CLASSIC, MAX_FD, REMOTE, Frame, LogCounts, TextParser, microseconds

CANDUMP_ERROR_FLAG = 0x20000000  # CAN_ERR_FLAG of linux/can.h, which candump writes as part of the identifier


class Candump(TextParser):
    """``(1608041699.326500) can1 7BB#0102``; ``##`` is CAN FD, ``#R`` a remote frame, ``R`` or ``T`` may end the line.

    Ours because python-can's CanutilsLogReader takes 3.5 times as long (3.5 against 1.0 us a frame in one run, every
    frame wanted), half of what replaying a frame may cost altogether, and ends at the first damaged line.
    """

    name = "candump"
    LINE = re.compile(r"\(-?\d+\.\d+\)\s+\S+\s+[0-9A-F]{3,8}#", re.ASCII | re.IGNORECASE)

    def rows(self, lines: list[str]) -> Iterator[Frame]:
        ids, fromhex = self.ids, bytes.fromhex
        for index, line in enumerate(lines):
            try:
                parts = line.split()
                token, _, text = parts[2].partition("#")
                can_id = ids.get(token)
                if can_id is None:
                    can_id = ids[token] = self._id_of(token)
                stamp = parts[0]
                t_us = int(stamp[1:-8] + stamp[-7:-1]) if stamp[-8] == "." else microseconds(stamp[1:-1])
                data = b""
                if can_id >= 0:
                    try:
                        data = fromhex(text)
                    except ValueError:
                        if text[:1] in "Rr":
                            can_id = REMOTE
                        else:
                            data = self._unusual_data(text)
                    if len(data) > MAX_CLASSIC and text[0] != "#":
                        raise ValueError(f"{len(data)} bytes in a classic frame")
            except (ValueError, IndexError) as error:
                self.bad_line(index, line, error)
                continue
            yield t_us, parts[1], can_id, data

    def _id_of(self, token: str) -> int:
        number = int(token, 16)
        if len(token) == 3:
            return self.known_id(number, extended=False)
        if len(token) != 8:
            raise ValueError(f"identifier {token} has neither 3 nor 8 digits")
        return ERROR if number & CANDUMP_ERROR_FLAG else self.known_id(number, extended=True)

    @staticmethod
    def _unusual_data(text: str) -> bytes:
        """Data of a CAN FD frame (after the second # and a digit of flags), or with a raw length code behind ``_``."""
        if text[:1] != "#":
            return bytes.fromhex(text.partition("_")[0])
        int(text[1], 16)
        data = bytes.fromhex(text[2:])
        if len(data) > MAX_FD:
            raise ValueError(f"{len(data)} bytes in a CAN FD frame")
        return data


class Gvret(TextParser):
    """SavvyCAN's "GVRET" CSV: ``Time Stamp,ID,Extended[,Dir],Bus,LEN,D1,...``; stamps in us, identifiers in hex.

    Only LEN bytes count: the columns of short frames are padded with 00.
    """

    name = "GVRET CSV"
    LINE = re.compile(
        r".{,3}time stamp,id,extended,(?P<dir>dir,)?bus,len,d1\b", re.IGNORECASE
    )  # up to 3: byte order mark
    EXTENDED_WORDS = {"false": False, "0": False, "true": True, "1": True}  # noqa: RUF012 - a table

    def __init__(self, path: str, counts: LogCounts, wanted: Container[int] | None) -> None:
        super().__init__(path, counts, wanted)
        self.length_column = 4

    def rows(self, lines: list[str]) -> Iterator[Frame]:
        ids, fromhex, length_column = self.ids, bytes.fromhex, self.length_column
        for index, line in enumerate(lines):
            try:
                parts = line.split(",", length_column + 1)
                token = parts[1] + parts[2]
                can_id = ids.get(token)
                if can_id is None:
                    if header := self.LINE.match(line):
                        length_column = self.length_column = 5 if header["dir"] else 4
                        continue
                    can_id = ids[token] = self.known_id(int(parts[1], 16), self.EXTENDED_WORDS[parts[2].lower()])
                t_us = int(parts[0])
                channel = parts[length_column - 1]
                data = b""
                if can_id >= 0 and (length := int(parts[length_column])):
                    columns = parts[length_column + 1]
                    try:
                        data = fromhex(columns[: 3 * length].replace(",", " "))
                    except ValueError:
                        data = bytes([int(byte, 16) for byte in columns.split(",")[:length]])
                    if len(data) != length or length > MAX_FD:
                        raise ValueError(f"{len(data)} bytes where LEN says {length}")
            except (ValueError, IndexError, KeyError) as error:
                self.bad_line(index, line, error)
                continue
            yield t_us, channel, can_id, data


class Crtd(TextParser):
    """SavvyCAN's and OVMS's CRTD: ``166.064000 R11 0000021A FE 36``; stamps in seconds, a digit before R or T is the bus.

    Records that begin with C (comments, events, counters of errors) hold no frame and are passed over.
    """

    name = "CRTD"
    LINE = re.compile(r"\d+\.\d+ (\d?[RT](11|29) [0-9A-F]|C[XV][XR] )", re.ASCII | re.IGNORECASE)
    RECORD = re.compile(r"(\d?)[RT](11|29)$", re.ASCII)

    def rows(self, lines: list[str]) -> Iterator[Frame]:
        ids = self.ids
        for index, line in enumerate(lines):
            try:
                stamp, record, *parts = line.split()
                if record.lstrip("0123456789")[:1] == "C":
                    continue
                kind = self.RECORD.match(record)
                if kind is None:
                    raise ValueError(f"record {record} is neither R11, R29, T11 nor T29")
                token = kind[2] + parts[0]
                can_id = ids.get(token)
                if can_id is None:
                    can_id = ids[token] = self.known_id(int(parts[0], 16), kind[2] == "29")
                data = bytes.fromhex(" ".join(parts[1:]))
                if len(data) > MAX_CLASSIC:
                    raise ValueError(f"{len(data)} bytes in a classic frame")
                t_us = microseconds(stamp)
            except (ValueError, IndexError) as error:
                self.bad_line(index, line, error)
                continue
            yield t_us, kind[1], can_id, data
