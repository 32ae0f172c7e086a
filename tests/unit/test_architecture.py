"""The rules that hold the house up: which module may import which, and how long things may get."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in ("agent", "bench")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8"), str(path)) for name, path in MODULES.items()}

# Packages whose modules are areas, each with its module's name; the package itself is a docstring.
OF_SEVERAL_AREAS = ("attached", "platform")

# An area imports its own modules and the areas of lower layers; areas of one layer do not know each other.
LAYERS = {
    **dict.fromkeys(("core", *OF_SEVERAL_AREAS), 0),
    "errors": 1,
    **dict.fromkeys(
        (
            "beijing",
            "canlibrary",
            "clock",
            "control",
            "labels",
            "programs",
            "progress",
            "remarks",
            "security",
            "tomlfile",
        ),
        2,
    ),
    **dict.fromkeys(("backoff", "blocking", "devices", "port", "shipped"), 2),
    **dict.fromkeys(("config", "signalmap", "canbus", "gnss", "outbox", "links", "seal", "status", "packetjson"), 3),
    **dict.fromkeys(("interfaces", "modem", "parameters"), 3),
    **dict.fromkeys(
        ("junction", "collect", "coverage", "diagnosis", "explain", "replay", "suggest", "uplink", "wireshark"), 4
    ),
    "commanded": 4,
    **dict.fromkeys(("effects", "monitoring", "watch"), 5),
    "side": 6,
    "app": 7,
    **dict.fromkeys(("cli", "commands", "board"), 8),
}
# Modules that are a part of an area without carrying its name, by how their names begin.
PART_OF = {
    "mapping": "signalmap",
    "crypto": "seal",
    "canlog": "canbus",
    "json": "packetjson",
    "hexinput": "packetjson",
    "fieldtable": "packetjson",
    "texttable": "labels",
    "sessiondiagram": "explain",
    "sending": "uplink",
    "answering": "uplink",
    "upgrade": "commanded",
}

agent_modules = pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("agent.")])
every_module = pytest.mark.parametrize("name", MODULES)


def area(module: str) -> str:
    """agent.core.field -> core, agent.outbox_file -> outbox, agent.mapping.plan -> signalmap; else the module's own name."""
    names = module.split(".")
    top = names[2] if names[1] in OF_SEVERAL_AREAS and len(names) > 2 else names[1]
    if top.split("_")[0] in LAYERS:
        return top.split("_")[0]
    return next((whole for begin, whole in PART_OF.items() if top.startswith(begin)), top)


def imports(tree: ast.AST, *, late: bool = True) -> Iterator[str]:
    """Modules that are imported at run time, as written; `late`: those inside functions too. Typing blocks do not run."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not late:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import; name the module in full"
            named = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in MODULES else str(node.module) for name in named)
        else:
            yield from imports(node, late=late)


def calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


@agent_modules
def test_arrows_point_to_the_core(name: str) -> None:
    own = area(name)
    assert own in LAYERS, f"{name}: give the area '{own}' a layer, or the module an area in PART_OF"
    for target in imports(TREES[name]):
        assert target.split(".")[0] != "bench", f"{name} imports {target}: the agent does not know the bench"
        if target.startswith("agent."):
            lower = LAYERS.get(area(target), 99) < LAYERS[own]
            assert lower or area(target) == own, f"{name} imports {target}, which is not below it"


def test_no_module_needs_itself() -> None:
    """Nor by way of others: a circle cannot be read from either end. Imports for types alone count too."""
    needs = {
        name: {
            target
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for target in imports(ast.Module([node], []))
        }
        for name, tree in TREES.items()
    }
    left = {name: {target for target in targets if target in MODULES} for name, targets in needs.items()}
    while leaves := [name for name, targets in left.items() if not targets & set(left)]:
        for name in leaves:
            del left[name]
    assert not left, f"modules in a circle, or needing one: {sorted(left)}"


def test_core_is_pure() -> None:
    for name in (name for name in MODULES if name.startswith("agent.core")):
        foreign = {target for target in imports(TREES[name]) if not target.startswith("agent.core")}
        assert foreign <= {"struct", "collections"}, f"{name} imports {foreign}"


def test_board_stands_on_the_core_alone() -> None:
    for name in (name for name in MODULES if name.startswith("agent.board")):
        own = {target for target in imports(TREES[name]) if target.startswith("agent.")}
        assert {area(target) for target in own} <= {"core", "board"}, name


@agent_modules
def test_only_the_clock_reads_time(name: str) -> None:
    if name == "agent.clock" or name.startswith("agent.board"):
        return
    assert "time" not in set(imports(TREES[name])), (
        f"{name} imports time; take `now` as an argument, or ask agent.clock"
    )
    readers = [f"line {line}" for line, call in calls(TREES[name]) if call.endswith((".now", ".utcnow", ".today"))
               and call.startswith(("datetime", "date"))]  # fmt: skip
    assert not readers, f"{name} reads the wall clock: {readers}"


@agent_modules
def test_cantools_is_for_the_dbc_side(name: str) -> None:
    used = [target for target in imports(TREES[name]) if target.split(".")[0] == "cantools"]
    assert not used or area(name) == "signalmap", f"{name} imports cantools; agent.mapping.dbcfile reads DBC files"


@agent_modules
def test_cantools_is_not_loaded_before_a_dbc_file_has_to_be_read(name: str) -> None:
    if LAYERS[area(name)] <= LAYERS["signalmap"]:
        return
    seen, due = {name}, [name]
    while due:
        for target in imports(TREES[due.pop()], late=False):
            assert target.split(".")[0] != "cantools", (
                f"importing {name} loads cantools; with a warm cache nobody needs it"
            )
            if target in MODULES and target not in seen:
                seen.add(target)
                due.append(target)


@every_module
def test_no_text_is_run_as_code(name: str) -> None:
    found = [
        f"line {line}" for line, call in calls(TREES[name]) if call in ("eval", "exec", "compile", "builtins.eval")
    ]
    assert not found, f"{name}: {found}"


@agent_modules
def test_only_commands_print(name: str) -> None:
    if area(name) in ("commands", "cli", "board"):
        return
    assert not [line for line, call in calls(TREES[name]) if call == "print"], f"{name} prints; log, or return it"


@every_module
def test_nothing_is_longer_than_a_reader_can_hold(name: str) -> None:
    lines = MODULES[name].read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 400 or "# long: " in lines[0], f"{name} has {len(lines)} lines; 400 are allowed"
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            size = node.end_lineno - node.lineno + 1
            allowed = size <= 60 or "# long: " in lines[node.lineno - 1]
            assert allowed, (
                f"{name}.{node.name} has {size} lines; 60 are allowed, more with '# long: reason' on its line"
            )


def test_the_imported_agent_is_ours() -> None:
    import agent  # the package index has a project of the same name, a module agent.py

    assert Path(agent.__file__).parent == ROOT / "agent", f"{agent.__file__} is in the way ({sys.path})"
