"""One patient: what is drawn once, and the slices that follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungaug.cohort import CLASSES
from lungaug.sources.phantom.anatomy import Thorax, draw_thorax
from lungaug.sources.phantom.geometry import Geometry, draw_geometry
from lungaug.sources.phantom.lesions import Placed
from lungaug.sources.phantom.placement import place_granulomas, place_nodules, survey
from lungaug.sources.phantom.render import Densities, draw_densities, render
from lungaug.sources.phantom.scanners import SCANNERS, Scanner, scanned
from lungaug.sources.phantom.settings import PhantomSettings
from lungaug.sources.phantom.shapes import Field
from lungaug.sources.phantom.vessels import Trees, draw_trees

# Samples rendered at once: bounds the memory, whatever the number of slices.
_CHUNK_SAMPLES = 800_000


@dataclass(frozen=True)
class Patient:
    """A patient before rendering. ``nodules`` are numbered from 1 in their order."""

    lung_rads: str
    number: int  # within the class, from 0
    scanner: Scanner
    geometry: Geometry
    thorax: Thorax
    trees: Trees
    nodules: list[Placed]
    granulomas: list[Placed]
    densities: Densities
    sd_hu: float


@dataclass(frozen=True)
class Slice:
    """One slice: HU before storing, nodules (0 or their number) and true lung, all (Y, X)."""

    index: int
    hu: Field
    nodule: NDArray[np.uint8]
    lung: NDArray[np.bool_]


def patient_rng(seed: int, lung_rads: str, number: int, part: int) -> np.random.Generator:
    """Random numbers of one part of one patient, independent of the rest of the cohort."""
    return np.random.default_rng([seed, CLASSES.index(lung_rads), number, part])


def draw_patient(settings: PhantomSettings, lung_rads: str, number: int) -> Patient:
    """Draw the ``number``-th patient of a class.

    Raises:
        SettingError: a nodule of that class does not fit into the lungs.
    """
    rngs = [patient_rng(settings.seed, lung_rads, number, part) for part in range(5)]
    scanner = SCANNERS[(CLASSES.index(lung_rads) + number) % len(SCANNERS)]
    thorax = draw_thorax(settings.anatomy, rng=rngs[0])
    densities = draw_densities(settings.anatomy, rng=rngs[0])
    geometry = draw_geometry(settings, scanner.thickness, rng=rngs[1])
    trees = draw_trees(thorax, geometry.z_range, geometry.unit_mm, settings.anatomy, rng=rngs[2])
    ground = survey(thorax, trees.blood, geometry, settings, rng=rngs[3])
    nodules = place_nodules(lung_rads, ground, rng=rngs[3])
    granulomas = place_granulomas(nodules, ground, rng=rngs[4])
    sd_hu = float(rngs[0].uniform(*settings.noise.sd_hu))
    return Patient(
        lung_rads,
        number,
        scanner,
        geometry,
        thorax,
        trees,
        nodules,
        granulomas,
        densities,
        sd_hu,
    )


def slices_of(patient: Patient, settings: PhantomSettings) -> Iterator[Slice]:
    """The patient's slices from the feet to the head."""
    geometry = patient.geometry
    rows, columns = geometry.shape
    step = max(1, _CHUNK_SAMPLES // (rows * columns * geometry.subslices))
    lesions = [*patient.granulomas, *patient.nodules]
    rng = patient_rng(settings.seed, patient.lung_rads, patient.number, 9)
    for first in range(0, geometry.n_slices, step):
        chunk = range(first, min(first + step, geometry.n_slices))
        ideal = render(chunk, geometry, patient.thorax, patient.trees, lesions, patient.densities)
        for i, hu, lung in zip(chunk, ideal.hu, ideal.lung, strict=True):
            noisy = scanned(
                hu,
                patient.scanner,
                patient.sd_hu,
                patient.densities.texture,
                lung,
                geometry,
                settings.noise,
                rng=rng,
            )
            yield Slice(i, noisy, nodule_mask(patient, i), lung > 0.5)


def nodule_mask(patient: Patient, index: int) -> NDArray[np.uint8]:
    """Number of the nodule in each pixel (Y, X) of a slice, 0 without."""
    out = np.zeros(patient.geometry.shape, np.uint8)
    for k, placed in enumerate(patient.nodules, start=1):
        depth = index - placed.box[0].start
        if 0 <= depth < len(placed.mask):
            out[placed.box[1:]][placed.mask[depth]] = k
    return out
