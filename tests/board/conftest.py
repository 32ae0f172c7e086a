"""MicroPython's unix port and its compiler: the nearest thing to a board that a CI machine has."""

import platform
import shutil
import sys
from pathlib import Path

import pytest


def _tool(name: str) -> str:
    """Beside the running Python (the dependency group `board` puts it there), else on PATH."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        if platform.machine() != "x86_64":
            pytest.skip(f"no {name} for {platform.machine()} on the package index: not shown on this machine")
        pytest.fail(f"no {name}: pip install --group board")
    return found


@pytest.fixture(scope="session")
def micropython() -> str:
    return _tool("micropython")


@pytest.fixture(scope="session")
def mpy_cross() -> str:
    return _tool("mpy-cross")
