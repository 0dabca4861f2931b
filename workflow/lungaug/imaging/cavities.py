"""The body on a CT slice, and the air inside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.imaging.hu import FLOOR_HU

CLEAR_AIR_HU = -940  # smoothed HU: room air and gas lie below, aerated lung above
LONGEST_CUT = 0.35  # of the field's outline: where one lung may leave the field of view
CUT_EMPTY_SHARE = 0.2
INNER_EMPTY_SHARE = 0.02

Image = NDArray[Any]  # uint8, 0 and 1: OpenCV's stubs know no narrower type
Contour = NDArray[Any]  # int32 (N, 1, 2) points x, y


@dataclass(frozen=True, eq=False)
class Cavity:
    """Air enclosed by the body.

    Attributes:
        outline: (N, 1, 2) points x, y on the tissue around it.
        share: its area, contents included, as a share of the body's.
        gas_share: share of its inner pixels that are as empty as room air.
        centre: row and column of its middle.
        roundness: 1 for a disc, 0 for a line.
        at_edge: the field of view cuts it.
    """

    outline: Contour
    share: float
    gas_share: float
    centre: tuple[float, float]
    roundness: float
    at_edge: bool


@dataclass(frozen=True, eq=False)
class Body:
    """The largest piece of tissue on a slice.

    Attributes:
        tissue: (H, W) uint8, 1 where HU reach the threshold.
        area: pixels, cavities included.
        box: first row, first column, height and width of its bounding box.
        cavities: the air inside it, largest first.
    """

    tissue: Image
    area: float
    box: tuple[int, int, int, int]
    cavities: tuple[Cavity, ...]

    @property
    def centre(self) -> tuple[float, float]:
        """Row and column of the middle of the bounding box."""
        row, column, height, width = self.box
        return row + (height - 1) / 2, column + (width - 1) / 2


def find_body(hu: NDArray[np.int16], threshold_hu: int, smallest_share: float) -> Body | None:
    """Find the body and the air that it encloses.

    Air is enclosed when tissue surrounds it. Where the field of view cuts through a lung, its edge
    takes the place of the missing chest wall.

    Args:
        hu: (H, W), HU.
        threshold_hu: pixels below are air.
        smallest_share: cavities of a smaller share of the body's area are left out.

    Returns:
        None where there is no tissue at all.
    """
    tissue = (hu >= threshold_hu).view(np.uint8)
    piece = _largest_piece(tissue)
    if piece is None:
        return None
    walled = _walled(hu, tissue, piece[0])
    outline, holes = piece if walled is None else _largest_piece(walled) or piece
    area = max(float(cv2.contourArea(outline)), 1.0)
    sized = [(cv2.contourArea(hole) / area, hole) for hole in holes]
    found = [_cavity(hu, tissue, hole, share) for share, hole in sized if share >= smallest_share]
    found.sort(key=lambda cavity: (-cavity.share, cavity.centre))
    x, y, width, height = cv2.boundingRect(outline)
    return Body(tissue, area, (int(y), int(x), int(height), int(width)), tuple(found))


def _largest_piece(tissue: Image) -> tuple[Contour, list[Contour]] | None:
    """Outline of the largest connected piece, and the outlines of the holes in it."""
    contours, tree = cv2.findContours(tissue, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    parents = np.asarray(tree).reshape(-1, 4)[:, 3]
    largest = max(np.flatnonzero(parents < 0).tolist(), key=lambda i: cv2.contourArea(contours[i]))
    return contours[largest], [contours[i] for i in np.flatnonzero(parents == largest).tolist()]


def _cavity(hu: NDArray[np.int16], tissue: Image, outline: Contour, share: float) -> Cavity:
    x, y, width, height = cv2.boundingRect(outline)
    window = np.s_[y : y + height, x : x + width]
    inside = np.zeros((height, width), np.uint8)
    cv2.drawContours(inside, [outline], 0, 1, cv2.FILLED, offset=(-x, -y))
    inside &= 1 - tissue[window]
    core = cv2.erode(inside, np.ones((3, 3), np.uint8))
    clear = (cv2.blur(hu[window], (3, 3)) < CLEAR_AIR_HU) & (core > 0)
    gas_share = np.count_nonzero(clear) / max(cv2.countNonZero(core), 1)
    return Cavity(
        outline=outline,
        share=float(share),
        gas_share=gas_share,
        centre=(y + (height - 1) / 2, x + (width - 1) / 2),
        roundness=roundness(outline),
        at_edge=not tissue[outline[:, 0, 1], outline[:, 0, 0]].all(),
    )


def roundness(outline: Contour) -> float:
    """How compact an outline is: 1 for a disc, 0.79 for a square, 0 for a line."""
    perimeter = max(cv2.arcLength(outline, True), 1.0)
    return float(4 * math.pi * cv2.contourArea(outline) / perimeter**2)


def plumpness(outline: Contour) -> float:
    """Share of an outline's area that the largest disc inside it takes."""
    x, y, width, height = cv2.boundingRect(outline)
    inside = np.zeros((height + 2, width + 2), np.uint8)
    cv2.drawContours(inside, [outline], 0, 1, cv2.FILLED, offset=(1 - x, 1 - y))
    radius = float(cv2.distanceTransform(inside, cv2.DIST_L2, 3).max())
    return math.pi * radius**2 / max(cv2.countNonZero(inside), 1)


