"""Sizes of the phantom cohort: every length in mm, every density in HU."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lungaug.errors import SettingError
from lungaug.settings import setting

Range = tuple[float, float]


@dataclass(frozen=True)
class PatientCounts:
    """Patients of each Lung-RADS class; adding some never changes the others."""

    LR1: int = setting(14, "healthy patients", minimum=0)
    LR2: int = setting(14, "patients of class LR2", minimum=0)
    LR3: int = setting(14, "patients of class LR3", minimum=0)
    LR4A: int = setting(14, "patients of class LR4A", minimum=0)
    LR4B: int = setting(14, "patients of class LR4B", minimum=0)


@dataclass(frozen=True)
class ClassDiameters:
    """Largest nodule diameter of each class."""

    LR2: Range = setting((4.0, 6.0), "smallest and largest diameter in mm")
    LR3: Range = setting((6.0, 8.0), "smallest and largest diameter in mm")
    LR4A: Range = setting((8.0, 15.0), "smallest and largest diameter in mm")
    LR4B: Range = setting((15.0, 22.0), "smallest and largest diameter in mm")


@dataclass(frozen=True)
class AnatomySettings:
    """The thorax and what fills it."""

    fill: Range = setting((0.94, 1.1), "width of the body over width of the image; >1 is cropped")
    couch: float = setting(0.5, "share of patients lying on a visible couch", minimum=0, maximum=1)
    fat_hu: float = setting(-100.0, "fat")
    muscle_hu: float = setting(50.0, "muscle")
    blood_hu: Range = setting((25.0, 90.0), "blood; up to 300 would be a contrast agent")
    bone_hu: Range = setting((550.0, 900.0), "cortical bone")
    parenchyma_hu: Range = setting((-900.0, -840.0), "lung between the vessels")
    texture_hu: float = setting(22.0, "SD of the texture of the parenchyma", minimum=0)
    vessel_density: float = setting(
        220.0, "vessel endings of a tree per cubed half-width of the body", minimum=0
    )
    vessel_radius_mm: float = setting(0.3, "radius of the finest drawn vessels", exclusiveMinimum=0)


@dataclass(frozen=True)
class NoduleSettings:
    """What nodules look like; their sizes follow the classes."""

    diameter_mm: ClassDiameters = setting(ClassDiameters, "diameters of the classes")
    extra: tuple[int, int] = setting((0, 2), "fewest and most further, smaller nodules")
    extra_mm: Range = setting((3.5, 5.5), "diameter of the further nodules")
    solid: float = setting(0.58, "weight of solid nodules", minimum=0)
    part_solid: float = setting(0.22, "weight of part-solid nodules", minimum=0)
    ground_glass: float = setting(0.2, "weight of ground-glass nodules", minimum=0)
    pleural: float = setting(0.25, "share of nodules that touch the pleura", minimum=0, maximum=1)
    vascular: float = setting(0.3, "share of nodules that touch a vessel", minimum=0, maximum=1)
    solid_hu: Range = setting((-80.0, 60.0), "density of solid nodules and cores")
    ground_glass_hu: Range = setting((-730.0, -550.0), "density of ground glass")
    lobulation: float = setting(0.4, "height of lobules over the radius", minimum=0, maximum=0.8)
    spiculated: float = setting(0.3, "share of nodules with spicules", minimum=0, maximum=1)


@dataclass(frozen=True)
class GranulomaSettings:
    """Calcified granulomas: dense, small, and no nodules to the masks."""

    count: tuple[int, int] = setting((0, 3), "fewest and most granulomas of a patient")
    diameter_mm: Range = setting((2.0, 4.5), "diameter")
    hu: Range = setting((150.0, 700.0), "density before partial volume")


@dataclass(frozen=True)
class NoiseSettings:
    """Noise and sharpness, before the differences between scanners."""

    sd_hu: Range = setting((18.0, 36.0), "SD in soft tissue")
    correlation_mm: float = setting(0.8, "length over which noise is alike", minimum=0)
    blur_mm: float = setting(0.45, "SD of the point spread in the plane", minimum=0)


@dataclass(frozen=True)
class PhantomSettings:
    """The cohort; its stage adds nothing."""

    seed: int = setting(0, "seed of every random choice", minimum=0)
    patients: PatientCounts = setting(PatientCounts, "patients of each class")
    image: tuple[int, int] = setting((112, 112), "rows and columns")
    slices: tuple[int, int] = setting((9, 12), "fewest and most slices of a patient")
    spacing_mm: Range = setting((0.6, 0.9), "smallest and largest pixel spacing")
    slice_spacing_mm: Range = setting((1.0, 3.0), "smallest and largest distance of slices")
    subslices: int = setting(
        3, "samples through a slice, for partial volume", minimum=1, maximum=16
    )
    anatomy: AnatomySettings = setting(AnatomySettings, "the thorax")
    nodules: NoduleSettings = setting(NoduleSettings, "nodules")
    granulomas: GranulomaSettings = setting(GranulomaSettings, "calcified granulomas")
    noise: NoiseSettings = setting(NoiseSettings, "noise and sharpness")


# Body depth over body width, and the lungs' share of it that a nodule can span.
DEPTH = 0.74
_LARGEST_NODULE = 0.8
_SMALLEST_IMAGE = 32


def half_width_mm(shape: tuple[int, int], spacing_mm: float, fill: float) -> float:
    """Half the width of a body that fills the image: the unit of length of the anatomy."""
    rows, columns = shape
    return 0.5 * fill * spacing_mm * min(columns, rows / DEPTH)


def check(settings: PhantomSettings, where: str = "phantom") -> None:
    """Refuse sizes that cannot be drawn.

    Raises:
        SettingError: with the dotted key, its value and what is accepted.
    """
    for key, value in _ranges(settings, where):
        if value[0] > value[1]:
            raise SettingError(f"{key}: got {list(value)}; accepted: the smaller value first")
    for key, value, least in _positive(settings, where):
        if value[0] < least:
            raise SettingError(f"{key}: got {list(value)}; accepted: at least {least}")
    kinds = settings.nodules
    if kinds.solid + kinds.part_solid + kinds.ground_glass <= 0:
        raise SettingError(f"{where}.nodules.solid: all weights are 0; accepted: one above 0")
    if kinds.pleural + kinds.vascular > 1:
        raise SettingError(
            f"{where}.nodules.vascular: with pleural {kinds.pleural} got {kinds.vascular}; "
            "accepted: together at most 1"
        )
    _check_classes(settings, where)


def _check_classes(settings: PhantomSettings, where: str) -> None:
    shape, spacing, fill = settings.image, settings.spacing_mm[0], settings.anatomy.fill[0]
    room = _LARGEST_NODULE * half_width_mm(shape, spacing, fill)

    for field in dataclasses.fields(ClassDiameters):
        low, high = getattr(settings.nodules.diameter_mm, field.name)
        key = f"{where}.nodules.diameter_mm.{field.name}"
        limits = _CLASS_LIMITS_MM[field.name]
        if low < limits[0] or high > limits[1]:
            raise SettingError(f"{key}: got {[low, high]}; accepted: within {list(limits)} mm")
        if getattr(settings.patients, field.name) and high > room:
            raise SettingError(
                f"{key}: got {high} mm; accepted: at most {room:.1f} mm, what the lungs hold at "
                f"an image of {shape[0]}x{shape[1]} and a spacing of {spacing} mm"
            )

    largest = settings.nodules.extra_mm[1]
    if largest > settings.nodules.diameter_mm.LR2[1]:
        raise SettingError(
            f"{where}.nodules.extra_mm: got {largest}; accepted: at most the largest of LR2"
        )


_CLASS_LIMITS_MM = {"LR2": (3.0, 6.0), "LR3": (6.0, 8.0), "LR4A": (8.0, 15.0), "LR4B": (15.0, 1e3)}


def _ranges(settings: Any, where: str) -> Iterator[tuple[str, tuple[float, float]]]:
    """Every (low, high) setting with its dotted key."""
    for field in dataclasses.fields(settings):
        value, key = getattr(settings, field.name), f"{where}.{field.name}"
        if dataclasses.is_dataclass(value):
            yield from _ranges(value, key)
        elif isinstance(value, tuple) and field.name != "image":
            yield key, value


def _positive(settings: PhantomSettings, where: str) -> Iterator[tuple[str, Any, float]]:
    yield f"{where}.image", tuple(sorted(settings.image)), _SMALLEST_IMAGE
    yield f"{where}.slices", settings.slices, 1
    yield f"{where}.spacing_mm", settings.spacing_mm, 0.05
    yield f"{where}.slice_spacing_mm", settings.slice_spacing_mm, 0.1
    yield f"{where}.anatomy.fill", settings.anatomy.fill, 0.3
    yield f"{where}.nodules.extra", settings.nodules.extra, 0
    yield f"{where}.nodules.extra_mm", settings.nodules.extra_mm, 3.0
    yield f"{where}.granulomas.count", settings.granulomas.count, 0
    yield f"{where}.granulomas.diameter_mm", settings.granulomas.diameter_mm, 0.5
    yield f"{where}.noise.sd_hu", settings.noise.sd_hu, 0
