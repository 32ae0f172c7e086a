"""Fixtures that several test folders share."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, settings

ROOT = Path(__file__).resolve().parent.parent

# The machines that run this are shared and slow in turns: a property fails by what it finds, not by how long it took.
settings.register_profile("tbox", deadline=None)
settings.load_profile("tbox")
# Nothing drawn, only what is written down with @example: for what must not come out another way next time.
settings.register_profile("written", settings.get_profile("tbox"), phases=[Phase.explicit])


@pytest.fixture(autouse=True)
def no_log_is_left_to_a_closed_stream() -> Iterator[None]:
    """A command that was run within a test sends the log to that test's stderr, which is closed after it."""
    log = logging.getLogger()
    before, level = list(log.handlers), log.level
    yield
    for handler in list(log.handlers):
        if handler not in before and type(handler) is logging.StreamHandler:
            log.removeHandler(handler)
    log.setLevel(level)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


def _folder(variable: str, default: str, holds: str) -> Path:
    named = os.environ.get(variable, default)
    if named == "none":
        pytest.skip(f"{variable}=none: no {holds}")
    folder = ROOT / named
    if not folder.is_dir():
        pytest.fail(f"no folder {folder}: set {variable} to the {holds}, or to 'none' to go without")
    return folder


@pytest.fixture(scope="session")
def tbox_data() -> Path:
    """The folder of third-party recordings and DBC files: $TBOX_DATA, else ../shared/data; "none" skips the test."""
    return _folder("TBOX_DATA", "../shared/data", "recordings")


@pytest.fixture(scope="session")
def tbox_spec() -> Path:
    """The folder of the printed reference: $TBOX_SPEC, else ../shared/spec; "none" skips the test."""
    return _folder("TBOX_SPEC", "../shared/spec", "printed reference")
