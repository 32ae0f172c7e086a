"""What everything on a serial port or behind a daemon shares: opening, waiting after a failure, saying so once a minute."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, TypeVar

from agent.errors import DeviceError

if TYPE_CHECKING:
    import serial

    from agent.clock import Clock

FIRST_DELAY_S = 1
LAST_DELAY_S = 30
JITTER = 0.2
SAY_AGAIN_MS = 60_000
STOP_S = 1.0

T = TypeVar("T")
log = logging.getLogger(__name__)


def open_serial(device: str, baud: int, timeout_s: float) -> "serial.Serial":
    """Open a serial port for this process alone, 8N1; `timeout_s` is how long a read waits. Raises DeviceError."""
    try:
        import serial
    except ImportError:
        raise DeviceError(device, "needs the package pyserial: pip install 'tbox-agent[serial]'") from None
    try:
        return serial.Serial(device, baud, timeout=timeout_s, write_timeout=timeout_s, exclusive=True)
    except (OSError, ValueError) as error:  # serial.SerialException is an OSError
        raise DeviceError(device, reason_of(error)) from error


def reason_of(error: Exception) -> str:
    """pyserial packs the system's words into longer ones; what matters is which it was."""
    number = getattr(error, "errno", None)
    known = {
        2: "there is no such device (is it plugged in?)",
        11: "another program has it open (gpsd, ModemManager?)",
        13: "no permission; add the user to the group of the device (dialout)",
        16: "another program has it open (gpsd, ModemManager?)",
    }
    text = str(error)
    if number == 21 or "could not configure port" in text.lower():  # it was opened, and has no rate to be set
        return "is no serial port"
    return known.get(number or 0) or text or type(error).__name__


def serial_failures() -> tuple[type[Exception], ...]:
    """What reading, writing and setting an open serial port raise when it was pulled out."""
    import termios

    return (OSError, termios.error, TypeError)  # TypeError: the port was closed meanwhile


async def in_thread(name: str, body: Callable[[Callable[[], bool]], T]) -> T:
    """Run `body(stopped)` in a thread of its own and return, or raise, what it does.

    When cancelled, `stopped()` is True from then on; the thread gets a second to see it. It is a daemon: a driver that never
    comes back from a call must not keep the process alive.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[tuple[T | None, BaseException | None]] = loop.create_future()
    stopping = threading.Event()

    def run() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = body(stopping.is_set)
        except BaseException as caught:  # noqa: BLE001 - handed over: it is raised in the caller
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop is closed already: nobody is left to tell
            loop.call_soon_threadsafe(ended.set_result, (result, error))

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        await asyncio.wait({ended})
    finally:
        if not ended.done():
            stopping.set()
            await asyncio.wait({ended}, timeout=STOP_S)
        if ended.done():
            thread.join()  # it tells its end as its last act
        else:
            log.warning("driver does not let go thread=%s", name)
    result, error = ended.result()
    if error is not None:
        raise error
    return result  # type: ignore[return-value] # None only where that is what `body` returns


class Backoff:
    """The pauses between attempts: 1 s, doubling to 30 s, spread by `rng` so that not all devices are tried at once."""

    def __init__(self, clock: "Clock", rng: Random) -> None:
        self._clock = clock
        self._rng = rng
        self._delay_s = FIRST_DELAY_S

    def reset(self) -> None:
        """It works again."""
        self._delay_s = FIRST_DELAY_S

    async def wait(self) -> None:
        delay_ms = int(self._delay_s * 1000 * self._rng.uniform(1 - JITTER, 1 + JITTER))
        self._delay_s = min(2 * self._delay_s, LAST_DELAY_S)
        await self._clock.sleep_until(self._clock.now() + delay_ms)


class SparingLog:
    """Logs the same text at most once a minute, whatever its values: a loose plug would fill the disk."""

    def __init__(self, target: logging.Logger, clock: "Clock") -> None:
        self._target = target
        self._clock = clock
        self._said_ms: dict[str, int] = {}

    def say(self, level: int, text: str, *values: object) -> None:
        now = self._clock.now()
        if text not in self._said_ms or now - self._said_ms[text] >= SAY_AGAIN_MS:
            self._said_ms[text] = now
            self._target.log(level, text, *values)
