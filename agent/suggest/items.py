"""What the items of GB/T 32960 look like in a DBC file: names, units, ranges, words of value tables. A row per item."""

from dataclasses import dataclass

__all__ = ["CORE", "ITEMS", "NOT_AVAILABLE", "Item"]

# Words of a value table that mean "there is no value".
NOT_AVAILABLE = (
    "sna", "snv", "invalid", "inval", "notavailable", "not_available", "notavail", "not_avail", "unavailable", "unknown",
    "error", "fault", "init", "signalerror", "undefined", "nicht", "fehler", "ungueltig", "notvalid", "not_valid", "noinit",
    "signal_error", "unplausible", "default", "deafult",
)  # fmt: skip

# What a value of a quantity is not: a limit, a wish, something about it.
NOT_A_VALUE = (
    "limit", "target", "request", "command", "set", "error", "warning", "lamp", "valid", "checksum", "counter", "relative",
    "lead", "cruise", "sign", "time", "rate", "predicted", "capacity", "raw", "button", "serial", "yaw", "angle", "gap",
    "window", "tpms", "lateral", "driver", "steering", "consumer",
)  # fmt: skip


@dataclass(frozen=True)
class Item:
    """One item of the mapping.

    `phrases`: concepts that a name must hold, with how well they name the item; `against`: concepts that speak for something
    else, beside `NOT_A_VALUE`; `allowed`: of those, the ones that do no harm here. `reach`: what the largest value that the
    bits can hold must lie within; `plausible`: what a real car shows. All in `unit`. `words`: raw texts to the words of the
    standard, of which `needed` distinct ones must be there. `proof`: concepts (any) without which nobody can be sure.
    """

    path: str
    unit: str
    phrases: tuple[tuple[str, float], ...]
    against: str = ""
    allowed: str = ""
    reach: tuple[float, float] = (0, 1e12)
    plausible: tuple[float, float] = (-1e12, 1e12)
    least_bits: int = 4
    words: tuple[tuple[str, str], ...] = ()
    needed: tuple[str, ...] = ()
    proof: str = ""
    label: str = ""
    high_voltage: bool = False


_STATES = (
    ("started", "started"), ("run", "started"), ("running", "started"), ("ready", "started"), ("drive", "started"),
    ("driving", "started"), ("ign on", "started"), ("ignition on", "started"), ("key on", "started"), ("on", "started"),
    ("discharge", "started"), ("ign run", "started"), ("ignition", "started"), ("ignition run", "started"),
    ("power on", "started"), ("fahren", "started"), ("ein", "started"), ("ig on", "started"), ("ig2", "started"),
    ("off", "off"), ("lock", "off"), ("locked", "off"), ("key off", "off"), ("ign off", "off"), ("ignition off", "off"),
    ("park", "off"), ("parked", "off"), ("parking", "off"), ("sleep", "off"), ("aus", "off"), ("power off", "off"),
    ("ig off", "off"), ("accessory", "other"), ("acc", "other"), ("crank", "other"), ("cranking", "other"), ("start", "other"),
    ("charge", "other"), ("charging", "other"), ("standby", "other"), ("precharge", "other"), ("acc on", "other"),
    ("unlock", "other"),
)  # fmt: skip
_GEARS = (
    ("p", "P"), ("park", "P"), ("parking", "P"), ("parked", "P"), ("r", "R"), ("reverse", "R"), ("rev", "R"),
    ("rueckwaerts", "R"), ("back", "R"), ("n", "N"), ("neutral", "N"), ("d", "D"), ("drive", "D"), ("forward", "D"),
    ("vorwaerts", "D"), ("drive sport", "D"), ("s", "D"), ("sport", "D"), ("b", "D"), ("ds", "D"), ("l", "D"), ("low", "D"),
    ("eco", "D"),
    *((str(number), str(number)) for number in range(1, 7)),
    *((f"gear {number}", str(number)) for number in range(1, 7)),
    ("first", "1"), ("second", "2"), ("third", "3"), ("fourth", "4"), ("fifth", "5"), ("sixth", "6"),
)  # fmt: skip
_CHARGES = (
    ("not charging", "not_charging"), ("notcharging", "not_charging"), ("no charge", "not_charging"),
    ("no charging", "not_charging"), ("idle", "not_charging"), ("disconnected", "not_charging"), ("off", "not_charging"),
    ("charging", "parked_charging"), ("charge active", "parked_charging"), ("ac charging", "parked_charging"),
    ("dc charging", "parked_charging"), ("complete", "charge_complete"), ("charge complete", "charge_complete"),
    ("full", "charge_complete"), ("finished", "charge_complete"), ("charged", "charge_complete"),
)  # fmt: skip

