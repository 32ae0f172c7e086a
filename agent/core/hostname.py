"""Whether bytes are the name of a host: RFC 1123 names and dotted IPv4 addresses, nothing else.

A name that came over the link goes into a resolver, into logs and into the next link; what cannot be a name stops here.
"""

MAX_NAME = 253
MAX_LABEL = 63
DIGITS = b"0123456789"
LETTERS = b"abcdefghijklmnopqrstuvwxyz" + b"ABCDEFGHIJKLMNOPQRSTUVWXYZ" + DIGITS + b"-"


def is_host_name(name: bytes) -> bool:
    """True for `platform.example`, `192.0.2.7`; not for an empty name, a dot at the end, `1.2.3`, an IPv6 address."""
    if not 0 < len(name) <= MAX_NAME:
        return False
    labels = bytes(name).split(b".")
    for label in labels:
        if not 0 < len(label) <= MAX_LABEL or label[:1] == b"-" or label[-1:] == b"-":
            return False
        if any([byte not in LETTERS for byte in label]):
            return False
    if all([byte in DIGITS for byte in labels[-1]]):  # no top domain is a number: an address, or nothing
        return len(labels) == 4 and all([_octet(label) for label in labels])
    return True


def _octet(label: bytes) -> bool:
    plain = all([byte in DIGITS for byte in label]) and (label[:1] != b"0" or label == b"0")
    return plain and len(label) <= 3 and int(label) <= 255
