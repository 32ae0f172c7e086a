"""TOML that somebody else wrote, and files whose reading must end."""

import os
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from agent.errors import ConfigError

MOST_BYTES = 64 << 20  # the largest public DBC files have 4 MB


def parse_toml(file: str, text: str, parse_float: Callable[[str], Any] = float) -> dict[str, Any]:
    """The document; ConfigError that names `file`, also where the library has no error of its own for what is wrong."""
    try:
        return tomllib.loads(text, parse_float=parse_float)
    except tomllib.TOMLDecodeError as error:
        fault = f"is not TOML: {error}"
    except RecursionError:
        fault = "is not read: arrays or tables lie too deep in each other"
    except ValueError:  # of `int`
        fault = "is not read: a number has thousands of digits"
    raise ConfigError(file, [fault])


def home(name: str) -> Path:
    """A path in which `~` is the home of a user; one that names no such user stays as it is."""
    return Path(os.path.expanduser(name))


def read_regular(path: Path) -> bytes:
    """The contents of a file that somebody wrote by hand or by a tool; OSError as by `open_regular`, or when it is too long."""
    with open_regular(path) as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise OSError(0, f"has more than {MOST_BYTES >> 20} MB", str(path))
    return data


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; OSError when it is none or no regular one: a pipe would wait for ever, a device never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise OSError(0, "is a folder" if stat.S_ISDIR(mode) else "is no regular file", str(path))
    return os.fdopen(descriptor, "rb")
