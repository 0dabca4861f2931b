"""Stored CT values to Hounsfield units."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lungaug.errors import InputError

AIR_HU = -1000
FLOOR_HU = -1024
CEILING_HU = int(np.iinfo(np.int16).max)


def to_hu(
    stored: NDArray[np.number],
    slope: float,
    intercept: float,
    padding: tuple[int, int] | None = None,
) -> NDArray[np.int16]:
    """HU of one slice, rounded to integers, padding and everything below -1024 at -1024.

    Scanners pad the corners of a reconstruction circle with -2000 or -3024, which no tissue has;
    left as it is, it decides every minimum and mean computed later.

    Args:
        stored: (H, W), pixel values as stored in the file.
        slope: HU per stored unit (RescaleSlope).
        intercept: HU of a stored zero (RescaleIntercept).
        padding: stored values that are padding, first and last, in either order.

    Returns:
        (H, W) int16, HU, -1024 to 32767.

    Raises:
        InputError: the slice is not 2-D, or slope or intercept are not usable numbers.
    """
    if stored.ndim != 2:
        raise InputError(f"pixels of shape {stored.shape}; accepted: (H, W)")
    if not (math.isfinite(slope) and math.isfinite(intercept)) or slope == 0:
        raise InputError(f"slope {slope}, intercept {intercept}; accepted: finite, slope not 0")
    hu = np.rint(stored.astype(np.float64) * slope + intercept)
    np.clip(hu, FLOOR_HU, CEILING_HU, out=hu)
    if padding is not None:
        first, last = sorted(padding)
        hu[(stored >= first) & (stored <= last)] = FLOOR_HU
    return hu.astype(np.int16)
