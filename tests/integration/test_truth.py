"""What the platform would read against what the car knows: bus, decoding, sampling and coding in one line."""

import can
import pytest

from agent.clock import Clock
from agent.config import dbc_folder
from agent.core.edition2025 import EDITION as EDITION_2025
from agent.core.frames import EXTENDED, LatestFrames
from agent.core.packet import COMMAND, PLAIN, Packet, build_packet, time_bytes
from agent.core.report import encode_report
from agent.core.sampler import Sampler
from agent.packetjson import packet_to_json
from agent.signalmap import load_mapping
from bench.cycles import URBAN
from bench.frames import load_frames, reference_dbc
from bench.physics import Car
from bench.vehicle import Vehicle

START_S = 1_700_000_000
VARIANTS = ("ev", "hybrid", "fuel_cell")


class Drive:
    """A car on a virtual bus, its time moved by hand, and the agent's path from frame to packet."""

    def __init__(self, variant, seed=1, edition="2016"):
        self.sender = can.Bus(f"truth-{variant}-{seed}", "virtual")
        self.receiver = can.Bus(f"truth-{variant}-{seed}", "virtual")
        self.car = Vehicle(
            bus=self.sender, clock=Clock(), car=Car(variant, URBAN, seed), frames=load_frames(reference_dbc())
        )
        mapping = load_mapping(dbc_folder() / f"reference_{variant}.toml", edition)
        self.edition = mapping.edition
        self.latest = LatestFrames(mapping.plan)
        self.sampler = Sampler(mapping.plan)
        self.now = 0

    def run(self, ms):
        end = self.now + ms
        while self.now < end:
            self.now = min(end, max(self.now + 1, self.car.poll(self.now)))
            while (message := self.receiver.recv(0)) is not None:
                can_id = message.arbitration_id | (EXTENDED if message.is_extended_id else 0)
                self.latest.keep(0, can_id, bytes(message.data), self.now)

    def bodies(self):
        parts = encode_report(self.edition, self.sampler.sample(self.latest, self.now))
        assert len(parts) == 1
        unit = time_bytes(START_S) + parts[0]
        packet = build_packet(self.edition.start, 2, COMMAND, b"LTBXTEST100000001", PLAIN, unit)
        return {
            body["body"]: body for body in packet_to_json(Packet(packet), {self.edition.name: self.edition})["bodies"]
        }

    def close(self):
        self.sender.shutdown()
        self.receiver.shutdown()


@pytest.fixture(params=VARIANTS)
def drive(request):
    made = Drive(request.param)
    yield made
    made.close()


@pytest.fixture(params=VARIANTS)
def drive_2025(request):
    made = Drive(request.param, edition="2025")
    yield made
    made.close()


@pytest.fixture
def ev():
    made = Drive("ev")
    yield made
    made.close()


def empty_values(value, path=""):
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in empty_values(item, f"{path}.{key}")]
    if isinstance(value, list):
        return [found for item in value for found in empty_values(item, path + "[]")]
    return [path] if value is None or value == "abnormal" else []


def test_the_first_half_second_fills_every_item(drive):
    drive.run(500)
    bodies = drive.bodies()
    assert empty_values(bodies) == []
    assert len(bodies["storage_voltages"]["subsystems"][0]["cells"]) == 96
    assert len(bodies["storage_temperatures"]["subsystems"][0]["probes"]) == 32
    assert len(bodies["drive_motors"]["motors"]) == 2


def test_every_value_is_the_cars_own(ev):
    """Over the whole cycle, against the car's physical values; tolerance: half a count and what changed since the frame."""
    for _ in range(30):
        ev.run(10_000)
        truth, bodies = ev.car.truth(), ev.bodies()
        vehicle = bodies["vehicle"]
        assert vehicle["speed"] == pytest.approx(truth["ESC_Speed.VehicleSpeed"], abs=0.3)
        assert vehicle["odometer"] == pytest.approx(truth["ICM_Odometer.Odometer"], abs=0.11)
        assert vehicle["total_voltage"] == pytest.approx(truth["BMS_Status.PackVoltage"], abs=0.6)
        assert vehicle["total_current"] == pytest.approx(-truth["BMS_Status.PackCurrent"], abs=3)
        assert vehicle["soc"] == pytest.approx(truth["BMS_Soc.Soc"], abs=0.6)
        assert vehicle["accelerator"] == pytest.approx(truth["VCU_Drive.Accelerator"], abs=1.5)
        assert bodies["position"]["longitude"] == pytest.approx(truth["GNSS_Position.Longitude"], abs=1e-4)
        assert bodies["position"]["latitude"] == pytest.approx(truth["GNSS_Position.Latitude"], abs=1e-4)
        for number, motor in enumerate(bodies["drive_motors"]["motors"], start=1):
            assert motor["speed"] == pytest.approx(truth[f"MCU{number}_Status.Speed"], abs=30)
            assert motor["torque"] == pytest.approx(truth[f"MCU{number}_Status.Torque"], abs=5)
            fahrenheit = truth[f"MCU{number}_Power.MotorTemperature"]
            assert motor["temperature"] == pytest.approx((fahrenheit - 32) / 1.8, abs=0.8)
        cells = bodies["storage_voltages"]["subsystems"][0]["cells"]
        for number, cell in enumerate(cells, start=1):
            assert cell == pytest.approx(truth[f"BMS_Cells.Cell{number}"], abs=0.02)


