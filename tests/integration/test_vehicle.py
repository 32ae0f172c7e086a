"""The vehicle on a bus: another node receives what the car knows, in time; the controls do what they say."""

import asyncio
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from uuid import uuid4

import can
import cantools
import pytest
from cantools.database.can import Database

from agent.clock import Clock
from agent.errors import BusError
from bench.cycles import URBAN
from bench.frames import load_frames, reference_dbc
from bench.physics import VARIANTS, Car
from bench.vehicle import ControlError, Vehicle, can_be_scaled, open_bus

DATABASE = cantools.database.load_file(reference_dbc(), strict=True)
assert isinstance(DATABASE, Database)
NAMES = {message.frame_id: message.name for message in DATABASE.messages}
CYCLES = {message.name: message.cycle_time for message in DATABASE.messages}


class Bench:
    """A vehicle and a listener on one virtual bus, and a hand on the clock."""

    def __init__(self, variant: str = "ev", seed: int = 1) -> None:
        channel = uuid4().hex
        self.listener = can.Bus(channel, "virtual")
        self.bus = open_bus("virtual", channel)
        self.now = 5_000_000
        self.clock = Clock(monotonic_ns=lambda: self.now * 1_000_000, sleep=self._sleep)
        frames = load_frames(reference_dbc())
        self.vehicle = Vehicle(bus=self.bus, clock=self.clock, car=Car(variant, URBAN, seed), frames=frames)

    async def _sleep(self, seconds: float) -> None:
        self.now += round(seconds * 1000)
        await asyncio.sleep(0)

    def received(self) -> list[can.Message]:
        messages = []
        while (message := self.listener.recv(0)) is not None:
            messages.append(message)
        return messages

    def drive(self, seconds: float) -> list[can.Message]:
        """Poll whenever something is due; everything that arrived."""
        end = self.now + round(seconds * 1000)
        while self.now < end:
            self.now = min(self.vehicle.poll(self.now), end)
        return self.received()

    def signals(self, messages: list[can.Message]) -> dict[str, float]:
        """The last physical value of every signal."""
        values: dict[str, float] = {}
        for message in messages:
            name = NAMES[message.arbitration_id]
            for key, value in DATABASE.decode_message(name, message.data, decode_choices=False).items():
                values[f"{name}.{key}"] = value
        return values

    def close(self) -> None:
        self.bus.shutdown()
        self.listener.shutdown()


