"""`tbox identity`: what the maker registers of a terminal before its first activation, and a new private key.

The record is the static information of the 2025 edition, annex A: the platform checks signatures against the public key of
this registration. The private key is read to find its public half and never leaves the file.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from agent.commands import print_json

if TYPE_CHECKING:
    from agent.config import Config

NAME = "identity"
HELP = "print what is registered of this terminal (VIN, chip id, public key), or make a private key"

KINDS = ("sm2", "rsa", "ecc")
_LABELS = {
    "vin": ("VIN", "车辆识别代号"),
    "iccid": ("ICCID", "ICCID"),
    "chip_id": ("chip id", "芯片ID"),
    "algorithm": ("signature algorithm", "签名算法"),
    "encoding": ("public key encoding", "公钥编码"),
    "public_key": ("public key", "公钥"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("-c", "--config", metavar="FILE", help="configuration (TOML) with a [security] section")
    what.add_argument(
        "--new-key",
        nargs=2,
        metavar=("KIND", "PATH"),
        help=f"write a new private key ({', '.join(KINDS)}) to a file of mode 0600 that does not exist yet",
    )
    parser.add_argument("--json", action="store_true", help="the same as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the record or make the key."""
    if args.new_key:
        kind, path = args.new_key
        return _new_key(kind, path, args.json)
    return _record(args.config, args.lang, args.json)


def _record(path: str, lang: str, as_json: bool) -> int:
    from agent.config import load_config
    from agent.texttable import print_table

    record = identity(load_config(path), path)
    if as_json:
        print_json(record)
        return 0
    column = 1 if lang == "zh" else 0
    lines = [(names[column], record[key]) for key, names in _LABELS.items()]
    print_table(("", ""), "ll", lines)
    print()
    print(record["pem"], end="")
    return 0


def identity(config: "Config", file: str) -> dict[str, str]:
    """The record: vin, iccid, chip_id, algorithm, encoding, public_key (hex, as 09 carries it), pem; ConfigError."""
    from agent.errors import ConfigError
    from agent.seal import missing_extra

    security = config.security
    if security.sign == "none":
        raise ConfigError(file, ['security.sign: is missing; "sm2", "rsa" or "ecc" says what the terminal signs with'])
    faults = missing_extra(security)
    if faults:
        raise ConfigError(file, faults)
    from agent.crypto.keys import KeyFileError, encode_public_key, kind_of, public_pem, read_private_key

    try:
        key = read_private_key(config.path(security.private_key)).public_key()
    except KeyFileError as error:
        raise ConfigError(file, [f"security.private_key: {error}"]) from None
    if kind_of(key) != security.sign:
        raise ConfigError(
            file, [f"security.private_key: is a key for {kind_of(key)}; security.sign is {security.sign!r}"]
        )
    return {
        "vin": config.vehicle.vin,
        "iccid": config.vehicle.iccid,
        "chip_id": security.chip_id,
        "algorithm": security.sign.upper(),
        "encoding": security.public_key,
        "public_key": encode_public_key(key, security.public_key).hex().upper(),
        "pem": public_pem(key),
    }


def _new_key(kind: str, path: str, as_json: bool) -> int:
    from agent.errors import ConfigError
    from agent.seal import missing_extra
    from agent.security import Security

    if kind not in KINDS:
        raise ConfigError("--new-key", [f"{kind!r} is no kind of key; allowed: {', '.join(KINDS)}"])
    if missing_extra(Security(sign="sm2")):
        raise ConfigError("--new-key", ["needs the extra crypto: pip install 'tbox-agent[crypto]'"])
    from agent.crypto.keys import public_pem, write_private_key

    try:
        key = write_private_key(Path(path), kind)
    except FileExistsError:
        raise ConfigError(path, ["exists already; a private key is never overwritten"]) from None
    except OSError as error:
        raise ConfigError(path, [f"cannot be written: {error.strerror}"]) from None
    pem = public_pem(key.public_key())
    if as_json:
        print_json({"path": path, "algorithm": kind.upper(), "pem": pem})
    else:
        print(f"{path}: {kind.upper()} private key, mode 0600; [security] private_key names it. Its public key:")
        print(pem, end="")
    return 0
