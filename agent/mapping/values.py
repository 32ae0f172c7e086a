"""One value of a mapping (`"bus.message.signal"`, signal with options, constant, expression) to rows of the plan."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from agent.core.field import Field
from agent.core.signals import UNKNOWN, rounded
from agent.mapping.expression import ExpressionError, parse_expression
from agent.mapping.frame import Place, nearest
from agent.mapping.sources import Sources
from agent.mapping.units import UNITS, conversion, dimension, exact

__all__ = ["TRUTH", "Origin", "Target", "Values", "fill"]

_SIGNAL_KEYS = ("factor", "offset", "sign", "unit", "values", "not_available_raw", "abnormal_raw")
_HOW = '"bus.message.signal", { signal = ... }, { constant = ... } or { expression = ... }'


@dataclass(frozen=True)
class Target:
    """What a value becomes: count = physical * per_unit + offset within lo..hi, or one of `words`.

    `default` is what stands there while nothing is known; `abnormal` None: the target cannot say so.
    """

    unit: str = ""
    per_unit: Fraction = Fraction(1)
    offset: int = 0
    lo: int = 0
    hi: int = 1
    words: dict[int, str] | None = None
    default: int = UNKNOWN
    abnormal: int | None = None
    truth: bool = False

    @classmethod
    def of(cls, field: Field, default: int | None = None) -> "Target":
        absent = field.absent if default is None else default
        if absent is None:
            raise ValueError(f"field {field.name} has no sentinel and no `absent`")
        words = field.words
        per_unit = Fraction(field.per_unit, field.step)
        return cls(field.unit, per_unit, field.offset, field.lo, field.hi, words, absent, field.abnormal)

    def physical(self, count: int) -> Fraction:
        return (count - self.offset) / self.per_unit

    def range_text(self) -> str:
        if self.words:
            return ", ".join(f'"{word}"' if isinstance(word, str) else str(word) for word in self.words.values())
        lo, hi = self.physical(self.lo), self.physical(self.hi)
        return f"{_number(lo)}..{_number(hi)}{' ' + self.unit if self.unit else ''}"


TRUTH = Target(truth=True)


@dataclass
class Origin:
    """Where a value comes from, for `tbox check`."""

    out: int
    kind: str  # signal, expression, constant, derived, absent
    source: str = ""
    conversion: str = ""


def _number(value: Fraction) -> str:
    return format(float(value), ".10g")


def fill(spec: Any, names: dict[str, int]) -> Any:
    """Put numbers in place of {n} and {n:02d}, in every text of a value; a text that is nothing else becomes the number."""
    if isinstance(spec, str):
        if spec[:1] == "{" and spec[2:] == "}" and spec[1] in names:
            return names[spec[1]]
        return re.sub(
            r"\{(\w)(:0?\d?d)?\}",
            lambda match: format(names[match[1]], (match[2] or ":d")[1:]) if match[1] in names else match[0],
            spec,
        )
    if isinstance(spec, dict):
        return {key: fill(value, names) for key, value in spec.items()}
    return spec


class Values:
    """Collects rows, defaults and faults while the mapping is walked."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.faults: list[str] = []
        self.warnings: list[str] = []
        self.defaults: list[Any] = []
        self.expressions: list[list[Any]] = []
        self.truths: list[list[Any]] = []

    def fault(self, path: str, text: str) -> None:
        line = f"{path}: {text}"
        if line not in self.faults:
            self.faults.append(line)

    def unknown_keys(self, path: str, table: dict[str, Any], known: Iterable[str]) -> None:
        for key in table:
            if key not in known:
                self.fault(f"{path}.{key}".lstrip("."), f"unknown key{nearest(key, known)}")

    def new(self, default: Any) -> int:
        self.defaults.append(default)
        return len(self.defaults) - 1

    def derive(self, out: int, tree: list[Any], target: Target) -> None:
        """Let an expression over other items fill an item."""
        self.expressions.append(_expression_row(out, tree, target))

    def value(self, path: str, spec: Any, target: Target) -> Origin:
        """Compile one value; faults are collected, the result then is an item that stays unknown."""
        out = self.new(target.default)
        try:
            return self._value(path, spec, target, out)
        except _FaultError as error:
            self.fault(path + error.key, error.text)
        except LookupError as error:
            self.fault(path, str(error.args[0]))
        return Origin(out, "absent")

    def _value(self, path: str, spec: Any, target: Target, out: int) -> Origin:
        if isinstance(spec, str):
            spec = {"signal": spec}
        if not isinstance(spec, dict):
            raise _FaultError(f"is {_shown(spec)}; write {_HOW}")
        kinds = [kind for kind in ("signal", "constant", "expression") if kind in spec]
        if len(kinds) != 1:
            raise _FaultError(f"needs one of signal, constant, expression; write {_HOW}")
        kind = kinds[0]
        self.unknown_keys(path, spec, (kind, *_SIGNAL_KEYS) if kind == "signal" else (kind,))
        if kind == "constant":
            return self._constant(spec["constant"], target, out)
        if not isinstance(spec[kind], str):
            raise _FaultError(f"is {_shown(spec[kind])}; a text is needed", "." + kind)
        if kind == "signal":
            return self._signal(path, spec, target, out)
        return self._expression(spec["expression"], target, out)

    def _constant(self, value: Any, target: Target, out: int) -> Origin:
        count = _count(value, target)
        if target.words is None and not target.truth and not target.lo <= count <= target.hi:
            raise _FaultError(f"{_shown(value)} is outside {target.range_text()}", ".constant")
        self.defaults[out] = count
        return Origin(out, "constant", str(value))

    def _expression(self, text: str, target: Target, out: int) -> Origin:
        words = {str(word): target.physical(raw) for raw, word in (target.words or {}).items()}

        def signal(reference: str) -> int:
            place = self.sources.place(reference)
            return self.sources.add_operand(place, (place.factor, place.offset), [], False)

        try:
            tree = parse_expression(text, signal, words)
        except ExpressionError as error:
            raise _FaultError(str(error), ".expression") from error
        self._add_tree(out, tree, target)
        return Origin(out, "expression", text)

    def _add_tree(self, out: int, tree: list[Any], target: Target) -> None:
        if target.truth:
            self.truths.append([out, tree])
        else:
            self.expressions.append(_expression_row(out, tree, target))

    def _signal(self, path: str, spec: dict[str, Any], target: Target, out: int) -> Origin:
        place = self.sources.place(spec["signal"])
        scale, said = self._scale(spec, place, target)
        special = self._special(spec, place, target)
        if target.truth:
            codes = [[raw, None if count == UNKNOWN else [count, 1]] for raw, count in special]
            operand = self.sources.add_operand(place, scale, codes, "values" in spec)
            self.truths.append([out, ["signal", operand]])
            return Origin(out, "signal", place.label, said)
        if target.lo < 0:
            # Counts below zero cannot go straight into the sample: by way of an exact physical value.
            codes = [[raw, _known(count, target)] for raw, count in special]
            tree = ["signal", self.sources.add_operand(place, scale, codes, "values" in spec)]
            self.expressions.append(_expression_row(out, tree, target))
            return Origin(out, "signal", place.label, said)
        factor, offset = scale[0] * target.per_unit, scale[1] * target.per_unit + target.offset
        lo, hi = target.lo, target.hi
        if "values" in spec:
            lo, hi = 1, 0
        elif target.words is not None:
            if place.is_float:
                raise _FaultError(f"{place.label} is a float: it cannot be one of {target.range_text()}")
            listed = [raw for raw, _ in special]
            same = _raws_of_words(place, factor, offset, target.words)
            special += [[raw, word] for raw, word in same if raw not in listed]
            lo, hi = 1, 0
            if not same:
                raise _FaultError(f"needs `values`: no raw of {place.label} is one of {target.range_text()}")
            self.warnings.append(
                f"{path}: no `values`: the numbers of {place.label} are taken as those of the standard"
            )
        fits = self.sources.add_count(place, (factor, offset), lo, hi, out, special)
        if fits <= 0 and not special:
            raise _FaultError(f"no raw of {place.label} lies in {target.range_text()}: check unit, factor and offset")
        return Origin(out, "signal", place.label, said)

    def _scale(self, spec: dict[str, Any], place: Place, target: Target) -> tuple[tuple[Fraction, Fraction], str]:
        """Physical value in the target's unit = raw * first + second; and what `check` says about it."""
        factor = _fraction(spec["factor"], ".factor") if "factor" in spec else place.factor
        offset = _fraction(spec["offset"], ".offset") if "offset" in spec else place.offset
        if factor == 0:
            raise _FaultError("must not be 0", ".factor")
        said = [f"{key} {spec[key]}" for key in ("factor", "offset") if key in spec]
        if "sign" in spec:
            if spec["sign"] not in (1, -1) or isinstance(spec["sign"], bool):
                raise _FaultError(f"is {_shown(spec['sign'])}; allowed are 1 and -1", ".sign")
            factor, offset = factor * spec["sign"], offset * spec["sign"]
            said += ["sign reversed"] if spec["sign"] == -1 else []
        if not target.unit or ("values" in spec and "unit" not in spec):
            return (factor, offset), ", ".join(said)
        unit = spec.get("unit", place.signal.unit or "")
        if not isinstance(unit, str):
            raise _FaultError(f"is {_shown(unit)}; a text is needed", ".unit")
        if dimension(unit) is None:
            if "unit" in spec:
                raise _FaultError(f'unknown unit "{unit}"{nearest(unit, UNITS)}', ".unit")
            what = f'unit "{unit}" not known' if unit else "no unit in the DBC"
            said.append(f"{what}, taken as {target.unit}")
            return (factor, offset), ", ".join(said)
        converted = conversion(unit, target.unit)
        if converted is None:
            raise _FaultError(
                f'{place.label} is in "{unit}" ({dimension(unit)}), which cannot be {target.unit} ({dimension(target.unit)}); '
                "`unit` overrides the DBC"
            )
        if converted != (Fraction(1), Fraction(0)):
            said.append(f"{unit} -> {target.unit}")
        return (factor * converted[0], offset * converted[0] + converted[1]), ", ".join(said)

    def _special(self, spec: dict[str, Any], place: Place, target: Target) -> list[list[Any]]:
        """[raw, count] pairs of value tables and declared codes; the default stands for "not available"."""
        special: dict[int, int] = {}

        def add(key: str, raw: Any, count: int) -> None:
            lo, hi = place.raw_range
            if isinstance(raw, bool) or not isinstance(raw, int):
                raise _FaultError(f"{_shown(raw)} is not a raw integer", "." + key)
            if not lo <= raw <= hi:
                raise _FaultError(f"raw {raw} cannot occur: {place.label} holds {lo}..{hi}", "." + key)
            if raw in special:
                raise _FaultError(f"raw {raw} is declared twice", "." + key)
            special[raw] = count

        for key, count in (("not_available_raw", target.default), ("abnormal_raw", target.abnormal)):
            if key not in spec:
                continue
            if not isinstance(spec[key], list):
                raise _FaultError(f"is {_shown(spec[key])}; a list of raw integers is needed", "." + key)
            if count is None:
                raise _FaultError("this item has no abnormal value; use not_available_raw", "." + key)
            for raw in spec[key]:
                add(key, raw, count)
        table = spec.get("values", {})
        if not isinstance(table, dict):
            raise _FaultError(f"is {_shown(table)}; a table {{ raw = value }} is needed", ".values")
        for text, word in table.items():
            try:
                raw = int(text, 0)
            except ValueError:
                raise _FaultError(f'"{text}" is not a raw integer', ".values") from None
            count = _count(word, target, ".values." + text)
            if target.words is None and not target.lo <= count <= target.hi:
                raise _FaultError(f"{_shown(word)} is outside {target.range_text()}", f".values.{text}")
            add("values", raw, count)
        if special and place.is_float:
            raise _FaultError(f"{place.label} is a float: raw codes cannot be declared")
        return [[raw, count] for raw, count in special.items()]


