"""Implicit shapes: signed distances, negative inside, on arrays that broadcast.

Lengths are in units of the body's half-width unless a docstring says mm. Distances need not be
exact far from a surface: they are only compared near it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Point = tuple[float, float, float]


def coverage(distance: Field, width: float) -> Field:
    """Share of a voxel inside a surface, from its signed distance and the voxel's width."""
    return np.asarray(np.clip(0.5 - distance / np.float32(width), 0, 1))


def smooth_min(first: Any, second: Any, radius: float) -> Any:
    """Union of two shapes whose crease is rounded with ``radius``.

    References:
        The polynomial smooth minimum of I. Quilez, "smooth minimum".
    """
    overlap = np.maximum(np.float32(radius) - np.abs(first - second), 0)
    return np.minimum(first, second) - overlap * overlap * np.float32(0.25 / radius)


def smooth_max(first: Any, second: Any, radius: float) -> Any:
    """Intersection of two shapes whose edge is rounded with ``radius``."""
    return -smooth_min(-first, -second, radius)


def rounded_box_norm(u: Any, v: Any, squareness: float) -> Any:
    """Gauge of a shape between an ellipse (0) and a rounded rectangle (1); 1 on its surface."""
    u2, v2 = u * u, v * v
    ellipse = np.sqrt(u2 + v2)
    square = np.sqrt(np.sqrt(u2 * u2 + v2 * v2))
    return ellipse + np.float32(squareness) * (square - ellipse)


def oval(x: Any, y: Any, half_x: Any, half_y: Any, squareness: float = 0.0) -> Any:
    """Distance along the radius to an oval around the origin."""
    gauge = np.maximum(rounded_box_norm(x / half_x, y / half_y, squareness), np.float32(1e-3))
    return np.sqrt(x * x + y * y) * (1 - 1 / gauge)


def ellipsoid(x: Any, y: Any, z: Any, centre: Point, radii: Point) -> Any:
    """Distance to an ellipsoid, to first order."""
    u = ((x - np.float32(centre[0])) / np.float32(radii[0])) ** 2
    u = u + ((y - np.float32(centre[1])) / np.float32(radii[1])) ** 2
    u = u + ((z - np.float32(centre[2])) / np.float32(radii[2])) ** 2
    return (np.sqrt(u) - 1) * np.float32(min(radii))


def capsule(x: Any, y: Any, z: Any, start: Any, end: Any, radii: Any) -> Any:
    """Distance to a tapered tube from ``start`` to ``end`` with rounded ends."""
    (ax, ay, az), (bx, by, bz) = start, end
    dx, dy, dz = bx - ax, by - ay, bz - az
    length2 = max(dx * dx + dy * dy + dz * dz, 1e-9)
    px, py, pz = x - np.float32(ax), y - np.float32(ay), z - np.float32(az)
    along = px * np.float32(dx / length2) + py * np.float32(dy / length2)
    along = np.clip(along + pz * np.float32(dz / length2), 0, 1)
    px = px - along * np.float32(dx)
    py = py - along * np.float32(dy)
    pz = pz - along * np.float32(dz)
    radius = np.float32(radii[0]) + along * np.float32(radii[1] - radii[0])
    return np.sqrt(px * px + py * py + pz * pz) - radius
