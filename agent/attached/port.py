"""Serial ports: opening one, and the words for what goes wrong with it."""

from typing import TYPE_CHECKING

from agent.errors import DeviceError

if TYPE_CHECKING:
    import serial


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
