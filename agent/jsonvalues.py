"""One value of a table row as people write it: physical numbers, words, hexadecimal, text; and back, exactly.

A number is `(raw - offset) * step / per_unit`. Invalid is None, abnormal is "abnormal", a raw that the row does not list is
`{"raw": n}`. Bytes that are no printable text, or no time, are `{"hex": "..."}`. Nothing is rounded away: a number more than
`TOLERANCE` counts beside a whole count is refused.
"""

import difflib
import math
import string
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from agent.beijing import BEIJING
from agent.core.errors import LocalProtocolError, RemoteProtocolError
from agent.core.field import Field, Time
from agent.core.packet import epoch_of, time_bytes

TOLERANCE = Fraction(1, 1000)  # of a count
TEXT_ENCODING = "gb18030"  # of which ASCII is a part; the standard's STRING


def did_you_mean(word: object, allowed: Iterable[str]) -> str:
    """ ", did you mean 'speed'?" or nothing."""
    near = difflib.get_close_matches(str(word), list(allowed), 1)
    return f", did you mean '{near[0]}'?" if near else ""


def physical(field: Field, raw: int) -> int | float:
    """The value of `raw` in the unit of `field`, correctly rounded."""
    count = (raw - field.offset) * field.step
    return count if field.per_unit == 1 else count / field.per_unit


def allowed(field: Field) -> str:
    """What may be written for `field`, for an error message."""
    if field.words is not None:
        return "one of " + ", ".join(str(word) for word in field.words.values())
    if field.hexadecimal:
        return f"{2 * field.size} hexadecimal digits"
    return f"{physical(field, field.lo)} to {physical(field, field.hi)}{' ' + field.unit if field.unit else ''}"


def value_of(field: Field, raw: int) -> Any:
    """`raw` as it stands in JSON; `bits`, `flags` and `sign` of the row are the business of the caller."""
    if field.words is not None and raw in field.words:
        return field.words[raw]
    if field.words is None and field.lo <= raw <= field.hi:
        return f"{raw:0{2 * field.size}x}" if field.hexadecimal else physical(field, raw)
    if raw in (field.invalid, field.absent):
        return None
    if raw == field.abnormal:
        return "abnormal"
    return {"raw": raw}


def raw_of(field: Field, value: Any, sign: str = "") -> int:
    """The inverse of `value_of`; LocalProtocolError says what is allowed, for the magnitude of a signed value with `sign`."""
    if value is None:
        nothing = field.invalid if field.invalid is not None else field.absent
        if nothing is None or value_of(field, nothing) is not None:
            raise LocalProtocolError(f"null: this field cannot say invalid; allowed: {allowed(field)}")
        return nothing
    if isinstance(value, dict):
        return _given_raw(field, value)
    if field.words is not None:
        return _word(field, value)
    if value == "abnormal" and field.abnormal is not None:
        return field.abnormal
    if field.hexadecimal:
        return _digits(field, value)
    return _count(field, value, sign)


def _given_raw(field: Field, value: dict[str, Any]) -> int:
    raw = value.get("raw")
    if (
        list(value) != ["raw"]
        or isinstance(raw, bool)
        or not isinstance(raw, int)
        or not field.bottom <= raw <= field.top
    ):
        raws = f"{field.bottom} to {field.top}"
        raise LocalProtocolError(f'{value}: only {{"raw": n}} with n in {raws} may stand here')
    return raw


def _word(field: Field, value: Any) -> int:
    words = field.words or {}
    for raw, word in words.items():
        if word == value and type(word) is type(value):
            return raw
    if value == "abnormal" and field.abnormal is not None:
        return field.abnormal
    guess = did_you_mean(value, (str(word) for word in words.values()))
    raise LocalProtocolError(f"{value!r} is not a word of this field{guess}; allowed: {allowed(field)}")


