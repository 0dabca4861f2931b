"""Crops: a square around one nodule of one slice, and the nodule's type.

``scaled`` keeps what a nodule is surrounded by, its aspect and its size in mm. ``published`` is
what the published code cut, for comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from lungaug.crops import equivalent_diameter_mm
from lungaug.errors import InputError
from lungaug.imaging.hu import AIR_HU
from lungaug.settings import setting

Hu = NDArray[np.int16]
Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

# Finer pixels than any CT has; a spacing below is a fault of the file, and would take the memory.
_FINEST_MM = 0.05

_PUBLISHED_MARGIN_PX = 10
_PUBLISHED_BACKGROUND_HU = 2000

# In the plateau of a grid of depths, densities and shares on phantom slices: -350 to -400 HU and
# 0.75 to 0.9 agree alike. On fresh phantoms 90 % of the nodules of 3 mm and more, and 93 % of
# those of 5, have the type that the slice shows. Software for readers commonly parts solid tissue
# from ground glass near -350 HU as well.
_DENSE_HU = -350
_CORE_DEPTH_PX = 2.0
_SOLID_SHARE = 0.85
_GROUND_GLASS_SHARE = 0.1


@dataclass(frozen=True)
class CropSettings:
    """How nodules are cut out of slices."""

    variant: Literal["scaled", "published"] = setting(
        "scaled",
        "scaled: true surroundings, aspect and size; published: nodule alone, stretched to fit",
    )
    size: int = setting(64, "rows and columns of a crop", minimum=8, maximum=512)
    fov_mm: float = setting(
        48.0, "side of the square around the nodule in mm (scaled)", exclusiveMinimum=0
    )


@dataclass(frozen=True)
class Crop:
    """A nodule and what is around it.

    Attributes:
        hu: (S, S), HU.
        mask: (S, S), this nodule alone.
        diameter_mm: of the circle with the mask's area, on the slice; NaN without spacing.
        kind: solid, part_solid or ground_glass, on the slice.
        spacing_mm: of the crop's pixels (row, column); NaN where unknown.
    """

    hu: Hu
    mask: Mask
    diameter_mm: float
    kind: str
    spacing_mm: tuple[float, float]


@dataclass(frozen=True)
class _Box:
    """Rows and columns of a mask: first and last, (2,) each."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]

    @classmethod
    def of(cls, mask: Mask) -> _Box:
        sides = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
        return cls(np.array([s[0] for s in sides]), np.array([s[-1] for s in sides]))

    @property
    def shape(self) -> NDArray[np.int64]:
        return self.last - self.first + 1


def cut(
    hu: Hu, nodule: Labels, label: int, spacing_mm: ArrayLike, settings: CropSettings | None = None
) -> Crop:
    """Cut one nodule out of a slice, (H, W) in pixels to (S, S).

    Args:
        hu: (H, W), HU.
        nodule: (H, W), 0 background, k the k-th nodule.
        label: of the nodule.
        spacing_mm: (2,), of the slice's pixels (row, column).
        settings: variant, size and field of view.

    Raises:
        InputError: says why there is no crop: no such nodule, no spacing (``scaled``), a nodule
            that does not fit, or one of which nothing is left.
    """
    settings = settings or CropSettings()
    mask = nodule == label
    if not mask.any():
        raise InputError(f"no pixel has the label {label}")
    spacing = np.asarray(spacing_mm, np.float64)
    crop_hu, crop_mask, crop_mm = _VARIANTS[settings.variant](hu, mask, spacing, settings)
    if not crop_mask.any():
        raise InputError(f"nothing is left of {np.count_nonzero(mask)} nodule pixels in the crop")
    diameter = equivalent_diameter_mm(mask, spacing)
    row_mm, col_mm = (float(mm) for mm in crop_mm)
    return Crop(crop_hu, crop_mask, diameter, kind_of(hu, mask), (row_mm, col_mm))


def kind_of(hu: Hu, mask: Mask) -> str:
    """Type of a nodule as one slice shows it: solid, part_solid or ground_glass.

    The edge of a solid nodule has the HU of ground glass, since its pixels are half lung. So the
    core decides: pixels two deep, or the deepest there are, and which share of them is dense. A
    slice through the cap of a solid nodule does look like ground glass, and one beside the core
    of a part-solid nodule too: the type is that of the slice, which is what a crop shows.

    Args:
        hu: (H, W), HU.
        mask: (H, W), the nodule.

    Raises:
        InputError: the mask is empty.
    """
    if not mask.any():
        raise InputError("an empty mask has no nodule type; accepted: at least one pixel")
    box = _Box.of(mask)
    window = tuple(slice(a, b + 1) for a, b in zip(box.first, box.last, strict=True))
    inside = np.pad(mask[window], 1).astype(np.uint8)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    core = hu[window][depth >= min(_CORE_DEPTH_PX, float(depth.max()))]
    dense = float(np.mean(core > _DENSE_HU))
    if dense > _SOLID_SHARE:
        return "solid"
    return "ground_glass" if dense < _GROUND_GLASS_SHARE else "part_solid"


