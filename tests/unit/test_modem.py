"""The modem: dialects on a pseudo terminal, ModemManager's program played by a script, and what the login then carries."""

import asyncio
import json
import logging
import stat
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pty_parts import AnsweringModem

from agent.attached.devices import Modem as Settings
from agent.attached.modem import Modem, Reading, masked
from agent.attached.modem_at import dbm_of, tidy_iccid
from agent.clock import Clock
from agent.commands.check import run as run_check
from agent.errors import DeviceError

CARD = "89860123456789012345"
OTHER = "89860199999999990001"
PATIENCE_S = 20


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.attached.modem_at.ANSWER_MS", 300)
    monkeypatch.setattr("agent.attached.modem_at.WAKE_MS", 150)
    monkeypatch.setattr("agent.backoff.FIRST_DELAY_S", 0.05)


def quectel(command: str) -> str:
    return {
        "AT+CCID": f"\r\n+CCID: {CARD}\r\n\r\nOK\r\n",
        "AT+QCCID": f"\r\n+QCCID: {CARD}\r\n\r\nOK\r\n",
        "AT+CSQ": "\r\n+CSQ: 23,99\r\n\r\nOK\r\n",
        "ATE0": "\r\nOK\r\n",
    }.get(command, "\r\nERROR\r\n")


def simcom(command: str) -> str:
    return {
        "AT+CICCID": f"\r\n+ICCID: {CARD}\r\n\r\nOK\r\n",
        "AT+CSQ": "\r\n+CSQ: 23,0\r\n\r\nOK\r\n",
        "ATE0": "\r\nOK\r\n",
    }.get(command, "\r\n+CME ERROR: 100\r\n" if command.startswith("AT^") else "\r\nERROR\r\n")


def bare(command: str) -> str:
    """SIMCom's older ones print the number alone."""
    return simcom(command) if command != "AT+CCID" else f"\r\n{CARD}\r\n\r\nOK\r\n"


def chatty(command: str) -> str:
    """Unasked words before, between and behind."""
    said = quectel(command).replace("\r\n\r\nOK", '\r\n\r\n+CREG: 1,"89AB","0123"\r\n\r\nRDY\r\n\r\nOK')
    return f'\r\n+QIND: "csq",20,99\r\n{said}\r\nRING\r\n'


def huawei(command: str) -> str:
    return (
        f'\r\n^ICCID: "{CARD[:19]}F"\r\n\r\nOK\r\n'
        if command == "AT^ICCID?"
        else simcom("" if "ICC" in command else command)
    )


def asked(path: Path, answer: Callable[[str], str]) -> tuple[Reading, list[str]]:
    with AnsweringModem(path / "modem", answer) as device:
        reading = asyncio.run(modem(device.path).ask())
        return reading, device.heard


def modem(path: Path, on_iccid: Callable[[str], None] = lambda _: None) -> Modem:
    return Modem(Settings(port=str(path)), Clock(), Random(1), on_iccid)


# --- what modems print ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "iccid"),
    [
        (f"+CCID: {CARD}", CARD),
        (f'+CCID: "{CARD}"', CARD),
        (f"+QCCID: {CARD}", CARD),
        (f"+ICCID: {CARD}", CARD),
        (f"^ICCID:{CARD}", CARD),
        (f"  {CARD} ", CARD),
        (CARD[:19], CARD[:19]),
        (CARD[:19] + "F", CARD[:19]),
        (CARD[:19] + "f", CARD[:19]),
        ("8986001234567890123D", "8986001234567890123D"),
        (CARD[:18], None),
        (CARD[:18] + "F", None),
        (CARD + "1", None),
        ("12" + CARD[2:], None),
        ('+CMT: "89860123456789012345"', None),
        (f"+CCID: {CARD} x", None),
        ("", None),
    ],
)
def test_iccids(text: str, iccid: str | None) -> None:
    assert tidy_iccid(text) == iccid


@given(st.text(max_size=40))
def test_any_text_is_an_iccid_or_none(text: str) -> None:
    iccid = tidy_iccid(text)
    assert iccid is None or len(iccid) in (19, 20)


@pytest.mark.parametrize(
    ("rssi", "dbm"),
    [(0, -113), (1, -111), (31, -51), (32, None), (99, None), (100, -116), (191, -25), (192, None), (199, None)],
)
def test_signal_strength(rssi: int, dbm: int | None) -> None:
    assert dbm_of(rssi) == dbm


