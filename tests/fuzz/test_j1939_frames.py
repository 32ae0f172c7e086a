"""Frames of a J1939 bus gone mad: nothing raises, nothing grows, and no message is put together from two."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from transport_frames import EVERYBODY, Frame, Listener, abort, begin, cts, end, packets

from agent.core.frames import MOST_IDS, LatestFrames
from agent.core.j1939 import EXTENDED, MOST_TRANSFERS, PGN_MASK, PGN_TO_ONE_MASK

Fuzz = Callable[[Callable[[], None]], None]

PGN = 0xFEE3
ADDRESSES = st.sampled_from([0x00, 0x01, 0x31, 0xFD, 0xFE, EVERYBODY])
PGNS = st.sampled_from([PGN, 0xEF00, 0xEF31, 0x1FEE3, 0xFFFFFF])
FORMATS = st.sampled_from([0xEC, 0xEB, 0xFE, 0xEF])
BYTES = st.sampled_from([0, 1, 2, 8, 9, 16, 17, 19, 32, 255]) | st.integers(0, 255)
PLAN = {
    "buses": ["b"],
    "sources": [[1785, 1000, [], [], [], []], [8, 1000, [], [], [], []]],
    "messages": [
        [0, EXTENDED | 0x18FEE3FE, PGN_MASK, 1785, 0, [], None, None],
        [0, EXTENDED | 0x18EF00FE, PGN_TO_ONE_MASK, 8, 1, [], [0, 0x0F, 1], None],
    ],
}


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    """A frame of the transport, right or wrong, or one of a wanted message."""
    one, other = draw(ADDRESSES), draw(ADDRESSES)
    kind = draw(st.sampled_from([begin, cts, end, abort, None, None]))
    if kind is None:
        fields = draw(st.integers(0, 7)) << 26 | draw(FORMATS) << 16 | other << 8 | one
        return EXTENDED | fields, bytes(draw(st.lists(BYTES, max_size=8)))
    if kind is abort:
        return abort(one, other, draw(PGNS))
    if kind is cts:
        return cts(one, other, draw(BYTES), draw(BYTES), draw(PGNS))
    return kind(one, other, draw(st.integers(0, 1785)), draw(PGNS))


def test_any_frames_are_taken_and_little_is_kept(fuzz: Fuzz) -> None:
    latest = LatestFrames(PLAN)

    @given(heard=st.lists(frames(), max_size=60), step=st.integers(-10, 900))
    def holds(heard: list[Frame], step: int) -> None:
        for number, (can_id, data) in enumerate(heard):
            latest.keep(0, can_id, data, number * step)
        assert len(latest._transports[0]._transfers) <= MOST_TRANSFERS
        assert len(latest._entries[0]) <= MOST_IDS
        assert len(latest.rivals) <= len(PLAN["messages"])
        assert all(len(data) <= 1785 for data in latest.frames)

    fuzz(holds)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[Frame], list[bytes]]:
    """What some pairs say in turns, with frames lost and doubled, though no announcement; and what they meant."""
    turns: dict[tuple[int, int], list[Frame]] = {}  # a pair says one thing after the other
    meant = []
    for _ in range(draw(st.integers(1, 4))):
        source, destination = draw(st.sampled_from([(0, EVERYBODY), (0, 0x31), (0x31, 0), (0x31, EVERYBODY)]))
        payload = draw(st.binary(min_size=9, max_size=60))
        meant.append(payload)
        said = packets(source, destination, payload)
        if destination != EVERYBODY:
            said = [cts(destination, source, 255, 1, PGN), *said, end(destination, source, len(payload), PGN)]
        changed = [frame for frame in said for _ in range(draw(st.sampled_from([0, 1, 1, 1, 1, 1, 2])))]
        turns.setdefault((source, destination), []).extend([begin(source, destination, len(payload), PGN), *changed])
    heard = []
    while any(turns.values()):
        turn = draw(st.sampled_from([turn for turn in turns.values() if turn]))
        heard.append(turn.pop(0))
    return heard, meant


def test_no_message_is_put_together_from_two(fuzz: Fuzz) -> None:
    @given(drawn=conversations())
    def holds(drawn: tuple[list[Frame], list[bytes]]) -> None:
        heard, meant = drawn
        listener = Listener((EXTENDED | PGN << 8, PGN_MASK))
        listener.hear(*heard)
        assert listener.transport.torn + len(listener.kept) + listener.under_way == len(meant)
        assert all(payload in meant for payload in listener.payloads)

    fuzz(holds)
