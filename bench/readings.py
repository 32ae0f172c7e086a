"""What the control units of the reference car put into their signals: message by message, physical values by name.

A reading takes the page of a multiplexed message (0 otherwise). Units are those of `dbc/reference_ev.dbc`.
Counters and checksums are not here: they belong to the frame.
"""

from collections.abc import Callable
from functools import partial

from bench.alarms import ALARMS, active_codes
from bench.battery import CELLS, PROBES
from bench.physics import AMBIENT_C, WHEEL_RADIUS_M, Car
from bench.sources import COOLANT_PROBES, Engine, FuelCell, Supercapacitor

__all__ = ["Reading", "readings_of"]

Reading = Callable[[int], dict[str, float]]

CELLS_PER_PAGE = 3
PROBES_PER_PAGE = 4
CODES_PER_PAGE = 2
CAPACITOR_PROBES = 4
AC_VOLTAGE = 231.0
AC_EFFICIENCY = 0.93


def _flags(car: Car, message: str) -> dict[str, float]:
    """The alarm bits of one message."""
    active = car.controls.alarms
    return {alarm.signal: int(name in active) for name, alarm in ALARMS.items() if alarm.message == message}


def _codes(car: Car, page: int, message: str) -> dict[str, float]:
    """One page of a list of trouble codes, zeros behind the last."""
    active = active_codes(car.controls.alarms, message)
    first = page * CODES_PER_PAGE
    return {f"Code{n + 1}": active[n] if n < len(active) else 0 for n in range(first, first + CODES_PER_PAGE)}


def _vcu_drive(car: Car, _page: int) -> dict[str, float]:
    braking = car.brake > 0 or car.wheel_force * car.direction < -50
    return {
        "DriveState": 2 if car.ready else 0,
        "RunMode": 1 if car.generating else 0,
        "Gear": {0: 0, -1: 1, 1: 3}[car.direction],
        "Accelerator": car.accelerator,
        "BrakePedal": car.brake,
        "DrivingForce": int(car.wheel_force * car.direction > 50),
        "BrakingForce": int(braking),
        "TorqueRequest": car.wheel_force * WHEEL_RADIUS_M,
        **_flags(car, "VCU_Drive"),
    }


def _esc_speed(car: Car, _page: int) -> dict[str, float]:
    return {
        "VehicleSpeed": abs(car.speed) * 3.6,
        "Direction": 0 if car.speed == 0 else 1 if car.speed > 0 else 2,
        "LongAcceleration": car.acceleration,
        **_flags(car, "ESC_Speed"),
    }


def _esc_wheels(car: Car, _page: int) -> dict[str, float]:
    speed = abs(car.speed) * 3.6
    front_left, front_right, rear_left, rear_right = car.wheel_spread
    return {
        "WheelFL": speed * (1 + front_left),
        "WheelFR": speed * (1 + front_right),
        "WheelRL": speed * (1 + rear_left),
        "WheelRR": speed * (1 + rear_right),
    }


def _bcm_ignition(car: Car, _page: int) -> dict[str, float]:
    return {"Ignition": 2 if car.controls.ignition else 0, "SupplyVoltage": 14.1 if car.high_voltage else 12.5}


def _mcu_status(car: Car, number: int) -> dict[str, float]:
    motor = car.motors[number - 1]
    drives = motor.torque * car.direction
    state = 0 if not car.ready else 1 if drives == 0 else 2 if drives > 0 else 3
    return {
        "Speed": motor.speed,
        "Torque": motor.torque,
        "State": state,
        "MotorOverTemperature": 0,
        "InverterOverTemperature": 0,
        "MotorOverSpeed": 0,
        "MotorOverCurrent": 0,
        **_flags(car, f"MCU{number}_Status"),
    }


def _mcu_power(car: Car, number: int) -> dict[str, float]:
    motor = car.motors[number - 1]
    voltage = car.battery.voltage if car.high_voltage else 0.0
    return {
        "InverterTemperature": motor.inverter_temperature,
        "MotorTemperature": motor.temperature * 9 / 5 + 32,
        "DcVoltage": voltage,
        "DcCurrent": motor.power / voltage if voltage else 0.0,
    }


def _mcu_faults(car: Car, number: int) -> dict[str, float]:
    active = active_codes(car.controls.alarms, f"MCU{number}_Faults")
    return {"FaultCode": active[0] if active else 0}


def _bms_status(car: Car, _page: int) -> dict[str, float]:
    return {
        "PackVoltage": car.battery.voltage,
        "PackCurrent": -car.battery.current,  # this car counts charging positive
        "ChargeState": ("not_charging", "parked", "driving", "complete").index(car.charge_state),
        "ContactorsClosed": int(car.high_voltage),
    }


