"""J1939 messages in a mapping: any source, one source, several of them, messages of several packets, and what is wrong."""

import random
from pathlib import Path
from typing import Any

import pytest
from mapped import HEAD, Car, write
from transport_frames import EVERYBODY, begin, packets

from agent.core.frames import MOST_IDS, LatestFrames
from agent.core.j1939 import EXTENDED, TP_CM, TP_DT
from agent.errors import ConfigError
from agent.mapping.plan import rivalries, unseen
from agent.signalmap import load_mapping

EEC1 = f'BO_ {EXTENDED | 0x0CF004FE} EEC1: 8 A\n SG_ EngSpeed : 24|16@1+ (0.125,0) [0|0] "rpm" A'
MOTOR = f'BO_ {EXTENDED | 0x18FF1030} Motor: 8 A\n SG_ Speed : 0|16@1+ (1,-20000) [0|0] "rpm" A'
LONG = f'BO_ {EXTENDED | 0x18FEE3FE} EC1: 40 A\n SG_ Speed : 280|16@1+ (0.1,0) [0|0] "km/h" A'
ANY = "j1939 = true\n"
UNKNOWN = 0xFFFF


def faults(folder: Path, messages: str, sections: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_mapping(write(folder, messages, sections), "2016", cache=False)
    return "\n".join(caught.value.faults)


def rpm(value: int) -> bytes:
    return bytes(3) + (value * 8).to_bytes(2, "little") + bytes(3)


def engine(folder: Path, options: str) -> Car:
    return Car(folder, EEC1, f'[messages."b.EEC1"]\n{options}[engine]\nspeed = "b.EEC1.EngSpeed"\n')


def crankshaft(car: Car, now: int = 0) -> Any:
    return car.sample(now)[4]["speed"]


@pytest.mark.parametrize("can_id", [0x0CF00400, 0x18F00431, 0x00F004FD])
def test_any_source_and_priority_count_where_none_is_named(tmp_path: Path, can_id: int) -> None:
    car = engine(tmp_path, ANY)
    car.keep(EXTENDED | can_id, rpm(900))
    car.keep(EXTENDED | 0x0CF00500, rpm(700))
    assert (crankshaft(car), car.latest.unknown_id, car.latest.other_source) == (900, 1, 0)


def test_one_source_can_be_named(tmp_path: Path) -> None:
    car = engine(tmp_path, "source = 0x31\n")
    car.keep(EXTENDED | 0x0CF00400, rpm(700))
    assert crankshaft(car) == UNKNOWN
    car.keep(EXTENDED | 0x18F00431, rpm(900))
    car.keep(EXTENDED | 0x0CF00400, rpm(700))
    assert (crankshaft(car), car.latest.unknown_id) == (900, 2)
    assert car.latest.rivals == []
    ((can_id, mask),) = car.latest.wanted(0)
    for heard, wanted in ((0x18F00431, True), (0x0CF00431, True), (0x0CF00400, False), (0x0CF00531, False)):
        assert ((EXTENDED | heard) & mask == can_id & mask) == wanted


def test_two_sources_of_a_message_without_a_named_one_do_not_mix(tmp_path: Path) -> None:
    car = engine(tmp_path, ANY + "timeout_ms = 500\n")
    car.keep(EXTENDED | 0x0CF00431, rpm(700), 0)
    for now in range(10, 100, 10):
        car.keep(EXTENDED | 0x0CF00400, rpm(900), now)
        car.keep(EXTENDED | 0x0CF00431, rpm(700), now)
        assert crankshaft(car, now) == 900
    assert car.latest.other_source == 10
    (text,) = rivalries(car.mapping.plan, car.latest.rivals)
    assert text.startswith("b.0xCF004FEx: PGN 61444 comes from sources 00 and 31;")
    car.keep(EXTENDED | 0x0CF00431, rpm(700), 591)
    assert crankshaft(car, 591) == 700  # the first one has been silent for longer than the timeout


def test_pages_of_two_sources_do_not_mix(tmp_path: Path) -> None:
    messages = f"""BO_ {EXTENDED | 0x18FF20FE} Cells: 8 A
 SG_ Page M : 0|8@1+ (1,0) [0|1] "" A
 SG_ Cell1 m0 : 8|16@1+ (0.001,0) [0|5] "V" A
 SG_ Cell2 m1 : 8|16@1+ (0.001,0) [0|5] "V" A"""
    options = '[messages."b.Cells"]\nj1939 = true\n'
    car = Car(tmp_path, messages, options + '[storage_voltages]\ncells = { signal = "b.Cells.Cell{n}", count = 2 }\n')
    car.keep(EXTENDED | 0x18FF2010, "00 A00F")
    car.keep(EXTENDED | 0x18FF2020, "01 B00F")
    assert car.sample()[8]["subsystems"][0]["cells"] == [4000, 0xFFFF]


def test_a_sender_lives_as_long_as_the_most_patient_of_its_pages(tmp_path: Path) -> None:
    """Signals outside of the pages have a shorter timeout: it does not let another sender in."""
    pages = "\n".join(f' SG_ Cell{page} m{page} : 16|16@1+ (0.001,0) [0|5] "V" A' for page in range(5))
    messages = f"""BO_ {EXTENDED | 0x18FF20FE} Cells: 8 A
 SG_ Page M : 0|8@1+ (1,0) [0|4] "" A
 SG_ Soc : 8|8@1+ (1,0) [0|100] "%" A
{pages}
BA_DEF_ BO_ "GenMsgCycleTime" INT 0 65535;
BA_DEF_DEF_ "GenMsgCycleTime" 0;
BA_ "GenMsgCycleTime" BO_ {EXTENDED | 0x18FF20FE} 100;"""
    options = '[messages."b.Cells"]\nj1939 = true\n[vehicle]\nsoc = "b.Cells.Soc"\n'
    car = Car(tmp_path, messages, options + '[storage_voltages]\ncells = ["b.Cells.Cell1"]\n')
    assert sorted({source[1] for source in car.mapping.plan["sources"]}) == [1000, 5000]
    car.keep(EXTENDED | 0x18FF2010, "01 32 A00F")
    for now, refused in ((5000, 1), (5001, 1)):
        car.keep(EXTENDED | 0x18FF2020, "01 33 B00F", now)
        assert car.latest.other_source == refused


MOTORS = """[[drive_motors.motors]]
speed = "b.Motor@0x30.Speed"
[[drive_motors.motors]]
speed = { expression = "b.Motor@49.Speed + 1" }
"""


def test_the_same_message_of_two_sources_serves_two_items(tmp_path: Path) -> None:
    car = Car(tmp_path, MOTOR, '[messages."b.Motor@0x31"]\ntimeout_ms = 300\n' + MOTORS)
    for source, speed in ((0x30, 1000), (0x31, 2000), (0x32, 3000)):
        car.keep(EXTENDED | 0x0CFF1000 | source, (speed + 20000).to_bytes(2, "little") + bytes(6))
    assert [motor["speed"] - 20000 for motor in car.sample()[2]["motors"]] == [1000, 2001]
    assert [motor["speed"] for motor in car.sample(301)[2]["motors"]] == [21000, UNKNOWN]
    assert car.latest.unknown_id == 1
    sources = [item.source for item in car.mapping.items if item.path.endswith(".speed")]
    assert "b.Motor@0x30.Speed" in sources[0]


def test_a_file_that_says_j1939_needs_no_option(tmp_path: Path) -> None:
    protocol = 'BA_DEF_ "ProtocolType" STRING ;\nBA_DEF_DEF_ "ProtocolType" "J1939";'
    sections = '[vehicle]\nspeed = "b.EC1.Speed"\n[[drive_motors.motors]]\nspeed = "b.Motor.Speed"\n'
    car = Car(tmp_path, f"{LONG}\n{MOTOR}\n{protocol}", sections)
    masks = dict(car.latest.wanted(0))
    assert masks[EXTENDED | 0x18FEE3FE] == 0x83FFFF00  # FE: nobody, so anybody
    assert masks[EXTENDED | 0x18FF1030] == 0x83FFFFFF  # the file names a source; priorities are open
    assert TP_CM in masks
    assert TP_DT in masks


def test_a_message_of_several_packets_is_one_frame(tmp_path: Path) -> None:
    car = Car(tmp_path, LONG, f'[messages."b.EC1"]\n{ANY}[vehicle]\nspeed = "b.EC1.Speed"\n')
    assert unseen(car.mapping.plan, car.latest.stamps) == ["b.0x18FEE3FEx (PGN 65251)"]
    payload = bytes(35) + (1234).to_bytes(2, "little") + bytes(2)  # as often, shorter than the file says
    for can_id, data in [begin(0x00, EVERYBODY, 39, 0xFEE3), *packets(0x00, EVERYBODY, payload)]:
        assert any((can_id ^ wanted) & mask == 0 for wanted, mask in car.latest.wanted(0))
        car.keep(can_id, data, 100)
    assert car.sample(100)[1]["speed"] == 1234
    assert (car.latest.kept, car.latest.short, car.latest.torn, car.latest.unknown_id) == (1, 1, 0, 0)
    assert unseen(car.mapping.plan, car.latest.stamps) == []
    for can_id, data in [begin(0x00, EVERYBODY, 39, 0xFEE3), *packets(0x00, EVERYBODY, payload)[1:]]:
        car.keep(can_id, data, 200)
    assert (car.latest.kept, car.latest.torn) == (1, 1)


def test_the_pauses_of_transfers_are_measured_in_ticks(tmp_path: Path) -> None:
    car = Car(tmp_path, LONG, f'[messages."b.EC1"]\n{ANY}[vehicle]\nspeed = "b.EC1.Speed"\n')
    latest = LatestFrames(car.mapping.plan, 1000)
    first, *rest = packets(0x00, EVERYBODY, bytes(40))
    for (can_id, data), now in zip(
        [begin(0x00, EVERYBODY, 40, 0xFEE3), first, *rest], [0, 750_000, *[1_500_000] * len(rest)], strict=True
    ):
        latest.keep(0, can_id, data, now)
    assert latest.kept == 1


def test_where_no_long_message_is_wanted_its_packets_are_not(tmp_path: Path) -> None:
    assert len(engine(tmp_path, ANY).latest.wanted(0)) == 1


def test_unseen_names_the_source_that_is_looked_for(tmp_path: Path) -> None:
    car = Car(tmp_path, MOTOR, MOTORS)
    assert unseen(car.mapping.plan, car.latest.stamps) == [
        "b.0x18FF1030x (PGN 65296 from 0x30)",
        "b.0x18FF1031x (PGN 65296 from 0x31)",
    ]


def test_the_identifiers_of_strangers_do_not_fill_the_memory(tmp_path: Path) -> None:
    messages = f'BO_ {EXTENDED | 0x18EF00FE} P: 8 A\n SG_ Speed : 0|16@1+ (0.1,0) [0|0] "km/h" A'
    car = Car(tmp_path, messages, f'[messages."b.P"]\n{ANY}[vehicle]\nspeed = "b.P.Speed"\n')
    for number in range(MOST_IDS + 100):
        car.keep(
            EXTENDED | (5 - (number >> 11)) | (number & 0xFF) << 8 | 0xEF0000 | (number >> 8 & 7) << 26,
            "6400000000000000",
        )
    assert car.latest.kept == MOST_IDS + 100
    assert len(car.latest._entries[0]) == MOST_IDS


LIMIT = "0x00..0xFD"


@pytest.mark.parametrize(
    ("messages", "sections", "said"),
    [
        (EEC1, '[messages."b.EEC1"]\nsource = 254\n', f"is 254; allowed are the addresses {LIMIT}"),
        (EEC1, '[messages."b.EEC1"]\nsource = -1\n', f"is -1; allowed are the addresses {LIMIT}"),
        (EEC1, '[messages."b.EEC1"]\nsource = true\n', f"is True; allowed are the addresses {LIMIT}"),
        (EEC1, '[messages."b.EEC1"]\nsource = "0x00"\n', f"is 0x00; allowed are the addresses {LIMIT}"),
        (EEC1, '[messages."b.EEC1"]\nsource = 0\nj1939 = false\n', "goes with J1939 only"),
        (EEC1, '[messages."b.EEC1@0x31"]\nsource = 0\n', "the name says 0x31 already"),
        (EEC1, '[messages."b.EEC1@0x31"]\nj1939 = false\n', "is false, and the name says a J1939 source address"),
        ("BO_ 256 M: 8 A", '[messages."b.M"]\nsource = 0\n', "b.M is an 11-bit message; only 29-bit identifiers"),
        ("BO_ 256 M: 8 A", '[messages."b.M@0x31"]\n', "b.M@0x31: is an 11-bit message"),
        (EEC1, '[messages."b.EEC1@0xFE"]\n', f"EEC1@0xFE: behind @ stands a J1939 source address, {LIMIT}"),
        (EEC1, '[messages."b.EEC1@engine"]\n', f"behind @ stands a J1939 source address, {LIMIT}"),
        (EEC1, '[messages."b.EEC1@"]\n', f"behind @ stands a J1939 source address, {LIMIT}"),
        (EEC1, '[messages."b.EEC2@0x31"]\n', "bus b has no message EEC2 (did you mean EEC1?)"),
    ],
)
def test_what_cannot_be_a_source_is_said(tmp_path: Path, messages: str, sections: str, said: str) -> None:
    assert said in faults(tmp_path, messages, sections + '[engine]\nspeed = "b.EEC1.EngSpeed"\n')


TWO = """[[drive_motors.motors]]
speed = "b.{}.Speed"
[[drive_motors.motors]]
speed = "b.{}.Speed"
"""


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ('[messages."b.Motor"]\nj1939 = true\n', ("Motor", "Motor@0x31")),  # any source, and one of them
        ('[messages."b.Motor"]\nsource = 0x31\n', ("Motor", "Motor@0x31")),
        ("", ("Motor", "Motor@0x30")),  # the identifier of the file and its source
    ],
)
def test_two_names_of_the_same_frames_are_refused(tmp_path: Path, options: str, names: tuple[str, str]) -> None:
    assert f"b.Motor and b.{names[1]} would take the same frames" in faults(
        tmp_path, MOTOR, options + TWO.format(*names)
    )


