"""Branching trees of tapered tubes that fill a lung, and their drawing.

Lengths in units of the body's half-width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungaug.sources.phantom.anatomy import CARINA, HILA, Thorax
from lungaug.sources.phantom.settings import AnatomySettings
from lungaug.sources.phantom.shapes import Field, capsule, coverage

Points = NDArray[np.float64]

# Murray's law says 3; measured pulmonary trees lie between 2.5 and 2.8.
_MURRAY = 2.7
_MARGIN = 0.3
_BRONCHUS = np.array([0.0, 0.02, -0.02])  # from the hilum
_VESSELS = np.array([[0.0, 0.0, 0.03], [0.0, 0.05, -0.04]])  # artery and vein, the same


@dataclass(frozen=True)
class Tubes:
    """Tapered tubes: ends (n, 3) as x, y, z and radii (n, 2)."""

    starts: Points
    ends: Points
    radii: Points

    def thicker(self, by: float) -> Tubes:
        """The same tubes with a wall around them."""
        return Tubes(self.starts, self.ends, self.radii + by)


@dataclass(frozen=True)
class Trees:
    """Blood vessels of both lungs, and airways from the trachea down."""

    blood: Tubes
    airways: Tubes


def draw_trees(
    thorax: Thorax,
    z_range: tuple[float, float],
    unit_mm: float,
    settings: AnatomySettings,
    *,
    rng: np.random.Generator,
) -> Trees:
    """Grow arteries, veins and bronchi of both lungs towards points of the slab ``z_range``."""
    tip = settings.vessel_radius_mm / unit_mm + 0.002
    blood, airways = [], [_trunk()]
    for side in ("right", "left"):
        points = _lung_points(thorax, side, z_range, settings.vessel_density, rng=rng)
        hilum = np.array(HILA[side])
        for offset in _VESSELS:
            chosen = points[rng.random(len(points)) < 0.5]
            blood.append(_grow(hilum + offset, chosen, tip, rng=rng))
        bronchi = points[: max(len(points) // 10, min(len(points), 4))]
        airways.append(_grow(hilum + _BRONCHUS, bronchi, 0.006, rng=rng))
    return Trees(_joined(blood), _joined(airways))


def draw_tubes(volume: Field, tubes: Tubes, axes: tuple[Field, Field, Field], width: float) -> None:
    """Raise ``volume`` (Z, Y, X) in place to the share of each voxel inside a tube.

    Args:
        axes: coordinates of the planes (Z,), rows (Y,) and columns (X,), each ascending.
        width: width of a voxel in the plane.
    """
    z, y, x = axes
    reach = tubes.radii.max(axis=1) + width
    low = np.minimum(tubes.starts, tubes.ends) - reach[:, None]
    high = np.maximum(tubes.starts, tubes.ends) + reach[:, None]
    bounds = [
        (np.searchsorted(axis, low[:, k]), np.searchsorted(axis, high[:, k], "right"))
        for k, axis in ((2, z), (1, y), (0, x))
    ]
    drawn = np.logical_and.reduce([first < last for first, last in bounds])
    for i in np.flatnonzero(drawn):
        box = tuple(slice(first[i], last[i]) for first, last in bounds)
        distance = capsule(
            x[None, None, box[2]],
            y[None, box[1], None],
            z[box[0], None, None],
            tubes.starts[i].tolist(),
            tubes.ends[i].tolist(),
            tubes.radii[i].tolist(),
        )
        np.maximum(volume[box], coverage(distance, width), out=volume[box])


def _trunk() -> Tubes:
    """Trachea and main bronchi."""
    top, carina = np.array([0.0, 0.06, 1.5]), np.array(CARINA)
    ends = [np.array(HILA[side]) + _BRONCHUS for side in ("right", "left")]
    return Tubes(
        np.stack([top, carina, carina]),
        np.stack([carina, *ends]),
        np.array([[0.055, 0.055], [0.045, 0.036], [0.042, 0.033]]),
    )


def _lung_points(
    thorax: Thorax,
    side: str,
    z_range: tuple[float, float],
    density: float,
    *,
    rng: np.random.Generator,
) -> Points:
    """Points (n, 3) of one lung, uniformly in its volume but for a rim below the pleura."""
    low = np.array([-0.9 if side == "right" else 0.0, -0.65, z_range[0] - _MARGIN])
    high = np.array([0.0 if side == "right" else 0.9, 0.65, z_range[1] + _MARGIN])
    number = rng.poisson(2 * density * float(np.prod(high - low)))
    points = rng.uniform(low, high, (number, 3))
    x, y, z = points.astype(np.float32).T
    return points[thorax.lung(x, y, z) < -0.035]


def _grow(root: Points, targets: Points, tip: float, *, rng: np.random.Generator) -> Tubes:
    """A tree from ``root`` to every target: halve the targets, walk towards each half."""
    starts, ends, radii = [], [], []
    waiting = [(root, targets, tip * max(len(targets), 1) ** (1 / _MURRAY))]
    while waiting:
        start, points, thick = waiting.pop()
        if len(points) == 0:
            continue
        radius = tip * len(points) ** (1 / _MURRAY)
        centre = points.mean(axis=0)
        share = 1.0 if len(points) == 1 else rng.uniform(0.3, 0.55)
        end = start + share * (centre - start)
        bend = start + 0.5 * (end - start)
        bend = bend + rng.normal(0, 0.04, 3) * np.linalg.norm(end - start)
        starts += [start, bend]
        ends += [bend, end]
        radii += [(min(thick, 1.4 * radius), radius), (radius, radius)]
        if len(points) > 1:
            first = _halved(points, centre, end - start, rng=rng)
            waiting += [(end, points[first], radius), (end, points[~first], radius)]
    if not starts:
        return Tubes(np.empty((0, 3)), np.empty((0, 3)), np.empty((0, 2)))
    return Tubes(np.array(starts), np.array(ends), np.array(radii))


def _halved(
    points: Points, centre: Points, heading: Points, *, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Split points by a plane along the heading, across their longest remaining extent."""
    offsets = points - centre
    length = float(np.linalg.norm(heading))
    if length > 0:
        unit = heading / length
        offsets = offsets - 0.7 * np.outer(offsets @ unit, unit)
    axis = offsets[int(np.argmax((offsets * offsets).sum(axis=1)))]
    position = offsets @ axis
    cut = np.quantile(position, rng.uniform(0.3, 0.7)) if len(points) > 2 else 0.0
    first = position > cut
    if first.all() or not first.any():
        first = np.arange(len(points)) < len(points) // 2
    return np.asarray(first)


def _joined(tubes: list[Tubes]) -> Tubes:
    return Tubes(
        np.concatenate([t.starts for t in tubes]),
        np.concatenate([t.ends for t in tubes]),
        np.concatenate([t.radii for t in tubes]),
    )
