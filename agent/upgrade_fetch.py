"""One file from an https, http or ftp address to the disk, within limits of size and time. Nothing else is ever opened.

The library blocks, so a thread does it. No proxy, no cookies; credentials are those in the URL; a redirect stays in its scheme.
"""

import asyncio
import contextlib
import hashlib
import os
import threading
import urllib.request
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from agent.clock import Clock

CHUNK = 65_536
QUIET_S = 30.0  # a server that says nothing for so long is given up
HANDLERS = (
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.FTPHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPErrorProcessor,
)


class Limits(msgspec.Struct, frozen=True):
    """`size` in bytes at most; `until`: monotonic ms of the clock by which it has to be there."""

    size: int
    until: int


class Fetched(msgspec.Struct, frozen=True):
    """What has come."""

    size: int
    sha256: str


class _SameScheme(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if urllib.request.Request(newurl).type != req.type:  # noqa: S310 - looked at, not opened
            raise OSError(f"redirect from {req.type} to another scheme refused: {shown(newurl)}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def shown(url: str) -> str:
    """A URL as it may stand in a log: without user and password, and not longer than a line."""
    scheme, _, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    return repr(f"{scheme}://{place.rpartition('@')[2]}{slash}{path}"[:200])


async def fetch(url: str, path: Path, limits: Limits, clock: "Clock") -> Fetched:
    """Write what lies at `url` to the new file `path` (0600); OSError where that fails or a limit is passed."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Fetched] = loop.create_future()
    stop = threading.Event()

    def work() -> None:
        try:
            result: Fetched | OSError = _fetch(url, path, limits, clock, stop)
        except Exception as error:  # noqa: BLE001 - three libraries parse what a stranger sends; each has errors of its own
            result = OSError(f"{shown(url)} cannot be fetched: {error}")
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, done, result)

    # A daemon: a server that keeps the thread waiting must not keep the process from ending.
    threading.Thread(target=work, name="upgrade", daemon=True).start()
    try:
        async with asyncio.timeout(clock.real_s(max(0, limits.until - clock.now()))):
            return await done
    except TimeoutError:
        raise OSError(f"{shown(url)} was not there in time") from None
    finally:
        stop.set()


def _settle(done: "asyncio.Future[Fetched]", result: Fetched | OSError) -> None:
    if done.done():
        return
    if isinstance(result, OSError):
        done.set_exception(result)
    else:
        done.set_result(result)


def _fetch(url: str, path: Path, limits: Limits, clock: "Clock", stop: threading.Event) -> Fetched:
    opener = urllib.request.OpenerDirector()  # with handlers for three schemes only: none for file or data
    for handler in (*HANDLERS, _SameScheme):
        opener.add_handler(handler())
    digest = hashlib.sha256()
    size = 0
    opened = opener.open(url, timeout=min(QUIET_S, max(0.001, clock.real_s(limits.until - clock.now()))))
    if opened is None:
        raise OSError("no such scheme")
    with opened as answer, open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        # read1: what one read of the socket gives. A server that drips may not hold the thread over its time.
        while data := answer.read1(CHUNK):
            size += len(data)
            if size > limits.size:
                raise OSError(f"more than {limits.size} bytes")
            if stop.is_set() or clock.now() > limits.until:
                raise OSError("not there in time")
            digest.update(data)
            file.write(data)
    return Fetched(size, digest.hexdigest())
