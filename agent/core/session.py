"""The conversation with a platform: activation, login, heartbeat, time sync, commands, answers, logout (annex B).

No I/O, no clock. Bytes in by `receive`, bytes out by `data_to_send`, time as an argument (`now`, monotonic ms; `wall_s`, Unix
seconds). `deadline` says when `handle_timeout` wants to be called next. What the owner must know comes back as events. All
states and what leads from one to another stand in `TRANSITIONS`; the README's picture is printed from it.
"""

from agent.core.dataunit import TIME_SIZE, DataUnit, decode_data_unit, encode_data_unit
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
ACTIVATION = 0x09
ACTIVATION_ANSWER = 0x0A
ACTIVATED_BEFORE = 0x01  # information of an activation answer
KEY_EXCHANGE = 0x0B
COMMANDS_DOWN = (KEY_EXCHANGE, 0x80, 0x81, 0x82)

LOGIN_TRIES = 3  # logins in a row without success before the long wait; annex B
MAX_ANSWER = 4096  # bytes of data unit; nothing a platform sends a terminal comes near it
UNFINISHED_MS = 30000  # the rest of a packet that does not come for so long: the stream is out of step

TRANSITIONS = {
    ("offline", "activate"): "activating",
    ("offline", "login"): "logging_in",
    ("activating", "login"): "logging_in",
    ("activating", "failure"): "failed",
    ("logging_in", "success"): "logged_in",
    ("logging_in", "failure"): "failed",
    ("failed", "activate"): "activating",
    ("failed", "login"): "logging_in",
    ("failed", "success"): "logged_in",  # the answer to a login that was given up comes late
    ("failed", "give_up"): "offline",
    ("logged_in", "logout"): "leaving",
    ("offline", "lost"): "offline",
    ("activating", "lost"): "offline",
    ("logging_in", "lost"): "offline",
    ("failed", "lost"): "offline",
    ("logged_in", "lost"): "offline",
    ("leaving", "lost"): "offline",
}


class SessionSettings:
    """Times of the session, in ms: parameters 09 (heartbeat), 0B (how long an answer may take), 0C; login retry by edition."""

    def __init__(
        self,
        heartbeat_ms: int = 60000,
        login_retry_ms: int = 60000,
        login_wait_ms: int = 1800000,
        answer_timeout_ms: int = 60000,
    ) -> None:
        self.heartbeat_ms = heartbeat_ms
        self.login_retry_ms = login_retry_ms
        self.login_wait_ms = login_wait_ms
        self.answer_timeout_ms = answer_timeout_ms


def plain(_start: bytes, _command: int, unit: bytes) -> "tuple[int, bytes]":
    """The seal of a session without encryption or signature: (encryption code, data unit)."""
    return PLAIN, unit


def open_plain(encryption: int, unit: bytes) -> bytes:
    """What `plain` has sealed; RemoteProtocolError for anything encrypted."""
    if encryption != PLAIN:
        raise RemoteProtocolError("encryption %02X, and no key is configured" % encryption, "6.2", 0, unit)
    return unit


