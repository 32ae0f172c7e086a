"""Programs of the configuration, really run."""

import asyncio
import os
import select
import signal
from pathlib import Path

import pytest
from commanded_parts import recorder

from agent.platform.programs import MOST_OUTPUT, run


def run_program(argv, given=None, timeout_s=30):
    return asyncio.run(run("test", argv, given or {}, timeout_s))


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ends(pid):
    """Whether a process that was killed is gone; its death may take the kernel a moment."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 10)[0])
    finally:
        os.close(descriptor)


def test_arguments_are_replaced_whole_and_never_seen_by_a_shell(tmp_path):
    argv, record = recorder(tmp_path)
    text = "a; touch pwned $(touch pwned) `touch pwned` | & > \" '"
    assert run_program([*argv, "--", "{text}", "{text}x", "{level}", "{}"], {"{text}": text, "{level}": "3"}) == 0
    assert record.read_text().splitlines() == ["--", text, "{text}x", "3", "{}"]
    assert not list(Path().glob("pwned")) + list(tmp_path.glob("pwned"))


def test_it_gets_no_input_and_hardly_any_environment(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("TBOX_SECRET", "s3cret")
    argv, _ = recorder(tmp_path, "env; pwd; cat; echo end")
    assert run_program(argv) == 0
    assert "s3cret" not in caplog.text
    assert "LANG=C.UTF-8" in caplog.text
    assert "PWD=/\\n" in caplog.text
    assert "end" in caplog.text


@pytest.mark.parametrize("argv", [["/no/such/program"], ["/"], ["/etc/hostname"], ["/bin/echo", "a\0b"]])
def test_a_program_that_cannot_start_is_said(argv, caplog):
    assert run_program(argv) is None
    assert "cannot be started" in caplog.text


def test_an_exit_status_is_said_with_what_it_said(tmp_path, caplog):
    argv, _ = recorder(tmp_path, "echo out; echo broken >&2; exit 1")
    assert run_program(argv) == 1
    assert "exit status 1" in caplog.text
    assert "out\\nbroken" in caplog.text


def test_one_that_hangs_is_killed_with_its_children(tmp_path, caplog):
    argv, _ = recorder(tmp_path, f"sleep 300 & echo $! > {tmp_path}/child; trap '' TERM; wait")
    assert run_program(argv, timeout_s=2) is None
    assert "killed after 2 s" in caplog.text
    assert ends(int((tmp_path / "child").read_text()))


def test_output_is_bounded(tmp_path, caplog):
    argv, _ = recorder(tmp_path, "head -c 3000000 /dev/zero | tr '\\0' x")
    assert run_program(argv) == 0
    assert MOST_OUTPUT <= caplog.text.count("x") < MOST_OUTPUT + 200


def test_a_child_left_behind_holds_nothing_up_and_lives_on(tmp_path, caplog):
    argv, _ = recorder(tmp_path, f"(echo $PPID; sleep 300) & echo $! > {tmp_path}/child; echo started")
    assert run_program(argv) == 0
    assert "started" in caplog.text
    child = int((tmp_path / "child").read_text())
    assert alive(child)
    os.killpg(os.getpgid(child), signal.SIGKILL)


def test_cancelling_kills_it(tmp_path):
    argv, _ = recorder(tmp_path, f"echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; sleep 300")

    async def main():
        task = asyncio.create_task(run("test", argv, {}, 300))
        while not (tmp_path / "pid").exists():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ends(int((tmp_path / "pid").read_text()))

    asyncio.run(main())
