"""Sentences of a receiver, as text and as bytes."""

from typing import Any


def said(*bodies: str) -> bytes:
    """Each body between $ and *, with its checksum."""
    out = b""
    for body in bodies:
        checksum = 0
        for byte in body.encode():
            checksum ^= byte
        out += b"$%s*%02X\r\n" % (body.encode(), checksum)
    return out


def rmc(time: str = "120000.00", date: str = "170126", place: str = "3130.1234,N,12130.5678,E", **more: Any) -> str:
    fields = {"talker": "GN", "status": "A", "knots": "10.0", "course": "90.5", "mode": ",A", **more}
    said_of_it = ",".join([time, fields["status"], place, fields["knots"], fields["course"], date])
    return f"{fields['talker']}RMC,{said_of_it},,{fields['mode']}"


def gga(time: str = "120000.00", place: str = "3130.1234,N,12130.5678,E", quality: str = "1", **more: Any) -> str:
    fields = {"talker": "GN", "sky": "08,1.2", "altitude": "12.3", **more}
    return f"{fields['talker']}GGA,{time},{place},{quality},{fields['sky']},{fields['altitude']},M,8.0,M,,"


def gns(time: str = "120000.00", place: str = "3130.1234,N,12130.5678,E", modes: str = "AANN", **more: Any) -> str:
    return f"{more.get('talker', 'GN')}GNS,{time},{place},{modes},11,0.8,12.3,8.0,,"
