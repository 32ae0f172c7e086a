"""The frame around a data unit: start, length and check code, and the ways to get them wrong."""

from dataclasses import dataclass, field

from agent.core.packet import COMMAND, HEADER_SIZE, MAX_DATA_UNIT, PLAIN, STARTS, PacketReader, bcc
from agent.diagnosis_values import CERTAIN, POSSIBLE, Finding

MARKS = tuple(STARTS.values())
LARGEST = HEADER_SIZE + MAX_DATA_UNIT + 1
_CUT_BY_TEXT = b"\r\n\x00 "  # what programs put behind a packet


@dataclass(slots=True)
class Frame:
    """Where the data unit ends, what is wrong so far, and whether the length and check code can be believed."""

    end: int
    findings: list[Finding] = field(default_factory=list)
    whole: bool = True
    good: bool = True


def find_start(raw: bytes) -> tuple[int, list[Finding]]:
    """Where the packet begins, and what is wrong with its beginning; -1 where there is none."""
    if raw[:2] in MARKS:
        return 0, []
    for mark in MARKS:
        if raw[:1] == mark[:1] and _is_good(mark[:1] + raw):
            return -1, [Finding(0, "6.2", "no_start", "start_byte_missing")]
    begins = [found for found in (raw.find(mark) for mark in MARKS) if found > 0]
    if raw[:4] in (b"2323", b"2424"):
        return -1, [Finding(0, "6.2", "no_start", "hex_text")]
    if not begins:
        return -1, [Finding(0, "6.2", "no_start")]
    return min(begins), [Finding(0, "6.2", "before_start", values={"count": min(begins)})]


def _is_good(raw: bytes) -> bool:
    if len(raw) <= HEADER_SIZE or raw[:2] not in MARKS:
        return False
    size = int.from_bytes(raw[22:24], "big")
    return len(raw) == size + HEADER_SIZE + 1 and bcc(raw[2:-1]) == raw[-1]


def read_frame(raw: bytes) -> Frame:
    """Judge length and check code of `raw`, which begins with a start mark and has a whole header."""
    size = int.from_bytes(raw[22:24], "big")
    count = len(raw)
    frame = Frame(min(HEADER_SIZE + size, count))
    closed = bcc(raw[2:-1]) == raw[-1]  # the last byte checks all before it, whatever the length says
    there = count - HEADER_SIZE - 1
    mistake = _length_mistake(size, there)
    if size == there:
        if size > MAX_DATA_UNIT:
            frame.findings.append(_length("too_large", "length_limit", size, there))
        _check_code(raw, frame)
    elif count > size + HEADER_SIZE + 1 and bcc(raw[2 : frame.end]) == raw[frame.end]:
        _behind(raw, frame)  # a right check code where the length says: the length is right
    elif (mistake and closed) or (mistake == "length_little_endian" and size > 255):
        frame.end = count - 1
        frame.findings.append(_length("length", mistake, size, there))
        _check_code(raw, frame)
    elif count > size + HEADER_SIZE + 1 and not closed:
        _check_code(raw, frame)
        _behind(raw, frame)
    elif closed:
        frame.end = count - 1
        frame.findings.append(_length("length", "", size, there))
    else:
        _short(raw, frame, size, there)
    return frame


def _length(fault: str, mistake: str, size: int, there: int) -> Finding:
    return Finding(22, "6.2", fault, mistake, CERTAIN, {"size": size, "there": there, "most": MAX_DATA_UNIT})


def _length_mistake(size: int, there: int) -> str:
    """What a length of `size` may have counted when `there` bytes of data unit are there."""
    counted = {
        int.from_bytes(there.to_bytes(2, "big"), "little") if there < 65536 else -1: "length_little_endian",
        there + HEADER_SIZE + 1: "length_whole",
        there + HEADER_SIZE: "length_header",
        there + HEADER_SIZE - 2: "length_header",
        there + 1: "length_check",
        there - 6: "length_without_time",
    }
    return counted.get(size, "")


