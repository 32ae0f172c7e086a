"""ICCID and signal strength from ModemManager, by its program mmcli: it holds the modem's ports, and nobody else may."""

import asyncio
import json
from typing import Any

from agent.attached.modem_at import Reading, tidy_iccid
from agent.errors import DeviceError

NAME = "ModemManager"
ANSWER_S = 10
MOST_DIGITS = 3  # of a percentage
NONE = "--"  # how mmcli writes that there is nothing


async def ask_manager() -> Reading:
    """What the first modem says; DeviceError when there is none, or no ModemManager."""
    modems = _at(await _mmcli("-L"), "modem-list")
    if not isinstance(modems, list) or not modems:
        raise DeviceError(NAME, "it has no modem")
    modem = _at(await _mmcli("-m", str(modems[0])), "modem", "generic")
    quality, sim = str(_at(modem, "signal-quality", "value")), _at(modem, "sim")
    percent = int(quality) if quality.isdecimal() and len(quality) <= MOST_DIGITS else None
    if not isinstance(sim, str) or sim in ("", NONE):
        return Reading(None, "the modem sees no SIM card", None, percent)
    iccid = tidy_iccid(str(_at(await _mmcli("-i", sim), "sim", "properties", "iccid")))
    return Reading(iccid, "" if iccid else "the SIM card tells no ICCID", None, percent)


def _at(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


async def _mmcli(*arguments: str) -> Any:
    try:
        process = await asyncio.create_subprocess_exec(
            "mmcli",
            "-J",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError:
        raise DeviceError(NAME, "there is no program mmcli; install modemmanager, or name the modem's port") from None
    except OSError as error:
        raise DeviceError(NAME, f"mmcli: {error.strerror}") from error
    try:
        async with asyncio.timeout(ANSWER_S):
            out, said = await process.communicate()
    except TimeoutError:
        raise DeviceError(NAME, f"mmcli has not answered for {ANSWER_S} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        reason = said.decode("utf-8", "replace").strip().removeprefix("error: ").partition("\n")[0]
        raise DeviceError(NAME, reason or f"mmcli ended with {process.returncode}")
    try:
        return json.loads(out)
    except (ValueError, RecursionError):
        raise DeviceError(NAME, "mmcli printed no JSON") from None
