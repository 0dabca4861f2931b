"""Detection and calibration of cohorts that can be counted by hand."""

from __future__ import annotations

import dataclasses
import math
import time

import numpy as np
import pandas as pd
import pytest

from detected_lesions import QUICK, calibration, detected, held_out, lesions, slices
from lungaug.evaluation.curves import (
    RATES,
    Detections,
    HeldOut,
    calibration_table,
    detection_tables,
    summary_blocks,
    summary_table,
)
from lungaug.evaluation.detection import FROC_RATES, average_precision, froc
from scored_slices import one

PATIENTS = {f"p{i}": "LR2" for i in range(6)}


def by_hand() -> HeldOut:
    """Four lesions on eight slices: one found first, a false positive, one found, one twice."""
    found = [("a", 0.9, 1, 1), ("b", 0.8, 0, 0), ("b", 0.7, 1, 1), ("b", 0.6, 0, -1)]
    reference = [("a", 5.0, 1, 0.9), ("a", 5.0, 0, 0), ("b", 7.0, 1, 0.9), ("b", 7.0, 0, 0)]
    return held_out(
        slices(["a", "b"], 4),
        {"a": "LR2", "b": "LR3"},
        found=detected(found),
        reference=lesions(reference),
    )


def random_detections(n: int, n_patients: int, seed: int = 0) -> Detections:
    rng = np.random.default_rng(seed)
    matched = rng.random(n) < 0.4
    patients = np.sort(rng.integers(0, n_patients, n))
    order = np.argsort(-rng.random(n))
    taken = np.bincount(patients[matched], minlength=n_patients).astype(float)
    return Detections(
        scores=np.linspace(1, 0.1, n),
        matched=matched[order],
        hits=np.where(matched, 1, rng.integers(-1, 1, n))[order],
        patients=patients[order],
        lesions=taken + 1,
        slices=np.full(n_patients, 5.0),
    )


def test_detection_by_hand() -> None:
    summary, curve = detection_tables(by_hand())
    # Recall 1/4 at precision 1, 1/2 at 2/3: 26 recalls to 0.25, 25 more to 0.5.
    ap = one(summary, metric="ap50")
    assert ap["estimate"] == pytest.approx((26 + 25 * 2 / 3) / 101)
    assert (ap["n_patients"], ap["n_slices"], ap["n_lesions"]) == (2, 8, 4)
    found = summary[summary["metric"] == "sensitivity"]
    assert list(found["false_positives"]) == list(FROC_RATES)
    # One false positive on eight slices, then both lesions; the second find counts as nothing.
    assert list(found["estimate"]) == [0.5] * 7
    assert one(summary, metric="froc_score")["estimate"] == 0.5
    assert list(curve["false_positives"]) == pytest.approx(RATES)
    assert list(curve.loc[curve["false_positives"] < 1 / 8, "estimate"]) == [0.25] * 4
    assert summary["low"].isna().all()  # two patients
    assert summary["seed_sd"].isna().all()


def test_the_score_is_the_mean_of_seven_sensitivities() -> None:
    found = detected([("p0", 0.9, 0, 0), ("p1", 0.8, 0, 0), ("p2", 0.7, 1, 1)])
    told = held_out(
        slices(list(PATIENTS)), PATIENTS, found=found, reference=lesions([("p2", 5.0, 1, 1.0)])
    )
    summary, _ = detection_tables(told)
    # Two false positives on six slices: found from 1/2 a slice on.
    assert one(summary, metric="froc_score")["estimate"] == pytest.approx(5 / 7)


def test_resamples_are_as_if_patients_were_there_more_often() -> None:
    found = random_detections(40, 4)
    assert found.resampled(np.ones((2, 4))) == pytest.approx(np.stack([found.scored()] * 2))
    counts = np.array([[2.0, 0, 1, 1], [0, 0, 3, 1]])
    for row, shown in zip(counts, found.resampled(counts), strict=True):
        times = row[found.patients].astype(int)
        scores, hits = np.repeat(found.scores, times), np.repeat(found.hits, times)
        n_lesions, n_slices = int(row @ found.lesions), int(row @ found.slices)
        ap = average_precision(scores, np.repeat(found.matched, times), n_lesions)
        assert shown[0] == pytest.approx(ap)
        assert shown[1:] == pytest.approx(froc(scores, hits, n_lesions, n_slices, RATES))


def test_nothing_found_and_nothing_to_find() -> None:
    reference = lesions([("p0", 5.0, 0, 0.0)])
    summary, _ = detection_tables(held_out(slices(list(PATIENTS)), PATIENTS, reference=reference))
    assert (summary["estimate"] == 0).all()
    healthy = held_out(slices(list(PATIENTS)), PATIENTS, found=detected([("p0", 0.9, 0, 0)]))
    summary, _ = detection_tables(healthy)
    assert summary["estimate"].isna().all()
    shown = summary_table(summary, 2)
    assert (shown["AP50"].item(), shown["at 1/8"].item(), shown["lesions"].item()) == (
        "–",
        "–",
        "0",
    )


