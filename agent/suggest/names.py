"""Names of signals to words, words to concepts: `BMS_PackVolt`, `batt_u` and `Spannung_HV` speak of the same things."""

import re
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["concepts", "spoken", "words"]

# Concept: every spelling seen, English, German, French, Swedish, Chinese in pinyin, and how engineers shorten them.
_VOCABULARY = """
vehicle: veh vehicle vhcl vehic vehicule fzg fahrzeug kfz fordon cheliang vh auto
speed: speed spd velocity vel geschw geschwindigkeit vitesse hastighet chesu vspd vxx speedo speedometer
odometer: odometer odo odomtr mileage kilometerstand kmstand kmstd milage licheng odom gesamtkm kilometrage totalkm wegstrecke
distance: distance dist dst strecke weg distanz juli
total: total tot ttl gesamt sum overall zong totl covered
trip: trip since tageskm partial daily reset
voltage: voltage volt volts vltg vlt spannung spg tension spanning dianya vbat vbatt voltages u
current: current curr cur amp amps amperage strom courant dianliu stroem i crnt currents
battery: battery batt bat batterie accu akku dianchi bty btry batteri battry
pack: pack hv hvb hvbat hvbatt hvbattery highvoltage hochvolt traction ess ress bms hvbms becm bmi lbc evb hybridbattery hvs tractionbattery gaoya hvbatterie bpcm hpcm
low: lv lvbatt aux auxiliary sli starter bordnetz kl30 kl30c 12v onboard lowvoltage supply vbus vehbat ecuvoltage ubatt
percent: percentage percent pct prozent
soc: soc stateofcharge ladezustand rsoc dsoc socdisplay usoc
energy: energy kwh wh energie
charge: charge charging charged chg chrg laden ladung ladevorgang chongdian
charger: charger obc onboardcharger chargr evse ccs dcfc inlet plug pilot mains grid laderaum qc cable chademo fastcharge lader fc
dcdc: dcdc dc2dc apm dclv
gear: gear gears prnd prndl shifter selector lever gang fahrstufe fahrstufen wahlhebel waehlhebel gearbox dangwei rapport vaxel gr gearpos gearlvr whebel getriebe shftlvr shft drivemode
shift: shift shifting shft shf schalt
transmission: transmission trans tcm tcu trn trans1 getrans
motor: motor mot emotor mcu drivemotor emachine em tmotor mg tm edrive isg dianji tractionmotor drivemotors motorspeed rotor di emot
inverter: inverter inv pcu wechselrichter pim igbt dpim mcu
engine: engine eng combustion ice ems ecm brennkraft verbrenn crank crankshaft kurbel moteur engn dme ecu ecmengine vkm
torque: torque trq tq moment drehmoment couple md niuju vridmoment torq drehm tor
rotation: rpm drehzahl revolution revs rotational zhuansu rotspeed varvtal regime drehz nmot rotspd rps tachometer
temperature: temperature temp tmp temperatur wendu temperature1 te temps
cell: cell cells zelle zellen zell dandi cellule
probe: probe sensor thermistor ntc tsens
module: module modul modules
extreme: highest lowest hottest coldest
mode: mode modus
state: state stat status st zustand zust sts stt staus etat
ignition: ignition ign ignsw zuendung zund contact kl15 klemme15 terminal15 zas ignitionstatus ignit allumage
key: key keyposition schluessel klemme klemmen
power: power pwr leistung puissance powermode sysmode
ready: ready drvready fahrbereit rdy
drive: drive driving drv fahren drivestate
insulation: insulation isolation iso isol isolationswiderstand jueyuan imd riso
resistance: resistance resist ohm widerstand
accelerator: accelerator accel acclr gas gaspedal accped fahrpedal apps accelpedal
brake: brake brk bremse bremspedal frein zhidong broms brems braking
pedal: pedal ped pedals
position: position pos lage poscn posn
longitude: longitude lon long lng laengengrad jingdu
latitude: latitude lat breitengrad weidu
gnss: gnss gps satellite fix navi nav
limit: limit lim lmt limitation grenze limited lmtd clamp allowed avail available capability grenz begrenzung limits threshold avl permitted possible
max: max maximum mx hoechst
min: min minimum mn mindest
target: target tgt trgt trg soll sollwert setpoint setp stp ziel desired des goal cible tar wunsch tgt1 nominal schaltziel sollw
request: request req rq rqst demand dmd anforderung anf requested requests wish rqd anfo
command: command cmd cmnd kommando ctrl control cntrl setting
set: set setspeed sets sync
error: error err fault flt fail failure fehler dtc malf defect erreur fehl diag diagnostic mil
warning: warning warn wrn wrnng alarm alert
lamp: lamp light led telltale lmp indicator ledlamp lampe
valid: valid vld validity inv_flag qf qual quality flag invalid qbit plaus gueltig vd
checksum: checksum crc chk cs chksum bz
counter: counter cnt ctr alive rolling cntr count msgcnt rc
relative: relative rel
wheel: wheel whl whls wheels rad rueck roue whlspd wss wheelspeed hjul raeder fl fr rl rr tyre tire
lead: lead leading vorausfahrend obj object objekt track obstacle
cruise: cruise acc cc tempomat gra scc lkas lka adas regler cacc fgr isa slc icc tsr
sign: sign schild tacho1 trafficsign
steering: steering steer str eps strg lenk lenkung sas mdps volant steeringwheel lenkrad epas psc pscm direction dirn stw
yaw: yaw gier lacet accelx accely lateral acceleration beschleunigung
angle: angle winkel
driver: driver fahrer operator conducteur drvr
fan: fan blower luefter lftr ventilator
pump: pump pmp pumpe
compressor: compressor comp kompressor eac
coolant: coolant cool clnt water wasser kuehl inlet outlet kuehlmittel radiator liquid ect glykol
oil: oil oel atf fluid
ambient: ambient amb outside aussen env environment exterior external umgebung oat outdoor
cabin: cabin interior incar hvac evap evaporator vent heater climate seat klima ptc heizung innen cab defrost cooler evapo
fuel: fuel kraftstoff tank lambda throttle youmen drossel cylinder zylinder benzin diesel manifold intake exhaust egr dpf ansaug turbo turbine spark injection boost urea
tpms: tpms pressure press druck rdk
phase: phase ph uvw stator phs
id: id iq vd vq axis
link: link bus dclink zwischenkreis
time: time zeit timestamp dauer remaining remain duration tim
rate: rate ratio gradient derivative ramp
predicted: predicted prediction model modeled estimated estimate est calc
capacity: capacity cap ah soh health
regen: regen recup recuperation rekup regenerative regeneration
button: button btn switch sw taster schalter paddle tip buttons bttn
average: average avg mean mittel
raw: raw adc
gap: gap headway distanz2
window: window fenster mirror door wiper wischer roof trunk lock horn belt airbag
serial: serial vin sernr sn serialnumber partnumber
bound: high hi upper lower
neutral: actual act actl ist measured meas messwert signal sig value val info data filtered filt display dsp dspl displayed dash cluster clu ic ipc kombi icm indicated ind report msg message com cf cr esp abs esc vcu vcm ecu can gateway gw bcm bsi ui real current1 and of the by from for in is to front rear left right primary main system sys driv di1 new vdc vsc dsc ebcm ebc tcs vsa absesc number num no n ch hs a b c d e f g hr
"""
_SPELLINGS = {
    spelling: concept
    for line in _VOCABULARY.strip().splitlines()
    for concept, spellings in [line.split(": ")]
    for spelling in spellings.split()
}
# Spellings of two meanings keep both: an inverter is a part of the motor's side, and `high` is a value.
_ALSO: dict[str, tuple[str, ...]] = {
    "mcu": ("inverter", "motor"),
    "bms": ("pack", "battery"),
    "hvbatt": ("pack", "battery"),
    "hvb": ("pack", "battery"),
}
_ALSO |= {"hvbat": ("pack", "battery"), "vbat": ("voltage", "battery"), "vbatt": ("voltage", "battery")}
_ALSO |= {"ubatt": ("low", "voltage", "battery"), "vspd": ("vehicle", "speed"), "chesu": ("vehicle", "speed")}
_ALSO |= {"speedometer": ("vehicle", "speed"), "speedo": ("vehicle", "speed"), "prnd": ("gear", "position")}
_ALSO |= {"prndl": ("gear", "position"), "whlspd": ("wheel", "speed"), "gearpos": ("gear", "position")}
_ALSO |= {
    "v": ("speed", "voltage"),
    "hvbattery": ("pack", "battery"),
    "traction": ("pack",),
    "lbc": ("pack", "battery"),
}
_ALSO |= {"becm": ("pack", "battery"), "bmi": ("pack", "battery"), "powermode": ("power", "mode"), "isg": ("motor",)}
_ALSO |= {"emotor": ("motor", "electric"), "emachine": ("motor", "electric"), "accped": ("accelerator", "pedal")}
_ALSO |= {
    "accelpedal": ("accelerator", "pedal"),
    "gaspedal": ("accelerator", "pedal"),
    "fahrpedal": ("accelerator", "pedal"),
}
_ALSO |= {"bremspedal": ("brake", "pedal"), "gearlvr": ("gear", "position"), "drvready": ("drive", "ready")}
_ALSO |= {"riso": ("insulation", "resistance"), "isolationswiderstand": ("insulation", "resistance")}
_ALSO |= {
    "kmstand": ("odometer",),
    "totalkm": ("odometer",),
    "emot": ("motor", "electric"),
    "edrive": ("motor", "electric"),
}

