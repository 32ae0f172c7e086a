"""Fixes of a gpsd, by its JSON protocol over TCP (gpsd_json(5), protocol 3): VERSION, DEVICES, TPV, SKY."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from agent.core.nmea import Fix, is_place
from agent.errors import DeviceError

WATCH = b'?WATCH={"enable":true,"json":true};\n'
CONNECT_S = 5
SILENT_S = 30  # gpsd says nothing while its receiver is away; asked anew, it says at least who it is
LINE_BYTES = 65_536
PROTOCOL = 3
_MOST = 10**12
# TPV's status as GGA's quality. Not among them: 7 (surveyed), 8 (simulated).
_QUALITIES = {0: 1, 1: 1, 2: 2, 3: 4, 4: 5, 5: 6, 6: 6, 9: 3}


class GpsdSource:
    """Fixes of the gpsd at `place` ("host:port"); of all its receivers, where it has several."""

    def __init__(self, place: str, floor_ms: int) -> None:
        host, _, port = place.rpartition(":")
        self._place = place
        self._host = host.strip("[]")
        self._port = int(port)
        self._floor_ms = floor_ms
        self._sky: dict[str, Any] = {}
        self._ignored = 0

    def counts(self) -> dict[str, int]:
        return {"ignored": self._ignored}

    async def receive(self, give: Callable[[Fix], None], note_open: Callable[[str], None]) -> None:
        """Until cancelled; DeviceError when gpsd is not there, goes away, or has nothing to say."""
        try:
            async with asyncio.timeout(CONNECT_S):
                reader, writer = await asyncio.open_connection(self._host, self._port, limit=LINE_BYTES)
        except (OSError, ValueError) as error:  # TimeoutError is the one, a name that is none (UnicodeError) the other
            reason = getattr(error, "strerror", None) or str(error) or f"no answer for {CONNECT_S} s"
            raise DeviceError(f"gpsd {self._place}", f"cannot be reached: {reason}") from error
        self._sky = {}
        try:
            writer.write(WATCH)
            await writer.drain()
            while True:
                async with asyncio.timeout(SILENT_S):
                    line = await reader.readline()
                if not line:
                    raise DeviceError(f"gpsd {self._place}", "it closed the connection")
                self._take(line, give, note_open)
        except TimeoutError:
            reason = f"it has said nothing for {SILENT_S} s; is a receiver plugged in?"
            raise DeviceError(f"gpsd {self._place}", reason) from None
        except (OSError, ValueError) as error:  # ValueError: a line without end
            raise DeviceError(f"gpsd {self._place}", str(error) or type(error).__name__) from error
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _take(self, line: bytes, give: Callable[[Fix], None], note_open: Callable[[str], None]) -> None:
        report = read_report(line)
        kind = report.get("class")
        if kind == "VERSION":
            if report.get("proto_major") != PROTOCOL:
                reason = f"it speaks protocol {report.get('proto_major')}, not {PROTOCOL}"
                raise DeviceError(f"gpsd {self._place}", reason)
            note_open(f"release={report.get('release')}")
        elif kind == "DEVICES" and not report.get("devices"):
            raise DeviceError(f"gpsd {self._place}", "it has no receiver; name one in /etc/default/gpsd, or plug it in")
        elif kind == "SKY":
            self._sky.update({name: report[name] for name in ("hdop", "uSat") if name in report})
        elif kind == "TPV":
            give(fix_of(report, self._sky, self._floor_ms))
        else:
            self._ignored += 1


def read_report(line: bytes) -> dict[str, Any]:
    """One line of gpsd; {} for what is no JSON object. Numbers with a point are exact."""
    try:
        report = json.loads(line, parse_float=_decimal, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return {}
    return report if isinstance(report, dict) else {}


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except ArithmeticError:  # an exponent that has too many digits itself
        return None


def fix_of(tpv: dict[str, Any], sky: dict[str, Any], floor_ms: int) -> Fix:
    """The fix of a TPV report; `sky` holds `hdop` and `uSat` of the newest SKY, where it gave any."""
    satellites, hdop = _count(sky.get("uSat"), 1), _count(sky.get("hdop"), 100)
    latitude = _count(tpv.get("lat"), 10_000_000, 900_000_000)
    longitude = _count(tpv.get("lon"), 10_000_000, 1_800_000_000)
    quality = _QUALITIES.get(tpv.get("status", 1), 0) if isinstance(tpv.get("status", 1), int) else 0
    if tpv.get("mode") not in (2, 3) or not quality or not is_place(latitude, longitude):
        return Fix(satellites=satellites, hdop=hdop)
    altitude = tpv.get("altMSL", tpv.get("alt"))  # alt until gpsd 3.20
    speed, course = _count(tpv.get("speed"), 360), _count(tpv.get("track"), 100)  # m/s
    utc_ms = _utc_ms(tpv.get("time"), floor_ms)
    return Fix(True, latitude, longitude, utc_ms, speed, course, _count(altitude, 100), satellites, hdop, quality)


def _count(value: Any, factor: int, most: int = _MOST) -> int | None:
    """A number of JSON times `factor`, to nearest; None for what is none, or too large."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    number = Decimal(value)
    if not -_MOST <= number <= _MOST:
        return None
    count = int((number * factor).to_integral_value(ROUND_HALF_UP))
    return count if abs(count) <= most else None


def _utc_ms(text: Any, floor_ms: int) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        return None
    utc_ms = round(moment.timestamp() * 1000)
    return utc_ms if utc_ms >= floor_ms else None
