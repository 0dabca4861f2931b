"""Tissue by tissue into HU: the ideal image before the scanner's blur and noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lungaug.sources.phantom.anatomy import Thorax
from lungaug.sources.phantom.geometry import Geometry
from lungaug.sources.phantom.lesions import Placed
from lungaug.sources.phantom.settings import AnatomySettings
from lungaug.sources.phantom.shapes import Field, coverage
from lungaug.sources.phantom.vessels import Trees, draw_tubes

Axes = tuple[Field, Field, Field]

_AIRWAY_WALL = 0.006
_SKIN_HU = 10.0
_CARTILAGE_HU = 90.0
_DISC_HU = 85.0
_MARROW_HU = 190.0
_LIVER_HU = 55.0
_LYMPH_HU = 30.0
_CANAL_HU = 25.0
_COUCH_HU = -300.0
_WALL_HU = 0.0  # of an airway
_LUMEN_HU = -990.0


@dataclass(frozen=True)
class Densities:
    """HU of one patient's tissues."""

    fat: float
    muscle: float
    blood: float
    bone: float
    parenchyma: float
    texture: float


@dataclass(frozen=True)
class Rendered:
    """Slices (S, Y, X) without noise: HU, and the share of lung in each pixel."""

    hu: Field
    lung: Field


def draw_densities(settings: AnatomySettings, *, rng: np.random.Generator) -> Densities:
    """Draw the densities of one patient's tissues."""
    return Densities(
        fat=settings.fat_hu + float(rng.uniform(-10, 10)),
        muscle=settings.muscle_hu + float(rng.uniform(-10, 10)),
        blood=float(rng.uniform(*settings.blood_hu)),
        bone=float(rng.uniform(*settings.bone_hu)),
        parenchyma=float(rng.uniform(*settings.parenchyma_hu)),
        texture=settings.texture_hu,
    )


def render(
    slices: range,
    geometry: Geometry,
    thorax: Thorax,
    trees: Trees,
    lesions: Sequence[Placed],
    densities: Densities,
) -> Rendered:
    """Draw ``slices`` of the series."""
    axes = geometry.axes(slices)
    scene = _scene(thorax, densities, axes, geometry.pixel)
    hu = np.full(np.broadcast_shapes(scene.x.shape, scene.z.shape), -1000, np.float32)
    _paint_wall(hu, scene)
    _paint_couch(hu, scene, axes)
    _paint_organs(hu, scene)
    _paint_bones(hu, scene)
    lung = coverage(scene.pleura, scene.width)
    _blend(hu, lung, _parenchyma(scene))
    _paint_tubes(hu, scene, trees, axes)
    for placed in lesions:
        _paint_lesion(hu, placed, axes, lung, geometry)
    return Rendered(geometry.averaged(hu), geometry.averaged(lung))


@dataclass(frozen=True)
class _Scene:
    """One patient's shapes on a grid of samples (Z, Y, X): warped coordinates and distances."""

    thorax: Thorax
    densities: Densities
    width: float  # of a pixel
    x: Field
    y: Field
    z: Field
    cavity: Field
    great: Field
    heart: Field
    diaphragm: Field
    pleura: Field


def _scene(thorax: Thorax, densities: Densities, axes: Axes, width: float) -> _Scene:
    z, y, x = axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]
    x, y = (np.asarray(a, np.float32) for a in thorax.warped(x, y, z))
    cavity = thorax.cavity(x, y, z)
    great, heart = thorax.great_vessels(x, y, z), thorax.heart_surface(x, y, z)
    diaphragm = thorax.diaphragm_surface(x, y, z)
    middle = thorax.mediastinum(x, y, z, great, heart)
    pleura = thorax.lung_from(cavity, middle, diaphragm)
    return _Scene(thorax, densities, width, x, y, z, cavity, great, heart, diaphragm, pleura)


def _blend(hu: Field, share: Any, value: Any) -> None:
    hu += share * (value - hu)


def _fill(hu: Field, scene: _Scene, distance: Any, value: Any) -> None:
    """Paint the inside of a surface over what is there."""
    _blend(hu, coverage(distance, scene.width), np.asarray(value, np.float32))