def _bms_soc(car: Car, _page: int) -> dict[str, float]:
    battery = car.battery
    return {"Soc": battery.soc * 100, "Soh": battery.soh * 100, "EnergyLeft": battery.energy_left_kwh}


def _bms_cells(car: Car, page: int) -> dict[str, float]:
    first = page * CELLS_PER_PAGE
    return {f"Cell{index + 1}": car.battery.cell(index) for index in range(first, first + CELLS_PER_PAGE)}


def _bms_temps(car: Car, page: int) -> dict[str, float]:
    first = page * PROBES_PER_PAGE
    return {f"Probe{index + 1}": car.battery.probe(index) for index in range(first, first + PROBES_PER_PAGE)}


def _bms_extremes(car: Car, _page: int) -> dict[str, float]:
    cells = [car.battery.cell(index) for index in range(CELLS)]
    probes = [car.battery.probe(index) for index in range(PROBES)]
    return {
        "MaxCellVoltage": max(cells),
        "MaxCell": cells.index(max(cells)) + 1,
        "MinCellVoltage": min(cells),
        "MinCell": cells.index(min(cells)) + 1,
        "MaxTemperature": max(probes),
        "MinTemperature": min(probes),
    }


def _imd_status(car: Car, _page: int) -> dict[str, float]:
    return {"Resistance": car.insulation, **_flags(car, "IMD_Status")}


def _obc_status(car: Car, _page: int) -> dict[str, float]:
    charger = car.charger
    plugged = charger.plug == "ac"
    power = charger.power if plugged else 0.0
    return {
        "State": 0 if not plugged else 2 if power else 3 if charger.complete else 1,
        "AcVoltage": AC_VOLTAGE if plugged else 0.0,
        "AcCurrent": power / AC_EFFICIENCY / AC_VOLTAGE,
        "Temperature": charger.temperature if plugged else AMBIENT_C,
        "DcCurrent": power / car.battery.voltage,
    }


def _ccs_inlet(car: Car, _page: int) -> dict[str, float]:
    charger = car.charger
    station = charger.plug == "dc"
    return {
        "Plug": ("none", "ac", "dc").index(charger.plug),
        "InletTemperature": charger.temperature,
        "StationVoltage": car.battery.voltage if station else 0.0,
        "StationCurrent": charger.power / car.battery.voltage if station else 0.0,
    }


def _dcdc_status(car: Car, _page: int) -> dict[str, float]:
    output = 14.2 if car.high_voltage else 0.0
    return {
        "State": 1 if car.high_voltage else 0,
        "Temperature": car.dcdc_temperature,
        "OutputVoltage": output,
        "OutputCurrent": 0.4 * car.auxiliary / 14.2,  # the rest of the auxiliary power is heating at high voltage
        **_flags(car, "DCDC_Status"),
    }


def _icm_odometer(car: Car, _page: int) -> dict[str, float]:
    return {"Odometer": car.odometer / 1000, "AmbientTemperature": AMBIENT_C}


def _gnss_position(car: Car, _page: int) -> dict[str, float]:
    latitude, longitude, _heading = car.position
    return {"Latitude": latitude, "Longitude": longitude}


def _gnss_status(car: Car, _page: int) -> dict[str, float]:
    return {
        "FixValid": 1,
        "Satellites": 13 + car.steps // 2300 % 4,
        "GroundSpeed": abs(car.speed),
        "Heading": car.position[2],
        "Hdop": 0.8,
    }


def _eng_status(engine: Engine, _page: int) -> dict[str, float]:
    return {"Speed": engine.speed_rpm, "State": 1 if engine.running else 0, "FaultCode": 0}


def _eng_fuel(engine: Engine, _page: int) -> dict[str, float]:
    return {
        "FuelRate": engine.fuel_rate_l_per_h,
        "Consumption": engine.consumption,
        "FuelLevel": engine.fuel_level,
        "CoolantTemperature": engine.coolant_c,
        "GeneratorPower": engine.power / 1000,
    }


def _fcu_status(car: Car, cell: FuelCell, _page: int) -> dict[str, float]:
    return {
        "StackVoltage": cell.voltage,
        "StackCurrent": cell.current,
        "State": 1 if cell.running else 0,
        "DcdcState": 1 if cell.power else 0,
        **_flags(car, "FCU_Status"),
    }