def test_a_packet_agrees_with_itself(drive):
    """The first thing platforms complain about: extremes that are not those of the lists, voltages that do not add up."""
    for _ in range(20):
        drive.run(7_000)
        bodies = drive.bodies()
        pack = bodies["storage_voltages"]["subsystems"][0]
        probes = bodies["storage_temperatures"]["subsystems"][0]["probes"]
        cells, extremes, vehicle = pack["cells"], bodies["extremes"], bodies["vehicle"]
        assert (extremes["max_cell_voltage"], extremes["max_voltage_cell"]) == (max(cells), cells.index(max(cells)) + 1)
        assert (extremes["min_cell_voltage"], extremes["min_voltage_cell"]) == (min(cells), cells.index(min(cells)) + 1)
        assert (extremes["max_temperature"], extremes["min_temperature"]) == (max(probes), min(probes))
        assert extremes["max_temperature_probe"] == probes.index(max(probes)) + 1
        assert sum(cells) == pytest.approx(vehicle["total_voltage"], rel=0.02)
        assert (pack["voltage"], pack["current"]) == (vehicle["total_voltage"], vehicle["total_current"])


def test_a_silent_message_makes_its_items_invalid_and_no_others(ev):
    ev.run(2_000)
    ev.car.drop("BMS_Status")
    ev.run(1_500)
    assert set(empty_values(ev.bodies())) == {
        ".vehicle.charging_state",
        ".vehicle.total_voltage",
        ".vehicle.total_current",
        ".storage_voltages.subsystems[].voltage",
        ".storage_voltages.subsystems[].current",
    }
    ev.car.drop("BMS_Status", on=False)
    ev.run(500)
    assert empty_values(ev.bodies()) == []


def test_a_silent_bus_leaves_nothing_that_could_pass_for_a_value(ev):
    ev.run(2_000)
    before = ev.bodies()["position"]
    ev.car.silence(True)
    ev.run(40_000)
    bodies = ev.bodies()
    vehicle = bodies["vehicle"]
    gear = vehicle.pop("gear")
    assert gear == {"gear": "N", "driving_force": False, "braking_force": False}  # 2016 has no invalid gear
    assert {key for key, value in vehicle.items() if value is not None} == {"body"}
    assert set(bodies["storage_voltages"]["subsystems"][0]["cells"]) == {None}
    assert set(bodies["storage_temperatures"]["subsystems"][0]["probes"]) == {None}
    # No fix: the last valid place, marked as such; no alarm source: level invalid, flags 0.
    position = bodies["position"]
    assert (position["valid"], position["longitude"]) == (False, before["longitude"])
    assert (bodies["alarms"]["level"], bodies["alarms"]["flags"]) == (None, [])


@pytest.mark.parametrize("name", ["soc_low", "insulation", "motor_temperature", "storage_overcharge"])
def test_an_alarm_of_the_car_is_a_flag_a_level_and_a_code(ev, name):
    ev.run(1_000)
    assert ev.bodies()["alarms"]["flags"] == []
    ev.car.alarm(name, True)
    ev.run(1_000)
    alarms = ev.bodies()["alarms"]
    assert alarms["flags"] == [name]
    assert alarms["level"] >= 1
    lists = ("storage_faults", "motor_faults", "engine_faults", "other_faults")
    assert sum(len(alarms[faults]) for faults in lists) == 1
    ev.car.alarm(name, False)
    ev.run(1_000)
    assert ev.bodies()["alarms"]["level"] == 0


def test_2025_the_first_half_second_fills_every_item(drive_2025):
    drive_2025.run(500)
    bodies = drive_2025.bodies()
    assert empty_values(bodies) == []
    assert bodies["position"]["coordinate_system"] == "wgs84"
    assert bodies["vehicle"]["gear"]["invalid"] is False
    pack = bodies["unit_voltages"]["packs"][0]
    assert (pack["number"], len(pack["cells"])) == (1, 96)
    assert len(bodies["battery_temperatures"]["packs"][0]["probes"]) == 32


