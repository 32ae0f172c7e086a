"""NMEA 0183: a receiver's bytes to fixes, one for each epoch (the instant a receiver speaks of, named by its time of day).

Read are RMC, GGA, GNS and VTG; everything else is passed over. All sentences with the same time are one epoch. It is given out
when a sentence of another time comes, or when nothing came for `QUIET_MS`: a receiver says an epoch in one go. A fix is valid
where every kind of sentence that has spoken says so; talkers of one kind (GP beside BD) may differ, then the one that has a fix
counts. Void are also 0 N 0 E, which receivers say that know nothing, and what was typed in or made by a simulator.
"""

from agent.core.nmea_fields import angle, day_number, number, time_of_day

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Values = dict[str, Any]

TALKERS = ("GP", "GN", "BD", "GB", "GL", "GA", "GQ", "GI")  # GB and BD are BeiDou, GQ QZSS, GI NavIC
MOST_CHARACTERS = 120  # behind the $; the standard says 80, receivers with many decimals say more
QUIET_MS = 100
STUCK_MS = 2000  # one time of day said for so long comes from a receiver that stands still
EARLY_MS = 1000  # a VTG before its epoch belongs to the next one, if that comes so soon
ASTRAY_MS = 60_000  # a time of day without a date that is further off than this is of another day
DAY_MS = 86_400_000

# Words of RMC's and GNS's mode as GGA's quality; not among them: N (none), M (typed in), S (simulator).
MODES = {"A": 1, "D": 2, "P": 3, "R": 4, "F": 5, "E": 6}
_MEASURED = tuple(MODES.values())
_PRINTED = (0x20, 0x7E)
_CR, _LF = b"\r", b"\n"


class Fix:
    """What a receiver knows of one instant; None: not known.

    `latitude`, `longitude`: 1e-7 degree, south and west negative, None while not `valid`. `utc_ms`: Unix ms. `speed`: 0.01 km/h.
    `course`: 0.01 degree from true north. `altitude`: 0.01 m above mean sea level. `hdop`: 0.01. `quality`: as in GGA, 0 none,
    1 alone, 2 differential, 3 precise, 4 and 5 RTK fixed and float, 6 dead reckoning.
    """

    def __init__(
        self,
        valid: bool = False,
        latitude: "int | None" = None,
        longitude: "int | None" = None,
        utc_ms: "int | None" = None,
        speed: "int | None" = None,
        course: "int | None" = None,
        altitude: "int | None" = None,
        satellites: "int | None" = None,
        hdop: "int | None" = None,
        quality: int = 0,
    ) -> None:
        self.valid = valid
        self.latitude = latitude
        self.longitude = longitude
        self.utc_ms = utc_ms
        self.speed = speed
        self.course = course
        self.altitude = altitude
        self.satellites = satellites
        self.hdop = hdop
        self.quality = quality


class SentenceReader:
    """Finds sentences with a good checksum in a byte stream cut anywhere; noise is skipped and counted, memory stays bounded."""

    def __init__(self) -> None:
        self._rest = b""
        self.good = 0
        self.noise_bytes = 0
        self.bad_checksum = 0

    def feed(self, data: bytes) -> "list[list[str]]":
        """Take any number of bytes, return the fields of each sentence, its address ("GPRMC") first."""
        data = self._rest + data
        self._rest = b""
        found: "list[list[str]]" = []
        at = 0
        while True:
            start = data.find(b"$", at)
            if start < 0:
                self._skip(data[at:])
                return found
            self._skip(data[at:start])
            at = data.find(b"$", start + 1)
            stop = len(data) if at < 0 else at
            end = _line_end(data, start, min(stop, start + MOST_CHARACTERS + 2))
            if end >= 0:
                fields = _fields(data[start + 1 : end])
                if fields:
                    self.good += 1
                    found.append(fields)
                else:
                    self.bad_checksum += 1
                at = end
            elif at >= 0 or stop - start > MOST_CHARACTERS + 1:
                self._skip(data[start:stop])
                at = stop
            else:
                self._rest = data[start:]
                return found

    def restart(self) -> None:
        """What comes from now on does not continue what came before."""
        self._skip(self._rest)
        self._rest = b""

    def _skip(self, noise: bytes) -> None:
        self.noise_bytes += len(noise) - noise.count(_CR) - noise.count(_LF)


def _line_end(data: bytes, start: int, stop: int) -> int:
    ends = [end for end in (data.find(_CR, start, stop), data.find(_LF, start, stop)) if end >= 0]
    return min(ends) if ends else -1


