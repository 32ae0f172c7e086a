"""Tables of GB/T 32960.3-2016: bodies of chapter 7 and annex B, commands of chapter 6 and annex B.

One row per field: name, bytes, unit, counts per unit, offset in counts, lowest and highest valid count. Chinese names stand
in `agent/labels.py` (a board has no use for them).
"""

from agent.core.edition import Command, Edition, ReportRules
from agent.core.field import U8, U16, U32, Blob, Field, Items, Layout, Text
from agent.core.parameters import Codes, Control, Parameters

DCDC = {1: "working", 2: "open"}
MOTOR_STATE = {1: "consuming", 2: "generating", 3: "off", 4: "ready"}
GEAR = {0: "N", 13: "R", 14: "D", 15: "P"}
GEAR.update({number: number for number in range(1, 13)})  # type: ignore[misc]  # 7..12 are not printed: inferred
ALARM_FLAGS = (
    "temperature_difference",
    "battery_temperature_high",
    "storage_voltage_high",
    "storage_voltage_low",
    "soc_low",
    "cell_voltage_high",
    "cell_voltage_low",
    "soc_high",
    "soc_jump",
    "storage_mismatch",
    "cell_consistency",
    "insulation",
    "dcdc_temperature",
    "brake_system",
    "dcdc_state",
    "motor_controller_temperature",
    "high_voltage_interlock",
    "motor_temperature",
    "storage_overcharge",
)

VEHICLE = Layout(
    "vehicle",
    (
        Field("vehicle_state", U8, lo=1, hi=3, words={1: "started", 2: "off", 3: "other"}),
        Field(
            "charging_state",
            U8,
            lo=1,
            hi=4,
            words={1: "parked_charging", 2: "driving_charging", 3: "not_charging", 4: "charge_complete"},
        ),
        Field("run_mode", U8, lo=1, hi=3, words={1: "electric", 2: "hybrid", 3: "fuel"}),
        Field("speed", U16, "km/h", 10, 0, 0, 2200),
        Field("odometer", U32, "km", 10, 0, 0, 9999999),
        Field("total_voltage", U16, "V", 10, 0, 0, 10000),
        Field("total_current", U16, "A", 10, 10000, 0, 20000),
        Field("soc", U8, "%", 1, 0, 0, 100),
        Field("dcdc_state", U8, lo=1, hi=2, words=DCDC),
        Field(
            "gear",
            U8,
            lo=0,
            hi=0x3F,
            sentinel=False,
            absent=0,
            bits=(
                ("gear", 0, 4, GEAR, False),
                ("driving_force", 5, 1, None, False),
                ("braking_force", 4, 1, None, False),
            ),
        ),
        # 2016 defines no sentinel here; 2025 made FFFF "invalid", which is what is sent when nothing is known.
        Field("insulation_resistance", U16, "kOhm", 1, 0, 0, 60000, sentinel=False, absent=0xFFFF),
        Field("accelerator", U8, "%", 1, 0, 0, 100, annex_b=True),
        # 101 means "braking" where no travel value exists.
        Field("brake", U8, "%", 1, 0, 0, 101, annex_b=True),
    ),
    "7.2.3.1",
    spare=1,
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
                    Field("number", U8, lo=1, hi=253, sentinel=False, absent=1),
                    Field("state", U8, lo=1, hi=4, words=MOTOR_STATE),
                    Field("controller_temperature", U8, "degC", 1, 40, 0, 250),
                    Field("speed", U16, "r/min", 1, 20000, 0, 65531),
                    Field("torque", U16, "N.m", 10, 20000, 0, 65531),
                    Field("temperature", U8, "degC", 1, 40, 0, 250),
                    Field("controller_voltage", U16, "V", 10, 0, 0, 60000),
                    Field("controller_current", U16, "A", 10, 10000, 0, 20000),
                ),
                "7.2.3.2",
            ),
            1,
            253,
        ),
    ),
    "7.2.3.2",
)

