"""Vehicle and agent in one process on python-can's `virtual` bus: for machines without multicast.

python -m bench.onebus CONFIG VARIANT --speed N --epoch T
"""

import argparse
import asyncio
import logging
import signal
import sys

from agent.app import Agent
from agent.clock import Clock
from agent.config import load_config
from bench.commands.vehicle import read_controls
from bench.cycles import URBAN
from bench.frames import load_frames, reference_dbc
from bench.physics import Car
from bench.vehicle import Vehicle, open_bus


async def _run(args: argparse.Namespace) -> None:
    clock = Clock(args.speed, args.epoch)
    config = load_config(args.config)
    bus = config.can[0]
    with open_bus(bus.interface, bus.channel) as opened:
        car = Car(args.variant, URBAN, 1)
        vehicle = Vehicle(bus=opened, clock=clock, car=car, frames=load_frames(reference_dbc()))
        read_controls(vehicle, asyncio.get_running_loop())
        agent = asyncio.create_task(Agent(config, clock, args.config).run())
        driving = asyncio.create_task(vehicle.run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, agent.cancel)
        try:
            await agent
        except asyncio.CancelledError:
            vehicle.stop()
        finally:
            driving.cancel()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.onebus")
    parser.add_argument("config")
    parser.add_argument("variant")
    parser.add_argument("--speed", default="1")
    parser.add_argument("--epoch", type=float)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(_run(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
