"""The conversation with a platform: login, heartbeat, time sync, answers, logout (annex B). No I/O, no clock.

Bytes in by `receive`, bytes out by `data_to_send`, time as an argument (`now`, monotonic ms). `deadline` says when
`handle_timeout` wants to be called next. What the owner must know comes back as events.

::

    offline --connected--> logging_in --success--> logged_in --logout--> leaving
       ^                    |      ^                   |
       |                    v      | retry             |
       |<--give_up--     failed ---'                   |
       '<----------------- lost (from every state) ----'
"""

from agent.core.dataunit import TIME_SIZE, DataUnit, encode_data_unit
from agent.core.errors import RemoteProtocolError
from agent.core.packet import COMMAND, PLAIN, SUCCESS, Packet, PacketReader, build_packet, epoch_of, time_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from agent.core.edition import Edition

    Event = tuple[Any, ...]

LOGIN = 0x01
REALTIME = 0x02
REISSUE = 0x03
LOGOUT = 0x04
HEARTBEAT = 0x07
TIME_SYNC = 0x08
COMMANDS_DOWN = (0x80, 0x81, 0x82)
ERROR = 0x02

LOGIN_TRIES = 3  # logins in a row without success before the long wait; annex B
MAX_ANSWER = 4096  # bytes of data unit; nothing a platform sends a terminal comes near it

TRANSITIONS = {
    ("offline", "connected"): "logging_in",
    ("logging_in", "success"): "logged_in",
    ("logging_in", "failure"): "failed",
    ("failed", "retry"): "logging_in",
    ("failed", "give_up"): "offline",
    ("failed", "success"): "logged_in",  # the answer to a login that was given up comes late
    ("logged_in", "logout"): "leaving",
    ("logging_in", "lost"): "offline",
    ("failed", "lost"): "offline",
    ("logged_in", "lost"): "offline",
    ("leaving", "lost"): "offline",
    ("offline", "lost"): "offline",
}


class SessionSettings:
    """Times of the session, in ms, from parameters 09 and 0C and from the edition."""

    def __init__(self, heartbeat_ms: int = 60000, login_retry_ms: int = 60000, login_wait_ms: int = 1800000) -> None:
        self.heartbeat_ms = heartbeat_ms
        self.login_retry_ms = login_retry_ms
        self.login_wait_ms = login_wait_ms


def plain(_command: int, unit: bytes) -> "tuple[int, bytes]":
    """The seal of a session without encryption or signature: (encryption code, data unit)."""
    return PLAIN, unit


