"""The core on MicroPython: as source, and as the compiled files that go onto a board."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.py"))


@pytest.fixture(scope="session")
def compiled_core(root: Path, mpy_cross: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the core as .mpy files and no source."""
    folder = tmp_path_factory.mktemp("mpy")
    for source in [root / "agent/__init__.py", *sorted((root / "agent/core").rglob("*.py"))]:
        target = (folder / source.relative_to(root)).with_suffix(".mpy")
        target.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run([mpy_cross, "-o", target, source], capture_output=True, text=True)
        assert done.returncode == 0, f"{source.relative_to(root)}: {done.stderr}"
        assert done.stderr == "", f"{source.relative_to(root)}: mpy-cross warns: {done.stderr}"
    return folder


def run_script(micropython: str, script: Path, path: Path, root: Path) -> list[str]:
    """The `ok` lines of a script; it says at its end how many there have to be (`1..N`)."""
    done = subprocess.run(
        [micropython, script, *sorted((root / "tests/vectors").glob("packets_*.json"))],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "MICROPYPATH": str(path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    *passed, plan = done.stdout.splitlines()
    assert plan == f"1..{len(passed)}"
    assert all(line.startswith(f"ok {number} ") for number, line in enumerate(passed, 1)), done.stdout
    return passed


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_source_core_passes_under_micropython(micropython: str, root: Path, script: Path) -> None:
    assert run_script(micropython, script, root, root)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_compiled_core_passes_under_micropython(
    micropython: str, root: Path, compiled_core: Path, script: Path
) -> None:
    assert run_script(micropython, script, compiled_core, root)


def test_compiled_core_is_what_runs(micropython: str, compiled_core: Path) -> None:
    done = subprocess.run(
        [micropython, "-c", "import agent.core.packet as module; print(module.__file__)"],
        capture_output=True,
        text=True,
        env={**os.environ, "MICROPYPATH": str(compiled_core)},
        cwd=compiled_core.parent,
    )
    assert done.stdout.strip() == str(compiled_core / "agent/core/packet.mpy"), done.stderr
