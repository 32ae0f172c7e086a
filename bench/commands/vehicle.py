"""`tbox-bench vehicle`: the reference car on a CAN bus. Controls are read line by line from stdin."""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.clock import Clock
    from bench.vehicle import Vehicle

NAME = "vehicle"
HELP = "send the reference car's CAN frames; controls come line by line from stdin"

CONTROL_HELP = """controls on stdin:
  alarm NAME on|off        raise or clear a general alarm (--list-alarms); the mapping gives its level:
                           brake_system, storage_overcharge are 3, thermal_event is 4
  charge ac|dc|off         stop, plug in and charge; unplug and drive on
  ignition on|off          stop and switch off (the bus stays awake); switch on and drive on
  drop MESSAGE [on|off]    stop sending one message of the DBC
  silence on|off           stop sending anything
"""
MAX_SPEED = 30.0  # about 17,000 frames/s: what one process sends

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.epilog = CONTROL_HELP
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--interface", default="udp_multicast", help="python-can interface (default: %(default)s)")
    parser.add_argument("--channel", default="239.74.163.2", help="its channel (default: %(default)s)")
    parser.add_argument("--variant", choices=("ev", "hybrid", "fuel_cell"), default="ev", help="default: %(default)s")
    parser.add_argument("--cycle", metavar="FILE[:COLUMN]", help="CSV of km/h per second (default: short urban cycle)")
    parser.add_argument("--seed", type=int, default=1, help="another car of the same make (default: %(default)s)")
    parser.add_argument("--speed", type=float, default=1.0, help=f"times real time, 0.1 to {MAX_SPEED:g}")
    parser.add_argument("--epoch", type=float, help="real Unix time that all processes of a scaled run share")
    parser.add_argument("--seconds", type=float, help="end after so many seconds of the car's time")
    parser.add_argument("--print", action="store_true", dest="print_truth", help="true values as a JSON line a second")
    parser.add_argument(
        "--list-alarms", action="store_true", help="print the alarms, their signals and trouble codes, then end"
    )


def run(args: argparse.Namespace) -> int:
    """Send until stopped; 0 after a signal or --seconds, 1 if the bus cannot be opened, 2 for wrong use."""
    from agent.errors import BusError

    if args.list_alarms:
        from bench.alarms import ALARMS, alarms_of

        for name in alarms_of(args.variant):
            alarm = ALARMS[name]
            print(f"{name}\t{alarm.message}.{alarm.signal}\t{alarm.code:06x}")
        return 0
    fault = _fault(args)
    if fault:
        print(f"tbox-bench vehicle: {fault}", file=sys.stderr)
        return 2
    if args.log_level is None and not args.verbose:
        logging.getLogger("bench").setLevel(logging.INFO)
    try:
        return asyncio.run(_drive(args))
    except BusError as error:
        print(f"tbox-bench vehicle: {error}", file=sys.stderr)
        return 1


def _fault(args: argparse.Namespace) -> str:
    """What is wrong with the options, or nothing; loads the cycle into `args.cycle`."""
    from agent.canlibrary import can
    from bench.cycles import URBAN, CycleError, load_cycle
    from bench.vehicle import can_be_scaled

    if args.interface not in can.VALID_INTERFACES:
        return f"--interface {args.interface}: does not exist; there are: {', '.join(sorted(can.VALID_INTERFACES))}"
    if not 0.1 <= args.speed <= MAX_SPEED:
        return f"--speed {args.speed:g}: is not in 0.1..{MAX_SPEED:g}"
    if args.speed != 1 and not can_be_scaled(args.interface, args.channel):
        return f"--speed {args.speed:g}: a real bus runs in real time; only udp_multicast, virtual and vcan do not"
    if args.seconds is not None and not args.seconds > 0:
        return f"--seconds {args.seconds:g}: must be more than 0"
    try:
        args.cycle = load_cycle(args.cycle) if args.cycle else URBAN
    except CycleError as error:
        return f"--cycle: {error}"
    return ""


async def _drive(args: argparse.Namespace) -> int:
    from agent.clock import Clock
    from bench.frames import load_frames, reference_dbc
    from bench.physics import Car
    from bench.vehicle import Vehicle, open_bus

    clock = Clock(args.speed, args.epoch)
    car = Car(args.variant, args.cycle, args.seed)
    frames = load_frames(reference_dbc())
    with open_bus(args.interface, args.channel) as bus:
        vehicle = Vehicle(bus=bus, clock=clock, car=car, frames=frames)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, vehicle.stop)
        read_controls(vehicle, loop)
        log.info("driving variant=%s cycle=%s bus=%s:%s", args.variant, args.cycle.name, args.interface, args.channel)
        async with asyncio.TaskGroup() as group:
            printing = group.create_task(_print_truth(vehicle, clock)) if args.print_truth else None
            await vehicle.run(args.seconds)
            if printing is not None:
                printing.cancel()
        counters = vehicle.counters
        log.info("stopped sent=%d skipped=%d refused=%d", counters.sent, counters.skipped, counters.refused)
    return 0


def read_controls(vehicle: "Vehicle", loop: asyncio.AbstractEventLoop) -> None:
    """Follow stdin from a thread: unlike the loop it can read anything, a file or /dev/null too."""
    # In the background of a terminal a read would stop the process; ignored, it fails and ends the thread.
    signal.signal(signal.SIGTTIN, signal.SIG_IGN)

    def follow(line: str) -> None:
        from bench.vehicle import ControlError

        try:
            vehicle.command(line)
        except ControlError as error:
            log.error("%s", error)

    def read() -> None:
        # The bare descriptor: a thread that waits inside sys.stdin's lock breaks the interpreter's end.
        rest = b""
        try:
            while data := os.read(0, 4096):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    loop.call_soon_threadsafe(follow, line.decode(errors="replace"))
        except (OSError, RuntimeError):  # no terminal any more; or the loop has ended
            return

    threading.Thread(target=read, name="controls", daemon=True).start()


async def _print_truth(vehicle: "Vehicle", clock: "Clock") -> None:
    now = clock.now()
    while True:
        now += 1000
        await clock.sleep_until(now)
        try:
            print(json.dumps({"time": clock.wall_ms() / 1000, "signals": vehicle.truth()}), flush=True)
        except BrokenPipeError:  # the reader has seen enough
            vehicle.stop()
            return
