"""A kernel that has CAN, for one command: this machine's own, User Mode Linux, or a machine emulated by QEMU.

`host.py`, `uml.py` and `qemu.py` each run a `Job`; `guest.py` is what the two guests share, `keeper.py` sees to it that
nothing stays behind, `fetch.py` brings the kernels.
"""