def _digits(field: Field, value: Any) -> int:
    if isinstance(value, str) and len(value) == 2 * field.size and set(value) <= set(string.hexdigits):
        return int(value, 16)
    raise LocalProtocolError(f"{value!r}: allowed: {allowed(field)}")


def _count(field: Field, value: Any, sign: str) -> int:
    exact = exact_number(value)
    if exact is None:
        raise LocalProtocolError(f"{value!r} is not a number; allowed: {allowed(field)}")
    counts = exact * field.per_unit / field.step + field.offset
    raw = round(counts)
    if not field.lo <= raw <= field.hi:
        raise LocalProtocolError(f"{value} is outside the range; allowed: {sign}{allowed(field)}")
    if abs(counts - raw) > TOLERANCE:
        step = Fraction(field.step, field.per_unit)
        raise LocalProtocolError(
            f"{value} lies between two counts; allowed: steps of {float(step):g}{' ' + field.unit if field.unit else ''}, "
            f"the nearest is {physical(field, raw)}"
        )
    return raw


def exact_number(value: Any) -> Fraction | None:
    """`value` as the decimal that is written for it; None when it is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    if isinstance(value, float):
        value = Decimal(repr(value)) if math.isfinite(value) else Decimal("NaN")
    return Fraction(value) if isinstance(value, int) or value.is_finite() else None


def is_negative(value: Any) -> bool:
    """True for numbers below zero and for -0.0, which JSON keeps."""
    if exact_number(value) is None:
        return False
    return value.is_signed() if isinstance(value, Decimal) else math.copysign(1, value) < 0


def text_of(data: bytes, pad: bytes = b"") -> Any:
    """Bytes as text when the text gives the same bytes back, else `{"hex": ...}`; what stands behind it of `pad` is dropped."""
    content = data.rstrip(pad) if pad else data
    try:
        text = content.decode(TEXT_ENCODING)
    except UnicodeDecodeError:
        return {"hex": data.hex()}
    return text if text.isprintable() and text.encode(TEXT_ENCODING) == content else {"hex": data.hex()}


def bytes_of(value: Any, size: int | None = None, pad: bytes = b"\0") -> bytes:
    """The inverse of `text_of`; with `size`, text is filled with `pad` to that many bytes."""
    if isinstance(value, dict) and list(value) == ["hex"]:
        data = hex_of(value["hex"])
    elif isinstance(value, str):
        try:
            data = value.encode(TEXT_ENCODING)
        except UnicodeEncodeError:
            raise LocalProtocolError(f"{value!r} has characters outside GB 18030") from None
    else:
        raise LocalProtocolError(f'{value!r}: text or {{"hex": "..."}} is needed')
    if size is None:
        return data
    if len(data) > size:
        raise LocalProtocolError(f"{value!r} takes {len(data)} bytes; at most {size} fit")
    return data.ljust(size, pad)


def hex_of(value: Any) -> bytes:
    """Bytes of a string of hexadecimal digits."""
    if isinstance(value, str):
        try:
            return bytes.fromhex(value)
        except ValueError:
            pass
    raise LocalProtocolError(f"{value!r}: an even number of hexadecimal digits is needed")


def time_of(data: bytes) -> Any:
    """Six time bytes in ISO 8601 with the offset of Beijing, else `{"hex": ...}`."""
    try:
        return datetime.fromtimestamp(epoch_of(data), BEIJING).isoformat()
    except RemoteProtocolError:
        return {"hex": data.hex()}


def time_bytes_of(value: Any) -> bytes:
    """The inverse of `time_of`; any offset from UTC is understood, none at all is refused."""
    if isinstance(value, dict):
        data = hex_of(value.get("hex"))
        if len(data) != Time.size:
            raise LocalProtocolError(f"{value!r}: {Time.size} bytes are needed")
        return data
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        moment = None
    if moment is None or moment.tzinfo is None or moment.microsecond:
        raise LocalProtocolError(f"{value!r}: allowed: whole seconds with an offset, as 2025-03-14T09:26:53+08:00")
    return time_bytes(int(moment.timestamp()))
