"""Boxes, matching, average precision and FROC, by hand; against the references in test_oracles."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from lungaug.evaluation.detection import (
    References,
    average_precision,
    box_iou,
    boxes_of,
    froc,
    froc_curve,
    match_boxes,
    match_centres,
    references_of,
)


def boxes(*rows: tuple[float, ...]) -> NDArray[np.float64]:
    return np.array(rows, np.float64).reshape(-1, 4)


def references(*rows: tuple[float, ...], labels: tuple[int, ...] = ()) -> References:
    return References(np.array(labels or range(1, len(rows) + 1), np.int64), boxes(*rows))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_boxes_are_those_of_components_best_first(dtype: type) -> None:
    probability = np.zeros((9, 8), dtype)
    probability[1:3, 2:5], probability[3, 5] = 0.25, 0.5  # joined at a corner
    probability[8, 7], probability[6, 0] = 0.75, 0.09375  # the second lies below the floor
    found, scores = boxes_of(probability, 0.1)
    assert found.tolist() == [[8, 7, 9, 8], [1, 2, 4, 6]]
    assert scores.tolist() == [0.75, 0.5]
    assert found.dtype == scores.dtype == np.float64


def test_the_floor_counts_and_equal_scores_go_from_the_top_left() -> None:
    probability = np.zeros((5, 5), np.float32)
    probability[[4, 0, 0], [1, 4, 0]] = 0.1
    probability[2, 2] = np.nextafter(np.float32(0.1), np.float32(0))
    found, scores = boxes_of(probability, 0.1)
    assert found[:, :2].tolist() == [[0, 0], [0, 4], [4, 1]]
    assert len(scores) == 3


def test_an_empty_map_has_no_boxes() -> None:
    found, scores = boxes_of(np.zeros((4, 6), np.float32), 0.1)
    assert found.shape == (0, 4)
    assert scores.shape == (0,)


def test_reference_boxes_hold_a_label_each() -> None:
    nodule = np.zeros((6, 7), np.uint8)
    nodule[1:3, 2:6], nodule[5, 0], nodule[5, 6] = 2, 4, 4
    found = references_of(nodule)
    assert found.labels.tolist() == [2, 4]
    assert found.boxes.tolist() == [[1, 2, 3, 6], [5, 0, 6, 7]]
    nothing = references_of(np.zeros((6, 7), np.uint8))
    assert nothing.labels.shape == (0,)
    assert nothing.boxes.shape == (0, 4)


def test_iou_by_hand() -> None:
    found = box_iou(boxes((0, 0, 2, 3), (5, 5, 6, 6)), boxes((1, 1, 3, 3), (2, 0, 4, 3)))
    assert found.tolist() == [[2 / 8, 0], [0, 0]]


def test_the_best_detection_chooses_first_and_a_lesion_is_found_once() -> None:
    lesion = references((0, 0, 4, 4), labels=(3,))
    found = match_boxes(
        boxes((0, 0, 4, 4), (0, 0, 4, 3), (9, 9, 10, 10)), np.array([0.5, 0.9, 0.95]), lesion
    )
    assert found.tolist() == [0, 3, 0]


def test_an_iou_of_one_half_is_a_match() -> None:
    lesion = references((0, 0, 4, 4))
    assert match_boxes(boxes((0, 0, 4, 2)), np.ones(1), lesion).tolist() == [1]
    assert match_boxes(boxes((0, 0, 4, 1.99)), np.ones(1), lesion).tolist() == [0]


def test_a_detection_takes_the_best_lesion_that_is_free() -> None:
    near = references((0, 0, 4, 4), (0, 0, 4, 5))
    detections = boxes((0, 0, 4, 5), (0, 0, 4, 5), (0, 0, 4, 5))
    assert match_boxes(detections, np.array([0.9, 0.8, 0.7]), near).tolist() == [2, 1, 0]


def test_of_equal_lesions_the_last_is_taken_and_none_twice() -> None:
    twins = references((0, 0, 4, 4), (0, 0, 4, 4), labels=(3, 7))
    detections = boxes((0, 0, 4, 4), (0, 0, 4, 4), (0, 0, 4, 4))
    scores = np.array([0.9, 0.8, 0.7])
    assert match_boxes(detections, scores, twins).tolist() == [7, 3, 0]
    assert match_boxes(detections, scores, twins, least_iou=0.0).tolist() == [7, 3, 0]


def test_centres_hit_miss_and_repeat() -> None:
    lesions = references((0, 0, 4, 4), (3, 3, 9, 9), labels=(1, 5))
    detections = boxes((2, 2, 5, 5), (1, 1, 3, 3), (1, 1, 2, 2), (20, 20, 22, 22), (8, 8, 10, 10))
    # The first lies in both boxes, nearer to lesion 1; the second's only lesion is then taken.
    found = match_centres(detections, np.array([0.9, 0.8, 0.7, 0.6, 0.5]), lesions)
    assert found.tolist() == [1, -1, -1, 0, 0]
    ranked = match_centres(detections, np.array([0.1, 0.2, 0.7, 0.6, 0.5]), lesions)
    assert ranked.tolist() == [5, -1, 1, 0, 0]


@pytest.mark.parametrize("match", [match_boxes, match_centres])
def test_nothing_found_and_nothing_there(match: Callable[..., NDArray[np.int64]]) -> None:
    one = boxes((0, 0, 2, 2))
    assert match(boxes(), np.zeros(0), references((0, 0, 2, 2))).shape == (0,)
    assert match(one, np.ones(1), references()).tolist() == [0]
    assert match(boxes(), np.zeros(0), references()).shape == (0,)


def test_average_precision_by_hand() -> None:
    # Precision 1, 1/2, 2/3 at recalls 1/4, 1/4, 1/2: 26 of 101 recalls have 1, 25 have 2/3.
    found = average_precision([0.9, 0.8, 0.7], [True, False, True], 4)
    assert found == pytest.approx((26 + 25 * 2 / 3) / 101)
    assert average_precision([0.7, 0.9, 0.8], [True, True, False], 4) == pytest.approx(found)


def test_average_precision_at_its_ends() -> None:
    assert average_precision([0.9, 0.8], [True, True], 2) == 1
    assert average_precision([0.9], [False], 2) == 0
    assert average_precision([], [], 2) == 0
    assert math.isnan(average_precision([0.9], [False], 0))


SCORES = [0.9, 0.8, 0.8, 0.7, 0.6, 0.5]
HITS = [1, 0, 2, -1, 0, 1]


def test_froc_points_by_hand() -> None:
    false, true = froc_curve(SCORES, HITS, n_reference=4, n_slices=2)
    # The two detections of score 0.8 come together; the repeat at 0.7 counts as nothing.
    assert false.tolist() == [0, 0, 0.5, 0.5, 1, 1]
    assert true.tolist() == [0, 0.25, 0.5, 0.5, 0.5, 0.75]


def test_froc_takes_the_best_point_that_is_affordable() -> None:
    found = froc(SCORES, HITS, 4, 2, rates=(1 / 8, 1 / 2, 0.99, 1, 8))
    assert found.tolist() == [0.25, 0.5, 0.5, 0.75, 0.75]


def test_the_order_of_detections_does_not_matter_to_froc() -> None:
    order = np.random.default_rng(0).permutation(len(SCORES))
    shuffled = froc_curve(np.array(SCORES)[order], np.array(HITS)[order], 4, 2)
    assert np.array_equal(shuffled, froc_curve(SCORES, HITS, 4, 2))


def test_froc_without_detections_or_lesions() -> None:
    assert froc([], [], 3, 2).tolist() == [0] * 7
    assert np.isnan(froc([0.9], [0], 0, 2)).all()
    with pytest.raises(ValueError, match="0 lesions on 2 slices"):
        froc_curve([0.9], [0], 0, 2)
