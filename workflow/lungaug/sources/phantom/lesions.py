"""Nodules and granulomas: their shapes, and how large they come out on the slices."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungaug.sources.phantom.geometry import Geometry
from lungaug.sources.phantom.settings import PhantomSettings, Range
from lungaug.sources.phantom.shapes import Field, coverage
from lungaug.sources.phantom.vessels import Tubes

Kind = Literal["solid", "part_solid", "ground_glass", "granuloma"]
Box = tuple[slice, slice, slice]

_SPICULE_MM = 0.3


@dataclass(frozen=True)
class Lesion:
    """A lobulated ellipsoid; lengths in units of the anatomy.

    ``frame`` (3, 3) turns and stretches to a unit ball, whose radius in the direction ``u`` is
    1 + sum of ``heights * exp(sharpness * (u . lobes - 1))``.
    """

    kind: Kind
    centre: NDArray[np.float64]
    radius: float
    frame: NDArray[np.float64]
    lobes: NDArray[np.float64]
    heights: NDArray[np.float64]
    sharpness: float
    hu: float
    core_hu: float
    spicules: NDArray[np.float64]  # (n, 3): tips, in radii from the centre
    softness: float  # width of the border beyond a pixel's

    def distance(self, x: Any, y: Any, z: Any) -> Field:
        """Distance to the border, negative inside."""
        offset = np.stack(np.broadcast_arrays(*self._offsets(x, y, z)), axis=-1)
        ball = offset @ self.frame.astype(np.float32)
        rho = np.sqrt((ball * ball).sum(axis=-1)) + np.float32(1e-6)
        cosine = (ball / rho[..., None]) @ self.lobes.T.astype(np.float32)
        bumps = np.exp(np.float32(self.sharpness) * (cosine - 1)) @ self.heights.astype(np.float32)
        return np.asarray((rho - 1 - bumps) * np.float32(self.radius))

    def core(self, x: Any, y: Any, z: Any) -> Field:
        """Distance to the solid core of a part-solid nodule, which lies off its centre."""
        shift = 0.25 * self.lobes[0] if len(self.lobes) else np.zeros(3)
        u, v, w = self._offsets(x, y, z)
        squares = (u - shift[0]) ** 2 + (v - shift[1]) ** 2 + (w - shift[2]) ** 2
        return np.asarray((np.sqrt(squares) - np.float32(0.45)) * np.float32(self.radius))

    def spicule_tubes(self, unit_mm: float) -> Tubes:
        """Spikes that stand out of the border; readers leave them out, and so does the mask."""
        starts = self.centre + 0.6 * self.radius * self.spicules
        ends = self.centre + self.radius * self.spicules
        tip = _SPICULE_MM / unit_mm
        thick = np.tile([tip + 0.12 * self.radius, tip], (len(ends), 1))
        return Tubes(starts, ends, thick)

    def _offsets(self, x: Any, y: Any, z: Any) -> tuple[Any, Any, Any]:
        scale = np.float32(1 / self.radius)
        cx, cy, cz = (np.float32(c) for c in self.centre)
        return (x - cx) * scale, (y - cy) * scale, (z - cz) * scale


@dataclass(frozen=True)
class Placed:
    """A lesion with the pixels that it covers: ``mask`` (S, Y, X) inside ``box`` of the series."""

    lesion: Lesion
    box: Box
    mask: NDArray[np.bool_]
    diameter_mm: float


def draw_lesion(
    kind: Kind, diameter_mm: float, unit_mm: float, settings: PhantomSettings, *, rng: Any
) -> Lesion:
    """Draw the shape and density of a lesion at the origin."""
    nodule = kind != "granuloma"
    n_lobes = int(rng.integers(8, 17)) if nodule else 2
    height = settings.nodules.lobulation if nodule else 0.12
    spiky = nodule and kind != "ground_glass" and rng.random() < settings.nodules.spiculated
    # Mostly in the plane of the slices, where a reader would see them.
    tips = _directions(int(rng.integers(8, 17)) if spiky else 0, (1.0, 1.0, 0.25), rng=rng)
    stretch = np.array([1.0, rng.uniform(0.68, 0.98), rng.uniform(0.65, 0.98)])
    glass = kind in ("ground_glass", "part_solid")
    return Lesion(
        kind=kind,
        centre=np.zeros(3),
        radius=0.5 * diameter_mm / unit_mm,
        frame=_rotation(rng=rng) / stretch,
        lobes=_directions(n_lobes, (1.0, 1.0, 1.0), rng=rng),
        heights=rng.uniform(-0.7, 1.0, n_lobes) * height,
        sharpness=float(rng.uniform(6.0, 20.0)),
        hu=float(rng.uniform(*_density(kind, settings))),
        core_hu=float(rng.uniform(*settings.nodules.solid_hu)),
        spicules=tips * rng.uniform(1.25, 1.75, (len(tips), 1)),
        softness=float(rng.uniform(0.8, 1.8) if glass else rng.uniform(0.0, 0.5)) / unit_mm,
    )


def fit(
    lesion: Lesion, band_mm: Range, geometry: Geometry, lung: Any, *, rng: np.random.Generator
) -> Placed | None:
    """Scale a placed lesion until its mask's largest diameter lies in ``band_mm``.

    Args:
        lung: ``lung(x, y, z)``, distance to the pleura; the lesion ends there.
    """
    target = float(rng.uniform(*band_mm))
    box = _box(lesion, geometry, 1.9 * lesion.radius)
    if any(side.start >= side.stop for side in box):
        return None
    x, y, z = _samples(box, geometry)
    inside = lung(x, y, z) < 0
    for _ in range(7):
        cover = coverage(lesion.distance(x, y, z), geometry.pixel) * inside
        mask = largest_parts(geometry.averaged(cover) > 0.5)
        diameter = diameter_mm(mask, geometry.spacing_mm)
        near = abs(diameter - target) < 0.6 * geometry.spacing_mm
        if near and band_mm[0] <= diameter <= band_mm[1]:
            return Placed(lesion, box, mask, diameter)
        step = np.clip(target / max(diameter, 0.5 * target), 0.7, 1.4)
        lesion = dataclasses.replace(lesion, radius=lesion.radius * float(step))
    return None


def diameter_mm(mask: NDArray[np.bool_], spacing_mm: float) -> float:
    """Largest extent in the plane over all slices of ``mask`` (S, Y, X), 0 if it is empty.

    Between the centres of the outermost pixels, plus one pixel, since those have a width too.
    """
    return max((_extent(plane) + 1 for plane in mask if plane.any()), default=0.0) * spacing_mm


def largest_parts(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected part of every slice (S, Y, X)."""
    out = np.zeros_like(mask)
    for i, plane in enumerate(mask):
        labels, number = ndimage.label(plane, np.ones((3, 3)))
        if number:
            out[i] = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    return out