class _FaultError(Exception):
    """A fault at `key` below the value's own path."""

    def __init__(self, text: str, key: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.key = key


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


def _fraction(value: Any, key: str) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise _FaultError(f"is {_shown(value)}; a number is needed", key)
    try:
        return exact(value)
    except ValueError as error:
        raise _FaultError(str(error), key) from None


def _count(value: Any, target: Target, key: str = ".constant") -> int:
    """Wire count of a word or physical number as the mapping writes it."""
    if target.truth:
        if not isinstance(value, bool):
            raise _FaultError(f"is {_shown(value)}; allowed are true and false", key)
        return int(value)
    if target.words is not None:
        for raw, word in target.words.items():
            if str(word) == str(value):
                return raw
        raise _FaultError(f"is {_shown(value)}; allowed are {target.range_text()}", key)
    count = _fraction(value, key) * target.per_unit + target.offset
    return rounded(count.numerator, count.denominator)


def _raws_of_words(place: Place, factor: Fraction, offset: Fraction, words: dict[int, str]) -> list[list[int]]:
    lo, hi = place.raw_range
    raws = [((count - offset) / factor, count) for count in words]
    return [[int(raw), count] for raw, count in raws if raw.denominator == 1 and lo <= raw <= hi]


def _expression_row(out: int, tree: list[Any], target: Target) -> list[Any]:
    only = sorted(target.words) if target.words is not None else None
    if target.per_unit.denominator != 1:
        tree = ["*", tree, ["number", 1, target.per_unit.denominator]]
    return [out, tree, target.per_unit.numerator, target.offset, target.lo, target.hi, only]


def _known(count: int, target: Target) -> list[int] | None:
    """The physical value of a count as numerator and denominator, None where it says that nothing is known."""
    return None if count == target.default else list(target.physical(count).as_integer_ratio())
