"""Names that people read: Chinese from the standard, English from the names of the tables.

`label(name, lang, table)` serves every body, field, command, word and flag. A board has no use for this module.
"""

import os

from agent.labels_zh import BODIES, COMMANDS, FIELDS, FLAGS, PACKET, WORDS

LANGUAGES = ("zh", "en")

# Where the name in the table is not yet English as people write it.
_ENGLISH = {
    "activation_vin": "VIN",
    "bcc": "check code (BCC)",
    "brake": "brake pedal",
    "accelerator": "accelerator pedal",
    "cell": "cell voltage",
    "chip_id": "chip ID",
    "dcdc_state": "DC/DC state",
    "dcdc_temperature": "DC/DC temperature",
    "hex": "content",
    "hex_length": "content length",
    "iccid": "ICCID",
    "id": "parameter id",
    "probe": "probe temperature",
    "r": "signature R",
    "response": "response flag",
    "s": "signature S",
    "soc": "SOC",
    "soc_high": "SOC high",
    "soc_jump": "SOC jump",
    "soc_low": "SOC low",
    "vin": "VIN / unique id",
}

_ENGLISH_FLAGS = {
    "2025.cell_voltage_high": "minimum parallel unit voltage high",
    "2025.cell_voltage_low": "minimum parallel unit voltage low",
    "2025.cell_consistency": "minimum parallel unit consistency",
}

_ENGLISH_BODIES = {"user": "user-defined"}

# "table.field" of numbers that JSON shows as such, to what they mean.
MEANINGS = {
    "activation_answer.status": {1: "success", 2: "failure"},
    "activation_answer.information": {0: "none", 1: "chip already activated", 2: "VIN duplicate"},
}

# Control commands (annex B) by id: English, Chinese.
CONTROLS = {
    1: ("remote upgrade", "远程升级"),
    2: ("power off", "车载终端关机"),
    3: ("reset", "车载终端复位"),
    4: ("factory settings", "车载终端恢复出厂设置"),
    5: ("drop the data link", "断开数据通信链路"),
    6: ("alarm or warning", "车载终端报警/预警"),
    7: ("start sampling monitoring", "开启抽样监测链路"),
}


def language(given: str | None = None) -> str:
    """`given`, else "zh" where the locale of messages is Chinese, else "en"."""
    if given is not None:
        return given
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if os.environ.get(variable):
            return "zh" if os.environ[variable].lower().startswith("zh") else "en"
    return "en"


def english(name: str) -> str:
    """`name` of a table as English people write it."""
    if name.endswith(("_count", "_length")) and name not in _ENGLISH:
        thing, _, what = name.rpartition("_")
        return f"{english(thing)} {what}"
    return _ENGLISH.get(name, name.replace("_", " "))


def chinese(name: str, table: str = "") -> str | None:
    """The standard's name of a field of `table`, or of a part of the packet; None when there is none."""
    return FIELDS.get(f"{table}.{name}") or FIELDS.get(name) or PACKET.get(name)


def word(text: object, lang: str, table: str = "") -> str:
    """A word of an enumeration."""
    key = str(text)
    if lang == "zh":
        return WORDS.get(f"{table}.{key}") or WORDS.get(key) or key
    return key.replace("_", " ")


def flag(name: str, lang: str, edition: str = "") -> str:
    """A flag of the alarm body, as `edition` means it."""
    its_own = f"{edition}.{name}"
    if lang == "zh":
        return FLAGS.get(its_own) or FLAGS.get(name, name)
    return _ENGLISH_FLAGS.get(its_own) or english(name)


def label(name: str, lang: str, table: str = "") -> str:
    """The name of a field or of a part of the packet."""
    return (chinese(name, table) or english(name)) if lang == "zh" else english(name)


def body(name: str, lang: str) -> str:
    """The name of a body."""
    return BODIES.get(name, name) if lang == "zh" else _ENGLISH_BODIES.get(name, english(name))


def command(name: str, lang: str) -> str:
    """The name of a command."""
    return COMMANDS.get(name, name) if lang == "zh" else english(name)
