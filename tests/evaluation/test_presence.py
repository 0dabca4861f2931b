"""Presence of nodules: thresholds from validation alone, and what a gate does."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lungaug.errors import InputError
from lungaug.evaluation.presence import (
    EFFECT_COLUMNS,
    EFFECTS,
    PRESENCE_COLUMNS,
    SUMMARY_COLUMNS,
    curve_table,
    effect_table,
    gated,
    passing,
    summary_table,
    thresholds_of,
)
from lungaug.evaluation.scores import Resampling
from presence_rows import segmented

RESAMPLING = Resampling(n_resamples=400)


def classified(
    seeds: int = 1, folds: tuple[str, ...] = ("fixed",), skill: float = 2.0
) -> pd.DataFrame:
    """Rows of presence.tsv: ten test patients, half of the slices with a nodule."""
    rng = np.random.default_rng(0)
    rows = []
    for number, fold in enumerate(folds):
        for seed in range(seeds):
            for role, n_patients in (("validation", 4), ("test", 10)):
                for i in range(n_patients):
                    name = f"{role[0]}{number}{i:02d}"
                    for index, present in enumerate((1, 0, 1, 0)):
                        score = 1 / (1 + math.exp(-skill * (present - 0.5) - rng.normal()))
                        head = (fold, "none", seed, role, name, f"{name}/s/{index}")
                        rows.append((*head, "LR3" if i % 2 else "LR2", present, score))
    return pd.DataFrame(rows, columns=list(PRESENCE_COLUMNS))


def classes_of(rows: pd.DataFrame) -> pd.Series:
    return rows.drop_duplicates("patient").set_index("patient")["lung_rads"]


def cells(table: pd.DataFrame, *index: str) -> dict[tuple[str, ...], float]:
    return table.set_index(list(index))["estimate"].to_dict()


def test_threshold_of_each_training_by_hand() -> None:
    rows = classified(seeds=2)
    first = (rows["role"] == "validation") & (rows["seed"] == 0)
    rows.loc[first, "probability"] = np.where(rows.loc[first, "present"], 0.6, 0.2)
    second = (rows["role"] == "validation") & (rows["seed"] == 1)
    rows.loc[second, "probability"] = np.where(rows.loc[second, "present"], 0.3, 0.1)
    found = thresholds_of(rows, 0.95)
    assert found.to_dict() == {("fixed", "none", 0): 0.6, ("fixed", "none", 1): 0.3}


def test_test_slices_never_move_the_threshold() -> None:
    rows = classified(seeds=2)
    before = thresholds_of(rows, 0.9)
    test = rows["role"] == "test"
    without = thresholds_of(rows[~test], 0.9)
    rows.loc[test, "probability"] = 0.0
    rows.loc[test, "present"] = 1
    pd.testing.assert_series_equal(thresholds_of(rows, 0.9), before)
    pd.testing.assert_series_equal(without, before)
    rows.loc[~test, "probability"] /= 2
    assert (thresholds_of(rows, 0.9) < before).all()


def test_a_training_without_a_validation_nodule_is_named() -> None:
    rows = classified()
    rows.loc[rows["role"] == "validation", "present"] = 0
    with pytest.raises(InputError, match="fixed/none/0: no validation slice has a nodule"):
        thresholds_of(rows, 0.9)


def test_a_slice_at_the_threshold_passes() -> None:
    rows = classified()
    limits = thresholds_of(rows, 1.0)
    edge = rows.loc[rows["probability"] == limits.iloc[0]]
    assert len(edge) == 1
    assert passing(edge, limits).all()
    assert not passing(edge.assign(probability=edge["probability"] - 1e-9), limits).any()


def test_summary_by_hand() -> None:
    rows = classified(seeds=2)
    limits = thresholds_of(rows, 0.9)
    limits[:] = 0.5
    test = rows["role"] == "test"
    rows.loc[test, "probability"] = np.where(rows.loc[test, "present"], 0.9, 0.1)
    # One patient of ten: one of his two nodules is missed by the first of two seeds.
    missed = (
        test & (rows["patient"] == "t003") & (rows["seed"] == 0) & rows["key"].str.endswith("2")
    )
    rows.loc[missed, "probability"] = 0.05
    table = summary_table(rows, limits, classes_of(rows), RESAMPLING)
    assert list(table.columns) == list(SUMMARY_COLUMNS)
    found = cells(table, "metric")
    assert found["sensitivity"] == pytest.approx(1 - 1 / 4 / 10)
    assert found["specificity"] == 1
    assert found["threshold"] == 0.5
    # Of 100 pairs of patients and two seeds, ten of one seed are ranked right by half.
    assert found["auc"] == pytest.approx(1 - 10 * 0.5 / 200)
    spread = table.set_index("metric")["seed_sd"]
    assert spread["sensitivity"] == pytest.approx(0.05 / math.sqrt(2))
    assert spread["auc"] == pytest.approx(0.05 / math.sqrt(2))
    assert spread["specificity"] == 0
    counts = table.set_index("metric")["n_patients"]
    assert counts.to_dict() == {"auc": 10, "sensitivity": 10, "specificity": 10, "threshold": 0}


def test_intervals_hold_the_estimate_and_one_seed_has_no_spread() -> None:
    rows = classified()
    table = summary_table(rows, thresholds_of(rows, 0.5), classes_of(rows), RESAMPLING)
    given = table[table["metric"] != "threshold"]
    assert (given["low"] < given["estimate"]).all()
    assert (given["estimate"] < given["high"]).all()
    assert given[["low", "high"]].ge(0).all(axis=None)
    assert given[["low", "high"]].le(1).all(axis=None)
    assert table["seed_sd"].isna().all()


def test_few_patients_get_no_interval() -> None:
    rows = classified()
    rows = rows[~rows["patient"].between("t004", "t009")]
    limits = thresholds_of(rows, 0.9)
    table = summary_table(rows, limits, classes_of(rows), RESAMPLING)
    assert table["low"].isna().all()
    curve = curve_table(rows, classes_of(rows), np.linspace(0, 1, 5), RESAMPLING)
    assert curve["low"].isna().all()
    assert curve["sensitivity"].notna().all()


def test_area_under_the_mean_curve_is_the_auc() -> None:
    rows = classified(seeds=2, folds=("cv0", "cv1"))
    # Folds of unlike size: all weights matter.
    rows = rows[(rows["fold"] == "cv0") | ~rows["patient"].between("t103", "t109")]
    rates = np.linspace(0, 1, 2001)
    curve = curve_table(rows, classes_of(rows), rates, replace(RESAMPLING, n_resamples=20))
    found = float(np.trapezoid(curve["sensitivity"], rates))
    table = summary_table(rows, thresholds_of(rows, 0.9), classes_of(rows), RESAMPLING)
    assert found == pytest.approx(cells(table, "metric")["auc"], abs=1e-3)


def test_the_band_holds_the_curve_and_narrows_with_patients() -> None:
    rows = classified()
    rates = np.array([0.1, 0.3, 0.5])
    curve = curve_table(rows, classes_of(rows), rates, RESAMPLING)
    assert (curve["low"] <= curve["sensitivity"]).all()
    assert (curve["sensitivity"] <= curve["high"]).all()
    copies = [rows.assign(patient=rows["patient"] + c, key=rows["key"] + c) for c in "abcdef"]
    more = pd.concat(copies, ignore_index=True)
    narrow = curve_table(more, classes_of(more), rates, RESAMPLING)
    assert ((narrow["high"] - narrow["low"]) < (curve["high"] - curve["low"])).all()


@pytest.mark.parametrize(("size", "apart"), [(3, True), (2, False)])
def test_the_band_draws_within_classes_of_three_or_more(size: int, apart: bool) -> None:
    """Patients of a class are alike: drawn within it, every resample has the same curve."""
    rows = classified()
    rows = rows[(rows["role"] == "test") & (rows["patient"] < f"t{2 * size:03d}")]
    even = rows["patient"].str[-1].astype(int) % 2 == 0
    rows = rows.assign(probability=np.where(rows["present"] > 0, np.where(even, 0.9, 0.1), 0.5))
    known = pd.Series({p: "LR2" if int(p[-1]) % 2 else "LR4B" for p in rows["patient"].unique()})
    few = replace(RESAMPLING, n_resamples=50, minimum=2)
    curve = curve_table(rows, known, np.array([0.2]), few)
    assert (curve["low"] == curve["high"]).all() == apart


def test_a_stopped_slice_predicts_nothing() -> None:
    rows = classified()
    rows = rows[rows["role"] == "test"].iloc[:4].assign(probability=[0.9, 0.9, 0.1, 0.1])
    limits = pd.Series({("fixed", "none", 0): 0.5}, name="threshold")
    limits.index.names = ["fold", "arm", "seed"]
    both = [segmented(rows, name) for name in ("unet", "segformer")]
    metrics = pd.concat(both).sample(frac=1, random_state=0)
    out = gated(metrics, rows, limits)
    pd.testing.assert_frame_equal(out[["key", "reference_px"]], metrics[["key", "reference_px"]])
    stopped = metrics["key"].isin(rows["key"][2:])
    pd.testing.assert_frame_equal(out[~stopped], metrics[~stopped])
    counts = ["predicted_px", "false_positive_components", "false_positive_px", "n_lesions_hit"]
    assert (out.loc[stopped, counts] == 0).all(axis=None)
    assert (out.loc[stopped, "empty_prediction"] == 1).all()
    assert (out.loc[stopped, "dice_standard"] == (out["reference_px"][stopped] == 0)).all()
    assert out.loc[stopped, ["precision_standard", "hd95_mm", "asd_mm"]].isna().all(axis=None)


def test_a_slice_that_was_not_classified_is_named() -> None:
    rows = classified()
    metrics = segmented(rows)
    lost = rows[rows["role"] == "test"].iloc[5]
    with pytest.raises(InputError, match=f"fixed/none/0: slice {lost['key']} was segmented"):
        gated(metrics, rows.drop(lost.name), thresholds_of(rows, 0.9))


def test_effect_by_hand() -> None:
    rows = classified(seeds=2)
    test = rows["role"] == "test"
    limits = thresholds_of(rows, 0.9)
    limits[:] = 0.5
    rows["probability"] = np.where(rows["present"], 0.9, 0.1)
    # Of each test patient's slices, one healthy one passes; one patient's nodule does not, once.
    rows.loc[rows["key"].str.endswith("1"), "probability"] = 0.7
    missed = (
        test & (rows["patient"] == "t004") & (rows["seed"] == 1) & rows["key"].str.endswith("0")
    )
    rows.loc[missed, "probability"] = 0.4
    table = effect_table(segmented(rows), rows, limits, classes_of(rows), RESAMPLING)
    assert list(table.columns) == list(EFFECT_COLUMNS)
    assert list(table["metric"].unique()) == list(EFFECTS)
    assert (table["n_patients"] == 10).all()
    found = cells(table, "metric", "gate")
    missing = 1 / 4 / 10  # one of a patient's two nodules, in one of two seeds
    expected = {
        "false_positives": (1.0, 0.75 - missing / 2),
        "specificity": (0.0, 0.5),
        "false_positive_mm2": (2.5, 1.25),
        "lesion_sensitivity": (1.0, 1 - missing),
        "dice": (20 / 35, 20 / 35 * (1 - missing)),
    }
    for metric, (without, with_gate) in expected.items():
        assert found[metric, "without"] == pytest.approx(without), metric
        assert found[metric, "with"] == pytest.approx(with_gate), metric
        assert found[metric, "difference"] == pytest.approx(with_gate - without), metric
    # Differences are paired: what all patients share has no spread.
    dice = table[(table["metric"] == "dice") & (table["gate"] == "difference")].iloc[0]
    assert dice["low"] < dice["estimate"] <= dice["high"] < 1e-12
    same = table[(table["metric"] == "specificity") & (table["gate"] == "difference")].iloc[0]
    assert math.isnan(same["low"])


def test_validation_slices_are_not_in_the_effect() -> None:
    rows = classified()
    limits, classes = thresholds_of(rows, 0.9), classes_of(rows)
    metrics = segmented(rows)
    everything = effect_table(metrics, rows, limits, classes, RESAMPLING)
    tested = metrics[metrics["role"] == "test"]
    pd.testing.assert_frame_equal(
        effect_table(tested, rows, limits, classes, RESAMPLING), everything
    )


def test_a_gate_that_stops_nothing_changes_nothing() -> None:
    rows = classified()
    limits = thresholds_of(rows, 0.9)
    limits[:] = 0.0
    table = effect_table(segmented(rows), rows, limits, classes_of(rows), RESAMPLING)
    assert (table.loc[table["gate"] == "difference", "estimate"] == 0).all()


def test_unknown_spacing_leaves_the_area_out() -> None:
    rows = classified()
    metrics = segmented(rows).assign(pixel_mm2=math.nan)
    limits = thresholds_of(rows, 0.9)
    table = effect_table(metrics, rows, limits, classes_of(rows), RESAMPLING)
    area = table[table["metric"] == "false_positive_mm2"]
    assert (area["n_patients"] == 0).all()
    assert area["estimate"].isna().all()
    assert table.loc[table["metric"] == "dice", "estimate"].notna().all()
