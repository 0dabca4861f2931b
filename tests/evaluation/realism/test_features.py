"""Features of crops: known values, and nothing but finite numbers for odd masks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from evaluation.realism.nodules import textured_crop
from lungaug.evaluation.realism.features import (
    FEATURES,
    feature_vector,
    standardised,
    texture_features,
)


def named(hu: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    return dict(zip(FEATURES, feature_vector(hu, mask), strict=True))


def test_a_flat_square() -> None:
    hu, mask = np.full((64, 64), -900, np.int16), np.zeros((64, 64), bool)
    mask[20:30, 20:30] = True
    hu[mask] = 50
    found = named(hu, mask)
    assert len(FEATURES) == 20
    assert (found["mean"], found["sd"], found["entropy"], found["roughness"]) == (50, 0, 0, 0)
    assert (found["contrast"], found["homogeneity"], found["extent"]) == (0, 1, 1)
    assert found["solidity"] == 1
    assert found["diameter_px"] == pytest.approx(np.sqrt(400 / np.pi))
    assert found["edge"] == 950


def test_moments_are_those_of_the_pixels_in_the_mask() -> None:
    crop = textured_crop(2)
    found, values = named(crop.hu, crop.mask), crop.hu[crop.mask].astype(float)
    wanted = {
        "mean": values.mean(),
        "sd": values.std(),
        "skewness": stats.skew(values),
        "kurtosis": stats.kurtosis(values, fisher=False),
        "p10": np.percentile(values, 10),
        "median": np.median(values),
        "p90": np.percentile(values, 90),
    }
    assert {name: found[name] for name in wanted} == pytest.approx(wanted)


def test_stripes_differ_from_neighbour_to_neighbour() -> None:
    mask = np.zeros((64, 64), bool)
    mask[20:40, 20:40] = True
    hu = np.where(np.arange(64) % 2, -1000, 399).astype(np.int16) * np.ones((64, 1), np.int16)
    found = named(hu, mask)
    # across and on both diagonals the step is 31 levels, along the stripes none
    n_across, n_along, n_diagonal = 20 * 19, 20 * 19, 2 * 19 * 19
    share = (n_across + n_diagonal) / (n_across + n_diagonal + n_along)
    assert found["dissimilarity"] == pytest.approx(31 * share)
    assert found["entropy"] == 1


def test_what_lies_outside_the_mask_changes_the_edge_alone() -> None:
    crop = textured_crop(0)
    other = crop.hu.copy()
    other[~crop.mask] = 300
    before, after = named(crop.hu, crop.mask), named(other, crop.mask)
    assert {k for k in before if before[k] != after[k]} == {"edge"}


@pytest.mark.parametrize(
    "pixels",
    [[(5, 5)], [(5, 5), (5, 6)], [(5, 5), (6, 6)], [(0, 0), (63, 63)], [(0, c) for c in range(9)]],
)
def test_any_mask_has_finite_features(pixels: list[tuple[int, int]]) -> None:
    mask = np.zeros((64, 64), bool)
    mask[tuple(np.transpose(pixels))] = True
    hu = np.random.default_rng(0).normal(-300, 200, mask.shape).astype(np.int16)
    assert np.isfinite(feature_vector(hu, mask)).all()
    assert np.isfinite(feature_vector(hu, np.ones_like(mask))).all()


def test_turning_a_crop_changes_nothing_but_rounding() -> None:
    crop = textured_crop(1)
    turned = feature_vector(np.rot90(crop.hu), np.rot90(crop.mask))
    np.testing.assert_allclose(turned, feature_vector(crop.hu, crop.mask), rtol=1e-6)


def test_standardised_by_real_nodules() -> None:
    real = np.random.default_rng(0).normal(5, 3, (200, 2))
    real[:, 1] = 7
    found = standardised(real, real)
    np.testing.assert_allclose([found[:, 0].mean(), found[:, 0].std()], [0, 1], atol=1e-9)
    assert (standardised(real + 100, real)[:, 1] == 0).all()


def test_no_crops() -> None:
    assert texture_features([]).shape == (0, 20)
