"""The agent as a process with everything a bench has: CAN, a receiver, a modem; each taken away, and put back.

Also the kernel's own driver of serial adapters (slcan), with the adapter played on a pseudo terminal.
"""

import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import can
import pytest
from agent_parts import Terminal, wait_for
from conftest import ip
from nmea_parts import gga, rmc, said
from pty_parts import AnsweringModem, TalkingReceiver
from slcan_adapter import SlcanAdapter

CARD, OTHER_CARD = "89860123456789012345", "89860123456789099999"
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
FILES = {"test.dbc": DBC, "test.toml": MAPPING}
CONFIG = """\
[vehicle]
vin = "LGBTEST0000000017"
iccid = "89860000000000000000"
mapping = "test.toml"
[[can]]
name = "pt"
interface = "socketcan"
channel = "{bus}"
[platform]
host = "127.0.0.1"
port = {port}
login_retry_s = 1
[report]
interval_s = 1
"""
ATTACHED = """\
[gnss]
device = "{folder}/gnss"
[modem]
port = "{folder}/modem"
"""
# Twenty times a second, whenever it can be; what it sends it says.
SENDING = """
import can, sys, time
while True:
    try:
        with can.Bus(sys.argv[1], interface="socketcan") as bus:
            while True:
                bus.send(can.Message(arbitration_id=1, data=b"\\xc8\\0", is_extended_id=False))
                time.sleep(0.05)
    except (OSError, can.CanError):
        time.sleep(0.05)
"""


def seconds(place):
    for second in count():
        time = f"12{second // 60 % 60:02d}{second % 60:02d}.00"
        yield said(gga(time, place), rmc(time, place=place))


def modem_with(card):
    answers = {"ATE0": "", "AT+CCID": f"\r\n+CCID: {card}\r\n", "AT+CSQ": "\r\n+CSQ: 20,0\r\n"}
    return lambda command: answers[command] + "\r\nOK\r\n" if command in answers else "\r\nERROR\r\n"


def speed_is(value):
    return lambda report: report["vehicle"]["speed"] == value


def position_is(valid, longitude, latitude):
    return lambda report: (
        report["position"]["valid"] == valid
        and (report["position"]["longitude"], report["position"]["latitude"]) == (longitude, latitude)
    )


@pytest.mark.slow
def test_bus_receiver_and_modem_are_pulled_out_one_after_the_other_and_put_back(vcan_bus, tmp_path):
    config = (CONFIG + ATTACHED).replace("{bus}", vcan_bus).replace("{folder}", str(tmp_path))
    receiver = TalkingReceiver(tmp_path / "gnss", 9600, seconds("3130.1234,N,12130.5678,W"))
    modem = AnsweringModem(tmp_path / "modem", modem_with(CARD))
    here, there = (-121.509463, 31.502057), (121.509463, -31.502057)
    with receiver, modem, Terminal(tmp_path, config, FILES) as terminal:
        terminal.beside([sys.executable, "-c", SENDING, vcan_bus])
        told = terminal.wait_for_report(
            lambda report: speed_is(20.0)(report) and position_is(True, *here)(report), "speed and position"
        )
        assert told["vehicle"]["run_mode"] is None
        assert [packet["iccid"] for packet in terminal.packets("vehicle_login")] == [CARD]

        ip("link", "del", vcan_bus)
        terminal.wait_for_report(speed_is(None), "the bus is away")
        terminal.wait_for_report(position_is(True, *here), "the receiver goes on")
        ip("link", "add", vcan_bus, "type", "vcan")
        ip("link", "set", vcan_bus, "up")
        terminal.wait_for_report(speed_is(20.0), "the bus is back")

        receiver.unplug()
        terminal.wait_for_report(position_is(False, *here), "the last position, as not valid")
        terminal.wait_for_report(speed_is(20.0), "the bus goes on")
        with TalkingReceiver(tmp_path / "gnss", 38400, seconds("3130.1234,S,12130.5678,E")):
            terminal.wait_for_report(position_is(True, *there), "another receiver, at another rate")

            modem.unplug()
            terminal.wait_for_report(speed_is(20.0), "all goes on without the modem")
            with AnsweringModem(tmp_path / "modem", modem_with(OTHER_CARD)) as other:
                # Asked once a minute: a new card counts from the next login on.
                terminal.wait_for(lambda: f"SIM card iccid=...{OTHER_CARD[-4:]}" in terminal.text(), "the other card")
                assert not any(CARD in text for text in other.heard)
        log = terminal.text()
    for text in ("CAN bus away bus=pt", "CAN bus back bus=pt", "GNSS away"):
        assert log.count(text) == 1, text
    assert CARD not in log
    assert "Traceback" not in log


