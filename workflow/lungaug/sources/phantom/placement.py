"""Where in the lungs nodules and granulomas lie."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lungaug.errors import SettingError
from lungaug.sources.phantom.anatomy import HILA, Thorax
from lungaug.sources.phantom.geometry import Geometry
from lungaug.sources.phantom.lesions import Kind, Lesion, Placed, draw_lesion, fit
from lungaug.sources.phantom.settings import NoduleSettings, PhantomSettings, Range
from lungaug.sources.phantom.vessels import Tubes

Site = Literal["free", "pleural", "vascular"]
Points = NDArray[np.float64]

_ATTEMPTS = 60
_CANDIDATES = 4000
# Gap to mediastinum, spine and diaphragm in radii: on one slice, nothing would tell from them what
# touches them broadly or is wedged into their corner with the chest wall.
_CLEARANCE = 0.5
_PLEURAL_CLEARANCE = 1.0


@dataclass(frozen=True)
class Ground:
    """Where lesions can lie: points of the lungs (n, 3), and their distances inwards.

    ``depth`` is the distance from any pleura, ``wall`` that from the chest wall, ``middle`` that
    from mediastinum, spine and diaphragm.
    """

    thorax: Thorax
    geometry: Geometry
    settings: PhantomSettings
    points: Points
    depth: NDArray[np.float32]
    wall: NDArray[np.float32]
    middle: NDArray[np.float32]
    vessels: Points  # (m, 3): points on vessels


def survey(
    thorax: Thorax,
    blood: Tubes,
    geometry: Geometry,
    settings: PhantomSettings,
    *,
    rng: np.random.Generator,
) -> Ground:
    """Sample the lungs of the slab."""
    _, y, x = geometry.axes(range(geometry.n_slices))
    low = np.array([max(x[0], -0.95), max(y[0], -0.7), geometry.z_range[0]])
    high = np.array([min(x[-1], 0.95), min(y[-1], 0.7), geometry.z_range[1] + 1e-6])
    points = rng.uniform(low, high, (_CANDIDATES, 3))
    depth = -thorax.lung(*points.astype(np.float32).T)
    points, depth = points[depth > 0], depth[depth > 0]
    wall, middle = thorax.depths(*points.astype(np.float32).T)
    middles = 0.5 * (blood.starts + blood.ends)
    in_slab = (middles[:, 2] >= low[2]) & (middles[:, 2] <= high[2])
    return Ground(thorax, geometry, settings, points, depth, wall, middle, middles[in_slab])


def place_nodules(lung_rads: str, ground: Ground, *, rng: np.random.Generator) -> list[Placed]:
    """The largest nodule, which makes the patient's class, and smaller ones.

    Raises:
        SettingError: the lungs of this image do not hold a nodule of that class.
    """
    if lung_rads == "LR1":
        return []
    settings = ground.settings.nodules
    limits = getattr(settings.diameter_mm, lung_rads)
    band = safe_band(limits, lung_rads, ground.geometry.spacing_mm)
    largest = _place(_draw_kind(settings, rng=rng), band, [], ground, rng=rng)
    if largest is None:
        raise _no_room(lung_rads, limits, ground.geometry)
    placed = [largest]
    high = min(settings.extra_mm[1], largest.diameter_mm)
    small = (min(settings.extra_mm[0], high), high)
    for _ in range(int(rng.integers(settings.extra[0], settings.extra[1] + 1))):
        further = _place(_draw_kind(settings, rng=rng), small, placed, ground, rng=rng)
        placed += [further] if further else []
    return placed


def place_granulomas(
    nodules: list[Placed], ground: Ground, *, rng: np.random.Generator
) -> list[Placed]:
    """Calcified granulomas away from the nodules."""
    placed: list[Placed] = []
    settings = ground.settings.granulomas
    low, high = settings.diameter_mm
    band = low, high + ground.geometry.spacing_mm
    for _ in range(int(rng.integers(settings.count[0], settings.count[1] + 1))):
        found = _place("granuloma", band, nodules + placed, ground, rng=rng)
        placed += [found] if found else []
    return placed


def _no_room(lung_rads: str, limits: Range, geometry: Geometry) -> SettingError:
    rows, columns = geometry.shape
    return SettingError(
        f"phantom.nodules.diameter_mm.{lung_rads}: got {list(limits)}; accepted: what fits into "
        f"the lungs of {geometry.n_slices} slices of {rows}x{columns} pixels of "
        f"{geometry.spacing_mm} mm; make image, spacing_mm or slices larger"
    )


def safe_band(limits: Range, lung_rads: str, spacing_mm: float) -> Range:
    """Diameters that stay in their class however the width of a pixel is counted.

    A mask is measured between the centres of its outer pixels, or between their borders, which
    lie up to 1.42 pixels further apart. Where pixels are too coarse for that, the class itself.
    """
    low = limits[0] + (0.5 if lung_rads == "LR2" else 1.0) * spacing_mm
    high = limits[1] - 0.45 * spacing_mm
    if high - low < 0.4 * spacing_mm:
        return limits[0], limits[1] - 1e-3
    return low, high


def _place(
    kind: Kind, band: Range, others: list[Placed], ground: Ground, *, rng: np.random.Generator
) -> Placed | None:
    """A lesion somewhere in the lungs, or None where no attempt succeeds.

    The first that keeps its clearance or, in lungs too narrow for that, the one with most.
    """
    geometry, site = ground.geometry, _draw_site(ground.settings.nodules, rng=rng)
    best, largest = None, -np.inf
    for centre, diameter in _sites(site, band, ground, rng=rng):
        lesion = draw_lesion(kind, diameter, geometry.unit_mm, ground.settings, rng=rng)
        lesion = dataclasses.replace(lesion, centre=centre)
        if not _clear(lesion, others):
            continue
        found = fit(lesion, band, geometry, ground.thorax.lung, rng=rng)
        gap = _clearance(found.lesion, ground.thorax) if found else -np.inf
        if gap > largest:
            best, largest = found, gap
        if gap >= _CLEARANCE:
            break
    return best


def _sites(
    site: Site, band: Range, ground: Ground, *, rng: np.random.Generator
) -> Iterator[tuple[Points, float]]:
    """Centres to try, the asked site first; then the roomiest parts of the lung."""
    for attempt in range(_ATTEMPTS if len(ground.points) else 0):
        diameter = float(rng.uniform(*band))
        radius = 0.5 * diameter / ground.geometry.unit_mm
        if site == "vascular" and attempt < _ATTEMPTS // 3 and len(ground.vessels):
            start = ground.vessels[int(rng.integers(len(ground.vessels)))]
            away = rng.normal(size=3) * (1.0, 1.0, 0.3)
            yield start + 0.85 * radius * away / np.linalg.norm(away), diameter
            continue
        if site == "pleural":
            fits = (ground.wall > 0.35 * radius) & (ground.wall < 0.8 * radius)
            fits &= ground.middle > (1 + _PLEURAL_CLEARANCE) * radius
        else:
            fits = ground.depth > 1.05 * radius
        if not fits.any() or attempt >= _ATTEMPTS // 2:
            # Large ones may lean on the chest wall, and nowhere else.
            room = np.minimum(ground.wall + 0.5 * radius, ground.middle)
            fits = room >= np.quantile(room, 0.8)
        yield ground.points[int(rng.choice(np.flatnonzero(fits)))], diameter


def _clearance(lesion: Lesion, thorax: Thorax) -> float:
    """Gap between a lesion and mediastinum, spine or diaphragm, in its radii."""
    _, middle = thorax.depths(*lesion.centre.astype(np.float32)[:, None])
    return float(middle[0]) / lesion.radius - 1


def _clear(lesion: Lesion, others: list[Placed]) -> bool:
    """Away from the hila, where nothing would tell it from the great vessels, and from others."""
    hila = [np.linalg.norm(lesion.centre - np.array(h)) for h in HILA.values()]
    if min(hila) < 0.1 + lesion.radius:
        return False
    return all(
        np.linalg.norm(lesion.centre - o.lesion.centre) > 1.6 * (lesion.radius + o.lesion.radius)
        for o in others
    )


def _draw_kind(settings: NoduleSettings, *, rng: np.random.Generator) -> Kind:
    kinds: list[Kind] = ["solid", "part_solid", "ground_glass"]
    weights = np.array([getattr(settings, kind) for kind in kinds])
    return kinds[int(rng.choice(3, p=weights / weights.sum()))]


def _draw_site(settings: NoduleSettings, *, rng: np.random.Generator) -> Site:
    place = float(rng.random())
    if place < settings.pleural:
        return "pleural"
    return "vascular" if place < settings.pleural + settings.vascular else "free"
