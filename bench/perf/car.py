"""The reference car at many times real time: every message, at as few frames as keep all its signals fresh.

python -m bench.perf.car INTERFACE CHANNEL SPEED EPOCH

At 60 times real time the car's own 560 frames/s would be 34,000; neither Python sends so many nor is receiving them what
is measured here. Messages are sent more rarely, in the car's time, yet several times within each of their timeouts.
"""

import asyncio
import signal
import sys

from agent.clock import Clock
from bench.cycles import URBAN
from bench.frames import load_frames, reference_dbc
from bench.physics import Car
from bench.vehicle import Vehicle, open_bus

RARER = 8
SLOWEST_MS = 200  # timeouts are 1000 ms and more


async def _drive(interface: str, channel: str, speed: str, epoch: str) -> None:
    frames = load_frames(reference_dbc())
    for frame in frames.values():
        frame.cycle_ms = max(frame.cycle_ms, min(RARER * frame.cycle_ms, SLOWEST_MS))
    with open_bus(interface, channel) as bus:
        vehicle = Vehicle(bus=bus, clock=Clock(speed, float(epoch)), car=Car("ev", URBAN), frames=frames)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, vehicle.stop)
        await vehicle.run()


if __name__ == "__main__":
    asyncio.run(_drive(*sys.argv[1:]))
