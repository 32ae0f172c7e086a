"""Exact decoding of the newest frames with the rows of a compiled plan.

`Decoder` reads all sources of `LatestFrames` (`core/frames.py`) when a sample is taken. All rows are lists of integers made by
`agent/mapping/sources.py`:

    source    [length, timeout_ms, little, big, careful little, careful big]
    plain     [shift, mask, sign, lo, hi, num, add, den, out]
              raw = (word >> shift) & mask, minus mask + 1 if raw & sign; lo..hi is the valid raw range;
              values[out] = (raw * num + add) // den, where add holds the half that makes the floor a rounding
    careful   [shift, mask, sign, lo, hi, num, add, den, out, kind, special]
              special [[raw, value], ...] goes before everything else (not available, abnormal, value tables)

The word of little (big) rows is the frame read little-endian (big-endian, padded to the message's length). Counts are never
negative, so floor((2 * n + d) / (2 * d)) is "to nearest, ties away from zero" wherever the result is in range.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.core.frames import LatestFrames

    Ratio = tuple[int, int]

UNKNOWN = -(1 << 31)  # value of an inner item (bit, flag, fault code, coordinate) about which nothing is known

# kinds of careful rows
COUNT, FLOAT_COUNT, OPERAND, FLOAT_OPERAND = 0, 1, 2, 3

_FRACTION_BITS = {0xFFFF: 10, 0xFFFFFFFF: 23, 0xFFFFFFFFFFFFFFFF: 52}  # IEEE 754 binary16, 32, 64 by their bit mask


class Decoder:
    """Reads all sources of a plan at one instant."""

    def __init__(self, plan: "dict[str, Any]", ticks_per_ms: int) -> None:
        self._sources = []
        for length, timeout_ms, little, big, careful_little, careful_big in plan["sources"]:
            self._sources.append(
                (
                    length,
                    timeout_ms * ticks_per_ms,
                    [tuple(row) for row in little],
                    [tuple(row) for row in big],
                    [_careful_row(row) for row in careful_little],
                    [_careful_row(row) for row in careful_big],
                )
            )

    def decode(self, latest: "LatestFrames", now: int, values: "list[Any]", operands: "list[Ratio | None]") -> None:
        """Fill in what is known at `now` (ticks): counts into `values`, exact physical values into `operands`.

        Entries of stale, missing, unlisted or out-of-range signals are left as they are.
        """
        stamps = latest.stamps
        frames = latest.frames
        slot = -1
        for length, timeout, little, big, careful_little, careful_big in self._sources:
            slot += 1
            if now - stamps[slot] > timeout:
                continue
            data = frames[slot]
            missing = 8 * (length - len(data))
            if little or careful_little:
                word = int.from_bytes(data, "little")
                if missing > 0:
                    size = 8 * len(data)
                    little = [row for row in little if not (row[1] << row[0]) >> size]
                    careful_little = [row for row in careful_little if not (row[1] << row[0]) >> size]
                _decode_plain(little, word, values)
                if careful_little:
                    _decode_careful(careful_little, word, values, operands)
            if big or careful_big:
                word = int.from_bytes(data, "big")
                word = word << missing if missing >= 0 else word >> -missing
                if missing > 0:
                    big = [row for row in big if row[0] >= missing]
                    careful_big = [row for row in careful_big if row[0] >= missing]
                _decode_plain(big, word, values)
                if careful_big:
                    _decode_careful(careful_big, word, values, operands)


def _careful_row(row: "list[Any]") -> "tuple[Any, ...]":
    special = {raw: tuple(value) if isinstance(value, list) else value for raw, value in row[10]}
    return tuple(row[:10]) + (special,)


def _decode_plain(rows: "list[Any]", word: int, values: "list[Any]") -> None:
    for shift, mask, sign, lo, hi, num, add, den, out in rows:
        raw = (word >> shift) & mask
        if raw & sign:
            raw -= mask + 1
        if lo <= raw <= hi:
            values[out] = (raw * num + add) // den


def _decode_careful(rows: "list[Any]", word: int, values: "list[Any]", operands: "list[Ratio | None]") -> None:
    for shift, mask, sign, lo, hi, num, add, den, out, kind, special in rows:
        raw = (word >> shift) & mask
        if raw & sign:
            raw -= mask + 1
        if kind == COUNT:
            if raw in special:
                values[out] = special[raw]
            elif lo <= raw <= hi:
                values[out] = (raw * num + add) // den
        elif kind == OPERAND:
            if raw in special:
                operands[out] = special[raw]
            elif lo <= raw <= hi:
                operands[out] = (raw * num + add, den)
        else:
            ratio = float_ratio(raw, mask)
            if ratio is None:
                continue
            ratio = (ratio[0] * num + add * ratio[1], ratio[1] * den)
            if kind == FLOAT_OPERAND:
                operands[out] = ratio
            else:
                count = rounded(ratio[0], ratio[1])
                if lo <= count <= hi:
                    values[out] = count


def float_ratio(bits: int, mask: int) -> "Ratio | None":
    """The exact value of an IEEE 754 number from its bits as (numerator, denominator); None for NaN and infinity."""
    fraction_bits = _FRACTION_BITS[mask]
    fraction = bits & ((1 << fraction_bits) - 1)
    exponent_mask = mask >> (fraction_bits + 1)
    exponent = (bits >> fraction_bits) & exponent_mask
    if exponent == exponent_mask:
        return None
    if exponent:
        fraction |= 1 << fraction_bits
    else:
        exponent = 1  # subnormal
    if bits & (mask ^ (mask >> 1)):
        fraction = -fraction
    power = exponent - (exponent_mask >> 1) - fraction_bits
    return (fraction << power, 1) if power >= 0 else (fraction, 1 << -power)


def rounded(numerator: int, denominator: int) -> int:
    """Nearest integer of a ratio with positive denominator, ties away from zero."""
    if numerator < 0:
        return -((-2 * numerator + denominator) // (2 * denominator))
    return (2 * numerator + denominator) // (2 * denominator)