FUEL_CELL = Layout(
    "fuel_cell",
    (
        Field("voltage", U16, "V", 10, 0, 0, 20000),
        Field("current", U16, "A", 10, 0, 0, 20000),
        Field("fuel_consumption", U16, "kg/100km", 100, 0, 0, 60000),
        Items("probes", U16, Field("probe", U8, "degC", 1, 40, 0, 240, sentinel=False, absent=0xFF), 0, 65531, False),
        Field("max_hydrogen_temperature", U16, "degC", 10, 400, 0, 2400),
        Field("max_hydrogen_temperature_probe", U8, lo=1, hi=252),
        Field("max_hydrogen_concentration", U16, "mg/kg", 1, 0, 0, 60000),
        Field("max_hydrogen_concentration_sensor", U8, lo=1, hi=252),
        Field("max_hydrogen_pressure", U16, "MPa", 10, 0, 0, 1000, sentinel=False, absent=0xFFFF),
        Field("max_hydrogen_pressure_sensor", U8, lo=1, hi=252),
        Field("dcdc_state", U8, lo=1, hi=2, words=DCDC),
    ),
    "7.2.3.3",
)

ENGINE = Layout(
    "engine",
    (
        Field("state", U8, lo=1, hi=2, words={1: "on", 2: "off"}),
        Field("speed", U16, "r/min", 1, 0, 0, 60000),
        Field("fuel_consumption", U16, "L/100km", 100, 0, 0, 60000),
    ),
    "7.2.3.4",
)

POSITION = Layout(
    "position",
    (
        Field(
            "status",
            U8,
            lo=0,
            hi=7,
            sentinel=False,
            absent=1,
            bits=(("valid", 0, 1, None, True), ("south", 1, 1, None, False), ("west", 2, 1, None, False)),
        ),
        Field("longitude", U32, "deg", 1000000, 0, 0, 180000000, sentinel=False, absent=0, sign=("status", 4)),
        Field("latitude", U32, "deg", 1000000, 0, 0, 90000000, sentinel=False, absent=0, sign=("status", 2)),
    ),
    "7.2.3.5",
)

EXTREMES = Layout(
    "extremes",
    (
        Field("max_voltage_subsystem", U8, lo=1, hi=250),
        Field("max_voltage_cell", U8, lo=1, hi=250),
        Field("max_cell_voltage", U16, "V", 1000, 0, 0, 15000),
        Field("min_voltage_subsystem", U8, lo=1, hi=250),
        Field("min_voltage_cell", U8, lo=1, hi=250),
        Field("min_cell_voltage", U16, "V", 1000, 0, 0, 15000),
        Field("max_temperature_subsystem", U8, lo=1, hi=250),
        Field("max_temperature_probe", U8, lo=1, hi=250),
        Field("max_temperature", U8, "degC", 1, 40, 0, 250),
        Field("min_temperature_subsystem", U8, lo=1, hi=250),
        Field("min_temperature_probe", U8, lo=1, hi=250),
        Field("min_temperature", U8, "degC", 1, 40, 0, 250),
    ),
    "7.2.3.6",
)

FAULT_CODE = Field("code", U32, lo=0, hi=0xFFFFFFFF, sentinel=False, absent=0, hexadecimal=True)

ALARMS = Layout(
    "alarms",
    (
        Field("level", U8, lo=0, hi=3),
        Field("flags", U32, lo=0, hi=(1 << 19) - 1, sentinel=False, absent=0, flags=ALARM_FLAGS),
        Items("storage_faults", U8, FAULT_CODE, 0, 252),
        Items("motor_faults", U8, FAULT_CODE, 0, 252),
        Items("engine_faults", U8, FAULT_CODE, 0, 252),
        Items("other_faults", U8, FAULT_CODE, 0, 252),
    ),
    "7.2.3.7",
)

STORAGE_VOLTAGES = Layout(
    "storage_voltages",
    (
        Items(
            "subsystems",
            U8,
            Layout(
                "subsystem",
                (
                    Field("number", U8, lo=1, hi=250, sentinel=False, absent=1),
                    Field("voltage", U16, "V", 10, 0, 0, 10000),
                    Field("current", U16, "A", 10, 10000, 0, 20000),
                    Field("total_cells", U16, lo=1, hi=65531),
                    Field("start_cell", U16, lo=1, hi=65531, sentinel=False, absent=1),
                    Items("cells", U8, Field("cell", U16, "V", 1000, 0, 0, 60000), 1, 200, False),
                ),
                "B.3",
            ),
            1,
            250,
        ),
    ),
    "B.3",
    annex_b=True,
)

STORAGE_TEMPERATURES = Layout(
    "storage_temperatures",
    (
        Items(
            "subsystems",
            U8,
            Layout(
                "subsystem",
                (
                    Field("number", U8, lo=1, hi=250, sentinel=False, absent=1),
                    Items("probes", U16, Field("probe", U8, "degC", 1, 40, 0, 250), 1, 65531, False),
                ),
                "B.3",
            ),
            1,
            250,
        ),
    ),
    "B.3",
    annex_b=True,
)

