"""What is plugged in, on made trees of /sys, /proc and /boot; what `ip` says is what it said of emulated controllers."""

import copy
import json
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from agent.canbus.arguments import settings_fault
from agent.cli import main
from agent.commands.interfaces import print_found
from agent.config import Can
from agent.config_values import convert
from agent.interfaces.all import find_all
from agent.interfaces.found import Found, Machine, Rates, what_next
from agent.interfaces.hat import WANTED

# iproute2 6.1, kernel 6.1, two SJA1000: one set up, one as it comes.
CAN0: dict[str, Any] = {
    "ifindex": 2, "ifname": "can0", "flags": ["NOARP", "UP", "LOWER_UP", "ECHO"], "mtu": 16, "qdisc": "pfifo_fast",
    "operstate": "UP", "linkmode": "DEFAULT", "group": "default", "txqlen": 10, "link_type": "can", "promiscuity": 0,
    "linkinfo": {
        "info_kind": "can",
        "info_data": {
            "ctrlmode": ["LISTEN-ONLY", "BERR-REPORTING"],
            "ctrlmode_supported": [
                "LOOPBACK", "LISTEN-ONLY", "TRIPLE-SAMPLING", "ONE-SHOT", "BERR-REPORTING", "PRESUME-ACK", "CC-LEN8-DLC",
            ],
            "state": "ERROR-ACTIVE", "berr_counter": {"tx": 0, "rx": 0}, "restart_ms": 100,
            "bittiming": {
                "bitrate": 500000, "sample_point": "0.875", "tq": 125, "prop_seg": 6, "phase_seg1": 7, "phase_seg2": 2,
                "sjw": 1, "brp": 1,
            },
            "bittiming_const": {
                "name": "sja1000", "tseg1": {"min": 1, "max": 16}, "tseg2": {"min": 1, "max": 8},
                "sjw": {"min": 1, "max": 4}, "brp": {"min": 1, "max": 64}, "brp_inc": 1,
            },
            "clock": 8000000,
        },
        "info_xstats": {
            "restarts": 0, "bus_error": 0, "arbitration_lost": 0, "error_warning": 0, "error_passive": 0, "bus_off": 0,
        },
    },
    "parentbus": "pci", "parentdev": "0000:00:08.0",
    "stats64": {
        "rx": {"bytes": 0, "packets": 0, "errors": 0, "dropped": 0, "over_errors": 0, "multicast": 0},
        "tx": {"bytes": 0, "packets": 0, "errors": 0, "dropped": 0, "carrier_errors": 0, "collisions": 0},
    },
}  # fmt: skip
FRESH = {**CAN0, "flags": ["NOARP", "ECHO"], "operstate": "DOWN", "linkinfo": {**CAN0["linkinfo"], "info_data": {
    "ctrlmode_supported": CAN0["linkinfo"]["info_data"]["ctrlmode_supported"], "state": "STOPPED",
    "berr_counter": {"tx": 0, "rx": 0}, "restart_ms": 0,
    "bittiming_const": CAN0["linkinfo"]["info_data"]["bittiming_const"], "clock": 8000000,
}}}  # fmt: skip
VCAN = {
    "ifindex": 2, "ifname": "can0", "flags": ["NOARP", "UP", "LOWER_UP"], "mtu": 72, "link_type": "can",
    "linkinfo": {"info_kind": "vcan"},
}  # fmt: skip
# The same, of slcand's interface: neither controller nor clock, and a list of bitrates.
SLCAN = {**CAN0, "flags": ["NOARP", "UP", "LOWER_UP"], "linkinfo": {"info_kind": "can", "info_data": {
    "ctrlmode": ["LISTEN-ONLY"], "ctrlmode_supported": ["LISTEN-ONLY"], "state": "ERROR-ACTIVE", "restart_ms": 0,
    "bittiming_bitrate": 250000, "bitrate_const": [10000, 20000, 50000, 100000, 125000, 250000, 500000, 800000, 1000000],
    "clock": 0,
}}}  # fmt: skip
TO_LISTEN = "sudo ip link set can0 up type can bitrate 500000 listen-only on restart-ms 100 berr-reporting on"