@pytest.fixture(params=["ev"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(request.param)
    yield made
    made.close()


every_variant = pytest.mark.parametrize("bench", VARIANTS, indirect=True)


@every_variant
def test_half_a_second_after_the_start_every_signal_has_arrived(bench: Bench) -> None:
    arrived = bench.signals(bench.drive(0.5))
    assert set(bench.vehicle.truth()) <= set(arrived)


@every_variant
def test_what_arrives_is_what_the_car_knows(bench: Bench) -> None:
    bench.drive(95)  # at rest: the pages of half a second are of one state
    arrived = bench.signals(bench.drive(1))
    for name, value in bench.vehicle.truth().items():
        message, signal_name = name.split(".")
        scale = DATABASE.get_message_by_name(message).get_signal_by_name(signal_name).scale
        assert arrived[name] == pytest.approx(value, abs=1.01 * scale, rel=2e-3), name


@every_variant
def test_every_message_keeps_its_cycle_time(bench: Bench) -> None:
    counts = Counter(NAMES[message.arbitration_id] for message in bench.drive(4))
    assert {name: 4000 / count for name, count in counts.items()} == pytest.approx({n: CYCLES[n] for n in counts})


def test_a_late_process_sends_two_frames_of_a_message_and_skips_the_rest(bench: Bench) -> None:
    bench.drive(1)
    bench.now += 3000
    bench.vehicle.poll(bench.now)
    late = Counter(NAMES[message.arbitration_id] for message in bench.received())
    assert set(late.values()) == {2}
    assert bench.vehicle.counters.skipped == pytest.approx(3 * 560 - sum(late.values()), abs=30)
    assert bench.vehicle.car.steps == (bench.now - 5_000_000) // 10
    counts = Counter(NAMES[message.arbitration_id] for message in bench.drive(4))
    assert counts["BMS_Cells"] == 400


def test_the_same_seed_sends_the_same_bytes() -> None:
    sent = []
    for seed in (3, 3, 4):
        bench = Bench("hybrid", seed)
        sent.append([(message.arbitration_id, bytes(message.data)) for message in bench.drive(20)])
        bench.close()
    assert sent[0] == sent[1]
    assert sent[0] != sent[2]


def test_an_alarm_sets_its_flag_and_its_code_until_it_is_cleared(bench: Bench) -> None:
    quiet = bench.signals(bench.drive(1))
    assert quiet["BMS_Alarms.SocLow"] == 0
    assert quiet["BMS_Faults.Code1"] == 0
    bench.vehicle.command("alarm soc_low on")
    bench.vehicle.command("alarm soc_jump on")
    loud = bench.signals(bench.drive(1))
    assert loud["BMS_Alarms.SocLow"] == 1
    assert (loud["BMS_Faults.Code1"], loud["BMS_Faults.Code2"], loud["BMS_Faults.Code3"]) == (0x0A7D00, 0x1A0964, 0)
    bench.vehicle.command("alarm soc_low off")
    after = bench.signals(bench.drive(1))
    assert after["BMS_Alarms.SocLow"] == 0
    assert (after["BMS_Faults.Code1"], after["BMS_Faults.Code2"]) == (0x1A0964, 0)


def test_charging_arrives_as_positive_current_in_the_cars_own_sign(bench: Bench) -> None:
    bench.drive(60)
    bench.vehicle.command("charge dc")
    arrived = bench.signals(bench.drive(30))
    assert arrived["BMS_Status.ChargeState"] == 1
    assert arrived["BMS_Status.PackCurrent"] > 80
    assert arrived["CCS_Inlet.Plug"] == 2
    assert arrived["CCS_Inlet.StationCurrent"] == pytest.approx(arrived["BMS_Status.PackCurrent"], abs=4)
    assert arrived["ESC_Speed.VehicleSpeed"] == 0
    assert arrived["VCU_Drive.DriveState"] == 0


def test_ignition_off_ends_in_off_and_the_bus_stays_awake(bench: Bench) -> None:
    bench.drive(20)
    bench.vehicle.command("ignition off")
    arrived = bench.signals(bench.drive(20))
    assert arrived["VCU_Drive.DriveState"] == 0
    assert arrived["MCU1_Status.State"] == 0
    assert arrived["ESC_Speed.VehicleSpeed"] == 0
    assert arrived["BMS_Status.PackCurrent"] == 0
    assert bench.drive(1)


def test_a_dropped_message_is_missing_alone_and_can_come_back(bench: Bench) -> None:
    bench.drive(1)
    bench.vehicle.command("drop BMS_Cells")
    assert {NAMES[message.arbitration_id] for message in bench.drive(1)} == {
        name for name in CYCLES if name != "BMS_Cells" and not name.startswith(("ENG", "FCU", "SCU"))
    }
    bench.vehicle.command("drop BMS_Cells off")
    assert "BMS_Cells" in {NAMES[message.arbitration_id] for message in bench.drive(1)}


def test_silence_stops_the_bus_and_not_the_car(bench: Bench) -> None:
    bench.drive(5)
    odometer = bench.vehicle.car.odometer
    bench.vehicle.command("silence on")
    assert bench.drive(5) == []
    assert bench.vehicle.car.odometer > odometer
    bench.vehicle.command("silence off")
    assert bench.drive(1)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("alarm fire on", "alarm 'fire' does not exist; there are: temperature_difference"),
        ("alarm soc_low", "is not a control; there are: alarm NAME"),
        ("alarm soc_low yes", "is not a control"),
        ("charge fast", "charge 'fast' is not one of off, ac, dc"),
        ("charge", "is not a control"),
        ("ignition", "is not a control"),
        ("drop ENG_Status", "message 'ENG_Status' is not sent; sent are: BCM_Ignition"),
        ("jump", "'jump' is not a control"),
    ],
)
def test_a_faulty_control_says_what_is_allowed_and_changes_nothing(bench: Bench, line: str, reason: str) -> None:
    before = len(bench.drive(1))
    with pytest.raises(ControlError, match=reason):
        bench.vehicle.command(line)
    assert bench.vehicle.car.controls.alarms == set()
    assert len(bench.drive(1)) == before


def test_an_empty_control_line_is_nothing(bench: Bench) -> None:
    bench.vehicle.command("  \n")


def test_run_ends_after_its_seconds(bench: Bench) -> None:
    asyncio.run(bench.vehicle.run(3))
    assert bench.now == 5_003_000
    assert len(bench.received()) == bench.vehicle.counters.sent == 3 * 560