def test_signals_as_text() -> None:
    assert [Reading(None, "", dbm, percent).signal for dbm, percent in ((-67, None), (None, 40), (None, None))] == [
        "-67 dBm",
        "40 %",
        "unknown",
    ]


# --- on a port --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [quectel, simcom, bare, chatty])
def test_dialects(tmp_path: Path, answer: Callable[[str], str]) -> None:
    reading, heard = asked(tmp_path, answer)
    assert reading == Reading(CARD, "", -67)
    assert heard[0] == "ATE0"


def test_a_number_of_nineteen_digits(tmp_path: Path) -> None:
    assert asked(tmp_path, huawei)[0].iccid == CARD[:19]


def test_a_modem_that_goes_on_echoing(tmp_path: Path) -> None:
    with AnsweringModem(tmp_path / "modem", quectel) as device:
        device.answer = lambda command: command + "\r" + quectel(command)
        assert asyncio.run(modem(device.path).ask()) == Reading(CARD, "", -67)


@pytest.mark.parametrize("said", ["+CME ERROR: 10", "+CME ERROR: SIM not inserted"])
def test_no_card(tmp_path: Path, said: str) -> None:
    reading, _ = asked(tmp_path, lambda command: f"\r\n{said}\r\n" if "CCID" in command else quectel(command))
    assert reading == Reading(None, "the modem sees no SIM card", -67)


def test_no_signal_and_no_command_known(tmp_path: Path) -> None:
    reading, heard = asked(tmp_path, lambda command: "\r\nOK\r\n" if command == "ATE0" else "\r\nERROR\r\n")
    assert reading == Reading(None, "no command for it is known to the modem")
    assert len(heard) == 1 + 5 + 1


def test_a_modem_that_stops_in_the_middle(tmp_path: Path) -> None:
    reading, _ = asked(tmp_path, lambda command: "\r\nOK\r\n" if command == "ATE0" else "\r\n+CCI")
    assert reading.iccid is None
    assert reading.reason.startswith("no answer to AT")


def test_the_first_words_are_lost_on_a_sleeping_modem(tmp_path: Path) -> None:
    calls: list[str] = []

    def drowsy(command: str) -> str:
        calls.append(command)
        return quectel(command) if len(calls) > 2 else ""

    assert asked(tmp_path, drowsy)[0].iccid == CARD


def test_ports_without_a_modem(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="no answer to AT commands"):
        asked(tmp_path, lambda _: "")
    with pytest.raises(DeviceError, match="there is no such device"):
        asyncio.run(modem(tmp_path / "none").ask())


def test_what_answered_once_is_asked_first(tmp_path: Path) -> None:
    async def scene() -> None:
        with AnsweringModem(tmp_path / "modem", simcom) as device:
            asking = modem(device.path)
            await asking.ask()
            before = len(device.heard)
            await asking.ask()
            assert device.heard[before:] == ["ATE0", "AT+CICCID", "AT+CSQ"]

    asyncio.run(scene())


def test_a_card_is_told_once_and_a_changed_one_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("agent.attached.modem.ASK_AGAIN_MS", 20)
    told: list[str] = []

    async def until(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(0.01)

    async def scene() -> None:
        path = tmp_path / "modem"
        asking = modem(path, told.append)
        task = asyncio.create_task(asking.run())
        await until(lambda: "no such device" in (asking.problem or ""))
        assert not asking.known.is_set()
        with AnsweringModem(path, quectel) as device:
            await until(lambda: device.heard.count("AT+CSQ") > 2)
            assert (told, asking.known.is_set(), asking.problem) == ([CARD], True, None)
            device.answer = lambda command: quectel(command).replace(CARD, OTHER)
            await until(lambda: told == [CARD, OTHER])
        await until(lambda: asking.problem is not None)
        assert asking.reading is None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scene())
    assert CARD not in caplog.text
    assert OTHER not in caplog.text
    assert masked(OTHER) in caplog.text


# --- ModemManager -----------------------------------------------------------------------------------------------------

MODEM = "/org/freedesktop/ModemManager1/Modem/0"
SIM = "/org/freedesktop/ModemManager1/SIM/0"
LIST = {"modem-list": [MODEM]}
GENERIC = {"modem": {"generic": {"sim": SIM, "signal-quality": {"recent": "yes", "value": "67"}}}}
CARD_PROPERTIES = {"sim": {"properties": {"iccid": CARD, "imsi": "460001234567890"}}}


