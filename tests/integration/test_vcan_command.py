"""`tbox-bench vcan` from outside: statuses, output, what stays behind. Runs this machine's CAN if it has it, else a guest."""

import errno
import hashlib
import os
import platform
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.kernel.xstate import remedy

START_S = 90.0
OVERLAID = Path("/var/tmp/tbox-outside-the-share")  # noqa: S108 - must be a place that a guest overlays


def vcan(folder, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "bench.cli", "vcan", *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        timeout=START_S,
        **options,
    )


def environment():
    # From an installation or from the checkout: its own folder is another.
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}


@pytest.fixture(scope="module", autouse=True)
def kernel(tmp_path_factory):
    """The kernel that serves here: host or guest; the tests are skipped with the reason where none can be had."""
    done = vcan(tmp_path_factory.mktemp("trial"), "--", "uname", "-r")
    if done.returncode == 126:
        reason = done.stderr.decode().strip()
        (pytest.fail if os.environ.get("TBOX_VM") == "required" else pytest.skip)(reason)
    assert done.returncode == 0, done
    return "host" if done.stdout.decode().strip() == platform.release() else "guest"


def parents():
    """The parent of every process, as it is now."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            found[int(stat.parent.name)] = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
        except OSError:
            continue
    return found


def descendants(pid):
    """Processes below this one."""
    known = parents()
    found = {pid}
    while more := {child for child, parent in known.items() if parent in found} - found:
        found |= more
    return found - {pid}


def wait_for(condition, seconds=START_S):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)
    return found


def alive(pids):
    """Those that still run: what has ended and is not collected yet is none of ours any more."""
    found = set()
    for pid in pids:
        try:
            if Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in "ZX":
                found.add(pid)
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["no-such-command-anywhere"], 127),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["sh", "-c", "sleep 1000 & exit 3"], 3),
    ],
    ids=["good", "failed", "not found", "signal", "leaves something running"],
)
def test_the_status_is_the_commands(tmp_path, command, status):
    done = vcan(tmp_path, "--", *command)
    assert done.returncode == status, done
    assert done.stdout == b""


def test_a_command_that_takes_too_long(tmp_path):
    done = vcan(tmp_path, "--timeout", "1.5", "--", "sh", "-c", "echo begun; sleep 1000")
    assert (done.returncode, done.stdout) == (124, b"begun\n"), done
    assert b"timed out after 1.5 s" in done.stderr


def test_output_comes_out_bit_for_bit(tmp_path):
    (tmp_path / "data").write_bytes(os.urandom(1 << 20))
    done = vcan(tmp_path, "--", "sh", "-c", "cat data; printf '\\001\\r\\n\\377' >/dev/stderr; echo more >/dev/stderr")
    assert done.returncode == 0
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256((tmp_path / "data").read_bytes()).digest()
    assert done.stderr == b"\x01\r\n\xffmore\n"


def test_output_comes_out_while_the_command_runs(tmp_path):
    run = subprocess.Popen(
        [sys.executable, "-m", "bench.cli", "vcan", "--", "sh", "-c", "echo here; while [ ! -e go ]; do sleep 0.1; done"],
        cwd=tmp_path, env=environment(), stdout=subprocess.PIPE,
    )  # fmt: skip
    assert run.stdout.readline() == b"here\n"
    (tmp_path / "go").touch()
    assert run.communicate(timeout=START_S) == (b"", None)
    assert run.returncode == 0


def test_only_what_is_written_to_the_share_stays(tmp_path, kernel):
    if kernel == "host":
        pytest.skip("this kernel has vcan: a command writes wherever it may")
    (tmp_path / "share").mkdir()
    OVERLAID.unlink(missing_ok=True)
    script = f"echo in >inside && echo out >{OVERLAID} && cat inside {OVERLAID} && echo gone >../beside"
    done = vcan(tmp_path, "--share", "share", "--", "sh", "-c", script)
    assert (done.returncode, done.stdout) == (0, b"in\nout\n"), done
    assert (tmp_path / "share/inside").read_text() == "in\n"
    assert not OVERLAID.exists()
    assert not (tmp_path / "beside").exists()


def test_where_it_starts_and_what_it_takes_along(tmp_path):
    (tmp_path / "a b" / "c").mkdir(parents=True)
    done = vcan(
        tmp_path / "a b/c", "--share", "..", "-e", "GIVEN=it's $HOME", "-e", "HOME", "--",
        "sh", "-c", 'echo "$PWD,$GIVEN,$HOME,$1"; cat', "sh", "two  'words'",
        input=b"nothing of this",
    )  # fmt: skip
    assert done.stdout.decode() == f"{tmp_path}/a b/c,it's $HOME,{os.environ['HOME']},two  'words'\n", done


def test_the_buses_are_there(tmp_path):
    done = vcan(tmp_path, "--fd", "--count", "3", "--", "ip", "-o", "link")
    found = re.findall(r" (vcan\d+): <([\w,]+)> mtu (\d+)", done.stdout.decode())
    assert [(name, mtu) for name, _, mtu in found] == [(f"vcan{number}", "72") for number in range(3)], done
    assert all("UP" in flags.split(",") for _, flags, _ in found)


def test_without_fd_a_bus_takes_no_fd_frames(tmp_path):
    done = vcan(tmp_path, "--", "sh", "-c", "cat /sys/class/net/vcan0/mtu; cansend vcan0 123##1.11")
    assert done.stdout.startswith(b"16\n")
    assert done.returncode == 1, "cansend was refused"


def test_can_utils_inside(tmp_path):
    script = "candump -n 2 vcan0 >got & until grep -q 'vcan0 .* raw' /proc/net/can/rcvlist_all; do sleep 0.05; done\n"
    script += f"cansend vcan0 12345678#11.22; cansend vcan0 123##3{'AB' * 64}; wait; cat got"
    done = vcan(tmp_path, "--fd", "--", "sh", "-c", script)
    assert done.returncode == 0, done
    classic, fd = (line.split() for line in done.stdout.decode().splitlines())
    assert classic == ["vcan0", "12345678", "[2]", "11", "22"]
    assert fd == ["vcan0", "123", "[64]", *["AB"] * 64]


def test_inside_a_guest_it_just_runs(tmp_path):
    inner = [sys.executable, "-m", "bench.cli", "vcan", "--fd", "--count", "2", "--"]
    done = vcan(tmp_path, "--", *inner, "sh", "-c", "cat /sys/class/net/vcan1/mtu; exit 9")
    assert (done.returncode, done.stdout) == (9, b"72\n"), done


def test_several_at_once(tmp_path):
    runs = []
    for number in (1, 2):
        script = (
            f"cansend vcan0 123#0{number} && touch here{number}; until [ -e here1 ] && [ -e here2 ]; do sleep 0.1; done"
        )
        command = [sys.executable, "-m", "bench.cli", "vcan", "--", "sh", "-c", f"{script}; exit {number}"]
        runs.append(subprocess.Popen(command, cwd=tmp_path, env=environment()))
    assert [run.wait(START_S) for run in runs] == [1, 2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_ends_all_of_it(tmp_path, number):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    run = subprocess.Popen(
        [sys.executable, "-m", "bench.cli", "vcan", "--", "sh", "-c", "sleep 1000 & touch running; sleep 1000"],
        cwd=tmp_path, env={**environment(), "TMPDIR": str(scratch)}, start_new_session=True,
        # As a terminal's programs have it, whatever these tests were started by: nohup and a shell's & ignore signals.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None,
    )  # fmt: skip
    wait_for((tmp_path / "running").exists)
    below = descendants(run.pid)
    assert below
    run.send_signal(number)
    status = run.wait(5)
    assert status == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGKILL: -9}[number]
    if number == signal.SIGKILL:  # the keeper needs a moment to see it
        wait_for(lambda: not alive(below) and not list(scratch.iterdir()), 5)
    assert alive(below) == set()
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("ours_too", [False, True], ids=["the keeper", "both"])
def test_what_a_killed_keeper_leaves_is_cleared_away(tmp_path, kernel, ours_too):
    """By ourselves, and if we were killed with it by the next run, which leaves alone what is young and may be in use."""
    if kernel == "host":
        pytest.skip("this kernel has vcan: no folder is made")
    scratch = tmp_path / "scratch"
    young = scratch / "tbox-kernel.young"
    young.mkdir(parents=True)
    start = {"cwd": tmp_path, "env": {**environment(), "TMPDIR": str(scratch)}}
    run = subprocess.Popen(
        [sys.executable, "-m", "bench.cli", "vcan", "--", "sh", "-c", "touch up; sleep 1000"], **start
    )
    wait_for((tmp_path / "up").exists)
    below = descendants(run.pid)
    (keeper,) = (child for child, parent in parents().items() if parent == run.pid)
    if ours_too:
        os.kill(keeper, signal.SIGSTOP)  # it would see our end and do its work
        run.kill()
        run.wait(5)
    os.kill(keeper, signal.SIGKILL)
    assert run.wait(5) == (-9 if ours_too else 125)
    if ours_too:
        (left,) = (folder for folder in scratch.iterdir() if folder != young)
        os.utime(left, (1, 1))
        subprocess.run([sys.executable, "-m", "bench.cli", "vcan", "--", "true"], check=True, timeout=START_S, **start)
    wait_for(lambda: not alive(below), 5)
    assert list(scratch.iterdir()) == [young]


def test_a_guest_that_dies_says_why(tmp_path, kernel):
    if kernel == "host":
        pytest.skip("this kernel has vcan: a panic would be ours")
    done = vcan(tmp_path, "--", "sh", "-c", "echo last words; echo c >/proc/sysrq-trigger; sleep 1000")
    assert (done.returncode, done.stdout) == (125, b"last words\n")
    assert b"Kernel panic - not syncing: sysrq triggered crash" in done.stderr


def test_a_guest_that_hangs_in_its_start_is_given_up(tmp_path, kernel):
    if kernel == "host":
        pytest.skip("this kernel has vcan: nothing is started")
    program = "import sys; from bench.kernel import uml; from bench.cli import main; uml.BOOT_LIMIT_S = 0.2\n"
    program += "sys.exit(main(['vcan', '--', 'true']))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment(), capture_output=True, timeout=START_S
    )
    assert done.returncode == 125
    assert b"the guest did not start within 0.2 s; end of its console" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no command"),
        (["--timeout", "0", "--", "true"], "--timeout 0"),
        (["--count", "-1", "--", "true"], "--count -1"),
        (["--controllers", "2", "--", "true"], "--qemu"),
        (["--share", "/", "--", "true"], "--share /"),
        (["--share", "/nowhere", "--", "true"], "/nowhere"),
        (["-e", "=x", "--", "true"], "'' is no name of an environment variable"),
        (["-e", "a b=x", "--", "true"], "'a b' is no name of an environment variable"),
    ],
)
def test_wrong_use(tmp_path, arguments, message):
    done = vcan(tmp_path, *arguments)
    assert done.returncode == 2
    assert message in done.stderr.decode()


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (False, "user-mode-linux is fetched as a Debian package"),
        (True, "apt-get install -y --no-install-recommends gcc"),
    ],
    ids=["no apt", "no compiler"],
)
def test_what_is_missing_is_named(tmp_path, kernel, refused, message):
    if kernel == "host":
        pytest.skip("this kernel has vcan: nothing is fetched")
    # The machine of somebody else: a cache of its own, a PATH without apt and cc, a processor that needs the remedy or not.
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("ip", "setsid", "modprobe", "depmod"):
        (folder / name).symlink_to("/bin/true")
    program = "import sys; from bench.kernel import job, xstate; from bench.cli import main\n"
    program += f"job.with_system_folders = lambda path: path; xstate.refused = lambda: {refused}\n"
    program += "sys.exit(main(['vcan', '--', 'true']))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, timeout=START_S,
        env={**environment(), "XDG_CACHE_HOME": str(tmp_path), "PATH": str(folder)},
    )  # fmt: skip
    assert done.returncode == 126, done
    assert message in done.stderr.decode()


@pytest.mark.parametrize("cache", ["/proc/nowhere", "/dev/null/x"])
def test_a_cache_that_cannot_be_made(tmp_path, kernel, cache):
    if kernel == "host":
        pytest.skip("this kernel has vcan: nothing is fetched")
    done = subprocess.run(
        [sys.executable, "-m", "bench.cli", "vcan", "--", "true"], cwd=tmp_path, capture_output=True, timeout=START_S,
        env={**environment(), "XDG_CACHE_HOME": cache},
    )  # fmt: skip
    assert done.returncode == 126
    assert done.stderr.decode().startswith(f"tbox-bench vcan: cannot be set up: {cache}")
    assert done.stderr.count(b"\n") == 1


REMEDY = """
import ctypes, os, signal, sys
from bench.kernel import xstate
assert not xstate.refused(), "Linux takes the short buffer now"
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
libc.ptrace.restype = ctypes.c_long
words = (ctypes.c_long * 2)(-1, 5)
child = os.fork()
if not child:
    libc.ptrace(xstate.PTRACE_TRACEME, 0, None, None)
    os.kill(os.getpid(), signal.SIGSTOP)
os.waitpid(child, os.WUNTRACED)
def peek(address):
    ctypes.set_errno(77)
    return libc.ptrace(2, child, address, None), ctypes.get_errno()
print(peek(ctypes.addressof(words)), peek(ctypes.addressof(words) + ctypes.sizeof(ctypes.c_long)), peek(8))
os.kill(child, signal.SIGKILL)
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="User Mode Linux is for x86-64")
def test_the_remedy_for_large_register_areas(tmp_path):
    """Preloaded, it mends the one call, and a value of -1 is still told from an error."""
    library = remedy(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", REMEDY], capture_output=True, env={**environment(), "LD_PRELOAD": str(library)}
    )
    assert done.stdout.decode().strip() == f"(-1, 0) (5, 0) (-1, {errno.EIO})", done
    assert remedy(tmp_path) == library, "compiled once"
