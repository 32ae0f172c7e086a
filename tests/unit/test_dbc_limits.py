"""DBC files that ask for more than a machine has: told in one line, or compiled into a plan whose size does not follow."""

import sys
from fractions import Fraction
from typing import Any

import pytest

from agent.core.frames import NEVER, LatestFrames
from agent.errors import ConfigError
from agent.mapping import multiplexers
from agent.mapping.dbcfile import load_dbc
from agent.mapping.sources import Sources

HEAD = 'VERSION ""\nBU_: A\n'
ONE_LEVEL = (
    'BO_ 256 M: 16 A\n SG_ X M : {at}|16@{order}+ (1,0) [0|0] "" A\n SG_ S m20 : 39|8@0+ (1,0) [0|0] "" A\n'
    ' SG_ T m0 : 47|8@0+ (1,0) [0|0] "" A\n\nSG_MUL_VAL_ 256 S X {values};\nSG_MUL_VAL_ 256 T X 0-9;\n'
)
TWO_LEVELS = (
    'BO_ 256 M: 16 A\n SG_ X M : 0|8@1+ (1,0) [0|0] "" A\n SG_ Y m0M : 8|8@1+ (1,0) [0|0] "" A\n'
    ' SG_ S m0 : 16|8@1+ (1,0) [0|0] "" A\n\nSG_MUL_VAL_ 256 Y X 0-255;\nSG_MUL_VAL_ 256 S Y {values};\n'
)


def plan_of(text: str, *signals: str) -> dict[str, Any]:
    dbc = load_dbc("x.dbc", (HEAD + text).encode(), lenient=False)
    sources = Sources({"b": [dbc]}, set())
    for signal in signals:
        sources.add_operand(sources.place(f"b.M.{signal}"), (Fraction(1), Fraction(0)), [], False)
    return {"buses": ["b"], **sources.plan()}


def rows_in(selectors: list[Any]) -> int:
    return sum(1 + rows_in(case[3]) for row in selectors for case in row[3])


