"""Mapping files: every fault in one go, provenance, cache."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mapped import HEAD, Car, write

from agent.errors import ConfigError
from agent.signalmap import load_mapping

MESSAGES = """BO_ 256 BMS: 8 A
 SG_ PackVoltage : 0|16@1+ (0.1,0) [0|0] "V" A
 SG_ Soc : 16|8@1+ (0.5,0) [0|0] "%" A
 SG_ Mph : 24|8@1+ (1,0) [0|0] "mph" A
 SG_ Heat : 32|8@1- (1,0) [0|0] "degF" A
 SG_ Bare : 40|8@1+ (1,0) [0|0] "" A
 SG_ Odd : 50|8@1+ (1,0) [0|0] "%+1" A
 SG_ Ready : 48|1@1+ (1,0) [0|0] "" A
BO_ 257 Cells: 8 A
 SG_ Cell1 : 0|16@1+ (0.001,0) [0|0] "V" A
 SG_ Real : 32|32@1- (1,0) [0|0] "" A
 SG_ Vast : 16|8@1+ (1e-999999999,0) [0|0] "" A
BO_ 258 Twin: 8 A
 SG_ X : 0|8@1+ (1,0) [0|0] "" A
BO_ 259 Twin: 8 A
 SG_ X : 0|8@1+ (1,0) [0|0] "" A