def _fields(sentence: bytes) -> "list[str] | None":
    """The fields between $ and checksum; None unless all is printed ASCII and the checksum is there and good."""
    body = sentence[:-3]
    checksum = 0
    for byte in body:
        if not _PRINTED[0] <= byte <= _PRINTED[1]:
            return None
        checksum ^= byte
    if not body or sentence[-3:].upper() != b"*%02X" % checksum:
        return None
    return str(body, "ascii").split(",")


class _Epoch:
    """What was said of one instant; `verdicts`: by kind of sentence whether it has a fix."""

    def __init__(self, time_ms: "int | None", now: int) -> None:
        self.time_ms = time_ms
        self.began = now
        self.heard = now
        self.due = False  # something was said that has not been given out
        self.verdicts: "dict[str, bool]" = {}
        self.values: "Values" = {}

    def take(self, kind: str, valid: bool, values: "Values") -> None:
        """GGA knows quality best; speed and course of VTG stand in where RMC has none."""
        self.verdicts[kind] = self.verdicts.get(kind, False) or valid
        for name, value in values.items():
            if value is None or (name == "quality" and kind != "GGA" and "GGA" in self.verdicts):
                continue
            self.values[name] = value

    def add_motion(self, motion: "Values") -> None:
        for name, value in motion.items():
            if value is not None and name not in self.values:
                self.values[name] = value


