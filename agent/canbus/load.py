"""How full a SocketCAN bus is, from what the interface has counted: no frame is read for it.

The kernel counts frames and payload bytes, not bits. A frame of n bytes is 47 + 8 n bits long (67 with a 29-bit identifier), and
up to a quarter of most of them again in stuff bits, depending on the data. Half of the most is taken: the result is within
10 % of the truth. For CAN FD the bits behind the identifier count with the data bitrate, when one is known.
"""

from agent.canbus.link import Link

BASE_BITS = (
    47  # start 1, identifier 11, RTR IDE r0 3, length 4, CRC 15, delimiters and acknowledgement 3, end 7, pause 3
)
BASE_BITS_29 = 67
UNSTUFFED_BITS = 13  # delimiters, acknowledgement, end and pause are never stuffed
HEAD_BITS_FD = 17  # start, identifier, RRS IDE FDF res BRS, at the bitrate
HEAD_BITS_FD_29 = 36
TAIL_BITS_FD = 13
REST_BITS_FD = 30  # ESI, length, stuff count, CRC with its fixed stuff bits, at the data bitrate
STUFFED = 1 / 8  # half of the most: one bit in four


def frame_s(size: float, bitrate: int, data_bitrate: int = 0, extended: bool = False) -> float:
    """Seconds that one frame with `size` bytes takes on the wire, about."""
    if not data_bitrate:
        bits = (BASE_BITS_29 if extended else BASE_BITS) + 8 * size
        return (bits + STUFFED * (bits - UNSTUFFED_BITS)) / bitrate
    head = HEAD_BITS_FD_29 if extended else HEAD_BITS_FD
    at_bitrate = head * (1 + STUFFED) + TAIL_BITS_FD
    return at_bitrate / bitrate + (REST_BITS_FD + 8 * size * (1 + STUFFED)) / data_bitrate


class BusLoad:
    """Share of the time in which the bus is busy, between two looks of the caller.

    `bitrate` and `data_bitrate` (0: unknown) serve where the interface names none, as a virtual one; `extended`: most
    identifiers have 29 bits. `percent` and `frames_s` are None until they are known.
    """

    def __init__(self, bitrate: int = 0, data_bitrate: int = 0, extended: bool = False) -> None:
        self.percent: float | None = None
        self.frames_s: float | None = None
        self._configured = (bitrate, data_bitrate)
        self._extended = extended
        self._last: tuple[int, Link] | None = None

    def look(self, now_ms: int, link: Link | None) -> None:
        """Take the interface's counts at `now_ms`."""
        before, self._last = self._last, None if link is None else (now_ms, link)
        self.percent = self.frames_s = None
        if link is None or before is None or before[1].ifindex != link.ifindex or now_ms <= before[0]:
            return
        seconds = (now_ms - before[0]) / 1000
        frames, size = link.packets - before[1].packets, link.size - before[1].size
        if frames < 0 or size < 0:
            return  # counted anew
        self.frames_s = frames / seconds
        bitrate, data_bitrate = (link.bitrate, link.data_bitrate) if link.bitrate else self._configured
        if bitrate and not frames:
            self.percent = 0.0
        elif bitrate:
            self.percent = 100 * frames * frame_s(size / frames, bitrate, data_bitrate, self._extended) / seconds
