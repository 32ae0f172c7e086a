"""The verdict on delivery: did every due report arrive, rightly marked, and only as often as it had to?"""

import io
import itertools
import sqlite3
from collections import Counter
from collections.abc import Collection
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from agent.beijing import BEIJING
from agent.core.packet import COMMAND, SUCCESS, Packet
from bench.arrival import content_of
from bench.received import ReceivedError, connect
from bench.rests import rested

_REPORTS = """
SELECT collected_at, part, body_types, next_part, command, link, answer, received_ms, raw, content FROM packets
WHERE vin = ? AND response = ? AND fault IS NULL AND command IN ('realtime', 'reissue')
ORDER BY collected_at, part, body_types, id
"""
_VINS = """
SELECT DISTINCT vin FROM packets
WHERE response = ? AND (command IN ('realtime', 'reissue') OR fault IS NOT NULL) ORDER BY vin
"""


@dataclass(slots=True)
class Delivery:
    """How the reports of one vehicle arrived.

    A report is a key (VIN, collected_at, part, body types). `lost` names each missing one as (collected_at, first cell of
    the part). Repeats are packets of a key, of the same plain content, beyond the first that was not answered with an error;
    they are in order only behind a broken link, so `needless` counts those on a link that already had it. `mismarked`:
    realtime packets that came more than a period after their collection time, or not as the first of their key. `refused`:
    reports that only ever got error answers. `rests`: holes in which the vehicle was at rest (`bench/rests.py`). Times in ms.
    """

    vin: str
    expected: int = 0
    rests: int = 0
    live: int = 0
    reissued: int = 0
    lost: list[tuple[int, int]] = field(default_factory=list)
    unexpected: int = 0
    repeats: int = 0
    most_repeats: int = 0  # on one link
    needless: int = 0
    conflicts: int = 0
    mismarked: int = 0
    refused: int = 0
    faulty: int = 0
    links: int = 0
    period_min_ms: int | None = None
    period_median_ms: int | None = None
    jitter_p99_ms: int | None = None

    @property
    def received(self) -> int:
        """Reports that arrived and were not refused."""
        return self.live + self.reissued

    @property
    def ok(self) -> bool:
        """True when every due report arrived, each marked rightly, none twice without need, none in two versions."""
        wrong = self.unexpected + self.needless + self.conflicts + self.mismarked + self.refused + self.faulty
        return self.received > 0 and not self.lost and wrong == 0

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {**asdict(self), "received": self.received, "ok": self.ok}


# heading in English and Chinese, attribute
_COLUMNS = (
    ("vehicle", "车辆", "vin"),
    ("expected", "应收", "expected"),
    ("rests", "停报", "rests"),
    ("received", "实收", "received"),
    ("live", "实时", "live"),
    ("reissued", "补发", "reissued"),
    ("lost", "丢失", "lost"),
    ("unexpected", "多余", "unexpected"),
    ("repeats", "重复", "repeats"),
    ("needless", "无故重复", "needless"),
    ("conflicts", "冲突", "conflicts"),
    ("late as live", "标记错误", "mismarked"),
    ("refused", "被拒", "refused"),
    ("faulty", "错误", "faulty"),
    ("links", "连接", "links"),
    ("period ms", "周期 ms", "period_median_ms"),
    ("jitter p99 ms", "抖动 p99 ms", "jitter_p99_ms"),
    ("verdict", "结论", "ok"),
)
_VERDICTS = {("en", True): "good", ("en", False): "BAD", ("zh", True): "合格", ("zh", False): "不合格"}
_LOST_SHOWN = 10


@dataclass(slots=True)
class Verdict:
    """The deliveries of all vehicles that were asked about."""

    deliveries: list[Delivery]

    @property
    def ok(self) -> bool:
        """True when there is a vehicle and every delivery is good."""
        return bool(self.deliveries) and all(delivery.ok for delivery in self.deliveries)

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {"ok": self.ok, "deliveries": [delivery.as_dict() for delivery in self.deliveries]}

    def as_table(self, lang: str = "en", full_vin: bool = False) -> str:
        """A column for each vehicle, `lang` en or zh; the first lost reports by name below."""
        if not self.deliveries:
            return "没有收到报文\n" if lang == "zh" else "no reports came\n"
        out = io.StringIO()
        table = Table(box=None, show_header=False, pad_edge=False)
        for english, chinese, attribute in _COLUMNS:
            table.add_row(
                chinese if lang == "zh" else english,
                *[_cell(getattr(delivery, attribute), attribute, lang, full_vin) for delivery in self.deliveries],
            )
        Console(file=out, width=30 + 20 * len(self.deliveries), color_system=None, markup=False).print(table)
        lines = [line.rstrip() for line in out.getvalue().splitlines()]
        for delivery in self.deliveries:
            if delivery.lost:
                shown = ", ".join(_when(second, part) for second, part in delivery.lost[:_LOST_SHOWN])
                more = len(delivery.lost) - _LOST_SHOWN
                name = delivery.vin if full_vin else short_vin(delivery.vin)
                label = "丢失" if lang == "zh" else "lost"
                lines.append(f"{name} {label}: {shown}{f', +{more}' if more > 0 else ''}")
        return "\n".join(lines) + "\n"


