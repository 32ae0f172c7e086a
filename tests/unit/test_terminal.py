"""Queries, sets and controls of a platform: what is answered, and that nothing bad changes anything."""

import pytest

from agent.core.edition2016 import EDITION as EDITION_2016
from agent.core.edition2025 import EDITION as EDITION_2025
from agent.core.hostname import is_host_name
from agent.core.packet import Packet
from agent.core.terminal import CONTROL, ERROR, MAX_TEXT, QUERY, SET, Permissions, Terminal
from agent.core.upgradeorder import UpgradeOrderError, read_upgrade

TIME = bytes((0x19, 0x03, 0x0E, 0x09, 0x1A, 0x35))
VALUES = {
    0x01: 10000,
    0x02: 10,
    0x03: 1000,
    0x04: 9,
    0x05: b"ev.test.a",
    0x06: 32960,
    0x07: b"HW1\0\0",
    0x08: b"0.1.0",
    0x09: 60,
    0x0A: 60,
    0x0B: 60,
    0x0C: 30,
    0x0D: 0,
    0x0E: b"",
    0x0F: 0xFFFF,
    0x10: 2,
}
ALL = tuple(range(1, 8))
# Printed examples: a query, the values of its answer, an alarm.
W8 = "232380FE4C4742544553543030303030303030313701000A19030E091A35030204051E"
W9 = "232380014C4742544553543030303030303030313701001619030E091A360302000A04090565762E746573742E6199"
W10 = "232382FE4C4742544553543030303030303030313701000C19030E091A35060253544F5006"


def terminal(edition=EDITION_2016, *, settable=True, platforms=(), controls=ALL, values=VALUES):
    return Terminal(edition, dict(values), Permissions(settable, platforms, controls))


def unit(text):
    return TIME + bytes.fromhex(text)


def ids(reply):
    return [number for number, _ in reply.values["parameters"]]


# -- 80 ----------------------------------------------------------------------------------------------------------------


def test_the_printed_query_is_answered_with_the_printed_values():
    reply = terminal().respond(QUERY, Packet(bytes.fromhex(W8)).unit, False)
    assert (reply.flag, reply.reason, reply.action) == (1, "", ())
    assert EDITION_2016.commands[QUERY].answer.encode(reply.values) == Packet(bytes.fromhex(W9)).unit[6:]


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("03 09 02 01", [9, 2, 1]),  # the order of the question
        ("01 05", [4, 5]),  # a domain needs its length before it
        ("02 05 04", [4, 5]),
        ("02 04 05", [4, 5]),
        ("02 0E 06", [0x0D, 0x0E, 6]),
        ("04 02 02 09 02", [2, 9]),  # asked twice
        ("00", []),
    ],
)
def test_a_query_gives_the_known_ones_in_order(asked, given):
    reply = terminal().respond(QUERY, unit(asked), False)
    assert reply.flag == 1
    assert ids(reply) == given
    EDITION_2016.commands[QUERY].answer.encode(reply.values)


def test_unknown_ids_of_a_query_are_left_out_and_named():
    reply = terminal().respond(QUERY, unit("04 11 02 80 11"), False)
    assert ids(reply) == [2]
    assert reply.reason == "unknown parameters left out: 11 80"


def test_what_the_terminal_has_no_value_for_is_left_out_like_an_unknown_id():
    values = {number: value for number, value in VALUES.items() if number != 0x0A}
    reply = terminal(values=values).respond(QUERY, unit("02 0A 02"), False)
    assert (reply.flag, ids(reply), reply.reason) == (1, [2], "unknown parameters left out: 0A")


@pytest.mark.parametrize("damaged", ["", "03 02 04", "01 02 09", "FF", "FE", "FF 02"])
def test_a_query_that_cannot_be_split_is_not_answered(damaged):
    """No count; more and fewer ids than the count says; a count that is none."""
    reply = terminal().respond(QUERY, unit(damaged), False)
    assert (reply.flag, reply.values, reply.action) == (None, None, ())
    assert reply.reason


# -- 81 ----------------------------------------------------------------------------------------------------------------


def test_a_good_set_is_an_action():
    reply = terminal().respond(SET, unit("03 02 001E 09 0A 10 01"), False)
    assert (reply.flag, reply.action) == (1, ("set", {2: 30, 9: 10, 0x10: 1}))


