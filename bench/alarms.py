"""The 28 general alarm flags of GB/T 32960.3-2025 (2016: the first 19): the reference car's signal and code of each."""

from collections.abc import Set
from typing import NamedTuple

__all__ = ["ALARMS", "Alarm", "active_codes", "alarms_of"]


class Alarm(NamedTuple):
    """Where an alarm shows; `code` is a 24-bit trouble code (SAE J2012-DA where there is one, else the maker's own)."""

    message: str
    signal: str
    faults: str  # message that lists the code
    code: int
    variant: str = ""  # the only one that has it


def _battery(signal: str, code: int) -> Alarm:
    return Alarm("BMS_Alarms", signal, "BMS_Faults", code)


def _stack(signal: str, code: int) -> Alarm:
    return Alarm("FCU_Status", signal, "FCU_Faults", code, "fuel_cell")


ALARMS = {
    "temperature_difference": _battery("TemperatureDifference", 0x1A0100),
    "battery_temperature_high": _battery("TemperatureHigh", 0x0A7E00),
    "storage_voltage_high": _battery("PackVoltageHigh", 0x1A0317),
    "storage_voltage_low": _battery("PackVoltageLow", 0x1A0416),
    "soc_low": _battery("SocLow", 0x0A7D00),
    "cell_voltage_high": _battery("CellVoltageHigh", 0x1A0617),
    "cell_voltage_low": _battery("CellVoltageLow", 0x1A0716),
    "soc_high": _battery("SocHigh", 0x1A0800),
    "soc_jump": _battery("SocJump", 0x1A0964),
    "storage_mismatch": _battery("PackMismatch", 0x1A0A55),
    "cell_consistency": _battery("CellInconsistency", 0x1A0B00),
    "insulation": Alarm("IMD_Status", "InsulationFault", "VCU_Faults", 0x0AA600),
    "dcdc_temperature": Alarm("DCDC_Status", "OverTemperature", "VCU_Faults", 0x1A214B),
    "brake_system": Alarm("ESC_Speed", "BrakeFault", "VCU_Faults", 0x4A2200),
    "dcdc_state": Alarm("DCDC_Status", "StateFault", "VCU_Faults", 0x1A2300),
    "motor_controller_temperature": Alarm("MCU2_Status", "InverterOverTemperature", "MCU2_Faults", 0x1A314B),
    "high_voltage_interlock": Alarm("VCU_Drive", "InterlockOpen", "VCU_Faults", 0x0A0A00),
    "motor_temperature": Alarm("MCU1_Status", "MotorOverTemperature", "MCU1_Faults", 0x0A2F00),
    "storage_overcharge": _battery("Overcharge", 0x1A1200),
    "motor_overspeed": Alarm("MCU1_Status", "MotorOverSpeed", "VCU_Faults", 0x1A1300),
    "motor_overcurrent": Alarm("MCU2_Status", "MotorOverCurrent", "VCU_Faults", 0x1A1419),
    "supercapacitor_temperature_high": Alarm("SCU_Status", "OverTemperature", "SCU_Faults", 0x1A154B, "hybrid"),
    "supercapacitor_voltage_high": Alarm("SCU_Status", "OverVoltage", "SCU_Faults", 0x1A1617, "hybrid"),
    "thermal_event": _battery("ThermalEvent", 0x1A1700),
    "hydrogen_leak": _stack("HydrogenLeak", 0x1A1800),
    "hydrogen_pressure": _stack("HydrogenPressureFault", 0x1A1900),
    "hydrogen_temperature": _stack("HydrogenOverTemperature", 0x1A1A4B),
    "fuel_cell_stack_temperature": _stack("StackOverTemperature", 0x1A1B4B),
}


def alarms_of(variant: str) -> list[str]:
    """The alarms that a variant of the car can have, in the order of the standard's bits."""
    return [name for name, alarm in ALARMS.items() if alarm.variant in ("", variant)]


def active_codes(alarms: Set[str], faults: str) -> list[int]:
    """Trouble codes that the message `faults` lists while `alarms` are on, in the order of the standard's bits."""
    return [alarm.code for name, alarm in ALARMS.items() if name in alarms and alarm.faults == faults]
