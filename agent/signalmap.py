"""Mapping files: which signal fills which item of GB/T 32960. Read, check, compile, and keep the result for the next start.

`load_mapping` gives the plan that `agent/core/signals.py` and `agent/core/sampler.py` run. The result is cached as JSON, keyed
by the contents of everything it depends on; with a warm cache neither cantools nor the compiler is imported.
"""

import hashlib
import importlib.util
import json
import logging
import os
from dataclasses import asdict
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from agent import __version__
from agent.core.editions import EDITIONS
from agent.errors import ConfigError
from agent.mapping.plan import CompiledMapping, DbcSource, Item
from agent.shipped import dbc_folder
from agent.tomlfile import parse_toml, read_regular

__all__ = ["CompiledMapping", "Item", "load_mapping"]

log = logging.getLogger(__name__)

FORMAT = 1
GNSS_DBC = "shipped:gnss.dbc"
_CAR_EXTRA = "cars"  # the extra that brings the package of `package:opendbc/...`


def load_mapping(
    path: str | Path, edition_name: str, *, cache: bool = True, gnss: str | None = None
) -> CompiledMapping:
    """Compile the mapping at `path` for one edition; ConfigError with every fault of the file and its DBC files.

    `gnss`: the bus of the receiver of [gnss]; a mapping without a [position] has it from there.
    """
    path = Path(path)
    try:
        data = read_regular(path)
        text = data.decode()
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), [f"is not UTF-8 (byte {error.start})"]) from error
    document = parse_toml(str(path), text, Decimal)
    if gnss is not None:
        _add_position(document, gnss)
    faults: list[str] = []
    sources = _dbc_sources(path, document, faults)
    _check_head(document, edition_name, faults)
    cached = _cache_file((data, (gnss or "").encode()), sources, edition_name) if cache and not faults else None
    if cached is not None and (known := _read_cache(cached)) is not None:
        return known
    from agent.mapping.document import compile_mapping

    mapping = compile_mapping(str(path), document, EDITIONS.get(edition_name), sources, faults)
    if cached is not None:
        _write_cache(cached, mapping)
    return mapping


def _add_position(document: dict[str, Any], bus: str) -> None:
    """[position] from the receiver, unless the mapping has one; what the mapping says of that bus stays."""
    if "position" in document:
        return
    document["position"] = {
        "longitude": f"{bus}.Fix.Longitude",
        "latitude": f"{bus}.Fix.Latitude",
        "valid": f"{bus}.Fix.Valid",
    }
    buses = document.setdefault("dbc", {})
    if isinstance(buses, dict):
        buses.setdefault(bus, {"files": [GNSS_DBC]})


def _check_head(document: dict[str, Any], edition_name: str, faults: list[str]) -> None:
    if document.get("format") != FORMAT:
        faults.append(f"format: is {document.get('format', 'missing')}; this program reads format = {FORMAT}")
    if not isinstance(document.get("name"), str):
        faults.append('name: must be a text, such as name = "Reference EV"')
    written = document.get("edition")
    editions = [written] if isinstance(written, str) else written
    if not isinstance(editions, list) or not editions or not all(isinstance(one, str) for one in editions):
        faults.append('edition: must be the edition the mapping was written for, "2016" or a list')
    elif edition_name not in editions:
        faults.append(
            f"edition: the mapping was written for {', '.join(editions)}, the vehicle reports in {edition_name}"
        )
    if edition_name not in EDITIONS:
        faults.append(f"edition {edition_name} is not known; known are {', '.join(EDITIONS)}")


