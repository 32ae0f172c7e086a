"""The Lua script as text; what it does is shown in tshark (tests/integration/test_wireshark.py)."""

import pytest

from agent.cli import main
from agent.core.editions import EDITIONS
from agent.fieldtable import field_rows
from agent.wireshark import dissector, lua


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_fields_prints_it_in_the_language_asked_for(lang: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fields", "--lua", "--lang", lang]) == 0
    out = capsys.readouterr().out
    assert out == dissector(lang) + "\n"
    assert ("总电流" in out) == (lang == "zh")


def test_bodies_of_a_mapping_are_not_in_it_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fields", "--lua", "--mapping", "any.toml"]) == 2
    assert capsys.readouterr() == (
        "",
        "tbox fields: --lua knows the bodies of the standard only; leave --mapping out\n",
    )


def test_it_has_every_field_of_both_editions() -> None:
    text = dissector("en")
    for edition in EDITIONS.values():
        for row in field_rows(edition):
            assert f'"{row.table}.{row.name}"' in text, row


def test_a_literal_of_lua_keeps_what_it_holds() -> None:
    assert lua({"a": None, 1: True, "b": 'c"\\\n'}) == '{[1] = true, ["b"] = "c\\"\\\\\\n"}'
