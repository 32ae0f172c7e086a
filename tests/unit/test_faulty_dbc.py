"""`tbox check` on DBC files as they are published: one line for what is wrong, with file, line and what to do."""

from pathlib import Path

import pytest

from agent.cli import main

MAPPING = """format = 1
name = "car"
edition = "2016"
[dbc.b]
files = ["data:{file}"]
{lenient}
[vehicle]
run_mode = {{ constant = "electric" }}
{items}
"""
CONFIG = """
[vehicle]
vin = "LGBTEST0000000017"
iccid = "89860000000000000001"
mapping = "car.toml"
[[can]]
name = "b"
interface = "virtual"
[platform]
host = "127.0.0.1"
"""
# file, the line at fault, the words in it that prove it, what is said, what lenient loading says that it did
FAULTY = [
    (
        "opendbc/tesla_can.dbc",
        783,
        "VAL_ 568 UI_mapSpeedLimit",
        "VAL_ 568 UI_mapSpeedLimit: message 568 has no signal UI_mapSpeedLimit",
        "line 783: VAL_ of a signal that does not exist ignored",
    ),
    (
        "opendbc/rivian_primary_actuator.dbc",
        875,
        "VAL_ 352 ACM_VehicleHoldRequired",
        "VAL_ 352 ACM_VehicleHoldRequired: message 352 has no signal ACM_VehicleHoldRequired",
        "line 875: VAL_ of a signal that does not exist ignored",
    ),
    (
        "opendbc/vw_meb.dbc",
        2074,
        "BO_ 316495015 MEB_Camera_04",
        "message MEB_Camera_04: identifier 0x12DD54A7 has more than 11 bits and no bit 31",
        "line 2074, 2076, 2091, 2093, 2097, ...: 29-bit identifier written without bit 31, taken as extended",
    ),
    (
        "opendbc/psa_aee2010_r3.dbc",
        165,
        "SG_ 0_COUNTER",
        "the name of a signal cannot begin with a digit: SG_ 0_COUNTER",
        "line 165, 166, 836: signal name starts with a digit, _ put before it",
    ),
    (
        "opendbc/hyundai_kia_generic.dbc",
        1656,
        'CM_ 145 "',
        'CM_ names neither BO_ nor SG_: CM_ 145 "Contains',
        "line 1656, 1657: CM_ that names neither BO_ nor SG_ ignored",
    ),
    (
        "bmw_i3/i3_LIM_dbc1.dbc",
        76,
        "SG_ PP_Status",
        "signal PP_Status overlaps HW_Charger_EN of line 81 in message LIMMsg3B4",
        "",
    ),
    (
        "opendbc/gwm_haval_h6_phev_2024.dbc",
        81,
        "SG_ DRIVE_MODE_SIGNAL3",
        "signal DRIVE_MODE_SIGNAL3 overlaps DRIVE_MODE of line 82 in message CAR_OVERALL_SIGNALS",
        "",
    ),
    (
        "opendbc/hongqi_hs5.dbc",
        114,
        "SG_ DRIVER_BRAKE_PRESSURE",
        "signal DRIVER_BRAKE_PRESSURE overlaps NEW_SIGNAL_5 of line 113 in message ABS_3",
        "",
    ),
]
by_file = pytest.mark.parametrize(
    ("file", "line", "words", "said", "repair"), FAULTY, ids=[Path(row[0]).stem for row in FAULTY]
)


def config(folder: Path, file: str, lenient: bool, items: str = "") -> str:
    text = MAPPING.format(file=file, lenient="lenient = true" if lenient else "", items=items)
    (folder / "car.toml").write_text(text)
    (folder / "tbox.toml").write_text(CONFIG)
    return str(folder / "tbox.toml")


@by_file
def test_the_line_is_the_one_at_fault(
    file: str, line: int, words: str, said: str, repair: str, tbox_data: Path
) -> None:
    """What this table says of the files, looked up in the files."""
    written = (tbox_data / file).read_text(encoding="cp1252").splitlines()
    assert words in written[line - 1]
    for other in {part.strip(" ,.") for part in repair.removeprefix("line").partition(":")[0].split(",")} - {""}:
        assert written[int(other) - 1].split()[0] in ("BO_", "SG_", "VAL_", "CM_", "BA_")


@by_file
def test_check_says_in_one_line_what_is_wrong_and_where(
    file: str,
    line: int,
    words: str,
    said: str,
    repair: str,
    tbox_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TBOX_DATA", str(tbox_data))
    items = 'speed = "b.Any.Speed"\nodometer = "b.Any.Odometer"'  # not to be blamed for a file that cannot be read
    assert main(["check", "-c", config(tmp_path, file, lenient=False, items=items)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    (only,) = told.err.splitlines()
    assert only.startswith(f"tbox: {tmp_path / 'car.toml'}: dbc.b.files: data:{file}: line {line}: {said}")
    assert only.endswith(f" (lenient = true for this bus lets it pass{': ' if repair else ''}{repair})")


@by_file
def test_lenient_check_passes_and_names_what_it_changed(
    file: str,
    line: int,
    words: str,
    said: str,
    repair: str,
    tbox_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TBOX_DATA", str(tbox_data))
    assert main(["check", "-c", config(tmp_path, file, lenient=True)]) == 0
    changed = [row for row in capsys.readouterr().out.splitlines() if row.startswith(f"warning: data:{file}: ")]
    assert changed == ([f"warning: data:{file}: {repair}"] if repair else [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('BA_ "VFrameFormat" BO_ 256 1;\n', "line 4: VFrameFormat is used and nowhere defined"),
        (' SG_ Far : 60|8@1+ (1,0) [0|0] "" A\n', "line 4: signal Far does not fit in message M"),
        (' SG_ S : 8|8@1+ (x,0) [0|0] "" A\n', "line 4: invalid syntax at column 18"),
        ('VAL_ 300 S 0 "a" ;\n', "line 4: VAL_ 300 S: there is no message 300"),
        ("SIG_VALTYPE_ 256 Q : 1;\n", "line 4: SIG_VALTYPE_ 256 Q: message 256 has no signal Q"),
    ],
)
def test_other_faults_have_a_line_too(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TBOX_DATA", str(tmp_path))
    (tmp_path / "x.dbc").write_text('VERSION ""\nBU_: A\nBO_ 256 M: 8 A\n' + text)
    assert main(["check", "-c", config(tmp_path, "x.dbc", lenient=False)]) == 2
    (only,) = capsys.readouterr().err.splitlines()
    assert f"data:x.dbc: {said}" in only
