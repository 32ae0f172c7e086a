"""flash.sh and the bundle's install.sh: real runs into folders, never into this system."""

import hashlib
import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

SYSTEM_PYTHON = Path("/usr/bin/python3")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="installs into an image: needs root")
needs_python = pytest.mark.skipif(not SYSTEM_PYTHON.exists(), reason="no /usr/bin/python3: the service takes no other")


def flash(root: Path, *arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["sh", root / "flash.sh", *map(str, arguments)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


def tree(folder: Path) -> dict[str, str]:
    """Every file below `folder` with its mode and a hash of its content, every link with its target."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            content = ""
        found[str(path.relative_to(folder))] = f"{path.lstat().st_mode:o} {content}"
    return found


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A system image as far as the installer looks: its users, and one file of somebody else."""
    etc = tmp_path / "image/etc"
    etc.mkdir(parents=True)
    (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (etc / "group").write_text("root:x:0:\n")
    (etc / "shadow").write_text("root:*:19000:0:99999:7:::\n")
    (etc / "gshadow").write_text("root:*::\n")
    return etc.parent


def fake_tool(folder: Path, name: str, script: str) -> str:
    """A PATH on which the tool `name` is `script`."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@needs_python
def test_dry_run_prints_every_step_and_touches_nothing(root: Path, image: Path) -> None:
    before = tree(image)
    done = flash(root, "pi", "--dry-run", "--root", image)
    assert done.returncode == 0, done.stderr
    for step in ("useradd", "/opt/tbox", "/etc/tbox", "/var/lib/tbox", "tbox.service", "/usr/local/bin/tbox"):
        assert step in done.stdout
    assert "nothing was touched" in done.stdout
    assert tree(image) == before


@needs_python
def test_a_folder_without_users_gets_everything_but_the_user(root: Path, tmp_path: Path) -> None:
    done = flash(root, "pi", "--dry-run", "--root", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "has no /etc/passwd" in done.stdout
    assert "tbox.service" in done.stdout


@needs_root
@needs_python
@pytest.mark.slow
def test_install_is_idempotent_and_uninstall_keeps_what_is_the_owners(root: Path, image: Path) -> None:
    clean = tree(image)

    first = flash(root, "pi", "--root", image)
    assert first.returncode == 0, first.stdout + first.stderr
    assert len([line for line in first.stdout.splitlines() if line.startswith("  sudo")]) == 3
    program = image / "opt/tbox/venv/bin/tbox"
    assert program.read_text().startswith("#!/opt/tbox/"), "the image knows nothing of where it was made"
    assert "\ntbox:" in (image / "etc/passwd").read_text()
    (packages,) = image.glob("opt/tbox/venv-*/lib/python3.*/site-packages")
    for name in ("serial", "cryptography"):
        assert (packages / name).is_dir(), "what tbox.toml can ask for is there without an internet"
    configuration = image / "etc/tbox/tbox.toml"
    wanted = tomllib.loads(configuration.read_text())
    assert wanted["outbox"]["path"] == "/var/lib/tbox/tbox.db", "the service may write nowhere else"
    assert [bus["interface"] for bus in wanted["can"]] == ["socketcan"]
    assert (configuration.parent / wanted["vehicle"]["mapping"]).is_file()
    configuration.write_text("# filled in by the owner\n")

    installed = tree(image)
    second = flash(root, "pi", "--root", image)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "nothing changed" in second.stdout
    assert tree(image) == installed

    gone = flash(root, "pi", "--root", image, "--uninstall")
    assert gone.returncode == 0, gone.stdout + gone.stderr
    assert configuration.read_text() == "# filled in by the owner\n"
    assert (image / "var/lib/tbox").is_dir()
    assert not (image / "opt/tbox").exists()
    assert not (image / "etc/systemd/system/tbox.service").exists()

    purged = flash(root, "pi", "--root", image, "--uninstall", "--purge")
    assert purged.returncode == 0, purged.stdout + purged.stderr
    left = {name for name in tree(image) if (image / name).is_file()}
    assert left - set(clean) <= {f"etc/{name}-" for name in ("passwd", "group", "shadow", "gshadow")} | {
        f"etc/{name}" for name in ("subuid", "subgid")
    }, "useradd's own backups at most"
    assert "\ntbox:" not in (image / "etc/passwd").read_text()


@pytest.mark.parametrize("machine", ["armv7l", "armv6l"])
def test_32_bit_arm_is_refused_with_the_reason(root: Path, tmp_path: Path, machine: str) -> None:
    done = flash(root, "pi", "--dry-run", PATH=fake_tool(tmp_path / "bin", "uname", f"echo {machine}"))
    assert done.returncode == 2
    assert "msgspec" in done.stderr
    assert "64-bit Raspberry Pi OS" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["esp32"], "not yet; there is: pi"),
        (["pi", "--flavour"], "no option '--flavour'"),
        (["pi", "--purge"], "--purge goes with --uninstall"),
        (["pi", "--bundle"], "--bundle needs a value"),
        (["pi", "--dry-run", "--root", "/nowhere/at/all"], "no such folder"),
    ],
)
def test_wrong_use_is_named(root: Path, arguments: list[str], says: str) -> None:
    done = flash(root, *arguments)
    assert done.returncode == 2
    assert says in done.stderr


@pytest.fixture
def bundle(root: Path, tmp_path: Path) -> Path:
    """What `./task bundle` lays out, with one file in place of the wheels."""
    folder = tmp_path / "bundle"
    (folder / "wheels").mkdir(parents=True)
    (folder / "wheels/some.whl").write_bytes(b"wheel")
    for script in (root / "flash.sh", root / "agent/service/install.sh"):
        shutil.copy(script, folder)
    names = ["install.sh", "flash.sh", "wheels/some.whl"]
    sums = subprocess.run(["sha256sum", *names], cwd=folder, capture_output=True, text=True, check=True).stdout
    (folder / "SHA256SUMS").write_text(sums)
    return folder


@needs_python
@pytest.mark.parametrize("script", ["flash.sh", "install.sh"])
def test_damaged_bundle_is_refused_and_the_file_named(bundle: Path, tmp_path: Path, script: str) -> None:
    (bundle / "wheels/some.whl").write_bytes(b"whee!")
    arguments = ["pi", "--dry-run"] if script == "flash.sh" else [str(tmp_path / "venv")]
    done = subprocess.run(["sh", bundle / script, *arguments], capture_output=True, text=True)
    assert done.returncode == 1
    assert "wheels/some.whl: FAILED" in done.stdout + done.stderr
    assert "copy" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_installer_of_the_bundle_refuses_a_foreign_machine(bundle: Path, tmp_path: Path) -> None:
    path = fake_tool(tmp_path / "bin", "uname", "echo riscv64")
    done = subprocess.run(
        ["sh", bundle / "install.sh", tmp_path / "venv"],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path},
    )
    assert done.returncode == 2
    assert "riscv64" in done.stderr


def test_host_gets_the_bundle_and_the_options_and_is_left_clean(root: Path, bundle: Path, tmp_path: Path) -> None:
    (bundle / "flash.sh").write_text('echo "here: $* $(cat "$(dirname "$0")/wheels/some.whl")"\n')
    ssh = 'if [ "$1" = -t ]; then shift; fi\ntest "$1" = me@pi && shift && exec sh -c "$*"'
    spot = tmp_path / "there"
    spot.mkdir()
    path = fake_tool(tmp_path / "bin", "ssh", ssh)
    fake_tool(tmp_path / "bin", "sudo", 'exec "$@"')
    done = flash(root, "pi", "--host", "me@pi", "--bundle", bundle, "--uninstall", PATH=path, TMPDIR=str(spot))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "here: pi --uninstall wheel\n"
    assert list(spot.iterdir()) == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_systemd_takes_the_unit(root: Path, tmp_path: Path) -> None:
    unit = tmp_path / "tbox.service"
    text = (root / "agent/service/tbox.service").read_text()
    unit.write_text(text.replace("/opt/tbox/venv/bin/tbox", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    complaints = [line for line in done.stderr.splitlines() if "tbox.service" in line]
    newer = ("'RestartSteps'", "'RestartMaxDelaySec'")  # systemd 254; older ones ignore them
    assert [line for line in complaints if not any(key in line for key in newer)] == []
    assert done.returncode == 0, done.stderr
