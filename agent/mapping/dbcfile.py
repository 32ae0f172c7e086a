"""DBC files as they are found: read by cantools, repaired first when told to, factors as the decimals that were printed.

The only module that imports cantools.
"""

import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import agent.canlibrary  # noqa: F401 - before cantools, which loads python-can as it finds it

# isort: split
import cantools.database
import cantools.database.errors

from agent.core.frames import EXTENDED
from agent.errors import ConfigError
from agent.mapping.dbcsize import oversized
from agent.mapping.units import exact

if TYPE_CHECKING:
    from cantools.database.can import Database, Message, Signal

__all__ = ["Dbc", "cycle_ms_of", "load_dbc"]


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


# cantools reports most faults of a file by its own error, some by whatever Python raised on the way.
_RAISED = (
    cantools.database.errors.Error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
_LONGEST_CYCLE_MS = 86_400_000
_MAX_SEARCHED = 100_000  # characters; a place is looked for by loading a dozen beginnings, each as slow as the file


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


def cycle_ms_of(message: "Message") -> int | None:
    """The cycle time; None for a message without one, or with one that is no number of milliseconds: the file says its kind."""
    cycle_ms: object = message.cycle_time
    return int(cycle_ms) if isinstance(cycle_ms, int | float) and 1 <= cycle_ms <= _LONGEST_CYCLE_MS else None


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
    if too_large := oversized(text):
        raise ConfigError(path, [too_large])
    repairs: list[str] = []
    if lenient:
        text, repairs = _repaired(text)
    try:
        database = cantools.database.load_string(text, "dbc", strict=not lenient)
    except _RAISED as error:
        reason = _reason(error, text, lambda part: _error_of(part, lenient))
        raise ConfigError(path, [reason + ("" if lenient else _hint(path, data))]) from error
    return Dbc(cast("Database", database), text, repairs)


def _hint(path: str, data: bytes) -> str:
    """What to do about a file that strict loading refuses, where there is something."""
    try:
        repairs = load_dbc(path, data, lenient=True).repairs
    except ConfigError:
        return ""
    return f" (lenient = true for this bus lets it pass{': ' if repairs else ''}{'; '.join(repairs)})"


def _error_of(text: str, lenient: bool) -> str:
    """What the loader says of a text, "" when nothing."""
    try:
        cantools.database.load_string(text, "dbc", strict=not lenient)
    except _RAISED as error:
        return repr(error)
    return ""


def _reason(error: Exception, text: str, error_of: Callable[[str], str]) -> str:
    """What is wrong in one line, with the line of the file where one can be found; `error_of` a beginning of it."""
    message = re.sub(r'^DBC: "(.*)"$', r"\1", str(error), flags=re.DOTALL).strip()
    message = " ".join(message.split()) or type(error).__name__
    line = 0
    for pattern, explain in _FAULTS:
        if found := re.search(pattern, message):
            line, message = explain(found, text)
            break
    else:
        if found := re.search(r"in message (\w+)", message):
            line = _line_of(rf"^[ \t]*BO_\s+\d+\s+{found[1]}\b", text)
    line = line or _searched(repr(error), text, error_of)
    return f"line {line}: {message}" if line else message


def _searched(error: str, text: str, error_of: Callable[[str], str]) -> int:
    """The line with which a beginning of the file gets the error of the whole; 0 for a file that is too long for this."""
    if len(text) > _MAX_SEARCHED:
        return 0
    lines = text.split("\n")
    good, bad = 0, len(lines)
    while bad - good > 1:
        middle = (good + bad) // 2
        if error_of("\n".join(lines[:middle])) == error:
            bad = middle
        else:
            good = middle
    return bad


def _syntax(found: re.Match[str], text: str) -> tuple[int, str]:
    """A line that is no statement; two kinds of real files are told by name."""
    line = int(found[1])
    written = text.split("\n")[line - 1].strip()
    shown = f"{written[:60]}..." if len(written) > 60 else written
    why = f"invalid syntax at column {found[2]}"
    if _DIGIT_NAME.match(written):
        why = "the name of a signal cannot begin with a digit"
    elif re.match(r"CM_\s+\d", written):
        why = "CM_ names neither BO_ nor SG_"
    return line, f"{why}: {shown}"


def _undefined(found: re.Match[str], text: str) -> tuple[int, str]:
    """An attribute, as a rule: a table of the loader's that lacks what the file names."""
    name = found[1]
    return _line_of(rf'^[ \t]*BA_\w*\s+"{re.escape(name)}"', text), f"{name} is used and nowhere defined"


def _unused(found: re.Match[str], text: str) -> tuple[int, str]:
    keyword, number, signal = found.groups()
    there = _line_of(rf"^[ \t]*BO_\s+{number}\b", text)
    what = f"message {number} has no signal {signal}" if there else f"there is no message {number}"
    return _line_of(rf"^[ \t]*{keyword}\s+{number}\s+{signal}\b", text), f"{keyword} {number} {signal}: {what}"


def _overlap(found: re.Match[str], text: str) -> tuple[int, str]:
    first, second, message = found.groups()
    line, other = _signal_line(message, first, text), _signal_line(message, second, text)
    return line, f"signal {first} overlaps {second}{f' of line {other}' if other else ''} in message {message}"


def _does_not_fit(found: re.Match[str], text: str) -> tuple[int, str]:
    return _signal_line(found[2], found[1], text), f"signal {found[1]} does not fit in message {found[2]}"


def _too_long_id(found: re.Match[str], text: str) -> tuple[int, str]:
    number, message = int(found[1], 16), found[2]
    said = f"message {message}: identifier 0x{number:X} has more than 11 bits and no bit 31, which marks 29-bit ones"
    return _line_of(rf"^[ \t]*BO_\s+{number}\b", text), said


# What the loader says, and who makes (line or 0, reason) of it.
_FAULTS: list[tuple[str, Callable[[re.Match[str], str], tuple[int, str]]]] = [
    (r"Invalid syntax at line (\d+), column (\d+)", _syntax),
    (r"^'([^']*)'$", _undefined),
    (r"(VAL_|SIG_VALTYPE_) (\d+) (\w+)", _unused),
    (r"signals (\w+) and (\w+) are overlapping in message (\w+)", _overlap),
    (r"signal (\w+) does not fit in message (\w+)", _does_not_fit),
    (r"Standard frame id (0x[0-9a-f]+) is more than 11 bits in message (\w+)", _too_long_id),
]


def _signal_line(message: str, signal: str, text: str) -> int:
    return _line_of(rf"^[ \t]*BO_\s+\d+\s+{message}\b(?:(?!^[ \t]*BO_).)*?^[ \t]*SG_\s+{signal}\b", text)


def _line_of(pattern: str, text: str) -> int:
    """The line in which a pattern ends; 0 where it is not found."""
    place = re.search(pattern, text, re.MULTILINE | re.DOTALL)
    return _line(text, place.end()) if place else 0


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
