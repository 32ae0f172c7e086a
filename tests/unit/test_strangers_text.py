"""Texts of other people's files: whatever stands in them, what is printed is lines of text and what is written is TOML."""

import os
import tomllib
from pathlib import Path

import pytest

from agent.cli import main
from agent.errors import ConfigError, one_line

HEAD = 'VERSION ""\nBU_: A\n'
LONG_NAMES = (
    'BA_DEF_ SG_  "SystemSignalLongSymbol" STRING ;\nBA_DEF_ BO_  "SystemMessageLongSymbol" STRING ;\n'
    'BA_DEF_DEF_ "SystemSignalLongSymbol" "";\nBA_DEF_DEF_ "SystemMessageLongSymbol" "";\n'
)
STRANGE = [
    'Vehicle_Speed"\nrun_mode = 1 #', "BatteryVoltage\x1b[31mRED", 'SOC"]\n[x]\n', "VehicleSpeed.{0!r}%s%n", 'Odometer"""\n',
    "Gear\x07\x9b31m", "MotorTorque'''", "pack current", "0x123", "", "V" * 70_000,
]  # fmt: skip
KEYS = {
    "format", "name", "edition", "dbc", "messages", "vehicle", "drive_motors", "position", "storage_voltages",
    "storage_temperatures", "unit_voltages", "battery_temperatures", "extremes",
}  # fmt: skip


def dbc_of(names: list[str], message: str) -> str:
    def quoted(name: str) -> str:
        return name.replace('"', '\\"')

    signals = "".join(f' SG_ S{n} : {16 * n}|16@1+ (0.1,0) [0|500] "V\x1b[2J" A\n' for n in range(len(names)))
    longs = "".join(f'BA_ "SystemSignalLongSymbol" SG_ 256 S{n} "{quoted(name)}";\n' for n, name in enumerate(names))
    return (
        f"{HEAD}BO_ 256 M: 64 A\n{signals}\n{LONG_NAMES}"
        f'BA_ "SystemMessageLongSymbol" BO_ 256 "{quoted(message)}";\n{longs}'
        f'CM_ SG_ 256 S0 "vehicle speed\x1b]0;title\x07\n[dbc.x]\nfiles = 1";\nVAL_ 256 S0 0 "P\x1b[1m" 1 "R\n" 2 "N" 3 "D" ;\n'
    )


def steers(text: str) -> bool:
    return any(not mark.isprintable() and mark != "\n" for mark in text)


@pytest.mark.parametrize("message", ["BMS_Pack", 'Me"\n[q]\x1b[5m'])
@pytest.mark.parametrize("names", [["PackVoltage", *STRANGE], *([name] for name in STRANGE)])
def test_a_proposal_is_toml_without_control_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: list[str], message: str
) -> None:
    path = tmp_path / "x.dbc"
    path.write_text(dbc_of(names, message), encoding="utf-8")
    assert main(["suggest", str(path)]) == 0
    said = capsys.readouterr()
    assert set(tomllib.loads(said.out)) <= KEYS
    assert not steers(said.out)
    assert not steers(said.err)
    assert max(map(len, said.err.splitlines())) < 300