def _behind(raw: bytes, frame: Frame) -> None:
    at = frame.end + 1
    behind = raw[at:]
    frame.whole = frame.good
    mistake = ""
    if behind[:2] in MARKS:
        mistake = "joined"
    elif not behind.strip(_CUT_BY_TEXT):
        mistake = "line_end"
    elif not frame.good and (cut := _packet_inside(raw)):
        _cut_short(frame, cut)
        return
    frame.findings.append(Finding(at, "6.2", "behind", mistake, CERTAIN, {"count": len(behind)}))


def _packet_inside(raw: bytes) -> int:
    """Where a good packet begins inside `raw` that ends with it; 0 if none."""
    packets = PacketReader().feed(raw[1:])
    return len(raw) - len(packets[-1]) if packets and raw.endswith(packets[-1]) else 0


def _cut_short(frame: Frame, at: int) -> None:
    frame.findings = [Finding(at, "6.2", "cut", "cut_and_next", CERTAIN, {"at": at, "size": frame.end + 1})]
    frame.end, frame.whole, frame.good = at, False, False


def _short(raw: bytes, frame: Frame, size: int, there: int) -> None:
    frame.whole = frame.good = False
    if size > MAX_DATA_UNIT:
        frame.findings.append(_length("too_large", "length_limit", size, there))
        return
    if cut := _packet_inside(raw):
        frame.end = size + HEADER_SIZE
        _cut_short(frame, cut)
        return
    values = {"at": len(raw), "size": size + HEADER_SIZE + 1}
    frame.findings.append(Finding(len(raw), "6.2", "cut", "cut_short", CERTAIN, values))


def _check_code(raw: bytes, frame: Frame) -> None:
    end = frame.end
    right, found = bcc(raw[2:end]), raw[end]
    if found == right:
        return
    frame.good = False
    unit = raw[HEADER_SIZE:end]
    total = sum(raw[2:end])
    guesses = {
        right ^ raw[0]: "bcc_one_start",
        0: "bcc_itself",
        bcc(unit): "bcc_unit",
        right ^ raw[2]: "bcc_after_command",
        right ^ raw[end - 1]: "bcc_before_last",
        total & 0xFF: "bcc_sum",
        (total + 2 * raw[0]) & 0xFF: "bcc_sum",
        right ^ 0xFF: "bcc_inverted",
    }
    mistake = guesses.get(found, "bcc_stale")
    if mistake == "bcc_stale" and raw[21] != PLAIN:
        mistake = "bcc_plain"
    values = {"found": f"{found:02X}", "right": f"{right:02X}"}
    frame.findings.append(Finding(end, "6.2", "bcc", mistake, CERTAIN, values))


def check_header(
    raw: bytes, responses: "dict[int, str]", encryptions: "dict[int, str]", reserved: bool
) -> list[Finding]:
    """What the header says that its edition does not know."""
    found = []
    if reserved:
        found.append(Finding(2, "6.3.1", "command", "", CERTAIN, {"raw": f"{raw[2]:02X}"}))
    if raw[3] not in responses:
        mistake = "response_2025" if 4 <= raw[3] <= 7 else ""
        found.append(Finding(3, "6.3.2", "response", mistake, CERTAIN, {"raw": f"{raw[3]:02X}"}))
    vin = raw[4:21]
    text = vin.rstrip(b"\x00 ")
    if not text.isascii() or any(byte < 0x20 for byte in text):
        found.append(Finding(4, "6.2", "vin", "vin_text", CERTAIN))
    elif len(text) < len(vin) and raw[2] <= 4 and raw[3] == COMMAND:
        found.append(Finding(4 + len(text), "6.2", "vin_short", "", POSSIBLE, {"count": len(text)}))
    if raw[21] not in encryptions:
        mistake = "encryption_2025" if raw[21] in (4, 5) else ""
        found.append(Finding(21, "6.2", "encryption", mistake, CERTAIN, {"raw": f"{raw[21]:02X}"}))
    return found
