"""Fields of NMEA 0183 sentences as integers; each is empty (None), good, or a ValueError."""

PIVOT = 80  # years 80..99 are of the last century
_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def number(text: str, factor: int, divisor: int = 1) -> "int | None":
    """A decimal number of any length times factor / divisor, to nearest, halves away from zero; None where nothing stands.

    Raises ValueError for anything else.
    """
    if not text:
        return None
    negative = text[0] == "-"
    whole, _, fraction = text[1 if negative else 0 :].partition(".")
    digits = whole + fraction
    if not digits.isdigit():
        raise ValueError
    divisor *= _power(len(fraction))
    count = (2 * int(digits) * factor + divisor) // (2 * divisor)
    return -count if negative else count


def _power(exponent: int) -> int:
    return int(10**exponent)


def angle(text: str, letter: str, letters: "tuple[str, str]", most: int) -> "int | None":
    """ddmm.mmmm of any number of decimals and its letter as 1e-7 degree, to nearest, at most `most` degrees; ValueError."""
    if not text and not letter:
        return None
    whole, _, fraction = text.partition(".")
    if not (whole + fraction).isdigit() or not whole or len(whole) > 5 or letter not in letters:
        raise ValueError
    scale = _power(len(fraction))
    minutes = int(whole) % 100 * scale + int(fraction or "0")
    if minutes >= 60 * scale:
        raise ValueError
    divisor = 60 * scale
    count = (2 * (int(whole) // 100 * divisor + minutes) * 10_000_000 + divisor) // (2 * divisor)
    if count > most * 10_000_000:
        raise ValueError
    return -count if letter == letters[1] else count


def time_of_day(text: str) -> "int | None":
    """hhmmss.sss as milliseconds, second 60 of a leap second included; None where nothing stands; ValueError."""
    if not text:
        return None
    whole, _, fraction = text.partition(".")
    if len(whole) != 6 or not (whole + fraction).isdigit():
        raise ValueError
    hours, minutes, seconds = int(whole[:2]), int(whole[2:4]), int(whole[4:])
    if hours > 23 or minutes > 59 or seconds > 60:
        raise ValueError
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + int((fraction + "000")[:3])


def day_number(text: str) -> "int | None":
    """ddmmyy as days since 1970-01-01; None where nothing stands; ValueError."""
    if not text:
        return None
    if len(text) != 6 or not text.isdigit():
        raise ValueError
    day, month, year = int(text[:2]), int(text[2:4]), int(text[4:])
    year += 1900 if year >= PIVOT else 2000
    if not 1 <= month <= 12 or not 1 <= day <= _MONTHS[month - 1] or (month == 2 and day == 29 and year % 4):
        raise ValueError
    past = year - 1 if month < 3 else year  # years begin in March here: the odd day comes last
    return 365 * past + past // 4 - past // 100 + past // 400 + (153 * ((month + 9) % 12) + 2) // 5 + day - 719469
