"""Packets of simulated and recorded cars have nothing to be blamed for."""

from pathlib import Path

import pytest

from agent.cli import main
from agent.core.packet import COMMAND, PLAIN, build_packet, time_bytes
from agent.core.report import encode_report
from agent.diagnosis import diagnose
from tests.integration.test_truth import START_S, VARIANTS, Drive

VIN = "LGBTEST0000000017"
CONFIG = """
vehicle = {{vin = "{vin}", mapping = "{mapping}"}}
can = [{{name = "pt", interface = "socketcan", channel = "can0"}}]
platform = {{host = "127.0.0.1", port = 32960}}
report = {{interval_s = 1}}
"""


@pytest.mark.parametrize("edition", ["2016", "2025"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_simulated_cars(variant: str, edition: str) -> None:
    drive = Drive(variant, edition=edition)
    editions = {edition: drive.edition}
    try:
        for second in range(20):
            drive.run(5000)
            for part in encode_report(drive.edition, drive.sampler.sample(drive.latest, drive.now)):
                unit = time_bytes(START_S + second) + part
                assert (
                    diagnose(build_packet(drive.edition.start, 2, COMMAND, VIN.encode(), PLAIN, unit), editions) == []
                )
    finally:
        drive.close()


@pytest.mark.parametrize(
    ("mapping", "log"),
    [
        ("tesla_model_s.toml", "tesla_model_s/candump.log"),
        ("bmw_i3.toml", "bmw_i3/ionity_dc_charge_15s.log"),
        ("bmw_i3.toml", "bmw_i3/ac_start_end_charge_69pct.gvret.csv"),
    ],
)
def test_recorded_cars(
    mapping: str,
    log: str,
    tbox_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TBOX_DATA", str(tbox_data))
    config = tmp_path / "tbox.toml"
    config.write_text(CONFIG.format(vin=VIN, mapping=f"shipped:{mapping}"))
    assert main(["replay", "-c", str(config), str(tbox_data / log)]) == 0
    packets = [bytes.fromhex(line) for line in capsys.readouterr().out.split()]
    assert packets
    assert [(raw.hex(), diagnose(raw)) for raw in packets if diagnose(raw)] == []
