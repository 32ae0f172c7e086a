"""`tbox identity`: the record that a maker registers, and new private keys."""

import json
import stat
from types import SimpleNamespace

import pytest
from security_parts import EXAMPLE_POINT, EXAMPLE_SECRET, a_key, needs_openssl, openssl, write_keys

from agent.cli import main
from agent.commands import identity as command
from agent.config import Vehicle
from agent.crypto.keys import decode_public_key, kind_of, public_pem, read_private_key
from agent.errors import ConfigError
from agent.security import Security

VIN = "LGBTEST0000000017"


def config_of(folder, **options):
    security = Security(**({"private_key": "private.pem", "chip_id": "CHIP0001"} | options))
    vehicle = Vehicle(vin=VIN, mapping="car.toml", iccid="89860000000000000017")
    return SimpleNamespace(vehicle=vehicle, security=security, path=lambda name: folder / name)


def printed(monkeypatch, capsys, config, *words):
    monkeypatch.setattr("agent.config.load_config", lambda _: config)
    assert main(["identity", "-c", "tbox.toml", *words]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("kind", ["sm2", "rsa", "ecc"])
def test_the_record_names_the_terminal_and_its_public_key(tmp_path, monkeypatch, capsys, kind):
    write_keys(tmp_path, a_key(kind))
    config = config_of(tmp_path, sign=kind)
    record = json.loads(printed(monkeypatch, capsys, config, "--json"))
    public = a_key(kind).public_key()
    assert (record["vin"], record["iccid"], record["chip_id"]) == (VIN, "89860000000000000017", "CHIP0001")
    assert (record["algorithm"], record["encoding"]) == (kind.upper(), "raw")
    assert decode_public_key(kind, bytes.fromhex(record["public_key"]), "raw") == public
    assert record["pem"] == public_pem(public)
    table = printed(monkeypatch, capsys, config)
    assert all(value in table for value in (VIN, "CHIP0001", kind.upper(), record["pem"]))
    assert record["public_key"] in "".join(table.split())


def test_the_private_key_is_never_printed(tmp_path, monkeypatch, capsys):
    write_keys(tmp_path, a_key("sm2"))
    for words in ([], ["--json"], ["--lang", "zh"], ["-v"]):
        config = config_of(tmp_path, sign="sm2", public_key="der")
        shown = "".join(printed(monkeypatch, capsys, config, *words).split()).upper()
        assert EXAMPLE_POINT[1:].hex().upper() in shown
        assert EXAMPLE_SECRET.hex().upper() not in shown
        assert "PRIVATEKEY-----" not in shown


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "security.sign: is missing"),
        ({"sign": "rsa"}, "is a key for sm2; security.sign is 'rsa'"),
        ({"sign": "sm2", "private_key": "nowhere.pem"}, "nowhere.pem: cannot be read"),
    ],
)
def test_without_a_key_that_signs_there_is_no_record(tmp_path, options, said):
    write_keys(tmp_path, a_key("sm2"))
    with pytest.raises(ConfigError, match=said):
        command.identity(config_of(tmp_path, **options), "tbox.toml")


@pytest.mark.parametrize("kind", ["sm2", "rsa", "ecc"])
def test_a_new_key_is_written_once_and_only_its_public_half_is_shown(tmp_path, capsys, kind):
    path = tmp_path / "new.pem"
    assert main(["identity", "--new-key", kind, str(path)]) == 0
    out = capsys.readouterr().out
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = read_private_key(path)
    assert kind_of(key) == kind
    assert public_pem(key.public_key()) in out
    body = path.read_text().splitlines()[1:-1]
    assert not any(line in out for line in body if len(line) > 8)
    before = path.read_bytes()
    assert main(["identity", "--new-key", kind, str(path)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert main(["identity", "--new-key", kind, str(tmp_path / "more.pem"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["algorithm"] == kind.upper()
    assert set(shown) == {"path", "algorithm", "pem"}


@needs_openssl
def test_openssl_reads_a_new_sm2_key(tmp_path, capsys):
    assert main(["identity", "--new-key", "sm2", str(tmp_path / "new.pem")]) == 0
    public = openssl("pkey", "-in", tmp_path / "new.pem", "-pubout").stdout.decode()
    assert public in capsys.readouterr().out


def test_wrong_use_is_exit_2(tmp_path, capsys, monkeypatch):
    assert main(["identity", "--new-key", "dsa", str(tmp_path / "new.pem")]) == 2
    assert "allowed: sm2, rsa, ecc" in capsys.readouterr().err
    monkeypatch.setattr("agent.seal.find_spec", lambda _: None)
    assert main(["identity", "--new-key", "sm2", str(tmp_path / "new.pem")]) == 2
    assert "pip install 'tbox-agent[crypto]'" in capsys.readouterr().err
    assert not (tmp_path / "new.pem").exists()
    monkeypatch.undo()
    assert main(["identity", "--new-key", "ecc", str(tmp_path / "no/such/new.pem")]) == 2
    assert "new.pem: cannot be written: No such file" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        main(["identity"])
    assert caught.value.code == 2
