"""Two emulated CAN controllers (SJA1000) with a bitrate, on one bus: can0 and can1."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import can
import pytest
from agent_parts import ROOT, TBOX, Terminal

pytestmark = pytest.mark.controllers
BITRATE = 500_000
PATIENCE_S = 120.0  # programs start fifteen times slower there
DBC = 'VERSION ""\nBU_: A\nBO_ 1 M: 2 A\n SG_ Speed : 0|16@1+ (0.1,0) [0|220] "km/h" A\n'
MAPPING = """\
format = 1
name = "test"
edition = "2016"
[dbc.pt]
files = ["test.dbc"]
[vehicle]
speed = "pt.M.Speed"
"""
CONFIG = """\
[vehicle]
vin = "LGBTEST0000000017"
mapping = "test.toml"
[[can]]
name = "pt"
interface = "socketcan"
channel = "can0"
[platform]
host = "127.0.0.1"
port = {port}
[report]
interval_s = 1
"""
FILES = {"test.dbc": DBC, "test.toml": MAPPING}


def link(name):
    """What iproute2 knows about an interface."""
    done = subprocess.run(
        ["ip", "-details", "-statistics", "-json", "link", "show", name], capture_output=True, check=True
    )
    return json.loads(done.stdout)[0]


def set_up(name, *more):
    subprocess.run(["ip", "link", "set", name, "down"], check=True)
    subprocess.run(["ip", "link", "set", name, "up", "type", "can", "bitrate", str(BITRATE), *more], check=True)


@pytest.fixture
def controllers(can_kernel):
    """Both up at 500 kbit/s; down again afterwards."""
    for name in ("can0", "can1"):
        set_up(name, "listen-only", "off")
    yield "can0", "can1"
    for name in ("can0", "can1"):
        subprocess.run(["ip", "link", "set", name, "down"], check=True)


def test_both_are_up_and_error_active(controllers):
    for name in controllers:
        details = link(name)["linkinfo"]["info_data"]
        assert details["state"] == "ERROR-ACTIVE"
        assert details["bittiming"]["bitrate"] == BITRATE
        assert "UP" in link(name)["flags"]


def test_frames_go_across_both_ways(controllers):
    with can.Bus("can0", interface="socketcan") as one, can.Bus("can1", interface="socketcan") as other:
        for sender, receiver in ((one, other), (other, one)):
            for number in range(20):
                sender.send(
                    can.Message(arbitration_id=0x100 + number, data=bytes(range(number % 9)), is_extended_id=False)
                )
            sender.send(can.Message(arbitration_id=0x18FF1234, data=b"\xaa", is_extended_id=True))
            got = [receiver.recv(PATIENCE_S) for _ in range(21)]
            assert [message.arbitration_id for message in got] == [*range(0x100, 0x114), 0x18FF1234]
            assert [bytes(message.data) for message in got[:9]] == [bytes(range(number)) for number in range(9)]


def test_in_listen_only_mode_nothing_leaves(controllers):
    set_up("can0", "listen-only", "on")
    assert "LISTEN-ONLY" in link("can0")["linkinfo"]["info_data"]["ctrlmode"]
    with can.Bus("can0", interface="socketcan") as listener, can.Bus("can1", interface="socketcan") as other:
        before = link("can0")["stats64"]["tx"]["packets"]
        listener.send(can.Message(arbitration_id=0x7, data=b"", is_extended_id=False))
        other.send(can.Message(arbitration_id=0x8, data=b"", is_extended_id=False))
        assert listener.recv(PATIENCE_S).arbitration_id == 0x8, "it hears the bus"
        assert other.recv(0.5) is None, "and the bus does not hear it"
        assert link("can0")["stats64"]["tx"]["packets"] == before


def test_the_command_runs_inside_its_own_guest(can_kernel):
    done = subprocess.run(
        [sys.executable, "-m", "bench.cli", "vcan", "--qemu", "--", "ls", "/sys/class/net/can1/mtu"],
        capture_output=True,
    )
    assert (done.returncode, done.stdout) == (0, b"/sys/class/net/can1/mtu\n"), done


def counted(name):
    """Frames that an interface has sent, and received, since it was made."""
    folder = Path("/sys/class/net", name, "statistics")
    return tuple(int((folder / f"{way}_packets").read_text()) for way in ("tx", "rx"))


class Sender:
    """Sends the speed from one interface, and counts it."""

    def __init__(self, channel):
        self.sent = 0
        self._bus = can.Bus(channel, interface="socketcan")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self._bus.shutdown()

    def _send(self):
        while not self._stop.wait(0.05):
            for can_id in (1, 0x123):  # the second is nothing of ours
                self._bus.send(can.Message(arbitration_id=can_id, data=b"\xc8\0", is_extended_id=False))
                self.sent += 1


def told(*command):
    """The JSON that a command of `tbox` prints."""
    done = subprocess.run([*TBOX, *command, "--json"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def speed_is(value):
    return lambda report: report["vehicle"]["speed"] == value


def test_the_agent_listens_and_not_one_frame_is_its_own(controllers, tmp_path):
    """Every frame on the bus is one that the sender counted; the listener's controller has sent none at all."""
    set_up("can0", "listen-only", "on")
    before = {name: counted(name) for name in controllers}
    terminal = Terminal(tmp_path, CONFIG, FILES, PATIENCE_S)
    with terminal, Sender("can1") as sender:
        terminal.wait_for_report(speed_is(20.0), "the speed at the platform")
        subprocess.run(["ip", "link", "set", "can0", "down"], check=True)
        terminal.wait_for_report(speed_is(None), "a report that the speed is not known")
        subprocess.run(["ip", "link", "set", "can0", "up"], check=True)
        terminal.wait_for_report(speed_is(20.0), "the speed again")
        log = terminal.text()
    after = {name: counted(name) for name in controllers}
    (sent, of_others), (own, heard) = (
        tuple(now - then for now, then in zip(after[name], before[name], strict=True)) for name in ("can1", "can0")
    )
    assert (own, of_others) == (0, 0), "nothing from the agent's controller, and nothing heard from it"
    assert sent == sender.sent
    assert 0 < heard <= sent
    assert "acknowledges" not in log
    assert "by receive thread" not in log

    assert checked(tmp_path) == ("bcm", [])
    (found,) = [each for each in told("interfaces")["found"] if each["channel"] == "can0"]
    assert found["state"] == f"up, {BITRATE} bit/s, listen-only, ERROR-ACTIVE"
    assert not any("listen-only" in remark for remark in found["remarks"])