class Tree:
    """A made machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.answers: dict[str, str] = {}
        self.may_open = True

    def machine(self) -> Machine:
        def run(command: Sequence[str]) -> str | None:
            return self.answers.get(command[0])

        return Machine(self.root, run, lambda _: self.may_open)

    def file(self, name: str, data: str | bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    def link(self, name: str, target: Path | str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    def interface(self, details: Mapping[str, Any] | None, device: str, driver: str, name: str = "can0") -> None:
        """A CAN interface of a device's folder below /sys/devices; an empty device for one without."""
        self.file(f"sys/class/net/{name}/type", "280\n")
        self.file(f"sys/class/net/{name}/operstate", "down\n")
        if device:
            folder = self.root / "sys/devices" / device
            folder.mkdir(parents=True, exist_ok=True)
            (self.root / f"sys/bus/drivers/{driver}").mkdir(parents=True, exist_ok=True)
            self.link(f"sys/devices/{device}/driver", self.root / f"sys/bus/drivers/{driver}")
            self.link(f"sys/class/net/{name}/device", folder)
        if details is not None:
            self.answers["ip"] = json.dumps([{"ifname": "lo", "link_type": "loopback"}, {**details, "ifname": name}])

    def usb(self, name: str, ids: str, product: str = "", interfaces: Mapping[int, str] | None = None) -> None:
        """A USB device `1-1` with its ids `vvvv:pppp`; `interfaces`: number to tty."""
        folder = f"sys/devices/pci0/usb1/{name}"
        self.file(f"{folder}/idVendor", ids[:4] + "\n")
        self.file(f"{folder}/idProduct", ids[5:] + "\n")
        if product:
            self.file(f"{folder}/product", product + "\n")
        self.link(f"sys/bus/usb/devices/{name}", self.root / folder)
        for number, tty in (interfaces or {}).items():
            interface = f"{folder}/{name}:1.{number}"
            self.file(f"{interface}/bInterfaceNumber", f"{number:02x}\n")
            own = tty.startswith("ttyUSB")  # a converter's port is a device below the interface, an ACM's is not
            if own:
                (self.root / interface / tty).mkdir()
            self.link(f"sys/class/tty/{tty}/device", self.root / interface / (tty if own else ""))
            self.file(f"dev/{tty}", "")

    def chip(self, compatible: str = "microchip,mcp2515", oscillator: int = 16_000_000, interrupt: int = 25) -> Path:
        """A CAN controller in the device tree of a Pi."""
        base = "sys/firmware/devicetree/base"
        self.file(f"{base}/model", b"Raspberry Pi 4 Model B Rev 1.4\0")
        self.file(f"{base}/clocks/osc/compatible", b"fixed-clock\0")
        self.file(f"{base}/clocks/osc/phandle", (77).to_bytes(4, "big"))
        self.file(f"{base}/clocks/osc/clock-frequency", oscillator.to_bytes(4, "big"))
        node = f"{base}/soc/spi@7e204000/mcp@0"
        self.file(f"{node}/compatible", compatible.encode() + b"\0")
        self.file(f"{node}/clocks", (77).to_bytes(4, "big"))
        self.file(f"{node}/interrupts", interrupt.to_bytes(4, "big") + (8).to_bytes(4, "big"))
        self.file(f"{node}/spi-max-frequency", (10_000_000).to_bytes(4, "big"))
        self.file(f"{node}/status", b"okay\0")
        self.link("proc/device-tree", self.root / base)
        return self.root / node

    def find(self, **rates: Any) -> list[Found]:
        return find_all(self.machine(), Rates(**rates))

    def only(self, **rates: Any) -> Found:
        found = self.find(**rates)
        assert len(found) == 1, found
        return found[0]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def changed(details: Mapping[str, Any], change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    copied = copy.deepcopy(dict(details))
    change(copied)
    return copied


def said(found: Found) -> str:
    return "\n".join(found.remarks)


def of_config(text: str) -> Can:
    """The one [[can]] table of a text, as the configuration takes it."""
    faults: list[str] = []
    (table,) = tomllib.loads(text)["can"]
    made = convert({"can": [table]}, Holder, "", faults)
    assert faults == []
    can: Can = made["can"][0]
    assert settings_fault(can) is None
    return can


class Holder(msgspec.Struct):
    can: list[Can]


def test_an_empty_machine_says_what_to_look_at(tree: Tree) -> None:
    assert tree.find() == []
    assert any("lsusb" in line for line in what_next([]))


def test_a_controller_as_it_comes_gets_the_command_that_makes_it_listen(tree: Tree) -> None:
    tree.interface(FRESH, "pci0000:00/0000:00:08.0", "kvaser_pci")
    found = tree.only()
    assert (found.kind, found.channel, found.state) == ("socketcan", "can0", "down")
    assert found.what == "sja1000 at 0000:00:08.0, driver kvaser_pci"
    assert found.commands == [TO_LISTEN]
    assert found.files == {
        "/etc/systemd/network/80-can0.network": "[Match]\nName=can0\n\n[CAN]\nBitRate=500000\nListenOnly=yes\n"
        "RestartSec=100ms\nBusErrorReporting=yes\n"
    }
    can = of_config(found.toml)
    assert (can.interface, can.channel, can.bitrate, can.listen_only) == ("socketcan", "can0", 500_000, True)
    assert what_next([found]) == []


def test_one_that_is_up_keeps_its_bitrate_and_goes_down_before_it_is_set(tree: Tree) -> None:
    tree.interface(
        changed(CAN0, lambda link: link["linkinfo"]["info_data"]["bittiming"].update(bitrate=250_000)), "x", "d"
    )
    found = tree.only(bitrate=500_000)
    assert found.state == "up, 250000 bit/s, listen-only, berr-reporting, ERROR-ACTIVE"
    assert found.commands[0] == "sudo ip link set can0 down"
    assert "bitrate 250000" in found.commands[1]


def test_a_serial_adapter_of_slcand(tree: Tree) -> None:
    """It has no controller of the kernel's that could be restarted, and newer kernels refuse to be told."""
    tree.interface(SLCAN, "", "")
    found = tree.only()
    assert found.what == "serial adapter, attached by slcand"
    assert found.state == "up, 250000 bit/s, listen-only, ERROR-ACTIVE"
    assert found.commands[1] == "sudo ip link set can0 up type can bitrate 250000 listen-only on"
    assert "RestartSec" not in found.files["/etc/systemd/network/80-can0.network"]
    assert "restart-ms" not in said(found)


def test_fd_where_the_controller_speaks_it(tree: Tree) -> None:
    fd = changed(FRESH, lambda link: link["linkinfo"]["info_data"]["ctrlmode_supported"].append("FD"))
    tree.interface(fd, "spi0.0", "mcp251xfd")
    assert "--fd prints" in said(tree.only())
    found = tree.only(fd=True, data_bitrate=5_000_000)
    assert " bitrate 500000 dbitrate 5000000 fd on listen-only on " in found.commands[0]
    assert "DataBitRate=5000000\nFDMode=yes\n" in found.files["/etc/systemd/network/80-can0.network"]
    assert (of_config(found.toml).fd, of_config(found.toml).data_bitrate) == (True, 5_000_000)


def test_fd_where_it_does_not(tree: Tree) -> None:
    tree.interface(FRESH, "x", "kvaser_pci")
    found = tree.only(fd=True)
    assert "dbitrate" not in found.commands[0]
    assert "does not speak CAN FD" in said(found)


def test_a_driver_that_reports_no_errors_is_not_asked_to(tree: Tree) -> None:
    """`ip` would refuse the whole command: Operation not supported."""
    tree.interface(
        changed(FRESH, lambda link: link["linkinfo"]["info_data"].pop("ctrlmode_supported")), "spi0.0", "mcp251x"
    )
    assert "berr-reporting" not in tree.only().commands[0]


def test_a_driver_that_cannot_listen_only_is_said(tree: Tree) -> None:
    tree.interface(
        changed(FRESH, lambda link: link["linkinfo"]["info_data"]["ctrlmode_supported"].remove("LISTEN-ONLY")), "x", "d"
    )
    found = tree.only()
    assert "listen-only" not in found.commands[0]
    assert "cannot listen only" in said(found)


def test_without_ip_the_interface_is_listed_all_the_same(tree: Tree) -> None:
    tree.interface(None, "spi0.0", "mcp251x")
    for answer in ("", "garbage", "[1]", '{"a": 1}', '[{"link_type": "can"}]'):
        tree.answers["ip"] = answer
        found = tree.only()
        assert (found.channel, found.state) == ("can0", "down")
        assert found.commands[0].startswith("sudo ip link set can0 up type can bitrate 500000 listen-only on")


def test_a_virtual_one_has_no_bitrate(tree: Tree) -> None:
    tree.interface(VCAN, "", "")
    found = tree.only()
    assert (found.what, found.state, found.commands, found.files) == ("virtual CAN inside this machine", "up", [], {})
    assert of_config(found.toml).bitrate is None


HEARD: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "nothing": (lambda _: None, "nothing heard so far"),
    "errors only": (
        lambda link: link["linkinfo"]["info_xstats"].update(bus_error=7),
        "errors and not one frame: the bitrate",
    ),
    "passive": (lambda link: link["linkinfo"]["info_data"].update(state="ERROR-PASSIVE"), "errors and not one frame"),
    "some errors": (
        lambda link: (
            link["linkinfo"]["info_data"]["berr_counter"].update(rx=9),
            link["stats64"]["rx"].update(packets=5),
        ),
        "errors and frames: termination",
    ),
    "not listening": (lambda link: link["linkinfo"]["info_data"].update(ctrlmode=[]), "listen-only is off"),
    "no restart": (lambda link: link["linkinfo"]["info_data"].update(restart_ms=0), "restart-ms is 0"),
    "lost": (lambda link: link["stats64"]["rx"].update(packets=5, over_errors=3), "3 frames were lost"),
}


