"""The live view beside a real agent and with its own ears: what it shows is what is reported, whoever comes and goes."""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from random import Random

import msgspec
import pytest
from watch_parts import VIN, configure

from agent.app import load_for, make_buses
from agent.clock import Clock
from agent.commands import watch
from agent.config import load_config
from agent.status import StatusError, StatusServer, follow, status_path
from agent.status_snapshot import read_snapshot
from agent.watch.rows import worst
from agent.watch.source import Ears, moments
from agent.watch.view import Watcher

TBOX = [sys.executable, "-m", "agent.cli", "--lang", "en"]
PATIENCE_S = 60


@contextlib.contextmanager
def agent(config: Path):
    running = subprocess.Popen([*TBOX, "run", "-c", str(config)], stderr=subprocess.PIPE, text=True)
    try:
        yield running
    finally:
        if running.poll() is None:
            running.send_signal(signal.SIGTERM)
        running.communicate(timeout=PATIENCE_S)


def tbox(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*TBOX, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def ears_of(config: Path):
    loaded = load_config(config)
    mapping, clock = load_for(loaded, str(config)), Clock()
    make = lambda latest: (make_buses(loaded, mapping, latest, clock, Random(1)), None)  # noqa: E731
    return mapping, status_path(loaded.path(loaded.outbox.path)), Ears(mapping, VIN, make, clock)


async def until(found, condition):
    """The first moment that is as wanted; the ones before it go by."""
    async with asyncio.timeout(PATIENCE_S):
        async for moment in found:
            if condition(moment):
                return moment
    raise AssertionError("moments never end")


def reported(config: Path) -> dict[str, dict]:
    """The bodies of the last packet that `tbox replay` makes of the recording."""
    replayed = tbox("replay", str(config.parent / "car.log"), "-c", str(config), "--json")
    return {body["body"]: body for body in json.loads(replayed.stdout.splitlines()[-1])["bodies"]}


def expected(bodies: dict[str, dict], item: str):
    body = bodies[item.partition(".")[0]]
    for key in item.split(".")[1:]:
        name, _, number = key.rstrip("]").partition("[")
        if name not in body:
            (body,) = next(value for value in body.values() if isinstance(value, list))
        body = body[name][int(number) - 1] if number else body[name]
    return body


def assert_as_reported(printed: str, config: Path) -> None:
    bodies = reported(config)
    rows = [json.loads(line) for line in printed.splitlines()]
    assert len(rows) == len(load_for(load_config(config), "").items)
    assert {row["item"]: row["value"] for row in rows} == {row["item"]: expected(bodies, row["item"]) for row in rows}
    assert {row["validity"] for row in rows if row["kind"] == "signal"} == {"valid"}


def test_what_is_shown_of_a_running_agent_is_what_it_reports(tmp_path):
    config = configure(tmp_path, loop=False, lasting=True)
    path = status_path(tmp_path / "tbox.db")

    async def played():
        while True:
            with contextlib.suppress(StatusError):
                async for snapshot in follow(path):
                    if read_snapshot(snapshot).buses[0].problem == "the recording has ended":
                        return snapshot
            await asyncio.sleep(0.05)

    with agent(config):
        snapshot = asyncio.run(asyncio.wait_for(played(), PATIENCE_S))
        shown = tbox("watch", "-c", str(config), "--once", "--json")
        table = tbox("watch", "-c", str(config), "--once")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert_as_reported(shown.stdout, config)
    assert VIN not in json.dumps(snapshot)
    assert VIN[-6:] in table.stdout
    assert VIN not in table.stdout
    assert "the recording has ended" in table.stdout
    assert "outbox: pending" in table.stdout
    assert "link: offline 127.0.0.1:9 since" in table.stdout
    assert "lost 0" in table.stdout


def test_own_ears_hear_the_same(tmp_path):
    config = configure(tmp_path, seconds=2, loop=False, lasting=True)
    mapping, path, ears = ears_of(config)

    async def run():
        coming = moments(path, ears)
        found = await until(coming, lambda moment: moment.snapshot.buses[0].problem == "the recording has ended")
        await coming.aclose()
        return found

    view = Watcher(mapping).see(asyncio.run(run()))
    bodies = reported(config)
    assert {row.item: row.value for row in view.rows} == {row.item: expected(bodies, row.item) for row in view.rows}
    assert (view.own, view.snapshot.outbox, view.snapshot.link) == (True, None, None)


def test_once_without_an_agent_says_whose_ears_it_has_and_leaves_no_outbox(tmp_path):
    config = configure(tmp_path)
    shown = tbox("watch", "-c", str(config), "--once")
    assert shown.returncode == 0
    assert "no agent runs for this outbox: own ears" in shown.stderr
    assert "pt.ESC_Speed.VehicleSpeed" in shown.stdout
    assert VIN not in shown.stdout
    assert list(tmp_path.glob("tbox.db*")) == []


def test_it_goes_over_to_an_agent_that_starts_and_back_when_it_dies(tmp_path):
    config = configure(tmp_path)
    mapping, path, ears = ears_of(config)
    watcher = Watcher(mapping)

    async def run():
        coming = moments(path, ears)
        assert watcher.see(await until(coming, lambda moment: moment.own)).rows
        with agent(config) as running:
            followed = await until(coming, lambda moment: not moment.own and moment.snapshot.link is not None)
            assert watcher.see(followed).snapshot.outbox is not None
            rated = await until(coming, lambda moment: watcher.see(moment).buses[0].frames_s is not None)
            assert 400 < watcher.see(await anext(coming)).buses[0].frames_s < 700, rated
            running.kill()
            back = await until(coming, lambda moment: moment.own)
            assert "stopped" in back.reason
            heard = await until(coming, lambda moment: None not in moment.snapshot.sources)
            assert heard.own
            assert worst([row.validity for row in watcher.see(heard).rows]) != "never seen"
        await coming.aclose()

    asyncio.run(run())


@pytest.mark.parametrize(
    "line",
    [b"\xff\xfe\n", b"7\n", b"{}\n", b'{"format": 9}\n', b'{"format": 1, "now": "x"}\n', b"[1" * 5000 + b"\n", b"{"],
)
def test_garbage_on_the_socket_is_said_and_own_ears_hear(tmp_path, line):
    config = configure(tmp_path, seconds=1)
    mapping, path, ears = ears_of(config)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    with client:
                        client.sendall(line)

        threading.Thread(target=serve, daemon=True).start()

        async def run():
            coming = moments(path, ears)
            found = await until(coming, lambda moment: moment.own and any(moment.snapshot.sources))
            await coming.aclose()
            return found

        found = asyncio.run(run())
        listening.shutdown(socket.SHUT_RDWR)
    assert found.reason
    assert Watcher(mapping).see(found).rows


def test_an_agent_with_another_mapping_is_said_and_its_items_are_not_made_up(tmp_path):
    config = configure(tmp_path, seconds=1)
    _, path, ears = ears_of(config)

    async def run():
        ears.open()
        snapshot = ears.snapshot()
        await ears.close()
        snapshot.plan = "0" * 16

        async def tell():
            return msgspec.to_builtins(snapshot)

        server = asyncio.create_task(StatusServer(path, tell, Clock()).run())
        while not path.exists():
            await asyncio.sleep(0)
        shown = await asyncio.to_thread(tbox, "watch", "-c", str(config), "--once")
        server.cancel()
        return shown

    shown = asyncio.run(run())
    assert shown.returncode == 1
    assert "another mapping" in shown.stderr
    assert "vehicle_state" not in shown.stdout


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/usr/bin/setpriv").exists(), reason="root may read everything")
def test_a_user_who_may_not_ask_the_agent_is_told_whom_to_be(tmp_path):
    config = configure(tmp_path, seconds=1)
    _, path, _ = ears_of(config)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        path.chmod(0)
        other = ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        code = (
            "import asyncio, pathlib, sys, agent.status as s; asyncio.run(anext(s.follow(pathlib.Path(sys.argv[1]))))"
        )
        for folder in (tmp_path, *tmp_path.parents):
            if folder != Path("/") and folder.stat().st_uid == os.geteuid() and not folder.stat().st_mode & 1:
                folder.chmod(folder.stat().st_mode | 0o11)
        asked = subprocess.run(
            [*other, sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=PATIENCE_S
        )
    assert "run as the agent's user" in asked.stderr


def test_a_bus_that_never_opens_ends_it_as_it_ends_the_agent(tmp_path):
    config = configure(tmp_path, seconds=1)
    config.write_text(config.read_text().replace("car.log", "none.log"))
    shown = tbox("watch", "-c", str(config), "--once")
    assert shown.returncode == 2
    assert "none.log: cannot be read" in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "textual", "said"),
    [
        (["--json"], True, "--json goes with --once"),
        ([], False, "pip install 'tbox-agent[watch]'"),
        ([], True, "needs a terminal"),
    ],
)
def test_what_the_live_view_needs_is_said(arguments, textual, said, monkeypatch, capsys):
    parser = argparse.ArgumentParser()
    watch.add_arguments(parser)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: textual or None)
    assert watch.run(parser.parse_args(["-c", "none.toml", *arguments])) == 2
    assert said in capsys.readouterr().err
