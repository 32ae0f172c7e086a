"""From one sample to the units of its packets, and when a sample becomes a report."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.dataunit import decode_bodies, encode_bodies
from agent.core.editions import EDITIONS
from agent.core.report import Schedule, encode_report

EDITION = EDITIONS["2016"]
ENGINE = (4, {"state": 1, "speed": 100, "fuel_consumption": 123})


def voltages(*counts: int, start: int = 1) -> tuple[int, dict[str, Any]]:
    """Body 08 with a subsystem per count, cells numbered in millivolts."""
    groups = [
        {
            "number": n,
            "voltage": 3567,
            "current": 9876,
            "total_cells": count,
            "start_cell": start,
            "cells": list(range(count)),
        }
        for n, count in enumerate(counts, 1)
    ]
    return 8, {"subsystems": groups}


def decoded(parts: list[bytes]) -> list[list[tuple[int, dict[str, Any]]]]:
    return [decode_bodies(EDITION, part)[0] for part in parts]


def test_two_hundred_cells_fit_one_packet() -> None:
    bodies = [ENGINE, voltages(200)]
    assert encode_report(EDITION, bodies) == [encode_bodies(EDITION, bodies)]


@pytest.mark.parametrize(
    ("count", "starts", "sizes"), [(201, [1, 201], [200, 1]), (450, [1, 201, 401], [200, 200, 50])]
)
def test_more_cells_spread_over_packets_with_their_numbers(count: int, starts: list[int], sizes: list[int]) -> None:
    parts = decoded(encode_report(EDITION, [ENGINE, voltages(count)]))
    groups = [part[-1][1]["subsystems"][0] for part in parts]
    assert [group["start_cell"] for group in groups] == starts
    assert [len(group["cells"]) for group in groups] == sizes
    assert {(group["number"], group["voltage"], group["current"], group["total_cells"]) for group in groups} == {
        (1, 3567, 9876, count)
    }


def test_cells_that_do_not_begin_at_one_keep_their_numbers() -> None:
    parts = decoded(encode_report(EDITION, [voltages(300, start=11)]))
    assert [part[0][1]["subsystems"][0]["start_cell"] for part in parts] == [11, 211]


def test_other_bodies_travel_in_the_first_packet_only() -> None:
    parts = decoded(encode_report(EDITION, [voltages(300), ENGINE]))
    assert [[type_id for type_id, _ in part] for part in parts] == [[8, 4], [8]]


def test_a_count_in_place_of_the_list_is_sent_as_it_is() -> None:
    assert encode_report(EDITION, [(8, {"subsystems": 0xFE})]) == [b"\x08\xfe"]


def test_nothing_sampled_is_no_packet() -> None:
    assert encode_report(EDITION, []) == []


@given(counts=st.lists(st.integers(1, 650), min_size=1, max_size=4))
def test_every_cell_arrives_once_in_its_place(counts: list[int]) -> None:
    arrived: dict[int, list[int]] = {}
    for part in decoded(encode_report(EDITION, [voltages(*counts)])):
        for group in part[0][1]["subsystems"]:
            cells = arrived.setdefault(group["number"], [])
            assert group["start_cell"] == len(cells) + 1
            cells.extend(group["cells"])
    assert arrived == {n: list(range(count)) for n, count in enumerate(counts, 1)}


def test_the_first_sample_is_a_report_then_each_period() -> None:
    schedule = Schedule(10000)
    assert [second for second in range(35) if schedule.due(500 + second * 1000)] == [0, 10, 20, 30]


def test_missed_reports_do_not_come_in_a_row() -> None:
    schedule = Schedule(10000)
    assert schedule.due(0)
    assert schedule.due(35000)
    assert [second for second in range(36, 62) if schedule.due(second * 1000)] == [40, 50, 60]
