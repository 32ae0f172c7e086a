"""A link is a byte pipe to the platform: four methods and two numbers. TCP stands in `tcp.py`; a memory twin is here."""

import asyncio
from typing import Protocol

from agent.errors import LinkError


class Link(Protocol):
    """Bytes to and from one endpoint. Any method may raise LinkError; after that the link is only closed."""

    endpoint: str
    authenticated: bool  # the peer has proved who it is

    async def read(self) -> bytes:
        """Wait for bytes; b"" when the peer has closed."""

    def write(self, data: bytes) -> int:
        """Take all of `data` and return how many bytes this link has taken since it was opened."""

    async def drained(self) -> None:
        """Wait until what is not yet with the peer is little enough to take more."""

    def acknowledged(self) -> int:
        """How many of the bytes taken are known to be with the peer's TCP; always 0 where that cannot be known."""

    def close(self) -> None:
        """Give the link up; nothing that was not acknowledged may be counted on."""


class MemoryLink:
    """A link without a network: what is written stands in `sent`, what `feed` gives is read. For tests and trials."""

    def __init__(self, endpoint: str = "memory") -> None:
        self.endpoint = endpoint
        self.authenticated = False
        self.sent = bytearray()
        self.closed = False
        self.acknowledges = True
        self._arrived: asyncio.Queue[bytes] = asyncio.Queue()

    def feed(self, data: bytes) -> None:
        """Let the agent read `data`; b"" closes the link as a peer would."""
        self._arrived.put_nowait(data)

    async def read(self) -> bytes:
        return await self._arrived.get()

    def write(self, data: bytes) -> int:
        if self.closed:
            raise LinkError(self.endpoint, "write", "the link is closed")
        self.sent += data
        return len(self.sent)

    async def drained(self) -> None:
        return

    def acknowledged(self) -> int:
        return len(self.sent) if self.acknowledges else 0

    def close(self) -> None:
        self.closed = True
        self._arrived.put_nowait(b"")
