"""Every signal of every DBC at hand decodes to the raw value that cantools gives, for whole, short and long frames."""

import importlib.util
import math
import random
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import cantools.database
import pytest
from cantools.database.can import Message, Signal

from agent.core.frames import LatestFrames
from agent.core.signals import Decoder
from agent.errors import ConfigError
from agent.mapping.dbcfile import Dbc, load_dbc
from agent.mapping.sources import Sources

ROOT = Path(__file__).parent.parent.parent
FRAMES_PER_MESSAGE = 6


def dbc_files(folder: Path) -> Iterator[Dbc]:
    """All files of a folder that can be read at all, strictly where possible."""
    for file in sorted(folder.rglob("*.dbc")):
        for lenient in (False, True):
            try:
                yield load_dbc(file.name, file.read_bytes(), lenient)
                break
            except ConfigError:
                if lenient:
                    print(f"not loadable: {file.name}")


def reference(message: Message) -> "dict[str, Message]":
    """The cantools message that decodes each signal.

    cantools misreads overlapping signals that are decoded together (it lays them one behind the other), so such a message is
    taken apart: one message per signal and its multiplexers.
    """
    try:
        message.refresh(strict=True)
        return {signal.name: message for signal in message.signals}
    except cantools.database.Error:
        message.refresh(strict=False)
    by_name = {signal.name: signal for signal in message.signals}
    alone = {}
    for signal in message.signals:
        chain = [signal]
        while chain[0].multiplexer_signal is not None:
            chain.insert(0, by_name[chain[0].multiplexer_signal])
        alone[signal.name] = Message(
            message.frame_id,
            message.name,
            message.length,
            chain,
            is_extended_frame=message.is_extended_frame,
            strict=False,
        )
    return alone


def set_bits(data: bytearray, signal: Signal, value: int) -> None:
    """Write a multiplexer value bit by bit, by the definition of DBC bit numbers."""
    position = signal.start if signal.byte_order == "big_endian" else signal.start + signal.length - 1
    for index in range(signal.length - 1, -1, -1):
        byte, bit = divmod(position, 8)
        data[byte] = data[byte] & ~(1 << bit) | (value >> index & 1) << bit
        if signal.byte_order == "little_endian":
            position -= 1
        else:
            position = position - 1 if bit else position + 15


def frame_bytes(random_: random.Random, message: Message, size: int) -> bytes:
    data = bytearray(random_.randbytes(max(size, message.length)))
    for signal in message.signals:
        if signal.is_multiplexer:
            children = [s for s in message.signals if s.multiplexer_signal == signal.name]
            if children and random_.random() < 0.95:
                set_bits(data, signal, random_.choice(random_.choice(children).multiplexer_ids or [0]))
    return bytes(data[:size])


def decode_expected(messages: "dict[str, Message]", data: bytes) -> "dict[str, Any]":
    """Raw by signal name; a message whose multiplexer value is unknown gives what cantools still can, nothing."""
    found: dict[str, Any] = {}
    done: dict[int, dict[str, Any]] = {}
    for name, message in messages.items():
        if id(message) not in done:
            try:
                done[id(message)] = dict(
                    message.decode(data, decode_choices=False, scaling=False, allow_truncated=True)
                )
            except cantools.database.DecodeError:
                done[id(message)] = {}
        if name in done[id(message)]:
            found[name] = done[id(message)][name]
    return found


