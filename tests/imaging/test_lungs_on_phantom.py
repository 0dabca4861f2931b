"""Lungs on the phantom of the demo configuration: nodules stay inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from lungaug.imaging.hu import to_hu
from lungaug.imaging.lungs import segment_lungs
from lungaug.settings import from_mapping
from lungaug.sources.phantom.patient import draw_patient, slices_of
from lungaug.sources.phantom.scanners import stored
from lungaug.sources.phantom.settings import PhantomSettings

CONFIG = Path(__file__).resolve().parents[2] / "config.yaml"
# Small nodules count few pixels: what is lost is lost from the large ones.
CLASSES = ("LR3", "LR4A", "LR4B")


def demo(**nodules: Any) -> PhantomSettings:
    values = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["phantom"]
    values["nodules"].update(nodules)
    return from_mapping(PhantomSettings, {**values, "seed": 1, "slices": [7, 8]}, "phantom")


def share_inside(settings: PhantomSettings, lung_rads: str, number: int) -> tuple[int, int]:
    """Nodule pixels of a patient inside the lung mask, and all."""
    patient = draw_patient(settings, lung_rads, number)
    scanner, spacing = patient.scanner, np.full(2, patient.geometry.spacing_mm)
    padding = None if scanner.padding is None else (scanner.padding, scanner.padding)
    inside = total = 0
    for image in slices_of(patient, settings):
        values = stored(image.hu, scanner, patient.geometry)
        hu = to_hu(values, scanner.slope, scanner.intercept, padding)
        nodule = image.nodule > 0
        inside += int(np.count_nonzero(nodule & segment_lungs(hu, spacing).mask))
        total += int(np.count_nonzero(nodule))
    return inside, total


@pytest.mark.parametrize("nodules", [{}, {"pleural": 1.0, "vascular": 0.0}])
def test_nodules_stay_inside(nodules: dict[str, float]) -> None:
    settings = demo(**nodules)
    counts = [share_inside(settings, name, k) for name in CLASSES for k in range(4)]
    inside, total = np.sum(counts, axis=0)
    assert total > 5000
    assert inside >= 0.99 * total
