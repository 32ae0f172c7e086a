"""The agent and the platform as processes, as people run them: `tbox run` beside `tbox-bench platform`."""

import contextlib
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, TypeVar

from agent.core.packet import Packet
from agent.packetjson import packet_to_json

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_S = 60.0
TBOX = (sys.executable, "-m", "agent.cli")
BENCH = (sys.executable, "-m", "bench.cli")
Found = TypeVar("Found")


def wait_for(condition: Callable[[], Found], what: str, patience_s: float = PATIENCE_S) -> Found:
    """What the condition gives, as soon as that is something."""
    end = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {patience_s:g} s: {what}"
        time.sleep(0.05)
    return found


def canplayer(log: Path, channel: str) -> list[str]:
    """The command that plays a recording of one bus at its own speed, over and over."""
    with log.open() as lines:
        recorded = next(lines).split()[1]
    return ["canplayer", "-l", "i", "-I", str(log), f"{channel}={recorded}"]


class Terminal:
    """A terminal and its platform; a context manager, at whose end both must have ended well when told to.

    `config` is the configuration with {port} where the platform's port goes; `files` are written beside it.
    `patience_s`: for each thing that is waited for. `through`: a command that runs the agent, such as setpriv with its options.
    """

    def __init__(
        self,
        folder: Path,
        config: str,
        files: dict[str, str] | None = None,
        patience_s: float = PATIENCE_S,
        through: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.config = folder / "tbox.toml"
        self.patience_s = patience_s
        self._through = through
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self._port = free.getsockname()[1]
        for name, text in (files or {}).items():
            (folder / name).write_text(text)
        self.config.write_text(config.replace("{port}", str(self._port)))
        self._database = folder / "platform.db"
        self._log = folder / "agent.log"
        self._stack = ExitStack()

    def __enter__(self) -> "Terminal":
        with ExitStack() as stack:
            platform = [*BENCH, "platform", "--port", str(self._port), "--db", str(self._database)]
            self._start(stack, platform, self.folder / "platform.log", ends_well=True)
            agent = [*self._through, *TBOX, "run", "-c", str(self.config)]
            self.agent = self._start(stack, agent, self._log, ends_well=True)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def beside(self, command: Sequence[str]) -> "subprocess.Popen[bytes]":
        """Another process for as long as this lives; it may be killed before."""
        return self._start(self._stack, command, self.folder / "beside.log", ends_well=False)

    def text(self) -> str:
        """What the agent has logged."""
        return self._log.read_text()

    def packets(self, command: str = "realtime") -> list[dict[str, Any]]:
        """Those packets at the platform, in the order in which they came, as `tbox decode` prints them."""
        if not self._database.exists():
            return []
        with contextlib.suppress(sqlite3.OperationalError), closing(sqlite3.connect(self._database)) as received:
            query = "SELECT raw FROM packets WHERE command = ? ORDER BY id"
            return [packet_to_json(Packet(raw)) for (raw,) in received.execute(query, (command,))]
        return []  # being made

    def reports(self) -> list[dict[str, Any]]:
        """The bodies of each report, by name."""
        return [{body["body"]: body for body in packet["bodies"]} for packet in self.packets()]

    def wait_for(self, condition: Callable[[], Found], what: str) -> Found:
        """As `wait_for`; the agent must go on running."""

        def met() -> Found:
            assert self.agent.poll() is None, f"the agent ended: {self.text()}"
            return condition()

        try:
            return wait_for(met, what, self.patience_s)
        except AssertionError as error:
            last = self.reports()[-1:]
            raise AssertionError(f"{error}\nthe last report: {last}\nthe agent says:\n{self.text()}") from None

    def wait_for_report(self, wanted: Callable[[dict[str, Any]], object], what: str) -> dict[str, Any]:
        """The first report from now on that is as wanted."""
        known = len(self.packets())
        return self.wait_for(lambda: next(filter(wanted, self.reports()[known:]), None), what)  # type: ignore[return-value]

    def _start(
        self, stack: ExitStack, command: Sequence[str], log: Path, *, ends_well: bool
    ) -> "subprocess.Popen[bytes]":
        with log.open("ab") as said:
            process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)

        def end() -> None:
            if not ends_well:
                process.kill()
                process.wait()
                return
            try:
                process.send_signal(signal.SIGTERM)
                status = process.wait(self.patience_s)
            finally:
                process.kill()
                process.wait()
            assert status == 0, f"{' '.join(command)} ended with {status}: {log.read_text()[-2000:]}"

        stack.callback(end)
        return process