def _extent(plane: NDArray[np.bool_]) -> float:
    rows = np.flatnonzero(plane.any(axis=1))
    first = plane[rows].argmax(axis=1)
    last = plane.shape[1] - 1 - plane[rows, ::-1].argmax(axis=1)
    points = np.concatenate([np.stack([rows, first], 1), np.stack([rows, last], 1)]).astype(float)
    gaps = points[:, None] - points[None]
    return float(np.sqrt((gaps * gaps).sum(axis=-1).max()))


def _box(lesion: Lesion, geometry: Geometry, reach: float) -> Box:
    """Slices, rows and columns within ``reach`` of the centre; may be empty."""
    low_z, _ = geometry.z_range
    between = geometry.slice_spacing_mm / geometry.unit_mm
    x, y, z = lesion.centre
    thick = 0.5 * geometry.thickness_mm / geometry.unit_mm
    return (
        _window((z - low_z) / between, (reach + thick) / between, geometry.n_slices),
        _window(geometry.centre[0] + y / geometry.pixel, reach / geometry.pixel, geometry.shape[0]),
        _window(geometry.centre[1] + x / geometry.pixel, reach / geometry.pixel, geometry.shape[1]),
    )


def _window(middle: float, reach: float, size: int) -> slice:
    return slice(max(0, int(np.ceil(middle - reach))), min(size, int(np.floor(middle + reach)) + 1))


def _samples(box: Box, geometry: Geometry) -> tuple[Field, Field, Field]:
    z, y, x = geometry.axes(range(box[0].start, box[0].stop))
    return x[None, None, box[2]], y[None, box[1], None], z[:, None, None]


def _density(kind: Kind, settings: PhantomSettings) -> Range:
    if kind == "granuloma":
        return settings.granulomas.hu
    if kind == "solid":
        return settings.nodules.solid_hu
    return settings.nodules.ground_glass_hu


def _directions(
    n: int, spread: tuple[float, float, float], *, rng: np.random.Generator
) -> NDArray[np.float64]:
    vectors = rng.normal(size=(n, 3)) * spread
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _rotation(*, rng: np.random.Generator) -> NDArray[np.float64]:
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    return np.asarray(q * np.sign(np.diag(r)))
