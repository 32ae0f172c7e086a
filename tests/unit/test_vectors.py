"""The vectors themselves: sound packets, and those that the printed reference has."""

import re
from functools import reduce
from operator import xor
from pathlib import Path

import pytest
from printed import PRINTED, VECTORS

STARTS = {"2016": "2323", "2025": "2424"}


def test_vectors_have_the_length_and_check_code_they_say() -> None:
    for vector in VECTORS:
        raw = bytes.fromhex(vector["hex"])
        assert len(raw) == int.from_bytes(raw[22:24], "big") + 25, vector["name"]
        assert reduce(xor, raw[2:-1]) == raw[-1], vector["name"]


@pytest.mark.parametrize("edition", PRINTED)
def test_vectors_are_all_the_packets_of_the_reference(edition: str, tbox_spec: Path) -> None:
    text = (tbox_spec / "gbt32960.md").read_text(encoding="utf-8")
    examples = text[text.index("\n## 10. ") : text.index("\n## 11. ")]
    blocks = re.findall(r"```\n([0-9A-F\n]+)```", examples)
    # The answers to heartbeats stand in a sentence, not in a block of their own.
    printed = [block.replace("\n", "") for block in blocks] + re.findall(r"`(2323[0-9A-F]{46,})`", examples)
    expected = sorted(hex_ for hex_ in printed if hex_.startswith(STARTS[edition]))
    assert sorted(vector["hex"] for vector in PRINTED[edition]) == expected