def test_the_file_s_own_source_and_another_are_two_messages(tmp_path: Path) -> None:
    car = Car(tmp_path, MOTOR, TWO.format("Motor", "Motor@0x31"))
    assert [mask for _, mask in car.latest.wanted(0)] == [0x9FFFFFFF, 0x83FFFFFF]


@pytest.mark.parametrize(("length", "option", "most"), [(65, "", 64), (1786, ANY, 1785)])
def test_a_message_longer_than_can_come_is_refused(tmp_path: Path, length: int, option: str, most: int) -> None:
    messages = f'BO_ {EXTENDED | 0x18FEE3FE} L: {length} A\n SG_ S : 0|8@1+ (1,0) [0|0] "km/h" A'
    said = faults(tmp_path, messages, f'[messages."b.L"]\n{option}[vehicle]\nspeed = "b.L.S"\n')
    assert f"b.L has {length} bytes, at most {most} can come" in said
    assert ("j1939 = true" in said) == (not option)


@pytest.mark.parametrize("order", ["little", "big"])
def test_the_last_bits_of_the_longest_message_are_read(tmp_path: Path, order: str) -> None:
    place = "14264|16@1+" if order == "little" else "14271|16@0+"
    messages = f'BO_ {EXTENDED | 0x18FEE3FE} L: 1785 A\n SG_ S : {place} (0.1,0) [0|0] "km/h" A'
    car = Car(tmp_path, messages, f'[messages."b.L"]\n{ANY}[vehicle]\nspeed = "b.L.S"\n')
    payload = random.Random(1).randbytes(1783) + (2001).to_bytes(2, "little" if order == "little" else "big")
    for can_id, data in [begin(0x31, 0x20, 1785, 0xFEE3), *packets(0x31, 0x20, payload)]:
        car.keep(can_id, data)
    assert car.sample()[1]["speed"] == 2001


