"""The thorax as implicit shapes: body wall, bones, mediastinum, diaphragm, lungs.

Axes: x to the patient's left, y to the back, z to the head (DICOM's patient axes), in units of the
body's half-width, the origin in the middle of the chest near the carina.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungaug.sources.phantom.settings import DEPTH, AnatomySettings
from lungaug.sources.phantom.shapes import (
    Field,
    capsule,
    ellipsoid,
    oval,
    smooth_max,
    smooth_min,
)

# start, end, radius: (x, y, z) of the great vessels.
GREAT_VESSELS = (
    ((0.00, -0.10, -0.10), (-0.06, -0.14, 0.24), 0.095),  # ascending aorta
    ((-0.06, -0.14, 0.24), (0.04, 0.02, 0.32), 0.09),  # arch
    ((0.04, 0.02, 0.32), (0.14, 0.22, 0.26), 0.085),
    ((0.14, 0.22, 0.26), (0.13, 0.26, -1.5), 0.08),  # descending aorta
    ((-0.17, -0.12, -0.15), (-0.15, -0.10, 0.55), 0.055),  # superior vena cava
    ((0.10, -0.22, -0.12), (0.08, -0.04, 0.08), 0.085),  # pulmonary trunk
    ((0.06, -0.03, 0.06), (-0.25, 0.01, 0.01), 0.065),  # right pulmonary artery
    ((0.08, -0.03, 0.08), (0.26, 0.06, 0.05), 0.065),  # left pulmonary artery
    ((-0.02, -0.06, 0.34), (-0.12, -0.08, 1.2), 0.045),  # brachiocephalic
    ((0.06, 0.00, 0.34), (0.09, 0.00, 1.2), 0.04),  # left carotid
    ((0.12, 0.10, 0.30), (0.18, 0.08, 1.2), 0.04),  # left subclavian
)
CARINA = (0.0, 0.09, 0.14)
HILA = {"right": (-0.27, 0.05, 0.0), "left": (0.27, 0.06, 0.0)}
_SPINE_Y = 0.36
_RIB_PERIOD = 0.17
_VERTEBRA = 0.2


@dataclass(frozen=True)
class Thorax:
    """One patient's anatomy; every array function takes coordinates that broadcast."""

    waves_x: NDArray[np.float32]  # (n, 4): amplitude, and frequency along y, along z, and phase
    waves_y: NDArray[np.float32]  # (n, 4): the same along x and z
    depth: float  # half of the body's depth
    wall: float  # thickness of the chest wall at the side
    squareness: float
    girth: float  # of the middle of the mediastinum
    heart: tuple[float, float, float]  # half-axes
    domes: tuple[float, float]  # height of the right and the left diaphragm
    diaphragm: float  # z of its border
    spine_x: float
    rib_phase: float
    couch: bool
    atelectasis: float  # HU added in the dependent lung

    def warped(self, x: Any, y: Any, z: Any) -> tuple[Any, Any]:
        """Coordinates in which this patient's organs have their textbook shapes."""
        return x + _waves(self.waves_x, y, z), y + _waves(self.waves_y, x, z)

    def body(self, x: Any, y: Any, z: Any) -> Any:
        """Distance to the skin."""
        narrowing = 1 - 0.12 * np.clip(z - 0.55, 0, 1)
        return oval(x, y, narrowing, narrowing * np.float32(self.depth), self.squareness)

    def cavity(self, x: Any, y: Any, z: Any) -> Any:
        """Distance to the inside of the ribs."""
        rise = np.clip((z - 0.1) / 0.85, 0, 1)
        scale = np.sqrt(np.maximum(1 - rise * rise, np.float32(0.02)))
        # Wider at the back than at the front.
        half_x = scale * np.float32(1 - self.wall) * (1 + 0.1 * np.clip(y / self.depth, -1, 0.4))
        half_y = scale * np.float32(self.depth - 0.8 * self.wall)
        return oval(x, y + np.float32(0.015), half_x, half_y, 0.2)

    def vertebra(self, x: Any, y: Any) -> Any:
        """Distance to the vertebral body, in the plane."""
        return oval(x - np.float32(self.spine_x), y - np.float32(_SPINE_Y), 0.145, 0.12, 0.5)

    def great_vessels(self, x: Any, y: Any, z: Any) -> Any:
        """Distance to the great vessels."""
        low, high = float(np.min(z)), float(np.max(z))
        distance: Any = np.float32(1.0)
        for start, end, radius in GREAT_VESSELS:
            # A tube that ends far above or below cannot be the nearest one.
            if min(start[2], end[2]) - 0.3 < high and max(start[2], end[2]) + 0.3 > low:
                tube = capsule(x, y, z, start, end, (radius, radius))
                distance = np.minimum(distance, tube)
        return distance

    def heart_surface(self, x: Any, y: Any, z: Any) -> Any:
        """Distance to the pericardium."""
        return ellipsoid(x, y, z, (0.15, -0.13, -0.45), self.heart)

    def mediastinum(self, x: Any, y: Any, z: Any, great: Any, heart: Any) -> Any:
        """Distance to what lies between the lungs, spine included."""
        width = np.float32(0.018) + self.girth / (1 + ((y - 0.02) / np.float32(0.22)) ** 4)
        sheet = np.abs(x - np.float32(0.02)) - width
        union = smooth_min(sheet, great - np.float32(0.02), 0.06)
        union = smooth_min(union, heart, 0.08)
        return smooth_min(union, self.vertebra(x, y) - np.float32(0.015), 0.06)

    def diaphragm_surface(self, x: Any, y: Any, z: Any) -> Any:
        """Distance to the domes; negative below them."""
        aside = ((np.abs(x) - np.float32(0.42)) / np.float32(0.36)) ** 2
        dome = 1 / (1 + aside + ((y + 0.05) / np.float32(0.5)) ** 2) ** 2
        height = np.where(x < 0, np.float32(self.domes[0]), np.float32(self.domes[1]))
        return (z - np.float32(self.diaphragm) - height * dome) * np.float32(0.75)

    def lung_from(self, cavity: Any, mediastinum: Any, diaphragm: Any) -> Any:
        """Distance to the pleura of either lung, from the fields around it."""
        inside = smooth_max(cavity, -mediastinum, 0.05)
        return smooth_max(inside, -diaphragm, 0.04)

    def lung(self, x: Any, y: Any, z: Any) -> Field:
        """Distance to the pleura of either lung."""
        return np.asarray(self.lung_from(*self._around(x, y, z)))

    def depths(self, x: Any, y: Any, z: Any) -> tuple[Field, Field]:
        """Distances inwards from the chest wall, and from mediastinum, spine and diaphragm."""
        cavity, mediastinum, diaphragm = self._around(x, y, z)
        return np.asarray(-cavity), np.asarray(np.minimum(mediastinum, diaphragm))

    def _around(self, x: Any, y: Any, z: Any) -> tuple[Any, Any, Any]:
        """Distances to the inside of the ribs, to the mediastinum and to the diaphragm."""
        x, y = self.warped(x, y, z)
        great, heart = self.great_vessels(x, y, z), self.heart_surface(x, y, z)
        middle = self.mediastinum(x, y, z, great, heart)
        return self.cavity(x, y, z), middle, self.diaphragm_surface(x, y, z)

    def ribs(self, y: Any, z: Any, cavity: Any) -> Any:
        """Distance to the ribs, which slope down towards the front."""
        front = 0.5 - y * np.float32(0.5 / self.depth)
        turns = (z + front * np.float32(0.8)) / _RIB_PERIOD + np.float32(self.rib_phase)
        aside = (turns - np.floor(turns) - 0.5) * np.float32(_RIB_PERIOD / 0.036)
        across = (cavity - np.float32(0.05)) * np.float32(1 / 0.026)
        return (np.sqrt(aside * aside + across * across) - 1) * np.float32(0.026)

    def posterior_arch(self, x: Any, y: Any, z: Any) -> tuple[Any, Any]:
        """Distances to lamina, transverse and spinous processes, and to the spinal canal."""
        side, back = np.abs(x - np.float32(self.spine_x)), y - np.float32(_SPINE_Y)
        swing = (0.5 + 0.5 * np.cos(z * np.float32(2 * np.pi / _VERTEBRA))).astype(np.float32)
        canal = np.sqrt(side * side + (back - np.float32(0.17)) ** 2) - np.float32(0.055)
        lamina = np.maximum(canal - np.float32(0.028), -canal)
        zero = np.float32(0)
        wing = capsule(side, back, zero, (0.05, 0.16, 0), (0.25, 0.2, 0), (0.03, 0.022))
        thorn = capsule(side, back, zero, (0, 0.24, 0), (0, 0.33, 0), (0.022, 0.02))
        arch = np.minimum(np.minimum(lamina, thorn), wing + (1 - swing) * np.float32(0.04))
        return arch, canal

    def disc(self, z: Any) -> Any:
        """1 between two vertebrae, 0 inside them; a function of z."""
        turns = z / _VERTEBRA + 0.5
        return (np.abs(turns - np.floor(turns) - 0.5) < 0.12).astype(np.float32)


