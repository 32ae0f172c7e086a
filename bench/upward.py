"""A manufacturer's platform towards the one above it (chapters 5 and 6): login, what is under way, proof. No I/O, no clock.

`now` is monotonic ms, `wall_ms` Unix ms. A packet is proven by its answer; whatever is under way when the link goes is pending
again. Packets go up as they came; what came encrypted goes up opened, since its key is ours alone. One that is late, or goes up
a second time, goes as a reissue (03): its command byte changes and with it the check code, a signature covers neither.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from agent.core.dataunit import TIME_SIZE, DataUnit, encode_data_unit
from agent.core.edition import Edition
from agent.core.packet import BEIJING_S, COMMAND, PLAIN, SUCCESS, Packet, build_packet, time_bytes
from agent.core.session import REALTIME, REISSUE

LOGIN_ID, LOGOUT_ID = 0x05, 0x06  # of a platform; 6.3.1
LOGIN_RETRY_MS = 60_000  # from an unanswered login to the next; platform link
LOGIN_TRIES = 3
LOGIN_WAIT_MS = 1_800_000  # behind three logins in a row without success
ANSWER_TIMEOUT_MS = 60_000  # an answer that takes longer does not come: the link is broken and built anew
REFUSED_RETRY_MS = 60_000  # a report that was answered with an error goes up again after so long, so often
REFUSED_TRIES = 3
LAST_SERIAL = 65_531

OFFLINE, LOGGING_IN, WAITING, LOGGED_IN, LEAVING = "offline", "logging_in", "waiting", "logged_in", "leaving"

WINDOW = 64  # packets under way: what a death of ours repeats at most


@dataclass(frozen=True, slots=True)
class Client:
    """Who logs in: the unique id is 17 characters of its own choice, user at most 12, password at most 20 bytes (7.4)."""

    edition: Edition
    unique_id: bytes
    user: bytes
    password: bytes
    encryption_rule: int = PLAIN


@dataclass(slots=True)
class Stored:
    """A packet from the file of received packets, by its id there; `opened`: its plain unit when it came encrypted."""

    id: int
    raw: bytes
    opened: bytes | None
    received_ms: int

    def plain(self) -> Packet:
        """The packet as everybody can read it."""
        packet = Packet(self.raw)
        if self.opened is None:
            return packet
        return Packet(build_packet(packet.start, packet.command, packet.response, packet.vin, PLAIN, self.opened))


@dataclass(slots=True)
class Counters:
    """What went up."""

    logins: int = 0
    forwarded: int = 0  # proven
    live: int = 0  # went up as they came, and were proven
    repeats: int = 0  # went up again because no proof came
    refused: int = 0  # given up after error answers
    stray_answers: int = 0


@dataclass(slots=True)
class _Flight:
    stored: Stored
    sent_at: int
    key: tuple[bytes, int, bytes]  # start, command, VIN
    time: bytes


class Upward:
    """The conversation with the platform above.

    `late_ms`: a realtime packet that came longer ago than this goes up as a reissue. `window`: packets under way at most.
    `proven` and `refused` hold ids (and flags) that are dealt with until somebody takes them.
    """

    def __init__(self, client: Client, *, late_ms: int = 10_000, window: int = WINDOW) -> None:
        self.client = client
        self.state = OFFLINE
        self.counters = Counters()
        self.proven: list[int] = []
        self.refused: list[tuple[int, int]] = []
        self._late_ms = late_ms
        self._window = window
        self._flying: dict[int, _Flight] = {}
        self._again: set[int] = set()  # went up once without a proof
        self._resting: dict[int, tuple[int, int]] = {}  # refused: id: when again, times refused
        self._day, self._serial = 0, 0
        self._failures = 0
        self._login_at = 0

    # -- login ---------------------------------------------------------------------------------------------------------

    @property
    def serial(self) -> tuple[int, int]:
        """Beijing day and the serial of the last login on it, to be kept over a restart."""
        return self._day, self._serial

    @serial.setter
    def serial(self, value: tuple[int, int]) -> None:
        self._day, self._serial = value

    def connected(self, now: int, wall_ms: int) -> bytes:
        """A link stands: the login to send."""
        return self._login(now, wall_ms)

    def lost(self) -> None:
        """The link is gone: what was under way goes up again on the next."""
        self.state = OFFLINE
        self._again.update(self._flying)
        self._flying.clear()

    def logout(self, wall_ms: int) -> bytes:
        """The last packet, empty when nobody is logged in."""
        if self.state != LOGGED_IN:
            return b""
        self.state = LEAVING
        return self._own(LOGOUT_ID, {"serial": self._serial}, wall_ms)

    def handle_timeout(self, now: int, wall_ms: int) -> tuple[bytes, int | None]:
        """(bytes to send, ms to stay away), for what is due by `now`; not None: close the link and wait so long."""
        due = self.deadline()
        if due is None or now < due:
            return b"", None
        if self.state == LOGGED_IN:
            return b"", 0
        if self.state == LOGGING_IN:
            self._failures += 1
        if self._failures >= LOGIN_TRIES:
            self._failures = 0
            return b"", LOGIN_WAIT_MS
        return self._login(now, wall_ms), None

    def deadline(self) -> int | None:
        """When `handle_timeout` has something to do; None: never."""
        if self.state in (LOGGING_IN, WAITING):
            return self._login_at + LOGIN_RETRY_MS
        if self.state == LOGGED_IN and self._flying:
            return next(iter(self._flying.values())).sent_at + ANSWER_TIMEOUT_MS
        return None

    def _login(self, now: int, wall_ms: int) -> bytes:
        day = (wall_ms // 1000 + BEIJING_S) // 86400
        self._serial = 1 if day != self._day or self._serial >= LAST_SERIAL else self._serial + 1
        self._day, self._login_at, self.state = day, now, LOGGING_IN
        client = self.client
        values = {
            "serial": self._serial,
            "user": client.user.ljust(12, b"\0"),
            "password": client.password.ljust(20, b"\0"),
            "encryption_rule": client.encryption_rule,
        }
        return self._own(LOGIN_ID, values, wall_ms)

    def _own(self, command: int, values: dict[str, object], wall_ms: int) -> bytes:
        edition = self.client.edition
        unit = encode_data_unit(edition, command, DataUnit(time_bytes(wall_ms // 1000), values))
        return build_packet(edition.start, command, COMMAND, self.client.unique_id, PLAIN, unit)

    # -- packets going up ----------------------------------------------------------------------------------------------

    def room(self) -> int:
        """How many more packets may go up now."""
        return max(0, self._window - len(self._flying)) if self.state == LOGGED_IN else 0

    def busy(self) -> Iterable[int]:
        """Ids that are under way, or rest after an error answer."""
        return self._flying.keys() | self._resting.keys()

    def rested(self, now: int) -> list[int]:
        """Ids of refused packets that are to go up again."""
        return [number for number, (at, _) in self._resting.items() if at <= now and number not in self._flying]

    def next_rested(self) -> int | None:
        """When the next of them is."""
        return min((at for number, (at, _) in self._resting.items() if number not in self._flying), default=None)

    def send(self, stored: Stored, now: int, wall_ms: int) -> bytes:
        """The packet as it goes up, which is under way from now on."""
        packet = stored.plain()
        again = stored.id in self._again
        self.counters.repeats += again
        raw = packet.raw
        if packet.command == REALTIME and (
            again or stored.id in self._resting or wall_ms > stored.received_ms + self._late_ms
        ):
            raw = as_reissue(packet)
        self._flying[stored.id] = _Flight(stored, now, (raw[:2], raw[2], packet.vin), packet.unit[:TIME_SIZE])
        return raw

    def receive(self, packet: Packet, now: int) -> bool:
        """Take a packet from above; False for one that means nothing here (commands to vehicles, answers nobody waits for)."""
        if packet.response == COMMAND:
            return False
        if packet.vin == self.client.unique_id and packet.command == LOGIN_ID:
            return self._logged_in(packet.response)
        if packet.vin == self.client.unique_id and packet.command == LOGOUT_ID:
            self.state = OFFLINE
            return True
        number = self._match(packet)
        if number is None:
            self.counters.stray_answers += 1
            return False
        flight = self._flying.pop(number)
        if packet.response == SUCCESS:
            self._settle(number)
            self.counters.forwarded += 1
            self.counters.live += flight.key[1] == flight.stored.raw[2] and number not in self._again
            self.proven.append(number)
            return True
        _, times = self._resting.get(number, (0, 0))
        if times >= REFUSED_TRIES:
            self._settle(number)
            self.counters.refused += 1
            self.refused.append((number, packet.response))
        else:
            self._resting[number] = (now + REFUSED_RETRY_MS, times + 1)
        return True

    def _settle(self, number: int) -> None:
        self._again.discard(number)
        self._resting.pop(number, None)

    def _logged_in(self, flag: int) -> bool:
        if self.state not in (LOGGING_IN, WAITING):
            return False
        if flag == SUCCESS:
            self.state, self._failures = LOGGED_IN, 0
            self.counters.logins += 1
        elif self.state == LOGGING_IN:
            self.state = WAITING  # for the next try
            self._failures += 1
        return True

    def _match(self, packet: Packet) -> int | None:
        """The packet that an answer belongs to: of its time when that names one, else the oldest of the command and VIN."""
        key = (packet.start, packet.command, packet.vin)
        mine = [(number, flight) for number, flight in self._flying.items() if flight.key == key]
        timed = [number for number, flight in mine if flight.time == packet.unit[:TIME_SIZE]]
        return timed[0] if timed else mine[0][0] if mine else None


def as_reissue(packet: Packet) -> bytes:
    """The same report under command 03."""
    return build_packet(packet.start, REISSUE, packet.response, packet.vin, packet.encryption, packet.unit)
