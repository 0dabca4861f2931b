"""Where a shape fits: free-space search by runs of pixels, exact for any shape."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def free_places(free: NDArray[np.bool_], shape: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Top-left corners at which every pixel of ``shape`` lies on free space.

    The published search correlates the shape with the obstacles and keeps the zeros. The same set
    follows from the shape's rows: each run of pixels must start where a run as long is free, and
    a run is free where two overlapping ones of the next smaller power of two are.

    Args:
        free: (H, W), True where the shape may lie.
        shape: (h, w), True on the shape's pixels; at least one.

    Returns:
        (H, W), True at (row, col) where ``free[row:row + h, col:col + w]`` holds the whole shape.
        All False where the shape is larger than the space.
    """
    height, width = shape.shape
    places = np.zeros(free.shape, bool)
    if height > free.shape[0] or width > free.shape[1]:
        return places
    pitch = free.shape[1]
    starts, lengths = _runs(shape, pitch)
    free_runs = _free_runs(np.ascontiguousarray(free).ravel(), max(lengths))
    n = free.size - (height - 1) * pitch - width + 1
    found = np.ones(n, bool)
    for start, length in zip(starts, lengths, strict=True):
        power = length.bit_length() - 1
        for first in {start, start + length - 2**power}:
            found &= free_runs[power][first : first + n]
    places.ravel()[:n] = found
    # what wrapped around from one row to the next
    places[:, pitch - width + 1 :] = False
    return places


def _runs(shape: NDArray[np.bool_], pitch: int) -> tuple[list[int], list[int]]:
    """First pixels and lengths of the runs along the rows; a row down adds ``pitch``."""
    padded = np.zeros((shape.shape[0], shape.shape[1] + 2), np.int8)
    padded[:, 1:-1] = shape
    steps = padded[:, 1:] - padded[:, :-1]
    rows, first = np.nonzero(steps > 0)
    _, end = np.nonzero(steps < 0)
    return (rows * pitch + first).tolist(), (end - first).tolist()


def _free_runs(free: NDArray[np.bool_], longest: int) -> list[NDArray[np.bool_]]:
    """Where runs of 1, 2, 4, … free pixels start, up to ``longest``, in an image row by row."""
    found = [free]
    while 2 ** len(found) <= longest:
        half = 2 ** (len(found) - 1)
        found.append(found[-1][:-half] & found[-1][half:])
    return found


def any_place(places: NDArray[np.bool_], *, rng: np.random.Generator) -> tuple[int, int] | None:
    """One of the admissible places (row, col), each equally likely; None where there is none."""
    found = np.flatnonzero(places)
    if not len(found):
        return None
    row, col = divmod(int(found[rng.integers(len(found))]), places.shape[1])
    return row, col


def nearest_free_place(
    free: NDArray[np.bool_],
    shape: NDArray[np.bool_],
    to: tuple[int, int],
    n_nearest: int,
    *,
    rng: np.random.Generator,
) -> tuple[int, int] | None:
    """One of the ``n_nearest`` of :func:`free_places` to the place ``to``, each equally likely.

    It looks close by first: what lies beyond cannot be among the nearest if there are enough
    places within a circle.

    Args:
        free: (H, W), True where the shape may lie.
        shape: (h, w), True on the shape's pixels; at least one.
        to: (row, col), may lie outside.
        n_nearest: how many are considered; ties in distance fall to the upper, then left one.

    Returns:
        (row, col), or None where there is no place.
    """
    reach = max(shape.shape) + 8
    top, left = max(to[0] - reach, 0), max(to[1] - reach, 0)
    bottom, right = to[0] + reach + shape.shape[0], to[1] + reach + shape.shape[1]
    close_by = free[top : max(bottom, 0), left : max(right, 0)]
    way = to[0] - top, to[1] - left
    found = _nearest(free_places(close_by, shape), way, n_nearest)
    if len(found) < n_nearest or math.dist(found[-1], way) > reach:
        top, left = 0, 0
        found = _nearest(free_places(free, shape), to, n_nearest)
    if not len(found):
        return None
    row, col = found[rng.integers(len(found))].tolist()
    return row + top, col + left


def _nearest(places: NDArray[np.bool_], to: tuple[int, int], n: int) -> NDArray[np.intp]:
    """(at most n, 2) True pixels, the nearest first, equally near ones in reading order."""
    rows, cols = np.nonzero(places)
    distance = (rows - to[0]) ** 2 + (cols - to[1]) ** 2
    if len(rows) > n:
        # all as near as the n-th: a partition alone leaves ties in any order
        close = np.flatnonzero(distance <= np.partition(distance, n - 1)[n - 1])
        rows, cols, distance = rows[close], cols[close], distance[close]
    order = np.argsort(distance, kind="stable")[:n]
    return np.stack([rows[order], cols[order]], axis=1)
