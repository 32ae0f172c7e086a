"""What SAE J1939 adds to single frames, heard without ever answering: one sender at a time, and multi-packet messages.

A 29-bit identifier holds priority (3 bits), parameter group number (18), source address (8). PGNs whose format byte is below
240 (PDU1) carry a destination address in their low byte.

    TP.CM  PGN EC00  RTS 16, CTS 17, end of message 19, BAM 32, abort 255; size and PGN little-endian in bytes 1-2 and 5-7
    TP.DT  PGN EB00  sequence number 1..255, seven bytes

All numbers by SAE J1939-21. `stamp` is in ticks, as everywhere in `core/frames.py`.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Data = bytes | bytearray
    Check = Callable[[Data, int], bool]
    Keep = Callable[[int, Data, int], None]

EXTENDED = 0x80000000  # bit 31 of an identifier: 29-bit frame
ANY_PRIORITY = 0x83FFFFFF  # masks of identifiers
PGN_MASK = 0x83FFFF00
PGN_TO_ONE_MASK = 0x83FF0000
FIRST_TO_ALL = 240  # PDU format from which on the low byte of a PGN is no destination
LAST_SOURCE = 253  # 254: has none yet, 255: everybody
TP_CM = EXTENDED | 0x18EC0000
TP_DT = EXTENDED | 0x18EB0000
SINGLE = 8  # bytes of a classical frame: a longer message comes in several
LONGEST = 1785  # 255 packets of 7 bytes
MOST_TRANSFERS = 32  # under way at once on one bus; the memory they may take is 32 * 1785 bytes

_RTS, _CTS, _END, _BAM, _ABORT = 16, 17, 19, 32, 255
_T1_MS, _T2_MS = 750, 1250  # longest pause between packets of a broadcast; between any two frames of a connection
_EVERYBODY = 255


class OneSource:
    """A message that is taken from any source address: from one at a time, the lowest of those that live.

    Two control units that send the same PGN must not take turns in one value. Which of them it is must not depend on who
    was first after the ignition, so it is the lower address; when that one is silent for `timeout` ticks the next takes
    over. `count()` is called with (taken, refused) addresses for every frame that is refused.
    """

    def __init__(self, timeout: int, count: "Callable[[int, int], None]") -> None:
        self._timeout = timeout
        self._count = count
        self._source = -1
        self._stamp = 0

    def check_of(self, can_id: int, check: "Check | None") -> "Check":
        """Return check(data, stamp) of the frames with this identifier; `check` is what else they must pass."""
        source = can_id & 0xFF

        def one_source(data: "Data", stamp: int) -> bool:
            if 0 <= self._source < source and stamp - self._stamp <= self._timeout:
                self._count(self._source, source)
                return False
            if check is not None and not check(data, stamp):
                return False
            if self._source > source and stamp - self._stamp <= self._timeout:
                self._count(source, self._source)
            self._source = source
            self._stamp = stamp
            return True

        return one_source


class _Transfer:
    """One multi-packet message under way."""

    def __init__(self, can_id: int, size: int, stamp: int) -> None:
        self.can_id = can_id
        self.data = bytearray(size)
        self.have = 0  # bit n - 1: packet n
        self.missing = (size + 6) // 7
        self.stamp = stamp


class Transport:
    """Puts multi-packet messages of one bus together: broadcasts, and connections between two others.

    `wanted`: (identifier, mask) of the messages; others are passed over as soon as they are announced. A complete message
    goes to `keep(can_id, data, stamp)`, can_id with priority 6, the message's PGN and its sender. A broadcast with a gap or
    a packet twice is given up, as is any transfer that pauses too long, is aborted, replaced, or repeats a packet with
    other bytes; `torn` counts them. In a connection packets may come in any order and again: the receiver asks for them.
    """

    def __init__(self, wanted: "list[tuple[int, int]]", keep: "Keep", ticks_per_ms: int) -> None:
        self.torn = 0
        self._wanted = wanted
        self._keep = keep
        self._t1 = _T1_MS * ticks_per_ms
        self._t2 = _T2_MS * ticks_per_ms
        self._transfers: "dict[int, _Transfer]" = {}  # by destination << 8 | source

    def control_of(self, can_id: int, _check: "Check | None") -> "Check":
        """Return check(data, stamp) of TP.CM frames with this identifier: taken in here, never kept as they are."""

        def control(data: "Data", stamp: int) -> bool:
            self.control(can_id, data, stamp)
            return False

        return control

    def packet_of(self, can_id: int, _check: "Check | None") -> "Check":
        """The same for TP.DT frames."""

        def packet(data: "Data", stamp: int) -> bool:
            self.packet(can_id, data, stamp)
            return False

        return packet

    def control(self, can_id: int, data: "Data", stamp: int) -> None:
        """Take in a TP.CM frame."""
        if len(data) < 8:
            return
        kind = data[0]
        forth = can_id & 0xFFFF
        back = (can_id & 0xFF) << 8 | can_id >> 8 & 0xFF  # the receiver speaks
        if kind == _RTS or kind == _BAM:
            self._begin(forth, data, stamp)
        elif kind == _CTS:
            transfer = self._find(back, stamp)
            if transfer is not None and _is_of(transfer, data):
                transfer.stamp = stamp  # asks for more, or to wait: the connection lives
        elif kind == _END or kind == _ABORT:
            # What is complete is gone from here before its end is told.
            for key in (back, forth) if kind == _ABORT else (back,):
                transfer = self._transfers.get(key)
                if transfer is not None and _is_of(transfer, data):
                    self._give_up(key)

    def packet(self, can_id: int, data: "Data", stamp: int) -> None:
        """Take in a TP.DT frame."""
        key = can_id & 0xFFFF
        transfer = self._find(key, stamp)
        if transfer is None:
            return
        number = data[0] if data else 0
        first = 7 * (number - 1)
        size = min(7, len(transfer.data) - first)  # the last packet is filled up
        bit = 1 << number >> 1
        broadcast = key >> 8 == _EVERYBODY
        if number == 0 or not 0 < size < len(data) or (broadcast and transfer.have + 1 != bit):
            self._give_up(key)
            return
        chunk = data[1 : 1 + size]
        transfer.stamp = stamp
        if transfer.have & bit:
            if transfer.data[first : first + size] != chunk:
                self._give_up(key)
            return
        transfer.data[first : first + size] = chunk
        transfer.have |= bit
        transfer.missing -= 1
        if not transfer.missing:
            del self._transfers[key]
            self._keep(transfer.can_id, transfer.data, stamp)

    def _begin(self, key: int, data: "Data", stamp: int) -> None:
        """A new announcement ends what the sender had under way with the same receiver."""
        if key in self._transfers:
            self._give_up(key)
        size = data[1] | data[2] << 8
        to_all = data[0] == _BAM
        if size <= SINGLE or data[3] != (size + 6) // 7 or data[7] > 3:
            return  # 255 packets at most, so 1785 bytes; 18 bits of PGN
        if to_all != (key >> 8 == _EVERYBODY):
            return
        can_id = EXTENDED | 6 << 26 | _pgn(data) << 8 | key & 0xFF
        if data[6] < FIRST_TO_ALL:
            can_id |= key & 0xFF00
        if not any([(can_id ^ wanted) & mask == 0 for wanted, mask in self._wanted]):
            return
        if len(self._transfers) == MOST_TRANSFERS:
            oldest = min(self._transfers, key=lambda other: self._transfers[other].stamp)
            self._give_up(oldest)
        self._transfers[key] = _Transfer(can_id, size, stamp)

    def _find(self, key: int, stamp: int) -> "_Transfer | None":
        """The transfer under way, unless it has paused for too long."""
        transfer = self._transfers.get(key)
        if transfer is None:
            return None
        if stamp - transfer.stamp > (self._t1 if key >> 8 == _EVERYBODY else self._t2):
            self._give_up(key)
            return None
        return transfer

    def _give_up(self, key: int) -> None:
        del self._transfers[key]
        self.torn += 1


def _pgn(data: "Data") -> int:
    """The PGN that a TP.CM frame is about, without a destination; bits above its 18 are left in."""
    low = data[5] if data[6] >= FIRST_TO_ALL else 0
    return low | data[6] << 8 | data[7] << 16


def _is_of(transfer: "_Transfer", data: "Data") -> bool:
    shift = 0 if data[6] >= FIRST_TO_ALL else 8
    return (transfer.can_id >> 8 & 0x3FFFF) >> shift == _pgn(data) >> shift
