"""DBC files as they are found: read by cantools, repaired first when told to, factors as the decimals that were printed.

The only module that imports cantools.
"""

import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import cantools.database
import cantools.database.errors

from agent.errors import ConfigError
from agent.mapping.units import exact

if TYPE_CHECKING:
    from cantools.database.can import Database, Message, Signal

__all__ = ["EXTENDED", "Dbc", "load_dbc"]

EXTENDED = 0x80000000  # bit 31 of an identifier in a DBC file: 29-bit frame

_STRING = r'"(?:[^"\\]|\\.)*"'
_MESSAGE = re.compile(r"^[ \t]*BO_\s+(\d+)\s+(\w+)", re.MULTILINE)
_SIGNAL = re.compile(
    r"^[ \t]*SG_\s+(?P<name>\w+)\s*\w*\s*:\s*(?P<bits>\d+\s*\|\s*\d+\s*@\s*[01])\s*[+-]"
    r"\s*\(\s*(?P<factor>[^,\s]+)\s*,\s*(?P<offset>[^)\s]+)\s*\)",
    re.MULTILINE,
)
_VALUES = re.compile(rf"^[ \t]*VAL_\s+(\d+)\s+(\w+)\s+(?:-?\d+\s+{_STRING}\s*)*;", re.MULTILINE)
_FLOATS = re.compile(r"^[ \t]*SIG_VALTYPE_\s+(\d+)\s+(\w+)\s*:?\s*\d+\s*;", re.MULTILINE)
_LOOSE_COMMENT = re.compile(rf"^[ \t]*CM_\s+\d+\s+{_STRING}\s*;", re.MULTILINE)
_C_COMMENT = re.compile(r"^[ \t]*(?://[^\n]*|/\*.*?\*/)", re.MULTILINE | re.DOTALL)
_SHORT_ID = re.compile(
    rf"^([ \t]*(?:BO_|VAL_|CM_\s+BO_|CM_\s+SG_|BA_\s+{_STRING}\s+BO_|BA_\s+{_STRING}\s+SG_|SIG_VALTYPE_|SG_MUL_VAL_"
    r"|BO_TX_BU_|SIG_GROUP_)\s+)(\d+)\b",
    re.MULTILINE,
)
_DIGIT_NAME = re.compile(
    rf"^([ \t]*(?:SG_|VAL_\s+\d+|CM_\s+SG_\s+\d+|BA_\s+{_STRING}\s+SG_\s+\d+|SIG_VALTYPE_\s+\d+|SG_MUL_VAL_\s+\d+)\s+)(\d\w*)",
    re.MULTILINE,
)


class Dbc:
    """A loaded file: `messages` of cantools, `repairs` (what lenient loading changed, with lines)."""

    def __init__(self, database: "Database", text: str, repairs: list[str]) -> None:
        self.messages = list(database.messages)
        self.repairs = repairs
        self._printed = _printed_factors(text)
        definition = database.dbc.attribute_definitions.get("ProtocolType") if database.dbc else None
        default = getattr(definition, "default_value", "")
        self._j1939 = "J1939" in str(default or "")

    def is_j1939(self, message: "Message") -> bool:
        """Does the file say so? Its source address FE (nobody) then stands for any."""
        return message.is_extended_frame and (message.protocol == "j1939" or self._j1939)

    def scaling(self, message: "Message", signal: "Signal") -> tuple[Fraction, Fraction]:
        """Factor and offset exactly as printed in the file; ValueError when one is no finite number.

        cantools gives binary floats. Its numbers say which printed line is meant; the line gives the digits.
        """
        order = 0 if signal.byte_order == "big_endian" else 1
        key = (message.frame_id | (EXTENDED if message.is_extended_frame else 0), signal.start, signal.length, order)
        for factor, offset in self._printed.get(key, ()):
            if float(factor) == signal.scale and float(offset) == signal.offset:
                return exact(factor), exact(offset)
        return exact(repr(signal.scale)), exact(repr(signal.offset))


def _printed_factors(text: str) -> dict[tuple[int, int, int, int], list[tuple[str, str]]]:
    """(identifier, start, length, byte order) -> printed (factor, offset) pairs; pages may share their bits."""
    found: dict[tuple[int, int, int, int], list[tuple[str, str]]] = {}
    for frame_id, match in _signal_lines(text):
        start, length, order = (int(part) for part in re.split(r"[|@]", match["bits"]))
        found.setdefault((frame_id, start, length, order), []).append((match["factor"], match["offset"]))
    return found


def _signal_lines(text: str) -> Iterator[tuple[int, re.Match[str]]]:
    """Every SG_ line with the identifier of its BO_."""
    heads = [*_MESSAGE.finditer(text)]
    ends = [head.start() for head in heads[1:]] + [len(text)]
    for head, end in zip(heads, ends, strict=False):
        for match in _SIGNAL.finditer(text, head.end(), end):
            yield int(head[1]), match


