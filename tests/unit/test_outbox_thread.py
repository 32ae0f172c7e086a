"""The outbox behind its thread."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from outbox_rows import Wall, new_row

from agent.errors import OutboxError
from agent.outbox_thread import OutboxThread


class Now:
    """A monotonic clock that stands where the test puts it."""

    def __init__(self) -> None:
        self.ms = 0

    def __call__(self) -> int:
        return self.ms


@asynccontextmanager
async def opened(path: Path, now: Now | None = None) -> AsyncIterator[OutboxThread]:
    outbox = await OutboxThread.open(path, wall_s=Wall(), now_ms=now or Now(), kernel_boot="boot-a")
    try:
        yield outbox
    finally:
        await outbox.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def states(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as other:
        return [state for (state,) in other.execute("SELECT state FROM rows ORDER BY id")]


def test_an_awaited_append_is_on_the_disk(path: Path) -> None:
    async def main() -> None:
        async with opened(path) as outbox:
            assert await outbox.append([new_row(0), new_row(1)], 2, 0) == [1, 2]
            assert states(path) == ["pending", "pending"]

    asyncio.run(main())


def test_accept_does_not_wait_and_the_next_batch_knows(path: Path) -> None:
    async def main() -> None:
        async with opened(path) as outbox:
            await outbox.append([new_row(second) for second in range(4)], 4, 0)
            outbox.accept([2], "live")
            outbox.refuse([3], flag=2)
            assert [row.id for row in await outbox.batch(10)] == [1, 4]
            assert states(path) == ["pending"] * 4
            await outbox.append([new_row(9)], 5, 4)
            assert states(path) == ["pending", "live", "refused", "pending", "pending"]
            assert await outbox.retry_refused() == 1

    asyncio.run(main())


def test_a_drain_is_committed_without_an_append(path: Path) -> None:
    async def main() -> None:
        now = Now()
        async with opened(path, now) as outbox:
            await outbox.append([new_row(second) for second in range(20)], 20, 0)
            outbox.accept(range(1, 11), "reissued")
            await outbox.batch(1)
            assert "reissued" not in states(path)
            now.ms += 1_000
            await outbox.batch(1)
            await outbox.batch(1)  # what follows a call is done before the next one
            assert states(path) == ["reissued"] * 10 + ["pending"] * 10

    asyncio.run(main())


def test_closing_writes_what_is_buffered_and_frees_the_file(path: Path) -> None:
    async def main() -> None:
        async with opened(path) as outbox:
            await outbox.append([new_row(0)], 1, 0)
            outbox.accept([1], "live")
        assert states(path) == ["live"]
        async with opened(path) as outbox:
            assert await outbox.append([new_row(1)], 1, 0) == [2]
        await outbox.close()
        with pytest.raises(RuntimeError, match="closed"):
            await outbox.batch(1)

    asyncio.run(main())


def test_errors_come_back_where_they_are_awaited(path: Path) -> None:
    async def main() -> None:
        async with opened(path):
            with pytest.raises(OutboxError, match="in use by process"):
                await OutboxThread.open(path, wall_s=Wall(), now_ms=Now())
        async with opened(path) as outbox:
            with pytest.raises(TypeError):
                await outbox.batch("many")  # type: ignore[arg-type]

    asyncio.run(main())


def test_an_error_that_nobody_awaited_is_told_to_the_next_caller(path: Path) -> None:
    async def main() -> None:
        async with opened(path) as outbox:
            await outbox.append([new_row(0)], 1, 0)
            outbox.accept(["no id"], "live")  # type: ignore[list-item]
            with pytest.raises(TypeError):
                await outbox.batch(1)
            assert len(await outbox.batch(1)) == 1

    asyncio.run(main())


def test_a_cancelled_caller_leaves_the_append_done(path: Path) -> None:
    async def main() -> None:
        async with opened(path) as outbox:
            task = asyncio.create_task(outbox.append([new_row(0)], 1, 0))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await outbox.append([new_row(1)], 1, 0) == [2]

    asyncio.run(main())


def test_many_callers_are_served_in_turn(path: Path) -> None:
    async def main() -> None:
        async with opened(path) as outbox:
            ids = await asyncio.gather(*(outbox.append([new_row(second)], 1, 0) for second in range(200)))
            assert [row_id for (row_id,) in ids] == list(range(1, 201))
            assert (await outbox.stats())["total"]["pending"] == 200

    asyncio.run(main())


def test_values_and_counts_pass_through(path: Path) -> None:
    async def main() -> None:
        async with opened(path) as outbox:
            await outbox.meta_set("login", "41:7")
            assert await outbox.meta_get("login") == "41:7"
            outbox.count("overload", 2)
            await outbox.append([new_row(2)], 3, 0)
            assert await outbox.expire() == 0
            assert await outbox.prune() == 0
            assert (await outbox.stats())["total"]["lost"] == {"overload": 2}

    asyncio.run(main())
