"""Bodies of the maker's own, of random declarations, against arithmetic done by hand."""

import tempfile
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.core.edition import Edition
from agent.core.frames import LatestFrames
from agent.core.packet import COMMAND, PLAIN, Packet, build_packet
from agent.core.sampler import Sampler
from agent.mapping.declared import declared_editions
from agent.packetjson import packet_from_json, packet_to_json
from agent.signalmap import load_mapping

TIME = bytes((26, 1, 8, 7, 6, 10))
DBC = """VERSION ""
BU_: A
BO_ 256 M: 2 A
 SG_ S : 0|16@1- (0.05,-3) [0|0] "" A
"""
HEAD = 'format = 1\nname = "test"\nedition = ["2016", "2025"]\n[dbc.b]\nfiles = ["test.dbc"]\n'


class Declared(NamedTuple):
    """One declared field as somebody wrote it."""

    name: str
    size: int
    signed: bool
    factor: Decimal
    offset: Decimal
    lo: int | None  # counts
    hi: int | None
    invalid: int | None

    def physical(self, raw: int) -> Fraction:
        return raw * Fraction(self.factor) + Fraction(self.offset)

    def absent(self) -> int:
        if self.invalid is not None:
            return self.invalid
        return -(1 << 8 * self.size - 1) if self.signed else (1 << 8 * self.size) - 1

    def limits(self) -> tuple[int, int]:
        """Lowest and highest raw of the type, but for the one that says invalid."""
        bottom = -(1 << 8 * self.size - 1) if self.signed else 0
        top = bottom + (1 << 8 * self.size) - 1
        absent = self.absent()
        return bottom + (absent == bottom), top - (absent == top)

    def toml(self) -> str:
        lines = [f'name = "{self.name}"', f'type = "{"i" if self.signed else "u"}{8 * self.size}"']
        lines += [f"factor = {self.factor:f}", f"offset = {self.offset:f}"]
        for key, count in (("lo", self.lo), ("hi", self.hi)):
            if count is not None:
                lines.append(f"{key} = {count * self.factor + self.offset:f}")
        if self.invalid is not None:
            lines.append(f"invalid = {self.invalid}")
        return "\n".join(["[[user.0x83.fields]]", *lines, 'source = "b.M.S"', ""])


@st.composite
def declared(draw: st.DrawFn, number: int) -> Declared:
    size, signed = draw(st.sampled_from([1, 2, 4])), draw(st.booleans())
    factor = Decimal(draw(st.sampled_from(["1", "0.1", "0.05", "0.4", "0.25", "2", "12.5", "0.003", "1000"])))
    offset = draw(st.integers(-300, 300)) * factor
    plain = Declared(f"field_{number}", size, signed, factor, offset, None, None, None)
    lowest, highest = plain.limits()
    kind = draw(st.sampled_from(["whole", "range", "own invalid"]))
    if kind == "whole":
        return plain
    lo = draw(st.integers(lowest, highest - 1))
    hi = draw(st.integers(lo, highest - 1))
    invalid = None if kind == "range" else draw(st.integers(hi + 1, highest))
    return plain._replace(lo=lo, hi=hi, invalid=invalid)


bodies = st.integers(1, 6).flatmap(lambda size: st.tuples(*(declared(number) for number in range(size))))


def editions_of(fields: tuple[Declared, ...]) -> dict[str, Edition]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.toml")
        path.write_text("".join(field.toml() for field in fields), encoding="utf-8")
        return declared_editions(path)


def packet(edition: Edition, content: bytes) -> bytes:
    body = bytes((0x83,)) + len(content).to_bytes(2, "big") + content
    return build_packet(edition.start, 2, COMMAND, b"LGBTEST0000000017", PLAIN, TIME + body)


@given(bodies, st.data())
def test_any_content_of_the_right_length_survives_json_and_says_what_arithmetic_says(
    fields: tuple[Declared, ...], data: st.DataObject
) -> None:
    editions = editions_of(fields)
    content = data.draw(st.binary(min_size=sum(f.size for f in fields), max_size=sum(f.size for f in fields)))
    for edition in editions.values():
        raw = packet(edition, content)
        shown = packet_to_json(Packet(raw), editions)
        assert packet_from_json(shown, editions) == raw
        (body,) = shown["bodies"]
        assert (body.pop("body"), body.pop("type")) == ("user", 0x83)
        assert list(body) == [field.name for field in fields]
        at = 0
        for field in fields:
            count = int.from_bytes(content[at : at + field.size], "big", signed=field.signed)
            at += field.size
            check_value(field, count, body[field.name])


def check_value(field: Declared, count: int, shown: Any) -> None:
    lowest, highest = field.limits()
    lo, hi = lowest if field.lo is None else field.lo, highest if field.hi is None else field.hi
    if lo <= count <= hi:
        assert abs(Fraction(shown) - field.physical(count)) <= abs(field.physical(count)) * Fraction(1, 10**15)
    elif count == field.absent():
        assert shown is None
    else:
        assert shown == {"raw": count}


@given(bodies, st.data())
def test_values_are_encoded_as_bytes_laid_side_by_side(fields: tuple[Declared, ...], data: st.DataObject) -> None:
    counts, content = [], b""
    for field in fields:
        lowest, highest = field.limits()
        lo, hi = lowest if field.lo is None else field.lo, highest if field.hi is None else field.hi
        counts.append(data.draw(st.integers(lo, hi) | st.just(field.absent())))
        content += counts[-1].to_bytes(field.size, "big", signed=field.signed)
    layout = editions_of(fields)["2016"].declared[0x83]
    values = {field.name: count for field, count in zip(fields, counts, strict=True)}
    encoded = len(content).to_bytes(2, "big") + content
    assert layout.encode(values) == encoded
    assert layout.decode(b"\x83" + encoded, 1) == (values, 1 + len(encoded))


@settings(deadline=None)
@given(declared(0), st.integers(-(1 << 15), (1 << 15) - 1))
def test_a_signal_of_the_bus_becomes_the_nearest_count_or_invalid(field: Declared, raw: int) -> None:
    assume(reaches(field))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test.dbc").write_text(DBC, encoding="utf-8")
        path = Path(folder, "m.toml")
        path.write_text(HEAD + field.toml(), encoding="utf-8")
        mapping = load_mapping(path, "2025", cache=False)
    latest = LatestFrames(mapping.plan)
    latest.keep(0, 256, raw.to_bytes(2, "little", signed=True), 0)
    ((type_id, values),) = Sampler(mapping.plan).sample(latest, 0)
    exact = (raw * Fraction(1, 20) - 3 - Fraction(field.offset)) / Fraction(field.factor)
    nearest = int(abs(exact) + Fraction(1, 2)) * (1 if exact >= 0 else -1)  # ties away from zero
    lowest, highest = field.limits()
    lo, hi = lowest if field.lo is None else field.lo, highest if field.hi is None else field.hi
    assert (type_id, values) == (0x83, {"field_0": nearest if lo <= nearest <= hi else field.absent()})


def reaches(field: Declared) -> bool:
    """Whether some value of the signal lies in the field's range; the compiler refuses a mapping where none does."""
    lowest, highest = field.limits()
    lo, hi = lowest if field.lo is None else field.lo, highest if field.hi is None else field.hi
    least, most = (n * Fraction(1, 20) - 3 for n in (-(1 << 15), (1 << 15) - 1))
    counts = sorted((value - Fraction(field.offset)) / Fraction(field.factor) for value in (least, most))
    step = Fraction(1, 20) / Fraction(field.factor)
    return step <= 1 and counts[0] + 1 <= hi and counts[1] - 1 >= lo
