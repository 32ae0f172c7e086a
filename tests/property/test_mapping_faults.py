"""Whatever stands in a mapping or a DBC file, the answer is a working plan or a ConfigError, never another exception."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.core.editions import EDITIONS
from agent.core.frames import LatestFrames
from agent.core.report import encode_report
from agent.core.sampler import Sampler
from agent.errors import ConfigError
from agent.mapping.dbcfile import load_dbc
from agent.signalmap import load_mapping

DBC = """VERSION ""
BU_: A
BO_ 256 M: 8 A
 SG_ Page M : 0|8@1+ (1,0) [0|0] "" A
 SG_ C1 m0 : 8|16@1+ (0.001,0) [0|0] "V" A
 SG_ C2 m1 : 8|16@1+ (0.001,0) [0|0] "V" A
 SG_ Big : 39|12@0- (0.1,-40) [0|0] "degC" A
 SG_ Flag : 48|1@1+ (1,0) [0|0] "" A
VAL_ 256 Flag 0 "off" 1 "on" ;
"""
MAPPING = """format = 1
name = "car"
edition = ["2016", "2025"]
[dbc.b]
files = ["car.dbc"]
lenient = true
[messages."b.M"]
timeout_ms = 1000
alive_counter = "Page"
checksum = { signal = "Page", kind = "crc8", polynomial = 1 }
[vehicle]
vehicle_state = { signal = "b.M.Flag", values = { 0 = "off", 1 = "started" } }
speed = { expression = "b.M.Big / 2 if b.M.Flag else 0" }
soc = { signal = "b.M.Big", unit = "%", factor = 0.5, offset = 1, sign = -1, not_available_raw = [1], abnormal_raw = [2] }
gear = { gear = { constant = "D" }, driving_force = "b.M.Flag" }
[[drive_motors.motors]]
repeat = 2
number = { constant = "{n}" }
torque = { constant = 1 }
[position]
longitude = { signal = "b.M.Big", unit = "deg" }
latitude = { signal = "b.M.Big", unit = "deg" }
valid = "b.M.Flag"
[extremes]
[storage_voltages]
cells = { signal = "b.M.C{n}", count = 2, first = 1 }
[storage_temperatures]
probes = ["b.M.Big"]
[alarms]
flags = { soc_low = "b.M.Flag" }
levels = { soc_low = 1 }
default_level = 2
storage_faults = { signal = "b.M.C{n}", count = 2 }
other_faults = []
[unit_voltages]
cells = ["b.M.C1", "b.M.C2"]
[fuel_cell_stacks]
probes = []
[supercapacitor]
number = { constant = 2 }
cells = { signal = "b.M.C{n}", count = 2 }
probes = ["b.M.Big"]
[supercapacitor_extremes]
[[user.0x83.fields]]
name = "own"
type = "i16"
unit = "degC"
factor = 0.5
offset = 4
lo = -40
hi = 200
invalid = -32768
source = "b.M.Big"
[[user.0x83.fields]]
name = "other"
type = "u32"
source = { expression = "b.M.Big + 1" }
"""
VALUES = (
    *(
        "0",
        "-1",
        "1.5",
        "nan",
        "inf",
        "true",
        '""',
        '"x"',
        '"{n}"',
        '"b.M.Big"',
        '"b.M.C{n}"',
        "[]",
        "[1]",
        "[[]]",
        "[{}]",
        "{}",
    ),
    *(
        '["a"]',
        "{ a = 1 }",
        '{ signal = "b.M.Flag" }',
        "{ constant = 7 }",
        '{ expression = "1/0" }',
        "99999999999999999999",
    ),
    *(
        '{ expression = "b.M.Big > 1 and b.M.Flag" }',
        '{ signal = "b.M.C{n}", count = 2 }',
        '["2016", []]',
        "1979-05-27",
        '"0x100"',
    ),
)
LINES = MAPPING.splitlines()
keys = st.sampled_from([index for index, line in enumerate(LINES) if " = " in line])


@pytest.mark.parametrize("edition", sorted(EDITIONS))
def test_the_mapping_as_it_stands_is_a_plan(edition: str, tmp_path: Path) -> None:
    """Else every change of it would end in the same ConfigError."""
    (tmp_path / "car.dbc").write_text(DBC)
    (tmp_path / "car.toml").write_text(MAPPING)
    assert load_mapping(tmp_path / "car.toml", edition, cache=False).plan["bodies"]


@pytest.mark.parametrize("edition", sorted(EDITIONS))
@given(changes=st.lists(st.tuples(keys, st.sampled_from(VALUES), st.integers(0, 3)), min_size=1, max_size=2))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_mapping_gives_a_plan_or_a_config_error(
    changes: list[tuple[int, str, int]], edition: str, tmp_path: Path
) -> None:
    lines = list(LINES)
    for index, value, depth in changes:
        # Replace the value behind the first, second, ... equals sign: whole values and the parts of inline tables.
        parts = LINES[index].split(" = ")
        depth = min(depth, len(parts) - 2)
        rest = parts[depth + 1]
        tail = rest[rest.index(",") :] if depth and "," in rest else " }" * (depth and 1)
        lines[index] = " = ".join([*parts[: depth + 1], value + tail])
    (tmp_path / "car.dbc").write_text(DBC)
    mapping = tmp_path / "car.toml"
    mapping.write_text("\n".join(lines))
    try:
        compiled = load_mapping(mapping, edition, cache=False)
    except ConfigError:
        return
    latest = LatestFrames(compiled.plan)
    for page in (0, 1, 7):
        latest.keep(0, 256, bytes([page, 0xA0, 0x0F, 0, 1, 0x80, 1, 0]), 0)
    assert encode_report(compiled.edition, Sampler(compiled.plan).sample(latest, 0))


@given(
    edits=st.lists(
        st.tuples(
            st.integers(0, len(DBC)),
            st.integers(0, 20),
            st.sampled_from(['"', ";", "\n", " ", "BO_ ", "SG_ ", "9" * 12, "|", "é"]),
        ),
        min_size=1,
        max_size=4,
    ),
    lenient=st.booleans(),
)
@settings(max_examples=300)
def test_any_dbc_file_is_read_or_refused_with_a_reason(edits: list[tuple[int, int, str]], lenient: bool) -> None:
    text = DBC
    for start, removed, added in edits:
        text = text[:start] + added + text[start + removed :]
    try:
        dbc = load_dbc("car.dbc", text.encode(), lenient)
    except ConfigError as error:
        reason = error.faults[0]
    else:
        reason = "none"
        assert all(dbc.scaling(message, signal) for message in dbc.messages for signal in message.signals)
    assert reason.strip()


def test_a_width_of_a_thousand_million_digits_is_no_number_format(tmp_path: Path) -> None:
    (tmp_path / "car.dbc").write_text(DBC)
    mapping = tmp_path / "car.toml"
    mapping.write_text(MAPPING.replace('constant = "{n}"', 'constant = "{n:0999999999d}"'))
    with pytest.raises(ConfigError):
        load_mapping(mapping, "2016", cache=False)
