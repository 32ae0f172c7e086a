"""Row `receive`: the receive thread against python-can's Notifier with cantools, on the same frames of a virtual bus.

Three kinds of pass take turns, each in a thread of its own over a queue that was filled before: `bus.recv()` alone; our
receive thread's body; Notifier with a listener that decodes. Every frame is wanted. Figures are CPU time of the
process, which does nothing else meanwhile: other work of the machine counts for little.
"""

import contextlib
import gc
import statistics
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import can
import cantools
from can.interfaces.virtual import VirtualBus

from agent.canbus.feed import Feed
from agent.canbus.pythoncan import POLL_S, PythonCanPath
from agent.canbus.trouble import Trouble
from agent.clock import Clock
from agent.core.frames import LatestFrames
from agent.errors import BusError
from bench.perf.traffic import MESSAGES, compiled_plan, dbc_text, message

FRAMES = 6_000  # few a pass and many passes: all three kinds meet the same state of the machine
ROUNDS = 51
QUICK_ROUNDS = 15
BEYOND_TARGET_US = 0.4
WHOLE_TARGET = 0.6
WAIT_S = 120


def measure(quick: bool = False) -> list[dict[str, Any]]:
    """The two rows: microseconds a frame beyond recv(), and the whole path as a share of the peer's."""
    frames = [message(n) for n in range(FRAMES)]
    database = cantools.database.load_string(dbc_text(), "dbc")
    bare: list[float] = []
    ours: list[float] = []
    peer: list[float] = []
    plan = compiled_plan()
    for _ in range(QUICK_ROUNDS if quick else ROUNDS):
        bare.append(_in_thread(frames, _bare))
        ours.append(_keep(frames, plan))
        peer.append(_notifier(frames, database))
    beyond = statistics.median(kept - alone for kept, alone in zip(ours, bare, strict=True))
    alone, whole, notifier = statistics.median(bare), statistics.median(ours), statistics.median(peer)
    ratio = statistics.median(kept / other for kept, other in zip(ours, peer, strict=True))
    return [
        {
            "name": "receive",
            "value": round(beyond, 3),
            "unit": "us CPU/frame beyond recv()",
            "peer": "bus.recv() alone",
            "peer_value": round(alone, 3),
            "ratio": round(beyond / alone, 3),
            "target": f"<= {BEYOND_TARGET_US}",
            "met": beyond <= BEYOND_TARGET_US,
        },
        {
            "name": "receive, whole path",
            "value": round(whole, 3),
            "unit": "us CPU/frame",
            "peer": "python-can Notifier + cantools",
            "peer_value": round(notifier, 3),
            "ratio": round(ratio, 3),
            "target": f"<= {WHOLE_TARGET} of the peer",
            "met": ratio <= WHOLE_TARGET,
        },
    ]


class _End:
    """Stands behind the last frame in the queue: recv() fails on it, as on a bus that went away."""

    def __bool__(self) -> bool:
        raise can.CanOperationError("no more frames")


def _filled_bus(frames: list[can.Message]) -> VirtualBus:
    bus = VirtualBus("bench")
    for frame in frames:
        bus.queue.put(frame)
    bus.queue.put(_End())  # type: ignore[arg-type]
    gc.collect()
    return bus


def _in_thread(frames: list[can.Message], receive: Callable[[can.BusABC], None]) -> float:
    """Microseconds a frame of one pass."""
    with _filled_bus(frames) as bus:
        thread = threading.Thread(target=receive, args=(bus,))
        started = time.process_time()
        thread.start()
        thread.join()
        return (time.process_time() - started) / len(frames) * 1e6


def _bare(bus: can.BusABC) -> None:
    recv, going = bus.recv, True
    try:
        while going:
            if recv(POLL_S) is None:
                continue
    except can.CanOperationError:
        return


def _keep(frames: list[can.Message], plan: dict[str, Any]) -> float:
    """Microseconds a frame of one pass."""
    latest = LatestFrames(plan)
    settings = SimpleNamespace(name="pt", interface="virtual", channel="bench")
    feed = Feed(settings, 0, latest, Clock(), Trouble())
    path = PythonCanPath(feed)

    def receive(bus: can.BusABC) -> None:
        with contextlib.suppress(BusError):
            path.receive(bus, lambda: False)

    took_us = _in_thread(frames, receive)
    if (feed.frames, latest.kept) != (FRAMES, FRAMES):
        raise RuntimeError(f"received {feed.frames} and kept {latest.kept} of {FRAMES} frames")
    return took_us


class _Decoder(can.Listener):
    """What a program on python-can and cantools does for the newest values."""

    def __init__(self, database: Any) -> None:
        self.decode = database.decode_message
        self.values: dict[int, Any] = {}
        self.ended = threading.Event()

    def on_message_received(self, msg: can.Message) -> None:
        self.values[msg.arbitration_id] = self.decode(msg.arbitration_id, msg.data, decode_choices=False)

    def on_error(self, exc: Exception) -> None:  # noqa: ARG002 - python-can's signature
        self.ended.set()


def _notifier(frames: list[can.Message], database: Any) -> float:
    """Microseconds a frame of one pass."""
    decoder = _Decoder(database)
    with _filled_bus(frames) as bus:
        started = time.process_time()
        notifier = can.Notifier(bus, [decoder], timeout=POLL_S)
        ended = decoder.ended.wait(WAIT_S)
        took_s = time.process_time() - started
        notifier.stop()
    if not ended or len(decoder.values) != MESSAGES:
        raise RuntimeError(f"the peer decoded {len(decoder.values)} of {MESSAGES} messages")
    return took_s / len(frames) * 1e6