def verdict(
    path: str | Path, vin: str | None = None, period_s: int = 10, expected: Collection[int] | None = None
) -> Verdict:
    """Judge the file of received packets at `path`, one vehicle or all.

    Expected are the reports of every `period_s` between two that arrived (the grid may shift; it may have holes only where
    the vehicle was at rest), or the collection times in `expected` (Unix seconds) when these are known; every part of a
    spread body in either case. `expected` belongs to one vehicle: ReceivedError when there are several and `vin` is None.
    ReceivedError also for a file that cannot be read.
    """
    with closing(connect(path)) as db:
        try:
            vins = [vin] if vin is not None else [row[0] for row in db.execute(_VINS, (COMMAND,))]
            if expected is not None and len(vins) > 1:
                raise ReceivedError(path, f"holds {len(vins)} vehicles: name the one whose reports are expected")
            return Verdict([_judge(db, name, period_s, expected) for name in vins])
        except sqlite3.Error as error:
            raise ReceivedError(path, error) from error


@dataclass(slots=True)
class _Report:
    """One packet with a report, a row of _REPORTS."""

    collected_at: int
    part: int
    body_types: str
    next_part: int
    command: str
    link: int
    answer: int | None
    received_ms: int
    raw: bytes
    content: bytes | None

    def digest(self) -> bytes:
        """What it says, whatever it was sealed with: a signature is another one each time."""
        return self.content or content_of(Packet(self.raw).unit)

    def key(self) -> tuple[int, int, str]:
        return self.collected_at, self.part, self.body_types

    def taken(self) -> bool:
        """False when it was answered with an error: the platform did not take it and it must come again."""
        return self.answer is None or self.answer == SUCCESS


def _judge(db: sqlite3.Connection, vin: str, period_s: int, expected: Collection[int] | None) -> Delivery:
    result = Delivery(vin)
    result.faulty = _count(db, "SELECT count(*) FROM packets WHERE vin = ? AND fault IS NOT NULL", vin)
    result.links = _count(db, "SELECT count(DISTINCT link) FROM packets WHERE vin = ?", vin)
    parts: dict[int, set[int]] = {}
    keys: Counter[int] = Counter()  # reports that arrived, by collection time
    following: set[tuple[int, int]] = set()
    live: list[tuple[int, int]] = []  # received_ms, collected_at
    repeats_by_link: Counter[int] = Counter()
    rows = (_Report(*row) for row in db.execute(_REPORTS, (vin, COMMAND)))
    for (second, part, _), group in itertools.groupby(rows, _Report.key):
        copies = list(group)
        keys[second] += 1
        parts.setdefault(second, set()).add(part)
        following.update((second, copy.next_part) for copy in copies if copy.next_part)
        _judge_copies(result, copies, period_s, repeats_by_link)
        if copies[0].taken() and copies[0].command == "realtime":
            live.append((copies[0].received_ms, second))
    result.most_repeats = max(repeats_by_link.values(), default=0)
    seconds = sorted(parts)
    due = set(seconds if expected is None else expected)
    for before, after in itertools.pairwise(seconds) if expected is None else ():
        hole = range(before + period_s, after, period_s)
        if hole and rested(db, vin, before, after, period_s):
            result.rests += 1
        else:
            due.update(hole)
    missing = {(second, 1) for second in due - parts.keys()}
    missing |= {(second, 1) for second, present in parts.items() if 1 not in present}
    missing |= {(second, part) for second, part in following if part not in parts[second]}
    result.lost = sorted(missing)
    result.unexpected = sum(count for second, count in keys.items() if second not in due)
    result.expected = sum(keys.values()) + len(missing) - result.unexpected
    _measure_period(result, live, period_s)
    return result


def _count(db: sqlite3.Connection, query: str, vin: str) -> int:
    return int(db.execute(query, (vin,)).fetchone()[0])


def _judge_copies(result: Delivery, copies: list[_Report], period_s: int, repeats_by_link: Counter[int]) -> None:
    """Count what the packets of one key, in order of arrival, say."""
    if len(copies) > 1 and len({copy.digest() for copy in copies}) > 1:
        result.conflicts += 1
    for position, copy in enumerate(copies):
        late = copy.received_ms > (copy.collected_at + period_s) * 1000
        if copy.command == "realtime" and (late or position > 0):
            result.mismarked += 1
    taken = [copy for copy in copies if copy.taken()]
    if not taken:
        result.refused += 1
        return
    if taken[0].command == "realtime":
        result.live += 1
    else:
        result.reissued += 1
    result.repeats += len(taken) - 1
    for position, copy in enumerate(taken[1:], 1):
        repeats_by_link[copy.link] += 1
        if any(earlier.link == copy.link for earlier in taken[:position]):
            result.needless += 1


def _measure_period(result: Delivery, live: list[tuple[int, int]], period_s: int) -> None:
    """Times between live reports that are neighbours on the grid."""
    live.sort()
    periods = sorted(
        after[0] - before[0] for before, after in itertools.pairwise(live) if after[1] - before[1] == period_s
    )
    if not periods:
        return
    result.period_min_ms = periods[0]
    result.period_median_ms = periods[len(periods) // 2]
    jitters = sorted(abs(period - period_s * 1000) for period in periods)
    result.jitter_p99_ms = jitters[-(-len(jitters) * 99 // 100) - 1]


def short_vin(vin: str) -> str:
    """A VIN as logs may show it: the last six characters."""
    return f"…{vin[-6:]}"


def _when(second: int, part: int) -> str:
    when = datetime.fromtimestamp(second, BEIJING).isoformat(" ")
    return when if part == 1 else f"{when} (cells from {part})"


def _cell(value: object, attribute: str, lang: str, full_vin: bool) -> str:
    if attribute == "vin":
        return str(value) if full_vin else short_vin(str(value))
    if attribute == "ok":
        return _VERDICTS[lang, bool(value)]
    if isinstance(value, list):
        return str(len(value))
    return "-" if value is None else str(value)
