"""Random plans of one bus, and random traffic for them: what cars send, and what they should not."""

from random import Random
from typing import Any

EXTENDED = 0x80000000
ERROR, REMOTE = 0x20000000, 0x40000000
LONG_MS = 100_000  # a timeout that no test reaches
CRC8 = [0, "crc8", 0x2F, 0xFF, 0xFF]


def source(rng: Random, length: int, first: int, timeout_ms: int = LONG_MS) -> list[Any]:
    """A source of two little-endian and two big-endian signals at random places; values go to `first` and the next three."""
    sides: list[list[Any]] = [[], []]
    for number in range(4):
        bits = rng.randint(1, min(16, 8 * length))
        mask = (1 << bits) - 1
        shift = rng.randint(0, 8 * length - bits)
        sides[number // 2].append([shift, mask, 0, 0, mask, 1, 0, 1, first + number])
    return [length, timeout_ms, *sides, [], []]


class Message:
    """One message of a random plan, and the next frame of it.

    `sort`: whether it comes as CAN FD frames; None: now so, now so.
    """

    def __init__(self, rng: Random, can_id: int, kind: str, fd: bool) -> None:
        self.rng, self.can_id, self.kind = rng, can_id, kind
        long = fd and rng.random() < 0.5
        self.sort = rng.choice((True, False, None)) if fd and kind == "plain" else fd and rng.random() < 0.5
        if long:
            self.sort = True
        self.length = rng.choice((12, 24, 64)) if long else rng.randint(3, 8)
        self.byte = rng.randint(1, min(self.length, 8) - 1)
        self.mask = rng.choice((0x0F, 0xF0, 0xFF, 0x03))
        low = self.mask & -self.mask
        known = rng.sample(range(self.mask // low + 1), rng.randint(2, min(12, self.mask // low + 1)))
        self.values = [low * each for each in known]
        self.unknown = [low * each for each in range(self.mask // low + 1) if each not in known]
        self.count = 0
        self.row: list[Any] = []

    def rows(self, sources: list[list[Any]]) -> list[Any]:
        """The message row; appends its sources."""

        def slot() -> int:
            sources.append(source(self.rng, self.length, 4 * len(sources)))
            return len(sources) - 1

        own, selectors, alive, checksum = -1, [], None, None
        if self.kind in ("plain", "alive", "checksum", "both", "common"):
            own = slot()
        if self.kind in ("pages", "common", "alive pages"):
            mapped = [value for value in self.values if self.rng.random() < 0.8] or self.values[:1]
            cases = [[value, value, [slot()] if value in mapped else [], []] for value in sorted(self.values)]
            selectors = [[self.byte, self.mask, self.byte + 1, cases]]
        if self.kind in ("alive", "both", "alive pages"):
            alive = [self.length - 1, 0x0F, self.length]
        if self.kind in ("checksum", "both"):
            checksum = CRC8
        self.row = [0, self.can_id, -1, self.length, own, selectors, alive, checksum]
        return self.row

    def frame(self) -> bytes:
        """Mostly as it should be; few different contents, so that they repeat."""
        rng = self.rng
        data = bytearray(rng.choice((0, 0x11, 0xFF, rng.randrange(256))) for _ in range(self.length))
        if "pages" in self.kind or self.kind == "common":
            unknown = self.unknown and rng.random() < 0.1
            data[self.byte] = data[self.byte] & ~self.mask | rng.choice(self.unknown if unknown else self.values)
        if self.kind in ("alive", "both", "alive pages"):
            self.count += rng.choice((1, 1, 1, 0, 16, 15))
            data[-1] = data[-1] & 0xF0 | self.count & 0x0F
        if self.kind in ("checksum", "both") and rng.random() < 0.8:
            data[0] = crc8(data[1:])
        if rng.random() < 0.05:
            del data[rng.randrange(self.length) :]
        return bytes(data)


def crc8(data: bytes) -> int:
    value = 0xFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ 0x2F if value & 0x80 else value << 1) & 0xFF
    return value ^ 0xFF


KINDS = ("plain", "plain", "pages", "pages", "common", "alive", "checksum", "both", "alive pages")


class Bus:
    """A plan with one bus of random messages, and its traffic."""

    def __init__(self, seed: int, *, fd: bool = False, count: int = 30, kinds: tuple[str, ...] = KINDS) -> None:
        self.rng = Random(seed)
        self.fd = fd
        ids = [self.rng.choice((0, EXTENDED)) | each for each in self.rng.sample(range(0x7FF), count)]
        self.messages = [Message(self.rng, can_id, self.rng.choice(kinds), fd) for can_id in ids]
        self.sources: list[list[Any]] = []
        rows = [message.rows(self.sources) for message in self.messages]
        self.plan: dict[str, Any] = {"buses": ["pt"], "messages": rows, "sources": self.sources}

    def traffic(self, frames: int) -> list[tuple[int, bytes, bool]]:
        """(identifier with flags, data, is FD) of so many frames; some are nobody's, remote or error frames."""
        found = []
        for _ in range(frames):
            luck = self.rng.random()
            if luck < 0.02:
                found.append((ERROR | 0x04, bytes(8), False))
            elif luck < 0.04:
                found.append((REMOTE | self.rng.choice(self.messages).can_id, b"", False))
            elif luck < 0.1:
                found.append((self.rng.choice(self.messages).can_id ^ EXTENDED, bytes(8), False))
            else:
                message = self.rng.choice(self.messages)
                data = message.frame()
                fd = self.rng.random() < 0.5 if message.sort is None else message.sort
                found.append((message.can_id, fd_padded(data) if fd else data, fd))
        return found


def fd_padded(data: bytes) -> bytes:
    """As long as a CAN FD frame can be."""
    sizes = (*range(9), 12, 16, 20, 24, 32, 48, 64)
    return data.ljust(next(size for size in sizes if size >= len(data)), b"\0")