def test_2025_every_body_is_sent_by_one_of_the_cars():
    sent = set()
    for variant in VARIANTS:
        made = Drive(variant, edition="2025")
        made.run(500)
        sent |= set(made.bodies())
        made.close()
    assert sent == set(EDITION_2025.body_types) | {"user"}


def test_2025_a_packet_agrees_with_itself_and_with_the_car(drive_2025):
    for _ in range(8):
        drive_2025.run(7_000)
        truth, bodies = drive_2025.car.truth(), drive_2025.bodies()
        vehicle, pack = bodies["vehicle"], bodies["unit_voltages"]["packs"][0]
        assert (pack["voltage"], pack["current"]) == (vehicle["total_voltage"], vehicle["total_current"])
        assert vehicle["total_current"] == pytest.approx(-truth["BMS_Status.PackCurrent"], abs=3)
        assert sum(pack["cells"]) == pytest.approx(vehicle["total_voltage"], rel=0.02)
        for number, motor in enumerate(bodies["drive_motors"]["motors"], start=1):
            assert motor["speed"] == pytest.approx(truth[f"MCU{number}_Status.Speed"], abs=30)
            assert motor["torque"] == pytest.approx(truth[f"MCU{number}_Status.Torque"], abs=5)
        if "supercapacitor" in bodies:
            module, extremes = bodies["supercapacitor"], bodies["supercapacitor_extremes"]
            assert sum(module["cells"]) == pytest.approx(module["voltage"], abs=0.5)
            assert extremes["max_cell_voltage"] == max(module["cells"])
            assert extremes["min_voltage_cell"] == module["cells"].index(min(module["cells"])) + 1
            assert (extremes["max_temperature_system"], extremes["max_temperature"]) == (1, max(module["probes"]))
        if "hydrogen" in bodies:
            stack, hydrogen = bodies["fuel_cell_stacks"]["stacks"][0], bodies["hydrogen"]
            assert stack["voltage"] == pytest.approx(truth["FCU_Status.StackVoltage"], abs=3)
            assert stack["air_inlet_pressure"] == pytest.approx(truth["FCU_Stack.AirInletPressure"], abs=1)
            by_volume = truth["FCU_Hydrogen.MaxConcentration"] * 28.97 / 2.016 / 10_000
            assert hydrogen["max_hydrogen_concentration"] == pytest.approx(by_volume, abs=1.5e-3)
            assert hydrogen["remaining_hydrogen"] == pytest.approx(truth["FCU_Tank.RemainingHydrogen"], abs=0.6)


def test_2025_a_silent_bus_says_invalid_where_2016_could_not():
    made = Drive("ev", edition="2025")
    made.run(2_000)
    made.car.silence(True)
    made.run(40_000)
    bodies = made.bodies()
    made.close()
    assert bodies["vehicle"]["gear"] == {"gear": "N", "driving_force": False, "braking_force": False, "invalid": True}
    assert bodies["vehicle"]["insulation_resistance"] is None
    assert (bodies["alarms"]["level"], bodies["alarms"]["general_levels"]) == (None, [])


@pytest.mark.parametrize(
    ("variant", "name", "level", "bit"),
    [
        ("ev", "thermal_event", 4, 23),
        ("ev", "motor_overspeed", 2, 19),
        ("hybrid", "supercapacitor_voltage_high", 2, 22),
        ("fuel_cell", "hydrogen_leak", 3, 24),
        ("fuel_cell", "fuel_cell_stack_temperature", 2, 27),
    ],
)
def test_2025_alarms_have_flags_of_their_own_and_levels(variant, name, level, bit):
    for edition, flags in (("2025", [name]), ("2016", [])):
        made = Drive(variant, edition=edition)
        made.run(500)
        made.car.alarm(name, True)
        made.run(1_000)
        alarms = made.bodies()["alarms"]
        made.close()
        assert alarms["flags"] == flags
        assert alarms.get("general_levels", []) == [{"bit": bit, "level": level} for _ in flags if edition == "2025"]
        assert alarms["level"] == (level if flags else 0)


def test_the_makers_own_body_holds_what_the_car_knows():
    made = Drive("hybrid")
    made.run(9_000)
    truth, user = made.car.truth(), made.bodies()["user"]
    made.close()
    assert user["type"] == 0x83
    assert user["supply_voltage"] == pytest.approx(truth["BCM_Ignition.SupplyVoltage"], abs=0.06)
    assert user["ambient_temperature"] == round(truth["ICM_Odometer.AmbientTemperature"])
    assert user["battery_health"] == pytest.approx(truth["BMS_Soc.Soh"], abs=0.26)
    assert user["wheel_torque"] == pytest.approx(truth["VCU_Drive.TorqueRequest"], abs=40)
    assert user["charger_power"] == 0
