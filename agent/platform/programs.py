"""Running a program that the configuration names: never by a shell, in a process group of its own, for a bounded time."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Mapping, Sequence

log = logging.getLogger(__name__)

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
MOST_OUTPUT = 2000  # bytes of what it says that go into the log; the rest is read and dropped
CHUNK = 65_536  # what a pipe holds


class _Output:
    """A pipe for what a program says. Of asyncio's own it waits for the end, which a child left behind may hold up for ever."""

    def __init__(self) -> None:
        self.said = bytearray()
        self._end, self.to_write = os.pipe()
        os.set_blocking(self._end, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._end, self._read)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._end, CHUNK)
            self.said += data[: MOST_OUTPUT - len(self.said)]
            if not data:
                self._loop.remove_reader(self._end)

    def close(self) -> str:
        """What was said."""
        self._read()
        self._loop.remove_reader(self._end)
        os.close(self._end)
        return self.said.decode("utf-8", "replace")


async def run(name: str, argv: Sequence[str], given: Mapping[str, str], timeout_s: float) -> int | None:
    """Run `argv` to its end and give its exit status; None when it could not start or was killed after `timeout_s`.

    An argument that is a key of `given` is replaced by the value. It gets no input and hardly any environment. Cancelling
    kills it, and every process of its group.
    """
    filled = [argv[0], *(given.get(argument, argument) for argument in argv[1:])]
    log.warning("security: program started name=%s %r", name, filled)
    output = _Output()
    try:
        try:
            process = await asyncio.create_subprocess_exec(
                *filled,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output.to_write,
                stderr=asyncio.subprocess.STDOUT,
                env=ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        finally:
            os.close(output.to_write)
        status = await _wait(process, timeout_s)
    except (OSError, ValueError) as error:
        log.error("security: program failed name=%s: cannot be started: %s", name, error)
        return None
    finally:
        said = output.close()
    if status == 0:
        log.warning("security: program done name=%s output=%r", name, said)
    else:
        why = f"killed after {timeout_s:g} s" if status is None else f"exit status {status}"
        log.error("security: program failed name=%s: %s output=%r", name, why, said)
    return status


async def _wait(process: asyncio.subprocess.Process, timeout_s: float) -> int | None:
    """Its exit status; None when it had to be killed, with its whole group."""
    try:
        async with asyncio.timeout(timeout_s):
            return await process.wait()
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
