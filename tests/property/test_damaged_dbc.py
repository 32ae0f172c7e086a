"""Whatever happens to a published DBC file, it is read or refused in one line, and soon."""

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import ConfigError
from agent.mapping.dbcfile import load_dbc

MAX_S = 5.0
FILES = [
    "bmw_i3/i3_LIM_dbc1.dbc",
    "opendbc/hongqi_hs5.dbc",
    "opendbc/gm_global_a_high_voltage_management.dbc",
    "opendbc/gwm_haval_h6_phev_2024.dbc",
    "tesla_model_s/tesla_powertrain.dbc",
    "css/canmod-gnss.dbc",
    "css/tp_uds.dbc",
    "css/tp_j1939.dbc",
    "savvycan/bms.dbc",
]
places = st.floats(0, 1, exclude_max=True)
damage = st.one_of(
    st.tuples(st.just("line"), places, st.just(0)),  # a line that is gone
    st.tuples(st.just("twice"), places, st.just(0)),  # a line that stands there twice
    st.tuples(st.just("byte"), places, st.integers(1, 255)),
    st.tuples(st.just("cut"), places, st.just(0)),
)


def damaged(data: bytes, changes: "list[tuple[str, float, int]]") -> bytes:
    for kind, place, bits in changes:
        lines = data.split(b"\n")
        row = int(place * len(lines))
        at = int(place * len(data))
        if kind == "line":
            data = b"\n".join(lines[:row] + lines[row + 1 :])
        elif kind == "twice":
            data = b"\n".join(lines[: row + 1] + lines[row:])
        elif kind == "byte" and data:
            data = data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :]
        elif kind == "cut":
            data = data[:at]
    return data


@pytest.mark.parametrize("file", FILES)
@given(changes=st.lists(damage, min_size=1, max_size=5), lenient=st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_read_or_refused_in_one_line(
    file: str, changes: "list[tuple[str, float, int]]", lenient: bool, tbox_data: Path
) -> None:
    data = damaged((tbox_data / file).read_bytes(), changes)
    began = time.monotonic()
    try:
        load_dbc(file, data, lenient)
    except ConfigError as error:
        faults = error.faults
    else:
        faults = ["line 0: none"]
    assert time.monotonic() - began < MAX_S
    (said,) = faults
    assert said.startswith("line "), said
    assert "\n" not in said
