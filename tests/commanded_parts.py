"""A terminal that can be commanded, for the tests: its configuration, its real outbox, its programs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from outbox_rows import Wall

from agent.clock import Clock
from agent.config import Can, Config, Platform, Vehicle
from agent.control import Control
from agent.core.editions import EDITIONS
from agent.outbox_thread import OutboxThread
from agent.platform.commanded import Commanded
from agent.platform.parameters import Parameters

TIME = bytes((0x19, 0x03, 0x0E, 0x09, 0x1A, 0x35))
WALL_S = 1_741_915_613
VIN = "LGBTEST0000000017"


def make_config(folder: Path, edition: str = "2016", platform: dict[str, Any] | None = None, **control: Any) -> Config:
    return Config(
        vehicle=Vehicle(VIN, "x.toml", edition=edition, hardware_version="HW1", firmware_version="1.2.0"),
        platform=Platform(**{"host": "ev.test.a", **(platform or {})}),
        can=[Can("pt", "virtual")],
        control=Control(**control),
        folder=str(folder),
    )


@asynccontextmanager
async def store(folder: Path) -> AsyncIterator[OutboxThread]:
    outbox = await OutboxThread.open(folder / "outbox.db", wall_s=Wall(), now_ms=Clock().now, kernel_boot="boot-a")
    try:
        yield outbox
    finally:
        await outbox.close()


@asynccontextmanager
async def commanded(config: Config, clock: Clock | None = None) -> AsyncIterator[tuple[Commanded, Parameters]]:
    async with store(Path(config.folder)) as outbox:
        edition = EDITIONS[config.vehicle.edition]
        parameters = await Parameters.load(config, edition, outbox)
        subject = Commanded(edition, config, parameters, clock or Clock())
        try:
            yield subject, parameters
        finally:
            await subject.close()


def with_edition(config: Config, edition: str) -> Config:
    return msgspec.structs.replace(config, vehicle=msgspec.structs.replace(config.vehicle, edition=edition))


def recorder(folder: Path, rest: str = "") -> tuple[list[str], Path]:
    """A program that writes its arguments, one a line, then does `rest` (shell); and the file they are written to."""
    script, record = folder / "program", folder / "record"
    script.write_text(
        f'#!/bin/sh\nfor argument in "$@"; do printf "%s\\n" "$argument"; done > {record}.new\nmv {record}.new {record}\n{rest}\n'
    )
    script.chmod(0o755)
    return [str(script)], record
