"""score_figures: a picture for each table that a run has."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungaug.cohort import write_rows
from lungaug.stages import score_figures
from synthetic_results import MADE_BY

COLUMNS = {
    "froc": ("segmenter", "arm", "false_positives", "estimate", "low", "high"),
    "calibration": ("segmenter", "arm", "bin", "n_px", "mean_probability", "observed", "ece"),
    "sizes": (
        *("segmenter", "arm", "metric", "size", "low_mm", "n_patients"),
        *("estimate", "low", "high"),
    ),
    "roc": ("arm", "false_positive_rate", "sensitivity", "low", "high"),
}
VALUES = {
    "froc": ("unet", "none", 1, 0.5, 0.4, 0.6),
    "calibration": ("unet", "none", 0, 9, 0.1, 0.2, ""),
    "sizes": ("unet", "none", "dice", "below 4", 0, 3, 0.5, "", ""),
    "roc": ("none", 0.5, 0.7, 0.6, 0.8),
}


@pytest.mark.parametrize("optional", [(), ("roc",)])
def test_a_picture_for_each_table(tmp_path: Path, optional: tuple[str, ...]) -> None:
    paths = {}
    for name in ("froc", "calibration", "sizes", *optional):
        paths[name] = tmp_path / f"{name}.tsv"
        row = dict(zip(COLUMNS[name], map(str, VALUES[name]), strict=True))
        write_rows(paths[name], COLUMNS[name], [row])
    output = tmp_path / "figures"
    for _ in range(2):
        score_figures.run(
            **paths, output=output, settings=score_figures.Settings(), provenance=MADE_BY
        )
    assert sorted(path.stem for path in output.iterdir()) == sorted(paths)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in output.iterdir())
