"""The traffic that several rows share: 60 messages of four signals in turn, all wanted by the mapping."""

import tempfile
from pathlib import Path
from typing import Any

import can

from agent.signalmap import load_mapping

MESSAGES = 60
FIRST_ID = 0x100


def message(number: int) -> can.Message:
    """The frame with this number; its data differ from frame to frame."""
    data = (number * 0x9E3779B97F4A7C15 & (1 << 64) - 1).to_bytes(8, "little")
    return can.Message(arbitration_id=FIRST_ID + number % MESSAGES, is_extended_id=False, data=data, channel="bench")


def dbc_text() -> str:
    """The DBC file of the mapped messages M1, M2, ..."""
    messages = []
    for number in range(MESSAGES):
        rows = [f"BO_ {FIRST_ID + number} M{number + 1}: 8 BMS"]
        rows += [f' SG_ S{at + 1} : {16 * at}|16@1+ (0.001,0) [0|65.535] "V" TBOX' for at in range(4)]
        messages.append("\n".join(rows))
    return 'VERSION ""\n\nNS_ :\n\nBS_:\n\nBU_: BMS TBOX\n\n' + "\n\n".join(messages) + "\n"


def compiled_plan() -> dict[str, Any]:
    """The plan of a mapping that takes the first signal of each message as a cell voltage."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "bench.dbc").write_text(dbc_text())
        mapping = Path(folder, "bench.toml")
        mapping.write_text(
            'format = 1\nname = "bench"\nedition = "2016"\n[dbc.pt]\nfiles = ["bench.dbc"]\n'
            f'[storage_voltages]\ncells = {{ signal = "pt.M{{n}}.S1", count = {MESSAGES}, first = 1 }}\n'
        )
        return load_mapping(mapping, "2016", cache=False).plan