@pytest.mark.parametrize(("change", "remark"), HEARD.values(), ids=HEARD.keys())
def test_what_the_counters_say(tree: Tree, change: Callable[[dict[str, Any]], object], remark: str) -> None:
    tree.interface(changed(CAN0, change), "x", "kvaser_pci")
    assert remark in said(tree.only())


def test_a_bus_that_is_well_has_no_remark(tree: Tree) -> None:
    tree.interface(changed(CAN0, lambda link: link["stats64"]["rx"].update(packets=5)), "x", "kvaser_pci")
    assert tree.only().remarks == []


def test_a_usb_adapter_with_a_driver_is_listed_once_with_its_product(tree: Tree) -> None:
    tree.usb("1-1", "1d50:606f", "candleLight USB to CAN adapter")
    tree.file("sys/devices/pci0/usb1/1-1/1-1:1.0/net/can0/type", "280")
    tree.interface(FRESH, "pci0/usb1/1-1/1-1:1.0", "gs_usb")
    assert tree.only().what == "candleLight USB to CAN adapter at 1-1:1.0, driver gs_usb"


@pytest.mark.parametrize(
    ("ids", "module", "interface", "channel"),
    [
        ("1d50:606f", "gs_usb", "gs_usb", "0"),
        ("1209:2323", "gs_usb", "gs_usb", "0"),
        ("0c72:0012", "peak_usb", "pcan", "PCAN_USBBUS1"),
        ("0c72:00ff", "peak_usb", "pcan", "PCAN_USBBUS1"),
        ("0bfd:0108", "kvaser_usb", "kvaser", "0"),
    ],
)
def test_a_usb_adapter_without_a_driver(tree: Tree, ids: str, module: str, interface: str, channel: str) -> None:
    tree.usb("1-1.2", ids)
    found = tree.only(fd=True)
    assert found.commands == [f"sudo modprobe {module}"]
    can = of_config(found.toml)
    assert (can.interface, can.channel, can.fd) == (interface, channel, interface != "gs_usb")


