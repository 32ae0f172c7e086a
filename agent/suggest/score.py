"""How well a signal fits an item, with the reasons: name, unit, range, words of the value table.

The score multiplies what each piece of evidence leaves of 1. A *doubt* is a reason for which a proposal is never sure,
whatever its score: a wrong value in a report is worse than one that is not there.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache

from agent.mapping.units import conversion, dimension
from agent.suggest.candidates import Candidate
from agent.suggest.items import ITEMS, NOT_A_VALUE, NOT_AVAILABLE, Item
from agent.suggest.names import concepts, spoken, words

__all__ = ["SURE", "Context", "Scored", "context_of", "figure", "in_unit", "score", "table_words"]

SURE = 0.7
LEAST = 0.25  # below this a signal has nothing to do with an item
FROM_MESSAGE, FROM_COMMENT = 0.94, 0.85  # worth of a word that only the message's name, or only the comment, says
AGAINST, AGAINST_MESSAGE, AGAINST_HARD = 0.4, 0.85, 0.6
# A message of these is of nothing else.
_HARD = frozenset(
    ("steering", "cruise", "charger", "lead", "fan", "pump", "compressor", "cabin", "dcdc", "window", "limit")
)
STRANGE, MOST_STRANGE = 0.03, 0.15  # lost per word of the name that means nothing to us
NO_UNIT, STRANGE_UNIT = 0.85, 0.8
TOO_SMALL, TOO_LARGE = 0.5, 0.97
NO_TABLE = 0.8
STATE_BITS = 8
LONG_WORD = 4  # letters of a word that may change what a name says
FOREIGN = {"angle"}  # "deg" of a temperature
_GERMAN = {
    "drehzahl",
    "geschw",
    "geschwindigkeit",
    "spannung",
    "drehmoment",
    "lenkwinkel",
    "zuendung",
    "klemme",
    "schluessel",
}
_SEVERAL = 3


@dataclass(frozen=True)
class Context:
    """What a car's files say as a whole. `german`: "Motor" may be the combustion engine there."""

    high_voltage: bool = False
    german: bool = False
    combustion: bool = False


@dataclass(frozen=True)
class Scored:
    """A signal for an item. `values`: raw to word; `absent`: raws that mean "not available"; `unit`: to be written."""

    item: Item
    candidate: Candidate
    score: float
    reasons: tuple[str, ...]
    doubts: tuple[str, ...] = ()
    values: dict[int, str] = field(default_factory=dict)
    absent: tuple[int, ...] = ()
    unit: str = ""

    @property
    def sure(self) -> bool:
        return self.score >= SURE and not self.doubts

    def changed(self, factor: float, reason: str = "", doubt: str = "") -> "Scored":
        """The same with another piece of evidence."""
        reasons = (*self.reasons, reason) if reason else self.reasons
        doubts = (*self.doubts, doubt) if doubt else self.doubts
        return replace(self, score=min(1.0, self.score * factor), reasons=reasons, doubts=doubts)


@cache
def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


@cache
def _against(item: Item) -> frozenset[str]:
    named = frozenset().union(*(_set(phrase) for phrase, _ in item.phrases))
    return (_set(item.against) | frozenset(NOT_A_VALUE)) - _set(item.allowed) - named


def context_of(candidates: "Iterable[Candidate]") -> Context:
    """Look at all signals of a car once."""
    voltage = next(item for item in ITEMS if item.path == "vehicle.total_voltage")
    high, german, engine = False, 0, 0
    for candidate in candidates:
        spelled = {*words(candidate.name), *words(candidate.message)}
        german += bool(spelled & _GERMAN)
        engine += "engine" in concepts(candidate.name)[0] | concepts(candidate.message)[0]
        if not high and candidate.dimension == "voltage":
            found = score(voltage, candidate, Context())
            high = found is not None and found.score >= SURE
    return Context(high, german >= _SEVERAL, engine >= _SEVERAL)