def test_seeds_are_averaged_and_their_spread_is_apart() -> None:
    names = list(PATIENTS)
    parts = [
        detected([(p, 0.9, 1, 1) for p in names[: 3 + 3 * seed]], seed=seed) for seed in (0, 1)
    ]
    reference = [lesions([(p, 5.0, 1, 1.0) for p in names], seed=seed) for seed in (0, 1)]
    told = held_out(
        pd.concat([slices(names, seed=seed) for seed in (0, 1)]),
        PATIENTS,
        found=pd.concat(parts),
        reference=pd.concat(reference),
    )
    row = one(detection_tables(told)[0], metric="froc_score")
    assert row["estimate"] == 0.75
    assert row["seed_sd"] == pytest.approx(np.std([0.5, 1], ddof=1))
    assert row["low"] < 0.75 < row["high"]
    assert row["n_lesions"] == 6


def test_a_thousand_resamples_take_seconds() -> None:
    found = random_detections(3000, 60)
    counts = np.random.default_rng(0).multinomial(60, np.full(60, 1 / 60), 1000).astype(float)
    start = time.process_time()
    found.resampled(counts)
    assert time.process_time() - start < 5


def test_the_summary_names_rates_and_segmenters() -> None:
    summary = summary_table(detection_tables(by_hand())[0], 2)
    assert summary["AP50"].item() == "0.42 (n=2)"
    titles = [list(block.columns) for _, block in summary_blocks(summary)]
    counts = ["patients with a lesion", "slices of all patients", "lesions"]
    assert titles[0] == ["arm", *counts, "AP50", "FROC score"]
    assert titles[1] == ["arm", *(f"at {r}" for r in ("1/8", "1/4", "1/2", "1", "2", "4", "8"))]
    two = pd.concat([summary, summary.assign(segmenter="maskrcnn")])
    assert summary_blocks(two)[0][1].columns[0] == "segmenter"


def calibrated(seeds: int = 1) -> HeldOut:
    """Below 1/2: 90 pixels of 0.1, 9 nodule. Above: 10 pixels of 0.9, 6 nodule; by patient."""
    rows = [row for i in range(6) for row in ((f"p{i}", 0, 15, 1.5, 1 + i % 2),)]
    rows += [(f"p{i}", 1, 10, 9.0, 6) for i in range(6)]
    names = list(PATIENTS)
    metrics = [slices(names, seed=seed) for seed in range(seeds)]
    bins = [calibration(rows, seed=seed) for seed in range(seeds)]
    return held_out(pd.concat(metrics), PATIENTS, bins=pd.concat(bins))


def test_calibration_by_hand() -> None:
    table = calibration_table(calibrated())
    assert list(table["bin"]) == ["0", "1", "all", "without the lowest"]
    low, high, both, upper = (table.iloc[k] for k in range(4))
    assert (low["n_px"], low["mean_probability"], low["observed"]) == (90, pytest.approx(0.1), 0.1)
    assert (high["low"], high["high"], high["n_px"]) == (0.5, 1, 60)
    assert high["observed"] == pytest.approx(0.6)
    # 60 of 150 pixels are 0.3 off, the others not at all.
    assert both["ece"] == pytest.approx(60 * 0.3 / 150)
    assert upper["ece"] == pytest.approx(0.3)
    assert low[["ece", "ece_low"]].isna().all()
    assert both["ece_low"] <= both["ece"] <= both["ece_high"]
    assert math.isnan(upper["ece_low"])  # all patients agree


def test_calibration_of_seeds_is_shown_for_one() -> None:
    first, both = (calibration_table(calibrated(n)) for n in (1, 2))
    pd.testing.assert_frame_equal(first, both)


def test_an_empty_bin_has_no_mean() -> None:
    rows = [(p, k, 4 * (1 - k), 0.4 * (1 - k), 0) for p in PATIENTS for k in (0, 1)]
    table = calibration_table(held_out(slices(list(PATIENTS)), PATIENTS, bins=calibration(rows)))
    assert table.loc[1, ["mean_probability", "observed"]].isna().all()
    assert table.loc[2, "ece"] == pytest.approx(0.1)
    assert math.isnan(table.loc[3, "ece"])


def test_few_patients_get_no_interval() -> None:
    few = dataclasses.replace(QUICK, minimum=7)
    told = calibrated()
    draws = dataclasses.replace(told.draws, resampling=few)
    table = calibration_table(dataclasses.replace(told, draws=draws))
    assert table["ece_low"].isna().all()
    assert table["ece"].notna().sum() == 2