@pytest.mark.parametrize("bcm", ["true", "false"])
def test_it_needs_no_capability(bcm, vcan_bus, tmp_path):
    """As the service runs it: the file agent/service/tbox.service takes away every one."""
    config = CONFIG.replace("{bus}", vcan_bus).replace("[platform]", f"bcm = {bcm}\n[platform]")
    without = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    with Terminal(tmp_path, config, FILES, through=without) as terminal:
        terminal.beside([sys.executable, "-c", SENDING, vcan_bus])
        terminal.wait_for_report(speed_is(20.0), "the speed")
        told = Path(f"/proc/{terminal.agent.pid}/status").read_text()
        status = dict(line.split(":\t") for line in told.splitlines())
        assert int(status["CapEff"], 16) == 0
        ip("link", "set", vcan_bus, "down")
        terminal.wait_for_report(speed_is(None), "the bus is away")
        ip("link", "set", vcan_bus, "up")
        terminal.wait_for_report(speed_is(20.0), "the bus is back")
        assert ("by receive thread" in terminal.text()) == (bcm == "false")


@pytest.fixture
def attached(tmp_path):
    """attach(adapter): give its port to the kernel's slcan driver, as the interface slcantest, set to listen only."""
    subprocess.run(["modprobe", "slcan"], check=True)
    running = []

    def attach(adapter):
        running.append(subprocess.Popen(["slcand", "-F", os.path.realpath(adapter.port), "slcantest"]))
        setting = "link set slcantest up type can bitrate 500000 listen-only on"
        done = lambda: subprocess.run(["ip", *setting.split()], capture_output=True).returncode == 0  # noqa: E731
        wait_for(done, "slcand makes the interface")
        adapter.wait_open()

    yield attach
    for process in running:
        process.kill()
        process.wait()


def test_a_serial_adapter_behind_the_kernels_driver(can_kernel, attached, tmp_path):
    """Pulled out, its interface is gone from the kernel; put back, it is another one. Nothing is ever sent."""
    with SlcanAdapter(tmp_path / "adapter") as adapter:
        attached(adapter)
        assert (adapter.mode, adapter.speed) == ("L", "S6")
        with Terminal(tmp_path, CONFIG.replace("{bus}", "slcantest"), FILES) as terminal:

            def speed_comes(value):
                def heard():
                    adapter.frame(1, (10 * value).to_bytes(2, "little"))
                    return any(map(speed_is(value), terminal.reports()))

                terminal.wait_for(heard, f"{value} km/h")

            speed_comes(20)
            adapter.unplug()
            terminal.wait_for_report(speed_is(None), "the adapter is away")
            adapter.plug()
            attached(adapter)
            speed_comes(30)
            log = terminal.text()
        assert adapter.sent == []
    assert "acknowledges" not in log
    assert "by receive thread" not in log
    assert "CAN bus back bus=pt" in log


def test_what_tbox_interfaces_says_of_it(can_kernel, attached, tmp_path):
    from agent.interfaces.found import Machine, Rates
    from agent.interfaces.socketcan import socketcan_interfaces

    with SlcanAdapter(tmp_path / "adapter") as adapter:
        attached(adapter)
        (found,) = [each for each in socketcan_interfaces(Machine(), Rates()) if each.channel == "slcantest"]
        assert found.what == "serial adapter, attached by slcand"
        assert found.state == "up, 500000 bit/s, listen-only, ERROR-ACTIVE"
        for command in found.commands:
            subprocess.run(command.removeprefix("sudo ").split(), check=True)
        with can.Bus("slcantest", interface="socketcan") as bus:
            adapter.wait_for(lambda each: each.mode == "L")
            adapter.frame(0x123, b"\1")
            assert bus.recv(20).arbitration_id == 0x123
        assert adapter.sent == []
