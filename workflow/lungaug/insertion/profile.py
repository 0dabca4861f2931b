"""How far a nodule's HU fall towards its border: there a real one is part lung."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.insertion.protocol import Mask

DEEPEST_PX = 4
_BORDER_PX = 2  # how far a seam reaches in


def depth_of(mask: Mask) -> NDArray[np.intp]:
    """(h, w) whole pixels from the mask's border inwards, 1 to ``DEEPEST_PX``; 0 outside."""
    padded = np.pad(mask, 1).view(np.uint8)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    return np.minimum(np.rint(depth), DEEPEST_PX).astype(np.intp)


def fall_of(hu: NDArray[Any], mask: Mask, counted: Mask | None = None) -> list[int]:
    """How far below the core a nodule is at a depth of 1, 2, … pixels, HU; never rising inwards.

    Args:
        hu: (h, w), HU.
        mask: (h, w), the nodule; at least one pixel.
        counted: (h, w), its pixels that count; None for all. A depth of which none does falls as
            far as the next one inwards.

    Returns:
        A fall for each depth but the deepest, at least 0; () for a nodule all border.
    """
    depth = depth_of(mask)
    among = mask if counted is None else mask & counted
    deepest = int(depth.max())
    core = _mean(hu[among & (depth == deepest)], _mean(hu[depth == deepest], 0.0))
    falls = [0.0]
    for d in range(deepest - 1, 0, -1):
        falls.append(max(core - _mean(hu[among & (depth == d)], core), falls[-1]))
    return [round(fall) for fall in falls[:0:-1]]


def lowered(hu: NDArray[np.float32], mask: Mask, fall: Sequence[int]) -> NDArray[np.float32]:
    """The patch, its HU lowered towards the border where they fall less than a real nodule's.

    It decides ranks only: without it the values that a real nodule has at its border would lie
    anywhere in a patch that has no such border. The border is nowhere denser than the middle of
    the core either: a patch that lay on the pleura has a seam of chest wall, and in the host
    nothing but lung is around it.

    Args:
        hu: (h, w), HU of the patch.
        mask: (h, w), the nodule.
        fall: the real nodule's, from the border inwards; empty changes nothing.
    """
    if not fall:
        return hu
    depth = depth_of(mask)
    deepest = int(depth.max())
    core = np.median(hu[depth == deepest])
    capped = np.where(depth <= min(_BORDER_PX, deepest - 1), np.minimum(hu, core), hu)
    lacking = np.zeros(DEEPEST_PX + 1, np.float32)
    for d, (own, wanted) in enumerate(zip(fall_of(capped, mask), fall, strict=False), start=1):
        lacking[d] = max(wanted - own, 0)
    return np.asarray(capped - lacking[depth], np.float32)


def _mean(values: NDArray[Any], otherwise: float) -> float:
    return float(np.mean(values)) if len(values) else otherwise
