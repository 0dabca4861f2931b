"""From slices to patients to tables: what is averaged when, and what is left out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lungaug.errors import InputError
from lungaug.evaluation.layout import as_latex, as_markdown, blocks, caption, main_table
from lungaug.evaluation.metrics import CONVENTIONS, OVERLAPS, overlap_scores
from lungaug.evaluation.scores import (
    Resampling,
    comparison_table,
    patient_scores,
    score_table,
)

QUICK = Resampling(seed=0, n_resamples=2000)


def rows_of(dice: dict[str, list[float]], **columns: Any) -> pd.DataFrame:
    """One row a slice: reference of 100 pixels, prediction of 100, overlapping by ``dice``."""
    rows = [
        {
            "segmenter": "unet",
            "arm": "none",
            "seed": 0,
            "fold": "fixed",
            "role": "test",
            "patient": patient,
            "key": f"{patient}/s/{i:04d}",
            "reference_px": 100,
            "predicted_px": 100,
            "intersection_px": round(100 * value),
            "false_positive_components": i,
            "hd95_mm": 2.0 * i,
            **columns,
        }
        for patient, values in dice.items()
        for i, value in enumerate(values)
    ]
    return scored(pd.DataFrame(rows))


def scored(frame: pd.DataFrame) -> pd.DataFrame:
    pixels = [frame[c] for c in ("reference_px", "predicted_px", "intersection_px")]
    for convention in CONVENTIONS:
        for name in OVERLAPS:
            frame[f"{name}_{convention}"] = overlap_scores(convention, *pixels)[name]
    return frame


def classes_of(patients: list[str], name: str = "LR2") -> pd.Series:
    return pd.Series(name, index=pd.Index(patients))


def one(table: pd.DataFrame, **what: str) -> pd.Series:
    found = table[np.logical_and.reduce([table[k] == v for k, v in what.items()])]
    assert len(found) == 1, what
    return found.iloc[0]


def patients(n: int) -> dict[str, list[float]]:
    values = np.random.default_rng(n).random((n, 3))
    return {f"p{i}": list(v) for i, v in enumerate(values)}


def test_slices_are_averaged_within_a_patient_first() -> None:
    dice = {"p0": [1.0, 1.0, 1.0, 1.0], "p1": [0.0]}
    table = score_table(patient_scores(rows_of(dice), classes_of(["p0", "p1"])), QUICK)
    pooled = one(table, metric="dice", convention="standard", group="pooled")
    assert (pooled["estimate"], pooled["n_patients"], pooled["n_slices"]) == (0.5, 2, 5)
    published = one(table, metric="dice", convention="reference", group="slices")
    assert published["estimate"] == pytest.approx(0.8)


def test_macro_weighs_classes() -> None:
    dice = {"p0": [1.0], "p1": [1.0], "p2": [0.0]}
    classes = pd.Series({"p0": "LR2", "p1": "LR2", "p2": "LR4B"})
    table = score_table(patient_scores(rows_of(dice), classes), QUICK)
    where = {"metric": "dice", "convention": "standard"}
    assert one(table, group="pooled", **where)["estimate"] == pytest.approx(2 / 3)
    assert one(table, group="macro", **where)["estimate"] == pytest.approx(0.5)
    assert one(table, group="LR4B", **where)["n_patients"] == 1


def test_seeds_are_averaged_before_patients_are_resampled() -> None:
    """Twenty seeds that agree say no more of the patients than one; as independent values they
    would shrink the interval by more than four."""
    dice, names = patients(6), [f"p{i}" for i in range(6)]
    single = rows_of(dice)
    many = pd.concat([rows_of(dice, seed=s) for s in range(20)], ignore_index=True)
    found = [
        one(
            score_table(patient_scores(rows, classes_of(names)), QUICK),
            metric="dice",
            convention="standard",
            group="pooled",
        )
        for rows in (single, many)
    ]
    for column in ("estimate", "low", "high"):
        assert found[1][column] == pytest.approx(found[0][column])
    assert found[1]["seed_sd"] == pytest.approx(0)
    assert math.isnan(found[0]["seed_sd"])


def test_spread_over_seeds_is_apart_from_the_interval() -> None:
    names = [f"p{i}" for i in range(5)]
    low, high = ({n: [v] for n in names} for v in (0.2, 0.6))
    rows = pd.concat([rows_of(low, seed=0), rows_of(high, seed=1)], ignore_index=True)
    table = score_table(patient_scores(rows, classes_of(names)), QUICK)
    pooled = one(table, metric="dice", convention="standard", group="pooled")
    assert pooled["estimate"] == pytest.approx(0.4)
    assert pooled["seed_sd"] == pytest.approx(np.std([0.2, 0.6], ddof=1))
    assert math.isnan(pooled["low"])  # the patients do not differ: no spread to resample


def test_folds_are_pooled() -> None:
    dice = patients(6)
    parts = [{k: v for k, v in dice.items() if int(k[1]) % 2 == f} for f in (0, 1)]
    folds = pd.concat([rows_of(p, fold=f"cv{i}") for i, p in enumerate(parts)], ignore_index=True)
    names = sorted(dice)
    whole = score_table(patient_scores(rows_of(dice), classes_of(names)), QUICK)
    pooled = score_table(patient_scores(folds, classes_of(names)), QUICK)
    pd.testing.assert_frame_equal(whole, pooled)


def test_order_of_rows_does_not_matter() -> None:
    rows = pd.concat([rows_of(patients(7), seed=s) for s in (0, 1)], ignore_index=True)
    classes = pd.Series({f"p{i}": ("LR2", "LR3")[i % 2] for i in range(7)})
    shuffled = rows.sample(frac=1, random_state=1)
    first, second = (score_table(patient_scores(r, classes), QUICK) for r in (rows, shuffled))
    pd.testing.assert_frame_equal(first, second)


def test_healthy_slices_count_for_specificity_only() -> None:
    lesion = rows_of({"p0": [1.0, 0.5]})
    healthy = rows_of({"p0": [0, 0], "p1": [0, 0]})
    healthy["key"] = "h" + healthy["key"]
    healthy["reference_px"] = 0
    healthy["predicted_px"] = [0, 30, 0, 0]
    healthy["false_positive_components"] = [0, 2, 0, 0]
    rows = pd.concat([lesion, scored(healthy)], ignore_index=True)
    classes = pd.Series({"p0": "LR2", "p1": "LR1"})
    table = score_table(patient_scores(rows, classes), QUICK)
    pooled = {"group": "pooled"}
    dice = one(table, metric="dice", convention="standard", **pooled)
    assert (dice["estimate"], dice["n_patients"]) == (0.75, 1)
    specificity = one(table, metric="specificity", **pooled)
    assert (specificity["estimate"], specificity["n_patients"]) == (0.75, 2)
    false = one(table, metric="false_positives_healthy", **pooled)
    assert false["estimate"] == pytest.approx(0.5)
    assert "LR1" not in set(table[table["metric"] == "dice"]["group"])


def test_undefined_precision_is_left_out_and_counted() -> None:
    rows = rows_of({f"p{i}": [0.5] for i in range(3)})
    rows.loc[0, ["predicted_px", "intersection_px"]] = 0
    table = score_table(patient_scores(scored(rows), classes_of(["p0", "p1", "p2"])), QUICK)
    standard = one(table, metric="precision", convention="standard", group="pooled")
    reference = one(table, metric="precision", convention="reference", group="pooled")
    assert (standard["estimate"], standard["n_patients"]) == (0.5, 2)
    assert (reference["estimate"], reference["n_patients"]) == (pytest.approx(2 / 3), 3)
    assert one(table, metric="empty_rate", group="pooled")["estimate"] == pytest.approx(1 / 3)


def test_distance_is_left_out_where_there_is_none_and_counted() -> None:
    rows = rows_of({f"p{i}": [0.5, 0.5] for i in range(3)})
    rows.loc[[0, 1, 3], "hd95_mm"] = math.nan
    values = patient_scores(rows, classes_of(["p0", "p1", "p2"]))
    scores = score_table(values, QUICK)
    found = one(scores, metric="hd95_mm", convention="both", group="pooled")
    assert (found["estimate"], found["n_patients"], found["n_slices"]) == (0.5, 2, 3)
    seeds = rows.groupby(["segmenter", "arm"])["seed"].nunique()
    main = main_table(scores, comparison_table(values, QUICK), seeds, "standard", 2)
    assert list(main["hd95_mm"]) == ["0.50 (n=2)"]
    assert "HD95 (mm)" in as_markdown(main, "")
    assert "HD95 (mm)" in as_latex(main, "")


def two_arms(n: int, gain: float = 0.2) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(0)
    dice = {f"p{i}": [float(rng.uniform(0.2, 0.6))] for i in range(n)}
    gains = {p: [v[0] + gain * rng.uniform(0.5, 1)] for p, v in dice.items()}
    same = {p: [v[0] + rng.normal(0, 0.03)] for p, v in dice.items()}
    arms = {"none": dice, "mirror": gains, "online": same}
    rows = [rows_of(values, arm=arm) for arm, values in arms.items()]
    return pd.concat(rows, ignore_index=True), classes_of(sorted(dice))


def test_comparisons_are_paired_tested_once_and_corrected() -> None:
    table = comparison_table(patient_scores(*two_arms(8)), QUICK)
    pairs = set(zip(table["arm"], table["baseline"], strict=True))
    assert pairs == {("mirror", "none"), ("online", "none"), ("mirror", "online")}
    tested = table[table["p"].notna()]
    assert set(zip(tested["metric"], tested["group"], strict=True)) == {("dice", "pooled")}
    best = one(tested, arm="mirror", baseline="none")
    assert best["p"] == 2 / 2**8
    assert best["p_holm"] == 2 * best["p"]
    assert best["low"] > 0
    assert one(tested, arm="mirror", baseline="online")["p_holm"] == pytest.approx(2 / 2**8)


def test_below_five_patients_there_is_no_test() -> None:
    table = comparison_table(patient_scores(*two_arms(4)), QUICK)
    assert table[["p", "p_holm", "low", "high"]].isna().all(axis=None)
    assert table["difference"].notna().any()


def test_a_slice_tested_twice_is_refused() -> None:
    rows = pd.concat([rows_of({"p0": [1.0]}), rows_of({"p0": [1.0]}, fold="cv0")])
    with pytest.raises(InputError, match="tested twice"):
        patient_scores(rows, classes_of(["p0"]))


def test_a_patient_without_a_class_is_refused() -> None:
    with pytest.raises(InputError, match="p0 has metrics but is not in the split"):
        patient_scores(rows_of({"p0": [1.0]}), classes_of(["p1"]))


def main_of(n: int) -> pd.DataFrame:
    rows, classes = two_arms(n)
    values = patient_scores(rows, classes)
    seeds = rows.groupby(["segmenter", "arm"])["seed"].nunique()
    scores, comparisons = score_table(values, QUICK), comparison_table(values, QUICK)
    return main_table(scores, comparisons, seeds, "standard", 2)


def test_main_table_puts_baselines_first_and_hides_intervals_of_few() -> None:
    assert list(main_of(6)["arm"]) == ["none", "online", "mirror"]
    assert main_of(6)["dice"].str.contains(r"\d\.\d\d \[\d\.\d\d, \d\.\d\d\]", regex=True).all()
    assert main_of(4)["dice"].str.endswith("(n=4)").all()
    assert (main_of(4)["p_none"] == "–").all()


def test_markdown_is_aligned_and_latex_is_escaped() -> None:
    main = main_of(6).assign(arm=["none", "online", "rotate_slice"])
    text = caption({"LR2": 6}, "standard", 0.95, 5, ["LR4B"])
    markdown = as_markdown(main, text)
    for block in markdown.split("\n\n"):
        if block.startswith("|"):
            assert len({len(line) for line in block.splitlines()}) == 1
    assert "'standard'" in markdown
    assert "LR4B" in markdown
    latex = as_latex(main, text)
    assert r"rotate\_slice" in latex
    assert r"95 \%" in latex
    assert latex.count(r"\begin{tabular}") == len(blocks(main)) == latex.count(r"\end{table}")