def in_unit(value: float, candidate: Candidate, item: Item, unit: str = "") -> float:
    """A physical value in the item's unit; as it is where one of the two has none."""
    unit = unit or candidate.unit
    converted = conversion(unit, item.unit) if item.unit and unit else None
    return value if converted is None else value * float(converted[0]) + float(converted[1])


def score(item: Item, candidate: Candidate, context: Context) -> Scored | None:
    """None where the signal has nothing to do with the item, or must not be looked at."""
    if candidate.text or candidate.length < item.least_bits:
        return None
    name = _name(item, candidate)
    found = _words(item, candidate, name) if item.words else _number(item, candidate, name)
    if found is None or found.score < LEAST:
        return None
    own, strange = concepts(candidate.name)
    around = own | concepts(candidate.message)[0]
    if candidate.faulty:
        found = found.changed(0.5, doubt=candidate.faulty)
    if item.proof and not around & _set(item.proof):
        found = found.changed(0.85, doubt=f"nothing in the names says whose it is ({item.label} wanted)")
    if wrong := sorted(own & _against(item)):
        found = found.changed(1.0, f"its name also says {', '.join(wrong)}")
    unread = [word for word in strange if len(word) >= LONG_WORD]
    if item.proof and unread:
        found = found.changed(
            0.9, doubt=f'"{unread[0]}" means nothing to this program: it may say that it is something else'
        )
    if item.high_voltage and not context.high_voltage and "pack" not in own:
        found = found.changed(0.9, doubt="may be that of the 12 V battery: no high-voltage pack in these files")
    engine = context.german or re.match(r"(?i)mo(tor)?_?\d", candidate.message)
    if "motor" in item.path and engine and not around & {"inverter", "electric", "pack"}:
        found = found.changed(0.7, doubt='"Motor" is the combustion engine in many German files')
    return found if found.score >= LEAST else None


def _name(item: Item, candidate: Candidate) -> float:
    """0..1: how well name, message and comment name the item."""
    own, strange = concepts(candidate.name)
    message = concepts(candidate.message)[0]
    comment = spoken(candidate.comment) if candidate.comment else frozenset()
    best = 0.0
    for phrase, weight in item.phrases:
        need = _set(phrase)
        head = phrase.split()[-1] if not item.words else ""
        if need <= own:
            best = max(best, weight)
        elif (head in own or (not head and need & own)) and need <= own | message:
            best = max(best, weight * FROM_MESSAGE)
        elif need & own and need <= own | message | comment:
            best = max(best, weight * FROM_COMMENT)
        elif candidate.comment and need <= comment and len(need) > 1:
            best = max(best, weight * FROM_COMMENT * FROM_COMMENT)
    against = _against(item)
    elsewhere = (message - own) & against
    best *= AGAINST ** len(own & against)
    best *= max(0.3, AGAINST_MESSAGE ** len(elsewhere - _HARD) * AGAINST_HARD ** len(elsewhere & _HARD))
    best *= AGAINST_MESSAGE ** min(2, len((comment - own - message) & against))
    return best * (1 - min(MOST_STRANGE, STRANGE * len(strange)))


def _number(item: Item, candidate: Candidate, name: float) -> Scored | None:
    if name <= 0:
        return None
    doubts: list[str] = []
    value, unit = name, candidate.override
    if candidate.dimension == dimension(item.unit):
        unit_said = f"unit {candidate.unit}"
    elif not candidate.unit and _speaks_percent(candidate, item):
        unit_said = "a share by its name"
        value *= 0.95
    elif not candidate.unit:
        value *= NO_UNIT
        unit_said = "no unit that can be read"
        doubts.append(f"no unit in the DBC that can be read: is it {item.unit}?")
    elif candidate.dimension in FOREIGN and dimension(item.unit) == "temperature":
        value *= STRANGE_UNIT
        unit = "degC"
        unit_said = f'unit "{candidate.unit}" taken as degC'
        doubts.append(f'the DBC says "{candidate.unit}", which may be degC or degF')
    else:
        return None
    lo, hi = (in_unit(end, candidate, item, unit) for end in (candidate.lo, candidate.hi))
    if hi < item.reach[0]:
        value *= TOO_SMALL
        doubts.append(f"reaches only {hi:.4g} {item.unit}")
    elif hi > item.reach[1] and not candidate.is_float:
        value *= TOO_LARGE
    absent = tuple(sorted(raw for raw, text in candidate.choices.items() if _not_available(text)))
    if len(candidate.choices) - len(absent) > _SEVERAL:
        value *= 0.4
        doubts.append("its value table has words, not numbers")
    if (
        candidate.declared
        and not candidate.is_float
        and candidate.top > candidate.hi
        and candidate.all_ones not in absent
    ):
        absent = (*absent, candidate.all_ones)
    reasons = (f'name "{candidate.name}"', f"{unit_said}, {figure(lo)}..{figure(hi)} {item.unit}")
    return Scored(item, candidate, value, reasons, tuple(doubts), {}, absent, unit)