def checked(folder):
    """What `tbox check` says of the bus: its path, and the warnings about acknowledging."""
    said = told("check", "-c", str(folder / "tbox.toml"))
    return said["buses"][0]["path"], [text for text in said["warnings"] if "acknowledges" in text]


def test_an_interface_that_acknowledges_is_named_although_the_agent_sends_nothing(controllers, tmp_path):
    """listen_only = true, the default, does not make an interface listen only: `ip link` does."""
    before = {name: counted(name) for name in controllers}
    terminal = Terminal(tmp_path, CONFIG, FILES, PATIENCE_S)
    with terminal, Sender("can1") as sender:
        terminal.wait_for_report(speed_is(20.0), "the speed at the platform")
        log = terminal.text()
    assert counted("can0")[0] == before["can0"][0]
    assert counted("can1") == (before["can1"][0] + sender.sent, before["can1"][1])
    remedy = "ip link set can0 down; ip link set can0 up type can listen-only on"
    said = f"can0 acknowledges frames, listen_only = true notwithstanding: that is set at the interface: {remedy}"
    assert log.count(f"bus=pt: {said}") == 1
    assert checked(tmp_path) == ("bcm", [f"can.pt: {said}"])
    for command in remedy.split("; "):
        subprocess.run(command.split(), check=True)
    assert checked(tmp_path) == ("bcm", [])
