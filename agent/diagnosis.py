"""What is wrong with a packet, where, and which of the known mistakes makes such bytes.

Everything is a question to the tables: does the packet fit those of its edition, and if not, which wrong table, byte order,
length or check code would it fit?
"""

from collections.abc import Iterator, Mapping

from agent.core.dataunit import TIME_SIZE
from agent.core.edition import SIGNATURE, Edition
from agent.core.editions import EDITIONS
from agent.core.field import U16
from agent.core.packet import COMMAND, HEADER_SIZE, PLAIN, bcc, epoch_of
from agent.diagnosis_frame import LARGEST, Frame, check_header, find_start, read_frame
from agent.diagnosis_reading import (
    UNREAD,
    VARIANT,
    BrokenError,
    BudgetError,
    Part,
    Reader,
    Reading,
    possible_time,
    read_bodies,
    read_rows,
)
from agent.diagnosis_values import CERTAIN, LIKELY, POSSIBLE, Finding, check_values
from agent.diagnosis_variants import body_choices, other, row_choices

__all__ = ["CERTAIN", "LIKELY", "POSSIBLE", "Finding", "diagnose", "is_broken"]

_RESERVED_COMMANDS = range(1, 0xC0)
_PLATFORM_BODIES = {"2016": range(0x0A, 0x30), "2025": range(0x09, 0x30)}  # 7.2.2: agreed between platforms
_BUDGET = 300_000  # numbers read in one kind of attempt: about a second


def is_broken(findings: list[Finding]) -> bool:
    """Whether there is more than a remark."""
    return any(finding.sure != POSSIBLE for finding in findings)


def diagnose(raw: bytes, editions: Mapping[str, Edition] = EDITIONS) -> list[Finding]:
    """What is wrong with the bytes of one packet, whole or not, by offset. Never raises; bounded in time.

    `editions` by name: those that declare bodies of the maker's own are judged by their rows too.
    """
    begin, findings = find_start(raw)
    if begin < 0:
        return findings
    packet = raw[begin : begin + LARGEST + LARGEST]  # one more may follow
    by_start = {edition.start: edition for edition in editions.values()}
    findings += _diagnose_packet(packet, by_start[packet[:2]])
    for finding in findings[1 if begin else 0 :]:
        finding.offset += begin
    kept: dict[tuple[str, str, str], Finding] = {}
    for finding in sorted(findings, key=lambda finding: finding.offset):
        # The same mistake once, where it is first seen.
        same = (finding.mistake or f"{finding.fault} {finding.offset}", finding.sure, finding.values.get("table", ""))
        kept.setdefault(same, finding)
    return list(kept.values())


def _diagnose_packet(raw: bytes, edition: Edition) -> list[Finding]:
    if len(raw) <= HEADER_SIZE:
        return [Finding(len(raw), "6.2", "cut", "cut_short", CERTAIN, {"at": len(raw), "size": HEADER_SIZE + 1})]
    frame = read_frame(raw)
    reserved = raw[2] not in edition.commands and (raw[2] == 0 or raw[2] in _RESERVED_COMMANDS)
    findings = frame.findings + check_header(raw, edition.responses, edition.encryptions, reserved)
    data = raw[: frame.end]
    wrong_length = any(finding.fault == "length" for finding in frame.findings)
    if not frame.good or (wrong_length and not _fits(data, edition)):
        lost = _lost_byte(raw, edition)
        if lost is not None:
            return [lost]
    found: list[Finding] = []
    if raw[21] == PLAIN:
        found = _diagnose_unit(data, edition, frame)
    elif frame.end - HEADER_SIZE > TIME_SIZE + 2 and _fits(data, edition):
        findings.append(Finding(21, "6.2", "encryption_plain", "not_encrypted", LIKELY, {"raw": f"{raw[21]:02X}"}))
    damaged = any(finding.fault in ("range", "ends", "unknown_type") and not finding.mistake for finding in found)
    for finding in findings:
        if finding.mistake == "bcc_stale" and damaged:
            finding.mistake = "damaged"
    return findings + found


# --- data units -------------------------------------------------------------------------------------------------------


def _fits(data: bytes, edition: Edition, reader: Reader | None = None) -> bool:
    """Whether the data unit is what the edition says, without any mistake; `reader`: of these bytes, with its own budget."""
    row = edition.commands.get(data[2])
    if row is None or (data[3] != COMMAND and row.answer is None):
        return False
    if row.timed and not (len(data) >= HEADER_SIZE + TIME_SIZE and possible_time(data, HEADER_SIZE, epoch_of)):
        return False
    reading = _read(reader or Reader(data, _BUDGET), edition, strict=True)
    return reading is not None and reading.cost == 0


