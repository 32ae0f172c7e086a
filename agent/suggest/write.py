"""Proposals as a mapping file: sure ones as lines that count, unsure ones as comments with what speaks against them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent.core.editions import EDITIONS
from agent.suggest.items import ITEMS
from agent.suggest.proposals import Proposal

__all__ = ["Head", "render", "summary"]

WIDTH = 128
_SECTIONS = (
    "vehicle",
    "drive_motors",
    "position",
    "storage_voltages",
    "storage_temperatures",
    "unit_voltages",
    "battery_temperatures",
)
_EXTREMES_FROM = ("storage_voltages", "storage_temperatures")


@dataclass(frozen=True)
class Head:
    """What stands above the items: buses with their files as the mapping names them, notes on the files, the recording."""

    name: str
    editions: tuple[str, ...]
    files: dict[str, list[str]]
    lenient: frozenset[str]
    notes: tuple[str, ...]
    timeouts_ms: dict[str, int]


def plain(text: str) -> str:
    """A text that can stand in a comment: one line, nothing that steers a terminal."""
    return " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())


def render(head: Head, proposals: Sequence[Proposal]) -> str:
    """The mapping file."""
    lines = [
        "# Proposed by `tbox suggest`. Before each item: its score (1 is certain), and why.",
        "# An item that stands in a comment is not sure: look at it, correct it, take the # away.",
        *(f"# {plain(note)}"[:WIDTH] for note in head.notes),
        "format = 1",
        f"name = {_quoted(head.name)}",
        f"edition = [{', '.join(_quoted(edition) for edition in head.editions)}]",
    ]
    for bus, files in head.files.items():
        lines += ["", f"[dbc.{bus}]", f"files = [{', '.join(_quoted(file) for file in files)}]"]
        lines += ["lenient = true"] if bus in head.lenient else []
    for message, timeout_ms in sorted(head.timeouts_ms.items()):
        lines += [
            "",
            f'[messages."{message}"]  # no cycle time in the DBC: ten of those in the recording',
            f"timeout_ms = {timeout_ms}",
        ]
    known = {layout.name for edition in head.editions for layout in EDITIONS[edition].bodies.values()}
    for section in _SECTIONS:
        if section in known:
            lines += ["", *_section(section, [one for one in proposals if one.body == section])]
    if "extremes" in known and any(one.sure and one.body in _EXTREMES_FROM for one in proposals):
        lines += ["", "[extremes]  # worked out from the lists above"]
    return "\n".join(lines) + "\n"


def _section(section: str, proposals: list[Proposal]) -> list[str]:
    """A section; its head is a comment, too, where nothing in it is sure. [vehicle] always stands: a mapping needs one."""
    live = section == "vehicle" or any(one.sure for one in proposals)
    mark = "" if live else "# "
    lines = [f"{mark}[[drive_motors.motors]]" if section == "drive_motors" else f"{mark}[{section}]"]
    repeat = max((one.repeat for one in proposals if one.sure), default=1)
    if section == "drive_motors" and repeat > 1:
        lines.append(f"repeat = {repeat}")
    for one in proposals:
        lines += ["", *_item(one)]
    lines += [""] if section == "vehicle" else []
    missing = [
        item.label
        for item in ITEMS
        if item.path.startswith(f"{section}.") and item.path not in {p.path for p in proposals}
    ]
    if not proposals and section not in ("vehicle", "drive_motors"):
        return [f"# [{section}]: nothing found in these files"]
    if section == "vehicle":
        lines.append('# run_mode = { constant = "electric" }  # if the car has no engine')
    return lines + ([f"# nothing found for: {', '.join(missing)}"] if missing else [])


def _item(one: Proposal) -> list[str]:
    key = one.path.split(".")[1 if one.path.startswith("vehicle.") else -1]
    word = "" if one.sure else ", not sure"
    lines = _wrapped(f"{one.score:.2f}{word}: {'; '.join(one.reasons)}")
    lines += [line for doubt in one.doubts for line in _wrapped(f"but {doubt}")]
    if one.others:
        lines += _wrapped(f"else: {', '.join(one.others)}")
    if one.sure:
        return [*lines, f"{key} = {one.text}"]
    return [*lines, *(f"# {key} = {text}" for text in one.choices or (one.text,))]


def _wrapped(text: str) -> list[str]:
    lines = [""]
    for word in plain(text).split(" "):
        if len(lines[-1]) + len(word) + 3 > WIDTH and lines[-1]:
            lines.append("")
        lines[-1] += f" {word}"
    return [f"#{line}" if index == 0 else f"#  {line}" for index, line in enumerate(lines)]


def _quoted(text: str) -> str:
    """A TOML basic string; JSON's escapes are TOML's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def summary(proposals: Iterable[Proposal], editions: Sequence[str]) -> list[tuple[str, str, str, str]]:
    """(item, signal, score, sure or the first doubt) a row, of the editions asked for; unfound items with empty signal."""
    by_path = {one.path: one for one in proposals}
    labels = {item.path: item.label for item in ITEMS}
    known = {layout.name for edition in editions for layout in EDITIONS[edition].bodies.values()}
    paths = [*labels, *(path for path in by_path if path not in labels and path.split(".")[0] in known)]
    rows = []
    for path in paths:
        one = by_path.get(path)
        label = labels.get(path, path.replace(".", " ").replace("_", " "))
        if one is None:
            rows.append((label, "-", "", "not found"))
        else:
            rows.append(
                (
                    label,
                    one.place,
                    f"{one.score:.2f}",
                    "sure"
                    if one.sure
                    else plain(f"not sure: {one.doubts[0]}" if one.doubts else "not sure: low score")[:90],
                )
            )
    return rows
