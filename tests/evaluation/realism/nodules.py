"""Synthetic nodules for the tests of realism."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lungaug.evaluation.realism.material import Nodule
from lungaug.imaging.crop import Crop

SIDE = 64


def textured_crop(
    seed: int, radius: float = 9.0, centre: tuple[float, float] = (31.5, 31.5)
) -> Crop:
    """A lobulated nodule with coarse texture in noisy lung, its own for each seed."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:SIDE, :SIDE].astype(float)
    angle = np.arctan2(rows - centre[0], cols - centre[1])
    wave = sum(rng.uniform(-0.15, 0.15) * np.cos(k * angle + rng.uniform(0, 6)) for k in (2, 3, 4))
    mask = np.hypot(rows - centre[0], cols - centre[1]) < radius * (1 + wave)
    texture = np.kron(rng.normal(0, 120, (SIDE // 4, SIDE // 4)), np.ones((4, 4)))
    hu = rng.normal(-850, 25, (SIDE, SIDE)) + mask * (820 + texture)
    return Crop(hu.astype(np.int16), mask, 2 * radius * 0.75, "solid", (0.75, 0.75))


def nodule(
    patient: str,
    hu: NDArray[np.int16],
    mask: NDArray[np.bool_],
    others: frozenset[str] = frozenset(),
    crop: Crop | None = None,
) -> Nodule:
    """A nodule of one patient, with others' pixels if asked for."""
    return Nodule(
        key=f"{patient}/s0/0001",
        label=1,
        patient=patient,
        owner=patient,
        diameter_mm=5.0,
        patients=frozenset({patient}) | others,
        hu=hu,
        mask=mask,
        taken=np.zeros_like(mask),
        crop=crop,
        view=np.zeros((64, 64), np.float32),
    )


def disc_in_lung(
    rng: np.random.Generator, rim_hu: float = 0.0, inside_hu: float = 0.0
) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """(25, 25) HU and mask of a disc; the two rings around it are brighter by ``rim_hu``."""
    rows, cols = np.mgrid[:25, :25] - 12
    distance = np.hypot(rows, cols)
    mask = distance < 5
    hu = rng.normal(-850, 30, mask.shape) + rim_hu * ((distance >= 5) & (distance < 7))
    hu[mask] = inside_hu
    return hu.astype(np.int16), mask