def _read(reader: Reader, edition: Edition, strict: bool = False, cut: bool = False) -> Reading | None:
    """The cheapest reading of what stands behind the time; None: nothing to read, or too much.

    `strict`: by the right tables alone; `cut`: the same, as far as they go.
    """
    data = reader.data
    row = edition.commands[data[2]]
    begin = HEADER_SIZE + (TIME_SIZE if row.timed else 0)
    try:
        if row.reports:
            return _read_report(reader, edition, begin, strict, cut)
        rows = row_choices(edition, data[2], data[3])
        if not rows:
            return None
        return read_rows(reader, begin, rows[:1] if strict or cut else rows)
    except BudgetError:
        # Too many ways to be wrong: only where it begins to be.
        return _straight(Reader(data, _BUDGET), begin, edition, True) if row.reports and not strict else None


def _read_report(reader: Reader, edition: Edition, begin: int, strict: bool, cut: bool) -> Reading:
    straight = _straight(reader, begin, edition, cut)
    if strict or cut or not straight.cost:
        return straight
    theirs = _straight(reader, begin, other(edition).with_declared(edition.declared), False)
    if not theirs.cost:
        # One mistake, however many bodies it spoils.
        foreign = [part for part in theirs.parts if part.layout is not edition.body(part.type_id)]
        signed = all(part.type_id == SIGNATURE for part in foreign)
        for part in foreign:
            part.mistake = "signature_2016" if signed else "other_edition"
        return theirs
    kept = _PLATFORM_BODIES[edition.name]
    return read_bodies(reader, begin, lambda type_id: body_choices(edition, type_id), kept)


def _straight(reader: Reader, begin: int, edition: Edition, cut: bool) -> Reading:
    """Body behind body by the right tables; gives up at the first thing that is wrong, `cut`: that breaks a table."""
    parts: list[Part] = []
    at = begin
    while at < len(reader.data):
        type_id = reader.data[at]
        layout = edition.body(type_id)
        try:
            if layout is None:
                raise BrokenError(at, "7.2.2", "unknown_type", f"{type_id:02X}")
            part = reader.part(type_id, layout, at, at + 1)
        except BrokenError as fault:
            parts.append(Part(at, len(reader.data), type_id, None, fault=fault))
            return Reading(parts, UNREAD)
        if part.cost() and not cut:
            return Reading(parts, UNREAD)
        parts.append(part)
        at = part.end
    return Reading(parts, 0)


def _diagnose_unit(data: bytes, edition: Edition, frame: Frame) -> list[Finding]:
    row = edition.commands.get(data[2])
    size = len(data) - HEADER_SIZE
    if row is None or (data[3] != COMMAND and (row.answer is None or size in (0, TIME_SIZE))):
        return []
    findings = []
    if row.timed:
        if size < TIME_SIZE:
            return [_ends(BrokenError(HEADER_SIZE, "6.4", "ends", "time"), frame)] if frame.whole else []
        findings += _time(data, HEADER_SIZE)
    reader = Reader(data, _BUDGET)
    reading = _read(reader, edition, cut=not frame.whole)
    if reading is None:
        if row.layout is None and not row.reports and size:
            findings.append(Finding(HEADER_SIZE, row.clause, "unit_not_empty", "", POSSIBLE, {"count": size}))
        return findings
    if reading.cost > 2 * VARIANT and frame.whole:
        backwards = _read(Reader(data, reader.budget, "little"), edition, strict=True)
        first = _first_number(backwards) if backwards is not None and backwards.cost == 0 else None
        if first is not None:
            values = {"field": first[1]}
            return [*findings, Finding(first[0], "6.1", "order", "little_endian", CERTAIN, values)]
    for part in reading.parts:
        findings += _part(part, edition, frame)
        for at in part.times:
            findings += _time(data, at)
    findings += check_values(reading.parts, edition.name)
    if row.reports:
        findings += _order_of_bodies(reading, edition)
    return findings


def _first_number(reading: Reading) -> tuple[int, str] | None:
    """Offset and name of the first number of more than a byte, when there are enough to tell."""
    wide = [leaf for part in reading.parts for leaf in part.leaves if leaf.row.size >= U16]
    return (wide[0].offset, wide[0].row.name) if len(wide) >= 2 else None


