"""Where the pixels of a series lie, in mm and in units of the anatomy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungaug.sources.phantom.settings import PhantomSettings, half_width_mm
from lungaug.sources.phantom.shapes import Field

# Below and above these the default slabs would hold little lung.
_LUNGS_Z = (-0.5, 0.62)


@dataclass(frozen=True)
class Geometry:
    """The grid of one series.

    ``unit_mm`` is half the width of the body, ``centre`` the anatomy's origin in the image (row,
    column; pixels), ``z_mm`` the lowest slice's centre above the anatomy's origin.
    """

    shape: tuple[int, int]
    n_slices: int
    spacing_mm: float
    slice_spacing_mm: float
    thickness_mm: float
    subslices: int
    unit_mm: float
    centre: tuple[float, float]
    z_mm: float

    @property
    def pixel(self) -> float:
        """Width of a pixel in units of the anatomy."""
        return self.spacing_mm / self.unit_mm

    @property
    def z_range(self) -> tuple[float, float]:
        """Centres of the lowest and the highest slice."""
        top = self.z_mm + (self.n_slices - 1) * self.slice_spacing_mm
        return self.z_mm / self.unit_mm, top / self.unit_mm

    def axes(self, slices: range) -> tuple[Field, Field, Field]:
        """Coordinates of the samples through ``slices`` (S * subslices,), rows and columns."""
        within = (np.arange(self.subslices) + 0.5) / self.subslices - 0.5
        z_mm = self.z_mm + np.asarray(slices)[:, None] * self.slice_spacing_mm
        z = (z_mm + within * self.thickness_mm).ravel() / self.unit_mm
        y = (np.arange(self.shape[0]) - self.centre[0]) * self.pixel
        x = (np.arange(self.shape[1]) - self.centre[1]) * self.pixel
        return z.astype(np.float32), y.astype(np.float32), x.astype(np.float32)

    def averaged(self, samples: Field) -> Field:
        """Mean through each slice: (S * subslices, Y, X) to (S, Y, X)."""
        n = len(samples) // self.subslices
        mean = samples.reshape(n, self.subslices, *samples.shape[1:]).mean(axis=1)
        return np.asarray(mean, np.float32)


def draw_geometry(
    settings: PhantomSettings, thickness: float, *, rng: np.random.Generator
) -> Geometry:
    """Draw the grid of one patient; ``thickness`` is that of a slice over their distance."""
    spacing = round(float(rng.uniform(*settings.spacing_mm)), 4)
    between = round(float(rng.uniform(*settings.slice_spacing_mm)) * 4) / 4
    between = min(max(between, settings.slice_spacing_mm[0]), settings.slice_spacing_mm[1])
    number = int(rng.integers(settings.slices[0], settings.slices[1] + 1))
    rows, columns = settings.image
    unit = half_width_mm(settings.image, spacing, float(rng.uniform(*settings.anatomy.fill)))
    shift: NDArray[np.float64] = rng.uniform(-0.02, 0.02, 2) * min(rows, columns)
    height = (number - 1) * between
    return Geometry(
        shape=settings.image,
        n_slices=number,
        spacing_mm=spacing,
        slice_spacing_mm=between,
        thickness_mm=round(between * thickness, 3),
        subslices=settings.subslices,
        unit_mm=unit,
        centre=((rows - 1) / 2 + float(shift[0]), (columns - 1) / 2 + float(shift[1])),
        z_mm=_lowest_z(height, unit, rng=rng),
    )


def _lowest_z(height: float, unit: float, *, rng: np.random.Generator) -> float:
    """Lowest slice of a slab inside the lungs, or of one with the lungs in its middle."""
    low, high = (z * unit for z in _LUNGS_Z)
    place = float(rng.random())
    slack = high - low - height
    return low + place * slack if slack > 0 else low + 0.5 * slack
