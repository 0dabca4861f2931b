"""Small helpers on nodule masks; all work inside the nodules' bounding box."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.metalung.protocol import Labels

Box = tuple[slice, slice]
Pixels = tuple[NDArray[np.intp], NDArray[np.intp]]  # rows and columns


def bounding_box(mask: NDArray[np.uint8]) -> Box | None:
    """The smallest (rows, columns) that hold every nonzero pixel of (H, W); None without any."""
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        return None
    return slice(top, top + height), slice(left, left + width)


def labels_of(nodule: Labels) -> list[int]:
    """The labels on a slice, ascending."""
    return list(nodules_in(nodule))


def nodules_in(nodule: Labels) -> dict[int, Pixels]:
    """The pixels of each nodule by label, labels ascending, pixels in reading order."""
    box = bounding_box(nodule)
    if box is None:
        return {}
    present = np.flatnonzero(np.bincount(nodule[box].ravel())).tolist()
    return {label: _pixels_in(nodule, box, label) for label in present if label}


def pixels_of(nodule: Labels, label: int) -> Pixels:
    """Rows and columns of one nodule's pixels, in reading order."""
    box = bounding_box(nodule)
    return _pixels_in(nodule, box or (slice(0, 0), slice(0, 0)), label)


def _pixels_in(nodule: Labels, box: Box, label: int) -> Pixels:
    rows, cols = np.nonzero(nodule[box] == label)
    return rows + box[0].start, cols + box[1].start


def shape_of(
    rows: NDArray[np.intp], cols: NDArray[np.intp]
) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    """Pixels as a tight mask (h, w) and the (row, col) of its top-left corner."""
    top, left = int(rows.min()), int(cols.min())
    shape = np.zeros((int(rows.max()) - top + 1, int(cols.max()) - left + 1), bool)
    shape[rows - top, cols - left] = True
    return shape, (top, left)
