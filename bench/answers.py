"""What the platform answers to which packet, and how it misbehaves on purpose."""

from dataclasses import dataclass

from agent.core.dataunit import TIME_SIZE
from agent.core.editions import BY_START
from agent.core.packet import COMMAND, PLAIN, SUCCESS, build_packet, time_bytes
from bench.arrival import Arrival

ERROR = 0x02
REFUSALS = (0x02, 0x03)  # error, VIN duplicate

LOGIN = "vehicle_login"
TIME_SYNC = "time_sync"
REPORTS = ("realtime", "reissue")

SESSION = "session"
REPORT = "report"
OTHER = "other"
FAULTY = "faulty"
_KINDS = {
    LOGIN: SESSION,
    "vehicle_logout": SESSION,
    "heartbeat": SESSION,
    TIME_SYNC: SESSION,
    "realtime": REPORT,
    "reissue": REPORT,
}
_EVERY_KIND = frozenset((SESSION, REPORT, OTHER, FAULTY))

# In front of an answer: text, half a start mark, and a header whose length is not allowed.
RUBBISH = b"\x00HTTP/1.1 400 Bad Request\r\n\r\n#\x00$\xff##" + b"\xff" * 22


@dataclass(frozen=True, slots=True)
class Policy:
    """Which kinds of packet are answered and in which shape; the rest are faults, off unless set.

    `shape`: short (the time of the packet, nothing else), long (the platform's time, the rest as it came: 2016, annex B),
    empty. Counts of packets are per link, counts of reports over the whole run; 0 means never.
    """

    answered: frozenset[str]
    shape: str = "short"
    late_s: float = 0  # answers wait so long
    rubbish: bool = False  # noise goes out in front of each answer
    close_mid_packet: int = 0  # half an answer to the N-th packet, then the link closes
    refuse_login: int = 0  # response flag for every vehicle login
    error_every: int = 0  # every N-th good report is answered with an error
    no_read: bool = False  # links are accepted and never read
    drop_after: int = 0  # the link breaks when N packets have been read, the N-th unanswered


POLICIES = {
    "annex-b": Policy(frozenset((SESSION, FAULTY))),
    "each": Policy(_EVERY_KIND),
    "long": Policy(_EVERY_KIND, "long"),
    "empty": Policy(_EVERY_KIND, "empty"),
    "silent": Policy(frozenset()),
}


def answer(policy: Policy, arrival: Arrival, number: int) -> bytes | None:
    """The answer packet, or None where the policy keeps silent.

    `number` counts the good reports of the run up to this one. A faulty login is ignored (annex B), and an answer is
    never answered.
    """
    if arrival.packet.response != COMMAND:
        return None
    kind = _KINDS.get(arrival.command, OTHER)
    flag = SUCCESS
    if arrival.fault is not None:
        if arrival.command == LOGIN:
            return None
        kind, flag = FAULTY, ERROR
    elif arrival.command == LOGIN and policy.refuse_login:
        flag = policy.refuse_login
    elif kind == REPORT and policy.error_every and number % policy.error_every == 0:
        kind, flag = FAULTY, ERROR
    return build_answer(policy.shape, arrival, flag) if kind in policy.answered else None


def build_answer(shape: str, arrival: Arrival, flag: int) -> bytes:
    """An answer to `arrival` with response `flag`; start, command and VIN are those of the command (6.3.2)."""
    packet = arrival.packet
    return build_packet(packet.start, packet.command, flag, packet.vin, PLAIN, _unit(shape, arrival))


def _unit(shape: str, arrival: Arrival) -> bytes:
    packet = arrival.packet
    edition = BY_START.get(packet.start)
    row = edition.commands.get(packet.command) if edition is not None else None
    if shape == "empty" or row is None or packet.encryption != PLAIN:
        return b""
    if arrival.command == TIME_SYNC:
        return time_bytes(arrival.received_ms // 1000)
    if not row.timed:
        return packet.unit if shape == "long" else b""
    if shape == "long":
        return time_bytes(arrival.received_ms // 1000) + packet.unit[TIME_SIZE:]
    return packet.unit[:TIME_SIZE]
