"""Serial devices played on a pseudo terminal: what is behind the port sees the rate that was set, and answers or talks."""

import contextlib
import os
import pty
import random
import termios
import threading
import tty
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

SPEEDS = {getattr(termios, f"B{rate}"): rate for rate in (9600, 19200, 38400, 57600, 115200)}


class Device(ABC):
    """A plugged-in device whose port is the symbolic link `path`; leaving the block unplugs it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.master, self._slave = pty.openpty()
        tty.setraw(self.master)
        path.unlink(missing_ok=True)
        path.symlink_to(os.ttyname(self._slave))
        os.close(self._slave)  # so that the port dies with the master
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)

    @property
    def rate(self) -> int:
        """What the other end has set."""
        return SPEEDS.get(termios.tcgetattr(self.master)[4], 0)

    def __enter__(self) -> "Device":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unplug()

    def unplug(self) -> None:
        if not self._gone.is_set():
            self._gone.set()
            self._thread.join()
            self.path.unlink(missing_ok=True)
            os.close(self.master)

    def write(self, data: bytes) -> None:
        with contextlib.suppress(BlockingIOError):  # nobody reads: the bytes are lost, as on a line
            os.write(self.master, data)

    def _play(self) -> None:
        os.set_blocking(self.master, False)
        while not self._gone.wait(0.01):
            self.turn()

    @abstractmethod
    def turn(self) -> None:
        """What the device does, a hundred times a second."""


class TalkingReceiver(Device):
    """Says one burst after the other; at another rate than its own what arrives is rubbish."""

    def __init__(self, path: Path, own_rate: int, bursts: Iterator[bytes]) -> None:
        super().__init__(path)
        self.own_rate = own_rate
        self.bursts = bursts
        self.rates: list[int] = []  # as they were set
        self._random = random.Random(1)

    def turn(self) -> None:
        rate = self.rate
        if not self.rates or self.rates[-1] != rate:
            self.rates.append(rate)
        burst = next(self.bursts, b"")
        self.write(burst if rate == self.own_rate else self._random.randbytes(len(burst) // 3) if burst else b"")


class AnsweringModem(Device):
    """Answers each line ending in CR by `answer`, and echoes it first until told not to."""

    def __init__(self, path: Path, answer: Callable[[str], str]) -> None:
        super().__init__(path)
        self.answer = answer
        self.heard: list[str] = []
        self.echo = True
        self._line = b""

    def turn(self) -> None:
        try:
            self._line += os.read(self.master, 1000)
        except (BlockingIOError, OSError):
            return
        while b"\r" in self._line:
            line, _, self._line = self._line.partition(b"\r")
            command = line.decode()
            self.heard.append(command)
            echoed = command + "\r" if self.echo else ""
            if command == "ATE0":
                self.echo = False
            self.write((echoed + self.answer(command)).encode())
