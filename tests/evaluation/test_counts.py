"""Counts and distances of one slice against hand-drawn masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from lungaug.evaluation.counts import (
    STORED,
    Counts,
    Distances,
    count,
    distances_mm,
    predicted_mask,
    stored_counts,
)


def hd95_mm(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], spacing: ArrayLike
) -> float:
    return distances_mm(prediction, reference, spacing).hd95_mm


def mask(text: str) -> NDArray[np.bool_]:
    return np.array([[c == "#" for c in line] for line in text.split()])


def test_pixels_and_components_by_hand() -> None:
    reference = mask("##... ##... ..... .....")
    predicted = mask(".##.. .##.. ....# ...#.")
    # One component overlaps; the two diagonal pixels are one false component (8-connected).
    found = count(predicted, reference)
    assert found == Counts(4, 6, 2, 1)
    assert found.false_positive_px == 4


def test_a_component_that_touches_a_nodule_anywhere_is_no_false_positive() -> None:
    reference = mask("#.... ..... .....")
    predicted = mask("##### ..... ##.##")
    assert count(predicted, reference).false_positive_components == 2


@pytest.mark.parametrize(
    ("predicted", "reference", "expected"),
    [
        ("..", "..", Counts(0, 0, 0, 0)),
        ("..", "##", Counts(2, 0, 0, 0)),
        ("##", "..", Counts(0, 2, 0, 1)),
    ],
)
def test_empty_masks(predicted: str, reference: str, expected: Counts) -> None:
    found = count(mask(predicted), mask(reference))
    assert found == expected
    assert found.empty_prediction is (expected.predicted_px == 0)
    assert found.false_positive_px == expected.predicted_px


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"accepted: \(2, 3\)"):
        count(np.zeros((3, 2), bool), np.zeros((2, 3), bool))


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12))
def test_counts_are_consistent(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    predicted, reference = rng.random((2, height, width)) < 0.4
    found, swapped = count(predicted, reference), count(reference, predicted)
    assert found.intersection_px <= min(found.predicted_px, found.reference_px)
    assert (found.reference_px, found.predicted_px) == (swapped.predicted_px, swapped.reference_px)
    assert found.false_positive_components <= found.predicted_px - found.intersection_px
    mirrored = count(predicted[:, ::-1], reference[:, ::-1])
    assert mirrored == found


# Stored with half precision, 0.1 is 0.09998 and 0.7 is 0.7002.
@pytest.mark.parametrize(("threshold", "reached"), [(0.1, False), (0.3, True), (0.7, True)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_threshold_is_not_rounded_as_stored_probabilities_are(
    threshold: float, reached: bool, dtype: type
) -> None:
    nearest = np.float16(threshold)
    stored = np.nextafter(nearest, np.float16([0, 0.5, 1])).astype(dtype)
    stored[1] = nearest
    assert predicted_mask(stored[None], threshold).tolist() == [[False, reached, True]]
    assert predicted_mask(stored[None], np.float64(threshold)).tolist() == [[False, reached, True]]


@pytest.mark.parametrize("threshold", [0.05, 0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_probability_as_computed_reaches_the_threshold_it_equals(threshold: float) -> None:
    computed = np.float32([[threshold, np.nextafter(np.float32(threshold), np.float32(0))]])
    assert predicted_mask(computed, threshold).tolist() == [[True, False]]


def square(row: int, column: int, side: int = 6) -> NDArray[np.bool_]:
    drawn = np.zeros((40, 30), bool)
    drawn[row : row + side, column : column + side] = True
    return drawn


@pytest.mark.parametrize("k", [1, 2, 3])
def test_hd95_of_two_squares_is_their_offset(k: int) -> None:
    """A side of 6 of the 20 outline pixels lies k pixels off: more than 5 %."""
    spacing = (0.5, 0.8)
    assert hd95_mm(square(9, 9), square(9 + k, 9), spacing) == pytest.approx(0.5 * k)
    assert hd95_mm(square(9, 9), square(9, 9 + k), spacing) == pytest.approx(0.8 * k)


def test_hd95_is_the_larger_direction_and_leaves_out_the_farthest() -> None:
    whole, part = mask("####################"), mask("##########..........")
    # Of 20 distances, ten 0 and then 1 to 10: the percentile lies at 0.95 * 19 = 18.05.
    assert hd95_mm(whole, part, (1, 2)) == pytest.approx(2 * 9.05)
    assert hd95_mm(part, whole, (1, 2)) == pytest.approx(2 * 9.05)


def test_hd95_looks_at_outlines_only() -> None:
    hollow = square(9, 9)
    hollow[11:13, 11:13] = False
    # The hole's outline is 1 pixel off the outer one: 8 of 28 pixels.
    assert hd95_mm(hollow, square(9, 9), (1, 1)) == pytest.approx(1)
    assert hd95_mm(square(9, 9), square(9, 9), (0.7, 0.7)) == 0
    assert hd95_mm(square(0, 0, 40), square(0, 0, 40), (0.7, 0.7)) == 0


def test_average_distance_weighs_both_outlines_by_their_length() -> None:
    whole, part = mask("####################"), mask("##########..........")
    # 20 pixels to the part: ten 0, then 1 to 10; the part's own 10 pixels: 0.
    for pair in ((whole, part), (part, whole)):
        assert distances_mm(*pair, (1, 2)).asd_mm == pytest.approx(2 * 55 / 30)
    assert distances_mm(whole, whole, (1, 2)) == Distances(0, 0)


@pytest.mark.parametrize("spacing", [(np.nan, 1), (1, np.inf), (0, 1), (1, -1)])
def test_distances_need_a_spacing(spacing: tuple[float, float]) -> None:
    found = distances_mm(square(9, 9), square(9, 9), spacing)
    assert np.isnan([found.hd95_mm, found.asd_mm]).all()


def test_distances_need_two_masks_of_one_shape() -> None:
    empty = np.zeros((40, 30), bool)
    for pair in ((empty, square(9, 9)), (square(9, 9), empty), (empty, empty)):
        found = distances_mm(*pair, (1, 1))
        assert np.isnan([found.hd95_mm, found.asd_mm]).all()
    with pytest.raises(ValueError, match=r"accepted: \(40, 30\)"):
        distances_mm(np.ones((30, 40), bool), empty, (1, 1))


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12))
def test_distances_agree_with_all_pairs(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    masks = rng.random((2, height + 4, width + 4)) < 0.3
    masks[:, rng.integers(height), rng.integers(width)] = True
    spacing = rng.uniform(0.3, 2, 2)
    points = []
    for drawn in masks:
        padded = np.pad(drawn, 1)
        sides = [np.roll(padded, step, axis) for step in (-1, 1) for axis in (0, 1)]
        inner = np.logical_and.reduce(sides)[1:-1, 1:-1]
        points.append(np.argwhere(drawn & ~inner) * spacing)
    distances = np.linalg.norm(points[0][:, None] - points[1][None], axis=2)
    nearest = [distances.min(axis=axis) for axis in (0, 1)]
    expected = max(np.percentile(d, 95) for d in nearest), np.concatenate(nearest).mean()
    found = distances_mm(masks[0], masks[1], spacing)
    assert (found.hd95_mm, found.asd_mm) == pytest.approx(expected, abs=1e-9)
    swapped = distances_mm(masks[1], masks[0], spacing)
    assert swapped.hd95_mm == found.hd95_mm
    assert swapped.asd_mm == pytest.approx(found.asd_mm)


def test_every_threshold_can_be_read_off_the_stored_counts() -> None:
    stored = np.random.default_rng(0).random((9, 9)).astype(np.float16)
    stored[0, :3] = -0.0, 1, 0.3
    counts = stored_counts(stored)
    assert counts.sum() == 81
    for threshold in (0.1, 0.3, 0.5, 1):
        reached = counts[np.float32(threshold) <= STORED.astype(np.float32)].sum()
        assert reached == predicted_mask(stored, threshold).sum()


@pytest.mark.parametrize("value", [np.nan, -0.5, 1.001, np.inf])
def test_what_is_no_probability_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="accepted: 0 to 1"):
        stored_counts(np.array([0.5, value], np.float16))