PORTS = [
    ("16d0:117e", {0: "ttyACM0"}, "", "slcan", True),
    ("ad50:60c4", {0: "ttyACM0"}, "", "slcan", True),
    ("0403:ffa8", {0: "ttyUSB0"}, "", "slcan", True),
    ("0403:6001", {0: "ttyUSB0"}, "", "slcan", False),
    ("1a86:7523", {0: "ttyUSB0"}, "", "slcan", False),
    ("1d50:ffff", {0: "ttyACM0"}, "My CANable clone", "slcan", True),
    ("1546:01a8", {0: "ttyACM0"}, "", "gnss", True),
    ("10c4:ea60", {0: "ttyUSB0"}, "Drotek GNSS", "gnss", True),
    ("2c7c:0125", {2: "ttyUSB2"}, "", "modem", True),
    ("1e0e:9001", {2: "ttyUSB2"}, "", "modem", True),
    ("1e0e:9001", {1: "ttyUSB1"}, "", "gnss", False),
]


@pytest.mark.parametrize(("ids", "interfaces", "product", "kind", "sure"), PORTS)
def test_serial_ports_by_their_numbers(
    tree: Tree, ids: str, interfaces: dict[int, str], product: str, kind: str, sure: bool
) -> None:
    tree.usb("1-1", ids, product, interfaces)
    found = tree.only()
    (tty,) = interfaces.values()
    assert (found.kind, found.sure, found.channel) == (kind, sure, f"/dev/{tty}")
    assert found.what.startswith("may be: ") != sure
    read = tomllib.loads(found.toml)
    if kind == "slcan":
        assert of_config(found.toml).bitrate == 500_000
    else:
        assert read == {kind: {"device" if kind == "gnss" else "port": f"/dev/{tty}"}}


