"""What a running agent is doing, for whoever asks: one JSON object a second over a Unix socket beside the outbox.

Nothing is worked out while nobody is connected. The socket belongs to the agent's user alone (mode 0600): the newest frames go
over it. Nobody can change anything through it: what a client sends is not read.
"""

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

from agent.clock import Clock
from agent.errors import AgentError

PERIOD_MS = 1000
LONGEST_PATH = 107  # bytes of sun_path, linux/un.h, without its end
MOST_CLIENTS = 8
TAKE_S = 5  # real seconds that a client may leave what it asked for unread
LONGEST_LINE = 1 << 24  # bytes; 10,000 sources of 64 bytes are 2 MB

log = logging.getLogger(__name__)

Snapshot = dict[str, Any]


class StatusError(AgentError):
    """No agent serves its status there, or it stopped."""


class NobodyError(StatusError):
    """No agent runs there."""


def status_path(outbox: Path) -> Path:
    """The socket of the agent that owns this outbox."""
    return outbox.with_name(f"{outbox.name}.status")


class StatusServer:
    """Serves `snapshot()` to every client, once a second of `clock`. The outbox's lock has made sure that we are alone."""

    def __init__(self, path: Path, snapshot: Callable[[], Awaitable[Snapshot]], clock: Clock) -> None:
        self._path = path
        self._snapshot = snapshot
        self._clock = clock
        self._clients: set[asyncio.StreamWriter] = set()
        self._wanted = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled; an agent that cannot have its socket says so and does without."""
        try:
            listening = self._listen()
        except OSError as error:
            log.warning("no live status path=%s reason=%s", self._path, error)
            return
        try:
            async with await asyncio.start_unix_server(self._welcome, sock=listening):
                while True:
                    await self._wanted.wait()
                    await self._tell(json.dumps(await self._snapshot(), separators=(",", ":")).encode() + b"\n")
                    await self._clock.sleep_until(self._clock.now() + PERIOD_MS)
        finally:
            listening.close()
            for client in self._clients:
                client.transport.abort()
            self._path.unlink(missing_ok=True)

    def _listen(self) -> socket.socket:
        if len(os.fsencode(self._path)) > LONGEST_PATH:
            raise OSError(f"a socket's path has at most {LONGEST_PATH} bytes, this one {len(os.fsencode(self._path))}")
        self._path.unlink(missing_ok=True)  # left by an agent that was killed
        listening = socket.socket(socket.AF_UNIX)
        try:
            listening.bind(str(self._path))
            self._path.chmod(0o600)  # before listen(): until then nobody can connect
        except OSError:
            listening.close()
            raise
        return listening

    async def _welcome(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= MOST_CLIENTS:
            writer.transport.abort()
            return
        self._clients.add(writer)
        self._wanted.set()

    async def _tell(self, line: bytes) -> None:
        for client in list(self._clients):
            client.write(line)
        await asyncio.gather(*(self._taken(client) for client in list(self._clients)))

    async def _taken(self, client: asyncio.StreamWriter) -> None:
        """Let go of a client that has left, or that does not read."""
        try:
            await asyncio.wait_for(client.drain(), TAKE_S)
            gone = client.transport.is_closing()
        except OSError:  # TimeoutError is one
            gone = True
        if gone:
            client.transport.abort()
            self._clients.discard(client)
            if not self._clients:
                self._wanted.clear()


async def follow(path: Path) -> AsyncGenerator[Snapshot, None]:
    """The snapshots of a running agent; NobodyError where there is none, another StatusError when it stops."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(path), limit=LONGEST_LINE)
    except PermissionError as error:
        raise StatusError(f"this user may not ask the agent at {path}: run as the agent's user") from error
    except OSError as error:
        raise NobodyError(f"no agent serves its status at {path}: {error.strerror or error}") from error
    try:
        while line := await reader.readline():
            yield json.loads(line)
    except (OSError, ValueError) as error:
        raise StatusError(f"{path}: {error}") from error
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    raise StatusError(f"the agent behind {path} has stopped")
