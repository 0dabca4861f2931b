"""One prediction against its reference: the mask, pixels and components, and distance in mm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

# Pixels that touch at a corner belong together: a thin oblique nodule is one, not a chain.
CONNECTIVITY = 8
# Of the distances between two outlines: their maximum would be that of a single stray pixel.
PERCENTILE = 95


@dataclass(frozen=True)
class Counts:
    """What a prediction and a reference mask of one slice have in common, in pixels."""

    reference_px: int
    predicted_px: int
    intersection_px: int
    false_positive_components: int  # predicted components that touch no reference pixel

    @property
    def empty_prediction(self) -> bool:
        return self.predicted_px == 0


def predicted_mask(probability: NDArray[Any], threshold: float) -> NDArray[np.bool_]:
    """Where a probability map says nodule: the one place where a threshold is applied.

    Probabilities are stored as float16. The threshold is rounded alike, or a stored 0.1 would lie
    below a threshold of 0.1.

    Args:
        probability: (H, W), 0 to 1, as stored or as a wider type.
        threshold: a pixel is nodule from this probability on.

    Returns:
        (H, W) bool.
    """
    return np.asarray(probability >= np.float16(threshold))


def count(prediction: NDArray[np.bool_], reference: NDArray[np.bool_]) -> Counts:
    """Count a prediction against its reference.

    Args:
        prediction: (H, W) bool.
        reference: (H, W) bool.

    Raises:
        ValueError: the shapes differ.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape}; accepted: {reference.shape}")
    hit = prediction & reference
    return Counts(
        reference_px=int(np.count_nonzero(reference)),
        predicted_px=int(np.count_nonzero(prediction)),
        intersection_px=int(np.count_nonzero(hit)),
        false_positive_components=_components_outside(prediction, hit),
    )


def _components_outside(prediction: NDArray[np.bool_], hit: NDArray[np.bool_]) -> int:
    """Connected components of ``prediction`` without a pixel of ``hit``, both (H, W) bool."""
    if not prediction.any():
        return 0
    image: NDArray[Any] = np.ascontiguousarray(prediction, np.uint8)
    n_labels, labels = cv2.connectedComponents(image, connectivity=CONNECTIVITY)
    return int(n_labels - 1 - len(np.unique(labels[hit])))


def hd95_mm(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], spacing_mm: ArrayLike
) -> float:
    """95 % Hausdorff distance of two masks in mm, symmetric.

    For each outline pixel of one mask the distance to the nearest outline pixel of the other is
    taken; the result is the larger of the two directions' 95th percentiles, as MONAI has it (medpy
    and others take one percentile of both directions' distances together, which is not larger). An
    outline pixel has a side in common with the background or with the border of the image.

    Args:
        prediction: (H, W) bool.
        reference: (H, W) bool.
        spacing_mm: (2,) of rows and of columns.

    Returns:
        The distance; NaN where a mask is empty or a spacing is unknown or not positive.

    Raises:
        ValueError: the shapes differ.

    References:
        Huttenlocher DP, Klanderman GA, Rucklidge WJ, Comparing images using the Hausdorff distance,
        IEEE Trans Pattern Anal Mach Intell 15:850-863, 1993. MONAI, monai.metrics,
        compute_hausdorff_distance(percentile=95, directed=False).
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape}; accepted: {reference.shape}")
    spacing = np.asarray(spacing_mm, np.float64)
    known = bool(np.isfinite(spacing).all() and (spacing > 0).all())
    if not (known and prediction.any() and reference.any()):
        return float("nan")
    box = _box(prediction | reference)
    outlines = _outline(prediction[box]), _outline(reference[box])
    directed = (_to_nearest(*pair, spacing) for pair in (outlines, outlines[::-1]))
    return max(float(np.percentile(distances, PERCENTILE)) for distances in directed)


def _box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The rows and columns that hold all of a mask that is not empty."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(mask & ~ndimage.binary_erosion(mask))


def _to_nearest(
    start: NDArray[np.bool_], goal: NDArray[np.bool_], spacing_mm: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(N,) mm from each pixel of ``start`` to the nearest one of ``goal``, both (H, W) bool."""
    distances = ndimage.distance_transform_edt(~goal, sampling=spacing_mm)
    return np.asarray(distances[start], np.float64)
