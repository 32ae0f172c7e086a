"""Extended multiplexing (SG_MUL_VAL_) in reassembled answers of a car: every value is the one that cantools decodes."""

from collections.abc import Iterator
from pathlib import Path

import cantools.database
import pytest

from agent.canlog.reader import read_log
from agent.core.frames import LatestFrames
from agent.core.sampler import Sampler
from agent.signalmap import load_mapping

# A body of the maker's own takes any signal as it is: raw counts.
FIELDS = {
    "soc": ("Battery", "M_SID_0x220101_StateOfChargeBMS", "u8"),
    "battery_response": ("Battery", "response", "u16"),
    "battery_service": ("Battery", "service", "u8"),
    "outdoor": ("Temperature", "M_SID_0x220100_OutdoorTemp", "u8"),
    "temperature_response": ("Temperature", "response", "u16"),
    "temperature_service": ("Temperature", "service", "u8"),
}
HEAD = """format = 1
name = "kona"
edition = "2016"
[dbc.uds]
files = ["data:css/tp_uds.dbc"]
"""


def field(name: str, message: str, signal: str, kind: str) -> str:
    invalid = "invalid = 255" if kind == "u8" else "invalid = 65535"
    source = f'{{ signal = "uds.{message}.{signal}", factor = 1, offset = 0 }}'
    return f'[[user.0x83.fields]]\nname = "{name}"\ntype = "{kind}"\n{invalid}\nsource = {source}\n'


def reassembled(path: Path) -> Iterator[tuple[int, bytes]]:
    """(identifier, payload) of whole ISO-TP answers: single frames, and first frames with all that follow in order."""
    open_ones: dict[int, tuple[int, int, bytes]] = {}  # by identifier: size, next number, what is there
    for _, _, can_id, data in read_log(path):
        kind = data[0] >> 4
        if kind == 0 and 1 <= data[0] <= 7:
            yield can_id, data[1 : 1 + data[0]]
        elif kind == 1:
            open_ones[can_id] = ((data[0] & 15) << 8 | data[1], 1, data[2:])
        elif kind == 2 and can_id in open_ones:
            size, number, parts = open_ones.pop(can_id)
            if data[0] & 15 == number & 15:
                parts += data[1:]
                if len(parts) >= size:
                    yield can_id, parts[:size]
                else:
                    open_ones[can_id] = (size, number + 1, parts)


@pytest.mark.parametrize("form", ["log", "MF4"])
def test_all_values_of_all_answers_are_cantools(
    form: str, tbox_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if form == "MF4":
        pytest.importorskip("asammdf", reason="the extra mf4 is not installed")
    monkeypatch.setenv("TBOX_DATA", str(tbox_data))
    path = tmp_path / "kona.toml"
    path.write_text(HEAD + "".join(field(name, *rest) for name, rest in FIELDS.items()))
    mapping = load_mapping(path, "2016", cache=False)
    database = cantools.database.load_file(tbox_data / "css/tp_uds.dbc", strict=False)
    compared = dict.fromkeys(FIELDS, 0)
    soc = set()
    for can_id, payload in reassembled(tbox_data / f"css/kona_uds_17BD1DB7.{form}"):
        if can_id not in (0x7EC, 0x7BB):
            continue
        frame = bytes([len(payload)]) + payload  # as the file's makers feed it: a length byte in front
        message = database.get_message_by_frame_id(can_id)
        theirs = message.decode(frame, decode_choices=False, scaling=False, allow_truncated=True)
        latest = LatestFrames(mapping.plan)
        latest.keep(0, can_id, frame, 0)
        ours = dict(Sampler(mapping.plan).sample(latest, 0))[0x83]
        for name, (owner, signal, kind) in FIELDS.items():
            unknown = 0xFF if kind == "u8" else 0xFFFF
            expected = theirs.get(signal, unknown) if owner == message.name else unknown
            assert ours[name] == expected, (name, frame.hex())
            compared[name] += expected != unknown
        if message.name == "Battery" and "M_SID_0x220101_StateOfChargeBMS" in theirs:
            soc.add(ours["soc"] / 2)
    assert min(compared.values()) > 50, compared
    assert soc == {50.0}
