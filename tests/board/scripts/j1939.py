"""A multi-packet message put together as a board would; under MicroPython and CPython alike."""

from agent.core.frames import LatestFrames
from agent.core.j1939 import EXTENDED, PGN_MASK

passed = 0


def ok(condition: bool, name: str) -> None:
    global passed
    assert condition, name
    passed += 1
    print(f"ok {passed} {name}")


def main() -> None:
    plan = {
        "buses": ["b"],
        "sources": [[20, 1000, [], [], [], []]],
        "messages": [[0, EXTENDED | 0x18FEE3FE, PGN_MASK, 20, 0, [], None, None]],
    }
    latest = LatestFrames(plan)
    begin, parts = EXTENDED | 0x1CECFF00, EXTENDED | 0x1CEBFF00
    latest.keep(0, begin, bytes([32, 20, 0, 3, 255, 0xE3, 0xFE, 0]), 0)
    for number in range(3):
        latest.keep(0, parts, bytes([number + 1]) + bytes([number] * 7), 100 * number)
    ok(bytes(latest.frames[0]) == bytes([0] * 7 + [1] * 7 + [2] * 6), "a broadcast of 20 bytes")
    ok((latest.kept, latest.torn, latest.stamps[0]) == (1, 0, 200), "its stamp is that of its last packet")
    for source in range(40):
        latest.keep(0, begin + source, bytes([32, 20, 0, 3, 255, 0xE3, 0xFE, 0]), 1000 + source)
    ok(latest.torn == 8, "there is an end to what can be under way")
    latest.keep(0, EXTENDED | 0x0CFEE331, bytes(20), 900)
    latest.keep(0, EXTENDED | 0x0CFEE300, bytes(20), 1000)
    latest.keep(0, EXTENDED | 0x0CFEE331, bytes(20), 1100)
    ok((latest.kept, latest.other_source, latest.stamps[0]) == (2, 2, 1000), "two sources do not mix")


main()
print(f"1..{passed}")