def _fcu_hydrogen(cell: FuelCell, _page: int) -> dict[str, float]:
    return {
        "MaxTemperature": cell.tank_c,
        "MaxTemperatureProbe": 2,
        "MaxConcentration": cell.leak_mg_per_kg,
        "MaxConcentrationSensor": 1,
        "MaxPressureSensor": 1,
    }


def _fcu_tank(cell: FuelCell, _page: int) -> dict[str, float]:
    return {
        "MaxPressure": cell.pressure_mpa,
        "Consumption": cell.consumption,
        "RemainingHydrogen": cell.remaining,
        "DcdcTemperature": cell.dcdc_c,
    }


def _fcu_temps(cell: FuelCell, _page: int) -> dict[str, float]:
    return {f"Probe{index + 1}": cell.coolant(index) for index in range(COOLANT_PROBES)}


def _fcu_stack(cell: FuelCell, _page: int) -> dict[str, float]:
    return {
        "HydrogenInletPressure": cell.hydrogen_inlet_kpa,
        "AirInletPressure": cell.air_inlet_kpa,
        "AirInletTemperature": cell.air_inlet_c,
    }


def _scu_status(car: Car, module: Supercapacitor, _page: int) -> dict[str, float]:
    return {"Voltage": module.voltage, "Current": module.current, **_flags(car, "SCU_Status")}


def _scu_cells(module: Supercapacitor, page: int) -> dict[str, float]:
    first = page * CELLS_PER_PAGE
    return {f"Cell{index + 1}": module.cell(index) for index in range(first, first + CELLS_PER_PAGE)}


def _scu_temps(module: Supercapacitor, _page: int) -> dict[str, float]:
    return {f"Probe{index + 1}": module.probe(index) for index in range(CAPACITOR_PROBES)}


_EVERY_CAR: dict[str, Callable[[Car, int], dict[str, float]]] = {
    "VCU_Drive": _vcu_drive,
    "ESC_Speed": _esc_speed,
    "ESC_Wheels": _esc_wheels,
    "BCM_Ignition": _bcm_ignition,
    "VCU_Faults": lambda car, page: _codes(car, page, "VCU_Faults"),
    "MCU1_Status": lambda car, _page: _mcu_status(car, 1),
    "MCU1_Power": lambda car, _page: _mcu_power(car, 1),
    "MCU1_Faults": lambda car, _page: _mcu_faults(car, 1),
    "MCU2_Status": lambda car, _page: _mcu_status(car, 2),
    "MCU2_Power": lambda car, _page: _mcu_power(car, 2),
    "MCU2_Faults": lambda car, _page: _mcu_faults(car, 2),
    "BMS_Status": _bms_status,
    "BMS_Soc": _bms_soc,
    "BMS_Cells": _bms_cells,
    "BMS_Temps": _bms_temps,
    "BMS_Extremes": _bms_extremes,
    "BMS_Alarms": lambda car, _page: _flags(car, "BMS_Alarms"),
    "BMS_Faults": lambda car, page: _codes(car, page, "BMS_Faults"),
    "IMD_Status": _imd_status,
    "OBC_Status": _obc_status,
    "CCS_Inlet": _ccs_inlet,
    "DCDC_Status": _dcdc_status,
    "ICM_Odometer": _icm_odometer,
    "GNSS_Position": _gnss_position,
    "GNSS_Status": _gnss_status,
}


def readings_of(car: Car) -> dict[str, Reading]:
    """Every message that this variant of the car sends, with its reading."""
    readings: dict[str, Reading] = {name: partial(read, car) for name, read in _EVERY_CAR.items()}
    if car.engine is not None:
        readings["ENG_Status"] = partial(_eng_status, car.engine)
        readings["ENG_Fuel"] = partial(_eng_fuel, car.engine)
    if car.fuel_cell is not None:
        readings["FCU_Status"] = partial(_fcu_status, car, car.fuel_cell)
        readings["FCU_Hydrogen"] = partial(_fcu_hydrogen, car.fuel_cell)
        readings["FCU_Tank"] = partial(_fcu_tank, car.fuel_cell)
        readings["FCU_Temps"] = partial(_fcu_temps, car.fuel_cell)
        readings["FCU_Stack"] = partial(_fcu_stack, car.fuel_cell)
        readings["FCU_Faults"] = partial(_codes, car, message="FCU_Faults")
    if car.supercapacitor is not None:
        readings["SCU_Status"] = partial(_scu_status, car, car.supercapacitor)
        readings["SCU_Cells"] = partial(_scu_cells, car.supercapacitor)
        readings["SCU_Temps"] = partial(_scu_temps, car.supercapacitor)
        readings["SCU_Faults"] = partial(_codes, car, message="SCU_Faults")
    return readings
