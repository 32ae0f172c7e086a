"""ASAM MDF 4 recordings (MF4) of bus traffic, read by asammdf in a process of its own (`agent/canlog/mf4_child.py`).

asammdf's C part trusts what stands in a file: on changed bytes it may end its process, never return or ask for all memory
there is. In a child that costs nothing but the recording.
"""

import atexit
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Container, Generator, Iterator
from pathlib import Path
from typing import IO, BinaryIO, cast

from agent.canlog import mf4_child
from agent.canlog.mf4_child import DONE, FAIL, HARM, HEAD, MOST_BYTES, OPEN, RECORD, ROWS, SHARE
from agent.canlog.parser import ERROR, MAX_EXTENDED_ID, REMOTE, Frame, LogCounts, Parser
from agent.errors import ConfigError

FINISHED, UNFINISHED = b"MDF     4", b"UnFinMF 4"
HEADER, HEADER_MAGIC = 64, b"##HD"  # the second block of a file
HEAD_SIZE = 168  # bytes of the first two
MEMORY = 1 << 30  # bytes of addresses beside the file's own, 0.2 of them for asammdf itself
STALL_S = 60.0  # for opening the recording and for each block of frames
KINDS = {mf4_child.REMOTE: REMOTE, mf4_child.ERROR: ERROR}
BAD = -9  # in place of a can_id: a number that is none
EXTRA = "an MF4 recording; reading it takes asammdf: pip install 'tbox-agent[mf4]'"


class Mf4(Parser):
    """Channels as the file numbers its buses; stamps have the recorder's resolution, rounded to 1 us.

    An unfinished file (power lost while recording) is read as far as whole records go, and held in memory. asammdf itself
    rather than python-can's MF4Reader: that asks for each value by itself, and takes 26 us a frame against 5.
    """

    name = "MF4"

    def __init__(self, path: str, counts: LogCounts, wanted: Container[int] | None) -> None:
        super().__init__(path, counts, wanted)
        self._ids: dict[tuple[int, int], int] = {}

    @classmethod
    def recognises(cls, head: bytes) -> bool:
        return head.startswith((FINISHED, UNFINISHED))

    def blocks(self, file: BinaryIO) -> Generator[list[Frame], None, None]:
        head = file.read(HEAD_SIZE)
        if len(head) < HEAD_SIZE or head[HEADER : HEADER + len(HEADER_MAGIC)] != HEADER_MAGIC:
            raise ConfigError(self.path, ["an MF4 recording that was cut before its first frame"])
        if importlib.util.find_spec("asammdf") is None:
            raise ConfigError(self.path, [EXTRA])
        child = _free_child()
        self.share = 0.0
        begun = fit = False  # fit to read another recording: nothing was wrong with this one
        try:
            child.open(self.path, self._memory())
            fit = True
            for kind, content in child.rest():
                if kind == HARM:
                    fit = False
                    self.damage(*json.loads(content))
                    self.counts.truncated = True
                    continue
                (self.share,) = SHARE.unpack_from(content)
                yield self.in_order(self._rows(content))
                begun = True
        except _FailedError as error:
            fit = False
            if not begun:
                raise ConfigError(self.path, [f"MF4 cannot be read: {error}"]) from error
            self.damage("recording", error)
            self.counts.truncated = True
        finally:
            if fit and not _idle:
                _idle.append(child)
            else:
                child.end()
        self.share = 1.0

    def _memory(self) -> int:
        """A packed or unfinished recording is held in memory."""
        return MEMORY + 2 * Path(self.path).stat().st_size

    def _rows(self, content: bytes) -> Iterator[Frame]:
        ids = self._ids
        for stamp, number, length, bus, extended, kind, data in RECORD.iter_unpack(memoryview(content)[SHARE.size :]):
            if kind in KINDS:
                yield stamp, "", KINDS[kind], b""
                continue
            can_id = ids.get((number, extended))
            if can_id is None:
                can_id = ids[number, extended] = self._known(number, bool(extended))
            if kind or can_id == BAD:
                self.damage("record", f"identifier {number:X}, {length} bytes")
            else:
                yield stamp, "" if bus < 0 else str(bus), can_id, data[:length]

    def _known(self, number: int, extended: bool) -> int:
        try:
            return self.known_id(number & MAX_EXTENDED_ID, extended)
        except ValueError:
            return BAD


class _FailedError(Exception):
    """The recording cannot be read: by what the child says, or by how it ended."""


class _Child:
    """A reader at work, or waiting for the next recording. It ends with us, however we end: its input does."""

    def __init__(self) -> None:
        # The package that this module is of, whatever the folder we are in holds.
        folders = [str(Path(mf4_child.__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", mf4_child.__name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        )
        self._requests = cast("IO[bytes]", self._process.stdin)
        self._answers = cast("IO[bytes]", self._process.stdout)
        self._owed = 0  # answers that have not been read

    def leave(self) -> None:
        """Read on no further in the recording that was being read."""
        while self._owed:
            self._answer()

    def open(self, path: str, memory: int) -> None:
        self._ask({"path": str(Path(path).absolute()), "memory": memory, "stall_s": STALL_S})
        self._answer()

    def rest(self) -> Iterator[tuple[bytes, bytes]]:
        """The answers ROWS and HARM to the end of the recording, one being prepared while another is used."""
        self._ask(None)
        while True:
            self._ask(None)
            kind, content = self._answer()
            if kind == DONE:
                return
            yield kind, content

    def end(self) -> None:
        self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._requests.close()
        self._answers.close()
        self._process.wait()

    def _ask(self, request: dict[str, str | float] | None) -> None:
        with contextlib.suppress(BrokenPipeError):  # one that has ended does not answer: that tells why
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
        self._owed += 1

    def _answer(self) -> tuple[bytes, bytes]:
        head = self._answers.read(HEAD.size)
        kind, size = HEAD.unpack(head) if len(head) == HEAD.size else (b"", 0)
        content = self._answers.read(size) if size <= MOST_BYTES else b""
        self._owed -= 1
        if kind == FAIL:
            raise _FailedError(content.decode(errors="replace"))
        if kind not in (OPEN, ROWS, HARM, DONE) or len(content) < size:
            raise _FailedError(self._ending())
        return kind, content

    def _ending(self) -> str:
        self._answers.close()  # else one that still writes would wait for us
        status = -self._process.wait()
        if status == signal.SIGALRM:
            return f"asammdf takes longer than {STALL_S:g} s over one part of it"
        return f"asammdf broke down over it ({signal.Signals(status).name if status > 0 else f'exit status {-status}'})"


_idle: list[_Child] = []  # at most one: asammdf takes a second to start


def _free_child() -> _Child:
    while _idle:
        child = _idle.pop()
        try:
            child.leave()
        except _FailedError:  # over what nobody asked for
            child.end()
        else:
            return child
    return _Child()


@atexit.register
def _end_idle() -> None:
    while _idle:
        _idle.pop().end()
