"""What holds for every packet: nothing is lost between bytes, values and JSON, and nothing breaks the decoder."""

import json
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import bodies, raws, units, values

from agent.core.dataunit import DataUnit, decode_bodies, decode_data_unit, encode_bodies, encode_data_unit
from agent.core.edition import Edition
from agent.core.editions import BY_START, EDITIONS
from agent.core.errors import FieldError, RemoteProtocolError
from agent.core.field import Field, Layout
from agent.core.packet import COMMAND, STARTS, Packet, bcc, build_packet, epoch_of, time_bytes
from agent.explain import explain
from agent.packetjson import packet_from_json, packet_to_json

COMMANDS = sorted({command for edition in EDITIONS.values() for command in edition.commands})
BEIJING = timezone(timedelta(hours=8))
BYTE = st.integers(0, 255)
TIMES = st.integers(946656000, 4102415999)  # 2000-01-01 to 2099-12-31 in Beijing

BODIES = {
    f"{edition.name} {layout.name}": layout
    for edition in EDITIONS.values()
    for layout in (*edition.bodies.values(), edition.user_body, *filter(None, [edition.signature]))
}
FIELDS = {name: [row for row in layout.rows if isinstance(row, Field)] for name, layout in BODIES.items()}

editions = pytest.mark.parametrize("edition", EDITIONS.values(), ids=list(EDITIONS))
layouts = pytest.mark.parametrize("layout", BODIES.values(), ids=list(BODIES))


def packets_of(data: bytes, command: int, response: int = COMMAND, encryption: int = 1) -> bytes:
    return build_packet(b"##", command, response, b"LGBTEST0000000017", encryption, data)


@st.composite
def whole_packets(draw: st.DrawFn, edition: Edition, legal: bool = True) -> bytes:
    """Packets of every command, as command and as answer, with everything that the tables allow."""
    command = draw(st.sampled_from(sorted(edition.commands)))
    response = draw(st.sampled_from([COMMAND, COMMAND, 1, 2]))
    row = edition.commands[command]
    unit = DataUnit(time_bytes(draw(TIMES)) if row.timed else b"")
    if row.reports:
        unit.bodies = draw(bodies(edition, legal))
        unit.rest = draw(st.sampled_from([b"", b"\x0a\x01", b"\x7f"]))
    else:
        unit.values = draw(units(row, response, legal))
    data = encode_data_unit(edition, command, unit, response, strict=legal)
    return build_packet(edition.start, command, response, b"LGBTEST0000000017", 1, data)


ANY_PACKET = st.one_of([whole_packets(edition, legal) for edition in EDITIONS.values() for legal in (True, False)])
ILLEGAL_PACKET = st.one_of([whole_packets(edition, legal=False) for edition in EDITIONS.values()])


@layouts
@given(data=st.data())
def test_legal_values_come_back(layout: Layout, data: st.DataObject) -> None:
    given_values = data.draw(values(layout))
    raw = layout.encode(given_values)
    assert layout.decode(raw) == (given_values, len(raw))


@layouts
@given(data=st.data())
def test_illegal_values_come_back_when_asked_for(layout: Layout, data: st.DataObject) -> None:
    given_values = data.draw(values(layout, legal=False))
    raw = layout.encode(given_values, strict=False)
    assert layout.decode(raw) == (given_values, len(raw))


@pytest.mark.parametrize("name", [name for name, fields in FIELDS.items() if fields])
@given(data=st.data())
def test_no_illegal_count_leaves_strictly(name: str, data: st.DataObject) -> None:
    layout = BODIES[name]
    field = data.draw(st.sampled_from(FIELDS[name]))
    raw = data.draw(raws(field, legal=False) | st.integers(-3, field.top + 3))
    given_values = data.draw(values(layout)) | {field.name: raw}
    if field.lo <= raw <= field.hi or raw in (field.invalid, field.abnormal, field.absent):
        assert layout.decode(layout.encode(given_values))[0][field.name] == raw
    else:
        with pytest.raises(FieldError, match=field.name):
            layout.encode(given_values)


@editions
@given(data=st.data())
def test_bodies_come_back(edition: Edition, data: st.DataObject) -> None:
    given_bodies = data.draw(bodies(edition))
    assert decode_bodies(edition, encode_bodies(edition, given_bodies)) == (given_bodies, b"")


@given(raw=ANY_PACKET)
def test_packets_are_decoded_and_encoded_to_the_same_bytes(raw: bytes) -> None:
    packet = Packet(raw)
    edition = BY_START[packet.start]
    unit = decode_data_unit(edition, packet.command, packet.unit, packet.response)
    assert encode_data_unit(edition, packet.command, unit, packet.response, strict=False) == packet.unit


