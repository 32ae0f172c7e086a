"""Tests that need a kernel with CAN: `./task vm` and `./task controllers` run them in one.

Elsewhere they are skipped with the reason; with TBOX_VM=required they fail, so that a pipeline cannot skip them unseen.
"""

import os
import socket
import subprocess
from itertools import count
from pathlib import Path

import pytest

HERE = Path(__file__).parent
INTERFACES = Path("/sys/class/net")
_numbers = count()


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents and "controllers" not in item.keywords:
            item.add_marker("vm")


def ip(*arguments):
    """Run iproute2; its output, or an error with what it said."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr.strip()}"
    return done.stdout


def _lacks_can():
    try:
        socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW).close()
    except OSError as error:
        return f"this kernel has no CAN ({error.strerror}): ./task vm"
    return None


def _lacks_vcan():
    try:
        ip("link", "add", "tboxtrial", "type", "vcan")
    except (AssertionError, OSError) as error:
        return f"no vcan can be made here ({error}): ./task vm"
    ip("link", "del", "tboxtrial")
    return None


def _lacks_controllers():
    missing = [name for name in ("can0", "can1") if not (INTERFACES / name).exists()]
    return f"no CAN controller {missing[0]}: ./task controllers" if missing else None


@pytest.fixture(scope="session")
def _lacking():
    without_can = _lacks_can()
    return {"vm": without_can or _lacks_vcan(), "controllers": without_can or _lacks_controllers()}


@pytest.fixture(autouse=True)
def can_kernel(request, _lacking):
    """Every test here asks for its kernel."""
    reason = _lacking["controllers" if request.node.get_closest_marker("controllers") else "vm"]
    if reason:
        (pytest.fail if os.environ.get("TBOX_VM") == "required" else pytest.skip)(reason)


@pytest.fixture
def vcan_bus(can_kernel):
    """A virtual bus of the test's own that takes CAN FD frames: its name. It is gone afterwards."""
    name = f"vtest{next(_numbers)}"
    ip("link", "add", name, "mtu", "72", "type", "vcan")
    ip("link", "set", name, "up")
    yield name
    if (INTERFACES / name).exists():
        ip("link", "del", name)