SIG_VALTYPE_ 257 Real : 1;"""


def faults(folder: Path, sections: str, *, head: str = HEAD, edition: str = "2016") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_mapping(write(folder, MESSAGES, sections, head=head), edition, cache=False)
    return caught.value.faults


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ("[vehicel]\n", "vehicel: unknown section (did you mean vehicle?)"),
        ('[vehicle]\nsped = "b.BMS.Soc"\n', "vehicle.sped: unknown key (did you mean speed?)"),
        (
            '[vehicle]\nsoc = { signal = "b.BMS.Soc", fcator = 2 }\n',
            "vehicle.soc.fcator: unknown key (did you mean factor?)",
        ),
        ('[vehicle]\nsoc = "c.BMS.Soc"\n', "vehicle.soc: no bus c (known: b)"),
        ('[vehicle]\nsoc = "b.BSM.Soc"\n', "vehicle.soc: bus b has no message BSM (did you mean BMS?)"),
        ('[vehicle]\nsoc = "b.BMS.soc"\n', "vehicle.soc: b.BMS has no signal soc (did you mean Soc?)"),
        ('[vehicle]\nsoc = "b.0x999.Soc"\n', "vehicle.soc: bus b has no message 0x999 (29-bit identifiers end in x)"),
        (
            '[vehicle]\nsoc = "b.Twin.X"\n',
            "vehicle.soc: bus b has several messages Twin: use the identifier (0x102, 0x103)",
        ),
        ('[vehicle]\nsoc = "Soc"\n', 'vehicle.soc: "Soc" is not bus.message.signal'),
        ("[vehicle]\nsoc = 5\n", "vehicle.soc: is 5; write"),
        ("[vehicle]\nsoc = {}\n", "vehicle.soc: needs one of signal, constant, expression"),
        ("[vehicle]\nsoc = { signal = 3 }\n", "vehicle.soc.signal: is 3; a text is needed"),
        ("[vehicle]\nsoc = { constant = 101 }\n", "vehicle.soc.constant: 101 is outside 0..100 %"),
        ("[vehicle]\nspeed = { constant = -0.1 }\n", "vehicle.speed.constant: -0.1 is outside 0..220 km/h"),
        ('[vehicle]\nrun_mode = { constant = "diesel" }\n', 'is "diesel"; allowed are "electric", "hybrid", "fuel"'),
        ("[vehicle]\nrun_mode = { constant = 1 }\n", 'is 1; allowed are "electric", "hybrid", "fuel"'),
        (
            '[vehicle]\nspeed = "b.BMS.PackVoltage"\n',
            'vehicle.speed: b.BMS.PackVoltage is in "V" (voltage), which cannot be km/h (speed)',
        ),
        ('[vehicle]\nspeed = { signal = "b.BMS.Soc", unit = "kmm/h" }\n', 'unknown unit "kmm/h" (did you mean km/h?)'),
        ('[vehicle]\nspeed = { signal = "b.BMS.Bare", offset = 300 }\n', "no raw of b.BMS.Bare lies in 0..220 km/h"),
        ('[vehicle]\nsoc = { signal = "b.BMS.Soc", sign = 2 }\n', "vehicle.soc.sign: is 2; allowed are 1 and -1"),
        ('[vehicle]\nsoc = { signal = "b.BMS.Soc", factor = 0 }\n', "vehicle.soc.factor: must not be 0"),
        (
            '[vehicle]\nsoc = { signal = "b.BMS.Soc", factor = nan }\n',
            "vehicle.soc.factor: NaN is not within 1e-60..1e60",
        ),
        (
            '[vehicle]\nspeed = { expression = "b.BMS.Mph +" }\n',
            "vehicle.speed.expression: column 12: not an expression",
        ),
        ("[vehicle]\nspeed = { constant = 1e999999999 }\n", "constant: 1E+999999999 is not within 1e-60..1e60"),
        ('[vehicle]\nspeed = { expression = "2 * 1e999999999" }\n', "column 5: 1e999999999 is not within 1e-60..1e60"),
        ('[vehicle]\nspeed = "b.Cells.Vast"\n', "factor or offset in the DBC: 1e-999999999 is not within"),
        ('[vehicle]\nspeed = { expression = "b.BMS.Mhp" }\n', "column 1: b.BMS has no signal Mhp (did you mean Mph?)"),
        (
            '[vehicle]\nrun_mode = { expression = \'"ev" if 1 else "fuel"\' }\n',
            'column 1: unknown word "ev"; allowed: "electric"',
        ),
        ('[vehicle]\nvehicle_state = "b.BMS.PackVoltage"\n', None),
        (
            '[vehicle]\nvehicle_state = { signal = "b.BMS.Ready", values = { 2 = "off" } }\n',
            "raw 2 cannot occur: b.BMS.Ready holds 0..1",
        ),
        (
            '[vehicle]\nvehicle_state = { signal = "b.BMS.Ready", values = { 1 = "on" } }\n',
            '.values.1: is "on"; allowed are',
        ),
        (
            '[vehicle]\nvehicle_state = { signal = "b.BMS.Ready", values = { on = "off" } }\n',
            '"on" is not a raw integer',
        ),
        (
            '[vehicle]\nvehicle_state = { signal = "b.BMS.Ready", factor = 100 }\n',
            "needs `values`: no raw of b.BMS.Ready is one of",
        ),
        ('[vehicle]\nvehicle_state = "b.Cells.Real"\n', "b.Cells.Real is a float: it cannot be one of"),
        ('[vehicle]\nspeed = { signal = "b.Cells.Real", not_available_raw = [1] }\n', "raw codes cannot be declared"),
        (
            '[vehicle]\nsoc = { signal = "b.BMS.Soc", not_available_raw = 255 }\n',
            "is 255; a list of raw integers is needed",
        ),
        (
            '[vehicle]\nsoc = { signal = "b.BMS.Soc", not_available_raw = [9], abnormal_raw = [9] }\n',
            "raw 9 is declared twice",
        ),
        (
            '[vehicle]\ninsulation_resistance = { signal = "b.BMS.Bare", abnormal_raw = [9] }\n',
            "this item has no abnormal value; use not_available_raw",
        ),
        ("[drive_motors]\n", "drive_motors.motors: has 0 entries; the standard allows 1..253"),
        ('[storage_voltages]\ncells = "b.Cells.Cell1"\n', "storage_voltages.cells: must be { signal"),
        ("[storage_voltages]\n", "storage_voltages.subsystems: has 0 entries"),
        (
            '[[storage_voltages.subsystems]]\nvoltage = "b.BMS.PackVoltage"\n',
            "storage_voltages.subsystems[1].cells: is missing",
        ),
        (
            '[storage_voltages]\ncells = { signal = "b.Cells.Cell1", count = 2 }\n',
            "storage_voltages.cells: b.Cells.Cell1 is used twice",
        ),
        (
            '[storage_voltages]\ncells = { signal = "b.Cells.Cell{n}", count = 3 }\n',
            "storage_voltages.cells: b.Cells has no signal Cell2 (did you mean Cell1?)",
        ),
        (
            '[storage_voltages]\ncells = { signal = "b.Cells.Cell{n}", count = 0 }\n',
            "cells.count: is 0; allowed are 1..65531",
        ),
        (
            '[storage_voltages]\ncells = { signal = "b.Cells.Cell{n}" }\n',
            "cells.count: is missing; allowed are 1..65531",
        ),
        (
            '[[storage_temperatures.subsystems]]\nnumber = { constant = 1 }\nprobes = ["b.BMS.Bare"]\n'
            '[[storage_temperatures.subsystems]]\nnumber = { constant = 1 }\nprobes = ["b.BMS.Bare"]\n',
            "storage_temperatures.subsystems[2].number: 1 is also the number of entry 1",
        ),
        ('[alarms]\nflags = { soc_lo = "b.BMS.Ready" }\n', "alarms.flags.soc_lo: unknown flag (did you mean soc_low?)"),
        ("[alarms]\nlevels = { soc_low = 1 }\n", "alarms.levels.soc_low: has a level, but the flag is not mapped"),
        (
            '[alarms]\nflags = { soc_low = "b.BMS.Ready" }\nlevels = { soc_low = 4 }\n',
            "alarms.levels.soc_low: is 4; allowed are 0..3",
        ),
        ('[position]\nlongitude = "b.BMS.Bare"\n', "position: needs longitude and latitude"),
        ('[messages."b.BSM"]\n', 'messages."b.BSM": bus b has no message BSM (did you mean BMS?)'),
        ('[messages."b.BMS"]\ntimeout_ms = 0\n', 'messages."b.BMS".timeout_ms: is 0; allowed are 1..3600000'),
        ('[messages."b.BMS"]\nalive_counter = "Alive"\n', "has no signal Alive"),
        (
            '[messages."b.BMS"]\nchecksum = { signal = "Odd", kind = "sum8" }\n',
            "Odd must be one whole byte of every frame (start 50, 8 bits)",
        ),
        ('[messages."b.BMS"]\nchecksum = { signal = "Soc", kind = "md5" }\n', "kind one of crc8, sum8, xor8"),
        (
            '[messages."b.BMS"]\nchecksum = { signal = "Soc", kind = "crc8", polynomial = 300 }\n',
            "is 300; allowed are 0..255",
        ),
        ('[messages."b.BMS"]\nj1939 = true\n', "true only for a 29-bit identifier"),
    ],
)
def test_a_fault_names_its_place_and_what_is_allowed(tmp_path: Path, sections: str, expected: "str | None") -> None:
    if expected is None:
        assert Car(tmp_path, MESSAGES, sections).mapping.warnings
        return
    found = faults(tmp_path, sections)
    assert len(found) == 1, found
    assert expected in found[0]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (HEAD.replace("= 1", "= 2"), "format: is 2; this program reads format = 1"),
        (HEAD.replace('name = "test"\n', ""), "name: must be a text"),
        (HEAD.replace('"2016"', '"2025"'), "edition: the mapping was written for 2025, the vehicle reports in 2016"),
        (HEAD.replace('edition = "2016"\n', ""), "edition: must be the edition"),
        (HEAD.replace("test.dbc", "tset.dbc"), "dbc.b.files: tset.dbc: No such file"),
        (HEAD.replace("test.dbc", "data:x.dbc"), "$TBOX_DATA is not set; set it to the folder that has x.dbc in it"),
        (HEAD.replace("test.dbc", "package:nosuchpackage/x.dbc"), "package nosuchpackage is not installed"),
        (HEAD + "lenient = 1\n", "dbc.b.lenient: must be true or false"),
        (HEAD + "files_ = []\n", "dbc.b.files_: unknown key"),
        (HEAD.replace('["test.dbc"]', '"test.dbc"'), "dbc.b.files: must be a list of texts"),
    ],
)
def test_faults_of_the_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str, expected: str) -> None:
    monkeypatch.delenv("TBOX_DATA", raising=False)
    assert any(expected in fault for fault in faults(tmp_path, "[vehicle]\n", head=head))


def test_all_faults_come_together(tmp_path: Path) -> None:
    sections = """[vehicle]
