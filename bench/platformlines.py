"""What `tbox-bench platform` prints: a line or a JSON object for each packet and for each command that is over."""

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from agent.beijing import BEIJING
from agent.core.editions import BY_START
from agent.core.packet import COMMAND, PLAIN, Packet, build_packet
from agent.packetjson import packet_to_json
from bench.arrival import Arrival, vin_text
from bench.delivery import short_vin
from bench.orders import Order

OnPacket = Callable[[Arrival, int | None], None]
OnOrder = Callable[[Order, Arrival | None], None]
_HEADER = ("edition", "command", "response", "vin", "encryption", "bcc_ok", "collected_at")


class Printer:
    """Prints to stdout; whoever closes the pipe ends the platform by `stop`."""

    def __init__(self, stop: Callable[[], None], *, as_json: bool, full_vin: bool) -> None:
        self._stop = stop
        self._as_json = as_json
        self._full_vin = full_vin

    def packet(self, arrival: Arrival, flag: int | None) -> None:
        """A packet that came, and the response flag of its answer."""
        self._print(packet_json(arrival, flag) if self._as_json else self._packet_line(arrival, flag))

    def order(self, order: Order, arrival: Arrival | None) -> None:
        """A command that was answered, or given up."""
        self._print(order_json(order, arrival) if self._as_json else self._order_line(order, arrival))

    def _print(self, line: str) -> None:
        try:
            print(line, flush=True)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self._stop()

    def _vin(self, vin: str) -> str:
        return vin if self._full_vin else short_vin(vin)

    def _packet_line(self, arrival: Arrival, flag: int | None) -> str:
        response = arrival.packet.response
        shown = arrival.command if response == COMMAND else f"{arrival.command} answer {response:02X}"
        came = datetime.fromtimestamp(arrival.received_ms / 1000, BEIJING)
        parts = [f"{came:%H:%M:%S}.{arrival.received_ms % 1000:03d} {self._vin(arrival.vin)} {shown}"]
        parts.append(f"{len(arrival.packet.raw)} B")
        if arrival.collected_at is not None:
            collected = datetime.fromtimestamp(arrival.collected_at, BEIJING)
            parts.append(f"of {collected:%Y-%m-%d %H:%M:%S}  {(arrival.late_ms or 0) / 1000:+.3f} s")
        if arrival.body_types:
            parts.append(f"bodies {bytes.fromhex(arrival.body_types).hex(' ')}")
        if arrival.signed:
            parts.append("signed")
        if arrival.packet.encryption != PLAIN and arrival.edition is not None:
            parts.append(f"encrypted {arrival.edition.encryptions.get(arrival.packet.encryption, '?')}")
        if response == COMMAND:
            parts.append(_answer(arrival.packet.start, flag))
        if arrival.refusal:
            parts.append(f"TURNED DOWN {arrival.refusal:02X}")
        if arrival.fault is not None:
            parts.append(f"FAULTY {arrival.fault}")
        return "  ".join(parts)

    def _order_line(self, order: Order, arrival: Arrival | None) -> str:
        head = f"command {_command_name(order.packet)} to {self._vin(vin_text(order.vin))}"
        if arrival is None:
            return f"{head}  given up, sent {order.sends} times"
        flag = order.flag or 0
        values = _values(arrival)
        said = f"  {json.dumps(values, ensure_ascii=False)}" if values else ""
        return f"{head}  answered {flag:02X} {_meaning(order.packet[:2], flag)}  after {order.answer_ms} ms{said}"


def packet_json(arrival: Arrival, flag: int | None) -> str:
    """One packet as a JSON line; the values inside are for `tbox decode` of `packet`."""
    return json.dumps(
        {
            "received_at": datetime.fromtimestamp(arrival.received_ms / 1000, UTC).isoformat(),
            "link": arrival.link,
            "vin": arrival.vin,
            "command": arrival.command,
            "response": arrival.packet.response,
            "collected_at": None if arrival.collected_at is None else _iso(arrival.collected_at),
            "part": arrival.part,
            "bodies": arrival.bodies,
            "signed": arrival.signed,
            "size_bytes": len(arrival.packet.raw),
            "late_ms": arrival.late_ms,
            "answer": flag,
            "fault": arrival.fault,
            "refusal": arrival.refusal or None,
            "packet": arrival.packet.raw.hex(),
        }
    )


def order_json(order: Order, arrival: Arrival | None) -> str:
    """One command that is over as a JSON line; `flag`, `values` and `answer_ms` are null when it was given up."""
    return json.dumps(
        {
            "order": _command_name(order.packet),
            "vin": vin_text(order.vin),
            "sends": order.sends,
            "flag": order.flag,
            "meaning": None if order.flag is None else _meaning(order.packet[:2], order.flag),
            "answer_ms": order.answer_ms,
            "values": None if arrival is None else _values(arrival),
            "packet": order.packet.hex(),
            "answer": None if arrival is None else arrival.packet.raw.hex(),
        }
    )


def _values(arrival: Arrival) -> dict[str, Any]:
    """What the answer says beside its header."""
    packet = arrival.packet
    opened = build_packet(packet.start, packet.command, packet.response, packet.vin, PLAIN, arrival.plain)
    return {key: value for key, value in packet_to_json(Packet(opened)).items() if key not in _HEADER}


def _command_name(packet: bytes) -> str:
    row = BY_START[packet[:2]].commands.get(packet[2])
    return row.name if row is not None else f"{packet[2]:02X}"


def _answer(start: bytes, flag: int | None) -> str:
    if flag is None:
        return "no answer"
    # An activation is the one packet that is answered by a command of the platform's.
    return "answered with command 0A" if flag == COMMAND else f"answer {flag:02X} {_meaning(start, flag)}"


def _meaning(start: bytes, flag: int) -> str:
    return "command" if flag == COMMAND else BY_START[start].responses.get(flag, "")


def _iso(second: int) -> str:
    return datetime.fromtimestamp(second, BEIJING).isoformat()
