"""The words of signal names and what they speak of: English, German, French, Swedish, pinyin, and engineers' shorthand."""

__all__ = ["ALSO", "CHINESE", "SPELLINGS"]

# Concept: every spelling seen, English, German, French, Swedish, Chinese in pinyin, and how engineers shorten them.
_VOCABULARY = """
vehicle: veh vehicle vhcl vehic vehicule fzg fahrzeug kfz fordon cheliang vh
speed: speed spd velocity vel geschw geschwindigkeit vitesse hastighet chesu vspd vxx speedo speedometer
odometer: odometer odo odomtr mileage kilometerstand kmstand kmstd milage licheng odom gesamtkm kilometrage totalkm wegstrecke
distance: distance dist dst strecke weg distanz juli
total: total tot ttl gesamt sum overall zong totl covered
trip: trip since tageskm partial daily reset
voltage: voltage volt volts vltg vlt spannung spg tension spanning dianya vbat vbatt voltages u
current: current curr cur amp amps amperage strom courant dianliu stroem i crnt currents
battery: battery batt bat batterie accu akku dianchi bty btry batteri battry
pack: pack hv trac hvb hvbat hvbatt hvbattery highvoltage hochvolt traction ess ress bms hvbms becm bmi lbc evb
  hybridbattery hvs
  tractionbattery gaoya hvbatterie bpcm hpcm
low: lv lvbatt aux auxiliary sli starter bordnetz kl30 kl30c 12v onboard lowvoltage supply vbus vehbat ecuvoltage ubatt
percent: percentage percent pct prozent
soc: soc stateofcharge ladezustand rsoc dsoc socdisplay usoc
energy: energy kwh wh energie
charge: charge charging charged chg chrg laden ladung ladevorgang chongdian
charger: charger obc onboardcharger chargr evse ccs dcfc inlet plug pilot mains grid laderaum qc cable chademo fastcharge
  lader fc
dcdc: dcdc dc2dc apm dclv
gear: gear gears prnd prndl shifter selector lever gang fahrstufe fahrstufen wahlhebel waehlhebel gearbox dangwei rapport
  vaxel gr gearpos gearlvr whebel getriebe shftlvr shft drivemode
shift: shift shifting shft shf schalt
transmission: transmission trans tcm tcu trn trans1 getrans
motor: motor mtr propulsion prplsn mot emotor mcu drivemotor emachine em tmotor mg tm edrive isg dianji tractionmotor
  drivemotors motorspeed rotor
  emot
inverter: inverter inv pcu wechselrichter pim igbt dpim mcu
engine: engine eng combustion ice ems ecm brennkraft verbrenn crank crankshaft kurbel moteur engn dme ecu ecmengine vkm
torque: torque trq tq moment drehmoment couple md niuju vridmoment torq drehm tor
rotation: rpm drehzahl revolution revs rotational zhuansu rotspeed varvtal regime drehz nmot rotspd tach rps tachometer
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
limit: limit ovr over lim lmt limitation grenze limited lmtd clamp allowed avail available capability grenz begrenzung
  limits threshold
  avl permitted possible
max: max maximum mx hoechst
min: min minimum mn mindest
target: target tgt trgt trg soll sollwert setpoint setp stp ziel desired des goal cible tar wunsch tgt1 nominal schaltziel
  sollw
request: request req rq rqst demand dmd anforderung anf requested requests wish rqd anfo
command: command comnd comand cmd cmnd kommando ctrl control cntrl setting
set: set setspeed sets sync
error: error err fault flt fail failure fehler dtc malf defect erreur fehl diag diagnostic mil
warning: warning warn wrn wrnng alarm alert
lamp: lamp light led telltale lmp indicator ledlamp lampe
valid: valid vld validity inv_flag qf qual quality flag invalid qbit plaus gueltig vd
checksum: checksum crc chk cs chksum bz
counter: counter cnt ctr alive rolling cntr count msgcnt rc
relative: relative rel
wheel: wheel whl whls wheels rad rueck roue whlspd wss wheelspeed hjul raeder fl fr rl rr tyre tire
lead: lead leading path trajectory vorausfahrend obj object objekt track obstacle
cruise: cruise acc cc tempomat gra scc lkas lka adas regler cacc fgr isa slc icc tsr
sign: sign schild tacho1 trafficsign
shaft: shaft welle achse axle
hold: hold halten standstill
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
cabin: cabin interior incar hvac evap evaporator vent climate seat klima ptc innen cab defrost cooler evapo
fuel: fuel kraftstoff tank lambda throttle youmen drossel cylinder zylinder benzin diesel manifold intake exhaust egr dpf
  ansaug turbo turbine spark injection boost urea
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
window: window liftgate fenster mirror door wiper wischer roof trunk lock horn belt airbag
consumer: consumer consumers verbraucher load loads last ekk heater heizer heiz heizung heizstrom
serial: serial vin sernr sn serialnumber partnumber
bound: high hi upper lower
neutral: actual act actl ist measured meas messwert signal sig value val info data filtered filt display dsp dspl displayed
  dash cluster clu ic ipc kombi icm indicated ind report msg message com cf cr esp abs esc vcu vcm ecu can gateway gw bcm bsi
  ui real current1 and of the by from for in is to front rear left right primary main system sys driv di1 new vdc vsc dsc ebcm
  ebc tcs vsa absesc number num no n ch hs a b c d e f g hr
"""
SPELLINGS = {
    spelling: concept
    for line in _VOCABULARY.strip().replace("\n  ", " ").splitlines()
    for concept, spellings in [line.split(": ")]
    for spelling in spellings.split()
}
# Spellings of two meanings keep both: an inverter is a part of the motor's side, and `high` is a value.
ALSO: dict[str, tuple[str, ...]] = {
    "mcu": ("inverter", "motor"),
    "bms": ("pack", "battery"),
    "hvbatt": ("pack", "battery"),
    "hvb": ("pack", "battery"),
}
ALSO |= {"hvbat": ("pack", "battery"), "vbat": ("voltage", "battery"), "vbatt": ("voltage", "battery")}
ALSO |= {"ubatt": ("low", "voltage", "battery")}
ALSO |= {"vs": ("vehicle", "speed"), "vspd": ("vehicle", "speed"), "chesu": ("vehicle", "speed")}
ALSO |= {"speedometer": ("vehicle", "speed"), "speedo": ("vehicle", "speed"), "prnd": ("gear", "position")}
ALSO |= {"prndl": ("gear", "position"), "whlspd": ("wheel", "speed"), "gearpos": ("gear", "position")}
ALSO |= {
    "v": ("speed", "voltage"),
    "hvbattery": ("pack", "battery"),
    "traction": ("pack",),
    "lbc": ("pack", "battery"),
}
ALSO |= {"becm": ("pack", "battery"), "bmi": ("pack", "battery"), "powermode": ("power", "mode"), "isg": ("motor",)}
ALSO |= {"emotor": ("motor", "electric"), "emachine": ("motor", "electric"), "accped": ("accelerator", "pedal")}
ALSO |= {
    "accelpedal": ("accelerator", "pedal"),
    "gaspedal": ("accelerator", "pedal"),
    "fahrpedal": ("accelerator", "pedal"),
}
ALSO |= {"bremspedal": ("brake", "pedal"), "gearlvr": ("gear", "position"), "drvready": ("drive", "ready")}
ALSO |= {"riso": ("insulation", "resistance"), "isolationswiderstand": ("insulation", "resistance")}
ALSO |= {
    "kmstand": ("odometer",),
    "totalkm": ("odometer",),
    "emot": ("motor", "electric"),
    "edrive": ("motor", "electric"),
}

# Words of Chinese comments; longer ones first where one holds the other.
CHINESE = {
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
