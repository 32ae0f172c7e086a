"""What a DBC file would make of this machine, told before it is loaded.

The loader builds every page of a multiplexed message (and below each all pages of the next multiplexer), every bit of a
message and every character of a signal's format: a few digits too many ask it for hours or for all memory there is.
"""

import re
from collections.abc import Iterator

__all__ = ["oversized"]

MOST_BYTES = 4095  # of a message; ISO-TP has so many, J1939 1785, CAN FD 64
MOST_PAGES = 1 << 17  # of a file; 6 s of loading
MOST_DEEP = 16  # multiplexers below each other
MOST_DIGITS = 1000  # of a number; the largest double has 309
_STRING = r'"(?:[^"\\]|\\.)*"'
_MANY_DIGITS = re.compile(rf"\d{{{MOST_DIGITS},}}")
_LENGTH = re.compile(r"\bBO_\s+\d+\s+(\w+)\s*:\s*(\d+)")
_BITS = re.compile(r"\bSG_\s+(\w+)\s*\w*\s*:\s*(\d+)\s*\|\s*(\d+)\s*@")
_PAGES = re.compile(r"\bSG_MUL_VAL_\s+(\d+)\s+(\w+)\s+(\w+)\s+([\d\s,-]*)")
_CHOICES = re.compile(rf"\bVAL_\s+(\d+)\s+(\w+)((?:\s+-?\d+\s+{_STRING})*)")
_RANGE = re.compile(r"(\d+)\s*-\s*(\d+)")

Ranges = list[tuple[int, int]]
Pages = dict[tuple[str, str], dict[str, Ranges]]  # (message's number, multiplexer) -> signal -> values
Counts = dict[tuple[str, str], tuple[int, int]]


def oversized(text: str) -> str | None:
    """The first thing that is too large to be loaded, in one line with its place; None for a file that can be."""
    if found := _MANY_DIGITS.search(text):
        return f"line {_line(text, found.start())}: a number of {len(found[0])} digits"
    for found in _LENGTH.finditer(text):
        if int(found[2]) > MOST_BYTES:
            return f"line {_line(text, found.start())}: message {found[1]} has {found[2]} bytes; at most {MOST_BYTES}"
    for found in _BITS.finditer(text):
        if int(found[2]) + int(found[3]) > 8 * MOST_BYTES:
            said = f"signal {found[1]} ends at bit {int(found[2]) + int(found[3]) - 1}; at most {8 * MOST_BYTES} bits"
            return f"line {_line(text, found.start())}: {said}"
    return _too_many_pages(text)


def _too_many_pages(text: str) -> str | None:
    pages: Pages = {}
    places: dict[str, int] = {}
    for found in _PAGES.finditer(text):
        number, signal, multiplexer, ranges = found.groups()
        places.setdefault(number, found.start())
        values = [(int(first), int(last)) for first, last in _RANGE.findall(ranges)]
        pages.setdefault((number, multiplexer), {}).setdefault(signal, []).extend(values)
    choices = {
        (number, signal): len(re.findall(_STRING, rest))
        for number, signal, rest in _CHOICES.findall(text)
        if number in places
    }
    total, known = 0, Counts()
    for number, multiplexer in _outermost(pages):
        count, deep = _page_count(pages, choices, known, (number, multiplexer))
        total += count
        if deep > MOST_DEEP:
            return (
                f"line {_line(text, places[number])}: multiplexers of message {number} lie more than {MOST_DEEP} deep"
            )
        if total > MOST_PAGES:
            said = f"SG_MUL_VAL_ of message {number} and those before it make {total} pages"
            return f"line {_line(text, places[number])}: {said} (values, times those below them); at most {MOST_PAGES}"
    return None


def _outermost(pages: Pages) -> Iterator[tuple[str, str]]:
    """Multiplexers that lie below no other; the loader does not come to those that lie in a circle."""
    inner = {
        (number, signal) for (number, multiplexer), below in pages.items() for signal in below if signal != multiplexer
    }
    return (key for key in pages if key not in inner)


def _page_count(
    pages: Pages, choices: dict[tuple[str, str], int], known: Counts, key: tuple[str, str], above: int = 0
) -> tuple[int, int]:
    """Pages of a multiplexer and of the ones below it on each of the pages that have them; how deep they lie."""
    if key in known or above > MOST_DEEP:
        return known.get(key, (0, above))
    known[key] = 0, MOST_DEEP + 1  # for one that lies below itself
    below = pages[key]
    count, deepest = _size([each for ranges in below.values() for each in ranges]) + choices.get(key, 0), 0
    for signal, ranges in below.items():
        if (inner := (key[0], signal)) in pages and inner != key:
            more, deep = _page_count(pages, choices, known, inner, above + 1)
            count, deepest = count + _size(ranges) * more, max(deepest, deep)
    known[key] = count, deepest + 1
    return known[key]


def _size(ranges: Ranges) -> int:
    """How many values lie in them."""
    count, end = 0, -1
    for first, last in sorted(ranges):
        count += max(0, last - max(first, end + 1) + 1)
        end = max(end, last)
    return count


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
