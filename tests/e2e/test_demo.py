"""The demo as a pipeline and as a person runs it."""

import contextlib
import os
import pty
import select
import sqlite3
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

DEMO = [sys.executable, "-m", "bench.cli", "--lang", "en", "demo"]


def test_a_pipeline_gets_lines_a_verdict_and_an_exit_code(tmp_path):
    arguments = ["--no-tty", "--seconds", "60", "--speed", "10", "--outage", "15:45", "--keep", str(tmp_path / "run")]
    done = subprocess.run([*DEMO, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    kinds = [line.split()[1] for line in lines if " realtime " in line or " reissue " in line]
    # Live before the outage, what it held back, live again; how many before it depends on how fast the machine starts.
    assert kinds[0] == kinds[-1] == "realtime"
    assert kinds.count("reissue") >= 2
    assert len(kinds) >= 5
    table = dict(line.rsplit(maxsplit=1) for line in lines if len(line.split()) >= 2)
    assert table["lost"] == "0"
    assert table["verdict"] == "good"
    first = next(line for line in lines if line.startswith("first report"))
    assert float(first.split()[2]) <= 1.0
    assert (tmp_path / "run" / "platform.db").exists()


@pytest.mark.parametrize("variant", ["ev", "hybrid", "fuel_cell"])
def test_the_demo_reports_in_2025(variant, tmp_path):
    arguments = ["--no-tty", "--seconds", "30", "--speed", "10", "--outage", "12:18", "--edition", "2025"]
    done = subprocess.run(
        [*DEMO, *arguments, "--variant", variant, "--keep", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    own = {"ev": "", "hybrid": "31 32 83", "fuel_cell": "30"}[variant]
    reports = [line for line in done.stdout.splitlines() if " realtime " in line or " reissue " in line]
    assert reports
    assert all(line.endswith(own) and " 07 08" in line for line in reports)
    with contextlib.closing(sqlite3.connect(tmp_path / "run" / "platform.db")) as received:
        packets = [raw for (raw,) in received.execute("SELECT raw FROM packets")]
    assert {raw[:2] for raw in packets} == {b"$$"}


@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace of one's own takes root")
def test_a_machine_without_multicast_gets_one_process_on_the_virtual_bus(tmp_path):
    arguments = ["--no-tty", "--seconds", "25", "--speed", "5", "--outage", "12:18"]
    inside = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    done = subprocess.run([*inside, *DEMO, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bus virtual" in done.stderr
    assert " reissue " in done.stdout


def test_a_demo_that_is_told_to_stop_stops_its_parts_and_gives_the_verdict(tmp_path):
    demo = subprocess.Popen(
        [*DEMO, "--no-tty", "--speed", "5", "--keep", str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if " realtime " in line:
            break
    demo.terminate()
    rest = demo.communicate(timeout=60)[0]
    assert demo.returncode == 0, rest
    assert "vehicle_logout" in rest
    assert subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, check=False).stdout == b""


def test_an_earlier_run_is_never_mixed_with_a_new_one(tmp_path):
    (tmp_path / "platform.db").touch()
    done = subprocess.run([*DEMO, "--keep", str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "name another folder" in done.stderr


@pytest.mark.parametrize("span", ["5", "9:3", "a:b"])
def test_an_outage_that_makes_no_sense_is_refused(span):
    done = subprocess.run([*DEMO, "--outage", span], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "--outage" in done.stderr


CONFIG = """[vehicle]
vin = "LTBXTEST100000001"
mapping = "shipped:{mapping}"
[[can]]
name = "pt"
interface = "socketcan"
channel = "can0"
[platform]
host = "192.0.2.1"
"""


def test_a_recording_that_lacks_what_is_mapped_is_told_so(tmp_path):
    config, log = tmp_path / "tbox.toml", tmp_path / "drive.log"
    config.write_text(CONFIG.format(mapping="reference_ev.toml"))
    log.write_text("".join(f"({1700000000 + step / 10:.6f}) can0 120#0102030405060708\n" for step in range(100)))
    arguments = ["--no-tty", "--seconds", "25", "--speed", "10", "--log", str(log), "-c", str(config)]
    done = subprocess.run([*DEMO, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "agent: mapped messages not seen so far, sent as invalid: " in done.stderr
    assert "pt.0x110" in done.stderr


def test_a_recording_that_does_not_exist_is_wrong_use(tmp_path):
    config = tmp_path / "tbox.toml"
    config.write_text(CONFIG.format(mapping="reference_ev.toml"))
    done = subprocess.run([*DEMO, "--log", "none.log", "-c", str(config)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "none.log: there is no such file" in done.stderr


def test_keys_of_the_live_view(tmp_path):
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "150", "LINES": "50"}
    command = [*DEMO, "--speed", "5", "--keep", str(tmp_path / "run")]
    demo = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=subprocess.PIPE, env=environment)
    os.close(slave)
    screen = Screen(master)
    try:
        screen.expect(b"realtime")
        os.write(master, b"o")
        screen.expect(b"OUTAGE")
        os.write(master, b"a")
        screen.expect(b"alarm off")
        os.write(master, b"o")
        screen.expect(b"reissue")
        os.write(master, b"e")
        screen.expect(b"insulation resistance")
        os.write(master, b"e")
        screen.expect(b"platform up")
        os.write(master, b"q")
        screen.expect(b"good")
        assert demo.wait(timeout=30) == 0
    finally:
        demo.kill()
        demo.communicate()
        os.close(master)


class Screen:
    """What a terminal received; each expectation looks at what came after the last one."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._seen = b""

    def expect(self, text: bytes, within_s: float = 60) -> None:
        end = time.monotonic() + within_s
        while text not in self._seen:
            ready, _, _ = select.select([self._descriptor], [], [], max(0, end - time.monotonic()))
            assert ready, f"{text!r} did not appear; last: {self._seen[-2000:]!r}"
            try:
                self._seen += os.read(self._descriptor, 65536)
            except OSError:
                raise AssertionError(f"the program ended before {text!r}: {self._seen[-2000:]!r}") from None
        self._seen = self._seen[self._seen.index(text) + len(text) :]
