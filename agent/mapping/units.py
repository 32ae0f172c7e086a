"""Numbers as they are printed, and units of DBC files and of the standard's tables with the exact conversion between two."""

from decimal import Decimal, InvalidOperation
from fractions import Fraction

__all__ = ["UNITS", "conversion", "dimension", "exact"]

MAX_EXPONENT = 60  # of ten; a ratio of integers needs as many digits


def exact(number: str | int | Decimal) -> Fraction:
    """The exact value of a decimal as written; ValueError unless it is finite and of a size that means something."""
    try:
        decimal = Decimal(number)
    except InvalidOperation:
        raise ValueError(f"{number} is not a number") from None
    if not decimal.is_finite() or (decimal and abs(decimal.adjusted()) > MAX_EXPONENT):
        raise ValueError(f"{number} is not within 1e-{MAX_EXPONENT}..1e{MAX_EXPONENT}")
    return Fraction(decimal)


# Dimension -> {unit: (factor, offset)}, base = value * factor + offset. Both sides of a conversion use the same base.
_DIMENSIONS: dict[str, dict[str, tuple[Fraction, Fraction]]] = {}


def _define(name: str, **spellings: tuple[str, str | int, str | int]) -> None:
    """Each keyword holds (spellings separated by spaces, factor, offset)."""
    units = _DIMENSIONS.setdefault(name, {})
    for texts, factor, offset in spellings.values():
        for text in texts.split():
            units[_normal(text)] = (Fraction(factor), Fraction(offset))


def _normal(unit: str) -> str:
    """One spelling of a unit: no blanks, signs that look alike made one, case kept only where it means something."""
    text = unit.strip().replace(" ", "").replace("\N{OHM SIGN}", "Ω").replace("\N{MICRO SIGN}", "u").replace("μ", "u")
    text = text.replace("·", ".").replace("*", ".").replace("º", "°").replace("\N{DEGREE CELSIUS}", "°C")
    if text[:1] in "mM" and text[1:].lower() in _PREFIXED:
        return text[0] + text[1:].lower()
    return text.lower()


# Units where m (milli) and M (mega) both occur.
_PREFIXED = {"v", "a", "ohm", "ohms", "Ω", "ω", "pa", "w"}

_define(
    "speed",
    kmh=("km/h kmh kph kmph", 1, 0),
    ms=("m/s mps m/sec", "18/5", 0),
    mph=("mph mi/h", "1.609344", 0),
    knots=("knot knots kn", "1.852", 0),
    cms=("cm/s", "0.036", 0),
)
_define(
    "distance",
    km=("km kilometer kilometre", 1, 0),
    m=("m meter meters metre", "0.001", 0),
    mile=("mi mile miles", "1.609344", 0),
    hm=("hm", "0.1", 0),
)
_define(
    "voltage",
    v=("V volt volts", 1, 0),
    mv=("mV millivolt millivolts", "0.001", 0),
    uv=("uV", "0.000001", 0),
    kv=("kV", 1000, 0),
)
_define(
    "current",
    a=("A amp amps ampere", 1, 0),
    ma=("mA milliamp milliamps", "0.001", 0),
    ka=("kA", 1000, 0),
)
_define(
    "temperature",
    c=("degC °C C deg_C celsius degcelsius", 1, 0),
    f=("degF °F F fahrenheit degfahrenheit", "5/9", "-160/9"),
    k=("K kelvin degK °K", 1, "-273.15"),
)
_define(
    "resistance",
    kohm=("kOhm kOhms kΩ", 1, 0),
    ohm=("Ohm Ohms Ω", "0.001", 0),
    mohm=("MOhm MOhms MΩ", 1000, 0),
    milliohm=("mOhm mOhms mΩ", "0.000001", 0),
)
_define("share", percent=("% percent pct", 1, 0), promille=("‰ permille", "0.1", 0))
_define(
    "rotation",
    rpm=("r/min rpm 1/min min-1 rev/min u/min rpms", 1, 0),
    rps=("r/s rps rev/s 1/s", 60, 0),
)
_define(
    "torque",
    nm=("N.m Nm Newton.meter", 1, 0),
    knm=("kN.m kNm", 1000, 0),
    lbft=("lb.ft lbft ft.lb ftlb", "1.3558179483314004", 0),
)
_define("angle", deg=("deg ° degree degrees", 1, 0), minute=("arcmin", "1/60", 0))
_define(
    "pressure",
    mpa=("MPa", 1, 0),
    kpa=("kPa", "0.001", 0),
    pa=("Pa", "0.000001", 0),
    bar=("bar", "0.1", 0),
    mbar=("mbar hPa", "0.0001", 0),
    psi=("psi", "0.006894757293168361", 0),
)
_define("fuel", l=("L/100km", 1, 0))
_define("hydrogen", kg=("kg/100km", 1, 0), g=("g/100km", "0.001", 0))
_define("concentration", mgkg=("mg/kg", 1, 0), ppm=("ppm", 1, 0))
_define("power", w=("W watt watts", 1, 0), kw=("kW", 1000, 0), mw=("MW", 1000000, 0))
_define("energy", kwh=("kWh", 1000, 0), wh=("Wh", 1, 0))
_define("charge", ah=("Ah", 1, 0), mah=("mAh", "0.001", 0))
_define("frequency", hz=("Hz", 1, 0), khz=("kHz", 1000, 0))
_define(
    "time",
    s=("s sec secs second seconds", 1, 0),
    ms=("ms msec", "0.001", 0),
    min=("min mins minute minutes", 60, 0),
    h=("h hr hour hours", 3600, 0),
    day=("day days", 86400, 0),
)

UNITS = sorted({unit for units in _DIMENSIONS.values() for unit in units})


def dimension(unit: str) -> str | None:
    """What a unit measures, or None where its spelling is not known."""
    text = _normal(unit)
    for name, units in _DIMENSIONS.items():
        if text in units:
            return name
    return None


def conversion(source: str, target: str) -> tuple[Fraction, Fraction] | None:
    """(factor, offset) with target value = source value * factor + offset; None where the two measure different things.

    Both units must be known (see `dimension`).
    """
    for units in _DIMENSIONS.values():
        found, wanted = units.get(_normal(source)), units.get(_normal(target))
        if found and wanted:
            return found[0] / wanted[0], (found[1] - wanted[1]) / wanted[0]
    return None
