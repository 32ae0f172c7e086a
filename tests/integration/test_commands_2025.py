"""`tbox init`, `check` and `replay` of a vehicle that reports in the 2025 edition, and of bodies of the maker's own."""

import json
import re
from pathlib import Path

import pytest
from security_parts import a_key, write_keys, write_secret

from agent.cli import main
from agent.config import dbc_folder, load_config
from agent.core.editions import EDITIONS
from agent.coverage import items_of
from bench.cycles import URBAN
from bench.frames import load_frames, reference_dbc
from bench.physics import STEP_MS, Car
from bench.readings import readings_of

CONFIG = """
[vehicle]
vin = "LGBTEST0000000017"
iccid = "89860000000000000001"
edition = "2025"
mapping = "shipped:{mapping}.toml"
packs = {packs}
codes = {codes}
[[can]]
name = "pt"
interface = "virtual"
[platform]
host = "127.0.0.1"
"""
CODES = [f"PACK{number:020d}" for number in range(1, 3)]


def write_config(folder, mapping, packs=1):
    path = folder / "tbox.toml"
    path.write_text(CONFIG.format(mapping=mapping, packs=[packs], codes=CODES[:packs]))
    return str(path)


def record(path, variant, seconds=4):
    """A candump log of the reference car."""
    car, frames = Car(variant, URBAN), load_frames(reference_dbc())
    readings = readings_of(car)
    lines = []
    for step in range(seconds * 1000 // STEP_MS):
        car.step()
        at = step * STEP_MS
        for name, read in readings.items():
            frame = frames[name]
            if at % frame.cycle_ms == 0:
                page = at // frame.cycle_ms % frame.pages
                data = frame.encode(read(page), page).hex().upper()
                lines.append(f"({1_700_000_000 + at / 1000:.6f}) can0 {frame.can_id:03X}#{data}\n")
    path.write_text("".join(lines))
    return str(path)


def test_the_reference_cars_together_fill_all_83_items_of_2025(tmp_path, capsys):
    edition = EDITIONS["2025"]
    rows, filled = {}, set()
    for variant in ("ev", "hybrid", "fuel_cell"):
        assert main(["check", "-c", write_config(tmp_path, f"reference_{variant}"), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["filled"] == told["applicable"]
        assert (told["spoiling"], told["standing_in"], told["invalid_share"]) == ([], [], 0)
        assert [warning for warning in told["warnings"] if "packs" in warning] == []
        assert len(told["packet_bytes"]) == 1
        rows[variant] = told["applicable"]
        filled |= {item["body"] for item in told["items"]}
    assert rows == {"ev": 45, "hybrid": 45 + 1 + 7 + 12, "fuel_cell": 45 + 9 + 9}
    assert filled == set(edition.body_types) | {"user.0x83"}
    assert sum(items_of(layout) for layout in edition.bodies.values()) == 83


@pytest.mark.parametrize("mapping", ["tesla_model_s", "bmw_i3"])
def test_cars_of_the_road_report_in_2025_too(tbox_data, mapping, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TBOX_DATA", str(tbox_data))
    assert main(["check", "-c", write_config(tmp_path, mapping), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert not any(item["path"].startswith("position") for item in told["items"])
    assert "vehicle.vehicle_state" in told["spoiling"]


def test_check_shows_the_makers_own_body_and_its_unknown_values(tmp_path, capsys):
    config = write_config(tmp_path, "reference_hybrid")
    for lang in ("en", "zh"):
        assert main(["--lang", lang, "check", "-c", config]) == 0
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        (section,) = [line for line in lines if line[:1] == ["user.0x83"]]
        assert len(section) == (1 if lang == "en" else 2)
        (torque,) = [line for line in lines if line[:1] == ["wheel_torque"]]
        assert (torque[-1], "pt.VCU_Drive.TorqueRequest," in torque or "pt.VCU_Drive.TorqueRequest" in torque) == (
            "8000",
            True,
        )


def test_check_holds_the_packs_of_the_login_against_the_mapping(tmp_path, capsys):
    assert main(["check", "-c", write_config(tmp_path, "reference_ev", packs=2), "--json"]) == 0
    warnings = json.loads(capsys.readouterr().out)["warnings"]
    assert any("2 packs at login, 1 in the mapping" in warning for warning in warnings)


@pytest.mark.parametrize("own", [False, True])
def test_init_writes_what_check_takes(own, tmp_path, capsys):
    folder = tmp_path / "car"
    dbc = ["--dbc", str(dbc_folder() / "reference_ev.dbc")] if own else []
    assert main(["init", str(folder), "--edition", "2025", *dbc]) == 0
    if own:
        path = folder / "mapping.toml"
        text = path.read_text()
        assert "[[alarms.general_levels]]" not in text
        opened = {
            "# [position]",
            '# longitude = "pt',
            '# latitude = "pt',
            "# coordinate_system",
            "# [[user.0x83",
            "# type",
        }
        opened |= {'# name = "coolant', "# factor", '# source = "pt'}
        lines = [line[2:] if line.startswith(tuple(opened)) else line for line in text.splitlines()]
        text = "\n".join(lines).replace("pt.Message.Signal", "pt.GNSS_Position.Longitude")
        path.write_text(text)
    capsys.readouterr()
    assert main(["check", "-c", str(folder / "tbox.toml"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["applicable"] == (4 if own else 45)
    assert ("user.0x83.coolant_temperature" in [item["path"] for item in told["items"]]) == own


def test_replay_sends_2025_with_the_makers_own_body(tmp_path, capsys):
    config = write_config(tmp_path, "reference_hybrid")
    log = record(tmp_path / "car.log", "hybrid")
    assert main(["replay", log, "-c", config]) == 0
    raw = capsys.readouterr().out.splitlines()
    assert len(raw) == 2
    assert all(line.startswith("2424") for line in raw)
    assert main(["replay", log, "-c", config, "--json"]) == 0
    packets = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    mapping = str(dbc_folder() / "reference_hybrid.toml")
    assert main(["decode", "--mapping", mapping, *raw]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == packets
    bodies = {body["body"]: body for body in packets[-1]["bodies"]}
    assert (packets[-1]["edition"], bodies["user"]["battery_health"] > 90) == ("2025", True)
    assert bodies["unit_voltages"]["packs"][0]["voltage"] == bodies["vehicle"]["total_voltage"]
    assert len(bodies["supercapacitor"]["cells"]) == 18


def test_explain_names_the_fields_of_the_makers_own_body(tmp_path, capsys):
    main(["replay", record(tmp_path / "car.log", "hybrid"), "-c", write_config(tmp_path, "reference_hybrid")])
    raw = capsys.readouterr().out.split()[-1]
    assert main(["explain", "--lang", "en", "--mapping", str(dbc_folder() / "reference_hybrid.toml"), raw]) == 0
    assert "ambient temperature" in capsys.readouterr().out
    assert main(["explain", "--lang", "en", raw]) == 0
    assert "ambient temperature" not in capsys.readouterr().out


def test_check_counts_signature_and_encryption_into_the_size_of_a_report(tmp_path, capsys):
    config = write_config(tmp_path, "reference_ev")
    assert main(["check", "-c", config, "--json"]) == 0
    (plain,) = json.loads(capsys.readouterr().out)["packet_bytes"]
    write_keys(tmp_path, a_key("sm2"))
    write_secret(tmp_path / "data.key", "00112233445566778899aabbccddeeff")
    with open(config, "a") as file:
        file.write('[security]\nsign = "sm2"\nprivate_key = "private.pem"\nencryption = "sm4"\ndata_key = "data.key"\n')
    assert main(["check", "-c", config, "--json"]) == 0
    (sealed,) = json.loads(capsys.readouterr().out)["packet_bytes"]
    signature, nonce_and_tag = 1 + 1 + 2 + 32 + 2 + 32, 12 + 16
    assert sealed == plain + signature + nonce_and_tag


def test_check_says_which_options_need_tls(tmp_path, capsys):
    config = write_config(tmp_path, "reference_ev")
    with open(config, "a") as file:
        file.write('tls_ca = "ca.pem"\nallowed_platforms = ["b.example:1"]\n')
    assert main(["check", "-c", config]) == 0
    assert "warning: platform.tls_ca and platform.allowed_platforms: without effect" in capsys.readouterr().out
    with open(config, "a") as file:
        file.write("tls = true\n")
    assert main(["check", "-c", config]) == 2
    assert "platform.tls_ca = 'ca.pem': No such file or directory" in capsys.readouterr().err
    (tmp_path / "ca.pem").write_text("none")
    assert main(["check", "-c", config]) == 2
    assert "platform.tls_ca = 'ca.pem': holds no PEM certificate" in capsys.readouterr().err


def test_check_names_an_unknown_edition_once(tmp_path, capsys):
    config = write_config(tmp_path, "reference_ev")
    path = Path(config)
    path.write_text(path.read_text().replace('"2025"', '"2052"'))
    assert main(["check", "-c", config]) == 2
    assert capsys.readouterr().err.count("2052") == 1


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_tables_in_a_pipe_have_no_blanks_at_the_end_of_their_lines(lang, tmp_path, capsys):
    config = write_config(tmp_path, "reference_ev")
    for words in (["check", "-c", config], ["params", "-c", config], ["fields", "--edition", "2025"]):
        assert main(["--lang", lang, *words]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) > 10
        assert [line for line in lines if line != line.rstrip()] == []


@pytest.mark.parametrize("edition", list(EDITIONS))
def test_every_option_that_init_only_mentions_is_one_that_the_configuration_takes(edition, tmp_path):
    assert main(["init", str(tmp_path), "--edition", edition]) == 0
    path = tmp_path / "tbox.toml"
    mentioned = re.compile(r"^# (\[\w+\]|\w+ = )", re.MULTILINE)
    path.write_text(mentioned.sub(r"\1", path.read_text()))
    config = load_config(path)
    assert (config.security.encryption, config.control.maker) == ("aes" if edition == "2016" else "sm4", "ABCD")
    assert config.security.activation == (edition == "2025")
