"""Slices to measure on: real CT where it is at hand, otherwise a drawn thorax."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray

from lungaug.imaging.hu import to_hu
from lungaug.sources.lidc import read_annotations
from lungaug.sources.lidc_consensus import LidcSettings, label_masks

REPOSITORY = Path(__file__).resolve().parent.parent
WHOLE_LUNGS = (
    "covidctmd_normal002_SIEMENS_jpegll",
    "covidctmd_cap002_SIEMENS_jpegll",
    "cptac_C3N-00247_SIEMENS",
    "lidc_0001_GE",
)
WITH_NODULE = {
    "lidc_0001_GE": "69.xml",
    "lidc_0002_GE": "71.xml",
    "lidc_0095_SIEMENS_slice": "257.xml",
}
SIDE = 512
FOV_MM = 340.0


@dataclass(frozen=True, eq=False)
class CtSlice:
    """HU int16 (H, W), nodule labels uint8 (H, W), spacing (row, column) in mm."""

    hu: NDArray[np.int16]
    nodule: NDArray[np.uint8]
    spacing_mm: tuple[float, float]


@dataclass(frozen=True)
class Material:
    """What is measured on, and the words that say so."""

    name: str
    chest: list[CtSlice]  # from apex to base
    nodules: list[CtSlice]  # each with a nodule


def material() -> Material:
    """Real excerpts in ``$LUNGAUG_REAL_DATA`` (default ../shared/data), or drawn slices."""
    default = REPOSITORY.parent / "shared" / "data"
    folder = Path(os.environ.get("LUNGAUG_REAL_DATA", default))
    if all((folder / name).is_dir() for name in (*WHOLE_LUNGS, *WITH_NODULE)):
        chest = [each for name in WHOLE_LUNGS for each in _series(folder / name)]
        nodules = [s for name, xml in WITH_NODULE.items() for s in _annotated(folder / name, xml)]
        return Material("real CT", chest, nodules)
    drawn = [drawn_slice(seed) for seed in range(24)]
    return Material("drawn thorax", drawn, drawn[:8])


def drawn_slice(seed: int, side: int = SIDE) -> CtSlice:
    """A thorax of ellipses with vessels, noise and one nodule on the left."""
    rng = np.random.default_rng(seed)
    hu = np.full((side, side), -1000, np.int16)
    scale = side / 512
    size = 0.75 + 0.25 * rng.random()

    def ellipse(x: float, y: float, a: float, b: float, value: int) -> None:
        centre, axes = (round(x * scale), round(y * scale)), (round(a * scale), round(b * scale))
        cv2.ellipse(hu, centre, axes, 0, 0, 360, value, -1)

    ellipse(256, 262, 225, 165, -100)
    ellipse(256, 262, 212, 152, 45)
    for x in (155, 357):
        ellipse(x, 262, 78 * size, 118 * size, -860)
        for _ in range(40):
            radius = rng.uniform(1, 4)
            dx, dy = rng.uniform(-0.6, 0.6, 2) * (78 * size, 118 * size)
            ellipse(x + dx, 262 + dy, radius, radius, 30)
    ellipse(256, 395, 26, 22, 320)
    before = hu.copy()
    ellipse(155 + rng.uniform(-25, 25), 262 + rng.uniform(-40, 40), 7, 6, 60)
    nodule = (hu != before).astype(np.uint8)
    noise = cv2.GaussianBlur(rng.normal(0, 40, hu.shape), (0, 0), 0.8)
    hu = np.clip(hu + noise, -1024, 32767).astype(np.int16)
    return CtSlice(hu, nodule, (FOV_MM / side, FOV_MM / side))


def _series(folder: Path) -> list[CtSlice]:
    files = [pydicom.dcmread(path) for path in folder.glob("*.dcm")]
    files.sort(key=lambda file: float(file.ImagePositionPatient[2]))
    return [_ct_slice(file) for file in files]


def _ct_slice(file: pydicom.Dataset, nodule: NDArray[np.uint8] | None = None) -> CtSlice:
    hu = to_hu(file.pixel_array, float(file.RescaleSlope), float(file.RescaleIntercept), None)
    row, column = (float(value) for value in file.PixelSpacing)
    return CtSlice(hu, np.zeros(hu.shape, np.uint8) if nodule is None else nodule, (row, column))


def _annotated(folder: Path, xml: str) -> Iterator[CtSlice]:
    files = [pydicom.dcmread(path) for path in folder.glob("*.dcm")]
    by_uid = {str(file.SOPInstanceUID): file for file in files}
    shapes = {uid: (int(file.Rows), int(file.Columns)) for uid, file in by_uid.items()}
    z_mm = {uid: float(file.ImagePositionPatient[2]) for uid, file in by_uid.items()}
    row, column = (float(value) for value in files[0].PixelSpacing)
    marks = read_annotations(folder / xml)
    images, _ = label_masks(marks, shapes, z_mm, (row, column), LidcSettings())
    for uid in sorted(images, key=lambda key: z_mm[key]):
        yield _ct_slice(by_uid[uid], images[uid])
