"""Traction battery: 96 cells in series behind one current, 32 temperature probes.

Current is positive when it leaves the battery. The sum of the cells is the pack voltage, exactly: what makes cells
differ (open-circuit voltage, resistance) has a mean of zero.
"""

import math
import random
from bisect import bisect_right

__all__ = ["CELLS", "PROBES", "Battery"]

CELLS = 96
PROBES = 32
CAPACITY_AH = 150.0
CELL_RESISTANCE_OHM = 0.0006
HEAT_CAPACITY_J_PER_K = 310e3  # 340 kg of cells
COOLING_W_PER_K = 60.0

# Open-circuit voltage of one cell (nickel manganese cobalt) over the state of charge.
OCV_SOC = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
OCV_V = (3.10, 3.38, 3.47, 3.55, 3.60, 3.64, 3.69, 3.77, 3.87, 3.97, 4.06, 4.17)


def _spread(rng: random.Random, count: int, sigma: float) -> list[float]:
    """Deviations of a production lot: normal, cut at 2.5 sigma, mean exactly zero but for rounding."""
    values = [max(-2.5 * sigma, min(2.5 * sigma, rng.gauss(0, sigma))) for _ in range(count)]
    mean = sum(values) / count
    return [value - mean for value in values]


class Battery:
    """State of charge, voltage and temperature under a power that is asked for."""

    def __init__(self, rng: random.Random, soc: float, ambient_c: float) -> None:
        self.soc = soc
        self.soh = round(rng.uniform(0.93, 0.995), 3)
        self.current = 0.0
        self.temperature = ambient_c + rng.uniform(1.0, 4.0)
        self.capacity_as = CAPACITY_AH * self.soh * 3600
        self._voltage_spread = _spread(rng, CELLS, 0.003)
        self._resistance_spread = _spread(rng, CELLS, CELL_RESISTANCE_OHM * 0.04)
        self._probe_spread = _spread(rng, PROBES, 0.7)
        self._ocv = self._open_circuit()

    def _open_circuit(self) -> float:
        upper = min(max(bisect_right(OCV_SOC, self.soc), 1), len(OCV_SOC) - 1)
        low, high = OCV_SOC[upper - 1], OCV_SOC[upper]
        share = (self.soc - low) / (high - low)
        return OCV_V[upper - 1] + (OCV_V[upper] - OCV_V[upper - 1]) * share

    @property
    def voltage(self) -> float:
        """Pack voltage in V."""
        return CELLS * (self._ocv - self.current * CELL_RESISTANCE_OHM)

    def cell(self, index: int) -> float:
        """Voltage in V of cell 0..95."""
        resistance = CELL_RESISTANCE_OHM + self._resistance_spread[index]
        return self._ocv + self._voltage_spread[index] - self.current * resistance

    def probe(self, index: int) -> float:
        """Temperature in degC of probe 0..31; the middle of the pack is warmer than its ends."""
        middle = 1.5 - abs(index - (PROBES - 1) / 2) / PROBES * 3
        return self.temperature + self._probe_spread[index] + middle

    @property
    def energy_left_kwh(self) -> float:
        """Energy down to an empty battery, at a mean voltage of 355 V."""
        return self.soc * self.capacity_as / 3600 * 0.355

    def step(self, power_w: float, ambient_c: float, dt: float) -> None:
        """Deliver `power_w` (negative: take it in) for `dt` seconds."""
        open_circuit = CELLS * self._ocv
        resistance = CELLS * CELL_RESISTANCE_OHM
        # P = (U0 - R I) I, the smaller root. Driving and charging stay far from the largest power, U0^2 / 4R = 570 kW.
        self.current = (open_circuit - math.sqrt(open_circuit**2 - 4 * resistance * power_w)) / (2 * resistance)
        self.soc -= self.current * dt / self.capacity_as
        self._ocv = self._open_circuit()
        heat = self.current**2 * resistance - COOLING_W_PER_K * (self.temperature - ambient_c - 2.0)
        self.temperature += heat / HEAT_CAPACITY_J_PER_K * dt
