"""ROC and AUC: against brute force over pairs, and by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungaug.errors import InputError
from lungaug.evaluation.roc import (
    Ranking,
    area,
    auc,
    operating_threshold,
    ranking,
)

# Few values, so that there are ties.
SLICES = st.lists(
    st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.9]), st.booleans(), st.sampled_from("abc")),
    min_size=2,
    max_size=14,
).filter(lambda rows: len({present for _, present, _ in rows}) == 2)


def brute_force(rows: list[tuple[float, bool, str]]) -> float:
    """Mean over pairs of patients of the mean over pairs of their slices."""
    won: dict[tuple[str, str], list[float]] = {}
    for (score, ill, owner), (other, healthy, second) in itertools.product(rows, rows):
        if ill and not healthy:
            points = 1.0 if score > other else 0.5 if score == other else 0.0
            won.setdefault((owner, second), []).append(points)
    return float(np.mean([np.mean(points) for points in won.values()]))


@given(SLICES)
def test_auc_is_the_share_of_pairs_ranked_right(rows: list[tuple[float, bool, str]]) -> None:
    assert auc(*zip(*rows, strict=True)) == pytest.approx(brute_force(rows))


@given(SLICES)
def test_auc_is_the_area_under_the_curve(rows: list[tuple[float, bool, str]]) -> None:
    curve = ranking(*zip(*rows, strict=True)).roc()
    found = np.trapezoid(curve.sensitivity, curve.false_positive_rate)
    assert auc(*zip(*rows, strict=True)) == pytest.approx(float(found))


def test_a_patient_a_slice_is_mann_and_whitneys_statistic() -> None:
    rng = np.random.default_rng(0)
    score, present = rng.integers(0, 9, 40) / 10, rng.integers(0, 2, 40) == 1
    ill, healthy = score[present][:, None], score[~present][None]
    expected = np.mean((ill > healthy) + 0.5 * (ill == healthy))
    assert auc(score, present, np.arange(40).astype(str)) == pytest.approx(expected)


def test_curve_by_hand() -> None:
    # At 0.8 one of two positive slices is in, at 0.5 (a tie) the other and one of two negative.
    curve = ranking([0.8, 0.5, 0.5, 0.1], [1, 1, 0, 0], ["a", "b", "c", "d"]).roc()
    assert curve.thresholds.tolist() == [math.inf, 0.8, 0.5, 0.1]
    assert curve.sensitivity.tolist() == [0, 0.5, 1, 1]
    assert curve.false_positive_rate.tolist() == [0, 0, 0.5, 1]


def test_patients_weigh_equally_however_many_slices_they_have() -> None:
    few = auc([0.9, 0.2, 0.5], [1, 1, 0], ["a", "b", "c"])
    many = auc([0.9] + [0.2] * 8 + [0.5], [1] * 9 + [0], ["a", *"b" * 8, "c"])
    assert few == many == 0.5


def test_one_kind_of_slice_has_no_area() -> None:
    assert math.isnan(auc([0.1, 0.2], [1, 1], ["a", "b"]))
    assert math.isnan(auc([0.1, 0.2], [0, 0], ["a", "b"]))


def test_slices_of_different_trainings_are_not_compared() -> None:
    # Each ranks its own patients perfectly, on scales of its own.
    first = Ranking([0.9, 0.8], [1, 0], [0, 1], 4)
    second = Ranking([0.2, 0.1], [1, 0], [2, 3], 4)
    assert area([first.wins(), second.wins()])[0] == 1
    assert auc([0.9, 0.8, 0.2, 0.1], [1, 0, 1, 0], ["a", "b", "c", "d"]) == 0.75


def test_values_of_patients_are_their_influence() -> None:
    rng = np.random.default_rng(1)
    score, present = rng.random(60), rng.integers(0, 2, 60)
    owners = np.repeat(np.arange(12), 5)
    found, values = area([Ranking(score, present, owners, 12).wins()])
    assert values.mean() == pytest.approx(found)
    # With one more copy of a patient, the area moves by his value's distance over the patients.
    for patient in (0, 7):
        again = owners == patient
        more = area(
            [
                Ranking(
                    np.append(score, score[again]),
                    np.append(present, present[again]),
                    np.append(owners, np.full(again.sum(), 12)),
                    13,
                ).wins()
            ]
        )[0]
        assert more - found == pytest.approx((values[patient] - found) / 13, abs=2e-3)
        assert abs(more - found) > 1e-4


def test_spread_of_the_values_is_that_of_the_area() -> None:
    rng = np.random.default_rng(2)
    areas, errors = [], []
    for _ in range(300):
        difficulty = np.repeat(rng.normal(0, 1, 30), 4)
        present = np.tile([1, 1, 0, 0], 30)
        score = difficulty + present + rng.normal(0, 1, 120)
        found, values = area([Ranking(score, present, np.repeat(np.arange(30), 4), 30).wins()])
        areas.append(found)
        errors.append(values.std(ddof=1) / math.sqrt(30))
    assert np.mean(errors) == pytest.approx(np.std(areas), rel=0.12)


def test_sensitivity_at_rates_by_hand() -> None:
    # Rates and sensitivities: (0, 0), (0, 0.5), (0.5, 1) along the tie, (1, 1).
    slices = Ranking([0.8, 0.5, 0.5, 0.1], [1, 1, 0, 0], [0, 1, 2, 3], 4)
    rates = np.array([0, 0.25, 0.5, 0.75, 1])
    curve, pairs = slices.sensitivity_at(rates, np.ones(4))
    assert curve.tolist() == [0.5, 0.75, 1, 1, 1]
    assert pairs == 4
    # Without the first patient, and the second there twice.
    curve, pairs = slices.sensitivity_at(rates, np.array([0, 2, 1, 1]))
    assert curve.tolist() == [0, 0.5, 1, 1, 1]
    assert pairs == 4
    assert slices.sensitivity_at(rates, np.array([1, 1, 0, 0]))[1] == 0


@pytest.mark.parametrize(
    ("sensitivity", "threshold"), [(1 / 6, 0.9), (0.17, 0.7), (5 / 6, 0.7), (0.84, 0.3), (1, 0.3)]
)
def test_the_largest_threshold_that_is_sensitive_enough(
    sensitivity: float, threshold: float
) -> None:
    # Of three slices of patient a each weighs a third, b's one weighs 1; those without nothing.
    score = [0.9, 0.8, 0.7, 0.7, 0.3, 0.5, 0.1]
    present = [1, 0, 1, 1, 1, 0, 0]
    patients = ["a", "b", "a", "b", "a", "c", "c"]
    assert operating_threshold(score, present, patients, sensitivity=sensitivity) == threshold


@given(SLICES, st.floats(0.05, 1))
def test_the_threshold_reaches_the_sensitivity_and_the_next_larger_does_not(
    rows: list[tuple[float, bool, str]], wanted: float
) -> None:
    found = operating_threshold(*zip(*rows, strict=True), sensitivity=wanted)

    def reached(threshold: float) -> float:
        hits: dict[str, list[bool]] = {}
        for score, present, patient in rows:
            if present:
                hits.setdefault(patient, []).append(score >= threshold)
        return float(np.mean([np.mean(values) for values in hits.values()]))

    assert reached(found) >= wanted - 1e-8
    assert reached(np.nextafter(found, 2)) < wanted


def test_no_threshold_without_a_nodule() -> None:
    with pytest.raises(InputError, match="no validation slice has a nodule"):
        operating_threshold([0.1, 0.2], [0, 0], ["a", "b"], sensitivity=0.9)