def test_ports_of_a_modem_that_are_for_nothing_here_and_unknown_devices_are_left_out(tree: Tree) -> None:
    tree.usb("1-1", "2c7c:0125", "", {0: "ttyUSB0", 1: "ttyUSB1", 2: "ttyUSB2", 3: "ttyUSB3"})
    tree.usb("1-2", "abcd:0001", "Barcode scanner", {0: "ttyACM7"})
    tree.file("sys/class/tty/ttyS0/dev", "4:64")
    assert [(each.kind, each.channel) for each in tree.find()] == [("gnss", "/dev/ttyUSB1"), ("modem", "/dev/ttyUSB2")]


def test_a_port_has_the_name_that_lasts_and_says_who_may_not_open_it(tree: Tree) -> None:
    tree.usb("1-1", "16d0:117e", "", {0: "ttyACM0"})
    tree.link("dev/serial/by-id/usb-CANable2-if00", "../../ttyACM0")
    tree.may_open = False
    found = tree.only()
    assert found.channel == "/dev/serial/by-id/usb-CANable2-if00"
    assert of_config(found.toml).channel == found.channel
    assert "usermod -aG dialout" in said(found)


def test_a_hat_that_works(tree: Tree) -> None:
    node = tree.chip()
    tree.interface(FRESH, "spi0/spi0.0", "mcp251x")
    tree.link("sys/devices/spi0/spi0.0/of_node", node)
    tree.file(
        "boot/firmware/config.txt", "dtparam=spi=on\ndtoverlay=mcp2515-can0,oscillator=16000000,interrupt=25 # HAT\n"
    )
    _, hat = tree.find()
    assert (hat.kind, hat.channel, hat.state) == ("hat", "can0", "is can0")
    assert hat.what == "MCP2515 at mcp@0: oscillator 16000000 Hz, interrupt GPIO 25, SPI 10000000 Hz"
    assert hat.remarks == []


LOG = {
    "[ 6.1] mcp251x spi0.0: MCP251x didn't enter in conf mode after reset": "does not answer",
    "[ 6.1] mcp251x spi0.0: Cannot initialize MCP2515. Wrong wiring?": "what answers is no MCP2515",
    "[ 6.1] mcp251xfd spi0.0 (unnamed net_device): Failed to detect MCP251xFD (osc=0x00000000).": "another SPI bus",
    "[ 6.1] spi-bcm2835 fe204000.spi: chipselect 0 already in use (spi0.0)": "two overlays want the same chip select",
    "[ 6.1] usb 1-1: new device": "the kernel's log says nothing of it",
}


@pytest.mark.parametrize(("line", "meaning"), LOG.items(), ids=range(len(LOG)))
def test_a_hat_whose_chip_makes_no_interface_says_why(tree: Tree, line: str, meaning: str) -> None:
    tree.chip()
    tree.answers["dmesg"] = f"[ 0.1] Booting\n{line}\n"
    hat = tree.only()
    assert hat.state == "NO INTERFACE"
    assert meaning in said(hat)


