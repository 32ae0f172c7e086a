"""The verdict on delivery against a plain model: any history of lost, doubled, shuffled and wrongly marked reports."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.packet import COMMAND, build_packet, time_bytes
from bench.arrival import inspect
from bench.delivery import Delivery, Verdict, verdict
from bench.received import Received, ReceivedError

FIRST = 1_700_000_000
PERIOD = 10
VIN = "LGBTEST0000000017"
REALTIME, REISSUE = 2, 3
OK, ERROR = 1, 2


@dataclass(frozen=True)
class Sent:
    """A report as it reached the platform: which one of the grid, how, over which link, and what it was answered."""

    number: int
    command: int = REALTIME
    late_ms: int = 100
    link: int = 1
    flag: int | None = OK
    content: int = 0  # engine speed: another one makes another content under the same key

    def collected_at(self) -> int:
        return FIRST + self.number * PERIOD

    def late(self) -> bool:
        return self.late_ms > PERIOD * 1000


BODIES = {b"##": b"\x04\x01%b\xff\xff", b"$$": b"\x04%b"}  # engine, by start mark


def keep(path: Path, history: list[Sent], vin: str = VIN, start: bytes = b"##") -> None:
    received = Received(path)
    for sent in history:
        unit = time_bytes(sent.collected_at()) + BODIES[start] % sent.content.to_bytes(2, "big")
        raw = build_packet(start, sent.command, COMMAND, vin.encode(), 1, unit)
        arrival = inspect(raw, sent.link, sent.collected_at() * 1000 + sent.late_ms, 0)
        assert arrival.fault is None
        received.add([(arrival, sent.flag)])
    received.close()


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "received.sqlite"


def judged(db: Path, history: list[Sent], expected: list[int] | None = None, start: bytes = b"##") -> Delivery:
    keep(db, history, start=start)
    (delivery,) = verdict(db, period_s=PERIOD, expected=expected).deliveries
    return delivery


def model(history: list[Sent]) -> dict[str, object]:
    """What the verdict must be, counted report by report."""
    numbers = sorted({sent.number for sent in history})
    result: Counter[str] = Counter()
    lost = [number for number in range(numbers[0], numbers[-1]) if number not in numbers]
    for number in numbers:
        copies = [sent for sent in history if sent.number == number]
        taken = [sent for sent in copies if sent.flag != ERROR]
        result["conflicts"] += len({sent.content for sent in copies}) > 1
        for position, sent in enumerate(copies):
            result["mismarked"] += sent.command == REALTIME and (position > 0 or sent.late())
        if not taken:
            result["refused"] += 1
            continue
        result["live"] += taken[0].command == REALTIME
        result["reissued"] += taken[0].command == REISSUE
        result["repeats"] += len(taken) - 1
        result["needless"] += len(taken) - len({sent.link for sent in taken})
    names = ("conflicts", "mismarked", "refused", "live", "reissued", "repeats", "needless")
    return {
        **{name: result[name] for name in names},
        "lost": [(FIRST + number * PERIOD, 1) for number in lost],
        "expected": numbers[-1] - numbers[0] + 1,
        "links": len({sent.link for sent in history}),
    }


histories = st.lists(
    st.builds(
        Sent,
        number=st.integers(0, 12),
        command=st.sampled_from([REALTIME, REISSUE]),
        late_ms=st.sampled_from([100, 10_000, 10_001, 3_600_000]),
        link=st.integers(1, 3),
        flag=st.sampled_from([None, OK, ERROR]),
        content=st.sampled_from([0, 0, 0, 1]),
    ),
    min_size=1,
    max_size=25,
)


@given(history=histories, start=st.sampled_from(sorted(BODIES)))
def test_verdict_equals_the_model(tmp_path_factory: pytest.TempPathFactory, history: list[Sent], start: bytes) -> None:
    delivery = judged(tmp_path_factory.mktemp("verdict") / "received.sqlite", history, start=start)
    found = delivery.as_dict()
    expected = model(history)
    assert {name: found[name] for name in expected} == expected
    good = not expected["lost"] and not any(
        expected[name] for name in ("conflicts", "mismarked", "refused", "needless")
    )
    assert delivery.ok == good


@given(outages=st.lists(st.booleans(), min_size=1, max_size=40), in_flight=st.integers(0, 5), data=st.data())
def test_an_agent_that_keeps_the_contract_gets_a_good_verdict(
    tmp_path_factory: pytest.TempPathFactory, outages: list[bool], in_flight: int, data: st.DataObject
) -> None:
    """Live while the link stands, all else as reissues in any order, and after a break what had no proof once more."""
    history: list[Sent] = []
    stored: list[int] = []
    link = 1
    for number, out in enumerate([*outages, False]):
        if out:
            stored.append(number)
            continue
        if stored:
            link += 1
            unproven = [sent.number for sent in history[-in_flight:]] if in_flight else []
            again = data.draw(st.permutations(stored + unproven))
            history += [Sent(old, REISSUE, (number - old) * PERIOD * 1000 + 200, link) for old in dict.fromkeys(again)]
            stored = []
        history.append(Sent(number, link=link))
    delivery = judged(tmp_path_factory.mktemp("verdict") / "received.sqlite", history)
    assert delivery.ok, delivery
    assert (delivery.received, delivery.lost) == (len(outages) + 1, [])
    assert delivery.most_repeats <= in_flight


def test_a_shift_of_the_grid_is_not_a_loss_but_a_hole_is(db: Path) -> None:
    times = [FIRST, FIRST + 10, FIRST + 13, FIRST + 23]
    received = Received(db)
    for second in times:
        raw = build_packet(
            b"##", REALTIME, COMMAND, VIN.encode(), 1, time_bytes(second) + bytes.fromhex("04010000ffff")
        )
        received.add([(inspect(raw, 1, second * 1000, 0), None)])
    received.close()
    (delivery,) = verdict(db).deliveries
    assert delivery.ok
    assert verdict(db, period_s=5).deliveries[0].lost == [(FIRST + 5, 1), (FIRST + 18, 1)]


def test_known_collection_times_find_what_the_grid_cannot(db: Path) -> None:
    history = [Sent(number) for number in range(1, 5)]
    keep(db, history)
    due = [FIRST + number * PERIOD for number in range(7)]
    (delivery,) = verdict(db, expected=due).deliveries
    assert delivery.lost == [(due[0], 1), (due[5], 1), (due[6], 1)]
    assert (delivery.expected, delivery.received, delivery.unexpected) == (7, 4, 0)
    (delivery,) = verdict(db, expected=due[2:5]).deliveries
    assert (delivery.ok, delivery.unexpected, delivery.expected) == (False, 1, 3)


def test_a_missing_part_of_a_spread_body_is_lost(db: Path) -> None:
    received = Received(db)
    for start in (1, 401):
        head = bytes((8, 1, 1, 0, 1, 0, 1)) + (450).to_bytes(2, "big") + start.to_bytes(2, "big")
        cells = min(200, 451 - start)
        unit = time_bytes(FIRST) + head + bytes((cells,)) + b"\x0e\x74" * cells
        raw = build_packet(b"##", REALTIME, COMMAND, VIN.encode(), 1, unit)
        received.add([(inspect(raw, 1, FIRST * 1000, 0), None)])
    received.close()
    (delivery,) = verdict(db).deliveries
    assert (delivery.lost, delivery.live, delivery.conflicts) == ([(FIRST, 201)], 2, 0)
    assert "(cells from 201)" in Verdict([delivery]).as_table()


def test_period_and_jitter_come_from_live_neighbours_only(db: Path) -> None:
    late = [0, 20, 0, 50, 0]
    history = [Sent(number, late_ms=ms) for number, ms in enumerate(late)]
    history += [Sent(6, REISSUE, 70_000, 2), Sent(5, REISSUE, 80_000, 2), Sent(7, link=2, late_ms=900)]
    delivery = judged(db, history)
    assert (delivery.period_min_ms, delivery.period_median_ms, delivery.jitter_p99_ms) == (9_950, 10_020, 50)


def test_faulty_packets_spoil_the_verdict(db: Path) -> None:
    keep(db, [Sent(0)])
    received = Received(db)
    raw = build_packet(b"##", REALTIME, COMMAND, VIN.encode(), 1, time_bytes(FIRST) + b"\x01\x01")
    received.add([(inspect(raw, 1, FIRST * 1000, 0), ERROR)])
    received.close()
    (delivery,) = verdict(db).deliveries
    assert (delivery.ok, delivery.faulty, delivery.live) == (False, 1, 1)


def test_vehicles_are_judged_apart(db: Path) -> None:
    other = "LGBTEST0000000018"
    keep(db, [Sent(0), Sent(1)])
    keep(db, [Sent(0), Sent(2)], vin=other)
    result = verdict(db)
    assert {delivery.vin: delivery.ok for delivery in result.deliveries} == {VIN: True, other: False}
    assert not result.ok
    assert verdict(db, vin=VIN).ok
    with pytest.raises(ReceivedError, match="2 vehicles"):
        verdict(db, expected=[FIRST])


def test_no_report_is_not_a_good_delivery(db: Path) -> None:
    keep(db, [])
    assert not verdict(db).ok
    assert not verdict(db, vin=VIN).ok


def test_table_and_json_say_the_same(db: Path) -> None:
    keep(db, [Sent(number) for number in range(20) if number % 4 != 3] + [Sent(19)])
    result = verdict(db)
    found = json.loads(json.dumps(result.as_dict()))
    assert (found["ok"], found["deliveries"][0]["received"]) == (False, 16)
    english, chinese = result.as_table(), result.as_table("zh", full_vin=True)
    assert "BAD" in english
    assert VIN not in english
    assert "不合格" in chinese
    assert VIN in chinese
    assert "lost: 2023-11-15 06:13:50+08:00" in english


def test_an_error_answer_calls_for_the_report_again(db: Path) -> None:
    refused = Sent(1, flag=ERROR)
    assert judged(db, [Sent(0), refused]).refused == 1
    keep(db, [Sent(1, REISSUE, 60_000)])
    (delivery,) = verdict(db).deliveries
    assert (delivery.ok, delivery.repeats, delivery.reissued) == (True, 0, 1)


def test_a_signed_report_sent_again_is_a_repeat_though_its_signature_is_another(db: Path) -> None:
    received = Received(db)
    unit = time_bytes(FIRST) + b"\x04\x03\xe8"
    for link, filling in ((1, b"\x11"), (2, b"\x22")):
        signature = b"\xff\x01\x00\x20" + filling * 32 + b"\x00\x20" + filling * 32
        raw = build_packet(b"$$", REALTIME if link == 1 else REISSUE, COMMAND, VIN.encode(), 1, unit + signature)
        received.add([(inspect(raw, link, FIRST * 1000, 0), None)])
    received.close()
    (delivery,) = verdict(db).deliveries
    assert (delivery.ok, delivery.live, delivery.repeats, delivery.conflicts) == (True, 1, 1, 0)