def test_a_fault_is_one_line_whatever_it_quotes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x\x1b[31m.dbc"
    path.write_text(f'{HEAD}CM_ "\x1b]0;title\x07 \\', encoding="utf-8")
    assert main(["suggest", str(path)]) == 2
    said = capsys.readouterr()
    assert not steers(said.err)
    assert said.err.count("\n") == 1
    error = ConfigError("a\nb", ["one\ntwo\x1b", "three"])
    assert str(error) == "a\\nb: one\\ntwo\\x1b\na\\nb: three"
    assert one_line("电池 \udc80") == "电池 \\udc80"


@pytest.mark.parametrize(("make", "said"), [
    (lambda path: path.mkdir(), "is a folder"),
    (lambda path: os.mkfifo(path), "is no regular file"),
    (lambda path: path.symlink_to("/dev/zero"), "is no regular file"),
    (lambda _: None, "No such file or directory"),
])  # fmt: skip
def test_files_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str], make: object, said: str) -> None:
    path = tmp_path / "x"
    make(path)  # type: ignore[operator]
    good = tmp_path / "good.dbc"
    good.write_text(f'{HEAD}BO_ 256 M: 8 A\n SG_ PackVoltage : 0|16@1+ (0.1,0) [0|500] "V" A\n', encoding="utf-8")
    mapping = tmp_path / "m.toml"
    mapping.write_text(
        'format = 1\nname = "x"\nedition = "2016"\n[dbc.b]\nfiles = ["x"]\n[vehicle]\n', encoding="utf-8"
    )
    config = tmp_path / "c.toml"
    config.write_text(
        '[vehicle]\nvin = "LGBTEST0000000017"\niccid = "89860000000000000001"\nmapping = "m.toml"\n'
        '[[can]]\nname = "b"\ninterface = "virtual"\n[platform]\nhost = "127.0.0.1"\n',
        encoding="utf-8",
    )
    for arguments in (["suggest", str(path)], ["suggest", str(good), "--log", str(path)], ["check", "-c", str(config)]):
        assert main(arguments) == 2, arguments
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    if path.exists():
        assert main(["check", "-c", str(path)]) == 2
        assert said in capsys.readouterr().err


def test_everything_at_once_is_a_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name, text in {
        "long.dbc": f"{HEAD}BO_ 256 M: 400000000 A\n",
        "bits.dbc": f'{HEAD}BO_ 256 M: 8 A\n SG_ S : 0|400000000@1+ (1,0) [0|0] "" A\n',
        "esc.dbc": 'CM_ "\x1b[31m\n',
        "cycle.dbc": f'{HEAD}BO_ 256 M: 8 A\n SG_ Speed : 0|16@1+ (0.1,0) [0|500] "km/h" A\n'
        'BA_DEF_ BO_  "GenMsgCycleTime" STRING ;\nBA_DEF_DEF_ "GenMsgCycleTime" "";\nBA_ "GenMsgCycleTime" BO_ 256 "abc";\n',
        "m.toml": 'format = 1\nname = "x"\nedition = "2016"\n[dbc.b]\nfiles = ["cycle.dbc"]\n[dbc.c]\nfiles = ["long.dbc", '
        '"bits.dbc", "esc.dbc", "fifo", "zero", "absent", "a\\u0000b"]\n[vehicle]\nspeed = "b.M.Speed"\n'
        f'soc = "b.M.{"S" * 70_000}"\n"total\\u001b" = 1\n',
        "c.toml": '[vehicle]\nvin = "LGBTEST0000000017"\niccid = "89860000000000000001"\nmapping = "m.toml"\n[platform]\n'
        'host = "127.0.0.1"\n[[can]]\nname = "b"\ninterface = "socketcan"\nchannel = "can0123456789abcdef"\n'
        '[[can]]\nname = "c"\ninterface = "pcan"\nfd = true\nbitrate = 500000\n[[can]]\nname = "d"\ninterface = "no\\u001bpe"\n',
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert main(["check", "-c", str(tmp_path / "c.toml")]) == 2
    said = capsys.readouterr().err
    assert not steers(said)
    lines = [line.removeprefix(f"tbox: {tmp_path / 'c.toml'}: ") for line in said.splitlines()]
    for part in (
        "long.dbc: line 3: message M has", "bits.dbc: line 4: signal S ends", "esc.dbc: line 1: ", "fifo: is no regular file",
        "zero: is no regular file", "absent: No such file", "embedded null", "has no signal SSS",
        "total\\x1b: unknown", "can.b: channel = ", "can.c: data_bitrate: is missing", "can.d: interface",
    ):  # fmt: skip
        assert sum(part in line for line in lines) == 1, (part, lines)
    assert len(lines) == 12
    assert max(map(len, lines)) < 2500
