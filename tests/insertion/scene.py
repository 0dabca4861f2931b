"""A lung with noise and vessels, a real nodule and a patch, for tests of insertion."""

from __future__ import annotations

from typing import Any

import numpy as np

from lungaug.crops import Crops
from lungaug.insertion.protocol import Host, Patch

SPACING_MM = (0.8, 0.7)
KEY = "p0/s0/0001"


def disc(shape: tuple[int, int], centre: tuple[float, float], radius: float) -> np.ndarray:
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    return (rows - centre[0]) ** 2 + (cols - centre[1]) ** 2 <= radius**2


def host(seed: int = 0, size: tuple[int, int] = (72, 64), **changes: Any) -> Host:
    """Chest wall around one lung with a few vessels; without a nodule."""
    rng = np.random.default_rng(seed)
    lung = np.zeros(size, np.uint8)
    lung[6:-6, 8:-6] = 1
    hu = np.where(lung, -850, 40) + rng.normal(0, 25, size)
    for row, col in rng.integers((10, 12), (size[0] - 10, size[1] - 10), (5, 2)).tolist():
        hu[disc(size, (row, col), 1.2)] = 30
    lung[(lung > 0) & (hu > -500)] = 2
    images = {"hu": np.rint(hu).astype(np.int16), "nodule": np.zeros(size, np.uint8), "lung": lung}
    return Host(**{"key": KEY, **images, "spacing_mm": SPACING_MM, **changes})


def patch(diameter_mm: float = 7.0, **changes: Any) -> Patch:
    """A bright blob, denser in the middle, in a crop of 32 pixels of 0.75 mm."""
    size = (32, 32)
    rows, cols = np.indices(size)
    away = np.hypot(rows - 15.3, (cols - 16) * 1.2)
    hu = -850 + 800 / (1 + np.exp((away - 6) / 0.7)) - 5 * away
    fields = {
        "index": 3,
        "hu": np.rint(hu).astype(np.int16),
        "mask": away <= 6,
        "spacing_mm": (0.75, 0.75),
        "diameter_mm": diameter_mm,
        "kind": "solid",
        "lung_rads": "LR3",
        "source": "",
    }
    return Patch(**{**fields, **changes})


def crops_of(
    patches: list[Patch], *, donor: str = "", label: int = 0, origin: str = "generated:test"
) -> Crops:
    n = len(patches)
    return Crops(
        diameter_mm=np.array([p.diameter_mm for p in patches], np.float32),
        kind=np.array([p.kind for p in patches]),
        lung_rads=np.array([p.lung_rads for p in patches]),
        hu=np.stack([p.hu for p in patches]),
        mask=np.stack([p.mask for p in patches]),
        patient=np.array([donor.split("/")[0]] * n),
        donor=np.array([donor] * n),
        label=np.full(n, label),
        pose=np.full(n, ""),
        spacing_mm=np.array([p.spacing_mm for p in patches], np.float32),
        origin=np.array([origin] * n),
    )


def slice_with_nodule(
    rim: tuple[float, ...] = (), seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HU, nodule and lung of a slice with one nodule, whose rings have these shares."""
    given = host(seed)
    hu, size = given.hu.astype(float), given.hu.shape
    hu[given.lung > 0] = -850
    mask = disc(size, (35, 34), 5)
    hu[mask] = -50
    ring = np.rint(np.sqrt(_squared_distance(mask)))
    for d, share in enumerate(rim, start=1):
        hu[ring == d] = -850 + share * 800
    lung = given.lung.copy()
    lung[lung == 2] = 1
    lung[mask | ((lung > 0) & (hu > -500))] = 2
    return hu.astype(np.int16), mask.astype(np.uint8), lung


def _squared_distance(mask: np.ndarray) -> np.ndarray:
    rows, cols = np.indices(mask.shape)
    own = np.argwhere(mask)
    away = (rows[..., None] - own[:, 0]) ** 2 + (cols[..., None] - own[:, 1]) ** 2
    return np.asarray(away.min(axis=-1))
