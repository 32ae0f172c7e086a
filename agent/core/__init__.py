"""The pure core: GB/T 32960 without I/O, without a clock, in integers.

It imports `struct`, `collections` and itself only and runs unchanged on CPython 3.11+ and MicroPython 1.27+.
What MicroPython does not have, and the core therefore does not use: dataclasses, enum, typing at run time, `match`, `/` in
signatures, `[*a]`, `{**a}`, `raise ... from`, `struct.Struct`, `struct.error`, keyword arguments of `to_bytes` and
`from_bytes`, `del buffer[:n]`, metaclasses, `__slots__` that saves anything, namedtuple extras.
MicroPython's `struct.pack` wraps silently (300 in a byte gives `,`): every range is checked before packing.
"""
