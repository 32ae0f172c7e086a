"""The live status: what is asked for comes, nobody is served who may not be, nothing is worked out for nobody."""

import asyncio
import contextlib
import stat

import pytest

from agent.clock import Clock
from agent.status import LONGEST_PATH, MOST_CLIENTS, StatusError, StatusServer, follow, status_path

FAST = 100


class Asked:
    """A snapshot that counts how often it was worked out."""

    def __init__(self):
        self.times = 0

    async def __call__(self):
        self.times += 1
        return {"time": self.times}


@contextlib.asynccontextmanager
async def served(path, snapshot):
    task = asyncio.create_task(StatusServer(path, snapshot, Clock(FAST)).run())
    while not path.exists():
        await asyncio.sleep(0)
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def first(path, count):
    found = []
    async for snapshot in follow(path):
        found.append(snapshot["time"])
        if len(found) == count:
            break
    return found


def test_a_client_gets_one_snapshot_after_the_other(tmp_path):
    async def run():
        path = status_path(tmp_path / "tbox.db")
        async with served(path, Asked()):
            assert await first(path, 3) == [1, 2, 3]

    asyncio.run(run())


def test_nothing_is_worked_out_before_somebody_asks_and_after_the_last_has_left(tmp_path):
    async def run():
        asked, path = Asked(), tmp_path / "s"
        async with served(path, asked):
            await asyncio.sleep(0.05)  # five periods of the fast clock
            assert asked.times == 0
            await first(path, 1)
            async with asyncio.timeout(5):
                before = -1
                while asked.times != before:  # it notices when it next writes
                    before = asked.times
                    await asyncio.sleep(0.05)

    asyncio.run(run())


def test_only_the_agents_user_may_connect_and_the_socket_goes_with_it(tmp_path):
    async def run():
        path = tmp_path / "s"
        async with served(path, Asked()):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert not path.exists()

    asyncio.run(run())


def test_a_socket_left_by_a_killed_agent_is_taken_over(tmp_path):
    import socket

    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async def run():
        server = asyncio.create_task(StatusServer(path, Asked(), Clock(FAST)).run())
        async with asyncio.timeout(5):
            while True:
                with contextlib.suppress(StatusError):
                    assert await first(path, 1) == [1]
                    break
                await asyncio.sleep(0)
        server.cancel()

    asyncio.run(run())


def test_where_no_agent_runs_it_is_said(tmp_path):
    async def run():
        with pytest.raises(StatusError, match=r"no agent serves its status at .*nobody"):
            await first(tmp_path / "nobody", 1)

    asyncio.run(run())


def test_an_agent_that_stops_is_said(tmp_path):
    async def run():
        path = tmp_path / "s"
        async with served(path, Asked()) as task:
            snapshots = follow(path)
            await anext(snapshots)
            task.cancel()
            with pytest.raises(StatusError, match="has stopped"):
                [_ async for _ in snapshots]

    asyncio.run(run())


def test_one_client_too_many_is_turned_away_and_the_others_are_served(tmp_path):
    async def run():
        path = tmp_path / "s"
        async with served(path, Asked()):
            clients = [follow(path) for _ in range(MOST_CLIENTS)]
            for client in clients:
                await anext(client)
            with pytest.raises(StatusError):
                await anext(follow(path))
            for client in clients:
                assert (await anext(client))["time"] > 1
                await client.aclose()

    asyncio.run(run())


def test_a_path_that_is_too_long_costs_the_status_and_nothing_else(tmp_path, caplog):
    path = tmp_path / ("x" * LONGEST_PATH)
    asyncio.run(StatusServer(path, Asked(), Clock()).run())
    assert "no live status" in caplog.text
    assert "at most 107 bytes" in caplog.text