soc = "b.BMS.Sok"
sped = "b.BMS.Mph"
total_voltage = "b.BMS.Mph"
[alarms]
flags = { nothing = "b.BMS.Ready" }
[extra]
"""
    head = HEAD.replace('name = "test"', "name = 3")
    found = faults(tmp_path, sections, head=head)
    for part in ("name:", "vehicle.soc:", "vehicle.sped:", "vehicle.total_voltage:", "alarms.flags.nothing:", "extra:"):
        assert sum(fault.startswith(part) for fault in found) == 1, (part, found)


def test_an_unreadable_dbc_names_file_and_line_and_spares_the_signals(tmp_path: Path) -> None:
    messages = MESSAGES.replace('"mph"', "mph")
    signals = '[vehicle]\nsoc = "b.BMS.Soc"\nspeed = "b.BMS.Mph"\nodometer = "b.BMS.Km"\n'
    with pytest.raises(ConfigError) as caught:
        load_mapping(write(tmp_path, messages, signals), "2016", cache=False)
    assert len(caught.value.faults) == 1, (
        caught.value.faults
    )  # what could not be looked up for that is no further fault
    assert "dbc.b.files: test.dbc: line 6: invalid syntax at column" in caught.value.faults[0]


def test_lenient_loading_repairs_known_slips_and_says_where(tmp_path: Path) -> None:
    messages = MESSAGES + '\nCM_ 256 "loose";\nVAL_ 256 Nothing 0 "a" ;\nCM_ BO_ 256 "50 \x92 V";'
    head = HEAD + "lenient = true\n"
    path = write(tmp_path, messages, '[vehicle]\nsoc = "b.BMS.Soc"\n', head=head)
    text = (tmp_path / "test.dbc").read_bytes().replace(b"\xc2\x92", b"\x92")
    (tmp_path / "test.dbc").write_bytes(text)
    warnings = load_mapping(path, "2016", cache=False).warnings
    assert any("CM_ that names neither" in warning for warning in warnings)
    assert any("VAL_ of a signal that does not exist" in warning for warning in warnings)
    path.write_text(path.read_text().replace("lenient = true", ""))
    with pytest.raises(ConfigError, match=r"byte 0x92 is not UTF-8 \(lenient = true for this bus lets it pass: line"):
        load_mapping(path, "2016", cache=False)


@pytest.mark.parametrize(
    ("item", "spec", "frame", "count", "said"),
    [
        ("speed", '"b.BMS.Mph"', "00000064", 1609, "mph -> km/h"),
        ("speed", '"b.BMS.Bare"', "000000000064", 1000, "no unit in the DBC, taken as km/h"),
        ("soc", '"b.BMS.Odd"', "0000000000009001", 100, 'unit "%+1" not known, taken as %'),
        ("speed", '{ signal = "b.BMS.Bare", unit = "m/s" }', "000000000064", 0xFFFF, "m/s -> km/h"),
        ("speed", '{ signal = "b.BMS.Bare", unit = "m/s" }', "00000000000A", 360, "m/s -> km/h"),
        (
            "speed",
            '{ signal = "b.BMS.Soc", unit = "km/h", factor = 0.05, offset = 1 }',
            "000064",
            60,
            "factor 0.05, offset 1",
        ),
        ("total_current", '{ signal = "b.BMS.PackVoltage", unit = "A", sign = -1 }', "2C01", 9700, "sign reversed"),
    ],
)
def test_units_are_converted_and_check_is_told(
    tmp_path: Path, item: str, spec: str, frame: str, count: int, said: str
) -> None:
    car = Car(tmp_path, MESSAGES, f"[vehicle]\n{item} = {spec}\n")
    car.keep(256, bytes.fromhex(frame).ljust(8, b"\0"))
    assert car.sample()[1][item] == count
    assert car.item(f"vehicle.{item}").conversion == said


def test_fahrenheit_becomes_celsius(tmp_path: Path) -> None:
    car = Car(tmp_path, MESSAGES, '[drive_motors]\ntemperature = "b.BMS.Heat"\n')
    car.keep(256, bytes([0, 0, 0, 0, 0x100 - 40, 0, 0, 0]))
    assert car.sample()[2]["motors"][0]["temperature"] == 0  # -40 degF is -40 degC


def test_provenance_names_kind_source_and_what_spoils(tmp_path: Path) -> None:
    sections = """[vehicle]
