"""The car is consistent with itself at every moment, whatever seed, variant and controls."""

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.battery import CELLS, PROBES
from bench.cycles import URBAN, Cycle, CycleError, load_cycle
from bench.physics import STEP_MS, VARIANTS, WHEEL_RADIUS_M, Car
from bench.sources import CAPACITOR_CELLS

STEPS_PER_S = 1000 // STEP_MS

controls = st.lists(
    st.tuples(st.integers(1, 30), st.sampled_from(["ac", "dc", "off", "ignition on", "ignition off"])), max_size=4
)


def driven(car: Car, seconds: float) -> Car:
    for _ in range(round(seconds * STEPS_PER_S)):
        car.step()
    return car


def control(car: Car, text: str) -> None:
    if text.startswith("ignition"):
        car.controls.ignition = text.endswith("on")
    else:
        car.controls.charge = text


def metres_between(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    """Great circle on a sphere."""
    latitude_1, longitude_1, latitude_2, longitude_2 = (math.radians(x) for x in (*one[:2], *other[:2]))
    half = math.sin((latitude_2 - latitude_1) / 2) ** 2
    half += math.cos(latitude_1) * math.cos(latitude_2) * math.sin((longitude_2 - longitude_1) / 2) ** 2
    return 2 * 6_371_000 * math.asin(math.sqrt(half))


def check_moment(car: Car) -> None:
    cells = [car.battery.cell(index) for index in range(CELLS)]
    assert sum(cells) == pytest.approx(car.battery.voltage, rel=1e-9)
    assert 2.5 < min(cells) <= max(cells) < 4.3
    assert 0 <= car.battery.soc <= 1
    assert min(car.battery.probe(index) for index in range(PROBES)) > 15
    assert abs(car.battery.current) < 450
    assert car.speed * car.direction >= 0
    for motor in car.motors:
        turns = car.speed / (2 * math.pi * WHEEL_RADIUS_M) * motor.ratio * 60
        assert motor.speed == pytest.approx(turns)
        assert abs(motor.torque) <= motor.max_torque * 1.01
        assert motor.temperature < 150
    assert 0 <= car.accelerator <= 100
    assert 0 <= car.brake <= 100
    assert not (car.accelerator and car.brake)
    if car.supercapacitor is not None:
        module = car.supercapacitor
        assert 20 < module.voltage < 48.6
        assert sum(module.cell(index) for index in range(CAPACITOR_CELLS)) == pytest.approx(module.voltage, rel=1e-9)
        assert abs(module.current) < 250
        assert 20 < module.probe(0) <= module.probe(3) < 80
    if not car.ready:
        assert car.speed == 0
        assert car.accelerator == 0
    if not car.high_voltage:
        assert car.battery.current == 0
    if car.charge_state == "parked":
        assert car.speed == 0
        assert car.battery.current < 0
    if car.charge_state == "driving":
        assert car.generating
        assert car.battery.current < 0
    if car.fuel_cell is not None:
        stack = car.fuel_cell
        assert stack.voltage * stack.current * 0.96 == pytest.approx(stack.power, rel=0.02, abs=1)
        assert 0 < stack.remaining <= 100
        assert 0 < stack.pressure_mpa <= 100


@settings(max_examples=12)
@given(seed=st.integers(0, 10**9), variant=st.sampled_from(VARIANTS), script=controls)
def test_every_moment_agrees_with_itself(seed: int, variant: str, script: list[tuple[int, str]]) -> None:
    car = Car(variant, URBAN, seed)
    for seconds, text in [*script, (20, "off")]:
        for _ in range(seconds):
            driven(car, 1)
            check_moment(car)
        control(car, text)


@settings(max_examples=6)
@given(seed=st.integers(0, 10**9), variant=st.sampled_from(VARIANTS))
def test_what_is_integrated_agrees_over_a_whole_cycle(seed: int, variant: str) -> None:
    car = Car(variant, URBAN, seed)
    charge = car.battery.soc * car.battery.capacity_as
    odometer, place, way, track = car.odometer, car.position, 0.0, 0.0
    for step in range(URBAN.duration_s * STEPS_PER_S):
        before = car.odometer
        car.step()
        assert car.odometer >= before
        way += abs(car.speed) * STEP_MS / 1000
        charge -= car.battery.current * STEP_MS / 1000
        if step % STEPS_PER_S == 0:
            track += metres_between(place, car.position)
            place = car.position
    assert car.odometer - odometer == pytest.approx(way)
    assert car.battery.soc * car.battery.capacity_as == pytest.approx(charge)
    assert track == pytest.approx(way, rel=0.01)
    assert way > 2000


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_sample_of_pages_320_ms_old_still_sums_to_the_pack_voltage(variant: str) -> None:
    car = Car(variant, URBAN, 1)
    voltages: list[float] = []
    for _ in range(URBAN.duration_s * STEPS_PER_S):
        car.step()
        voltages.append(car.battery.voltage)
    apart = [abs(new - old) / new for old, new in zip(voltages, voltages[320 // STEP_MS :], strict=False)]
    assert max(apart) < 0.01


def test_the_state_is_a_function_of_seed_and_steps() -> None:
    one, same, other = (driven(Car("hybrid", URBAN, seed), 60) for seed in (7, 7, 8))
    assert (one.speed, one.battery.voltage, one.insulation, one.position, one.odometer) == (
        same.speed, same.battery.voltage, same.insulation, same.position, same.odometer,
    )  # fmt: skip
    assert one.battery.voltage != other.battery.voltage
    assert one.odometer != other.odometer


def test_the_car_pulls_away_within_three_seconds() -> None:
    assert driven(Car("ev", URBAN, 1), 3).speed > 0.5


def test_the_urban_cycle_goes_forwards_backwards_and_rests() -> None:
    car = Car("ev", URBAN, 1)
    speeds = [driven(car, 1).speed * 3.6 for _ in range(URBAN.duration_s)]
    assert max(speeds) == pytest.approx(68, abs=1)
    assert min(speeds) == pytest.approx(-4, abs=0.5)
    assert speeds.count(0) > 20


def test_the_driver_follows_the_cycle() -> None:
    car = Car("ev", URBAN, 1)
    for second in range(1, URBAN.duration_s):
        driven(car, 1)
        assert car.speed == pytest.approx(URBAN.target(second), abs=1.0)


def test_braking_gives_energy_back_and_driving_takes_it() -> None:
    car = Car("ev", URBAN, 1)
    for _ in range(URBAN.duration_s * STEPS_PER_S):
        car.step()
        if car.acceleration > 0.5 and car.speed > 5:
            assert car.battery.current > 0
        if car.acceleration < -0.7 and car.speed > 5:
            assert car.battery.current < 0


@pytest.mark.parametrize(("plug", "low_a", "high_a"), [("ac", -17, -13), ("dc", -170, -80)])
def test_charging_stops_the_car_first_and_ends_complete(plug: str, low_a: float, high_a: float) -> None:
    car = driven(Car("ev", URBAN, 1), 60)
    assert car.speed > 10
    car.controls.charge = plug
    driven(car, 0.5)
    assert car.charge_state == "not_charging"
    driven(car, 30)
    assert car.charge_state == "parked"
    assert car.speed == 0
    assert low_a < car.battery.current < high_a
    before = car.battery.soc
    driven(car, 10)
    assert car.battery.soc > before
    car.battery.soc = 0.996
    driven(car, 15)
    assert car.charge_state == "complete"
    car.controls.charge = "off"
    driven(car, 30)
    assert car.charge_state == "not_charging"
    assert car.speed > 0


def test_a_switched_off_car_stops_before_it_is_off_and_keeps_its_place_in_the_cycle() -> None:
    car = driven(Car("ev", URBAN, 1), 60)
    car.controls.ignition = False
    driven(car, 1)
    assert car.ready
    assert car.speed > 5
    driven(car, 20)
    assert not car.ready
    assert (car.speed, car.direction, car.battery.current) == (0, 0, 0)
    odometer = car.odometer
    driven(car, 10)
    assert car.odometer == odometer
    car.controls.ignition = True
    assert driven(car, 10).speed > 5


def test_a_low_battery_sends_the_driver_to_a_station() -> None:
    car = driven(Car("ev", URBAN, 1), 20)
    car.battery.soc = 0.099
    driven(car, 40)
    assert car.charge_state == "parked"
    car.battery.soc = 0.801
    driven(car, 20)
    assert car.speed > 0


def test_the_hybrids_engine_runs_at_speed_and_rests_at_standstill() -> None:
    car = driven(Car("hybrid", URBAN, 1), 30)
    engine = car.engine
    assert engine is not None
    assert engine.running
    assert engine.power > 5000
    assert 4 < engine.consumption < 9
    driven(car, 70)
    assert car.speed == 0
    assert not engine.running


def test_the_fuel_cell_uses_hydrogen() -> None:
    car = Car("fuel_cell", URBAN, 1)
    assert car.fuel_cell is not None
    before = car.fuel_cell.hydrogen_kg
    driven(car, 120)
    assert before - 0.1 < car.fuel_cell.hydrogen_kg < before
    assert 0.5 < car.fuel_cell.consumption < 1.5
    assert 215 <= car.fuel_cell.voltage <= 300


def test_an_insulation_alarm_comes_with_a_low_resistance() -> None:
    car = driven(Car("ev", URBAN, 1), 2)
    assert car.insulation > 1000
    car.controls.alarms.add("insulation")
    assert driven(car, 1).insulation < 100


def test_an_unknown_variant_names_the_allowed_ones() -> None:
    with pytest.raises(ValueError, match="ev, hybrid, fuel_cell"):
        Car("diesel", URBAN)


def test_a_cycle_is_interpolated_and_repeated() -> None:
    cycle = Cycle("ramp", [0, 36, 36, 0])
    assert [cycle.target(t) for t in (0, 0.5, 1, 2.5, 4, 4.5)] == pytest.approx([0, 5, 10, 5, 0, 5])


def test_a_cycle_file_is_read_by_column(tmp_path: Path) -> None:
    file = tmp_path / "cycles.csv"
    file.write_text("s;slow;fast\n0;0;0\n1;10;50\n2;0;\n", encoding="utf-8")
    assert load_cycle(str(file)).duration_s == 3
    fast = load_cycle(f"{file}:fast")
    assert (fast.name, fast.duration_s) == ("cycles.csv:fast", 2)
    assert fast.target(1) == pytest.approx(50 / 3.6)


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("s,v\n0,0\n1,5\n", ":speed", "no column 'speed'; there are: v"),
        ("s,v\n0,0\n1,fast\n", "", "line 3: 'fast' is not a speed"),
        ("s,v\n0,0\n1,400\n", "", "line 3: '400' is not a speed"),
        ("s,v\n0,0\n1,nan\n", "", "line 3: 'nan' is not a speed"),
        ("s,v\n0,0\n", "", "holds 1 values"),
        ("7\n", "", "needs a header line"),
        ("", "", "needs a header line"),
    ],
)
def test_a_faulty_cycle_file_says_what_is_wrong(tmp_path: Path, text: str, column: str, reason: str) -> None:
    file = tmp_path / "cycle.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CycleError, match=reason):
        load_cycle(f"{file}{column}")


def test_a_missing_cycle_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CycleError, match=r"none\.csv: cannot be read"):
        load_cycle(str(tmp_path / "none.csv"))


def test_the_wltc_is_driven_as_long_as_it_is(tbox_data: Path) -> None:
    cycle = load_cycle(f"{tbox_data}/drive_cycles/emobpy_driving_cycles.csv:WLTC_3b_full")
    assert cycle.duration_s == 1801
    car = Car("ev", cycle, 1)
    start = car.odometer
    fastest = max(abs(driven(car, 1).speed) for _ in range(1801))
    assert (car.odometer - start) / 1000 == pytest.approx(23.262, rel=0.01)
    assert fastest * 3.6 == pytest.approx(131.3, abs=1.5)
