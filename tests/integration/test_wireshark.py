"""The dissector that `tbox fields --lua` prints, run in tshark: every number, its value and its words against our decode."""

import json
import random
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from struct import pack
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import labels
from agent.core.dataunit import decode_data_unit, encode_bodies
from agent.core.edition import Edition
from agent.core.editions import BY_START, EDITIONS
from agent.core.errors import RemoteProtocolError
from agent.core.field import Blob, Field, Items, Layout, Sized, Text, Time
from agent.core.packet import PLAIN, Packet, build_packet, epoch_of
from agent.core.parameters import Codes, Control, PackCodes, Parameters
from agent.jsonvalues import text_of, value_of
from agent.wireshark import dissector
from tests.strategies import bodies

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/packets_2016.json").read_text(encoding="utf-8"))
VIN = b"LGBTEST0000000017"
TIME = bytes((26, 1, 8, 14, 26, 53))
Leaf = tuple[str, int, Any]  # field, raw, value in its unit ("" where it has none to show)

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="no tshark: apt-get install -y tshark")


# --- a capture, by hand -----------------------------------------------------------------------------------------------


def segment(payload: bytes, sequence: int, port: int, number: int) -> bytes:
    tcp = pack(">HHIIBBHHH", 40000, port, sequence, 1, 0x50, 0x18, 65535, 0, 0) + payload
    ip = pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), number & 0xFFFF, 0, 64, 6, 0, b"\x0a\0\0\1", b"\x0a\0\0\2")
    return ip + tcp


def capture(path: Path, payloads: list[bytes], port: int = 32960, link_type: int = 101) -> Path:
    """A pcap of TCP segments over IPv4 (link type 101), or of bare packets (147)."""
    out = [pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, link_type)]
    sequence = 1
    for number, payload in enumerate(payloads):
        data = segment(payload, sequence, port, number) if link_type == 101 else payload
        sequence += len(payload)
        out.append(pack("<IIII", 1700000000 + number, 0, len(data), len(data)) + data)
    path.write_bytes(b"".join(out))
    return path


