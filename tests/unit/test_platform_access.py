"""Who may come in, and which terminals are activated."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agent.core.dataunit import DataUnit, encode_data_unit
from agent.core.editions import EDITIONS
from agent.core.packet import COMMAND, build_packet, time_bytes
from agent.errors import ConfigError
from bench.access import Access, Guest, read_login, read_vins
from bench.activation import Activations
from bench.answers import POLICIES, answer
from bench.arrival import Arrival, inspect
from bench.received import Received
from bench.registry import Entry, Registry, read_registry

VIN, OTHER = b"LGBTEST0000000017", b"LGBTEST0000000018"
CLIENT = b"TESTPLATFORM00001"
SECOND = 1_767_827_170
KEY = bytes(range(64))
ENTRY = Entry(VIN, b"89860012345678901234", b"CHIP00012", 1, KEY)
NO_CODES = {"2016": {"codes": [], "code_length": 0}, "2025": {"packs": [], "codes": []}}


def arrived(command: str, values: dict[str, object] | None, vin: bytes = VIN, edition: str = "2025") -> Arrival:
    tables = EDITIONS[edition]
    number = tables.command_ids[command]
    unit = encode_data_unit(tables, number, DataUnit(time_bytes(SECOND), values), strict=False)
    arrival = inspect(build_packet(tables.start, number, COMMAND, vin, 1, unit), 1, SECOND * 1000, 0)
    assert arrival.fault is None
    return arrival


def login(vin: bytes = VIN, edition: str = "2025", iccid: bytes = ENTRY.iccid) -> Arrival:
    return arrived("vehicle_login", {"serial": 1, "iccid": iccid, **NO_CODES[edition]}, vin, edition)


def platform_login(user: bytes = b"user", password: bytes = b"secret") -> Arrival:
    values = {"serial": 7, "user": user.ljust(12, b"\0"), "password": password.ljust(20, b"\0"), "encryption_rule": 1}
    return arrived("platform_login", values, CLIENT)


def activation(**changes: object) -> Arrival:
    values: dict[str, object] = {
        "chip_id": b"CHIP00012".ljust(16),
        "public_key": KEY,
        "activation_vin": VIN,
        "algorithm": 1,
        "r": bytes(32),
        "s": bytes(32),
    }
    return arrived("activation", values | changes)


def test_a_vehicle_that_is_not_registered_is_unknown() -> None:
    access = Access([VIN])
    assert access.refusal(login(), Guest(), False) == 0
    assert access.refusal(login(OTHER), Guest(), False) == 4


@pytest.mark.parametrize(("edition", "flag"), [("2016", None), ("2025", 4)])
def test_the_unknown_vehicle_is_told_so_where_its_edition_has_the_flag(edition: str, flag: int | None) -> None:
    arrival = login(OTHER, edition)
    arrival.refusal = 4
    reply = answer(POLICIES["annex-b"], arrival, 0)
    assert (reply[3] if reply else None) == flag
    # on the link of a client platform a bad login is answered
    reply = answer(POLICIES["annex-b"], arrival, 0, on_platform_link=True)
    assert reply is not None
    assert reply[3] == (flag or 2)


def test_the_vin_of_a_registered_terminal_with_another_card_is_a_duplicate() -> None:
    access = Access(registry=Registry([ENTRY]))
    assert access.refusal(login(), Guest(), True) == 0
    assert access.refusal(login(iccid=b"89860099999999999999"), Guest(), False) == 3


def test_who_is_here_already_may_be_turned_down_or_take_over() -> None:
    assert Access().refusal(login(), Guest(), True) == 0
    assert Access(refuse_duplicates=True).refusal(login(), Guest(), True) == 3
    assert Access(refuse_duplicates=True).refusal(login(), Guest(), False) == 0


def test_a_platform_login_needs_user_and_password() -> None:
    access = Access(login=read_login("user:secret"))
    assert access.refusal(platform_login(), Guest(), False) == 0
    assert access.refusal(platform_login(password=b"secreT"), Guest(), False) == 2
    assert access.refusal(platform_login(user=b"use"), Guest(), False) == 2
    assert Access().refusal(platform_login(b"whoever"), Guest(), False) == 0


def test_several_vehicles_on_a_link_need_a_platform_login_where_one_is_demanded() -> None:
    access = Access(login=read_login("user:secret"))
    assert access.refusal(login(), Guest(), False) == 0
    assert access.refusal(login(OTHER), Guest({VIN}), False) == 2
    assert access.refusal(login(OTHER), Guest({VIN}, CLIENT), False) == 0
    assert Access().refusal(login(OTHER), Guest({VIN}), False) == 0


def test_a_platform_logout_repeats_the_serial_of_the_login() -> None:
    access = Access()
    guest = Guest(client=CLIENT, serial=7)
    assert access.refusal(arrived("platform_logout", {"serial": 7}, CLIENT), guest, False) == 0
    assert access.refusal(arrived("platform_logout", {"serial": 8}, CLIENT), guest, False) == 2
    assert access.refusal(arrived("platform_logout", {"serial": 7}, CLIENT), Guest(), False) == 2


@pytest.mark.parametrize("text", ["user", ":x", "user:", "u" * 13 + ":x", "u:" + "p" * 21, "ü:x"])
def test_user_and_password_must_fit_their_fields(text: str) -> None:
    with pytest.raises(ValueError, match="USER:PASSWORD"):
        read_login(text)
    assert read_login("u:p:q") == (b"u", b"p:q")


def test_the_list_of_vehicles_names_what_is_none(tmp_path: Path) -> None:
    path = tmp_path / "vins.txt"
    path.write_text(f"{VIN.decode()}\n\n {OTHER.decode()} \n")
    assert read_vins(path) == {VIN, OTHER}
    path.write_text(f"{VIN.decode()}\nSHORT\n")
    with pytest.raises(ConfigError, match="line 2: 'SHORT' has 5 characters"):
        read_vins(path)
    with pytest.raises(ConfigError, match="absent"):
        read_vins(tmp_path / "absent")


# -- activation --------------------------------------------------------------------------------------------------------


@pytest.fixture
def received(tmp_path: Path):  # type: ignore[no-untyped-def]
    made = Received(tmp_path / "received.sqlite")
    yield made
    made.close()


class Suspicious:
    """Finds something wrong with every signature."""

    def verify_activation(self, entry: Entry, arrival: Arrival) -> str:
        return "wrong"


def test_a_registered_chip_is_activated_once_also_over_a_restart(received: Received) -> None:
    for information, status in ((0, 1), (1, 2)):
        activations = Activations(Registry([ENTRY]), received)
        assert activations.judge(activation()) == (status, information)
        assert activations.judge(activation()) == (2, 1)


@pytest.mark.parametrize(
    ("entries", "changes", "information"),
    [
        ([], {}, 0),
        ([ENTRY], {"chip_id": b"CHIP00013".ljust(16)}, 2),
        ([replace(ENTRY, vin=OTHER)], {}, 0),
        ([ENTRY], {"public_key": KEY[::-1]}, 0),
        ([ENTRY], {"algorithm": 3}, 0),
        ([ENTRY], {"activation_vin": OTHER}, 0),
    ],
    ids=[
        "not registered",
        "VIN of another chip",
        "chip of another VIN",
        "another key",
        "another algorithm",
        "two VINs",
    ],
)
def test_an_activation_that_does_not_fit_the_registry_fails(
    received: Received, entries: list[Entry], changes: dict[str, object], information: int
) -> None:
    activations = Activations(Registry(entries), received)
    assert activations.judge(activation(**changes)) == (2, information)
    assert received.read("SELECT count(*) FROM activations") == [(0,)]


def test_a_wrong_signature_activates_nothing(received: Received) -> None:
    assert Activations(Registry([ENTRY]), received, Suspicious()).judge(activation()) == (2, 0)
    assert Activations(Registry([ENTRY]), received).judge(activation()) == (1, 0)


def test_a_registry_is_read_line_by_line_and_every_fault_named(tmp_path: Path) -> None:
    path = tmp_path / "registry.jsonl"
    record = {"vin": VIN.decode(), "iccid": "1", "chip_id": "CHIP", "algorithm": "SM2", "public_key": "00FF", "pem": ""}
    path.write_text(json.dumps(record) + "\n\n")
    entry = read_registry(path).by_vin[VIN]
    assert entry == Entry(VIN, b"1", b"CHIP", 1, b"\x00\xff")
    faulty = [
        record,
        {**record, "algorithm": "DSA"},
        {**record, "public_key": "xy"},
        {**record, "vin": "1"},
        [],
        record,
    ]
    del faulty[1]["pem"]  # type: ignore[attr-defined]
    path.write_text("\n".join(map(json.dumps, [*faulty, {"vin": VIN.decode()}])))
    with pytest.raises(ConfigError) as caught:
        read_registry(path)
    said = "\n".join(caught.value.faults)
    for part in (
        "line 2: algorithm 'DSA'",
        "line 3:",
        "line 4:",
        "line 5:",
        "line 7: 'iccid' is missing",
        "more than once",
    ):
        assert part in said