def test_a_full_range_of_values_below_each_of_a_full_range_is_two_rows() -> None:
    calls = 0

    def count(frame: Any, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call" and frame.f_code.co_filename == multiplexers.__file__

    sys.setprofile(count)
    try:
        plan = plan_of(TWO_LEVELS.format(values="0-255"), "S")
    finally:
        sys.setprofile(None)
    assert rows_in(plan["messages"][0][5]) == 2
    assert calls < 100
    latest = LatestFrames(plan)
    for first, second in ((0, 0), (255, 255), (7, 200)):
        latest.keep(0, 256, bytes([first, second, 9]) + bytes(13), first)
        assert latest.frames[0][:2] == bytes([first, second])
    assert (latest.kept, latest.unknown_mux) == (3, 0)


@pytest.mark.parametrize(("at", "order"), [(0, 1), (7, 0), (3, 1), (3, 0)])
def test_sixteen_bits_of_values_in_either_byte_order(at: int, order: int) -> None:
    """Known are 0..9 and 20..60000; S is on the latter."""
    plan = plan_of(ONE_LEVEL.format(at=at, order=order, values="20-60000"), "S")
    assert rows_in(plan["messages"][0][5]) == 2
    latest = LatestFrames(plan)
    for value, kept, unknown in (
        (0, 0, 0), (9, 0, 0), (10, 0, 1), (19, 0, 2), (20, 1, 2), (256, 2, 2), (60000, 3, 2), (60001, 3, 3), (65535, 3, 4)
    ):  # fmt: skip
        # @1: the lowest bit is bit `at`. @0: the highest is, in reading order bit 7 - at.
        data = (value << at).to_bytes(16, "little") if order else (value << 112 - (7 - at)).to_bytes(16, "big")
        latest.keep(0, 256, data, value)
        assert (latest.kept, latest.unknown_mux) == (kept, unknown), value


def test_values_that_lead_nowhere_are_known_and_others_are_counted() -> None:
    plan = plan_of(TWO_LEVELS.format(values="1-3, 5-5, 100-200"), "S")
    latest = LatestFrames(plan)
    for value in range(256):
        latest.keep(0, 256, bytes([1, value]) + bytes(14), value)
    assert latest.unknown_mux == 256 - 3 - 1 - 101
    assert latest.kept == 105
    assert latest.stamps == [200]


def message(rest: str, length: int = 8) -> str:
    return f"BO_ 256 M: {length} A\n{rest}"


def nested(depth: int, values: str) -> str:
    signals = "".join(f' SG_ X{n} m0M : {n}|1@1+ (1,0) [0|0] "" A\n' for n in range(1, depth))
    lines = "".join(f"SG_MUL_VAL_ 256 X{n} X{n - 1} {values};\n" for n in range(1, depth))
    return message(f' SG_ X0 M : 0|1@1+ (1,0) [0|0] "" A\n{signals}\n{lines}')


CHOICES = " ".join(f'{n} "a"' for n in range(2000))


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (message("", 400_000_000), 3, "message M has 400000000 bytes; at most 4095"),
        (message(' SG_ S : 0|400000000@1+ (1,0) [0|0] "" A\n'), 4, "signal S ends at bit 399999999; at most 32760 bits"),
        (message(' SG_ S : 4000000000|8@1+ (1,0) [0|0] "" A\n'), 4, "signal S ends at bit 4000000007"),
        (f"BO_ {'9' * 5000} M: 8 A\n", 3, "a number of 5000 digits"),
        (ONE_LEVEL.format(at=0, order=1, values="0-4294967295"), 8, "message 256 and those before it make 4294967296 pages"),
        (TWO_LEVELS.format(values="0-65535"), 8, "make 16777472 pages"),
        (nested(30, "0-1"), 35, "multiplexers of message 256 lie more than 16 deep"),
        (nested(3000, "0-0"), 3005, "multiplexers of message 256 lie more than 16 deep"),
        (TWO_LEVELS.format(values="0-0") + f"VAL_ 256 Y {CHOICES} ;\n", 8, "make 512512 pages"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("lenient", [False, True])
def test_what_would_take_hours_or_all_memory_is_one_line(text: str, line: int, said: str, lenient: bool) -> None:
    with pytest.raises(ConfigError) as raised:
        load_dbc("x.dbc", (HEAD + text).encode(), lenient)
    (fault,) = raised.value.faults
    assert fault.startswith(f"line {line}: ")
    assert said in fault


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("SG_MUL_VAL_ 256 X S 0-3;\nSG_MUL_VAL_ 256 S X 0-3;\n", "b.M.S: the DBC puts multiplexer X below itself"),
        ("SG_MUL_VAL_ 256 X Z 0-3;\nSG_MUL_VAL_ 256 S X 3-0;\n", "b.M.S is on no page of X"),
    ],
)
def test_pages_that_no_frame_can_have(lines: str, said: str) -> None:
    signals = "".join(f' SG_ {name} {mark} : {at}|8@1+ (1,0) [0|0] "" A\n' for name, mark, at in
                      (("Z", "M", 0), ("X", "m0M", 8), ("S", "m0M", 16)))  # fmt: skip
    with pytest.raises(LookupError, match=said):
        plan_of(message(f"{signals}\n{lines}"), "S")


def test_a_multiplexer_in_front_of_its_message() -> None:
    """Lenient loading lets it pass."""
    signals = ' SG_ X M : -3|8@1+ (1,0) [0|0] "" A\n SG_ S m0 : 8|8@1+ (1,0) [0|0] "" A\n'
    dbc = load_dbc("x.dbc", (HEAD + message(signals)).encode(), lenient=True)
    sources = Sources({"b": [dbc]}, set())
    for name in ("S", "X"):
        with pytest.raises(LookupError, match="X begins in front of its message"):
            sources.place(f"b.M.{name}")


def test_a_signal_of_a_page_is_not_kept_before_it_came() -> None:
    plan = plan_of(ONE_LEVEL.format(at=0, order=1, values="20-60000"), "S", "T")
    latest = LatestFrames(plan)
    latest.keep(0, 256, bytes([20]) + bytes(15), 5)
    assert sorted(latest.stamps) == [NEVER, 5]