@pytest.mark.parametrize(
    ("edition", "item", "said"),
    [
        (EDITION_2016, "02 0000", "0 is not in 1..600"),
        (EDITION_2016, "02 0259", "601 is not in 1..600"),
        (EDITION_2016, "09 FE", "254 is not in"),
        (EDITION_2016, "09 FF", "255 is not in"),
        (EDITION_2016, "06 FFFF", "65535 is not in"),
        (EDITION_2016, "06 FFFE", "65534 is not in"),
        (EDITION_2016, "07 4857303031", "can only be read"),
        (EDITION_2016, "08 4857303031", "can only be read"),
        (EDITION_2016, "11 00", "no known layout"),
        (EDITION_2016, "80 00", "no known layout"),
        (EDITION_2016, "04 09", "05 does not follow"),
        (EDITION_2016, "10 03", "3 is not in 1..2"),
        (EDITION_2025, "02 1F", "31 is not in 1..30"),
        (EDITION_2025, "03 02", "2 is not in 0..1"),
    ],
)
def test_one_bad_item_refuses_the_whole_set(edition, item, said):
    good = "01 1388 0A 003C 0B 003C 0C 1E"
    for order in (f"05 {good} {item}", f"05 {item} {good}"):
        reply = terminal(edition).respond(SET, unit(order), True)
        assert (reply.flag, reply.action) == (ERROR, ())
        assert said in reply.reason


def test_one_bad_of_ten_changes_nothing():
    ten = "0A 01 1388 02 0014 03 03E8 09 3C 0A 003C 0B 003C 0C F1 04 01 05 61 06 0050"
    reply = terminal(platforms=(b"a:80",)).respond(SET, unit(ten), True)
    assert (reply.flag, reply.action) == (ERROR, ())
    assert "0C" in reply.reason
    reply = terminal(platforms=(b"a:80",)).respond(SET, unit(ten.replace("F1", "F0")), True)
    assert reply.flag == 1
    assert len(reply.action[1]) == 10


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "02 02 0014",  # fewer than the count says
        "01 02 0014 09",  # more
        "01 02 00",  # ends inside a value
        "01 05 61",  # a domain whose length nobody gave
        "01 05",
        "02 04 09 05 61",  # a domain shorter than its length
        "FF 02",
    ],
)
def test_a_damaged_set_is_not_answered(damaged):
    reply = terminal().respond(SET, unit(damaged), True)
    assert (reply.flag, reply.action) == (None, ())
    assert reply.reason


@pytest.mark.parametrize(
    ("edition", "items", "flag"),
    [
        (EDITION_2016, "01 02 0A", None),  # the 2025 byte where a word has to stand: the data end early
        (EDITION_2016, "02 02 0A 09 3C", ERROR),  # 0A09 is the period then, and 3C an unknown id
        (EDITION_2025, "01 02 000A", None),  # the 2016 word: a byte is left over
        (EDITION_2025, "02 02 000A 093C", ERROR),  # 0 s, and 2364 s for parameter 0A: both out of range
        (EDITION_2025, "01 03 03E8", None),
    ],
)
def test_the_widths_of_the_other_edition_change_nothing(edition, items, flag):
    reply = terminal(edition).respond(SET, unit(items), True)
    assert (reply.flag, reply.action) == (flag, ())


def test_an_empty_set_and_a_count_that_is_none():
    assert terminal().respond(SET, unit("00"), False).action == ("set", {})
    assert terminal().respond(SET, unit("FF"), False).flag == ERROR


def test_a_parameter_twice_in_a_set_is_refused():
    reply = terminal().respond(SET, unit("02 02 0014 02 001E"), False)
    assert (reply.flag, reply.action) == (ERROR, ())
    assert "twice" in reply.reason


def test_setting_can_be_switched_off():
    reply = terminal(settable=False).respond(SET, unit("01 02 0014"), True)
    assert (reply.flag, reply.action) == (ERROR, ())
    assert "switched off" in reply.reason


MOVE = "03 04 05 05" + b"b.net".hex() + "06 7D00"


@pytest.mark.parametrize(
    ("platforms", "authenticated", "flag"),
    [
        ((b"b.net:32000",), True, 1),
        ((b"b.net:32000",), False, ERROR),
        ((b"b.net:32001", b"c.net:32000"), True, ERROR),
        ((), True, ERROR),
    ],
)
def test_a_new_platform_has_to_be_allowed_and_named_over_a_proven_link(platforms, authenticated, flag):
    for public in (False, True):
        text = MOVE.replace("04 05 05", "0D 05 0E").replace("06 7D00", "0F 7D00") if public else MOVE
        reply = terminal(platforms=platforms).respond(SET, unit(text), authenticated)
        assert reply.flag == flag
        assert reply.reason.startswith("security:") == (flag == ERROR)
        assert bool(reply.action) == (flag == 1)


