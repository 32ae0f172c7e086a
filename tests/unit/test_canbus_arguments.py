"""What goes out to python-can's buses is what their constructors take, by their source: most need a driver to import."""

import ast
import importlib
import inspect
from importlib.util import find_spec
from pathlib import Path

import can
import pytest
from can.interfaces import BACKENDS
from canbus_parts import Settings

from agent.canbus.arguments import (
    ACKNOWLEDGES,
    KVASER_FD,
    LISTEN_ONLY,
    NO_BITRATE,
    NO_FD,
    PRESETS,
    SLCAN_FD,
    bus_arguments,
    bus_channel,
    settings_fault,
)
from agent.canbus.pythoncan import open_bus
from agent.cli import main
from agent.errors import BusError, ConfigError

FD = {"fd": True, "bitrate": 500_000, "data_bitrate": 2_000_000}
ENTRIES = {
    "classic": {"bitrate": 500_000},
    "odd bitrate": {"bitrate": 83_333},
    "node": {"bitrate": 500_000, "listen_only": False},
    "FD": FD,
    "odd FD": {"fd": True, "bitrate": 250_000, "data_bitrate": 2_000_000},
}
every_interface = pytest.mark.parametrize("interface", sorted(BACKENDS))


def source(interface: str) -> ast.ClassDef:
    """The class of an interface, which may inherit from another of the same package."""
    module, name = BACKENDS[interface]
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    files = [Path(spec.origin)]
    if spec.submodule_search_locations:
        files += sorted(Path(spec.origin).parent.glob("*.py"))
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name == name:
                return node
    raise AssertionError(f"no class {name} in {files}")


def taken(interface: str) -> set[str]:
    """Names that the constructor takes: its own, and those that it looks for among the rest."""
    made = next(node for node in source(interface).body if getattr(node, "name", "") == "__init__")
    assert isinstance(made, ast.FunctionDef)
    names = {argument.arg for argument in (*made.args.args, *made.args.kwonlyargs)}
    for node in ast.walk(made):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("kwargs.get", "kwargs.pop"):
            names.add(ast.literal_eval(node.args[0]))
        if isinstance(node, ast.Compare) and ast.unparse(node.comparators[0]) == "kwargs":
            names |= {node.left.value} if isinstance(node.left, ast.Constant) else set()
    return names


def arguments_of(interface: str, **words: object) -> dict[str, object]:
    channel = "0" if interface in ("gs_usb", "neousys") else "x"
    entry = Settings(interface=interface, channel=channel, **words)  # type: ignore[arg-type]
    bus_channel(entry)
    return bus_arguments(entry, [(0x123, 0x7FF)])


@every_interface
@pytest.mark.parametrize("words", ENTRIES.values(), ids=ENTRIES.keys())
def test_no_argument_goes_out_that_the_interface_does_not_take(interface: str, words: dict[str, object]) -> None:
    if words.get("fd") and interface in NO_FD:
        with pytest.raises(ConfigError, match="has no CAN FD"):
            arguments_of(interface, **words)
    else:
        assert arguments_of(interface, **words).keys() <= taken(interface)


@every_interface
def test_a_source_that_can_be_imported_says_the_same(interface: str) -> None:
    module, name = BACKENDS[interface]
    try:
        made = getattr(importlib.import_module(module), name)
    except Exception:  # noqa: BLE001 - whatever a missing driver raises
        pytest.skip("needs a driver to import")
    named = {name for name, each in inspect.signature(made).parameters.items() if each.kind != each.VAR_KEYWORD}
    assert named <= taken(interface)


@every_interface
def test_a_bitrate_reaches_every_interface_that_has_one(interface: str) -> None:
    arguments = arguments_of(interface, bitrate=250_000)
    assert ("bitrate" in arguments) == (interface not in NO_BITRATE)


def test_the_tables_name_interfaces_that_exist() -> None:
    assert NO_BITRATE | NO_FD | PRESETS.keys() | LISTEN_ONLY.keys() | ACKNOWLEDGES <= BACKENDS.keys()


def test_bitrates_that_an_interface_knows_by_name_are_those_of_python_can() -> None:
    from can.interfaces.kvaser import canlib
    from can.interfaces.pcan.basic import PCAN_BITRATES
    from can.interfaces.slcan import slcanBus

    assert PRESETS["slcan"][0] == slcanBus._BITRATES.keys()
    assert set(SLCAN_FD) == slcanBus._DATA_BITRATES.keys() - {0}
    assert PRESETS["kvaser"][0] == canlib.BITRATE_OBJS.keys()
    assert canlib.BITRATE_FD.keys() == KVASER_FD
    # Of PCAN some names stand for another bitrate: 83000 for 83333 and so on. They go by the segments of a bit.
    assert PRESETS["pcan"][0] <= PCAN_BITRATES.keys()


