"""A TCP link on asyncio, plain or under TLS, which can tell how much of what it sent has reached the peer's TCP."""

import array
import asyncio
import contextlib
import fcntl
import os
import socket
import ssl
import sys
from pathlib import Path

from agent.errors import LinkError
from agent.tomlfile import open_regular

CHUNK = 65536  # bytes read at once
HIGH_WATER = 65536  # bytes of our own write buffer above which `drained` waits
USER_TIMEOUT_MS = 60_000  # bytes without acknowledgement for so long mean that the peer is gone (half-open link)
# A live report stands behind what the kernels hold of a backlog. Left alone that grows to megabytes, on the peer's side too,
# whose buffer grows with what arrives in one round trip. So much still carries 500 reports/s at a round trip of 0.2 s.
SEND_BUFFER = 65_536
SIOCOUTQ = 0x5411  # Linux: bytes in the send queue that the peer's TCP has not acknowledged


class TcpLink:
    """An open TCP connection; make one with `open_tcp`."""

    def __init__(self, endpoint: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.endpoint = endpoint
        self._tls = writer.get_extra_info("ssl_object") is not None
        self.authenticated = self._tls  # `tls_context` demands a certificate that is good for the host
        self._reader = reader
        self._writer = writer
        self._socket: socket.socket = writer.get_extra_info("socket")
        self._transport = writer.transport
        self._taken = 0
        self._held = 0  # bytes known to be with the peer
        self._queue = array.array("i", [0])

    async def read(self) -> bytes:
        try:
            return await self._reader.read(CHUNK)
        except OSError as error:
            raise LinkError(self.endpoint, "read", _reason(error)) from error

    def write(self, data: bytes) -> int:
        if self._transport.is_closing():
            raise LinkError(self.endpoint, "write", "the link is closed")
        self._writer.write(data)
        self._taken += len(data)
        return self._taken

    async def drained(self) -> None:
        try:
            await self._writer.drain()
        except OSError as error:
            raise LinkError(self.endpoint, "write", _reason(error)) from error

    def acknowledged(self) -> int:
        if sys.platform != "linux" or self._transport.is_closing():
            return 0
        fcntl.ioctl(self._socket.fileno(), SIOCOUTQ, self._queue)
        waiting = self._transport.get_write_buffer_size() + self._queue[0]
        if not self._tls:
            self._held = self._taken - waiting
        elif not waiting:  # what waits are records of TLS, not our bytes: only an empty queue says something about ours
            self._held = self._taken
        return self._held

    def close(self) -> None:
        self._transport.abort() if self._transport.get_write_buffer_size() else self._writer.close()


def tls_context(authorities: str | None) -> ssl.SSLContext:
    """TLS 1.2 or newer, the peer's certificate checked for its host name; `authorities`: a PEM file in place of the system's."""
    if authorities is not None:
        open_regular(Path(authorities)).close()  # of a pipe the library would wait for the end
    context = ssl.create_default_context(cafile=authorities)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


async def open_tcp(host: str, port: int, timeout_s: float, tls: ssl.SSLContext | None = None) -> TcpLink:
    """Connect; LinkError with phase `resolve`, `connect` or `tls` when that fails or takes longer than `timeout_s`."""
    endpoint = f"{host}:{port}"
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port, ssl=tls)
    except TimeoutError as error:
        silent = "a platform that speaks no TLS is silent too" if tls else "a firewall?"
        raise LinkError(endpoint, "connect", f"no answer within {timeout_s:g} s; {silent}") from error
    except socket.gaierror as error:
        raise LinkError(endpoint, "resolve", f"{error.strerror}: check the host name and the network") from error
    except ssl.SSLCertVerificationError as error:
        raise LinkError(endpoint, "tls", f"the platform's certificate: {error.verify_message}") from error
    except ssl.SSLError as error:
        raise LinkError(endpoint, "tls", f"{error.reason or error}: does this port speak TLS?") from error
    except UnicodeError as error:  # not even a question for the resolver
        raise LinkError(endpoint, "resolve", f"{host!r} is no host name: {error}") from error
    except OSError as error:
        raise LinkError(endpoint, "connect", _reason(error)) from error
    writer.transport.set_write_buffer_limits(high=HIGH_WATER)
    connection: socket.socket = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):  # not every socket family has these
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if sys.platform == "linux":
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
    return TcpLink(endpoint, reader, writer)


def _reason(error: OSError) -> str:
    # asyncio puts "Connect call failed (address)" in the place of the system's words.
    return os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
