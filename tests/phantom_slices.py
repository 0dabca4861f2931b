"""Slices of phantom patients as arrays, for tests of what compares patients."""

from __future__ import annotations

import functools

import numpy as np

from lungaug.settings import from_mapping
from lungaug.sources.phantom.patient import draw_patient, slices_of
from lungaug.sources.phantom.settings import PhantomSettings


@functools.cache
def phantom_slices(side_px: int = 112) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Patient, HU (side, side) and nodules of five slices of each of eight patients."""
    settings = from_mapping(PhantomSettings, {"slices": [5, 5], "image": [side_px, side_px]})
    return [
        (f"{lung_rads}-{number}", np.round(one.hu).astype(np.int16), one.nodule)
        for lung_rads in ("LR3", "LR4A")
        for number in range(4)
        for one in slices_of(draw_patient(settings, lung_rads, number), settings)
    ]
