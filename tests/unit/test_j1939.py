"""Multi-packet messages of J1939, put together by a listener that never answers."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transport_frames import EVERYBODY, Frame, Listener, abort, begin, control, cts, end, packets

from agent.core.j1939 import EXTENDED, MOST_TRANSFERS, PGN_MASK, PGN_TO_ONE_MASK, TP_CM, OneSource

PGN = 0xFEE3
ANY = (EXTENDED | 0x18FEE3FE, PGN_MASK)
TO_ONE = (EXTENDED | 0x18EF00FE, PGN_TO_ONE_MASK)
SIZES = st.one_of(st.integers(9, 30), st.integers(9, 1785), st.just(1785))
A, B = 0x00, 0x31


def content(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@given(size=SIZES, source=st.integers(0, 253), page=st.sampled_from([0, 1, 2, 3]))
def test_a_broadcast_is_kept_as_one_frame_of_its_message(size: int, source: int, page: int) -> None:
    pgn = page << 16 | PGN
    listener = Listener((EXTENDED | pgn << 8, PGN_MASK))
    payload = content(size)
    listener.hear(begin(source, EVERYBODY, size, pgn), *packets(source, EVERYBODY, payload), now=5)
    assert listener.kept == [(EXTENDED | 6 << 26 | pgn << 8 | source, payload, 5)]
    assert (listener.under_way, listener.transport.torn) == (0, 0)


@given(size=SIZES, order=st.randoms(use_true_random=False), again=st.integers(0, 5))
def test_packets_of_a_connection_come_in_any_order_and_again(size: int, order: random.Random, again: int) -> None:
    listener = Listener(TO_ONE)
    payload = content(size)
    parts = packets(A, B, payload)
    sent = parts + order.choices(parts, k=again)
    order.shuffle(sent)
    listener.hear(begin(A, B, size, 0xEF00), cts(B, A, 255, 1, 0xEF00), *sent, end(B, A, size, 0xEF00))
    assert listener.kept == [(EXTENDED | 0x18EF3100, payload, 0)]
    assert (listener.under_way, listener.transport.torn) == (0, 0)


def test_a_message_to_one_goes_by_its_pgn_when_it_has_no_destination_of_its_own() -> None:
    listener = Listener(ANY)
    payload = content(20)
    listener.hear(begin(A, B, 20, PGN), *packets(A, B, payload))
    assert listener.kept == [(EXTENDED | 0x18FEE300, payload, 0)]


def test_a_broadcast_of_a_message_to_one_names_everybody() -> None:
    for low in (0x00, 0xFF):  # stacks differ in what they write there
        listener = Listener(TO_ONE)
        listener.hear(begin(A, EVERYBODY, 9, 0xEF00 | low), *packets(A, EVERYBODY, content(9)))
        assert [can_id for can_id, *_ in listener.kept] == [EXTENDED | 0x18EFFF00]


def test_a_retransmission_is_asked_for_and_the_wait_before_it_is_no_timeout() -> None:
    listener = Listener(ANY)
    payload = content(35)
    parts = packets(A, B, payload)
    listener.hear(begin(A, B, 35, PGN), now=0)
    listener.hear(cts(B, A, 5, 1, PGN), parts[0], parts[1], parts[3], now=1000)
    listener.hear(cts(B, A, 0, 0xFF, PGN), now=2000)  # wait
    listener.hear(cts(B, A, 0, 0xFF, PGN), now=3000)
    listener.hear(cts(B, A, 3, 3, PGN), now=4000)
    listener.hear(parts[2], parts[3], now=5000)
    assert not listener.kept
    listener.hear(parts[4], now=6000)
    listener.hear(end(B, A, 35, PGN), now=6000)
    assert (listener.payloads, listener.transport.torn) == ([payload], 0)


def test_transfers_of_several_pairs_do_not_touch_each_other() -> None:
    listener = Listener(ANY)
    pairs = [(A, B), (B, A), (A, EVERYBODY), (B, EVERYBODY), (A, 0x21)]
    payloads = {pair: content(100, index) for index, pair in enumerate(pairs)}
    for pair in pairs:
        listener.hear(begin(*pair, 100, PGN))
    for turn in zip(*[packets(*pair, payloads[pair]) for pair in pairs], strict=True):
        listener.hear(*turn)
    assert listener.payloads == list(payloads.values())


@pytest.mark.parametrize("change", ["gap", "twice", "swapped", "zero", "behind the end"])
def test_a_broadcast_out_of_step_is_given_up(change: str) -> None:
    listener = Listener(ANY)
    parts = packets(A, EVERYBODY, content(30))
    beyond = (parts[0][0], bytes([6]) + bytes(7))
    sent = {
        "gap": [parts[0], *parts[2:]],
        "twice": [parts[0], *parts],
        "swapped": [parts[1], parts[0], *parts[2:]],
        "zero": [(parts[0][0], bytes(8)), *parts],
        "behind the end": [beyond, *parts],
    }[change]
    listener.hear(begin(A, EVERYBODY, 30, PGN), *sent)
    assert (listener.kept, listener.under_way, listener.transport.torn) == ([], 0, 1)


@pytest.mark.parametrize("number", [0, 6, 255])
def test_a_packet_that_a_connection_cannot_have_ends_it(number: int) -> None:
    listener = Listener(ANY)
    parts = packets(A, B, content(30))
    listener.hear(begin(A, B, 30, PGN), (parts[0][0], bytes([number]) + bytes(7)), *parts)
    assert (listener.kept, listener.transport.torn) == ([], 1)


def test_a_packet_twice_with_other_bytes_ends_the_connection() -> None:
    """Two messages, and what parted them was not heard: better none than a mixed one."""
    listener = Listener(ANY)
    first, second = packets(A, B, content(30, 1)), packets(A, B, content(30, 2))
    listener.hear(begin(A, B, 30, PGN), first[0], first[1], second[0], *second[1:])
    assert (listener.kept, listener.transport.torn) == ([], 1)


def test_short_packets_are_taken_only_where_the_message_ends() -> None:
    payload = content(16)
    listener = Listener(ANY)
    *parts, (can_id, last) = packets(A, EVERYBODY, payload)
    listener.hear(begin(A, EVERYBODY, 16, PGN), *parts, (can_id, last[:3]))
    assert listener.payloads == [payload]
    listener.hear(begin(A, EVERYBODY, 16, PGN), *parts, (can_id, last[:2]))
    listener.hear(begin(A, EVERYBODY, 16, PGN), (can_id, b""))
    listener.hear(begin(A, EVERYBODY, 16, PGN), (can_id, b"\1\2\3"))
    assert (len(listener.kept), listener.transport.torn) == (1, 3)


@pytest.mark.parametrize(("destination", "longest"), [(EVERYBODY, 750), (B, 1250)])
def test_a_pause_ends_a_transfer(destination: int, longest: int) -> None:
    for pause in (longest, longest + 1):
        listener = Listener(ANY)
        first, *rest = packets(A, destination, content(30))
        listener.hear(begin(A, destination, 30, PGN), now=0)
        listener.hear(first, now=longest)
        listener.hear(*rest, now=longest + pause)
        assert (len(listener.kept), listener.transport.torn) == ((1, 0) if pause == longest else (0, 1))
    listener.hear(begin(A, B, 30, PGN), now=0)
    listener.hear(cts(B, A, 5, 1, PGN), *packets(A, B, content(30)), now=1251)  # too late to be about this one
    assert not listener.kept


def test_an_announcement_replaces_what_the_sender_had_under_way() -> None:
    listener = Listener(ANY)
    payload = content(20)
    listener.hear(begin(A, EVERYBODY, 30, PGN), *packets(A, EVERYBODY, content(30))[:2])
    listener.hear(begin(A, EVERYBODY, 20, PGN), *packets(A, EVERYBODY, payload))
    assert (listener.payloads, listener.transport.torn) == ([payload], 1)
    listener.hear(begin(A, EVERYBODY, 30, PGN), begin(A, EVERYBODY, 30, 0xFEE4), *packets(A, EVERYBODY, payload))
    assert (listener.payloads, listener.under_way, listener.transport.torn) == ([payload], 0, 2)


@pytest.mark.parametrize("last", [abort(A, B, PGN), abort(B, A, PGN), end(B, A, 30, PGN)])
def test_an_abort_from_either_side_or_an_early_end_ends_a_transfer(last: Frame) -> None:
    listener = Listener(ANY)
    parts = packets(A, B, content(30))
    listener.hear(begin(A, B, 30, PGN), *parts[:3], last, *parts[3:])
    assert (listener.kept, listener.under_way, listener.transport.torn) == ([], 0, 1)


@pytest.mark.parametrize(
    "other",
    [
        abort(A, B, 0xFEE4),
        abort(B, A, 0x1FEE3),
        abort(A, 0x21, PGN),
        end(B, A, 30, 0xFEE4),
        end(A, B, 30, PGN),  # only the receiver says so
        cts(B, A, 5, 1, 0xFEE4),
        cts(0x21, A, 5, 1, PGN),
        control(A, B, 99, bytes(4), PGN),
        (EXTENDED | 0x1CEC3100, b"\xff\1\2"),
        (EXTENDED | 0x1CEC3100, b""),
    ],
)
def test_what_is_about_another_transfer_changes_nothing(other: Frame) -> None:
    listener = Listener(ANY)
    parts = packets(A, B, content(30))
    listener.hear(begin(A, B, 30, PGN), *parts[:3], other, *parts[3:])
    assert (len(listener.kept), listener.transport.torn) == (1, 0)


def test_an_abort_of_a_message_to_one_is_known_by_its_pgn_without_the_destination() -> None:
    listener = Listener(TO_ONE)
    listener.hear(begin(A, B, 30, 0xEF00), abort(B, A, 0xEF31))
    assert (listener.under_way, listener.transport.torn) == (0, 1)


@pytest.mark.parametrize(
    "announced",
    [
        begin(A, EVERYBODY, 30, 0xFEE4),  # not wanted
        begin(A, EVERYBODY, 8, PGN),  # fits a frame
        control(A, EVERYBODY, 32, bytes([1786 & 0xFF, 1786 >> 8, 255, 0xFF]), PGN),  # more than 255 packets hold
        control(A, EVERYBODY, 32, bytes([30, 0, 4, 0xFF]), PGN),  # 30 bytes are five packets
        begin(A, EVERYBODY, 30, 0x4FEE3),  # 18 bits are a PGN
        control(A, EVERYBODY, 16, bytes([30, 0, 5, 0xFF]), PGN),  # nobody answers for everybody
        control(A, B, 32, bytes([30, 0, 5, 0xFF]), PGN),
    ],
)
def test_what_is_not_wanted_or_cannot_be_is_passed_over(announced: Frame) -> None:
    listener = Listener(ANY)
    listener.hear(announced, *packets(A, EVERYBODY, content(30)), *packets(A, B, content(30)))
    assert (listener.kept, listener.under_way, listener.transport.torn) == ([], 0, 0)


def test_only_the_named_source_is_put_together() -> None:
    listener = Listener((EXTENDED | 0x18FEE331, PGN_MASK | 0xFF))
    for source in (0x30, 0x31):
        listener.hear(begin(source, EVERYBODY, 30, PGN), *packets(source, EVERYBODY, content(30, source)))
    assert listener.payloads == [content(30, 0x31)]


def test_there_is_an_end_to_what_can_be_under_way() -> None:
    listener = Listener(ANY)
    for source in range(MOST_TRANSFERS + 3):
        listener.hear(begin(source, EVERYBODY, 1785, PGN), now=source)
    assert (listener.under_way, listener.transport.torn) == (MOST_TRANSFERS, 3)
    listener.hear(*packets(2, EVERYBODY, content(1785)), now=3)
    assert not listener.kept  # the oldest ones went
    listener.hear(*packets(3, EVERYBODY, content(1785)), now=3)
    assert len(listener.kept) == 1


class Heard:
    """One message from whichever source, 100 ticks long valid."""

    def __init__(self) -> None:
        self.rivals: list[tuple[int, int]] = []
        self._one = OneSource(100, lambda taken, refused: self.rivals.append((taken, refused)))

    def taken(self, source: int, stamp: int, good: bool = True) -> bool:
        return self._one.check_of(EXTENDED | 0xCF00400 | source, lambda *_: good)(b"", stamp)


def test_one_source_may_send_with_several_priorities() -> None:
    one = OneSource(100, lambda *_: pytest.fail("no rival"))
    assert one.check_of(EXTENDED | 0x0CF00431, None)(b"", 0)
    assert one.check_of(EXTENDED | 0x18F00431, None)(b"", 1)


def test_the_lowest_living_source_is_taken_whoever_came_first() -> None:
    heard = Heard()
    assert heard.taken(0x31, 0)
    assert heard.taken(0x00, 10)
    assert not heard.taken(0x31, 20)
    assert heard.taken(0x00, 30)
    assert heard.rivals == [(0x00, 0x31), (0x00, 0x31)]


def test_another_source_takes_over_when_the_one_is_silent() -> None:
    heard = Heard()
    assert heard.taken(0x00, 0)
    assert not heard.taken(0x31, 100)
    assert heard.taken(0x31, 101)
    assert heard.taken(0x31, 150)
    assert not heard.taken(0x42, 160)
    assert heard.taken(0x00, 400)  # an address given up and claimed again is no rival
    assert heard.rivals == [(0x00, 0x31), (0x31, 0x42)]


def test_a_frame_that_fails_its_checks_does_not_keep_a_source_alive() -> None:
    heard = Heard()
    assert heard.taken(0x00, 0)
    assert not heard.taken(0x00, 90, good=False)
    assert heard.taken(0x31, 150)


@pytest.mark.parametrize("kind", [16, 17, 19, 32, 255])
@pytest.mark.parametrize("size", range(8))
def test_an_announcement_that_is_cut_says_nothing(kind: int, size: int) -> None:
    listener = Listener(ANY)
    listener.hear(begin(A, B, 20, PGN))
    for sender, receiver in ((A, B), (B, A), (A, EVERYBODY)):
        whole = bytes([kind, 20, 0, 3, 0xFF, PGN & 0xFF, PGN >> 8, 0])
        listener.transport.control(TP_CM | receiver << 8 | sender, whole[:size], 0)
    assert (listener.under_way, listener.transport.torn) == (1, 0)