def manager(folder: Path, monkeypatch: pytest.MonkeyPatch, *answers: object, exit_: int = 0) -> Modem:
    """A program mmcli that gives its answers to -L, -m and -i."""
    lines = ["#!/bin/sh", '[ "$1" = -J ] || exit 9', "case $2 in"]
    for option, answer in zip(("-L", "-m", "-i"), answers, strict=False):
        lines.append(f"{option}) echo '{answer if isinstance(answer, str) else json.dumps(answer)}';;")
    lines += ["esac", f'[ {exit_} = 0 ] || echo "error: couldn\'t find the ModemManager process" >&2', f"exit {exit_}"]
    program = folder / "mmcli"
    program.write_text("\n".join(lines) + "\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    return Modem(Settings(manager=True), Clock(), Random(1), lambda _: None)


def test_modem_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = asyncio.run(manager(tmp_path, monkeypatch, LIST, GENERIC, CARD_PROPERTIES).ask())
    assert reading == Reading(CARD, "", None, 67)


def test_modem_manager_without_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = {"modem": {"generic": {"sim": "--", "signal-quality": {"value": "--"}}}}
    reading = asyncio.run(manager(tmp_path, monkeypatch, LIST, empty).ask())
    assert reading == Reading(None, "the modem sees no SIM card")
    untold = {"sim": {"properties": {"iccid": "--"}}}
    reading = asyncio.run(manager(tmp_path, monkeypatch, LIST, GENERIC, untold).ask())
    assert reading == Reading(None, "the SIM card tells no ICCID", None, 67)


@pytest.mark.parametrize(
    ("answer", "exit_", "reason"),
    [
        ({"modem-list": []}, 0, "it has no modem"),
        ([], 0, "it has no modem"),
        ("no json", 0, "printed no JSON"),
        ("", 1, "couldn't find the ModemManager process"),
    ],
)
def test_modem_managers_without_a_modem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: object, exit_: int, reason: str
) -> None:
    with pytest.raises(DeviceError, match=reason):
        asyncio.run(manager(tmp_path, monkeypatch, answer, exit_=exit_).ask())


def test_no_mmcli_and_one_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asking = manager(tmp_path, monkeypatch)
    (tmp_path / "mmcli").write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr("agent.attached.modem_manager.ANSWER_S", 0.1)
    with pytest.raises(DeviceError, match="has not answered"):
        asyncio.run(asking.ask())
    (tmp_path / "mmcli").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="there is no program mmcli"):
        asyncio.run(asking.ask())


# --- tbox check -------------------------------------------------------------------------------------------------------

CONFIG = """\
[vehicle]
vin = "LGBTEST0000000017"
iccid = "{iccid}"
mapping = "shipped:reference_ev.toml"
[[can]]
name = "pt"
interface = "virtual"
[platform]
host = "127.0.0.1"
[modem]
port = "{port}"
"""


def checked(folder: Path, iccid: str, capsys: pytest.CaptureFixture[str]) -> str:
    import argparse

    (folder / "tbox.toml").write_text(CONFIG.format(iccid=iccid, port=folder / "modem"))
    assert run_check(argparse.Namespace(config=str(folder / "tbox.toml"), json=False, lang="en")) == 0
    out = capsys.readouterr().out
    assert CARD not in out
    assert OTHER not in out
    return out


def test_check_says_what_the_modem_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with AnsweringModem(tmp_path / "modem", quectel):
        out = checked(tmp_path, "0" * 20, capsys)
        assert f"modem: {tmp_path / 'modem'}: ICCID ...2345, signal -67 dBm" in out
        assert "vehicle.iccid" not in out
        assert "vehicle.iccid" not in checked(tmp_path, CARD, capsys)
        assert "vehicle.iccid: ...0001 is only a fallback" in checked(tmp_path, OTHER, capsys)


def test_check_says_why_the_modem_is_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no such device" in (out := checked(tmp_path, OTHER, capsys))
    assert "vehicle.iccid, ...0001, which is only a fallback" in out
    assert "vehicle.iccid, which is all zeros" in checked(tmp_path, "0" * 20, capsys)
