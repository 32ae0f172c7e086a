"""`tbox interfaces` in a kernel that has CAN."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

NAME = "vcanplug"


def ip(*words: str) -> None:
    subprocess.run(["ip", "link", *words], check=True, capture_output=True)


@pytest.fixture
def virtual() -> Iterator[str]:
    """A virtual CAN interface of this test, down."""
    ip("add", NAME, "type", "vcan")
    yield NAME
    ip("del", NAME)


def listed() -> dict[str, dict]:
    done = subprocess.run(
        [sys.executable, "-m", "agent.cli", "interfaces", "--json"], check=True, capture_output=True, text=True
    )
    found = json.loads(done.stdout)["found"]
    return {each["channel"]: each for each in found if each["kind"] == "socketcan"}


def test_a_virtual_interface_is_listed_and_its_command_brings_it_up(virtual: str) -> None:
    one = listed()[virtual]
    assert (one["state"], one["what"]) == ("down", "virtual CAN inside this machine")
    assert one["commands"] == [f"sudo ip link set {virtual} up"]
    assert f'channel = "{virtual}"' in one["toml"]
    assert "bitrate" not in one["toml"]
    subprocess.run(one["commands"][0].removeprefix("sudo ").split(), check=True)
    one = listed()[virtual]
    assert (one["state"], one["commands"]) == ("up", [])
    ip("del", virtual)
    assert virtual not in listed()
    ip("add", virtual, "type", "vcan")  # for the fixture to delete
