"""Newest frames of the wanted messages, kept by source; nothing is decoded before a sample is taken.

A *source* is one place where a newest frame is kept: a message, or those frames of a multiplexed message that carry one
page. `LatestFrames` chooses the source by looking at the frame; `Decoder` (`core/signals.py`) reads all sources when a sample
is taken. All rows are lists of integers made by `agent/mapping/sources.py`:

    message   [bus, can_id, id_mask, length, slot, selectors, alive, checksum]
              can_id has bit 31 set when extended; id_mask -1 compares all of it; slot -1: no signal outside of pages
    selector  [byte, mask, needed, cases]   one multiplexer: data[byte] & mask (byte -1: the little-endian word & mask);
              needed bytes; cases [[masked value, [slot, ...], [selector, ...]], ...] for every value the DBC knows
    alive     [byte, mask, needed]          bits, found as a selector's, that must differ from those of the frame before
    checksum  [position, kind, polynomial, initial, xor_out] over all other bytes
"""

from agent.core.needs import needs_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from agent.core.needs import Need

    Data = bytes | bytearray

EXTENDED = 0x80000000  # bit 31 of an identifier: 29-bit frame
NEVER = -(1 << 62)  # stamp of a source without a frame


class LatestFrames:
    """The newest frame of every source; one writer per bus, read by the sampler at any time.

    `frames[slot]` is written before `stamps[slot]` and must be read after it: then a frame is at least as new as its stamp.
    Counters: `kept` frames, `unknown_id`, `unknown_mux` (a multiplexer value that the DBC does not know), `short` (fewer
    bytes than the message has; what is there is used), `bad_checksum`, `stuck_counter` (neither refreshes a source).
    """

    def __init__(self, plan: "dict[str, Any]") -> None:
        self._plan = plan
        count = len(plan["sources"])
        self.frames: "list[Data]" = [b""] * count
        self.stamps: "list[int]" = [NEVER] * count
        self.kept = 0
        self.unknown_id = 0
        self.unknown_mux = 0
        self.short = 0
        self.bad_checksum = 0
        self.stuck_counter = 0
        self._wanted: "list[list[Any]]" = [[] for _ in plan["buses"]]
        self._entries: "list[dict[int, Any]]" = [{} for _ in plan["buses"]]
        for bus, can_id, id_mask, length, slot, selectors, alive, checksum in plan["messages"]:
            rows = _selectors(selectors)
            check = None
            if alive or checksum:
                check = self._alive_check(alive, _checksum_check(checksum) if checksum else None)
            pages = _simple_pages(slot, rows)
            entry = (slot, length, check, pages, rows if pages is None else None)
            self._wanted[bus].append((can_id, id_mask, entry))
            if id_mask == -1:
                self._entries[bus][can_id] = entry
        self._masked = [[row for row in rows if row[1] != -1] for rows in self._wanted]
        self._keepers = [self.keeper(bus) for bus in range(len(plan["buses"]))]

    def wanted(self, bus: int) -> "list[tuple[int, int]]":
        """(identifier, mask) of every wanted message of a bus, for receive filters; bit 31 of both stands for "extended"."""
        rows = []
        for can_id, id_mask, _ in self._wanted[bus]:
            exact = 0x9FFFFFFF if can_id & EXTENDED else 0x800007FF
            rows.append((can_id, exact if id_mask == -1 else id_mask))
        return rows

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

        def keep(can_id: int, data: "Data", stamp: int) -> None:
            entry = find(can_id)
            if entry is None:
                entry = self._match(bus, can_id) if masked else None
                if entry is None:
                    self.unknown_id += 1
                    return
            slot, length, check, pages, selectors = entry
            size = len(data)
            if size < length:
                self.short += 1
            if check is not None and not check(data):
                return
            if pages is not None:
                byte, mask, slots = pages
                if byte >= size:
                    return
                slot = slots.get(data[byte] & mask)
                if slot is None:
                    self.unknown_mux += 1
                    return
                if slot < 0:
                    return
            elif selectors:
                self._keep_pages(selectors, slot, data, stamp)
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
        """Find a message by its masked identifier (J1939: any source address) and remember the identifier."""
        for wanted_id, id_mask, entry in self._masked[bus]:
            if can_id & id_mask == wanted_id & id_mask:
                self._entries[bus][can_id] = entry
                return entry
        return None

    def _alive_check(
        self, alive: "list[int] | None", checksum: "Callable[[Data], bool] | None"
    ) -> "Callable[[Data], bool]":
        """Return check(data): does this frame refresh its source? A damaged frame does not count as the one before."""
        byte, mask, needed = alive or (0, 0, 0)
        last = -1

        def check(data: "Data") -> bool:
            nonlocal last
            if checksum is not None and not checksum(data):
                self.bad_checksum += 1
                return False
            if mask:
                if len(data) < needed:
                    self.stuck_counter += 1
                    return False
                value = (data[byte] if byte >= 0 else int.from_bytes(data, "little")) & mask
                if value == last:
                    self.stuck_counter += 1
                    return False
                last = value
            return True

        return check

    def _keep_pages(self, selectors: "list[Any]", slot: int, data: "Data", stamp: int) -> None:
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
                else:
                    if word < 0:
                        word = int.from_bytes(data, "little")
                    case = cases.get(word & mask)
                if case is None:
                    self.unknown_mux += 1
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
        (byte, mask, needed, {value: (tuple(slots), _selectors(inner)) for value, slots, inner in cases})
        for byte, mask, needed, cases in rows
    ]


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
