"""Newest frames of the wanted messages, kept by source; nothing is decoded before a sample is taken.

A *source* is one place where a newest frame is kept: a message, or those frames of a multiplexed message that carry one
page. `LatestFrames` chooses the source by looking at the frame; `Decoder` (`core/signals.py`) reads all sources when a sample
is taken. All rows are lists of integers made by `agent/mapping/sources.py`:

    message   [bus, can_id, id_mask, length, slot, selectors, alive, checksum]
              can_id has bit 31 set when extended; id_mask -1 compares all of it, any other is that of a J1939 message
              (`core/j1939.py`: one of several masks, FF in its low byte when the source is named); slot -1: no signal
              outside of pages
    selector  [byte, mask, needed, cases]   one multiplexer: data[byte] & mask (byte -1: the little-endian word & mask, byte
              -2: the needed bytes as a big-endian word & mask); needed bytes; cases [[first masked value, last masked value,
              [slot, ...], [selector, ...]], ...] in ascending order for every value the DBC knows
    alive     [byte, mask, needed]          bits, found as a selector's, that must differ from those of the frame before
    checksum  [position, kind, polynomial, initial, xor_out] over all other bytes
"""

from agent.core.j1939 import EXTENDED as EXTENDED
from agent.core.j1939 import PGN_TO_ONE_MASK, SINGLE, TP_CM, TP_DT, OneSource, Transport
from agent.core.needs import needs_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from agent.core.needs import Need

    Data = bytes | bytearray
    Check = Callable[[Data, int], bool]

ANY_SENDER = PGN_TO_ONE_MASK  # the bits that every mask of a J1939 message compares
MOST_IDS = 4096  # of masked messages, remembered per bus: strangers' priorities and addresses must not fill the memory
NEVER = -(1 << 62)  # stamp of a source without a frame
GONE = NEVER + 1  # stamp of a source that had one and whose bus went away: stale whatever its timeout


class BusCounts:
    """What was wrong with the frames of one bus; only that bus's writer counts here, so that no count is lost."""

    def __init__(self) -> None:
        self.short = 0
        self.unknown_mux = 0
        self.bad_checksum = 0
        self.stuck_counter = 0


