"""The lungs on one axial slice: what is inside them included, airways and bowel gas not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.imaging.cavities import (
    CLEAR_AIR_HU,
    Body,
    Cavity,
    Contour,
    Image,
    find_body,
    plumpness,
    roundness,
)
from lungaug.imaging.pleura import close_outline
from lungaug.settings import setting

Status = Literal["ok", "one_lung", "no_lungs"]

FRAGMENT_SHARE = 0.003  # of the body's area: what a piece beside a lung must have
SCARCE_SHARE = 0.08  # lungs of less are those of apex and base, where bowel lies near
SMALL_SHARE = 0.05  # a cavity of less may be trachea, stomach or bowel
SMALL_GAS_SHARE = 0.15
LARGE_GAS_SHARE = 0.85
SMALLEST_CUT_SHARE = 0.03  # lung cut by the edge of the field of view
CUT_PLUMPNESS = 0.17  # a lung has 0.2 to 0.7, the gap beside an arm 0.05 to 0.15
TRACHEA_OFFSET = 0.08  # of the body's width
TRACHEA_ROUNDNESS = 0.6
BRONCHUS_ROUNDNESS = 0.3
WALL_HU = -700  # thin walls, blurred, stay above; lung below
WALLED_SHARE = 0.62
CENTRAL_SHARE = 0.12  # of the body's width, to both sides: where the trachea runs
AIRWAY_SHARES = (0.0005, 0.015)  # of the body's area: segments' bronchi to trachea
ARC_MARGIN = 0.15  # of a lung's size: what closing may add beyond its box
ADULT_LUNGS_MM = 260.0
BONE_HU = 200


@dataclass(frozen=True)
class LungSettings:
    """What counts as lung."""

    threshold_hu: int = setting(-300, "below: air", minimum=-900, maximum=0)
    smallest_share: float = setting(
        0.01,
        "smallest lung, as a share of the body's area on the slice; without one: no_lungs",
        minimum=FRAGMENT_SHARE,
        maximum=0.5,
    )
    closing_mm: float = setting(
        5.0,
        "radius of the disc that closes indentations anywhere; where the spacing is unknown the "
        "lungs are taken to be 260 mm wide, one alone 130; 0: no indentation is closed",
        minimum=0,
        maximum=50,
    )
    largest_gain: float = setting(
        0.6, "most that closing may add, as a share of a lung's area", minimum=0, maximum=1
    )


@dataclass(frozen=True)
class LungMask:
    """The lungs of a slice.

    Attributes:
        mask: (H, W) bool, vessels and nodules inside the lungs included.
        status: ok, one_lung (the other side of the chest has none) or no_lungs (an empty mask).
    """

    mask: NDArray[np.bool_]
    status: Status


def segment_lungs(
    hu: NDArray[np.int16], spacing_mm: NDArray[np.floating], settings: LungSettings | None = None
) -> LungMask:
    """Segment the lungs on one slice, without its neighbours.

    Air enclosed by the body is lung unless it is as empty as room air (trachea, stomach, bowel) or
    small and far from a lung; outlines are filled, then closed over masses on the pleura.

    Args:
        hu: (H, W), HU, padding at -1024.
        spacing_mm: (2,), row and column spacing, mm; NaN where unknown.
        settings: thresholds and closing.

    Returns:
        Mask and status.

    References:
        The published method this replaces: contours at -300 HU, chosen by the area of their hulls
        (github.com/black0017/ct-intensity-segmentation).
    """
    settings = settings or LungSettings()
    body = find_body(hu, settings.threshold_hu, FRAGMENT_SHARE)
    cavities = _lung_cavities(hu, body, settings) if body else []
    if body is None or not cavities:
        return LungMask(np.zeros(hu.shape, np.bool_), "no_lungs")
    middle = _middle(cavities, body)
    air = _air(body, cavities)
    airway = _airway(hu, air, body, middle[1]) | _air(
        body, [c for c in body.cavities if c not in cavities]
    )
    air &= 1 - airway
    column = _junction(air, body, middle[1])
    pieces, bridge = _pieces(air, column, body)
    mask = np.zeros_like(air)
    radius = _radius(pieces, spacing_mm, settings.closing_mm)
    sides = [[p for p in pieces if _is_left(p, column) == left] for left in (True, False)]
    for side in sides:
        if side:
            _paint(mask, side, middle, radius, settings)
    mask |= bridge & cv2.dilate(mask, np.ones((1, 3), np.uint8))
    mask &= 1 - airway
    return LungMask(mask.view(np.bool_), _status(sides))


def _lung_cavities(hu: NDArray[np.int16], body: Body, settings: LungSettings) -> list[Cavity]:
    """The cavities that are lung: at least one of a lung's size, and the pieces beside it."""
    aerated = [c for c in body.cavities if not (_is_gas(c) or _is_gap(c))]
    lungs = [c for c in aerated if c.share >= settings.smallest_share]
    pieces = [c for c in aerated if c.share < settings.smallest_share and not _is_trachea(c, body)]
    if not lungs or not pieces:
        return lungs
    if sum(c.share for c in lungs) >= SCARCE_SHARE:
        return lungs + pieces
    # Few lung pixels: base or apex. At the base, bowel with stool looks like a piece of lung but
    # lies before the spine's half of the body; at the apex both lungs are of like size.
    largest = max(c.share for c in lungs)
    return lungs + [
        c for c in pieces if c.share > 0.6 * largest or _is_dorsal(c, _spine_side(hu, body), body)
    ]


