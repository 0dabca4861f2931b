"""Pseudo-patients: neighbours with the same class and body belong together."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from imaging.thorax import ellipse, thorax
from lungaug.sources.mendeley_patients import (
    FingerprintSettings,
    likeness,
    outline,
    pseudo_patients,
)

SHAPE = (120, 140)


def body(down: float, right: float, row: float = 0.5, seed: int = 0) -> NDArray[np.int16]:
    """A noisy body without lungs, radii as fractions of the image."""
    hu = np.where(ellipse(SHAPE, row, 0.5, down, right), 30.0, -1000.0)
    return np.asarray(hu + np.random.default_rng(seed).normal(0, 20, SHAPE), np.int16)


def series(down: float, right: float, n: int = 6) -> list[NDArray[np.int16]]:
    """Slices that grow by a hundredth each, as a chest does from the shoulders down."""
    return [body(down * 1.01**i, right * 1.01**i, seed=i) for i in range(n)]


PEOPLE = [(0.36, 0.42), (0.42, 0.46), (0.3, 0.46), (0.4, 0.36)]


def test_slices_of_one_person_stay_together_and_people_apart() -> None:
    outlines = [outline(hu) for size in PEOPLE for hu in series(*size)]
    assert pseudo_patients(["LR2"] * 24, outlines) == [i for i in range(4) for _ in range(6)]


def test_another_class_is_another_person() -> None:
    outlines = [outline(hu) for hu in series(*PEOPLE[0])]
    assert pseudo_patients(["LR2"] * 2 + ["LR3"] * 4, outlines) == [0, 0, 1, 1, 1, 1]


def test_drift_over_a_whole_series_is_followed() -> None:
    """The first and the last slice are unlike, neighbours are not."""
    outlines = [outline(hu) for hu in series(0.28, 0.3, 20)]
    assert likeness(outlines[0], outlines[-1]) < FingerprintSettings().least_dice
    assert set(pseudo_patients(["LR2"] * 20, outlines)) == {0}


def test_threshold_is_a_setting() -> None:
    outlines = [outline(hu) for size in PEOPLE for hu in series(*size)]
    lenient, strict = FingerprintSettings(least_dice=0.5), FingerprintSettings(least_dice=1.0)
    assert set(pseudo_patients(["LR2"] * 24, outlines, lenient)) == {0}
    assert pseudo_patients(["LR2"] * 24, outlines, strict) == list(range(24))


def test_what_lies_within_the_body_does_not_count() -> None:
    """Lungs open and close from slice to slice; the outline is the skin's."""
    hu, _ = thorax(SHAPE)
    filled = np.where(ellipse(SHAPE, 0.5, 0.5, 0.44, 0.48), 40, hu).astype(np.int16)
    assert likeness(outline(hu), outline(filled)) > 0.99


def test_the_couch_does_not_count_where_a_gap_parts_it() -> None:
    hu = body(0.36, 0.42)
    with_couch = hu.copy()
    with_couch[112:116, 20:120] = 100
    np.testing.assert_array_equal(outline(hu), outline(with_couch))


def test_place_in_the_image_counts() -> None:
    shifted = outline(body(0.36, 0.42, row=0.58))
    assert likeness(outline(body(0.36, 0.42)), shifted) < FingerprintSettings().least_dice


def test_empty_images_and_no_rows() -> None:
    empty = outline(np.full(SHAPE, -1000, np.int16))
    assert not empty.any()
    assert pseudo_patients(["LR2", "LR2"], [empty, empty]) == [0, 0]
    assert pseudo_patients([], []) == []


@pytest.mark.parametrize("size", [(64, 64), (96, 130)])
def test_likeness_is_symmetric_and_one_for_itself(size: tuple[int, int]) -> None:
    shapes = [outline(thorax(size, seed=i)[0]) for i in range(3)]
    for one, other in itertools.product(shapes, shapes):
        assert likeness(one, other) == likeness(other, one)
    assert all(likeness(one, one) == pytest.approx(1) for one in shapes)