class NmeaReader:
    """A receiver's bytes in, fixes out. `now` is monotonic milliseconds, `floor_ms` the Unix ms before which no date is true.

    A date before the floor (1980, 2000, or 1,024 weeks too early by the roll-over of GPS weeks) leaves a fix without time; its
    position counts. Without a fix there is no time either: receivers then tell that of a clock of their own. Sentences
    without a date (GGA, GNS) take it from the last that had one.

    Counters: those of `sentences` (the SentenceReader), `ignored` (other kinds), `malformed` (a good checksum about fields that
    make no sense; not used), `stuck` (sentences of a time that stands still; not used).
    """

    def __init__(self, floor_ms: int = 0) -> None:
        self.sentences = SentenceReader()
        self.ignored = 0
        self.malformed = 0
        self.stuck = 0
        self._floor_ms = floor_ms
        self._epoch: "_Epoch | None" = None
        self._early: "tuple[int, Values] | None" = None
        self._last_utc: "tuple[int, int] | None" = None  # Unix ms, and `now` of then

    def feed(self, data: bytes, now: int) -> "list[Fix]":
        """Take any number of bytes, return the fix of each epoch that is over."""
        fixes: "list[Fix]" = []
        for fields in self.sentences.feed(data):
            self._take(fields, now, fixes)
        return fixes

    def restart(self) -> None:
        """The port was opened anew, or set to another rate: nothing of before belongs to what comes."""
        self.sentences.restart()
        self._epoch = None
        self._early = None

    def poll(self, now: int) -> "list[Fix]":
        """The fix of an epoch of which nothing more was said for a while."""
        epoch = self._epoch
        if epoch is None or not epoch.due or now - epoch.heard < QUIET_MS:
            return []
        return [self._fix(epoch)]

    def _take(self, fields: "list[str]", now: int, fixes: "list[Fix]") -> None:
        talker, kind = fields[0][:2], fields[0][2:]
        if talker not in TALKERS or kind not in _KINDS:
            self.ignored += 1
            return
        try:
            time_ms, valid, values = _KINDS[kind](fields)
        except ValueError:
            self.malformed += 1
            return
        epoch = self._epoch
        if kind == "VTG":
            if epoch is not None and epoch.due:
                epoch.add_motion(values)
                epoch.heard = now
            else:
                self._early = (now, values)
            return
        if valid is None:
            return
        if epoch is None or time_ms != epoch.time_ms or (time_ms is None and kind in epoch.verdicts):
            if epoch is not None and epoch.due:
                fixes.append(self._fix(epoch))
            epoch = self._epoch = _Epoch(time_ms, now)
        elif now - epoch.began > STUCK_MS:
            self.stuck += 1
            return
        epoch.take(kind, valid, values)
        epoch.heard = now
        epoch.due = True
        if self._early is not None:
            if now - self._early[0] < EARLY_MS:
                epoch.add_motion(self._early[1])
            self._early = None

    def _fix(self, epoch: "_Epoch") -> Fix:
        epoch.due = False
        values = epoch.values
        satellites, hdop = values.get("satellites"), values.get("hdop")
        if not is_place(values.get("latitude"), values.get("longitude")) or False in epoch.verdicts.values():
            return Fix(satellites=satellites, hdop=hdop)
        return Fix(
            True,
            values["latitude"],
            values["longitude"],
            self._utc_ms(epoch),
            values.get("speed"),
            values.get("course"),
            values.get("altitude"),
            satellites,
            hdop,
            values["quality"],
        )

    def _utc_ms(self, epoch: "_Epoch") -> "int | None":
        time_ms = epoch.time_ms
        if time_ms is None:
            return None
        days = epoch.values.get("days")
        if days is not None:
            utc_ms = int(days * DAY_MS + time_ms)
        elif self._last_utc is not None:
            expected = self._last_utc[0] + epoch.heard - self._last_utc[1]
            # The day that brings the time of day nearest to where it should be: over midnight either way.
            utc_ms = time_ms + (expected - time_ms + DAY_MS // 2) // DAY_MS * DAY_MS
            if abs(utc_ms - expected) > ASTRAY_MS:
                return None
        else:
            return None
        if utc_ms < self._floor_ms:
            self._last_utc = None
            return None
        self._last_utc = (utc_ms, epoch.heard)
        return utc_ms


def is_place(latitude: "int | None", longitude: "int | None") -> bool:
    """Whether both are known and not 0 N 0 E, the place of receivers that know nothing."""
    return latitude is not None and longitude is not None and (latitude, longitude) != (0, 0)


def _rmc(fields: "list[str]") -> "tuple[int | None, bool | None, Values]":
    """time, status, latitude, N/S, longitude, E/W, knots, course, date, variation, E/W, [mode]."""
    if len(fields) < 10 or fields[2] not in ("A", "V"):
        raise ValueError
    mode = fields[12] if len(fields) > 12 and fields[12] else "A"  # the mode came with NMEA 2.3
    valid = fields[2] == "A" and mode in MODES
    values = _place(fields[3:7], valid)
    values["speed"] = number(fields[7], 18520, 100)  # knots
    values["course"] = number(fields[8], 100)
    values["days"] = day_number(fields[9])
    values["quality"] = MODES.get(mode)
    return time_of_day(fields[1]), valid, values


def _gga(fields: "list[str]") -> "tuple[int | None, bool | None, Values]":
    """time, latitude, N/S, longitude, E/W, quality, satellites, HDOP, altitude, M, ..."""
    if len(fields) < 11:
        raise ValueError
    quality = number(fields[6], 1) or 0
    valid = quality in _MEASURED
    return time_of_day(fields[1]), valid, _with_sky(_place(fields[2:6], valid), quality, fields)


def _gns(fields: "list[str]") -> "tuple[int | None, bool | None, Values]":
    """time, latitude, N/S, longitude, E/W, mode of each system, satellites, HDOP, altitude, ...

    Beside the sentence of all systems there may be one of each, which has neither place nor mode: it says nothing to us.
    """
    if len(fields) < 11:
        raise ValueError
    modes = fields[6]
    if not modes and not fields[2]:
        return None, None, {}
    used = [mode for mode in modes if mode != "N"]
    valid = bool(used) and all([mode in MODES for mode in used])
    quality = MODES[used[0]] if valid else 0
    return time_of_day(fields[1]), valid, _with_sky(_place(fields[2:6], valid), quality, fields)


def _vtg(fields: "list[str]") -> "tuple[int | None, bool | None, Values]":
    """course, T, course, M, knots, N, km/h, K, [mode]."""
    if len(fields) < 9 or fields[8] != "K":
        raise ValueError
    return None, None, {"course": number(fields[1], 100), "speed": number(fields[7], 100)}


_KINDS = {"RMC": _rmc, "GGA": _gga, "GNS": _gns, "VTG": _vtg}


def _place(fields: "list[str]", valid: bool) -> "Values":
    """Latitude and longitude of a sentence that has a fix; of no other, where they may be the last ones, or anything."""
    if not valid:
        return {}
    return {
        "latitude": angle(fields[0], fields[1], ("N", "S"), 90),
        "longitude": angle(fields[2], fields[3], ("E", "W"), 180),
    }


def _with_sky(values: "Values", quality: int, fields: "list[str]") -> "Values":
    values["quality"] = quality
    values["satellites"] = number(fields[7], 1)
    values["hdop"] = number(fields[8], 100)
    values["altitude"] = number(fields[9], 100)
    return values
