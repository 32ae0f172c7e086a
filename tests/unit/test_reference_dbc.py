"""The reference DBC is sound, our packing agrees with cantools, and the mappings name what exists."""

import re
import tomllib
from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import cantools
import pytest
from cantools.database.can import Database
from hypothesis import given
from hypothesis import strategies as st

from agent.core.edition2025 import FLAGS
from bench.alarms import ALARMS, active_codes, alarms_of
from bench.cycles import URBAN
from bench.frames import Frame, crc8_j1850, load_frames, reference_dbc
from bench.physics import VARIANTS, Car
from bench.readings import readings_of

BITRATE = 500_000
SAMPLE_COMPLETE_MS = 500
ALL_PAGES_MS = 400


@pytest.fixture(scope="module")
def database() -> Database:
    loaded = cantools.database.load_file(reference_dbc(), strict=True)
    assert isinstance(loaded, Database)
    return loaded


@pytest.fixture(scope="module")
def frames() -> dict[str, Frame]:
    return load_frames(reference_dbc())


def mapping(variant: str) -> dict[str, Any]:
    return tomllib.loads((reference_dbc().parent / f"reference_{variant}.toml").read_text(encoding="utf-8"))


def references(tree: object, names: dict[str, int]) -> Iterator[str]:
    """Every bus.message.signal below a section, {n} filled in."""
    if isinstance(tree, str):
        for found in re.findall(r"\bpt\.\w*(?:\{n\})?\w*\.\w+(?:\{n\})?\w*", tree):
            yield found.replace("{n}", str(names.get("n")))
    elif isinstance(tree, dict):
        count = tree.get("count") or tree.get("repeat") or 1
        for number in range(1, count + 1):
            inner = {"n": number} if "count" in tree or "repeat" in tree else names
            for value in tree.values():
                yield from references(value, inner)
    elif isinstance(tree, list):
        for value in tree:
            yield from references(value, names)


def worst_case_bits(length: int) -> int:
    """A classical frame with 11-bit identifier, every possible stuff bit, and the gap behind it."""
    return 47 + 8 * length + (34 + 8 * length - 1) // 4


def bitwise_crc(data: bytes) -> int:
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1) ^ 0x1D if crc & 0x80 else crc << 1
            crc &= 0xFF
    return crc ^ 0xFF


def test_every_message_has_a_comment_a_sender_and_a_cycle_time(database: Database) -> None:
    for message in database.messages:
        assert message.comment, message.name
        assert message.senders, message.name
        assert not message.is_extended_frame
        assert message.cycle_time is not None
        assert message.cycle_time <= SAMPLE_COMPLETE_MS, message.name


def test_every_page_comes_round_in_time(frames: dict[str, Frame]) -> None:
    assert (frames["BMS_Cells"].pages, frames["BMS_Temps"].pages) == (32, 8)
    for frame in frames.values():
        assert frame.pages * frame.cycle_ms <= (ALL_PAGES_MS if frame.pages > 1 else SAMPLE_COMPLETE_MS), frame.name


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_bus_is_loaded_by_less_than_60_percent(frames: dict[str, Frame], variant: str) -> None:
    sent = [frames[name] for name in readings_of(Car(variant, URBAN))]
    load = sum(worst_case_bits(frame.length) * 1000 / frame.cycle_ms for frame in sent) / BITRATE
    assert 0.05 < load < 0.6


def test_the_variants_together_send_every_message_and_only_their_own(frames: dict[str, Frame]) -> None:
    sent = {variant: set(readings_of(Car(variant, URBAN))) for variant in VARIANTS}
    assert set.union(*sent.values()) == set(frames)
    assert {name for name in sent["ev"] if name.startswith(("ENG", "FCU", "SCU"))} == set()
    capacitor = {"SCU_Status", "SCU_Cells", "SCU_Temps", "SCU_Faults"}
    assert sent["hybrid"] - sent["ev"] == {"ENG_Status", "ENG_Fuel"} | capacitor
    stack = {"FCU_Stack", "FCU_Faults"}
    assert sent["fuel_cell"] - sent["ev"] == {"FCU_Status", "FCU_Hydrogen", "FCU_Tank", "FCU_Temps"} | stack


@pytest.mark.parametrize(("data", "crc"), [(b"123456789", 0x4B), (b"", 0x00), (b"\x00" * 4, 0x59)])
def test_the_checksum_is_sae_j1850(data: bytes, crc: int) -> None:
    assert crc8_j1850(data) == crc


@given(st.binary(max_size=64))
def test_the_checksum_table_agrees_with_bitwise_division(data: bytes) -> None:
    assert crc8_j1850(data) == bitwise_crc(data)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("seconds", [0, 7, 35, 86, 252])