def test_a_host_alone_counts_with_the_port_it_would_be_dialled_at():
    text = "02 04 05 05" + b"B.net".hex()
    assert terminal(platforms=(b"b.net:32960",)).respond(SET, unit(text), True).flag == 1
    assert terminal(platforms=(b"b.net:32000",)).respond(SET, unit(text), True).flag == ERROR
    assert terminal(platforms=(b"ev.test.a:1",)).respond(SET, unit("01 06 0001"), True).flag == 1
    assert terminal(platforms=(b"b.net:1",)).respond(SET, unit("01 06 0001"), True).flag == ERROR


@pytest.mark.parametrize("items", ["01 06 0000", "01 0F 0050", "03 0D 05 0E 62 2E 6E 65 74 0F 0000"])
def test_a_place_without_host_or_port_is_no_place_rather_than_a_forbidden_one(items):
    reply = terminal(platforms=(b":80", b"ev.test.a:0", b"b.net:0")).respond(SET, unit(items), True)
    assert reply.flag == ERROR
    assert reply.reason.endswith("a host and a port from 1 are needed")


def test_the_present_platform_may_be_named_over_any_link():
    text = "03 04 09 05" + b"ev.test.a".hex() + "06 80C0"
    assert terminal().respond(SET, unit(text), False).flag == 1


@pytest.mark.parametrize(
    "host", [b"a b", b"a;reboot", b"$(x)", b"-a", b"a-", b"a..b", b"a.", b"1.2.3", b"\xe6\xb1\xbd", b"a\0", b""]
)
def test_a_domain_that_is_no_host_name_is_refused(host):
    text = f"03 04 {len(host):02X} 05" + host.hex() + "06 7D00"
    reply = terminal(platforms=(host + b":32000",)).respond(SET, unit(text), True)
    assert (reply.flag, reply.action) == (ERROR, ())


@pytest.mark.parametrize(
    "host", [b"a", b"192.0.2.7", b"Platform-1.example", b"xn--fiqs8s", b"a" * 63 + b".b", b"1a.2b"]
)
def test_names_and_addresses_are_host_names(host):
    assert is_host_name(host)


@pytest.mark.parametrize("host", [b"a" * 64, b"192.0.2.256", b"192.0.2.07", b"::1", b"a_b", b"a.b." * 64, b"1.2.3.4.5"])
def test_what_no_resolver_should_see_is_no_host_name(host):
    assert not is_host_name(host)


# -- 82 ----------------------------------------------------------------------------------------------------------------


def test_the_printed_alarm_is_an_action():
    reply = terminal().respond(CONTROL, Packet(bytes.fromhex(W10)).unit, False)
    assert (reply.flag, reply.action) == (1, ("control", 6, {"control": 6, "level": 2, "text": b"STOP"}))


@pytest.mark.parametrize(
    ("edition", "text", "flag"),
    [
        (EDITION_2016, "06 00", 1),
        (EDITION_2016, "06 03", 1),
        (EDITION_2016, "06 04", ERROR),
        (EDITION_2025, "06 04", 1),
        (EDITION_2025, "06 05", ERROR),
        (EDITION_2025, "06 FF", 1),
        (EDITION_2025, "06 FE", ERROR),
        (EDITION_2025, "06", ERROR),
        (EDITION_2016, "06 01" + "61" * MAX_TEXT, 1),
        (EDITION_2016, "06 01" + "61" * (MAX_TEXT + 1), ERROR),
        (EDITION_2016, "06 01" + "61" * 60_000, ERROR),
    ],
)
def test_levels_and_texts_of_an_alarm(edition, text, flag):
    assert terminal(edition).respond(CONTROL, unit(text), False).flag == flag


@pytest.mark.parametrize("number", [2, 3, 4, 5, 7])
def test_a_control_without_arguments(number):
    reply = terminal().respond(CONTROL, unit(f"{number:02X}"), False)
    assert (reply.flag, reply.action[:2]) == (1, ("control", number))
    assert terminal().respond(CONTROL, unit(f"{number:02X} 00"), False).flag == ERROR


@pytest.mark.parametrize("number", [0, 8, 0x7F, 0x80, 0xFE, 0xFF])
def test_what_no_terminal_does_is_refused(number):
    reply = terminal().respond(CONTROL, unit(f"{number:02X}"), True)
    assert (reply.flag, reply.action) == (ERROR, ())


@pytest.mark.parametrize("number", ALL)
def test_what_is_not_enabled_is_refused(number):
    reply = terminal(controls=()).respond(CONTROL, unit(f"{number:02X} 01"), True)
    assert (reply.flag, reply.action) == (ERROR, ())


def test_a_control_without_its_id_is_not_answered():
    assert terminal().respond(CONTROL, TIME, True).flag is None
    assert terminal().respond(CONTROL, TIME[:3], True).flag is None


@pytest.mark.parametrize("command", [0, 1, 2, 0x0B, 0x83, 0xFF, -1, 300])
def test_other_commands_are_not_for_a_terminal(command):
    assert terminal().respond(command, unit("01 02"), True).flag is None


