"""The rim test: blind to the nodule, at chance for alike rims, and never on a seen patient."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize

from evaluation.realism.nodules import disc_in_lung, nodule
from lungaug.evaluation.realism.rim import (
    RING_FEATURES,
    RimResult,
    Rings,
    auc_of,
    fit_logistic,
    lies_free,
    patient_halves,
    rim_test,
    ring_features,
    rings_of,
)


def rings(
    seed: int, rim_hu: float = 0.0, n_patients: int = 12, name: str = "p", donors: int = 0
) -> Rings:
    rng = np.random.default_rng(seed)
    found = []
    for i in range(5 * n_patients):
        hu, mask = disc_in_lung(rng, rim_hu)
        others = frozenset({f"d{rng.integers(donors)}"}) if donors else frozenset()
        found.append(nodule(f"{name}{i % n_patients}", hu, mask, others))
    return rings_of(found)


def judge(real: Rings, inserted: Rings) -> RimResult:
    return rim_test(
        real,
        inserted,
        rng=np.random.default_rng(0),
        n_repeats=4,
        n_permutations=60,
        level=0.95,
    )


@pytest.mark.learning
def test_alike_rims_cannot_be_told() -> None:
    found = judge(rings(0), rings(1, name="h"))
    assert found.interval.low <= found.auc <= found.interval.high
    assert found.auc == pytest.approx(0.5, abs=0.15)
    assert found.interval.low < 0.5 < found.interval.high


@pytest.mark.learning
def test_a_bright_ring_is_seen() -> None:
    found = judge(rings(0), rings(1, rim_hu=60, name="h"))
    assert found.auc > 0.95
    assert found.auc > found.interval.high


def test_the_same_seed_gives_the_same() -> None:
    assert judge(rings(0), rings(1)) == judge(rings(0), rings(1))


def test_what_lies_inside_the_mask_is_not_seen() -> None:
    seen = []
    for inside in (-700.0, 300.0):
        hu, mask = disc_in_lung(np.random.default_rng(0), inside_hu=inside)
        seen.append(ring_features(hu, mask, np.zeros_like(mask)))
    np.testing.assert_array_equal(*seen)
    assert len(seen[0]) == len(RING_FEATURES) == 20


def test_other_nodules_are_not_seen_and_a_ring_without_a_pixel_leaves_one_out() -> None:
    hu, mask = disc_in_lung(np.random.default_rng(0))
    taken = np.zeros_like(mask)
    taken[:, 20:] = True
    changed = np.where(taken, 300, hu).astype(np.int16)
    np.testing.assert_array_equal(
        ring_features(hu, mask, taken), ring_features(changed, mask, taken)
    )
    assert ring_features(hu, np.ones_like(mask), taken & False) is None
    assert len(rings_of([nodule("p", hu, np.ones_like(mask))])) == 0


def test_ring_features_of_a_gradient() -> None:
    mask = np.zeros((21, 21), bool)
    mask[10, 10] = True
    hu = np.full(mask.shape, -800, np.int16) + 10 * np.arange(21, dtype=np.int16)
    found = dict(zip(RING_FEATURES, ring_features(hu, mask, mask & False), strict=True))
    assert found["mean_1"] == found["mean_4"] == -700
    assert found["p10_2"] == -710
    assert found["p90_2"] == -690
    # steps of 10 along rows, none along columns; beside the nodule there are three neighbours
    assert found["step_3"] == 5
    assert found["step_1"] == pytest.approx((2 * 10 / 3 + 2 * 20 / 3) / 4)


def test_free_is_off_walls() -> None:
    hu, mask = disc_in_lung(np.random.default_rng(0))
    assert lies_free(hu, mask)
    hu[:, 21:] = 40
    assert not lies_free(hu, mask)
    assert not lies_free(hu, np.ones_like(mask))


def test_no_patient_is_on_both_sides() -> None:
    owners = [*rings(0, donors=9).patients, *rings(1, name="h", donors=9).patients]
    used = 0
    for learning, judging in patient_halves(owners, 6, np.random.default_rng(0)):
        seen = set().union(*(p for p, use in zip(owners, learning, strict=True) if use))
        asked = set().union(*(p for p, use in zip(owners, judging, strict=True) if use))
        assert not seen & asked
        assert not (learning & judging).any()
        used += int(judging.sum())
    assert used > 0


def test_one_patient_in_everything_leaves_nothing_to_judge() -> None:
    real, inserted = rings(0, name="a", n_patients=1), rings(1, name="a", n_patients=1)
    found = judge(real, inserted)
    assert math.isnan(found.auc)
    assert math.isnan(found.interval.low)
    assert found.n_tested == 0


def test_few_patients_give_no_interval() -> None:
    found = judge(rings(0, n_patients=4), rings(1, n_patients=4, name="h"))
    assert 0 <= found.auc <= 1
    assert math.isnan(found.interval.low)


def test_an_empty_set_gives_nothing() -> None:
    assert math.isnan(judge(rings(0), rings_of([])).auc)


def test_auc_counts_pairs_and_ties_by_half() -> None:
    scores = np.array([[1.0, 2.0, 2.0, 3.0], [1.0, 1.0, 1.0, 1.0], [0.0, 1.0, 2.0, 3.0]])
    labels = np.array([[0, 0, 1, 1], [0, 1, 0, 1], [1, 1, 1, 1]], float)
    np.testing.assert_allclose(auc_of(scores, labels), [3.5 / 4, 0.5, np.nan])


@pytest.mark.learning
def test_logistic_regression_is_at_the_optimum() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (80, 3))
    y = (x @ [1.0, -2.0, 0.5] + rng.normal(0, 1, 80) > 0).astype(float)

    def loss(w: np.ndarray) -> float:
        z = x @ w[:3] + w[3]
        return float(np.sum(np.logaddexp(0, z) - y * z) + 0.5 * np.sum(w[:3] ** 2))

    expected = optimize.minimize(loss, np.zeros(4), tol=1e-10).x
    np.testing.assert_allclose(fit_logistic(x, y[None])[0], expected, atol=2e-3)