def _paint_wall(hu: Field, scene: _Scene) -> None:
    """Skin, fat and the muscles of the chest wall."""
    x, y, z, cavity = scene.x, scene.y, scene.z, scene.cavity
    skin = scene.thorax.body(x, y, z)
    _fill(hu, scene, skin, _SKIN_HU)
    _fill(hu, scene, skin + np.float32(0.018), scene.densities.fat)
    intercostal = np.abs(cavity - np.float32(0.05)) - np.float32(0.034)
    # Thick at the back, and at the front above the heart.
    back = 0.035 * np.clip(y * 2 + 0.2, 0, 1)
    thick = back + 0.035 * np.clip(-y * 3 - 0.3, 0, 1) * np.clip(z * 3 + 0.4, 0, 1)
    outer = np.abs(cavity - np.float32(0.105) - thick) - thick
    side = np.abs(x) - np.float32(0.13)
    beside_spine = np.sqrt((side / 0.12) ** 2 + ((y - 0.6) / 0.085) ** 2) - 1
    muscle = np.minimum(np.minimum(intercostal, outer), beside_spine * np.float32(0.085))
    streaks = scene.densities.muscle + 12 * np.sin(60 * cavity + 9 * x)
    _fill(hu, scene, np.maximum(muscle, skin + np.float32(0.03)), streaks)


def _paint_couch(hu: Field, scene: _Scene, axes: Axes) -> None:
    """Two thin curved shells under the back, where there is air."""
    if not scene.thorax.couch:
        return
    y, x = axes[1][None, :, None], axes[2][None, None, :]
    surface = y - np.float32(scene.thorax.depth + 0.05) + 0.08 * x * x
    shell = np.abs(np.abs(surface - np.float32(0.05)) - np.float32(0.04)) - np.float32(0.006)
    _blend(hu, coverage(shell, scene.width) * (hu < -900), np.float32(_COUCH_HU))


def _paint_organs(hu: Field, scene: _Scene) -> None:
    """Mediastinum and what lies below the diaphragm; the lungs are painted over it."""
    x, y, z, cavity, tissue = scene.x, scene.y, scene.z, scene.cavity, scene.densities
    _fill(hu, scene, cavity, tissue.fat + 10)
    below = np.maximum(cavity + np.float32(0.02), scene.diaphragm + np.float32(0.01))
    _fill(hu, scene, below, np.where(x < 0.05, _LIVER_HU, _LIVER_HU - 15))
    nodes = np.sin(23 * x + 2) * np.sin(19 * y) * np.sin(17 * z + 1) - np.float32(0.45)
    _fill(hu, scene, np.maximum(nodes * 0.05, cavity + np.float32(0.03)), _LYMPH_HU)
    _fill(hu, scene, scene.heart + np.float32(0.03), tissue.muscle)
    chambers = np.sin(9 * x + 1) * np.sin(8 * y + 2) * 0.05 + scene.heart + np.float32(0.09)
    _fill(hu, scene, chambers, tissue.blood)
    gullet = np.sqrt((x - 0.05) ** 2 + (y - np.float32(0.19)) ** 2)
    _fill(hu, scene, gullet - np.float32(0.04), tissue.muscle - 10)
    _fill(hu, scene, scene.great - np.float32(0.008), tissue.muscle - 15)
    _fill(hu, scene, scene.great, tissue.blood)


def _paint_bones(hu: Field, scene: _Scene) -> None:
    """Ribs, breastbone and shoulder blades, each a dense shell around marrow; then the spine."""
    x, y, z, cavity = scene.x, scene.y, scene.z, scene.cavity
    thorax, bone = scene.thorax, scene.densities.bone
    front = np.clip(-y / np.float32(thorax.depth) * 6 - 3.4, 0, 1)
    ribs = thorax.ribs(y, z, cavity)
    shell = bone + front * np.float32(_CARTILAGE_HU - bone)
    _fill(hu, scene, ribs, shell)
    _fill(hu, scene, ribs + np.float32(0.014), np.minimum(shell, np.float32(_MARROW_HU)))
    inner = thorax.depth * 0.98 - 0.8 * thorax.wall
    sternum = np.sqrt((x / 0.11) ** 2 + ((y + np.float32(inner + 0.065)) / 0.033) ** 2) - 1
    blade = np.maximum(np.abs(cavity - np.float32(0.145)) - np.float32(0.014), 0.12 - y)
    blade = np.maximum(blade, np.abs(np.abs(x) - np.float32(0.5)) - np.float32(0.2))
    blade = np.maximum(blade, 0.1 - z)
    for flat in (sternum * np.float32(0.033), blade):
        _fill(hu, scene, flat, 0.75 * bone)
        _fill(hu, scene, flat + np.float32(0.012), _MARROW_HU)
    _paint_spine(hu, scene)


