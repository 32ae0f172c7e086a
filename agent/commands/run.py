"""`tbox run`: the terminal itself."""

import argparse

NAME = "run"
HELP = "read the buses, report, keep what cannot be sent"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="configuration (TOML)")
    parser.add_argument("--speed", default="1", metavar="N", help="run N times faster (virtual buses and logs only)")
    parser.add_argument("--epoch", type=float, metavar="T", help="real Unix time that the scaled clocks of a run share")


def run(args: argparse.Namespace) -> int:
    import asyncio
    import logging

    from agent.app import Agent, run_until_stopped
    from agent.clock import Clock
    from agent.config import load_config

    config = load_config(args.config)
    if args.log_level is None and not args.verbose:
        logging.getLogger().setLevel(config.log.level.upper())
    agent = Agent(config, Clock(args.speed, args.epoch), args.config)
    asyncio.run(run_until_stopped(agent))
    return 0
