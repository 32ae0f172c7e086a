"""What goes wrong on one CAN bus: counted, and said in words. Reads no clock, opens nothing: time and facts are handed in.

The receive path calls `error_frame`, `dropped` and `timed_out`, in its thread; the bus's guard calls `opened`, `closed` and,
once a second while the bus is open, `look`. Each counter has one writer.
"""

from collections import deque

from agent.backoff import SAY_AGAIN_MS
from agent.canbus.errorframe import (
    ACTIVE,
    BUS_OFF,
    CLASSES,
    CONTROLLER,
    COUNTERS,
    NOT_ACKNOWLEDGED,
    PASSIVE,
    RESTARTED,
    RX_OVERFLOW,
    TRANSCEIVER,
    TX_OVERFLOW,
    WARNING,
    wires,
    words,
)
from agent.canbus.link import Link

STATES = ("error-active", "error-warning", "error-passive", "bus-off")  # of a controller, as Link.state counts them
QUIET_MS = 10_000  # without a frame: that is silence; every cyclic message comes more often
WINDOW = 10  # looks over which errors a second are averaged
MINUTE_MS = 60_000
SOURCE_MS = 10_000  # how long an error frame's word on the cause is worth repeating


class Trouble:
    """Counters of one bus since the start, its present state, and a judgement of both; times are monotonic ms.

    `channel`: name of the SocketCAN interface, for the commands that a judgement proposes; empty for another interface.
    `tx_errors`, `rx_errors`: the controller's error counters, None as long as it has not told them.
    """

    COUNTS = (
        "error_frames",
        *(counter for _, _, counter in CLASSES),
        "error_warning",  # times the controller came into that state
        "error_passive",
        "controller_overflows",
        "tx_overflows",
        "drops",  # frames that the kernel had no room for in our socket's queue (SO_RXQ_OVFL)
        "timeouts",  # times a wanted message stayed away for longer than its timeout
        "reopened",
        "away",  # times the bus went away or could not be opened
        "away_s",
        "silent_s",  # of the time it was open, in silences of QUIET_MS and more
    )

    def __init__(self, channel: str = "") -> None:
        self.error_frames = 0
        self.tx_timeouts = 0
        self.arbitration_lost = 0
        self.controller_problems = 0
        self.protocol_violations = 0
        self.transceiver_faults = 0
        self.not_acknowledged = 0
        self.bus_off = 0
        self.bus_errors = 0
        self.restarts = 0
        self.error_warning = 0
        self.error_passive = 0
        self.tx_overflows = 0
        self.drops = 0
        self.timeouts = 0
        self.reopened = 0
        self.away = 0
        self.tx_errors: int | None = None
        self.rx_errors: int | None = None
        self._channel = channel
        self._told: int | None = None  # state by error frames; the interface's own word, where it has one, goes before
        self._overflows_told = 0
        self._overflows_counted = 0  # by the interface
        self._last_error: tuple[int, bytes] | None = None  # can_id, data
        self._error_ms: int | None = None
        self._opened = False
        self._open = False
        self._reason = ""
        self._away_since = 0
        self._away_ms = 0
        self._silent_ms = 0
        self._now = 0
        self._link: Link | None = None
        self._frames = 0
        self._heard = self._wanted = False  # since the bus was opened
        self._opened_ms = 0
        self._heard_ms = 0  # when a frame was on the bus, wanted or not
        self._looked_ms = 0
        self._off_looked = False
        self._looks: deque[tuple[int, int]] = deque(maxlen=WINDOW + 1)  # when, error frames until then
        self._errors_before = 0
        self._lost_before = 0
        self._lost_ms: int | None = None
        self._said_ms: dict[str, int] = {}

    # --- from the receive path

    def error_frame(self, can_id: int, data: bytes | bytearray) -> None:
        """Count an error frame. Only SocketCAN's is read further: elsewhere its content is what each driver pleases."""
        self.error_frames += 1
        if not self._channel:
            return
        self._last_error = (can_id, bytes(data[:8]))
        for bit, _, counter in CLASSES:
            if can_id & bit:
                setattr(self, counter, getattr(self, counter) + 1)
        if can_id & CONTROLLER and len(data) > 1:
            self._controller(data[1])
        if can_id & RESTARTED:
            self._turn(0)
        if can_id & BUS_OFF:  # last: a frame that reports both is about a controller that has failed again
            self._turn(3)
        if can_id & COUNTERS and len(data) >= 8:
            self.tx_errors, self.rx_errors = data[6], data[7]

    def dropped(self, total: int) -> None:
        """So many frames were lost since the start, because the kernel had no room for them (SO_RXQ_OVFL of all our sockets)."""
        self.drops = total

    def timed_out(self) -> None:
        """A wanted message has stayed away (the Broadcast Manager's RX_TIMEOUT)."""
        self.timeouts += 1

    # --- from the owner

    def opened(self, now_ms: int) -> int:
        """The bus is open, with a new socket; the ms it was away."""
        away_ms = now_ms - self._away_since if self.away and not self._open else 0
        self._away_ms += away_ms
        self.reopened += self._opened
        self._opened = self._open = True
        self._told = self.tx_errors = self.rx_errors = self._link = None
        self._heard = self._wanted = False
        self._looks.clear()
        self._now = self._heard_ms = self._looked_ms = self._opened_ms = now_ms
        return away_ms

    def closed(self, now_ms: int, reason: str) -> None:
        """The bus went away, or could not be opened."""
        self._reason = reason
        if self._open or not self.away:
            self._end_silence(now_ms)
            self.away += 1
            self._away_since = now_ms
        self._open = False
        self._now = now_ms

    def look(self, now_ms: int, frames: int, link: Link | None = None) -> bool:
        """Take notice of the frames received so far, and of the interface; True while the controller is bus-off.

        `frames` may be those of a receive path that is given less than there is: the interface's own count is used too.
        """
        self._now = now_ms
        errors = self.error_frames - self._errors_before
        self._errors_before = self.error_frames
        heard = wanted = frames != self._frames
        self._frames = frames
        if link and self._link:
            # Before Linux 5.17, and on virtual interfaces, error frames are among the packets; a half more than they are
            # allows for those that are counted there and still on their way to here.
            heard = heard or link.packets - self._link.packets > errors + errors // 2
            self._overflows_counted += max(0, link.overflows - self._link.overflows)
        self._link = link
        if heard:
            self._end_silence(now_ms)
        self._looked_ms = now_ms
        self._heard |= heard
        self._wanted |= wanted
        self._looks.append((now_ms, self.error_frames))
        if errors:
            self._error_ms = now_ms
        lost = self.drops + self.controller_overflows
        if lost != self._lost_before:
            self._lost_before, self._lost_ms = lost, now_ms
        return self._look_at_bus_off(heard)

    def counts(self, now_ms: int | None = None) -> dict[str, int]:
        """Every counter by its name; the seconds are those up to `now_ms`, or up to when this was last told the time."""
        self._now = self._now if now_ms is None else max(now_ms, self._now)
        return {name: getattr(self, name) for name in self.COUNTS}

    @property
    def away_s(self) -> int:
        return (self._away_ms + (self._now - self._away_since if self.away and not self._open else 0)) // 1000

    @property
    def silent_s(self) -> int:
        return (self._silent_ms + self._silence()) // 1000

    @property
    def controller_overflows(self) -> int:
        """Frames, or bursts of them, that the controller had no room for: as it told us, or as its driver counted."""
        return max(self._overflows_told, self._overflows_counted)

    @property
    def state(self) -> str | None:
        """What the controller last said of itself, one of STATES; None as long as it has said nothing."""
        number = self._link.state if self._link else None
        number = self._told if number is None else number
        return STATES[number] if number is not None and number < len(STATES) else None

    # --- the judgement

    def problem(self, now_ms: int) -> str | None:
        """The gravest of `remarks`; None when all is well."""
        return next(iter(self.remarks(now_ms).values()), None)

    def remarks(self, now_ms: int) -> dict[str, str]:
        """What is wrong now, by its matter, the gravest first; empty when all is well."""
        self._now = max(now_ms, self._now)
        if not self._open:
            return {"away": f"away for {self.away_s} s: {self._reason}"} if self.away else {}
        found = {}
        quiet_ms = self._silence()
        rate = self._errors_s()
        strained = self.state in STATES[1:3]
        if self.state == STATES[3]:
            found["bus-off"] = f"bus-off: {self._way_back()}"
        elif quiet_ms and (rate or (strained and not self._heard)):
            cause = "wrong bitrate, wrong oscillator, or a broken wire"
            if self._link and self._link.listen_only:
                cause += ", or a sender that nobody acknowledges (this interface listens only)"
            found["bitrate"] = f"errors but no frames for {quiet_ms // 1000} s: {cause}{self._last_words()}"
        elif quiet_ms:
            found["silent"] = f"no frames and no errors for {quiet_ms // 1000} s: ignition, plug, termination, bitrate"
        elif self.state == STATES[2]:
            cause = "termination, bitrate of one node, cable"
            found["passive"] = f"error-passive: {rate:.1f} errors/s: {cause}{self._last_words()}"
        elif not self._wanted and now_ms - self._opened_ms >= MINUTE_MS:
            foreign_s = (now_ms - self._opened_ms) // 1000
            found["foreign"] = f"frames, but none that the mapping reads for {foreign_s} s: another bus or another car?"
        if self._lost_ms is not None and now_ms - self._lost_ms < MINUTE_MS:
            found["lost"] = f"frames lost: {self.drops} (kernel queue), {self.controller_overflows} (controller)"
        found |= self._from_last_error(now_ms)
        return found

    def due(self, now_ms: int) -> list[str]:
        """The remarks that are to be logged now: each matter at most once a minute. An absence is the owner's to log."""
        texts = []
        for matter, text in self.remarks(now_ms).items():
            if matter == "away" or now_ms - self._said_ms.get(matter, now_ms - SAY_AGAIN_MS) < SAY_AGAIN_MS:
                continue
            self._said_ms[matter] = now_ms
            texts.append(text)
        return texts

    def _controller(self, status: int) -> None:
        self._overflows_told += bool(status & RX_OVERFLOW)
        self.tx_overflows += bool(status & TX_OVERFLOW)
        if status & PASSIVE:
            self._turn(2)
        elif status & WARNING:
            self._turn(1)
        elif status & ACTIVE:
            self._turn(0)

    def _turn(self, number: int) -> None:
        if number != self._told:
            self.error_warning += number == 1
            self.error_passive += number == 2
        self._told = number

    def _look_at_bus_off(self, heard: bool) -> bool:
        """A controller that is heard after it was seen bus-off is back, also when the frame that said so was lost."""
        if self._off_looked and heard and self._told == 3:
            self._turn(0)
        self._off_looked = self.state == STATES[3]
        return self._off_looked

    def _silence(self) -> int:
        """How long nothing was heard, up to the last look: what came since is not known."""
        quiet_ms = self._looked_ms - self._heard_ms if self._open else 0
        return quiet_ms if quiet_ms >= QUIET_MS else 0

    def _end_silence(self, now_ms: int) -> None:
        self._silent_ms += self._silence()
        self._heard_ms = self._looked_ms = now_ms

    def _errors_s(self) -> float:
        if len(self._looks) < 2 or self._looks[-1][0] == self._looks[0][0]:
            return 0.0
        (start, before), (end, until) = self._looks[0], self._looks[-1]
        return (until - before) * 1000 / (end - start)

    def _way_back(self) -> str:
        restart_ms = self._link.restart_ms if self._link else None
        if restart_ms:
            return f"the controller restarts itself after {restart_ms} ms (restart-ms)"
        if restart_ms == 0:
            name = self._channel
            lasting = f"ip link set {name} down; ip link set {name} up type can restart-ms 100"
            return f"the controller will not restart by itself: {lasting}"
        return "nothing is received until the controller is restarted"

    def _last_words(self) -> str:
        if self._last_error is None:
            return ""
        said = "; ".join(words(*self._last_error))
        return f" (last: {said})" if said else ""

    def _from_last_error(self, now_ms: int) -> dict[str, str]:
        """Causes that a recent error frame names by itself, beyond doubt."""
        if self._last_error is None or self._error_ms is None or now_ms - self._error_ms > SOURCE_MS:
            return {}
        can_id, data = self._last_error
        if can_id & NOT_ACKNOWLEDGED:
            return {"alone": "a program sends on this interface, and nobody acknowledges it"}
        if can_id & TRANSCEIVER and (fault := wires(data)):
            return {"wires": f"the transceiver reports: {fault}"}
        return {}
