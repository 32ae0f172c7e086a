"""`tbox watch` where there is a real CAN: by the Broadcast Manager, of a running agent and with its own ears."""

import contextlib
import json
import signal
import subprocess
import sys
import time

from watch_parts import configure

PATIENCE_S = 120.0
TBOX = [sys.executable, "-m", "agent.cli", "--lang", "en"]


@contextlib.contextmanager
def running(*command):
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)


def watch(config, *arguments):
    command = [*TBOX, "watch", "-c", str(config), "--once", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def all_valid(config, own):
    """Wait until every mapped item is valid, heard as wanted; the rows."""
    end = time.monotonic() + PATIENCE_S
    while True:
        shown = watch(config, "--json")
        rows = [json.loads(line) for line in shown.stdout.splitlines()]
        bad = [(row["item"], row["validity"]) for row in rows if row["kind"] == "signal" and row["validity"] != "valid"]
        if rows and not bad and ("own ears" in shown.stderr) == own:
            return rows
        assert time.monotonic() < end, (shown.stderr, bad)


def test_a_bus_of_the_kernel_is_watched_with_and_without_an_agent(vcan_bus, tmp_path):
    config = configure(tmp_path, seconds=1)
    text = config.read_text().replace('"log"', '"socketcan"').replace('"car.log"', f'"{vcan_bus}"')
    config.write_text(text.replace("loop = true", "bitrate = 500000"))
    car = [sys.executable, "-m", "bench.cli", "vehicle", "--interface", "socketcan", "--channel", vcan_bus]
    with running(*car):
        own = all_valid(config, own=True)
        with running(*TBOX, "run", "-c", str(config)):
            followed = all_valid(config, own=False)
            table = watch(config).stdout
    assert [row["item"] for row in own] == [row["item"] for row in followed]
    bus = next(line for line in table.splitlines() if line.startswith(f"pt socketcan {vcan_bus}"))
    assert " BCM " in bus
    assert " % " in bus
