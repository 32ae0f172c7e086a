"""Commands of a platform as a board would judge them; under MicroPython and CPython alike."""

import binascii
import json
import sys

from agent.core.edition2016 import EDITION
from agent.core.edition2025 import EDITION as EDITION_2025
from agent.core.errors import FieldError
from agent.core.packet import Packet
from agent.core.terminal import CONTROL, ERROR, QUERY, SET, Permissions, Terminal
from agent.core.upgradeorder import read_upgrade

passed = 0
TIME = bytes((25, 3, 14, 9, 26, 53))


def ok(condition: bool, name: str) -> None:
    global passed
    assert condition, name
    passed += 1
    print(f"ok {passed} {name}")


def find(path: str, begin: str) -> Packet:
    """The printed packet whose name begins so."""
    with open(path) as file:
        for entry in json.load(file):
            if entry["name"].startswith(begin):
                return Packet(binascii.unhexlify(entry["hex"]))
    raise ValueError("no packet " + begin)


def main(path: str) -> None:
    values = {2: 10, 4: 9, 5: b"ev.test.a", 6: 32960, 7: b"HW1\0\0", 9: 60}
    terminal = Terminal(EDITION, values, Permissions(True, (b"b.net:32960",), (1, 2, 3, 4, 5, 6)))
    reply = terminal.respond(QUERY, find(path, "W8").unit, False)
    answer = EDITION.commands[QUERY].answer
    ok(answer is not None and answer.encode(reply.values or {}) == find(path, "W9").unit[6:], "the printed answer")
    reply = terminal.respond(CONTROL, find(path, "W10").unit, False)
    ok(reply.action == ("control", 6, {"control": 6, "level": 2, "text": b"STOP"}), "the printed alarm")
    ok(terminal.respond(SET, TIME + b"\x01\x02\x00\x14", False).action == ("set", {2: 20}), "a set")
    ok(terminal.respond(SET, TIME + b"\x01\x02\x00\x00", False).flag == ERROR, "out of range")
    ok(terminal.respond(SET, TIME + b"\x02\x02\x00\x14", False).flag is None, "damaged")
    try:
        EDITION.parameters[2].encode(601, True)
    except FieldError as error:
        ok((error.raw, error.lo, error.hi) == (601, 1, 600), "a field's error keeps its numbers")
    ok(terminal.respond(SET, TIME + b"\x01\x80\x00", False).flag == ERROR, "unknown")
    move = TIME + b"\x02\x04\x05\x05B.net"
    ok(terminal.respond(SET, move, True).flag == 1, "an allowed platform")
    ok(terminal.respond(SET, move, False).reason.startswith("security:"), "over a link that proved nothing")
    ok(terminal.respond(CONTROL, b"\xff" * 65531, True).flag == ERROR, "the largest unit")
    ok(
        Terminal(EDITION_2025, values, Permissions()).respond(CONTROL, TIME + b"\x04", True).flag == ERROR,
        "not enabled",
    )
    rest = [b"", b"", b"", b"\0\0\x3b\x3b\x3b\x3b", b"\x3b\x3b", b"ABCD", b"HW1\0\0", b"1.3.0"]
    url = b"https://h/x"
    first, last = (
        read_upgrade(b";".join([url] + rest + [b"\x00\x3b"])),
        read_upgrade(b";".join(rest + [url, b"\x00\x3b"])),
    )
    ok(first == last and (first["port"], first["minutes"]) == (0x3B3B, 0x3B), "separators inside an upgrade order")


main(sys.argv[1])
print(f"1..{passed}")
