"""Whether User Mode Linux of Linux 6.1 can set the registers of its processes here, and the remedy where it cannot.

It sets them with a buffer of 2,696 bytes (x87 to AVX-512 and protection keys). Where the XSAVE area is larger, as on processors
with AMX, Linux refuses that with EFAULT and the guest stops at its first process. `regset.c` mends it.
"""

import ctypes
import errno
import fcntl
import hashlib
import importlib.resources
import os
import shutil
import signal
import subprocess
from pathlib import Path

from bench.kernel.job import SetUpError

PTRACE_TRACEME, PTRACE_GETREGSET, PTRACE_SETREGSET = 0, 0x4204, 0x4205
NT_X86_XSTATE = 0x202
BUFFER_SIZE = 2696


class _Vector(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def refused() -> bool:
    """Whether Linux refuses the kernel's buffer. Tried with a traced child and the very same call.

    A flag in /proc/cpuinfo (amx_tile) would tell of one cause, in a virtual machine perhaps not even that.
    SetUpError where nothing may be traced at all: without that there is no User Mode Linux.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    libc.ptrace.restype = ctypes.c_long
    child = os.fork()
    if not child:
        if libc.ptrace(PTRACE_TRACEME, 0, None, None) == 0:
            os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(1)
    try:
        stopped = os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1])
        if not stopped:
            child = 0
            raise SetUpError(
                "nothing may be traced with ptrace here, which User Mode Linux lives on; "
                "in a container: docker run --cap-add SYS_PTRACE"
            )
        buffer = ctypes.create_string_buffer(BUFFER_SIZE)
        vector = _Vector(ctypes.addressof(buffer), BUFFER_SIZE)
        if libc.ptrace(PTRACE_GETREGSET, child, NT_X86_XSTATE, ctypes.byref(vector)) != 0:
            return False  # no XSAVE: the kernel uses the older call then
        if libc.ptrace(PTRACE_SETREGSET, child, NT_X86_XSTATE, ctypes.byref(vector)) == 0:
            return False
        return ctypes.get_errno() == errno.EFAULT
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def remedy(cache: Path) -> Path:
    """The library to preload, compiled once into `cache`; SetUpError without a C compiler."""
    source = importlib.resources.files("bench.kernel").joinpath("regset.c").read_bytes()
    library = cache / f"regset-{hashlib.sha256(source).hexdigest()[:12]}.so"
    if library.exists():
        return library
    compiler = shutil.which("cc") or shutil.which("gcc")
    needed = "as root: apt-get install -y --no-install-recommends gcc libc6-dev"
    if compiler is None:
        raise SetUpError(
            "this processor has a larger XSAVE area (AMX) than User Mode Linux knows; "
            f"the remedy has to be compiled once, and there is no C compiler; {needed}"
        )
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        new = library.with_suffix(".new")
        done = subprocess.run(
            [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-x", "c", "-", "-o", str(new), "-ldl"],
            input=source,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            reason = done.stderr.decode(errors="replace").strip()
            raise SetUpError(f"{compiler} cannot compile the remedy for this processor; {needed}\n{reason}")
        new.rename(library)
    return library
