"""The signals of DBC files as `tbox suggest` looks at them: name, unit, range, value table, page, cycle time."""

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from agent.core.frames import EXTENDED
from agent.mapping.units import UNITS, dimension
from agent.suggest.names import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cantools.database.can import Message, Signal

    from agent.mapping.dbcfile import Dbc
    from agent.mapping.sources import Sources

__all__ = ["Candidate", "candidates_of", "read_unit"]

LONGEST_NAME = 128  # characters
NUMBER_BITS = 32  # a longer integer is a text, a code or several values in one: never looked into
# A number plate, a VIN or a pass code may stand in such a signal.
_PERSONAL = {
    "vin",
    "fin",
    "serial",
    "sn",
    "serialnumber",
    "ascii",
    "char",
    "chars",
    "text",
    "string",
    "name",
    "plate",
    "chassis",
}
_PERSONAL |= {
    "pin",
    "keycode",
    "password",
    "secret",
    "phone",
    "imei",
    "iccid",
    "imsi",
    "eid",
    "immo",
    "immobilizer",
    "challenge",
}
# How units are written where the mapping's own table of units has no such spelling: compared without blanks and case.
_UNITS = {
    "unit_kilometerperhour": "km/h",
    "unit_kilomperhour": "km/h",
    "unit_kilomet": "km",
    "unit_kilometer": "km",
    "unit_percent": "%",
    "unit_volt": "V",
    "unit_ampere": "A",
    "unit_amper": "A",
    "unit_degrecelsi": "degC",
    "unit_minutinver": "r/min",
    "unit_newtomete": "N.m",
    "unit_newtometer": "N.m",
    "unit_kiloohm": "kOhm",
    "kph/km/h": "km/h",
    "kilometer/hour": "km/h",
    "kilometers/hour": "km/h",
    "kilometerperhour": "km/h",
    "km/hr": "km/h",
    "kmhr": "km/h",
    "khp": "km/h",  # a slip that is common enough
    "mile/h": "mph",
    "miles/h": "mph",
    "vdc": "V",
    "vdcrms": "V",
    "adc": "A",
    "amper": "A",
    "amperes": "A",
    "degreesc": "degC",
    "degreec": "degC",
    "degreesf": "degF",
    "degreef": "degF",
    "gradc": "degC",
    "percentage": "%",
    "%soc": "%",
    "u/m": "r/min",
    "rev/m": "r/min",
    "revperminute": "r/min",
    "newtonmeter": "N.m",
    "newtonmetre": "N.m",
    "newton-meters": "N.m",
    "nm.": "N.m",
    "kilometers": "km",
    "kms": "km",
    "ohm/kohm": "kOhm",
}


@dataclass(frozen=True)
class Candidate:
    """One signal. `lo`, `hi`: physical values that its bits can hold, in `unit`, narrowed by what the DBC declares.

    `reference`: bus.message.signal as a mapping writes it. `text`: a signal whose value must never be looked at. `override`:
    the unit as the mapping has to write it, where the DBC's spelling is not known. `faulty`: why no mapping can use it.
    """

    reference: str
    bus: str
    message: str
    name: str
    can_id: int
    unit: str
    override: str
    dimension: str | None
    length: int
    factor: Fraction
    lo: float
    hi: float
    declared: bool
    is_float: bool
    choices: dict[int, str]
    page: str
    cycle_ms: int | None
    comment: str
    all_ones: int
    top: float
    text: bool
    faulty: str = ""

    @property
    def place(self) -> str:
        """message.signal, without the bus."""
        return f"{self.message}.{self.name}"


def read_unit(unit: str) -> tuple[str, str]:
    """(unit that the mapping understands or "", what to write as `unit` or "") of a unit as a DBC spells it."""
    unit = unit.strip()
    if dimension(unit) is not None:
        return unit, ""
    plain = unit.replace(" ", "").lower()
    if plain in _UNITS:
        return _UNITS[plain], _UNITS[plain]
    first = unit.split(" ")[0].split("(")[0].strip("[]")
    if "or" not in plain and first != unit and len(first) < 4 and first.lower() in UNITS:
        return first, first  # V AC rms, A rms, °C (filtered)
    return "", ""


