"""The task runner: what it does on a machine that lacks something, and that it does nothing twice."""

import hashlib
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest


def task(root: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TBOX_")}
    return subprocess.run(
        ["sh", root / "task", *arguments], capture_output=True, text=True, env={**clean, **environment}
    )


def tools(folder: Path, **scripts: str) -> str:
    """A PATH on which each named tool is the given shell script."""
    folder.mkdir(exist_ok=True)
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


# A Python as Debian ships it without python3-venv.
NO_ENSUREPIP = f'case "$*" in *ensurepip*) exit 1 ;; esac\nexec {sys.executable} "$@"'


@pytest.fixture
def venv(root: Path, tmp_path: Path) -> Path:
    """A virtual environment that the runner takes for finished; it has no pip, so an installation would fail."""
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (folder / "tbox-origin").write_text(f"{platform.python_version()} {root}\n")
    (folder / "tbox-test").write_text(hashlib.sha256((root / "pyproject.toml").read_bytes()).hexdigest() + "\n")
    return folder


def test_help_names_every_task(root: Path) -> None:
    done = task(root, "help")
    assert done.returncode == 0
    for name in ("demo", "test", "vm", "controllers", "lint", "perf", "bundle", "setup"):
        assert f"\n  {name} " in done.stdout
    assert task(root).stdout == done.stdout


def test_unknown_task_is_wrong_use(root: Path) -> None:
    done = task(root, "deploy")
    assert done.returncode == 2
    assert "no task 'deploy'" in done.stderr


def test_finished_environment_is_left_alone(root: Path, venv: Path) -> None:
    done = task(root, "setup", TBOX_VENV=str(venv))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_changed_project_file_is_installed_again(root: Path, venv: Path) -> None:
    (venv / "tbox-test").write_text("another hash\n")
    done = task(root, "setup", TBOX_VENV=str(venv))
    assert done.returncode == 1
    assert "No module named pip" in done.stderr
    assert "PIP_INDEX_URL" in done.stderr, "says what to do behind a mirror"
    assert not (venv / "tbox-test").exists(), "an interrupted installation counts as none"


def test_environment_of_another_place_is_made_anew(root: Path, venv: Path, tmp_path: Path) -> None:
    (venv / "tbox-origin").write_text(f"{platform.python_version()} /moved/away\n")
    broken = tools(tmp_path / "bin", python3='test "$1" != -m && exec ' + f'{sys.executable} "$@"')
    done = task(root, "setup", TBOX_VENV=str(venv), TBOX_PYTHON="python3", PATH=broken)
    assert f"making {venv} with Python" in done.stderr
    assert done.returncode == 1


def test_folder_in_the_way_is_not_removed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/to_mother.txt").write_text("dear")
    done = task(root, "setup", TBOX_VENV=str(tmp_path / "letters"))
    assert done.returncode == 2
    assert "not a virtual environment" in done.stderr
    assert (tmp_path / "letters/to_mother.txt").read_text() == "dear"


def test_named_python_out_of_range_is_refused(root: Path, tmp_path: Path) -> None:
    path = tools(tmp_path / "bin", python3="echo 3.9; exit 1")
    done = task(root, "setup", TBOX_VENV=str(tmp_path / "venv"), TBOX_PYTHON="python3", PATH=path)
    assert done.returncode == 2
    assert "TBOX_PYTHON=python3 is not a Python 3.11 to 3.13" in done.stderr


def test_without_a_python_in_range_it_says_how_to_get_one(root: Path, tmp_path: Path) -> None:
    old = dict.fromkeys(("python3", "python3.11", "python3.12", "python3.13"), "echo 3.9; exit 1")
    path = tools(tmp_path / "bin", **old)
    done = task(root, "setup", TBOX_VENV=str(tmp_path / "venv"), PATH=path, HOME=str(tmp_path))
    assert done.returncode == 2
    assert "apt-get install -y python3 python3-venv" in done.stderr


def test_missing_ensurepip_is_installed_by_root(root: Path, tmp_path: Path) -> None:
    log = tmp_path / "apt.log"
    path = tools(tmp_path / "bin", id="echo 0", python3=NO_ENSUREPIP, **{"apt-get": f'echo "$@" >>{log}; exit 1'})
    done = task(root, "setup", TBOX_VENV=str(tmp_path / "venv"), TBOX_PYTHON="python3", PATH=path)
    assert log.read_text().splitlines() == ["install -y -q python3-venv", "update -q"]
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "task: apt-get install -y python3-venv"


def test_missing_ensurepip_without_rights_prints_the_line_to_type(root: Path, tmp_path: Path) -> None:
    path = tools(tmp_path / "bin", id="echo 1000", sudo="exit 1", python3=NO_ENSUREPIP)
    done = task(root, "setup", TBOX_VENV=str(tmp_path / "venv"), TBOX_PYTHON="python3", PATH=path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "task: apt-get install -y python3-venv"
    assert not (tmp_path / "venv").exists()
