"""The stage that writes the phantom cohort."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lungaug.cli import main
from lungaug.cohort import CLASSES

TWO = {**dict.fromkeys(CLASSES, 0), "LR1": 1, "LR3": 1}


def test_command_line_writes_the_cohort(tmp_path: Path) -> None:
    settings = json.dumps({"seed": 5, "patients": TWO, "slices": [4, 5]})
    output = tmp_path / "source" / "sheet.tsv"
    assert main(["phantom", "--output", str(output), "--settings", settings]) == 0
    rows = output.read_text(encoding="utf-8").splitlines()
    assert len(rows) == 3
    assert {row.split("\t")[1] for row in rows[1:]} == {"LR1", "LR3"}
    assert 8 <= len(list((tmp_path / "source" / "dicom").rglob("*.dcm"))) <= 10
    assert list((tmp_path / "source" / "masks").rglob("*.png"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patient": {}}, "phantom.patient: unknown setting"),
        ({"noise": {"sd_hu": [5, 4]}}, "phantom.noise.sd_hu"),
        ({"seed": -1}, "phantom.seed"),
    ],
)
def test_bad_settings_are_one_line(
    settings: object, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["phantom", "--output", str(tmp_path / "sheet.tsv"), "--settings", json.dumps(settings)]
    assert main(given) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "sheet.tsv").exists()


def test_output_has_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["phantom", "--output", str(tmp_path / "other.tsv")]) == 1
    assert "sheet.tsv" in capsys.readouterr().err
