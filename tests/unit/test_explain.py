"""The byte explainer, against the tables that are printed beside the packets."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from printed import VECTORS, vector_of

from agent.core.editions import EDITIONS
from agent.core.field import Field, Layout
from agent.core.packet import build_packet
from agent.explain import Row, explain, print_explanation

RAWS = {vector["name"]: bytes.fromhex(vector["hex"]) for vector in VECTORS}
W3 = bytes.fromhex(vector_of("W3 ")["hex"])
TIME = bytes((25, 3, 14, 9, 26, 53))
UNITS = {"°C": "degC", "kΩ": "kOhm", "N·m": "N.m", "°": "deg"}
PRINTED_VALUE = re.compile(r"(-?\d+(?:\.\d+)?) ?(km/h|km|V|A|%|kΩ|°C|r/min|N·m|°|kg/100km|mg/kg|MPa|kPa)$")


def printed_tables(folder: Path) -> dict[bytes, list[tuple[int, bytes, str]]]:
    """Packet of the printed reference to its rows: offset, bytes (perhaps cut short), meaning."""
    text = (folder / "gbt32960.md").read_text(encoding="utf-8")
    tables: dict[bytes, list[tuple[int, bytes, str]]] = {}
    for block, table in re.findall(r"```\n([0-9A-F\n]+)```.*?\n\n(\| Offset.*?)\n\n", text, re.DOTALL):
        rows = re.findall(r"^\| (\d+) \| `([0-9A-F]+)…?` \| .*? \| (.*?) \|$", table, re.MULTILINE)
        tables[bytes.fromhex(block)] = [(int(offset), bytes.fromhex(data), meaning) for offset, data, meaning in rows]
    return tables


def row_at(rows: list[Row], offset: int) -> Row:
    return next(row for row in rows if row.offset == offset)


def by_path(raw: bytes, lang: str = "en") -> dict[str, Row]:
    return {row.path: row for row in explain(raw, lang).rows}


def test_printed_offsets_and_bytes_are_ours(tbox_spec: Path) -> None:
    tables = printed_tables(tbox_spec)
    assert len(tables) >= 23
    for raw, printed in tables.items():
        starts = {row.offset for row in explain(raw, "en").rows}
        assert [offset for offset, _, _ in printed if offset not in starts] == []
        for (offset, data, _), (following, *_) in pairwise([*printed, (len(raw), b"", "")]):
            assert raw[offset:following].startswith(data)


def test_printed_values_are_ours(tbox_spec: Path) -> None:
    compared = 0
    for raw, printed in printed_tables(tbox_spec).items():
        rows = explain(raw, "en").rows
        for offset, _, meaning in printed:
            value = PRINTED_VALUE.search(meaning.partition(",")[0].partition(" (")[0])
            if value is not None and row_at(rows, offset).unit:
                row = row_at(rows, offset)
                assert (float(value[1]), UNITS.get(value[2], value[2])) == (row.value, row.unit), (offset, meaning)
                compared += 1
    assert compared >= 80


@pytest.mark.parametrize("name", RAWS)
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_printed_packets_are_explained_to_the_last_byte(name: str, lang: str) -> None:
    explanation = explain(RAWS[name], lang)
    assert b"".join(row.data for row in explanation.rows) == RAWS[name]
    assert explanation.fault is None
    assert [row for row in explanation.rows if not (row.english and row.chinese)] == []


def test_every_row_of_json_and_explanation_agree() -> None:
    def leaves(value: Any, path: str) -> dict[str, Any]:
        parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
        if parts is None:
            return {path: value}
        found: dict[str, Any] = {}
        for key, part in parts:
            found |= leaves(part, f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}".lstrip("."))
        return found

    rows = by_path(W3)
    wanted = leaves(vector_of("W3 ")["json"], "")
    compared = 0
    for path, value in wanted.items():
        if path in rows and rows[path].value is not None and isinstance(value, int | float):
            assert rows[path].value == value, path
            compared += 1
    assert compared == 41


def test_a_row_says_all_about_its_bytes() -> None:
    row = by_path(W3)["bodies[0].total_current"]
    assert row.as_json() == {
        "offset": 42,
        "bytes": "2694",
        "path": "bodies[0].total_current",
        "english": "total current",
        "chinese": "总电流",
        "raw": 9876,
        "value": -12.4,
        "unit": "A",
        "meaning": "",
        "clause": "7.2.3.1",
    }


@pytest.mark.parametrize(
    ("lang", "path", "meaning"),
    [
        ("en", "bodies[0].gear", "D, driving force"),
        ("zh", "bodies[0].gear", "自动D挡, 有驱动力"),
        ("en", "bodies[4].flags", "SOC low, insulation"),
        ("zh", "bodies[4].flags", "SOC低报警, 绝缘报警"),
        ("zh", "bodies[0].vehicle_state", "启动"),
        ("zh", "command", "实时信息上报"),
        ("zh", "bodies[1].body", "驱动电机数据"),
        ("en", "bodies[2].status", "valid"),
        ("en", "bodies[5].subsystems[0].cells[3]", "invalid"),
        ("zh", "bodies[6].subsystems[0].probes[2]", "异常"),
        ("en", "bcc", "right"),
    ],
)
def test_meanings_are_said_in_words(lang: str, path: str, meaning: str) -> None:
    assert by_path(W3, lang)[path].meaning == meaning


@pytest.mark.parametrize(
    ("status", "meaning"),
    [(0x00, "valid"), (0x01, "invalid"), (0x06, "valid, south, west"), (0xF9, "invalid, reserved 0xf8")],
)
def test_position_says_what_its_bits_say(status: int, meaning: str) -> None:
    unit = TIME + b"\x05" + bytes((status,)) + (1500000).to_bytes(4, "big") + (2500000).to_bytes(4, "big")
    rows = by_path(build_packet(b"##", 2, 0xFE, b"L" * 17, 1, unit))
    assert rows["bodies[0].status"].meaning == meaning
    sign = -1 if status & 4 else 1
    assert (rows["bodies[0].longitude"].value, rows["bodies[0].latitude"].value) == (sign * 1.5, sign * 2.5)


def test_illegal_counts_show_what_is_allowed() -> None:
    rows = by_path(build_packet(b"##", 2, 0xFE, b"L" * 17, 1, TIME + b"\x04\x07\xff\xfd\xff\xff"))
    assert rows["bodies[0].state"].meaning == "illegal 1..2"
    assert rows["bodies[0].speed"].meaning == "illegal 0..60000"


def test_a_wrong_check_code_shows_the_right_one() -> None:
    explanation = explain(W3[:-1] + b"\x18", "en")
    assert explanation.rows[-1].meaning == "wrong: 17"
    assert "check code 18 is wrong, 17 is right at offset 132" in str(explanation.fault)


@pytest.mark.parametrize(
    ("raw", "known", "reason"),
    [
        (W3[:60], 60, "the packet has 133 bytes, these end at offset 60"),
        (W3[:-1], 132, "the packet has 133 bytes, these end at offset 132"),
        (W3[:10], 4, "data end inside vin at offset 4"),
        (b"ab" + W3[2:], 0, "no start mark ## or $$ at offset 0"),
        (W3 + b"\x01\x02", 133, "2 bytes behind the packet at offset 133"),
        (build_packet(b"##", 2, 0xFE, b"L" * 17, 1, TIME + b"\x04\x01\x00"), 32, "data end inside speed at offset 32"),
        (
            build_packet(b"##", 0x81, 0xFE, b"L" * 17, 1, TIME + b"\x01\x11\x00"),
            32,
            "parameter 11 has no known layout at offset 31",
        ),
    ],
)
def test_damage_is_explained_as_far_as_it_goes_with_the_reason(raw: bytes, known: int, reason: str) -> None:
    explanation = explain(raw, "en")
    assert b"".join(row.data for row in explanation.rows) == raw
    assert reason in str(explanation.fault)
    lost = [row for row in explanation.rows if row.path in ("not_decoded", "behind_the_packet")]
    assert (lost[0].offset if lost else len(raw)) == known


def test_what_has_no_layout_is_one_row() -> None:
    rows = by_path(build_packet(b"##", 2, 0xFE, b"L" * 17, 1, TIME + b"\x0a\x01\x02"))
    assert rows["rest"].data == b"\x0a\x01\x02"
    assert by_path(build_packet(b"##", 2, 0xFE, b"L" * 17, 3, b"abc"))["data_unit"].data == b"abc"
    assert by_path(build_packet(b"##", 4, 1, b"L" * 17, 1, b"abc"))["data_unit"].data == b"abc"


def test_an_answer_that_breaks_its_layout_is_one_row() -> None:
    explanation = explain(build_packet(b"##", 4, 1, b"L" * 17, 1, TIME + b"\x01"), "en")
    assert [row.data for row in explanation.rows if row.offset >= 24] == [TIME + b"\x01", explanation.rows[-1].data]
    assert explanation.fault is None


def cells_packet(count: int) -> bytes:
    cells = b"".join((3000 + n).to_bytes(2, "big") for n in range(count))
    unit = TIME + b"\x08\x01\x01\x0d\xef\x26\x94" + count.to_bytes(2, "big") + b"\x00\x01" + bytes((count,)) + cells
    return build_packet(b"##", 2, 0xFE, b"L" * 17, 1, unit)


@pytest.mark.parametrize(("everything", "shown"), [(False, 4), (True, 96)])
def test_long_lists_are_cut_short_unless_all_is_wanted(
    everything: bool, shown: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert print_explanation(cells_packet(96), "en", everything) is None
    out = capsys.readouterr().out
    assert len(re.findall(r"cell voltage \d+", out)) == shown
    assert ("92 more to offset 232 (--all)" in out) != everything


def test_a_list_is_not_cut_to_save_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_explanation(cells_packet(5), "en")
    assert "cell voltage 5" in capsys.readouterr().out


def test_the_signature_says_which_bytes_it_signs() -> None:
    signed = {
        "W12 ": ("bodies[6].algorithm", 24, 110),
        "W13 ": ("bodies[6].algorithm", 24, 100),
        "W14 ": ("algorithm", 24, 128),
    }
    for name, (path, first, last) in signed.items():
        raw = bytes.fromhex(vector_of(name)["hex"])
        assert by_path(raw)[path].meaning == f"SM2, signs offsets {first} to {last}"
        assert by_path(raw, "zh")[path].meaning == f"SM2, 签名范围:偏移{first}至{last}"


@pytest.mark.parametrize(
    ("start", "command", "unit", "path", "meaning"),
    [
        (b"$$", 0x0A, b"\x01\x00", "status", "success"),
        (b"$$", 0x0A, b"\x02\x01", "status", "failure"),
        (b"$$", 0x0A, b"\x02\x00", "information", "none"),
        (b"$$", 0x0A, b"\x02\x01", "information", "chip already activated"),
        (b"$$", 0x0A, b"\x02\x02", "information", "VIN duplicate"),
        (b"$$", 0x0A, b"\x02\x03", "information", "illegal 0..2"),
        (b"$$", 0x0B, b"\x02\x00\x00" + TIME * 2, "key_type", "RSA"),
        (b"$$", 0x0B, b"\x03\x00\x00" + TIME * 2, "key_type", "AES"),
        (b"$$", 0x0B, b"\x01\x00\x00" + TIME * 2, "key_type", "illegal 2..5"),
        (b"$$", 0x0B, b"\x02\x00\x00" + TIME + bytes(6), "valid_until", "impossible"),
        (b"$$", 0x05, TIME + b"\x00\x01" + bytes(32) + b"\x05", "encryption_rule", "SM4"),
        (b"##", 0x05, TIME + b"\x00\x01" + bytes(32) + b"\x03", "encryption_rule", "AES-128"),
        (b"##", 0x05, TIME + b"\x00\x01" + bytes(32) + b"\xfe", "encryption_rule", "abnormal"),
        (b"$$", 0x80, TIME + b"\x01\x05", "ids[0]", "domain"),
        (b"$$", 0x80, TIME + b"\x02\x10\x77", "ids[0]", "sampling monitoring"),
        (b"$$", 0x81, TIME + b"\x01\x02\x0a", "parameters[0].id", "report period"),
        (b"$$", 0x82, TIME + b"\x03", "control", "reset"),
        (b"$$", 0x02, TIME + b"\x05\x00\x01" + bytes(8), "bodies[0].coordinate_system", "wgs84"),
        (
            b"$$",
            0x02,
            TIME + b"\x06\x02\x00\x00\x00\x20" + bytes(5),
            "bodies[0].flags",
            "minimum parallel unit voltage high",
        ),
        (b"##", 0x02, TIME + b"\x07\x02\x00\x00\x00\x20" + bytes(4), "bodies[0].flags", "cell voltage high"),
    ],
)
def test_numbers_without_words_in_their_table_are_explained(
    start: bytes, command: int, unit: bytes, path: str, meaning: str
) -> None:
    assert by_path(build_packet(start, command, 0xFE, b"L" * 17, 1, unit))[path].meaning == meaning


@pytest.mark.parametrize(("gear", "meaning"), [(0x80, "invalid"), (0xAE, "invalid"), (0x2E, "D, driving force")])
def test_of_an_invalid_gear_nothing_else_is_said(gear: int, meaning: str) -> None:
    w12 = bytearray.fromhex(vector_of("W12 ")["hex"])
    w12[46] = gear
    assert by_path(bytes(w12))["bodies[0].gear"].meaning == meaning


OWN = Layout("battery_plant", (Field("length", 2, hi=65531), Field("coolant", 1, "degC", 1, 40, 0, 250)), "7.2.3.8")
DECLARED = EDITIONS | {"2025": EDITIONS["2025"].with_declared({0x83: OWN})}


def test_a_declared_body_of_the_makers_own_shows_its_fields() -> None:
    raw = build_packet(b"$$", 2, 0xFE, b"L" * 17, 1, TIME + b"\x83\x00\x01\x40\x84\x00\x01\x40")
    rows = {row.path: row for row in explain(raw, "en", DECLARED).rows}
    assert (rows["bodies[0].coolant"].value, rows["bodies[0].coolant"].unit) == (24, "degC")
    assert rows["bodies[0].body"].meaning == rows["bodies[1].body"].meaning == "user-defined"
    assert rows["bodies[1].hex"].data == b"\x40"
