"""No wolf is cried: what a vehicle can mean has no finding. And whatever the bytes are, a diagnosis comes, soon."""

import random
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.dataunit import DataUnit, decode_data_unit, encode_bodies, encode_data_unit
from agent.core.edition import Edition
from agent.core.editions import BY_START, EDITIONS
from agent.core.errors import RemoteProtocolError
from agent.core.field import Field, Items, Layout, Text
from agent.core.packet import build_packet, time_bytes
from agent.diagnosis import diagnose, is_broken
from agent.diagnosis_texts import say
from tests.strategies import raws

VIN = b"LGBTEST0000000017"
FIRST, LAST = 1_483_200_000, 1_893_427_200  # 2017 to 2029
# What a road vehicle can mean, in the unit of the field; by unit, or by name where the unit says too little.
PLAUSIBLE = {
    "cell": (0, 5), "max_cell_voltage": (3.3, 5), "min_cell_voltage": (0, 3.2), "max_temperature": (30, 120),
    "min_temperature": (-40, 25), "longitude": (73, 135), "latitude": (3.5, 53.5), "controller_current": (-600, 900),
    "total_current": (-700, 900), "current": (-700, 900), "torque": (-1500, 4000), "V": (0, 1400), "km/h": (0, 180),
    "degC": (-40, 160), "r/min": (-8000, 11500),
}  # fmt: skip
STATUS = st.sampled_from((0, 1, 2, 4, 6, 7))


def plausible(field: Field) -> st.SearchStrategy[int]:
    """Counts in the range that a vehicle can mean, and the sentinels."""
    if field.name == "status":
        return STATUS
    if field.bits or field.flags:
        used = (
            field.hi if field.flags else sum(((1 << width) - 1) << shift for _, shift, width, _, _ in field.bits or ())
        )
        return st.integers(0, field.top).map(lambda raw: raw & used)
    limits = PLAUSIBLE.get(field.name) or PLAUSIBLE.get(field.unit)
    if limits is None or field.words:
        return raws(field)
    lo, hi = (round(limit * field.per_unit) + field.offset for limit in limits)
    inside = st.integers(max(lo, field.lo), min(hi, field.hi))
    special = {field.invalid, field.abnormal} - {None}
    return st.one_of(inside, st.sampled_from(sorted(special))) if special else inside


def body(layout: Layout) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({row.name: row_of(row) for row in layout.rows})


def row_of(row: Any) -> st.SearchStrategy[Any]:
    if isinstance(row, Field):
        return plausible(row)
    if isinstance(row, Items):
        item = body(row.item) if isinstance(row.item, Layout) else plausible(row.item)
        listed = st.lists(item, min_size=row.count.lo, max_size=5)
        counts = [row.count.invalid, row.count.abnormal]
        return listed if row.count.invalid is None else st.one_of(listed, st.sampled_from(counts))
    if isinstance(row, Text):
        return st.binary(min_size=row.size, max_size=row.size)
    return st.binary(min_size=row.count.lo, max_size=70)


def times() -> st.SearchStrategy[bytes]:
    return st.integers(FIRST, LAST).map(time_bytes)


@st.composite
def reports(draw: st.DrawFn) -> bytes:
    """A report of either edition as a sound terminal sends it."""
    edition: Edition = EDITIONS[draw(st.sampled_from(sorted(EDITIONS)))]
    types = draw(st.lists(st.sampled_from([*edition.bodies, 0x80, 0xFE]), unique=True, max_size=6))
    layouts = [(type_id, edition.body(type_id)) for type_id in types]
    bodies = [(type_id, draw(body(layout))) for type_id, layout in layouts if layout is not None]
    if edition.signature is not None and draw(st.booleans()):
        bodies.append((0xFF, draw(body(edition.signature))))
    unit = draw(times()) + encode_bodies(edition, bodies)
    return build_packet(edition.start, draw(st.sampled_from((2, 3))), 0xFE, VIN, 1, unit)


@given(reports())
def test_what_a_vehicle_can_mean_has_no_finding(raw: bytes) -> None:
    assert not is_broken(diagnose(raw)), [(found.offset, say(found, "en")) for found in diagnose(raw)]


@given(st.integers(1, 65531), st.lists(st.binary(min_size=24, max_size=24), max_size=5), times())
def test_logins_have_no_finding(serial: int, codes: list[bytes], time: bytes) -> None:
    iccid = b"89860000000000000011"
    for edition, values in (
        (EDITIONS["2016"], {"codes": codes, "code_length": 24}),
        (EDITIONS["2025"], {"codes": codes, "packs": [len(codes)]}),
    ):
        unit = encode_data_unit(edition, 1, DataUnit(time, {"serial": serial, "iccid": iccid} | values))
        assert diagnose(build_packet(edition.start, 1, 0xFE, VIN, 1, unit)) == []


@given(reports(), st.data())
def test_no_damage_of_a_byte_goes_unseen_or_raises(raw: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(raw) - 1))
    flip = data.draw(st.integers(1, 255))
    damaged = raw[:at] + bytes((raw[at] ^ flip,)) + raw[at + 1 :]
    findings = diagnose(damaged)
    assert is_broken(findings)
    for found in findings:
        assert 0 <= found.offset <= len(damaged)
        assert all(say(found, lang) for lang in ("en", "zh"))


@given(reports(), st.data())
def test_what_the_codec_cannot_decode_is_broken(raw: bytes, data: st.DataObject) -> None:
    """Bytes put anywhere into the unit, with a length and check code that are right."""
    unit = raw[24:-1]
    at = data.draw(st.integers(0, len(unit)))
    unit = unit[:at] + data.draw(st.binary(min_size=1, max_size=3)) + unit[at:]
    try:
        decode_data_unit(BY_START[raw[:2]], raw[2], unit)
    except RemoteProtocolError:
        assert is_broken(diagnose(build_packet(raw[:2], raw[2], 0xFE, VIN, 1, unit)))


@given(
    st.one_of(st.binary(max_size=300), st.binary(max_size=200).map(lambda tail: b"$$\x02\xfe" + VIN + b"\x01" + tail))
)
def test_any_bytes_have_a_diagnosis(raw: bytes) -> None:
    for found in diagnose(raw):
        assert all(say(found, lang) for lang in ("en", "zh"))


LARGE = 65531


@pytest.mark.parametrize(
    "fill",
    [b"\x00", b"\xff", b"\x01", b"\x02\x01", b"\x04\x00\x01", b"\x80\x00\x01\x05", b"##\x02\xfe", b"\x07\xfe", None],
)
@pytest.mark.parametrize("start", [b"##", b"$$"])
@pytest.mark.parametrize("good", [True, False])
def test_the_largest_packet_of_anything_takes_a_bounded_time(start: bytes, fill: bytes | None, good: bool) -> None:
    noise = random.Random(7).randbytes(LARGE) if fill is None else (fill * LARGE)[:LARGE]
    raw = build_packet(start, 2, 0xFE, VIN, 1, noise)
    began = perf_counter()
    diagnose(raw if good else raw[:-2] + raw[-1:])
    assert perf_counter() - began < 10  # on a board computer that has other things to do
