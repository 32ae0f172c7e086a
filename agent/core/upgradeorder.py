"""The arguments of control 01, remote upgrade: ten fields joined with `;` (annex B, B.4).

The command table lists the URL first, the field table behind the firmware version; both are read. Address, port and time limit
are binary and may hold a `;` themselves, so the fields are not split but tried: each binary field is absent or has its size.
"""

from agent.core.errors import AgentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

URL = "url"
_REST = ("apn", "user", "password", "address", "port", "maker", "hardware_version", "firmware_version")
ORDERS = ((URL,) + _REST + ("minutes",), _REST + (URL, "minutes"))
SIZES = {"maker": 4, "hardware_version": 5, "firmware_version": 5}  # of what is text, at most
MAX_FIELD = 1024  # bytes of a free text
MAX_MINUTES = 60000
SCHEMES = (b"https", b"http", b"ftp")
SEPARATOR = b";"
_ALNUM = b"abcdefghijklmnopqrstuvwxyz" + b"ABCDEFGHIJKLMNOPQRSTUVWXYZ" + b"0123456789"
_URL_BYTES = _ALNUM + b"-._~:/?#[]@!$&'()*+,=%"  # RFC 3986 without the separator, which has to come as %3B
_VERSION_BYTES = _ALNUM + b"-._"


class UpgradeOrderError(AgentError):
    """Arguments that are no upgrade order; the text says why."""


def read_upgrade(arguments: bytes) -> "dict[str, Any]":
    """The order: `url` and the texts apn, user, password, maker, hardware_version, firmware_version (bytes, b"" where missing),
    address (bytes: six binary, or a name), `port` and `minutes` (None where missing). UpgradeOrderError says what is wrong."""
    found: "list[dict[str, Any]]" = []
    for order in ORDERS:
        _read(bytes(arguments), 0, order, {}, found)
    if not found:
        raise UpgradeOrderError("the arguments of the upgrade are not ten fields joined with ';', one of them a URL")
    if len(found) > 1:  # no two are the same: they differ in which binary field is there
        raise UpgradeOrderError("the arguments of the upgrade can be read in two ways")
    fault = _fault(found[0])
    if fault:
        raise UpgradeOrderError(fault)
    return found[0]


def _read(
    data: bytes, offset: int, names: "tuple[str, ...]", before: "dict[str, Any]", found: "list[dict[str, Any]]"
) -> None:
    """Add to `found` every way in which data from `offset` are the fields `names`; at most two ways a binary field."""
    name = names[0]
    for value, end in _field(name, data, offset):
        values = dict(before)
        values[name] = value
        if len(names) == 1:
            if end == len(data):
                found.append(values)
        elif data[end : end + 1] == SEPARATOR:
            _read(data, end + 1, names[1:], values, found)


def _field(name: str, data: bytes, offset: int) -> "list[tuple[Any, int]]":
    """What may stand at `offset`: (value, offset behind it)."""
    if name in ("port", "minutes"):
        ways: "list[tuple[Any, int]]" = [(None, offset)]
        if offset + 2 <= len(data):
            ways.append(((data[offset] << 8) | data[offset + 1], offset + 2))
        return ways
    if name == "address" and data[offset : offset + 2] == b"\x00\x00":
        return [(data[offset : offset + 6], offset + 6)] if offset + 6 <= len(data) else []
    end = data.find(SEPARATOR, offset)
    if end < 0:
        end = len(data)
    text = data[offset:end]
    if len(text) > SIZES.get(name, MAX_FIELD) or (b"://" in text) != (name == URL):
        return []
    return [(text.rstrip(b"\x00 "), end)]


def _fault(order: "dict[str, Any]") -> str:
    url = order[URL]
    scheme, _, rest = url.partition(b"://")
    if scheme.lower() not in SCHEMES:
        return "upgrade from %r: only https, http and ftp are fetched" % scheme[:16]
    if not rest or rest[:1] in b"/?#":
        return "upgrade from %r: the URL names no host" % url[:64]
    if any([byte not in _URL_BYTES for byte in url]):
        return "upgrade from %r: characters that cannot stand in a URL" % url[:64]
    for name in ("maker", "hardware_version", "firmware_version"):
        if any([byte not in _VERSION_BYTES for byte in order[name]]):
            return "upgrade: %s %r is not made of letters, digits, '.', '-' and '_'" % (name, order[name])
    if order["minutes"] is not None and order["minutes"] > MAX_MINUTES:
        return "upgrade: a time limit of %d minutes; at most %d" % (order["minutes"], MAX_MINUTES)
    return ""