# Words of Chinese comments; longer ones first where one holds the other.
_CHINESE = {
    "总电压": ("total", "voltage"),
    "总电流": ("total", "current"),
    "车速": ("vehicle", "speed"),
    "里程": ("odometer",),
    "档位": ("gear",),
    "挡位": ("gear",),
    "转矩": ("torque",),
    "扭矩": ("torque",),
    "转速": ("rotation",),
    "电机": ("motor",),
    "温度": ("temperature",),
    "单体": ("cell",),
    "绝缘": ("insulation",),
    "电池": ("battery",),
    "电压": ("voltage",),
    "电流": ("current",),
    "充电机": ("charger",),
    "充电": ("charge",),
    "请求": ("request",),
    "限制": ("limit",),
    "最大": ("max",),
    "最小": ("min",),
    "最高": ("max",),
    "最低": ("min",),
    "目标": ("target",),
    "发动机": ("engine",),
    "状态": ("state",),
}
_PIECE = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_WHOLE = re.compile(
    r"(?i)dc[_/-]?dc|12v|kl\.?_?15|kl\.?_?30|SoC(?![a-z])|PRNDL?|kWh|state[_ ]?of[_ ]?charge|high[_ ]?voltage|low[_ ]?voltage"
)
_LONG = 5  # letters from which on a slip of the pen can be told from another word
_ALIKE = 86.0  # of 100
_LONG_SPELLINGS = sorted(spelling for spelling in _SPELLINGS if len(spelling) >= _LONG)


