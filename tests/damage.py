"""Damage done to valid bytes: what a bad line, a bad memory or a bad programme makes of them."""

from hypothesis import strategies as st

# Bytes and counts where layouts turn: nothing, one, the highest valid, the sentinels, start marks, a signed edge.
EDGES = b"\x00\x01\x02\x7f\x80\xfa\xfb\xfc\xfd\xfe\xff#$"
WORDS = (0, 1, 2, 250, 251, 65530, 65531, 65532, 0xFFFD, 0xFFFE, 0xFFFF)
MOST = 6  # damages to one piece


@st.composite
def damaged(draw: st.DrawFn, pieces: st.SearchStrategy[bytes]) -> bytes:
    """A piece with up to `MOST` damages, one after the other."""
    data = draw(pieces)
    for _ in range(draw(st.integers(0, MOST))):
        data = draw(st.sampled_from(_DAMAGES))(draw, data, pieces)
    return data


def _span(draw: st.DrawFn, data: bytes) -> tuple[int, int]:
    """Two places in the data, often close together."""
    first = draw(st.integers(0, len(data)))
    return first, min(len(data), first + draw(st.integers(0, 8) | st.integers(0, len(data))))


def _flip(draw: st.DrawFn, data: bytes, _: st.SearchStrategy[bytes]) -> bytes:
    bit = draw(st.integers(0, max(0, 8 * len(data) - 1)))
    return bytes(byte ^ (1 << bit % 8 if at == bit // 8 else 0) for at, byte in enumerate(data))


def _edge(draw: st.DrawFn, data: bytes, _: st.SearchStrategy[bytes]) -> bytes:
    at = draw(st.integers(0, len(data)))
    return data[:at] + bytes((draw(st.sampled_from(EDGES)),)) + data[at + 1 :]


def _word(draw: st.DrawFn, data: bytes, _: st.SearchStrategy[bytes]) -> bytes:
    at = draw(st.integers(0, len(data)))
    return data[:at] + draw(st.sampled_from(WORDS) | st.integers(0, 0xFFFF)).to_bytes(2, "big") + data[at + 2 :]


def _nearly(draw: st.DrawFn, data: bytes, _: st.SearchStrategy[bytes]) -> bytes:
    """A length or a count that is one too many or too few."""
    at = draw(st.integers(0, max(0, len(data) - 1)))
    return (
        data[:at] + bytes((byte + draw(st.sampled_from([1, -1]))) & 0xFF for byte in data[at : at + 1]) + data[at + 1 :]
    )


def _cut(draw: st.DrawFn, data: bytes, _: st.SearchStrategy[bytes]) -> bytes:
    first, last = _span(draw, data)
    return data[:first] + data[last:]


def _end(draw: st.DrawFn, data: bytes, _: st.SearchStrategy[bytes]) -> bytes:
    return data[: draw(st.integers(0, len(data)))]


def _double(draw: st.DrawFn, data: bytes, _: st.SearchStrategy[bytes]) -> bytes:
    first, last = _span(draw, data)
    return data[:last] + data[first:]


def _move(draw: st.DrawFn, data: bytes, _: st.SearchStrategy[bytes]) -> bytes:
    first, last = _span(draw, data)
    rest = data[:first] + data[last:]
    at = draw(st.integers(0, len(rest)))
    return rest[:at] + data[first:last] + rest[at:]


def _noise(draw: st.DrawFn, data: bytes, _: st.SearchStrategy[bytes]) -> bytes:
    at = draw(st.integers(0, len(data)))
    return data[:at] + draw(st.binary(max_size=12)) + data[at:]


def _graft(draw: st.DrawFn, data: bytes, pieces: st.SearchStrategy[bytes]) -> bytes:
    """The end of another piece behind the beginning of this one."""
    other = draw(pieces)
    return data[: draw(st.integers(0, len(data)))] + other[draw(st.integers(0, len(other))) :]


_DAMAGES = (_flip, _edge, _word, _nearly, _cut, _end, _double, _move, _noise, _graft)
