"""What the platform answers to which packet, and how it misbehaves on purpose."""

from dataclasses import dataclass

from agent.core.dataunit import TIME_SIZE
from agent.core.packet import (
    COMMAND,
    ERROR,
    MAX_DATA_UNIT,
    PLAIN,
    STARTS,
    SUCCESS,
    build_packet,
    has_time_bytes,
    time_bytes,
)
from agent.core.session import REALTIME
from bench.arrival import DECRYPTION_ERROR, VIN_DUPLICATE, Arrival, known_flag

REFUSALS = (ERROR, VIN_DUPLICATE)
ERRORS = tuple(range(ERROR, DECRYPTION_ERROR + 1))
KEY_FAULTS = ("expired", "early", "short")  # of a key exchange

LOGIN = "vehicle_login"
LOGOUT = "vehicle_logout"
PLATFORM_LOGIN = "platform_login"
PLATFORM_LOGOUT = "platform_logout"
TIME_SYNC = "time_sync"
ACTIVATION = "activation"
REPORTS = ("realtime", "reissue")

SESSION = "session"
REPORT = "report"
OTHER = "other"
FAULTY = "faulty"
_KINDS = {
    LOGIN: SESSION,
    LOGOUT: SESSION,
    PLATFORM_LOGIN: SESSION,
    PLATFORM_LOGOUT: SESSION,
    "heartbeat": SESSION,
    TIME_SYNC: SESSION,
    ACTIVATION: SESSION,
    "key_exchange": SESSION,
    "realtime": REPORT,
    "reissue": REPORT,
}
_EVERY_KIND = frozenset((SESSION, REPORT, OTHER, FAULTY))

# In front of an answer: text, half a start mark, and a header whose length is not allowed.
RUBBISH = b"\x00HTTP/1.1 400 Bad Request\r\n\r\n#\x00$\xff##" + b"\xff" * 22
OTHER_VIN = b"LGBTEST9999999999"
NEVER_SENT = time_bytes(1_000_000_000)  # the collection time of a report that no terminal has


@dataclass(frozen=True, slots=True)
class Policy:
    """Which kinds of packet are answered and in which shape; the rest are faults, off unless set.

    `shape`: short (the time of the packet, nothing else), long (the platform's time, the rest as it came, where the edition
    has such answers: 2016, annex B; else short), echo (the same in every edition), empty. Counts of packets are per link,
    counts of reports over the whole run; 0 means never.
    """

    answered: frozenset[str]
    shape: str = "short"
    late_s: float = 0  # answers wait so long
    rubbish: bool = False  # noise goes out in front of each answer
    close_mid_packet: int = 0  # half an answer to the N-th packet, then the link closes
    refuse_login: int = 0  # response flag for every vehicle login
    error_every: int = 0  # every N-th good report is answered with an error
    error_flag: int = ERROR  # which one, where the edition has it
    no_read: bool = False  # links are accepted and never read
    drop_after: int = 0  # the link breaks when N packets have been read, the N-th unanswered
    unasked: bool = False  # behind each answer another one, to a report that was never sent
    wrong_vin: bool = False  # answers carry the VIN of another vehicle
    wrong_edition: bool = False  # answers begin with the start mark of the other edition
    huge: bool = False  # answers carry the longest data unit there is, all FF
    clock_offset_s: int = 0  # what the platform's clock is wrong by, in time sync and long answers


POLICIES = {
    "annex-b": Policy(frozenset((SESSION, FAULTY))),
    "each": Policy(_EVERY_KIND),
    "long": Policy(_EVERY_KIND, "long"),
    "echo": Policy(_EVERY_KIND, "echo"),
    "empty": Policy(_EVERY_KIND, "empty"),
    "silent": Policy(frozenset()),
}


def answer(policy: Policy, arrival: Arrival, number: int, on_platform_link: bool = False) -> bytes | None:
    """The answer packet, or None where the policy keeps silent.

    `number` counts the good reports of the run up to this one. An answer is never answered. On a terminal link a faulty
    login is ignored, and so is one that is refused with a flag its edition does not have (annex B). On the link of a client
    platform every packet is answered unless the policy is silent: the client takes the answer as proof.
    """
    if arrival.packet.response != COMMAND:
        return None
    kind = _KINDS.get(arrival.command, OTHER)
    flag = SUCCESS
    if arrival.fault is not None:
        if arrival.command == LOGIN and not on_platform_link:
            return None
        kind, flag = FAULTY, arrival.flag
    elif arrival.refusal:
        flag = known_flag(arrival.edition, arrival.refusal)
        if arrival.command == LOGIN and flag != arrival.refusal and not on_platform_link:
            return None
        kind = kind if kind == SESSION else FAULTY
    elif arrival.command == LOGIN and policy.refuse_login:
        flag = policy.refuse_login
    elif kind == REPORT and policy.error_every and number % policy.error_every == 0:
        kind, flag = FAULTY, known_flag(arrival.edition, policy.error_flag)
    if kind in policy.answered or (on_platform_link and policy.answered):
        return build_answer(policy, arrival, flag)
    return None


def build_answer(policy: Policy, arrival: Arrival, flag: int) -> bytes:
    """An answer to `arrival` with response `flag`; start, command and VIN are those of the command (6.3.2)."""
    return dressed(policy, arrival, arrival.packet.command, flag, _unit(policy, arrival))


def dressed(policy: Policy, arrival: Arrival, command: int, flag: int, unit: bytes) -> bytes:
    """A packet back to where `arrival` came from, spoiled as the policy says."""
    packet = arrival.packet
    start, vin = packet.start, packet.vin
    if policy.wrong_edition:
        start = next(other for other in STARTS.values() if other != start)
    if policy.wrong_vin:
        vin = OTHER_VIN
    if policy.huge:
        unit = b"\xff" * MAX_DATA_UNIT
    made = build_packet(start, command, flag, vin, PLAIN, unit)
    if policy.unasked:
        made += build_packet(packet.start, REALTIME, SUCCESS, packet.vin, PLAIN, NEVER_SENT)
    return made


def _unit(policy: Policy, arrival: Arrival) -> bytes:
    edition = arrival.edition
    row = edition.commands.get(arrival.packet.command) if edition is not None else None
    plain, shape = arrival.plain, policy.shape
    if edition is None or row is None or shape == "empty" or (arrival.packet.unit and not plain):
        return b""
    long = shape == "echo" or (shape == "long" and edition.long_answers)
    if arrival.command == TIME_SYNC:
        return _now(policy, arrival)
    if not row.timed:
        return plain if long else b""
    if long:
        return _now(policy, arrival) + plain[TIME_SIZE:]
    return plain[:TIME_SIZE]


def _now(policy: Policy, arrival: Arrival) -> bytes:
    second = arrival.received_ms // 1000 + policy.clock_offset_s
    return time_bytes(second if has_time_bytes(second) else arrival.received_ms // 1000)