def _speaks_percent(candidate: Candidate, item: Item) -> bool:
    spelled = {"percentage", "percent", "pct", "prc"} & set(words(candidate.name))
    return item.unit == "%" and bool(spelled) and 90 <= candidate.hi <= 256


def _words(item: Item, candidate: Candidate, name: float) -> Scored | None:
    values = table_words(item, candidate.choices)
    got = set(values.values())
    fits = set(item.needed) <= got
    whole = fits and (item.path == "vehicle.gear.gear" and {"P", "R", "N", "D"} <= got)
    if (name < 0.3 and not whole) or (not fits and (candidate.unit or candidate.length > STATE_BITS)):
        return None
    reasons = [f'name "{candidate.name}"']
    doubts = []
    if fits:
        # A table of P, R, N, D speaks for itself unless the name says that it is something else.
        wrong = concepts(candidate.name)[0] & _against(item)
        value = max(min(1.0, 0.3 + 0.75 * name), 0.72 if whole and not wrong else 0.0)
        if wrong and name < 0.5:
            value *= 0.5
        reasons.append("value table " + ", ".join(f"{raw} {candidate.choices[raw][:16]}" for raw in sorted(values)[:6]))
    else:
        value = name * NO_TABLE
        doubts.append(
            "no value table that says which raw is which" if not candidate.choices else "words of its table not known"
        )
    return Scored(item, candidate, value, tuple(reasons), tuple(doubts), values)


def figure(value: float) -> str:
    """A number as a person writes it, an odometer's too."""
    return f"{value:.0f}" if abs(value) >= 1e5 else f"{value:.6g}"


def table_words(item: Item, choices: dict[int, str]) -> dict[int, str]:
    """Raws whose text means one of the item's words."""
    known = dict(item.words)
    prefix = _common(list(choices.values()))
    found: dict[int, str] = {}
    for raw, text in choices.items():
        if _not_available(text):
            continue
        plain = _plain(text[prefix:])
        tries = [plain, re.sub(r"\(.*?\)", "", plain).strip(), *re.findall(r"\((.*?)\)", plain)]
        tries += [re.sub(r"^(gear|position|state|status|ign|ignition|mode|sna|vehicle|lever|shifter) ", "", plain)]
        tries += [re.split(r" (?:=|:) |: ?| = ?", plain)[-1], re.sub(r" (gear|position|state|mode|active)$", "", plain)]
        word = next((known[one] for one in tries if one in known), None)
        if word is not None and raw >= 0:
            found[raw] = word
    return found


def _plain(text: str) -> str:
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return " ".join(re.sub(r"[_\-/\"]+", " ", text).lower().split())


def _common(texts: list[str]) -> int:
    """Length of a prefix that all texts share, to its last `_` or blank: DI_GEAR_P, DI_GEAR_R."""
    if len(texts) < _SEVERAL:
        return 0
    first, last = min(texts), max(texts)
    same = next((index for index, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), 0)
    return max(first.rfind(mark, 0, same) for mark in "_ ") + 1


def _not_available(text: str) -> bool:
    plain = re.sub(r"[^a-z_]", "", text.lower().replace(" ", "_"))
    return any(plain.startswith(word) or plain.endswith(f"_{word}") for word in NOT_AVAILABLE)
