"""The published insertion, faults included: what the insertion of tissue is measured against.

A patch is resized to a quarter, third, half or the whole of 64 pixels, whatever a pixel is in mm.
By the time it is pasted it has become a mask, so that the nodule is 1 HU throughout. Nothing of it
is blended, and its type and class are lost.

References:
    The published listing, as described in the reference notes: mask test ``x <= mean(x) * x`` on
    x = (HU - 127.5) / 255 with 255 around the nodule. The mean of x is below 1, so that this is
    x <= 0, or at most 127.5 HU.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from lungaug.errors import InputError
from lungaug.insertion.placement import free_places
from lungaug.insertion.protocol import Host, Hu, Labels, Mask, Pair, Parameters, Patch, Refused

PASTED_HU = 1
_WHOLE_PX = 64
_LARGEST_DIVISOR = 4
_BACKGROUND_HU = 255
_MIDDLE_HU, _RANGE_HU = 127.5, 255
# Of an image of 512 rows, those from 350 on crash the published loop, which a bare except hides.
_LOST_FROM_ROW = 350 / 512


def draw(host: Host, patch: Patch, *, rng: np.random.Generator) -> Parameters | Refused:
    """A size and a place: any of those off the lung's border and vessels but the first.

    Returns:
        ``patch``, its row; ``side`` in pixels; ``place`` (row, column) of the patch's upper left
        corner; ``source``; ``donor`` and ``label``, empty, since no HU are taken from anywhere.
    """
    side = _WHOLE_PX // int(rng.integers(1, _LARGEST_DIVISOR, endpoint=True))
    shape = pasted_shape(patch, side)
    if not shape.any():
        return Refused("the published mask is empty")
    places = np.flatnonzero(free_places((host.lung == 1) & (host.nodule == 0), shape))
    if len(places) < 2:
        return Refused("no room in the lung, but for the place that the published draw leaves out")
    row, col = divmod(int(places[rng.integers(1, len(places))]), host.lung.shape[1])
    if row >= _LOST_FROM_ROW * host.lung.shape[0]:
        return Refused("the place lies in the rows at which the published search fails")
    return {
        "patch": patch.index,
        "side": side,
        "place": [row, col],
        "donor": "",
        "label": 0,
        "source": patch.source,
    }


def apply(hu: Hu, nodule: Labels, patch: Patch, parameters: Mapping[str, Any]) -> Pair:
    """The slice with 1 HU wherever the patch's mask lies, and a label there."""
    hu, nodule = hu.copy(), nodule.copy()
    shape = pasted_shape(patch, int(parameters["side"]))
    row, col = map(int, parameters["place"])
    box = np.s_[row : row + shape.shape[0], col : col + shape.shape[1]]
    if row < 0 or col < 0 or hu[box].shape != shape.shape:
        raise InputError(f"place {[row, col]}: beyond the slice")
    label = int(nodule.max()) + 1
    hu[box][shape], nodule[box][shape] = PASTED_HU, label
    return hu, nodule


def pasted_shape(patch: Patch, side: int) -> Mask:
    """(side, side) what the published code pastes of a patch."""
    x = (np.where(patch.mask, patch.hu, _BACKGROUND_HU) - _MIDDLE_HU) / _RANGE_HU
    resized = cv2.resize(x.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(resized <= 0, np.bool_)