class LatestFrames:
    """The newest frame of every source; one writer per bus, read by the sampler at any time.

    `frames[slot]` is written before `stamps[slot]` and must be read after it: then a frame is at least as new as its stamp.
    Counters: `kept` frames, `unknown_id`, `other_source` (a J1939 message from another address than the one it is taken
    from), `torn` (J1939 messages of several packets of which some did not come), and of every bus in `by_bus`, or of all
    together: `unknown_mux` (a multiplexer value that the DBC does not know), `short` (fewer bytes than the message has; what
    is there is used), `bad_checksum`, `stuck_counter` (neither refreshes a source). `rivals`: (bus, identifier, address
    taken, address refused), once per message.
    """

    def __init__(self, plan: "dict[str, Any]", ticks_per_ms: int = 1) -> None:
        self._plan = plan
        count = len(plan["sources"])
        self.frames: "list[Data]" = [b""] * count
        self.stamps: "list[int]" = [NEVER] * count
        self.kept = 0
        self.unknown_id = 0
        self.by_bus = [BusCounts() for _ in plan["buses"]]
        self.other_source = 0
        self.rivals: "list[tuple[int, int, int, int]]" = []
        self._forgotten = NEVER  # newest stamp of all sources that were forgotten
        self._slots: "list[list[int]]" = [[] for _ in plan["buses"]]
        self._wanted: "list[list[tuple[int, int]]]" = [[] for _ in plan["buses"]]
        self._entries: "list[dict[int, Any]]" = [{} for _ in plan["buses"]]
        # By the bits of `ANY_SENDER`: (identifier, mask, entry, check_of(can_id, check) or None)
        self._masked: "list[dict[int, list[Any]]]" = [{} for _ in plan["buses"]]
        long: "list[list[tuple[int, int]]]" = [[] for _ in plan["buses"]]
        for bus, can_id, id_mask, length, slot, selectors, alive, checksum in plan["messages"]:
            rows = _selectors(selectors)
            check = None
            if alive or checksum:
                check = _alive_check(self.by_bus[bus], alive, _checksum_check(checksum) if checksum else None)
            pages = _simple_pages(slot, rows)
            entry = (slot, length, check, pages, rows if pages is None else None)
            self._slots[bus] += slots_of(slot, selectors)
            exact = 0x9FFFFFFF if can_id & EXTENDED else 0x800007FF
            self._wanted[bus].append((can_id, exact if id_mask == -1 else id_mask))
            if id_mask == -1:
                self._entries[bus][can_id] = entry
                continue
            one = None
            if not id_mask & 0xFF:
                timeout = max([plan["sources"][each][1] for each in slots_of(slot, selectors)])
                one = OneSource(timeout * ticks_per_ms, self._rival_of(bus, can_id)).check_of
            self._masked[bus].setdefault(can_id & ANY_SENDER, []).append((can_id, id_mask, entry, one))
            if length > SINGLE:
                long[bus].append((can_id, id_mask))
        self._keepers = [self.keeper(bus) for bus in range(len(plan["buses"]))]
        self._transports = [Transport(long[bus], keep, ticks_per_ms) for bus, keep in enumerate(self._keepers)]
        for bus, transport in enumerate(self._transports):
            if long[bus]:
                self._add_transport(bus, transport)

    @property
    def torn(self) -> int:
        return sum([transport.torn for transport in self._transports])

    @property
    def short(self) -> int:
        return sum([each.short for each in self.by_bus])

    @property
    def unknown_mux(self) -> int:
        return sum([each.unknown_mux for each in self.by_bus])

    @property
    def bad_checksum(self) -> int:
        return sum([each.bad_checksum for each in self.by_bus])

    @property
    def stuck_counter(self) -> int:
        return sum([each.stuck_counter for each in self.by_bus])

    def forget(self, bus: int) -> None:
        """A bus went away: its sources are stale from now on, whatever their timeouts, until their next frame.

        Call it when the bus's writer has ended; `heard` still knows when the last frame came.
        """
        for slot in self._slots[bus]:
            if self.stamps[slot] > GONE:
                self._forgotten = max(self._forgotten, self.stamps[slot])
                self.stamps[slot] = GONE

    def heard(self, slots: "list[int]") -> int:
        """Stamp of the newest frame of these sources or of a forgotten one; NEVER without one."""
        return max([self._forgotten] + [self.stamps[slot] for slot in slots])

    def wanted(self, bus: int) -> "list[tuple[int, int]]":
        """(identifier, mask) of every wanted message of a bus, for receive filters; bit 31 of both stands for "extended".

        Where J1939 messages of more than 8 bytes are wanted, two more pairs let the frames through that carry them.
        """
        return list(self._wanted[bus])

    def needs(self, bus: int) -> "list[Need]":
        """What has to be heard of each message of a bus that comes under one identifier: `core/needs.py`."""
        return needs_of(self._plan, bus)

    def wanted_ids(self, bus: int) -> "list[int]":
        return [row[0] for row in self._wanted[bus]]

    def keep(self, bus: int, can_id: int, data: "Data", stamp: int) -> None:
        """Keep a frame; `can_id` with bit 31 set when extended, `stamp` in ticks. `data` is kept, not copied."""
        self._keepers[bus](can_id, data, stamp)

    def keeper(self, bus: int) -> "Callable[[int, Data, int], None]":
        """Return keep(can_id, data, stamp) of one bus: the receive loop's inner call, without a lookup too many."""
        find = self._entries[bus].get
        masked = self._masked[bus]
        frames = self.frames
        stamps = self.stamps
        counts = self.by_bus[bus]

        def keep(can_id: int, data: "Data", stamp: int) -> None:
            entry = find(can_id)
            if entry is None:
                entry = self._match(bus, can_id) if masked else None  # also adds it to what is found next time
                if entry is None:
                    self.unknown_id += 1
                    return
            slot, length, check, pages, selectors = entry
            size = len(data)
            if size < length:
                counts.short += 1
            if check is not None and not check(data, stamp):
                return
            if pages is not None:
                byte, mask, slots = pages
                if byte >= size:
                    return
                slot = slots.get(data[byte] & mask)
                if slot is None:
                    counts.unknown_mux += 1
                    return
                if slot < 0:
                    return
            elif selectors:
                self._keep_pages(counts, selectors, slot, data, stamp)
                return
            frames[slot] = data
            stamps[slot] = stamp
            self.kept += 1

        return keep

    def plain(self, bus: int) -> "dict[int, tuple[int, int]]":
        """(slot, length) by identifier of the messages that are kept as they come: no page, counter or checksum."""
        return {
            can_id: (slot, length)
            for can_id, (slot, length, check, pages, selectors) in self._entries[bus].items()
            if check is None and pages is None and not selectors
        }

    def _match(self, bus: int, can_id: int) -> "Any":
        """Find a message by its masked identifier and remember the identifier."""
        for wanted_id, id_mask, entry, check_of in self._masked[bus].get(can_id & ANY_SENDER, ()):
            if (can_id ^ wanted_id) & id_mask == 0:
                if check_of is not None:
                    slot, length, check, pages, selectors = entry
                    entry = (slot, length, check_of(can_id, check), pages, selectors)
                known = self._entries[bus]
                if len(known) < MOST_IDS:
                    known[can_id] = entry
                return entry
        return None

    def _add_transport(self, bus: int, transport: Transport) -> None:
        """Frames that carry messages of several packets go to whoever puts these together, and no further."""
        nowhere = (-1, 0, None, None, None)
        for can_id, check_of in ((TP_CM, transport.control_of), (TP_DT, transport.packet_of)):
            self._wanted[bus].append((can_id, PGN_TO_ONE_MASK))
            row = (can_id, PGN_TO_ONE_MASK, nowhere, check_of)
            self._masked[bus].setdefault(can_id & ANY_SENDER, []).append(row)

    def _rival_of(self, bus: int, can_id: int) -> "Callable[[int, int], None]":
        said = False

        def count(taken: int, refused: int) -> None:
            nonlocal said
            self.other_source += 1
            if not said:
                said = True
                self.rivals.append((bus, can_id, taken, refused))

        return count

    def _keep_pages(self, counts: BusCounts, selectors: "list[Any]", slot: int, data: "Data", stamp: int) -> None:
        kept = slot >= 0
        if kept:
            self.frames[slot] = data
            self.stamps[slot] = stamp
        word = -1
        todo = selectors
        while todo:
            inner: "list[Any]" = []
            for byte, mask, needed, cases in todo:
                if len(data) < needed:
                    continue
                if byte >= 0:
                    case = cases.get(data[byte] & mask)
                elif byte < -1:
                    case = cases.get(int.from_bytes(data[:needed], "big") & mask)
                else:
                    if word < 0:
                        word = int.from_bytes(data, "little")
                    case = cases.get(word & mask)
                if case is None:
                    counts.unknown_mux += 1
                    continue
                for page in case[0]:
                    self.frames[page] = data
                    self.stamps[page] = stamp
                    kept = True
                if case[1]:
                    inner = inner + case[1]
            todo = inner
        if kept:
            self.kept += 1


