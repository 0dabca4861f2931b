"""Lesions one by one, on hand-drawn slices."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lungaug.evaluation.counts import count
from lungaug.evaluation.lesions import Lesion, lesions_of


def labels(text: str) -> NDArray[np.uint8]:
    """Digits are labels, dots are background."""
    return np.array([[int(c.replace(".", "0")) for c in line] for line in text.split()], np.uint8)


def test_dice_is_of_the_components_that_touch_the_lesion() -> None:
    nodule = labels("11.... 11.... ...... ...222")
    predicted = labels(".11... .11... ...... 1.....") > 0
    first, second = lesions_of(predicted, nodule)
    # 2 of 4 pixels by a component of 4; the lone pixel at the bottom belongs to neither.
    assert first == Lesion(1, 4, 4, 2)
    assert (first.dice, first.iou) == (0.5, 2 / 6)
    assert second == Lesion(2, 3, 0, 0)
    assert (second.dice, second.iou) == (0, 0)
    assert first.is_hit()
    assert not second.is_hit()


def test_a_component_over_two_neighbours_is_right_about_both() -> None:
    nodule = labels("1122 1122 ....")
    one, two = lesions_of(nodule > 0, nodule)
    assert (one.dice, two.dice) == (1, 1)
    swollen = lesions_of(np.ones((3, 4), bool), nodule)
    assert [lesion.dice for lesion in swollen] == [2 * 4 / (4 + 8)] * 2


def test_neither_a_flood_nor_a_speck_finds_a_lesion() -> None:
    nodule = np.zeros((40, 40), np.uint8)
    nodule[10:15, 10:15] = 7
    speck = np.zeros((40, 40), bool)
    speck[14, 14:20] = True
    for predicted in (speck, np.ones((40, 40), bool)):
        (lesion,) = lesions_of(predicted, nodule)
        assert lesion.label == 7
        assert lesion.dice > 0
        assert not lesion.is_hit()


def test_the_limit_counts_as_found() -> None:
    lesion = Lesion(1, 10, 10, 5)
    assert lesion.is_hit(1 / 3)
    assert not lesion.is_hit(0.34)


def test_slices_without_a_lesion_or_a_prediction() -> None:
    empty = np.zeros((3, 3), np.uint8)
    assert lesions_of(np.ones((3, 3), bool), empty) == []
    assert lesions_of(empty > 0, empty + 2) == [Lesion(2, 9, 0, 0)]


def test_a_lone_lesion_has_the_dice_of_a_slice_without_other_components() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        nodule = np.zeros((12, 12), np.uint8)
        nodule[4:8, 4:8] = 1
        predicted = np.zeros((12, 12), bool)
        top, left = rng.integers(1, 8, 2)
        predicted[top : top + 4, left : left + 4] = True
        counts = count(predicted, nodule > 0)
        if not counts.false_positive_components:
            (lesion,) = lesions_of(predicted, nodule)
            dice = 2 * counts.intersection_px / (counts.reference_px + counts.predicted_px)
            assert lesion.dice == pytest.approx(dice)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"accepted: \(2, 3\)"):
        lesions_of(np.zeros((3, 2), bool), np.zeros((2, 3), np.uint8))
