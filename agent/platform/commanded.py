"""What the platform commands (80, 81, 82), done on the host: parameters kept, programs run, upgrades fetched.

`core.terminal` judges; `respond` does what has to be done before the answer, `carry_out` what comes after it has left. Whatever
is ordered or refused is logged as security-relevant, with a limit: a platform must not fill the disk with it.
"""

import asyncio
import logging
import os
import unicodedata
from collections import deque
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from agent.beijing import BEIJING
from agent.core.packet import ERROR, SUCCESS
from agent.core.terminal import (
    ALARM,
    DROP_LINK,
    FACTORY_SETTINGS,
    FIRMWARE_VERSION,
    HARDWARE_VERSION,
    MONITORING,
    POWER_OFF,
    RESET,
    UPGRADE,
    Permissions,
    Terminal,
)
from agent.platform import programs
from agent.platform.parameters import MONITORED, SAMPLING_MONITORING
from agent.platform.upgrade import Upgrade
from agent.platform.upgrade_fetch import shown
from agent.remarks import Remarks

if TYPE_CHECKING:
    from agent.clock import Clock
    from agent.config import Config
    from agent.core.edition import Edition
    from agent.core.terminal import Reply
    from agent.platform.parameters import Parameters

log = logging.getLogger(__name__)

MOST_STARTS = 10  # of one program a minute: each is logged, and costs a process
STARTS_MS = 60_000
PROGRAMS = {POWER_OFF: "power_off", RESET: "reset", UPGRADE: "upgrade", ALARM: "alarm"}
LINES_OF_TEXT = str.maketrans(dict.fromkeys("\r\n\t\v\f\u2028\u2029", " "))


class Answer(msgspec.Struct, frozen=True):
    """What to answer, and what follows from it.

    `flag`: 01, 02, or None for no answer (damaged, to be counted). `values`: rows of the answer to a query, else None. `reason`:
    why not. `link`: what to do with the link once the answer has left: "", "drop" (open it again after 60 s), "move" (open it to
    `Parameters.endpoint()`). `changed`: parameters with another value than before. `action`: for `carry_out`.
    """

    flag: int | None
    values: dict[str, Any] | None = None
    reason: str = ""
    link: str = ""
    changed: frozenset[int] = frozenset()
    action: tuple[Any, ...] = ()


class CommandedCounters(msgspec.Struct):
    """What was answered since the start of the process; `security`: refusals of what nobody may try, failed upgrades."""

    done: int = 0
    refused: int = 0
    damaged: int = 0
    security: int = 0


