"""Reliability of probabilities, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lungaug.evaluation.calibration import Reliability, expected_calibration_error
from lungaug.evaluation.counts import stored_counts


def reliability(probability: list[float], nodule: list[int], n_bins: int = 4) -> Reliability:
    stored = np.array(probability, np.float16)
    return Reliability.of(
        stored_counts(stored), stored_counts(stored[np.array(nodule) > 0]), n_bins
    )


def test_bins_by_hand() -> None:
    found = reliability([0, 0.125, 0.25, 0.5, 0.75, 1], [0, 1, 0, 1, 1, 1])
    assert found.n_px.tolist() == [2, 1, 1, 2]
    assert found.probability_sum.tolist() == [0.125, 0.25, 0.5, 1.75]
    assert found.nodule_px.tolist() == [1, 0, 1, 2]


def test_slices_add_up_exactly_in_any_order() -> None:
    rng = np.random.default_rng(0)
    probability, nodule = rng.random(150).tolist(), rng.integers(0, 2, 150).tolist()
    parts = [slice(0, 50), slice(50, 90), slice(90, 150)]
    one, two, three = (reliability(probability[p], nodule[p], 10) for p in parts)
    together = reliability(probability, nodule, 10)
    for added in (one + two + three, three + (one + two)):
        for name in ("n_px", "probability_sum", "nodule_px"):
            assert np.array_equal(getattr(added, name), getattr(together, name))


def test_error_is_the_weighted_distance_of_confidence_and_share() -> None:
    # Bins of 8 and 2 pixels: 0.1 said, 2/8 true; 0.9 said, 1/2 true.
    found = expected_calibration_error([8, 0, 2], [0.8, 0, 1.8], [2, 0, 1])
    assert found == pytest.approx(0.8 * 0.15 + 0.2 * 0.4)


def test_a_calibrated_network_has_no_error_and_a_reversed_one_has_all() -> None:
    assert expected_calibration_error([4, 4], [1, 3], [1, 3]) == 0
    assert expected_calibration_error([4, 4], [0, 4], [4, 0]) == 1
    assert math.isnan(expected_calibration_error([0, 0], [0, 0], [0, 0]))