def _time(data: bytes, at: int) -> list[Finding]:
    given = data[at : at + TIME_SIZE]
    decimal = bytes(10 * (byte >> 4) + (byte & 15) for byte in given)
    is_decimal = all(byte >> 4 < 10 and byte & 15 < 10 for byte in given) and possible_time(decimal, 0, epoch_of)
    shown = {"raw": given.hex().upper()}
    if possible_time(given, 0, epoch_of):
        if is_decimal and 0x20 <= given[0] <= 0x29 and given != decimal:
            return [Finding(at, "6.4", "far_future", "bcd_time", POSSIBLE, shown)]
        return []
    mistake = ""
    if is_decimal:
        mistake = "bcd_time"
    elif given[0] >= 0xD0 and possible_time(bytes((given[0] - 0xD0,)) + given[1:], 0, epoch_of):
        mistake = "year_2000"  # 2026 is 07EA
    elif possible_time(given[::-1], 0, epoch_of):
        mistake = "time_backwards"
    return [Finding(at, "6.4", "time", mistake, CERTAIN, shown)]


def _ends(error: BrokenError, frame: Frame) -> Finding:
    sure = POSSIBLE if error.what == "kept_type" else CERTAIN
    return Finding(
        error.offset, error.clause, error.what, "" if frame.whole else "cut_short", sure, {"name": error.name}
    )


def _part(part: Part, edition: Edition, frame: Frame) -> Iterator[Finding]:
    if part.fault is not None:
        if frame.whole:
            yield _ends(part.fault, frame)
        return
    if not part.mistake:
        return
    layout = part.layout
    values = {
        "type": f"{part.type_id:02X}",
        "name": layout.name if layout is not None else "user",
        "size": part.end - part.offset - 1,
        "edition": edition.name,
        "other": other(edition).name,
    }
    offset = part.offset + (1 if part.mistake == "no_length" else 0)
    if part.mistake in ("torque_word", "count_as_length"):
        offset = _first_bend(part)
    yield Finding(
        offset,
        layout.clause if layout is not None else edition.user_body.clause,
        "table",
        part.mistake,
        CERTAIN,
        values,
    )


def _first_bend(part: Part) -> int:
    """Where a table that begins like the right one leaves it."""
    for leaf in part.leaves:
        if part.mistake == "torque_word" and leaf.row.name == "torque":
            return leaf.offset
        if part.mistake == "count_as_length" and leaf.row.name.endswith("_count") and leaf.raws[0] >= leaf.row.top - 1:
            return leaf.offset
    return part.offset


def _order_of_bodies(reading: Reading, edition: Edition) -> Iterator[Finding]:
    """A body that comes twice, and bodies behind the signature."""
    seen: set[int] = set()
    for part in reading.parts:
        if SIGNATURE in seen:
            clause = edition.signature.clause if edition.signature is not None else ""
            yield Finding(part.offset, clause, "behind_signature", "signature_not_last")
            return
        if part.type_id in seen and part.type_id < 0x80 and part.layout is not None:
            values = {"type": f"{part.type_id:02X}"}
            yield Finding(part.offset, part.layout.clause, "twice", "", POSSIBLE, values)
        seen.add(part.type_id)


# --- a byte that got lost ---------------------------------------------------------------------------------------------


def _lost_byte(raw: bytes, edition: Edition) -> Finding | None:
    """The place where one byte, the one that the check code asks for, makes a perfect packet; None if there is none."""
    there = len(raw) - HEADER_SIZE  # of data unit, with the lost byte
    size = there.to_bytes(2, "big") if there < 65536 else b""
    in_unit = raw[22:24] == size
    if not in_unit and raw[21:23] != size and raw[22] not in size:
        return None
    lost = bytes((bcc(raw[2:]),))
    budget = _BUDGET // 2
    places = []
    # From the end on, where most of the packet is already known to be wrong.
    for at in range(len(raw), HEADER_SIZE - 1, -1) if in_unit else range(HEADER_SIZE, 1, -1):
        whole = raw[:at] + lost + raw[at:]
        reader = Reader(whole[:-1], budget)
        fits = whole[22:24] == size and whole[21] == PLAIN and _fits(reader.data, edition, reader)
        budget = reader.budget - 4 - len(raw) // 1000
        if budget < 0:
            break
        if fits:
            places.append(at)
        elif places:
            break
    if not places:
        return None
    if places[0] == len(raw):
        return Finding(len(raw), "6.2", "cut", "no_check_code", CERTAIN, {"at": len(raw), "size": len(raw) + 1})
    values = {"raw": lost.hex().upper(), "first": places[-1], "last": places[0]}
    return Finding(places[-1], "6.2", "lost", "lost_byte", CERTAIN, values)
