"""A session, its deliveries and its outages as a board would run them; under MicroPython and CPython alike."""

import binascii
import json
import sys

from agent.core.delivery import Delivery
from agent.core.edition2016 import EDITION
from agent.core.occasion import Occasion, ReportSettings, Ring, Steady, View
from agent.core.outage import Outage
from agent.core.packet import Packet, epoch_of
from agent.core.report import Schedule, encode_report
from agent.core.session import Session, SessionSettings

passed = 0


def ok(condition: bool, name: str) -> None:
    global passed
    assert condition, name
    passed += 1
    print(f"ok {passed} {name}")


def find(path: str, begin: str, command: int, answer: bool) -> bytes:
    """The printed packet whose name begins so: `command`, as a command or as an answer."""
    with open(path) as file:
        for entry in json.load(file):
            raw = binascii.unhexlify(entry["hex"])
            if entry["name"].startswith(begin) and raw[2] == command and (raw[3] != 0xFE) == answer:
                return raw
    raise ValueError("no packet " + begin)


def main(path: str) -> None:
    login, accepted = find(path, "I2", 1, False), find(path, "I2", 1, True)
    at = epoch_of(login, 24)
    vin = b"LTBTEST0000000022"
    session = Session(
        EDITION, vin, {"iccid": b"89860000000000000022", "codes": [b"1"], "code_length": 1}, SessionSettings()
    )
    session.connected(0, at, 3)
    ok(session.data_to_send() == login, "login is the printed one")
    events = []
    for number, byte in enumerate(accepted):
        events += session.receive(bytes((byte,)), number, at)
    ok(events == [("logged_in",)], "an answer byte by byte logs in")

    # A pack of 450 cells spreads over three packets; every one goes into flight.
    group = {"number": 1, "voltage": 3567, "current": 9876, "total_cells": 450, "start_cell": 1, "cells": [3900] * 450}
    parts = encode_report(EDITION, [(8, {"subsystems": [group]})])
    ok([part[11] for part in parts] == [200, 200, 50], "450 cells spread over three packets")
    delivery = Delivery(False, 10000, 60000, 64)
    end = 0
    for number, part in enumerate(parts):
        packet = session.report(2, EDITION.start, vin, at, part, 1000)
        ok(Packet(packet).bcc_ok, f"part {number + 1} is a whole packet")
        end += len(packet)
        delivery.sent(number + 1, 2, at, end, 1000)
    for number in range(4, 40):  # more rows than a plain dictionary of a board keeps in order
        end += 100
        delivery.sent(number, 3, at + number, end, 1000)
    delivery.acknowledged(end - 100, 2000)
    ok(delivery.settled(11999) == [], "nothing is proven before it has settled")
    ok(
        [row for row, _ in delivery.settled(12000)] == list(range(1, 39)),
        "acknowledged rows settle in order of sending",
    )
    ok(delivery.answered(3, at + 39, False, 12000) == (39, "retry"), "an error answer means a retry")
    ok(delivery.retries(72000) == [39], "after a minute")
    ok(delivery.lost() == 0, "nothing is in flight any more")

    outage = Outage(0)
    ok([outage.pause_ms(now, 500) for now in (0, 61000, 61001)] == [1000, 2000, 4000], "pauses double")
    schedule = Schedule(10000)
    ok([now for now in range(0, 31000, 1000) if schedule.due(now)] == [0, 10000, 20000, 30000], "a report every 10 s")

    # A level-3 alarm at second 45 for one second, then the key is turned off: the seconds that the standard asks for.
    occasion, ring, steady, view = (
        Occasion(EDITION.rules, ReportSettings(), 60000),
        Ring(30),
        Steady(2000),
        View(EDITION),
    )
    reported, held, quiet = [], [], 0
    for second in range(400):
        state = {"vehicle_state": 1 if second < 50 else 2, "charging_state": 3}
        level, states = view.read([(1, state), (7, {"level": 3 if second == 45 else 0})])
        now = steady.advance(at + second, second * 1000 + 3)
        decision = occasion.decide(second * 1000, now, level, states, quiet)
        if decision.due:
            held += ring.take(decision.since)[0] if decision.since is not None else []
            reported.append(second)
        else:
            ring.put(now, second)
    ok(reported == [0, 10, 20, 30, 40] + list(range(45, 76)) + list(range(80, 240, 10)), "burst, then three minutes")
    ok(held == [second for second in range(15, 45) if second % 10], "the thirty seconds before the alarm")
    ok(not decision.active, "then nothing is left to report")
    session.logout(20000, at + 20)
    ok(Packet(session.data_to_send()).command == 4, "logout at the end")


main(sys.argv[1])
print(f"1..{passed}")
