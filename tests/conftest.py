"""Fixtures that several test folders share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# The machines that run this are shared and slow in turns: a property fails by what it finds, not by how long it took.
settings.register_profile("tbox", deadline=None)
settings.load_profile("tbox")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def tbox_data() -> Path:
    """The folder of third-party recordings and DBC files: $TBOX_DATA, else ../shared/data; "none" skips the test."""
    named = os.environ.get("TBOX_DATA", "../shared/data")
    if named == "none":
        pytest.skip("TBOX_DATA=none: no recordings")
    folder = ROOT / named
    if not folder.is_dir():
        pytest.fail(f"no folder {folder}: set TBOX_DATA to the recordings, or to 'none' to go without them")
    return folder
