"""Tables of GB/T 32960.3-2025: bodies of chapter 7, commands of chapter 6 and annex B; what it shares with 2016 stands there.

One row per field: name, bytes, unit, counts per unit, offset in counts, lowest and highest valid count. The clauses of bodies
03, 30, 31 and 32 are not known to more than 7.2.4.
"""

from agent.core.edition import Command, Edition, ReportRules
from agent.core.edition2016 import (
    ALARM_FLAGS,
    DCDC,
    FAULT_CODE,
    GEAR,
    LOGOUT,
    MOTOR_STATE,
    PARAMETER_ID,
    SERIAL,
    USER,
)
from agent.core.edition2016 import PARAMETERS as PARAMETERS_2016
from agent.core.edition2016 import POSITION as POSITION_2016
from agent.core.edition2016 import VEHICLE as VEHICLE_2016
from agent.core.field import U8, U16, U32, Blob, Field, Items, Layout, Text, Time
from agent.core.packet import VIN_SIZE
from agent.core.parameters import Control, PackCodes, Parameters

ALGORITHM = {1: "SM2", 2: "RSA", 3: "ECC"}
FLAGS = ALARM_FLAGS + (
    "motor_overspeed",
    "motor_overcurrent",
    "supercapacitor_temperature_high",
    "supercapacitor_voltage_high",
    "thermal_event",
    "hydrogen_leak",
    "hydrogen_pressure",
    "hydrogen_temperature",
    "fuel_cell_stack_temperature",
)

CELL = Field("cell", U16, "V", 1000, 0, 0, 60000)
PROBE = Field("probe", U8, "degC", 1, 40, 0, 250)
CURRENT_HI = 60000  # counts of 0.1 A; 30000 is 0 A

VEHICLE = Layout(
    "vehicle",
    VEHICLE_2016.rows[:3]  # states and run mode
    + (
        Field("speed", U16, "km/h", 10, 0, 0, 5000),
        Field("odometer", U32, "km", 10, 0, 0, 9999999),
        Field("total_voltage", U16, "V", 10, 0, 0, 60000),
        Field("total_current", U16, "A", 10, 30000, 0, CURRENT_HI),
        Field("soc", U8, "%", 1, 0, 0, 100),
        Field("dcdc_state", U8, lo=1, hi=2, words=DCDC),
        Field(
            "gear",
            U8,
            lo=0,
            hi=0xBF,
            sentinel=False,
            absent=0x80,
            bits=(
                ("gear", 0, 4, GEAR, False),
                ("driving_force", 5, 1, None, False),
                ("braking_force", 4, 1, None, False),
                ("invalid", 7, 1, None, False),
            ),
        ),
        Field("insulation_resistance", U16, "kOhm", 1, 0, 0, 60000),
    ),
    "7.2.4.1",
)

DRIVE_MOTORS = Layout(
    "drive_motors",
    (
        Items(
            "motors",
            U8,
            Layout(
                "motor",
                (
                    Field("number", U8, lo=1, hi=253),
                    Field("state", U8, lo=1, hi=4, words=MOTOR_STATE),
                    Field("controller_temperature", U8, "degC", 1, 40, 0, 250),
                    Field("speed", U16, "r/min", 1, 32000, 0, 65531),
                    Field("torque", U32, "N.m", 10, 200000, 0, 400000),
                    Field("temperature", U8, "degC", 1, 40, 0, 250),
                ),
                "7.2.4.4",
            ),
            1,
            253,
        ),
    ),
    "7.2.4.4",
)

HYDROGEN = Layout(
    "hydrogen",
    (
        Field("max_hydrogen_temperature", U16, "degC", 1, 40, 0, 250),
        Field("max_hydrogen_temperature_probe", U8, lo=1, hi=253),
        Field("max_hydrogen_concentration", U16, "%", 10000, 0, 0, 60000),
        Field("max_hydrogen_concentration_sensor", U8, lo=1, hi=253),
        Field("max_hydrogen_pressure", U16, "MPa", 10, 0, 0, 1000),
        Field("max_hydrogen_pressure_sensor", U8, lo=1, hi=253),
        Field("dcdc_state", U8, lo=1, hi=2, words=DCDC),
        Field("remaining_hydrogen", U8, "%", 1, 0, 0, 100),
        Field("dcdc_temperature", U8, "degC", 1, 40, 0, 250),
    ),
    "7.2.4",
)

ENGINE = Layout("engine", (Field("speed", U16, "r/min", 1, 0, 0, 60000),), "7.2.4.7")

