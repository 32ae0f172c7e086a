"""One file from an https, http or ftp address to the disk, within limits of size and time. Nothing else is ever opened.

The library blocks, so a thread does it. No proxy, no cookies; credentials are those in the URL; a redirect stays in its scheme.
"""

import asyncio
import base64
import contextlib
import hashlib
import http.client
import io
import os
import ssl
import threading
import urllib.request
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes, urlsplit, urlunsplit

import msgspec

if TYPE_CHECKING:
    from agent.clock import Clock

CHUNK = 65_536
QUIET_S = 30.0  # a server that says nothing for so long is given up
HANDLERS = (
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


class _Watched(io.RawIOBase):
    """What comes from a server until `stop` is set: the library may read heads of answers for ever and never come back."""

    def __init__(self, raw: io.RawIOBase, stop: threading.Event) -> None:
        super().__init__()
        self._raw = raw
        self._stop = stop

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        if self._stop.is_set():
            raise OSError("not there in time")
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Http(urllib.request.HTTPHandler):
    """http and https whose answers end when `stop` is set."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__()
        self._stop = stop

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._connection, req)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._secure_connection, req)

    def _connection(self, host: str, **options: Any) -> http.client.HTTPConnection:
        return self._watched(http.client.HTTPConnection(host, **options))

    def _secure_connection(self, host: str, **options: Any) -> http.client.HTTPConnection:
        context = ssl.create_default_context()
        return self._watched(http.client.HTTPSConnection(host, context=context, **options))

    def _watched(self, connection: http.client.HTTPConnection) -> http.client.HTTPConnection:
        def answer(*arguments: Any, **options: Any) -> http.client.HTTPResponse:
            response = http.client.HTTPResponse(*arguments, **options)
            response.fp = io.BufferedReader(_Watched(response.fp.detach(), self._stop))  # nothing has been read yet
            return response

        connection.response_class = answer  # type: ignore[assignment]
        return connection


class _SameScheme(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if urllib.request.Request(newurl).type != req.type:  # noqa: S310 - looked at, not opened
            raise OSError(f"redirect from {req.type} to another scheme refused: {shown(newurl)}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def shown(url: str) -> str:
    """A URL as it may stand in a log: without user and password, without its query (a token), not longer than a line."""
    scheme, _, rest = url.partition("://")
    rest, query, _ = rest.partition("?")
    place, slash, path = rest.partition("/")
    return repr(f"{scheme}://{place.rpartition('@')[2]}{slash}{path}"[:200] + ("?..." if query else ""))


def request_of(url: str) -> urllib.request.Request:
    """The request for a URL: its user and password go into a header, which no redirect takes along. ValueError.

    The library knows them in ftp only: in http it would ask the resolver for them, and name them in its errors.
    """
    parts = urlsplit(url)
    user, at, place = parts.netloc.rpartition("@")
    if not at or parts.scheme.lower() not in ("http", "https"):
        return urllib.request.Request(url)  # noqa: S310 - the opener knows three schemes
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=place)))  # noqa: S310 - as above
    name, _, password = user.partition(":")
    secret = unquote_to_bytes(name) + b":" + unquote_to_bytes(password)
    request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(secret).decode())
    return request


def _told(error: Exception) -> str:
    """What went wrong, in one short line: much of it is text of the server's."""
    return "".join(letter if letter.isprintable() else " " for letter in str(error))[:200]


async def fetch(url: str, path: Path, limits: Limits, clock: "Clock") -> Fetched:
    """Write what lies at `url` to the new file `path` (0600); OSError where that fails or a limit is passed."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Fetched] = loop.create_future()
    stop = threading.Event()

    def work() -> None:
        try:
            result: Fetched | OSError = _fetch(url, path, limits, clock, stop)
        except Exception as error:  # noqa: BLE001 - three libraries parse what a stranger sends; each has errors of its own
            result = OSError(f"{shown(url)} cannot be fetched: {_told(error)}")
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
    opener.add_handler(_Http(stop))
    for handler in (*HANDLERS, _SameScheme):
        opener.add_handler(handler())
    digest = hashlib.sha256()
    size = 0
    opened = opener.open(request_of(url), timeout=min(QUIET_S, max(0.001, clock.real_s(limits.until - clock.now()))))
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