def test_errors_and_no_frames_behind_a_hat_point_to_the_oscillator(tree: Tree) -> None:
    node = tree.chip(oscillator=16_000_000)
    tree.interface(
        changed(CAN0, lambda link: link["linkinfo"]["info_xstats"].update(bus_error=9)), "spi0/spi0.0", "mcp251xfd"
    )
    tree.link("sys/devices/spi0/spi0.0/of_node", node)
    can0, hat = tree.find()
    assert "oscillator is declared wrong" in said(can0)
    assert "if it is not 16 MHz, every bitrate is off by the ratio (8 MHz: 0.5 times, 12 MHz: 0.75 times" in said(hat)


def test_a_silent_hat_points_there_too_as_its_chip_counts_no_errors(tree: Tree) -> None:
    node = tree.chip(oscillator=8_000_000)
    tree.interface(CAN0, "spi0/spi0.0", "mcp251x")
    tree.link("sys/devices/spi0/spi0.0/of_node", node)
    can0, hat = tree.find()
    assert "counts no errors" in said(can0)
    assert "16 MHz: 2 times" in said(hat)


def test_an_oscillator_that_no_such_hat_has(tree: Tree) -> None:
    tree.chip(oscillator=1_600_000)
    assert "an oscillator of 1.6 MHz is unusual" in said(tree.only())


@pytest.mark.parametrize(("counts", "expected"), [("0  0", True), ("12  0", False)])
def test_an_interrupt_that_never_came(tree: Tree, counts: str, expected: bool) -> None:
    node = tree.chip()
    tree.interface(changed(CAN0, lambda link: link["stats64"]["rx"].update(packets=5)), "spi0/spi0.0", "mcp251x")
    tree.link("sys/devices/spi0/spi0.0/of_node", node)
    tree.file("proc/interrupts", f"      CPU0 CPU1\n 55: {counts}  pinctrl-bcm2835  25 Level  spi0.0\nERR: 0\n")
    assert ("its interrupt never came" in said(tree.find()[1])) == expected


def test_an_overlay_line_that_is_not_in_force(tree: Tree) -> None:
    tree.file("boot/config.txt", "# dtparam=spi=on\ndtoverlay=mcp2515-can0, oscillator=8000000, interrupt=25\n")
    hat = tree.only()
    assert hat.what == "dtoverlay=mcp2515-can0,oscillator=8000000,interrupt=25"
    assert "0 controllers in the device tree" in said(hat)
    assert "dtparam=spi=on is missing" in said(hat)


def test_a_pi_without_a_hat_gets_the_lines_to_add(tree: Tree) -> None:
    tree.file("proc/device-tree/model", b"Raspberry Pi 5 Model B Rev 1.0\0")
    hat = tree.only()
    assert not hat.sure
    assert [line for line in hat.remarks if line in WANTED] == WANTED
    assert what_next([hat])


def test_devices_of_the_makers_libraries(tree: Tree) -> None:
    kvaser = {"interface": "kvaser", "channel": 1, "device_name": "Kvaser Leaf Light v2", "serial": 12345}
    tree.answers[sys.executable] = "a library greets\n" + json.dumps([kvaser])
    found = tree.only()
    assert (found.kind, found.channel) == ("library", "1")
    assert "Kvaser Leaf Light v2" in found.what
    assert of_config(found.toml).interface == "kvaser"


@pytest.mark.parametrize("answer", ["", "Traceback", "{}", "[]"])
def test_libraries_that_break_are_none(tree: Tree, answer: str) -> None:
    tree.answers[sys.executable] = answer
    assert tree.find() == []


def test_the_libraries_of_this_machine_are_asked_in_a_process_of_their_own() -> None:
    from agent.interfaces.libraries import library_devices

    assert all(each.kind == "library" for each in library_devices(Machine(), Rates()))


def test_the_command_gives_json_and_refuses_a_bitrate_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["interfaces", "--json"]) == 0
    assert json.loads(capsys.readouterr().out).keys() == {"found", "next"}
    assert main(["interfaces", "--bitrate", "500"]) == 2
    assert "--bitrate: 500 is not in 1000..20000000 bit/s" in capsys.readouterr().err