def slots_of(slot: int, selectors: "list[Any]") -> "list[int]":
    """Every source of a message, by its row."""
    slots = [slot] if slot >= 0 else []
    for row in selectors:
        for case in row[3]:
            slots += case[2] + slots_of(-1, case[3])
    return slots


def _simple_pages(slot: int, selectors: "list[Any]") -> "tuple[int, int, dict[int, int]] | None":
    """(byte, mask, {masked value: source or -1}) of the usual paged message: one multiplexer in one byte, nothing else."""
    if slot >= 0 or len(selectors) != 1:
        return None
    byte, mask, _, cases = selectors[0]
    if byte < 0 or any([inner or len(slots) > 1 for slots, inner in cases.values()]):
        return None
    return byte, mask, {value: case[0][0] if case[0] else -1 for value, case in cases.items()}


def _selectors(rows: "list[Any]") -> "list[Any]":
    return [
        (byte, mask, needed, _Ranges(cases) if byte < 0 else _by_value(mask, cases))
        for byte, mask, needed, cases in rows
    ]


def _by_value(mask: int, rows: "list[Any]") -> "dict[int, Any]":
    cases = {}
    for first, last, slots, inner in rows:
        case = tuple(slots), _selectors(inner)
        for value in range(first, last + 1, mask & -mask):
            cases[value] = case
    return cases


class _Ranges:
    """The cases of a multiplexer that does not lie in one byte: it may have more values than should be kept one by one."""

    def __init__(self, rows: "list[Any]") -> None:
        self._firsts = [row[0] for row in rows]
        self._lasts = [row[1] for row in rows]
        self._cases = [(tuple(slots), _selectors(inner)) for _, _, slots, inner in rows]

    def get(self, value: int) -> "Any":
        low, high = 0, len(self._firsts)  # bisection: where a range begins behind the value
        while low < high:
            middle = (low + high) // 2
            if self._firsts[middle] <= value:
                low = middle + 1
            else:
                high = middle
        return self._cases[low - 1] if low and value <= self._lasts[low - 1] else None


def _alive_check(counts: BusCounts, alive: "list[int] | None", checksum: "Callable[[Data], bool] | None") -> "Check":
    """Return check(data, stamp): does this frame refresh its source? A damaged frame does not count as the one before."""
    byte, mask, needed = alive or (0, 0, 0)
    last = -1

    def check(data: "Data", _stamp: int) -> bool:
        nonlocal last
        if checksum is not None and not checksum(data):
            counts.bad_checksum += 1
            return False
        if mask:
            if len(data) < needed:
                counts.stuck_counter += 1
                return False
            value = (data[byte] if byte >= 0 else int.from_bytes(data, "little")) & mask
            if value == last:
                counts.stuck_counter += 1
                return False
            last = value
        return True

    return check


def _crc_table(polynomial: int) -> bytes:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte << 1) ^ polynomial if byte & 0x80 else byte << 1
        table.append(byte & 0xFF)
    return bytes(table)


def _checksum_check(row: "list[Any]") -> "Callable[[Data], bool]":
    """Return check(data) for a checksum over all other bytes; kinds: crc8 (most significant bit first), sum8, xor8.

    A frame cut before its checksum cannot be checked: it is as good as a wrong one.
    """
    position: int = row[0]
    kind: str = row[1]
    initial: int = row[3]
    xor_out: int = row[4]
    table = _crc_table(row[2]) if kind == "crc8" else b""

    def check(data: "Data") -> bool:
        size = len(data)
        if size <= position:
            return False
        value = initial
        rest = data[:position]
        if size - 1 > position:
            rest += data[position + 1 :]
        if kind == "crc8":
            for byte in rest:
                value = table[value ^ byte]
        elif kind == "sum8":
            value = (value + sum(rest)) & 0xFF
        else:
            for byte in rest:
                value ^= byte
        return data[position] == value ^ xor_out

    return check
