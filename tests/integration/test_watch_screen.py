"""The live view on a screen: Textual's own pilot presses the keys, and once a real terminal does."""

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from random import Random

import pytest
from textual.widgets import DataTable, Input
from watch_parts import VIN, configure

from agent.app import load_for, make_buses
from agent.clock import Clock
from agent.config import load_config
from agent.status import status_path
from agent.watch.screen import WatchApp
from agent.watch.source import Ears
from agent.watch.view import Watcher

PATIENCE_S = 60


def app_of(folder, *, lang="en", loop=True, seconds=2, bus=""):
    path = configure(folder, loop=loop, seconds=seconds)
    if bus:
        path.write_text(re.sub(r'interface = "log".*?\[platform]', f"{bus}\n[platform]", path.read_text(), flags=re.S))
    config = load_config(path)
    mapping, clock = load_for(config, "tbox.toml"), Clock()
    ears = Ears(mapping, VIN, lambda latest: (make_buses(config, mapping, latest, clock, Random(1)), None), clock)
    return WatchApp(Watcher(mapping), status_path(config.path(config.outbox.path)), ears, lang)


def lines_of(app):
    return [strip.text.rstrip() for strip in app.screen._compositor.render_strips()]


async def see(app, pilot, text, there=True):
    """Wait until the screen shows `text`, or does not any more; what it shows then."""
    async with asyncio.timeout(PATIENCE_S):
        while (text in "\n".join(lines := lines_of(app))) != there:
            await pilot.pause(0.05)
    return lines


def on_screen(folder, act, size=(80, 24), **words):
    async def run():
        app = app_of(folder, **words)
        async with app.run_test(size=size) as pilot:
            await see(app, pilot, "vehicle_state")
            await act(app, pilot)
        return app.return_value

    return asyncio.run(run())


def test_80_by_24_has_items_buses_and_keys_and_no_vin(tmp_path):
    async def act(app, pilot):
        lines = await see(app, pilot, "started  valid")
        text = "\n".join(lines)
        assert len(lines) == 24
        assert VIN[-6:] in lines[0]
        assert VIN not in text
        assert "own ears" in text
        assert "pt log car.log" in text
        assert lines[-1].startswith("q quit")
        await pilot.press("q")

    assert on_screen(tmp_path, act) == 0


def test_a_bus_that_is_away_leaves_the_items_their_room_and_is_told_once(tmp_path):
    port = f"{tmp_path}/ttyNONE"

    async def act(app, pilot):
        lines = await see(app, pilot, "away for")
        said = next(place for place, line in enumerate(lines) if line.startswith("pt: away for"))
        above, below = lines[:said], "".join(lines[said:])
        assert port in below.replace("\n", "")
        assert "CAN bus away" not in "\n".join(lines)
        assert sum("bus away" in line for line in above) >= 6
        assert len(lines) == 24

    on_screen(tmp_path, act, bus=f'interface = "slcan"\nchannel = "{port}"')


def test_a_big_screen_shows_every_column_and_follows_a_resize(tmp_path):
    async def act(app, pilot):
        lines = await see(app, pilot, "pt.VCU_Drive.DriveState")
        assert len(lines) == 60
        await pilot.resize_terminal(80, 24)
        assert "pt.VCU_Drive.DriveState" not in "\n".join(await see(app, pilot, "pt.VCU_Drive", there=False))
        await pilot.resize_terminal(200, 60)
        await see(app, pilot, "pt.VCU_Drive.DriveState")

    on_screen(tmp_path, act, size=(200, 60))


def test_the_filter_leaves_what_is_not_valid(tmp_path):
    async def act(app, pilot):
        await see(app, pilot, "started  valid")
        await pilot.press("f")
        lines = await see(app, pilot, "vehicle_state", there=False)
        assert "invalid only" in lines[0]
        await pilot.press("f")
        await see(app, pilot, "vehicle_state")

    on_screen(tmp_path, act)