class Session:
    """One terminal's session.

    Events are tuples: ("logged_in",), ("login_failed", flag or None when unanswered, tries), ("login_wait", ms),
    ("answer", command, Unix second or None, flag), ("time", Unix second or None, flag), ("command", Packet),
    ("ignored", reason).
    """

    def __init__(
        self,
        edition: "Edition",
        vin: bytes,
        iccid: bytes,
        codes: "list[bytes]",
        settings: SessionSettings,
        seal: "Callable[[int, bytes], tuple[int, bytes]]" = plain,
    ) -> None:
        self.state = "offline"
        self.edition = edition
        self.settings = settings
        self.logged_in_at: int | None = None
        self._vin = vin
        # Rows keep the edition and VIN they were made with, so answers may come for those of an earlier configuration too.
        self._spoken = {(edition.start, vin)}
        self._iccid = iccid
        self._codes = codes
        self._seal = seal
        self._reader = PacketReader(MAX_ANSWER)
        self._out: "list[bytes]" = []
        self._serial = 0
        self._failures = 0
        self._login_at = 0
        self._sent_at = 0

    # -- what the owner says -------------------------------------------------------------------------------------------

    def connected(self, now: int, wall_s: int, serial: int) -> None:
        """A link stands: log in. `serial`: the login's serial of the day, 1..65531 (7.1)."""
        self._go("connected")
        self._reader = PacketReader(MAX_ANSWER)
        self._out = []
        self._serial = serial
        self._login(now, wall_s)

    def lost(self) -> None:
        """The link is gone. A login that it cut short is no failed login: the link's own waiting rules apply."""
        self._go("lost")
        self._out = []
        self.logged_in_at = None

    def logout(self, now: int, wall_s: int) -> None:
        """Say goodbye with the serial of the login (7.3)."""
        if self.state == "logged_in":
            self._go("logout")
            self._command(LOGOUT, DataUnit(time_bytes(wall_s), {"serial": self._serial}), now)

    def time_sync(self, now: int) -> None:
        """Ask the platform for its time."""
        self._command(TIME_SYNC, DataUnit(), now)

    def report(self, command: int, start: bytes, vin: bytes, collected_at: int, bodies: bytes, now: int) -> bytes:
        """The packet of a stored row; edition and VIN are the row's own. The caller sends it."""
        self._spoken.add((start, vin))
        encryption, unit = self._seal(command, time_bytes(collected_at) + bodies)
        self._sent_at = now
        return build_packet(start, command, COMMAND, vin, encryption, unit)

    def data_to_send(self) -> bytes:
        """All bytes that wait to be sent, once."""
        data = b"".join(self._out)
        self._out = []
        return data

    # -- time ----------------------------------------------------------------------------------------------------------

    def deadline(self) -> "int | None":
        """When `handle_timeout` has something to do, monotonic ms; None: never."""
        if self.state in ("logging_in", "failed"):
            return self._login_at + self.settings.login_retry_ms
        if self.state == "logged_in":
            return self._sent_at + self.settings.heartbeat_ms
        return None

    def handle_timeout(self, now: int, wall_s: int, serial: int) -> "list[Event]":
        """Return what became due by `now`; `serial` is used should another login go out."""
        due = self.deadline()
        if due is None or now < due:
            return []
        if self.state == "logged_in":
            self._command(HEARTBEAT, DataUnit(), now)
            return []
        events: "list[Event]" = []
        if self.state == "logging_in":
            events.append(self._login_failed(None))
        if self._failures >= LOGIN_TRIES:
            self._failures = 0
            self._go("give_up")
            events.append(("login_wait", self.settings.login_wait_ms))
            return events
        self._go("retry")
        self._serial = serial
        self._login(now, wall_s)
        return events

    # -- what the platform says ----------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: int) -> "list[Event]":
        """Take bytes cut anywhere; return events. Noise and damaged packets are skipped and counted, never raised."""
        events: "list[Event]" = []
        for raw in self._reader.feed(data):
            packet = Packet(raw)
            if (packet.start, packet.vin) not in self._spoken:
                events.append(("ignored", "unique id or edition of somebody else"))
            elif packet.response == COMMAND:
                events.append(self._commanded(packet, now))
            else:
                events.append(self._answered(packet, now))
        return events

    def noise(self) -> "tuple[int, int]":
        """(bytes that belonged to no packet, packets with a wrong check code) on this link so far."""
        return self._reader.noise_bytes, self._reader.bad_bcc

    def _answered(self, packet: Packet, now: int) -> "Event":
        time = _answer_time(packet.unit)
        command = packet.command
        flag = packet.response
        if command == LOGIN:
            if self.state not in ("logging_in", "failed"):
                return ("ignored", "answer to a login that nobody waits for")
            if flag != SUCCESS:
                return self._login_failed(flag)
            self._go("success")
            self._failures = 0
            self.logged_in_at = now
            return ("logged_in",)
        if command in (REALTIME, REISSUE):
            return ("answer", command, time, flag)
        if command == TIME_SYNC:
            return ("time", time if flag == SUCCESS else None, flag)
        if command in (HEARTBEAT, LOGOUT):
            return ("answer", command, None, flag)
        return ("ignored", "answer to command %02X that was never sent" % command)

    def _commanded(self, packet: Packet, now: int) -> "Event":
        if packet.command not in COMMANDS_DOWN:
            return ("ignored", "command %02X is not for a terminal" % packet.command)
        if packet.command != COMMANDS_DOWN[0] and len(packet.unit) > TIME_SIZE:
            # Nothing may be set or controlled from outside here: refused with the error flag, nothing changed (annex B).
            start, command, vin = packet.start, packet.command, packet.vin
            self._send(build_packet(start, command, ERROR, vin, PLAIN, packet.unit[:TIME_SIZE]), now)
        return ("command", packet)

    # -- the ways out --------------------------------------------------------------------------------------------------

    def _login(self, now: int, wall_s: int) -> None:
        self._login_at = now
        length = len(self._codes[0]) if self._codes else 0
        values = {"serial": self._serial, "iccid": self._iccid, "codes": self._codes, "code_length": length}
        self._command(LOGIN, DataUnit(time_bytes(wall_s), values), now)

    def _login_failed(self, flag: "int | None") -> "Event":
        if self.state == "logging_in":
            self._go("failure")
            self._failures += 1
        return ("login_failed", flag, self._failures)

    def _command(self, command: int, unit: DataUnit, now: int) -> None:
        data = encode_data_unit(self.edition, command, unit)
        encryption = PLAIN
        if data:
            encryption, data = self._seal(command, data)
        self._send(build_packet(self.edition.start, command, COMMAND, self._vin, encryption, data), now)

    def _send(self, packet: bytes, now: int) -> None:
        self._sent_at = now
        self._out.append(packet)

    def _go(self, event: str) -> None:
        self.state = TRANSITIONS[(self.state, event)]


def _answer_time(unit: bytes) -> "int | None":
    """The Unix second an answer carries: its first six bytes in every shape that has one (annex B); None where it has none."""
    try:
        return epoch_of(unit)
    except RemoteProtocolError:
        return None
