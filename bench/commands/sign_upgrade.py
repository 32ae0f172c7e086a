"""`tbox-bench sign-upgrade`: the manifest and the signature that a terminal asks for before it takes an upgrade."""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from agent.errors import ConfigError

NAME = "sign-upgrade"
HELP = "sign an upgrade package: write FILE.manifest and FILE.sig beside it"
KINDS = ("ed25519", "sm2")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The package, what it is, and the maker's key."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the upgrade package")
    parser.add_argument(
        "--key", type=Path, required=True, metavar="PEM", help="the maker's private key, Ed25519 or SM2"
    )
    parser.add_argument(
        "--new-key",
        choices=KINDS,
        metavar="KIND",
        help="make that key first, and PEM.pub for the terminal: %(choices)s",
    )
    parser.add_argument("--maker", required=True, metavar="ABCD", help="four characters of A-Z and 0-9")
    parser.add_argument("--hardware", required=True, metavar="V", help="hardware version it is for, five characters")
    parser.add_argument("--firmware", required=True, metavar="V", help="firmware version it holds, five characters")


def run(args: argparse.Namespace) -> int:
    """Sign; 2 when a version or the maker cannot stand in a manifest, or the key cannot be used."""
    from agent.platform.upgrade import MANIFEST, SIGNATURE, UpgradeError, read_manifest

    data = args.file.read_bytes()
    manifest = json.dumps(
        {
            "maker": args.maker,
            "hardware": args.hardware,
            "firmware": args.firmware,
            "sha256": hashlib.sha256(data).hexdigest(),
            "size": len(data),
        },
        indent=1,
    ).encode()
    try:
        read_manifest(manifest)
    except UpgradeError as error:
        raise ConfigError("sign-upgrade", [str(error)]) from None
    try:
        import agent.crypto.keys
        import agent.crypto.sm2  # noqa: F401 - said here, not where it is used
    except ImportError:
        raise ConfigError("sign-upgrade", ["signing needs an extra: pip install 'tbox-agent[crypto]'"]) from None
    if args.new_key:
        _make_key(args.key, args.new_key)
    signature = _signer(args.key)(manifest)
    for suffix, content in ((MANIFEST, manifest), (SIGNATURE, signature)):
        path = args.file.with_name(args.file.name + suffix)
        path.write_bytes(content)
        print(path)
    return 0


def _make_key(path: Path, kind: str) -> None:
    """A new private key, readable by this user alone, and its public half beside it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    from agent.crypto.keys import public_pem, write_private_key

    if kind == "sm2":
        public = public_pem(write_private_key(path, kind).public_key()).encode()
    else:
        key = Ed25519PrivateKey.generate()
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    beside = path.with_name(path.name + ".pub")
    beside.write_bytes(public)
    print(f"key for the terminal (control.upgrade_key): {beside}", file=sys.stderr)


def _signer(path: Path) -> Callable[[bytes], bytes]:
    """What makes signatures as `agent.crypto.maker` reads them."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    from agent.crypto.keys import KeyFileError, read_private_key
    from agent.crypto.maker import SM2_ID
    from agent.crypto.sm2 import Sm2PrivateKey

    try:
        loaded = load_pem_private_key(path.read_bytes(), None)
        if isinstance(loaded, Ed25519PrivateKey):
            return loaded.sign
    except (ValueError, TypeError, UnsupportedAlgorithm):
        pass  # `cryptography` knows no SM2 key
    try:
        key = read_private_key(path)
    except KeyFileError as error:
        raise ConfigError("sign-upgrade", [str(error)]) from None
    if not isinstance(key, Sm2PrivateKey):
        raise ConfigError(str(path), ["is neither an Ed25519 nor an SM2 key"])

    def sign(data: bytes) -> bytes:
        r, s = key.sign(data, SM2_ID)
        return encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))

    return sign