def test_what_the_command_prints_is_a_configuration_with_comments(
    tree: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    tree.interface(FRESH, "pci0000:00/0000:00:08.0", "kvaser_pci")
    tree.usb("1-1", "16d0:117e", "", {0: "ttyACM0"})
    print_found(tree.find())
    table, _, blocks = capsys.readouterr().out.partition("\n\n")
    assert table.splitlines()[0].split() == ["kind", "channel", "what", "state"]
    assert [can["channel"] for can in tomllib.loads(blocks)["can"]] == ["can0", "/dev/ttyACM0"]
    assert f"#   $ {TO_LISTEN}\n" in blocks


# --- rubbish ----------------------------------------------------------------------------------------------------------

RUBBISH = [
    "",
    "\0",
    "zz",
    "²",
    "-1",
    "\x1b[31m",
    '"\n[x]\n',
    "\udcff",
    "9" * 5000,
    "280",
    "0403",
    "ffa8",
    "1d50",
    "606f",
]
PLACES = [
    "sys/class/net/can0/type", "sys/class/net/can0/operstate", 'sys/class/net/a"b$(id)/type', "sys/class/net/\x1b[31m/type",
    "sys/devices/pci0/usb1/1-1/idVendor", "sys/devices/pci0/usb1/1-1/idProduct", "sys/devices/pci0/usb1/1-1/product",
    "sys/devices/pci0/usb1/1-1/1-1:1.0/bInterfaceNumber", "proc/device-tree/model", "proc/device-tree/spi/can/compatible",
    "proc/device-tree/spi/can/clocks", "proc/interrupts", "boot/config.txt",
]  # fmt: skip
JSON_RUBBISH: list[Any] = [None, 1, -1.5, "x", [], {}, [1], {"x": 1}, "\x1b[2J", True]


def damaged(value: Any, random: Random) -> Any:
    """The same with something else in some places."""
    if random.random() < 0.1:
        return random.choice(JSON_RUBBISH)
    if isinstance(value, dict):
        return {key: damaged(each, random) for key, each in value.items() if random.random() > 0.05}
    return [damaged(each, random) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("seed", range(150))
def test_whatever_a_machine_says_of_itself_the_lines_can_be_pasted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    random = Random(seed)
    tree = Tree(tmp_path)
    for name in PLACES:
        what = random.choice(RUBBISH).encode(errors="surrogateescape")
        if random.random() < 0.1:
            (tmp_path / name).mkdir(parents=True)
        elif random.random() < 0.9:
            tree.file(name, what if random.random() < 0.7 else random.randbytes(50))
    (tmp_path / "sys/class/tty").mkdir(parents=True)
    (tmp_path / "sys/class/tty/ttyUSB0").mkdir()
    tree.link("sys/class/tty/ttyUSB0/device", random.choice(["device", tmp_path / "sys/devices/pci0/usb1/1-1/1-1:1.0"]))
    tree.link("sys/bus/usb/devices/1-1", random.choice(["1-1", tmp_path / "sys/devices/pci0/usb1/1-1"]))
    tree.link('dev/serial/by-id/usb-"x\x1b[1m', "../../ttyUSB0" if random.random() < 0.5 else "ttyUSB0")
    said = json.dumps(damaged([CAN0, FRESH, {**VCAN, "ifname": 'a"b$(id)'}, {**CAN0, "ifname": "\x1b[31m"}], random))
    tree.answers["ip"] = said if random.random() < 0.9 else said[: random.randrange(len(said))]
    tree.answers["dmesg"] = "mcp25 \x1b[31m"
    tree.answers[sys.executable] = json.dumps(
        damaged([{"interface": "pcan", "channel": 'X"\n', "name": "\x1b", "serial": "1"}], random)
    )
    found = find_all(tree.machine(), Rates(fd=random.random() < 0.5))
    print_found(found)
    for each in found:
        tomllib.loads(each.toml)
    printed = capsys.readouterr().out
    assert all(mark.isprintable() or mark == "\n" for mark in printed)
    assert "$(id) up" not in printed
