"""curves: tables of all trainings in, detection, calibration and sizes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lungaug.errors import InputError
from lungaug.evaluation.curves import CALIBRATION_COLUMNS, DETECTION_COLUMNS, FROC_COLUMNS
from lungaug.evaluation.sizes import COLUMNS as SIZE_COLUMNS
from lungaug.stages import curves
from synthetic_results import MADE_BY, Plan, build, siblings

FILES = {
    "detection.tsv": DETECTION_COLUMNS,
    "froc.tsv": FROC_COLUMNS,
    "calibration.tsv": CALIBRATION_COLUMNS,
    "sizes.tsv": SIZE_COLUMNS,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    root = tmp_path_factory.mktemp("results") / "phantom"
    plan = Plan(patients=3, n_slices=2, arms=("none", "online"), roles=("validation", "test"))
    return root, build(root, plan)["metrics"]


def run(root: Path, metrics: list[Path], output: Path, **settings: Any) -> None:
    names = ("detected", "lesions", "calibration")
    curves.run(
        metrics=metrics,
        **{name: siblings(metrics, f"{name}.tsv") for name in names},
        split=root / "split.tsv",
        output=output,
        settings=curves.Settings(n_resamples=200, **settings),
        provenance=MADE_BY,
    )


def test_files_and_columns(made: tuple[Path, list[Path]], tmp_path: Path) -> None:
    root, metrics = made
    run(root, metrics, tmp_path)
    tables = {name: pd.read_csv(tmp_path / name, sep="\t") for name in FILES}
    for name, columns in FILES.items():
        assert list(tables[name]) == list(columns)
        assert list(tables[name]["arm"].unique()) == ["none", "online"]
    # Three patients a class are tested, the validation patients are not.
    assert (tables["detection.tsv"]["n_patients"] == 6).all()
    assert (tables["detection.tsv"]["n_slices"] == 18).all()
    assert tables["froc.tsv"]["low"].notna().any()
    assert tables["sizes.tsv"]["n_lesions"].max() > 0
    text = (tmp_path / "detection.md").read_text()
    assert "FROC score" in text
    assert "pseudo-patients" not in text
    assert r"95 \%" in (tmp_path / "detection.tex").read_text()


def test_same_bytes_in_any_order(made: tuple[Path, list[Path]], tmp_path: Path) -> None:
    root, metrics = made
    run(root, metrics, tmp_path / "a")
    run(root, metrics[::-1], tmp_path / "b")
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_silent_segmenters_and_unknown_spacing(tmp_path: Path) -> None:
    root = tmp_path / "phantom"
    plan = Plan(seeds=1, n_slices=1, arms=("none",), silent=True, spacing_mm=float("nan"))
    told = {"sizes_mm": (10.0,), "pseudo_patients": True}
    run(root, build(root, plan)["metrics"], tmp_path, **told)
    for kind in ("md", "tex"):
        assert "pseudo-patients" in (tmp_path / f"detection.{kind}").read_text()
    detection = pd.read_csv(tmp_path / "detection.tsv", sep="\t")
    assert (detection["estimate"] == 0).all()
    sizes = pd.read_csv(tmp_path / "sizes.tsv", sep="\t")
    assert list(sizes["size"].unique()) == ["below 10", "10 and above", "unknown"]
    assert sizes.loc[sizes["size"] == "unknown", "n_patients"].to_list() == [4, 4]


def test_no_test_slice_is_an_error(made: tuple[Path, list[Path]], tmp_path: Path) -> None:
    root, metrics = made
    path = tmp_path / "metrics.tsv"
    pd.read_csv(metrics[0], sep="\t").assign(role="validation").to_csv(path, sep="\t", index=False)
    for name in ("detected", "lesions", "calibration"):
        (tmp_path / f"{name}.tsv").write_bytes(metrics[0].with_name(f"{name}.tsv").read_bytes())
    with pytest.raises(InputError, match="no test slice"):
        run(root, [path], tmp_path)