def dissect(
    tmp_path: Path,
    payloads: list[bytes],
    lang: str = "en",
    editions: Mapping[str, Edition] = EDITIONS,
    **how: int,
) -> list[ET.Element]:
    """The packets that tshark finds, each as the tree of its fields."""
    script = tmp_path / f"gbt32960.{lang}.lua"
    script.write_text(dissector(lang, editions), encoding="utf-8")
    pcap = capture(tmp_path / "capture.pcap", payloads, **how)
    done = subprocess.run(
        ["tshark", "-n", "-X", f"lua_script:{script}", "-r", str(pcap), "-T", "pdml"],
        capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    assert b"Lua Error" not in done.stdout, re.findall(rb"Lua Error[^\"]{0,200}", done.stdout)[:3]
    assert b".lua" not in done.stderr.replace(str(script).encode(), b"script"), done.stderr
    found = ET.fromstring(done.stdout)  # noqa: S314 - what tshark wrote
    return [proto for proto in found.iter("proto") if proto.get("name") == "gbt32960"]


# --- our decode, as leaves --------------------------------------------------------------------------------------------


def number(table: str, row: Field, raw: int, negative: bool = False) -> Leaf:
    value = "" if row.bits or row.flags else value_of(row, raw)
    value = labels.MEANINGS.get(f"{table}.{row.name}", {}).get(raw, value)
    if isinstance(value, int | float) and not row.words:
        return f"{table}.{row.name}", raw, -value if negative else value
    return f"{table}.{row.name}", raw, value


def leaves(layout: Layout, values: dict[str, Any]) -> Iterator[Leaf]:
    for row in layout.rows:
        yield from row_leaves(layout.name, row, values)


def row_leaves(table: str, row: Any, values: dict[str, Any]) -> Iterator[Leaf]:
    if isinstance(row, Field):
        negative = row.sign is not None and bool(values[row.sign[0]] & row.sign[1])
        yield number(table, row, values[row.name], negative)
        raw = values[row.name]
        for name, shift, width, words, inverted in row.bits or ():
            part = raw >> shift & ((1 << width) - 1)
            yield f"{table}.{row.name}.{name}", part if words else int(bool(part) != inverted), ""
        for bit, name in enumerate(row.flags or ()):
            yield f"{table}.{row.name}.{name}", raw >> bit & 1, ""
    elif isinstance(row, Items):
        given = values[row.name]
        yield number(table, row.count, given if isinstance(given, int) else len(given))
        for item in [] if isinstance(given, int) else given:
            yield from leaves(row.item, item) if isinstance(row.item, Layout) else [number(table, row.item, item)]
    elif isinstance(row, Blob):
        yield number(table, row.count, len(values[row.name]))
    elif isinstance(row, Codes):
        yield number(table, row.count, len(values["codes"]))
        yield number(table, row.length, values["code_length"])
    elif isinstance(row, PackCodes):
        yield number(table, row.count, len(values["packs"]))
        for packs in values["packs"]:
            yield number(table, row.packs, packs)
    elif isinstance(row, Parameters):
        yield number(table, row.count, len(values["parameters"]))
        for number_, content in values["parameters"]:
            yield "id.id", number_, number_
            item = row.table[number_]
            if isinstance(item, Field):
                yield number(table, item, content)
    elif isinstance(row, Control):
        yield f"{table}.control", values["control"], ""
        if "level" in values:
            yield number(table, row.level, values["level"])
    else:
        assert isinstance(row, Text | Time)


def wanted(raw: bytes) -> list[Leaf]:
    """Every number of a packet in its order, by our own decode."""
    packet = Packet(raw)
    edition = BY_START[packet.start]
    out: list[Leaf] = [("command", packet.command, ""), ("response", packet.response, "")]
    out += [("encryption", packet.encryption, ""), ("length", len(packet.unit), "")]
    row = edition.commands.get(packet.command)
    if row is not None and packet.encryption == PLAIN:
        unit = decode_data_unit(edition, packet.command, packet.unit, packet.response)
        layout = row.rows(packet.response)
        if unit.values is not None and layout is not None:
            out += leaves(layout, unit.values)
        for type_id, values in unit.bodies or []:
            body = edition.body(type_id)
            assert body is not None
            out.append(("body_type", type_id, ""))
            out += leaves(body, values)
    return [*out, ("bcc", packet.bcc, ""), ("bcc_ok", int(packet.bcc_ok), "")]


def shown(proto: ET.Element) -> list[Leaf]:
    """The same out of tshark; a value in a unit stands behind its number as a field of its own."""
    out: list[Leaf] = []
    for field in proto.iter("field"):
        place = (field.get("name") or "").removeprefix("gbt32960.")
        show = field.get("show") or ""
        if place.endswith(".value") and out and place == out[-1][0] + ".value":
            out[-1] = (out[-1][0], out[-1][1], float(show))
        elif re.fullmatch(r"0x[0-9a-f]+|0|[1-9]\d*|True|False", show) and (field.get("name") or "").startswith(
            "gbt32960."
        ):
            raw = {"True": 1, "False": 0}.get(show)
            text = (field.get("showname") or "").partition(": ")[2]
            out.append((place, int(show, 0) if raw is None else raw, text))
    return out


def texts(layout: Layout, values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Texts of the rows of a command in their order."""
    for row in layout.rows:
        place = f"{layout.name}.{row.name}"
        if isinstance(row, Text):
            yield place, values[row.name].rstrip(row.pad)
        elif isinstance(row, Codes | PackCodes):
            yield from ((place, code) for code in values["codes"] if code)
        elif isinstance(row, Control):
            yield from ((f"{layout.name}.{key}", values[key]) for key in ("text", "arguments") if values.get(key))
        elif isinstance(row, Parameters):
            for number_, content in values["parameters"]:
                item = row.table[number_]
                if not isinstance(item, Field):
                    name = item.name if isinstance(item, Text) else row.table[item].name.removesuffix("_length")
                    yield f"{layout.name}.{name}", content


def compare_texts(raw: bytes, proto: ET.Element) -> None:
    packet = Packet(raw)
    edition = BY_START[packet.start]
    row = edition.commands[packet.command]
    unit = decode_data_unit(edition, packet.command, packet.unit, packet.response)
    ours: list[tuple[str, Any]] = [("vin", packet.vin)]
    layout = row.rows(packet.response)
    if unit.values is not None and layout is not None:
        ours += texts(layout, unit.values)
    names = {place for place, _ in ours}
    found = [((field.get("name") or "").removeprefix("gbt32960."), field.get("show")) for field in proto.iter("field")]
    plain = [(place, text_of(content, b"\0")) for place, content in ours]
    assert [pair for pair in found if pair[0] in names] == plain
    if unit.time:
        moment = datetime.fromtimestamp(epoch_of(unit.time), timezone(timedelta(hours=8)))
        assert ("time", moment.isoformat()) in found


def compare(raw: bytes, proto: ET.Element) -> int:
    """Number of numbers compared."""
    ours, theirs = wanted(raw), shown(proto)
    names = {place for place, _, _ in ours}
    theirs = [leaf for leaf in theirs if leaf[0] in names]
    assert [leaf[:2] for leaf in theirs] == [leaf[:2] for leaf in ours]
    for (place, count, value), (_, _, display) in zip(ours, theirs, strict=True):
        if isinstance(display, float):
            assert display == pytest.approx(value, abs=1e-9), place
        elif value is None:
            assert display.startswith("invalid"), (place, display)
        elif isinstance(value, dict):
            assert display.startswith("illegal"), (place, display)
        elif isinstance(value, str) and not re.fullmatch("[0-9a-f]{8}", value) and value:
            assert display.startswith(value.replace("_", " ")), (place, display)
        elif value != "" and not isinstance(value, str):
            assert display.split()[0] == str(value), (place, count, display)
    begin = int(proto.get("pos") or 0)
    for field in proto.iter("field"):
        if (field.get("name") or "").startswith("gbt32960.") and field.get("value") and int(field.get("size") or 0):
            at, size = int(field.get("pos") or 0) - begin, int(field.get("size") or 0)
            bits_of = len(field.get("value") or "") != 2 * size
            assert bits_of or raw[at : at + size].hex() == field.get("value"), field.attrib
    return len(ours)


def printed(folder: Path) -> list[bytes]:
    text = (folder / "gbt32960.md").read_text(encoding="utf-8")
    examples = text[text.index("\n## 10. ") : text.index("\n## 11. ")]
    blocks = [block.replace("\n", "") for block in re.findall(r"```\n([0-9A-F\n]+)```", examples)]
    return [bytes.fromhex(block) for block in blocks]


# --- tests ------------------------------------------------------------------------------------------------------------


def test_every_field_of_the_vectors_is_what_we_decode(tmp_path: Path) -> None:
    raws = [bytes.fromhex(vector["hex"]) for vector in VECTORS]
    found = dissect(tmp_path, raws)
    assert len(found) == len(raws)
    assert sum(compare(raw, proto) for raw, proto in zip(raws, found, strict=True)) > 350


def test_every_field_of_the_printed_packets_of_both_editions(tmp_path: Path, tbox_spec: Path) -> None:
    raws = printed(tbox_spec)
    assert {raw[:2] for raw in raws} == {b"##", b"$$"}
    found = dissect(tmp_path, raws)
    assert len(found) == len(raws)
    assert sum(compare(raw, proto) for raw, proto in zip(raws, found, strict=True)) > 550
    for raw, proto in zip(raws, found, strict=True):
        compare_texts(raw, proto)


@pytest.mark.parametrize("port", [32960, 9000])
def test_packets_cut_and_joined_by_tcp_are_put_together(port: int, tmp_path: Path) -> None:
    raws = [bytes.fromhex(vector["hex"]) for vector in VECTORS]
    stream = b"".join(raws)
    rng = random.Random(4)
    # The first segment is long enough to be known by its content, on a port that says nothing.
    cuts = [0, 30, *sorted(rng.sample(range(31, len(stream)), 25)), len(stream)]
    found = dissect(tmp_path, [stream[a:b] for a, b in pairwise(cuts)], port=port)
    assert len(found) == len(raws)
    for raw, proto in zip(raws, found, strict=True):
        compare(raw, proto)
    assert len(dissect(tmp_path, [stream], port=port)) == len(raws)


def test_packets_without_a_network_around_them(tmp_path: Path) -> None:
    raws = [bytes.fromhex(vector["hex"]) for vector in VECTORS]
    found = dissect(tmp_path, raws, link_type=147)
    assert sum(compare(raw, proto) for raw, proto in zip(raws, found, strict=True)) > 350


@st.composite
def random_reports(draw: st.DrawFn) -> bytes:
    """A report of either edition with any counts, legal or not."""
    edition = EDITIONS[draw(st.sampled_from(sorted(EDITIONS)))]
    return build_packet(
        edition.start, 2, 0xFE, VIN, 1, TIME + encode_bodies(edition, draw(bodies(edition, legal=False)), False)
    )


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raws=st.lists(random_reports(), min_size=20, max_size=30))
def test_every_field_of_random_reports(raws: list[bytes], tmp_path: Path) -> None:
    found = dissect(tmp_path, raws)
    assert len(found) == len(raws)
    for raw, proto in zip(raws, found, strict=True):
        compare(raw, proto)


def test_special_values_are_said_in_words(tmp_path: Path) -> None:
    vehicle = {"vehicle_state": 0xFE, "charging_state": 9, "run_mode": 0xFF, "speed": 0xFFFE, "odometer": 0xFFFFFFFF,
               "total_voltage": 60001, "total_current": 29999, "soc": 101, "dcdc_state": 1, "gear": 0xAF,
               "insulation_resistance": 0xFFFF}  # fmt: skip
    packs = {"packs": 0xFE}
    position = {"status": 6, "coordinate_system": 1, "longitude": 58381592, "latitude": 34603722}
    unit = TIME + encode_bodies(EDITIONS["2025"], [(1, vehicle), (7, packs), (5, position)], strict=False)
    raw = build_packet(b"$$", 2, 0xFE, VIN, 1, unit)
    (proto,) = dissect(tmp_path, [raw])
    compare(raw, proto)
    text = ET.tostring(proto, encoding="unicode")
    for said in ("abnormal (254)", "illegal 1..4 (9)", "invalid (255)", "abnormal (65534)", "-0.1 A (29999)",
                 "1... .... = invalid: yes", "longitude: -58.381592 deg", "latitude: -34.603722 deg",
                 ".... ..1. = south: yes", ".... ...0 = valid: yes"):  # fmt: skip
        assert said in text, said


def test_declared_bodies_show_their_fields(tmp_path: Path) -> None:
    rows = (
        Field("cabin", 2, "degC", 10, 0, -400, 1250, signed=True),
        Field("heater", 2, "A", 5, 0, 0, 60000, step=2),
    )
    edition = EDITIONS["2016"].with_declared({0x80: Sized("comfort", rows)})
    unit = TIME + encode_bodies(edition, [(0x80, {"cabin": -123, "heater": 6}), (0xFE, {"hex": b"abc"})])
    (proto,) = dissect(tmp_path, [build_packet(b"##", 2, 0xFE, VIN, 1, unit)], editions=EDITIONS | {"2016": edition})
    text = ET.tostring(proto, encoding="unicode")
    assert "cabin: -12.3 degC (-123)" in text
    assert "heater: 2.4 A (6)" in text
    assert 'name="gbt32960.comfort.cabin.value"' in text
    assert 'show="61:62:63"' in text
    assert "gbt32960.ends" not in text


def test_bit_0_of_the_alarms_is_the_least_significant(tmp_path: Path) -> None:
    faults = ("storage_faults", "motor_faults", "engine_faults", "other_faults")
    alarms = {"level": 1, "flags": 1 | 1 << 18 | 1 << 31} | {key: [0x12345678] for key in faults}
    raw = build_packet(b"##", 2, 0xFE, VIN, 1, TIME + encode_bodies(EDITIONS["2016"], [(7, alarms)], strict=False))
    (proto,) = dissect(tmp_path, [raw])
    compare(raw, proto)
    text = ET.tostring(proto, encoding="unicode")
    assert ".... .... .... .... .... .... .... ...1 = temperature difference: yes" in text
    assert "0x12345678" in text
    assert "reserved: 0x80000000" in text


def test_damage_is_said_and_hides_nothing(tmp_path: Path) -> None:
    good = bytes.fromhex(VECTORS[3]["hex"])
    wrong = good[:-1] + bytes((good[-1] ^ 1,))
    cut = build_packet(b"##", 2, 0xFE, VIN, 1, good[24:60])
    unknown = build_packet(b"##", 2, 0xFE, VIN, 1, TIME + b"\x7f\x01\x02")
    found = dissect(tmp_path, [wrong, cut, unknown, b"noise" + good, good])
    text = [ET.tostring(proto, encoding="unicode") for proto in found]
    assert "gbt32960.bcc.wrong" in text[0]
    assert shown(found[0])[-1][:2] == ("bcc_ok", 0)
    assert "gbt32960.ends" in text[1]
    assert "gbt32960.rest" in text[2]
    compare(good, found[-1])
    compare(good, found[-2])
    with pytest.raises(RemoteProtocolError):
        wanted(cut)


def test_names_are_chinese_where_asked(tmp_path: Path) -> None:
    raw = bytes.fromhex(VECTORS[3]["hex"])
    (proto,) = dissect(tmp_path, [raw], lang="zh")
    text = ET.tostring(proto, encoding="unicode")
    assert "总电流: 500.0 A (15000)" in text
    assert "校验码: 76 (正确)" in text
