"""Twenty numbers of a nodule: first-order, shape and co-occurrence features of a crop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import graycomatrix, graycoprops
from skimage.measure import regionprops

from lungaug.evaluation.realism.window import HIGH_HU, LOW_HU
from lungaug.imaging.crop import Crop

Values = NDArray[np.float64]

FIRST_ORDER = ("mean", "sd", "skewness", "kurtosis", "p10", "median", "p90", "entropy")
SHAPE = ("diameter_px", "eccentricity", "solidity", "extent", "circularity")
CO_OCCURRENCE = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation", "roughness")
FEATURES = (*FIRST_ORDER, *SHAPE, *CO_OCCURRENCE, "edge")

# 44 HU each: two to four times the noise of CT, so that texture is tissue and not scanner.
GREY_LEVELS = 32
_DIRECTIONS = tuple(np.pi / 4 * k for k in range(4))
_EDGE_PX = 2


def texture_features(crops: Sequence[Crop]) -> Values:
    """(N, 20) features of crops, in the order of ``FEATURES``; finite for any mask."""
    rows = [feature_vector(crop.hu, crop.mask) for crop in crops]
    return np.array(rows, np.float64).reshape(len(rows), len(FEATURES))


def feature_vector(hu: NDArray[np.int16], mask: NDArray[np.bool_]) -> Values:
    """(20,) features of one crop.

    Args:
        hu: (S, S), HU.
        mask: (S, S), the nodule; at least one pixel.

    References:
        Zwanenburg A et al., The Image Biomarker Standardization Initiative, Radiology 295:328,
        2020 (names and formulas of first-order, shape and co-occurrence features).
    """
    levels = _grey_levels(hu)
    return np.array(
        [
            *_first_order(hu[mask].astype(np.float64), levels[mask]),
            *_shape(mask),
            *_co_occurrence(levels, mask),
            _edge(hu, mask),
        ]
    )


def standardised(features: Values, reference: Values) -> Values:
    """(N, D) in SDs of the reference around its mean; features that do not vary there are 0.

    Args:
        features: (N, D).
        reference: (M, D), of real nodules: generated ones must not set their own yardstick.
    """
    sd = reference.std(axis=0)
    centre = reference.mean(axis=0)
    varies = sd > 1e-9 * np.maximum(1, np.abs(centre))
    shifted = features - centre
    return np.asarray(np.divide(shifted, sd, out=np.zeros(shifted.shape), where=varies))


def _grey_levels(hu: NDArray[np.int16]) -> NDArray[np.uint8]:
    share = (np.clip(hu, LOW_HU, HIGH_HU) - LOW_HU) / (HIGH_HU - LOW_HU)
    return np.minimum(share * GREY_LEVELS, GREY_LEVELS - 1).astype(np.uint8)


def _first_order(values: Values, levels: NDArray[np.uint8]) -> list[float]:
    mean, sd = values.mean(), values.std()
    scaled = (values - mean) / sd if sd > 0 else np.zeros_like(values)
    shares = np.bincount(levels, minlength=GREY_LEVELS) / len(levels)
    quantiles = np.quantile(values, [0.1, 0.5, 0.9])
    moments = [float(np.mean(scaled**3)), float(np.mean(scaled**4))]
    return [float(mean), float(sd), *moments, *map(float, quantiles), _entropy(shares)]


def _shape(mask: NDArray[np.bool_]) -> list[float]:
    box = np.pad(mask[_box(mask)], 1)
    (region,) = regionprops(box.astype(np.uint8))  # type: ignore[no-untyped-call]
    # A line of pixels has no hull to speak of, and scikit-image warns of it.
    line = min(np.ptp(region.coords, axis=0)) == 0
    solidity = 1.0 if line else float(region.solidity)
    perimeter = float(region.perimeter)
    circularity = min(4 * np.pi * region.area / perimeter**2, 2.0) if perimeter > 0 else 2.0
    return [
        float(region.equivalent_diameter_area),
        float(region.eccentricity),
        solidity,
        float(region.extent),
        float(circularity),
    ]


def _co_occurrence(levels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> list[float]:
    """Of neighbouring pixels that both lie in the mask, all directions together."""
    box = _box(mask)
    inside = np.where(mask[box], levels[box] + 1, 0).astype(np.uint8)
    counts = graycomatrix(  # type: ignore[no-untyped-call]
        inside, (1,), _DIRECTIONS, GREY_LEVELS + 1, symmetric=True
    )
    # Level 0 is what lies outside the mask.
    summed = counts[1:, 1:].sum(axis=3, keepdims=True).astype(np.float64)
    if not summed.any():
        summed[levels[mask][0], levels[mask][0]] = 1
    shares = summed / summed.sum()
    found = [
        graycoprops(shares, name)[0, 0]  # type: ignore[no-untyped-call]
        for name in CO_OCCURRENCE[:-1]
    ]
    return [*map(float, found), _entropy(shares)]


def _box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)


def _edge(hu: NDArray[np.int16], mask: NDArray[np.bool_]) -> float:
    """Mean HU of the mask's outermost pixels minus that of the pixels around it."""
    border = mask & ~ndimage.binary_erosion(mask)
    around = ndimage.binary_dilation(mask, iterations=_EDGE_PX) & ~mask
    if not around.any():
        return 0.0
    return float(hu[border].mean() - hu[around].mean())


def _entropy(shares: Values) -> float:
    """In bits."""
    p = shares[shares > 0]
    return float(-np.sum(p * np.log2(p))) + 0.0