POSITION = Layout(
    "position",
    POSITION_2016.rows[:1]
    + (
        Field(
            "coordinate_system", U8, lo=1, hi=3, words={1: "wgs84", 2: "gcj02", 3: "other"}, sentinel=False, absent=1
        ),
    )
    + POSITION_2016.rows[1:],
    "7.2.4.8",
)

ALARMS = Layout(
    "alarms",
    (
        Field("level", U8, lo=0, hi=4),
        Field("flags", U32, lo=0, hi=(1 << 28) - 1, sentinel=False, absent=0, flags=FLAGS),
        Items("storage_faults", U8, FAULT_CODE, 0, 253),
        Items("motor_faults", U8, FAULT_CODE, 0, 253),
        Items("engine_faults", U8, FAULT_CODE, 0, 253),
        Items("other_faults", U8, FAULT_CODE, 0, 253),
        Items(
            "general_levels",
            U8,
            Layout(
                "general_level",
                (
                    Field("bit", U8, lo=0, hi=27, sentinel=False, absent=0),
                    Field("level", U8, lo=0, hi=4, sentinel=False, absent=0),
                ),
                "7.2.4.9",
            ),
            0,
            253,
        ),
    ),
    "7.2.4.9",
)

UNIT_VOLTAGES = Layout(
    "unit_voltages",
    (
        Items(
            "packs",
            U8,
            Layout(
                "pack",
                (
                    Field("number", U8, lo=1, hi=50, sentinel=False, absent=1),
                    Field("voltage", U16, "V", 10, 0, 0, 60000),
                    Field("current", U16, "A", 10, 30000, 0, CURRENT_HI),
                    Items("cells", U16, CELL, 1, 65531),
                ),
                "7.2.4.2",
            ),
            0,
            50,
        ),
    ),
    "7.2.4.2",
)

BATTERY_TEMPERATURES = Layout(
    "battery_temperatures",
    (
        Items(
            "packs",
            U8,
            Layout(
                "pack",
                (
                    Field("number", U8, lo=1, hi=50, sentinel=False, absent=1),
                    Items("probes", U16, PROBE, 1, 65531, False),
                ),
                "7.2.4.3",
            ),
            0,
            50,
        ),
    ),
    "7.2.4.3",
)

FUEL_CELL_STACKS = Layout(
    "fuel_cell_stacks",
    (
        Items(
            "stacks",
            U8,
            Layout(
                "stack",
                (
                    Field("number", U8, lo=1, hi=253, sentinel=False, absent=1),
                    Field("voltage", U16, "V", 10, 0, 0, 20000),
                    Field("current", U16, "A", 10, 0, 0, 20000),
                    Field("hydrogen_inlet_pressure", U16, "kPa", 10, 1000, 0, 5000),
                    Field("air_inlet_pressure", U16, "kPa", 10, 1000, 0, 5000),
                    Field("air_inlet_temperature", U8, "degC", 1, 40, 0, 250),
                    Items("probes", U16, PROBE, 0, 65531, False),
                ),
                "7.2.4",
            ),
            1,
            253,
        ),
    ),
    "7.2.4",
)

SUPERCAPACITOR = Layout(
    "supercapacitor",
    (
        Field("number", U8, lo=1, hi=253, sentinel=False, absent=1),
        Field("voltage", U16, "V", 10, 0, 0, 10000),
        Field("current", U16, "A", 10, 30000, 0, CURRENT_HI),
        Items("cells", U16, CELL, 1, 65531, False),
        Items("probes", U16, PROBE, 1, 65531, False),
    ),
    "7.2.4",
)


def _extreme(which: str, what: str, item: str, value: Field) -> "tuple[Field, Field, Field]":
    """System, number in it, value. The WORD number has no sentinel; FFFF is outside its range and says that nothing is known."""
    return (
        Field("%s_%s_system" % (which, what), U8, lo=1, hi=253),
        Field("%s_%s_%s" % (which, what, item), U16, lo=1, hi=65531, sentinel=False, absent=0xFFFF),
        value,
    )


SUPERCAPACITOR_EXTREMES = Layout(
    "supercapacitor_extremes",
    _extreme("max", "voltage", "cell", Field("max_cell_voltage", U16, "V", 1000, 0, 0, 60000))
    + _extreme("min", "voltage", "cell", Field("min_cell_voltage", U16, "V", 1000, 0, 0, 60000))
    + _extreme("max", "temperature", "probe", Field("max_temperature", U8, "degC", 1, 40, 0, 250))
    + _extreme("min", "temperature", "probe", Field("min_temperature", U8, "degC", 1, 40, 0, 250)),
    "7.2.4",
)

SIGNATURE_ROWS = (
    Field("algorithm", U8, lo=1, hi=3, words=ALGORITHM, sentinel=False),
    Blob("r", U16, 0, 65531),
    Blob("s", U16, 0, 65531),
)
SIGNATURE = Layout("signature", SIGNATURE_ROWS, "7.2.2")