def _paint_spine(hu: Field, scene: _Scene) -> None:
    thorax, bone = scene.thorax, scene.densities.bone
    vertebra, disc = thorax.vertebra(scene.x, scene.y), thorax.disc(scene.z)
    _fill(hu, scene, vertebra, 0.7 * bone + disc * (_DISC_HU - 0.7 * bone))
    inside = _MARROW_HU + disc * (_DISC_HU - _MARROW_HU)
    _fill(hu, scene, vertebra + np.float32(0.016), inside)
    arch, canal = thorax.posterior_arch(scene.x, scene.y, scene.z)
    _fill(hu, scene, arch, 0.65 * bone)
    _fill(hu, scene, canal, _CANAL_HU)


def _parenchyma(scene: _Scene) -> Field:
    """Aerated lung: denser towards the back, with a fissure and what the back's weight closes."""
    x, y, z, tissue = scene.x, scene.y, scene.z, scene.densities
    hu = tissue.parenchyma + 55 * y
    clouds = np.sin(11 * x + 3 * z) * np.sin(9 * y - 5 * z) + np.sin(5 * x - 7 * y + 4 * z)
    hu = hu + np.float32(0.5 * tissue.texture) * clouds
    sheet = y + 0.6 * z - np.float32(0.06) + 0.03 * np.sin(7 * x)
    sheet = (sheet / np.float32(0.7 * scene.width)) ** 2
    hu = hu + 70 / (1 + sheet * sheet)
    if scene.thorax.atelectasis:
        near = np.clip(1 + (scene.pleura + 0.01) / 0.09, 0, 1) * np.clip(4 * y - 0.8, 0, 1)
        hu = hu + np.float32(scene.thorax.atelectasis) * near
    return np.asarray(hu, np.float32)


def _paint_tubes(hu: Field, scene: _Scene, trees: Trees, axes: Axes) -> None:
    """Vessels, then the walls of the airways, then the air in them."""
    # Growth towards targets may cut a corner of the chest wall: nothing branches there.
    within = coverage(scene.cavity + np.float32(0.01), scene.width)
    for tubes, value in (
        (trees.blood, scene.densities.blood),
        (trees.airways.thicker(_AIRWAY_WALL), _WALL_HU),
        (trees.airways, _LUMEN_HU),
    ):
        share = np.zeros_like(hu)
        draw_tubes(share, tubes, axes, scene.width)
        _blend(hu, share * within, np.float32(value))


def _paint_lesion(hu: Field, placed: Placed, axes: Axes, lung: Field, geometry: Geometry) -> None:
    """Raise the lung inside a lesion to its density; vessels stay visible in ground glass."""
    lesion, width = placed.lesion, geometry.pixel
    reach = 2.2 * lesion.radius
    window = [
        slice(*np.searchsorted(axis, (centre - reach, centre + reach)))
        for axis, centre in zip(axes, lesion.centre[::-1], strict=True)
    ]
    if any(side.start >= side.stop for side in window):
        return
    box = tuple(window)
    z, y, x = (axis[side] for axis, side in zip(axes, window, strict=True))
    grid = (x[None, None, :], y[None, :, None], z[:, None, None])
    share = coverage(lesion.distance(*grid), width + lesion.softness) * lung[box]
    grain = np.sin(70 * grid[0] + 31 * grid[2]) * np.sin(60 * grid[1] - 43 * grid[2])
    _raise(hu[box], share, lesion.hu + np.float32(45) * grain)
    if lesion.kind == "part_solid":
        core = coverage(lesion.core(*grid), width + lesion.softness)
        _raise(hu[box], core * share, np.float32(lesion.core_hu))
    if len(lesion.spicules):
        spikes = np.zeros_like(share)
        draw_tubes(spikes, lesion.spicule_tubes(geometry.unit_mm), (z, y, x), width)
        _raise(hu[box], 0.7 * spikes * lung[box], np.float32(min(lesion.hu, -50.0)))


def _raise(hu: Field, share: Any, value: Any) -> None:
    hu += share * np.maximum(value - hu, 0)
