"""A drawn chest whose lungs, trachea and masses are known to the pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Hu = NDArray[np.int16]
Mask = NDArray[np.bool_]

TISSUE, LUNG, AIR = 40, -860, -1000


def ellipse(shape: tuple[int, int], row: float, column: float, down: float, right: float) -> Mask:
    """(H, W) bool; centre and radii as fractions of the height and width."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    down_px, right_px = down * shape[0], right * shape[1]
    row_px, column_px = row * (shape[0] - 1), column * (shape[1] - 1)
    return ((rows - row_px) / down_px) ** 2 + ((columns - column_px) / right_px) ** 2 <= 1


def thorax(
    shape: tuple[int, int] = (160, 200),
    sides: tuple[float, ...] = (0.27, 0.73),
    trachea: bool = True,
    seed: int = 0,
) -> tuple[Hu, Mask]:
    """HU of a slice with body, spine, lungs with vessels and a trachea; and its lungs.

    Args:
        shape: (H, W).
        sides: column of each lung's centre, as a fraction of the width.
        trachea: whether there is one.
        seed: of the noise, SD 15 HU.
    """
    hu = np.full(shape, float(AIR))
    hu[ellipse(shape, 0.5, 0.5, 0.44, 0.48)] = TISSUE
    lungs = np.zeros(shape, np.bool_)
    for column in sides:
        lungs |= ellipse(shape, 0.5, column, 0.33, 0.17)
    hu[lungs] = LUNG
    for column in sides:
        hu[ellipse(shape, 0.45, column, 0.03, 0.05)] = TISSUE
    hu[ellipse(shape, 0.8, 0.5, 0.06, 0.05)] = 400
    if trachea:
        hu[ellipse(shape, 0.45, 0.5, 0.035, 0.03)] = AIR
    hu += np.random.default_rng(seed).normal(0, 15, shape)
    return np.maximum(np.rint(hu), -1024).astype(np.int16), lungs


def dice(one: Mask, other: Mask) -> float:
    return float(2 * np.count_nonzero(one & other) / max(int(one.sum() + other.sum()), 1))
