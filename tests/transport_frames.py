"""The frames of multi-packet messages, by SAE J1939-21; and a listener that notes what it puts together."""

from agent.core.j1939 import EXTENDED, Transport

EVERYBODY = 0xFF
Frame = tuple[int, bytes]


def control(source: int, destination: int, kind: int, middle: bytes, pgn: int) -> Frame:
    """TP.CM: `middle` are bytes 1 to 4."""
    return EXTENDED | 0x1CEC0000 | destination << 8 | source, bytes([kind]) + middle + pgn.to_bytes(3, "little")


def begin(source: int, destination: int, size: int, pgn: int) -> Frame:
    """BAM to everybody, RTS to one."""
    kind = 32 if destination == EVERYBODY else 16
    return control(source, destination, kind, bytes([size & 0xFF, size >> 8, (size + 6) // 7, 0xFF]), pgn)


def cts(source: int, destination: int, count: int, following: int, pgn: int) -> Frame:
    """Sent by the receiver: `source` is the receiver's address."""
    return control(source, destination, 17, bytes([count, following, 0xFF, 0xFF]), pgn)


def end(source: int, destination: int, size: int, pgn: int) -> Frame:
    """Sent by the receiver."""
    return control(source, destination, 19, bytes([size & 0xFF, size >> 8, (size + 6) // 7, 0xFF]), pgn)


def abort(source: int, destination: int, pgn: int) -> Frame:
    return control(source, destination, 255, bytes([3, 0xFF, 0xFF, 0xFF]), pgn)


def packets(source: int, destination: int, payload: bytes) -> list[Frame]:
    """All TP.DT frames, the last one filled up with FF."""
    can_id = EXTENDED | 0x1CEB0000 | destination << 8 | source
    return [
        (can_id, bytes([number + 1]) + payload[7 * number : 7 * number + 7].ljust(7, b"\xff"))
        for number in range((len(payload) + 6) // 7)
    ]


class Listener:
    """A Transport with what it kept; time in ms."""

    def __init__(self, *wanted: tuple[int, int]) -> None:
        self.kept: list[tuple[int, bytes, int]] = []
        self.transport = Transport(list(wanted), lambda *row: self.kept.append((row[0], bytes(row[1]), row[2])), 1)

    def hear(self, *frames: Frame, now: int = 0) -> None:
        for can_id, data in frames:
            if can_id >> 16 & 0xFF == 0xEC:
                self.transport.control(can_id, data, now)
            else:
                self.transport.packet(can_id, data, now)

    @property
    def payloads(self) -> list[bytes]:
        return [payload for _, payload, _ in self.kept]

    @property
    def under_way(self) -> int:
        return len(self.transport._transfers)
