"""A receiver's sentences under MicroPython and CPython alike."""

from agent.core.nmea import NmeaReader

passed = 0


def ok(name: str) -> None:
    global passed
    passed += 1
    print(f"ok {passed} {name}")


def said(*bodies: str) -> bytes:
    out = b""
    for body in bodies:
        checksum = 0
        for byte in body.encode():
            checksum ^= byte
        out += b"$%s*%02X\r\n" % (body.encode(), checksum)
    return out


stream = said(
    "GNRMC,235959.00,A,3130.1234,S,12130.5678,W,10.0,90.5,311226,,,A",
    "GNGGA,235959.00,3130.1234,S,12130.5678,W,1,08,1.2,-12.3,M,8.0,M,,",
    "GNGNS,000000.00,3130.1234567,N,12130.5678901,E,AAN,11,0.8,12.3,8.0,,",
    "GPVTG,90.5,T,,M,5.4,N,10.0,K,A",
    "GPGGA,,,,,,0,,,,M,,M,,",
)
for size in (1, 7, 1000):
    reader = NmeaReader(1_735_689_600_000)
    fixes = []
    for at in range(0, len(stream), size):
        fixes += reader.feed(b"\xff" + stream[at : at + size] if at == 0 else stream[at : at + size], 0)
    fixes += reader.poll(1000)
    first, second, third = fixes
    assert (first.valid, second.valid, third.valid) == (True, True, False)
    assert (first.latitude, first.longitude) == (-315020567, -1215094633)
    assert (first.speed, first.course, first.altitude, first.satellites, first.hdop) == (1852, 9050, -1230, 8, 120)
    assert (first.utc_ms, second.utc_ms) == (1_798_761_599_000, 1_798_761_600_000)
    assert (second.latitude, second.longitude, second.speed) == (315020576, 1215094648, 1000)
    assert (reader.sentences.good, reader.sentences.noise_bytes, reader.malformed) == (5, 1, 0)
    ok(f"in pieces of {size}")
print(f"1..{passed}")
