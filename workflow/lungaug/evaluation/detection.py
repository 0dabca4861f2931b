"""Boxes of lesions: found in maps, matched with reference boxes, and scored by AP and FROC.

A box is (top, left, bottom, right) in px, the last two excluded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from lungaug.evaluation.counts import CONNECTIVITY, predicted_mask

MATCH_IOU = 0.5
# As pycocotools makes them: recalls are compared with these very numbers.
RECALLS = np.linspace(0, 1, 101)
FROC_RATES = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)

Boxes = NDArray[np.float64]
Scores = NDArray[np.float64]


def boxes_of(probability: NDArray[Any], floor: float) -> tuple[Boxes, Scores]:
    """Boxes and scores of what a probability map shows, best first: its connected components.

    Args:
        probability: (H, W), 0 to 1. Of full precision: where sigmoids saturate, float16 has many
            equal scores, and the order of equal ones is arbitrary.
        floor: a pixel belongs to a component from this probability on.

    Returns:
        Boxes (K, 4), float px; and scores (K,), the highest probability of each component.
    """
    mask = predicted_mask(probability, floor)
    n_labels, labels, stats, _ = cv2.connectedComponentsWithStats(
        np.ascontiguousarray(mask, np.uint8), connectivity=CONNECTIVITY
    )
    scores = np.zeros(n_labels)
    np.maximum.at(scores, labels[mask].astype(np.intp), np.asarray(probability, np.float64)[mask])
    left, top, width, height = stats[1:, :4].astype(np.float64).T
    boxes = np.stack([top, left, top + height, left + width], axis=1)
    order = np.lexsort((left, top, -scores[1:]))
    return boxes[order], scores[1:][order]


class References(NamedTuple):
    """The reference lesions of one slice."""

    labels: NDArray[np.int64]  # (R,)
    boxes: Boxes  # (R, 4)


def references_of(nodule: NDArray[np.uint8]) -> References:
    """The boxes of a slice's lesions.

    Args:
        nodule: (H, W) labels, 0 background, k the k-th nodule.
    """
    found = {k: box for k, box in enumerate(ndimage.find_objects(nodule), start=1) if box}
    boxes = [(y.start, x.start, y.stop, x.stop) for y, x in found.values()]
    return References(np.array(list(found), np.int64), np.array(boxes, float).reshape(-1, 4))


def box_iou(boxes: Boxes, others: Boxes) -> NDArray[np.float64]:
    """(K, R) intersection over union of boxes (K, 4) and (R, 4), all of positive size."""
    top_left = np.maximum(boxes[:, None, :2], others[None, :, :2])
    bottom_right = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    both = np.clip(bottom_right - top_left, 0, None).prod(axis=2)
    return np.asarray(both / (_areas(boxes)[:, None] + _areas(others)[None] - both))


def match_boxes(
    boxes: Boxes, scores: Scores, references: References, least_iou: float = MATCH_IOU
) -> NDArray[np.int64]:
    """Which lesion each detection of one slice gets, as COCO has it.

    The best detection chooses first: of the lesions not yet taken, the one with the highest IoU, of
    equal ones the last. (COCO looks at the 100 best detections of an image only; here all count.)

    Args:
        boxes: (K, 4).
        scores: (K,); of equal ones the first chooses first.
        references: the slice's lesions.
        least_iou: from which a box is a match.

    Returns:
        (K,) label of the lesion; 0 for a false positive.

    References:
        Lin T-Y et al., Microsoft COCO: common objects in context, ECCV 2014; pycocotools,
        COCOeval.evaluateImg.
    """
    overlap = box_iou(boxes, references.boxes)
    found = np.zeros(len(boxes), np.int64)
    for k in np.argsort(-scores, kind="stable").tolist():
        if overlap.shape[1] and overlap[k].max() >= least_iou:
            best = np.flatnonzero(overlap[k] == overlap[k].max())[-1]
            found[k] = references.labels[best]
            overlap[:, best] = -1
    return found


def match_centres(boxes: Boxes, scores: Scores, references: References) -> NDArray[np.int64]:
    """Which lesion's box holds the centre of each detection of one slice, for FROC.

    The best detection chooses first: of the lesions around its centre not yet found, the one whose
    own centre is nearest.

    Args:
        boxes: (K, 4).
        scores: (K,); of equal ones the first chooses first.
        references: the slice's lesions.

    Returns:
        (K,) label of the lesion; 0 for a false positive; -1 where all lesions around the centre are
        found already, which is neither right nor wrong.

    References:
        van Ginneken B et al., Comparing and combining algorithms for computer-aided detection of
        pulmonary nodules, Med Image Anal 14:707-722, 2010; and LUNA16's evaluation.
    """
    centre, middle = _centres(boxes)[:, None], _centres(references.boxes)[None]
    low, high = references.boxes[:, :2], references.boxes[:, 2:]
    outside = np.logical_or(centre < low, centre >= high).any(axis=2)
    distance = np.where(outside, np.inf, np.linalg.norm(centre - middle, axis=2))
    found = np.where(np.isfinite(distance).any(axis=1), -1, 0)
    for k in np.argsort(-scores, kind="stable").tolist():
        if np.isfinite(distance[k]).any():
            best = int(distance[k].argmin())
            found[k] = references.labels[best]
            distance[:, best] = np.inf
    return found


def average_precision(scores: ArrayLike, matched: ArrayLike, n_reference: int) -> float:
    """Average precision of the detections of a set of slices, interpolated at COCO's 101 recalls.

    Args:
        scores: (K,), slice by slice; equal ones count in the order in which they come.
        matched: (K,) bool, from :func:`match_boxes`; those of slices without a lesion are False.
        n_reference: lesions of all the slices, also of those without a detection.

    Returns:
        Between 0 and 1; NaN without a lesion.

    References:
        pycocotools, COCOeval.accumulate.
    """
    if n_reference == 0:
        return float("nan")
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    true = np.cumsum(np.asarray(matched, bool)[order])
    precision = true / np.arange(1, len(true) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    reached = np.searchsorted(true / n_reference, RECALLS, side="left")
    return float(np.append(envelope, np.zeros(1))[reached].mean())


def froc_curve(
    scores: ArrayLike, hits: ArrayLike, n_reference: int, n_slices: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Free-response operating points: false positives a slice, and sensitivity, both ascending.

    A point for every score that occurs, where all detections from that score on count; before them
    (0, 0), where none does. Further detections of a lesion count as nothing.

    Args:
        scores: (K,).
        hits: (K,) ints, from :func:`match_centres`.
        n_reference: lesions of all the slices, above 0.
        n_slices: how many slices, those without a detection or a lesion included, above 0.

    Raises:
        ValueError: there is no lesion or no slice.

    References:
        Chakraborty DP, Maximum likelihood analysis of free-response receiver operating
        characteristic (FROC) data, Med Phys 16:561-568, 1989.
    """
    if n_reference < 1 or n_slices < 1:
        raise ValueError(f"{n_reference} lesions on {n_slices} slices; accepted: at least 1 on 1")
    score, hit = np.asarray(scores, np.float64), np.asarray(hits)
    order = np.argsort(-score, kind="stable")
    score, hit = score[order], hit[order]
    last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)[: len(score)]
    false = np.cumsum(hit == 0)[last] / n_slices
    true = np.cumsum(hit > 0)[last] / n_reference
    return np.append(0.0, false), np.append(0.0, true)


def froc(
    scores: ArrayLike,
    hits: ArrayLike,
    n_reference: int,
    n_slices: int,
    rates: Sequence[float] = FROC_RATES,
) -> NDArray[np.float64]:
    """Sensitivity at numbers of false positives a slice: the highest that needs no more of them.

    It is not interpolated: between two operating points there is no threshold.

    Args:
        scores, hits, n_reference, n_slices: as in :func:`froc_curve`.
        rates: (F,) false positives a slice.

    Returns:
        (F,) between 0 and 1; NaN without a lesion.
    """
    if n_reference == 0 or n_slices == 0:
        return np.full(len(rates), np.nan)
    false, true = froc_curve(scores, hits, n_reference, n_slices)
    return np.asarray(true[np.searchsorted(false, np.asarray(rates), side="right") - 1])


def _areas(boxes: Boxes) -> NDArray[np.float64]:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))


def _centres(boxes: Boxes) -> NDArray[np.float64]:
    return np.asarray((boxes[:, :2] + boxes[:, 2:]) / 2)
