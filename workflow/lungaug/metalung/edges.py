"""The blurred edge of a nodule: the pixels around its mask that the scanner made of both sides.

A nodule that moves without them leaves its outline behind. Which of them move is decided with the
lungs at hand, where the parameters are drawn, and recorded bit by bit, so that a result can be made
again from its source and its record alone.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.metalung.protocol import Hu, Labels
from lungaug.metalung.regions import Pixels

# More would not fit into the record of a slice, and belongs to no nodule.
MAXIMUM_BITS = 3000


def widened(mask: NDArray[np.bool_], by_px: int) -> NDArray[np.bool_]:
    """(H, W) with every True pixel grown to a disc of that radius."""
    return cv2.dilate(mask.view(np.uint8), _disc(by_px)).view(np.bool_)


@functools.cache
def _disc(radius_px: int) -> NDArray[np.uint8]:
    size = (2 * radius_px + 1, 2 * radius_px + 1)
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, size), np.uint8)


def rim_of(nodule: Labels, core: Pixels, width_px: int) -> Pixels:
    """Rows and columns, in reading order, of unlabelled pixels up to a distance from a nodule's."""
    top, left = (max(int(along.min()) - width_px, 0) for along in core)
    bottom, right = (int(along.max()) + width_px + 1 for along in core)
    around = nodule[top:bottom, left:right]
    own = np.zeros(around.shape, bool)
    own[core[0] - top, core[1] - left] = True
    rows, cols = np.nonzero(widened(own, width_px) & (around == 0))
    return rows + top, cols + left


def edge_in(hu: Hu, lung: Labels, core: Pixels, rim: Pixels) -> NDArray[np.bool_]:
    """Which pixels of the rim are the nodule's blurred edge.

    Those in the lungs and less dense than all but the faintest quarter of the nodule: a mixture of
    nodule and parenchyma is, the wall or a vessel that the nodule touches mostly is not.
    """
    if len(rim[0]) > MAXIMUM_BITS:
        return np.zeros(len(rim[0]), bool)
    return np.asarray((lung[rim] != 0) & (hu[rim] < _first_quartile(hu[core])), np.bool_)


def _first_quartile(values: Hu) -> float:
    """As ``np.percentile(values, 25)``, which is slow for short arrays."""
    below, part = divmod(len(values) - 1, 4)
    pair = np.sort(values)[below : below + 2]
    return float(pair[0] + part / 4 * (int(pair[-1]) - int(pair[0])))


def joined(first: Pixels, second: Pixels, chosen: NDArray[np.bool_]) -> Pixels:
    """The first pixels, then the chosen ones of the second."""
    return (
        np.concatenate([first[0], second[0][chosen]]),
        np.concatenate([first[1], second[1][chosen]]),
    )


def packed(bits: NDArray[np.bool_]) -> str:
    """Bits as hexadecimal text, eight to two digits."""
    return np.packbits(bits).tobytes().hex()


def unpacked(text: str, n: int) -> NDArray[np.bool_]:
    """The inverse of :func:`packed` for ``n`` bits."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8), count=n).view(np.bool_)
