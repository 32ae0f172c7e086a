"""Longitudinal model of the reference car: driver, driveline, energy, position.

Everything is a function of the seed, the number of steps and the controls, and never of a clock. SI units inside
(m, s, m/s, N, W, V, A); temperatures in degC. Battery current is positive when it leaves the battery.
"""

import math
import random
from dataclasses import dataclass, field

from bench.battery import Battery
from bench.cycles import Cycle
from bench.sources import Charger, Engine, FuelCell, Supercapacitor, ramp

__all__ = ["CHARGE_PLUGS", "STEP_MS", "VARIANTS", "Car", "Motor"]

STEP_MS = 10
VARIANTS = ("ev", "hybrid", "fuel_cell")
CHARGE_PLUGS = ("off", "ac", "dc")

MASS_KG = 1930.0
DRAG_AREA_M2 = 0.64  # drag coefficient times frontal area
AIR_KG_PER_M3 = 1.2
ROLLING = 0.0095
GRAVITY = 9.81
WHEEL_RADIUS_M = 0.318
AMBIENT_C = 23.0

LOOK_AHEAD_S = 0.6
MAX_JERK = 2.5  # m/s3: an even driver, and no jump of the current between two frames
MAX_ACCELERATION = 2.6
MAX_BRAKING = 3.4
MAX_REGENERATION_N = 3400.0
LOOP_RADIUS_M = 10_000.0  # of the loop that the car drives; see `Car.position`
START_LATITUDE = 39.90
START_LONGITUDE = 116.39
EARTH_RADIUS_M = 6_371_008.8

AUXILIARY_W = 850.0  # heating, cooling, 12 V, while ready or charging
INSULATION_FAULT_KOHM = 35.0
RECHARGE_BELOW = 0.10  # the driver looks for a station by himself
RECHARGE_UP_TO = 0.80
PLUG_IN_S = 1.5  # from standstill to the plug in the inlet


@dataclass
class Motor:
    """One drive motor with its inverter; speed in r/min and torque in N m, forward positive."""

    share: float  # of the wheel force
    ratio: float  # turns of the motor per turn of the wheel
    max_torque: float
    max_power: float
    speed: float = 0.0
    torque: float = 0.0
    power: float = 0.0  # taken from the high-voltage bus
    temperature: float = AMBIENT_C + 4
    inverter_temperature: float = AMBIENT_C + 3

    def max_force(self, speed: float) -> float:
        """Largest force in N at the wheels, at `speed` in m/s without direction."""
        return min(self.max_torque * self.ratio / WHEEL_RADIUS_M, self.max_power / max(speed, 1.0))

    def step(self, force: float, speed: float, ready: bool, dt: float) -> None:
        """Bring `force` in N to the wheels at `speed` in m/s, both with sign."""
        self.speed = speed / (2 * math.pi * WHEEL_RADIUS_M) * 60 * self.ratio
        self.torque = force * WHEEL_RADIUS_M / self.ratio
        mechanical = force * speed
        loss = (0.07 * abs(mechanical) + 0.05 * self.torque**2 + 90.0) if ready else 0.0
        self.power = mechanical + loss
        self.temperature += (0.6 * loss - 22 * (self.temperature - AMBIENT_C - 2)) / 22e3 * dt
        self.inverter_temperature += (0.4 * loss - 20 * (self.inverter_temperature - AMBIENT_C - 1)) / 7e3 * dt


@dataclass
class Controls:
    """What people do with the car, beside driving the cycle."""

    ignition: bool = True
    charge: str = "off"
    alarms: set[str] = field(default_factory=set)