def load_dbc(path: str, data: bytes, lenient: bool) -> Dbc:
    """Parse the bytes of a DBC file; ConfigError with line and reason when it cannot be used.

    `lenient`: cp1252 where the text is not UTF-8, overlapping signals allowed, known slips of real files repaired.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if not lenient:
            line = data.count(b"\n", 0, error.start) + 1
            reason = f"line {line}: byte 0x{data[error.start]:02X} is not UTF-8"
            raise ConfigError(path, [reason + _hint(path, data)]) from error
        text = data.decode("cp1252", errors="replace")
    text = text.replace("\r\n", "\n")
    repairs: list[str] = []
    if lenient:
        text, repairs = _repaired(text)
    try:
        database = cantools.database.load_string(text, "dbc", strict=not lenient)
    except (cantools.database.errors.Error, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        # cantools reports most faults of a file by its own error, some by whatever Python raised on the way.
        raise ConfigError(path, [_reason(error, text) + ("" if lenient else _hint(path, data))]) from error
    return Dbc(cast("Database", database), text, repairs)


def _hint(path: str, data: bytes) -> str:
    """What to do about a file that strict loading refuses, where there is something."""
    try:
        load_dbc(path, data, lenient=True)
    except ConfigError:
        return ""
    return " (lenient = true for this bus lets it pass)"


def _reason(error: Exception, text: str) -> str:
    """The loader's message in one line, with the line number of the file where one can be found."""
    message = re.sub(r'^DBC: "(.*)"$', r"\1", str(error), flags=re.DOTALL).strip()
    message = " ".join(message.split()) or type(error).__name__
    if match := re.search(r"Invalid syntax at line (\d+), column (\d+): (.*)", message):
        return f"line {match[1]}: invalid syntax at column {match[2]}: {match[3][:80].rstrip()}"
    patterns = []
    if match := re.search(r"(VAL_|SIG_VALTYPE_) (\d+) (\w+)", message):
        patterns.append(rf"^[ \t]*{match[1]}\s+{match[2]}\s+{match[3]}\b")
    if match := re.search(r"signals? (\w+) .*in message (\w+)", message):
        patterns.append(rf"^[ \t]*BO_\s+\d+\s+{match[2]}\b(?:(?!^[ \t]*BO_).)*?^[ \t]*SG_\s+{match[1]}\b")
    if match := re.search(r"in message (\w+)", message):
        patterns.append(rf"^[ \t]*BO_\s+\d+\s+{match[1]}\b")
    for pattern in patterns:
        if place := re.search(pattern, text, re.MULTILINE | re.DOTALL):
            return f"line {_line(text, place.end())}: {message}"
    return message


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _repaired(text: str) -> tuple[str, list[str]]:
    """Undo slips that the loader refuses; line numbers stay as they were."""
    repairs: list[str] = []

    def drop(match: re.Match[str]) -> str:
        return "\n" * match[0].count("\n")

    def change(pattern: re.Pattern[str], how: Callable[[re.Match[str]], str | None], what: str) -> None:
        """Replace matches; `how` returns None to leave one alone."""
        nonlocal text
        lines: list[int] = []

        def replace(match: re.Match[str]) -> str:
            new = how(match)
            if new is None:
                return match[0]
            first = match.start() + len(match[0]) - len(match[0].lstrip())
            lines.append(_line(text, first))
            return new

        text = pattern.sub(replace, text)
        if lines:
            shown = ", ".join(str(line) for line in lines[:5]) + (", ..." if len(lines) > 5 else "")
            repairs.append(f"line {shown}: {what}")

    def widen(match: re.Match[str]) -> str | None:
        number = int(match[2])
        return f"{match[1]}{number | EXTENDED}" if 0x7FF < number < EXTENDED else None

    change(_C_COMMENT, drop, "C comment ignored")
    change(_LOOSE_COMMENT, drop, "CM_ that names neither BO_ nor SG_ ignored")
    change(_SHORT_ID, widen, "29-bit identifier written without bit 31, taken as extended")
    change(_DIGIT_NAME, lambda match: f"{match[1]}_{match[2]}", "signal name starts with a digit, _ put before it")
    known = {(frame_id, match["name"]) for frame_id, match in _signal_lines(text)}
    for pattern, keyword in ((_VALUES, "VAL_"), (_FLOATS, "SIG_VALTYPE_")):
        change(
            pattern,
            lambda match: None if (int(match[1]), match[2]) in known else drop(match),
            f"{keyword} of a signal that does not exist ignored",
        )
    return text, repairs
