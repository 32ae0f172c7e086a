"""The run of all stages must not pass when something is missing or fails."""

import os
import subprocess
from pathlib import Path

import pytest


def ci_run(root: Path, artefacts: Path, *stages: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", root / ".ci/run", *stages],
        capture_output=True,
        text=True,
        env={**os.environ, "TBOX_ARTEFACTS": str(artefacts), **environment},
    )


@pytest.mark.parametrize("missing", ["TBOX_DATA", "TBOX_SPEC"])
def test_a_missing_folder_fails_and_is_named(root: Path, tmp_path: Path, missing: str) -> None:
    there = {"TBOX_DATA": str(tmp_path), "TBOX_SPEC": str(tmp_path)}
    done = ci_run(root, tmp_path, "data", **{**there, missing: "/nowhere/at/all"})
    assert done.returncode == 1
    assert f"{missing}: no folder /nowhere/at/all" in done.stdout
    assert done.stdout.splitlines()[-1] == "1 of 1 stages failed"


def test_a_failed_stage_does_not_stop_the_next_and_the_run_fails(root: Path, tmp_path: Path) -> None:
    done = ci_run(root, tmp_path, "data", "data", TBOX_DATA="/nowhere/at/all", TBOX_SPEC="none")
    assert done.returncode == 1
    assert done.stdout.count("s FAILED") == 2
    assert done.stdout.splitlines()[-1] == "2 of 2 stages failed"


def test_going_without_is_said(root: Path, tmp_path: Path) -> None:
    done = ci_run(root, tmp_path, "data", TBOX_DATA="none", TBOX_SPEC="none")
    assert done.returncode == 0, done.stderr
    not_shown = done.stdout[done.stdout.index("not shown on this machine") :]
    assert "recordings" in not_shown
    assert "printed reference" in not_shown


def test_an_unknown_stage_is_wrong_use(root: Path, tmp_path: Path) -> None:
    done = ci_run(root, tmp_path, "data", "dream")
    assert done.returncode == 2
    assert "no stage 'dream'" in done.stderr