def draw_thorax(settings: AnatomySettings, *, rng: np.random.Generator) -> Thorax:
    """Draw one patient's anatomy."""
    between = rng.uniform
    return Thorax(
        waves_x=_draw_waves(rng),
        waves_y=_draw_waves(rng),
        depth=DEPTH * between(0.94, 1.02),
        wall=between(0.17, 0.26),
        squareness=between(0.15, 0.5),
        girth=between(0.08, 0.14),
        heart=(between(0.34, 0.44), between(0.27, 0.34), between(0.36, 0.46)),
        domes=(between(0.3, 0.42), between(0.22, 0.36)),
        diaphragm=between(-0.78, -0.62),
        spine_x=between(-0.02, 0.02),
        rib_phase=between(0, 1),
        couch=bool(rng.random() < settings.couch),
        atelectasis=max(0.0, between(-60, 140)),
    )


def _draw_waves(rng: np.random.Generator) -> NDArray[np.float32]:
    n = 4
    columns = [
        rng.uniform(0.006, 0.022, n),
        rng.uniform(2.0, 8.0, n),
        rng.uniform(-3.0, 3.0, n),
        rng.uniform(0, 2 * np.pi, n),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _waves(waves: NDArray[np.float32], u: Any, z: Any) -> Any:
    total: Any = np.float32(0)
    for amplitude, along_u, along_z, phase in waves:
        total = total + amplitude * np.sin(along_u * u + along_z * z + phase)
    return total