soc = "b.BMS.Soc"
run_mode = { constant = "electric" }
speed = { expression = "b.BMS.Mph * 1.609344" }
[alarms]
storage_faults = []
"""
    car = Car(tmp_path, MESSAGES, sections)
    found = {item.path: (item.kind, item.source, item.unknown, item.spoils) for item in car.mapping.items}
    assert found["vehicle.soc"] == ("signal", "b.BMS.Soc", "FF (invalid)", False)
    assert found["vehicle.run_mode"] == ("constant", "electric", "FF (invalid)", False)
    assert found["vehicle.speed"] == ("expression", "b.BMS.Mph * 1.609344", "FFFF (invalid)", False)
    assert found["vehicle.odometer"] == ("absent", "", "FFFFFFFF (invalid)", True)
    assert found["vehicle.insulation_resistance"] == ("absent", "", "FFFF", False)
    assert found["alarms.level"] == ("absent", "", "FF (invalid)", True)
    assert found["alarms.storage_faults"] == ("constant", "none", "empty list", False)
    assert found["alarms.motor_faults"] == ("absent", "", "count FF (invalid)", True)


def test_the_cache_is_used_for_the_same_inputs_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("CACHE_DIRECTORY", str(cache))
    path = write(tmp_path, MESSAGES, '[vehicle]\nsoc = "b.BMS.Soc"\n')
    first = load_mapping(path, "2016")
    (file,) = cache.iterdir()
    assert load_mapping(path, "2016") == first
    # What is in the file is what is used.
    known = json.loads(file.read_text())
    file.write_text(json.dumps({**known, "name": "from the cache"}))
    assert load_mapping(path, "2016").name == "from the cache"
    dbc = tmp_path / "test.dbc"
    dbc.write_text(dbc.read_text().replace("(0.5,0)", "(0.4,0)"))
    assert load_mapping(path, "2016").plan != first.plan
    assert len(list(cache.iterdir())) == 2
    file.write_text("{")
    dbc.write_text(dbc.read_text().replace("(0.4,0)", "(0.5,0)"))
    assert load_mapping(path, "2016") == first


def test_a_cache_that_cannot_be_written_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "file" / "below"))
    path = write(tmp_path, MESSAGES, '[vehicle]\nsoc = "b.BMS.Soc"\n')
    assert load_mapping(path, "2016").plan
    assert "cache" in caplog.text


def test_a_warm_cache_needs_no_cantools(tmp_path: Path, root: Path) -> None:
    path = write(tmp_path, MESSAGES, '[vehicle]\nsoc = "b.BMS.Soc"\n')
    program = (
        "import sys; from agent.signalmap import load_mapping; "
        "load_mapping(sys.argv[1], '2016'); print('cantools' in sys.modules, 'agent.mapping.bodies' in sys.modules)"
    )
    env = {**os.environ, "CACHE_DIRECTORY": str(tmp_path / "cache"), "PYTHONPATH": str(root)}
    shown = [
        subprocess.run(
            [sys.executable, "-c", program, path], capture_output=True, text=True, env=env, check=True
        ).stdout.split()
        for _ in range(2)
    ]
    assert shown == [["True", "True"], ["False", "False"]]
