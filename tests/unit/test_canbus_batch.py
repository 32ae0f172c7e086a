"""Many messages by one call, against Python's own recvmsg on the kernel's sockets; those of CAN stand in tests/vm."""

import socket
import struct
import time

import pytest

from agent.canbus.batch import MANY, SO_RXQ_OVFL, SO_TIMESTAMPNS, Batch

BYTES = 16


@pytest.fixture
def pair():
    """Two datagram sockets; the second one is prepared for Batch."""
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for option in (SO_TIMESTAMPNS, SO_RXQ_OVFL):
        receiver.setsockopt(socket.SOL_SOCKET, option, 1)
    receiver.setblocking(False)
    with sender, receiver:
        yield sender, receiver


@pytest.mark.parametrize("count", [0, 1, 7, MANY - 1, MANY, MANY + 1, 2 * MANY])
def test_all_that_waits_comes_whole_in_order_and_with_the_kernels_time(count, pair):
    sender, receiver = pair
    sender.setblocking(False)
    batch = Batch(receiver, BYTES)
    fits = 0
    sent = [struct.pack("<I", number) * (1 + number % 4) for number in range(count)]
    before = time.time_ns()
    found = []
    while fits < count:
        try:
            sender.send(sent[fits])
        except BlockingIOError:  # so few wait in a socket of this sort: net.unix.max_dgram_qlen
            found += batch.take()
        else:
            fits += 1
    found += batch.take()
    assert [message for message, _ in found] == sent
    stamps = [stamp for _, stamp in found]
    assert stamps == sorted(stamps)
    assert all(before <= stamp <= time.time_ns() for stamp in stamps)
    assert batch.take() == []


def test_many_calls_deep(udp):
    sender, receiver = udp
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    batch = Batch(receiver, BYTES)
    for number in range(3 * MANY + 5):
        sender.send(number.to_bytes(16, "big"))
    assert [int.from_bytes(message, "big") for message, _ in batch.take()] == list(range(3 * MANY + 5))


@pytest.fixture
def udp():
    """Two sockets of the loopback interface, which hold more than one call takes."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        sender.connect(receiver.getsockname())
        for option in (SO_TIMESTAMPNS, SO_RXQ_OVFL):
            receiver.setsockopt(socket.SOL_SOCKET, option, 1)
        receiver.setblocking(False)
        yield sender, receiver


def test_what_had_no_room_is_counted_as_python_reads_it(udp):
    sender, receiver = udp
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the least that the kernel gives
    batch = Batch(receiver, BYTES)
    for _ in range(50):
        sender.send(bytes(16))
    kept = len(batch.take())
    assert 0 < kept < 50
    assert batch.lost == 0  # the kernel tells it with the first message that comes afterwards
    sender.send(bytes(16))
    assert len(batch.take()) == 1
    assert batch.lost == 50 - kept
    sender.send(bytes(16))
    _, ancillary, _, _ = receiver.recvmsg(16, 100)
    assert {kind: value for _, kind, value in ancillary}[SO_RXQ_OVFL] == struct.pack("@I", batch.lost)


def test_a_socket_without_time_stamps_says_so(udp):
    sender, receiver = udp
    receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 0)
    sender.send(b"now")
    assert Batch(receiver, BYTES).take() == [(b"now", None)]


def test_an_error_that_waits_in_the_socket_is_raised_once(udp):
    sender, receiver = udp
    batch = Batch(sender, BYTES)
    receiver.close()
    sender.send(b"nobody is there")
    with pytest.raises(ConnectionRefusedError):
        batch.take()
    assert batch.take() == []


def test_a_closed_socket_is_an_error_and_never_anothers_messages(pair):
    _, receiver = pair
    batch = Batch(receiver, BYTES)
    receiver.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        batch.take()


def test_messages_that_would_not_be_aligned_are_refused(pair):
    with pytest.raises(ValueError, match="multiple of 8"):
        Batch(pair[1], 17)
