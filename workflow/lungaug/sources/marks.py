"""What is marked on one series: label images, the nodules they show, and how large those are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungaug.cohort import lung_rads_of
from lungaug.errors import InputError
from lungaug.sources.lidc import Annotations, read_annotations
from lungaug.sources.lidc_consensus import LidcSettings, NoduleRow, label_masks
from lungaug.sources.masks import Values, check_share, link, max_feret_mm, read_mask
from lungaug.sources.plan import PlannedSeries, PlannedSlice

Opener = Callable[[str], Path]
"""Finds a file of the plan."""

Refuse = Callable[[str, InputError], None]
"""Notes that a file of the plan cannot be used, or stops."""


@dataclass(frozen=True)
class Nodule:
    """A nodule, or what a reader called something else; ``diameter_mm`` NaN where unknown.

    ``n_missing`` counts outlines on slices that are not among the series' images.
    """

    nodule: int
    n_readers: int
    diameter_mm: float
    n_slices: int
    kind: str
    z_mm: float
    n_missing: int = 0


@dataclass(frozen=True)
class Marks:
    """The marks on one series.

    Attributes:
        known: somebody looked for nodules: what is not marked holds none.
        labels: label image (H, W) uint8 by index of the slice, where anything is marked.
        diameters_mm: of the largest nodule of each of those slices, measured on that slice.
        nodules: what was found.
    """

    known: bool = False
    labels: Mapping[int, NDArray[np.uint8]] = field(default_factory=dict)
    diameters_mm: Mapping[int, float] = field(default_factory=dict)
    nodules: Sequence[Nodule] = ()

    def diameter_mm(self, index: int) -> float:
        """Of the largest nodule of a slice; 0 without one, NaN where nobody looked."""
        return self.diameters_mm.get(index, 0.0) if self.known else math.nan


def read_marks(
    series: PlannedSeries,
    find: Opener,
    refuse: Refuse,
    values: Values,
    lidc: LidcSettings | None,
) -> Marks:
    """The marks on a series: of its annotation file if ``lidc`` is given, else of its masks."""
    if lidc is not None and series.annotations:
        marks = _of_annotations(series, find, refuse, lidc)
        for planned in series.slices:
            if planned.mask is not None and planned.index not in marks.labels:
                error = InputError("PNG mask of a slice that the annotation file does not outline")
                refuse(planned.mask.name, error)
        return marks
    return _of_masks(series, find, refuse, values)


def class_of(marks: Iterable[Marks]) -> str:
    """Lung-RADS of a patient by the largest nodule on all of the series; '' where unknown.

    Nodules too small to be outlined are below 6 mm. A nodule that too few readers saw is not
    measured, so that a patient who has nothing else is neither healthy nor of a class.
    """
    known = [one for one in marks if one.known]
    nodules = [nodule for one in known for nodule in one.nodules]
    measured = [n.diameter_mm for n in nodules if n.kind == "nodule"]
    kinds = {nodule.kind for nodule in nodules}
    if not known or any(map(math.isnan, measured)) or (not measured and "few_readers" in kinds):
        return ""
    if not measured and "small" in kinds:
        return "LR2"
    return lung_rads_of(max(measured, default=0.0))


def _of_masks(series: PlannedSeries, find: Opener, refuse: Refuse, values: Values) -> Marks:
    labels: dict[int, NDArray[np.uint8]] = {}
    for planned in series.slices:
        if planned.mask is None:
            continue
        shape = (planned.header.rows, planned.header.columns)
        try:
            found = read_mask(find(planned.mask.name), shape, values)
        except InputError as error:
            refuse(planned.mask.name, error)
            continue
        if found.any():
            labels[planned.index] = found
    known = any(planned.mask is not None for planned in series.slices)
    return replace(of_labels(series, labels), known=known)


def of_labels(series: PlannedSeries, labels: Mapping[int, NDArray[np.uint8]]) -> Marks:
    """The marks of one reader who looked at a whole series.

    Args:
        series: whose slices give spacing and place; sizes are NaN where it has none.
        labels: label image (H, W) by index of the slice, where anything is marked.
    """
    sizes = _sizes(series, labels)
    return Marks(True, labels, _largest(sizes), _linked(series, labels, sizes))


def _linked(
    series: PlannedSeries,
    labels: Mapping[int, NDArray[np.uint8]],
    sizes: Mapping[tuple[int, int], float],
) -> list[Nodule]:
    """One nodule for all labels that overlap from slice to slice."""
    members: dict[int, list[tuple[int, int]]] = {}
    for key, number in link(labels).items():
        members.setdefault(number, []).append(key)
    z_mm = {planned.index: planned.z_mm for planned in series.slices}
    return [
        Nodule(
            nodule=number,
            n_readers=1,
            diameter_mm=float(np.max([sizes[key] for key in keys])),
            n_slices=len({index for index, _ in keys}),
            kind="nodule",
            z_mm=float(np.mean([z_mm[index] for index, _ in keys])),
        )
        for number, keys in sorted(members.items())
    ]


def _of_annotations(
    series: PlannedSeries, find: Opener, refuse: Refuse, settings: LidcSettings
) -> Marks:
    first, *others = series.annotations
    for other in others:
        refuse(other.name, InputError("a second annotation file of one series"))
    by_uid = {planned.header.sop_uid: planned for planned in series.slices}
    try:
        annotations = read_annotations(find(first.name))
        _check_unique(annotations, series)
        images, rows = label_masks(
            annotations,
            {uid: (p.header.rows, p.header.columns) for uid, p in by_uid.items()},
            _heights(annotations, series),
            _spacing(series.slices[0]),
            settings,
        )
        _check_some_at_hand(images, rows)
        for image in images.values():
            check_share(image > 0)
    except InputError as error:
        refuse(first.name, error)
        return Marks()
    labels = {by_uid[uid].index: image for uid, image in images.items()}
    nodules = [
        Nodule(
            nodule=row.nodule,
            n_readers=row.n_readers,
            diameter_mm=row.diameter_mm,
            n_slices=row.n_slices,
            kind=row.kind,
            z_mm=row.z_mm,
            n_missing=row.n_missing_contours,
        )
        for row in rows
    ]
    return Marks(True, labels, _largest(_sizes(series, labels)), nodules)


def _heights(annotations: Annotations, series: PlannedSeries) -> dict[str, float]:
    """Positions by UID for outlines whose slice is unknown; none if the file is of another series.

    A file may outline slices of two series, whose positions are alike.
    """
    slices = [p for p in series.slices if p.header.series_uid == annotations.series_uid]
    return {planned.header.sop_uid: planned.z_mm for planned in slices}


def _check_unique(annotations: Annotations, series: PlannedSeries) -> None:
    """Raise InputError if an outline is on one of several images with one UID."""
    counts = Counter(planned.header.sop_uid for planned in series.slices)
    outlined = (
        contour.sop_uid
        for reading in annotations.readings
        for nodule in reading.nodules
        for contour in nodule.contours
    )
    if any(counts[uid] > 1 for uid in outlined):
        raise InputError("an outline on a SOPInstanceUID that several images of its series have")


def _check_some_at_hand(images: Mapping[str, object], rows: Sequence[NoduleRow]) -> None:
    """Raise InputError if there are nodules and not one of their outlines lies on an image.

    The slices of such a series would train as healthy ones.
    """
    if not images and any(row.kind == "nodule" for row in rows):
        raise InputError("none of its outlines lies on an image of its series")


def _sizes(
    series: PlannedSeries, labels: Mapping[int, NDArray[np.uint8]]
) -> dict[tuple[int, int], float]:
    """Diameter in mm of each label of each slice."""
    spacings = {planned.index: _spacing(planned) for planned in series.slices}
    return {
        (index, label): max_feret_mm(image == label, spacings[index])
        for index, image in labels.items()
        for label in np.unique(image[image > 0]).tolist()
    }


def _largest(sizes: Mapping[tuple[int, int], float]) -> dict[int, float]:
    largest: dict[int, float] = {}
    for (index, _), size in sizes.items():
        largest[index] = float(np.maximum(largest.get(index, 0.0), size))
    return largest


def _spacing(planned: PlannedSlice) -> tuple[float, float]:
    row, column = planned.header.spacing_mm or (math.nan, math.nan)
    return row, column
