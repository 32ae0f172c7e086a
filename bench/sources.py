"""What feeds the high-voltage bus beside the battery: range extender, fuel cell, supercapacitor, charger.

Power is positive into the bus, in W. Every source ramps: nothing jumps between two frames.
"""

from typing import Protocol

__all__ = ["CAPACITOR_CELLS", "COOLANT_PROBES", "Charger", "Engine", "FuelCell", "Source", "Supercapacitor", "ramp"]

PETROL_L_PER_KWH = 0.29
TANK_L = 40.0
HYDROGEN_KG_PER_KWH = 0.058
TANK_KG = 5.6
TANK_PRESSURE_MPA = 70.0
COOLANT_PROBES = 8
CAPACITOR_CELLS = 18
TRIP_START_KM = 8.0  # the trip's averages begin with what was driven before, so that they are never a division by zero


def ramp(value: float, target: float, step: float) -> float:
    """One step from `value` towards `target`."""
    return min(target, value + step) if target > value else max(target, value - step)


class Source(Protocol):
    """A generator that the drive switches on and off."""

    power: float

    @property
    def running(self) -> bool:
        """Whether it works now."""

    def step(self, wanted: bool, motor_power_w: float, speed: float, ambient_c: float, dt: float) -> None:
        """Run for `dt` seconds; `motor_power_w` is what the drive takes, `speed` in m/s without direction."""


class Engine:
    """Range extender: petrol engine and generator. Runs above 25 km/h, stops below 12 km/h."""

    def __init__(self) -> None:
        self.power = 0.0
        self.speed_rpm = 0.0
        self.fuel_rate_l_per_h = 0.0
        self.coolant_c = 24.0
        self.fuel_l = 27.0
        self._wanted = False
        self._trip_km = TRIP_START_KM
        self._trip_l = TRIP_START_KM * 0.052

    @property
    def running(self) -> bool:
        """Whether the crankshaft turns."""
        return self.speed_rpm > 0

    @property
    def consumption(self) -> float:
        """Average of the trip in L/100 km."""
        return self._trip_l / self._trip_km * 100

    @property
    def fuel_level(self) -> float:
        """Fuel left in %."""
        return self.fuel_l / TANK_L * 100

    def step(self, wanted: bool, motor_power_w: float, speed: float, ambient_c: float, dt: float) -> None:
        """Run for `dt` seconds, see `Source`."""
        self._wanted = wanted and self.fuel_l > 0.5 and (speed > 7 or (self._wanted and speed > 3.4))
        target = 9000 + 0.4 * min(max(motor_power_w, 0.0), 40e3) if self._wanted else 0.0
        if self.speed_rpm < 1200:  # only a turning engine carries load
            target = 0.0
        self.power = ramp(self.power, target, 12e3 * dt)
        turning = self._wanted or self.power > 0
        self.speed_rpm = ramp(self.speed_rpm, 1300 + self.power * 0.07 if turning else 0.0, 1800 * dt)
        self.fuel_rate_l_per_h = self.power / 1000 * PETROL_L_PER_KWH + (0.5 if self.running else 0.0)
        burnt = self.fuel_rate_l_per_h / 3600 * dt
        self.fuel_l -= burnt
        self._trip_l += burnt
        self._trip_km += speed * dt / 1000
        self.coolant_c += ((92 if self.running else ambient_c) - self.coolant_c) * dt / 300


