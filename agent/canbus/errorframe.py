"""SocketCAN's error frames: how a CAN controller reports trouble, in the layout of linux/can/error.h.

`can_id` holds one bit for each class; the eight data bytes say more about some of them: [0] the bit at which arbitration was
lost, [1] the controller's state, [2] and [3] kind and place of a protocol violation, [4] the transceiver's wires, [6] and [7]
the error counters for sending and receiving. The words are those of `candump -e`, which an engineer will compare with.
"""

LOST_ARBITRATION, CONTROLLER, PROTOCOL, TRANSCEIVER = 0x002, 0x004, 0x008, 0x010
NOT_ACKNOWLEDGED, BUS_OFF, RESTARTED, COUNTERS = 0x020, 0x040, 0x100, 0x200

# Class bit, its word, and the counter of `agent/canbus/trouble.py` that such a frame counts in.
CLASSES = (
    (0x001, "tx-timeout", "tx_timeouts"),
    (LOST_ARBITRATION, "lost-arbitration", "arbitration_lost"),
    (CONTROLLER, "controller-problem", "controller_problems"),
    (PROTOCOL, "protocol-violation", "protocol_violations"),
    (TRANSCEIVER, "transceiver-status", "transceiver_faults"),
    (NOT_ACKNOWLEDGED, "no-acknowledgement-on-tx", "not_acknowledged"),
    (BUS_OFF, "bus-off", "bus_off"),
    (0x080, "bus-error", "bus_errors"),
    (RESTARTED, "restarted-after-bus-off", "restarts"),
)

RX_OVERFLOW, TX_OVERFLOW, WARNING, PASSIVE, ACTIVE = 0x01, 0x02, 0x0C, 0x30, 0x40  # of data[1]
CONTROLLER_WORDS = (
    (RX_OVERFLOW, "rx-overflow"),
    (TX_OVERFLOW, "tx-overflow"),
    (0x04, "rx-error-warning"),
    (0x08, "tx-error-warning"),
    (0x10, "rx-error-passive"),
    (0x20, "tx-error-passive"),
    (ACTIVE, "back-to-error-active"),
)
PROTOCOL_WORDS = (
    (0x01, "single-bit-error"),
    (0x02, "frame-format-error"),
    (0x04, "bit-stuffing-error"),
    (0x08, "tx-dominant-bit-error"),
    (0x10, "tx-recessive-bit-error"),
    (0x20, "bus-overload"),
    (0x40, "active-error"),
    (0x80, "error-on-tx"),
)
PLACES = {
    0x02: "id.28-to-id.21",
    0x03: "start-of-frame",
    0x04: "bit-srtr",
    0x05: "bit-ide",
    0x06: "id.20-to-id.18",
    0x07: "id.17-to-id.13",
    0x08: "crc-sequence",
    0x09: "reserved-bit-0",
    0x0A: "data-field",
    0x0B: "data-length-code",
    0x0C: "bit-rtr",
    0x0D: "reserved-bit-1",
    0x0E: "id.4-to-id.0",
    0x0F: "id.12-to-id.5",
    0x11: "active-error-flag",
    0x12: "intermission",
    0x13: "tolerate-dominant-bits",
    0x16: "passive-error-flag",
    0x17: "error-delimiter",
    0x18: "crc-delimiter",
    0x19: "acknowledge-slot",
    0x1A: "end-of-frame",
    0x1B: "acknowledge-delimiter",
    0x1C: "overload-flag",
}
WIRES = {  # the low half of data[4] speaks of CANH, the high half of CANL
    0x04: "CANH no wire",
    0x05: "CANH short to battery",
    0x06: "CANH short to VCC",
    0x07: "CANH short to ground",
    0x40: "CANL no wire",
    0x50: "CANL short to battery",
    0x60: "CANL short to VCC",
    0x70: "CANL short to ground",
    0x80: "CANL short to CANH",
}


def words(can_id: int, data: bytes | bytearray) -> list[str]:
    """What an error frame says, one text a class: ["controller-problem{rx-error-passive}", "error-counter-tx-rx{{0}{130}}"]."""
    data = bytes(data[:8]).ljust(8, b"\0")
    found = [word + _detail(bit, data) for bit, word, _ in CLASSES if can_id & bit]
    if can_id & COUNTERS:
        found.append(f"error-counter-tx-rx{{{{{data[6]}}}{{{data[7]}}}}}")
    return found


def wires(data: bytes | bytearray) -> str:
    """What the transceiver says of its wires; empty when it names none."""
    status = data[4] if len(data) > 4 else 0
    return ", ".join(WIRES[half] for half in (status & 0x0F, status & 0xF0) if half in WIRES)


def _detail(bit: int, data: bytes) -> str:
    if bit == LOST_ARBITRATION:
        return f"{{at bit {data[0]}}}"
    if bit == CONTROLLER:
        return f"{{{_names(CONTROLLER_WORDS, data[1])}}}"
    if bit == PROTOCOL:
        place = PLACES.get(data[3], "unspecified" if 0 < data[3] < 0x20 else "")  # five bits long
        return f"{{{{{_names(PROTOCOL_WORDS, data[2])}}}{{{place}}}}}"
    return ""


def _names(table: tuple[tuple[int, str], ...], byte: int) -> str:
    return ",".join(word for bit, word in table if byte & bit)
