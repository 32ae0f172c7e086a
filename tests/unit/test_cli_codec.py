"""The commands that turn packets over, as a shell sees them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from printed import VECTORS, vector_of

from agent import __version__
from agent.cli import COMMANDS, main

HEXES = [vector["hex"] for vector in VECTORS]
W3 = vector_of("W3 ")
HEAVY = ("can", "cantools", "msgspec", "rich", "asyncio", "sqlite3")


def tbox(
    *arguments: str, given: str | bytes = "", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, "-m", "agent.cli", *arguments],
        input=given.encode() if isinstance(given, str) else given,
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"} | (env or {}),
        timeout=60,
        check=False,
    )
    return subprocess.CompletedProcess(
        result.args, result.returncode, result.stdout.decode("utf-8"), result.stderr.decode("utf-8")
    )


def test_decode_and_encode_are_each_others_inverse(tmp_path: Path) -> None:
    decoded = tbox("decode", given="\n".join(HEXES))
    assert (decoded.returncode, decoded.stderr) == (0, "")
    assert [json.loads(line) for line in decoded.stdout.splitlines()] == [vector["json"] for vector in VECTORS]
    path = tmp_path / "packets.jsonl"
    path.write_text(decoded.stdout)
    encoded = tbox("encode", str(path))
    assert (encoded.returncode, encoded.stderr) == (0, "")
    assert encoded.stdout.splitlines() == HEXES


def test_decode_reads_raw_bytes() -> None:
    decoded = tbox("decode", "-", given=b"".join(map(bytes.fromhex, HEXES)))
    assert len(decoded.stdout.splitlines()) == len(HEXES)


def test_decode_goes_on_behind_a_damaged_line() -> None:
    lines = ["xyz", W3["hex"][:-2] + "18", W3["hex"][:60], "2323FE01" + "00" * 21, W3["hex"]]
    decoded = tbox("decode", given="\n".join(lines))
    assert decoded.returncode == 1
    first, second, third, fourth, last = map(json.loads, decoded.stdout.splitlines())
    assert first == {"error": {"what": "'x' in 'xyz' is not hexadecimal", "clause": None, "offset": 0}}
    assert (second["bcc_ok"], second["bcc"], second["bodies"]) == (False, 0x18, W3["json"]["bodies"])
    assert third["error"]["clause"] == "6.2"
    assert fourth["bcc_ok"] is False
    assert last == W3["json"]
    assert [line.partition(": ")[2].partition(": ")[0] for line in decoded.stderr.splitlines()] == [
        f"line {n}" for n in range(1, 5)
    ]


def test_encode_names_the_line_and_goes_on() -> None:
    wrong = json.dumps(W3["json"] | {"vin": "short"})
    encoded = tbox("encode", given=f"{wrong}\n{{\n\n{json.dumps(W3['json'])}\n")
    assert encoded.returncode == 1
    assert encoded.stdout.splitlines() == [W3["hex"]]
    first, second = encoded.stderr.splitlines()
    assert first == "tbox: line 1: vin: 'short' has 5 characters; 17 are needed"
    assert second.startswith("tbox: line 2: not JSON")


def test_encode_takes_an_object_as_argument() -> None:
    assert tbox("encode", json.dumps(W3["json"])).stdout.splitlines() == [W3["hex"]]


def test_explain_shows_both_names_and_the_fault() -> None:
    explained = tbox("explain", "--lang", "en", W3["hex"][:-2] + "18")
    assert explained.returncode == 1
    assert any(
        "total current" in line and "总电流" in line and "-12.4" in line for line in explained.stdout.splitlines()
    )
    assert "check code 18 is wrong, 17 is right" in explained.stderr


def test_explain_json_is_an_object_a_packet() -> None:
    explained = tbox("explain", "--json", given="\n".join(HEXES[:3]))
    packets = [json.loads(line) for line in explained.stdout.splitlines()]
    assert ["".join(row["bytes"] for row in packet["rows"]).upper() for packet in packets] == HEXES[:3]
    assert [packet["findings"] for packet in packets] == [[], [], []]


def test_language_is_that_of_the_locale_unless_given() -> None:
    chinese = {"LC_ALL": "zh_CN.UTF-8"}
    assert "实时信息上报" in tbox("explain", W3["hex"], env=chinese).stdout
    assert "实时信息上报" not in tbox("explain", "--lang", "en", W3["hex"], env=chinese).stdout
    assert "实时信息上报" in tbox("--lang", "zh", "explain", W3["hex"]).stdout


def test_a_terminal_without_chinese_gets_question_marks_not_a_traceback() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "agent.cli", "explain", W3["hex"]],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
        timeout=60,
        check=False,
    )
    assert result.returncode == 0
    assert b"total current" in result.stdout
    assert b"Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["decode", "encode"])
def test_light_commands_import_nothing_heavy(command: str) -> None:
    script = (
        "import sys; from agent.cli import main; status = main(sys.argv[1:]); "
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr); sys.exit(status)"
    )
    argument = W3["hex"] if command == "decode" else json.dumps(W3["json"])
    result = subprocess.run(
        [sys.executable, "-c", script, command, argument], capture_output=True, timeout=60, check=False
    )
    assert (result.returncode, result.stderr.decode().strip()) == (0, "[]")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "agent.cli", "decode"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(f"{W3['hex']}\n".encode())
        process.stdin.flush()
        assert json.loads(process.stdout.readline()) == W3["json"]  # while input is still open
        process.stdout.close()
        process.stdin.write(f"{W3['hex']}\n".encode() * 3)
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"tbox {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [[], ["decoed"], ["decode", "--nope"], ["--lang", "fr", "decode"], ["fields", "--edition", "1999"]]
)
def test_wrong_use_is_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "usage: tbox" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decode", "nowhere.log"]) == 2
    assert main(["encode", "nowhere.log"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "tbox: nowhere.log: no such file, and not hexadecimal",
        "tbox: nowhere.log: no such file, and no JSON object",
    ]


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    out = capsys.readouterr().out
    assert [command for command in COMMANDS if f"    {command}" not in out] == []


RUBBISH = {
    "other bytes": b"\xf5\xff\xfe{\n",
    "utf-16": "{}".encode("utf-16"),
    "brackets without end": b"[" * 100_000,
    "a number of ten thousand digits": b"1" * 10_000,
}


@pytest.mark.parametrize("rubbish", RUBBISH.values(), ids=RUBBISH.keys())
def test_encode_names_a_line_that_is_no_json_and_goes_on(rubbish: bytes) -> None:
    lines = rubbish.rstrip(b"\n") + b"\n" + json.dumps(W3["json"]).encode()
    encoded = tbox("encode", given=lines)
    assert encoded.returncode == 1
    assert encoded.stdout == W3["hex"] + "\n"
    assert "line 1: not JSON" in encoded.stderr
    assert "Traceback" not in encoded.stderr


@pytest.mark.parametrize("command", ["decode", "encode", "explain"])
def test_a_file_that_cannot_be_read_is_named(command: str) -> None:
    failed = tbox(command, "/proc/self/mem")  # opens, and fails to be read, for every user
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "Input/output error" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize("where", [">&-", "2>&-", ">/dev/full"])
def test_a_closed_or_full_output_is_no_traceback(where: str, tmp_path: Path) -> None:
    said = tmp_path / "said"
    line = f'"$0" -m agent.cli decode {W3["hex"]} 2>"$1" {where}; echo $?'
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # as a shell starts it
    command = ["sh", "-c", line, sys.executable, str(said)]
    result = subprocess.run(command, capture_output=True, check=False, timeout=60, env=buffered)
    assert int(result.stdout.splitlines()[-1]) == (1 if "full" in where else 0)
    assert "Traceback" not in said.read_text() + result.stderr.decode()
