"""Packets out of whatever people paste."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from printed import VECTORS, vector_of

from agent.errors import ConfigError
from agent.hexinput import Piece, pieces_of_arguments, pieces_of_bytes, pieces_of_lines, pieces_of_stream

RAWS = [bytes.fromhex(vector["hex"]) for vector in VECTORS]
W3 = bytes.fromhex(vector_of("W3 ")["hex"])
WRONG = W3[:-1] + b"\x18"

DRESSES = {
    "plain": lambda raw: raw.hex(),
    "upper": lambda raw: raw.hex().upper(),
    "spaces": lambda raw: raw.hex(" "),
    "colons": lambda raw: raw.hex(":"),
    "commas": lambda raw: ", ".join(f"{byte:02X}" for byte in raw),
    "C array": lambda raw: "{" + ", ".join(f"0x{byte:02x}" for byte in raw) + "};",
    "C array without zeros": lambda raw: ",".join(f"0x{byte:x}" for byte in raw),
    "C string": lambda raw: '"' + "".join(f"\\x{byte:02x}" for byte in raw) + '"',
    "Python list": lambda raw: "[" + ", ".join(f"'{byte:02x}'" for byte in raw) + "]",
    "one number": lambda raw: "0x" + raw.hex(),
    "lines": lambda raw: "\n".join(raw.hex()[n : n + 32] for n in range(0, 2 * len(raw), 32)),
    "odd lines": lambda raw: "\n".join(raw.hex()[n : n + 31] for n in range(0, 2 * len(raw), 31)),
    "blank lines": lambda raw: "\n\n".join(raw.hex()[n : n + 32] for n in range(0, 2 * len(raw), 32)),
    "words": lambda raw: "\r\n".join(raw[n : n + 16].hex(" ", 2) for n in range(0, len(raw), 16)),
}

dresses = pytest.mark.parametrize("dress", DRESSES.values(), ids=DRESSES)


def found(text: str) -> list[Piece]:
    return list(pieces_of_lines(text.splitlines(), "line "))


def datas(text: str) -> list[bytes]:
    return [piece.data for piece in found(text)]


@dresses
def test_a_packet_is_found_in_any_dress(dress) -> None:  # type: ignore[no-untyped-def]
    for raw in RAWS:
        assert datas(dress(raw)) == [raw]


@dresses
def test_packets_of_any_dress_follow_each_other(dress) -> None:  # type: ignore[no-untyped-def]
    assert datas("\n".join(map(dress, RAWS))) == RAWS


def test_a_line_may_hold_several_packets() -> None:
    assert datas("".join(raw.hex() for raw in RAWS)) == RAWS


def test_a_packet_may_begin_in_the_line_where_another_ends() -> None:
    joined = b"".join(RAWS).hex()
    assert datas("\n".join(joined[n : n + 62] for n in range(0, len(joined), 62))) == RAWS


def test_places_are_the_lines_where_packets_begin() -> None:
    text = f"\n{W3.hex()}\n{W3.hex()[:40]}\n{W3.hex()[40:]}\nnonsense\n"
    assert [piece.place for piece in found(text)] == ["line 2", "line 3", "line 5"]


@pytest.mark.parametrize("cut", [2, 20, 48, 100, 2 * len(W3) - 2])
def test_a_packet_cut_short_does_not_swallow_the_next(cut: int) -> None:
    short = W3.hex()[:cut]
    assert datas(f"{short}\n{W3.hex()}") == [W3[: cut // 2], W3]
    assert datas(f"{short}\n" + DRESSES["lines"](W3)) == [W3[: cut // 2], W3]
    assert datas(f"{short}\n" + DRESSES["lines"](RAWS[0]) + f"\n{W3.hex()}")[-1] == W3


def test_a_packet_comes_as_soon_as_its_line_is_there() -> None:
    read = []

    def lines() -> Iterator[str]:
        for line in (W3.hex()[:60], RAWS[0].hex(), RAWS[1].hex()):
            read.append(line)
            yield line

    pieces = pieces_of_lines(lines(), "line ")
    assert [next(pieces).data, next(pieces).data, len(read)] == [W3[:30], RAWS[0], 2]


def test_a_wrong_check_code_is_left_to_the_decoder() -> None:
    assert datas(f"{WRONG.hex()}\n{W3.hex()}") == [WRONG, W3]


def test_bytes_behind_a_packet_stay_with_it() -> None:
    assert datas(W3.hex() + "00") == [W3 + b"\x00"]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("hello", "'h' in 'hello' is not hexadecimal"),
        (W3.hex()[:-1], "265 hexadecimal digits; an even number is needed"),
        ("123", "3 hexadecimal digits; an even number is needed"),
    ],
)
def test_a_line_that_is_no_hexadecimal_is_named_and_the_next_is_read(line: str, fault: str) -> None:
    assert found(f"{line}\n{RAWS[0].hex()}") == [Piece(b"", "line 1", fault), Piece(RAWS[0], "line 2")]


def test_hexadecimal_that_is_no_packet_is_one_piece_a_line() -> None:
    assert datas("cafe\ndeadbeef\n" + W3.hex()) == [b"\xca\xfe", b"\xde\xad\xbe\xef", W3]


@given(raw=st.binary(max_size=60), width=st.integers(1, 70))
def test_no_byte_of_random_hexadecimal_is_lost(raw: bytes, width: int) -> None:
    digits = raw.hex()
    pieces = found("\n".join(digits[n : n + width] for n in range(0, len(digits), width)))
    if not any(piece.fault for piece in pieces):
        assert b"".join(piece.data for piece in pieces) == raw


def test_raw_bytes_are_told_from_text() -> None:
    for data in (b"".join(RAWS), b"".join(raw.hex().encode() + b"\n" for raw in RAWS)):
        stream = io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]
        assert [piece.data for piece in pieces_of_stream(stream, "f:")] == RAWS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_of_other_systems_is_read(encoding: str) -> None:
    stream = io.BufferedReader(io.BytesIO(f"{W3.hex()}\r\n".encode(encoding)))  # type: ignore[arg-type]
    assert [piece.data for piece in pieces_of_stream(stream, "f:")] == [W3]


def test_noise_between_raw_packets_is_a_piece_of_its_own() -> None:
    data = b"\x00\x01" + W3 + b"##\x00" + RAWS[0] + W3[:50]
    pieces = list(pieces_of_bytes(data, "f"))
    assert [piece.data for piece in pieces] == [b"\x00\x01", W3, b"##\x00", RAWS[0], W3[:50]]
    assert [piece.place for piece in pieces][:2] == ["f offset 0", "f offset 2"]


def test_arguments_are_files_or_hexadecimal(tmp_path: Path) -> None:
    path = tmp_path / "some.hex"
    path.write_text(RAWS[1].hex())
    words = W3.hex(" ").split()
    pieces = list(pieces_of_arguments([*words, str(path), RAWS[0].hex()]))
    assert [piece.data for piece in pieces] == [W3, RAWS[1], RAWS[0]]
    assert pieces[1].place == f"{path}:1"


@pytest.mark.parametrize("argument", ["nowhere.log", "", "/"])
def test_an_argument_that_is_neither_is_wrong_use(argument: str) -> None:
    if not argument:
        assert list(pieces_of_arguments([argument])) == []
        return
    with pytest.raises(ConfigError, match="no such file, and not hexadecimal"):
        list(pieces_of_arguments([argument]))
