"""Control 01: an upgrade package is fetched, and handed on only when its maker signed it and its version fits.

Beside the package at URL lie `URL-path.manifest` (JSON: maker, hardware, firmware, sha256, size) and `URL-path.sig` (the maker's
signature of the manifest's bytes). These two are read first; nothing is fetched for a manifest that is not the maker's.

Versions (STRING 5) are compared part by part, a part being a run of digits or of anything else: two numbers by value, two texts
byte by byte, a number before a text, and what has no further part first. So 1.9 < 1.10, 1.2 < 1.2.1, 01 = 1.
"""

import contextlib
import logging
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Meta

from agent.crypto.maker import PublicKey, load_public_key
from agent.errors import AgentError, ConfigError
from agent.platform.upgrade_fetch import Limits, fetch, shown

if TYPE_CHECKING:
    from agent.clock import Clock
    from agent.config import Config

log = logging.getLogger(__name__)

MANIFEST = ".manifest"
SIGNATURE = ".sig"
MOST_MANIFEST = 16_384  # bytes
MOST_SIGNATURE = 4_096
DEFAULT_MINUTES = 60  # where the order names no time limit
MOST_MINUTES = 24 * 60
MINUTE_MS = 60_000
RESERVE = 64_000_000  # bytes of disk that an upgrade leaves to the outbox
FOLDER = "upgrade-"  # how the folders of downloads begin

Version = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,4}$")]


class UpgradeError(AgentError):
    """An upgrade that is not taken; the text says why."""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the maker says of a package: for whom, which version, SHA-256 in lower-case hexadecimal, size in bytes."""

    maker: Annotated[str, Meta(pattern=r"^[A-Z0-9]{4}$")]
    hardware: Version
    firmware: Version
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Meta(ge=1)]


class Package(msgspec.Struct, frozen=True):
    """A checked package on the disk."""

    path: Path
    version: str


def version_key(version: str) -> list[tuple[int, int, str]]:
    """Sorts versions by the rule of this module."""
    parts = re.findall(r"[0-9]+|[^0-9]+", version)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


class Upgrade:
    """Fetches and checks packages for this terminal. ConfigError when the maker's key cannot be used."""

    def __init__(self, config: "Config", clock: "Clock", hardware: str, firmware: str, file: str) -> None:
        self._control = config.control
        folder = config.control.download_folder
        self._folder = config.path(folder) if folder else config.path(config.outbox.path).parent
        self._clock = clock
        self._hardware = hardware
        self._firmware = firmware
        self._key = _key(config, file)

    def refusal(self, order: dict[str, Any]) -> str:
        """Why an order need not even be tried: it names another maker or hardware, or a firmware that is not newer."""
        maker, hardware, firmware = (order[name].decode() for name in ("maker", "hardware_version", "firmware_version"))
        try:
            beside(order["url"].decode(), SIGNATURE)
        except ValueError as error:
            return f"upgrade from {shown(order['url'].decode())}: {error}"
        return self._misfit(maker or self._control.maker, hardware or self._hardware, firmware)

    @contextlib.asynccontextmanager
    async def package(self, order: dict[str, Any]) -> AsyncIterator[Package | None]:
        """The checked package of an order, None (said in the log) when it is not to be had. It is gone afterwards."""
        with contextlib.ExitStack() as cleaning:
            try:
                folder = self._private_folder(cleaning)
                found: Package | None = await self._package(order, folder)
            except (UpgradeError, OSError) as error:
                log.error("security: upgrade refused url=%s: %s", shown(order["url"].decode()), error)
                found = None
            yield found

    async def _package(self, order: dict[str, Any], folder: Path) -> Package:
        minutes = min(order["minutes"] or DEFAULT_MINUTES, MOST_MINUTES)
        until = self._clock.now() + minutes * MINUTE_MS
        url = order["url"].decode()
        manifest_bytes = await self._small(beside(url, MANIFEST), folder / "manifest", MOST_MANIFEST, until)
        signature = await self._small(beside(url, SIGNATURE), folder / "signature", MOST_SIGNATURE, until)
        if not self._key.verifies(signature, manifest_bytes):
            raise UpgradeError("the manifest is not signed by the maker's key")
        manifest = read_manifest(manifest_bytes)
        named = order["firmware_version"].decode()
        if named and named != manifest.firmware:
            raise UpgradeError(f"the order names firmware {named}, the package is {manifest.firmware}")
        misfit = self._misfit(manifest.maker, manifest.hardware, manifest.firmware)
        if misfit:
            raise UpgradeError(misfit)
        self._check_size(manifest.size)
        path = folder / "package"
        fetched = await fetch(url, path, Limits(manifest.size, until), self._clock)
        if fetched.size != manifest.size:
            raise UpgradeError(f"the package has {fetched.size} bytes, its manifest says {manifest.size}")
        if fetched.sha256 != manifest.sha256:
            raise UpgradeError(f"the package's SHA-256 is {fetched.sha256}, its manifest says {manifest.sha256}")
        log.warning("security: upgrade fetched url=%s version=%s size=%d", shown(url), manifest.firmware, manifest.size)
        return Package(path, manifest.firmware)

    async def _small(self, url: str, path: Path, most: int, until: int) -> bytes:
        await fetch(url, path, Limits(most, until), self._clock)
        return path.read_bytes()  # noqa: ASYNC240 - some kilobytes that were written just now

    def _misfit(self, maker: str, hardware: str, firmware: str) -> str:
        """Why such a package is not for this terminal; an empty `firmware` is not judged."""
        if maker != self._control.maker:
            return f"upgrade of maker {maker}, this terminal's is {self._control.maker}"
        if hardware != self._hardware:
            return f"upgrade for hardware {hardware}, this terminal's is {self._hardware or 'not configured'}"
        if not firmware or self._control.allow_downgrade or version_key(firmware) > version_key(self._firmware):
            return ""
        return f"firmware {firmware} is not newer than {self._firmware}, and control.allow_downgrade is false"

    def _check_size(self, size: int) -> None:
        most = self._control.max_upgrade_mb * 1_000_000
        if size > most:
            raise UpgradeError(f"the package has {size} bytes; control.max_upgrade_mb allows {most}")
        free = shutil.disk_usage(self._folder).free
        if size > free - RESERVE:
            raise UpgradeError(
                f"the package has {size} bytes, {free} are free in {self._folder}, and {RESERVE} of them have to stay free"
            )

    def _private_folder(self, cleaning: contextlib.ExitStack) -> Path:
        """A new folder that only this user can look into, without what a killed process left behind."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._folder.glob(f"{FOLDER}*"):
            shutil.rmtree(left, ignore_errors=True)
        return Path(cleaning.enter_context(tempfile.TemporaryDirectory(prefix=FOLDER, dir=self._folder.absolute())))


def beside(url: str, suffix: str) -> str:
    """The URL of a file that lies beside another: `https://a/b.bin?x=1` -> `https://a/b.bin.sig?x=1`."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path + suffix))


def read_manifest(data: bytes) -> Manifest:
    """UpgradeError where the bytes are no manifest."""
    try:
        return msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise UpgradeError(f"the manifest cannot be read: {error}") from None


def _key(config: "Config", file: str) -> PublicKey:
    path = config.path(config.control.upgrade_key)
    try:
        return load_public_key(path)
    except AgentError as error:
        raise ConfigError(file, [f"control.upgrade_key: {error}"]) from None