def _scaled(
    hu: Hu, mask: Mask, spacing_mm: NDArray[np.float64], settings: CropSettings
) -> tuple[Hu, Mask, NDArray[np.float64]]:
    """HU, mask and spacing of the square of ``fov_mm`` around the mask's box; air beyond."""
    if not (np.isfinite(spacing_mm).all() and (spacing_mm >= _FINEST_MM).all()):
        known = " x ".join(f"{mm:g}" for mm in spacing_mm) + " mm"
        told = known if np.isfinite(spacing_mm).all() else "unknown"
        raise InputError(f"spacing {told}; accepted: known, at least {_FINEST_MM} mm")
    box = _Box.of(mask)
    pixel_mm = settings.fov_mm / settings.size
    step = pixel_mm / spacing_mm
    start = (box.first + box.last - (settings.size - 1) * step) / 2
    # A whole pixel to start with: at the slice's own spacing, the crop is then the slice's pixels
    # and no mean of neighbours. It moves the nodule by half a pixel of the slice at most.
    start = np.floor(start + 0.5)
    rows, columns = (_Filter.of(a, d, settings.size) for a, d in zip(start, step, strict=True))
    crop_hu = np.rint(_filtered(hu, AIR_HU, rows, columns)).astype(np.int16)
    area = np.count_nonzero(mask) * spacing_mm.prod() / pixel_mm**2
    crop_mask = _most_covered(_filtered(mask, 0, rows, columns), int(np.rint(area)))
    span_mm = float((box.shape * spacing_mm).max())
    if span_mm > settings.fov_mm or _touches_border(crop_mask):
        raise InputError(
            f"the nodule spans {span_mm:.1f} mm; accepted: within the field of view of "
            f"{settings.fov_mm:g} mm, and off its border"
        )
    return crop_hu, crop_mask, np.full(2, pixel_mm)


@dataclass(frozen=True)
class _Filter:
    """Linear resampling of one axis, anti-aliased: a triangle as wide as the coarser pixel.

    ``weights`` (S, n) are those of the n pixels from ``first`` on, which may lie outside.
    """

    first: int
    weights: NDArray[np.float64]

    @classmethod
    def of(cls, start: float, step: float, size: int) -> _Filter:
        centres = start + step * np.arange(size)
        reach = max(1.0, step)
        first, last = int(np.floor(centres[0] - reach)), int(np.ceil(centres[-1] + reach))
        distance = np.abs(np.arange(first, last + 1) - centres[:, None])
        weights = np.maximum(1 - distance / reach, 0)
        return cls(first, weights / weights.sum(axis=1, keepdims=True))


def _filtered(
    image: NDArray[Any], outside: int, rows: _Filter, columns: _Filter
) -> NDArray[np.float64]:
    window = np.full((rows.weights.shape[1], columns.weights.shape[1]), outside, np.float64)
    inner, outer = [], []
    for n, axis in zip(image.shape, (rows, columns), strict=True):
        first, stop = max(axis.first, 0), min(axis.first + axis.weights.shape[1], n)
        outer.append(slice(first, stop))
        inner.append(slice(first - axis.first, stop - axis.first))
    window[tuple(inner)] = image[tuple(outer)]
    # Sums end in other digits on other machines; those that are ties would round apart.
    return np.round(rows.weights @ window @ columns.weights.T, 6)


def _most_covered(coverage: NDArray[np.float64], n: int) -> Mask:
    """The ``n`` pixels that a nodule covers most; half-covered ones alone would shrink it.

    Of nodules of 3 to 5 mm, ``coverage >= 0.5`` loses up to 13 % of the diameter.
    """
    order = np.argsort(-coverage, axis=None, kind="stable")[:n]
    mask = np.zeros(coverage.shape, bool)
    mask.flat[order] = True
    return mask


def _touches_border(mask: Mask) -> bool:
    return bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())


def _published(
    hu: Hu, mask: Mask, spacing_mm: NDArray[np.float64], settings: CropSettings
) -> tuple[Hu, Mask, NDArray[np.float64]]:
    """The published crop, faults included: 0 HU is no nodule, and near a border it is lost.

    References:
        The published listing, as described in the reference notes: HU times mask, box of what is
        not 0 with 10 pixels more (the end exclusive), stretched with anti-aliasing, 0 to 2000.
    """
    roi = np.where(mask, hu, 0).astype(np.float64)
    if not roi.any():
        raise InputError("all nodule pixels have 0 HU, which the published crop takes for nothing")
    box = _Box.of(roi != 0)
    window = tuple(
        slice(int(a) - _PUBLISHED_MARGIN_PX, int(b) + _PUBLISHED_MARGIN_PX)
        for a, b in zip(box.first, box.last, strict=True)
    )
    part = roi[window]
    if not part.size:
        raise InputError(
            f"the published crop is empty where a nodule lies within {_PUBLISHED_MARGIN_PX} pixels "
            "of the upper or left border"
        )
    stretched = _stretched(part, settings.size)
    stretched[stretched == 0] = _PUBLISHED_BACKGROUND_HU
    crop_mask = _stretched(mask[window].astype(np.float64), settings.size) >= 0.5
    crop_mm = spacing_mm * part.shape / settings.size
    return np.rint(stretched).astype(np.int16), crop_mask, crop_mm


def _stretched(image: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """(H, W) to (S, S), what scikit-image's ``resize(anti_aliasing=True)`` does, without it."""
    factors = np.divide(image.shape, size)
    smooth = ndimage.gaussian_filter(image, np.maximum(0, (factors - 1) / 2), mode="mirror")
    zoomed = ndimage.zoom(smooth, 1 / factors, order=1, mode="mirror", grid_mode=True)
    return np.asarray(np.clip(zoomed, image.min(), image.max()))


_Variant = Callable[
    [Hu, Mask, NDArray[np.float64], CropSettings], tuple[Hu, Mask, NDArray[np.float64]]
]
_VARIANTS: dict[str, _Variant] = {"scaled": _scaled, "published": _published}
