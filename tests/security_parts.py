"""What the tests of encryption, signature and identity share: published vectors, keys, and OpenSSL's command line as the peer."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.crypto.keys import PrivateKey, new_private_key, private_pem, public_pem
from agent.crypto.sm2 import Sm2PrivateKey
from agent.seal import Seal, open_seal
from agent.security import Security

VIN = b"LGBTEST0000000017"
WALL_S = 1767827170  # 2026-01-08 07:06:10 in Beijing, the time of W12
DATA_KEY = "00112233445566778899AABBCCDDEEFF"
SM2_ID = b"1234567812345678"
# The key pair of GB/T 32918.5-2017, annex A: known to everybody, for tests alone.
EXAMPLE_SECRET = bytes.fromhex("3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8")
EXAMPLE_POINT = bytes.fromhex(
    "0409F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020"
    "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"
)

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


def openssl(*arguments: object, data: bytes = b"", check: bool = True) -> subprocess.CompletedProcess[bytes]:
    """Run OpenSSL's command line."""
    return subprocess.run(["openssl", *map(str, arguments)], input=data, capture_output=True, check=check)


def write_secret(path: Path, text: str | bytes) -> Path:
    """A file of mode 0600."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(0o600)
    return path


def a_key(kind: str, _made: dict[str, PrivateKey] = {}) -> PrivateKey:  # noqa: B006 - one RSA key for all tests
    """A private key of this run; SM2: that of the standard's example."""
    if kind not in _made:
        _made[kind] = Sm2PrivateKey(EXAMPLE_SECRET) if kind == "sm2" else new_private_key(kind)
    return _made[kind]


def write_keys(folder: Path, key: PrivateKey) -> None:
    """private.pem, public.pem and data.key."""
    write_secret(folder / "private.pem", private_pem(key))
    (folder / "public.pem").write_text(public_pem(key.public_key()))
    write_secret(folder / "data.key", DATA_KEY + "\n")


def make_seal(folder: Path, key: PrivateKey, wall_s: int = WALL_S, **options: object) -> Seal:
    """A seal of `key` in `folder`; the platform's key is the terminal's own, so that what is sealed can be unsealed."""
    write_keys(folder, key)
    names = {"private_key": "private.pem", "platform_key": "public.pem", "data_key": "data.key", "chip_id": "CHIP00012"}
    return open_seal(Security(**(names | options)), folder, lambda: wall_s)


def spec_packets(folder: Path) -> dict[str, bytes]:
    """Worked packets of the printed reference by name (W12, ...)."""
    text = (folder / "gbt32960.md").read_text(encoding="utf-8")
    found = re.findall(r"^### (\w+)\. .*?^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return {name: bytes.fromhex(digits) for name, digits in found}
