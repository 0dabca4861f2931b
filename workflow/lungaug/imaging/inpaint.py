"""Filling a hole with texture from elsewhere, on the density of its surroundings."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.imaging.hu import CEILING_HU, FLOOR_HU

Pixels = tuple[NDArray[np.intp], NDArray[np.intp]]

# Weight of the window's mean: decides only where nothing usable is within about three sigma.
_FAINT = 1e-3


def transferred_texture(
    hu: NDArray[np.int16],
    hole: Pixels,
    way: tuple[int, int],
    usable: NDArray[np.bool_],
    sigma_px: float = 2.0,
) -> NDArray[np.int16]:
    """HU for a hole: what deviates from the local mean elsewhere, on the local mean here.

    A copy alone has the right noise but the density of where it comes from; a smooth interpolation
    alone has the right density but no noise.

    Args:
        hu: (H, W), HU.
        hole: rows and columns to fill, (N,) each.
        way: rows and columns from a pixel of the hole to the one whose texture it takes.
        usable: (H, W), pixels whose HU count for local means; those of the hole do not.
        sigma_px: standard deviation of the Gaussian that makes local means, in pixels.

    Returns:
        (N,) int16, HU, whole numbers.
    """
    source = hole[0] + way[0], hole[1] + way[1]
    window = _around(hole, source, margin=int(np.ceil(3 * sigma_px)))
    top, left = window[0].start, window[1].start
    usable = usable[window].copy()
    usable[hole[0] - top, hole[1] - left] = False
    mean = _local_mean(hu[window], usable, sigma_px)
    here = mean[hole[0] - top, hole[1] - left]
    there = mean[source[0] - top, source[1] - left]
    filled = np.rint(hu[source] - there + here)
    return np.asarray(np.clip(filled, FLOOR_HU, CEILING_HU), np.int16)


def _around(hole: Pixels, source: Pixels, margin: int) -> tuple[slice, slice]:
    rows, cols = (
        slice(max(int(min(a.min(), b.min())) - margin, 0), int(max(a.max(), b.max())) + margin + 1)
        for a, b in zip(hole, source, strict=True)
    )
    return rows, cols


def _local_mean(
    hu: NDArray[np.int16], usable: NDArray[np.bool_], sigma_px: float
) -> NDArray[np.float64]:
    """Gaussian mean of the usable pixels around each pixel (normalised convolution)."""
    weights = usable.astype(np.float64)
    overall = cv2.mean(hu, usable.view(np.uint8))[0]
    deviations = np.where(usable, hu - overall, 0.0)
    smooth = cv2.GaussianBlur(deviations, (0, 0), sigma_px, borderType=cv2.BORDER_CONSTANT)
    total = cv2.GaussianBlur(weights, (0, 0), sigma_px, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(overall + smooth / (total + _FAINT), np.float64)
