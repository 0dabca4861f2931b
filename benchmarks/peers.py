"""The published equations, written plainly with numpy, scipy, scikit-image and Pillow.

They are what the speed of lungaug is measured against, faults of behaviour included where a fault
costs no time: no call is slower than the published listing needs.

References:
    Lung mask by contours and convex hulls: black0017/ct-intensity-segmentation.
    MetaLung: the thesis' table of operations and its appendix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import rotate
from scipy.signal import fftconvolve
from scipy.spatial import ConvexHull, QhullError
from skimage.measure import find_contours

T = TypeVar("T", bound=np.generic)
Pair = tuple[NDArray[np.int16], NDArray[np.uint8]]

AIR_HU = -1000
MINIMUM_HULL_PX = 2000
MAXIMUM_GAP_PX = 1.0


def contour_lungs(hu: NDArray[np.int16]) -> NDArray[np.bool_] | None:
    """Lungs as filled contours of the air, (H, W), or None where fewer than two are closed.

    Pixels of -300 HU or more are 0, others 1; contours at 0.95 with a closed end and a convex hull
    above 2000 pixels are kept; of more than two the largest, the body, is dropped.
    """
    air = (np.clip(hu, -1000, -300) != -300).astype(float)
    kept = []
    for contour in find_contours(air, 0.95):
        area = _hull_area(contour)
        if area > MINIMUM_HULL_PX and np.linalg.norm(contour[0] - contour[-1]) < MAXIMUM_GAP_PX:
            kept.append((area, contour))
    if len(kept) < 2:
        return None
    kept.sort(key=lambda pair: pair[0])
    lungs = [contour for _, contour in (kept if len(kept) == 2 else kept[:-1])]
    mask = np.zeros(hu.shape, bool)
    for contour in lungs:
        # Pillow takes (x, y); given (row, column) it draws the transposed picture.
        canvas = Image.new("L", hu.shape, 0)
        ImageDraw.Draw(canvas).polygon([tuple(p) for p in contour], outline=0, fill=1)
        mask |= np.array(canvas).astype(bool).T
    return mask


def _hull_area(contour: NDArray[np.float64]) -> float:
    try:
        return float(ConvexHull(contour).volume)
    except QhullError:  # a line or fewer than three points
        return 0.0


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice to expand: HU, nodules (k the k-th), lungs (0 outside, 1 lung, 2 obstacle), mask.

    The mask, 1 on every nodule, is what the published method works on.
    """

    hu: NDArray[np.int16]
    nodule: NDArray[np.uint8]
    lung: NDArray[np.uint8]
    mask: NDArray[np.uint8]


def rotated(image: NDArray[T], degrees: float, fill: int = AIR_HU) -> NDArray[T]:
    """An image turned by the library call of the published listing."""
    return np.asarray(rotate(image, degrees, reshape=False, order=0, cval=fill))


def mirrored(source: Slice, rng: np.random.Generator) -> Pair:
    """Left and right exchanged."""
    return np.flip(source.hu, axis=1), np.flip(source.mask, axis=1)


def replaced(source: Slice, rng: np.random.Generator) -> Pair | None:
    """The nodule turned by 180 degrees, swapped with a free patch of lung.

    Obstacles are all outside the lungs and the vessels in them. Their correlation with the turned
    nodule is zero where it fits; the half opposite the nodule comes first.
    """
    hu, mask, lung = source.hu, source.mask, source.lung
    rows, columns = np.nonzero(mask)
    box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    obstacles = (lung != 1) & (mask == 0)
    turned, shape = np.rot90(hu[box], 2), np.rot90(mask[box], 2)
    # A convolution with the flipped kernel is the correlation.
    hits = fftconvolve(obstacles.astype(float), shape[::-1, ::-1].astype(float), mode="valid")
    free = hits < 0.5
    left = np.arange(free.shape[1]) + shape.shape[1] / 2 < hu.shape[1] / 2
    opposite = ~left if columns.mean() < hu.shape[1] / 2 else left
    places = np.argwhere(free & opposite)
    if not len(places):
        places = np.argwhere(free & ~opposite)
    if not len(places):
        return None
    row, column = places[rng.integers(len(places))]
    there = np.s_[row : row + shape.shape[0], column : column + shape.shape[1]]
    moved, moved_mask = hu.copy(), np.zeros_like(mask)
    moved[box] = np.where(mask[box], np.rot90(hu[there], 2), hu[box])
    moved[there] = np.where(shape, turned, hu[there])
    moved_mask[there] = shape
    return moved, moved_mask


def slice_rotated(source: Slice, rng: np.random.Generator) -> Pair:
    """Slice and mask turned by the same whole number of degrees."""
    degrees = int(rng.integers(1, 91))
    return rotated(source.hu, degrees), rotated(source.mask, degrees, 0)


def nodule_rotated(source: Slice, rng: np.random.Generator) -> Pair:
    """The whole slice turned; the box of the turned mask pasted where the old box begins."""
    hu, mask, degrees = source.hu, source.mask, int(rng.integers(1, 91))
    turned, turned_mask = rotated(hu, degrees), rotated(mask, degrees, 0)
    rows, columns = np.nonzero(turned_mask)
    old_rows, old_columns = np.nonzero(mask)
    pasted, pasted_mask = hu.copy(), mask.copy()
    if len(rows):
        box = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        size = (box[0].stop - box[0].start, box[1].stop - box[1].start)
        top, left = old_rows.min(), old_columns.min()
        place = np.s_[top : top + size[0], left : left + size[1]]
        target = pasted[place].shape  # cut at the image's edge
        pasted[place] = turned[box][: target[0], : target[1]]
        pasted_mask[place] = turned_mask[box][: target[0], : target[1]]
    return pasted, pasted_mask


def slice_noisy(source: Slice, rng: np.random.Generator) -> Pair:
    """0 to 19 HU added to every pixel."""
    return (source.hu + rng.integers(0, 20, source.hu.shape)).astype(np.int16), source.mask


def nodule_noisy(source: Slice, rng: np.random.Generator) -> Pair:
    """0 to 19 HU added to the nodule."""
    noise = rng.integers(0, 20, source.hu.shape) * source.mask
    return (source.hu + noise).astype(np.int16), source.mask


OPERATIONS: dict[str, Callable[[Slice, np.random.Generator], Pair | None]] = {
    "mirror": mirrored,
    "replace": replaced,
    "rotate_slice": slice_rotated,
    "rotate_nodule": nodule_rotated,
    "noise_slice": slice_noisy,
    "noise_nodule": nodule_noisy,
}