def _is_gas(cavity: Cavity) -> bool:
    limit = SMALL_GAS_SHARE if cavity.share < SMALL_SHARE else LARGE_GAS_SHARE
    return cavity.gas_share > limit


def _is_trachea(cavity: Cavity, body: Body) -> bool:
    """A narrow airway that partial volume makes less empty than air: round and in the middle."""
    off_middle = abs(cavity.centre[1] - body.centre[1])
    return cavity.roundness > TRACHEA_ROUNDNESS and off_middle < TRACHEA_OFFSET * body.box[3]


def _is_gap(cavity: Cavity) -> bool:
    """Air outside the body that the edge of the field encloses: by the skin, an arm, the table."""
    if not cavity.at_edge:
        return False
    return cavity.share < SMALLEST_CUT_SHARE or plumpness(cavity.outline) < CUT_PLUMPNESS


def _spine_side(hu: NDArray[np.int16], body: Body) -> int:
    """1 where the spine lies towards the last row, -1 where towards the first."""
    row, column, height, width = body.box
    trunk = slice(column + width // 3, column + width - width // 3)
    bone = hu[row : row + height, trunk] > BONE_HU
    half = height // 2
    return 1 if np.count_nonzero(bone[-half:]) >= np.count_nonzero(bone[:half]) else -1


def _is_dorsal(cavity: Cavity, side: int, body: Body) -> bool:
    return side * (cavity.centre[0] - body.centre[0]) > 0.1 * body.box[2]


def _middle(cavities: list[Cavity], body: Body) -> tuple[float, float]:
    """Row and column of the middle of the chest: of the lungs if there are two, else of the body.

    The field of view may show more of one arm or flank, so the body alone misleads.
    """
    x, y, width, height = cv2.boundingRect(np.concatenate([c.outline for c in cavities]))
    reach = CENTRAL_SHARE * body.box[3]
    row, column = body.centre
    if x < column - reach and x + width > column + reach:
        return y + (height - 1) / 2, x + (width - 1) / 2
    return row, column


def _air(body: Body, cavities: list[Cavity]) -> Image:
    inside = np.zeros_like(body.tissue)
    for cavity in cavities:
        cv2.drawContours(inside, [cavity.outline], 0, 1, cv2.FILLED)
    inside &= 1 - body.tissue
    return inside


def _airway(hu: NDArray[np.int16], air: Image, body: Body, middle: float) -> Image:
    """Trachea and main bronchi that a thin wall fails to part from the lungs' air."""
    airway = np.zeros_like(air)
    reach = CENTRAL_SHARE * body.box[3]
    strip = np.s_[:, max(math.floor(middle - reach), 0) : math.ceil(middle + reach) + 1]
    empty = (cv2.blur(hu[strip], (3, 3)) < CLEAR_AIR_HU).view(np.uint8) & air[strip]
    outlines, _ = cv2.findContours(empty, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    low, high = (share * body.area for share in AIRWAY_SHARES)
    for outline in outlines:
        if low <= cv2.contourArea(outline) <= high and roundness(outline) > BRONCHUS_ROUNDNESS:
            lumen = cv2.drawContours(np.zeros_like(empty), [outline], 0, 1, cv2.FILLED)
            lumen = cv2.dilate(lumen, np.ones((5, 5), np.uint8))
            if _is_walled(lumen, hu[strip]):
                airway[strip] |= lumen
    return airway


def _is_walled(lumen: Image, hu: NDArray[np.int16]) -> bool:
    """Whether tissue surrounds most of it: an airway has a wall, a dark spot of lung has not."""
    ring = (cv2.dilate(lumen, np.ones((3, 3), np.uint8)) - lumen).view(np.bool_)
    return bool(np.count_nonzero(hu[ring] > WALL_HU) > WALLED_SHARE * np.count_nonzero(ring))


def _junction(air: Image, body: Body, middle: float) -> int:
    """The column between the lungs: of those in the middle, the one with the least lung."""
    reach = CENTRAL_SHARE * body.box[3]
    first, last = max(math.ceil(middle - reach), 0), math.floor(middle + reach)
    counts = cv2.reduce(air[:, first : last + 1], 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[0]
    off_centre = np.abs(np.arange(first, first + len(counts)) - middle)
    return first + int(np.lexsort((off_centre, counts))[0])


def _pieces(air: Image, column: int, body: Body) -> tuple[list[Contour], Image]:
    """Outlines of the lungs, parted at ``column``, and the air on that column.

    Seen as one piece, lungs that meet before and behind the heart would enclose the mediastinum,
    and filling would take it for lung.
    """
    bridge = np.zeros_like(air)
    bridge[:, column] = air[:, column]
    outlines, _ = cv2.findContours(air - bridge, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    smallest = FRAGMENT_SHARE * body.area
    return [outline for outline in outlines if cv2.contourArea(outline) >= smallest], bridge


def _is_left(piece: Contour, column: int) -> bool:
    x, _, width, _ = cv2.boundingRect(piece)
    return bool(x + (width - 1) / 2 < column)


def _radius(
    pieces: list[Contour], spacing_mm: NDArray[np.floating], closing_mm: float
) -> tuple[float, float]:
    """The closing disc's radius along rows and columns, pixels."""
    spacing = np.asarray(spacing_mm, np.float64)
    if not pieces:
        return 0.0, 0.0
    if np.isfinite(spacing).all() and (spacing > 0).all():
        return closing_mm / spacing[0], closing_mm / spacing[1]
    boxes = [cv2.boundingRect(piece) for piece in pieces]
    width = max(x + w for x, _, w, _ in boxes) - min(x for x, _, w, _ in boxes)
    lungs_mm = ADULT_LUNGS_MM if len(pieces) > 1 else ADULT_LUNGS_MM / 2
    return closing_mm * width / lungs_mm, closing_mm * width / lungs_mm


def _paint(
    mask: Image,
    pieces: list[Contour],
    centre: tuple[float, float],
    radius: tuple[float, float],
    settings: LungSettings,
) -> None:
    """Fill the outlines of one lung into ``mask``, closed over its indentations."""
    x, y, width, height = cv2.boundingRect(np.concatenate(pieces))
    margin = 1 + math.ceil(ARC_MARGIN * max(width, height))
    top, left = max(y - margin, 0), max(x - margin, 0)
    window = np.s_[top : y + height + margin, left : x + width + margin]
    lung = np.zeros_like(mask[window])
    for piece in pieces:
        cv2.drawContours(lung, [piece], 0, 1, cv2.FILLED, offset=(-left, -top))
    if settings.closing_mm > 0:
        middle = centre[0] - top, centre[1] - left
        lung = close_outline(lung, middle, radius, settings.largest_gain)
    mask[window] |= lung


def _status(sides: list[list[Contour]]) -> Status:
    found = sum(bool(side) for side in sides)
    statuses: tuple[Status, ...] = ("no_lungs", "one_lung", "ok")
    return statuses[found]
