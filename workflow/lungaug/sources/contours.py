"""Contours of LIDC readers: what they enclose, and whether they can lie on their images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.errors import InputError
from lungaug.sources.lidc import Annotations, Contour, NonNodule

_LARGEST = 4096  # rows or columns of a slice, where none is at hand
_MAXIMUM_PIXELS = 1 << 25  # in boxes around contours: 300 slices of 100 mm for each of four readers


def check_contours(
    annotations: Annotations,
    uid_of: Callable[[Contour], str | None],
    shapes: Mapping[str, tuple[int, int]],
) -> None:
    """Raise InputError if a contour leaves its image: a part of the nodule would be lost.

    Outlines run outside of the nodule, so that one at the image's edge may lie a pixel off it. A
    slice that is not at hand is taken to have the size of the largest that is.

    Args:
        annotations: of one series.
        uid_of: the slice at hand that a contour lies on, None if there is none.
        shapes: slice UID to (rows, columns).
    """
    largest = tuple(max(sides) for sides in zip(*shapes.values(), strict=True))
    n_pixels = 0
    for contour in _contours(annotations):
        uid = uid_of(contour)
        shape = shapes[uid] if uid is not None else largest or (_LARGEST, _LARGEST)
        last = contour.points.max(axis=0)
        if last[1] > shape[0] or last[0] > shape[1]:
            raise InputError("a contour lies outside of its image; is it of another series?")
        n_pixels += int(np.prod(last - contour.points.min(axis=0) + 1))
    if n_pixels > _MAXIMUM_PIXELS:
        raise InputError("contours around more pixels than any nodules have")


def _contours(annotations: Annotations) -> Iterator[Contour]:
    for reading in annotations.readings:
        for nodule in reading.nodules:
            yield from nodule.contours
        yield from map(point_of, reading.non_nodules)


def point_of(mark: NonNodule) -> Contour:
    return Contour(mark.sop_uid, mark.z_mm, True, np.array([mark.locus], np.int32))


def outlined_pixels(contour: Contour) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the pixels that a contour includes, or, for a hole, excludes.

    The outline runs through the first pixels outside the nodule: an inclusion is what it encloses
    without the outline; of a hole the outline is excluded too, since an outline's pixels are never
    nodule.
    """
    low = contour.points.min(axis=0)
    width, height = (contour.points.max(axis=0) - low + 1).tolist()
    canvas = np.zeros((height, width), np.uint8)
    outline = [(contour.points - low).astype(np.int32).reshape(-1, 1, 2)]
    cv2.fillPoly(canvas, outline, 1)
    if contour.inclusion:
        cv2.polylines(canvas, outline, True, 0)
    rows, columns = np.nonzero(canvas)
    return rows + low[1], columns + low[0]
