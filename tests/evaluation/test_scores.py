"""From slices to patients to tables: what is averaged when, and what is left out."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from lungaug.errors import InputError
from lungaug.evaluation.scores import bounds_of, comparison_table, patient_scores, score_table
from scored_slices import QUICK, classes_of, one, patients, rows_of, scored, two_arms


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
    rows.loc[[0, 1, 3], ["hd95_mm", "asd_mm"]] = math.nan
    values = patient_scores(rows, classes_of(["p0", "p1", "p2"]))
    scores = score_table(values, QUICK)
    found = one(scores, metric="hd95_mm", convention="both", group="pooled")
    # p1 has 0 mm on its only slice left, p2 has 0 and 2 mm.
    assert (found["estimate"], found["n_patients"], found["n_slices"]) == (0.5, 2, 3)
    average = one(scores, metric="asd_mm", convention="both", group="pooled")
    assert (average["estimate"], average["n_patients"]) == (0.25, 2)


def test_lesions_of_a_patient_are_counted_together() -> None:
    rows = rows_of({"p0": [0.5, 0.5], "p1": [0.5]})
    rows["n_lesions"], rows["n_lesions_hit"] = [1, 3, 2], [1, 0, 1]
    table = score_table(patient_scores(rows, classes_of(["p0", "p1"])), QUICK)
    found = one(table, metric="lesion_sensitivity", group="pooled")
    # A mean of the slices' shares would be 0.5 for p0, where one lesion of four was hit.
    assert (found["estimate"], found["n_slices"]) == (pytest.approx((1 / 4 + 1 / 2) / 2), 3)


def test_false_area_is_that_of_healthy_slices_where_spacing_is_known() -> None:
    rows = rows_of({"p0": [0.5, 0.5], "p1": [0.5, 0.5]})
    rows["reference_px"], rows["n_lesions"] = [100, 0, 0, 0], [1, 0, 0, 0]
    rows.loc[3, "pixel_mm2"] = math.nan
    table = score_table(patient_scores(scored(rows), classes_of(["p0", "p1"])), QUICK)
    area = one(table, metric="false_positive_mm2", group="pooled")
    # p0: 30 px of 0.5 mm2 on its healthy slice; p1: 0 px on one, the other of unknown spacing.
    assert (area["estimate"], area["n_patients"], area["n_slices"]) == (7.5, 2, 2)
    assert one(table, metric="lesion_sensitivity", group="pooled")["n_patients"] == 1


def test_holm_is_over_every_segmenter_arm_and_baseline() -> None:
    rows, classes = two_arms(8)
    both = pd.concat([rows, rows.assign(segmenter="maskrcnn")], ignore_index=True)
    table = comparison_table(patient_scores(both, classes), QUICK)
    tested = table[table["p"].notna()]
    assert len(tested) == 2 * 3
    assert tested["p"].min() == 2 / 2**8
    assert tested["p_holm"].min() == 6 * tested["p"].min()


def test_comparisons_are_paired_tested_once_and_corrected() -> None:
    table = comparison_table(patient_scores(*two_arms(8)), QUICK)
    pairs = set(zip(table["arm"], table["baseline"], strict=True))
    assert pairs == {("mirror", "none"), ("online", "none"), ("mirror", "online")}
    tested = table[table["p"].notna()]
    assert set(zip(tested["metric"], tested["group"], strict=True)) == {("dice", "pooled")}
    best = one(tested, arm="mirror", baseline="none")
    assert best["p"] == 2 / 2**8
    assert best["p_holm"] == 3 * best["p"]
    assert best["low"] > 0


def seeded(n_seeds: dict[str, int], luck: float) -> tuple[pd.DataFrame, pd.Series]:
    """Trainings of each arm, alternately better and worse by ``luck``."""
    rows, classes = two_arms(8)
    parts = []
    for arm, number in n_seeds.items():
        for seed in range(number):
            part = rows[rows["arm"] == arm].assign(seed=seed)
            part["dice_standard"] += luck * (-1) ** seed
            parts.append(part)
    return pd.concat(parts, ignore_index=True), classes


def test_a_comparison_covers_trainings_where_both_arms_have_two() -> None:
    table = comparison_table(
        patient_scores(*seeded({"none": 2, "mirror": 2, "online": 1}, 0.1)), QUICK
    )
    where = {"metric": "dice", "group": "pooled"}
    both = one(table, arm="mirror", baseline="none", **where)
    assert (both["covers"], both["n_seeds"], both["n_seeds_baseline"]) == (
        "patients and trainings",
        2,
        2,
    )
    assert both["seed_sd"] == pytest.approx(both["seed_sd_baseline"])
    assert both["seed_sd"] == pytest.approx(np.std([0.1, -0.1], ddof=1))
    for arm, baseline in (("online", "none"), ("mirror", "online")):
        single = one(table, arm=arm, baseline=baseline, **where)
        assert single["covers"] == "patients"
    assert one(table, arm="online", baseline="none", **where)["n_seeds"] == 1


def test_the_spread_of_trainings_weighs_classes_in_a_macro_mean() -> None:
    rows, classes = seeded({"none": 2, "mirror": 2}, 0.0)
    classes[["p0", "p1"]] = "LR4B"  # two of eight patients, half of the macro mean
    better = rows["patient"].isin(["p0", "p1"]) & (rows["seed"] == 1) & (rows["arm"] == "mirror")
    rows.loc[better, "dice_standard"] += 0.1
    table = comparison_table(patient_scores(rows, classes), QUICK)
    macro, pooled = (
        one(table, arm="mirror", baseline="none", metric="dice", group=group)
        for group in ("macro", "pooled")
    )
    assert macro["seed_sd"] == pytest.approx(np.std([0, 0.05], ddof=1))
    assert pooled["seed_sd"] == pytest.approx(np.std([0, 0.025], ddof=1))
    assert macro["seed_sd_baseline"] == pytest.approx(0)


def test_trainings_that_differ_more_than_the_arms_prove_nothing() -> None:
    where = {"metric": "dice", "group": "pooled", "arm": "mirror", "baseline": "none"}
    calm, wild = (
        one(
            comparison_table(patient_scores(*seeded({"none": 2, "mirror": 2}, luck)), QUICK),
            **where,
        )
        for luck in (0.0, 0.2)
    )
    assert calm["difference"] == pytest.approx(wild["difference"])
    assert calm["p"] == 2 / 2**8
    assert calm["low"] > 0
    assert wild["p"] > 0.2
    assert wild["low"] < 0 < wild["high"]


def test_the_bounded_test_is_a_setting() -> None:
    resampling = dataclasses.replace(QUICK, test="bounded")
    values = patient_scores(*two_arms(8))
    where = {"metric": "dice", "group": "pooled", "arm": "mirror", "baseline": "none"}
    flips, bounded = (one(comparison_table(values, r), **where) for r in (QUICK, resampling))
    assert bounded["p"] > 0.1 > flips["p"]
    assert bounded["low"] < 0 < flips["low"]
    assert bounded["high"] < 1


def test_five_patients_have_scores_with_intervals_and_differences_without() -> None:
    values = patient_scores(*two_arms(5))
    scores = score_table(values, QUICK)
    assert scores.loc[scores["metric"] == "dice", ["low", "high"]].notna().all(axis=None)
    table = comparison_table(values, QUICK)
    assert table[["low", "high"]].isna().all(axis=None)
    tested = one(table, arm="mirror", baseline="none", metric="dice", group="pooled")
    assert tested["p"] == 2 / 2**5


@pytest.mark.parametrize("metric", ["dice", "lesion_sensitivity", "specificity", "hd95_mm"])
def test_bounds_are_those_of_the_score(metric: str) -> None:
    assert bounds_of(metric) == ((0, math.inf) if metric == "hd95_mm" else (0, 1))


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
