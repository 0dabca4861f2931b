"""One prediction against its reference: the mask, pixels and components, and distances in mm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

# Pixels that touch at a corner belong together: a thin oblique nodule is one, not a chain.
CONNECTIVITY = 8
# Of the distances between two outlines: their maximum would be that of a single stray pixel.
PERCENTILE = 95
# Pixels that share a side: an outline pixel has a side in common with what is outside.
_SIDES = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_ONE = int(np.float16(1).view(np.uint16))
_MINUS_ZERO = int(np.float16(-0.0).view(np.uint16))
# Every probability that a slice file can hold, ascending: positive floats sort as their bits do.
STORED = np.arange(_ONE + 1, dtype=np.uint16).view(np.float16)


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

    @property
    def false_positive_px(self) -> int:
        """Predicted pixels outside the reference: on a healthy slice, all that is predicted."""
        return self.predicted_px - self.intersection_px


@dataclass(frozen=True)
class Distances:
    """How far the outlines of two masks lie apart, in mm; NaN where that is undefined."""

    hd95_mm: float = float("nan")
    asd_mm: float = float("nan")


def reaches(probability: NDArray[Any], threshold: ArrayLike) -> NDArray[np.bool_]:
    """Compare probabilities with a threshold: the one place where that is done.

    Probabilities are stored as float16. numpy would round a threshold alike and let a stored
    0.09998 pass 0.1, so both sides are float32, as the networks compute.

    Args:
        probability: 0 to 1, as stored or as a wider type.
        threshold: a probability counts from this value on.

    Returns:
        bool, of the shape of both.
    """
    return np.asarray(probability, np.float32) >= np.asarray(threshold, np.float32)


def predicted_mask(probability: NDArray[Any], threshold: float) -> NDArray[np.bool_]:
    """Mark where a probability map says nodule, compared as in :func:`reaches`.

    Args:
        probability: (H, W), 0 to 1, as stored or as a wider type.
        threshold: a pixel is nodule from this probability on.

    Returns:
        (H, W) bool.
    """
    return reaches(probability, threshold)


def stored_counts(probability: NDArray[np.float16]) -> NDArray[np.int64]:
    """How many pixels have each probability of ``STORED``: what all thresholds can be read off.

    Args:
        probability: of any shape, as stored.

    Returns:
        (len(STORED),) int64.

    Raises:
        ValueError: a probability is NaN or not within 0 to 1.
    """
    bits = np.ascontiguousarray(probability, np.float16).view(np.uint16).ravel()
    bits = np.where(bits == _MINUS_ZERO, np.uint16(0), bits)
    if bits.size and bits.max() > _ONE:
        found = bits[np.argmax(bits)].view(np.float16)
        raise ValueError(f"probability {found}; accepted: 0 to 1")
    return np.bincount(bits, minlength=len(STORED))


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


def components(prediction: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Connected components of a (H, W) mask, numbered from 1; 0 is background."""
    image: NDArray[Any] = np.ascontiguousarray(prediction, np.uint8)
    return np.asarray(cv2.connectedComponents(image, connectivity=CONNECTIVITY)[1])


def _components_outside(prediction: NDArray[np.bool_], hit: NDArray[np.bool_]) -> int:
    """Connected components of ``prediction`` without a pixel of ``hit``, both (H, W) bool."""
    if not prediction.any():
        return 0
    labels = components(prediction)
    return int(labels.max()) - len(np.unique(labels[hit]))


def distances_mm(
    prediction: NDArray[np.bool_], reference: NDArray[np.bool_], spacing_mm: ArrayLike
) -> Distances:
    """95 % Hausdorff distance and average surface distance of two masks in mm, both symmetric.

    For each outline pixel of one mask the distance to the nearest outline pixel of the other is
    taken. The Hausdorff distance is the larger of the two directions' 95th percentiles, as MONAI
    has it (medpy and others take one percentile of both directions' distances together, which is
    not larger); the average is over both directions' distances together, so that the longer outline
    weighs more, again as MONAI has it. An outline pixel has a side in common with the background
    or with the border of the image.

    Args:
        prediction: (H, W) bool.
        reference: (H, W) bool.
        spacing_mm: (2,) of rows and of columns.

    Returns:
        The distances; NaN where a mask is empty or a spacing is unknown or not positive.

    Raises:
        ValueError: the shapes differ.

    References:
        Huttenlocher DP, Klanderman GA, Rucklidge WJ, Comparing images using the Hausdorff distance,
        IEEE Trans Pattern Anal Mach Intell 15:850-863, 1993. Heimann T et al., Comparison and
        evaluation of methods for liver segmentation from CT datasets, IEEE Trans Med Imaging
        28:1251-1265, 2009 (average symmetric surface distance). MONAI, monai.metrics,
        compute_hausdorff_distance(percentile=95, directed=False) and
        compute_average_surface_distance(symmetric=True).
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape}; accepted: {reference.shape}")
    spacing = np.asarray(spacing_mm, np.float64)
    known = bool(np.isfinite(spacing).all() and (spacing > 0).all())
    if not (known and prediction.any() and reference.any()):
        return Distances()
    outlines = [_outline(mask) * spacing for mask in (prediction, reference)]
    there, back = (_to_nearest(*pair) for pair in (outlines, outlines[::-1]))
    percentiles = (float(np.percentile(d, PERCENTILE)) for d in (there, back))
    return Distances(max(percentiles), float(np.concatenate([there, back]).mean()))


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """(N, 2) rows and columns of the mask's outline pixels."""
    image: NDArray[Any] = np.ascontiguousarray(mask, np.uint8)
    inner = cv2.erode(image, _SIDES, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.argwhere(image > inner)


def _to_nearest(start: NDArray[np.float64], goal: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) mm from each point of ``start`` (N, 2) to the nearest one of ``goal`` (M, 2).

    A tree, since a distance transform of the whole slice is slower by far for small outlines.
    """
    return np.asarray(KDTree(goal).query(start)[0], np.float64)
