"""evaluate: predictions and detections in; rows of slices, lesions, detections and bins out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from lungaug.cohort import write_table
from lungaug.errors import FileFormatError, InputError
from lungaug.stages import evaluate
from lungaug.store import Provenance, SliceWriter, empty_slices, slice_key

MADE_BY = Provenance("test", "{}", "0")
BOXES = ["key", "top", "left", "bottom", "right", "score"]
NAMES = ("metrics", "lesions", "detected", "calibration")

Images = tuple[NDArray[np.uint8], NDArray[np.float64]]


def write_predictions(folder: Path, images: list[Images], patients: list[str]) -> list[str]:
    """The keys of the slices, which are (nodule, probability), spacing 0.5 by 2 mm."""
    keys = []
    with SliceWriter(folder / "predictions.h5", MADE_BY) as writer:
        for i, (nodule, probability) in enumerate(images):
            slices = empty_slices(1)
            slices["patient"], slices["series"], slices["index"] = patients[i].encode(), b"s", i
            slices["spacing_mm"] = 0.5, 2.0
            slices["lung_rads"], slices["diameter_mm"] = b"LR2", 5.0 * bool(nodule.any())
            writer.append(slices, nodule=nodule[None], probability=probability[None])
            keys.append(slice_key(slices[0]))
    return keys


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two slices of different size: one with a nodule half found, one healthy with a false one."""
    images = []
    for i, shape in enumerate([(8, 8), (8, 10)]):
        nodule, probability = np.zeros((2, *shape))
        nodule[2, 2:6] = 3 * (1 - i)
        probability[2, 2:4], probability[7, 7] = 0.5, 0.9
        images.append((nodule.astype(np.uint8), probability))
    keys = write_predictions(tmp_path, images, ["p0", "p1"])
    write_table(tmp_path / "slices.tsv", roles(keys, ["test", "validation"]))
    found = [
        (keys[0], 7, 7, 8, 8, 0.9),
        (keys[0], 2, 2, 3, 4, 0.5),
        (keys[0], 2, 2, 3, 5, 0.7),
        (keys[1], 0, 0, 2.5, 2.5, 0.25),
    ]
    write_table(tmp_path / "detections.tsv", pd.DataFrame(found, columns=BOXES))
    return tmp_path


def roles(keys: list[str], names: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"role": [*names, "train"], "key": [*keys, "p9/s/0000"]})


def run(folder: Path, threshold: float | None = 0.5, **settings: float) -> pd.DataFrame:
    """The metrics; the other tables lie beside them."""
    evaluate.run(
        predictions=folder / "predictions.h5",
        detections=folder / "detections.tsv",
        slices=folder / "slices.tsv",
        fold="cv1",
        arm="mirror",
        segmenter="unet",
        seed_index=1,
        **{name: folder / f"{name}.tsv" for name in NAMES},
        settings=evaluate.Settings(threshold=threshold, **settings),
        provenance=MADE_BY,
    )
    return table(folder, "metrics")


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"{name}.tsv", sep="\t")


def test_slices_by_hand(folder: Path) -> None:
    found = run(folder).set_index("role")
    assert list(table(folder, "metrics")) == list(evaluate.COLUMNS)
    assert set(found["fold"]) == {"cv1"}
    assert set(found["seed"]) == {1}
    assert set(found["threshold"]) == {0.5}
    assert set(found["pixel_mm2"]) == {1}
    lesion = found.loc["test"]
    counts = ["reference_px", "predicted_px", "intersection_px", "false_positive_px"]
    assert list(lesion[counts]) == [4, 3, 2, 1]
    assert lesion["false_positive_components"] == 1
    assert lesion["dice_standard"] == pytest.approx(4 / 7)
    assert lesion["recall_reference"] == pytest.approx(0.5)
    # Outlines: 4 pixels of row 2, and 2 of them predicted plus one at (7, 7). From that one it is
    # 5 rows of 0.5 mm and 2 columns of 2 mm to the nodule; 95 % of 0, 0, that is at 1.9 of 0 to 2.
    far = np.hypot(2.5, 4.0)
    assert lesion["hd95_mm"] == pytest.approx(0.9 * far)
    assert lesion["asd_mm"] == pytest.approx((0 + 0 + far + 0 + 0 + 2 + 4) / 7)
    assert list(lesion[["n_lesions", "n_lesions_hit"]]) == [1, 1]
    healthy = found.loc["validation"]
    assert np.isnan(healthy[["hd95_mm", "asd_mm"]].astype(float)).all()
    assert list(healthy[counts]) == [0, 3, 0, 3]
    assert healthy["false_positive_components"] == 2
    assert np.isnan(healthy["recall_standard"])
    assert healthy["recall_reference"] == 1
    assert list(healthy[["n_lesions", "n_lesions_hit"]]) == [0, 0]


