"""Both conventions against hand-computed cases and the published consequences."""

from __future__ import annotations

import numpy as np
import pytest

from lungaug.evaluation.metrics import OVERLAPS, REFERENCE_EPSILON, overlap_scores


def scores(convention: str, reference: int, predicted: int, both: int) -> dict[str, float]:
    found = overlap_scores(convention, [reference], [predicted], [both])
    assert set(found) == set(OVERLAPS)
    return {name: float(values[0]) for name, values in found.items()}


@pytest.mark.parametrize("convention", ["reference", "standard"])
def test_an_ordinary_slice_is_the_same_in_both(convention: str) -> None:
    found = scores(convention, reference=8, predicted=4, both=3)
    assert found == pytest.approx({"dice": 0.5, "iou": 1 / 3, "precision": 0.75, "recall": 0.375})


def test_reference_empty_prediction_on_a_lesion() -> None:
    found = scores("reference", reference=10, predicted=0, both=0)
    assert found["dice"] == 0
    assert found["precision"] == 1
    assert found["iou"] == pytest.approx(0, abs=1e-8)
    assert found["recall"] == pytest.approx(0, abs=1e-8)


def test_reference_both_empty() -> None:
    assert scores("reference", 0, 0, 0) == {"dice": 0, "iou": 1, "precision": 1, "recall": 1}


def test_reference_false_alarm_on_a_healthy_slice() -> None:
    found = scores("reference", reference=0, predicted=5, both=0)
    assert found["recall"] == 1
    assert found["precision"] == pytest.approx(REFERENCE_EPSILON / 5)


def test_standard_leaves_the_undefined_undefined() -> None:
    missed = scores("standard", reference=10, predicted=0, both=0)
    assert np.isnan(missed["precision"])
    assert (missed["dice"], missed["iou"], missed["recall"]) == (0, 0, 0)
    false_alarm = scores("standard", reference=0, predicted=5, both=0)
    assert np.isnan(false_alarm["recall"])
    assert (false_alarm["dice"], false_alarm["precision"]) == (0, 0)


def test_standard_both_empty() -> None:
    found = scores("standard", 0, 0, 0)
    assert (found["dice"], found["iou"]) == (1, 1)
    assert np.isnan(found["precision"])
    assert np.isnan(found["recall"])


def test_another_convention_is_refused() -> None:
    with pytest.raises(ValueError, match="accepted: reference, standard"):
        overlap_scores("published", [1], [1], [1])