@pytest.mark.parametrize(("command", "flag"), [(QUERY, None), (SET, None), (CONTROL, ERROR)])
@pytest.mark.parametrize("edition", [EDITION_2016, EDITION_2025])
def test_the_largest_unit_of_ff(edition, command, flag):
    reply = terminal(edition).respond(command, b"\xff" * 65_531, True)
    assert (reply.flag, reply.values, reply.action) == (flag, None, ())
    assert len(reply.reason) < 200


# -- 82, upgrade -------------------------------------------------------------------------------------------------------

URL = b"https://up.example/fw.bin?a=1&b=$(reboot)'"
REST = (b"cmnet", b"user", b"secret", b"\0\0\xc0\0\x02\x3b", b"\x3b\x3b", b"ABCD", b"HW1\0\0", b"1.2.0")


def order(*fields):
    return b";".join(fields)


@pytest.mark.parametrize("minutes", [b"", b"\x00\x1e", b"\x3b\x3b", b"\x00\x3b"])
@pytest.mark.parametrize("port", [b"", b"\x80\xc0", b"\x3b\x3b", b"\x3b\x00"])
@pytest.mark.parametrize("address", [b"", b"\0\0\xc0\0\x02\x07", b"\0\0\x3b\x3b\x3b\x3b", b"up.example"])
def test_both_orders_of_an_upgrade_with_separators_inside(address, port, minutes):
    rest = (*REST[:3], address, port, *REST[5:])
    first = read_upgrade(order(URL, *rest, minutes))
    assert first == read_upgrade(order(*rest, URL, minutes))
    assert first == {
        "url": URL,
        "apn": b"cmnet",
        "user": b"user",
        "password": b"secret",
        "address": address,
        "port": int.from_bytes(port, "big") if port else None,
        "maker": b"ABCD",
        "hardware_version": b"HW1",
        "firmware_version": b"1.2.0",
        "minutes": int.from_bytes(minutes, "big") if minutes else None,
    }


def test_an_upgrade_may_hold_a_url_alone():
    for text in (order(URL, *[b""] * 9), order(*[b""] * 8, URL, b"")):
        found = read_upgrade(text)
        assert found.pop("url") == URL
        assert set(found.values()) == {b"", None}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (b"file:///etc/passwd", "only https, http and ftp"),
        (b"gopher://a/b", "only https, http and ftp"),
        (b"https:///x", "names no host"),
        (b"https://a/`reboot`", "cannot stand in a URL"),
        (b"https://a/b c", "cannot stand in a URL"),
        (b"https://a/b\nc", "cannot stand in a URL"),
        (b"https://a/b|c", "cannot stand in a URL"),
        (b"https://a/\xe6\xb1\xbd", "cannot stand in a URL"),
        (b"", "one of them a URL"),
        (b"up.example/fw.bin", "one of them a URL"),
        (b"https://a/" + b"a" * 60_000, "one of them a URL"),
        (b"https://a/b;reboot", "one of them a URL"),
    ],
)
def test_an_upgrade_from_nowhere_is_refused(url, said):
    for text in (order(url, *REST, b""), order(*REST, url, b"")):
        reply = terminal().respond(CONTROL, unit("01") + text, True)
        assert (reply.flag, reply.action) == (ERROR, ())
        assert said in reply.reason


def test_shell_characters_that_may_stand_in_a_url_are_only_a_url():
    reply = terminal().respond(CONTROL, unit("01") + order(URL, *REST, b""), True)
    assert reply.flag == 1
    assert reply.action[2]["url"] == URL


def test_an_order_that_can_be_read_in_two_ways_is_refused():
    """A port of two `;` and nothing behind the maker; or no port, and a time limit of two `;`."""
    with pytest.raises(UpgradeOrderError, match="two ways"):
        read_upgrade(URL + b";;;;;" + b";;" + b";ABCD;;;")


@pytest.mark.parametrize(
    "fields",
    [
        (URL,),
        (URL, *[b""] * 8),
        (URL, *[b""] * 10),
        (URL, *REST[:7], b"1.2.0.0", b""),
        (URL, *REST[:7], b"1/2", b""),
        (URL, *REST, b"\xea\x61"),  # 60001 minutes
        (URL, *REST, b"\x01"),
        (URL, *REST[:5], b"ABCDE", *REST[6:], b""),
        (b";" * 1000,),
        (),
    ],
)
def test_what_is_no_upgrade_order_is_refused(fields):
    with pytest.raises(UpgradeOrderError):
        read_upgrade(order(*fields))
    assert terminal().respond(CONTROL, unit("01") + order(*fields), True).flag == ERROR
