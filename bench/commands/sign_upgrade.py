"""`tbox-bench sign-upgrade`: the manifest and the signature that a terminal asks for before it takes an upgrade."""

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

NAME = "sign-upgrade"
HELP = "sign an upgrade package: write FILE.manifest and FILE.sig beside it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The package, what it is, and the maker's key."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the upgrade package")
    parser.add_argument("--key", type=Path, required=True, metavar="PEM", help="the maker's private key (Ed25519)")
    parser.add_argument("--new-key", action="store_true", help="make that key first, and PEM.pub for the terminal")
    parser.add_argument("--maker", required=True, metavar="ABCD", help="four characters of A-Z and 0-9")
    parser.add_argument("--hardware", required=True, metavar="V", help="hardware version it is for, five characters")
    parser.add_argument("--firmware", required=True, metavar="V", help="firmware version it holds, five characters")


def run(args: argparse.Namespace) -> int:
    """Sign; 2 when a version or the maker cannot stand in a manifest."""
    from agent.errors import ConfigError
    from agent.upgrade import MANIFEST, SIGNATURE, UpgradeError, read_manifest

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
    signature = _key(args.key, args.new_key).sign(manifest)
    for suffix, content in ((MANIFEST, manifest), (SIGNATURE, signature)):
        path = args.file.with_name(args.file.name + suffix)
        path.write_bytes(content)
        print(path)
    return 0


def _key(path: Path, make: bool) -> "Ed25519PrivateKey":
    """The private key of a PEM file; with `make` a new one, readable by this user alone."""
    from agent.errors import ConfigError

    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
            PublicFormat,
            load_pem_private_key,
        )
    except ImportError:
        raise ConfigError("sign-upgrade", ["signing needs an extra: pip install 'tbox-agent[crypto]'"]) from None
    if make:
        key = Ed25519PrivateKey.generate()
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public = path.with_name(path.name + ".pub")
        public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        print(f"key for the terminal (control.upgrade_key): {public}", file=sys.stderr)
        return key
    try:
        loaded = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise ConfigError(str(path), [f"is no private key in PEM without a password: {error}"]) from None
    if not isinstance(loaded, Ed25519PrivateKey):
        raise ConfigError(str(path), ["is no Ed25519 key"])
    return loaded
