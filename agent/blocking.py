"""A blocking library gets a thread of its own, which hands over what it returns and what it raises."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from typing import TypeVar

STOP_S = 1.0

T = TypeVar("T")
log = logging.getLogger(__name__)


async def in_thread(name: str, body: Callable[[threading.Event], T]) -> T:
    """Run `body(stopping)` in a thread of that name, and return, or raise, what it does.

    When cancelled, `stopping` is set; the thread gets a second to see it. It is a daemon: a driver that never comes back
    from a call must not keep the process alive.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[tuple[T | None, BaseException | None]] = loop.create_future()
    stopping = threading.Event()

    def run() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = body(stopping)
        except BaseException as caught:  # noqa: BLE001 - handed over: it is raised in the caller
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop is closed already: nobody is left to tell
            loop.call_soon_threadsafe(ended.set_result, (result, error))

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        await asyncio.wait({ended})
    finally:
        if not ended.done():
            stopping.set()
            await asyncio.wait({ended}, timeout=STOP_S)
        if ended.done():
            thread.join()  # it tells its end as its last act
        else:
            log.warning("driver does not let go thread=%s", name)
    result, error = ended.result()
    if error is not None:
        raise error
    return result  # type: ignore[return-value] # None only where that is what `body` returns