LOGIN = Layout("vehicle_login", (SERIAL, Text("iccid", 20), PackCodes()), "7.1")
PLATFORM_LOGIN = Layout(
    "platform_login",
    (SERIAL, Text("user", 12), Text("password", 20), Field("encryption_rule", U8, lo=1, hi=5)),
    "7.4",
)
ACTIVATION = Layout(
    "activation",
    (
        Text("chip_id", 16, b" "),
        Blob("public_key", U16, 0, 65531),
        Text("activation_vin", VIN_SIZE),
    )
    + SIGNATURE_ROWS,  # without the marker that stands before it in a report
    "B.3",
)
ACTIVATION_ANSWER = Layout(
    "activation_answer",
    (
        Field("status", U8, lo=1, hi=2, sentinel=False),  # success, failure
        Field("information", U8, lo=0, hi=2, sentinel=False),  # none, chip already activated, VIN duplicate
    ),
    "B.3",
)
KEY_EXCHANGE = Layout(
    "key_exchange",
    (
        Field("key_type", U8, lo=2, hi=5, sentinel=False),  # as the encryption byte
        Blob("key", U16, 0, 65531),
        Time("valid_from"),
        Time("valid_until"),
    ),
    "7.6",
)

PARAMETERS = dict(PARAMETERS_2016)
PARAMETERS[0x02] = Field("report_period", U8, "s", 1, 0, 1, 30)
PARAMETERS[0x03] = Field("alarm_report_period", U8, "s", 1, 0, 0, 1)
PARAMETER_LIST = Layout("parameters", (Parameters("parameters", PARAMETERS),), "B.4")

EDITION = Edition(
    name="2025",
    bodies={
        0x01: VEHICLE,
        0x02: DRIVE_MOTORS,
        0x03: HYDROGEN,
        0x04: ENGINE,
        0x05: POSITION,
        0x06: ALARMS,
        0x07: UNIT_VOLTAGES,
        0x08: BATTERY_TEMPERATURES,
        0x30: FUEL_CELL_STACKS,
        0x31: SUPERCAPACITOR,
        0x32: SUPERCAPACITOR_EXTREMES,
    },
    user_body=USER,
    signature=SIGNATURE,
    commands={
        0x01: Command("vehicle_login", True, LOGIN, clause="7.1"),
        0x02: Command("realtime", True, reports=True, clause="7.2"),
        0x03: Command("reissue", True, reports=True, clause="7.2"),
        0x04: Command("vehicle_logout", True, LOGOUT, clause="7.3"),
        0x05: Command("platform_login", True, PLATFORM_LOGIN, clause="7.4"),
        0x06: Command("platform_logout", True, LOGOUT, clause="7.5"),
        0x07: Command("heartbeat", False, clause="B.3"),
        0x08: Command("time_sync", False, clause="B.3"),
        0x09: Command("activation", True, ACTIVATION, clause="B.3"),
        0x0A: Command("activation_answer", False, ACTIVATION_ANSWER, clause="B.3"),
        0x0B: Command("key_exchange", False, KEY_EXCHANGE, clause="7.6"),
        0x80: Command(
            "parameter_query",
            True,
            Layout("query", (Items("ids", U8, PARAMETER_ID, 0, 252),), "B.4"),
            PARAMETER_LIST,
            clause="B.4",
        ),
        0x81: Command("parameter_set", True, PARAMETER_LIST, clause="B.4"),
        0x82: Command("control", True, Layout("control", (Control(4),), "B.4"), clause="B.4"),
    },
    parameters=PARAMETERS,
    responses={
        1: "success",
        2: "error",
        3: "VIN duplicate",
        4: "VIN unknown",
        5: "signature error",
        6: "data structure error",
        7: "decryption error",
        0xFE: "command",
    },
    encryptions={1: "none", 2: "RSA", 3: "AES", 4: "SM2", 5: "SM4", 0xFE: "abnormal", 0xFF: "invalid"},
    split=None,
    login_retry_s=180,
    long_answers=False,
    rules=ReportRules(
        burst_levels=(3, 4),
        burst=(30, 0, True),
        parked_burst=(0, 30, False),
        after_off_s=0,
        watch_s=3600,
        watch_report_s=30,
        watch_bodies=("vehicle", "unit_voltages", "battery_temperatures", "alarms"),
        left_out=(
            ("drive_motors", "charging_state", "parked_charging"),
            ("engine", "charging_state", "parked_charging"),
            ("engine", "run_mode", "electric"),
        ),
    ),
)