def compare(dbc: Dbc, message: Message, random_: random.Random) -> int:
    sources = Sources({"b": [dbc]}, set())
    operands = {}
    name = f"0x{message.frame_id:X}{'x' if message.is_extended_frame else ''}"
    flagged = {signal.name for signal in message.signals if signal.is_multiplexer}
    for signal in message.signals:
        if signal.multiplexer_signal is not None and signal.multiplexer_signal not in flagged:
            continue  # SG_MUL_VAL_ names a multiplexer that its SG_ line does not mark: cantools passes over the signal
        try:
            place = sources.place(f"b.{name}.{signal.name}")
        except LookupError as error:
            # Public files have an 8-bit multiplexer with the value 256, and signals behind the end of their message.
            if "cannot name" in str(error) or "does not fit" in str(error):
                continue
            raise
        operands[signal.name] = sources.add_operand(place, (Fraction(1), Fraction(0)), [], False)
    plan = {"buses": ["b"], **sources.plan()}
    decoder = Decoder(plan, 1)
    messages = reference(message)
    compared = 0
    sizes = [message.length, message.length, message.length, random_.randint(0, message.length), 8, message.length + 3]
    for size in sizes[:FRAMES_PER_MESSAGE]:
        latest = LatestFrames(plan)
        data = frame_bytes(random_, message, size)
        latest.keep(0, message.frame_id | (0x80000000 if message.is_extended_frame else 0), data, 0)
        found: list[Any] = [None] * len(operands)
        decoder.decode(latest, 0, [], found)
        ours = {name: found[index] for name, index in operands.items() if found[index] is not None}
        expected = {key: raw for key, raw in decode_expected(messages, data).items() if key in operands}
        if latest.unknown_mux and len(set(map(id, messages.values()))) == 1:
            assert not expected, (message.name, data.hex())
            continue
        for name_, value in expected.items():
            if isinstance(value, float) and not math.isfinite(value):
                assert name_ not in ours
                continue
            assert name_ in ours, (message.name, name_, data.hex())
            assert Fraction(*ours[name_]) == Fraction(value), (message.name, name_, data.hex())
            compared += 1
        finite = {key for key, value in expected.items() if not isinstance(value, float) or math.isfinite(value)}
        assert set(ours) == finite, (message.name, data.hex())
    return compared


def compare_all(folder: Path, rounds: int = 1) -> int:
    random_ = random.Random(32960)
    compared = 0
    for dbc in [*dbc_files(folder)] * rounds:
        for message in dbc.messages:
            if message.signals:
                compared += compare(dbc, message, random_)
    return compared


def test_project_dbc_files_decode_as_cantools_does() -> None:
    assert compare_all(ROOT / "dbc", rounds=20) > 500


@pytest.mark.slow
def test_real_dbc_files_decode_as_cantools_does(tbox_data: Path) -> None:
    assert compare_all(tbox_data) > 20_000


@pytest.mark.slow
def test_opendbc_files_decode_as_cantools_does() -> None:
    spec = importlib.util.find_spec("opendbc")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("opendbc is not installed (extra cars)")
    assert compare_all(Path(spec.submodule_search_locations[0])) > 20_000


FLOATS = """VERSION ""
BU_: A
BO_ 1 Little: 8 A
 SG_ F16 : 0|16@1- (1,0) [0|0] "" A
 SG_ F32 : 32|32@1- (1,0) [0|0] "" A
BO_ 2 Big: 16 A
 SG_ F64 : 7|64@0- (1,0) [0|0] "" A
 SG_ F32B : 71|32@0- (1,0) [0|0] "" A
SIG_VALTYPE_ 1 F16 : 1;
SIG_VALTYPE_ 1 F32 : 1;
SIG_VALTYPE_ 2 F64 : 2;
SIG_VALTYPE_ 2 F32B : 1;
"""


def test_float_signals_decode_as_cantools_does() -> None:
    dbc = load_dbc("floats.dbc", FLOATS.encode(), lenient=False)
    random_ = random.Random(754)
    assert sum(compare(dbc, message, random_) for _ in range(100) for message in dbc.messages) > 1000


@pytest.mark.parametrize("folder", ["dbc", "data"])
def test_factors_are_the_decimals_printed_in_the_file(folder: str, request: pytest.FixtureRequest) -> None:
    place: Path = ROOT / "dbc" if folder == "dbc" else request.getfixturevalue("tbox_data")
    checked = 0
    for dbc in dbc_files(place):
        for message in dbc.messages:
            for signal in message.signals:
                factor, offset = dbc.scaling(message, signal)
                # The binary number that cantools has is the nearest to ours, and ours has a short decimal form.
                assert (float(factor), float(offset)) == (signal.scale, signal.offset)
                decimal = Decimal(factor.numerator) / Decimal(factor.denominator)
                assert Fraction(decimal) == factor
                checked += 1
    assert checked > 100


def test_a_factor_with_more_digits_than_a_float_holds_is_kept_exactly() -> None:
    text = 'VERSION ""\nBU_: A\nBO_ 1 M: 8 A\n SG_ S : 0|8@1+ (0.0174532925199432957692,-1e-20) [0|0] "" A\n'
    dbc = load_dbc("long.dbc", text.encode(), lenient=False)
    message = dbc.messages[0]
    assert dbc.scaling(message, message.signals[0]) == (Fraction("0.0174532925199432957692"), Fraction("-1e-20"))
