"""The words of `tbox watch`: cells and lines of a view, in English and Chinese."""

from datetime import datetime
from typing import Any

from agent.beijing import BEIJING
from agent.labels import body, flag, label, word
from agent.status_snapshot import BusState, Snapshot
from agent.watch.places import Place
from agent.watch.rows import Row
from agent.watch.signals import VALID, Number
from agent.watch.view import View, Watcher

HEADINGS = {
    "en": ("item", "value", "state", "age", "raw", "physical", "count", "source"),
    "zh": ("数据项", "值", "状态", "时延", "原始值", "物理值", "计数", "来源"),
}
SIDES = "lrlrrrrl"
BUS_HEADINGS = {
    "en": ("bus", "by", "frames/s", "load", "drops", "errors", "problem"),
    "zh": ("总线", "方式", "帧/秒", "负载", "丢帧", "错误帧", "问题"),
}
BUS_SIDES = "llrrrrl"
NOTHING = "-"
_STATES = {
    "valid": "有效",
    "abnormal": "异常",
    "not available": "不可用",
    "out of range": "超出范围",
    "no fix": "未定位",
    "short frame": "帧过短",
    "stale": "过期",
    "never seen": "从未收到",
    "bus away": "总线断开",
    "not mapped": "未映射",
}
_PATHS = {"bcm": "BCM", "raw": "raw", "": "-"}
_TEXTS = {
    "en": {
        "outbox": "outbox",
        "pending": "pending {}",
        "oldest": "oldest {}",
        "proven": "proven {}",
        "refused": "refused {}",
        "lost": "lost {}",
        "used": "used {:.1f} of {:.0f} MB",
        "memory": "in memory only {}",
        "disk": "THE DISK REFUSES",
        "link": "link",
        "up": "{} {} since {}",
        "own": "own ears",
        "agent": "agent",
        "no agent": "no agent runs for this outbox: own ears, listening only, nothing is reported",
        "other": "the agent runs with another mapping than this configuration names now: restart it to see the items",
        "invalid": "invalid",
        "none": "none",
    },
    "zh": {
        "outbox": "存储",
        "pending": "待发 {}",
        "oldest": "最早 {}",
        "proven": "已送达 {}",
        "refused": "被拒 {}",
        "lost": "丢失 {}",
        "used": "占用 {:.1f}/{:.0f} MB",
        "memory": "仅在内存 {}",
        "disk": "磁盘拒绝写入",
        "link": "链路",
        "up": "{} {} 自 {}",
        "own": "自行监听",
        "agent": "终端",
        "no agent": "没有终端程序在使用此存储：自行监听（只听），不上报",
        "other": "运行中的终端程序所用映射与此配置不同：重启终端程序后可显示数据项",
        "invalid": "无效",
        "none": "无",
    },
}


