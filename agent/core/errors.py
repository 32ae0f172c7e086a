"""Errors of the pure core.

::

    AgentError
     +-- ProtocolError            never raised itself
          +-- LocalProtocolError  we asked for something the standard forbids
          |    +-- FieldError     a value outside its row (field, raw, lo, hi)
          +-- RemoteProtocolError the platform's bytes are wrong (reason, clause, offset, data)

The rest of the tree stands in `agent/errors.py`. Attributes are set by hand: MicroPython's exceptions take arguments only,
and have no `__init__` but the one that super() finds.
"""


class AgentError(Exception):
    """Anything this program reports by name."""


class ProtocolError(AgentError):
    """A breach of GB/T 32960, ours or the other side's."""


class LocalProtocolError(ProtocolError):
    """We asked for something that the standard forbids."""


class FieldError(LocalProtocolError):
    """A raw value outside its table row."""

    def __init__(self, field: str, raw: object, lo: int, hi: int) -> None:
        super().__init__("%s: raw value %r is not in %d..%d" % (field, raw, lo, hi))
        self.field = field
        self.raw = raw
        self.lo = lo
        self.hi = hi


class RemoteProtocolError(ProtocolError):
    """Bytes of the other side that break the standard.

    `offset` counts from the first byte of what was decoded; `data` holds up to 16 bytes from there.
    """

    def __init__(self, reason: str, clause: str, offset: int, data: bytes = b"") -> None:
        shown = "".join(["%02X" % byte for byte in data[offset : offset + 16]])
        super().__init__("%s at offset %d (%s)%s" % (reason, offset, clause, ": " + shown if shown else ""))
        self.reason = reason
        self.clause = clause
        self.offset = offset
        self.data = bytes(data[offset : offset + 16])
