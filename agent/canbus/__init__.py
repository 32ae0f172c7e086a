"""CAN in: a bus, its settings, the ways to hear it, and what goes wrong on it.

`bus` opens one path after the other and supervises it; `choice` says which, `feed` what a path is. Paths: `bcm` and `raw`
(SocketCAN, on the sockets of `kernel` and `batch`), `pythoncan` (with `slcan`), `player` (recordings). `arguments` holds the
settings of a [[can]]. Trouble: `trouble` counts and names it, out of `errorframe`, `link`, `load`; `guard` asks once a second.
"""
