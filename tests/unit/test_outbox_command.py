"""`tbox outbox` beside a running agent, and without one."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from outbox_rows import ids_of, new_row, open_outbox

from agent.cli import run_program


def tbox(*arguments: str | Path) -> int:
    return run_program("tbox", "", "agent.commands", ("outbox",), ["outbox", *map(str, arguments)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def test_stats_show_the_ledger_while_the_agent_runs(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(open_outbox(path)) as outbox:
        outbox.append([new_row(0), new_row(10)], 20, 18)
        outbox.refuse([1], flag=2)
        outbox.append([], 0, 0)
        assert tbox("stats", "--path", path, "--json") == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["boots"] == outbox.stats()["boots"]
        assert shown["total"]["refused"] == 1
        assert shown["refused_by_flag"] == {"2": 1}
        assert tbox("stats", "--path", path) == 0
    text = capsys.readouterr().out
    assert "seconds sampled          20" in text
    assert "response flag 2: 1" in text
    assert "oldest pending row: 2023-11-15T06:13:30+08:00" in text
    assert "UNACCOUNTED" not in text
    assert tbox("stats", "--path", path, "--lang", "zh") == 0
    chinese = capsys.readouterr().out
    assert [line.split()[-1] for line in chinese.splitlines()[:7]] == [
        line.split()[-1] for line in text.splitlines()[:7]
    ]
    assert "采样秒数                 20" in chinese
    assert "标志2拒绝: 1" in chinese


def test_retry_reaches_an_agent_that_runs(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(open_outbox(path)) as outbox:
        outbox.append([new_row(second) for second in range(1200)], 1200, 0)
        outbox.refuse(range(1, 1151), flag=2)
        outbox.retry_refused()  # writes what is buffered
        outbox.refuse(range(1, 601), flag=2)
        while outbox.stats()["buffered_verdicts"]:
            outbox.append([], 0, 0)
        assert ids_of(outbox, 1)[0] == 601
        assert tbox("retry", "--path", path) == 0
        assert capsys.readouterr().out == "600 refused rows will be sent again\n"
        assert ids_of(outbox, 2000) == list(range(1, 1201))
        assert outbox.stats()["total"] == {
            "sampled": 1200, "not_due": 0, "pending": 1200, "live": 0, "reissued": 0, "refused": 0, "expired": 0,
            "lost": {}, "unaccounted": 0,
        }  # fmt: skip


def test_both_work_after_the_agent_has_ended(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(open_outbox(path)) as outbox:
        outbox.append([new_row(0)], 1, 0)
        outbox.refuse([1], flag=4)
    assert tbox("stats", "--path", path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["total"]["refused"] == 1
    assert tbox("retry", "--path", path, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"retried": 1}
    with closing(open_outbox(path)) as outbox:
        assert ids_of(outbox) == [1]


def test_a_file_that_is_not_there_is_named_and_not_made(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tbox("stats", "--path", path) == 1
    assert f"{path}: there is no such file" in capsys.readouterr().err
    assert not path.exists()


def test_a_file_that_is_no_outbox_is_named(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_bytes(b"no database " * 500)
    assert tbox("retry", "--path", path) == 1
    assert "not an outbox" in capsys.readouterr().err
    path.write_bytes(b"")
    assert tbox("stats", "--path", path) == 1
    assert "is empty" in capsys.readouterr().err
