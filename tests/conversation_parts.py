"""A terminal and a platform that talk without a network: what one side writes the other reads in the same millisecond.

The terminal's side is the session, the bookkeeping of delivery and the judge of commands; the platform's is what the bench's
platform consists of without its sockets. Time is a number that the test sets.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from commanded_parts import VIN, make_config

from agent.config import login_values
from agent.core.delivery import Delivery
from agent.core.editions import EDITIONS
from agent.core.errors import RemoteProtocolError
from agent.core.packet import COMMAND, Packet, PacketReader, build_packet
from agent.core.session import REALTIME, REISSUE, Session
from agent.core.terminal import Permissions, Terminal
from agent.platform.parameters import Parameters
from bench.access import Access, Guest
from bench.answers import POLICIES, Policy, answer
from bench.arrival import Arrival, Checker, Opener, inspect

WALL_S = 1_767_827_170
VIN_BYTES = VIN.encode()
ENGINES = {"2016": b"\x04\x01\x03\xe8\xff\xff", "2025": b"\x04\x03\xe8"}  # a good body
WINDOW = 64
SETTLE_MS = 10_000

Events = list[tuple[Any, ...]]


def remade(raw: bytes, **changes: Any) -> bytes:
    """The same packet with other parts and its check code right."""
    packet = Packet(raw)
    parts = {name: getattr(packet, name) for name in ("start", "command", "response", "vin", "encryption", "unit")}
    return build_packet(*{**parts, **changes}.values())


def cut(raw: bytes) -> bytes:
    """The same packet with a data unit that lacks its last byte."""
    return remade(raw, unit=Packet(raw).unit[:-1])


class Keys(Opener, Checker):
    """A platform that finds every signature wrong and has no key."""

    def open(self, vin: bytes, encryption: int, unit: bytes) -> bytes:
        raise RemoteProtocolError("no key", "6.2", 0)

    def verify(self, vin: bytes, unit: bytes, signed: int, signature: dict[str, Any] | None) -> str:
        return "wrong"


class Talk:
    """One conversation. `spoil` is done to each packet of the terminal's on its way; `heard` are all that arrived."""

    def __init__(
        self,
        edition: str,
        policy: Policy = POLICIES["annex-b"],
        *,
        access: Access | None = None,
        keys: Keys | None = None,
        platform_link: bool = False,
        each: bool = False,
        activation: Callable[[int], dict[str, Any]] | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        self.edition = EDITIONS[edition]
        self.policy = policy
        config = make_config(Path(), edition, {"host": "ev.test.a", **(options or {})})
        self.parameters = Parameters(config, self.edition, None)
        self.session = Session(
            self.edition,
            VIN_BYTES,
            login_values(config.vehicle),
            self.parameters.session_settings(),
            activation=activation,
        )
        timeout_ms = self.parameters.session_settings().answer_timeout_ms
        self.delivery = Delivery(each, SETTLE_MS, timeout_ms, WINDOW)
        self.judge = Terminal(self.edition, self.parameters.values, Permissions(True, (), (5, 6)))
        self.spoil: Callable[[bytes], bytes] = lambda raw: raw
        self.now = 0
        self.serial = 0
        self.heard: list[Packet] = []
        self.outcomes: list[tuple[int, str] | None] = []
        self._access = access or Access()
        self._guest = Guest()
        self._keys = keys
        self._platform_link = platform_link
        self._written = 0

    @property
    def wall_s(self) -> int:
        return WALL_S + self.now // 1000

    # -- what happens --------------------------------------------------------------------------------------------------

    def connect(self) -> Events:
        self.serial += 1
        self.session.connected(self.now, self.wall_s, self.serial)
        return self.exchange()

    def at(self, now: int) -> Events:
        """Time passes; what becomes due leaves, and is answered."""
        self.now = now
        self.serial += 1
        return self.session.handle_timeout(now, self.wall_s, self.serial) + self.exchange()

    def exchange(self) -> Events:
        """Everything that waits goes to the platform and its answers come back."""
        events: Events = []
        while data := self.session.data_to_send():
            for raw in PacketReader().feed(data):
                events += self.hear(self.ask(self.spoil(raw)))
        return events

    def report(self, row_id: int, command: int = REALTIME, bodies: bytes | None = None, age_s: int = 0) -> Events:
        """A row leaves, collected when the conversation began unless it is older."""
        at = WALL_S + 10 * row_id - age_s
        bodies = ENGINES[self.edition.name] if bodies is None else bodies
        raw = self.session.report(command, self.edition.start, VIN_BYTES, at, bodies, self.now)
        self._written += len(raw)
        self.delivery.sent(row_id, command, at, self._written, self.now)
        return self.hear(self.ask(self.spoil(raw)))

    def log_in(self) -> "Talk":
        assert self.connect() == [("logged_in",)]
        return self

    # -- the two ends --------------------------------------------------------------------------------------------------

    def arrival(self, raw: bytes) -> Arrival:
        return inspect(raw, 1, self.wall_s * 1000, 0, self._keys, self._keys)

    def ask(self, raw: bytes) -> bytes:
        """The platform's answer; empty when it keeps silent."""
        arrival = self.arrival(raw)
        self.heard.append(arrival.packet)
        if arrival.fault is None and arrival.packet.response == COMMAND:
            arrival.refusal = self._access.refusal(arrival, self._guest, False)
        return answer(self.policy, arrival, 1, self._platform_link) or b""

    def hear(self, data: bytes) -> Events:
        """Bytes from the platform; answers to reports go to the bookkeeping of delivery as well."""
        events = self.session.receive(data, self.now, self.wall_s)
        for event in events:
            if event[0] == "answer" and event[1] in (REALTIME, REISSUE):
                self.outcomes.append(self.delivery.answered(event[1], event[2], event[3] == 1, self.now))
        return events

    def commands(self, command: int) -> int:
        """How many packets of that command the platform heard."""
        return len([packet for packet in self.heard if packet.command == command])