def candidates_of(bus: str, dbcs: "Sequence[Dbc]", sources: "Sources") -> list[Candidate]:
    """Every signal of a bus; messages that cannot be told from another by name are written by identifier."""
    names: dict[str, int] = {}
    for message in (message for dbc in dbcs for message in dbc.messages):
        names[message.name] = names.get(message.name, 0) + 1
    found: list[Candidate] = []
    seen: set[int] = set()
    for dbc in dbcs:
        for message in dbc.messages:
            can_id = message.frame_id | (EXTENDED if message.is_extended_frame else 0)
            if can_id in seen:
                continue  # the mapping, too, takes the first
            seen.add(can_id)
            written = message.name
            if names[written] > 1 or not _writable(written) or written.startswith(("0x", "0X")):
                written = f"0x{message.frame_id:X}{'x' if message.is_extended_frame else ''}"
            signals = [signal for signal in message.signals if _writable(signal.name)]
            found += [_candidate(bus, written, can_id, message, signal, sources) for signal in signals]
    return found


def _writable(name: str) -> bool:
    """Can a mapping write it? Long names of a DBC are texts of any kind."""
    return re.fullmatch(rf"\w{{1,{LONGEST_NAME}}}", name) is not None


def _candidate(
    bus: str, written: str, can_id: int, message: "Message", signal: "Signal", sources: "Sources"
) -> Candidate:
    from agent.mapping.dbcfile import cycle_ms_of

    unit, override = read_unit(signal.unit or "")
    reference = f"{bus}.{written}.{signal.name}"
    faulty, factor, offset = "", Fraction(1), Fraction(0)
    try:
        place = sources.place(reference)
        factor, offset = place.factor, place.offset
    except LookupError as error:
        faulty = str(error.args[0])
    bits = signal.length
    first, last = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signal.is_signed else (0, (1 << bits) - 1)
    ends = sorted([_real(first * factor + offset), _real(last * factor + offset)])
    lo, hi, declared = ends[0], ends[1], False
    least, most = signal.minimum, signal.maximum
    if (
        least is not None
        and most is not None
        and least < most
        and lo <= most <= hi
        and not (least == 0 and most == 1 < hi)
    ):
        lo, hi, declared = max(lo, float(least)), float(most), float(most) < ends[1] or float(least) > ends[0]
    return Candidate(
        reference=reference,
        bus=bus,
        message=written,
        name=signal.name,
        can_id=can_id,
        unit=unit,
        override=override,
        dimension=dimension(unit) if unit else None,
        length=bits,
        factor=abs(factor),
        lo=lo,
        hi=hi,
        declared=declared,
        is_float=bool(signal.conversion.is_float),
        choices={int(raw): str(text) for raw, text in (signal.choices or {}).items()},
        page=_page(signal),
        cycle_ms=cycle_ms_of(message),
        comment=str(signal.comment or ""),
        all_ones=last,
        top=_real(last * factor + offset),
        text=_is_text(message, signal),
        faulty=faulty,
    )


def _real(number: Fraction) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _page(signal: "Signal") -> str:
    if signal.multiplexer_signal is None:
        return ""
    ids = ", ".join(str(number) for number in (signal.multiplexer_ids or [])[:4])
    return f"{signal.multiplexer_signal} = {ids}"


def _is_text(message: "Message", signal: "Signal") -> bool:
    """True for what may hold a VIN, a serial number or another text: neither evaluated nor shown with a value."""
    if (signal.unit or "").strip().lower() in ("ascii", "char", "text", "string", "hex", "bcd"):
        return True
    if signal.length > NUMBER_BITS and not signal.conversion.is_float:
        return True
    spoken = {*words(signal.name), *words(message.name)}
    return bool(spoken & _PERSONAL) or "ascii" in str(signal.comment or "").lower()