def test_run_ends_when_stopped(bench: Bench) -> None:
    async def stopped() -> None:
        asyncio.get_running_loop().call_soon(bench.vehicle.stop)
        await bench.vehicle.run()

    asyncio.run(asyncio.wait_for(stopped(), 20))


class RefusingBus(can.BusABC):
    """Refuses while told to, as a transmit queue that is full."""

    def __init__(self) -> None:
        super().__init__("none")
        self.full = False
        self.taken = 0
        self._is_shutdown = True  # nothing to shut down

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        if self.full:
            raise can.CanOperationError("no buffer space")
        self.taken += 1


def test_a_bus_that_refuses_is_counted_and_the_car_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    bus = RefusingBus()
    vehicle = Vehicle(bus=bus, clock=Clock(), car=Car("ev", URBAN), frames=load_frames(reference_dbc()))
    for now in range(1000):
        bus.full = 300 <= now < 600
        vehicle.poll(now)
    assert vehicle.counters.sent == bus.taken
    assert vehicle.counters.refused == pytest.approx(0.3 * 560, abs=20)
    assert len(caplog.records) == 2  # once when it began, once when it was over


def test_a_bus_that_cannot_be_opened_says_why_and_what_to_do() -> None:
    with pytest.raises(BusError, match=r"cannot be opened: .*; bring it up first: ip link set nocan9 up"):
        open_bus("socketcan", "nocan9")
    with pytest.raises(BusError, match=r"no such interface; there are: .*socketcan.*virtual"):
        open_bus("socketcam", "can0")


def test_only_buses_without_real_control_units_can_be_scaled() -> None:
    assert can_be_scaled("virtual", "a")
    assert can_be_scaled("udp_multicast", "239.74.163.2")
    assert can_be_scaled("socketcan", "vcan0")
    assert not can_be_scaled("socketcan", "can0")
    assert not can_be_scaled("pcan", "PCAN_USBBUS1")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bench.cli", "vehicle", *arguments]


def test_the_command_prints_truth_follows_stdin_and_ends_on_sigterm() -> None:
    arguments = command("--interface", "virtual", "--channel", "x", "--speed", "10", "--print")
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["signals"]["BMS_Alarms.SocHigh"] == 0
        process.stdin.write("alarm soc_high on\nfly\n")
        process.stdin.flush()
        assert any(json.loads(line)["signals"]["BMS_Alarms.SocHigh"] == 1 for line in process.stdout)
        process.send_signal(signal.SIGTERM)
        process.stdin.close()
        rest, errors = process.stdout.read(), process.stderr.read()
    assert process.returncode == 0
    assert all(json.loads(line) for line in rest.splitlines())
    assert "'fly' is not a control" in errors


def test_the_command_ends_after_its_seconds_of_the_cars_time() -> None:
    arguments = command(
        "--interface", "virtual", "--speed", "20", "--seconds", "5", "--variant", "fuel_cell", "--print"
    )
    done = subprocess.run(arguments, input="", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    last = json.loads(done.stdout.splitlines()[-1])["signals"]
    assert last["FCU_Status.StackVoltage"] > 200
    assert last["ESC_Speed.VehicleSpeed"] > 5


def test_the_command_lists_the_alarms() -> None:
    done = subprocess.run(command("--list-alarms"), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 22  # of the electric car
    assert "soc_low\tBMS_Alarms.SocLow\t0a7d00" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["--interface", "socketcam"], 2, "--interface socketcam: does not exist; there are:"),
        (["--speed", "0"], 2, r"--speed 0: is not in 0.1..30"),
        (["--speed", "2", "--interface", "socketcan", "--channel", "can0"], 2, "a real bus runs in real time"),
        (["--seconds", "0"], 2, "--seconds 0: must be more than 0"),
        (["--cycle", "nowhere.csv"], 2, "--cycle: drive cycle nowhere.csv: cannot be read"),
        (["--variant", "diesel"], 2, "invalid choice: 'diesel'"),
        (["--interface", "socketcan", "--channel", "nocan9"], 1, "CAN bus socketcan:nocan9: cannot be opened"),
    ],
)
def test_wrong_use_and_failure_have_their_exit_codes(arguments: list[str], code: int, reason: str) -> None:
    done = subprocess.run(command(*arguments), input="", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