USER = Layout("user", (Blob("hex", U16, 1, 65531),), "7.2.3.8")

SERIAL = Field("serial", U16, lo=1, hi=65531, sentinel=False, absent=1)  # counts logins from 1 each day
LOGIN = Layout("vehicle_login", (SERIAL, Text("iccid", 20), Codes()), "7.1")
LOGOUT = Layout("vehicle_logout", (SERIAL,), "7.3")
PLATFORM_LOGIN = Layout(
    "platform_login",
    (SERIAL, Text("user", 12), Text("password", 20), Field("encryption_rule", U8, lo=1, hi=3)),
    "7.4",
)

PARAMETERS = {
    0x01: Field("storage_period", U16, "ms", 1, 0, 0, 60000),
    0x02: Field("report_period", U16, "s", 1, 0, 1, 600),
    0x03: Field("alarm_report_period", U16, "ms", 1, 0, 0, 60000),
    0x04: Field("domain_length", U8, lo=0, hi=255, sentinel=False),
    0x05: 0x04,  # bytes, as many as the value of this parameter earlier in the same list
    0x06: Field("port", U16, lo=0, hi=65531),
    0x07: Text("hardware_version", 5),
    0x08: Text("firmware_version", 5),
    0x09: Field("heartbeat_period", U8, "s", 1, 0, 1, 240),
    0x0A: Field("terminal_answer_timeout", U16, "s", 1, 0, 1, 600),
    0x0B: Field("platform_answer_timeout", U16, "s", 1, 0, 1, 600),
    0x0C: Field("login_wait", U8, "min", 1, 0, 1, 240),
    0x0D: Field("public_domain_length", U8, lo=0, hi=255, sentinel=False),
    0x0E: 0x0D,
    0x0F: Field("public_port", U16, lo=0, hi=65531),
    0x10: Field("sampling_monitoring", U8, lo=1, hi=2, words={1: "yes", 2: "no"}),
}
PARAMETER_ID = Field("id", U8, lo=1, hi=0xFE, sentinel=False)
PARAMETER_LIST = Layout("parameters", (Parameters("parameters", PARAMETERS),), "B.4")

EDITION = Edition(
    name="2016",
    bodies={
        1: VEHICLE,
        2: DRIVE_MOTORS,
        3: FUEL_CELL,
        4: ENGINE,
        5: POSITION,
        6: EXTREMES,
        7: ALARMS,
        8: STORAGE_VOLTAGES,
        9: STORAGE_TEMPERATURES,
    },
    user_body=USER,
    commands={
        0x01: Command("vehicle_login", True, LOGIN, clause="7.1"),
        0x02: Command("realtime", True, reports=True, clause="7.2"),
        0x03: Command("reissue", True, reports=True, clause="7.2"),
        0x04: Command("vehicle_logout", True, LOGOUT, clause="7.3"),
        0x05: Command("platform_login", True, PLATFORM_LOGIN, clause="7.4"),
        0x06: Command("platform_logout", True, LOGOUT, clause="7.5"),
        0x07: Command("heartbeat", False, clause="B.3"),
        0x08: Command("time_sync", False, clause="B.3"),
        0x80: Command(
            "parameter_query",
            True,
            Layout("query", (Items("ids", U8, PARAMETER_ID, 0, 252),), "B.4"),
            PARAMETER_LIST,
            clause="B.4",
        ),
        0x81: Command("parameter_set", True, PARAMETER_LIST, clause="B.4"),
        0x82: Command("control", True, Layout("control", (Control(3),), "B.4"), clause="B.4"),
    },
    parameters=PARAMETERS,
    responses={1: "success", 2: "error", 3: "VIN duplicate", 0xFE: "command"},
    encryptions={1: "none", 2: "RSA", 3: "AES-128", 0xFE: "abnormal", 0xFF: "invalid"},
    split=(8, 200),
    login_retry_s=60,
    long_answers=True,
    rules=ReportRules(
        burst_levels=(3,),
        burst=(30, 30, False),
        parked_burst=(30, 30, False),
        after_off_s=180,
        watch_s=0,
        watch_report_s=0,
        watch_bodies=(),
        left_out=(
            ("drive_motors", "charging_state", "parked_charging"),
            ("engine", "charging_state", "parked_charging"),
        ),
    ),
)
