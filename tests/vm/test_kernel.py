"""What the tests of this folder stand on: the kernel does what they take for granted."""

import errno
import os
import select
import socket
import struct
import subprocess
import sys
from pathlib import Path

import can
import pytest

CAN_BCM_TX_SETUP, CAN_BCM_RX_SETUP, CAN_BCM_RX_CHANGED = 1, 5, 12
SETTIMER, STARTTIMER = 1, 2
BCM_HEAD = "@IIIllllII0q"
FRAME = "=IB3x8s"
PATIENCE_S = 10.0
QUIET_S = 0.3  # a frame may come a little after send() has returned


def raw(bus, *, fd=False):
    opened = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
    opened.settimeout(PATIENCE_S)
    if fd:
        opened.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
    opened.bind((bus,))
    return opened


@pytest.mark.skipif("TBOX_KERNEL" not in os.environ, reason="not started by tbox-bench vcan")
def test_the_buses_of_the_command_are_there():
    assert Path("/sys/class/net/vcan0/mtu").read_text() == "72\n"


def test_raw_frames_and_filters(vcan_bus):
    with raw(vcan_bus) as sender, raw(vcan_bus) as receiver:
        receiver.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FILTER, struct.pack("=II", 0x123, 0x7FF))
        for identifier in (0x122, 0x123, 0x124):
            sender.send(struct.pack(FRAME, identifier, 2, b"\x0a\x0b"))
        sender.send(struct.pack(FRAME, 0x123, 1, b"\x0c"))
        got = [struct.unpack(FRAME, receiver.recv(16)) for _ in range(2)]
    assert got == [(0x123, 2, b"\x0a\x0b" + bytes(6)), (0x123, 1, b"\x0c" + bytes(7))]


def test_an_fd_frame_of_64_bytes(vcan_bus):
    data = bytes(range(64))
    with raw(vcan_bus, fd=True) as sender, raw(vcan_bus, fd=True) as receiver:
        sender.send(struct.pack("=IBB2x64s", 0x18DAF110 | socket.CAN_EFF_FLAG, 64, 1, data))
        identifier, length, flags, got = struct.unpack("=IBB2x64s", receiver.recv(72))
    assert (identifier & socket.CAN_EFF_MASK, length, flags & 1, got) == (0x18DAF110, 64, 1, data)


def test_the_broadcast_manager_tells_of_changes_only(vcan_bus):
    with socket.socket(socket.AF_CAN, socket.SOCK_DGRAM, socket.CAN_BCM) as manager, raw(vcan_bus) as sender:
        manager.connect((vcan_bus,))
        manager.settimeout(PATIENCE_S)
        frame = struct.pack(FRAME, 0x321, 8, b"\xff" * 8)  # which bits count
        manager.send(struct.pack(BCM_HEAD, CAN_BCM_RX_SETUP, 0, 0, 0, 0, 0, 0, 0x321, 1) + frame)
        for value in (1, 1, 1, 2):
            sender.send(struct.pack(FRAME, 0x321, 1, bytes([value])))
        size = struct.calcsize(BCM_HEAD)
        told = [manager.recv(size + 16) for _ in range(2)]
        assert [struct.unpack(BCM_HEAD, one[:size])[0] for one in told] == [CAN_BCM_RX_CHANGED] * 2
        assert [struct.unpack(FRAME, one[size:])[2][0] for one in told] == [1, 2]
        assert not select.select([manager], [], [], QUIET_S)[0]


def test_the_broadcast_manager_sends_in_time(vcan_bus):
    with can.Bus(vcan_bus, interface="socketcan") as sender, raw(vcan_bus) as receiver:
        task = sender.send_periodic(can.Message(arbitration_id=0x55, data=[1], is_extended_id=False), 0.02)
        got = [struct.unpack(FRAME, receiver.recv(16))[0] for _ in range(10)]
        task.stop()
    assert got == [0x55] * 10


def test_lost_frames_are_counted(vcan_bus):
    """A queue that is full drops, and the next frame carries how many (SO_RXQ_OVFL)."""
    so_rxq_ovfl = 40
    with raw(vcan_bus) as sender, raw(vcan_bus) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, so_rxq_ovfl, 1)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        sent, kept = 200, 0
        for number in range(sent):
            sender.send(struct.pack(FRAME, number, 0, b""))
        while select.select([receiver], [], [], PATIENCE_S if not kept else QUIET_S)[0]:
            receiver.recv(16)
            kept += 1
        sender.send(struct.pack(FRAME, 0x7FF, 0, b""))
        _, ancillary, _, _ = receiver.recvmsg(16, 64)
    assert 0 < kept < sent
    assert [struct.unpack("=I", data)[0] for _, kind, data in ancillary if kind == so_rxq_ovfl] == [sent - kept]


def test_a_bus_that_goes_away_is_an_error_of_the_socket(vcan_bus):
    with raw(vcan_bus) as receiver:
        subprocess.run(["ip", "link", "set", vcan_bus, "down"], check=True)
        with pytest.raises(OSError, match="Network is down") as caught:
            receiver.recv(16)
        assert caught.value.errno == errno.ENETDOWN


def test_what_is_named_like_a_controller_is_left_alone():
    """`--qemu` means the emulated ones: on a machine with real ones a vehicle may hang on can0."""
    for name in ("can0", "can1"):
        subprocess.run(["ip", "link", "add", name, "type", "vcan"], check=True)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bench.cli", "vcan", "--qemu", "--", "true"],
            env={**os.environ, "PATH": "/nowhere"}, capture_output=True,
        )  # fmt: skip
    finally:
        for name in ("can0", "can1"):
            subprocess.run(["ip", "link", "del", name], check=True)
    assert done.returncode == 126
    assert b"qemu-system-x86_64 is missing" in done.stderr
