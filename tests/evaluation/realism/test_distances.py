"""Distances: identities, shifts, other people's implementations and the formulas themselves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg, stats

from lungaug.evaluation.realism.distances import (
    Distance,
    cubic_kernel,
    frechet,
    kernel_distance,
    kolmogorov_smirnov,
    normal_distance,
    wasserstein,
)
from lungaug.evaluation.realism.resampling import Group, Sample


def sample(values: np.ndarray, per_patient: int = 1, n_resamples: int = 5, seed: int = 0) -> Sample:
    owners = [f"p{i // per_patient:03d}" for i in range(len(values))]
    return Group.of(owners, n_resamples, rng=np.random.default_rng(seed)).sample(values)


def vectors(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, (n, 4))


@pytest.mark.parametrize("distance", [kolmogorov_smirnov, wasserstein])
def test_a_set_is_at_no_distance_from_itself_in_any_resample(distance: Distance) -> None:
    values = np.random.default_rng(0).integers(-900, 200, 40)
    found = distance(sample(values, 4), sample(values, 4))
    np.testing.assert_allclose(found, 0, atol=1e-12)


def test_frechet_distance_of_a_set_to_itself() -> None:
    x = vectors(30, 0)
    np.testing.assert_allclose(frechet(sample(x, 3), sample(x, 3)), 0, atol=1e-6)


def test_wasserstein_of_shifted_values_is_the_shift() -> None:
    values = np.random.default_rng(1).integers(-900, 200, 50)
    found = wasserstein(sample(values), sample(values + 37))
    np.testing.assert_allclose(found, 37)


def test_one_dimensional_distances_are_those_of_scipy() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(0, 30, 57).round(), rng.normal(10, 50, 83).round()
    ks = kolmogorov_smirnov(sample(a), sample(b))[0]
    assert ks == pytest.approx(stats.ks_2samp(a, b).statistic)
    assert wasserstein(sample(a), sample(b))[0] == pytest.approx(stats.wasserstein_distance(a, b))


def test_a_resample_is_the_distance_of_the_drawn_patients() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(0, 1, 24), rng.normal(1, 1, 24)
    first, second = sample(a, 3, seed=1), sample(b, 4, seed=2)
    drawn = [np.repeat(s.values, s.weights[2][s.owner].astype(int)) for s in (first, second)]
    expected = stats.ks_2samp(*drawn).statistic
    assert kolmogorov_smirnov(first, second)[2] == pytest.approx(expected)
    assert frechet(sample(vectors(24, 0), 3), sample(vectors(24, 1), 3))[2] > 0


def test_many_values_and_resamples_give_what_few_at_a_time_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = sample(vectors(40, 0)[:, 0], 4, 50), sample(vectors(40, 1)[:, 0], 4, 50)
    whole = kolmogorov_smirnov(first, second)
    monkeypatch.setattr("lungaug.evaluation.realism.distances._BLOCK", 200)
    np.testing.assert_array_equal(kolmogorov_smirnov(first, second), whole)


def test_normal_distance_is_the_closed_form() -> None:
    rng = np.random.default_rng(4)
    means = rng.normal(0, 1, (2, 3))
    a, b = (x @ x.T + np.eye(3) for x in rng.normal(0, 1, (2, 3, 3)))
    root = linalg.sqrtm(a @ b)
    expected = np.sum((means[0] - means[1]) ** 2) + np.trace(a + b - 2 * root.real)
    found = normal_distance(means[None, 0], a[None], means[None, 1], b[None])
    np.testing.assert_allclose(found, [expected], rtol=1e-9)


def test_frechet_distance_of_many_vectors_is_that_of_their_distributions() -> None:
    a, b = vectors(20_000, 0), 2 * vectors(20_000, 1) + 1
    # |1|^2 over 4 dimensions, and (2 - 1)^2 for each SD
    found = frechet(sample(a, 2_000, 1), sample(b, 2_000, 1))[0]
    assert found == pytest.approx(4 + 4, rel=0.03)


def test_frechet_distance_of_fewer_nodules_than_features_is_finite() -> None:
    found = frechet(sample(vectors(3, 0)), sample(vectors(2, 1)))
    assert np.isfinite(found).all()


def direct_kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    aa, bb, ab = cubic_kernel(a, a), cubic_kernel(b, b), cubic_kernel(a, b)
    n, m = len(a), len(b)
    within = [(k.sum() - np.trace(k)) / (s * (s - 1)) for k, s in ((aa, n), (bb, m))]
    return float(sum(within) - 2 * ab.mean())


def test_kernel_distance_is_the_direct_formula_with_one_nodule_a_patient() -> None:
    a, b = vectors(12, 0), vectors(15, 1, 0.5)
    found = kernel_distance(sample(a), sample(b))[0]
    assert found == pytest.approx(direct_kernel_distance(a, b))


def test_kernel_distance_is_unbiased_whatever_the_slices_of_a_patient() -> None:
    rng = np.random.default_rng(5)
    found = []
    for _ in range(300):
        a, b = (np.repeat(rng.normal(0, 1, (6, 3)), 4, axis=0) for _ in range(2))
        found.append(kernel_distance(sample(a, 4, 1), sample(b, 4, 1))[0])
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 3 * error
    assert np.mean(found) < np.mean([direct_kernel_distance(a, b) for _ in range(3)]) + 10 * error


@pytest.mark.parametrize("distance", [kolmogorov_smirnov, wasserstein])
def test_an_empty_set_has_no_distance(distance: Distance) -> None:
    assert np.isnan(distance(sample(np.empty(0)), sample(np.arange(5.0)))).all()


@pytest.mark.parametrize("distance", [frechet, kernel_distance])
@pytest.mark.parametrize("n", [0, 1])
def test_a_set_without_spread_has_no_distance(distance: Distance, n: int) -> None:
    assert np.isnan(distance(sample(vectors(n, 0)), sample(vectors(5, 1)))).all()


@pytest.mark.parametrize("distance", [frechet, kernel_distance])
def test_a_resample_without_any_patient_who_has_vectors_has_no_distance(distance: Distance) -> None:
    group = Group(np.array([0, 0, 1, 1, 2]), np.array([[1.0, 1, 1], [0, 0, 3], [1, 2, 0]]))
    part = group.take(np.array([True, True, True, True, False])).sample(vectors(4, 0))
    found = distance(part, sample(vectors(8, 1), n_resamples=2))
    assert np.isfinite(found).tolist() == [True, False, True]