_TEMPERATURES = (
    "coolant ambient cabin engine oil charger dcdc target min max limit request fan fuel pump window driver inverter"
)

ITEMS: tuple[Item, ...] = (
    Item(
        "vehicle.vehicle_state",
        "",
        (
            ("vehicle state", 0.9),
            ("ignition", 0.85),
            ("ignition state", 0.9),
            ("power mode", 0.8),
            ("power state", 0.75),
            ("key state", 0.8),
            ("key", 0.7),
        ),
        against="charge charger battery brake cell gear dcdc engine motor pump fan door limit request lamp accelerator "
        "transmission hold speed distance gap voltage current temperature torque",
        allowed="driver valid",
        least_bits=1,
        words=_STATES,
        needed=("started", "off"),
        label="vehicle state",
    ),
    Item(
        "vehicle.speed",
        "km/h",
        (("vehicle speed", 1.0), ("speed", 0.72)),
        against="wheel motor engine rotation fan wind pump window gear min max trip charge torque regen average position "
        "compressor inverter transmission gnss",
        reach=(60, 700),
        plausible=(-1, 260),
        least_bits=7,
        label="speed",
    ),
    Item(
        "vehicle.odometer",
        "km",
        (("odometer", 1.0), ("total distance", 0.95), ("vehicle distance", 0.75)),
        against="gnss trip low speed charge energy limit gap lead remain min max wheel",
        reach=(60000, 1e11),
        plausible=(0, 3e6),
        least_bits=17,
        label="odometer",
    ),
    Item(
        "vehicle.total_voltage",
        "V",
        (
            ("pack voltage", 1.0),
            ("pack battery voltage", 1.0),
            ("total voltage", 0.9),
            ("battery voltage", 0.88),
            ("system voltage", 0.7),
        ),
        against="cell module charger low max min motor dcdc link probe extreme phase charge engine average inverter fan regen "
        "sum12 predicted insulation",
        reach=(150, 7000),
        plausible=(40, 1000),
        least_bits=8,
        proof="pack total battery",
        label="total voltage",
    ),
    Item(
        "vehicle.total_current",
        "A",
        (
            ("pack current", 1.0),
            ("pack battery current", 1.0),
            ("total current", 0.88),
            ("battery current", 0.9),
        ),
        against="cell module charger low max min motor dcdc phase fan cabin compressor steering link regen pump charge "
        "inverter id engine insulation",
        reach=(20, 9000),
        plausible=(-2000, 2000),
        least_bits=8,
        proof="pack total battery",
        label="total current",
        high_voltage=True,
    ),
    Item(
        "vehicle.soc",
        "%",
        (("soc", 0.9), ("pack soc", 1.0), ("battery soc", 0.95), ("battery percent", 0.9)),
        against="min max low bound charger energy voltage current temperature charge fuel module cell target engine "
        "accelerator brake pedal",
        reach=(90, 7000),
        plausible=(0, 110),
        least_bits=7,
        label="SOC",
        high_voltage=True,
    ),
    Item(
        "vehicle.gear.gear",
        "",
        (("gear position", 0.95), ("gear", 0.85), ("shift position", 0.8), ("transmission gear", 0.9)),
        against="rotation torque speed temperature oil steering shift transmission engine motor charge wheel seat ready display",
        allowed="shift transmission driver engine motor",
        least_bits=2,
        words=_GEARS,
        needed=("R", "D", "N"),
        label="gear",
    ),
    Item(
        "drive_motors.motors.torque",
        "N.m",
        (("motor torque", 1.0), ("inverter torque", 0.85), ("torque", 0.5)),
        against="engine wheel brake max min regen transmission fan pump window friction axis",
        reach=(60, 40000),
        plausible=(-6500, 6500),
        least_bits=8,
        proof="motor inverter",
        label="motor torque",
    ),
    Item(
        "drive_motors.motors.speed",
        "r/min",
        (
            ("motor speed", 1.0),
            ("motor rotation", 1.0),
            ("inverter speed", 0.8),
            ("inverter rotation", 0.8),
            ("shaft speed", 0.55),
        ),
        against="engine wheel vehicle max min fan pump compressor window turbine fuel cabin",
        reach=(3000, 140000),
        plausible=(-22000, 22000),
        least_bits=8,
        proof="motor inverter",
        label="motor speed",
    ),
    Item(
        "drive_motors.motors.temperature",
        "degC",
        (("motor temperature", 1.0), ("phase temperature", 0.7)),
        against=_TEMPERATURES + " battery cell",
        reach=(80, 700),
        plausible=(-45, 210),
        least_bits=7,
        proof="motor phase",
        label="motor temperature",
    ),
    Item(
        "drive_motors.motors.controller_temperature",
        "degC",
        (("inverter temperature", 1.0),),
        against=_TEMPERATURES.replace(" inverter", "") + " battery cell phase",
        reach=(80, 700),
        plausible=(-45, 210),
        least_bits=7,
        proof="inverter",
        label="motor controller temperature",
    ),
    Item(
        "vehicle.charging_state",
        "",
        (("charge state", 0.9), ("charger state", 0.5)),
        against="soc energy voltage current temperature limit battery lamp request low",
        least_bits=2,
        words=_CHARGES,
        needed=("parked_charging", "not_charging"),
        label="charging state",
    ),
    Item(
        "vehicle.insulation_resistance",
        "kOhm",
        (("insulation resistance", 1.0), ("insulation", 0.75)),
        against="state max min limit cell",
        reach=(400, 1e7),
        plausible=(0, 1e6),
        least_bits=8,
        label="insulation resistance",
    ),
    Item(
        "vehicle.accelerator",
        "%",
        (("accelerator pedal", 1.0), ("accelerator position", 0.95), ("accelerator", 0.75)),
        against="brake engine speed torque voltage rate fuel yaw acceleration min max battery lateral longitude",
        reach=(99, 140),
        plausible=(0, 110),
        least_bits=6,
        label="accelerator pedal",
    ),
    Item(
        "vehicle.brake",
        "%",
        (("brake pedal", 1.0), ("brake position", 0.95)),
        against="accelerator torque speed pressure force engine wheel min max tpms regen",
        reach=(99, 140),
        plausible=(0, 110),
        least_bits=6,
        label="brake pedal",
    ),
    Item(
        "position.longitude",
        "deg",
        (("longitude", 1.0),),
        against="accelerator speed lead gap error rate",
        reach=(179, 4500),
        plausible=(-180, 180),
        least_bits=22,
        label="longitude",
    ),
    Item(
        "position.latitude",
        "deg",
        (("latitude", 1.0),),
        against="accelerator speed lead gap error rate",
        reach=(89, 4500),
        plausible=(-90, 90),
        least_bits=22,
        label="latitude",
    ),
)
# One battery probe is good enough for the tenth; lists are found by `proposals`.
CORE = (
    "vehicle.vehicle_state",
    "vehicle.speed",
    "vehicle.odometer",
    "vehicle.total_voltage",
    "vehicle.total_current",
    "vehicle.soc",
    "vehicle.gear.gear",
    "drive_motors.motors.torque",
    "drive_motors.motors.speed",
)
# The temperature of a pack that has no list of probes.
PACK_TEMPERATURE = Item(
    "storage_temperatures.probes",
    "degC",
    (("pack temperature", 0.9), ("battery temperature", 0.85), ("cell temperature", 0.8), ("system temperature", 0.6)),
    against="coolant ambient cabin engine oil charger dcdc target limit request fan fuel pump low consumer motor inverter",
    reach=(50, 7000),
    plausible=(-45, 120),
    least_bits=7,
    label="battery temperature",
)