def _walled(hu: NDArray[np.int16], tissue: Image, outline: Contour) -> Image | None:
    """The tissue with a wall where the field's edge cuts a lung; None if it does so nowhere.

    Such a cut is a stretch of the edge between two places where the body meets it, without a corner
    of the image, and hardly anywhere as empty as room air: what lies between body and table, or
    body and arm, has room air beside it. A field without any room air at its edge lies inside the
    chest, and its whole edge is a wall.
    """
    edge = _field_edge(hu)
    x, y = edge.T
    body = cv2.drawContours(np.zeros_like(tissue), [outline], 0, 1, cv2.FILLED)
    met = body[y, x] == 1
    empty = cv2.blur(hu, (3, 3))[y, x] < CLEAR_AIR_HU
    corner = np.isin(x, (0, hu.shape[1] - 1)) & np.isin(y, (0, hu.shape[0] - 1))
    if np.count_nonzero(empty) <= INNER_EMPTY_SHARE * len(edge):
        wall = ~met
    else:
        wall = _cuts(met, empty, corner)
    if not wall.any():
        return None
    walled = tissue.copy()
    walled[y[wall], x[wall]] = 1
    return walled


def _cuts(
    met: NDArray[np.bool_], empty: NDArray[np.bool_], corner: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """The stretches of the edge, a closed curve, where a lung leaves the field of view."""
    cut = np.zeros_like(met)
    if not met.any():
        return cut
    start = int(met.argmax())
    changes = np.flatnonzero(np.diff(np.roll(met, -start), append=True)) + 1
    for first, last in zip(changes[::2], changes[1::2], strict=True):
        stretch = (np.arange(first, last) + start) % len(met)
        if (
            len(stretch) <= LONGEST_CUT * len(met)
            and not corner[stretch].any()
            and empty[stretch].mean() <= CUT_EMPTY_SHARE
        ):
            cut[stretch] = True
    return cut


def _field_edge(hu: NDArray[np.int16]) -> Contour:
    """Points (N, 2), x and y, in order around the field of view: the image or the circle in it."""
    height, width = hu.shape
    if (hu[[0, 0, -1, -1], [0, -1, 0, -1]] == FLOOR_HU).all():
        field = 1 - cv2.dilate(_padding(hu), np.ones((9, 9), np.uint8))
        outlines, _ = cv2.findContours(field, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        if outlines:
            return np.asarray(max(outlines, key=cv2.contourArea)[:, 0], np.int32)
    x, y = np.arange(width, dtype=np.int32), np.arange(height, dtype=np.int32)
    sides = [
        (x[:-1], np.zeros_like(x[:-1])),
        (np.full_like(y[:-1], width - 1), y[:-1]),
        (x[:0:-1], np.full_like(x[1:], height - 1)),
        (np.zeros_like(y[1:]), y[:0:-1]),
    ]
    return np.hstack([np.stack(side) for side in sides]).T


def _padding(hu: NDArray[np.int16]) -> Image:
    """Pixels at the floor in uniform regions that reach a corner of the image, less their rim."""
    height, width = hu.shape
    floor = cv2.erode((hu == FLOOR_HU).view(np.uint8), np.ones((5, 5), np.uint8))
    for column, row in ((0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)):
        if floor[row, column] == 1:
            cv2.floodFill(floor, None, (column, row), 2)
    padding: Image = (floor == 2).view(np.uint8)
    return padding
