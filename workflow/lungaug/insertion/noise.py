"""The host's noise, and how much of it a patch lacks."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.insertion.protocol import Mask

Image = NDArray[np.float32]

# Noise and fine texture are finer than this, vessels and lobules coarser.
_SIGMA_PX = 1.5
_REACH_PX = math.ceil(4 * _SIGMA_PX)
_FAINT = np.float32(1e-6)
_DIFFERENCE = np.outer([1, -2, 1], [1, -2, 1]).astype(np.float32)
_MEDIAN_OF_NORMAL = 0.6745  # of its absolute value, in SD


def local_mean(values: NDArray[Any], usable: Mask) -> Image:
    """(h, w) Gaussian mean of the usable pixels around each pixel.

    Args:
        values: (h, w), HU.
        usable: (h, w), pixels that count. Where none is in reach the mean is 0.
    """
    size = (2 * _REACH_PX + 1, 2 * _REACH_PX + 1)
    summed, total = (
        cv2.GaussianBlur(each.astype(np.float32), size, _SIGMA_PX, borderType=cv2.BORDER_CONSTANT)
        for each in (np.where(usable, values, 0), usable)
    )
    return np.asarray(summed / np.maximum(total, _FAINT), np.float32)


def noise_sd(hu: NDArray[Any], where: Mask) -> float:
    """SD in HU of the noise of some pixels, blind to anything as smooth as a parabola.

    Structure would count as noise in a residual: the edge of a nodule is steeper than any noise.
    Correlated noise comes out too low, of patch and host alike.

    Args:
        hu: (h, w), HU.
        where: (h, w), the pixels; at least one.

    References:
        Immerkaer, Fast noise variance estimation, 1996: its mask, but the median of deviations.
    """
    response = cv2.filter2D(hu.astype(np.float32), -1, _DIFFERENCE, borderType=cv2.BORDER_REFLECT)
    return float(np.median(np.abs(response[where]))) / (6 * _MEDIAN_OF_NORMAL)


def missing_noise(own_sd: float, host_sd: float) -> float:
    """The factor on the host's residual that brings a patch's noise up to the host's, 0 to 1.

    Variances of independent noise add up: own² + factor² host² = host².
    """
    if own_sd >= host_sd:
        return 0.0
    return math.sqrt(1 - (own_sd / host_sd) ** 2)
