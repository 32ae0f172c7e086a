"""Bodies of the maker's own: what a declaration may say, and where the declared bodies are known."""

import json
from pathlib import Path

import pytest
from mapped import HEAD, write

from agent.cli import main
from agent.core.editions import EDITIONS
from agent.core.errors import RemoteProtocolError
from agent.core.frames import LatestFrames
from agent.core.packet import COMMAND, PLAIN, build_packet
from agent.core.sampler import Sampler
from agent.errors import ConfigError
from agent.explain import explain
from agent.fieldtable import field_rows
from agent.mapping.declared import declared_editions
from agent.signalmap import load_mapping

BODY = """
[[user.0x83.fields]]
name = "pump"
type = "u16"
unit = "r/min"
factor = 0.5
source = "b.M.Speed"
[[user.0x83.fields]]
name = "coolant"
type = "i16"
unit = "degC"
factor = 0.1
source = { signal = "b.M.Kelvin", unit = "K" }
[[user.0x83.fields]]
name = "flow"
type = "i8"
invalid = 127
lo = -100
source = { expression = "-b.M.Level / 2" }
[[user.0x83.fields]]
name = "level"
type = "u8"
source = { signal = "b.M.Level", values = { 1 = 10, 2 = 20 } }
[[user.0x83.fields]]
name = "shift"
type = "i32"
source = { signal = "b.M.Level", values = { 1 = -7, 2 = 8 } }
[[user.0xFE.fields]]
name = "later"
type = "u32"
[[user.0xFE.fields]]
name = "fixed"
type = "u8"
factor = 0.4
offset = -4
source = { constant = 20 }
"""
DBC = """BO_ 256 M: 6 A
 SG_ Speed : 0|16@1+ (1,0) [0|0] "rpm" A
 SG_ Kelvin : 16|16@1+ (0.1,0) [0|0] "K" A
 SG_ Level : 32|8@1+ (1,0) [0|0] "" A
"""
CONTENT = "0bb8 ff9c ff 0a fffffff9"
REALTIME = bytes((26, 1, 8, 7, 6, 10))


def packet(content: str, type_id: int = 0x83, start: bytes = b"##") -> bytes:
    data = bytes.fromhex(content)
    unit = REALTIME + bytes((type_id,)) + len(data).to_bytes(2, "big") + data
    return build_packet(start, 2, COMMAND, b"LGBTEST0000000017", PLAIN, unit)


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    return write(tmp_path, DBC, BODY)


def test_a_sample_fills_the_declared_bodies(mapping: Path) -> None:
    compiled = load_mapping(mapping, "2016", cache=False)
    latest = LatestFrames(compiled.plan)
    sampler = Sampler(compiled.plan)
    nothing = {"pump": 0xFFFF, "coolant": -0x8000, "flow": 127, "level": 0xFF, "shift": -(1 << 31)}
    rest = {"later": 0xFFFFFFFF, "fixed": 60}
    assert sampler.sample(latest, 0) == [(0x83, nothing), (0xFE, rest)]
    # 1500 r/min, 263.15 K = -10.0 degC, level 1: half of it, away from zero, is -1
    latest.keep(0, 256, (1500).to_bytes(2, "little") + (2632).to_bytes(2, "little") + b"\x01\x00", 0)
    (_, values), _ = sampler.sample(latest, 0)
    assert values == {"pump": 3000, "coolant": -100, "flow": -1, "level": 10, "shift": -7}
    assert compiled.edition.declared[0x83].encode(values) == bytes.fromhex("000a" + CONTENT)
    latest.keep(0, 256, b"\xff\xff\xff\xff\x03\x00", 0)  # pump and coolant beyond their types, level without a value
    assert sampler.sample(latest, 0)[0][1] == nothing | {"flow": -2}


def test_the_cache_keeps_what_was_declared(mapping: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(mapping.parent / "cache"))
    monkeypatch.delenv("CACHE_DIRECTORY", raising=False)
    first, second = load_mapping(mapping, "2016"), load_mapping(mapping, "2016")
    assert list((mapping.parent / "cache").rglob("mapping-*.json"))
    assert second == first
    assert second.edition.declared[0x83].decode(bytes.fromhex("000a" + CONTENT))[0]["coolant"] == -100


