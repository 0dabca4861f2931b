"""evaluate: predictions in, one row a slice out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lungaug.cohort import write_table
from lungaug.errors import FileFormatError, InputError
from lungaug.stages import evaluate
from lungaug.store import Provenance, SliceWriter, empty_slices, slice_key

MADE_BY = Provenance("test", "{}", "0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two slices of different size: one with a nodule half found, one healthy with a false one."""
    keys = []
    with SliceWriter(tmp_path / "predictions.h5", MADE_BY) as writer:
        for i, shape in enumerate([(8, 8), (8, 10)]):
            slices = empty_slices(1)
            slices["patient"], slices["series"] = f"p{i}".encode(), b"s"
            slices["spacing_mm"] = 0.5, 2.0
            slices["lung_rads"], slices["diameter_mm"] = b"LR2", 5.0 * (1 - i)
            nodule, probability = np.zeros((2, 1, *shape))
            nodule[0, 2, 2:6] = 3 * (1 - i)
            probability[0, 2, 2:4], probability[0, 7, 7] = 0.5, 0.9
            writer.append(slices, nodule=nodule.astype(np.uint8), probability=probability)
            keys.append(slice_key(slices[0]))
    write_table(tmp_path / "slices.tsv", roles(keys, ["test", "validation"]))
    return tmp_path


def roles(keys: list[str], names: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"role": [*names, "train"], "key": [*keys, "p9/s/0000"]})


def run(folder: Path, threshold: float = 0.5) -> pd.DataFrame:
    evaluate.run(
        predictions=folder / "predictions.h5",
        slices=folder / "slices.tsv",
        fold="cv1",
        arm="mirror",
        segmenter="unet",
        seed_index=1,
        output=folder / "metrics.tsv",
        settings=evaluate.Settings(threshold=threshold),
        provenance=MADE_BY,
    )
    return pd.read_csv(folder / "metrics.tsv", sep="\t")


def test_rows_by_hand(folder: Path) -> None:
    found = run(folder).set_index("role")
    assert list(found.reset_index()[list(evaluate.COLUMNS)]) == list(evaluate.COLUMNS)
    assert set(found["fold"]) == {"cv1"}
    assert set(found["seed"]) == {1}
    lesion = found.loc["test"]
    counts = ["reference_px", "predicted_px", "intersection_px", "false_positive_components"]
    assert list(lesion[counts]) == [4, 3, 2, 1]
    assert lesion["dice_standard"] == pytest.approx(4 / 7)
    assert lesion["recall_reference"] == pytest.approx(0.5)
    # Outlines: 4 pixels of row 2, and 2 of them predicted plus one at (7, 7). From that one it is
    # 5 rows of 0.5 mm and 2 columns of 2 mm to the nodule; 95 % of 0, 0, that is at 1.9 of 0 to 2.
    assert lesion["hd95_mm"] == pytest.approx(0.9 * np.hypot(2.5, 4.0))
    healthy = found.loc["validation"]
    assert np.isnan(healthy["hd95_mm"])
    assert list(healthy[counts]) == [0, 3, 0, 2]
    assert np.isnan(healthy["recall_standard"])
    assert healthy["recall_reference"] == 1


def test_nothing_predicted_is_flagged(folder: Path) -> None:
    found = run(folder, threshold=0.95)
    assert list(found["empty_prediction"]) == [1, 1]
    assert list(found["precision_reference"]) == [1, 1]
    assert found["precision_standard"].isna().all()


def test_a_slice_without_a_role_is_an_error(folder: Path) -> None:
    write_table(folder / "slices.tsv", roles(["p0/s/0000", "p7/s/0000"], ["test", "train"]))
    with pytest.raises(InputError, match="p1/s/0000 is neither validation nor test"):
        run(folder)


def test_a_slice_without_a_prediction_is_an_error(folder: Path) -> None:
    names = ["test", "validation", "test"]
    keys = ["p0/s/0000", "p1/s/0000", "p5/s/0000"]
    write_table(folder / "slices.tsv", roles(keys, names))
    with pytest.raises(InputError, match="no prediction for slice p5/s/0000"):
        run(folder)


def test_no_slices_give_an_empty_table(folder: Path) -> None:
    with SliceWriter(folder / "predictions.h5", MADE_BY):
        pass
    write_table(folder / "slices.tsv", roles([], []))
    assert list(run(folder)) == list(evaluate.COLUMNS)


def test_a_truncated_file_is_named(folder: Path) -> None:
    path = folder / "predictions.h5"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FileFormatError, match=r"predictions\.h5"):
        run(folder)
