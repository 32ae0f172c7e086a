"""Two emulated CAN controllers (SJA1000) with a bitrate, on one bus: can0 and can1."""

import json
import subprocess
import sys

import can
import pytest

pytestmark = pytest.mark.controllers
BITRATE = 500_000
PATIENCE_S = 20.0


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
