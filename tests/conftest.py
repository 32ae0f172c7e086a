"""Fixtures that several test folders share."""

import os
from pathlib import Path

import pytest
from hypothesis import Phase, settings

ROOT = Path(__file__).resolve().parent.parent

# The machines that run this are shared and slow in turns: a property fails by what it finds, not by how long it took.
settings.register_profile("tbox", deadline=None)
settings.load_profile("tbox")
# Nothing drawn, only what is written down with @example: for what must not come out another way next time.
settings.register_profile("written", settings.get_profile("tbox"), phases=[Phase.explicit])


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
