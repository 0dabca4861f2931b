"""The choice of a threshold, by hand and against masks made one by one."""

from __future__ import annotations

import numpy as np
import pytest

from lungaug.evaluation.counts import count, predicted_mask, stored_counts
from lungaug.evaluation.metrics import overlap_scores
from lungaug.evaluation.threshold import FALLBACK, GRID, choose_threshold, dice_at_grid


def scores_at(**peaks: float) -> np.ndarray:
    """Dice of one slice at all thresholds: 0 but for those named t<percent>."""
    dice = np.zeros(len(GRID))
    for name, value in peaks.items():
        dice[GRID.index(int(name[1:]) / 100)] = value
    return dice


def test_all_thresholds_at_once_are_each_one_by_itself() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random((16, 16)).astype(np.float16)
    probability.ravel()[: len(GRID)] = GRID  # rounded to either side of their thresholds
    reference = rng.random((16, 16)) < 0.3
    found = dice_at_grid(stored_counts(probability), stored_counts(probability[reference]))
    for threshold, dice in zip(GRID, found, strict=True):
        counts = count(predicted_mask(probability, threshold), reference)
        pixels = counts.reference_px, counts.predicted_px, counts.intersection_px
        assert dice == overlap_scores("standard", *([n] for n in pixels))["dice"][0]


def test_patients_count_alike_however_many_slices_they_have() -> None:
    # Mean of slices: 0.625 at 0.20, 0.75 at 0.70. Mean of patients: 0.75 and 0.5.
    slices = [scores_at(t20=1.0), *[scores_at(t20=0.5, t70=1.0)] * 3]
    assert choose_threshold(slices, ["a", "b", "b", "b"]) == 0.2
    assert choose_threshold(slices, ["a", "b", "c", "d"]) == 0.7


@pytest.mark.parametrize(
    ("peaks", "expected"),
    [
        ({"t10": 0.7, "t45": 0.7, "t80": 0.7}, 0.45),
        ({"t35": 0.7, "t65": 0.7}, 0.35),
        ({"t5": 0.8, "t50": 0.7}, 0.05),
        ({}, 0.5),
    ],
)
def test_ties_go_to_the_middle(peaks: dict[str, float], expected: float) -> None:
    assert choose_threshold([scores_at(**peaks)], ["a"]) == expected


def test_without_nodules_it_is_one_half() -> None:
    assert choose_threshold([], []) == FALLBACK == 0.5
