"""The outbox as coroutines: one daemon thread owns it, so that the loop never waits for a disk."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from agent.outbox import Fate, NewRow, Outbox, Row

T = TypeVar("T")

IDLE_S = 0.01  # real time without a job after which the thread tidies up: not while the loop is about to go on
CALLS = 64  # coroutines that may wait for the thread at a time; further ones wait for their turn


class _Job:
    """One call for the thread; `done` is None when nobody waits for the result."""

    __slots__ = ("call", "done", "last")

    def __init__(
        self, call: Callable[[Outbox], Any], done: "asyncio.Future[Any] | None", *, last: bool = False
    ) -> None:
        self.call = call
        self.done = done
        self.last = last


class OutboxThread:
    """An `Outbox` behind its thread; made by `open`, for one event loop.

    Calls are done in the order they were made. An exception of the thread's side is raised where the call is awaited.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, now_ms: Callable[[], int]) -> None:
        self._loop = loop
        self._now_ms = now_ms
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._turns = asyncio.Semaphore(CALLS)
        self._thread: threading.Thread | None = None

    @classmethod
    async def open(
        cls,
        path: Path | str,
        *,
        keep_days: float = 7,
        max_mb: float = 512,
        reissue_days: float = 7,
        wall_s: Callable[[], int],
        now_ms: Callable[[], int],
        kernel_boot: str | None = None,
    ) -> "OutboxThread":
        """Start the thread and open the outbox in it; arguments and errors as `Outbox.open`, `now_ms` is monotonic."""
        self = cls(asyncio.get_running_loop(), now_ms)
        opened: asyncio.Future[None] = self._loop.create_future()

        def run() -> None:
            try:
                outbox = Outbox.open(
                    path,
                    keep_days=keep_days,
                    max_mb=max_mb,
                    reissue_days=reissue_days,
                    wall_s=wall_s,
                    kernel_boot=kernel_boot,
                )
            except BaseException as error:  # noqa: BLE001 - raised where open() is awaited
                self._answer(opened, None, error)
                return
            self._answer(opened, None, None)
            self._serve(outbox)

        self._thread = threading.Thread(target=run, name="outbox", daemon=True)
        self._thread.start()
        await opened
        return self

    async def append(
        self,
        rows: Iterable[NewRow],
        sampled: int,
        not_due: int,
        held: Iterable[NewRow] = (),
        kept: Iterable[NewRow] = (),
    ) -> list[int]:
        """As `Outbox.append`; the rows are on the disk when this returns."""
        lists = list(rows), list(held), list(kept)
        return await self._call(lambda outbox: outbox.append(lists[0], sampled, not_due, lists[1], lists[2]))

    async def batch(self, limit: int, after_id: int = 0, skip: Container[int] = ()) -> list[Row]:
        """As `Outbox.batch`; leave `skip` unchanged until this returns."""
        return await self._call(lambda outbox: outbox.batch(limit, after_id, skip))

    def accept(self, ids: Iterable[int], fate: Fate) -> None:
        """As `Outbox.accept`; does not wait, but every later call sees it.

        What queues up here is bounded by the rows that batch() gave out.
        """
        accepted = list(ids)
        self._jobs.put(_Job(lambda outbox: outbox.accept(accepted, fate), None))

    def refuse(self, ids: Iterable[int], flag: int) -> None:
        """As `Outbox.refuse`; does not wait, but every later call sees it."""
        refused = list(ids)
        self._jobs.put(_Job(lambda outbox: outbox.refuse(refused, flag), None))

    def count(self, reason: str, n: int = 1) -> None:
        """As `Outbox.count`; does not wait."""
        self._jobs.put(_Job(lambda outbox: outbox.count(reason, n), None))

    async def retry_refused(self) -> int:
        """As `Outbox.retry_refused`."""
        return await self._call(Outbox.retry_refused)

    async def expire(self) -> int:
        """As `Outbox.expire`; the thread does it by itself in idle moments."""
        return await self._call(Outbox.expire)

    async def prune(self) -> int:
        """As `Outbox.prune`; the thread does it by itself in idle moments."""
        return await self._call(Outbox.prune)

    async def meta_get(self, key: str) -> str | None:
        """As `Outbox.meta_get`."""
        return await self._call(lambda outbox: outbox.meta_get(key))

    async def meta_set(self, key: str, value: str, *, durable: bool = True) -> bool:
        """As `Outbox.meta_set`."""
        return await self._call(lambda outbox: outbox.meta_set(key, value, durable=durable))

    async def stats(self) -> dict[str, Any]:
        """As `Outbox.stats`."""
        return await self._call(Outbox.stats)

    async def close(self) -> None:
        """Do what is queued, write everything, close the file and end the thread; a second call does nothing."""
        if self._thread is None:
            return
        thread, self._thread = self._thread, None
        done: asyncio.Future[None] = self._loop.create_future()
        self._jobs.put(_Job(Outbox.close, done, last=True))
        try:
            await done
        finally:
            thread.join()  # it has nothing left to do

    async def _call(self, call: Callable[[Outbox], T]) -> T:
        async with self._turns:
            if self._thread is None:
                raise RuntimeError("the outbox is closed")
            done: asyncio.Future[T] = self._loop.create_future()
            self._jobs.put(_Job(call, done))
            return await done

    def _answer(self, done: "asyncio.Future[Any]", result: object, error: BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(_settle, done, result, error)

    def _serve(self, outbox: Outbox) -> None:
        """Do jobs until the last one; between them what `maintain` and `tick` find, else sleep without a timeout."""
        failure: Exception | None = None  # of something nobody awaited; the next one who waits is told
        deadline: int | None = None
        idle_s: float | None = 0.0  # how long no job must have come before `maintain` is called; None: nothing to do
        while True:
            job = self._next_job(deadline, idle_s)
            error: Exception | None = None
            result = None
            try:
                if job is None:
                    idle_s = 0.0 if idle_s is not None and outbox.maintain() else None
                elif failure is None or job.done is None or job.last:
                    idle_s = IDLE_S
                    result = job.call(outbox)
            except Exception as caught:  # noqa: BLE001 - handed to whoever awaits
                error, idle_s = caught, None
            if job is not None and job.done is not None:
                self._answer(job.done, result, failure or error)
                failure = error = None
                if job.last:
                    return
            try:
                deadline = outbox.tick(self._now_ms())
                if outbox.overdue:
                    outbox.maintain()
            except Exception as caught:  # noqa: BLE001 - handed to whoever awaits next
                error, deadline = caught, None
            failure = failure or error

    def _next_job(self, deadline: int | None, idle_s: float | None) -> _Job | None:
        """Wait for a job until `deadline` or for `idle_s`, whichever is first; None if there is none."""
        timeout_s = idle_s
        if deadline is not None:
            until_deadline_s = max(0, deadline - self._now_ms()) / 1_000
            timeout_s = until_deadline_s if idle_s is None else min(idle_s, until_deadline_s)
        try:
            return self._jobs.get(timeout=timeout_s)
        except Empty:
            return None


def _settle(done: "asyncio.Future[Any]", result: object, error: BaseException | None) -> None:
    if done.done():  # who waited was cancelled; the call itself was done
        return
    if error is None:
        done.set_result(result)
    else:
        done.set_exception(error)
