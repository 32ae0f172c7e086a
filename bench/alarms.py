"""The 19 general alarm flags of GB/T 32960.3-2016: the reference car's signal and trouble code of each."""

from collections.abc import Set
from typing import NamedTuple

__all__ = ["ALARMS", "Alarm", "active_codes"]


class Alarm(NamedTuple):
    """Where an alarm shows; `code` is a 24-bit trouble code (SAE J2012-DA where there is one, else the maker's own)."""

    message: str
    signal: str
    faults: str  # message that lists the code
    code: int


def _battery(signal: str, code: int) -> Alarm:
    return Alarm("BMS_Alarms", signal, "BMS_Faults", code)


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
}


def active_codes(alarms: Set[str], faults: str) -> list[int]:
    """Trouble codes that the message `faults` lists while `alarms` are on, in the order of the standard's bits."""
    return [alarm.code for name, alarm in ALARMS.items() if name in alarms and alarm.faults == faults]
