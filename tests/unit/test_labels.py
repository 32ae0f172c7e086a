"""Every name of the tables has a Chinese one, and no Chinese one is left over."""

from collections.abc import Iterator
from typing import Any

import pytest

from agent import labels, labels_zh
from agent.core.editions import EDITIONS
from agent.core.field import Blob, Field, Items, Layout, Text
from agent.core.parameters import Codes, Control, PackCodes, Parameters


def rows_of(layout: Layout) -> Iterator[tuple[str, Any]]:
    """Table name and row of everything in a layout that has a name."""
    for row in layout.rows:
        if isinstance(row, Items):
            yield from ((layout.name, row), (layout.name, row.count))
            yield from rows_of(row.item) if isinstance(row.item, Layout) else [(layout.name, row.item)]
        elif isinstance(row, Blob):
            yield from ((layout.name, row), (layout.name, row.count))
        elif isinstance(row, Codes):
            yield from ((layout.name, row), (layout.name, row.count), (layout.name, row.length))
        elif isinstance(row, PackCodes):
            yield from ((layout.name, row), (layout.name, row.count), (layout.name, row.packs))
            yield layout.name, Text("pack_code", row.size)  # one of them, in an explanation
        elif isinstance(row, Control):
            yield from ((layout.name, row.command), (layout.name, row.level))
            yield from ((layout.name, Text(name, 1)) for name in ("text", "arguments"))
        elif isinstance(row, Parameters):
            yield from ((layout.name, row), (layout.name, row.count))
            for item in row.table.values():
                name = row.table[item].name.removesuffix("_length") if isinstance(item, int) else item.name
                yield layout.name, Text(name, 1)
        else:
            yield layout.name, row


def all_rows() -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for edition in EDITIONS.values():
        layouts = [*edition.bodies.values(), edition.user_body, *filter(None, [edition.signature])]
        layouts += [
            layout for command in edition.commands.values() for layout in (command.layout, command.answer) if layout
        ]
        found += [row for layout in layouts for row in rows_of(layout)]
    return found


def in_chinese(text: str | None) -> bool:
    international = ("SOC", "ICCID", "SM2", "RSA", "ECC")
    return text is not None and (any("\u4e00" <= letter <= "\u9fff" for letter in text) or text in international)


def test_every_row_of_every_table_has_a_chinese_name() -> None:
    assert [f"{table}.{row.name}" for table, row in all_rows() if not in_chinese(labels.chinese(row.name, table))] == []


def test_every_body_and_command_has_a_chinese_name() -> None:
    for edition in EDITIONS.values():
        layouts = [*edition.bodies.values(), edition.user_body, *filter(None, [edition.signature])]
        assert [layout.name for layout in layouts if layout.name not in labels_zh.BODIES] == []
        assert [name for name in edition.command_ids if name not in labels_zh.COMMANDS] == []


def test_every_word_flag_and_bit_has_a_chinese_name() -> None:
    for table, row in all_rows():
        if isinstance(row, Field):
            words = [*(row.words or {}).values(), *(word for bit in row.bits or () for word in (bit[3] or {}).values())]
            assert [word for word in words if not in_chinese(labels.word(word, "zh", table))] == [], row.name
            assert [name for name in row.flags or () if name not in labels_zh.FLAGS] == []
            assert [bit[0] for bit in row.bits or () if not in_chinese(labels.chinese(bit[0], table))] == []
    for edition in EDITIONS.values():
        assert [word for word in edition.responses.values() if not in_chinese(labels.word(word, "zh"))] == []


def test_no_chinese_name_is_left_over() -> None:
    used = {name for table, row in all_rows() for name in (row.name, f"{table}.{row.name}")}
    used |= {bit[0] for _, row in all_rows() if isinstance(row, Field) for bit in row.bits or ()}
    assert [name for name in labels_zh.FIELDS if name not in used] == []


def test_one_name_in_two_tables_is_told_apart() -> None:
    assert labels.chinese("speed", "vehicle") == "车速"
    assert labels.chinese("speed", "motor") == "驱动电机转速"
    assert labels.chinese("speed", "engine") == "曲轴转速"
    assert labels.word("off", "zh", "vehicle") == "熄火"
    assert labels.word("off", "zh", "engine") == "关闭"
    assert labels.chinese("cell", "pack") == "最小并联单元电压"
    assert labels.chinese("cell", "subsystem") == "单体电池电压"
    assert labels.word("none", "zh", "activation_answer") == "无"


def test_every_meaning_of_a_number_is_one_that_its_field_allows() -> None:
    rows = {f"{table}.{row.name}": row for table, row in all_rows()}
    for place, meanings in labels.MEANINGS.items():
        assert sorted(meanings) == list(range(rows[place].lo, rows[place].hi + 1))
        assert [
            word for word in meanings.values() if not in_chinese(labels.word(word, "zh", place.split(".")[0]))
        ] == []


def test_a_flag_that_an_edition_has_changed_is_called_as_there() -> None:
    assert labels.flag("cell_voltage_high", "zh", "2016") == "单体电池过压报警"
    assert labels.flag("cell_voltage_high", "zh", "2025") == "最小并联单元过压报警"
    assert labels.flag("cell_voltage_high", "en", "2016") == "cell voltage high"
    assert labels.flag("cell_voltage_high", "en", "2025") == "minimum parallel unit voltage high"


@pytest.mark.parametrize(
    ("name", "english"),
    [
        ("total_voltage", "total voltage"),
        ("soc", "SOC"),
        ("motors_count", "motors count"),
        ("dcdc_state", "DC/DC state"),
    ],
)
def test_english_names_come_from_the_tables(name: str, english: str) -> None:
    assert labels.label(name, "en") == english


@pytest.mark.parametrize(
    ("variables", "lang"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_TW"}, "zh"),
    ],
)
def test_the_locale_chooses_the_language(variables: dict[str, str], lang: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert labels.language() == lang
    assert labels.language("zh") == "zh"
