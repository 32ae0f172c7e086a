"""Nested multiplexers with ranges of values, and signals anywhere in 64 bytes, decode as cantools decodes them."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from test_signals_against_cantools import compare

from agent.core.frames import EXTENDED
from agent.mapping.dbcfile import load_dbc

DEEPEST = 3
SEEDS = st.integers(0, 1 << 32)


class Drawn:
    """The lines of one message with multiplexers below multiplexers."""

    def __init__(self, random_: random.Random, frame_id: int, size: int) -> None:
        self._random = random_
        self._frame_id = frame_id
        self._names = 0
        self.signals: list[str] = []
        self.values: list[str] = []
        self._page(0, 8 * size, 0, None)

    def _page(self, begin: int, end: int, depth: int, above: tuple[str, list[tuple[int, int]]] | None) -> None:
        """Fill these bits: a multiplexer with its pages in the first part, and signals that all these pages have."""
        if depth < DEEPEST and end - begin >= 48 and (depth == 0 or self._random.random() < 0.7):
            length = self._random.randint(1, 11)
            name, begin = self._signal(begin, length, above, multiplexes=True)
            middle = end - 8 * self._random.randint(0, 2)
            self._pages(name, length, begin, middle, depth)
            begin = middle
        for _ in range(self._random.randint(1, 3)):
            if end > begin:
                _, begin = self._signal(begin, self._random.randint(1, min(64, end - begin)), above, multiplexes=False)

    def _pages(self, name: str, length: int, begin: int, end: int, depth: int) -> None:
        """Up to two pages, each of a range of values, some of two."""
        most = 1 << length
        cuts = sorted(self._random.sample(range(most), min(most, 4)))
        for first, last in zip(cuts[::2], cuts[1::2], strict=False):
            ranges = [(first, self._random.randint(first, min(first + 3, last - 1)))]
            if self._random.random() < 0.3:
                ranges.append((last, last))
            self._page(begin, end, depth + 1, (name, ranges))

    def _signal(
        self, begin: int, length: int, above: tuple[str, list[tuple[int, int]]] | None, *, multiplexes: bool
    ) -> tuple[str, int]:
        """Add a signal; its name, and the next free bit."""
        name = f"S{self._names}"
        self._names += 1
        mark = (f"m{above[1][0][0]}" if above else "") + ("M" if multiplexes else "")
        sign = "+" if multiplexes else self._random.choice("+-")
        big = self._random.random() < 0.5
        # A run of bits from the beginning of a byte, in the reading order of either byte order, leaves no byte half used.
        start, order = (begin + 7, 0) if big else (begin, 1)
        following = -(-(begin + length) // 8) * 8
        self.signals.append(f' SG_ {name} {mark} : {start}|{length}@{order}{sign} (1,0) [0|0] "" A')
        if above:
            ranges = ", ".join(f"{first}-{last}" for first, last in above[1])
            self.values.append(f"SG_MUL_VAL_ {self._frame_id} {name} {above[0]} {ranges};")
        return name, following


def dbc_text(random_: random.Random) -> str:
    messages, values = [], []
    for number in range(2):
        size = random_.choice([16, 24, 64])
        frame_id = 256 + number if random_.random() < 0.5 else EXTENDED | 0x18FF0000 + number
        drawn = Drawn(random_, frame_id, size)
        messages += [f"BO_ {frame_id} M{number}: {size} A", *drawn.signals, ""]
        values += drawn.values
    return "\n".join(['VERSION ""', "BU_: A", *messages, *values, ""])


@given(SEEDS)
@settings(max_examples=60)
def test_nested_multiplexers_decode_as_cantools_does(seed: int) -> None:
    random_ = random.Random(seed)
    dbc = load_dbc("drawn.dbc", dbc_text(random_).encode(), lenient=False)
    for message in dbc.messages:
        compare(dbc, message, random_)


def test_drawn_files_have_multiplexers_three_deep() -> None:
    """The property above would hold for files without any, too."""
    deep = compared = 0
    for seed in range(30):
        random_ = random.Random(seed)
        dbc = load_dbc("drawn.dbc", dbc_text(random_).encode(), lenient=False)
        for message in dbc.messages:
            by_name = {signal.name: signal for signal in message.signals}
            for signal in message.signals:
                depth = 0
                while signal.multiplexer_signal is not None:
                    signal, depth = by_name[signal.multiplexer_signal], depth + 1
                deep += depth == DEEPEST
            compared += compare(dbc, message, random_)
    assert deep > 50
    assert compared > 1000


@given(start=st.integers(0, 511), length=st.integers(1, 64), big=st.booleans(), signed=st.booleans(), seed=SEEDS)
@settings(max_examples=300)
def test_a_signal_anywhere_in_64_bytes_decodes_as_cantools_does(
    start: int, length: int, big: bool, signed: bool, seed: int
) -> None:
    first = 8 * (start // 8) + 7 - start % 8 if big else start  # in reading order
    if first + length > 512:
        length = 512 - first
    line = f' SG_ S : {start}|{length}@{0 if big else 1}{"-" if signed else "+"} (1,0) [0|0] "" A'
    # No VFrameFormat says that it is CAN FD: the length does.
    dbc = load_dbc("fd.dbc", f'VERSION ""\nBU_: A\nBO_ 256 M: 64 A\n{line}\n'.encode(), lenient=False)
    assert compare(dbc, dbc.messages[0], random.Random(seed)) > 0