@given(raw=ANY_PACKET)
@example(raw=packets_of(bytes(30) + b"\x00\x33", 1))  # no codes, and a length of a code that is not allowed
def test_json_of_packets_is_lossless(raw: bytes) -> None:
    text = json.dumps(packet_to_json(Packet(raw)), allow_nan=False)
    assert packet_from_json(json.loads(text)) == raw


@given(
    start=st.sampled_from(sorted(STARTS.values())),
    command=BYTE | st.sampled_from(COMMANDS),
    response=BYTE | st.just(COMMAND),
    vin=st.binary(min_size=17, max_size=17),
    encryption=st.just(1) | BYTE,
    unit=st.binary(max_size=60),
    check=st.just(0) | BYTE,
)
def test_json_of_random_bytes_is_lossless(
    start: bytes, command: int, response: int, vin: bytes, encryption: int, unit: bytes, check: int
) -> None:
    raw = build_packet(start, command, response, vin, encryption, unit)
    raw = raw[:-1] + bytes((raw[-1] ^ check,))
    text = json.dumps(packet_to_json(Packet(raw)), allow_nan=False)
    assert packet_from_json(json.loads(text)) == raw


@editions
@given(command=BYTE | st.sampled_from(COMMANDS), response=st.sampled_from([COMMAND, 1]), data=st.binary(max_size=120))
@example(command=2, response=COMMAND, data=bytes(6) + b"\x08\x01\x01")
@example(command=1, response=COMMAND, data=bytes(28) + b"\x02\x01\xff")
def test_decoder_raises_nothing_but_remote_protocol_error(
    edition: Edition, command: int, response: int, data: bytes
) -> None:
    refused = None
    try:
        unit = decode_data_unit(edition, command, data, response)
    except RemoteProtocolError as error:
        refused = error
    if refused is not None:
        assert response == COMMAND, "an answer is kept whole, never refused"
        assert 0 <= refused.offset <= len(data)
    else:
        assert encode_data_unit(edition, command, unit, response, strict=False) == data


@given(
    raw=ILLEGAL_PACKET,
    cut=st.integers(0, 200),
    noise=st.binary(max_size=3),
    flip=BYTE,
    lang=st.sampled_from(["zh", "en"]),
)
def test_explanation_tiles_any_bytes(raw: bytes, cut: int, noise: bytes, flip: int, lang: str) -> None:
    damaged = bytearray(raw[:cut] if cut < len(raw) else raw + noise)
    if damaged and flip:
        damaged[flip % len(damaged)] ^= flip
    explanation = explain(bytes(damaged), lang)
    assert b"".join(row.data for row in explanation.rows) == damaged
    offsets = [row.offset for row in explanation.rows]
    assert offsets == [sum(len(row.data) for row in explanation.rows[:n]) for n in range(len(offsets))]
    assert all(row.data for row in explanation.rows)


@given(raw=ILLEGAL_PACKET)
def test_whole_packets_have_no_fault(raw: bytes) -> None:
    explanation = explain(raw, "en")
    assert explanation.fault is None
    assert not [row for row in explanation.rows if row.english == "not decoded"]


@given(
    data=st.binary(max_size=300)
    | st.builds(bytes.__mul__, st.binary(max_size=9), st.sampled_from([227, 228, 2048, 7000]))
)
def test_check_code_is_the_xor_of_all_bytes(data: bytes) -> None:
    expected = 0
    for byte in data:
        expected ^= byte
    assert bcc(data) == expected


@given(epoch_s=TIMES)
def test_time_is_that_of_datetime(epoch_s: int) -> None:
    moment = datetime.fromtimestamp(epoch_s, BEIJING)
    data = time_bytes(epoch_s)
    assert tuple(data) == (moment.year - 2000, moment.month, moment.day, moment.hour, moment.minute, moment.second)
    assert epoch_of(data) == epoch_s


def test_every_day_of_the_century_is_right() -> None:
    day = datetime(2000, 1, 1, 23, 59, 58, tzinfo=BEIJING)
    while day.year < 2100:
        expected = bytes((day.year - 2000, day.month, day.day, 23, 59, 58))
        assert time_bytes(int(day.timestamp())) == expected
        assert epoch_of(expected) == int(day.timestamp())
        day += timedelta(days=1)


@given(
    data=st.binary(min_size=6, max_size=6)
    | st.tuples(*[st.integers(0, hi) for hi in (99, 13, 32, 24, 60, 60)]).map(bytes)
)
def test_impossible_times_are_refused_as_datetime_does(data: bytes) -> None:
    try:
        expected = datetime(2000 + data[0], *data[1:], tzinfo=BEIJING) if data[0] < 100 else None  # type: ignore[misc,arg-type]
    except ValueError:
        expected = None
    if expected is None:
        with pytest.raises(RemoteProtocolError, match="impossible"):
            epoch_of(data)
    else:
        assert epoch_of(data) == int(expected.timestamp())
