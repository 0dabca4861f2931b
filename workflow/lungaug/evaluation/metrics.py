"""Overlap scores from counts, in two conventions.

``reference``: the published formulas, each with its epsilon. An empty prediction on a nodule has
Dice 0 but precision 1; where both masks are empty, Dice is 0 and IoU, precision and recall are 1.
``standard``: what is undefined stays NaN (precision of an empty prediction, recall without a
nodule); where both masks are empty, Dice and IoU are 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONVENTIONS = ("reference", "standard")
OVERLAPS = ("dice", "iou", "precision", "recall")

# G of the published evaluation: 2I/(G+P+e), (I+e)/(G+P-I+e), (I+e)/(P+e), (I+e)/(G+e).
REFERENCE_EPSILON = 1e-8

Scores = dict[str, NDArray[np.float64]]


def overlap_scores(
    convention: str, reference_px: ArrayLike, predicted_px: ArrayLike, intersection_px: ArrayLike
) -> Scores:
    """Dice, IoU, precision and recall.

    Args:
        convention: ``reference`` or ``standard``.
        reference_px: (N,) pixels of the reference masks.
        predicted_px: (N,) pixels of the predictions.
        intersection_px: (N,) pixels of both.

    Returns:
        (N,) float64 for every name of ``OVERLAPS``.

    Raises:
        ValueError: another convention.
    """
    if convention not in CONVENTIONS:
        raise ValueError(f"convention '{convention}'; accepted: {', '.join(CONVENTIONS)}")
    counts = (np.asarray(c, np.float64) for c in (reference_px, predicted_px, intersection_px))
    return _reference(*counts) if convention == "reference" else _standard(*counts)


def _reference(
    reference: NDArray[np.float64], predicted: NDArray[np.float64], both: NDArray[np.float64]
) -> Scores:
    epsilon = REFERENCE_EPSILON
    return {
        "dice": 2 * both / (reference + predicted + epsilon),
        "iou": (both + epsilon) / (reference + predicted - both + epsilon),
        "precision": (both + epsilon) / (predicted + epsilon),
        "recall": (both + epsilon) / (reference + epsilon),
    }


def _standard(
    reference: NDArray[np.float64], predicted: NDArray[np.float64], both: NDArray[np.float64]
) -> Scores:
    return {
        "dice": _ratio(2 * both, reference + predicted, undefined=1.0),
        "iou": _ratio(both, reference + predicted - both, undefined=1.0),
        "precision": _ratio(both, predicted, undefined=np.nan),
        "recall": _ratio(both, reference, undefined=np.nan),
    }


def _ratio(
    top: NDArray[np.float64], bottom: NDArray[np.float64], undefined: float
) -> NDArray[np.float64]:
    ratio = np.full(np.shape(bottom), undefined)
    np.divide(top, bottom, out=ratio, where=bottom > 0)
    return ratio
