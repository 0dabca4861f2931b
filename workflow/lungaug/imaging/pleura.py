"""Closing a lung's outline over what touches its border: nodules on the pleura, hilar vessels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.imaging.cavities import Contour, Image

Points = NDArray[np.float64]

SHALLOWEST_PX = 1.5  # what dents a smooth outline less is the pixel grid
STEEPEST_ARC = math.radians(30)
MOST_MEDIAL = 0.6  # sine of the angle by which a wall may turn towards the midline


def close_outline(
    lung: Image,
    centre: tuple[float, float],
    radius: tuple[float, float],
    largest_gain: float,
) -> Image:
    """Fill the indentations of one lung that face the chest wall, and narrow ones anywhere.

    First a disc closes what is narrow: vessels at the hilum, the gap between pieces of one lung,
    the stalk by which a mass inside hangs on the mediastinum; what is then enclosed is filled.
    Then come the indentations between the outline and its convex hull that open towards the chest
    wall, whatever their width: the wall is convex, so what dents the lung there is a mass, a rib
    or fluid. Over them the wall is continued as an arc in the direction it has at both ends,
    since a chord would cut off the base of the mass. What opens wide to the mediastinum (the
    heart) stays outside.

    Args:
        lung: (H, W) uint8, 1 inside; one lung, its pieces filled.
        centre: row and column of the middle of the chest.
        radius: rows and columns of the disc, pixels.
        largest_gain: area that may be added, as a share of the lung's; what would exceed it is
            left open, wide indentations first.

    Returns:
        (H, W) uint8, at least ``lung``.
    """
    area = cv2.countNonZero(lung)
    limit = (1 + largest_gain) * area
    smooth: Image = lung | _disc_closed(lung, radius)
    closed = smooth if cv2.countNonZero(smooth) <= limit else lung.copy()
    pockets = _wall_pockets(_outlines(lung, closed), centre)
    room = limit - cv2.countNonZero(closed)
    for size, pocket in sorted(pockets, key=lambda found: found[0]):
        filled = closed if size <= room / len(pockets) else closed.copy()
        cv2.fillPoly(filled, [pocket], 1)
        if filled is not closed and cv2.countNonZero(filled) > limit:
            break
        closed = filled
    return closed


def _disc_closed(lung: Image, radius: tuple[float, float]) -> Image:
    rows, columns = (max(round(r), 0) for r in radius)
    edges = (rows, rows, columns, columns)
    closed = cv2.copyMakeBorder(lung, *edges, cv2.BORDER_CONSTANT, value=0)
    discs = _small_discs(rows, columns)
    for disc in discs:
        closed = cv2.dilate(closed, disc)
    outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for outline in outlines:
        cv2.drawContours(closed, [outline], 0, 1, cv2.FILLED)
    for disc in discs:
        closed = cv2.erode(closed, disc)
    height, width = lung.shape
    return np.ascontiguousarray(closed[rows : rows + height, columns : columns + width])


def _small_discs(rows: int, columns: int) -> list[Image]:
    """Discs whose radii add up to those given: as good as one together, several times faster."""
    n = max(max(rows, columns) // 2, 1)
    radii = [
        (rows * (i + 1) // n - rows * i // n, columns * (i + 1) // n - columns * i // n)
        for i in range(n)
    ]
    # Of an ellipse one row high OpenCV leaves the middle only.
    return [
        cv2.getStructuringElement(
            cv2.MORPH_ELLIPSE if r else cv2.MORPH_RECT, (2 * c + 1, 2 * r + 1)
        )
        for r, c in radii
    ]


def _outlines(lung: Image, closed: Image) -> list[Contour]:
    """Where the wall runs: along the lung as it is, and along what closing has joined.

    The disc rounds the corners at the base of a mass, so the lung's own outline shows its width
    better; a mass that parts a lung is an indentation only of the joined pieces.
    """
    return [
        outline
        for image in (lung, closed)
        for outline in cv2.findContours(image, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    ]


def _wall_pockets(
    outlines: Sequence[Contour], centre: tuple[float, float]
) -> list[tuple[float, NDArray[np.int32]]]:
    """Area and polygon (N, 2), x and y, of the indentations that face the chest wall."""
    middle = np.array([centre[1], centre[0]])
    pockets = []
    for outline in outlines:
        points = outline[:, 0].astype(np.float64)
        for first, last, _, depth in _hollows(outline, middle).tolist():
            pocket = _pocket(points, first, last, depth / 256, middle)
            if pocket is not None:
                pockets.append((cv2.contourArea(pocket), pocket))
    return pockets


def _hollows(outline: Contour, middle: Points) -> NDArray[np.int32]:
    """Rows of first, last and deepest point and depth in 1/256 pixel, without most medial ones.

    The gate is coarse, all hollows at once, and passes what :func:`_faces_wall` might accept.
    """
    hull = np.sort(cv2.convexHull(outline, returnPoints=False), axis=0)
    defects = cv2.convexityDefects(outline, hull) if len(hull) > 3 else None
    if defects is None:
        return np.zeros((0, 4), np.int32)
    rows = np.asarray(defects, np.int32).reshape(-1, 4)
    rows = rows[rows[:, 3] >= SHALLOWEST_PX * 256]
    start, end, deepest = (outline[rows[:, column], 0].astype(np.float64) for column in range(3))
    chord = np.abs(end - start)
    mouth = (start + end) / 2
    flat = chord[:, 1] < MOST_MEDIAL * np.hypot(*chord.T)
    lateral = np.abs(mouth - middle)[:, 0] > np.abs(deepest - middle)[:, 0]
    gated: NDArray[np.int32] = rows[flat | lateral]
    return gated


def _pocket(
    outline: Points, first: int, last: int, depth: float, middle: Points
) -> NDArray[np.int32] | None:
    """The indentation between two points of the outline, or None if it faces the mediastinum."""
    start, end = outline[first], outline[last]
    chord = end - start
    width = float(np.hypot(*chord))
    length = (last - first) % len(outline)
    inner = np.take(outline, np.arange(first, first + length + 1), axis=0, mode="wrap")
    centroid = inner.mean(axis=0)
    outward = np.array([chord[1], -chord[0]]) / max(width, 1.0)
    if outward @ (centroid - start) > 0:
        outward = -outward
    if not _faces_wall(centroid, (start + end) / 2, outward, middle):
        return None
    rise = min(width / 2 * math.tan(_arc_angle(outline, first, last) / 2), depth / 2)
    steps = np.linspace(1, 0, max(int(width), 2))[:, None]
    arc = start + steps * chord + outward * (4 * rise * steps * (1 - steps))
    polygon: NDArray[np.int32] = np.rint(np.vstack([inner, arc])).astype(np.int32)
    return polygon


def _faces_wall(centroid: Points, mouth: Points, outward: Points, middle: Points) -> bool:
    """Whether an indentation opens to the chest wall, and not to the mediastinum or the spine.

    Then going into it is going towards the middle, and it does not look at the midline.
    """
    towards_midline = outward[0] * np.sign(middle[0] - centroid[0])
    nearer = np.hypot(*(centroid - middle)) < np.hypot(*(mouth - middle))
    return bool(nearer and towards_midline < MOST_MEDIAL)


def _arc_angle(outline: Points, first: int, last: int) -> float:
    """Angle between the chord and the wall beside it, the smaller of both ends, radians."""
    chord = outline[last] - outline[first]
    reach = max(3, round(float(np.hypot(*chord)) / 3))
    before = outline[first] - outline[(first - reach) % len(outline)]
    after = outline[(last + reach) % len(outline)] - outline[last]
    return min(_angle(before, chord), _angle(chord, after), STEEPEST_ARC)


def _angle(first: Points, second: Points) -> float:
    cross = first[0] * second[1] - first[1] * second[0]
    return abs(math.atan2(cross, first @ second))