def _dbc_sources(path: Path, document: dict[str, Any], faults: list[str]) -> list[DbcSource]:
    """Read every DBC file that [dbc.BUS] names."""
    tables = document.get("dbc")
    if not isinstance(tables, dict) or not tables:
        faults.append('dbc: no bus; write [dbc.NAME] with files = ["..."], NAME as in the configuration\'s [[can]]')
        return []
    sources = []
    for bus, table in tables.items():
        where = f"dbc.{bus}"
        if not isinstance(table, dict):
            faults.append(f"{where}: must be a table")
            continue
        faults += [
            f"{where}.{key}: unknown key (known: files, lenient)" for key in table if key not in ("files", "lenient")
        ]
        files, lenient = table.get("files"), table.get("lenient", False)
        if not isinstance(lenient, bool):
            faults.append(f"{where}.lenient: must be true or false")
        if not isinstance(files, list) or not files or not all(isinstance(file, str) for file in files):
            faults.append(f'{where}.files: must be a list of texts, such as ["car.dbc"]')
            continue
        for file in files:
            try:
                place = _place(path, file)
                sources.append(DbcSource(bus, file, place, read_regular(place), bool(lenient)))
            except LookupError as error:
                faults.append(f"{where}.files: {file}: {error.args[0]}")
            except OSError as error:
                faults.append(f"{where}.files: {file}: {error.strerror} ({error.filename})")
            except ValueError as error:  # a character that cannot stand in a path
                faults.append(f"{where}.files: {file!r}: {error}")
    return sources


def _place(mapping: Path, file: str) -> Path:
    """A path relative to the mapping, `shipped:NAME`, `data:NAME` under $TBOX_DATA, or `package:NAME/...`; LookupError."""
    if file.startswith("shipped:"):
        return dbc_folder() / file.removeprefix("shipped:")
    if file.startswith("data:"):
        folder, name = os.environ.get("TBOX_DATA", ""), file.removeprefix("data:")
        if not folder or folder == "none":
            raise LookupError(f"$TBOX_DATA is not set; set it to the folder that has {name} in it")
        return Path(folder) / name
    if file.startswith("package:"):
        package, _, rest = file.removeprefix("package:").partition("/")
        spec = importlib.util.find_spec(package) if package.isidentifier() else None
        if spec is None or not spec.submodule_search_locations:
            raise LookupError(
                f"package {package} is not installed; pip install 'tbox-agent[{_CAR_EXTRA}]' brings opendbc"
            )
        return Path(spec.submodule_search_locations[0]) / rest
    return mapping.parent / file


def _cache_file(mapping: tuple[bytes, bytes], sources: list[DbcSource], edition_name: str) -> Path | None:
    """Where the compiled form of exactly these inputs is kept; None where there is no home for a cache.

    `mapping`: the file, and the bus from which it has its position without saying so.
    """
    key = hashlib.sha256()
    for part in (*mapping, edition_name.encode(), __version__.encode(), _version("cantools").encode()):
        key.update(b"%d:" % len(part) + part)
    for source in sources:
        key.update(b"%d:" % len(source.data) + source.data)
    # While the program itself is being worked on its version stands still.
    here = Path(__file__).parent
    for pattern in ("mapping/*.py", "core/edition*.py"):
        for module in sorted(here.glob(pattern)):
            key.update(module.read_bytes())
    name = f"mapping-{key.hexdigest()[:32]}.json"
    # systemd sets CACHE_DIRECTORY, to several directories separated by colons if told to.
    if given := os.environ.get("CACHE_DIRECTORY", "").split(":")[0]:
        return Path(given) / name
    if given := os.environ.get("XDG_CACHE_HOME", ""):
        return Path(given) / "tbox" / name
    home = os.environ.get("HOME")
    return Path(home) / ".cache" / "tbox" / name if home else None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _read_cache(file: Path) -> CompiledMapping | None:
    try:
        known = json.loads(file.read_bytes())
        known["items"] = [Item(**item) for item in known["items"]]
        return CompiledMapping(**known)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("mapping cache unreadable, compiled again file=%s error=%s", file, error)
        return None


def _write_cache(file: Path, mapping: CompiledMapping) -> None:
    """Whole or not at all: another process may read it at any time."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(asdict(mapping), separators=(",", ":")))
        temporary.replace(file)
    except OSError as error:
        log.warning("mapping cache not written, the next start compiles again file=%s error=%s", file, error)
