"""Names of signals to words, words to concepts: `BMS_PackVolt`, `batt_u` and `Spannung_HV` speak of the same things."""

import re
from collections.abc import Iterable
from functools import lru_cache

from agent.suggest.vocabulary import ALSO, CHINESE, SPELLINGS

__all__ = ["concepts", "spoken", "words"]

_PIECE = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_WHOLE = re.compile(
    r"(?i)dc[_/-]?dc|12v|kl\.?_?15|kl\.?_?30|SoC(?![a-z])|PRNDL?|kWh|state[_ ]?of[_ ]?charge|high[_ ]?voltage|low[_ ]?voltage"
)
_LONG = 5  # letters from which on a slip of the pen can be told from another word
_TOO_LONG = 64  # letters of what is no word: pieces are looked for in the square of them
_ALIKE = 86.0  # of 100
_LONG_SPELLINGS = sorted(spelling for spelling in SPELLINGS if len(spelling) >= _LONG)


def words(name: str) -> tuple[str, ...]:
    """`BMS_PackVoltage2` -> bms, pack, voltage, 2."""
    found: list[str] = []
    for part in re.split(r"[^A-Za-z0-9]+", _WHOLE.sub(_marked, name)):
        found += [part] if _WHOLE.fullmatch(part) else _PIECE.findall(part)
    return tuple(word.lower() for word in found)


def _marked(match: re.Match[str]) -> str:
    return f"_{re.sub(r'[^A-Za-z0-9]', '', match[0]).lower()}_"


@lru_cache(maxsize=1 << 16)
def _meaning(word: str) -> tuple[str, ...]:
    """Concepts of one word; () where it means nothing to us."""
    if word in ALSO:
        return ALSO[word]
    if word in SPELLINGS:
        return (SPELLINGS[word],)
    if len(word) > _TOO_LONG:
        return ()
    if len(word) >= _LONG and (pieces := _pieces(word)):
        return tuple(concept for piece in pieces for concept in _meaning(piece))
    if len(word) >= _LONG and word.isalpha():
        from rapidfuzz import fuzz, process

        close = process.extractOne(word, _LONG_SPELLINGS, scorer=fuzz.ratio, score_cutoff=_ALIKE)
        if close is not None:
            return _meaning(close[0])
    return ()


def _pieces(word: str) -> list[str]:
    """`vehiclespeed` -> vehicle, speed: the fewest known spellings of three letters or more that make up the word."""
    best: list[list[str] | None] = [[]] + [None] * len(word)
    for end in range(3, len(word) + 1):
        for start in range(end - 2):
            before = best[start]
            known = word[start:end] in SPELLINGS or word[start:end] in ALSO
            if before is not None and known and (best[end] is None or len(before) + 1 < len(best[end] or [])):
                best[end] = [*before, word[start:end]]
    return best[-1] or []


@lru_cache(maxsize=1 << 16)
def concepts(name: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """What a name speaks of, and its words that mean nothing to us (numbers and single letters aside)."""
    found: set[str] = set()
    strange = []
    for word in words(name):
        meaning = _meaning(word)
        found.update(meaning)
        if not meaning and len(word) > 1 and not word.isdigit():
            strange.append(word)
    return frozenset(found - {"neutral"}), tuple(strange)


def spoken(text: str) -> frozenset[str]:
    """What the beginning of a comment speaks of."""
    text = text[:120]
    found = {concept for chinese, meaning in CHINESE.items() if chinese in text for concept in meaning}
    return frozenset(found | _of(words(text)[:16]))


def _of(several: Iterable[str]) -> set[str]:
    return {concept for word in several if len(word) > 1 for concept in _meaning(word)} - {"neutral"}