def test_lesions_by_hand(folder: Path) -> None:
    run(folder)
    found = table(folder, "lesions")
    assert list(found) == list(evaluate.LESION_COLUMNS)
    (row,) = found.to_dict("records")
    assert (row["role"], row["patient"], row["label"], row["area_px"]) == ("test", "p0", 3, 4)
    assert row["dice"] == pytest.approx(2 * 2 / (4 + 2))
    assert row["hit"] == 1
    assert row["diameter_mm"] == pytest.approx(np.sqrt(4 / np.pi * 4 * 1.0))


def test_what_counts_as_found_is_a_setting(folder: Path) -> None:
    assert run(folder, hit_iou=0.5)["n_lesions_hit"].sum() == 1
    assert run(folder, hit_iou=0.51)["n_lesions_hit"].sum() == 0
    assert list(table(folder, "lesions")["hit"]) == [0]


def test_detections_by_hand(folder: Path) -> None:
    run(folder)
    found = table(folder, "detected")
    assert list(found) == list(evaluate.DETECTED_COLUMNS)
    test = found[found["role"] == "test"]
    # Best first: the false one, then one with 3 of 4 pixels, then a repeat of that lesion.
    assert list(test["score"]) == [0.9, 0.7, 0.5]
    assert list(test["box50_label"]) == [0, 3, 0]
    assert list(test["hit_label"]) == [0, 3, -1]
    healthy = found[found["role"] == "validation"]
    assert healthy[["score", "box50_label", "hit_label"]].to_numpy().tolist() == [[0.25, 0, 0]]


def test_calibration_by_hand(folder: Path) -> None:
    run(folder, calibration_bins=2)
    found = table(folder, "calibration")
    assert list(found) == list(evaluate.CALIBRATION_COLUMNS)
    test = found[found["patient"] == "p0"]
    assert test[["low", "high"]].to_numpy().tolist() == [[0, 0.5], [0.5, 1]]
    assert list(test["n_px"]) == [61, 3]
    assert list(test["probability_sum"]) == [0, 1 + float(np.float16(0.9))]
    assert list(test["nodule_px"]) == [2, 2]
    assert found.groupby("role")["n_px"].sum().to_dict() == {"test": 64, "validation": 80}


def test_nothing_predicted_is_flagged(folder: Path) -> None:
    found = run(folder, threshold=0.95)
    assert list(found["empty_prediction"]) == [1, 1]
    assert list(found["precision_reference"]) == [1, 1]
    assert found["precision_standard"].isna().all()


def test_without_validation_nodules_the_threshold_is_one_half(folder: Path) -> None:
    found = run(folder, threshold=None)
    assert set(found["threshold"]) == {0.5}
    assert set(found["threshold_by"]) == {"default"}


def written(folder: Path, validation: float, test: list[Images]) -> Path:
    """A validation slice that is outlined right from ``validation`` on, and test slices."""
    nodule, probability = np.zeros((2, 8, 8))
    nodule[2:5, 2:5] = 1
    # A little more than each: what is stored may be rounded down.
    probability[1:6, 1:6], probability[2:5, 2:5] = validation - 0.04, validation + 0.01
    images = [(nodule.astype(np.uint8), probability), *test]
    names = [f"p{i}" for i in range(len(images))]
    keys = write_predictions(folder, images, names)
    write_table(folder / "slices.tsv", roles(keys, ["validation", *["test"] * len(test)]))
    write_table(folder / "detections.tsv", pd.DataFrame(columns=BOXES))
    return folder


@pytest.mark.parametrize("best", [0.15, 0.3, 0.8])
def test_the_threshold_is_chosen_on_validation_and_on_nothing_else(
    tmp_path: Path, best: float
) -> None:
    """Whatever the test slices hold, also what would be best at another threshold."""
    rng = np.random.default_rng(0)
    tests: list[list[Images]] = []
    for share in (0.0, 0.2, 1.0):
        nodule = (rng.random((8, 8)) <= share).astype(np.uint8)
        tests += [[(nodule, nodule * p)] * 5 for p in (0.1, 0.5, 1.0)]
        tests += [[(nodule, rng.random((8, 8)))] * 5]
    for test in tests:
        found = run(written(tmp_path, best, test), threshold=None)
        assert set(found["threshold"]) == {best}
        assert set(found["threshold_by"]) == {"validation"}
        validation = found[found["role"] == "validation"]
        assert list(validation["dice_standard"]) == [1]