def test_cantools_decodes_what_the_car_reads(
    database: Database, frames: dict[str, Frame], variant: str, seconds: int
) -> None:
    car = Car(variant, URBAN, seed=seconds)
    car.controls.alarms.update(list(ALARMS)[:: seconds % 4 + 1])
    for _ in range(seconds * 100):
        car.step()
    for name, read in readings_of(car).items():
        message = database.get_message_by_name(name)
        for page in range(frames[name].pages):
            values = read(page)
            data = frames[name].encode(values, page)
            decoded = message.decode(data, decode_choices=False)
            assert isinstance(decoded, dict)
            if frames[name].pages > 1:
                assert decoded.pop(next(s.name for s in message.signals if s.is_multiplexer)) == page
            counted = {key for key in ("Alive", "CRC") if key in decoded}
            assert set(decoded) - counted == set(values)
            for signal in message.signals:
                if signal.name in values:
                    assert decoded[signal.name] == pytest.approx(values[signal.name], abs=signal.scale * 0.5001 + 1e-9)
            if "CRC" in counted:
                assert decoded["CRC"] == data[-1] == bitwise_crc(data[:-1])


def test_the_alive_counter_counts_to_15_and_round(database: Database, frames: dict[str, Frame]) -> None:
    values = readings_of(Car("ev", URBAN))["IMD_Status"](0)
    message = database.get_message_by_name("IMD_Status")
    decoded = [message.decode(frames["IMD_Status"].encode(values)) for _ in range(20)]
    counts = [one["Alive"] for one in decoded if isinstance(one, dict)]
    assert [(after - before) % 16 for before, after in pairwise(counts)] == [1] * 19
    assert (min(counts), max(counts)) == (0, 15)


def test_a_value_outside_the_dbc_range_is_refused(frames: dict[str, Frame]) -> None:
    with pytest.raises(ValueError, match=r"BMS_Soc\.Soc: 101 is outside 0\.\.100"):
        frames["BMS_Soc"].encode({"Soc": 101, "Soh": 90, "EnergyLeft": 40})


def test_a_dbc_without_cycle_time_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "no_cycle.dbc"
    file.write_text('VERSION ""\nBU_: A\nBO_ 1 M: 1 A\n SG_ S : 0|8@1+ (1,0) [0|0] "" A\n', encoding="utf-8")
    with pytest.raises(ValueError, match="message M: no GenMsgCycleTime"):
        load_frames(file)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_mapping_names_signals_that_its_car_sends(database: Database, variant: str) -> None:
    named = set(references(mapping(variant), {}))
    assert len(named) > 96 + 32 + 19
    sent = {
        f"pt.{name}.{signal.name}"
        for name in readings_of(Car(variant, URBAN))
        for signal in database.get_message_by_name(name).signals
    }
    assert named <= sent


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_mapping_checks_every_counter_and_checksum_of_the_dbc(database: Database, variant: str) -> None:
    options = mapping(variant)["messages"]
    for name in readings_of(Car(variant, URBAN)):
        signals = {signal.name for signal in database.get_message_by_name(name).signals}
        option = options.get(f"pt.{name}", {})
        assert ("Alive" in signals) == ("alive_counter" in option), name
        assert ("CRC" in signals) == ("checksum" in option), name


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_mapping_has_a_value_for_every_named_raw(database: Database, variant: str) -> None:
    def check(tree: object) -> None:
        for value in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
            check(value)
        if isinstance(tree, dict) and "values" in tree:
            _bus, message, signal = tree["signal"].replace("{n}", "1").split(".")
            choices = database.get_message_by_name(message).get_signal_by_name(signal).choices
            assert choices is not None
            assert {int(raw) for raw in tree["values"]} == set(choices)

    check(mapping(variant))


def test_every_alarm_has_a_flag_a_level_that_exists_and_its_own_code() -> None:
    for variant in VARIANTS:
        alarms = mapping(variant)["alarms"]
        assert list(alarms["flags"]) == alarms_of(variant)
        assert set(alarms["levels"].values()) <= {1, 2, 3}
        assert set(alarms["levels"]) <= set(ALARMS)
    assert tuple(ALARMS) == FLAGS
    assert len({alarm.code for alarm in ALARMS.values()}) == len(FLAGS) == 28


@given(st.sets(st.sampled_from(sorted(ALARMS))))
def test_codes_of_any_alarms_fit_their_pages(alarms: set[str]) -> None:
    room = {
        "BMS_Faults": 14,
        "VCU_Faults": 8,
        "MCU1_Faults": 1,
        "MCU2_Faults": 1,
        "FCU_Faults": 4,
        "SCU_Faults": 2,
    }
    listed = [active_codes(alarms, message) for message in room]
    assert all(len(codes) <= most for codes, most in zip(listed, room.values(), strict=True))
    assert sorted(chain(*listed)) == sorted(ALARMS[name].code for name in alarms)