def test_check_lists_them_and_names_what_is_missing(mapping: Path) -> None:
    items = {item.path: item for item in load_mapping(mapping, "2016", cache=False).items}
    assert items["user.0x83.coolant"].source == "b.M.Kelvin"
    assert items["user.0x83.coolant"].unknown == "8000"
    assert items["user.0x83.flow"].kind == "expression"
    assert (items["user.0xFE.later"].kind, items["user.0xFE.later"].spoils) == ("absent", False)


@pytest.mark.parametrize(("start", "edition"), [(b"##", "2016"), (b"$$", "2025")])
def test_decode_and_encode_know_them(
    mapping: Path, start: bytes, edition: str, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = packet(CONTENT, start=start).hex().upper()
    assert main(["decode", "--mapping", str(mapping), raw]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["edition"] == edition
    assert shown["bodies"] == [
        {"body": "user", "type": 131, "pump": 1500, "coolant": -10, "flow": -1, "level": 10, "shift": -7}
    ]
    assert main(["encode", "--mapping", str(mapping), json.dumps(shown)]) == 0
    assert capsys.readouterr().out.strip() == raw
    assert main(["encode", json.dumps(shown)]) == 1
    assert "pump: unknown" in capsys.readouterr().err


def test_without_the_mapping_a_body_is_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decode", packet(CONTENT).hex()]) == 0
    assert json.loads(capsys.readouterr().out)["bodies"][0] == {
        "body": "user",
        "type": 131,
        "hex": CONTENT.replace(" ", ""),
    }


def test_explain_names_every_byte(mapping: Path) -> None:
    editions = declared_editions(mapping)
    rows = explain(packet(CONTENT), "en", editions).rows
    assert [(row.path, row.data.hex(), row.value) for row in rows if row.path.startswith("bodies[0].")] == [
        ("bodies[0].body", "83", None),
        ("bodies[0].length", "000a", 10),
        ("bodies[0].pump", "0bb8", 1500),
        ("bodies[0].coolant", "ff9c", -10),
        ("bodies[0].flow", "ff", -1),
        ("bodies[0].level", "0a", 10),
        ("bodies[0].shift", "fffffff9", -7),
    ]
    assert b"".join(row.data for row in rows) == packet(CONTENT)


@pytest.mark.parametrize("content", [CONTENT + "00", CONTENT[:-2], "00"])
def test_another_length_is_said_with_its_place_and_nothing_is_lost(
    mapping: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, editions = packet(content), declared_editions(mapping)
    size = len(bytes.fromhex(content))
    with pytest.raises(RemoteProtocolError, match=f"body user_83 has {size} bytes, 10 are declared") as caught:
        editions["2016"].declared[0x83].decode(raw, 31)
    assert caught.value.offset == 31
    fault = explain(raw, "en", editions).fault
    assert fault is not None
    assert (fault.offset, b"".join(row.data for row in explain(raw, "en", editions).rows)) == (31, raw)
    assert main(["decode", "--mapping", str(mapping), raw.hex()]) == 1
    shown = json.loads(capsys.readouterr().out)
    assert shown["error"] == {
        "what": f"body user_83 has {size} bytes, 10 are declared",
        "clause": "7.2.3.8",
        "offset": 31,
    }
    assert main(["encode", json.dumps({key: value for key, value in shown.items() if key != "error"})]) == 0
    assert capsys.readouterr().out.strip() == raw.hex().upper()


def test_fields_lists_them(mapping: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row for row in field_rows(declared_editions(mapping)["2025"]) if row.body == "user_fe"]
    assert [(row.name, row.size, row.lowest, row.highest) for row in rows] == [
        ("user_fe_length", "2", 1, 65531),
        ("later", "4", 0, 0xFFFFFFFE),
        ("fixed", "1", -4, 97.6),
    ]
    assert main(["fields", "--mapping", str(mapping), "--lang", "en"]) == 0
    assert "coolant" in capsys.readouterr().out


def test_a_file_without_declarations_gives_the_plain_editions(tmp_path: Path) -> None:
    assert declared_editions(None) is EDITIONS
    assert declared_editions(write(tmp_path, DBC, "")) == EDITIONS


def test_every_fault_of_the_declarations_is_named(tmp_path: Path) -> None:
    sections = """
[user.0x7F]
[user.nine]
[user.0x90]
fields = []
[user.0x91]
title = "pump"
[[user.0x91.fields]]
name = "Pump"
type = "u16"
[[user.0x91.fields]]
name = "hex"
type = "u24"
units = "V"
[[user.0x91.fields]]
name = "a"
type = "u8"
factor = 0
[[user.0x91.fields]]
name = "a"
type = "u8"
factor = 0.4
offset = 0.1
[[user.0x91.fields]]
name = "b"
type = "u8"
lo = 3
hi = 2
[[user.0x91.fields]]
name = "c"
type = "u8"
hi = 255
[[user.0x91.fields]]
name = "d"
type = "u8"
lo = -1
invalid = 256
[[user.0x91.fields]]
name = "e"
type = "i8"
invalid = 5
unit = 7
factor = "1"
[user.145]
[[user.145.fields]]
name = "f"
type = "u8"
"""
    path = write(tmp_path, DBC, sections)
    with pytest.raises(ConfigError) as caught:
        declared_editions(path)
    expected = [
        "user.0x7F: is no type of a user-defined body; allowed are 0x80..0xFE",
        "user.nine: is no type of a user-defined body",
        "user.0x90: needs its fields",
        "user.0x91.title: unknown key",
        "user.0x91.fields[1].name: is 'Pump'",
        "user.0x91.fields[2].units: unknown key",
        "user.0x91.fields[2].name: is 'hex'",
        "user.0x91.fields[2].type: is 'u24'; allowed are u8, u16, u32, i8, i16, i32",
        "user.0x91.fields[3].factor: is 0",
        "user.0x91.fields[4].offset: is 0.1; it must be a whole multiple of the factor, 0.4",
        "user.0x91.fields[5]: no raw value lies between lo and hi",
        "user.0x91.fields[6]: raw 255 says invalid and lies between lo and hi",
        "user.0x91.fields[7].invalid: is 256; allowed are the raw values 0..255",
        "user.0x91.fields[7].lo: is -1; the type holds 0..255",
        "user.0x91.fields[8].unit: is 7",
        "user.0x91.fields[8].factor: is '1'; a number is needed",
        "user.0x91.fields[8]: raw 5 says invalid",
        "user.0x91: two fields are named 'a'",
        "user.145: is the same type as user.0x91",
    ]
    for text in expected:
        assert any(fault.startswith(text) for fault in caught.value.faults), f"{text} not in {caught.value.faults}"
    with pytest.raises(ConfigError) as compiled:
        load_mapping(path, "2016", cache=False)
    assert set(caught.value.faults) <= set(compiled.value.faults)


def test_a_faulty_source_is_named_by_field(tmp_path: Path) -> None:
    path = write(tmp_path, DBC, BODY.replace("b.M.Speed", "b.M.Sped"), head=HEAD)
    with pytest.raises(ConfigError, match=r"user\.0x83\.pump: b\.M has no signal Sped \(did you mean Speed\?\)"):
        load_mapping(path, "2016", cache=False)


def many(type_id: int, count: int) -> str:
    return "".join(f'[[user.0x{type_id:X}.fields]]\nname = "f{n}"\ntype = "u32"\n' for n in range(count))


def test_what_fits_no_packet_is_refused_when_it_is_written(tmp_path: Path) -> None:
    """16,380 fields are 65,520 bytes, and type, length and time take 9; the codec's limit is 65,531."""
    with pytest.raises(ConfigError, match=r"user.0x83: its fields have 65524 bytes in all; at most 65522 fit"):
        load_mapping(write(tmp_path, DBC, many(0x83, 16_381)), "2016", cache=False)
    with pytest.raises(ConfigError, match=r"data unit of 65612 bytes, a packet holds 65531"):
        load_mapping(write(tmp_path, DBC, many(0x83, 8200) + many(0x84, 8200)), "2016", cache=False)


@pytest.mark.parametrize("unit", ["\\u0000", "\\u001b[31m", "x" * 33])
def test_a_unit_is_a_short_word(tmp_path: Path, unit: str) -> None:
    with pytest.raises(ConfigError, match="at most 32 printable characters"):
        load_mapping(write(tmp_path, DBC, BODY.replace("r/min", unit)), "2016", cache=False)
