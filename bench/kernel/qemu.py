"""A machine emulated by QEMU: CAN controllers with a bitrate on one bus, and Debian's whole kernel. 13 to 19 times slower.

The processor is emulated even where KVM is there: what shows a driver at work should not depend on the machine it runs on.
"""

import lzma
import os
from collections.abc import Iterator
from pathlib import Path

from bench.kernel.fetch import Apt, modules_of, once, unpack
from bench.kernel.guest import Control, run_guest, shipped
from bench.kernel.job import Job, SetUpError, tool

MEMORY_MB = 1024
BOOT_LIMIT_S = 60.0  # it takes 5 to 10
KERNEL = "linux-image-amd64"
XZ_MAGIC = b"\xfd7zXZ\0"
BOOT_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
APPENDED = (
    "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off nokaslr tsc=reliable random.trust_cpu=on audit=0 "
    "cryptomgr.notests rcupdate.rcu_expedited=1"
)


def run(job: Job) -> int:
    """Run the job; its status, or TIMED_OUT or GUEST_DIED."""
    program = tool("qemu-system-x86_64")
    busybox = Path(tool("busybox"))
    if b"/ld-linux" in busybox.read_bytes()[:4096]:  # the program interpreter stands right behind the headers
        raise SetUpError(
            f"{busybox} needs libraries; as root: apt-get install -y --no-install-recommends busybox-static"
        )
    for other in ("ip", "setsid", "modprobe"):
        tool(other)
    kernel = once("qemu", _make)
    modules = next((kernel / "lib/modules").iterdir())
    with Control(job, "qemu") as control:
        control.write_settings(control.folder, modules=str(modules), share=str(job.share))
        initrd = control.folder / "initrd"
        initrd.write_bytes(_initrd(busybox, modules, (control.folder / "settings").read_bytes()))
        argv = [program, "-M", "pc", "-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max", "-m", str(MEMORY_MB)]
        argv += ["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-nic", "none"]
        argv += ["-kernel", str(kernel / "boot"), "-initrd", str(initrd), "-append", APPENDED]
        argv += ["-chardev", f"file,id=console,path={control.console},append=on", "-serial", "chardev:console"]
        argv += [*_folder("root", Path("/"), ",readonly=on"), *_folder("share", job.share)]
        argv += _folder("control", control.shared)
        if job.controllers:
            argv += ["-object", "can-bus,id=bus", *["-device", "kvaser_pci,canbus=bus"] * job.controllers]
        return run_guest(job, control, argv, os.environ, BOOT_LIMIT_S)


def _folder(tag: str, path: Path, more: str = "") -> list[str]:
    quoted = str(path).replace(",", ",,")
    shared = f"local,id={tag},path={quoted},security_model=none,multidevs=remap{more}"
    return ["-fsdev", shared, "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]


def _make(folder: Path) -> None:
    package = Apt(KERNEL, folder.parent).first_dependency("linux-image-")
    unpacked = folder.parent / "unpacked"
    unpack(package, unpacked)
    (folder / "lib").mkdir()
    modules = next(path for path in (unpacked / "lib/modules", unpacked / "usr/lib/modules") if path.is_dir())
    modules.rename(folder / "lib/modules")
    modules_of(folder / "lib/modules")
    compressed = next((unpacked / "boot").glob("vmlinuz-*")).read_bytes()
    # Its own unpacking costs two seconds of an emulated processor: done here, and QEMU starts the ELF file by its PVH note.
    start = compressed.find(XZ_MAGIC)
    plain = lzma.LZMADecompressor().decompress(compressed[start:]) if start >= 0 else b""
    (folder / "boot").write_bytes(plain if plain.startswith(b"\x7fELF") else compressed)


def _initrd(busybox: Path, modules: Path, settings: bytes) -> bytes:
    """A cpio archive (newc) that the kernel unpacks into its first root."""
    paths = _with_needs(modules, BOOT_MODULES)
    entries = [(name, 0o040755, b"") for name in ("bin", "modules", "proc", "sys", "dev", "lower", "ram", "root")]
    entries += [(f"modules/{_plain_name(path)}", 0o100644, _plain(path)) for path in paths]
    entries.append(("modules/list", 0o100644, "".join(f"{_plain_name(path)}\n" for path in paths).encode()))
    entries += [("bin/busybox", 0o100755, busybox.read_bytes()), ("settings", 0o100644, settings)]
    entries += [("init", 0o100755, shipped("qemu-init.sh")), ("TRAILER!!!", 0, b"")]
    return b"".join(_entry(number, *entry) for number, entry in enumerate(entries, 1))


def _entry(number: int, name: str, mode: int, content: bytes) -> bytes:
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + "".join(f"{field:08x}" for field in fields).encode() + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)


def _with_needs(modules: Path, names: tuple[str, ...]) -> list[Path]:
    """Files of these modules behind those that they need; what is built into the kernel is left out."""
    needs = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        needs[path.rpartition("/")[2].partition(".")[0].replace("-", "_")] = (path, others.split())

    def lines() -> Iterator[str]:
        for name in names:
            if name in needs:
                path, others = needs[name]
                yield from reversed(others)
                yield path

    return [modules / path for path in dict.fromkeys(lines())]


def _plain_name(path: Path) -> str:
    return path.name.removesuffix(".xz")


def _plain(path: Path) -> bytes:
    content = path.read_bytes()
    return lzma.decompress(content) if path.suffix == ".xz" else content
