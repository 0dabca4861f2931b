"""Masks from probabilities, and the largest piece of a mask."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_THRESHOLD = 0.5


def mask_of(probability: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(S, S) bool, where the (S, S) probability is at least a half."""
    return np.asarray(probability >= _THRESHOLD)


def largest_piece(mask: NDArray[np.bool_], connectivity: int = 8) -> NDArray[np.bool_]:
    """(H, W) bool, the largest piece of a mask.

    Args:
        mask: (H, W); an empty one stays empty, of equally large pieces the first is taken.
        connectivity: 8 where pixels of a piece touch by side or corner, 4 by side alone.
    """
    _, pieces, statistics, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=connectivity
    )
    areas = statistics[1:, cv2.CC_STAT_AREA]
    return np.asarray(pieces == 1 + np.argmax(areas)) if len(areas) else np.zeros_like(mask)