FILES = HEAD.replace('["test.dbc"]', '["test.dbc", "more.dbc"]')
M = 'BO_ 256 M: 8 A\n SG_ S : 0|16@1+ ({},0) [0|0] "km/h" A\n'


def two_files(folder: Path, second: str, reference: str, head: str = FILES) -> Path:
    mapping = write(folder, M.format("0.1"), f'[vehicle]\nspeed = "{reference}"\n', head=head)
    (folder / "more.dbc").write_text(f'VERSION ""\nBU_: A\n{second}', encoding="utf-8")
    return mapping


@pytest.mark.parametrize("reference", ["b.M.S", "b.0x100.S"])
def test_a_message_that_two_files_describe_alike_is_one(tmp_path: Path, reference: str) -> None:
    mapping = load_mapping(two_files(tmp_path, M.format("0.1"), reference), "2016", cache=False)
    assert len(mapping.plan["messages"]) == 1


@pytest.mark.parametrize(
    ("second", "reference", "said"),
    [
        (M.format("0.2"), "b.M.S", "its DBC files disagree about M 0x100"),
        (M.format("0.2"), "b.0x100.S", "its DBC files disagree about M 0x100"),
        (M.format("0.1").replace("M:", "N:"), "b.0x100.S", "its DBC files disagree about M 0x100 and N 0x100"),
        (M.format("0.1").replace("256", "257"), "b.M.S", "several messages M: use the identifier (0x100, 0x101)"),
    ],
)
def test_files_of_a_bus_that_disagree_are_named(tmp_path: Path, second: str, reference: str, said: str) -> None:
    with pytest.raises(ConfigError, match=r"vehicle\.speed") as caught:
        load_mapping(two_files(tmp_path, second, reference), "2016", cache=False)
    assert said in str(caught.value.faults)


def test_the_same_file_serves_two_buses(tmp_path: Path) -> None:
    head = HEAD + '[dbc.c]\nfiles = ["test.dbc"]\n'
    sections = '[[drive_motors.motors]]\nspeed = "b.Motor.Speed"\n[[drive_motors.motors]]\nspeed = "c.Motor.Speed"\n'
    plan = load_mapping(write(tmp_path, MOTOR, sections, head=head), "2016", cache=False).plan
    latest = LatestFrames(plan)
    latest.keep(1, EXTENDED | 0x18FF1030, b"\x21\x4e" + bytes(6), 0)
    assert [bool(data) for data in latest.frames] == [False, True]
    assert unseen(plan, latest.stamps) == ["b.0x18FF1030x"]