def test_the_search_finds_items_and_signals_and_escape_ends_it(tmp_path):
    async def act(app, pilot):
        await pilot.press("slash", *"packvolt")
        lines = await see(app, pilot, "vehicle_state", there=False)
        assert any("total_voltage" in line for line in lines)
        await pilot.press("escape")
        await see(app, pilot, "vehicle_state")
        assert app.query_one("#search", Input).value == ""

    on_screen(tmp_path, act)


def test_a_list_opens_and_closes(tmp_path):
    async def act(app, pilot):
        table = app.query_one(DataTable)
        await pilot.press("slash", *"unit_voltages.cells", "enter")
        await see(app, pilot, "vehicle_state", there=False)
        await pilot.press("down", "enter")
        await see(app, pilot, "cells[1]")
        assert table.row_count == 2 + 96
        await pilot.press("enter")
        await see(app, pilot, "cells[1]", there=False)

    on_screen(tmp_path, act)


def test_a_pause_stops_the_numbers_and_the_language_changes(tmp_path):
    async def act(app, pilot):
        await pilot.press("p")
        before = await see(app, pilot, "PAUSED")
        async with asyncio.timeout(PATIENCE_S):
            seen, watcher = 0, app._watcher
            see_before = watcher.see

            def counted(moment):
                nonlocal seen
                seen += 1
                return see_before(moment)

            watcher.see = counted
            while seen < 2:
                await pilot.pause(0.05)
        assert lines_of(app) == before
        await pilot.press("l")
        assert "车辆状态 vehicle_state" in "\n".join(await see(app, pilot, "车辆状态"))
        await pilot.press("p")
        await see(app, pilot, "PAUSED", there=False)

    on_screen(tmp_path, act)


def test_what_goes_stale_says_so_without_colour_too(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")

    async def act(app, pilot):
        await see(app, pilot, "stale")
        await see(app, pilot, "the recording has ended")

    on_screen(tmp_path, act, loop=False, seconds=1, size=(120, 40))


def test_a_configuration_fault_ends_the_view(tmp_path):
    async def run():
        app = app_of(tmp_path)
        (tmp_path / "car.log").unlink()
        async with app.run_test() as pilot:
            async with asyncio.timeout(PATIENCE_S):
                while app._fault is None:
                    await pilot.pause(0.05)
        return app

    app = asyncio.run(run())
    assert "cannot be read" in str(app._fault)
    assert app.return_value == 2


class Terminal:
    """A pty of a size; keeps everything that was written to it."""

    def __init__(self, command, environment, rows, columns):
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.child = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        os.close(slave)
        self.seen = b""

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def expect(self, text):
        """Wait until `text` comes; what came before it is done with."""
        end = time.monotonic() + PATIENCE_S
        while text not in self.seen:
            assert select.select([self.master], [], [], max(0.0, end - time.monotonic()))[0], self.seen[-3000:]
            try:
                self.seen += os.read(self.master, 65536)
            except OSError:
                raise AssertionError(f"ended before {text!r}: {self.seen[-3000:]!r}") from None
        self.seen = self.seen.partition(text)[2]

    def close(self):
        self.child.kill()
        self.child.wait()
        with contextlib.suppress(OSError):
            os.close(self.master)


@pytest.mark.parametrize("no_colour", [False, True])
def test_a_real_terminal_is_given_back_as_it_was(tmp_path, no_colour):
    config = configure(tmp_path)
    environment = {**os.environ, "TERM": "xterm-256color", **({"NO_COLOR": "1"} if no_colour else {})}
    for name in ("COLUMNS", "LINES"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "agent.cli", "--lang", "en", "watch", "-c", str(config)]
    terminal = Terminal(command, environment, 24, 80)
    try:
        terminal.expect(b"vehicle_state")
        terminal.expect(b"own ears")
        terminal.resize(50, 160)
        os.kill(terminal.child.pid, signal.SIGWINCH)
        terminal.expect(b"pt.VCU_Drive.Drive")
        os.write(terminal.master, b"f")
        terminal.expect(b"[invalid only]")
        os.write(terminal.master, b"q")
        terminal.expect(b"\x1b[?1049l")  # the screen of before
        assert terminal.child.wait(timeout=PATIENCE_S) == 0
    finally:
        terminal.close()
