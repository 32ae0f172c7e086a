"""A small car of its own for tests: writes a DBC and a mapping, compiles them, keeps frames, takes samples."""

from pathlib import Path
from typing import Any

from agent.core.frames import LatestFrames
from agent.core.sampler import Sampler
from agent.signalmap import CompiledMapping, load_mapping

HEAD = 'format = 1\nname = "test"\nedition = "2016"\n[dbc.b]\nfiles = ["test.dbc"]\n'
ATTRIBUTES = 'BA_DEF_ BO_ "GenMsgCycleTime" INT 0 100000;\nBA_DEF_DEF_ "GenMsgCycleTime" 0;\n'


def write(folder: Path, messages: str, sections: str, *, head: str = HEAD) -> Path:
    """`messages`: BO_ and SG_ lines (and any statements behind them); returns the mapping's path."""
    # Statements keep their order in a DBC: messages, then attribute definitions, then attributes.
    lines = [line.strip() for line in messages.strip().splitlines()]
    first = [line for line in lines if line.startswith(("BO_ ", "SG_ "))]
    rest = [line for line in lines if line not in first]
    text = "\n".join(['VERSION ""', "BU_: A", *first, ATTRIBUTES, *rest, ""])
    (folder / "test.dbc").write_text(text, encoding="utf-8")
    mapping = folder / "test.toml"
    mapping.write_text(head + sections, encoding="utf-8")
    return mapping


class Car:
    """A compiled mapping in use; time in ms."""

    def __init__(self, folder: Path, messages: str, sections: str) -> None:
        self.mapping: CompiledMapping = load_mapping(write(folder, messages, sections), "2016", cache=False)
        self.latest = LatestFrames(self.mapping.plan)
        self.sampler = Sampler(self.mapping.plan)

    def keep(self, can_id: int, data: "bytes | str", now: int = 0) -> None:
        self.latest.keep(0, can_id, bytes.fromhex(data) if isinstance(data, str) else data, now)

    def sample(self, now: int = 0) -> "dict[int, dict[str, Any]]":
        return dict(self.sampler.sample(self.latest, now))

    def item(self, path: str) -> Any:
        return next(item for item in self.mapping.items if item.path == path)
