"""From the marks of up to four LIDC readers to one label image a slice.

Regions are sets of pixels here: sorted int64 codes of (slice, row, column), so that union, overlap
and consensus are set operations whatever the image size, and also on slices that are not at hand.

References:
    Armato SG III et al., Med Phys 2011;38:915-931.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lungaug.errors import InputError
from lungaug.settings import setting
from lungaug.sources.contours import check_contours, outlined_pixels, point_of
from lungaug.sources.lidc import Annotations, Contour, Nodule
from lungaug.sources.masks import feret_of_pixels_mm

Pixels = NDArray[np.int64]  # sorted, unique codes
Kind = Literal["nodule", "small", "non_nodule", "few_readers"]

_BITS = 15  # read_annotations refuses coordinates beyond
_MAXIMUM_LABELS = 255  # of an uint8 label image


@dataclass(frozen=True)
class LidcSettings:
    """How the marks of several readers become nodules."""

    consensus_level: float = setting(
        0.5, "a pixel is nodule where this share of the readers marked it", exclusiveMinimum=0,
        maximum=1,
    )  # fmt: skip
    denominator: Literal["marked", "sessions"] = setting(
        "marked", "the share is of the readers who outlined that nodule, or of all sessions"
    )
    minimum_readers: int = setting(
        1, "nodules outlined by fewer readers are listed but not labelled", minimum=1, maximum=4
    )
    cluster_tolerance_mm: float = setting(
        3.0, "marks of two readers without overlap are one nodule up to this distance of their "
        "centroids; the default is the smallest outlined nodule's diameter", minimum=0,
    )  # fmt: skip
    minimum_diameter_mm: float = setting(
        3.0, "a consensus with a smaller largest diameter is listed as small", minimum=0
    )
    z_tolerance_mm: float = setting(
        0.1, "a contour whose slice UID is unknown is matched to a slice this near", minimum=0
    )


@dataclass(frozen=True)
class NoduleRow:
    """One nodule, small nodule or non-nodule of a series.

    Attributes:
        nodule: number within the series, from 1: nodules, small, non-nodules, each by position.
        kind: ``nodule`` is in the label images; ``small`` is below the minimum diameter, marked by
            points or by consensus; ``few_readers`` was outlined by fewer than the minimum.
        n_readers: how many readers marked it.
        diameter_mm: largest in-plane diameter of the consensus, over all outlined slices, whether
            their images are at hand or not; 0 without area.
        z_mm: position of the centroid, in the file's coordinates.
        labels: slice UID to this nodule's value in that slice's label image.
        n_missing_contours: contours and points whose slice is not among those given.
    """

    nodule: int
    kind: Kind
    n_readers: int
    diameter_mm: float
    z_mm: float
    labels: Mapping[str, int] = field(default_factory=dict)
    n_missing_contours: int = 0

    @property
    def n_slices(self) -> int:
        return len(self.labels)


def label_masks(
    annotations: Annotations,
    shapes: Mapping[str, tuple[int, int]],
    z_mm: Mapping[str, float],
    spacing_mm: tuple[float, float],
    settings: LidcSettings,
) -> tuple[dict[str, NDArray[np.uint8]], list[NoduleRow]]:
    """Consensus label images of one series, and what was found.

    Contours are matched to slices by UID, by z only where their UID is unknown. Readers' nodules
    are clustered by overlap or distance of centroids; a point of one reader on a nodule that
    others outlined stays a row of its own.

    Args:
        annotations: of this series.
        shapes: slice UID to (rows, columns).
        z_mm: slice UID to position in mm along z.
        spacing_mm: (row, column) of the series.
        settings: consensus and clustering.

    Returns:
        Label images uint8 (H, W) of the slices with a nodule, 0 background, k the k-th nodule of
        that slice in the order of the rows (by z, then row, then column of the centroid); and the
        rows. Where two nodules share a pixel, the first keeps it.

    Raises:
        InputError: the spacing is unknown, or a slice has more nodules than an image can label.
    """
    if not all(np.isfinite(spacing_mm)) or min(spacing_mm) <= 0:
        raise InputError("pixel spacing unknown; LIDC nodules are clustered and sized in mm")
    stack = _Stack.of(annotations, shapes, z_mm, settings.z_tolerance_mm)
    check_contours(annotations, lambda c: stack.uids[stack.number(c.sop_uid, c.z_mm)], shapes)
    marks = [m for i, r in enumerate(annotations.readings) for m in _outlined(i, r.nodules, stack)]
    found = [
        _consensus(cluster, stack, spacing_mm, len(annotations.readings), settings)
        for cluster in _clusters(marks, spacing_mm, settings.cluster_tolerance_mm)
    ]
    for kind, points in _points(annotations, stack).items():
        for cluster in _clusters(points, spacing_mm, settings.cluster_tolerance_mm):
            found.append(_Found(kind, cluster, np.empty(0, np.int64), 0.0))
    found.sort(key=_Found.order)
    images: dict[str, NDArray[np.uint8]] = {}
    rows = [_row(i, f, stack, shapes, images) for i, f in enumerate(found, 1)]
    return images, rows


@dataclass(frozen=True, eq=False)
class _Stack:
    """The slices that contours lie on, numbered by z, at hand or not."""

    numbers: Mapping[tuple[str, float], int]  # (UID, z) as in the file
    uids: Sequence[str | None]  # of the slice at hand
    z: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        annotations: Annotations,
        shapes: Mapping[str, tuple[int, int]],
        z_mm: Mapping[str, float],
        tolerance: float,
    ) -> _Stack:
        stated = sorted(set(_positions(annotations)), key=lambda p: (p[1], p[0]))
        matched = {p: _match(p, shapes, z_mm, tolerance) for p in stated}
        keys = {p: uid or p[0] for p, uid in matched.items()}
        order = {key: i for i, key in enumerate(dict.fromkeys(keys.values()))}
        at_hand = {keys[p]: uid for p, uid in matched.items()}
        z = {keys[p]: p[1] for p in reversed(stated)}
        return cls(
            {p: order[keys[p]] for p in stated},
            [at_hand[key] for key in order],
            np.array([z[key] for key in order], float),
        )

    def number(self, sop_uid: str, z: float) -> int:
        return self.numbers[sop_uid, z]


def _positions(annotations: Annotations) -> Iterable[tuple[str, float]]:
    for reading in annotations.readings:
        for nodule in reading.nodules:
            yield from ((c.sop_uid, c.z_mm) for c in nodule.contours)
        yield from ((n.sop_uid, n.z_mm) for n in reading.non_nodules)


def _match(
    position: tuple[str, float],
    shapes: Mapping[str, tuple[int, int]],
    z_mm: Mapping[str, float],
    tolerance: float,
) -> str | None:
    uid, z = position
    if uid in shapes:
        return uid
    near = min(((abs(z_mm[u] - z), u) for u in shapes if u in z_mm), default=(np.inf, ""))
    return near[1] if near[0] <= tolerance else None


@dataclass(frozen=True, eq=False)
class _Mark:
    """One nodule of one reader; ``centroid`` is (z mm, row, column)."""

    reader: int
    pixels: Pixels
    centroid: NDArray[np.float64]
    n_missing: int


@dataclass(frozen=True, eq=False)
class _Found:
    kind: Kind
    cluster: Sequence[_Mark]
    pixels: Pixels
    diameter_mm: float

    @property
    def centroid(self) -> NDArray[np.float64]:
        return np.asarray(np.mean([mark.centroid for mark in self.cluster], axis=0))

    def order(self) -> tuple[int, list[float]]:
        kinds = ("nodule", "few_readers", "small", "non_nodule")
        return kinds.index(self.kind), self.centroid.round(3).tolist()


def _outlined(reader: int, nodules: Iterable[Nodule], stack: _Stack) -> list[_Mark]:
    return [_mark(reader, n.contours, stack) for n in nodules if not n.is_point]


def _points(annotations: Annotations, stack: _Stack) -> dict[Kind, list[_Mark]]:
    points: dict[Kind, list[_Mark]] = {"small": [], "non_nodule": []}
    for reader, reading in enumerate(annotations.readings):
        small = [n.contours for n in reading.nodules if n.is_point]
        points["small"] += [_mark(reader, contours, stack) for contours in small]
        for other in reading.non_nodules:
            points["non_nodule"].append(_mark(reader, (point_of(other),), stack))
    return points


def _mark(reader: int, contours: Sequence[Contour], stack: _Stack) -> _Mark:
    numbers = [stack.number(c.sop_uid, c.z_mm) for c in contours]
    pixels = _region(contours, numbers)
    missing = sum(stack.uids[number] is None for number in numbers)
    # A point, or an outline that encloses nothing, still has a place.
    places = pixels if len(pixels) else _vertices(contours, numbers)
    return _Mark(reader, pixels, _centroid(places, stack), missing)


def _vertices(contours: Sequence[Contour], numbers: Sequence[int]) -> Pixels:
    pairs = zip(contours, numbers, strict=True)
    return np.concatenate([_encode(n, c.points[:, 1], c.points[:, 0]) for c, n in pairs])


def _region(contours: Sequence[Contour], numbers: Sequence[int]) -> Pixels:
    """Union of inclusions minus union of exclusions."""
    parts: dict[bool, list[Pixels]] = {True: [], False: []}
    for contour, number in zip(contours, numbers, strict=True):
        rows, columns = outlined_pixels(contour)
        parts[contour.inclusion].append(_encode(number, rows, columns))
    union, holes = (np.unique(np.concatenate([*p, np.empty(0, np.int64)])) for p in parts.values())
    return np.setdiff1d(union, holes, assume_unique=True)


def _encode(number: int, rows: NDArray[np.integer], columns: NDArray[np.integer]) -> Pixels:
    return (((number << _BITS) | rows.astype(np.int64)) << _BITS) | columns


def _decode(pixels: Pixels) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    mask = (1 << _BITS) - 1
    return pixels >> 2 * _BITS, pixels >> _BITS & mask, pixels & mask


def _centroid(pixels: Pixels, stack: _Stack) -> NDArray[np.float64]:
    numbers, rows, columns = _decode(pixels)
    return np.array([stack.z[numbers].mean(), rows.mean(), columns.mean()])


def _clusters(
    marks: Sequence[_Mark], spacing_mm: tuple[float, float], tolerance: float
) -> list[list[_Mark]]:
    """Group marks of different readers, the best overlapping and nearest pairs first.

    Two marks of one reader are two nodules in that reader's eyes: a merge that would join them is
    not made.
    """
    scale = np.array([1.0, *spacing_mm])
    pairs = []
    for i, first in enumerate(marks):
        for j, second in enumerate(marks[:i]):
            overlap = np.intersect1d(first.pixels, second.pixels, assume_unique=True).size
            distance = float(np.linalg.norm((first.centroid - second.centroid) * scale))
            if first.reader != second.reader and (overlap or distance <= tolerance):
                dice = 2 * overlap / max(1, first.pixels.size + second.pixels.size)
                pairs.append((-dice, distance, j, i))
    groups = {i: [i] for i in range(len(marks))}
    for _, _, i, j in sorted(pairs):
        one, other = groups[i], groups[j]
        readers = [marks[k].reader for k in (*one, *other)]
        if one is not other and len(set(readers)) == len(readers):
            one += other
            groups.update((k, one) for k in other)
    unique = {id(group): group for group in groups.values()}
    return [[marks[k] for k in sorted(group)] for group in unique.values()]


def _consensus(
    cluster: Sequence[_Mark],
    stack: _Stack,
    spacing_mm: tuple[float, float],
    n_sessions: int,
    settings: LidcSettings,
) -> _Found:
    pixels, counts = np.unique(np.concatenate([m.pixels for m in cluster]), return_counts=True)
    total = len(cluster) if settings.denominator == "marked" else n_sessions
    kept = pixels[counts >= settings.consensus_level * total - 1e-9]
    diameter = _diameter_mm(kept, spacing_mm)
    kind: Kind = "nodule"
    if len(cluster) < settings.minimum_readers:
        kind = "few_readers"
    elif diameter < settings.minimum_diameter_mm or not len(kept):
        kind = "small"
    return _Found(kind, cluster, kept, diameter)


def _diameter_mm(pixels: Pixels, spacing_mm: tuple[float, float]) -> float:
    """Largest diameter of a region in one of its slices; 0 for an empty one."""
    numbers, rows, columns = _decode(pixels)
    largest = 0.0
    for number in np.unique(numbers):
        inside = numbers == number
        pixels_of_slice = np.stack([rows[inside], columns[inside]], axis=1)
        largest = max(largest, feret_of_pixels_mm(pixels_of_slice, spacing_mm))
    return largest


def _row(
    nodule: int,
    found: _Found,
    stack: _Stack,
    shapes: Mapping[str, tuple[int, int]],
    images: dict[str, NDArray[np.uint8]],
) -> NoduleRow:
    labels = _paint(found.pixels, stack, shapes, images) if found.kind == "nodule" else {}
    return NoduleRow(
        nodule=nodule,
        kind=found.kind,
        n_readers=len(found.cluster),
        diameter_mm=round(found.diameter_mm, 3),
        z_mm=round(float(found.centroid[0]), 3),
        labels=labels,
        n_missing_contours=sum(mark.n_missing for mark in found.cluster),
    )


def _paint(
    pixels: Pixels,
    stack: _Stack,
    shapes: Mapping[str, tuple[int, int]],
    images: dict[str, NDArray[np.uint8]],
) -> dict[str, int]:
    """Write one nodule into the label images; the slices and values it took."""
    numbers, rows, columns = _decode(pixels)
    labels = {}
    for number in np.unique(numbers):
        uid = stack.uids[number]
        if uid is None:
            continue
        inside = (numbers == number) & (rows < shapes[uid][0]) & (columns < shapes[uid][1])
        image = images[uid] if uid in images else np.zeros(shapes[uid], np.uint8)
        free = inside.copy()
        free[inside] = image[rows[inside], columns[inside]] == 0
        if not free.any():
            continue
        label = int(image.max()) + 1
        if label > _MAXIMUM_LABELS:
            raise InputError(f"a slice has over {_MAXIMUM_LABELS} nodules")
        image[rows[free], columns[free]] = label
        images[uid] = image
        labels[uid] = label
    return labels
