"""A serial CAN adapter with the Lawicel protocol, played on a pseudo terminal: what a program on the other end sees of one.

It counts every command that would put something on the bus. It answers as the protocol says: CR for done, BEL for refused.
"""

import os
import select
import threading
import tty
from collections.abc import Callable
from pathlib import Path

SENDING = tuple("tTrRdDbB")
OPENING = ("O", "L", "l")
SPEEDS = tuple(f"S{digit}" for digit in range(9))
PATIENCE_S = 20


class SlcanAdapter:
    """An adapter on a pty behind the symbolic link `port`; a context manager.

    commands   every line it was given, in order
    sent       those that would have sent on the bus
    mode       "O" open, "L" listening only, None closed
    answers    what replaces its answer to a command, by the command; None is silence
    """

    def __init__(self, port: Path, answers: dict[str, bytes | None] | None = None) -> None:
        self.port = port
        self.commands: list[str] = []
        self.sent: list[str] = []
        self.mode: str | None = None
        self.speed = ""
        self.stamps = False
        self._answers = answers or {}
        self._changed = threading.Condition()
        self._master = -1
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "SlcanAdapter":
        self.plug()
        return self

    def __exit__(self, *exception: object) -> None:
        self.unplug()

    def plug(self) -> None:
        """Appear, closed, behind the link."""
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.mode, self.speed, self.stamps = None, "", False
        fresh = self.port.with_suffix(".new")
        fresh.symlink_to(os.ttyname(self._slave))
        fresh.replace(self.port)
        self._pulled, self._pull = os.pipe()
        self._thread = threading.Thread(target=self._serve, name="slcan-adapter", daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        """Disappear, as a pulled USB plug does: both ends of the port are gone."""
        if self._thread is None:
            return
        os.write(self._pull, b"x")
        self._thread.join()
        self._thread = None
        for end in (self._master, self._slave, self._pulled, self._pull):
            os.close(end)
        self.port.unlink(missing_ok=True)
        with self._changed:
            self.mode = None
            self._changed.notify_all()

    def write(self, data: bytes) -> None:
        """Put bytes on the line as they are; a line that nobody reads holds the writer up, so keep them few."""
        while data:
            data = data[os.write(self._master, data) :]

    def frame(self, can_id: int, data: bytes, *, extended: bool = False, letter: str = "") -> None:
        """A frame seen on the bus."""
        self.write(line(can_id, data, extended=extended, letter=letter))

    def wait_for(self, condition: Callable[["SlcanAdapter"], object], what: str = "the program") -> None:
        with self._changed:
            reached = self._changed.wait_for(lambda: condition(self), PATIENCE_S)
        assert reached, f"{what}: commands so far {self.commands}, mode {self.mode}"

    def wait_open(self) -> None:
        self.wait_for(lambda adapter: adapter.mode, "nobody opened the adapter")

    def _serve(self) -> None:
        rest = b""
        while True:
            ready, _, _ = select.select([self._master, self._pulled], [], [])
            if self._pulled in ready:
                return
            *lines, rest = (rest + os.read(self._master, 4096)).split(b"\r")
            for command in lines:
                text = command.decode("ascii", "replace")
                self._obey(text)

    def _obey(self, command: str) -> None:
        with self._changed:
            self.commands.append(command)
            if command.startswith(SENDING):
                self.sent.append(command)
            answer = self._answers[command] if command in self._answers else self._answer(command)
            if answer is None or not answer.endswith(b"\a"):
                self._become(command)
            if answer:
                self.write(answer)  # before anybody learns that it is open: no frame comes before the answer
            self._changed.notify_all()

    def _answer(self, command: str) -> bytes:
        done = b"\r"
        if command == "V":
            return b"V1013\r"
        if command == "N":
            return b"NA123\r"
        if command == "F":
            return b"F00\r" if self.mode else b"\a"
        if command.startswith(SENDING):
            return (b"z" if command[0] in "trdb" else b"Z") + done if self.mode == "O" else b"\a"
        if command == "":
            return done
        if command == "C":
            return done if self.mode else b"\a"
        known = command in (*OPENING, *SPEEDS, "S9", "Y2", "Y5", "Z0", "Z1") or (
            command[0] == "s" and len(command) == 5
        )
        return done if known and self.mode is None else b"\a"

    def _become(self, command: str) -> None:
        if command in OPENING:
            self.mode = command.upper()
        elif command == "C":
            self.mode = None
        elif command.startswith(("S", "s")):
            self.speed = command
        elif command.startswith("Z"):
            self.stamps = command == "Z1"


def line(can_id: int, data: bytes, *, extended: bool = False, letter: str = "", stamp: str = "") -> bytes:
    """The line of a frame; `letter` t T d D b B, by default t or T."""
    letter = letter or ("T" if extended else "t")
    lengths = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64]
    digits = 8 if letter.isupper() else 3
    return f"{letter}{can_id:0{digits}X}{lengths.index(len(data)):X}{data.hex().upper()}{stamp}\r".encode()