@pytest.mark.parametrize("interface", ["kvaser", "pcan", "slcan"])
@pytest.mark.parametrize("bitrate", [33_333, 83_333, 95_238, 666_666])
def test_an_odd_bitrate_goes_by_segments_and_is_kept(interface: str, bitrate: int) -> None:
    timing = arguments_of(interface, bitrate=bitrate)["timing"]
    assert isinstance(timing, can.BitTiming)
    assert timing.f_clock == PRESETS[interface][1]
    assert abs(timing.bitrate - bitrate) <= bitrate // 1000
    assert 70 <= timing.sample_point <= 88


@pytest.mark.parametrize("interface", ["pcan", "kvaser"])
@pytest.mark.parametrize(
    "rates", [(250_000, 1_000_000), (250_000, 2_000_000), (500_000, 5_000_000), (125_000, 500_000)]
)
def test_fd_by_segments_keeps_both_bitrates(interface: str, rates: tuple[int, int]) -> None:
    timing = arguments_of(interface, fd=True, bitrate=rates[0], data_bitrate=rates[1])["timing"]
    assert isinstance(timing, can.BitTimingFd)
    assert (timing.nom_bitrate, timing.data_bitrate, timing.f_clock) == (*rates, 80_000_000)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ({"interface": "gs_usb", **FD, "channel": "0"}, "python-can's gs_usb has no CAN FD; the kernel's driver may"),
        ({"interface": "pcan", "fd": True, "bitrate": 500_000}, "data_bitrate: is missing; with fd = true pcan needs both"),
        ({"interface": "slcan", **FD, "data_bitrate": 4_000_000}, "data_bitrate = 4000000: slcan knows 2000000 and 5000000"),
        ({"interface": "slcan", **FD, "bitrate": 83_333}, "bitrate = 83333: slcan with fd = true knows 10000"),
        ({"interface": "pcan", "bitrate": 12_345}, "bitrate = 12345: pcan cannot make it (known: 5000"),
        ({"interface": "pcan", **FD, "data_bitrate": 7_654_321}, "cannot both be made from a clock of 80 MHz"),
        *(
            ({"interface": "socketcan", "channel": name}, "no name of a network interface")
            for name in ("", "can0123456789abc", "x" * 70_000, "é" * 8, "can 0", "can/0", "a\0b", ".")
        ),
        ({"interface": "gs_usb", "channel": "can0"}, "channel = 'can0': gs_usb counts its devices"),
    ],
)  # fmt: skip
def test_an_entry_that_can_never_work_is_a_fault_of_the_configuration(words: dict[str, object], fault: str) -> None:
    entry = Settings(**words)  # type: ignore[arg-type]
    assert fault in str(settings_fault(entry))
    with pytest.raises(ConfigError):
        open_bus(entry)


@pytest.mark.parametrize("name", ["can0", "é" * 7, "vcan0.1", "a-b_c", '"'])
def test_names_that_a_network_interface_may_have(name: str) -> None:
    assert settings_fault(Settings(interface="socketcan", channel=name)) is None


def test_what_an_option_makes_an_interface_raise_is_a_bus_that_does_not_open() -> None:
    with pytest.raises(BusError):
        open_bus(Settings(interface="robotell", channel="/dev/null", options={"ttyBaudrate": float("inf")}))


def test_a_missing_pyserial_is_said_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.canbus.arguments.find_spec", lambda _: None)
    assert "pip install 'tbox-agent[serial]'" in str(settings_fault(Settings(interface="slcan")))
    assert settings_fault(Settings(interface="pcan")) is None


def test_devices_that_are_counted_get_a_number() -> None:
    assert bus_channel(Settings(interface="gs_usb", channel="1")) == 1
    assert bus_channel(Settings(interface="kvaser", channel="1")) == "1"


def test_timing_in_the_options_has_the_last_word() -> None:
    timing = can.BitTiming.from_sample_point(8_000_000, 500_000, 75)
    entry = Settings(interface="pcan", bitrate=250_000, options={"timing": timing}, listen_only=False)
    assert bus_arguments(entry, ()) == {"timing": timing}


def test_the_check_names_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tbox.toml"
    file.write_text(
        '[vehicle]\nvin = "LGBTEST0000000017"\nmapping = "shipped:reference_ev.toml"\n[platform]\nhost = "127.0.0.1"\n'
        '[[can]]\nname = "pt"\ninterface = "pcan"\nchannel = "PCAN_USBBUS1"\nbitrate = 500000\nfd = true\n'
    )
    assert main(["check", "-c", str(file)]) == 2
    assert "can.pt: data_bitrate: is missing; with fd = true pcan needs both" in capsys.readouterr().err
