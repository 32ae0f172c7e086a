"""`tbox-bench platform` as a process: what it prints, keeps and returns."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.core.packet import COMMAND, Packet, build_packet, time_bytes

ROOT = Path(__file__).resolve().parents[2]
VECTORS = {
    vector["name"]: bytes.fromhex(vector["hex"])
    for vector in json.loads((ROOT / "tests/vectors/packets_2016.json").read_text(encoding="utf-8"))
}
LOGIN = VECTORS["W1 vehicle login, two storage subsystems"]
REALTIME = VECTORS["W3 realtime, bodies 01 02 05 06 07 08 09"]
FAULTY = build_packet(b"##", 2, COMMAND, LOGIN[4:21], 1, REALTIME[24:30] + b"\x0a")
COMMAND_LINE = [sys.executable, "-m", "bench.cli", "platform"]
PATIENCE_S = 30


def platform(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND_LINE, *args], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )


@contextmanager
def listening(*args: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen(
        [*COMMAND_LINE, "--port", "0", *args],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        port = json.loads(first)["listening"][1] if "--json" in args else int(first.split()[2])
        yield process, port
    finally:
        process.kill()
        process.communicate()


def ask(port: int, raw: bytes, answer_size: int) -> bytes:
    """Send on a link of its own and read that many bytes of answers."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as link:
        link.sendall(raw)
        with link.makefile("rb") as answers:
            return answers.read(answer_size)


def ended(process: subprocess.Popen[str]) -> tuple[list[str], str]:
    process.send_signal(signal.SIGINT)
    out, log = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, log
    return out.splitlines(), log


def test_a_line_for_each_packet_with_the_vehicle_shortened(tmp_path: Path) -> None:
    with listening("--db", str(tmp_path / "p.sqlite")) as (process, port):
        answers = ask(port, LOGIN + REALTIME + FAULTY, 62)
        lines, log = ended(process)
    assert answers[:31] == VECTORS["W2 answer to W1, short form"]
    assert answers[31 + 3] == 2
    login, realtime, faulty = lines
    assert "vehicle_login" in login
    assert "answer 01 success" in login
    assert "133 B  of 2025-03-14 09:26:53  +" in realtime
    assert "bodies 01 02 05 06 07 08 09" in realtime
    assert "no answer" in realtime
    assert "answer 02 error  FAULTY" in faulty
    assert LOGIN[4:21].decode() not in "".join(lines) + log
    assert "packets=3" in log


def test_json_lines_hold_the_packet(tmp_path: Path) -> None:
    with listening("--db", str(tmp_path / "p.sqlite"), "--json", "--policy", "each") as (process, port):
        ask(port, LOGIN + REALTIME, 62)
        lines, _ = ended(process)
    login, realtime = map(json.loads, lines)
    assert (login["command"], login["answer"], login["fault"], login["bodies"]) == ("vehicle_login", 1, None, [])
    assert bytes.fromhex(realtime["packet"]) == REALTIME
    assert (realtime["vin"], realtime["collected_at"]) == (LOGIN[4:21].decode(), "2025-03-14T09:26:53+08:00")


def test_a_restart_appends_and_the_verdict_finds_what_is_missing(tmp_path: Path) -> None:
    db = str(tmp_path / "p.sqlite")
    vin, bodies = Packet(REALTIME).vin, REALTIME[30:-1]

    def reissue(second: int) -> bytes:
        return build_packet(b"##", 3, COMMAND, vin, 1, time_bytes(second) + bodies)

    for due in ([1_700_000_000, 1_700_000_010], [1_700_000_030]):
        with listening("--db", db, "--quiet", "--policy", "each") as (process, port):
            ask(port, b"".join(map(reissue, due)), 31 * len(due))
            lines, _ = ended(process)
            assert lines == []
    bad = platform("--verdict", db, "--lang", "en")
    assert bad.returncode == 1
    assert "BAD" in bad.stdout
    assert "lost: 2023-11-15 06:13:40+08:00" in bad.stdout
    with listening("--db", db, "--quiet", "--policy", "each") as (process, port):
        ask(port, reissue(1_700_000_020), 31)
        ended(process)
    good = platform("--verdict", db, "--json")
    assert good.returncode == 0
    (delivery,) = json.loads(good.stdout)["deliveries"]
    assert (delivery["expected"], delivery["reissued"], delivery["links"]) == (4, 4, 3)
    expected = tmp_path / "expected.txt"
    expected.write_text("1700000000\n1700000040\n")
    short = platform("--verdict", db, "--expected", str(expected), "--json")
    assert short.returncode == 1
    assert json.loads(short.stdout)["deliveries"][0]["lost"] == [[1_700_000_040, 1]]