class Session:
    """One terminal's session.

    `login`: the values of a vehicle login but for its serial. `activation`: gives the values of command 09 at a Unix second,
    for a terminal that is not activated yet (2025); None otherwise.

    Events are tuples: ("activated",), ("activation_failed", information or None when unanswered, tries), ("logged_in",),
    ("login_failed", flag or None when unanswered, tries), ("login_wait", ms), ("answer", command, Unix second or None, flag),
    ("time", Unix second or None, flag), ("command", Packet, plain data unit), ("unfinished", bytes), ("ignored", reason).
    """

    def __init__(
        self,
        edition: "Edition",
        vin: bytes,
        login: "dict[str, Any]",
        settings: SessionSettings,
        seal: "Callable[[bytes, int, bytes], tuple[int, bytes]]" = plain,
        unseal: "Callable[[int, bytes], bytes]" = open_plain,
        activation: "Callable[[int], dict[str, Any]] | None" = None,
    ) -> None:
        self.state = "offline"
        self.edition = edition
        self.settings = settings
        self.logged_in_at: int | None = None
        self._vin = vin
        # Rows keep the edition and VIN they were made with, so answers may come for those of an earlier configuration too.
        self._spoken = {(edition.start, vin)}
        self._login_values = login
        self._seal = seal
        self._unseal = unseal
        self._activation = activation
        self._reader = PacketReader(MAX_ANSWER)
        self._out: "list[bytes]" = []
        self._serial = 0
        self._failures = 0
        self._tried_at = 0
        self._sent_at = 0
        self._sync_at: int | None = None
        self._unfinished_at: int | None = None

    # -- what the owner says -------------------------------------------------------------------------------------------

    def connected(self, now: int, wall_s: int, serial: int) -> None:
        """A link stands: activate the terminal if it has to be, else log in. `serial`: the login's of the day, 1..65531 (7.1)."""
        self._reader = PacketReader(MAX_ANSWER)
        self._out = []
        self._unfinished_at = self._sync_at = None
        self._try(now, wall_s, serial)

    def lost(self) -> None:
        """The link is gone. A login that it cut short is no failed login: the link's own waiting rules apply."""
        self._go("lost")
        self._out = []
        self.logged_in_at = None

    def forget_failures(self) -> None:
        """The next login goes to another platform; what failed before does not count there."""
        self._failures = 0

    def logout(self, now: int, wall_s: int) -> None:
        """Say goodbye with the serial of the login (7.3)."""
        if self.state == "logged_in":
            self._go("logout")
            self._command(LOGOUT, DataUnit(time_bytes(wall_s), {"serial": self._serial}), now)

    def time_sync(self, now: int) -> None:
        """Ask the platform for its time, again after each answer timeout until it has given one."""
        self._sync_at = now + self.settings.answer_timeout_ms
        self._command(TIME_SYNC, DataUnit(), now)

    def report(self, command: int, start: bytes, vin: bytes, collected_at: int, bodies: bytes, now: int) -> bytes:
        """The packet of a stored row; edition and VIN are the row's own. The caller sends it."""
        self._spoken.add((start, vin))
        encryption, unit = self._seal(start, command, time_bytes(collected_at) + bodies)
        self._sent_at = now
        return build_packet(start, command, COMMAND, vin, encryption, unit)

    def answer(
        self, packet: Packet, unit: bytes, flag: int, values: "dict[str, Any] | None", now: int, wall_s: int
    ) -> bytes:
        """Answer a command of the platform and return the packet; `values`: what a query asked for, after our time.

        Otherwise by the edition: the unit as it came with our time in front (long), or its time and nothing else. A unit that
        has no time (key exchange) is answered with an empty one.
        """
        row = self.edition.commands[packet.command]
        if values is not None:
            unit = encode_data_unit(self.edition, packet.command, DataUnit(time_bytes(wall_s), values), flag)
        elif not row.timed:
            unit = b""
        elif self.edition.long_answers:
            unit = time_bytes(wall_s) + unit[TIME_SIZE:]
        else:
            unit = unit[:TIME_SIZE]
        encryption = PLAIN
        if unit:
            encryption, unit = self._seal(packet.start, packet.command, unit)
        answer = build_packet(packet.start, packet.command, flag, packet.vin, encryption, unit)
        self._send(answer, now)
        return answer

    def again(self, answer: bytes, now: int) -> None:
        """Send an answer once more: the platform repeated its command because the first answer did not reach it."""
        self._send(answer, now)

    def data_to_send(self) -> bytes:
        """All bytes that wait to be sent, once."""
        data = b"".join(self._out)
        self._out = []
        return data

    # -- time ----------------------------------------------------------------------------------------------------------

    def deadline(self) -> "int | None":
        """When `handle_timeout` has something to do, monotonic ms; None: never."""
        times = []
        if self.state in ("activating", "logging_in", "failed"):
            times.append(self._tried_at + self.settings.login_retry_ms)
        elif self.state == "logged_in":
            times.append(self._sent_at + self.settings.heartbeat_ms)
            if self._sync_at is not None:
                times.append(self._sync_at)
        if self._unfinished_at is not None and self.state != "offline":
            times.append(self._unfinished_at + UNFINISHED_MS)
        return min(times) if times else None

    def handle_timeout(self, now: int, wall_s: int, serial: int) -> "list[Event]":
        """Return what became due by `now`; `serial` is used should another login go out."""
        due = self.deadline()
        if due is None or now < due:
            return []
        if self._unfinished_at is not None and now >= self._unfinished_at + UNFINISHED_MS:
            return [("unfinished", self._reader.pending())]
        if self.state == "logged_in":
            if self._sync_at is not None and now >= self._sync_at:
                self.time_sync(now)
            else:
                self._command(HEARTBEAT, DataUnit(), now)
            return []
        events: "list[Event]" = []
        if self.state != "failed":
            events.append(self._failed("activation_failed" if self.state == "activating" else "login_failed", None))
        if self._failures >= LOGIN_TRIES:
            self._failures = 0
            self._go("give_up")
            events.append(("login_wait", self.settings.login_wait_ms))
            return events
        self._try(now, wall_s, serial)
        return events

    # -- what the platform says ----------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: int, wall_s: int) -> "list[Event]":
        """Take bytes cut anywhere; return events. Noise and damaged packets are skipped and counted, never raised."""
        events: "list[Event]" = []
        for raw in self._reader.feed(data):
            packet = Packet(raw)
            if (packet.start, packet.vin) not in self._spoken:
                known = [vin for _, vin in self._spoken]
                what = "edition" if packet.vin in known else "unique id"
                events.append(("ignored", "%s is not ours" % what))
            elif packet.command == ACTIVATION_ANSWER:  # sent as a command by some platforms, as an answer by others
                events.append(self._activated(packet, now, wall_s))
            elif packet.response == COMMAND:
                events.append(self._commanded(packet))
            else:
                events.append(self._answered(packet, now))
        if self._reader.pending():
            if self._unfinished_at is None:
                self._unfinished_at = now
        else:
            self._unfinished_at = None
        return events

    def noise(self) -> "tuple[int, int]":
        """(bytes that belonged to no packet, packets with a wrong check code) on this link so far."""
        return self._reader.noise_bytes, self._reader.bad_bcc

    def _answered(self, packet: Packet, now: int) -> "Event":
        command = packet.command
        flag = packet.response
        if command == LOGIN:
            if self._activation is not None or self.state not in ("logging_in", "failed"):
                return ("ignored", "answer to a login that nobody waits for")
            if flag != SUCCESS:
                return self._failed("login_failed", flag)
            self._go("success")
            self._failures = 0
            self.logged_in_at = now
            return ("logged_in",)
        if command in (REALTIME, REISSUE):
            # Good and long, it carries the platform's own time (annex B): by chance that of another report.
            return ("answer", command, self._answer_time(packet, flag == SUCCESS), flag)
        if command == TIME_SYNC:
            time = self._answer_time(packet, False)
            if self._sync_at is None:
                return ("ignored", "time that nobody asked for")
            if flag == SUCCESS and time is not None:
                self._sync_at = None
            return ("time", time if flag == SUCCESS else None, flag)
        if command in (HEARTBEAT, LOGOUT):
            return ("answer", command, None, flag)
        return ("ignored", "answer to command %02X that was never sent" % command)

    def _activated(self, packet: Packet, now: int, wall_s: int) -> "Event":
        if self._activation is None or self.state not in ("activating", "failed"):
            return ("ignored", "activation that nobody waits for")
        try:
            unit = decode_data_unit(self.edition, ACTIVATION_ANSWER, self._unseal(packet.encryption, packet.unit))
        except RemoteProtocolError as error:
            return ("ignored", "activation answer: %s" % error)
        values = unit.values or {}
        information = values.get("information", 0)
        # A chip that is activated already, because the first answer was lost: whether it is this vehicle's, the login tells.
        if values.get("status") != SUCCESS and information != ACTIVATED_BEFORE:
            return self._failed("activation_failed", information)
        self._activation = None
        self._failures = 0
        self._go("login")
        self._login(now, wall_s)
        return ("activated",)

    def _commanded(self, packet: Packet) -> "Event":
        if packet.command not in COMMANDS_DOWN or packet.command not in self.edition.commands:
            return ("ignored", "command %02X is not for a terminal" % packet.command)
        if self.state != "logged_in" or packet.start != self.edition.start:
            return ("ignored", "command %02X outside a session of its edition" % packet.command)
        try:
            return ("command", packet, self._unseal(packet.encryption, packet.unit))
        except RemoteProtocolError as error:
            return ("ignored", "command %02X: %s" % (packet.command, error))

    # -- the ways out --------------------------------------------------------------------------------------------------

    def _try(self, now: int, wall_s: int, serial: int) -> None:
        self._tried_at = now
        self._serial = serial
        if self._activation is None:
            self._go("login")
            self._login(now, wall_s)
        else:
            self._go("activate")
            self._command(ACTIVATION, DataUnit(time_bytes(wall_s), self._activation(wall_s)), now)

    def _login(self, now: int, wall_s: int) -> None:
        self._tried_at = now
        values = dict(self._login_values)
        values["serial"] = self._serial
        self._command(LOGIN, DataUnit(time_bytes(wall_s), values), now)

    def _failed(self, event: str, why: "int | None") -> "Event":
        if self.state == "failed":
            return ("ignored", "one more answer to a try that has failed")
        self._go("failure")
        self._failures += 1
        return (event, why, self._failures)

    def _command(self, command: int, unit: DataUnit, now: int) -> None:
        data = encode_data_unit(self.edition, command, unit)
        encryption = PLAIN
        if data:
            encryption, data = self._seal(self.edition.start, command, data)
        self._send(build_packet(self.edition.start, command, COMMAND, self._vin, encryption, data), now)

    def _send(self, packet: bytes, now: int) -> None:
        self._sent_at = now
        self._out.append(packet)

    def _go(self, event: str) -> None:
        self.state = TRANSITIONS[(self.state, event)]

    def _answer_time(self, packet: Packet, short: bool) -> "int | None":
        """The Unix second an answer carries, its first six bytes; None without one, and where others follow it and `short`."""
        try:
            unit = self._unseal(packet.encryption, packet.unit)
            return None if short and len(unit) != TIME_SIZE else epoch_of(unit)
        except RemoteProtocolError:
            return None