def test_a_given_threshold_is_not_chosen(tmp_path: Path) -> None:
    folder = written(tmp_path, 0.3, [])
    found = run(folder, threshold=0.42)
    assert set(found["threshold"]) == {0.42}
    assert set(found["threshold_by"]) == {"setting"}


def test_a_slice_without_a_role_is_an_error(folder: Path) -> None:
    write_table(folder / "slices.tsv", roles(["p0/s/0000", "p7/s/0000"], ["test", "train"]))
    with pytest.raises(InputError, match="p1/s/0001 is neither validation nor test"):
        run(folder)


def test_a_slice_without_a_prediction_is_an_error(folder: Path) -> None:
    names = ["test", "validation", "test"]
    keys = ["p0/s/0000", "p1/s/0001", "p5/s/0000"]
    write_table(folder / "slices.tsv", roles(keys, names))
    with pytest.raises(InputError, match="no prediction for slice p5/s/0000"):
        run(folder)


def test_no_slices_give_empty_tables(folder: Path) -> None:
    with SliceWriter(folder / "predictions.h5", MADE_BY):
        pass
    write_table(folder / "slices.tsv", roles([], []))
    write_table(folder / "detections.tsv", pd.DataFrame(columns=BOXES))
    assert list(run(folder, threshold=None)) == list(evaluate.COLUMNS)
    assert list(table(folder, "lesions")) == list(evaluate.LESION_COLUMNS)
    assert list(table(folder, "detected")) == list(evaluate.DETECTED_COLUMNS)
    assert list(table(folder, "calibration")) == list(evaluate.CALIBRATION_COLUMNS)


def test_a_truncated_file_is_named(folder: Path) -> None:
    path = folder / "predictions.h5"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FileFormatError, match=r"predictions\.h5"):
        run(folder)


def test_a_map_that_is_no_probability_is_named(folder: Path) -> None:
    nodule = np.zeros((8, 8), np.uint8)
    keys = write_predictions(folder, [(nodule, np.full((8, 8), np.nan))], ["p0"])
    write_table(folder / "slices.tsv", roles(keys, ["test"]))
    write_table(folder / "detections.tsv", pd.DataFrame(columns=BOXES))
    with pytest.raises(InputError, match=r"slice p0/s/0000: probability nan; accepted: 0 to 1"):
        run(folder)


def changed(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    write_table(folder / "detections.tsv", change(table(folder, "detections")))


def test_missing_or_empty_detections_are_refused(folder: Path) -> None:
    (folder / "detections.tsv").write_text("")
    with pytest.raises(InputError, match=r"detections\.tsv: no detections"):
        run(folder)
    (folder / "detections.tsv").unlink()
    with pytest.raises(InputError, match=r"detections\.tsv: no detections"):
        run(folder)


def test_a_table_of_detections_needs_its_columns(folder: Path) -> None:
    changed(folder, lambda frame: frame.drop(columns="score"))
    with pytest.raises(FileFormatError, match="no column score"):
        run(folder)


@pytest.mark.parametrize("key", ["p9/s/0000", "p0/s/0007", ""])
def test_a_detection_on_another_slice_is_refused(folder: Path, key: str) -> None:
    changed(folder, lambda frame: frame.assign(key=[key, *frame["key"][1:]]))
    with pytest.raises(InputError, match=f"a detection on slice '{key}'"):
        run(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bottom", 7),
        ("right", 6.5),
        ("score", np.nan),
        ("score", 1.5),
        ("top", "x"),
        ("top", "inf"),
    ],
)
def test_what_is_no_box_is_refused(folder: Path, name: str, value: object) -> None:
    changed(folder, lambda frame: frame.astype(object).assign(**{name: [value, *frame[name][1:]]}))
    with pytest.raises(InputError, match=f"p0/s/0000 has .*{name} {value}"):
        run(folder)


def test_a_threshold_may_be_left_open() -> None:
    assert evaluate.Settings().threshold is None