class Car:
    """The state of one car; `step` moves it on by STEP_MS."""

    def __init__(self, variant: str, cycle: Cycle, seed: int = 1) -> None:
        if variant not in VARIANTS:
            raise ValueError(f"variant {variant!r} is not one of {', '.join(VARIANTS)}")
        self._rng = random.Random(seed)
        self.variant = variant
        self.cycle = cycle
        self.controls = Controls()
        self.steps = 0
        self.speed = 0.0
        self.acceleration = 0.0
        self.direction = 0  # gear: 1 D, -1 R, 0 P
        self.odometer = 1000 * round(self._rng.uniform(3000, 60000), 2)
        soc = self._rng.uniform(0.58, 0.84) if variant == "ev" else self._rng.uniform(0.42, 0.56)
        self.battery = Battery(self._rng, soc, AMBIENT_C)
        self.motors = (Motor(0.4, 9.1, 150, 70e3), Motor(0.6, 8.6, 220, 95e3))
        self.charger = Charger()
        self.engine = Engine() if variant == "hybrid" else None
        self.supercapacitor = Supercapacitor() if variant == "hybrid" else None
        self.fuel_cell = FuelCell() if variant == "fuel_cell" else None
        self.wheel_spread = [self._rng.uniform(-0.002, 0.002) for _ in range(4)]
        self.insulation_base = self._rng.uniform(2500, 9000)
        self.insulation = self.insulation_base
        self.wheel_force = 0.0
        self.brake_force = 0.0
        self.auxiliary = 0.0
        self.dcdc_temperature = AMBIENT_C + 3
        self._track = 0.0
        self._cycle_s = 0.0
        self._parked_s = 0.0
        self._own_recharge = False

    @property
    def plug(self) -> str:
        """What is plugged in: "none", "ac" or "dc"."""
        wanted = "dc" if self._own_recharge and self.controls.charge == "off" else self.controls.charge
        if wanted == "off" or self.direction != 0 or self._parked_s < PLUG_IN_S or self.generating:
            return "none"
        return wanted

    @property
    def ready(self) -> bool:
        """Whether the drive can be used: unplugged, and the ignition is on or the car still rolls or generates."""
        return self.plug == "none" and (self.controls.ignition or self.speed != 0 or self.generating)

    @property
    def high_voltage(self) -> bool:
        """Whether the battery's contactors are closed."""
        return self.ready or self.plug != "none"

    @property
    def charge_state(self) -> str:
        """One of "not_charging", "parked", "driving", "complete"."""
        if self.plug != "none":
            if self.charger.complete and self.charger.power == 0:
                return "complete"
            return "parked" if self.battery.current < 0 else "not_charging"
        # Recuperation alone is not charging; a generator that works for the battery is.
        return "driving" if self.generating and self.battery.current < -1.0 else "not_charging"

    @property
    def generating(self) -> bool:
        """Whether the range extender or the fuel cell works."""
        source = self.engine or self.fuel_cell
        return source is not None and source.running

    @property
    def position(self) -> tuple[float, float, float]:
        """Latitude, longitude and heading (from north, clockwise) in degrees.

        The car goes round a loop so large that a track of points seconds apart is as long as the way driven.
        """
        angle = self._track / LOOP_RADIUS_M
        north = LOOP_RADIUS_M * math.sin(angle)
        east = LOOP_RADIUS_M * (1 - math.cos(angle))
        latitude = START_LATITUDE + math.degrees(north / EARTH_RADIUS_M)
        per_degree = math.cos(math.radians(latitude))
        return latitude, START_LONGITUDE + math.degrees(east / EARTH_RADIUS_M) / per_degree, math.degrees(angle) % 360

    @property
    def accelerator(self) -> float:
        """Accelerator pedal in %."""
        forward = self.wheel_force * self.direction
        most = sum(motor.max_force(abs(self.speed)) for motor in self.motors)
        return min(100.0, 100 * forward / most) if forward > 0 else 0.0

    @property
    def brake(self) -> float:
        """Brake pedal in %: lifting the foot alone slows down by 0.5 m/s2; at rest the driver holds the car."""
        if self.direction == 0:
            return 0.0
        if self.speed == 0 and self.acceleration == 0:
            return 20.0
        return min(100.0, max(0.0, (-self.acceleration * self.direction - 0.5) * 16))

    def step(self) -> None:
        """Move on by STEP_MS."""
        dt = STEP_MS / 1000
        self.steps += 1
        self._drive(dt)
        self._supply(dt)
        if self.steps % 100 == 0:
            # Moisture and measurement: a few percent up and down.
            self.insulation_base = min(12000, max(1500, self.insulation_base * (1 + self._rng.uniform(-0.01, 0.01))))
        faulty = "insulation" in self.controls.alarms
        self.insulation = INSULATION_FAULT_KOHM + self.steps // 100 % 7 if faulty else self.insulation_base

    def _drive(self, dt: float) -> None:
        """Follow the cycle: speed, force at the wheels, way."""
        driving = self.controls.ignition and self.controls.charge == "off" and not self._own_recharge
        wanted = 0.0
        if driving and self.ready:
            self._cycle_s += dt
            wanted = self.cycle.target(self._cycle_s + LOOK_AHEAD_S)
        self._shift(wanted, driving, dt)
        self._accelerate(wanted, dt)
        speed = self.speed
        self.odometer += abs(speed) * dt
        self._track += speed * dt
        force = self._force(speed, self.acceleration) if speed or self.acceleration else 0.0
        self.wheel_force = force
        # Against the direction of travel: the motors first, the brakes for the rest; none below walking pace.
        backwards = -force * self.direction
        if backwards > 0:
            by_motors = min(backwards, MAX_REGENERATION_N * min(1.0, abs(speed) / 3))
            by_motors = min(by_motors, 60e3 / max(abs(speed), 1.0))
            by_motors *= min(1.0, max(0.0, (0.99 - self.battery.soc) / 0.05))
            self.brake_force = backwards - by_motors
            force = -by_motors * self.direction
        else:
            self.brake_force = 0.0
        for motor in self.motors:
            motor.step(force * motor.share, speed, self.ready, dt)

    def _shift(self, wanted: float, driving: bool, dt: float) -> None:
        """Gear and parking; only at standstill."""
        if self.speed == 0:
            if not driving:
                self.direction = 0
            elif abs(wanted) > 0.02 and self.ready:
                self.direction = 1 if wanted > 0 else -1
        self._parked_s = self._parked_s + dt if self.direction == 0 else 0.0

    def _accelerate(self, wanted: float, dt: float) -> None:
        """An even driver: proportional to the distance from the wanted speed, with limits on acceleration and jerk."""
        direction = self.direction
        aim = max(0.0, wanted * direction)  # along the gear; the other way means stop first
        speed = self.speed * direction
        if aim < 0.05 and speed < 0.12:
            self.speed = self.acceleration = 0.0
            return
        most = sum(motor.max_force(speed) for motor in self.motors) - self._force(speed, 0.0)
        wish = min(max((aim - speed) / LOOK_AHEAD_S, -MAX_BRAKING), MAX_ACCELERATION, most / MASS_KG)
        along = ramp(self.acceleration * direction, wish, MAX_JERK * dt)
        self.acceleration = along * direction
        self.speed = max(0.0, speed + along * dt) * direction

    @staticmethod
    def _force(speed: float, acceleration: float) -> float:
        """Force in N at the wheels for this speed and acceleration, with sign."""
        drag = 0.5 * AIR_KG_PER_M3 * DRAG_AREA_M2 * speed * abs(speed)
        rolling = MASS_KG * GRAVITY * ROLLING * (math.copysign(1, speed) if speed else 0.0)
        return MASS_KG * 1.04 * acceleration + drag + rolling  # 4 % for what rotates

    def _supply(self, dt: float) -> None:
        """Share the power between battery, generator and charger."""
        motors = sum(motor.power for motor in self.motors)
        power = motors
        speed = abs(self.speed)
        for source in (self.engine, self.fuel_cell, self.supercapacitor):
            if source is not None:
                source.step(self.controls.ignition and self.direction != 0, motors, speed, AMBIENT_C, dt)
                power -= source.power
        self.charger.step(self.plug, self.battery.soc, AMBIENT_C, dt)
        target = AUXILIARY_W + 120 * math.sin(self.steps / 4000) if self.high_voltage else 0.0
        self.auxiliary = ramp(self.auxiliary, target, 1500 * dt) if self.high_voltage else 0.0
        power += self.auxiliary - self.charger.power
        self.battery.step(power if self.high_voltage else 0.0, AMBIENT_C, dt)
        self.dcdc_temperature += (AMBIENT_C + self.auxiliary / 60 - self.dcdc_temperature) * dt / 200
        if self.battery.soc < RECHARGE_BELOW:
            self._own_recharge = True
        elif self.battery.soc > RECHARGE_UP_TO:
            self._own_recharge = False