class Words:
    """The texts of one mapping in one language."""

    def __init__(self, watcher: Watcher, lang: str) -> None:
        self.lang = lang
        self._edition = watcher.mapping.edition_name
        self._watcher = watcher
        self._texts = _TEXTS[lang]

    def section(self, name: str) -> str:
        """The heading of a body's items."""
        head = name.partition(".")[0]
        return f"{name} {body(head, self.lang)}" if self.lang == "zh" else name

    def cells(self, row: Row, parent: Row | None = None) -> tuple[str, ...]:
        """One row of the table of items, as HEADINGS; `parent`: the row that it is a part of."""
        place = self._watcher.place((parent or row).item)
        return (
            self._name(row, parent, place),
            self.value(row, place),
            self.state(row),
            age_text(row.age_ms),
            self._span(row, "raw"),
            _with_unit(self._span(row, "physical"), row.unit or (row.parts[0].unit if row.of else "")),
            self._span(row, "count") if row.of and not self._is_flags(place) else _shown(row.count),
            row.source,
        )

    def state(self, row: Row) -> str:
        """Its validity; of several values how many are valid."""
        said = _STATES[row.validity] if self.lang == "zh" else row.validity
        if not row.of:
            return said
        return f"{row.good}/{row.of}" if row.validity == VALID else f"{row.good}/{row.of} {said}"

    def value(self, row: Row, place: Place | None) -> str:
        """The value as the platform will see it."""
        value = row.value
        if self._is_flags(place) and isinstance(value, list):
            return ", ".join(flag(name, self.lang, self._edition) for name in value) or self._texts["none"]
        if isinstance(value, list) and row.of:
            known = [each for each in value if isinstance(each, int | float)]
            words = ", ".join(each for each in value if isinstance(each, str))  # codes, in hexadecimal
            nothing = self._texts["invalid" if value else "none"]
            return _with_unit(_range(known), row.value_unit) if known else words or nothing
        return self._one(value, row.value_unit, place)

    def _one(self, value: Any, unit: str, place: Place | None) -> str:
        if value is None:
            return self._texts["invalid"]
        if isinstance(value, bool | int | float):
            return _with_unit(_shown(value), unit)
        if isinstance(value, str):
            return word(value, self.lang, place.name if place else "")
        if isinstance(value, list) and not value:
            return self._texts["none"]
        if isinstance(value, dict) and list(value) == ["raw"]:
            return f"raw {value['raw']}"
        return ", ".join(" ".join(map(str, each.values())) if isinstance(each, dict) else str(each) for each in value)

    def _name(self, row: Row, parent: Row | None, place: Place | None) -> str:
        if parent is not None:
            if place is not None and place.names and row.kind != "operand":
                return f"    {flag(row.item, self.lang, self._edition) if self.lang == 'zh' else row.item}"
            return f"    {row.item.removeprefix(f'{row.body}.')}"
        path = row.item.removeprefix(f"{row.body}.")
        chinese = f"{label(place.name, 'zh', place.table)} " if self.lang == "zh" and place else ""
        return f"  {chinese}{path}"

    def _span(self, row: Row, name: str) -> str:
        """A number, or from the lowest to the highest of a list's values."""
        if row.of:
            found = [getattr(part, name) for part in row.parts]
            return _range([each for each in found if each is not None])
        return _shown(getattr(row, name))

    def _is_flags(self, place: Place | None) -> bool:
        return place is not None and bool(place.names)

    def title(self, snapshot: Snapshot, own: bool) -> str:
        """Whose items these are, and when."""
        texts, at = self._texts, _time(snapshot.wall_ms)
        who = texts["own"] if own else texts["agent"]
        return f"…{snapshot.vin}  GB/T 32960.3-{snapshot.edition}  {who}  {at}  {snapshot.mapping}"

    def bus(self, bus: BusState) -> tuple[str, ...]:
        """One row of the table of buses, as BUS_HEADINGS."""
        counted = ", ".join(f"{name}={count}" for name, count in bus.counted.items() if count)
        return (
            f"{bus.name} {bus.interface} {bus.channel.rpartition('/')[2]}".rstrip(),
            _PATHS.get(bus.path, bus.path),
            "-" if bus.frames_s is None else f"{bus.frames_s:.0f}",
            "-" if bus.load is None else f"{bus.load:.0f} %",
            str(bus.dropped),
            str(bus.errors),
            "; ".join(part for part in (bus.problem or "", counted) if part) or NOTHING,
        )

    def outbox(self, snapshot: Snapshot) -> str:
        """What waits, what was delivered, what was lost; empty where no agent runs."""
        texts, box = self._texts, snapshot.outbox
        if box is None:
            return ""
        parts = [texts["disk"]] if box.disk_refuses else []
        for name in ("pending", "proven"):
            count = getattr(box, name)
            parts += [] if count is None else [texts[name].format(count)]
        if box.oldest is not None:
            parts.insert(1, texts["oldest"].format(_time(box.oldest * 1000)))
        parts += [texts["refused"].format(box.refused)] if box.refused else []
        parts.append(texts["lost"].format(", ".join(f"{name} {count}" for name, count in box.lost.items()) or 0))
        parts += [] if box.used is None else [texts["used"].format(box.used / 1e6, box.most / 1e6)]
        parts += [texts["memory"].format(box.in_memory)] if box.in_memory else []
        return f"{texts['outbox']}: " + ", ".join(parts)

    def link(self, snapshot: Snapshot) -> str:
        """How the conversation with the platform stands; empty where no agent runs."""
        link = snapshot.link
        if link is None:
            return ""
        state = link.state.replace("_", " ")
        return f"{self._texts['link']}: " + self._texts["up"].format(state, link.endpoint, _time(link.since_ms))

    def remark(self, view: View) -> str:
        """What whoever looks must know first; empty in the usual case."""
        if view.other:
            return self._texts["other"]
        if not view.own:
            return ""
        return self._texts["no agent"] + (f" ({view.reason})" if view.reason else "")

    def lines(self, view: View) -> list[str]:
        """Outbox and link, each a line, where there are any."""
        return [line for line in (self.outbox(view.snapshot), self.link(view.snapshot)) if line]


def age_text(age_ms: int | None) -> str:
    """Milliseconds as people read them, in five columns."""
    if age_ms is None:
        return "-"
    if age_ms < 1000:
        return f"{age_ms}ms"
    if age_ms < 100_000:
        return f"{age_ms / 1000:.1f}s"
    return f"{age_ms // 60_000}m" if age_ms < 6_000_000 else f"{age_ms // 3_600_000}h"


def _time(wall_ms: int) -> str:
    return datetime.fromtimestamp(wall_ms // 1000, BEIJING).strftime("%m-%d %H:%M:%S")


def _range(values: list[Number]) -> str:
    if not values:
        return "-"
    lowest, highest = min(values), max(values)
    return _shown(lowest) if lowest == highest else f"{_shown(lowest)}..{_shown(highest)}"


def _shown(value: Any) -> str:
    if value is None or isinstance(value, list):
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return format(value, ".9g") if isinstance(value, float) else str(value)


def _with_unit(text: str, unit: str) -> str:
    return f"{text} {unit}" if unit and text != "-" else text