class FuelCell:
    """Stack, tank and DC/DC. Runs while the car is ready to drive."""

    def __init__(self) -> None:
        self.power = 0.0
        self.voltage = 0.0
        self.current = 0.0
        self.coolant_c = 24.0
        self.tank_c = 22.0
        self.dcdc_c = 26.0
        self.hydrogen_kg = 4.1
        self._on = False
        self._mean_power = 8e3
        self._trip_km = TRIP_START_KM
        self._trip_kg = TRIP_START_KM * 0.0095

    @property
    def running(self) -> bool:
        """Whether the stack delivers."""
        return self._on

    @property
    def consumption(self) -> float:
        """Average of the trip in kg/100 km."""
        return self._trip_kg / self._trip_km * 100

    @property
    def remaining(self) -> float:
        """Hydrogen left in %."""
        return self.hydrogen_kg / TANK_KG * 100

    @property
    def pressure_mpa(self) -> float:
        """Tank pressure, ideal gas."""
        return TANK_PRESSURE_MPA * self.hydrogen_kg / TANK_KG * (self.tank_c + 273) / 288

    @property
    def leak_mg_per_kg(self) -> float:
        """Hydrogen in the air beside the stack: a trace that grows with the load."""
        return 3.0 + self.power / 4000

    @property
    def hydrogen_inlet_kpa(self) -> float:
        """Pressure of the hydrogen at the stack above the atmosphere; more gas at more load."""
        return (40 + 80 * self.power / 30e3) if self._on else 0.0

    @property
    def air_inlet_kpa(self) -> float:
        """Pressure of the air behind the compressor above the atmosphere."""
        return (8 + 90 * self.power / 30e3) if self._on else 0.0

    @property
    def air_inlet_c(self) -> float:
        """Temperature of the air behind the intercooler."""
        return 0.5 * (self.coolant_c + self.tank_c) + 12 * self.power / 30e3

    def coolant(self, index: int) -> float:
        """Temperature in degC of coolant probe 0..7 along the stack."""
        return self.coolant_c + 0.6 * index * self.power / 30e3

    def step(self, wanted: bool, motor_power_w: float, speed: float, ambient_c: float, dt: float) -> None:
        """Run for `dt` seconds, see `Source`."""
        wanted = wanted and self.hydrogen_kg > 0.1
        self._mean_power += (max(motor_power_w, 0.0) - self._mean_power) * dt / 20
        loaded = wanted and self.voltage > 200  # only a stack with its gases carries load
        target = min(5e3 + 0.6 * self._mean_power, 30e3) if loaded else 0.0
        self.power = ramp(self.power, target, (3e3 if loaded else 15e3) * dt)
        self._on = wanted or self.power > 0
        # Polarisation: 300 V without load, 215 V at full load.
        self.voltage = ramp(self.voltage, 300 - 85 * self.power / 30e3 if self._on else 0.0, 100 * dt)
        self.current = self.power / 0.96 / self.voltage if self.voltage > 150 else 0.0
        used = self.power / 3.6e6 * HYDROGEN_KG_PER_KWH * dt
        self.hydrogen_kg -= used
        self._trip_kg += used
        self._trip_km += speed * dt / 1000
        self.coolant_c += ((68 if self._on else ambient_c) - self.coolant_c) * dt / 240
        self.tank_c += (ambient_c - 4 * self.power / 30e3 - self.tank_c) * dt / 600
        self.dcdc_c += (ambient_c + 30 * self.power / 30e3 - self.dcdc_c) * dt / 120


class Supercapacitor:
    """A 48 V module of 18 cells behind a converter: takes and gives the peaks of the drive, and drifts back to its middle."""

    FARAD = 165.0
    LOWEST_V, MIDDLE_V, HIGHEST_V = 26.0, 38.0, 46.0
    MOST_W = 6e3

    def __init__(self) -> None:
        self.power = 0.0
        self.voltage = self.MIDDLE_V
        self.temperature = 24.0
        self._mean_power = 0.0

    @property
    def running(self) -> bool:
        """Whether its converter works."""
        return self.power != 0

    @property
    def current(self) -> float:
        """In A, out of the module positive."""
        return self.power / self.voltage

    def cell(self, index: int) -> float:
        """Voltage in V of cell 0..17; balanced to a few mV."""
        return self.voltage / CAPACITOR_CELLS + 0.002 * (index * 7 % CAPACITOR_CELLS - (CAPACITOR_CELLS - 1) / 2) / 9

    def probe(self, index: int) -> float:
        """Temperature in degC of probe 0..3."""
        return self.temperature + 0.5 * index

    def step(self, wanted: bool, motor_power_w: float, _speed: float, ambient_c: float, dt: float) -> None:
        """Run for `dt` seconds, see `Source`."""
        self._mean_power += (motor_power_w - self._mean_power) * dt / 5
        target = 0.0
        if wanted:
            target = 0.3 * (motor_power_w - self._mean_power) + 60 * (self.voltage - self.MIDDLE_V)
            target = min(max(target, -self.MOST_W), self.MOST_W)
            if (target > 0 and self.voltage < self.LOWEST_V) or (target < 0 and self.voltage > self.HIGHEST_V):
                target = 0.0
        self.power = ramp(self.power, target, 15e3 * dt)
        self.voltage -= self.power / self.voltage / self.FARAD * dt
        self.temperature += (ambient_c + 1 + 0.004 * self.current**2 / 10 - self.temperature) * dt / 300


class Charger:
    """AC (on-board, 6.6 kW) or DC (station, 60 kW, less above 70 %) charging."""

    AC_GRID_W = 6600.0
    DC_W = 60e3
    FULL = 0.995

    def __init__(self) -> None:
        self.power = 0.0
        self.plug = "none"
        self.complete = False
        self.temperature = 24.0

    def step(self, plug: str, soc: float, ambient_c: float, dt: float) -> None:
        """Charge through `plug` ("none", "ac", "dc") for `dt` seconds."""
        self.plug = plug
        if plug == "none":
            self.power, self.complete = 0.0, False  # the contactor opens
        else:
            self.complete = self.complete or soc >= self.FULL
            target = self.AC_GRID_W * 0.93 if plug == "ac" else self.DC_W * min(1.0, max(0.12, (1.0 - soc) / 0.3))
            self.power = ramp(self.power, 0.0 if self.complete else target, self.DC_W / 4 * dt)
        self.temperature += (ambient_c + 18 * min(self.power / self.AC_GRID_W, 1.5) - self.temperature) * dt / 180
