"""Noise with a mean of zero, at the floor too, and the published kind."""

from __future__ import annotations

import numpy as np
import pytest

from lungaug.metalung.noise import NOISE_NODULE, NOISE_SLICE
from metalung.cases import chest

ZERO_MEAN = {"seed": 5, "intensity": 20, "distribution": "zero_mean"}
PUBLISHED = {**ZERO_MEAN, "distribution": "published"}
EMPTY = np.zeros((300, 400), np.uint8)


def field(hu_value=0, **parameters):
    hu = np.full((300, 400), hu_value, np.int16)
    noisy, _ = NOISE_SLICE.apply(hu, EMPTY, {**ZERO_MEAN, **parameters})
    return noisy.astype(int) - hu_value


def test_published_noise_has_its_published_statistics():
    noise = field(distribution="published")
    assert (noise.min(), noise.max()) == (0, 19)
    assert noise.mean() == pytest.approx(9.5, abs=0.05)
    assert noise.std() == pytest.approx(np.sqrt((20**2 - 1) / 12), abs=0.05)


@pytest.mark.parametrize("intensity", [20, 19, 3, 2, 1])
def test_zero_mean_noise_keeps_the_density_and_the_published_spread(intensity):
    noise = field(intensity=intensity)
    assert noise.mean() == pytest.approx(0, abs=0.02 * intensity)
    assert abs(noise).max() == intensity // 2
    assert noise.min() == -noise.max()
    variance = (intensity**2 + 2 - 3 * (intensity % 2)) / 12
    assert noise.var() == pytest.approx(variance, rel=0.03, abs=1e-9)


def test_every_value_between_the_ends_is_equally_likely():
    counts = np.bincount(field().ravel() + 10)
    assert len(counts) == 21
    assert counts[[0, -1]].sum() == pytest.approx(counts[1:-1].mean(), rel=0.05)
    assert counts[1:-1].std() < 0.03 * counts[1:-1].mean()


@pytest.mark.parametrize("parameters", [ZERO_MEAN, PUBLISHED])
def test_nothing_happens_at_intensity_zero(parameters):
    hu, nodule, _ = chest()
    noisy, labels = NOISE_SLICE.apply(hu, nodule, {**parameters, "intensity": 0})
    np.testing.assert_array_equal(noisy, hu)
    np.testing.assert_array_equal(labels, nodule)


def test_padding_stays_and_air_near_the_floor_does_not_become_denser():
    assert not field(-1024).any()
    noise = field(-1020)
    assert noise.min() == -4
    assert noise.mean() == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("parameters", [ZERO_MEAN, PUBLISHED])
def test_saturates_instead_of_wrapping(parameters):
    hu = np.array([[32767, 32760, -32768, -1024]] * 50, np.int16)
    noisy, _ = NOISE_SLICE.apply(hu, np.zeros_like(hu, np.uint8), parameters)
    assert noisy[:, :2].min() > 32700
    assert noisy[:, 2].max() < -32700


def test_neighbours_are_independent():
    noise = field() - field().mean()
    for shifted in (noise[:, 1:] * noise[:, :-1], noise[1:] * noise[:-1]):
        assert abs(shifted.mean()) < 0.02 * noise.var()


def test_noise_on_the_nodule_stays_on_the_nodules():
    hu, nodule, _ = chest(nodules=((50, 30, 5, 3), (60, 95, 3, 6)))
    noisy, labels = NOISE_NODULE.apply(hu, nodule, ZERO_MEAN)
    np.testing.assert_array_equal(labels, nodule)
    np.testing.assert_array_equal(noisy[nodule == 0], hu[nodule == 0])
    for label in (1, 2):
        assert np.mean(noisy[nodule == label] != hu[nodule == label]) > 0.8
    assert abs(noisy.astype(int) - hu).max() <= 10


@pytest.mark.parametrize(
    ("distribution", "intensity", "expected"),
    [
        ("published", 20, [15, 3, 2, 13, 5, 6, 17, 0, 17]),
        ("published", 3, [2, 0, 0, 2, 0, 0, 2, 0, 2]),
        ("zero_mean", 20, [6, -6, -8, 4, -5, -4, 8, -9, 7]),
        ("zero_mean", 3, [1, -1, -1, 1, -1, -1, 1, -1, 1]),
    ],
)
def test_a_seed_makes_the_same_noise_on_every_machine(distribution, intensity, expected):
    noise = field(distribution=distribution, intensity=intensity).ravel()
    assert noise[:9].tolist() == expected


def test_air_a_little_above_the_floor_is_held_and_denser_air_is_not():
    for hu, reach in ((-1024, 0), (-1021, 3), (-1015, 9), (-1014, 10), (-1013, 10)):
        noise = field(hu)
        assert (noise.min(), noise.max()) == (-reach, reach)
    mixed = np.tile(np.array([-1022, -900], np.int16), (300, 200))
    noisy = NOISE_SLICE.apply(mixed, EMPTY, ZERO_MEAN)[0].astype(int) - mixed
    assert (noisy[:, ::2].min(), noisy[:, ::2].max()) == (-2, 2)
    assert (noisy[:, 1::2].min(), noisy[:, 1::2].max()) == (-10, 10)


def test_published_noise_is_not_held_at_the_floor():
    noise = field(-1024, distribution="published")
    assert (noise.min(), noise.max()) == (0, 19)


def test_a_nodule_of_any_number_of_pixels_gets_noise():
    nodule = np.zeros((9, 11), np.uint8)
    nodule[2, 3:10] = 1
    noisy = NOISE_NODULE.apply(np.zeros((9, 11), np.int16), nodule, PUBLISHED)[0]
    np.testing.assert_array_equal(noisy[2, 3:10], field(distribution="published").ravel()[:7])
    assert np.count_nonzero(noisy[nodule == 0]) == 0


def test_seeds_differ():
    assert (field(seed=1) != field(seed=2)).mean() > 0.9


def test_no_part_of_a_large_slice_repeats_another():
    """Slices are made noisy block by block."""
    hu = np.zeros((700, 300), np.int16)
    noise = NOISE_SLICE.apply(hu, EMPTY, ZERO_MEAN)[0].ravel().astype(float)
    assert abs(noise.mean()) < 0.05
    spectrum = np.abs(np.fft.rfft(noise)) ** 2
    correlation = np.fft.irfft(spectrum)[1 : len(noise) // 2] / (noise**2).sum()
    assert np.abs(correlation).max() < 0.02