class Commanded:
    """The terminal's obedience, within the limits of the configuration. ConfigError when upgrades cannot be checked."""

    def __init__(
        self,
        edition: "Edition",
        config: "Config",
        parameters: "Parameters",
        clock: "Clock",
        file: str = "configuration",
    ) -> None:
        self.counters = CommandedCounters()
        self._config = config
        self._control = config.control
        self._parameters = parameters
        self._clock = clock
        self._terminal = Terminal(edition, {}, permissions(config))
        self._upgrade = self._make_upgrade(file) if config.control.upgrade else None
        self._remarks = Remarks(log)
        self._running: dict[int, asyncio.Task[None]] = {}
        self._starts = {number: deque[int](maxlen=MOST_STARTS) for number in PROGRAMS}  # the last ones, monotonic ms

    async def respond(self, command: int, unit: bytes, authenticated: bool, wall_s: int) -> Answer:
        """Judge the plain unit of a command and do what must be done before its answer leaves. Never raises for what came.

        `authenticated`: the link has proved whose it is (TLS with a checked certificate). `wall_s`: Unix second, for the log.
        """
        before = self._parameters.values
        self._terminal.values = before
        reply = self._terminal.respond(command, unit, authenticated)
        refusal, link = await self._prepare(reply)
        if refusal:
            reply.flag, reply.reason, reply.action = ERROR, refusal, ()
        after = self._parameters.values
        changed = frozenset(number for number, value in after.items() if before.get(number) != value)
        self._say(command, reply, wall_s)
        return Answer(reply.flag, reply.values, reply.reason, link, changed, reply.action)

    async def carry_out(self, answer: Answer) -> None:
        """Start what an answer promised; does not wait for it. Call it when the answer has left."""
        if answer.action[:1] != ("control",) or answer.action[1] not in PROGRAMS:
            return
        _, number, values = answer.action
        if self._busy(number):
            return
        self._starts[number].append(self._clock.now())
        self._running[number] = asyncio.create_task(self._work(number, values), name=f"control {number:02X}")

    async def idle(self) -> None:
        """Wait until nothing that was ordered is under way."""
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def close(self) -> None:
        """End what is under way, programs too."""
        for task in self._running.values():
            task.cancel()
        await self.idle()

    def _make_upgrade(self, file: str) -> Upgrade:
        hardware, firmware = (
            bytes(self._parameters.file[number]).rstrip(b"\0").decode()
            for number in (HARDWARE_VERSION, FIRMWARE_VERSION)
        )
        return Upgrade(self._config, self._clock, hardware, firmware, file)

    # -- before the answer ---------------------------------------------------------------------------------------------

    async def _prepare(self, reply: "Reply") -> tuple[str, str]:
        """What comes before the answer: (why it must be refused after all, what to do with the link)."""
        if not reply.action:
            return "", ""
        endpoint = self._place()
        if reply.action[0] == "set":
            if not await self._parameters.set(reply.action[1]):
                return "the disk does not take the parameters", ""
        elif reply.action[1] == FACTORY_SETTINGS:
            if not await self._parameters.factory_settings():
                return "the disk does not take the factory settings", ""
        elif reply.action[1] == DROP_LINK:
            return "", "drop"
        elif reply.action[1] == MONITORING:
            if self._parameters.public_endpoint() is None:
                return "no public platform is known (platform.public_host, or parameters 0E and 0F)", ""
            if not await self._parameters.set({SAMPLING_MONITORING: MONITORED}):
                return "the disk does not take the parameters", ""
        else:
            return self._program_fault(*reply.action[1:]), ""
        return "", "move" if self._place() != endpoint else ""

    def _place(self) -> tuple[str, int]:
        endpoint = self._parameters.endpoint()
        return endpoint.host, endpoint.port

    def _program_fault(self, number: int, values: dict[str, Any]) -> str:
        argv = getattr(self._control, PROGRAMS[number])
        if not (Path(argv[0]).is_file() and os.access(argv[0], os.X_OK)):
            return f"the program of control {number:02X} cannot be run: {argv[0]}"
        if self._busy(number):
            return f"the program of control {number:02X} is still running"
        starts = self._starts[number]
        if len(starts) == MOST_STARTS and self._clock.now() - starts[0] < STARTS_MS:
            return f"the program of control {number:02X} was started {MOST_STARTS} times within a minute"
        if number == UPGRADE and self._upgrade is not None:
            return self._upgrade.refusal(values)
        return ""

    def _busy(self, number: int) -> bool:
        task = self._running.get(number)
        return task is not None and not task.done()

    # -- after the answer ----------------------------------------------------------------------------------------------

    async def _work(self, number: int, values: dict[str, Any]) -> None:
        try:
            await (self._fetch(values) if number == UPGRADE else self._run(number, values))
        except OSError as error:  # no pipe, no folder
            self.counters.security += 1
            log.error("security: control %02X failed: %s", number, error)

    async def _run(self, number: int, values: dict[str, Any]) -> None:
        name = PROGRAMS[number]
        given = _alarm_arguments(values) if number == ALARM else {}
        await programs.run(name, getattr(self._control, name), given, self._control.timeout_s)

    async def _fetch(self, order: dict[str, Any]) -> None:
        assert self._upgrade is not None  # noqa: S101 - an upgrade is only permitted with one
        async with self._upgrade.package(order) as package:
            if package is None:
                self.counters.security += 1
                return
            given = {"{file}": str(package.path), "{version}": package.version}
            await programs.run("upgrade", self._control.upgrade, given, self._control.upgrade_timeout_s)

    def _say(self, command: int, reply: "Reply", wall_s: int) -> None:
        now, at = self._clock.now(), datetime.fromtimestamp(wall_s, BEIJING)
        what = f"{command:02X}" + (f"/{reply.action[1]:02X}" if reply.action[:1] == ("control",) else "")
        if reply.flag == SUCCESS:
            self.counters.done += 1
            if reply.action:
                text = "security: command of the platform accepted command=%s at=%s%s"
                self._remarks.say(now, logging.WARNING, text, what, at, _described(reply))
            else:
                self._remarks.say(now, logging.INFO, "parameters read by the platform%s", _led_by(": ", reply.reason))
        elif reply.flag is None:
            self.counters.damaged += 1
            self._remarks.say(
                now, logging.WARNING, "command of the platform ignored command=%s: %s", what, reply.reason
            )
        else:
            self.counters.refused += 1
            self.counters.security += reply.reason.startswith("security:")
            self._remarks.say(
                now,
                logging.WARNING,
                "command of the platform refused command=%s at=%s: %s",
                what,
                at,
                reply.reason,
            )


def permissions(config: "Config") -> Permissions:
    """What the configuration lets a platform do."""
    control = config.control
    enabled = [number for number, name in PROGRAMS.items() if getattr(control, name)]
    enabled.append(MONITORING)
    enabled += [FACTORY_SETTINGS] * control.factory_settings + [DROP_LINK] * control.drop_link
    places = tuple(place.lower().encode() for place in config.platform.allowed_platforms)
    return Permissions(control.parameters, places, tuple(enabled))


def _described(reply: "Reply") -> str:
    """What was accepted, behind a blank, without secrets: an upgrade order carries a password."""
    if reply.action[:1] == ("set",):
        return "".join(f" {number:02X}={value!r}" for number, value in reply.action[1].items())
    if reply.action[:2] == ("control", UPGRADE):
        return _led_by(" ", shown(reply.action[2]["url"].decode()))
    return ""


def _led_by(mark: str, text: str) -> str:
    return mark + text if text else ""


def _alarm_arguments(values: dict[str, Any]) -> dict[str, str]:
    level = "invalid" if values["level"] == 0xFF else str(values["level"])
    return {"{level}": level, "{text}": plain_text(values["text"])}


def plain_text(data: bytes) -> str:
    """Text of GB 18030 as one line without control, format and unknown characters.

    Dashes at its begin go too: a program must not take the text for an option.
    """
    text = data.decode("gb18030", "replace").translate(LINES_OF_TEXT)
    kept = "".join(letter for letter in text if unicodedata.category(letter)[0] != "C")
    return kept.lstrip("- ").rstrip()