def test_a_port_in_use_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with listening("--db", str(tmp_path / "p.sqlite")) as (_, port):
        second = platform("--port", str(port), "--db", str(tmp_path / "q.sqlite"))
    assert second.returncode == 1
    assert f"port {port} is in use on 127.0.0.1: choose another with --port" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_closed_pipe_ends_the_platform_quietly(tmp_path: Path) -> None:
    with listening("--db", str(tmp_path / "p.sqlite")) as (process, port):
        assert process.stdout is not None
        process.stdout.close()
        ask(port, LOGIN, 31)
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--refuse-login", "01"], 2, "01 is not 02 (error) or 03 (VIN duplicate)"),
        (["--port", "70000"], 2, "70000 is not in 0..65535"),
        (["--policy", "nice"], 2, "annex-b"),
        (["--late", "-1"], 2, "-1 is not a number of seconds"),
        (["--ask", "set 2=900"], 2, "--ask 'set 2=900'"),
        (["--ask", "reboot"], 2, "control ID [TEXT] is needed"),
        (["--send", "/nowhere/script.jsonl"], 2, "/nowhere/script.jsonl: cannot be read"),
        (["--vins", "/nowhere/vins.txt", "--db", ":memory:"], 2, "/nowhere/vins.txt: cannot be read"),
        (["--registry", "/nowhere/registry.jsonl"], 2, "/nowhere/registry.jsonl: cannot be read"),
        (["--login", "user"], 2, "USER:PASSWORD is needed"),
        (["--forward", "above"], 2, "above is not HOST:PORT"),
        (["--forward", "127.0.0.1:1", "--db", ":memory:"], 2, "--as USER:PASSWORD is missing"),
        (["--unique-id", "short"], 2, "short has 5 characters, 17 are needed"),
        (["--key-exchange", "aes"], 2, "need --registry, --data-key or --security"),
        (["--speed", "0", "--port", "0", "--db", ":memory:"], 2, "0.1"),
        (["--verdict", "/nowhere/absent.sqlite"], 1, "/nowhere/absent.sqlite: no such file"),
        (["--db", "/nowhere/p.sqlite", "--port", "0"], 1, "/nowhere/p.sqlite"),
        (["--host", "192.0.2.1", "--port", "0", "--db", ":memory:"], 1, "cannot listen on 192.0.2.1"),
    ],
)
def test_wrong_use_is_said_in_one_line(args: list[str], code: int, said: str) -> None:
    done = platform(*args)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def answered(raw: bytes, flag: int) -> bytes:
    """The short answer to a command."""
    return build_packet(raw[:2], raw[2], flag, raw[4:21], 1, raw[24:30])


def test_questions_and_scripts_are_answered_with_a_line_each(tmp_path: Path) -> None:
    script = tmp_path / "script.jsonl"
    script.write_text(json.dumps({"command": "control", "control": 2, "arguments": "", "on": "report"}) + "\n")
    args = ["--db", str(tmp_path / "p.sqlite"), "--quiet", "--json", "--ask", "query 1", "--send", str(script)]
    with listening(*args) as (process, port):
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as link, link.makefile("rb") as answers:
            link.sendall(LOGIN)
            answers.read(31)
            query = answers.read(33)
            values = bytes.fromhex("01 01 2710")
            link.sendall(build_packet(b"##", 0x80, 1, LOGIN[4:21], 1, query[24:30] + values) + REALTIME)
            control = answers.read(32)
            link.sendall(answered(control, 2) + VECTORS["W6 heartbeat"])
            answers.read(25)
        lines, _ = ended(process)
    first, second = map(json.loads, lines)
    assert (first["order"], first["flag"], first["sends"]) == ("parameter_query", 1, 1)
    assert first["values"]["parameters"] == [{"id": 1, "value": 10000}]
    assert bytes.fromhex(first["packet"]) == query
    assert (second["order"], second["flag"], second["meaning"]) == ("control", 2, "error")
    assert 0 <= second["answer_ms"] < 1000 * PATIENCE_S


def test_commands_from_standard_input_are_played_as_they_come(tmp_path: Path) -> None:
    with listening("--db", str(tmp_path / "p.sqlite"), "--send", "-", "--quiet") as (process, port):
        assert process.stdin is not None
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as link, link.makefile("rb") as answers:
            link.sendall(LOGIN)
            answers.read(31)
            for number in (3, 5):
                process.stdin.write("no JSON\n" + json.dumps({"command": "parameter_query", "ids": [number]}) + "\n")
                process.stdin.flush()
                query = answers.read(33)
                assert query[-2] == number
                link.sendall(answered(query, 1) + VECTORS["W6 heartbeat"])
                answers.read(25)
        lines, log = ended(process)
    assert len(lines) == 2
    assert "answered 01 success  after" in lines[0]
    assert log.count("not JSON") == 2


def test_only_registered_vehicles_come_in(tmp_path: Path) -> None:
    vins = tmp_path / "vins.txt"
    vins.write_text("LGBTEST0000000099\n")
    with listening("--db", str(tmp_path / "p.sqlite"), "--vins", str(vins)) as (process, port):
        ask(port, LOGIN + VECTORS["W6 heartbeat"], 25)
        lines, log = ended(process)
    assert "no answer  TURNED DOWN 04" in lines[0]
    assert "turned_down=1" in log