def words(name: str) -> tuple[str, ...]:
    """`BMS_PackVoltage2` -> bms, pack, voltage, 2."""
    found: list[str] = []
    for part in re.split(r"[^A-Za-z0-9]+", _WHOLE.sub(_marked, name)):
        found += [part] if _WHOLE.fullmatch(part) else _PIECE.findall(part)
    return tuple(word.lower() for word in found)


def _marked(match: re.Match[str]) -> str:
    return f"_{re.sub(r'[^A-Za-z0-9]', '', match[0]).lower()}_"


@lru_cache(maxsize=1 << 16)
def _meaning(word: str) -> tuple[str, ...]:
    """Concepts of one word; () where it means nothing to us."""
    if word in _ALSO:
        return _ALSO[word]
    if word in _SPELLINGS:
        return (_SPELLINGS[word],)
    if len(word) >= _LONG and (pieces := _pieces(word)):
        return tuple(concept for piece in pieces for concept in _meaning(piece))
    if len(word) >= _LONG and word.isalpha():
        from rapidfuzz import fuzz, process

        close = process.extractOne(word, _LONG_SPELLINGS, scorer=fuzz.ratio, score_cutoff=_ALIKE)
        if close is not None:
            return _meaning(close[0])
    return ()


def _pieces(word: str) -> list[str]:
    """`vehiclespeed` -> vehicle, speed: the fewest known spellings of three letters or more that make up the word."""
    best: list[list[str] | None] = [[]] + [None] * len(word)
    for end in range(3, len(word) + 1):
        for start in range(end - 2):
            before = best[start]
            known = word[start:end] in _SPELLINGS or word[start:end] in _ALSO
            if before is not None and known and (best[end] is None or len(before) + 1 < len(best[end] or [])):
                best[end] = [*before, word[start:end]]
    return best[-1] or []


@lru_cache(maxsize=1 << 16)
def concepts(name: str) -> tuple[frozenset[str], int]:
    """What a name speaks of, and how many of its words mean nothing to us (numbers and single letters aside)."""
    found: set[str] = set()
    strange = 0
    for word in words(name):
        meaning = _meaning(word)
        found.update(meaning)
        strange += not meaning and len(word) > 1 and not word.isdigit()
    return frozenset(found - {"neutral"}), strange


def spoken(text: str) -> frozenset[str]:
    """What the beginning of a comment speaks of."""
    text = text[:120]
    found = {concept for chinese, meaning in _CHINESE.items() if chinese in text for concept in meaning}
    return frozenset(found | _of(words(text)[:16]))


def _of(several: Iterable[str]) -> set[str]:
    return {concept for word in several if len(word) > 1 for concept in _meaning(word)} - {"neutral"}
